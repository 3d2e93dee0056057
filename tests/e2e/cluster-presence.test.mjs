// Who is in a room, on whatever node, and the list of rooms of all nodes: three of them at a real Redis.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';
import { encode } from 'notepack.io';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { tempDir } from './lib/daemon.mjs';
import { metric, startWithMetrics } from './lib/metrics.mjs';
import { follow } from './lib/presence.mjs';
import { startRedis } from './lib/redis.mjs';
import { label, sleep, slow, until } from './lib/target.mjs';

const SECRET = randomBytes(32).toString('hex');
const secretFile = join(tempDir(), 'secret');
writeFileSync(secretFile, `${SECRET}\n`);
const sign = (sub) => jwt.sign({ sub }, SECRET, { expiresIn: '1h' });
const range = (n) => [...Array(n).keys()];

const LEASE = 600 * slow;
const HOLD = 500 * slow;
const INI = `
[room now-*]
presence = yes
presence_hold = 0ms
[room quiet-*]
[room *]
presence = yes
presence_hold = ${HOLD}ms
[event join]
join = {1}
[event joins]
join = rooms {1}
[event leave]
leave = {1}
[event who]
presence = room {1}
[event watch]
watch = rooms
[event unwatch]
unwatch = rooms
[event /team-* join]
join = {1}
[event /team-* leave]
leave = {1}
[event /team-* who]
presence = room {1}
[event /team-* watch]
watch = rooms
[room /team-* *]
presence = yes
presence_hold = 0ms
`;

const OPTIONS = {
  'auth.mode': 'optional',
  'auth.secret_file': secretFile,
  'cluster.lease': `${LEASE}ms`,
  'limits.max_rooms_per_socket': '5000',
  'limits.users_listed': '10000',
  'limits.rooms_listed': '300',
};

const startNode = (redis, shards, options) =>
  startWithMetrics(null, { ini: INI, shards, options: { ...OPTIONS, 'cluster.redis': redis.url, ...options } });

// Each knows all others.
const met = (nodes) =>
  until(
    'the nodes know each other',
    async () => (await Promise.all(nodes.map((n) => metric(n, 'cluster_nodes')))).every((n) => n === nodes.length - 1),
    30_000,
  );

async function device(node, user, options = {}) {
  const socket = await connect(node, { transports: ['websocket'], auth: user ? { token: sign(user) } : {}, ...options });
  return Object.assign(socket, { box: inbox(socket) });
}

async function member(node, user, room, options) {
  const socket = await device(node, user, options);
  assert.deepEqual(await ask(socket, 'join', room), { ok: true });
  return socket;
}

const events = (socket, room) => socket.box.filter(([name, e]) => name === 'presence' && e.room === room).map(([, e]) => e);

async function who(socket, room) {
  const { users, count } = await ask(socket, 'who', room);
  assert.equal(users.length, count);
  return users.sort();
}
const sees = (socket, room, users, ms = 20_000) =>
  until(`${room} has ${users}`, async () => `${await who(socket, room)}` === `${[...users].sort()}`, ms);

const told = (socket, room) => follow(socket.box, room);
const isTold = (socket, room, users, ms = 20_000) =>
  until(`${room}: ${users} are told`, () => `${told(socket, room).users}` === `${[...users].sort()}`, ms);

// What a watch of the list says there is now: { room: members }.
function rooms(socket) {
  const list = {};
  for (const [name, e] of socket.box) {
    if (name !== 'rooms') continue;
    if (e.full) for (const room of Object.keys(list)) delete list[room];
    for (const { room, members } of e.rooms) {
      if (members !== 0) list[room] = members;
      else delete list[room];
    }
  }
  return list;
}
const lists = (socket, wanted, ms = 20_000) =>
  until(
    `the list is ${JSON.stringify(wanted)}`,
    () => {
      const list = rooms(socket);
      return Object.keys(list).length === Object.keys(wanted).length && Object.keys(wanted).every((r) => list[r] === wanted[r]);
    },
    ms,
  ).catch((e) => {
    throw new Error(`${e.message}: ${JSON.stringify(rooms(socket)).slice(0, 500)}`);
  });

let n = 0;
afterEach(closeAll);

