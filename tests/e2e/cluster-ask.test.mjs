// Action ask over nodes: two roomcast daemons, of one and four shards, and a Node server with
// @socket.io/redis-adapter, whose clients are asked, and ask, alike.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';

import { ask, closeAll, connect } from './lib/client.mjs';
import { slow, start, tempDir } from './lib/daemon.mjs';
import { joined, startNode, startRedis } from './lib/redis.mjs';
import { reload } from './lib/reload.mjs';
import { until } from './lib/wait.mjs';

const NAMESPACES = ['/', '/chat', '/tenant-7'];
const WITHIN = `${10 * slow}s`;
const SHORT = `${600 * slow}ms`;
const rules = (nsp) => `
[event ${nsp} join]
join = {1}
[event ${nsp} all]
ask = all within ${WITHIN}: poll {args}
[event ${nsp} others]
ask = all except sender within ${WITHIN}: poll {args}
[event ${nsp} room]
ask = room {1} within ${WITHIN}: poll {2..}
[event ${nsp} roomOthers]
ask = room {1} except sender within ${WITHIN}: poll {2..}
[event ${nsp} rooms]
ask = rooms {1} within ${WITHIN}: poll {2..}
[event ${nsp} but]
ask = rooms {1} except rooms {2} within ${WITHIN}: poll {3..}
[event ${nsp} user]
ask = user {1} within ${WITHIN}: poll {2..}
[event ${nsp} socket]
ask = socket {1} within ${WITHIN}: poll {2..}
[event ${nsp} hurry]
ask = room {1} within ${SHORT}: poll {2..}
[event ${nsp} hurrySocket]
ask = socket {1} within ${SHORT}: poll {2..}
`;
const INI = ['/', '/chat', '/tenant-*'].map(rules).join('');

const SECRET = randomBytes(32).toString('hex');
const secretFile = join(tempDir(), 'secret');
writeFileSync(secretFile, `${SECRET}\n`);

// The same for the Node server, whose answers are the first arguments.
function install(socket, nsp) {
  const on = (event, to) =>
    socket.on(event, async (...args) => {
      const done = args.pop();
      const [target, rest] = to(...args);
      const answers = await target.timeout(10_000 * slow).emitWithAck('poll', ...rest);
      done({ ok: true, answers: answers.map((a) => [a]) });
    });
  socket.on('join', (room, done) => (socket.join(room), done({ ok: true })));
  on('all', (...args) => [nsp, args]);
  on('others', (...args) => [socket.broadcast, args]);
  on('room', (room, ...args) => [nsp.to(room), args]);
  on('roomOthers', (room, ...args) => [socket.to(room), args]);
  on('rooms', (rooms, ...args) => [nsp.to(rooms), args]);
  on('but', (rooms, except, ...args) => [nsp.to(rooms).except(except), args]);
}

let redis, nodes;
const daemon = (shards, options) =>
  start({ ini: INI, shards, options: { 'cluster.redis': redis.url, 'auth.mode': 'optional', 'auth.secret_file': secretFile, ...options } });

before(async () => {
  redis = await startRedis();
  const [one, four] = [await daemon(1), await daemon(4)];
  const node = await startNode(redis, { namespaces: ['/chat', /^\/tenant-\d+$/], install });
  nodes = { one, four, node };
  await joined(redis, 3);
});
after(async () => {
  closeAll();
  for (const node of Object.values(nodes ?? {})) await node.stop();
  await redis?.stop();
});
afterEach(closeAll);

// Clients that answer polls with their name and what they were asked. mute: never.
async function client(node, name, options) {
  const socket = await connect(node, { transports: ['websocket'], ...options });
  socket.on('poll', (...args) => {
    const answer = args.pop();
    socket.polls = (socket.polls ?? 0) + 1;
    if (!socket.mute) answer({ name, got: args }, 'a second argument');
  });
  return Object.assign(socket, { name });
}

