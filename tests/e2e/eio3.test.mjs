// Clients of Socket.IO 2, 3 and 4 in the same rooms: the stock clients, and that of 2 in a browser.
// (What version 3 can do by itself is in socketio3.test.mjs.)
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { after, afterEach, before, describe, test } from 'node:test';

import { io as io4 } from 'socket.io-client';
import { io as io3 } from 'socket.io-client-3';

import { launch, newPage } from './lib/browser.mjs';
import { ask, closeAll, connect, event, inbox, upgraded } from './lib/client.mjs';
import { client2, close2, connect2, connected2, inbox2 } from './lib/client2.mjs';
import { SHARDS, label, reference, roomcastOnly, sleep, slow, start, startFor, until, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const VERSIONS = createRequire(import.meta.url);
const INI = `${RULES}
[connect /moved]
refuse = "this has moved"
[connect /staff]
require = same {auth.token} secret else "not for you" {"to":"/lobby"}
[event both]
emit = room {1}, socket {2} except socket {3}: said {4..}
[event /greet whisper]
emit = socket {1}: whispered {2..}
[event /greet shoutOthers]
emit = all except sender: shouted {args}
`;
const OPTIONS = { 'socketio.allow_eio3': 'yes' };
const MODES = {
  'polling only': ['polling'],
  'websocket only': ['websocket'],
  upgrade: ['polling', 'websocket'],
};
const TEXTS = [
  '',
  'ünïcödé \u00a0 \u2028 \u2029 \ufeff \ufffd',
  '漢字 한국어 עברית 👩‍👩‍👧‍👦 𝒳 \u{10ffff}',
  'quotes " \\ / \b\f\n\r\t \u0000 \u001e \u007f 1:2 \\n',
];

// Sockets of the three versions that are not closed by lib/client.mjs.
const others = new Set();
async function connectBy(io, server, options) {
  const s = io(server.url, { forceNew: true, reconnection: false, ...options });
  others.add(s);
  await within(
    30_000,
    'connect',
    new Promise((done, fail) => s.once('connect', done).once('connect_error', fail)),
  );
  return s;
}

function closeOthers() {
  closeAll();
  close2();
  for (const s of others) s.disconnect();
  others.clear();
}

// A client of each version; where an upgrade is due, upgraded.
async function three(server, transports) {
  const all = await Promise.all([
    connect2(server, { transports }),
    connectBy(io3, server, { transports }),
    connectBy(io4, server, { transports }),
  ]);
  if (transports.length > 1) for (const s of all) await upgraded(s);
  return all;
}

const attached = (i) => ({ i, deep: [Buffer.of(i, 255, 0), { b: Buffer.alloc(3 * i, i) }], after: 'text' });

function mixed(server, transports) {
  test('versions are what they say', async () => {
    const [a, b, c] = await three(server(), transports);
    assert.deepEqual([a, b, c].map((s) => s.io.engine.transport.query.EIO), [3, 4, 4]);
    for (const [name, version] of Object.entries({ '': '4.8.3', '-3': '3.1.3', '-2': '2.5.0' }))
      assert.equal(VERSIONS(`socket.io-client${name}/package.json`).version, version);
    assert.equal(a.id, a.io.engine.id);
    assert.match(a.id, /^[A-Za-z0-9_-]{20}$/);
    assert.equal(a.io.engine.transport.name, transports.at(-1));
  });

  test('one room, one order, with texts and bytes both ways', async () => {
    const all = await three(server(), transports);
    const boxes = all.map((s) => inbox2(s, 'said'));
    await Promise.all(all.map((s) => ask(s, 'join', 'mixed')));
    const n = 12;
    for (let i = 0; i < n; i++)
      for (const [who, s] of all.entries()) s.emit('say', 'mixed', who, i, TEXTS[i % TEXTS.length], attached(i));
    await Promise.all(boxes.map((b) => b.wait(3 * n)));
    for (const box of boxes) {
      assert.deepEqual(box, boxes[0]);
      for (let who = 0; who < 3; who++) {
        const of = box.filter((m) => m[1] === who);
        assert.deepEqual(of, [...Array(n).keys()].map((i) => ['said', who, i, TEXTS[i % TEXTS.length], attached(i)]));
      }
    }
  });

  test('with and without the sender, all, one socket by its id', async () => {
    const all = await three(server(), transports);
    const boxes = all.map((s) => inbox2(s, 'said', 'shouted', 'whispered'));
    await Promise.all(all.map((s) => ask(s, 'join', 'r')));
    for (const [i, s] of all.entries()) await ask(s, 'tell', 'r', i);
    for (const s of all) for (const to of all) await ask(s, 'whisper', to.id, to === all[0]);
    for (const [i, s] of all.entries()) await ask(s, 'say', to(all, i).id, 'by room of an id');
    await ask(all[0], 'shoutOthers', Buffer.of(1));
    await Promise.all(boxes.map((b, i) => b.wait(i === 0 ? 6 : 7)));
    for (const [i, box] of boxes.entries()) {
      const count = (name, ...args) => box.filter((m) => JSON.stringify(m) === JSON.stringify([name, ...args])).length;
      for (let j = 0; j < 3; j++) assert.equal(count('said', j), i === j ? 0 : 1);
      assert.equal(count('whispered', i === 0), 3);
      assert.equal(count('said', 'by room of an id'), 1);
      assert.equal(count('shouted', Buffer.of(1)), i === 0 ? 0 : 1);
    }
    const stranger = await ask(all[1], 'whisper', 'A'.repeat(20), 'x');
    if (!reference) assert.equal(stranger.error, 'bad_target');
  });

  test('unions and exceptions, by ids of old and new sockets', async () => {
    const [a, b, c] = await three(server(), transports);
    const d = await connect2(server(), { transports });
    const boxes = [a, b, c, d].map((s) => inbox2(s, 'said'));
    for (const s of [a, c, d]) await ask(s, 'join', 'u');
    await ask(b, 'both', 'u', d.id, a.id, 'not a', Buffer.of(1));
    await ask(b, 'both', 'u', d.id, c.id, 'not c', Buffer.of(2));
    await ask(b, 'both', 'u', c.id, b.id, 'all');
    const got = [['not c', 'all'], [], ['not a', 'all'], ['not a', 'not c', 'all']];
    await Promise.all(boxes.map((box, i) => box.wait(got[i].length)));
    assert.deepEqual(boxes.map((box) => box.map((m) => m[1])), got);
    assert.deepEqual(boxes[0][0], ['said', 'not c', Buffer.of(2)]);
  });

  test('acks, with bytes, many at once, and refusals', async () => {
    const [a] = await three(server(), transports);
    assert.deepEqual(await ask(a, 'join', 'acks'), { ok: true });
    assert.deepEqual(await ask(a, 'ask', 'x', 1), ['x', 1]);
    assert.deepEqual(await ask(a, 'ask', { b: [Buffer.of(1, 2)] }), { b: [Buffer.of(1, 2)] });
    assert.deepEqual(await ask(a, 'ask', ...TEXTS), TEXTS);
    const many = await Promise.all([...Array(100).keys()].map((i) => ask(a, 'ask', i % 3 ? i : Buffer.of(i))));
    assert.deepEqual(many, [...Array(100).keys()].map((i) => (i % 3 ? i : Buffer.of(i))));
    assert.equal((await ask(a, 'sayMember', 'elsewhere', 1)).error, 'not_a_member');
    assert.equal((await ask(a, 'join')).error, 'missing_argument');
  });

  test('namespaces: the query is auth, the id is the engine’s', async () => {
    const old = client2(server(), { transports, nsp: '/greet?name=Ada%20%26%20Ünal' });
    const atOld = inbox2(old, 'welcome', 'arrived', 'whispered', 'shouted');
    await connected2(old);
    await atOld.wait(1);
    assert.equal(old.id, `/greet#${old.io.engine.id}`);
    assert.deepEqual(atOld, [['welcome', { id: old.id, name: 'Ada & Ünal' }]]);
    const now = await connect(server(), { transports, nsp: '/greet' });
    const atNow = inbox(now);
    await ask(now, 'whisper', old.id, 'to the old one', Buffer.of(7));
    await ask(old, 'whisper', now.id, 'to the new one', Buffer.of(8));
    await ask(old, 'shoutOthers', 1);
    await ask(now, 'shoutOthers', 2);
    await Promise.all([atOld.wait(4), atNow.wait(2)]);
    assert.deepEqual(atOld.slice(1), [
      ['arrived', now.id],
      ['whispered', 'to the old one', Buffer.of(7)],
      ['shouted', 2],
    ]);
    assert.deepEqual(atNow.filter(([name]) => name !== 'welcome'), [
      ['whispered', 'to the new one', Buffer.of(8)],
      ['shouted', 1],
    ]);
  });

  test('namespaces of one connection, one that there is not, and leaving', async () => {
    const root = await connect2(server(), { transports });
    const chat = await connected2(root.io.socket('/chat'));
    assert.equal(chat.id, `/chat#${root.id}`);
    assert.deepEqual(await ask(chat, 'ask', 1), 1);
    const nope = connected2(root.io.socket('/nope'));
    await assert.rejects(nope, (e) => assert.deepEqual(e.data, { message: 'Invalid namespace' }) ?? true);
    chat.disconnect();
    assert.deepEqual(await ask(root, 'ask', 2), 2);
    chat.connect();
    await event(chat, 'connect');
    assert.deepEqual(await ask(chat, 'ask', 3), 3);
    const gone = event(root, 'disconnect');
    root.emit('bye');
    assert.equal(await gone, 'io server disconnect');
    assert.deepEqual(await ask(chat, 'ask', 4), 4);
  });

  test('refusals', async () => {
    const refused = (nsp) => connected2(client2(server(), { transports, nsp })).then(assert.fail, (e) => e.data);
    assert.equal(await refused('/moved'), 'this has moved');
    assert.deepEqual(await refused('/staff?token=guess'), { to: '/lobby' });
    assert.deepEqual(await refused('/nope'), { message: 'Invalid namespace' });
    const s = await connect2(server(), { transports, nsp: '/staff?token=secret' });
    assert.equal(s.connected, true);
    const now = connect(server(), { transports, nsp: '/staff', auth: { token: 'guess' } });
    await assert.rejects(now, { message: 'not for you', data: { to: '/lobby' } });
  });

  test('reconnection: a new id, old rooms are left', async () => {
    const old = await connect2(server(), { transports, reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50 });
    const other = await connect(server(), { transports });
    const atOld = inbox2(old, 'said');
    await ask(old, 'join', 'again');
    const before = old.id;
    for (let i = 0; i < 3; i++) {
      const back = event(old, 'reconnect');
      old.io.engine.close();
      await back;
      await until('connected', () => old.connected);
    }
    assert.notEqual(old.id, before);
    await ask(other, 'say', 'again', 'missed');
    await ask(old, 'join', 'again');
    await ask(other, 'say', 'again', 'here');
    await atOld.wait(1);
    assert.deepEqual(atOld, [['said', 'here']]);
  });

  test('long messages', async () => {
    const old = await connect2(server(), { transports });
    for (const n of [125, 126, 65_535, 65_536, 300_000]) {
      assert.equal((await ask(old, 'ask', 'é'.repeat(n))).length, n);
      assert.deepEqual(await ask(old, 'ask', Buffer.alloc(n, n)), Buffer.alloc(n, n));
    }
  });
}

const to = (all, i) => all[(i + 1) % all.length];

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: INI, shards, options: OPTIONS })));
    afterEach(closeOthers);
    after(() => server.stop());

    for (const [mode, transports] of Object.entries(MODES))
      describe(`clients 2, 3 and 4 together, ${mode}`, () => mixed(() => server, transports));

    test('a crowd of all versions and transports in one room', async () => {
      const all = [];
      for (let i = 0; i < 5; i++)
        for (const transports of Object.values(MODES)) {
          all.push(await connect2(server, { transports }));
          all.push(await connectBy(i % 2 ? io3 : io4, server, { transports }));
        }
      const boxes = all.map((s) => inbox2(s, 'said'));
      await Promise.all(all.map((s) => ask(s, 'join', 'crowd')));
      for (const [i, s] of all.entries()) s.emit('say', 'crowd', i, Buffer.of(i));
      await Promise.all(boxes.map((b) => b.wait(all.length)));
      for (const box of boxes) assert.deepEqual(box, boxes[0]);
      assert.deepEqual(boxes[0].map((m) => m[1]).sort((a, b) => a - b), [...all.keys()]);
    });
  });
}