for (const shards of [1, 2])
  describe(`three nodes, ${label(shards)}`, () => {
    let redis;
    let nodes;
    before(async () => {
      redis = await startRedis();
      nodes = await Promise.all(range(3).map((i) => startNode(redis, i === 2 ? 3 - shards : shards)));
      await met(nodes);
    });
    after(async () => {
      for (const node of nodes) {
        assert.equal(await metric(node, 'peers_bad_total'), 0);
        assert.equal(await metric(node, 'peers_refused_total'), 0);
        await node.stop();
      }
      await redis.stop();
    });

    test('each change is told once, on every node, with the count of all', async () => {
      const room = `r${n++}`;
      const spies = [];
      for (const [i, node] of nodes.entries()) {
        spies.push(await member(node, `spy${i}`, room));
        for (const spy of spies) await until('it is told', () => told(spy, room).count === i + 1);
      }
      const ann = await member(nodes[1], 'ann', room);
      const bob = await member(nodes[2], 'bob', room);
      const nobody = await member(nodes[0], null, room);
      for (const spy of spies) await until('both are told', () => told(spy, room).count === 5);
      await ask(ann, 'leave', room);
      bob.disconnect();
      nobody.disconnect();
      for (const spy of spies) await until('both have left', () => told(spy, room).count === 3);
      for (const spy of spies) assert.deepEqual(told(spy, room).users.filter((u) => !u.startsWith('spy')), []);
      for (const spy of spies) assert.deepEqual(await who(spy, room), ['spy0', 'spy1', 'spy2']);
    });

    test('a user with devices on several nodes comes once and leaves once', async () => {
      const room = `now-${n++}`;
      const spies = await Promise.all(nodes.map((node, i) => member(node, `spy${i}`, room)));
      for (const spy of spies) await until('all are told', () => told(spy, room).count === 3);
      const ann = [];
      for (const node of [nodes[0], nodes[1], nodes[1]]) ann.push(await member(node, 'ann', room));
      const mark = await member(nodes[1], 'mark', room);
      for (const spy of spies) await until('both are told', () => told(spy, room).count === 5);
      const before = spies.map((s) => events(s, room).length);
      await ask(ann[1], 'leave', room);
      ann[0].disconnect();
      await sleep(200 * slow);
      for (const [i, spy] of spies.entries()) assert.equal(events(spy, room).length, before[i]);
      await ask(ann[2], 'leave', room);
      await ask(mark, 'leave', room);
      for (const spy of spies) await until('both have left', () => told(spy, room).count === 3);
      for (const spy of spies) assert.equal(events(spy, room).flatMap((e) => e.left).filter((u) => u === 'ann').length, 1);
    });

    test('who moves to another node within the hold makes no noise', async () => {
      const room = `r${n++}`;
      const spies = await Promise.all(nodes.map((node, i) => member(node, `spy${i}`, room)));
      let ann = await member(nodes[0], 'ann', room);
      for (const spy of spies) await until('all are told', () => told(spy, room).count === 4);
      const before = spies.map((s) => events(s, room).length);
      for (const i of [1, 2, 0, 2]) {
        ann.disconnect();
        await sleep(HOLD / 5);
        ann = await member(nodes[i], 'ann', room);
        await sleep(HOLD / 5);
      }
      await sleep(HOLD + 200 * slow);
      for (const [i, spy] of spies.entries()) assert.equal(events(spy, room).length, before[i]);
      ann.disconnect();
      for (const spy of spies) await until('ann has left', () => told(spy, room).count === 3);
    });

    test('who is no member asks, and the first member here finds the others', async () => {
      const room = `now-${n++}`;
      const asker = await device(nodes[2], 'zoe');
      assert.deepEqual(await who(asker, room), []);
      const ann = await member(nodes[0], 'ann', room);
      await member(nodes[1], 'bob', room);
      await sees(asker, room, ['ann', 'bob']);
      await ask(asker, 'join', room);
      await until('zoe is told', () => told(asker, room).users.includes('zoe'));
      assert.deepEqual(await who(asker, room), ['ann', 'bob', 'zoe']);
      await until('the count is of all', () => told(asker, room).count === 3);
      await ask(asker, 'leave', room);
      await ask(ann, 'leave', room);
      await sees(asker, room, ['bob']);
      assert.equal((await ask(asker, 'who', 'quiet-1')).error, 'bad_room');
    });

    test('many at once, and rooms that come and go', async () => {
      const room = `now-${n++}`;
      const spy = await member(nodes[0], 'spy', room);
      const users = range(24).map((i) => `u${i}`);
      const all = await Promise.all(users.map((u, i) => device(nodes[i % 3], u)));
      for (const round of range(6)) {
        await Promise.all(all.map((s) => ask(s, 'join', room)));
        if (round % 2) await sleep(30 * slow);
        await Promise.all(all.map((s, i) => (round < 5 || i % 2 ? ask(s, 'leave', room) : null)));
      }
      const rest = users.filter((_, i) => i % 2 === 0);
      for (const i of range(3)) await sees(all[i], room, ['spy', ...rest]);
      await isTold(spy, room, ['spy', ...rest]);
    });

    test('the list of rooms has the members of all nodes', async () => {
      const [x, y, z] = range(3).map(() => `list-${n++}`);
      const all = await Promise.all(nodes.map((node) => device(node, null)));
      const mine = (list) => Object.fromEntries(Object.entries(list).filter(([room]) => [x, y, z].includes(room)));
      const shows = (socket, wanted) =>
        until(`the list has ${JSON.stringify(wanted)}`, () => JSON.stringify(Object.entries(mine(rooms(socket))).sort()) === JSON.stringify(Object.entries(wanted).sort()), 20_000).catch((e) => {
          throw new Error(`${e.message}: ${JSON.stringify(rooms(socket)).slice(0, 500)}`);
        });
      await ask(all[0], 'join', x);
      await ask(all[1], 'join', x);
      await ask(all[2], 'join', y);
      const watchers = [await device(nodes[0], null), await device(nodes[1], null)];
      await ask(watchers[0], 'watch');
      await shows(watchers[0], { [x]: 2, [y]: 1 });
      await ask(all[2], 'join', x);
      await ask(all[2], 'join', z);
      await shows(watchers[0], { [x]: 3, [y]: 1, [z]: 1 });
      await ask(watchers[1], 'watch');
      await shows(watchers[1], { [x]: 3, [y]: 1, [z]: 1 });
      await ask(all[0], 'leave', x);
      await ask(all[2], 'leave', z);
      all[1].disconnect();
      for (const w of watchers) await shows(w, { [x]: 1, [y]: 1 });
      // A new watcher has all of it at once.
      const late = await device(nodes[0], null);
      await ask(late, 'watch');
      await until('the list', () => late.box.some(([name, e]) => name === 'rooms' && e.full));
      assert.deepEqual(mine(rooms(late)), { [x]: 1, [y]: 1 });
      await ask(all[2], 'leave', x);
      await ask(all[2], 'leave', y);
      for (const w of [...watchers, late]) await shows(w, {});
      // Each change came once: no event says what another one had said.
      for (const w of watchers) {
        const last = {};
        for (const [, e] of w.box.filter(([name]) => name === 'rooms'))
          for (const { room, members } of e.rooms) {
            assert.ok(e.full || last[room] !== members, `${room} had ${members} before`);
            last[room] = members;
          }
      }
    });

    test('the list of a dynamic namespace, which may be on other nodes only', async () => {
      const nsp = `/team-list${n++}`;
      const watcher = await device(nodes[0], 'ann', { nsp });
      await ask(watcher, 'watch');
      const bob = await member(nodes[1], 'bob', 'r', { nsp });
      const carl = await member(nodes[2], 'carl', 'r', { nsp });
      await member(nodes[2], 'dora', 'r', { nsp: '/team-other' });
      await lists(watcher, { r: 2 });
      await ask(watcher, 'join', 'r');
      await lists(watcher, { r: 3 });
      bob.disconnect();
      await lists(watcher, { r: 2 });
      carl.disconnect();
      await ask(watcher, 'leave', 'r');
      await lists(watcher, {});
      await member(nodes[1], 'bob', 's', { nsp });
      await lists(watcher, { s: 1 });
    });

    test('dynamic namespaces are apart', async () => {
      const room = `r${n++}`;
      const at = (i, user, nsp) => member(nodes[i], user, room, { nsp });
      const a = await at(0, 'ann', '/team-1'), b = await at(1, 'bob', '/team-2');
      const c = await at(2, 'carl', '/team-1');
      await sees(a, room, ['ann', 'carl']);
      await sees(c, room, ['ann', 'carl']);
      assert.deepEqual(await who(b, room), ['bob']);
      c.disconnect();
      await sees(a, room, ['ann']);
      await isTold(a, room, ['ann']);
    });
  });

