// The namespace of the Socket.IO Admin UI: what operators are told, and what they can do. The same bodies hold for
// the server's part of the npm package with TARGET=reference. The UI itself, unmodified, is in admin_ui_page.
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { afterEach, test } from 'node:test';

import msgpack from 'socket.io-msgpack-parser';
import WebSocket from 'ws';

import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { run } from './lib/daemon.mjs';
import { JsonClient } from './lib/jsonclient.mjs';
import { ADMIN, GOOD, operator, story } from './lib/operator.mjs';
import { reload } from './lib/reload.mjs';
import { label, reference, roomcastOnly, SHARDS, startFor, until } from './lib/target.mjs';

const INI = `
[event join]
join = {1}
[event leave]
leave = {1}
[event say]
emit = room {1}: said {2}
[event echo]
emit = sender: echoed {args}
[namespace /chat]
[event /chat join]
join = {1}
[event /tenant-* join]
join = {1}
`;
const FEATURES = ['EMIT', 'JOIN', 'LEAVE', 'DISCONNECT', 'MJOIN', 'MLEAVE', 'MDISCONNECT', 'AGGREGATED_EVENTS', 'ALL_EVENTS'];
const WS = { transports: ['websocket'] };

afterEach(closeAll);

const serve = (t, shards, options = {}, ini = INI) =>
  startFor(t, { ini, shards, options: { ...ADMIN, ...options } });

// Why the client's socket has ended.
const ended = async (socket) => [].concat(await event(socket, 'disconnect'))[0];

// What the UI is told of a socket, but for what differs from one to the next.
function checkSocket(server, told, { id, nsp = '/', transport = 'websocket', rooms = [] }) {
  assert.deepEqual(Object.keys(told), ['id', 'clientId', 'transport', 'nsp', 'data', 'handshake', 'rooms']);
  const { handshake, clientId, ...rest } = told;
  assert.deepEqual(rest, { id, transport, nsp, data: {}, rooms: [id, ...rooms] });
  assert.match(clientId, /^[\w-]{12}$/);
  assert.deepEqual(Object.keys(handshake), ['address', 'headers', 'query', 'issued', 'secure', 'time', 'url', 'xdomain']);
  assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/);
  assert.equal(handshake.headers.host, `127.0.0.1:${server.port}`);
  assert.equal(handshake.query.EIO, '4');
  assert.equal(handshake.query.transport, transport);
  assert.ok(Math.abs(Date.now() - handshake.issued) < 600_000);
  assert.equal(new Date(handshake.time).getTime(), handshake.issued - (handshake.issued % 1000));
  assert.equal(handshake.secure, false);
  assert.equal(handshake.xdomain, false);
  assert.ok(handshake.url.startsWith(`/socket.io/?EIO=4&transport=${transport}`));
}

