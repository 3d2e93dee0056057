// Messages to users and groups on nodes that share a MariaDB and a Redis: every device gets each of them once, in
// the order of the ids, on whatever node it was stored; and what nobody was given is there for the next device.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';

import { ask, closeAll } from './lib/client.mjs';
import { device as anyDevice, messages, to, toGroup } from './lib/mail.mjs';
import { startMariadb } from './lib/mariadb.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { joined, startRedis } from './lib/redis.mjs';
import { AUTH } from './lib/store.mjs';
import { sleep, until } from './lib/wait.mjs';

const INI = `
[event message]
message = {1}
[event add]
group = add {1} {2}
[event remove]
group = remove {1} {2}
[event talk]
history = conversation {1}
`;
const range = (n) => [...Array(n).keys()];

let redis, db, a, b;
const node = (shards) =>
  startWithMetrics(null, { ini: INI, shards, options: { ...AUTH, ...db.options(), 'cluster.redis': redis.url } });

before(async () => {
  [redis, db] = await Promise.all([startRedis(), startMariadb()]);
  a = await node(1);
  b = await node(3);
  await joined(redis, 2);
});
after(async () => {
  closeAll();
  for (const server of [a, b]) await server?.stop();
  await redis?.stop();
  await db?.remove();
});
afterEach(closeAll);

let serial = 0;
const name = (text) => `${text}${++serial}`;

const device = async (server, user) =>
  Object.assign(await anyDevice(server, user, { transports: ['websocket'], reconnection: false }), { user });

const ids = (socket) => messages(socket).map((m) => m.id);
const has = (socket, n, ms = 20_000) =>
  until(`${n} messages for ${socket.user}, of which ${ids(socket).length} came`, () => ids(socket).length >= n, ms);
async function send(socket, message) {
  const ack = await ask(socket, 'message', message);
  assert.equal(ack.ok, true, JSON.stringify(ack));
  (socket.sent ??= new Set()).add(ack.id);
  return ack.id;
}
const rising = (list) => list.every((id, i) => i === 0 || id > list[i - 1]);
const cursor = async (user) => Number((await db.rows(`SELECT message_id FROM user_cursor WHERE user_id = '${user}'`))[0]?.message_id ?? 0);

test('private and group messages reach the devices on every node, each once and in the order of the ids', async () => {
  const [ann, bob, carl, group] = ['ann', 'bob', 'carl', 'group'].map(name);
  const all = [];
  for (const user of [ann, bob]) for (const at of [a, a, b, b]) all.push(await device(at, user));
  all.push(await device(b, carl));
  for (const user of [ann, bob, carl]) await ask(all[0], 'add', group, user);
  // Two devices of ann and one of bob on either node, and carl's, all at once.
  const senders = [all[0], all[2], all[4], all[6], all[8]];
  const work = senders.map(async (from) => {
    for (const i of range(60)) {
      const receiver = [ann, bob, carl][i % 3];
      await send(from, i % 4 === 3 ? toGroup(group, `${i}`) : to(receiver, { i }));
    }
  });
  await Promise.all(work);
  const rows = await db.rows(`SELECT id, conversation_type AS type, sender_id AS sender, receiver_id AS receiver FROM message ORDER BY id`);
  const mine = (user) => rows.filter((r) => r.sender === user || r.receiver === user || r.receiver === group).map((r) => Number(r.id));
  assert.equal(rows.filter((r) => [ann, bob, carl].includes(r.sender)).length, 300);
  for (const socket of all) {
    const want = mine(socket.user).filter((id) => !socket.sent?.has(id));
    await has(socket, want.length);
    assert.deepEqual(ids(socket), want, socket.user);
  }
  await sleep(1500); // a look of the store later: nothing comes again
  for (const socket of all) assert.equal(ids(socket).length, mine(socket.user).filter((id) => !socket.sent?.has(id)).length);
});

