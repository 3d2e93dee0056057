// The console: roomcast ctl, and the socket behind it.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';

import { ask, client, closeAll, connect, connected } from './lib/client.mjs';
import { cli, Console, ctl, startWithConsole } from './lib/console.mjs';
import { run, start, tempDir } from './lib/daemon.mjs';
import { JsonClient, closeAllJson } from './lib/jsonclient.mjs';
import { Session, Swarm } from './lib/swarm.mjs';
import { SHARDS } from './lib/target.mjs';
import { until } from './lib/wait.mjs';

const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2}
[namespace /chat]
[event /chat join]
join = {1}
[connect /tenant-*]
[endpoint /ws]
protocol = echo
`;
const TWO = SHARDS.filter((n) => n <= 2);
const MANY = 2000;

afterEach(() => {
  closeAll();
  closeAllJson();
});

const ids = (answer) => answer.clients.map((c) => c.id);

for (const shards of TWO) {
  test(`${MANY} clients: limits and filters, ${shards} shards`, async (t) => {
    const server = await startWithConsole(t, { ini: INI, shards, options: { 'socketio.ping_interval': '1h' } });
    const swarm = new Swarm(server);
    t.after(() => swarm.destroy());
    let left = MANY;
    await Promise.all(Array.from({ length: 32 }, async () => {
      while (left > 0) {
        const i = --left;
        const s = await Session.open(swarm);
        assert.equal(await s.post(`42["join","room-${i % 10}"]`), '200 ok');
        if (i < 3) assert.equal(await s.post('42["join","few"]'), '200 ok');
      }
    }));
    const talker = await swarm.talker();

    const some = await ctl(server, 'SHOW clients');
    assert.deepEqual([some.ok, some.shown, some.matched, some.clients.length], [true, 100, MANY + 1, 100]);
    const all = await ctl(server, 'SHOW clients limit=all');
    assert.equal(all.shown, MANY + 1);
    assert.equal(new Set(ids(all)).size, MANY + 1);
    assert.equal(new Set(all.clients.map((c) => c.shard)).size, shards);
    const none = await ctl(server, 'SHOW clients limit=0');
    assert.deepEqual([none.clients, none.matched], [[], MANY + 1]);

    const room = await until('all have joined', async () => {
      const answer = await ctl(server, 'show CLIENTS room=room-3 LIMIT=1000 namespace=/');
      return answer.matched === MANY / 10 && answer;
    });
    assert.equal(room.shown, MANY / 10);
    for (const c of room.clients) {
      assert.equal(c.transport, 'polling');
      assert.equal(c.revision, 4);
      assert.match(c.address, /^127\.0\.0\.1:\d+$/);
      assert.equal(c.user, null);
      assert.equal(c.sockets.length, 1);
      assert.ok(c.sockets[0].rooms.includes('room-3'));
    }
    assert.equal((await ctl(server, 'SHOW clients transport=websocket')).matched, 1);
    assert.equal((await ctl(server, 'SHOW clients transport=plain')).matched, 0);
    assert.equal((await ctl(server, 'SHOW clients address=127.0.0.1')).matched, MANY + 1);
    assert.equal((await ctl(server, 'SHOW clients address=10.*')).matched, 0);
    assert.equal((await ctl(server, 'SHOW clients user=*')).matched, 0);
    assert.equal((await ctl(server, 'SHOW clients namespace=/chat')).matched, 0);
    const one = await ctl(server, `SHOW clients client=${room.clients[7].id}`);
    assert.deepEqual(one.clients, [room.clients[7]]);
    const top = await ctl(server, 'SHOW clients sort=rooms limit=5');
    assert.equal(top.matched, MANY + 1);
    assert.deepEqual(top.clients.map((c) => c.sockets[0].room_count), [2, 2, 2, 1, 1]);

    const rooms = await ctl(server, 'SHOW rooms sort=members');
    assert.deepEqual([rooms.shown, rooms.matched], [11, 11]);
    assert.deepEqual(rooms.rooms.map((r) => r.members), [...Array(10).fill(MANY / 10), 3]);
    assert.deepEqual(rooms.rooms[10].room, 'few');

    const table = await cli(server, 'SHOW', 'clients', 'limit=3');
    assert.equal(table.code, 0);
    const lines = table.stdout.trimEnd().split('\n');
    assert.equal(lines.length, 5);
    assert.match(lines[0], /^CLIENT +TRANSPORT +ADDRESS +USER +QUEUE +NAMESPACES +ROOMS$/);
    assert.equal(lines[4], '2,001 clients, 1,998 more: limit=N shows N, limit=all all');
    const json = await cli(server, '--json', 'SHOW', 'clients', 'limit=all');
    assert.equal(JSON.parse(json.stdout).shown, MANY + 1);

    // One that asks for much and reads nothing, and one that is gone: others notice nothing.
    const lazy = await Console.open(server.console);
    lazy.socket.pause();
    lazy.write('SHOW clients limit=all\n'.repeat(20));
    const gone = await Console.open(server.console);
    gone.write('SHOW clients limit=all\n');
    gone.close();
    talker.send('42["join","last"]');
    assert.equal((await ctl(server, 'SHOW stats')).stats.sessions, MANY + 1);
    assert.equal((await ctl(server, 'SHOW clients')).matched, MANY + 1);
    lazy.socket.resume();
    for (let i = 0; i < 20; i++) assert.equal((await lazy.next()).shown, MANY + 1);
    lazy.close();

    const kicked = await ctl(server, 'KICK room=room-3');
    assert.deepEqual(kicked, { ok: true, kicked: MANY / 10 });
    assert.equal((await ctl(server, 'SHOW clients room=room-3')).matched, 0);
    const stats = (await ctl(server, 'SHOW stats')).stats;
    assert.equal(stats.sessions, MANY + 1 - MANY / 10);
  });

  test(`who is kicked is told, and only they, ${shards} shards`, async (t) => {
    const secret = 'a secret that is 32 bytes long, or more';
    const server = await startWithConsole(t, { ini: INI, shards,
      options: { 'auth.mode': 'optional', 'auth.secret': secret } });
    const token = async (user) => {
      const r = await run(['token', '-o', `auth.secret=${secret}`, '--user', user]);
      assert.equal(r.code, 0, r.stderr);
      return r.stdout.trim();
    };
    const [ann, bob] = [await token('ann'), await token('bob')];
    const sockets = [];
    for (const [i, auth] of [{ token: ann }, { token: ann }, { token: bob }, {}, {}].entries())
      sockets.push(await connect(server, { auth, transports: [i % 2 ? 'polling' : 'websocket'] }));
    const why = sockets.map((s) => {
      const all = [];
      s.on('disconnect', (reason) => all.push(reason));
      return all;
    });
    const users = await ctl(server, 'SHOW clients user=*');
    assert.deepEqual(users.clients.map((c) => c.user).sort(), ['ann', 'ann', 'bob']);
    assert.deepEqual(await ctl(server, 'KICK user=ann'), { ok: true, kicked: 2 });
    await until('both of ann are told', () => why[0].length && why[1].length);
    assert.deepEqual(why.slice(0, 3), [['io server disconnect'], ['io server disconnect'], []]);
    assert.deepEqual(await ctl(server, `KICK ${sockets[2].id}`), { ok: true, kicked: 1 });
    await until('bob is told', () => why[2].length);
    const [third] = (await ctl(server, 'SHOW clients transport=polling')).clients;
    assert.equal(third.sockets[0].id, sockets[3].id);
    assert.deepEqual(await ctl(server, `KICK ${third.id}`), { ok: true, kicked: 1 });
    await until('the third is told', () => why[3].length);
    assert.deepEqual(await ctl(server, `KICK ${third.id}`), { ok: true, kicked: 0 });
    assert.deepEqual(await ctl(server, `KICK ${sockets[4].io.engine.id}`), { ok: true, kicked: 1 });
    await until('the fourth is told', () => why[4].length);
    for (const reasons of why) assert.deepEqual(reasons, ['io server disconnect']);

    const plain = await JsonClient.open(server, '/ws');
    assert.deepEqual(await ctl(server, 'KICK transport=plain namespace=/ws'), { ok: true, kicked: 1 });
    assert.deepEqual(await plain.end(), { code: 1008, reason: 'kicked' });
    const stats = await until('all are counted', async () => {
      const now = (await ctl(server, 'SHOW stats')).stats;
      return now.sessions === 0 && now;
    });
    assert.equal(stats.closed.kicked >= 4, true);
  });

  test(`lists from all shards are one, ${shards} shards`, async (t) => {
    const server = await startWithConsole(t, { ini: INI, shards });
    const a = await connect(server);
    const b = await connect(server, { nsp: '/chat' });
    const c = await connect(server, { nsp: '/tenant-7' });
    const d = await connected(client(server, { nsp: '/tenant-8' }));
    await ask(a, 'join', 'one "two" three');
    await ask(b, 'join', 'lobby');
    await ask(a, 'say', 'one "two" three', 1);
    const rooms = await ctl(server, 'SHOW rooms');
    assert.deepEqual(rooms.rooms.map((r) => [r.room, r.namespace, r.members, r.published, r.shards]).sort(),
      [['lobby', '/chat', 1, 0, 1], ['one "two" three', '/', 1, 1, 1]]);
    const quoted = await cli(server, '--json', 'SHOW', 'clients', 'room=one "two" three');
    assert.equal(JSON.parse(quoted.stdout).clients[0].sockets[0].id, a.id);
    const spaces = await ctl(server, 'SHOW namespaces');
    assert.deepEqual(spaces.namespaces.map((n) => [n.namespace, n.kind, n.sockets]).sort(),
      [['/', 'static', 1], ['/chat', 'static', 1], ['/tenant-7', 'dynamic', 1], ['/tenant-8', 'dynamic', 1],
        ['/ws', 'endpoint', 0]]);
    assert.deepEqual([spaces.shown, spaces.matched], [5, 5]);
    assert.equal((await ctl(server, 'SHOW namespaces namespace=/tenant-* limit=1')).matched, 2);
    const table = await ctl(server, 'SHOW shards');
    assert.equal(table.shards.length, shards);
    for (const [key, sum] of [['conns', 4], ['sockets', 4], ['events_in', 3], ['deliveries', 1], ['published', 1]])
      assert.equal(table.shards.reduce((n, s) => n + s[key], 0), sum, key);
    const rings = await ctl(server, 'SHOW rings');
    assert.equal(rings.rings.filter((r) => r.from === 'admin').length, shards);
    assert.equal(rings.rings.every((r) => r.posted > 0 && r.spilled === 0), true);
    for (const command of ['SHOW rooms', 'SHOW namespaces', 'SHOW shards', 'SHOW rings', 'SHOW nodes', 'SHOW stats', 'SHOW config',
      'HELP', 'VERSION', 'LOG']) {
      const r = await cli(server, ...command.split(' '));
      assert.deepEqual([r.code, r.stderr], [0, ''], command);
      assert.ok(r.stdout.length > 5, command);
    }
    for (const s of [a, b, c, d]) s.disconnect();
  });
}

test('the configuration that is in effect, without secrets', async (t) => {
  const server = await startWithConsole(t, { ini: `${INI}[auth]\nsecret = "0123456789 0123456789 0123456789"\n[store]\npassword = hidden\n`,
    options: { 'limits.max_rooms': 77 } });
  const all = await ctl(server, 'SHOW config');
  const value = (key) => all.config.find((c) => `${c.section}.${c.key}` === key);
  assert.deepEqual(value('limits.max_rooms'), { section: 'limits', key: 'max_rooms', value: '77', default: '1000000' });
  assert.equal(value('auth.secret').value, '********');
  assert.equal(value('store.password').value, '********');
  assert.equal(value('event say.emit').value, 'room {1}: said {2}');
  assert.match(all.file, /roomcast\.ini$/);
  assert.equal(JSON.stringify(all).includes('0123456789'), false);
  assert.equal(JSON.stringify(all).includes('hidden'), false);
  const some = await ctl(server, 'SHOW config key=limits.max_rooms*');
  assert.deepEqual(some.config.map((c) => c.key), ['max_rooms_per_socket']);
  const table = await cli(server, 'SHOW', 'config', 'key=event*');
  assert.equal(table.stdout, '[event join]\njoin = {1}\n\n[event say]\nemit = room {1}: said {2}\n\n[event /chat join]\njoin = {1}\n');
});

test('the log level', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  assert.deepEqual(await ctl(server, 'LOG'), { ok: true, level: 'info', was: 'info' });
  assert.deepEqual(await ctl(server, 'LOG debug'), { ok: true, level: 'debug', was: 'info' });
  const socket = await connect(server);
  await until('it says more', () => / debug .*session=\d+/.test(server.stderr()));
  socket.disconnect();
  assert.deepEqual(await ctl(server, 'log ERROR'), { ok: true, level: 'error', was: 'debug' });
  assert.equal((await ctl(server, 'LOG loud')).error, 'bad_command');
});

test('what is wrong is told', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  for (const [command, message] of [
    ['DANCE', 'there is no command DANCE: HELP lists them'],
    ['SHOW', 'SHOW: expected clients, rooms, namespaces, shards, rings, nodes, config or stats'],
    ['SHOW money', 'SHOW money: expected clients, rooms, namespaces, shards, rings, nodes, config or stats'],
    ['SHOW clients usr=x', 'SHOW clients: there is no key usr; there are: client user address room namespace transport limit sort'],
    ['SHOW clients ann', 'SHOW clients: expected KEY=VALUE instead of ann'],
    ['SHOW clients limit=many', 'limit=many: expected a number, or all'],
    ['SHOW clients limit=-1', 'limit=-1: expected a number, or all'],
    ['SHOW clients sort=age', 'sort=age: expected queue, sockets or rooms'],
    ['SHOW clients sort=queue limit=20000', 'limit=20000: a sorted list has 10000 rows at most'],
    ['SHOW clients transport=fax', 'transport=fax: expected polling, websocket or plain'],
    ['SHOW rooms room=', 'room=: expected a value'],
    ['SHOW rooms room="x', 'the quotes do not match'],
    ['SHOW shards limit=1', 'SHOW shards: there is no key limit'],
    ['KICK', 'KICK: expected the id of a client or of a socket, or whom: user=, address=, room=, namespace=, transport='],
    ['KICK user=', 'user=: expected a value'],
    ['KICK limit=1', 'KICK: there is no key limit; there are: client user address room namespace transport'],
    ['VERSION 2', 'VERSION: expected KEY=VALUE instead of 2'],
  ])
    assert.deepEqual(await ctl(server, command), { ok: false, error: 'bad_command', message });
  const r = await cli(server, 'DANCE');
  assert.deepEqual([r.code, r.stdout, r.stderr], [1, '', 'roomcast ctl: there is no command DANCE: HELP lists them\n']);
  const json = await cli(server, '--json', 'DANCE');
  assert.deepEqual([json.code, JSON.parse(json.stdout).error], [1, 'bad_command']);

  const c = await Console.open(server.console);
  c.write(Buffer.from('SHOW rooms room=\xff\n', 'latin1'));
  assert.equal((await c.next()).message, 'the command is not UTF-8');
  c.write('x'.repeat(5000));
  assert.equal((await c.next()).error, 'too_long');
  await c.end();
  c.close();
});

test('what had nothing to do ends with 1; an empty list does not', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  const nobody = ['SHOW', 'clients', 'user=nobody'];
  assert.deepEqual(await cli(server, ...nobody).then((r) => [r.code, r.stdout.split('\n').at(-2), r.stderr]), [0, '0 clients', '']);
  const said = 'roomcast ctl: nobody fits: no client was kicked\n';
  for (const whom of ['0.1.2', 'user=nobody']) {
    let r = await cli(server, 'KICK', whom);
    assert.deepEqual([r.code, r.stdout, r.stderr], [1, '', said], whom);
    r = await cli(server, '--json', 'KICK', whom);
    assert.deepEqual([r.code, r.stdout, r.stderr], [1, '{"ok":true,"kicked":0}\n', ''], whom);
  }
  const socket = await connect(server);
  let r = await cli(server, 'SHOW', 'clients');
  assert.equal(r.stdout.split('\n').at(-2), '1 client');
  await ask(socket, 'join', 'a');
  r = await cli(server, 'SHOW', 'rooms');
  assert.equal(r.stdout.split('\n').at(-2), '1 room');
  r = await cli(server, 'KICK', socket.id);
  assert.deepEqual([r.code, r.stdout.replace(/ +/, ' '), r.stderr], [0, 'kicked 1\n', '']);
  const none = 'no key fits: SHOW config lists them, by SECTION.KEY';
  r = await cli(server, 'SHOW', 'config', 'key=nothing');
  assert.deepEqual([r.code, r.stdout, r.stderr], [1, '', `roomcast ctl: ${none}\n`]);
  r = await cli(server, '--json', 'SHOW', 'config', 'key=nothing');
  assert.deepEqual([r.code, JSON.parse(r.stdout)], [1, { ok: false, error: 'no_match', message: none }]);
});

test('RELOAD says its result, without an empty line', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  const path = join(server.dir, 'roomcast.ini');
  let r = await cli(server, 'RELOAD');
  assert.deepEqual([r.code, r.stdout, r.stderr], [0, 'reloaded\n', '']);
  assert.deepEqual(await ctl(server, 'RELOAD'), { ok: true, message: 'reloaded' });
  writeFileSync(path, `${INI}[limits]\nmax_rooms = x\nmax_sockets = y\n`);
  r = await cli(server, 'RELOAD');
  const lines = r.stderr.split('\n');
  assert.deepEqual([r.code, r.stdout, lines.length], [1, '', 4]);
  assert.ok(lines[0].startsWith(`${path}:13: [limits] max_rooms = x: expected`), r.stderr);
  assert.ok(lines[1].startsWith(`${path}:14: [limits] max_sockets = y: expected`), r.stderr);
  assert.deepEqual(lines.slice(2), ['roomcast ctl: reload failed, the configuration stays as it was', '']);
});

test('several commands in one connection, and its end', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  const c = await Console.open(server.console);
  c.write('VERSION\nSHOW clients\n\nLOG\r\nSHOW rooms\n');
  c.socket.end();
  const answers = [await c.next(), await c.next(), await c.next(), await c.next()];
  assert.deepEqual(answers.map((a) => a.ok), [true, true, true, true]);
  assert.deepEqual([answers[1].clients, answers[2].level, answers[3].rooms], [[], 'info', []]);
  await c.end();
  assert.equal(await c.next(), null);
  const r = await run(['ctl', '-s', server.console, '--json'], { input: 'VERSION\nSHOW rooms\n' });
  assert.equal(r.code, 0);
  assert.deepEqual(r.stdout.trim().split('\n').map((l) => JSON.parse(l).ok), [true, true]);
});

test('consoles are bounded', async (t) => {
  const server = await startWithConsole(t, { ini: INI });
  const open = [];
  for (let i = 0; i < 16; i++) {
    open.push(await Console.open(server.console));
    assert.equal((await open[i].ask('VERSION')).ok, true);
  }
  const more = await Console.open(server.console);
  const answer = await more.next();
  assert.deepEqual([answer.error, answer.message], ['too_many', '16 consoles are open already: close one of them']);
  await more.end();
  const r = await cli(server, 'VERSION');
  assert.equal(r.code, 1);
  open[3].close();
  await until('there is room again', async () => (await cli(server, 'VERSION')).code === 0);
  for (const c of open) c.close();
});

test('no console, and what to do', async (t) => {
  const dir = tempDir();
  const path = join(dir, 'c.sock');
  const ini = join(dir, 'roomcast.ini');
  writeFileSync(ini, '[admin]\nsocket = c.sock\n');
  let r = await run(['ctl', '-c', ini, 'VERSION']);
  assert.deepEqual([r.code, r.stderr],
    [1, `roomcast ctl: ${path}: there is no such socket: is the server running, with this admin.socket?\n`]);
  // A file that a server has left behind.
  const killed = await start({ conf: ini });
  await until('its console is there', () => existsSync(path));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await killed.kill();
  r = await run(['ctl', '-c', ini, 'VERSION']);
  assert.deepEqual([r.code, r.stderr], [1, `roomcast ctl: ${path}: nobody listens: the server is not running\n`]);
  const server = await start({ conf: ini });
  r = await run(['ctl', '-c', ini, 'VERSION']);
  assert.deepEqual([r.code, r.stderr], [0, '']);
  r = await run(['-c', ini, '-o', 'server.listen=127.0.0.1:0']);
  assert.equal(r.code, 1);
  assert.match(r.stderr, /c\.sock: another program listens there: stop that, or choose another path/);
  await server.stop();
  assert.equal(existsSync(path), false);
  r = await run(['ctl', '-o', 'admin.socket=', '-c', ini, 'VERSION']);
  assert.equal(r.code, 2);
  assert.equal(r.stderr, `roomcast ctl: ${ini}: [admin] socket is not set: set it to a path and restart the server, or say the path with -s\n`);
  r = await run(['ctl', '-s', `/tmp/${'x'.repeat(120)}`, 'VERSION']);
  assert.equal(r.code, 2);
  assert.match(r.stderr, /a socket's path has 107 bytes at most/);
  r = await run(['ctl', '--nonsense']);
  assert.equal(r.code, 2);
  r = await run(['ctl', '--help']);
  assert.equal(r.code, 0);
  assert.match(r.stdout, /\nSHOW clients  client= user= .* limit= sort=\n    who is connected; .*\n/);
  assert.match(r.stdout, /\nKICK ID\n    ends a client; .*\n/);
  assert.equal(r.stdout.includes('\t'), false);
});