describe('nodes come and go', () => {
  // Of which the test ends some itself.
  async function startAll(t, shards) {
    const redis = await startRedis();
    const nodes = [];
    t.after(async () => {
      for (const node of nodes) if (!node.ended) await node.stop();
      await redis.stop();
    });
    const add = async (k = shards, options) => {
      nodes.push(await startNode(redis, k, options));
      await met(nodes.filter((node) => !node.ended));
      return nodes.at(-1);
    };
    return { redis, nodes, add };
  }

  for (const shards of [1, 2]) {
    test(`killed: its users leave when lease and hold are over; ${label(shards)}`, async (t) => {
      const { add } = await startAll(t, shards);
      const [a, b, c] = [await add(), await add(), await add()];
      const spies = [await member(a, 'spy', 'r'), await member(b, 'bob', 'r')];
      await member(c, 'carl', 'r');
      await member(c, 'bob', 'r');
      const asker = await device(a, 'zoe');
      await ask(asker, 'watch');
      await member(c, 'dora', 'now-1');
      await lists(asker, { r: 4, 'now-1': 1 });
      for (const spy of spies) await isTold(spy, 'r', ['spy', 'bob', 'carl']);
      await sees(asker, 'now-1', ['dora']);
      const since = Date.now();
      await c.kill();
      await sees(asker, 'now-1', []);
      assert.ok(Date.now() - since < LEASE * 2 + 1000 * slow, `after ${Date.now() - since} ms`);
      for (const spy of spies) await isTold(spy, 'r', ['spy', 'bob']);
      assert.ok(Date.now() - since < LEASE * 2 + HOLD + 1000 * slow, `after ${Date.now() - since} ms`);
      assert.ok(Date.now() - since > HOLD);
      for (const spy of spies) assert.deepEqual(await who(spy, 'r'), ['bob', 'spy']);
      await lists(asker, { r: 2 });
      // Another one in its place, and its users.
      const d = await add();
      await member(d, 'carl', 'r');
      for (const spy of spies) await isTold(spy, 'r', ['spy', 'bob', 'carl']);
      await lists(asker, { r: 3 });
    });

    test(`one that ends says so; started again, it finds all; ${label(shards)}`, async (t) => {
      const { add } = await startAll(t, shards);
      const [a, b] = [await add(shards, { 'cluster.lease': '60s' }), await add(3 - shards, { 'cluster.node': 'second', 'cluster.lease': '60s' })];
      const spy = await member(a, 'spy', 'r');
      const ann = await member(b, 'ann', 'r');
      await isTold(spy, 'r', ['spy', 'ann']);
      ann.disconnect();
      await b.stop();
      await isTold(spy, 'r', ['spy']);
      const again = await add(shards, { 'cluster.node': 'second' });
      const asker = await device(again, 'zoe');
      await sees(asker, 'r', ['spy']);
      await member(again, 'ann', 'r');
      await isTold(spy, 'r', ['spy', 'ann']);
    });

    test(`one that starts late is told all, in parts; ${label(shards)}`, async (t) => {
      const { add } = await startAll(t, shards);
      const [a, b] = [await add(), await add()];
      const users = await Promise.all(range(4).map((i) => device([a, b][i % 2], `user${i}`)));
      const names = range(2000).map((i) => `room-${String(i).padStart(4, '0')}`);
      for (const [i, user] of users.entries()) {
        const mine = names.filter((_, k) => k % 4 <= i);
        for (let at = 0; at < mine.length; at += 16) await ask(user, 'joins', mine.slice(at, at + 16));
      }
      const c = await add(3 - shards);
      const asker = await device(c, 'zoe');
      const wanted = (k) => range(4).filter((i) => k % 4 <= i).map((i) => `user${i}`);
      await sees(asker, names[1999], wanted(1999));
      await ask(asker, 'watch');
      await lists(asker, Object.fromEntries(names.map((name, k) => [name, 4 - (k % 4)])));
      for (const k of range(200).map((i) => i * 10)) await sees(asker, names[k], wanted(k));
      // And what changes while it is told.
      const d = await add();
      users[0].disconnect();
      users[3].emit('leave', names[0]);
      const other = await device(d, 'yann');
      await ask(other, 'watch');
      for (const k of range(40).map((i) => i * 48))
        await sees(other, names[k], wanted(k).filter((u) => u !== 'user0' && (k !== 0 || u !== 'user3')));
      const left = (k) => 4 - (k % 4) - (k % 4 === 0) - (k === 0);
      for (const w of [asker, other]) await lists(w, Object.fromEntries(names.map((name, k) => [name, left(k)])));
    });

    test(`Redis is away for a while, and killed connections; ${label(shards)}`, async (t) => {
      const { redis, add } = await startAll(t, shards);
      const all = [await add(), await add(3 - shards), await add()];
      const members = await Promise.all(all.map((node, i) => member(node, `m${i}`, 'r')));
      for (const m of members) await isTold(m, 'r', ['m0', 'm1', 'm2']);
      await ask(members[0], 'watch');
      await lists(members[0], { r: 3 });
      await redis.kill();
      await until('it is noticed', async () => (await Promise.all(all.map((node) => metric(node, 'cluster_up')))).every((up) => up === 0), 30_000);
      const late = await member(all[0], 'late', 'r');
      await ask(members[1], 'leave', 'r');
      const remote = await member(all[2], 'remote', 'now-2');
      await until('late is told', () => told(late, 'r').users.includes('late'));
      await redis.start();
      await sees(members[1], 'r', ['m0', 'm2', 'late'], 40_000);
      await sees(members[2], 'r', ['m0', 'm2', 'late'], 40_000);
      await sees(members[0], 'now-2', ['remote'], 40_000);
      await isTold(members[2], 'r', ['m0', 'm2', 'late']);
      await lists(members[0], { r: 3, 'now-2': 1 }, 40_000);
      for (const [i, type] of ['pubsub', 'normal', 'pubsub'].entries()) {
        await redis.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
        await ask(remote, i % 2 ? 'join' : 'leave', 'now-2');
        await ask(late, i % 2 ? 'join' : 'leave', 'r');
        await sees(members[1], 'now-2', i % 2 ? ['remote'] : [], 40_000);
        await lists(members[0], i % 2 ? { r: 3, 'now-2': 1 } : { r: 2 }, 40_000);
        for (const m of members.slice(1)) await sees(m, 'r', i % 2 ? ['m0', 'm2', 'late'] : ['m0', 'm2'], 40_000);
      }
    });
  }
});

