// The rule language of roomcast's INI file, carried out on a socket.io server: what the tests
// compare the daemon with. Written from the manual, not from the daemon.

const NAME = String.raw`\d+\.[\w-]+\??|\d+\?|\d+\.\.|\d+|args|room|id|user|time|event|nsp|auth\.[\w.-]+`;
const PLACEHOLDER = new RegExp(String.raw`\{\{|\{(${NAME})\}`, 'g');
const MARK = new RegExp(String.raw`^\{(${NAME})\}`);

class Refusal extends Error {
  constructor(code, message, data) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

// [ { header, entries: [ [key, value] ] } ] in file order.
export function parseIni(text) {
  const sections = [];
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (!line || line.startsWith(';') || line.startsWith('#')) continue;
    const head = line.match(/^\[(.*)\]$/);
    if (head) {
      sections.push({ header: head[1].trim(), entries: [] });
      continue;
    }
    const eq = line.indexOf('=');
    sections.at(-1).entries.push([line.slice(0, eq).trim(), line.slice(eq + 1).trim()]);
  }
  return sections;
}

// {N.KEY}, {N.KEY?}
function lookupKey(n, key, optional, env) {
  if (n > env.args.length && !optional) throw new Refusal('missing_argument', `argument ${n} is missing`);
  const object = env.args[n - 1];
  const is = object && typeof object === 'object' && !Array.isArray(object) && !Buffer.isBuffer(object);
  if (is && Object.hasOwn(object, key)) return object[key];
  if (!optional) throw new Refusal('missing_argument', `argument ${n} lacks the key ${key}`);
  return undefined;
}

// The value that a placeholder stands for; undefined: nothing (only for {N?} and {N.KEY?}).
function lookup(name, env) {
  const key = name.match(/^(\d+)\.([\w-]+)(\?)?$/);
  if (key) return lookupKey(key[1], key[2], key[3], env);
  const index = name.match(/^(\d+)(\?|\.\.)?$/);
  if (index && !index[2] && index[1] > env.args.length)
    throw new Refusal('missing_argument', `argument ${index[1]} is missing`);
  if (index) return env.args[index[1] - 1];
  if (name.startsWith('auth.')) return env.auth?.[name.slice(5)] ?? null;
  return { room: env.room, id: env.id, user: '', time: Date.now(), event: env.event, nsp: env.nsp }[name];
}

function fillText(template, env) {
  return template.replace(PLACEHOLDER, (whole, name) => {
    if (whole === '{{') return '{';
    const value = lookup(name, env);
    if (value === undefined || (value === null && name.startsWith('auth.'))) return '';
    if (value === null) return 'null';
    if (typeof value === 'object') throw new Refusal('bad_argument', `${whole} is no text`);
    return String(value);
  });
}

// Splits `"a {1}" {2} {"x":{time}}` into templates. A placeholder outside of a string becomes a
// string of its own with a mark, so that the rest is JSON.
function compileArgs(source) {
  const list = [];
  let depth = 0;
  let text = '';
  const flush = () => {
    if (text) list.push(JSON.parse(text));
    text = '';
  };
  for (let i = 0; i < source.length;) {
    const rest = source.slice(i);
    const string = rest.match(/^"(?:[^"\\]|\\.)*"/);
    const mark = rest.match(MARK);
    let take = rest[0];
    if (string) take = string[0];
    else if (mark) take = mark[0];
    i += take.length;
    if (mark) text += JSON.stringify(`\u0000${mark[1]}`);
    else if (!string && depth === 0 && /[\s,]/.test(take)) flush();
    else text += take;
    if (!string && !mark && /[[{]/.test(take)) depth++;
    if (!string && !mark && /[\]}]/.test(take)) depth--;
    if (depth === 0 && (string || mark || /[\]}]/.test(take))) flush();
  }
  flush();
  return list;
}

function fillValue(value, env) {
  if (typeof value === 'string' && value[0] === '\u0000') {
    const found = lookup(value.slice(1), env);
    return found === undefined ? null : found;
  }
  if (typeof value === 'string') return fillText(value, env);
  if (Array.isArray(value)) return value.map((v) => fillValue(v, env));
  if (value && typeof value === 'object')
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [fillText(k, env), fillValue(v, env)]));
  return value;
}

