// Who may connect: limits on connections and on their rate, in total and by address; the memory ceiling.
// A client that is turned away says nothing before it reads: what it had said would make the kernel
// reset the connection, and take the answer away.
import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { describe, test } from 'node:test';

import { closeAll, connect } from './lib/client.mjs';
import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { reload } from './lib/reload.mjs';
import { label, logged, roomcastOnly, slow, until, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const range = (n) => [...Array(n).keys()];

// A connection from an address of 127.0.0.0/8.
async function from(server, localAddress) {
  const wire = new Wire(dial({ host: '127.0.0.1', port: server.port, localAddress, noDelay: true }));
  await within(
    5000,
    'TCP connect',
    new Promise((done, fail) => wire.socket.once('connect', done).once('error', fail)),
  );
  return wire;
}

// A request on it: the status of the answer, whether it was let in or not.
async function served(wire) {
  await wire.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
  return (await wire.response()).status;
}

// What one that is turned away is told.
async function refusal(wire) {
  const r = await wire.response();
  await wire.closed();
  wire.destroy();
  return r;
}

const turnedAway = async (server, limit) => (await metrics(server))[`turned_away_total ${limit}`];

describe('limits on connections', roomcastOnly, () => {
  for (const shards of [1, 2]) {
    test(`of one address; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: RULES,
        shards,
        options: { 'limits.max_connections_per_address': '3', 'limits.exempt_networks': '' },
      });
      const held = [];
      for (let i = 0; i < 3; i++) {
        held.push(await from(server, '127.0.0.5'));
        assert.equal(await served(held[i]), 200);
      }
      for (let i = 0; i < 4; i++) {
        const r = await refusal(await from(server, '127.0.0.5'));
        assert.equal(r.status, 429);
        assert.equal(r.headers['retry-after'], '5');
      }
      assert.equal(await turnedAway(server, 'max_connections_per_address'), 4);
      const other = await from(server, '127.0.0.6');
      assert.equal(await served(other), 200, 'others are not concerned');
      assert.equal((await metrics(server)).addresses, 2);
      for (const wire of held) assert.equal(await served(wire), 200);
      held[0].destroy();
      await until('a place', async () => {
        const wire = await from(server, '127.0.0.5');
        await wire.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
        const r = await wire.response().catch(() => ({ status: 0 }));
        held.push(wire);
        return r.status === 200;
      });
      for (const wire of [...held, other]) wire.destroy();
      await until('nobody is remembered', async () => (await metrics(server)).addresses === 0);
    });

    test(`an upgrade does not lose its place, on whatever shard it is; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: RULES,
        shards,
        options: { 'limits.max_connections_per_address': '2', 'limits.exempt_networks': '' },
      });
      const full = async () => {
        const wire = await from(server, '127.0.0.1');
        const r = await wire.response({ ms: 3000 }).catch(() => null);
        wire.destroy();
        return r?.status === 429;
      };
      // With two shards about half of these WebSockets move to the session's shard.
      for (let i = 0; i < 12; i++) {
        const poll = await Polling.open(server, { namespace: '/' });
        await until('the place of its requests', async () => (await metrics(server)).addresses === 0);
        const first = await RawWs.open(server, eioPath({ transport: 'websocket', sid: poll.sid }));
        await first.send(1, '2probe');
        assert.equal((await first.frame()).data.toString(), '3probe');
        await first.send(1, '5');
        const second = await RawWs.open(server, eioPath({ transport: 'websocket' }));
        assert.equal(await full(), true, 'two are two');
        first.destroy();
        second.destroy();
        await until('both have gone', async () => (await metrics(server)).addresses === 0);
      }
    });
  }

  test('addresses of exempt networks are not counted', async (t) => {
    const server = await startWithMetrics(t, {
      ini: RULES,
      options: { 'limits.max_connections_per_address': '1', 'limits.exempt_networks': '127.0.0.8/30' },
    });
    const wires = await Promise.all(range(5).map(() => from(server, '127.0.0.9')));
    for (const wire of wires) assert.equal(await served(wire), 200);
    const counted = await from(server, '127.0.0.12');
    assert.equal(await served(counted), 200);
    assert.equal((await refusal(await from(server, '127.0.0.12'))).status, 429);
    for (const wire of [...wires, counted]) wire.destroy();
  });

  test('a reload says which networks are exempt', async (t) => {
    const server = await startWithMetrics(t, { ini: `${RULES}[limits]\nmax_connections_per_address = 1\n` });
    const before = await Promise.all(range(3).map(() => from(server, '127.0.0.9')));
    for (const wire of before) assert.equal(await served(wire), 200);
    const { ok, lines } = await reload(server, `${RULES}[limits]\nmax_connections_per_address = 1\nexempt_networks = 127.0.0.8/30\n`);
    assert.deepEqual([ok, lines], [true, []]);
    const first = await from(server, '127.0.0.12');
    assert.equal(await served(first), 200);
    assert.equal((await refusal(await from(server, '127.0.0.12'))).status, 429);
    const more = await from(server, '127.0.0.9');
    assert.equal(await served(more), 200);
    for (const wire of [...before, first, more]) wire.destroy();
  });

  test('loopback is exempt unless told otherwise', async (t) => {
    const server = await startWithMetrics(t, {
      ini: RULES,
      options: { 'limits.max_connections_per_address': '1', 'limits.accept_rate_per_address': '1' },
    });
    const wires = await Promise.all(range(5).map(() => Wire.open(server)));
    for (const wire of wires) assert.equal(await served(wire), 200);
    for (const wire of wires) wire.destroy();
  });

  for (const shards of [1, 2]) {
    test(`new ones a second, of one address; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: RULES,
        shards,
        // One in 1,000 seconds would be no rate; one a second refills while a slow machine tests.
        options: {
          'limits.accept_rate_per_address': '1',
          'limits.accept_burst_per_address': '4',
          'limits.exempt_networks': '',
        },
      });
      const wires = await Promise.all(range(40).map(() => from(server, '127.0.0.5')));
      const answers = await Promise.all(
        wires.map(async (wire) => {
          const r = await wire.response({ ms: 500 }).catch(() => null);
          return r?.status ?? served(wire).catch(() => 429); // it came late
        }),
      );
      const count = (status) => answers.filter((s) => s === status).length;
      assert.equal(count(200) + count(429), 40);
      assert.ok(count(200) >= 4 && count(429) >= 10, answers.join());
      assert.equal(await turnedAway(server, 'accept_rate_per_address'), count(429));
      const other = await from(server, '127.0.0.6');
      assert.equal(await served(other), 200);
      await until('time has passed', async () => {
        const wire = await from(server, '127.0.0.5');
        const r = await wire.response({ ms: 100 }).catch(() => null);
        const ok = r === null && (await served(wire).catch(() => 0)) === 200;
        wire.destroy();
        return ok;
      }, 20_000);
      for (const wire of [...wires, other]) wire.destroy();
    });

    test(`new ones a second, in total; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: RULES,
        shards,
        options: { 'limits.accept_rate': '1', 'limits.accept_burst': '5' },
      });
      const first = await Socket.open(server, { namespace: '/' });
      const wires = await Promise.all(range(40).map((i) => from(server, `127.0.0.${i + 1}`)));
      const answers = await Promise.all(
        wires.map(async (wire) => {
          const r = await wire.response({ ms: 500 }).catch(() => null);
          if (r) assert.equal(r.headers['retry-after'], '5');
          return r?.status ?? served(wire).catch(() => 503);
        }),
      );
      const refused = answers.filter((status) => status === 503).length;
      assert.ok(refused >= 10, answers.join());
      assert.equal(await turnedAway(server, 'accept_rate'), refused);
      first.send('421["ask"]');
      assert.equal(await first.next(), '431[]', 'who is in stays in');
      for (const wire of wires) wire.destroy();
      first.destroy();
    });
  }

  test('in total: the surplus is told, and counted', async (t) => {
    const server = await startWithMetrics(t, { ini: RULES, shards: 2, options: { 'limits.max_connections': '4' } });
    const held = await Promise.all(range(4).map(() => Wire.open(server)));
    for (const wire of held) assert.equal(await served(wire), 200);
    const r = await refusal(await Wire.open(server));
    assert.equal(r.status, 503);
    assert.equal(r.headers['retry-after'], '5');
    assert.equal(await turnedAway(server, 'max_connections'), 1);
    await logged(server, /limits\.max_connections is reached: turning clients away \(1 by now/);
    for (const wire of held) wire.destroy();
  });
});