for (const shards of SHARDS) {
  test(`what there is: features and all sockets, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const ann = await connect(server, { ...WS, extraHeaders: { 'X-Room': 'blue, green' } });
    const bob = await connect(server, { nsp: '/chat', transports: ['polling'] });
    await ask(ann, 'join', 'lobby');
    await ask(bob, 'join', 'den');
    const op = await operator(server, WS);
    const [, config] = await op.hears('config');
    assert.deepEqual(config, { supportedFeatures: FEATURES });
    const [, session] = await op.hears('session');
    assert.match(session, /^[0-9a-f]{16}$/);
    const [, sockets] = await op.hears('all_sockets');
    assert.equal(sockets.length, 3);
    const of = (socket) => sockets.find((s) => s.id === socket.id);
    checkSocket(server, of(ann), { id: ann.id, rooms: ['lobby'] });
    assert.equal(of(ann).handshake.headers['x-room'], 'blue, green');
    checkSocket(server, of(bob), { id: bob.id, nsp: '/chat', transport: 'polling', rooms: ['den'] });
    checkSocket(server, of(op.socket), { id: op.socket.id, nsp: '/admin' });
    assert.equal(new Set(sockets.map((s) => s.clientId)).size, 3);
  });

  test(`one connection in two namespaces is one client, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const ann = await connect(server, WS);
    const chat = await connected(ann.io.socket('/chat'));
    const op = await operator(server, WS);
    const [, sockets] = await op.hears('all_sockets');
    const [one, two] = [ann.id, chat.id].map((id) => sockets.find((s) => s.id === id));
    assert.equal(one.clientId, two.clientId);
    assert.equal(two.nsp, '/chat');
  });

  test(`a socket's story, from connect to disconnect, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    const ann = await connect(server, WS);
    const { id } = ann;
    const heard = inbox(ann);
    await ask(ann, 'join', 'lobby');
    ann.emit('say', 'lobby', 'hello');
    await heard.wait(1);
    ann.emit('echo', 1, { two: [null, 'ü'] });
    await heard.wait(2);
    await ask(ann, 'leave', 'lobby');
    await ask(ann, 'join', 'den');
    ann.disconnect();
    await until('all of it is told', () => story(op, id).length >= 14, 20_000);
    const [own, come, ...rest] = story(op, id);
    assert.deepEqual(own, ['room_joined', '/', id, id]);
    assert.equal(come[0], 'socket_connected');
    checkSocket(server, come[1], { id });
    assert.deepEqual(rest, [
      ['event_received', '/', id, ['join', 'lobby']],
      ['room_joined', '/', 'lobby', id],
      ['event_received', '/', id, ['say', 'lobby', 'hello']],
      ['event_sent', '/', id, ['said', 'hello']],
      ['event_received', '/', id, ['echo', 1, { two: [null, 'ü'] }]],
      ['event_sent', '/', id, ['echoed', 1, { two: [null, 'ü'] }]],
      ['event_received', '/', id, ['leave', 'lobby']],
      ['room_left', '/', 'lobby', id],
      ['event_received', '/', id, ['join', 'den']],
      ['room_joined', '/', 'den', id],
      ['socket_disconnected', '/', id, 'client namespace disconnect'],
      ['room_left', '/', id, id],
      ['room_left', '/', 'den', id],
    ]);
  });

  test(`who gets an event is told, each on its own, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const members = await Promise.all([1, 2, 3, 4].map(() => connect(server, WS)));
    await connect(server, WS); // no member
    for (const m of members) await ask(m, 'join', 'lobby');
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    members[0].emit('say', 'lobby', { n: 1 });
    await until('four are told', () => op.of('event_sent').length >= 4, 20_000);
    const ids = op.of('event_sent').map(([, nsp, id, args]) => {
      assert.deepEqual([nsp, args], ['/', ['said', { n: 1 }]]);
      return id;
    });
    assert.deepEqual(ids.sort(), members.map((m) => m.id).sort());
  });

  test(`polling, upgrade, and how connections end, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    const ann = await connect(server, { transports: ['polling', 'websocket'] });
    const { id } = ann;
    const [, come] = await op.hears('socket_connected', (s) => s.id === id);
    assert.equal(come.transport, 'polling');
    await upgraded(ann);
    const [, up] = await op.hears('socket_updated', (s) => s.id === id && s.transport);
    assert.deepEqual(up, { id, nsp: '/', transport: 'websocket' });
    ann.io.engine.close(); // without a DISCONNECT
    const gone = await op.hears('socket_disconnected', (nsp, who) => who === id);
    assert.deepEqual(gone.slice(1, 4), ['/', id, 'transport close']);
    const bob = await connect(server, WS);
    const { id: other } = bob;
    bob.io.engine.transport.ws.send('garbage');
    const bad = await op.hears('socket_disconnected', (nsp, who) => who === other);
    assert.equal(bad[3], 'parse error');
  });

  test(`a dynamic namespace is told by its name, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const ann = await connect(server, { nsp: '/tenant-7', ...WS });
    await ask(ann, 'join', 'lobby');
    const op = await operator(server, WS);
    const [, sockets] = await op.hears('all_sockets');
    checkSocket(server, sockets.find((s) => s.id === ann.id), { id: ann.id, nsp: '/tenant-7', rooms: ['lobby'] });
    const bob = await connect(server, { nsp: '/tenant-8', ...WS });
    await op.hears('socket_connected', (s) => s.id === bob.id && s.nsp === '/tenant-8');
    op.socket.emit('join', '/tenant-7', 'den');
    await op.hears('room_joined', (nsp, room, id) => nsp === '/tenant-7' && room === 'den' && id === ann.id);
    op.socket.emit('emit', '/tenant-7', 'den', 'hi', 1);
    assert.equal(await event(ann, 'hi'), 1);
    op.socket.emit('_disconnect', '/tenant-7', false);
    assert.equal(await ended(ann), 'io server disconnect');
    assert.ok(bob.connected);
  });

  test(`emit: to all, to a room, to a socket, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const [ann, bob, eve] = await Promise.all([connect(server, WS), connect(server), connect(server, { nsp: '/chat', ...WS })]);
    const heard = [ann, bob, eve].map(inbox);
    await ask(ann, 'join', 'lobby');
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    op.socket.emit('emit', '/', undefined, 'to', 'all', { n: [1] });
    await Promise.all([heard[0].wait(1), heard[1].wait(1)]);
    op.socket.emit('emit', '/', 'lobby', 'to', 'lobby');
    await heard[0].wait(2);
    op.socket.emit('emit', '/', bob.id, 'to', 'bob');
    await heard[1].wait(2);
    op.socket.emit('emit', '/chat', null, 'to', Buffer.from('bytes'));
    await heard[2].wait(1);
    assert.deepEqual(heard, [
      [['to', 'all', { n: [1] }], ['to', 'lobby']],
      [['to', 'all', { n: [1] }], ['to', 'bob']],
      [['to', Buffer.from('bytes')]],
    ]);
    await op.hears('event_sent', (nsp, id, args) => id === bob.id && args[1] === 'bob');
  });

  test(`join and leave: all, those of a room, one socket, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const [ann, bob, eve] = await Promise.all([connect(server, WS), connect(server, WS), connect(server, WS)]);
    await ask(ann, 'join', 'lobby');
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    const moved = (what, room, who) => op.hears(what, (nsp, r, id) => nsp === '/' && r === room && id === who.id);
    op.socket.emit('join', '/', 'everybody');
    for (const who of [ann, bob, eve]) await moved('room_joined', 'everybody', who);
    op.socket.emit('join', '/', 'blue', 'lobby');
    await moved('room_joined', 'blue', ann);
    op.socket.emit('join', '/', 'green', bob.id);
    await moved('room_joined', 'green', bob);
    op.socket.emit('leave', '/', 'everybody', 'blue');
    await moved('room_left', 'everybody', ann);
    op.socket.emit('leave', '/', 'everybody', eve.id);
    await moved('room_left', 'everybody', eve);
    const heard = [ann, bob, eve].map(inbox);
    for (const room of ['everybody', 'blue', 'green']) ann.emit('say', room, room);
    for (const who of [ann, bob, eve]) await ask(who, 'join', 'x'); // behind what was said
    ann.emit('say', 'x', 'end');
    for (const list of heard) await until('the end has come', () => list.some(([, text]) => text === 'end'), 20_000);
    const words = heard.map((list) => list.map(([, text]) => text).filter((text) => text !== 'end'));
    assert.deepEqual(words, [['blue'], ['everybody', 'green'], []]);
    const others = op.of('room_joined').filter(([, , room]) => ['blue', 'green'].includes(room));
    assert.equal(others.length, 2);
    op.socket.emit('leave', '/', 'everybody');
    await moved('room_left', 'everybody', bob);
  });

  test(`disconnect: from the namespace, or the connection, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const [ann, bob, eve] = await Promise.all([connect(server, WS), connect(server, WS), connect(server, { transports: ['polling'] })]);
    const chat = await connected(ann.io.socket('/chat'));
    await ask(bob, 'join', 'lobby');
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    const annsId = ann.id;
    op.socket.emit('_disconnect', '/', false, ann.id);
    assert.equal(await ended(ann), 'io server disconnect');
    const gone = await op.hears('socket_disconnected', (nsp, id) => id === annsId);
    assert.equal(gone[3], 'server namespace disconnect');
    assert.ok(ann.io.engine.readyState === 'open' && chat.connected);
    assert.equal((await ask(chat, 'join', 'still')).ok, true);
    op.socket.emit('_disconnect', '/', true, 'lobby');
    await event(bob, 'disconnect');
    await until('the connection ends', () => bob.io.engine.readyState === 'closed', 20_000);
    assert.ok(eve.connected);
    op.socket.emit('_disconnect', '/', true);
    assert.equal(await ended(eve), 'io server disconnect');
    assert.ok(chat.connected && op.socket.connected);
  });

  test(`server_stats: every two seconds, the figures of the whole server, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards, { 'admin.ui_server_id': 'node-1' });
    await Promise.all([connect(server, WS), connect(server, { transports: ['polling'] }), connect(server, { nsp: '/chat', ...WS })]);
    const op = await operator(server, WS);
    await until('three of them', () => op.of('server_stats').length >= 3, 30_000);
    const stats = op.of('server_stats').map(([, s]) => s);
    for (const s of stats) {
      assert.deepEqual(Object.keys(s), ['serverId', 'hostname', 'pid', 'uptime', 'clientsCount', 'pollingClientsCount', 'aggregatedEvents', 'namespaces']);
      assert.equal(s.serverId, 'node-1');
      assert.equal(s.hostname, hostname());
      assert.equal(s.pid, server.pid);
      assert.equal(s.clientsCount, 4);
      assert.equal(s.pollingClientsCount, 1);
      const counts = Object.fromEntries(s.namespaces.map(({ name, socketsCount }) => [name, socketsCount]));
      assert.deepEqual([counts['/'], counts['/chat'], counts['/admin']], [2, 1, 1]);
      for (const e of s.aggregatedEvents) {
        assert.deepEqual(Object.keys(e).filter((k) => k !== 'subType'), ['timestamp', 'type', 'count']);
        assert.equal(e.timestamp % 1000, 0);
        assert.ok(['rawConnection', 'rawDisconnection', 'packetsIn', 'packetsOut', 'bytesIn', 'bytesOut'].includes(e.type), e.type);
        assert.ok(e.count > 0);
      }
    }
    assert.ok(stats[2].uptime - stats[1].uptime > 1, 'not more often');
  });

  test(`aggregated events count connections, packets and bytes, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const op = await operator(server, WS);
    await op.hears('server_stats');
    const sum = (type, subType) => op.of('server_stats').flatMap(([, s]) => s.aggregatedEvents)
      .filter((e) => e.type === type && (!subType || e.subType === subType)).reduce((n, e) => n + e.count, 0);
    const before = op.of('server_stats').length && ['rawConnection', 'packetsIn', 'bytesIn'].map((type) => sum(type));
    const ann = await connect(server, WS);
    for (let i = 0; i < 10; i++) await ask(ann, 'echo', 'x'.repeat(1000));
    ann.disconnect();
    await until('they are counted', () => sum('rawDisconnection', 'transport close') >= 1, 30_000);
    await until('the packets, too', () => sum('packetsIn') - before[1] >= 12, 30_000);
    assert.ok(sum('rawConnection') - before[0] >= 1);
    assert.ok(sum('bytesIn') - before[2] >= 10_000);
    assert.ok(sum('bytesOut') >= 10_000 && sum('packetsOut') >= 20);
  });

  test(`ui_mode = production: figures, but no sockets, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards, { 'admin.ui_mode': 'production' });
    const op = await operator(server, WS);
    assert.deepEqual((await op.hears('config'))[1], { supportedFeatures: FEATURES.slice(0, -1) });
    const ann = await connect(server, WS);
    await ask(ann, 'join', 'lobby');
    op.socket.emit('emit', '/', 'lobby', 'hi', 1);
    assert.equal(await event(ann, 'hi'), 1);
    op.socket.emit('_disconnect', '/', false, 'lobby');
    await event(ann, 'disconnect');
    const seen = op.of('server_stats').length;
    await until('another server_stats', () => op.of('server_stats').length > seen + 1, 20_000);
    const others = op.told.filter(([e]) => !['session', 'config', 'server_stats'].includes(e));
    assert.deepEqual(others, []);
  });

  test(`ui_read_only: nothing can be done, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards, { 'admin.ui_read_only': 'yes' });
    const ann = await connect(server, WS);
    await ask(ann, 'join', 'lobby');
    const heard = inbox(ann);
    const op = await operator(server, WS);
    assert.deepEqual((await op.hears('config'))[1], { supportedFeatures: FEATURES.slice(-2) });
    await op.hears('all_sockets');
    op.socket.emit('emit', '/', undefined, 'hi', 1);
    op.socket.emit('join', '/', 'den');
    op.socket.emit('leave', '/', 'lobby');
    op.socket.emit('_disconnect', '/', true);
    const seen = op.of('server_stats').length;
    await until('they have been read', () => op.of('server_stats').length > seen + 1, 20_000);
    ann.emit('say', 'den', 'in the den');
    ann.emit('say', 'lobby', 'in the lobby');
    await heard.wait(1);
    assert.deepEqual(heard, [['said', 'in the lobby']]);
  });

  test(`commands that are none do no harm, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const ann = await connect(server, WS);
    const op = await operator(server, WS);
    await op.hears('all_sockets');
    if (!reference) { // which falls over some of these
      for (const args of [
        ['emit'], ['emit', '/'], ['emit', '/', null], ['emit', 7, null, 'x'], ['emit', '/nowhere', null, 'x'],
        ['emit', '/', null, 'connect'], ['emit', '/', { room: 1 }, 'x'], ['emit', '/', null, 7], ['emit', '/', '\u0001rooms', 'x'],
        ['join'], ['join', '/'], ['join', '/', ''], ['join', '/', 7], ['join', '/', '\u0002user:1'], ['join', '/', 'x'.repeat(300)],
        ['join', '/', 'x', ['a']], ['leave', '/'], ['_disconnect'], ['_disconnect', '/nowhere', true], ['_disconnect', 1], ['other', 1],
      ])
        op.socket.emit(...args);
    }
    op.socket.emit('join', '/', 'den', 'no such room');
    op.socket.emit('_disconnect', '/', true, 'aaaaaaaaaaaaaaaaaaaa');
    op.socket.emit('emit', '/', 'no such room', 'x');
    op.socket.emit('emit', '/', undefined, 'end');
    await event(ann, 'end');
    assert.ok(ann.connected && op.socket.connected);
    assert.deepEqual(op.of('room_joined').filter(([, , room]) => room === 'den'), []);
  });

  test(`who may not log in is told so, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const bad = [{}, { username: 'admin' }, { ...GOOD, password: 'wrong' }, { ...GOOD, username: 'root' }, { sessionId: '0123456789abcdef' }];
    for (const auth of bad) {
      if (reference && auth.password === undefined && auth.username) continue; // bcryptjs throws
      await assert.rejects(connected(client(server, { nsp: '/admin', auth, ...WS })), { message: 'invalid credentials' });
    }
    const ann = await connect(server, WS);
    const admin = ann.io.socket('/admin', { auth: { ...GOOD, password: 'wrong' } });
    await assert.rejects(connected(admin), { message: 'invalid credentials' });
    assert.equal((await ask(ann, 'join', 'lobby')).ok, true); // the connection goes on
    admin.auth = GOOD;
    await connected(admin);
  });

  test(`who was here comes back by the session id, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const op = await operator(server, WS);
    const [, sessionId] = await op.hears('session');
    op.socket.disconnect();
    const again = await Promise.all([1, 2, 3].map(() => operator(server, { auth: { sessionId } })));
    for (const o of again) {
      await o.hears('all_sockets');
      assert.equal(o.of('session').length, 0);
    }
    const other = await operator(server, WS);
    assert.notEqual((await other.hears('session'))[1], sessionId);
  });

  test(`operators come and go while sockets do, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards);
    const seen = [];
    let ending = false;
    const churn = [1, 2, 3].map(async () => {
      while (!ending) {
        const who = await connect(server, WS);
        await ask(who, 'join', 'lobby');
        who.disconnect();
      }
    });
    for (let i = 0; i < 5; i++) {
      const ops = await Promise.all([operator(server, WS), operator(server)]);
      for (const op of ops) await op.hears('all_sockets');
      for (const op of ops) await op.hears('socket_disconnected');
      seen.push(ops.length);
      for (const op of ops) op.socket.disconnect();
    }
    ending = true;
    await Promise.all(churn);
    // What a last one is shown is what there is.
    const ann = await connect(server, WS);
    const op = await operator(server, WS);
    const [, sockets] = await op.hears('all_sockets');
    const left = new Set(op.of('socket_disconnected').map(([, , id]) => id));
    const known = sockets.map((s) => s.id).filter((id) => !left.has(id));
    assert.ok(known.includes(ann.id) && known.includes(op.socket.id));
  });

  test(`the name of the namespace is a key, ${label(shards)}`, async (t) => {
    const server = await serve(t, shards, { 'admin.ui_namespace': '/watch' });
    await assert.rejects(connected(client(server, { nsp: '/admin', auth: GOOD, ...WS })), { message: 'Invalid namespace' });
    const op = await operator(server, { nsp: '/watch', ...WS });
    const [, sockets] = await op.hears('all_sockets');
    assert.deepEqual(sockets.map((s) => s.nsp), ['/watch']);
  });
}

const own = (name, body) => {
  for (const shards of SHARDS) test(`${name}, ${label(shards)}`, roomcastOnly, (t) => body(t, shards));
};

own('many sockets come page by page, as many as ui_max_sockets', async (t, shards) => {
  const server = await serve(t, shards, { 'limits.max_sockets': 255 });
  const ids = new Set();
  for (let c = 0; c < 6; c++) {
    const first = await connect(server, WS);
    ids.add(first.id);
    const more = Array.from({ length: 250 }, (_, i) => first.io.socket(`/tenant-${i}`));
    await Promise.all(more.map(connected));
    for (const socket of more) ids.add(socket.id);
  }
  const op = await operator(server, WS);
  const listed = () => [...op.of('all_sockets').flatMap(([, list]) => list), ...op.of('socket_connected').map(([, s]) => s)];
  await until('all are listed', () => listed().length >= ids.size + 1, 30_000);
  const known = listed().map((s) => s.id);
  assert.equal(new Set(known).size, known.length, 'each of them once');
  for (const id of ids) assert.ok(known.includes(id));
  assert.equal(op.of('all_sockets').length, 1);
  assert.ok(op.of('all_sockets')[0][1].length < ids.size, 'in more than one message');
});

own('no more than ui_max_sockets are listed', async (t, shards) => {
  const server = await serve(t, shards, { 'admin.ui_max_sockets': 5 });
  const first = await connect(server, WS);
  await Promise.all(Array.from({ length: 12 }, (_, i) => connected(first.io.socket(`/tenant-${i}`))));
  const op = await operator(server, WS);
  const [, sockets] = await op.hears('all_sockets');
  assert.equal(sockets.length, 5);
  const late = await connect(server, WS);
  await op.hears('socket_connected', (s) => s.id === late.id);
});

own('an operator who cannot keep up is shown the truth in the end', async (t, shards) => {
  const server = await serve(t, shards, { 'limits.max_queue': '256KiB', 'admin.listen': '' });
  const op = await operator(server, { ...WS });
  await op.hears('all_sockets');
  op.socket.io.engine.transport.ws._socket.pause();
  const big = await connect(server, WS);
  for (let i = 0; i < 200; i++) await ask(big, 'echo', 'x'.repeat(60_000)); // event_received, event_sent
  const ann = await connect(server, WS);
  await ask(ann, 'join', 'late');
  op.socket.io.engine.transport.ws._socket.resume();
  const knows = () => {
    const all = op.told.map(([e, ...a]) => [e, a]);
    const last = all.findLastIndex(([e]) => e === 'all_sockets');
    const rooms = new Map(all[last][1][0].map((s) => [s.id, s.rooms]));
    for (const [e, a] of all.slice(last + 1)) {
      if (e === 'socket_connected') rooms.set(a[0].id, a[0].rooms);
      if (e === 'room_joined') rooms.get(a[2])?.push(a[1]);
    }
    return rooms.get(ann.id)?.includes('late');
  };
  await until('it knows', knows, 60_000);
  assert.ok(op.socket.connected && ann.connected && big.connected);
  assert.ok(op.of('event_received').length < 200, 'events are left out meanwhile');
});

own('ten wrong passwords, and then a rest; sessions go on', async (t, shards) => {
  const server = await serve(t, shards);
  const op = await operator(server, WS);
  const [, sessionId] = await op.hears('session');
  const ann = await connect(server, WS);
  const admin = ann.io.socket('/admin', { auth: { ...GOOD, password: 'wrong' } });
  const RESTING = 'too many attempts, try again later';
  const told = (attempt) => attempt.then(() => 'let in', (e) => e.message);
  let right;
  // One is forgiven every 6 s: a slow machine may have to be quick again.
  for (let round = 0; round < 5 && right !== RESTING; round++) {
    const messages = [];
    while (messages.at(-1) !== RESTING && messages.length < 50) messages.push(await told(connected(admin)));
    assert.equal(messages.at(-1), RESTING);
    assert.ok(messages.slice(0, -1).every((m) => m === 'invalid credentials') && (round > 0 || messages.length > 10));
    right = await told(operator(server, WS));
  }
  assert.equal(right, RESTING);
  const again = await operator(server, { auth: { sessionId }, ...WS });
  await again.hears('all_sockets');
  await until('it is logged', () => /admin ui login refused: invalid credentials/.test(server.stderr()), 20_000);
});

const RESTS = 'too many attempts, try again later';

// Wrong passwords by clients of these addresses in turn, as a proxy says, until one has to rest; all that was answered.
async function guess(server, transports, addresses) {
  const answers = [];
  for (let i = 0; i < 40 && answers.at(-1) !== RESTS; i++) {
    const extraHeaders = { 'X-Forwarded-For': addresses[i % addresses.length] };
    const socket = client(server, { nsp: '/admin', auth: { ...GOOD, password: 'wrong' }, transports, extraHeaders });
    answers.push(await connected(socket).then(() => 'let in', (e) => e.message));
    socket.io.engine?.close();
  }
  return answers;
}

for (const transport of ['websocket', 'polling'])
  own(`behind a proxy who guesses has to rest, not who comes by the same proxy; ${transport}`, async (t, shards) => {
    const server = await serve(t, shards, { 'server.trusted_proxies': '127.0.0.1' });
    const answers = await guess(server, [transport], ['192.0.2.1']);
    assert.equal(answers.at(-1), RESTS);
    assert.ok(answers.length > 10 && answers.slice(0, -1).every((a) => a === 'invalid credentials'), answers.join());
    // The proxy itself, another client of it, and another IPv6 network.
    for (const from of [{}, { 'X-Forwarded-For': '192.0.2.2' }, { 'X-Forwarded-For': '192.0.2.1, 2001:db8::1' }])
      await operator(server, { transports: [transport], extraHeaders: from });
    await until('the log names the client', () => /peer=192\.0\.2\.1 admin ui login refused: too many attempts/.test(server.stderr()), 20_000);
  });

own('who is no proxy cannot say to be another', async (t, shards) => {
  const server = await serve(t, shards);
  const answers = await guess(server, ['websocket'], ['192.0.2.1', '192.0.2.2', '192.0.2.3']);
  assert.equal(answers.at(-1), RESTS);
});

own('a second CONNECT while the first is looked at ends the connection', async (t, shards) => {
  const server = await serve(t, shards);
  const ann = await connect(server, WS);
  const auth = JSON.stringify(GOOD);
  ann.io.engine.transport.ws.send(`40/admin,${auth}`);
  ann.io.engine.transport.ws.send(`40/admin,${auth}`);
  await event(ann, 'disconnect');
  const op = await operator(server, WS);
  const [, sockets] = await op.hears('all_sockets');
  assert.equal(sockets.length, 1);
});

own('tokens and cookies are not shown', async (t, shards) => {
  const server = await serve(t, shards);
  const ann = await connect(server, { ...WS, query: { token: 'very-secret' }, extraHeaders: { Cookie: 'very=secret', Authorization: 'Bearer very-secret', 'X-Latin': 'caf\u00e9' } });
  const op = await operator(server, WS);
  const [, sockets] = await op.hears('all_sockets');
  const { handshake } = sockets.find((s) => s.id === ann.id);
  assert.doesNotMatch(JSON.stringify(handshake), /secret/);
  assert.equal(handshake.headers.cookie, '(hidden)');
  assert.equal(handshake.headers.authorization, '(hidden)');
  assert.equal(handshake.headers['x-latin'], 'caf\u00e9');
  assert.equal(handshake.url, '/socket.io/');
});

own('clients of json endpoints are sockets, those of plain ones are not', async (t, shards) => {
  const server = await serve(t, shards, {}, `${INI}\n[endpoint /json]\nprotocol = json\n[endpoint /echo]\nprotocol = echo\n`);
  const op = await operator(server, WS);
  await op.hears('all_sockets');
  const echo = new WebSocket(`ws://127.0.0.1:${server.port}/echo`);
  await new Promise((done) => (echo.onopen = done));
  const json = await JsonClient.open(server, '/json');
  const [, come] = await op.hears('socket_connected', (s) => s.nsp === '/');
  assert.equal(come.transport, 'websocket');
  assert.equal(come.handshake.url, '/json');
  json.send({ type: 'join', args: ['lobby'] });
  await op.hears('room_joined', (nsp, room, id) => room === 'lobby' && id === come.id);
  await op.hears('event_received', (nsp, id, args) => id === come.id && args[0] === 'join');
  op.socket.emit('_disconnect', '/', true, come.id);
  await op.hears('socket_disconnected', (nsp, id) => id === come.id);
  assert.deepEqual(op.of('socket_connected').map(([, s]) => s.nsp), ['/']);
  echo.close();
});

