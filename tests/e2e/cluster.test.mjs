// Nodes that are joined through Redis: two roomcast daemons, of one and four shards, and a Node server
// with @socket.io/redis-adapter. Whatever is sent on one of them reaches the clients of all alike.
//
// PYTHON3   the interpreter (default /usr/bin/python3)
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import { Emitter } from '@socket.io/redis-emitter';

import { ask, closeAll } from './lib/client.mjs';
import { INI, NAMESPACES, NODE_SERVER, crowd, exchange, exchangePayloads, fetchAndMove, heard, question, settle, texts } from './lib/crowd.mjs';
import { start, top } from './lib/daemon.mjs';
import { joined, startNode, startRedis } from './lib/redis.mjs';
import { Session, Swarm } from './lib/swarm.mjs';
import { until } from './lib/wait.mjs';

let redis, nodes;

before(async () => {
  redis = await startRedis();
  const daemon = (shards) => start({ ini: INI, shards, options: { 'cluster.redis': redis.url } });
  const one = await daemon(1), four = await daemon(4);
  const node = await startNode(redis, { ...NODE_SERVER, options: { requestsTimeout: 60_000 } });
  nodes = { one, four, node };
});
after(async () => {
  closeAll();
  for (const node of Object.values(nodes ?? {})) await node.stop();
  await redis?.stop();
});
afterEach(closeAll);

describe('broadcasts', () => {
  for (const nsp of NAMESPACES) {
    test(`every form in every direction: ${nsp}`, async () => {
      const all = await crowd(nodes, nsp);
      for (const s of all) {
        await ask(s, 'join', s.name);
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
          [['room', 'KPL räum #1', 'd'], everybody],
          [['roomOthers', 'even', 'e'], zeroes.filter((n) => n !== from.name)],
          [['rooms', ['even', 'odd', 'KPL räum #1'], 'f'], everybody],
          [['rooms', ['one0', 'four1', 'node1'], 'g'], ['one0', 'four1', 'node1']],
          [['but', ['KPL räum #1'], ['even'], 'h'], ones],
          [['but', ['even', 'odd'], ['one1', 'four0', 'node0'], 'i'], everybody.filter((n) => !['one1', 'four0', 'node0'].includes(n))],
          [['allBut', 'odd', 'j'], zeroes],
          [['room', 'nobody is here', 'l'], []],
          [['room', 'odd', 'm'], ones],
        ];
        await exchange(all, from, cases);
      }
    });
  }

  test('volatile ones reach those that can take them, and nobody else', async () => {
    const all = await crowd(nodes, '/');
    for (const s of all) if (s.name.endsWith('1')) await ask(s, 'join', 'odd');
    const ones = all.filter((s) => s.name.endsWith('1'));
    for (const from of all.filter((s) => s.name.endsWith('0'))) {
      await until(`one of ${from.name} has come`, async () => {
        await ask(from, 'flash', 'odd', `flash of ${from.name}`);
        await settle(all);
        return ones.every((s) => texts(s).some((m) => m[0] === `flash of ${from.name}`));
      }, 30_000);
    }
    for (const s of all.filter((s) => s.name.endsWith('0'))) assert.deepEqual(texts(s), [], s.name);
  });

  test('payloads arrive as they were sent', async () => exchangePayloads(await crowd(nodes, '/', 1)));

  test('dates and typed arrays of a Node server are what they are to its own clients', async () => {
    const all = await crowd(nodes, '/', 1);
    for (const s of all) s.box.length = 0;
    const args = [new Date(1700000000000), new Date(1700000000123), new Date(-1), new Date(NaN).getTime() || 0, new Uint8Array([1, 2]), undefined, { gone: undefined }];
    nodes.node.io.emit('said', ...args);
    const got = await heard(all);
    const expected = got.node0.map((a) => a.map((v) => (Buffer.isBuffer(v) ? [...v] : v)));
    for (const s of all) assert.deepEqual(got[s.name].map((a) => a.map((v) => (Buffer.isBuffer(v) ? [...v] : v))), expected, s.name);
  });

  test('a message to a socket finds it on any node', async () => {
    const all = await crowd(nodes, '/', 1);
    for (const s of all) s.box.length = 0;
    for (const from of all) for (const to of all) await ask(from, 'to', to.id, `${from.name} to ${to.name}`);
    const got = await heard(all);
    // Of different senders nobody says who is first.
    for (const s of all)
      assert.deepEqual(got[s.name].map((m) => m[0]).sort(), all.map((from) => `${from.name} to ${s.name}`).sort(), s.name);
  });

  test('what a node sends arrives in its order, whatever rooms it goes to', async () => {
    const all = await crowd(nodes, '/', 2);
    const rooms = Array.from({ length: 8 }, (_, i) => `order ${i}`);
    for (const s of all) for (const room of rooms) await ask(s, 'join', room);
    for (const s of all) s.box.length = 0;
    const senders = all.filter((s) => s.name.endsWith('0'));
    const N = 200;
    for (let i = 0; i < N; i++)
      for (const from of senders) {
        if (i % 5 === 4) from.emit('rooms', [rooms[i % 8], rooms[(i + 3) % 8]], from.name, i);
        else from.emit('room', rooms[i % 8], from.name, i);
      }
    await until('all of it has come', () => all.every((s) => s.box.length >= N * senders.length), 30_000);
    const got = await heard(all);
    for (const s of all)
      for (const from of senders) {
        const numbers = got[s.name].filter((m) => m[0] === from.name).map((m) => m[1]);
        assert.deepEqual(numbers, Array.from({ length: N }, (_, i) => i), `from ${from.name} to ${s.name}`);
      }
    // Those of one node agree on one order, of a room at least.
    const order = (s) => got[s.name].filter((m) => m[1] % 8 === 3 && m[1] % 5 !== 4);
    assert.deepEqual(order(all.find((s) => s.name === 'four0')), order(all.find((s) => s.name === 'four1')));
    assert.deepEqual(order(all.find((s) => s.name === 'one0')), order(all.find((s) => s.name === 'one1')));
  });
});