function fillArgs(list, env) {
  return list.flatMap((value) => {
    const all = typeof value === 'string' && value.match(/^\u0000(?:args|(\d+)\.\.)$/);
    return all ? env.args.slice(all[1] ? all[1] - 1 : 0) : [fillValue(value, env)];
  });
}

const unquoted = (text) => (text.startsWith('"') ? JSON.parse(text) : text);

function room(template, env) {
  const name = fillText(unquoted(template), env);
  if (!name) throw new Refusal('bad_room', 'a room needs a name');
  env.room = name;
  return name;
}

// The names of a list of rooms: a JSON array with placeholders, or one placeholder for an array.
function names(template, env) {
  const list = fillValue(compileArgs(template)[0], env);
  if (list === null) return [];
  if (!Array.isArray(list)) throw new Refusal('bad_argument', 'a list of rooms must be an array');
  for (const name of list) {
    if (name === null || typeof name === 'object') throw new Refusal('bad_argument', 'no name');
    if (name === '') throw new Refusal('bad_room', 'a room needs a name');
  }
  return list.map(String);
}

// `volatile room {1}, rooms {2} except sender: ` cut into { volatile, to: [[kind, name]…], except }.
function compileTarget(value) {
  const target = { volatile: false, to: [], except: [] };
  const word = /\s*("(?:[^"\\]|\\.)*"|(?:\{[^{}"\\]*\}|[^\s"]|(?<!\s)")+?)(,?)(:?)(?=\s)/y;
  let side = target.to;
  for (let kind = null; ;) {
    const [, text, , colon] = word.exec(value);
    if (kind) {
      side.push([kind, text]);
      kind = null;
    } else if (text === 'volatile') target.volatile = true;
    else if (text === 'except') side = target.except;
    else if (text === 'all' || text === 'sender') side.push([text]);
    else kind = text;
    if (colon) return { target, rest: value.slice(word.lastIndex).trim() };
  }
}

// The rooms that a side of a target stands for; `named`: they become {room}.
function resolve(items, socket, env, named) {
  return items.flatMap(([kind, name]) => {
    if (kind === 'sender') return [socket.id];
    if (kind === 'rooms') {
      const list = names(name, env);
      if (named && list.length) env.room = list.at(-1);
      return list;
    }
    if (named && kind === 'room') return [room(name, env)];
    return [fillText(unquoted(name), env)];
  });
}

function compileEmit(value) {
  const { target, rest } = compileTarget(value);
  const [, event, args] = rest.match(/^("(?:[^"\\]|\\.)*"|\S+)\s*(.*)$/);
  const list = compileArgs(args);
  const all = target.to[0][0] === 'all';
  return (socket, env) => {
    const rooms = all ? [] : resolve(target.to, socket, env, true);
    let to = socket.nsp.to(rooms).except(resolve(target.except, socket, env, false));
    if (target.volatile) to = to.volatile;
    const packet = [fillText(unquoted(event), env), ...fillArgs(list, env)];
    if (all || rooms.length) to.emit(...packet);
  };
}

const WORD = '("(?:[^"\\\\]|\\\\.)*"|\\S+)';

// MESSAGE [DATA]
function compileRefusal(source) {
  const [, message, data] = source.match(new RegExp(`^${WORD}\\s*(.*)$`));
  const list = compileArgs(data);
  return (code, env) => new Refusal(code, fillText(unquoted(message), env), fillArgs(list, env)[0]);
}

function compileRequire(value) {
  const m =
    value.match(new RegExp(`^(same) ${WORD} ${WORD}(?:\\s+else\\s+(.*))?$`)) ||
    value.match(new RegExp(`^(member|auth) ${WORD}()(?:\\s+else\\s+(.*))?$`));
  if (!m) throw new Error(`require = ${value}`);
  const [, kind, first, second, told] = m;
  const refusal = told ? compileRefusal(told) : (code) => new Refusal(code, 'refused');
  const checks = {
    member: (socket, env) => socket.rooms.has(room(first, env)) || 'not_a_member',
    auth: (socket, env) => ![undefined, null, ''].includes(env.auth?.[first]) || 'no_auth',
    same: (socket, env) => fillText(unquoted(first), env) === fillText(unquoted(second), env) || 'not_same',
  };
  const act = (socket, env) => {
    const ok = checks[kind](socket, env);
    if (ok !== true) throw refusal(ok, env);
  };
  return Object.assign(act, { first: true });
}

