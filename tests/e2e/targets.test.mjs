// Targets of rules that are more than a room: unions, in which each socket gets it once, what they
// except, and volatile events.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, startFor, until, within } from './lib/target.mjs';

const RULES = `
[event join]
join = {1}
[event leave]
leave = {1}
[event enter]
join = rooms {1}
emit = sender: entered {room}
[event exit]
leave = rooms {1}
[event say]
emit = room {1}: said {2..}
[event echo]
emit = sender: echo {args}
[event mark]
ack = {args}
[event union]
emit = rooms {1}: said {2..}
[event others]
emit = rooms {1} except sender: said {2..}
[event but]
emit = rooms {1} except rooms {2}: said {3..}
[event mixed]
emit = room {1}, room news, socket {2} except sender, room muted, socket {3}: said {4..}
[event allbut]
emit = all except room {1}: said {2..}
[event written]
emit = rooms ["x-{1}","y-{1}"], sender: said {room} {2..}
[event twice]
emit = rooms {1}: said 1 {2}
emit = room {3}: said 2 {2}
emit = rooms {1}: said 3 {2}
[event flash]
emit = volatile room {1}: flash {2..}
[event flashes]
emit = volatile rooms {1} except sender: flash {2..}
[event flashMe]
emit = volatile sender: flash {args}
[event flashAll]
emit = volatile all: flash {args}
`;

const range = (n) => [...Array(n).keys()];
const ROOMS = range(7).map((i) => `room ${i}`);

async function crowd(server, n) {
  const all = await Promise.all(
    range(n).map((i) => connect(server, { transports: [i % 3 === 2 ? 'polling' : 'websocket'] })),
  );
  return all.map((s) => Object.assign(s, { box: inbox(s) }));
}

// What each of them has got once the sender's events have come to everybody.
async function harvest(sender, all) {
  await ask(sender, 'mark');
  await Promise.all(all.map((s) => ask(s, 'mark')));
  await sleep(20 * slow);
  return all.map((s) => s.box.splice(0).map(([, ...args]) => args));
}