describe('emitters', () => {
  let client;
  before(async () => {
    client = redis.client();
    await client.connect();
  });
  after(() => client?.disconnect());

  const odd = (s) => s.name.endsWith('1');
  async function parted(nsp) {
    const all = await crowd(nodes, nsp);
    for (const s of all) await ask(s, 'join', odd(s) ? 'odd' : 'even');
    for (const s of all) s.box.length = 0;
    return all;
  }

  for (const nsp of NAMESPACES)
    test(`@socket.io/redis-emitter sends in every form: ${nsp}`, async () => {
      const all = await parted(nsp);
      const emitter = nsp === '/' ? new Emitter(client) : new Emitter(client).of(nsp === '/chat' ? 'chat' : nsp);
      const [one, other] = [all[0], all.at(-1)];
      const everybody = () => true;
      const cases = [
        [() => emitter, everybody],
        [() => emitter.to('even'), (s) => !odd(s)],
        [() => emitter.in('odd'), odd],
        [() => emitter.to(['even', 'odd']), everybody],
        [() => emitter.to('even').in('odd'), everybody],
        [() => emitter.to('even').to('odd').except('odd'), (s) => !odd(s)],
        [() => emitter.except('even'), odd],
        [() => emitter.except([one.id, other.id]), (s) => s !== one && s !== other],
        [() => emitter.to(one.id), (s) => s === one],
        [() => emitter.to([one.id, other.id]).except(one.id), (s) => s === other],
        [() => emitter.to('nobody is here'), () => false],
        [() => emitter.compress(false).to('odd'), odd],
        [() => emitter.compress(true), everybody],
      ];
      const payload = ['ü', { deep: [Buffer.from([0, 1, 255]), null] }, Buffer.alloc(0), 2 ** 40, -0.5];
      for (const [i, [to]] of cases.entries()) to().emit('said', i, ...payload);
      const got = await heard(all);
      for (const s of all) {
        const expected = cases.flatMap(([, who], i) => (who(s) ? [[i, ...payload]] : []));
        assert.deepEqual(got[s.name], expected, s.name);
      }
    });

  test('@socket.io/redis-emitter: volatile ones', async () => {
    const all = await parted('/');
    const emitter = new Emitter(client);
    await until('one has come', async () => {
      emitter.volatile.to('odd').emit('said', 'flash');
      emitter.to('odd').volatile.emit('said', 'flash');
      await settle(all);
      return all.filter(odd).every((s) => texts(s).length > 0);
    }, 30_000);
    for (const s of all) if (!odd(s)) assert.deepEqual(texts(s), [], s.name);
  });

  for (const nsp of NAMESPACES)
    test(`@socket.io/redis-emitter moves and disconnects sockets: ${nsp}`, async () => {
      const all = await parted(nsp);
      const emitter = new Emitter(client, {}, nsp);
      emitter.in('even').socketsJoin('moved');
      emitter.in('odd').except([all[1].id]).socketsJoin(['moved', 'more']);
      emitter.to('moved').emit('said', 1);
      emitter.in('even').socketsLeave(['moved']);
      emitter.to('moved').emit('said', 2);
      emitter.socketsJoin('everybody');
      emitter.in('odd').socketsLeave('everybody');
      emitter.to('everybody').emit('said', 3);
      emitter.serverSideEmit('nothing', 1); // nobody is to answer
      const got = await heard(all);
      for (const [i, s] of all.entries()) assert.deepEqual(got[s.name], odd(s) ? (i === 1 ? [] : [[1], [2]]) : [[1], [3]], s.name);
      assert.throws(() => emitter.serverSideEmit('nothing', () => {}), /not supported/);

      // Of a namespace, or with the connection that others have, too.
      const others = [];
      for (const s of all) {
        const other = s.io.socket(nsp === '/' ? '/chat' : '/');
        other.connect();
        await new Promise((done) => other.once('connect', done));
        others.push(other);
      }
      const gone = all.map((s) => new Promise((done) => s.once('disconnect', done)));
      emitter.in('even').disconnectSockets();
      emitter.except('even').disconnectSockets(true);
      assert.deepEqual(await Promise.all(gone), all.map(() => 'io server disconnect'));
      await until('connections have ended', () => others.every((o, i) => o.connected === !odd(all[i])));
    });

  // Runs Python with the class that docs/cluster.md shows.
  const manual = readFileSync(join(top, 'docs/cluster.md'), 'utf8');
  const [, shown] = /```python\n(.*?)```/s.exec(manual);
  const python = (code) =>
    execFileSync(process.env.PYTHON3 || '/usr/bin/python3', ['-c', `${shown}\nURL = '${redis.url}'\n${code}`], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 60_000 });

  test('python-socketio: its own manager speaks to Python servers alone', async () => {
    const all = await parted('/');
    python(`
manager = socketio.RedisManager(URL, write_only=True)
manager.emit('said', 'to all')
manager.emit('said', 'to even', room='even')
manager.close_room('even')
manager.disconnect('${all[0].id}')
`);
    await ask(all[0], 'room', 'even', 'still here');
    const got = await heard(all);
    for (const s of all) assert.deepEqual([s.connected, ...got[s.name]], odd(s) ? [true] : [true, ['still here']], s.name);
  });

  for (const nsp of NAMESPACES)
    test(`python-socketio, with the words of the adapter: ${nsp}`, async () => {
      const all = await parted(nsp);
      python(`
emitter = Emitter(URL)
def emit(*args, **kwargs):
    emitter.emit(*args, namespace='${nsp}', **kwargs)
emit('said', 'to all')
emit('said', {'ü': [b'\\x00\\xff', None, 1.5]}, room='even')
emit('said', ('two', 'arguments'), room='odd')
emit('said', None)
emit('said', 'without one', skip_sid='${all[0].id}')
emit('said', 'but two', room='even', skip_sid=['${all[0].id}', '${all[2].id}'])
emitter.close_room('even', namespace='${nsp}')
emit('said', 'to nobody', room='even')
emitter.disconnect('${all[1].id}', namespace='${nsp}')
`);
      await new Promise((done) => (all[1].connected ? all[1].once('disconnect', done) : done()));
      const rest = all.filter((s) => s !== all[1]);
      const got = await heard(rest);
      for (const [i, s] of all.entries())
        if (s !== all[1])
          assert.deepEqual(got[s.name], [
            ['to all'],
            odd(s) ? ['two', 'arguments'] : [{ ü: [Buffer.from([0, 255]), null, 1.5] }],
            [],
            ...(i === 0 ? [] : [['without one']]),
            ...(odd(s) || i === 0 || i === 2 ? [] : [['but two']]),
          ], s.name);
    });
});

