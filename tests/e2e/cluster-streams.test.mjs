// cluster.mode = streams: two roomcast daemons and a Node server with @socket.io/redis-streams-adapter. What
// one of them says reaches the clients of all once and in order, whatever becomes of Redis meanwhile.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { INI, NAMESPACES, NODE_SERVER, crowd, exchange, exchangePayloads, fetchAndMove, heard, install, question } from './lib/crowd.mjs';
import { run } from './lib/daemon.mjs';
import { isUp, metric } from './lib/members.mjs';
import { startWithMetrics } from './lib/metrics.mjs';
import { joined, startRedis } from './lib/redis.mjs';
import { startStreamsNode } from './lib/streams.mjs';
import { logged, until } from './lib/wait.mjs';

const daemon = (redis, shards, options) =>
  startWithMetrics(null, { ini: INI, shards, options: { 'cluster.redis': redis.url, 'cluster.mode': 'streams', ...options } });

afterEach(closeAll);

describe('together', () => {
  let redis, nodes;

  before(async () => {
    redis = await startRedis();
    const one = await daemon(redis, 1), four = await daemon(redis, 4);
    const node = await startStreamsNode(redis, NODE_SERVER);
    nodes = { one, four, node };
  });
  after(async () => {
    closeAll();
    for (const node of Object.values(nodes ?? {})) await node.stop();
    await redis?.stop();
  });

  for (const nsp of NAMESPACES)
    test(`every form in every direction: ${nsp}`, async () => {
      const all = await crowd(nodes, nsp);
      for (const s of all) {
        await ask(s, 'join', s.name.endsWith('0') ? 'even' : 'odd');
        await ask(s, 'join', 'KPL räum #1');
      }
      const everybody = all.map((s) => s.name);
      const zeroes = everybody.filter((n) => n.endsWith('0'));
      const ones = everybody.filter((n) => n.endsWith('1'));
      for (const from of all.filter((s) => s.name.endsWith('0'))) {
        const cases = [
          [['all', 'a'], everybody],
          [['others', 'b'], everybody.filter((n) => n !== from.name)],
          [['room', 'even', 'c'], zeroes],
          [['room', 'KPL räum #1', Buffer.from('d')], everybody],
          [['rooms', ['even', 'odd', 'KPL räum #1'], 'f'], everybody],
          [['but', ['KPL räum #1'], ['even'], 'h'], ones],
          [['but', ['KPL räum #1'], ['even'], Buffer.from('i')], ones],
          [['room', 'nobody is here', 'l'], []],
          [['to', all.find((s) => s.name === 'four1').id, 'm'], ['four1']],
          [['to', all.find((s) => s.name === 'node1').id, Buffer.from('n')], ['node1']],
        ];
        await exchange(all, from, cases);
      }
    });

  test('payloads arrive as they were sent', async () => exchangePayloads(await crowd(nodes, '/', 1)));

  test('volatile ones arrive, too', async () => {
    const all = await crowd(nodes, '/', 1);
    for (const s of all) await ask(s, 'join', 'flash');
    for (const from of all) await ask(from, 'flash', 'flash', from.name);
    const got = await heard(all);
    for (const s of all) assert.deepEqual(got[s.name].map((m) => m[0]).sort(), all.map((f) => f.name).sort(), s.name);
  });

  test('dates and typed arrays of a Node server', async () => {
    const all = await crowd(nodes, '/', 1);
    for (const s of all) s.box.length = 0;
    const when = new Date(1700000000123);
    nodes.node.io.emit('said', when, new Uint8Array([1, 2]));
    nodes.node.io.emit('said', when, new Date(0), 'text');
    const got = await heard(all);
    for (const s of all)
      assert.deepEqual(got[s.name], [[when.toISOString(), Buffer.from([1, 2])], [when.toISOString(), new Date(0).toISOString(), 'text']], s.name);
  });

  for (const nsp of NAMESPACES)
    test(`fetchSockets, socketsJoin, socketsLeave: ${nsp}`, async () => {
      const all = await crowd(nodes, nsp);
      await joined(redis, 3, nsp, 'socket.io', '');
      await fetchAndMove(nodes.node.io.of(nsp), all);
    });

  test('serverSideEmit: roomcast answers null', async () => {
    await joined(redis, 3, '/', 'socket.io', '');
    assert.deepEqual(await nodes.node.io.serverSideEmitWithAck('hello', 1), [null, null]);
    nodes.node.io.serverSideEmit('hello');
  });

  test('a broadcast with acknowledgements', async () => {
    const all = await crowd(nodes, '/');
    await joined(redis, 3, '/', 'socket.io', '');
    await question(nodes.node.io, all);
  });

  test('disconnectSockets', async () => {
    const all = await crowd(nodes, '/');
    for (const s of all) await ask(s, 'join', 'leaving');
    const gone = all.map((s) => new Promise((done) => s.once('disconnect', done)));
    nodes.node.io.in('leaving').disconnectSockets(true);
    assert.deepEqual(await Promise.all(gone), all.map(() => 'io server disconnect'));
  });
});