own('binary arguments are told by their places', async (t, shards) => {
  const server = await serve(t, shards);
  const op = await operator(server, WS);
  await op.hears('all_sockets');
  const ann = await connect(server, WS);
  ann.emit('echo', Buffer.from('abc'), 1);
  await event(ann, 'echoed');
  const place = { _placeholder: true, num: 0 };
  assert.deepEqual((await op.hears('event_received'))[3], ['echo', place, 1]);
  assert.deepEqual((await op.hears('event_sent'))[3], ['echoed', place, 1]);
});

own('an operator with the msgpack parser', async (t, shards) => {
  const server = await serve(t, shards);
  const ann = await connect(server, WS);
  const op = await operator(server, { ...WS, parser: msgpack });
  const [, sockets] = await op.hears('all_sockets');
  checkSocket(server, sockets.find((s) => s.id === ann.id), { id: ann.id });
  op.socket.emit('join', '/', 'lobby', ann.id);
  await op.hears('room_joined', (nsp, room) => room === 'lobby');
  op.socket.emit('emit', '/', undefined, 'hi', { n: 1 });
  assert.deepEqual(await event(ann, 'hi'), { n: 1 });
});

own('password, name and ui_read_only change with a reload; operators stay', async (t, shards) => {
  const ini = (more) => `${INI}\n[namespace /extra]\n[admin]\n${more}\n`;
  const server = await startFor(t, { ini: ini(''), shards, options: { 'admin.ui': 'yes' } }).catch((e) => e);
  assert.match(server.message, /ui_username: expected a name/);
  const keys = (user, more = '') => `ui = yes\nui_username = ${user}\nui_password_hash = ${ADMIN['admin.ui_password_hash']}\n${more}`;
  const open = await startFor(t, { ini: `${INI}\n[admin]\n${keys('admin')}\n`, shards });
  const ann = await connect(open, WS);
  const op = await operator(open, WS);
  await op.hears('all_sockets');
  assert.deepEqual(await reload(open, ini(keys('root', 'ui_read_only = yes\nui_server_id = again'))), { ok: true, lines: [] });
  await assert.rejects(operator(open, WS), { message: 'invalid credentials' });
  const other = await operator(open, { auth: { ...GOOD, username: 'root' }, ...WS });
  assert.deepEqual((await other.hears('config'))[1], { supportedFeatures: FEATURES.slice(-2) });
  await until('the new name', () => op.of('server_stats').some(([, s]) => s.serverId === 'again'), 20_000);
  const eve = await connect(open, { nsp: '/extra', ...WS });
  await op.hears('socket_connected', (s) => s.id === eve.id && s.nsp === '/extra');
  await until('it is counted', () => op.of('server_stats').some(([, s]) => s.namespaces.some((n) => n.name === '/extra' && n.socketsCount === 1)), 20_000);
  assert.equal((await reload(open, ini(keys('admin', 'ui_mode = production')))).lines.join().includes('[admin] ui_mode: the change needs a restart'), true);
  op.socket.emit('_disconnect', '/', true, ann.id);
  assert.equal(await ended(ann), 'io server disconnect');
  assert.equal((await reload(open, `${INI}\n[event /admin x]\nack = 1\n[admin]\n${keys('admin')}\n`)).ok, false);
});

