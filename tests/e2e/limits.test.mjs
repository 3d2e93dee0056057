// Limits on what peers can make grow, and the live list of rooms. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';

import { ask, closeAll, connect, event, inbox } from './lib/client.mjs';
import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, sleep, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const range = (n) => [...Array(n).keys()];

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

  for (const shards of [1, 2])
    test(`more clients than descriptors: no spinning, and service goes on after; ${label(shards)}`, async (t) => {
      const server = await startFor(t, {
        ini: RULES,
        shards,
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

  test('more changes at once than rooms_listed: none is lost', async (t) => {
    const server = await startFor(t, { ini, shards: 1, options: { 'limits.rooms_listed': '5' } });
    const [watcher, a] = [await connect(server), await connect(server)];
    const rooms = follow(watcher);
    await ask(watcher, 'watchRooms');
    await Promise.all(range(12).map((r) => ask(a, 'join', `r${r}`)));
    await until('all to come', () => rooms.size === 12);
    a.disconnect();
    await until('all to go', () => rooms.size === 0);
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
