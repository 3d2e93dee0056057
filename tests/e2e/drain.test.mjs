// SIGTERM with server.drain_delay and drain_time: not ready at once, then no listeners, then the clients
// end one after the other, when what they have asked for is done.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { afterEach, describe, test } from 'node:test';

import WebSocket from 'ws';

import { ask, client, closeAll, connect } from './lib/client.mjs';
import { startWithMetrics } from './lib/metrics.mjs';
import { AUTH, as, openStore } from './lib/store.mjs';
import { SHARDS, label, logged, sleep, slow, start, until, within } from './lib/target.mjs';

const range = (n) => [...Array(n).keys()];

afterEach(closeAll);

const gone = (s) => new Promise((r) => s.once('disconnect', r));

// Resolves to whether somebody listens there.
const listens = (port) =>
  new Promise((r) => {
    const c = createConnection({ port, host: '127.0.0.1' });
    c.once('connect', () => (c.destroy(), r(true))).once('error', () => r(false));
  });

// It has been told to end, and does, in order.
async function ended(server) {
  await within(60_000, 'the end', server.end);
  assert.deepEqual(server.ended, { code: 0, signal: null }, server.stderr());
  assert.doesNotMatch(server.stderr(), /Sanitizer|runtime error:/);
}

async function withAdmin(options) {
  const server = await startWithMetrics(null, options);
  return { server, ready: async () => (await fetch(`${server.admin}/readyz`)).status };
}

for (const shards of SHARDS)
  describe(label(shards), () => {
    test('the ends are spread: some early, some late, each told properly', async () => {
      const TIME = 2000 * slow;
      const { server, ready } = await withAdmin({
        ini: '[event say]\nemit = all: said {1}\n[endpoint /e]\nprotocol = relay\n',
        shards,
        options: { 'server.drain_time': `${TIME}ms`, 'log.level': 'debug' },
      });
      const sockets = await Promise.all(range(24).map(() => connect(server, { transports: ['websocket'] })));
      const polling = await Promise.all(range(4).map(() => connect(server, { transports: ['polling'] })));
      const ws = await Promise.all(
        range(12).map(async () => {
          const one = new WebSocket(`ws://127.0.0.1:${server.port}/e`);
          await within(20_000, 'open', once(one, 'open'));
          return one;
        }),
      );
      assert.equal(await ready(), 200);
      const ends = [];
      const why = [...sockets, ...polling].map((s) => gone(s).then((text) => (ends.push(s), text)));
      const codes = ws.map((one) => once(one, 'close').then(([code]) => (ends.push(one), code)));
      server.child.kill('SIGTERM');
      await until('not ready', async () => (await ready()) === 503);
      await until('nobody listens', async () => !(await listens(server.port)));
      // While some have gone, others are still served.
      await until('the first ends', () => ends.length > 0, 20_000);
      const early = ends.length;
      const living = sockets.find((s) => s.connected && !ends.includes(s));
      assert.ok(early < 40 && living, `${early} of 40 at once`);
      const rest = until('a quarter', () => ends.length >= 10, 60_000).then(() => ends.length);
      assert.ok((await rest) < 40, 'all at once');
      await within(60_000, 'all ends', Promise.all([...why, ...codes]));
      await ended(server);
      assert.deepEqual(new Set(await Promise.all(codes)), new Set([1001]));
      const texts = await Promise.all(why);
      assert.deepEqual(new Set(texts.slice(0, sockets.length)), new Set(['transport close']));
      // A client of polling may need another connection, and then there is no listener.
      for (const text of texts.slice(sockets.length)) assert.ok(['transport close', 'transport error'].includes(text), text);
    });

    const KINDS = [['websocket'], ['polling'], ['polling', 'websocket']];
    for (const [time, transports] of ['300ms', '0ms'].flatMap((it) => KINDS.map((kind) => [it, kind])))
      test(`over ${time}, ${transports}: what is to be stored is stored, and acknowledged before the end`, async (t) => {
        const store = await openStore('sqlite');
        t.after(() => store.remove());
        const server = await start({
          ini: '[event keep]\nstore = room r: kept {1}\n',
          shards,
          options: { ...AUTH, ...store.options(), 'server.drain_time': time },
        });
        let acked = 0, sent = 0;
        // Each asks for the next when the last is answered: at most one is under way.
        const talk = (i) => {
          const one = client(server, { ...as(`u${i}`), transports, reconnection: false });
          const next = (answer) => {
            if (answer) assert.ok(answer.ok), acked++;
            if (one.connected) one.emit('keep', sent++, next);
          };
          one.once('connect', next).connect();
          return new Promise((done) => one.once('disconnect', done).once('connect_error', done));
        };
        const ends = range(8).map(talk);
        await until('some are stored', () => acked >= 50);
        // Those that upgrade are in the midst of it.
        if (transports.length > 1) ends.push(...range(8).map((i) => talk(8 + i)));
        const before = acked;
        await until('and some more', () => acked > before + 4);
        server.child.kill('SIGTERM');
        await within(60_000, 'all ends', Promise.all(ends));
        await ended(server);
        // What was sent to a connection that had just been closed is neither stored nor acknowledged.
        assert.equal((await store.rows('SELECT id FROM message')).length, acked, 'stored, but not acknowledged');
      });

    test('who is busy when the others end has the time that is left', async (t) => {
      const store = await openStore('sqlite');
      t.after(() => store.remove());
      const server = await start({
        ini: '[event keep]\nstore = room r: kept {1}\n[event hi]\nack = 1\n',
        shards,
        options: { ...AUTH, ...store.options(), 'server.drain_time': '10m' },
      });
      const s = [];
      for (let i = 0; i < 3 * shards; i++) s.push(await connect(server, { ...as(`u${i}`), transports: ['websocket'] }));
      const writer = spawn('sqlite3', [store.path], { stdio: ['pipe', 'pipe', 'inherit'] });
      t.after(() => writer.kill());
      writer.stdin.write('BEGIN IMMEDIATE; SELECT 1;\n');
      await within(20_000, 'the lock', once(writer.stdout, 'data'));
      const answers = s.map((one) => ask(one, 'keep', 1));
      answers.forEach((it) => it.catch(() => {})); // of those that end
      await sleep(100);
      server.child.kill('SIGTERM');
      await logged(server, 'ending ');
      await sleep(100); // several steps
      writer.stdin.end('ROLLBACK;\n');
      await Promise.race(answers);
      const living = s.filter((one) => one.connected);
      assert.ok(living.length >= shards, `${living.length} of ${s.length} are left`);
      assert.deepEqual(await Promise.all(living.map((one) => ask(one, 'hi'))), living.map(() => 1));
      server.child.kill('SIGTERM');
      assert.equal((await within(20_000, 'the end', server.end)).code, 1);
    });
  });