test('heartbeat of the stock client, over each transport', async (t) => {
  const server = await startFor(t, { ini: INI, shards: SHARDS.at(-1), options: { ...OPTIONS, 'socketio.ping_interval': '200ms', 'socketio.ping_timeout': '300ms' } });
  t.after(closeOthers);
  const all = await Promise.all(Object.values(MODES).map((transports) => connect2(server, { transports })));
  const pongs = all.map((s) => inbox2(s, 'pong'));
  const lost = all.map((s) => inbox2(s, 'disconnect'));
  await sleep(2000 * slow);
  assert.deepEqual(lost, [[], [], []]);
  for (const p of pongs) assert.ok(p.length >= 5, `${p.length} pongs`);
  for (const s of all) assert.equal(await ask(s, 'ask', 1), 1);
});

test('permessage-deflate with the stock client', async (t) => {
  const server = await startFor(t, { ini: INI, shards: SHARDS.at(-1), options: { ...OPTIONS, 'socketio.per_message_deflate': 'yes' } });
  t.after(closeOthers);
  const all = [];
  for (const transports of [['websocket'], ['polling', 'websocket']]) all.push(...(await three(server, transports)));
  const boxes = all.map((s) => inbox2(s, 'said'));
  await Promise.all(all.map((s) => ask(s, 'join', 'r')));
  const big = [TEXTS.join().repeat(500), Buffer.alloc(20_000, 'abc')];
  for (const s of all) s.emit('say', 'r', ...big);
  await Promise.all(boxes.map((b) => b.wait(all.length)));
  for (const box of boxes) for (const [, ...args] of box) assert.deepEqual(args, big);
  assert.match(String(all[0].io.engine.transport.ws.extensions), /permessage-deflate/);
});

