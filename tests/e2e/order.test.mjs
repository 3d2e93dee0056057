// Order: one sequence per room for all its members, first in first out per connection, and what
// a join or leave that has been acknowledged promises.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox, upgraded } from './lib/client.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { SHARDS, label, sleep, slow, start, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const range = (n) => [...Array(n).keys()];
const MODES = [
  ['websocket'],
  ['websocket'],
  ['polling', 'websocket'],
  ['websocket'],
  ['polling'],
  ['websocket'],
];

// The members of a mixed crowd, upgraded where an upgrade is due.
async function crowd(server, n) {
  const all = await Promise.all(
    range(n).map((i) => connect(server, { transports: MODES[i % MODES.length] })),
  );
  await Promise.all(all.map((s, i) => MODES[i % MODES.length].length > 1 && upgraded(s)));
  return all;
}

function totalOrderTests(server) {
  test('12 clients send 2,000 messages to one room: all see one sequence', async () => {
    const all = await crowd(server(), 12);
    const boxes = all.map(inbox);
    await Promise.all(all.map((s) => ask(s, 'join', 'total')));
    const each = range(12).map((i) => (i < 8 ? 167 : 166)); // 2,000
    await Promise.all(
      all.map(async (s, i) => {
        for (let n = 0; n < each[i]; n++) {
          s.emit('say', 'total', i, n);
          if ((n * 7 + i) % 5 === 0) await new Promise(setImmediate); // in bursts, interleaved
        }
      }),
    );
    await until('2,000 messages at 12 clients', () => boxes.every((b) => b.length >= 2000), 60_000);
    await sleep(50);
    for (const box of boxes) {
      assert.equal(box.length, 2000);
      for (const i of range(12))
        assert.deepEqual(
          box.filter((m) => m[1] === i).map((m) => m[2]),
          range(each[i]),
          `order of sender ${i}`,
        );
    }
    const sequence = JSON.stringify(boxes[0]);
    boxes.forEach((box, i) => assert.ok(JSON.stringify(box) === sequence, `client ${i} saw another order`));
  });

  test('with and without the sender, mixed: everybody misses just what it ought to', async () => {
    const all = await crowd(server(), 8);
    const boxes = all.map(inbox);
    await Promise.all(all.map((s) => ask(s, 'join', 'mixed')));
    const kinds = ['say', 'tell', 'tell'];
    const silent = 7; // only listens: sees everything
    for (let n = 0; n < 120; n++) {
      for (let i = 0; i < silent; i++) all[i].emit(kinds[(n + i) % 3], 'mixed', kinds[(n + i) % 3], i, n);
      if (n % 6 === 0) await new Promise(setImmediate);
    }
    const due = (i) => (m) => m[1] !== 'tell' || m[2] !== i;
    await until('the listener to have all', () => boxes[silent].length >= 120 * silent, 60_000);
    const wanted = boxes.map((_, i) => JSON.stringify(boxes[silent].filter(due(i))));
    await until(
      'all to have theirs',
      () => boxes.every((b, i) => b.length >= boxes[silent].filter(due(i)).length),
      60_000,
    );
    await sleep(50);
    boxes.forEach((b, i) =>
      assert.ok(
        JSON.stringify(b) === wanted[i],
        `client ${i} has ${b.length}, ${b.filter((m) => !due(i)(m)).length} of its own`,
      ),
    );
  });

  test('six rooms at once, members overlap, senders outside', async () => {
    const rooms = range(6).map((r) => `many-${r}`);
    const all = await crowd(server(), 8);
    const boxes = all.map(inbox);
    const member = (i, r) => (i + r) % 4 !== 0;
    await Promise.all(
      all.flatMap((s, i) => rooms.filter((_, r) => member(i, r)).map((room) => ask(s, 'join', room))),
    );
    for (let n = 0; n < 40; n++) {
      all.forEach((s, i) => s.emit('say', rooms[(n + i) % 6], (n + i) % 6, i, n));
      if (n % 4 === 0) await new Promise(setImmediate);
    }
    const wanted = (i) => range(6).filter((r) => member(i, r)).length;
    const total = (i) => range(40 * 8).filter((k) => member(i, (Math.floor(k / 8) + (k % 8)) % 6)).length;
    assert.ok(wanted(0) > 0);
    await until('every room to be complete', () => boxes.every((b, i) => b.length >= total(i)), 60_000);
    await sleep(50);
    boxes.forEach((b, i) => assert.equal(b.length, total(i)));
    for (const r of range(6)) {
      const seen = boxes
        .filter((_, i) => member(i, r))
        .map((b) => JSON.stringify(b.filter((m) => m[1] === r)));
      for (const s of seen) assert.ok(s === seen[0], `room ${r}: another order`);
    }
  });
}