async function crowd(nsp = '/', each = 2) {
  const all = [];
  for (const [at, node] of Object.entries(nodes))
    for (let i = 0; i < each; i++) all.push(Object.assign(await client(node, `${at}${i}`, { nsp }), { at }));
  await joined(redis, 3, nsp);
  for (const s of all) {
    await ask(s, 'join', s.name);
    await ask(s, 'join', s.name.endsWith('0') ? 'even' : 'odd');
    await ask(s, 'join', 'KPL räum #1');
  }
  return all;
}

// Of other nodes the first argument comes alone.
const names = ({ answers }) => answers.map((a) => a[0].name).sort();
const partial = (r) => ({ ...r, message: undefined, answers: r.answers && names(r) });

for (const nsp of NAMESPACES)
  test(`every form in every direction: ${nsp}`, async () => {
    const all = await crowd(nsp);
    const everybody = all.map((s) => s.name).sort();
    const zeroes = everybody.filter((n) => n.endsWith('0'));
    const ones = everybody.filter((n) => n.endsWith('1'));
    for (const from of all.filter((s) => s.name.endsWith('0'))) {
      const others = (list) => list.filter((n) => n !== from.name);
      const cases = [
        [['all'], everybody],
        [['others'], others(everybody)],
        [['room', 'even'], zeroes],
        [['room', 'KPL räum #1'], everybody],
        [['room', 'nobody is here'], []],
        [['room', 'four1'], ['four1']],
        [['roomOthers', 'even'], others(zeroes)],
        [['rooms', ['odd', 'one0', 'odd']], [...ones, 'one0'].sort()],
        [['but', ['KPL räum #1'], ['even']], ones],
      ];
      for (const [args, who] of cases) {
        const r = await ask(from, ...args, 'ü?', { deep: [1] });
        assert.equal(r.ok, true, `${from.name}: ${args}: ${JSON.stringify(r)}`);
        assert.deepEqual(names(r), who, `${from.name}: ${args}`);
        for (const [answer] of r.answers) assert.deepEqual(answer.got, ['ü?', { deep: [1] }]);
      }
    }
  });

test('a socket of another node: its answer is passed on', async () => {
  const all = await crowd();
  for (const from of all.filter((s) => s.at !== 'node' && s.name.endsWith('0')))
    for (const to of all) {
      const got = await ask(from, 'socket', to.id, 'you?');
      const here = to.at === from.at;
      assert.deepEqual(got, here ? [{ name: to.name, got: ['you?'] }, 'a second argument'] : { name: to.name, got: ['you?'] }, `${from.name} to ${to.name}`);
    }
  const gone = all.find((s) => s.name === 'four1');
  const { id } = gone;
  gone.disconnect();
  await until('nobody is there', async () => (await ask(all[0], 'socket', id, 'you?')).error === 'bad_target');
  const from = all.find((s) => s.name === 'one0'), to = all.find((s) => s.name === 'node0');
  to.mute = true;
  assert.equal((await ask(from, 'hurrySocket', to.id, 'you?')).error, 'timeout');
});

test("a user's devices on any node", async () => {
  const token = jwt.sign({ sub: 'ann' }, SECRET, { expiresIn: '1h' });
  const all = [];
  for (const at of ['one', 'four']) all.push(await client(nodes[at], `ann at ${at}`, { auth: { token } }));
  const asker = await client(nodes.one, 'asker'), node = await client(nodes.node, 'ann at node');
  await nodes.node.io.in(node.id).local.socketsJoin('\u0002user:ann');
  assert.deepEqual(names(await ask(asker, 'user', 'ann', 1)), ['ann at four', 'ann at node', 'ann at one']);
  assert.deepEqual(await ask(asker, 'user', 'nobody', 1), { ok: true, answers: [] });
});