describe('memory ceiling', roomcastOnly, () => {
  const MIB = 1 << 20;

  for (const shards of [1, 2])
    test(`above it new connections are refused, below it accepted again; ${label(shards)}`, async (t) => {
      const options = { 'limits.max_queue': '512MiB', 'limits.max_queued_total': 'off' };
      const probe = await startWithMetrics(t, { ini: RULES, shards, options });
      const base = (await until('the first look', async () => {
        const m = await metrics(probe);
        return m.memory_bytes > 0 && m;
      })).memory_bytes;
      await probe.stop();
      const ceiling = Math.ceil(base / MIB) + 40;
      const server = await startWithMetrics(t, {
        ini: RULES,
        shards,
        options: { ...options, 'limits.max_memory': `${ceiling}MiB` },
      });
      assert.equal((await metrics(server)).memory_ceiling_bytes, ceiling * MIB);
      assert.equal((await fetch(`${server.admin}/readyz`)).status, 200);
      const deaf = await RawWs.open(server, eioPath({ transport: 'websocket' }));
      await deaf.send(1, '40');
      for (let i = 0; i < 2; i++) await deaf.frame();
      await deaf.send(1, '421["join","pile"]');
      await deaf.frame();
      deaf.wire.socket.pause();
      const a = await Socket.open(server, { namespace: '/' });
      const text = 'x'.repeat(100_000);
      const over = async () => (await metrics(server)).memory_over === 1;
      for (let i = 0; i < 2000 && (i % 100 !== 99 || !(await over())); i++) {
        a.send(`421["say","pile","${text}"]`);
        await a.next();
      }
      await until('the ceiling', over, 10_000);
      const r = await refusal(await Wire.open(server));
      assert.equal(r.status, 503);
      assert.equal(r.headers['retry-after'], '5');
      const ready = await fetch(`${server.admin}/readyz`);
      assert.equal(ready.status, 503);
      assert.equal(await ready.text(), 'limits.max_memory is reached\n');
      a.send('421["ask"]');
      assert.equal(await a.next(), '431[]', 'who is in is served');
      const m = await metrics(server);
      assert.equal(m['turned_away_total max_memory'], 1);
      assert.equal(m.memory_over_times_total, 1);
      await logged(server, /limits\.max_memory = \d+ MiB is reached/);
      assert.equal(server.stderr().match(/limits\.max_memory = \d+ MiB is reached/g).length, 1);
      deaf.destroy();
      if (slow === 1) {
        // Sanitizers keep what was freed.
        await until('room', async () => !(await over()), 20_000);
        assert.equal((await request(server, { path: '/healthz' })).status, 200);
        assert.equal((await fetch(`${server.admin}/readyz`)).status, 200);
        await logged(server, /memory: \d+ MiB; new connections are accepted again/);
      }
      a.destroy();
    });

  test('auto is less than what there is, and off is none', async (t) => {
    const auto = await startWithMetrics(t, { ini: RULES });
    assert.ok((await metrics(auto)).memory_ceiling_bytes > 16 * MIB);
    const off = await startWithMetrics(t, { ini: RULES, options: { 'limits.max_memory': 'off' } });
    assert.equal((await metrics(off)).memory_ceiling_bytes, 0);
    await connect(off);
    closeAll();
  });
});