// Redis ends last: a Node server waits for it.
function ending(t, redis, nodes) {
  t.after(async () => {
    closeAll();
    for (const n of Object.values(nodes)) await n.stop();
    await redis.stop();
  });
}

// Long lists: where they begin to differ.
function same(got, expected, what) {
  const at = expected.findIndex((n, i) => got[i] !== n);
  if (at < 0 && got.length === expected.length) return;
  const i = Math.max(0, (at < 0 ? expected.length : at) - 3);
  assert.fail(`${what}: ${got.length} of ${expected.length}; from ${i} on ${got.slice(i, i + 8)}, expected ${expected.slice(i, i + 8)}`);
}

// Senders on each node that say numbers, until they are told to stop.
async function scene(t, { options, keeps = true, node: withNode = true, debug } = {}) {
  const redis = await startRedis({ keeps, debug });
  const nodes = {};
  ending(t, redis, nodes);
  const one = (nodes.one = await daemon(redis, 1, options)), four = (nodes.four = await daemon(redis, 4, options));
  if (withNode) nodes.node = await startStreamsNode(redis, { install, options: { maxLen: 1_000_000 } });
  await Promise.all([isUp(one), isUp(four)]);
  const all = [];
  for (const [name, server] of Object.entries(nodes)) {
    const socket = await connect(server, { transports: ['websocket'] });
    Object.assign(socket, { name, sent: 0, box: inbox(socket) });
    await ask(socket, 'join', 'lobby');
    all.push(socket);
  }
  const s = { redis, nodes, all, saying: null };
  let warm = 0;
  s.crosses = async () => {
    const text = `warm ${++warm}`;
    for (const from of all)
      await until(`${text} of ${from.name} has crossed`, async () => {
        await ask(from, 'room', 'lobby', from.name, text);
        return until('it is there', () => all.every((to) => to.box.some((m) => m[1] === from.name && m[2] === text)), 1000).catch(() => false);
      }, 60_000);
  };
  s.start = (pause = 2) => {
    let going = true;
    const loops = all.map(async (from) => {
      while (going) {
        for (let i = 0; i < 5; i++) from.emit('room', 'lobby', from.name, from.sent++);
        await new Promise((r) => setTimeout(r, pause));
      }
    });
    s.saying = async () => {
      going = false;
      await Promise.all(loops);
    };
  };
  s.numbers = (to, from) => to.box.filter((m) => m[1] === from.name && typeof m[2] === 'number').map((m) => m[2]);
  // Everything that roomcast's clients have said has come to everybody, once and in order. Of the Node server
  // that is what it has got into the stream: it drops what was under way when its connection was lost.
  s.check = async () => {
    await s.crosses();
    const ours = all.filter((c) => c.name !== 'node');
    for (const from of ours) {
      const expected = Array.from({ length: from.sent }, (_, i) => i);
      for (const to of all) {
        await until(`all of ${from.name} has come to ${to.name}`, () => s.numbers(to, from).length >= from.sent, 30_000).catch(() => {});
        same(s.numbers(to, from), expected, `from ${from.name} to ${to.name}`);
      }
    }
    const stream = (await redis.command('XRANGE', 'socket.io', '-', '+')).map((e) => e[1][e[1].indexOf('data') + 1]);
    const said = stream.filter((d) => d.startsWith('{')).map((d) => JSON.parse(d).packet?.data).filter((d) => d?.[1] === 'node' && typeof d[2] === 'number');
    const node = all.find((c) => c.name === 'node');
    if (node) for (const to of ours) same(s.numbers(to, node), said.map((d) => d[2]), `from node to ${to.name}`);
  };
  await s.crosses();
  return s;
}
const pass = (ms) => new Promise((r) => setTimeout(r, ms));
const LONG = { 'cluster.stream_length': 1_000_000 };