test('the delay: not ready, but who comes is served', async () => {
  const { server, ready } = await withAdmin({ shards: 2, ini: '[event hi]\nack = 1\n', options: { 'server.drain_delay': '10m' } });
  server.child.kill('SIGTERM');
  await logged(server, 'SIGTERM: ending');
  await until('not ready', async () => (await ready()) === 503);
  assert.equal(await ask(await connect(server), 'hi'), 1);
  assert.equal(server.ended, null);
  await sleep(50); // else it would be the same signal twice
  server.child.kill('SIGTERM');
  const { code } = await within(20_000, 'the end', server.end);
  assert.equal(code, 1);
  assert.match(server.stderr(), /ended at once by a second signal/);
});

// `timeout` and some supervisors tell a process, and then the group that it is in.
test('the same signal twice at once is one', async () => {
  for (let i = 0; i < 10; i++) {
    const server = await start({ shards: 2 });
    server.child.kill('SIGTERM');
    server.child.kill('SIGTERM');
    const { code } = await within(20_000, 'the end', server.end);
    assert.equal(code, 0, server.stderr());
  }
});

for (const second of ['SIGTERM', 'SIGINT'])
  test(`a ${second} in the midst of it ends at once`, async () => {
    const server = await start({ shards: 2, options: { 'server.drain_time': '1h' } });
    const all = await Promise.all(range(10).map(() => connect(server, { transports: ['websocket'] })));
    const first = Promise.race(all.map(gone));
    server.child.kill('SIGTERM');
    await within(20_000, 'the first end', first);
    assert.ok(all.some((s) => s.connected));
    await sleep(50); // else it would be the same signal twice
    server.child.kill(second);
    const { code } = await within(20_000, 'the end', server.end);
    assert.equal(code, 1);
  });

test('nobody is there: it ends at once; no new session begins', async () => {
  const empty = await start({ shards: 2, options: { 'server.drain_time': '1h' } });
  await empty.stop();

  const server = await start({ shards: 1, options: { 'server.drain_time': '1h' } });
  const kept = createConnection({ port: server.port, host: '127.0.0.1' });
  await once(kept, 'connect');
  kept.setEncoding('utf8');
  let text = '';
  kept.on('data', (d) => (text += d));
  const ask = (path) => kept.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  ask('/healthz');
  await until('an answer', () => /200 OK/.test(text));
  const all = await Promise.all(range(3).map(() => connect(server, { transports: ['websocket'] })));
  server.child.kill('SIGTERM');
  await until('it drains', () => /ending 3 sessions/.test(server.stderr()));
  text = '';
  ask('/socket.io/?EIO=4&transport=polling');
  await until('a refusal', () => /^HTTP\/1\.1 503/.test(text));
  const ends = all.filter((s) => s.connected).map(gone);
  for (const s of all) s.disconnect();
  await Promise.all(ends);
  await ended(server); // all have left by themselves
  kept.destroy();
});