describe('answers with binary data', () => {
  test('of a room: each has its own', async () => {
    const all = await crowd();
    for (const s of all) {
      s.off('poll');
      s.on('poll', (q, answer) => answer({ name: s.name, bin: [{ in: Buffer.concat([q, Buffer.from(s.name)]) }] }));
    }
    for (const from of all.filter((s) => s.name.endsWith('0'))) {
      const r = await ask(from, 'room', 'KPL räum #1', Buffer.from([0, 1]));
      assert.deepEqual(names(r), all.map((s) => s.name).sort());
      for (const [a] of r.answers) assert.deepEqual(a.bin, [{ in: Buffer.from(`\0\x01${a.name}`) }]);
    }
  });

  test('more of them than a client takes', async () => {
    const all = await crowd();
    for (const s of all) {
      s.off('poll');
      s.on('poll', (answer) => answer([Buffer.from(s.name), Buffer.from([7])]));
    }
    const { ok, answers } = await ask(all[0], 'room', 'KPL räum #1');
    assert.deepEqual([ok, answers.length, answers.filter((a) => a === null).length], [true, 6, 1]);
    const got = answers.filter(Boolean).map(([[name, seven]]) => [String(name), [...seven]]);
    assert.equal(new Set(got.map(([name]) => name)).size, 5);
    for (const [name, seven] of got) assert.deepEqual([all.some((s) => s.name === name), seven], [true, [7]]);
  });

  test('of a socket', async () => {
    const all = await crowd('/', 1);
    for (const s of all) {
      s.off('poll');
      s.on('poll', (q, answer) => answer(Buffer.concat([q, Buffer.from(s.name)])));
    }
    for (const to of all.slice(1))
      assert.deepEqual(await ask(all[0], 'socket', to.id, Buffer.from('to ')), Buffer.from(`to ${to.name}`));
  });
});

test('partial answers when the time is over, late and foreign ones are ignored', async () => {
  const all = await crowd();
  for (const s of all) s.mute = s.name.endsWith('1') && s.at !== 'one';
  const expected = all.filter((s) => !s.mute).map((s) => s.name).sort();
  for (const from of all.filter((s) => s.at !== 'node' && s.name.endsWith('0'))) {
    const r = await ask(from, 'hurry', 'KPL räum #1', 1);
    assert.deepEqual(partial(r), { ok: false, error: 'timeout', message: undefined, answers: expected });
  }
  const client = redis.client();
  await client.connect();
  for (const payload of ['', '{', '{"type":8}', '{"type":8,"requestId":"0000000000000000","clientCount":1}', '{"type":8,"requestId":"x","clientCount":-1}', Buffer.from('83a47479706509a9726571756573744964a171', 'hex'), Buffer.from('83a47479706509a9726571756573744964a171a67061636b6574c1', 'hex')])
    await client.publish('socket.io-response#/#', payload);
  await client.disconnect();
  for (const s of all) s.mute = false;
  assert.deepEqual(names(await ask(all[0], 'room', 'KPL räum #1', 2)), all.map((s) => s.name).sort());
});