describe('Redis goes and comes', () => {
  test('it is stopped for two seconds, and keeps its data', async (t) => {
    const s = await scene(t, { options: LONG });
    s.start();
    await pass(500);
    await s.redis.stop();
    await pass(2000);
    await s.redis.start();
    await pass(500);
    await s.saying();
    await s.check();
    for (const n of [s.nodes.one, s.nodes.four]) {
      assert.equal(await metric(n, 'dropped_total'), 0);
      assert.equal(await metric(n, 'missed_total'), 0);
      assert.equal(await metric(n, 'stream_losses_total'), 0);
      assert.equal(await metric(n, 'pending'), 0);
    }
  });

  test('it is killed, three times', async (t) => {
    const s = await scene(t, { options: LONG });
    s.start();
    for (let i = 0; i < 3; i++) {
      await pass(300);
      await s.redis.kill();
      await pass(100);
      await s.redis.start();
      await Promise.all([isUp(s.nodes.one), isUp(s.nodes.four)]);
    }
    await s.saying();
    await s.check();
  });

  for (const type of ['normal', 'pubsub'])
    test(`CLIENT KILL TYPE ${type} every 50 ms`, async (t) => {
      const s = await scene(t, { options: LONG });
      const killer = s.redis.client();
      await killer.connect();
      s.start();
      for (let i = 0; i < 60; i++) {
        await killer.sendCommand(['CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes']);
        await pass(50);
      }
      await killer.disconnect();
      await s.saying();
      await s.check();
    });

  test('connections are lost all the time while much is under way', async (t) => {
    const s = await scene(t, { options: LONG, node: false });
    const killer = s.redis.client();
    await killer.connect();
    let kills = 0;
    s.start(0);
    for (let i = 0; i < 12; i++) {
      for (const n of [s.nodes.one, s.nodes.four]) await until('it is up', async () => (await metric(n, 'up')) === 1, 30_000);
      kills += await killer.sendCommand(['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']);
    }
    await killer.disconnect();
    await s.saying();
    await s.check();
    assert.ok(kills >= 30, `${kills} connections were ended`);
    assert.equal(await metric(s.nodes.one, 'repeated_total'), 0);
  });

  test('DEBUG SLEEP', async (t) => {
    const s = await scene(t, { options: LONG, debug: true });
    s.start();
    await pass(300);
    await s.redis.command('DEBUG', 'SLEEP', 3);
    await pass(300);
    await s.saying();
    await s.check();
  });

  test('it starts later than the nodes', async (t) => {
    const redis = await startRedis({ keeps: true });
    await redis.stop();
    const one = await daemon(redis, 1), four = await daemon(redis, 4);
    ending(t, redis, [one, four]);
    const a = await connect(one, { transports: ['websocket'] }), b = await connect(four, { transports: ['websocket'] });
    const box = inbox(b);
    await ask(b, 'join', 'lobby');
    for (let i = 0; i < 50; i++) await ask(a, 'room', 'lobby', i);
    assert.equal(await metric(one, 'pending'), 50);
    await redis.start();
    await Promise.all([isUp(one), isUp(four)]);
    // Whoever comes first begins with what comes then: of what waited there is a tail, without a gap.
    await until('it crosses', async () => {
      await ask(a, 'room', 'lobby', 'end');
      return until('it is there', () => box.some((m) => m[1] === 'end'), 500).catch(() => false);
    }, 30_000);
    const got = box.map((m) => m[1]).filter((m) => m !== 'end');
    assert.deepEqual(got, Array.from({ length: got.length }, (_, i) => 50 - got.length + i));
  });

  test('it comes back without its data: nothing comes twice, and it is told', async (t) => {
    const s = await scene(t, { keeps: false, node: false });
    s.start();
    await pass(300);
    await s.redis.kill();
    await s.redis.start();
    await Promise.all([isUp(s.nodes.one), isUp(s.nodes.four)]);
    await pass(300);
    await s.saying();
    await s.crosses();
    for (const from of s.all)
      for (const to of s.all) {
        const got = s.numbers(to, from);
        same(got, [...new Set(got)].sort((a, b) => a - b), `from ${from.name} to ${to.name}`);
        assert.equal(got.at(-1), from.sent - 1);
        if (to === from) assert.equal(got.length, from.sent);
      }
    assert.ok((await metric(s.nodes.one, 'stream_losses_total')) >= 1);
    await logged(s.nodes.one, /the stream is gone, or is an older one/);
  });
});