test('what comes from another node has the same form as what is stored here', async () => {
  const [ann, bob, group] = ['ann', 'bob', 'group'].map(name);
  const [from, there, here] = [await device(a, ann), await device(b, bob), await device(a, bob)];
  for (const user of [ann, bob]) await ask(from, 'add', group, user);
  await ask(from, 'message', { ...to(bob, 'héllo "x" \u0000 \u{1d11e}'), clientId: 'c 1' });
  await ask(from, 'message', to(bob, { deep: [1.5, null, { a: [] }] }));
  await ask(from, 'message', toGroup(group, 'to all'));
  await Promise.all([has(there, 3), has(here, 3)]);
  assert.deepEqual(messages(there), messages(here));
  assert.equal(messages(there)[0].content, 'héllo "x" \u0000 \u{1d11e}');
  assert.equal(messages(there)[0].client_id, 'c 1');
});

test('nobody waits for the next look of the store: other nodes are told', async () => {
  const [ann, bob] = ['ann', 'bob'].map(name);
  const [from, there] = [await device(a, ann), await device(b, bob)];
  const times = [];
  for (const i of range(20)) {
    const began = Date.now();
    await send(from, to(bob, i));
    await has(there, i + 1);
    times.push(Date.now() - began);
  }
  times.sort((x, y) => x - y);
  assert.ok(times[10] < 400, `${times}`);
});

test('who left gets on another node what came meanwhile, once', async () => {
  const [ann, bob, group] = ['ann', 'bob', 'group'].map(name);
  const [onA, onB] = [await device(a, ann), await device(b, ann)];
  let device1 = await device(a, bob);
  for (const user of [ann, bob]) await ask(onA, 'add', group, user);
  const first = await send(onB, to(bob, 'seen'));
  await has(device1, 1);
  device1.disconnect();
  await until('the cursor', async () => (await cursor(bob)) === first);
  const missed = [];
  for (const i of range(30)) {
    const [x, y] = await Promise.all([send(onA, i % 2 ? to(bob, i) : toGroup(group, i)), send(onB, to(bob, i))]);
    missed.push(x, y);
  }
  missed.sort((x, y) => x - y);
  const device2 = await device(b, bob);
  await has(device2, 60);
  missed.push(await send(onA, to(bob, 'live')));
  await has(device2, 61);
  assert.deepEqual(ids(device2), missed);
  device2.disconnect();
  await until('the cursor', async () => (await cursor(bob)) === missed.at(-1));
  device1 = await device(a, bob);
  const last = await send(onB, to(bob, 'again'));
  await has(device1, 1);
  assert.deepEqual(ids(device1), [last]);
});

test('a device that comes while messages are sent on both nodes gets each once', async () => {
  const [ann, bob] = ['ann', 'bob'].map(name);
  const [onA, onB] = [await device(a, ann), await device(b, ann)];
  const sending = Promise.all([onA, onB].map(async (from) => {
    for (const i of range(120)) await send(from, to(bob, i));
  }));
  await sleep(100);
  const one = await device(a, bob);
  await sleep(50);
  const two = await device(b, bob);
  await sending;
  const want = [...onA.sent, ...onB.sent].sort((x, y) => x - y);
  await has(one, want.length);
  await until('the last one', () => ids(two).includes(want.at(-1)), 20_000);
  assert.deepEqual(ids(one), want);
  assert.ok(rising(ids(two)));
  assert.deepEqual(ids(two), want.slice(-ids(two).length)); // from where it came, without a gap
});

test("a cursor never passes what nobody was given, and never moves back", async () => {
  const [ann, bob] = ['ann', 'bob'].map(name);
  const [onA, onB] = [await device(a, ann), await device(b, ann)];
  const [one, two] = [await device(a, bob), await device(b, bob)];
  let last = 0, done = false;
  const watching = (async () => {
    while (!done) {
      const now = await cursor(bob);
      assert.ok(now >= last, `${last} -> ${now}`);
      last = now;
    }
  })();
  await Promise.all([onA, onB].map(async (from) => {
    for (const i of range(150)) await send(from, to(bob, i));
  }));
  const want = [...onA.sent, ...onB.sent].sort((x, y) => x - y);
  await Promise.all([has(one, 300), has(two, 300)]);
  assert.deepEqual(ids(one), want);
  assert.deepEqual(ids(two), want);
  await until('the cursor', async () => (await cursor(bob)) === want.at(-1));
  done = true;
  await watching;
});