describe('requests of a Node server', () => {
  // Waits until it counts all nodes as servers of the namespace.
  const counted = (nsp) => joined(redis, 3, nsp);

  for (const nsp of NAMESPACES)
    test(`fetchSockets, socketsJoin, socketsLeave, allRooms: ${nsp}`, async () => {
      const all = await crowd(nodes, nsp);
      const io = nodes.node.io.of(nsp);
      await counted(nsp);
      await fetchAndMove(io, all);
      const expected = ['even', 'more', 'odd', ...all.map((s) => s.id)].sort();
      let rooms;
      await until('all rooms', async () => {
        rooms = [...(await io.adapter.allRooms())].sort();
        return rooms.length === expected.length;
      }).catch(() => {});
      assert.deepEqual(rooms, expected);
    });

  test('fetchSockets of thousands: each once, with its rooms', async (t) => {
    const MANY = 1500;
    for (const node of [nodes.one, nodes.four]) {
      const swarm = new Swarm(node);
      t.after(() => swarm.destroy());
      let left = MANY;
      await Promise.all(Array.from({ length: 32 }, async () => {
        while (left-- > 0) assert.equal(await (await Session.open(swarm)).post('42["join","crowd"]'), '200 ok');
      }));
    }
    await counted('/');
    const io = nodes.node.io.of('/');
    await until('all have joined', async () => (await io.in('crowd').fetchSockets()).length === 2 * MANY, 60_000);
    const first = await io.fetchSockets(); // that asks Redis something first
    io.in('crowd').socketsJoin('more');
    const second = await io.in('more').fetchSockets();
    for (const sockets of [first, second]) assert.equal(new Set(sockets.map((s) => s.id)).size, 2 * MANY);
    for (const s of first) assert.deepEqual([...s.rooms].sort(), [s.id, 'crowd'].sort());
    for (const s of second) assert.deepEqual([...s.rooms].sort(), [s.id, 'crowd', 'more'].sort());
    assert.ok((await io.adapter.allRooms()).has('more'));
    const gone = nodes.one.stderr().length;
    io.in('more').disconnectSockets(true);
    await until('all are gone', async () => (await io.fetchSockets()).length === 0, 60_000);
    assert.doesNotMatch(nodes.one.stderr().slice(gone), / error /);
  });

  test('a remote socket: emit, join, leave, disconnect', async () => {
    const all = await crowd(nodes, '/', 1);
    await counted('/');
    for (const s of all) s.box.length = 0;
    const io = nodes.node.io;
    for (const remote of await io.fetchSockets()) {
      remote.join('remote');
      remote.emit('said', 'to you', remote.id);
      io.to('remote').emit('said', 'to the room', remote.id);
      remote.leave('remote');
      io.to('remote').emit('said', 'to nobody');
    }
    const got = await heard(all);
    for (const s of all.filter((s) => s.at !== 'node')) assert.deepEqual(got[s.name], [['to you', s.id], ['to the room', s.id]], s.name);
    const gone = all.map((s) => new Promise((done) => s.once('disconnect', done)));
    for (const remote of await io.fetchSockets()) remote.disconnect();
    assert.deepEqual(await Promise.all(gone), all.map(() => 'io server disconnect'));
  });

  test('disconnectSockets, of a room and with the connection', async () => {
    const all = await crowd(nodes, '/');
    const others = [];
    for (const s of all) {
      const other = s.io.socket('/chat');
      other.connect();
      await new Promise((done) => other.once('connect', done));
      others.push(other);
      await ask(s, 'join', s.name.endsWith('0') ? 'soft' : 'hard');
    }
    const gone = all.map((s) => new Promise((done) => s.once('disconnect', done)));
    const io = nodes.node.io;
    io.in('soft').disconnectSockets();
    io.in('hard').disconnectSockets(true);
    assert.deepEqual(await Promise.all(gone), all.map(() => 'io server disconnect'));
    await until('connections have ended', () => others.every((o, i) => o.connected === all[i].name.endsWith('0')));
  });

  test('serverSideEmit: roomcast answers null', async () => {
    await counted('/');
    assert.deepEqual(await nodes.node.io.serverSideEmitWithAck('hello', 1), [null, null]);
    nodes.node.io.serverSideEmit('hello');
  });

  test('a broadcast with acknowledgements', async () => {
    const all = await crowd(nodes, '/');
    await counted('/');
    const io = nodes.node.io;
    const expected = await question(io, all);
    // Who answers twice has answered once, and for nobody else.
    const twice = (s) => (p) => p.type === 2 && p.data[0] === 'question' && s.packet({ type: 3, id: p.id, nsp: '/', data: ['again'] });
    const daring = all.filter((s) => s.name.startsWith('four')).map((s) => [s, twice(s)]);
    for (const [s, f] of daring) s.io.on('packet', f);
    const answers = await io.timeout(20_000).emitWithAck('question');
    assert.equal(answers.length, all.length);
    for (const [s, f] of daring) s.io.off('packet', f);
    // Nobody on a node is in the room: it says so.
    const one = all.find((s) => s.name === 'four0');
    assert.deepEqual(await io.in(one.id).timeout(20_000).emitWithAck('question'), expected([one]));
    for (const s of all) s.off('question');
    await assert.rejects(io.in('even').timeout(300).emitWithAck('question'), /operation has timed out/);
  });
});