describe('what another node says', () => {
  const record = (op, text) => {
    const bytes = Buffer.from(text), head = Buffer.alloc(3, op);
    head.writeUInt16LE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  };

  // A node in bytes alone, of one shard; announce() tells all of its users, who are in one room.
  async function imitate(t, redis) {
    const client = redis.client();
    await client.connect();
    t.after(() => client.disconnect());
    const say = (...rest) => client.publish('socket.io-roomcast#', encode([1, 'x', 7, ...rest]));
    let number = 0;
    await say('here', false, 5, '', Buffer.alloc(16));
    return {
      announce: (room, users) => {
        const head = Buffer.alloc(20);
        head.set([1, 3, 0, 1]); // the first part, and the last
        head.writeUInt32LE(++number, 4);
        const records = [record('N', '/'), record('R', room), ...users.map((user) => record('+', user))];
        return say(1, 0, '/', '', Buffer.concat([head, ...records]));
      },
    };
  }

  async function startOne(t) {
    const redis = await startRedis();
    const node = await startNode(redis, 1, { 'cluster.lease': '60s' });
    t.after(async () => {
      await node.stop();
      await redis.stop();
    });
    const other = await imitate(t, redis);
    await until('it is known', async () => (await metric(node, 'cluster_nodes')) === 1);
    return { node, other, spy: await member(node, 'spy', 'now-1') };
  }

  test('names that are not UTF-8 reach no client', async (t) => {
    const { node, other, spy } = await startOne(t);
    await other.announce('now-1', ['ann', Buffer.from([0x62, 0xff])]);
    await sleep(200 * slow); // time to tell of it
    assert.ok(spy.connected);
    await other.announce('now-1', ['carl']);
    await isTold(spy, 'now-1', ['spy', 'carl']);
    assert.equal(await metric(node, 'peers_bad_total'), 1);
  });
});