function compileAction(key, value) {
  switch (key) {
    case 'require':
      return compileRequire(value);
    case 'refuse': {
      const refusal = compileRefusal(value);
      const act = (socket, env) => {
        throw refusal('refused', env);
      };
      return Object.assign(act, { first: true });
    }
    case 'join':
      return (socket, env) => {
        if (value.startsWith('rooms ')) socket.join(resolve([['rooms', value.slice(6)]], socket, env, true));
        else socket.join(room(value, env));
      };
    case 'leave':
      return (socket, env) => {
        if (!value.startsWith('rooms ')) socket.leave(room(value, env));
        else for (const name of resolve([['rooms', value.slice(6)]], socket, env, true)) socket.leave(name);
      };
    case 'emit':
      return compileEmit(value);
    case 'ack': {
      if (value === 'auto' || value === 'none') return Object.assign(() => {}, { policy: value });
      const list = compileArgs(value);
      const act = (socket, env) => env.ack?.(...fillArgs(list, env));
      return Object.assign(act, { policy: 'own' });
    }
    case 'disconnect':
      return (socket) => socket.disconnect(value === 'connection');
    default:
      throw new Error(`${key} has no counterpart in the reference`);
  }
}

function carryOut(actions, socket, env, conf) {
  env.policy = actions?.find((a) => a.policy)?.policy ?? env.policy;
  if (env.policy === 'none') env.ack = undefined;
  try {
    if (!actions) throw new Refusal('unknown_event', `no rule for ${env.event}`);
    for (const action of actions) action(socket, env);
    if (env.policy === 'auto') env.ack?.({ ok: true });
  } catch (e) {
    if (!(e instanceof Refusal)) throw e;
    const answer = { error: e.code, message: e.message, data: e.data };
    if (env.ack) env.ack({ ok: false, ...answer });
    else if (conf.errorEvent && actions) socket.emit(conf.errorEvent, { event: env.event, ...answer });
  }
}

// In the name of a namespace * stands for one character or more but /, ?, the comma and controls.
function pattern(name) {
  const parts = name.split('*').map((s) => s.replace(/[.[\]+(){}^$|\\/]/g, '\\$&'));
  return new RegExp(`^${parts.join('[^/?,\\x00-\\x1f\\x7f]+')}$`);
}

// Declares the namespaces of the INI text on io and installs its rules.
export function install(io, ini, { policy = 'auto', errorEvent = 'error', unknown = 'ignore' } = {}) {
  const spaces = new Map([['/', { connect: [], events: new Map() }]]);
  const space = (name) => {
    if (!spaces.has(name)) spaces.set(name, { connect: [], events: new Map() });
    return spaces.get(name);
  };
  for (const { header, entries } of parseIni(ini)) {
    const m = header.match(/^(event|connect|namespace)\b\s*(\/\S*)?\s*(.+)?$/);
    if (!m) continue;
    const target = space(m[2] || '/');
    const actions = entries.map(([key, value]) => compileAction(key, value));
    if (m[1] === 'connect') target.connect = actions;
    if (m[1] === 'event') target.events.set(m[3], actions);
  }
  const conf = { errorEvent };
  // What the reference is asked for first it takes first: names before patterns.
  const isPattern = ([name]) => name.includes('*');
  const ordered = [...[...spaces].filter((s) => !isPattern(s)), ...[...spaces].filter(isPattern)];
  for (const [text, { connect, events }] of ordered) {
    const nsp = io.of(isPattern([text]) ? pattern(text) : text);
    const envOf = (socket) => (event, args, ack) => ({
      event: String(event),
      args,
      ack,
      policy,
      nsp: socket.nsp.name,
      id: socket.id,
      auth: socket.handshake.auth,
      room: '',
    });
    nsp.use((socket, next) => {
      try {
        for (const action of connect) if (action.first) action(socket, envOf(socket)('connect', []));
        next();
      } catch (e) {
        next(e);
      }
    });
    nsp.on('connection', (socket) => {
      const env = envOf(socket);
      socket.onAny((event, ...args) => {
        const ack = typeof args.at(-1) === 'function' ? args.pop() : undefined;
        const actions = events.get(String(event)) ?? events.get('*');
        if (!actions && unknown === 'disconnect') socket.disconnect(true);
        else carryOut(actions, socket, env(event, args, ack), conf);
      });
      carryOut(
        connect.filter((action) => !action.first),
        socket,
        env('connect', []),
        conf,
      );
    });
  }
}