function unionTests(server) {
  test('each socket once, whichever of the rooms it is in', async () => {
    const all = await crowd(server(), 9);
    const member = (i, r) => (i + r) % 3 === 0 || i === r;
    await Promise.all(
      all.flatMap((s, i) => ROOMS.filter((_, r) => member(i, r)).map((room) => ask(s, 'join', room))),
    );
    const sets = [[0, 1], [2, 3, 4], [0, 1, 2, 3, 4, 5, 6], [5], [6, 6, 6], []];
    for (const [n, set] of sets.entries()) {
      all[n].emit('union', set.map((r) => ROOMS[r]), n);
      const got = await harvest(all[n], all);
      got.forEach((g, i) =>
        assert.deepEqual(g, set.some((r) => member(i, r)) ? [[n]] : [], `client ${i}, rooms ${set}`),
      );
    }
  });

  test('without the sender, without the members of other rooms', async () => {
    const all = await crowd(server(), 8);
    const [a, b, c, d] = ['eA', 'eB', 'eC', 'eD'];
    await Promise.all(all.slice(0, 6).map((s) => ask(s, 'enter', [a, b])));
    await Promise.all([1, 2].map((i) => ask(all[i], 'join', c)));
    await Promise.all([2, 3].map((i) => ask(all[i], 'join', d)));
    await harvest(all[0], all);
    const cases = [
      [['others', [a, b], 'x'], [1, 2, 3, 4, 5]],
      [['but', [a, b], [c], 'x'], [0, 3, 4, 5]],
      [['but', [a], [c, d], 'x'], [0, 4, 5]],
      [['but', [a, c], [a], 'x'], []],
      [['but', [a, b], ['nobody here'], 'x'], [0, 1, 2, 3, 4, 5]],
      [['but', [a, b], [all[4].id, d], 'x'], [0, 1, 5]],
      [['but', [a], [], 'x'], [0, 1, 2, 3, 4, 5]],
      [['allbut', a, 'x'], [6, 7]],
      [['allbut', all[3].id, 'x'], [0, 1, 2, 4, 5, 6, 7]],
    ];
    for (const [event, to] of cases) {
      all[0].emit(...event);
      const got = await harvest(all[0], all);
      got.forEach((g, i) => assert.deepEqual(g, to.includes(i) ? [['x']] : [], `${event}: client ${i}`));
    }
  });

  test('who has left an excepted room gets it, who has joined it does not', async () => {
    const [a, b] = await crowd(server(), 2);
    await ask(b, 'join', 'flips');
    for (let n = 0; n < 20; n++) {
      await ask(b, n % 2 ? 'join' : 'leave', 'quiet');
      a.emit('but', ['flips', 'none', 'other'], ['quiet'], n);
      await ask(a, 'mark');
    }
    const [got] = await harvest(a, [b]);
    assert.deepEqual(got, range(10).map((n) => [2 * n]));
  });

  test('rooms, sockets and excepts, all in one', async () => {
    const all = await crowd(server(), 7);
    const [sender, inRoom, reader, muted, shunned, asked] = all;
    await Promise.all([sender, inRoom, muted, shunned].map((s) => ask(s, 'join', 'mix')));
    await Promise.all([inRoom, reader, muted].map((s) => ask(s, 'join', 'news')));
    await ask(muted, 'join', 'muted');
    await ask(asked, 'join', 'news');
    sender.emit('mixed', 'mix', asked.id, shunned.id, 'x', Buffer.from([1, 2]));
    const got = await harvest(sender, all);
    const wanted = [inRoom, reader, asked];
    got.forEach((g, i) =>
      assert.deepEqual(g, wanted.includes(all[i]) ? [['x', Buffer.from([1, 2])]] : [], `client ${i}`),
    );
  });

  test('own-id rooms are rooms; a list in the INI', async () => {
    const all = await crowd(server(), 4);
    await ask(all[1], 'join', 'y-1');
    all[0].emit('union', [all[1].id, all[2].id, 'y-1', all[2].id], 'ids');
    assert.deepEqual(await harvest(all[0], all), [[], [['ids']], [['ids']], []]);
    all[0].emit('written', 1, 'w');
    assert.deepEqual(await harvest(all[0], all), [[['y-1', 'w']], [['y-1', 'w']], [], []]);
  });

  test('joins and leaves of lists', async () => {
    const [a, b] = await crowd(server(), 2);
    await ask(b, 'enter', ['l1', 'l2', 3, true, 'l1']);
    await ask(b, 'exit', ['l2', 'l2', 'never']);
    for (const room of ['l1', 'l2', '3', 'true']) a.emit('say', room, room);
    await ask(b, 'exit', []);
    const [got] = await harvest(a, [b]);
    assert.deepEqual(got, [['l1'], ['l1'], ['3'], ['true']]); // the first is `entered`
  });

  test('seven rooms: all members see all unions and messages of a room in one order', async () => {
    const all = await crowd(server(), 8);
    const member = (i, r) => (i * 3 + r * 5) % 4 !== 0;
    await Promise.all(
      all.map((s, i) => ask(s, 'enter', ROOMS.filter((_, r) => member(i, r)))),
    );
    await harvest(all[0], all);
    const wanted = all.map(() => 0);
    for (let n = 0; n < 30; n++) {
      for (const [i, s] of all.entries()) {
        const set = n % 3 === 0 ? [(n + i) % 7] : [(n + i) % 7, (n * i + 1) % 7, (n + 3) % 7];
        if (n % 3 === 0) s.emit('say', ROOMS[set[0]], set, i, n);
        else s.emit('union', set.map((r) => ROOMS[r]), set, i, n);
        all.forEach((_, k) => (wanted[k] += set.some((r) => member(k, r))));
      }
      if (n % 4 === 0) await new Promise(setImmediate);
    }
    await until('everything', () => all.every((s, i) => s.box.length >= wanted[i]), 60_000);
    const got = await harvest(all[0], all);
    got.forEach((g, i) => assert.equal(g.length, wanted[i], `client ${i}`));
    for (const g of got)
      for (const i of range(8)) {
        const mine = g.filter((m) => m[1] === i).map((m) => m[2]);
        assert.deepEqual(mine, [...mine].sort((x, y) => x - y), 'one sender, its order');
      }
    for (const r of range(7)) {
      const seen = got
        .filter((_, i) => member(i, r))
        .map((g) => JSON.stringify(g.filter((m) => m[0].includes(r))));
      for (const s of seen) assert.ok(s === seen[0], `room ${r}: another order`);
    }
  });

  test('rules with several emits, acks, echoes and unions: the order of the connection', async () => {
    const ws = await Socket.open(server(), { namespace: '/' });
    const rooms = ['oA', 'oB', 'oC', 'oD', 'oE'];
    ws.send(`420["enter",${JSON.stringify(rooms)}]`);
    assert.deepEqual(await ws.take(2), ['42["entered","oE"]', '430[{"ok":true}]']);
    const wanted = [];
    for (let n = 0; n < 150; n++) {
      const set = JSON.stringify([rooms[n % 5], rooms[(n * 3 + 1) % 5], rooms[(n * 2) % 5]]);
      if (n % 3 === 0) ws.send(`42["union",${set},${n}]`), wanted.push(`42["said",${n}]`);
      if (n % 4 === 1) ws.send(`42["echo",${n}]`), wanted.push(`42["echo",${n}]`);
      if (n % 4 === 2)
        ws.send(`42${n}["union",${set},"acked",${n}]`), wanted.push(`42["said","acked",${n}]`, `43${n}[{"ok":true}]`);
      if (n % 5 === 3) ws.send(`42["say","${rooms[n % 5]}",${n}]`), wanted.push(`42["said",${n}]`);
      if (n % 5 === 4) ws.send(`42${n}["mark",${n}]`), wanted.push(`43${n}[${n}]`);
      if (n % 7 === 0) ws.send(`42["union",["${ws.id}","${rooms[n % 5]}"],"own",${n}]`), wanted.push(`42["said","own",${n}]`);
      if (n % 7 === 1) {
        ws.send(`42${n}["twice",${set},${n},"${rooms[n % 5]}"]`);
        wanted.push(...[1, 2, 3].map((k) => `42["said",${k},${n}]`), `43${n}[{"ok":true}]`);
      }
      if (n % 11 === 0) {
        ws.send(`42${n}["exit",${set}]`, `42["union",${set},"not me"]`, `42${n}["enter",${set}]`);
        wanted.push(`43${n}[{"ok":true}]`, `42["entered","${JSON.parse(set)[2]}"]`, `43${n}[{"ok":true}]`);
      }
    }
    assert.deepEqual(await ws.take(wanted.length), wanted);
    ws.destroy();
  });

  test('a sender that goes at once has sent its unions', async () => {
    const listener = await Socket.open(server(), { namespace: '/' });
    listener.send('420["enter",["g1","g2","g3","g4"]]');
    await listener.take(2);
    for (let i = 0; i < 10; i++) {
      const ws = await Socket.open(server(), { namespace: '/' });
      ws.send(...range(20).map((n) => `42["union",["g${1 + (n % 4)}","g${1 + (n % 3)}"],${i},${n}]`));
      ws.ws.close();
      assert.deepEqual(await listener.take(20), range(20).map((n) => `42["said",${i},${n}]`));
    }
    listener.destroy();
  });
}