// A script of packets, and what the sender itself must see of it, frame by frame.
function script(id, rooms, n) {
  const packets = [];
  const answers = [];
  const step = (packet, ...wanted) => {
    packets.push(packet);
    answers.push(...wanted);
  };
  for (let i = 0; i < n; i++) {
    const room = rooms[i % rooms.length];
    step(`42["say","${room}","${room}",${i}]`, `42["said","${room}",${i}]`);
    if (i % 2 === 0) step(`42${i}["ask",${i}]`, `43${i}[${i}]`);
    if (i % 3 === 0) step(`42["echo",${i}]`, `42["echo",${i}]`);
    if (i % 5 === 0)
      step(`42${i}["say","${room}","acked",${i}]`, `42["said","acked",${i}]`, `43${i}[{"ok":true}]`);
    if (i % 7 === 0) step(`42["whisper","${id}",${i}]`, `42["whispered",${i}]`);
    if (i % 7 === 1) step(`42["tell","${room}",${i}]`);
    if (i % 7 === 2) step(`42["shout","${id}",${i}]`, `42["shouted","${id}",${i}]`);
    if (i % 7 === 3) step(`42["shoutOthers","${id}",${i}]`);
    if (i % 7 === 4) step(`42["say","${id}","own",${i}]`, `42["said","own",${i}]`);
    if (i % 7 === 5) step(`42["leave","${room}"]`);
    if (i % 7 === 5) step(`42["say","${room}","not me",${i}]`);
    if (i % 7 === 5) step(`42${i}["join","${room}"]`, `43${i}[{"ok":true}]`);
    if (i % 7 === 6) step(`42${i}["join","${room}"]`, `43${i}[{"ok":true}]`);
  }
  return { packets, answers };
}

const joins = (rooms) => rooms.map((r, i) => `42${i}["join","${r}"]`);
const joined = (rooms) => rooms.map((_, i) => `43${i}[{"ok":true}]`);