describe('a node is cut off', () => {
  test('it is stopped for seconds, and catches up', async (t) => {
    const s = await scene(t, { options: LONG });
    s.start();
    await pass(300);
    s.nodes.four.child.kill('SIGSTOP');
    await pass(3000);
    s.nodes.four.child.kill('SIGCONT');
    await pass(300);
    await s.saying();
    await s.check();
  });

  test('what was trimmed meanwhile is counted', async (t) => {
    const s = await scene(t, { options: { 'cluster.stream_length': 200 }, node: false });
    const [one, four] = s.all;
    s.nodes.four.child.kill('SIGSTOP');
    const N = 3000;
    for (let i = 0; i < N; i++) one.emit('room', 'lobby', one.name, one.sent++);
    await until('all of it is written', async () => s.numbers(one, one).length === N && (await metric(s.nodes.one, 'pending')) === 0, 30_000);
    s.nodes.four.child.kill('SIGCONT');
    await until('the gap is seen', async () => (await metric(s.nodes.four, 'missed_total')) > 0, 30_000);
    await s.crosses();
    const got = s.numbers(four, one);
    assert.ok(got.length >= 200 && got.length < N, `${got.length}`);
    same(got, [...new Set(got)].sort((a, b) => a - b), 'what is left');
    assert.equal(got.at(-1), N - 1);
    assert.equal((await metric(s.nodes.four, 'missed_total')) + got.length, N);
    assert.equal(await metric(s.nodes.one, 'missed_total'), 0);
    await logged(s.nodes.four, /messages were no longer in the stream when this node came to read them: cluster\.stream_length is 200/);
  });

  test('what waits for Redis is bounded; what is too much is counted and logged once', async (t) => {
    const s = await scene(t, { options: { 'cluster.max_pending_size': '64KiB' }, node: false });
    const [one] = s.all;
    s.redis.pause();
    const big = 'x'.repeat(20_000);
    await until('something is dropped', async () => {
      await ask(one, 'room', 'lobby', one.name, big);
      return (await metric(s.nodes.one, 'dropped_total')) >= 5;
    }, 60_000);
    assert.ok((await metric(s.nodes.one, 'pending_bytes')) <= 65536 + 20_000 * 2);
    await logged(s.nodes.one, /messages to other nodes are dropped/);
    assert.equal(s.nodes.one.stderr().match(/messages to other nodes are dropped/g).length, 1);
    s.redis.resume();
    await until('nothing waits', async () => (await metric(s.nodes.one, 'pending')) === 0, 30_000);
    await s.crosses();
  });
});

