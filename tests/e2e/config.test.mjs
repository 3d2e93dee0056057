// The command line, the INI file, limits, start and end of the daemon. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

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

  test('the files that are shipped are good', async () => {
    for (const name of [
      'roomcast.ini',
      'examples/seed-000.ini',
      'examples/seed-002.ini',
      'examples/seed-003.ini',
      'examples/seed-004.ini',
    ]) {
      const r = await run(['-c', join(top, 'conf', name), '--check']);
      assert.equal(r.code, 0, `${name}: ${r.stderr}`);
      assert.equal(r.stderr, '');
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

  test('several listeners', async (t) => {
    const server = await startDaemon({
      ini: RULES,
      listen: '127.0.0.1:0, 127.0.0.2:0, [::1]:0',
      listeners: 3,
      shards: 2,
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
    const server = await startFor(t, { conf: join(top, 'conf/roomcast.ini'), shards: 2 });
    const page = await request(server, { path: '/' });
    assert.equal(page.status, 200);
    assert.match(page.body, /<title>[^<{]*roomcast/);
    const a = await connect(server, { auth: { name: 'Ada' } });
    const b = await connect(server);
    const [atA, atB] = [a, b].map(inbox);
    assert.deepEqual(await ask(a, 'joinRoom', 'r'), { ok: true });
    assert.deepEqual(await ask(b, 'joinRoom', 'r'), { ok: true });
    assert.deepEqual(await ask(a, 'sendMessageToRoom', 'r', 'hi <b>'), { ok: true });
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
    assert.deepEqual(more, { room: 'r', type: 'message', text: 'hi <b>', id: a.id, name: 'Ada' });
    assert.ok(Math.abs(Date.now() - time) < 60_000);
    assert.equal(atB[0][2].name, null);
    assert.equal((await ask(b, 'sendMessageToRoom', 'r', 'x')).error, 'not_a_member');
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
      assert.ok(Date.now() - from < 3000 * slow, 'nothing held it up');
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
    assert.ok(Date.now() - from < 3000 * slow, `${Date.now() - from} ms`);
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

describe('limits', roomcastOnly, () => {
  afterEach(closeAll);

  test('rooms per socket, length of a room name', async (t) => {
    const options = { 'limits.max_rooms_per_socket': '3', 'limits.max_room_length': '10' };
    const server = await startFor(t, { ini: RULES, shards: 2, options });
    const s = await connect(server);
    const join = async (room) => (await ask(s, 'join', room)).error ?? 'ok';
    const results = [];
    for (const r of ['a', 'b', 'c', 'd', 'a']) results.push(await join(r));
    // The room of its own id counts or not; re-joining costs nothing.
    assert.equal(results.at(-1), 'ok');
    const refused = results.filter((r) => r === 'too_many_rooms').length;
    assert.ok(refused >= 1 && refused <= 2, results.join());
    await ask(s, 'leave', 'a');
    assert.equal(await join('e'), 'ok');
    await ask(s, 'leave', 'e');
    assert.equal(await join('1234567890'), 'ok');
    assert.equal(await join('12345678901'), 'bad_room');
    assert.equal(await join('ééééé1'), 'bad_room', 'bytes count');
    const other = await connect(server);
    assert.equal(await join(other.id), 'bad_room');
  });

  test("another client's id is no room to join", async (t) => {
    const server = await startFor(t, { ini: RULES, shards: 2 });
    const [a, b] = await Promise.all([connect(server), connect(server)]);
    const atA = inbox(a);
    assert.equal((await ask(a, 'join', b.id)).error, 'bad_room');
    await ask(b, 'say', b.id, 'to myself');
    await ask(b, 'say', a.id, 'to a');
    await atA.wait(1);
    await sleep(30);
    assert.deepEqual(atA, [['said', 'to a']]);
  });

  test('rooms of a shard', async (t) => {
    const server = await startFor(t, { ini: RULES, shards: 1, options: { 'limits.max_rooms': '4' } });
    const s = await connect(server);
    const results = [];
    for (const r of range(8)) results.push((await ask(s, 'join', `r${r}`)).error ?? 'ok');
    assert.ok(results.includes('ok') && results.at(-1) === 'too_many_rooms', results.join());
    for (const r of range(8)) await ask(s, 'leave', `r${r}`);
    assert.deepEqual(await ask(s, 'join', 'later'), { ok: true }, 'empty rooms are freed');
  });

  test('namespaces per connection', async (t) => {
    const ini = `${RULES}${range(4)
      .map((i) => `[namespace /n${i}]\n`)
      .join('')}`;
    const server = await startFor(t, { ini, options: { 'limits.max_sockets': '2' } });
    const ws = await Socket.open(server, { namespace: '/' });
    await ws.join('/n0');
    ws.send('40/n1,');
    const answer = await ws.next().catch(() => null);
    if (answer) assert.match(answer, /^44\/n1,\{"message":/);
    else await ws.close();
    if (answer) {
      ws.send('41/n0,', '40/n1,');
      assert.match(await ws.next(), /^40\/n1,/);
    }
    ws.destroy();
  });

  test('connections: the surplus is refused, the others are served, and room is made again', async (t) => {
    for (const shards of [1, 2]) {
      const server = await startFor(t, { ini: RULES, shards, options: { 'limits.max_connections': '10' } });
      const held = [];
      for (let i = 0; i < 10; i++) held.push(await Socket.open(server, { namespace: '/' }));
      for (let i = 0; i < 5; i++) {
        const r = await request(server, { path: '/healthz' }).catch((e) => e);
        assert.ok(r instanceof Error || r.status === 503, String(r.status));
      }
      held[0].send('421["ask"]');
      assert.equal(await held[0].next(), '431[]');
      held.slice(0, 3).forEach((ws) => ws.destroy());
      await until(
        'room for more',
        async () => (await request(server, { path: '/healthz' }).catch(() => ({}))).status === 200,
      );
      held.forEach((ws) => ws.destroy());
    }
  });

  test('more clients than descriptors: no spinning, and service goes on after', async (t) => {
    const server = await startFor(t, {
      ini: RULES,
      shards: 2,
      files: 120,
      options: { 'limits.max_connections': '5000' },
    });
    const wires = (await Promise.allSettled(range(200).map(() => Wire.open(server)))).flatMap(
      (w) => w.value ?? [],
    );
    await sleep(200);
    const cpu = () => {
      const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1].split(' ');
      return (Number(fields[11]) + Number(fields[12])) * 10; // ms
    };
    const before = cpu();
    await sleep(1000);
    const spent = cpu() - before;
    assert.ok(spent < 300, `${spent} ms of CPU in a second of waiting`);
    for (const w of wires) w.destroy();
    await until(
      'service',
      async () => (await request(server, { path: '/healthz' }).catch(() => ({}))).status === 200,
    );
  });

  test('a client too slow to read is closed; the others do not notice', async (t) => {
    for (const shards of [1, 2]) {
      const server = await startFor(t, { ini: RULES, shards, options: { 'limits.max_queue': '256KiB' } });
      const deaf = await RawWs.open(server, eioPath({ transport: 'websocket' }));
      await deaf.send(1, '40');
      for (let i = 0; i < 2; i++) await deaf.frame();
      await deaf.send(1, '421["join","flood"]');
      await deaf.frame();
      deaf.wire.socket.pause();
      const [a, b] = await Promise.all([
        connect(server, { transports: ['websocket'] }),
        connect(server, { transports: ['websocket'] }),
      ]);
      await Promise.all([ask(a, 'join', 'flood'), ask(b, 'join', 'flood')]);
      const atB = inbox(b);
      const text = 'x'.repeat(50_000);
      for (let i = 0; i < 400; i++) {
        a.emit('say', 'flood', i, text); // 20 MB in all
        if (i % 10 === 9) await ask(a, 'ask');
      }
      await atB.wait(400, 30_000);
      assert.deepEqual(
        atB.map((m) => m[1]),
        range(400),
      );
      await until('the slow one to be closed', () =>
        /closed reason=\S*(slow|queue)\S*/.test(server.stderr()),
      );
      deaf.destroy();
    }
  });

  test('a polling client that does not come is closed at its limit, too', async (t) => {
    const server = await startFor(t, { ini: RULES, shards: 2, options: { 'limits.max_queue': '64KiB' } });
    const lazy = await Polling.open(server, { namespace: '/' });
    await lazy.post('42["join","pile"]');
    const a = await connect(server, { transports: ['websocket'] });
    await until('the room', async () => (await ask(a, 'say', 'pile', 'x'), true));
    const text = 'x'.repeat(20_000);
    for (let i = 0; i < 20; i++) await ask(a, 'say', 'pile', text);
    // It is told the end, or what fitted, and then the end.
    await until('the end', async () => (await lazy.get()).status === 400);
  });
});

describe('growth', roomcastOnly, () => {
  test('clients, rooms and sessions that come and go leave nothing behind', async (t) => {
    const server = await startFor(t, {
      ini: RULES,
      shards: 2,
      options: { 'socketio.close_timeout': '100ms' },
    });
    const rss = () => Number(readFileSync(`/proc/${server.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
    const round = async (n) => {
      await Promise.all(
        range(20).map(async (i) => {
          for (let k = 0; k < 5; k++) {
            const ws = await Socket.open(server, { namespace: '/' });
            ws.send(...range(40).map((r) => `42["join","${n}-${i}-${k}-${r}-${'x'.repeat(100)}"]`));
            ws.send(
              `42["say","${n}-${i}-${k}-0-${'x'.repeat(100)}",1]`,
              '40/chat,',
              ...(k % 2 ? ['41'] : []),
              '42/chat,1["ask"]',
            );
            while (!(await ws.next()).startsWith('43/chat,1'));
            if (k % 3) ws.destroy();
            else ws.ws.close();
          }
          const poll = await Polling.open(server, { namespace: '/' });
          await poll.post('42["join","left behind"]');
          const half = poll.get();
          await half.sent;
          half.abort();
          await Polling.open(server).then((p) => p.post('1'));
        }),
      );
      await sleep(150);
      return rss();
    };
    const sizes = [];
    for (let n = 0; n < 8; n++) sizes.push(await round(n));
    // 20,000 rooms of 120 bytes and 700 sessions: what leaks shows.
    const growth = sizes[7] - sizes[3];
    assert.ok(growth < 1_500_000, `resident bytes: ${sizes.join(', ')}`);
  });
});

describe('list of rooms', roomcastOnly, () => {
  afterEach(closeAll);
  const ini = `${RULES}
[event watchRooms]
watch = rooms
[event unwatchRooms]
unwatch = rooms
`;
  // What a page would show: the list after all changes so far.
  const follow = (socket) => {
    const rooms = new Map();
    socket.on('rooms', (change) => {
      if (change.full) rooms.clear();
      for (const { room, members } of change.rooms) members ? rooms.set(room, members) : rooms.delete(room);
      rooms.changes = (rooms.changes ?? 0) + 1;
    });
    return rooms;
  };
  const plain = (rooms) => Object.fromEntries([...rooms].sort());

  for (const shards of SHARDS) {
    test(`a watcher is told all rooms, then each change; ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini, shards });
      const all = await Promise.all(range(5).map(() => connect(server)));
      await ask(all[0], 'join', 'early');
      await ask(all[1], 'join', 'early');
      const watcher = await connect(server);
      const rooms = follow(watcher);
      const first = event(watcher, 'rooms');
      await ask(watcher, 'watchRooms');
      const { full, rooms: list } = await first;
      assert.equal(full, true);
      await until('the first list', () => rooms.get('early') === 2);
      assert.ok(Array.isArray(list));
      await Promise.all(range(20).map((i) => ask(all[i % 5], 'join', `room-${i % 7}`)));
      await ask(all[0], 'leave', 'early');
      const expected = { early: 1 };
      for (const r of range(7))
        expected[`room-${r}`] = new Set(
          range(20)
            .filter((i) => i % 7 === r)
            .map((i) => i % 5),
        ).size;
      await until('the counts', () => isDeepStrictEqual(plain(rooms), expected)).catch(() => {});
      assert.deepEqual(plain(rooms), expected, 'and no rooms of single ids');
      for (const s of all.slice(0, 4)) s.disconnect();
      const left = {};
      for (const i of range(20)) if (i % 5 === 4) left[`room-${i % 7}`] = 1;
      await until('those that stay', () => rooms.size === 4).catch(() => {});
      await sleep(50);
      assert.deepEqual(plain(rooms), left);
      await ask(watcher, 'unwatchRooms');
      await sleep(100); // a change may be on its way
      const before = rooms.changes;
      await ask(all[4], 'join', 'unseen');
      await sleep(300);
      assert.equal(rooms.changes, before);
    });
  }

  test('each namespace has its own, and rooms_listed bounds the full list', async (t) => {
    const more = `${ini}[event /chat watchRooms]\nwatch = rooms\n`;
    const server = await startFor(t, { ini: more, shards: 2, options: { 'limits.rooms_listed': '5' } });
    const a = await connect(server);
    const chat = await connect(server, { nsp: '/chat' });
    for (const r of range(5)) await ask(a, 'join', `r${r}`);
    await ask(chat, 'join', 'only here');
    const [main, other] = [follow(a), follow(chat)];
    await Promise.all([ask(a, 'watchRooms'), ask(chat, 'watchRooms')]);
    await until('both lists', () => main.size === 5 && other.size === 1);
    for (const r of range(4)) await ask(a, 'join', `s${r}`);
    await until('the changes', () => main.size === 9);
    const second = await connect(server);
    const list = event(second, 'rooms');
    await ask(second, 'watchRooms');
    assert.equal((await list).rooms.length, 5);
    assert.deepEqual(plain(other), { 'only here': 1 });
  });

  test('a thousand rooms', async (t) => {
    const server = await startFor(t, { ini, shards: 2, options: { 'limits.max_rooms_per_socket': '2000' } });
    const ws = await Socket.open(server, { namespace: '/' });
    const watcher = await connect(server);
    const rooms = follow(watcher);
    await ask(watcher, 'watchRooms');
    ws.send(...range(900).map((i) => `42["join","r${i}"]`));
    await until('all', () => rooms.size === 900);
    ws.destroy();
    await until('none', () => rooms.size === 0);
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