test('questions to old clients', roomcastOnly, async (t) => {
  const ini = '[event join]\njoin = {1}\n[event poll]\nask = room {1} within 2s: poll {2}\n[event one]\nask = socket {1} within 2s: poll {2}\n';
  const server = await startFor(t, { ini, shards: 4, options: OPTIONS });
  t.after(closeOthers);
  const all = [...(await three(server, ['polling'])), ...(await three(server, ['websocket']))];
  for (const [i, s] of all.entries()) s.on('poll', (q, answer) => answer(i, typeof q === 'number' ? `re ${q}` : q));
  await Promise.all(all.map((s) => ask(s, 'join', 'r')));
  for (const s of all) {
    const { answers } = await ask(s, 'poll', 'r', 9);
    assert.deepEqual(answers.flat().filter((x) => typeof x === 'number').sort(), [0, 1, 2, 3, 4, 5], JSON.stringify(answers));
    for (const [i, other] of all.entries()) assert.deepEqual(await ask(s, 'one', other.id, Buffer.of(8)), [i, Buffer.of(8)]);
  }
});

// ---- in a browser, where polls carry bytes, and scripts ----

const BUNDLE = VERSIONS.resolve('socket.io-client-2/package.json').replace('package.json', 'dist/socket.io.js');

// Runs in the page: what a client makes of some options.
async function visit(options) {
  const socket = window.io(location.origin, { forceNew: true, reconnection: false, ...options });
  const once = (what, name) => new Promise((done) => what.once(name, (...args) => done(args)));
  const ask = (...args) => new Promise((done) => socket.emit(...args, (...answer) => done(answer)));
  await once(socket, 'connect');
  const { engine } = socket.io;
  if (engine.transport.name !== options.transports.at(-1)) await once(engine, 'upgrade');
  const data = new Uint8Array([0, 1, 254, 255, 10, 58]).buffer;
  const said = once(socket, 'said');
  await ask('join', 'page');
  const [back] = await ask('ask', { data, text: 'ü👍\u2028\n\\n\\' });
  await ask('say', 'page', 'from the page', data);
  const hex = (b) => [...new Uint8Array(b)].join();
  const [text, bytes] = await said;
  const answer = { transport: engine.transport.name, back: [hex(back.data), back.text], said: [text, hex(bytes)], id: socket.id === engine.id };
  const last = once(socket, 'said');
  window.heard = last.then(([t, b]) => [t, hex(b)]);
  return answer;
}