// Of the threads of a process.
const states = (pid) => readdirSync(`/proc/${pid}/task`).map((tid) => /\) (\w)/.exec(readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8'))[1]);

test('a node that says nothing: the others have answered', async (t) => {
  const dead = await daemon(2);
  t.after(() => dead.child.kill('SIGKILL'));
  await joined(redis, 4);
  const asker = await client(nodes.four, 'asker'), other = await client(nodes.node, 'other'), lost = await client(dead, 'lost');
  for (const s of [asker, other, lost]) await ask(s, 'join', 'den');
  process.kill(dead.pid, 'SIGSTOP');
  await until('each of its threads stands still', () => states(dead.pid).every((s) => s === 'T'));
  const began = Date.now();
  assert.deepEqual(partial(await ask(asker, 'hurry', 'den', 1)), { ok: false, error: 'timeout', message: undefined, answers: ['asker', 'other'] });
  assert.ok(Date.now() - began >= 600);
  process.kill(dead.pid, 'SIGCONT');
  lost.mute = true;
  await until('it has heard of it', () => lost.polls > 0, 30_000);
  // One that dies while it is awaited.
  const answer = ask(asker, 'hurry', 'den', 1);
  const before = lost.polls;
  await until('it has been asked', () => lost.polls > before);
  await dead.kill();
  assert.deepEqual(partial(await answer), { ok: false, error: 'timeout', message: undefined, answers: ['asker', 'other'] });
  // Redis knows that it is gone: nobody waits for it.
  await joined(redis, 3);
  assert.deepEqual(partial(await ask(asker, 'hurry', 'den', 1)), { ok: true, message: undefined, answers: ['asker', 'other'] });
});

test('Redis is away: who is here is asked, at once', async () => {
  const own = await startRedis();
  const options = { 'cluster.redis': own.url, 'admin.listen': '127.0.0.1:0' };
  const a = await daemon(2, options), b = await daemon(1, options);
  await joined(own, 2);
  const asker = await client(a, 'asker'), near = await client(a, 'near'), far = await client(b, 'far');
  for (const s of [asker, near, far]) await ask(s, 'join', 'den');
  assert.deepEqual(names(await ask(asker, 'room', 'den', 1)), ['asker', 'far', 'near']);
  await own.stop();
  await until('it is alone', async () => partial(await ask(asker, 'hurry', 'den', 1)).ok === true);
  assert.deepEqual(names(await ask(asker, 'room', 'den', 1)), ['asker', 'near']);
  assert.equal((await ask(asker, 'socket', far.id, 1)).error, 'bad_target');
  await own.start();
  await joined(own, 2);
  await until('it is not alone', async () => names(await ask(asker, 'hurry', 'den', 1)).length === 3, 30_000);
  await a.stop();
  await b.stop();
  await own.stop();
});

test('answers that are too big', async (t) => {
  const small = await daemon(2, { 'socketio.max_payload': '1000', 'limits.max_attachments': '2' });
  t.after(() => small.stop());
  await joined(redis, 4);
  const asker = await client(small, 'asker'), far = await client(nodes.node, 'far');
  let answer;
  far.off('poll');
  far.on('poll', (done) => done(answer));
  for (const [what, fits] of [['x'.repeat(900), true], ['x'.repeat(1000), false], [Buffer.alloc(600), true], [[1, 2].map((n) => Buffer.alloc(500, n)), false], [[1, 2, 3].map((n) => Buffer.from([n])), false]]) {
    answer = what;
    const r = await ask(asker, 'socket', far.id);
    if (fits) assert.deepEqual(r, answer);
    else assert.equal(r.error, 'too_big');
  }
  answer = 'x'.repeat(990);
  const r = await ask(asker, 'room', far.id);
  assert.deepEqual(r, { ok: true, answers: [[answer]] });
  const more = await client(nodes.one, 'more');
  await ask(more, 'join', 'big');
  await ask(far, 'join', 'big');
  assert.equal((await ask(asker, 'room', 'big')).error, 'too_big');
});

test('a reload brings a question', async (t) => {
  await joined(redis, 3);
  const young = await start({ ini: '[event join]\njoin = {1}\n', options: { 'cluster.redis': redis.url } });
  t.after(() => young.stop());
  await joined(redis, 4);
  const far = await client(nodes.four, 'far'), near = await client(young, 'near');
  for (const s of [far, near]) await ask(s, 'join', 'den');
  assert.equal((await reload(young, INI)).ok, true);
  await until('it hears answers', async () => names(await ask(near, 'hurry', 'den', 1)).length === 2, 20_000); // it subscribes to them now
});

test('many questions at once, of many', async () => {
  const all = await crowd('/', 2);
  const askers = all.filter((s) => s.at !== 'node');
  const rounds = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(askers[i % askers.length], 'room', i % 2 ? 'odd' : 'even', i)));
  for (const [i, r] of rounds.entries()) {
    assert.equal(r.ok, true);
    assert.deepEqual(names(r), all.filter((s) => s.name.endsWith(i % 2 ? '1' : '0')).map((s) => s.name).sort());
    for (const [a] of r.answers) assert.deepEqual(a.got, [i]);
  }
});