const SIZE = 50_000;
const filled = (n, k) => Buffer.alloc(SIZE, (n * 2 + k) % 256);

function volatileTests(server) {
  test('clients that can take it get it', async () => {
    const all = (await crowd(server(), 6)).filter((s) => s.io.engine.transport.name === 'websocket');
    await Promise.all(all.map((s) => ask(s, 'join', 'v1')));
    for (let n = 0; n < 10; n++) {
      all[0].emit('flash', 'v1', n, Buffer.from([n]));
      await Promise.all(all.map((s) => until(`flash ${n}`, () => s.box.length > n)));
    }
    for (const s of all) assert.deepEqual([...s.box], range(10).map((n) => ['flash', n, Buffer.from([n])]));
    all[0].emit('flashes', ['v1', 'v2', 'v3', 'v4'], 'x');
    await ask(all[0], 'mark');
    await ask(all[0], 'flashMe', 'me');
    const [mine, ...others] = await harvest(all[0], all);
    assert.deepEqual(mine.at(-1), ['me']);
    for (const o of others) assert.deepEqual(o.at(-1), ['x']);
  });

  test('a client without a pending poll does not; with one it does', async () => {
    const [a] = await crowd(server(), 1);
    const s = await Polling.open(server(), { namespace: '/' });
    await s.post('42["join","v5"]');
    await s.packets(0);
    await ask(a, 'flash', 'v5', 'lost');
    await ask(a, 'flashAll', 'lost');
    await ask(a, 'say', 'v5', 'kept');
    assert.deepEqual(await s.poll(), ['42["said","kept"]']);
    const poll = s.poll();
    await sleep(100 * slow);
    await ask(a, 'flash', 'v5', 'taken');
    assert.deepEqual(await poll, ['42["flash","taken"]']);
  });

  test('one who does not read: each packet whole with its attachments, or not at all', async () => {
    const [a, b] = await crowd(server(), 2);
    const ws = await Socket.open(server(), { namespace: '/' });
    ws.send('420["join","v6"]');
    assert.equal(await ws.next(), '430[{"ok":true}]');
    await ask(b, 'join', 'v6');
    ws.ws._socket.pause();
    const N = 200; // 20 MB: far more than sockets' buffers take, and than max_queue allows
    let heard = 0;
    for (let n = 0; n < N; n++) {
      await ask(a, 'flash', 'v6', n, filled(n, 0), filled(n, 1));
      await until(`flash ${n} at who reads`, () => b.box.length > heard);
      heard = b.box.length;
    }
    assert.equal(heard, N);
    await ask(a, 'say', 'v6', 'end');
    ws.ws._socket.resume();
    let packets = 0;
    for (let last = -1; ;) {
      const head = await ws.next();
      if (head === '42["said","end"]') break;
      const n = Number(head.match(/^452-\["flash",(\d+),/)[1]);
      assert.ok(n > last, 'in order');
      assert.deepEqual(await ws.take(2), [filled(n, 0), filled(n, 1)]);
      last = n;
      packets++;
    }
    assert.ok(packets >= 1 && packets < N, `${packets} packets`);
    ws.send('421["mark"]');
    assert.equal(await ws.next(), '431[]');
    ws.send('42["flashMe",1]');
    assert.equal(await ws.next(), '42["flash",1]');
    ws.destroy();
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    afterEach(closeAll);
    after(() => server.stop());
    unionTests(() => server);
    volatileTests(() => server);
  });
}

const OWN = `
[event join]
join = {1}
[event enter]
join = rooms {1}
[event union]
emit = rooms {1}: said {2..}
[event mixed]
emit = room {1}, socket {2} except socket {3}: said
[event maybe]
emit = rooms {1?}: said
[event poll]
ask = rooms {1} except sender within 400ms: poll {2}
[event flash]
ask = volatile rooms {1}, sender within 400ms: poll {2}
[event one]
ask = volatile socket {1} within 400ms: poll {2}
[connect /auth]
join = rooms {auth.rooms}
[event /auth say]
emit = room {1}: said
`;

for (const shards of SHARDS) {
  describe(`roomcast's own, ${label(shards)}`, roomcastOnly, () => {
    let server;
    before(async () => {
      server = await start({ ini: OWN, shards, options: { 'limits.max_target_rooms': '8' } });
    });
    afterEach(closeAll);
    after(() => server.stop());

    test('refusals name what is wrong', async () => {
      const [a, b] = await crowd(server, 2);
      const nine = range(9).map(String);
      const code = async (...event) => (await ask(a, ...event)).error;
      assert.equal(await code('union', nine), 'too_many_targets');
      assert.equal(await code('enter', nine), 'too_many_targets');
      assert.equal(await code('union', range(8)), undefined);
      assert.equal(await code('union', 'a'), 'bad_argument');
      assert.equal(await code('union', { 0: 'a' }), 'bad_argument');
      assert.equal(await code('union', ['a', ['b']]), 'bad_argument');
      assert.equal(await code('union', ['a', null]), 'bad_argument');
      assert.equal(await code('union', null), undefined);
      assert.equal(await code('union'), 'missing_argument');
      assert.equal(await code('maybe'), undefined);
      assert.equal(await code('union', ['a', '']), 'bad_room');
      assert.equal(await code('union', ['\u0001rooms']), 'bad_room');
      assert.equal(await code('enter', ['mine', b.id]), 'bad_room');
      assert.equal(await code('enter', [a.id, 'mine']), undefined);
      assert.equal(await code('mixed', 'mine', 'x', b.id), 'bad_target');
      assert.equal(await code('mixed', 'mine', b.id, 'x'), 'bad_target');
      assert.equal(await code('mixed', 'mine', b.id, b.id), undefined);
    });

    test('a union is asked: each socket once, and all answers', async () => {
      const all = await crowd(server, 7);
      all.forEach((s, i) => s.on('poll', (q, answer) => (q === 'mute' && i === 3 ? null : answer(i))));
      await Promise.all(all.slice(0, 4).map((s) => ask(s, 'enter', ['p1', 'p2'])));
      await Promise.all(all.slice(2, 6).map((s) => ask(s, 'enter', ['p3', 'p4'])));
      const answers = async (...event) => {
        const r = await ask(all[0], ...event);
        return [r.ok, r.error, r.answers.flat().sort()];
      };
      const rooms = ['p1', 'p2', 'p3', 'p4', 'p5'];
      assert.deepEqual(await answers('poll', rooms, 'x'), [true, undefined, [1, 2, 3, 4, 5]]);
      assert.deepEqual(await answers('poll', rooms, 'mute'), [false, 'timeout', [1, 2, 4, 5]]);
      assert.deepEqual(await answers('poll', [], 'x'), [true, undefined, []]);
      assert.deepEqual(await answers('poll', ['nobody', 'none', 'no'], 'x'), [true, undefined, []]);
      assert.deepEqual(await answers('poll', [all[1].id, all[6].id], 'x'), [true, undefined, [1, 6]]);
      // Those that cannot be asked now are not waited for.
      const stalled = await Polling.open(server, { namespace: '/' });
      await stalled.post('42["join","p1"]');
      const got = await answers('flash', rooms, 'x');
      assert.deepEqual(got.slice(0, 2), [true, undefined]);
      assert.ok(got[2].includes(0) && got[2].includes(1));
      assert.deepEqual(await ask(all[0], 'one', all[1].id, 'x'), 1);
      assert.equal((await ask(all[0], 'one', stalled.id, 'x')).error, 'bad_target');
    });

    test('rooms that auth brings', async () => {
      const s = await connect(server, { nsp: '/auth', auth: { rooms: ['m', 'n', 'o'] } });
      const t = await connect(server, { nsp: '/auth' });
      const box = inbox(s);
      for (const room of ['m', 'n', 'o', 'p']) await ask(t, 'say', room);
      await within(5000, 'three', box.wait(3));
      await sleep(30);
      assert.equal(box.length, 3);
    });

    test('ends while unions are under way', async (t) => {
      const own = await startFor(t, { ini: OWN, shards });
      const all = await Promise.all(range(4).map(() => Socket.open(own, { namespace: '/' })));
      for (const ws of all) ws.send('42["enter",["a","b","c","d","e","f"]]');
      for (let n = 0; n < 200; n++)
        for (const ws of all) ws.send(`42["union",["a","b","c","d","e","f"],${n}]`);
      await sleep(30);
    });
  });
}