for (const shards of SHARDS.filter((n) => n !== 2)) {
  describe(`the browser's client 2, ${label(shards)}`, () => {
    let server;
    let browser;
    before(async () => {
      server = await start({ ini: INI, shards, options: OPTIONS });
      browser = await launch();
    });
    afterEach(closeOthers);
    after(async () => {
      await browser.close();
      await server.stop();
    });

    const WAYS = {
      'polling, bytes as bytes': { transports: ['polling'], octets: true },
      'polling, base64': { transports: ['polling'], forceBase64: true },
      'polling, JSONP': { transports: ['polling'], forceJSONP: true },
      websocket: { transports: ['websocket'] },
      'websocket, base64': { transports: ['websocket'], forceBase64: true },
      upgrade: { transports: ['polling', 'websocket'] },
      'JSONP, then WebSocket': { transports: ['polling', 'websocket'], forceJSONP: true },
    };
    for (const [way, { octets, ...options }] of Object.entries(WAYS))
      test(way, async () => {
        const { page, context } = await newPage(browser);
        const types = new Set();
        page.on('request', (r) => r.method() === 'POST' && types.add(`> ${r.headers()['content-type']}`));
        page.on('response', (r) => r.url().includes('EIO=3') && types.add(`< ${r.headers()['content-type']}`));
        await page.goto(`${server.url}/socket.io/socket.io.js`); // a page that both servers have
        await page.addScriptTag({ path: BUNDLE });
        const other = await connect(server, { transports: ['websocket'] });
        const atOther = inbox(other);
        await ask(other, 'join', 'page');
        const data = '0,1,254,255,10,58';
        assert.deepEqual(await within(30_000, 'the page', page.evaluate(visit, options)), {
          transport: options.transports.at(-1),
          back: [data, 'ü👍\u2028\n\\n\\'],
          said: ['from the page', data],
          id: true,
        });
        await atOther.wait(1);
        assert.deepEqual(atOther[0], ['said', 'from the page', Buffer.from(data.split(',').map(Number))]);
        await ask(other, 'say', 'page', 'to the page', Buffer.of(9, 8));
        assert.deepEqual(await page.evaluate(() => window.heard), ['to the page', '9,8']);
        assert.equal(types.has('> application/octet-stream'), !!octets, [...types].join());
        assert.equal(types.has('< application/octet-stream'), !!octets, [...types].join());
        await context.close();
      });
  });
}