describe('settings and entries', () => {
  test('an entry that is there twice is given to clients once; what is none is counted', async (t) => {
    const s = await scene(t, { node: false }); // a Node server reads a broken entry again and again
    const { redis, all, nodes: { one } } = s;
    for (const c of all) c.box.length = 0;
    const bad = await metric(one, 'bad_total'), repeated = await metric(one, 'repeated_total');
    const add = (uid, data, seq, type = 3) =>
      redis.command('XADD', 'socket.io', '*', 'uid', uid, 'nsp', '/', 'type', type, 'data', data, ...(seq ? ['seq', seq] : []));
    const say = (text) => JSON.stringify({ packet: { type: 2, data: ['said', text] }, opts: { rooms: [], except: [], flags: {} } });
    const A = '00000000000000aa-', B = '00000000000000bb-';
    await add('x', say('x1'), `${A}1`);
    await add('x', say('x2'), `${A}2`);
    await add('x', say('x1'), `${A}1`);
    await add('x', say('x2'), `${A}2`);
    await add('y', say('y1'), `${A}1`);
    await add('x', say('x3'), `${A}3`);
    await add('x', say('again'), `${B}1`); // it has started again
    await add('x', say('no number'));
    const broken = ['', '{', '[]', '{}', 'gaCh', '%%%', 'x'.repeat(50), '{"packet":{"type":2,"data":["said"],"id":1},"opts":{}}', '{"packet":{"type":2,"data":["connect"]},"opts":{}}'];
    for (const data of broken) await add('z', data);
    await add('z', say('type'), '', 8);
    await add('z', '{"opts":7}', '', 4);
    await add('z', '{"opts":{"rooms":[],"except":[]},"rooms":{}}', '', 5);
    await redis.command('XADD', 'socket.io', '*', 'some', 'thing');
    await add('z', 'null', '', 2); // what older adapters say of themselves
    await s.crosses();
    for (const c of all)
      assert.deepEqual(c.box.map((m) => m[1]).filter((m) => !all.some((from) => from.name === m)), ['x1', 'x2', 'y1', 'x3', 'again', 'no number'], c.name);
    assert.equal((await metric(one, 'repeated_total')) - repeated, 2);
    assert.equal((await metric(one, 'bad_total')) - bad, broken.length + 3);
  });

  test('another name and database, and a user who may do no more than it must', async (t) => {
    const redis = await startRedis({ keeps: true });
    const nodes = [];
    ending(t, redis, nodes);
    await redis.command(
      'ACL', 'SETUSER', 'node', 'on', '>secret', 'allchannels', '~ours', '-@all', '+@pubsub', '+ping', '+auth', '+select', '+multi', '+exec',
      '+xadd', '+xread', '+xrevrange', '+xinfo|stream', '+info', '+client|id', '+client|kill',
    );
    const options = { 'cluster.redis': `redis://node:secret@127.0.0.1:${redis.port}/3`, 'cluster.stream': 'ours', 'cluster.stream_length': 1000 };
    nodes.push(await daemon(redis, 1, options), await daemon(redis, 4, options));
    await Promise.all(nodes.map(isUp));
    const [a, b] = await Promise.all(nodes.map((n) => connect(n, { transports: ['websocket'] })));
    const box = inbox(b);
    await ask(b, 'join', 'lobby');
    for (let i = 0; i < 3000; i++) {
      a.emit('room', 'lobby', i);
      if (i % 500 === 499) await until('it crosses', () => box.length === i + 1, 30_000);
    }
    await redis.command('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await Promise.all(nodes.map(isUp));
    await ask(a, 'room', 'lobby', 3000);
    await until('it crosses again', () => box.length === 3001, 30_000);
    const client = redis.client({ database: 3 });
    await client.connect();
    assert.equal(await client.exists('ours'), 1);
    assert.ok((await client.xLen('ours')) < 1300, 'it is trimmed');
    await client.disconnect();
    for (const n of nodes) assert.doesNotMatch(n.stderr(), /this user needs/);
  });

  test('a user who may not write is named as a reason', async (t) => {
    const redis = await startRedis();
    const nodes = [];
    ending(t, redis, nodes);
    await redis.command('ACL', 'SETUSER', 'mute', 'on', '>secret', 'allchannels', '~*', '-@all', '+@pubsub', '+ping', '+auth', '+xread', '+xinfo|stream', '+info', '+client|id');
    const server = await daemon(redis, 1, { 'cluster.redis': `redis://mute:secret@127.0.0.1:${redis.port}` });
    nodes.push(server);
    const client = await connect(server, { transports: ['websocket'] });
    await ask(client, 'room', 'lobby', 1);
    await logged(server, /no connection for writing the stream, will be tried again: XADD is refused: NOPERM/);
    assert.equal(await metric(server, 'pending'), 1);
  });

  test('faults', async () => {
    const cases = [
      ['cluster.mode=stream', 'pubsub or streams'],
      ['cluster.stream_length=100', '200 to'],
    ];
    for (const [option, expected] of cases) {
      const end = await run(['--check', '-o', 'cluster.redis=redis://host', '-o', option]);
      assert.equal(end.code, 2, option);
      assert.ok(end.stderr.includes(expected), end.stderr);
    }
  });
});
