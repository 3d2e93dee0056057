// A Redis that is not there, goes, hangs, refuses or comes back: what the nodes do meanwhile.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';

import { ask, closeAll } from './lib/client.mjs';
import { run, tempDir } from './lib/daemon.mjs';
import { startGate } from './lib/gate.mjs';
import { crosses, hasAll, inOrder, isDown, isUp, metric, missing, ready, startMember, startOwn, talk, works } from './lib/members.mjs';
import { joined } from './lib/redis.mjs';
import { logged, sleep, until } from './lib/wait.mjs';

afterEach(closeAll);

test('a node starts without Redis, and joins when it comes', async (t) => {
  const redis = await startOwn(t);
  await redis.stop();
  const a = await startMember(t, redis), b = await startMember(t, redis, { shards: 4 });
  assert.equal(await metric(a, 'up'), 0);
  assert.match(await ready(a), /^ready, but degraded: the cluster's Redis is away/);
  await logged(a.server, /cluster: redis:\/\/127\.0\.0\.1:\d+ cannot be reached, will be tried again: Connection refused/);
  await works(a);
  await redis.start();
  await Promise.all([isUp(a), isUp(b)]);
  assert.equal(await ready(a), 'ready\n');
  await crosses(a, b);
  await crosses(b, a);
});

test('Redis is killed and started again', async (t) => {
  const redis = await startOwn(t);
  const a = await startMember(t, redis), b = await startMember(t, redis, { shards: 4 });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  for (let i = 0; i < 2; i++) {
    await redis.kill();
    await Promise.all([isDown(a), isDown(b)]);
    assert.match(await ready(a), /degraded/);
    await works(a);
    await works(b);
    await redis.start();
    await Promise.all([isUp(a), isUp(b)]);
    await crosses(a, b);
    await crosses(b, a);
  }
  assert.ok((await metric(a, 'connects_total')) >= 3);
});

test('what was said while Redis was away comes when it is back, in order and once', async (t) => {
  const redis = await startOwn(t);
  const a = await startMember(t, redis), b = await startMember(t, redis, { shards: 4 });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  await redis.stop();
  await Promise.all([isDown(a), isDown(b)]);
  for (let i = 0; i < 20; i++) await ask(a.client, 'say', 'lobby', `late ${i}`);
  assert.equal(await metric(a, 'pending'), 20);
  await redis.start();
  await Promise.all([isUp(a), isUp(b)]);
  await until('a has sent them', async () => (await metric(a, 'pending')) === 0);
  await crosses(a, b); // b is there, and behind what was waiting
  const late = b.box.map((m) => m[1]).filter((m) => m.startsWith('late'));
  assert.deepEqual(late, Array.from({ length: late.length }, (_, i) => `late ${20 - late.length + i}`));
});

test('Redis stopped and started while all send: what waited reaches all', async (t) => {
  const redis = await startOwn(t);
  const nodes = [await startMember(t, redis), await startMember(t, redis, { shards: 4 }), await startMember(t, redis)];
  await Promise.all(nodes.map(isUp));
  await joined(redis, 3);
  await Promise.all([crosses(nodes[0], nodes[1]), crosses(nodes[1], nodes[2]), crosses(nodes[2], nodes[0])]);
  await sleep(2500); // each has seen the others
  for (const away of [2000, 300]) {
    const stop = talk(nodes);
    await sleep(300);
    await redis.stop();
    await Promise.all(nodes.map(isDown));
    await sleep(away);
    await redis.start();
    await Promise.all(nodes.map(isUp));
    await sleep(500);
    await hasAll(nodes, await stop());
    for (const n of nodes) {
      assert.equal(await metric(n, 'unsure_total'), 0);
      n.box.length = 0;
    }
  }
});

// What a node says while Redis is away, and another one comes back later than it.
async function lateComer(t, options, late) {
  const redis = await startOwn(t), gate = await startGate(redis.port);
  t.after(() => gate.stop());
  const a = await startMember(t, redis, { options }), b = await startMember(t, redis, { options: { ...options, 'cluster.redis': gate.url } });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  await sleep(2500);
  gate.shut();
  await redis.stop();
  await Promise.all([isDown(a), isDown(b)]);
  for (let i = 0; i < 20; i++) await ask(a.client, 'say', 'lobby', 'node 0', i);
  await redis.start();
  await isUp(a);
  await late(a);
  gate.open();
  await isUp(b);
  await crosses(a, b);
  await until('a has sent them', async () => (await metric(a, 'pending')) === 0);
  await crosses(a, b);
  inOrder(b.box, 'node 0');
  return { a, missed: missing(b.box, 'node 0', 20).length };
}

test('a node that comes back later gets what waited', async (t) => {
  const { a, missed } = await lateComer(t, { 'cluster.rejoin_wait': '60s' }, async (a) => {
    await sleep(500);
    assert.ok((await metric(a, 'pending')) >= 20); // and what it tells roomcast nodes
  });
  assert.equal(missed, 0);
  assert.equal(await metric(a, 'unsure_total'), 0);
});

test('a node that comes back too late misses it, which is counted', async (t) => {
  const { a, missed } = await lateComer(t, { 'cluster.rejoin_wait': '200ms' }, (a) =>
    until('it waits no more', async () => (await metric(a, 'pending')) === 0));
  assert.equal(missed, 20);
  assert.ok((await metric(a, 'unsure_total')) >= 20);
  await logged(a.server, /cluster: 1 of 2 nodes are back at Redis: the others miss 2\d messages of this one/);
});

test('a node does not wait for others when it is not to', async (t) => {
  const { a, missed } = await lateComer(t, { 'cluster.rejoin_wait': '0s' }, (a) =>
    until('it waits no more', async () => (await metric(a, 'pending')) === 0));
  assert.equal(missed, 20);
  assert.equal(await metric(a, 'unsure_total'), 0);
});

test('CLIENT KILL of either connection', async (t) => {
  const redis = await startOwn(t);
  const a = await startMember(t, redis), b = await startMember(t, redis, { shards: 4 });
  await Promise.all([isUp(a), isUp(b)]);
  for (const type of ['pubsub', 'normal', 'pubsub']) {
    const before = await Promise.all([a, b].map((n) => metric(n, 'connects_total')));
    await redis.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes');
    for (const [i, n] of [a, b].entries())
      await until('it has joined again', async () => (await metric(n, 'connects_total')) > before[i], 30_000);
    await crosses(a, b);
    await crosses(b, a);
  }
});

test('Redis hangs: the queue is bounded, what is too much is counted and logged once', async (t) => {
  const redis = await startOwn(t);
  const options = { 'cluster.max_pending_size': '64KiB' };
  const a = await startMember(t, redis, { options }), b = await startMember(t, redis, { options });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  redis.pause();
  const big = 'x'.repeat(20_000);
  await until('something is dropped', async () => {
    await ask(a.client, 'say', 'lobby', big);
    return (await metric(a, 'dropped_total')) >= 5;
  }, 60_000);
  assert.ok((await metric(a, 'pending_bytes')) <= 65536 + 20_000 * 2);
  await logged(a.server, /messages to other nodes are dropped/);
  assert.equal(a.server.stderr().match(/messages to other nodes are dropped/g).length, 1);
  await works(a);
  redis.resume();
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  await until('nothing waits', async () => (await metric(a, 'pending')) === 0);
});

test('passwords: in the URL, in a file, wrong ones', async (t) => {
  const password = 'p@ss:w/rd #1%';
  const redis = await startOwn(t, { password });
  const bare = `redis://127.0.0.1:${redis.port}`;
  const file = join(tempDir(), 'password');
  writeFileSync(file, `${password}\n`);
  const a = await startMember(t, redis);
  const b = await startMember(t, redis, { options: { 'cluster.redis': bare, 'cluster.password_file': file } });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  for (const url of [bare, bare.replace('//', '//:wrong@')]) {
    const end = await run(['-o', `cluster.redis=${url}`, '-o', 'server.listen=127.0.0.1:0', '-o', 'server.shards=1']);
    assert.equal(end.code, 1);
    assert.match(end.stderr, /cluster: redis:\/\/127\.0\.0\.1:\d+ lets us not in: (NOAUTH|WRONGPASS) .*: look at cluster\.redis and cluster\.password_file/);
    assert.doesNotMatch(end.stderr, /wrong@/);
  }
});

test('a Unix socket, and an ACL user', async (t) => {
  const redis = await startOwn(t);
  await redis.command('ACL', 'SETUSER', 'node', 'on', '>se cret', 'allchannels', '-@all', '+@pubsub', '+ping', '+auth');
  const a = await startMember(t, redis, { options: { 'cluster.redis': `unix:${redis.socket}` } });
  const b = await startMember(t, redis, { options: { 'cluster.redis': `redis://node:se%20cret@127.0.0.1:${redis.port}/3` } });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  await crosses(b, a);
});

test('a user that may not subscribe is named as a reason', async (t) => {
  const redis = await startOwn(t);
  await redis.command('ACL', 'SETUSER', 'deaf', 'on', '>secret', 'resetchannels', '-@all', '+@pubsub', '+ping', '+auth');
  const a = await startMember(t, redis, { options: { 'cluster.redis': `redis://deaf:secret@127.0.0.1:${redis.port}` } });
  await until('it says so', () => /no connection for subscriptions, .*: NOPERM /.test(a.server.stderr()), 30_000);
  await works(a);
});

test('prefixes keep clusters apart', async (t) => {
  const redis = await startOwn(t);
  const a = await startMember(t, redis), b = await startMember(t, redis, { options: { 'cluster.prefix': 'other' } });
  const c = await startMember(t, redis, { options: { 'cluster.prefix': 'other', 'cluster.node': 'c' } });
  await Promise.all([isUp(a), isUp(b), isUp(c)]);
  await crosses(b, c);
  await crosses(c, b);
  assert.deepEqual(a.box, []);
  await logged(c.server, /joined as c\n/);
});

test('what is no message and no request is ignored, and counted', async (t) => {
  const redis = await startOwn(t);
  const a = await startMember(t, redis), b = await startMember(t, redis, { shards: 4 });
  await Promise.all([isUp(a), isUp(b)]);
  await crosses(a, b);
  const client = redis.client();
  await client.connect();
  const hex = (text) => Buffer.from(text, 'hex');
  const requests = [
    '', '{', '{}', '[]', '{"type":99}', '{"type":"5"}', '{"type":5}', '{"type":5,"requestId":"x"}', '{"type":2,"opts":[]}',
    '{"type":5,"requestId":"x","opts":{"rooms":7}}', '{"type":5,"requestId":"x","opts":{"rooms":[{}]}}', '{"type":7,"requestId":"x","opts":{"rooms":[]},"packet":{}}',
    JSON.stringify({ type: 5, requestId: 'x'.repeat(257), opts: { rooms: [] } }), JSON.stringify({ type: 5, requestId: 'x', uid: 'u'.repeat(257), opts: { rooms: [] } }),
    hex('93a161c0c0'), hex('81a474797065'), hex('81a47479706507'), hex('dfffffffff'), hex('7b22ff'),
  ];
  const messages = ['', '[]', hex('93a161c0c0'), hex('93a16182a47479706502a4646174619180'), hex('ddffffffff')];
  for (const payload of requests) await client.publish('socket.io-request#/#', payload);
  for (const payload of messages) await client.publish('socket.io#/#', payload);
  // Rooms that clients cannot be in, or that are too long; moves of nobody.
  for (const rooms of [['\u0002user:ann', '\u0001rooms', '', 'x'.repeat(5000), a.client.id]]) {
    await client.publish('socket.io-request#/#', JSON.stringify({ type: 2, opts: { rooms: [], except: [] }, rooms }));
    await client.publish('socket.io-request#/#', JSON.stringify({ type: 3, opts: { rooms: [], except: [] }, rooms }));
    await client.publish('socket.io-request#/#', JSON.stringify({ type: 4, opts: { rooms: ['nobody'], except: [] }, close: true }));
  }
  await client.disconnect();
  for (const n of [a, b])
    await until('all of it is counted', async () => (await metric(n, 'bad_total')) === requests.length + messages.length, 20_000);
  await crosses(a, b);
  await crosses(b, a);
});

test('required: no start without Redis, and not ready', async (t) => {
  const redis = await startOwn(t);
  const options = { 'cluster.required': 'yes' };
  const a = await startMember(t, redis, { options });
  await isUp(a);
  assert.equal(await ready(a), 'ready\n');
  await redis.stop();
  await isDown(a);
  const r = await fetch(`${a.admin}/readyz`);
  assert.equal(r.status, 503);
  assert.equal(await r.text(), "the cluster's Redis is away\n");
  const end = await run(['-o', `cluster.redis=${redis.url}`, '-o', 'cluster.required=yes', '-o', 'server.listen=127.0.0.1:0']);
  assert.equal(end.code, 1);
  assert.match(end.stderr, /cannot be reached: Connection refused: start it, or set cluster\.required = no/);
});

test('faults of the configuration', async () => {
  const FORM = 'expected redis://[user[:password]@]host[:port][/db] or unix:/path[?db=N]';
  const cases = [
    ['cluster.redis=http://127.0.0.1', `[cluster] redis: ${FORM}`],
    ['cluster.redis=redis://', `[cluster] redis: ${FORM}`],
    ['cluster.redis=redis://host:0', `[cluster] redis: ${FORM}`],
    ['cluster.redis=redis://:secret@host:99999', `[cluster] redis: ${FORM}`],
    ['cluster.redis=redis://host/one', `[cluster] redis: ${FORM}`],
    ['cluster.redis=unix:relative', `[cluster] redis: ${FORM}`],
    ['cluster.redis=rediss://host', 'this version speaks no TLS to Redis'],
    ['cluster.required=yes', 'expected cluster.redis to be set, too'],
  ];
  for (const [option, expected] of cases) {
    const end = await run(['--check', '-o', option]);
    assert.equal(end.code, 2, option);
    assert.ok(end.stderr.includes(expected), `${option}: ${end.stderr}`);
    assert.doesNotMatch(end.stderr, /secret/);
  }
  const more = ['cluster.prefix=', 'cluster.prefix=a#b', 'cluster.node=emitter', `cluster.node=${'n'.repeat(33)}`, 'cluster.password_file=/nowhere/at/all'];
  for (const option of more) {
    const end = await run(['--check', '-o', 'cluster.redis=redis://host', '-o', option]);
    assert.equal(end.code, 2, option);
    assert.ok(end.stderr.includes(`[cluster] ${option.split(/[.=]/)[1]} =`) || /prefix|node/.test(end.stderr), end.stderr);
  }
});