function fifoTests(server) {
  for (const rooms of [['A', 'B', 'C'], range(10).map((i) => `room number ${i}`)]) {
    test(`a connection in ${rooms.length} rooms sees rooms, acks and its own messages in its order`, async () => {
      const ws = await Socket.open(server(), { namespace: '/' });
      ws.send(...joins(rooms));
      assert.deepEqual(await ws.take(rooms.length), joined(rooms));
      const { packets, answers } = script(ws.id, rooms, 210);
      ws.send(...packets);
      assert.deepEqual(await ws.take(answers.length), answers);
      ws.send('42999["ask"]');
      assert.equal(await ws.next(), '43999[]');
      ws.destroy();
    });
  }

  test('the same over polling', async () => {
    const rooms = ['pA', 'pB', 'pC'];
    const s = await Polling.open(server(), { namespace: '/' });
    await s.post(...joins(rooms));
    assert.deepEqual(await s.packets(3), joined(rooms));
    const { packets, answers } = script(s.id, rooms, 210);
    const half = packets.length >> 1;
    const [, seen] = await Promise.all([
      s.post(...packets.slice(0, half)).then(() => s.post(...packets.slice(half))),
      s.packets(answers.length),
    ]);
    assert.deepEqual(seen, answers);
  });

  test('the same while others do so in the same rooms', async () => {
    const rooms = ['xA', 'xB', 'xC', 'xD'];
    const all = await Promise.all(range(6).map(() => Socket.open(server(), { namespace: '/' })));
    await Promise.all(all.map((ws) => (ws.send(...joins(rooms)), ws.take(4))));
    const own = (id) => {
      const { packets, answers } = script(id, rooms, 105);
      const mark = (p) => p.replace(/\]$/, `,"${id}"]`); // the sender signs each message
      return { packets: packets.map(mark), answers: answers.map((a) => (/\{"ok"/.test(a) ? a : mark(a))) };
    };
    const scripts = all.map((ws) => own(ws.id));
    all.forEach((ws, i) => ws.send(...scripts[i].packets));
    await Promise.all(
      all.map(async (ws, i) => {
        const mine = [];
        while (mine.length < scripts[i].answers.length) {
          const m = await ws.next();
          if (m.startsWith('43') || m.includes(`"${ws.id}"]`)) mine.push(m);
        }
        assert.deepEqual(mine, scripts[i].answers);
      }),
    );
    for (const ws of all) ws.destroy();
  });

  test('join, send and leave without waiting for anything', async () => {
    for (let i = 0; i < 20; i++) {
      const ws = await Socket.open(server(), { namespace: '/' });
      const r = `pipe-${i}`;
      ws.send(
        `42["join","${r}"]`,
        `42["sayMember","${r}",1]`,
        `42["leave","${r}"]`,
        `42["say","${r}",2]`,
        `421["sayMember","${r}",3]`,
        `42["join","${r}"]`,
        `42["say","${r}",4]`,
        '422["ask"]',
      );
      const rest = await ws.take(4);
      assert.match(rest[1], /^431\[\{"ok":false,"error":"not_a_member"/);
      rest[1] = 'refused';
      assert.deepEqual(rest, ['42["said",1]', 'refused', '42["said",4]', '432[]']);
      ws.destroy();
    }
  });

  test('a sender that goes at once has sent everything', async () => {
    const listener = await Socket.open(server(), { namespace: '/' });
    listener.send('420["join","last words"]');
    await listener.next();
    for (let i = 0; i < 10; i++) {
      const ws = await Socket.open(server(), { namespace: '/' });
      ws.send(...range(50).map((n) => `42["say","last words",${i},${n}]`));
      if (i % 2) ws.send('41');
      ws.ws.close();
      assert.deepEqual(
        await listener.take(50),
        range(50).map((n) => `42["said",${i},${n}]`),
      );
    }
    listener.destroy();
  });
}

function membershipTests(server) {
  test('after a join is acknowledged, everything arrives', async () => {
    const sender = await Socket.open(server(), { namespace: '/' });
    const all = await Promise.all(range(8).map(() => Socket.open(server(), { namespace: '/' })));
    for (let i = 0; i < 25; i++) {
      const members = all.filter((_, m) => (i + m) % 3);
      for (const ws of members) ws.send(`42${i}["join","fresh-${i}"]`);
      for (const ws of members) assert.equal(await ws.next(), `43${i}[{"ok":true}]`);
      sender.send(`42["say","fresh-${i}",${i}]`);
      for (const ws of members) assert.equal(await ws.next(), `42["said",${i}]`);
    }
    for (const ws of [sender, ...all]) ws.destroy();
  });

  test('after a leave is acknowledged, nothing arrives', async () => {
    const senders = await Promise.all(range(3).map(() => Socket.open(server(), { namespace: '/' })));
    let n = 0;
    const chatter = setInterval(() => senders.forEach((ws) => ws.send(`42["tell","busy",${n++}]`)), 1);
    try {
      let heard = 0;
      for (let i = 0; i < 20; i++) {
        const ws = await Socket.open(server(), { namespace: '/' });
        ws.send('421["join","busy"]');
        assert.equal(await ws.next(), '431[{"ok":true}]');
        await sleep(10 * slow);
        ws.send('422["leave","busy"]');
        for (let m = ''; m !== '432[{"ok":true}]'; m = await ws.next())
          heard += m.startsWith('42["said"') ? 1 : 0;
        await sleep(15);
        ws.send('423["ask"]');
        assert.equal(await ws.next(), '433[]', 'a message after the leave');
        ws.destroy();
      }
      assert.ok(heard > 20, `only ${heard} messages while joined`);
    } finally {
      clearInterval(chatter);
    }
    for (const ws of senders) ws.destroy();
  });

  test('a room that comes and goes', async () => {
    const [a, b] = await Promise.all([1, 2].map(() => Socket.open(server(), { namespace: '/' })));
    for (let i = 0; i < 60; i++) {
      a.send('421["join","flicker"]', `422["say","flicker",${i}]`, '423["leave","flicker"]');
      assert.deepEqual(await a.take(4), [
        '431[{"ok":true}]',
        `42["said",${i}]`,
        '432[{"ok":true}]',
        '433[{"ok":true}]',
      ]);
      b.send('421["join","flicker"]');
      assert.equal(await b.next(), '431[{"ok":true}]');
      a.send(`422["say","flicker","b",${i}]`);
      assert.equal(await a.next(), '432[{"ok":true}]');
      assert.equal(await b.next(), `42["said","b",${i}]`);
      b.send('423["leave","flicker"]');
      assert.equal(await b.next(), '433[{"ok":true}]');
    }
    for (const ws of [a, b]) ws.destroy();
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    afterEach(closeAll);
    after(() => server.stop());
    totalOrderTests(() => server);
    fifoTests(() => server);
    membershipTests(() => server);
  });
}
