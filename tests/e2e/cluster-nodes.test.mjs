// Roomcast nodes know each other: who comes, who ends, who dies, and who is only cut off for a while.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';

import { encode } from 'notepack.io';

import { closeAll } from './lib/client.mjs';
import { ctl } from './lib/console.mjs';
import { tempDir } from './lib/daemon.mjs';
import { metric, startOwn } from './lib/members.mjs';
import { startWithMetrics } from './lib/metrics.mjs';
import { logged, sleep, until } from './lib/wait.mjs';

const LEASE = 1000;

afterEach(closeAll);

async function startNode(t, redis, name, options = {}) {
  const console = join(tempDir(), 'ctl.sock');
  const server = await startWithMetrics(null, {
    ini: '[connect]\n',
    shards: 2,
    options: { 'cluster.redis': redis.url, 'cluster.node': name, 'cluster.lease': `${LEASE}ms`, 'admin.socket': console, ...options },
  });
  server.console = console;
  t.after(() => server.ended ?? server.stop());
  return { server, admin: server.admin, name };
}

const knows = (node, count) => until(`${node.name} knows ${count}`, async () => (await metric(node, 'nodes')) === count, 20_000);

test('nodes that come and end are known', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await Promise.all([knows(a, 1), knows(b, 1)]);
  const c = await startNode(t, redis, 'c');
  await Promise.all([a, b, c].map((node) => knows(node, 2)));
  const shown = await ctl(c.server, 'SHOW nodes');
  assert.deepEqual(shown.nodes.map((n) => [n.id, n.address]).sort(), [['a', ''], ['b', '']]);
  assert.deepEqual([shown.shown, shown.matched, (await ctl(c.server, 'SHOW nodes limit=1')).shown], [2, 2, 1]);
  await c.server.stop();
  await Promise.all([knows(a, 1), knows(b, 1)]);
  assert.match(a.server.stderr(), /node c has ended/);
});

test('a node that dies is forgotten after its lease', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await knows(a, 1);
  const died = Date.now();
  await b.server.kill();
  await knows(a, 0);
  assert.ok(Date.now() - died >= LEASE * 0.7, `after ${Date.now() - died} ms`);
  assert.match(a.server.stderr(), /node b was not heard for cluster.lease/);
});

test('one that is started again is another', async (t) => {
  const redis = await startOwn(t);
  const [a, b] = await Promise.all(['a', 'b'].map((name) => startNode(t, redis, name, { 'cluster.lease': '60s' })));
  await knows(a, 1);
  await b.server.kill();
  await startNode(t, redis, 'b', { 'cluster.lease': '60s' });
  await logged(a.server, 'node b was started again');
  await knows(a, 1);
});

test('a node that ends while Redis stands still says nothing behind its goodbye', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await Promise.all([knows(a, 1), knows(b, 1)]);
  redis.pause();
  const ended = b.server.stop();
  await sleep(LEASE * 0.8); // beats of it would wait in Redis
  redis.resume();
  await ended;
  await knows(a, 0);
  await sleep(LEASE * 0.5);
  assert.equal(await metric(a, 'nodes'), 0);
  assert.doesNotMatch(a.server.stderr().split('node b has ended')[1] ?? '', /node b is here/);
});

test('nobody is forgotten because Redis is away, or one stood still itself', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await Promise.all([knows(a, 1), knows(b, 1)]);
  await redis.stop();
  await until('it is down', async () => (await metric(a, 'up')) === 0, 20_000);
  await sleep(LEASE * 2);
  assert.equal(await metric(a, 'nodes'), 1);
  b.server.child.kill('SIGSTOP'); // it comes back later than the other one
  await redis.start();
  await until('one is back', async () => (await metric(a, 'up')) === 1, 30_000);
  await sleep(LEASE * 1.5); // less than cluster.rejoin_wait
  b.server.child.kill('SIGCONT');
  await until('both are back', async () => (await metric(a, 'up')) === 1 && (await metric(b, 'up')) === 1, 30_000);
  a.server.child.kill('SIGSTOP');
  await sleep(LEASE * 2);
  a.server.child.kill('SIGCONT');
  await sleep(LEASE * 2);
  assert.doesNotMatch(a.server.stderr(), /not heard/);
  await Promise.all([knows(a, 1), knows(b, 1)]);
});