test('faults of the keys are named', roomcastOnly, async () => {
  const hash = ADMIN['admin.ui_password_hash'];
  const check = async (options, ...args) => {
    const all = { 'admin.ui': 'yes', ...options };
    const out = await run(['--check', ...args, ...Object.entries(all).flatMap(([k, v]) => ['-o', `${k}=${v}`])]);
    return out.code === 0 ? '' : out.stderr;
  };
  assert.equal(await check(ADMIN), '');
  assert.equal(await check({ 'admin.ui': 'no' }), '');
  assert.match(await check({}), /\[admin\] ui_username: expected a name.*\n.*\[admin\] ui_password_hash: expected a bcrypt hash/);
  for (const bad of ['changeit', hash.slice(1), hash + 'x', hash.replace('$04', '$31'), hash.replace('2b', '2x'), hash.replace('N', ':')])
    assert.match(await check({ ...ADMIN, 'admin.ui_password_hash': bad }), /ui_password_hash: expected a bcrypt hash/);
  for (const bad of ['', '/a*', '/a,b', '/a?b'])
    assert.match(await check({ ...ADMIN, 'admin.ui_namespace': bad }), /ui_namespace = .*expected/);
  assert.match(await check({ ...ADMIN, 'admin.ui_mode': 'debug' }), /ui_mode = debug: expected development or production/);
  for (const kind of ['2a', '2y']) assert.equal(await check({ ...ADMIN, 'admin.ui_password_hash': hash.replace('2b', kind) }), '');
});

own('the namespace has no rules of the INI, and no json endpoint leads there', async (t, shards) => {
  const { start } = await import('./lib/daemon.mjs');
  const tried = (ini) => start({ ini, shards, options: ADMIN }).then((s) => s.stop(), (e) => e.message);
  assert.match(await tried('[event /admin x]\nack = 1\n'), /namespace \/admin: expected another name than admin.ui_namespace/);
  assert.match(await tried('[endpoint /x]\nprotocol = json\nnamespace = /admin\n'), /expected another namespace than admin.ui_namespace/);
});
