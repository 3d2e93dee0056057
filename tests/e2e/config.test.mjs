// The command line, the INI file, start, end and log of the daemon. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { run, start as startDaemon, tempDir, top } from './lib/daemon.mjs';
import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const range = (n) => [...Array(n).keys()];

function file(name, text) {
  const path = join(tempDir(), name);
  writeFileSync(path, text);
  return path;
}

describe('command line', roomcastOnly, () => {
  test('--version, --help', async () => {
    for (const flag of ['--version', '-V']) {
      const r = await run([flag]);
      assert.equal(r.code, 0);
      assert.match(r.stdout, /^roomcast \d+\.\d+\.\d+/);
    }
    for (const flag of ['--help', '-h']) {
      const r = await run([flag]);
      assert.equal(r.code, 0);
      for (const word of ['--check', '--print-config', 'ping_interval', 'static_root', 'max_queue'])
        assert.ok(r.stdout.includes(word), word);
    }
  });

  test('wrong usage: exit 2 and why', async () => {
    for (const args of [
      ['--nonsense'],
      ['-x'],
      ['extra'],
      ['-c'],
      ['-o', 'nonsense', '--check'],
      ['-o', 'server=1', '--check'],
      ['-o', 'server.nothing=1', '--check'],
    ]) {
      const r = await run(args);
      assert.equal(r.code, 2, args.join(' '));
      assert.ok(r.stderr.length > 0);
      assert.equal(r.stdout, '');
    }
  });

  test('--check', async () => {
    const good = await run(['-c', file('good.ini', RULES), '--check']);
    assert.equal(good.code, 0, good.stderr);
    const missing = await run(['-c', '/nowhere/roomcast.ini', '--check']);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /\/nowhere\/roomcast\.ini.*No such file/);
    const folder = await run(['-c', tempDir(), '--check']);
    assert.equal(folder.code, 2);
  });

  test('--check tries what the configuration names, and leaves it as it is', async (t) => {
    const dir = tempDir();
    const there = join(dir, 'there');
    mkdirSync(there);
    writeFileSync(join(dir, 'file'), '');
    const lines = [
      '[store]', 'engine = sqlite', `path = ${dir}/none/x.sqlite`,
      '[server]', `listen = unix:${dir}/file, 203.0.113.1:1, unix:/run/roomcast-test-none/x.sock`,
      '[admin]', 'listen = 127.0.0.1:0', `socket = ${dir}/none/c.sock`,
    ];
    const bad = file('tried.ini', `${lines.join('\n')}\n`);
    const r = await run(['-c', bad, '--check']);
    assert.equal(r.code, 2);
    const create = 'No such file or directory: create it, or correct the path';
    assert.deepEqual(r.stderr.trim().split('\n'), [
      `${bad}:3: [store] path = ${dir}/none/x.sqlite: ${dir}/none: ${create}`,
      `${bad}:5: listen on unix:${dir}/file: there is another kind of file: remove it, or choose another path`,
      `${bad}:5: listen on 203.0.113.1:1: Cannot assign requested address; `
        + 'this machine has no such address: choose one of its own, or * for all',
      `${bad}:8: [admin] socket = ${dir}/none/c.sock: ${dir}/none: ${create}`,
      `warning: ${bad}:5: listen on unix:/run/roomcast-test-none/x.sock: there is no folder /run/roomcast-test-none yet: `
        + 'systemd makes it with the service (RuntimeDirectory), or create it',
    ]);

    // What a server that runs has is no fault: its configuration is what is checked most of all.
    const ini = `[store]\nengine = sqlite\npath = ${there}/x.sqlite\n[admin]\nsocket = ${there}/c.sock\n`;
    const running = `${ini}[listen l]\naddress = unix:${there}/l.sock\n`;
    const server = await startFor(t, { ini: running, options: { 'admin.listen': '127.0.0.1:0' }, listeners: 2 });
    const before = readdirSync(there).sort();
    const metrics = Number(/metrics on http:\/\/127\.0\.0\.1:(\d+)/.exec(server.stderr())[1]);
    const used = file('used.ini', `${ini}listen = 127.0.0.1:${metrics}\n[server]\nlisten = 127.0.0.1:${server.port}, unix:${there}/l.sock\n`);
    const again = await run(['-c', used, '--check']);
    const inUse = 'in use: by a server that runs, or by another program';
    assert.deepEqual([again.code, again.stdout], [0, `${used}: ok\n`], again.stderr);
    assert.deepEqual(again.stderr.trim().split('\n'), [
      `warning: ${used}:5: [admin] socket = ${there}/c.sock: ${inUse}`,
      `warning: ${used}:6: [admin] listen = 127.0.0.1:${metrics}: ${inUse}`,
      `warning: ${used}:8: listen on 127.0.0.1:${server.port}: ${inUse}`,
      `warning: ${used}:8: listen on unix:${there}/l.sock: ${inUse}`,
    ]);
    assert.deepEqual(readdirSync(there).sort(), before);
    const fresh = join(dir, 'fresh');
    mkdirSync(fresh);
    const good = await run(['-o', `admin.socket=${fresh}/c`, '-o', 'store.engine=sqlite', '-o', `store.path=${fresh}/s`,
      '-o', `server.listen=unix:${fresh}/l, 127.0.0.1:0`, '-o', 'admin.listen=:0', '--check']);
    assert.deepEqual([good.code, good.stdout, good.stderr], [0, 'defaults: ok\n', '']);
    assert.deepEqual(readdirSync(fresh), []);
    // A start tells the line, too.
    const start = await run(['-c', used, '-o', 'server.listen=127.0.0.1:0', '-o', 'admin.socket=', '-o', 'store.engine=none']);
    assert.equal(start.code, 1);
    assert.match(start.stderr, new RegExp(`roomcast: ${used}:6: \\[admin\\] listen = 127\\.0\\.0\\.1:${metrics}: Address already in use; another`));
  });

  test('a fault hides no other, and they come by line', async () => {
    const lines = [
      '[listen a]', 'address = 127.0.0.1:0', 'tls = yes', 'tls_min = 1.1', 'certificate = /nowhere/c.pem', 'key = /nowhere/k.pem',
      '[auth]', 'mode = requird', 'secret_file = /nowhere/secret', 'algorithms = HS1',
      '[limits]', 'max_rooms = x',
      '[event e]', 'emit = nobody: x',
      '[server]', 'static_root = /nowhere/web',
    ];
    const bad = file('hidden.ini', `${lines.join('\n')}\n`);
    const r = await run(['-c', bad, '-o', 'log.level=loud', '--check']);
    assert.equal(r.code, 2);
    const told = r.stderr.trim().split('\n').map((l) => (l.startsWith(`${bad}:`) ? Number(l.slice(bad.length + 1).split(':')[0]) : l));
    assert.deepEqual(told.slice(0, -1), [4, 5, 8, 9, 10, 12, 14, 16], r.stderr);
    assert.match(told.at(-1), /^command line: \[log\] level = loud/);
  });

  test('the files that are shipped are good', async () => {
    for (const name of [
      'roomcast.ini',
      'examples/seed-000.ini',
      'examples/seed-002.ini',
      'examples/seed-003.ini',
      'examples/seed-004.ini',
    ]) {
      const r = await run(['-c', join(top, 'conf', name), '-o', 'server.listen=127.0.0.1:0', '--check']);
      assert.equal(r.code, 0, `${name}: ${r.stderr}`);
      assert.match(r.stderr, name === 'roomcast.ini' ? /^\S+ warn  auth\.dev_tokens_path .*\n$/ : /^$/);
    }
  });

  test('--print-config loads to the same', async () => {
    const ini = `${RULES}[endpoint /e]\nprotocol = echo\nprefix = "  said: "\n[event 0 odd; name = x]\njoin = "a b {1}"\n`;
    const options = [
      '-o',
      'socketio.ping_interval=300ms',
      '-o',
      'server.title= spaced ',
      '-o',
      'socketio.cors_origin=https://a.example, https://b.example',
      '-o',
      'limits.max_queue=64KiB',
    ];
    const first = await run(['-c', file('one.ini', ini), ...options, '--print-config']);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /^ping_interval = 300ms$/m);
    assert.match(first.stdout, /^max_queue = 64KiB$/m);
    assert.match(first.stdout, /^listen = 0\.0\.0\.0:3000$/m);
    const second = await run(['-c', file('two.ini', first.stdout), '--print-config']);
    assert.equal(second.stdout, first.stdout);
    assert.equal((await run(['-c', file('three.ini', first.stdout), '--check'])).code, 0);
  });
});