test('a node that is killed takes no message with it', async () => {
  for (const round of range(3)) {
    const [ann, bob] = ['ann', 'bob'].map(name);
    const c = await node(2);
    await joined(redis, 3);
    const [from, there] = [await device(a, ann), await device(c, ann)];
    const one = await device(c, bob);
    const acked = new Set();
    const sending = [from, there].map(async (socket) => {
      for (const i of range(400)) {
        const ack = await Promise.race([ask(socket, 'message', to(bob, i)).catch(() => null), new Promise((r) => socket.once('disconnect', () => r(null)))]);
        if (!ack?.ok) return;
        acked.add(ack.id);
      }
    });
    await until('some', () => acked.size > 40 + 30 * round);
    await c.kill();
    await Promise.all(sending);
    await until('its devices have noticed', () => !one.connected);
    const two = await device(b, bob);
    const all = (await db.rows(`SELECT id FROM message WHERE receiver_id = '${bob}' ORDER BY id`)).map((r) => Number(r.id));
    for (const id of acked) assert.ok(all.includes(id));
    const last = await send(from, to(bob, 'last'));
    await until('the last one', () => ids(two).includes(last), 20_000);
    // Each of them to one of the two, in order; what came shortly before the end comes again.
    assert.ok(rising(ids(one)) && rising(ids(two)));
    const both = new Set([...ids(one), ...ids(two)]);
    assert.deepEqual([...both].sort((x, y) => x - y).filter((id) => id !== last), all.filter((id) => id !== last));
    closeAll();
    await joined(redis, 2);
  }
});

test('messages come while Redis is away, and soon again when it is back', async () => {
  const [ann, bob] = ['ann', 'bob'].map(name);
  const [onA, onB] = [await device(a, ann), await device(b, ann)];
  const [one, two] = [await device(a, bob), await device(b, bob)];
  const sent = [await send(onA, to(bob, 'before'))];
  await has(two, 1);
  await redis.stop();
  for (const i of range(20)) sent.push(await send(i % 2 ? onA : onB, to(bob, i)));
  await Promise.all([has(one, 21), has(two, 21)]);
  await redis.start();
  await joined(redis, 2);
  for (const i of range(20)) sent.push(await send(i % 2 ? onA : onB, to(bob, i)));
  await Promise.all([has(one, 41), has(two, 41)]);
  for (const socket of [one, two]) assert.deepEqual(ids(socket), sent);
});

test('the database away for a moment loses nothing', async () => {
  const [ann, bob] = ['ann', 'bob'].map(name);
  const [onA, onB] = [await device(a, ann), await device(b, ann)];
  const [one, two] = [await device(a, bob), await device(b, bob)];
  const sent = [await send(onA, to(bob, 'before')), await send(onB, to(bob, 'before'))];
  await Promise.all([has(one, 2), has(two, 2)]);
  await db.kill();
  await db.start();
  const again = async (socket, i) => {
    for (;;) {
      const ack = await ask(socket, 'message', { ...to(bob, i), clientId: `${socket.id} ${i}` });
      if (ack.ok) return ack.id;
      await sleep(50);
    }
  };
  for (const i of range(20)) sent.push(await again(i % 2 ? onA : onB, i));
  await Promise.all([has(one, 22), has(two, 22)]);
  for (const socket of [one, two]) assert.deepEqual(ids(socket), sent);
});

test('who is no longer in a group gets nothing of it, and who has come later nothing from before', async () => {
  const [ann, bob, late, group] = ['ann', 'bob', 'late', 'group'].map(name);
  const from = await device(a, ann);
  const [gone, come] = [await device(b, bob), await device(b, late)];
  for (const user of [ann, bob]) await ask(from, 'add', group, user);
  const first = await send(from, toGroup(group, 1));
  await has(gone, 1);
  await ask(from, 'remove', group, bob);
  await ask(from, 'add', group, late);
  const second = await send(from, toGroup(group, 2));
  await has(come, 1);
  const mark = await send(from, to(bob, 'mark'));
  await has(gone, 2);
  assert.deepEqual(ids(gone), [first, mark]);
  assert.deepEqual(ids(come), [second]);
});

test('metrics count them', async () => {
  const count = async (server) => (await metrics(server)).store_followed_total;
  const [ann, bob] = ['ann', 'bob'].map(name);
  const from = await device(a, ann), there = await device(b, bob);
  const before = await count(b);
  await send(from, to(bob, 1));
  await has(there, 1);
  assert.equal(await count(b), before + 1);
});