test('nobody is forgotten because Redis stands still', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await Promise.all([knows(a, 1), knows(b, 1)]);
  redis.pause();
  await sleep(LEASE * 3);
  redis.resume();
  await sleep(LEASE);
  for (const node of [a, b]) {
    assert.equal(await metric(node, 'connects_total'), 1);
    assert.doesNotMatch(node.server.stderr(), /not heard/);
  }
  await b.server.kill(); // who dies is still noticed
  await knows(a, 0);
});

test('what is no message of a node changes nothing', async (t) => {
  const redis = await startOwn(t);
  const a = await startNode(t, redis, 'a');
  const b = await startNode(t, redis, 'b');
  await Promise.all([knows(a, 1), knows(b, 1)]);
  const client = redis.client();
  await client.connect();
  t.after(() => client.disconnect());
  const here = [1, 'x', 7, 'here', false, 5, '', Buffer.alloc(16)];
  const bad = [
    '', 'text', encode(7), encode([]), encode([2, ...here.slice(1)]), encode([1, '', ...here.slice(2)]),
    encode([1, 'y'.repeat(64), ...here.slice(2)]), encode([1, 'x\0y', ...here.slice(2)]), encode(here.slice(0, 7)),
    encode(here.with(5, 0)), encode(here.with(5, 65536)), encode(here.with(6, 'a'.repeat(64))), encode(here.with(7, Buffer.alloc(15))),
  ];
  const before = await metric(a, 'bad_total');
  for (const message of bad) await client.publish('socket.io-roomcast#', message);
  await until('all are counted', async () => (await metric(a, 'bad_total')) === before + bad.length);
  assert.equal(await metric(a, 'nodes'), 1);
  await client.publish('socket.io-roomcast#', encode([...here, 'of a later version']));
  await knows(a, 2);
  await client.publish('socket.io-roomcast#', encode([1, 'x', 7, 'something later']));
  await client.publish('socket.io-roomcast#', encode([1, 'x', 8, 'bye'])); // of another process
  await client.publish('socket.io-roomcast#', encode([1, 'x', 7, 99, 0, '/', 'room', Buffer.from('later')]));
  await client.publish('socket.io-roomcast#', encode([1, 'x', 7, 1, 0, '/', 5, 6]));
  await until('the last one is counted', async () => (await metric(a, 'bad_total')) === before + bad.length + 1);
  assert.equal(await metric(a, 'nodes'), 2);
  await client.publish('socket.io-roomcast#', encode([1, 'x', 7, 'bye']));
  await knows(a, 1);
});

test('two that have drawn the same tag have different ones afterwards', async (t) => {
  const redis = await startOwn(t);
  const listener = redis.client();
  await listener.connect();
  t.after(() => listener.disconnect());
  const a = await startNode(t, redis, 'a');
  const { decode } = await import('notepack.io');
  const tags = [];
  await listener.subscribe('socket.io-roomcast#', (message) => {
    const [, id, , what, , tag] = decode(message);
    if (id === 'a' && what === 'here') tags.push(tag);
  }, true);
  const [tag] = await until('it has said its tag', () => (tags.length ? tags : null));
  const other = redis.client();
  await other.connect();
  t.after(() => other.disconnect());
  await other.publish('socket.io-roomcast#', encode([1, 'x', 1, 'here', false, tag, '', Buffer.alloc(16)]));
  await until('it has another tag', () => tags.at(-1) !== tag);
  assert.match(a.server.stderr(), /had drawn the tag of this one/);
});