describe('INI faults', roomcastOnly, () => {
  test('all at once, each with file, line, key, value and what was expected; exit 2', async () => {
    const lines = [
      ['[server]'],
      ['listen = nowhere', /listen.*nowhere.*expected/],
      ['shards = 65', /shards.*65.*expected/],
      ['bogus = 1', /bogus.*unknown key/],
      ['[sockets]', /sockets.*unknown section/],
      ['[socketio]'],
      ['ping_interval = 25 parsecs', /ping_interval.*25 parsecs.*expected a duration/],
      ['ping_timeout = 25', /ping_timeout.*25.*expected a duration/],
      ['max_payload = big', /max_payload.*big.*expected/],
      ['transports = polling, pigeon', /transports.*pigeon/],
      ['allow_upgrades = maybe', /allow_upgrades.*maybe.*expected/],
      ['ack_policy = sometimes', /ack_policy.*sometimes.*expected/],
      ['cors_origin = https://a.example/path', /cors_origin.*expected/],
      ['path = socket.io', /path.*socket\.io.*expected/],
      ['[limits]'],
      ['max_args = 33', /max_args.*33.*expected/],
      ['max_attachments = -1', /max_attachments.*-1.*expected/],
      ['[event]', /event.*expected/],
      ['[event a]'],
      ['fly = 1', /fly.*unknown key/],
      ['join = {17}', /\{17\}/],
      ['join =', /join/],
      ['emit = room: x', /emit.*expected/],
      ['emit = nobody: x', /emit.*nobody/],
      ['emit = all x', /emit/],
      ['emit = all: x {"a":', /emit/],
      ['emit = all: connect', /connect/],
      ['require = admin', /require.*admin/],
      ['ack = {unknown}', /unknown/],
      ['disconnect = everybody', /disconnect.*everybody/],
      ['watch = birds', /watch.*birds/],
      ['[event connect]', /connect/],
      ['[endpoint /p]', /protocol/],
      ['[endpoint nopath]', /endpoint.*nopath/],
      ['[endpoint /q]'],
      ['protocol = gopher', /protocol.*gopher.*expected/],
      ['[event a]', /event a.*(again|twice|first|line)/i],
      ['nonsense without an equals sign', /nonsense/],
    ];
    const path = file('bad.ini', `${lines.map(([text]) => text).join('\n')}\n`);
    for (const args of [['--check'], []]) {
      const r = await run(['-c', path, ...args]);
      assert.equal(r.code, 2);
      const told = r.stderr.trim().split('\n');
      lines.forEach(([text, wanted], i) => {
        if (!wanted) return;
        const at = told.find((l) => l.startsWith(`${path}:${i + 1}: `) && wanted.test(l));
        assert.ok(at, `line ${i + 1}, ${text}: not told in\n${r.stderr}`);
      });
      const known = lines.filter(([, wanted]) => wanted).length;
      assert.ok(told.length <= known + 3, `more faults than there are:\n${r.stderr}`);
    }
  });

  test('faults on the command line', async () => {
    const r = await run([
      '-o',
      'socketio.ping_interval=soon',
      '-o',
      'limits.max_args=0',
      '-o',
      'event x.emit=nobody: x',
    ]);
    assert.equal(r.code, 2);
    for (const word of ['command line', 'ping_interval', 'max_args', 'nobody'])
      assert.ok(r.stderr.includes(word), r.stderr);
  });

  test('rules on the command line work', async (t) => {
    const server = await startFor(t, {
      args: ['-o', 'event hi.ack={"hi":{1}}', '-o', 'namespace /n.='].slice(0, 2),
    });
    const s = await connect(server);
    assert.deepEqual(await ask(s, 'hi', 'x'), { hi: 'x' });
    closeAll();
  });
});

describe('start', roomcastOnly, () => {
  const oneLine = (r, wanted) => {
    assert.notEqual(r.code, 0);
    assert.notEqual(r.code, null, 'killed');
    const lines = r.stderr
      .trim()
      .split('\n')
      .filter((l) => !/ info /.test(l));
    assert.equal(lines.length, 1, r.stderr);
    assert.match(lines[0], wanted);
  };

  test('a port in use', async () => {
    const other = createServer();
    await new Promise((done) => other.listen(0, '127.0.0.1', done));
    const { port } = other.address();
    oneLine(
      await run(['-o', `server.listen=127.0.0.1:${port}`]),
      new RegExp(`127\\.0\\.0\\.1:${port}.*in use`),
    );
    oneLine(
      await run(['-o', `server.listen=127.0.0.1:0, 127.0.0.1:${port}`]),
      new RegExp(`127\\.0\\.0\\.1:${port}.*in use`),
    );
    other.close();
  });

  test('an address that is not ours', async () => {
    oneLine(await run(['-o', 'server.listen=192.0.2.1:0']), /192\.0\.2\.1.*(assign|address)/);
  });

  test('a static_root that cannot be read', async () => {
    const listen = ['-o', 'server.listen=127.0.0.1:0'];
    oneLine(
      await run([...listen, '-o', 'server.static_root=/nowhere/at/all']),
      /static_root.*\/nowhere\/at\/all.*No such file/,
    );
    const path = file('not-a-folder', 'x');
    oneLine(await run([...listen, '-o', `server.static_root=${path}`]), /static_root.*(folder|directory)/i);
    const dir = tempDir();
    mkdirSync(join(dir, 'closed'));
    chmodSync(join(dir, 'closed'), 0);
    if (process.getuid() !== 0)
      oneLine(await run([...listen, '-o', `server.static_root=${dir}`]), /static_root.*denied/i);
  });

  for (const shards of [1, 2])
    test(`several listeners; ${label(shards)}`, async (t) => {
      const server = await startDaemon({
        ini: RULES,
        listen: '127.0.0.1:0, 127.0.0.2:0, [::1]:0',
        listeners: 3,
        shards,
      });
      t.after(() => server.stop());
      assert.equal(server.ports.length, 3);
      assert.equal(server.stderr().match(/listening on 127\.0\.0\.1:\d+$/gm).length, 1);
      assert.equal(server.stderr().match(/listening on \[::1\]:\d+$/gm).length, 1);
      const a = await connect({ url: `http://127.0.0.1:${server.ports[0]}` });
      const b = await connect({ url: `http://127.0.0.2:${server.ports[1]}` });
      const c = await connect({ url: `http://[::1]:${server.ports[2]}` });
      const atC = inbox(c);
      await ask(c, 'join', 'all over');
      await ask(a, 'say', 'all over', 1);
      await ask(b, 'say', 'all over', 2);
      await atC.wait(2);
      closeAll();
    });

  test('the default configuration serves the page and its vocabulary', async (t) => {
    const server = await startFor(t, {
      conf: join(top, 'conf/roomcast.ini'),
      shards: 2,
      options: { 'store.path': join(tempDir(), 'messages') },
    });
    const page = await request(server, { path: '/' });
    assert.equal(page.status, 200);
    assert.match(page.body, /<title>[^<{]*roomcast/);
    const a = await connect(server, { auth: { name: 'Ada' } });
    const b = await connect(server);
    const [atA, atB] = [a, b].map(inbox);
    assert.deepEqual(await ask(a, 'joinRoom', 'r'), { ok: true });
    assert.deepEqual(await ask(b, 'joinRoom', 'r'), { ok: true });
    const sent = await ask(a, 'sendMessageToRoom', 'r', 'hi <b>');
    assert.equal(sent.ok, true);
    assert.deepEqual(await ask(b, 'leaveRoom', 'r'), { ok: true });
    await atA.wait(4);
    const texts = (box) => box.map((m) => m[1]);
    assert.deepEqual(texts(atA), [
      'New member joined the room: r',
      'New member joined the room: r',
      '[r] hi <b>',
      'A member left the room: r',
    ]);
    assert.deepEqual(texts(atB), ['New member joined the room: r', '[r] hi <b>']);
    const [, , { time, ...more }] = atB[1];
    assert.deepEqual(more, { room: 'r', type: 'message', text: 'hi <b>', id: a.id, name: 'Ada', user: '', client: null, message: sent.id });
    assert.equal(time, sent.time);
    assert.ok(Math.abs(Date.now() - time) < 60_000);
    assert.equal(atB[0][2].name, null);
    assert.equal((await ask(b, 'sendMessageToRoom', 'r', 'x')).error, 'not_a_member');
    assert.equal((await ask(b, 'history', 'r')).error, 'not_a_member');
    assert.deepEqual((await ask(a, 'history', 'r')).messages.map(({ id }) => id), [sent.id]);
    assert.deepEqual(await ask(a, 'presence', 'r'), { ok: true, room: 'r', count: 0, users: [], more: false });
    assert.equal((await ask(a, 'message', { conversationType: 'private', receiverId: 'b', content: 'x' })).error, 'no_user');
    closeAll();
  });
});

describe('end', roomcastOnly, () => {
  afterEach(closeAll);
  const MODES = [['polling'], ['websocket'], ['polling', 'websocket']];

  for (const shards of SHARDS) {
    test(`SIGTERM: clients lose the transport, not the namespace, and come back; ${label(shards)}`, async (t) => {
      const first = await startFor(t, { ini: RULES, shards });
      const sockets = await Promise.all(
        range(9).map((i) =>
          connected(
            client(first, {
              transports: MODES[i % 3],
              reconnection: true,
              reconnectionDelay: 100,
              reconnectionDelayMax: 300,
            }),
          ),
        ),
      );
      // Not in the middle of an upgrade: the stock client may then wait for its ping timeout.
      await Promise.all(sockets.filter((_, i) => i % 3 === 2).map(upgraded));
      const raw = await Socket.open(first, { namespace: '/' });
      const poll = await Polling.open(first, { namespace: '/' });
      const held = poll.get();
      await held.sent;
      await sleep(30);
      const ends = sockets.map((s) => event(s, 'disconnect'));
      const from = Date.now();
      await first.stop();
      assert.ok(Date.now() - from < 7000 * slow, 'nothing held it up');
      for (const [reason] of await Promise.all(ends)) assert.match(reason, /^transport (close|error)$/);
      const { code } = await raw.close();
      assert.ok([1001, 1005].includes(code), String(code));
      assert.deepEqual(raw.queue, [], 'no 41');
      const r = await held.catch(() => null);
      if (r) assert.ok(r.body === '1' || r.status === 503, r.body);
      await assert.rejects(Wire.open(first), 'no longer listening');
      const second = await startFor(t, { ini: RULES, shards, listen: `127.0.0.1:${first.port}` });
      await until('all to be back', () => sockets.every((s) => s.connected), 20_000);
      assert.deepEqual(await ask(sockets[0], 'ask', second.port), first.port);
    });
  }

  for (const shards of SHARDS)
    test(`the port is free while a client is still being waited for; ${label(shards)}`, async (t) => {
      const first = await startFor(t, { ini: RULES, shards });
      const stays = createConnection({ port: first.port, host: '127.0.0.1', allowHalfOpen: true });
      stays.write(
        `GET ${eioPath({ transport: 'websocket' })} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n` +
          'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n' +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      );
      await once(stays, 'data');
      const end = first.stop(); // the client is given 2 s to answer the close frame
      await until('the port to be free', () =>
        Wire.open(first).then(
          (w) => w.destroy(),
          () => true,
        ),
      );
      const second = await startFor(t, { ini: RULES, shards, listen: `127.0.0.1:${first.port}` });
      assert.doesNotThrow(() => process.kill(first.pid, 0), 'the first one is still there');
      assert.equal((await request(second, { path: '/healthz' })).status, 200);
      stays.destroy();
      await end;
    });

  test('SIGINT does the same', async (t) => {
    const server = await startFor(t, { ini: RULES });
    const s = await connect(server);
    await upgraded(s);
    const end = event(s, 'disconnect');
    await server.stop('SIGINT');
    assert.match((await end)[0], /^transport/);
  });

  test('a client that does not read holds it up for shutdown_timeout at most', async (t) => {
    const server = await startFor(t, {
      ini: RULES,
      shards: 2,
      options: { 'server.shutdown_timeout': '700ms' },
    });
    const deaf = await RawWs.open(server, eioPath({ transport: 'websocket' }));
    await deaf.send(1, '40');
    await deaf.frame();
    await deaf.frame();
    deaf.wire.socket.pause();
    const s = await connect(server, { transports: ['websocket'] });
    const big = 'x'.repeat(500_000);
    for (let i = 0; i < 6; i++) await ask(s, 'shoutOthers', big);
    const post = await Wire.open(server);
    await post.write(`POST ${eioPath({ sid: 'x' })} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n`);
    const from = Date.now();
    await server.stop();
    assert.ok(Date.now() - from < 7000 * slow, `${Date.now() - from} ms`);
    deaf.destroy();
    post.destroy();
  });

  test('what was published before is delivered before the end', async (t) => {
    const server = await startFor(t, { ini: RULES, shards: 4 });
    const all = await Promise.all(range(6).map(() => connect(server, { transports: ['websocket'] })));
    const boxes = all.map(inbox);
    await Promise.all(all.map((s) => ask(s, 'join', 'end')));
    for (let i = 0; i < 100; i++) all[i % 6].emit('say', 'end', i);
    await Promise.all(all.map((s) => ask(s, 'ask')));
    await server.stop();
    await until('all to be told', () => all.every((s) => !s.connected));
    for (const box of boxes) assert.ok(box.length === 100, `${box.length} of 100`);
  });
});

describe('log', roomcastOnly, () => {
  test('each end of a connection has one line with its reason', async (t) => {
    const options = { 'socketio.ping_interval': '200ms', 'socketio.ping_timeout': '200ms' };
    const server = await startFor(t, { ini: RULES, shards: 2, options });
    const mute = await Socket.open(server);
    mute.pong = false;
    mute.ws.removeAllListeners('message');
    const bad = await Socket.open(server, { namespace: '/' });
    bad.send('42["connect"]');
    const left = await Socket.open(server, { namespace: '/' });
    left.ws.close();
    await Promise.all([mute, bad, left].map((ws) => ws.close()));
    await until('three lines', () => (server.stderr().match(/closed reason=/g) ?? []).length >= 3);
    const lines = server
      .stderr()
      .split('\n')
      .filter((l) => / closed reason=/.test(l));
    assert.equal(lines.length, 3, lines.join('\n'));
    for (const wanted of ['ping_timeout', 'parse_error'])
      assert.equal(lines.filter((l) => l.includes(`reason=${wanted}`)).length, 1, lines.join('\n'));
    for (const l of lines) assert.match(l, /^\S+Z info .*shard=\d+ conn=\S+ .*peer=127\.0\.0\.1:\d+ /);
  });

  for (const shards of SHARDS)
    test(`a storm of connections does not fill it; ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini: RULES, shards });
      const storm = async (times, bytes) => {
        let left = times;
        await Promise.all(range(20).map(async () => {
          for (; left-- > 0; ) {
            const socket = createConnection({ port: server.port, host: '127.0.0.1' }).on('error', () => {});
            await once(socket, 'connect');
            const end = once(socket.resume(), 'close');
            if (bytes) socket.write(bytes);
            else socket.end();
            await end;
          }
        }));
      };
      await until('it has told of its start', () => server.stderr().includes(' configuration='));
      const quiet = server.stderr().length;
      await storm(300, '');
      await storm(300, 'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      await storm(300, 'GET /nothing HTTP/1.0\r\n\r\n');
      await sleep(100);
      assert.equal(server.stderr().slice(quiet), '', 'ends as they should be');
      const lines = () => (server.stderr().match(/ http closed reason=bad_request$/gm) ?? []).length;
      const begun = Date.now();
      const BAD = 1000;
      await storm(BAD, 'what is this\r\n\r\n');
      const seconds = (Date.now() - begun) / 1000;
      await until('some are told', () => lines() >= 20);
      await sleep(1100);
      const told = () => [...server.stderr().matchAll(/ http closed: (\d+) more/g)].reduce((n, m) => n + Number(m[1]), 0);
      // What was left out is counted in the next line, of each shard.
      let more = 0;
      await until('all are told of', async () => {
        more += 10;
        await storm(10, 'what is this\r\n\r\n');
        await sleep(1100);
        return lines() + told() >= BAD;
      }, 60_000);
      assert.ok(lines() <= 20 * shards * (seconds + 2) + more, `${lines()} lines in ${seconds} s`);
      assert.ok(lines() + told() <= BAD + more);
    });

  test('a peer cannot forge lines', async (t) => {
    const server = await startFor(t, { ini: RULES, options: { 'log.level': 'debug' } });
    const ws = await Socket.open(server, { namespace: '/' });
    ws.send('42["evil\\nlistening on 9.9.9.9:9"]', '40/x\nlistening on 9.9.9.9:9', '421["ask"]');
    await ws.next();
    await request(server, { path: '/%0Alistening%20on%209.9.9.9:9' });
    ws.destroy();
    await sleep(100);
    assert.equal(server.stderr().match(/^listening on 9/m), null);
  });
});
