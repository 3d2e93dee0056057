// What goes wrong around a daemon, while 200 well-behaved clients talk in 20 rooms: whatever it is, each of
// their messages reaches each member once and in order, and afterwards memory and descriptors are as before.
//
// ROOMCAST_BAD_DAYS=full  longer, and with latencies: lib/honest.mjs. 17 minutes
// ROOMCAST_BAD_DAYS_WITH  more options of the daemons: 'server.realtime=yes server.cpu_affinity=yes'
// ROOMCAST_REPORT         a file to which a JSON line for each is added. KIND is quiet, control (the same trouble, but
//                         made for another daemon on the same machine) or bad; figures are medians of the runs:
//   {"test": NAME, "awake": processors that are kept awake, "KIND_runs": runs that count, "KIND_sent", "KIND_delivered",
//    "KIND_p50_ms", "KIND_p99_ms", "KIND_p99_least_ms", "KIND_p99_most_ms", and what the test itself has, as KIND_...}
//                         lib/latency-table.mjs makes the table of docs/reliability.md from it.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { connect as tcp } from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { binary, freePort, slow, tempDir, top } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { asBefore, descriptors, exact, FULL, honest, keepAwake, now, report, resident, seconds } from './lib/honest.mjs';
import { load, startLoad } from './lib/load.mjs';
import { mayLink, startLink } from './lib/lossy.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { sleep, until, within } from './lib/wait.mjs';
import { frame, RawWs, TEXT } from './lib/wire.mjs';

const conf = join(top, 'bench/bench.ini');
const LIMITS = { timeout: seconds(240_000, 600_000) * slow };
const SELDOM = 50; // ms between two looks at /metrics, which are work for the daemon, too

const WITH = Object.fromEntries((process.env.ROOMCAST_BAD_DAYS_WITH ?? '').split(' ').filter(Boolean).map((it) => it.split('=')));
const daemon = (t, options, more) =>
  startWithMetrics(t, { conf, shards: 2, options: { 'log.level': 'error', ...WITH, ...options }, ...more });
// One that has the trouble, and in the long form another for the control.
const daemons = async (t, options) => [await daemon(t, options), ...(FULL ? [await daemon(t, options)] : [])];

await keepAwake();

// Connections that only exist; errors are theirs to have.
function open(port, count, each = () => {}) {
  const all = Array.from({ length: count }, (_, i) => {
    const socket = tcp({ host: '127.0.0.1', port });
    socket.on('error', () => {}).on('connect', () => each(socket, i));
    return socket;
  });
  return { all, close: () => all.forEach((s) => s.destroy()) };
}

describe('bad days', () => {
  test('no descriptors are left', LIMITS, async (t) => {
    const server = await daemon(t, { 'log.level': 'warn' });
    const said = () => server.stderr().split('accept: Too many open files').length;
    await honest(t, [server], seconds(5, 6), async () => {
      const [limit, before] = [descriptors(server) + 100, said()];
      execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${limit}:`]);
      const crowd = open(server.port, 300);
      await until('it says so', () => said() > before);
      await sleep(seconds(1500, 5000));
      crowd.close();
      await until('descriptors of the crowd are free', () => descriptors(server) < limit - 50);
    });
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  });

  test('the log cannot be written', LIMITS, async (t) => {
    const port = await freePort();
    const admin = await freePort();
    const options = ['-c', conf, '-o', `server.listen=127.0.0.1:${port}`, '-o', `admin.listen=127.0.0.1:${admin}`,
      '-o', 'server.shards=2', '-o', 'log.level=debug'];
    const child = spawn('sh', ['-c', 'exec "$0" "$@" 2>/dev/full', binary, ...options], { stdio: 'ignore' });
    process.on('exit', () => child.kill('SIGKILL'));
    const server = { port, pid: child.pid, admin: `http://127.0.0.1:${admin}` };
    await until('the daemon', () => metrics(server).catch(() => false), 10_000);
    await honest(t, [server], seconds(3, 6), async () => {
      for (let i = 0; i < 20; i++) { // each connection is a line
        open(port, 20).close();
        await sleep(50);
      }
    });
    child.kill('SIGTERM');
    assert.deepEqual(await within(10_000, 'the end', once(child, 'close')), [0, null]);
  });

  const FAKETIME = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
    .map((dir) => `${dir}/faketime/libfaketimeMT.so.1`).find(existsSync);
  test('the clock jumps', LIMITS, async (t) => {
    assert.ok(FAKETIME, 'libfaketime is missing: make deps-test installs it');
    const file = join(tempDir(), 'clock');
    writeFileSync(file, '+0\n');
    const server = await daemon(t, { 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': '5s' }, {
      env: { LD_PRELOAD: FAKETIME, FAKETIME_TIMESTAMP_FILE: file, FAKETIME_NO_CACHE: '1', FAKETIME_DONT_FAKE_MONOTONIC: '1' },
    });
    const date = async () => Date.parse((await fetch(`${server.url}/healthz`)).headers.get('date'));
    const real = await date();
    await honest(t, [server], seconds(5, 6), async () => {
      for (const jump of ['+1d', '-1d', '+0']) {
        writeFileSync(file, `${jump}\n`);
        await sleep(1000);
      }
    });
    writeFileSync(file, '+1d\n');
    assert.ok(Number.isNaN(real) || (await date()) - real > 86_000_000, 'the clock has not jumped');
    assert.equal((await metrics(server))['closed_total ping_timeout'], 0);
  });

  test('the daemon is stopped, and goes on', LIMITS, async (t) => {
    const server = await daemon(t);
    await honest(t, [server], seconds(5, 40), async () => {
      process.kill(server.pid, 'SIGSTOP');
      await sleep(seconds(2000, 30_000));
      process.kill(server.pid, 'SIGCONT');
    }, { times: 1 });
    assert.equal((await metrics(server))['closed_total ping_timeout'], 0, 'nobody is blamed for its own absence');
  });

  test('clients are stopped for ever', LIMITS, async (t) => {
    const server = await daemon(t, { 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': '1s' });
    await honest(t, [server], seconds(5, 6), async (_, base) => {
      const other = startLoad(server.port, '--prefix other --rooms 5 --members 10 --rate 100 --duration 60 --quiet');
      await until('the others', async () => (await metrics(server)).conns >= base.conns + 50, 20_000, SELDOM);
      other.child.kill('SIGSTOP');
      const timeouts = base['closed_total ping_timeout'] + 50;
      await until('they are swept out', async () => (await metrics(server))['closed_total ping_timeout'] >= timeouts, 20_000, SELDOM);
      other.child.kill('SIGKILL');
      await until('they are gone', async () => (await metrics(server)).conns <= base.conns, 5000, SELDOM);
    });
  });

  test('everybody comes back at once', LIMITS, async (t) => {
    const count = seconds(1000, 6000);
    await honest(t, await daemons(t), seconds(8, 10), async (server, base) => {
      for (let round = 0; round < seconds(2, 1); round++) {
        const crowd = await load(server.port, `--prefix crowd --idle ${count} --members 10 --settle 0 --warmup 0 --duration 0.1 --quiet --setup 120`);
        assert.equal(crowd.code, 0, crowd.out + crowd.err);
        await until('it is gone', async () => (await metrics(server)).conns <= base.conns, 30_000, SELDOM);
      }
    });
  });

  test('a busy shard', LIMITS, async (t) => {
    await honest(t, await daemons(t), seconds(4, 7), async (server) => {
      // One room has one owner: its shard does nothing else.
      const busy = await load(server.port, `--prefix busy --rooms 1 --members 30 --outstanding 64 --warmup 0 --duration ${seconds(2, 6)} --quiet`);
      assert.equal(busy.code, 0, busy.out);
      return { busy_per_s: busy.per_s };
    });
  });

  test('50 MB for a client that never reads', LIMITS, async (t) => {
    await honest(t, await daemons(t, { 'limits.max_queue': '4MiB' }), seconds(6, 7), async (server, base) => {
      const join40 = async () => {
        const ws = await RawWs.open(server, eioPath({ transport: 'websocket' }));
        await ws.send(TEXT, '40');
        await ws.frame();
        await ws.frame();
        await ws.send(TEXT, '420["joinRoom","deaf"]');
        await ws.frame();
        return ws;
      };
      const deaf = await join40();
      const talker = await join40();
      deaf.wire.socket.pause();
      const message = frame(TEXT, `42["sendMessageToRoom","deaf","${'x'.repeat(500_000)}"]`); // once: masking it is work
      let most = 0;
      for (let i = 0; i < 100; i++) {
        await talker.wire.write(message);
        for (;;) if ((await talker.frame()).data.length > 400_000) break; // its own comes back
        most = Math.max(most, resident(server));
      }
      assert.ok(most - base.rss < 40e6, `resident memory has grown by ${most - base.rss}`);
      const closed = base['closed_total slow_consumer'] + 1;
      await until('it is closed', async () => (await metrics(server))['closed_total slow_consumer'] === closed, 5000, SELDOM);
      deaf.destroy();
      talker.destroy();
      return { grown_mb: (most - base.rss) / 1e6 };
    });
  });

  test('random bytes on every port', LIMITS, async (t) => {
    await honest(t, await daemons(t, { 'limits.head_timeout': '2s' }), seconds(4, 7), async (server) => {
      const ports = [server.port, Number(new URL(server.admin).port)];
      for (let round = 0; round < 10; round++) {
        const noise = open(ports[round % 2], 40, (s, i) => s.write(randomBytes(1 + ((i * 397) % 5000))));
        await sleep(200);
        noise.close();
      }
    });
  });

  test('heads that come byte by byte', LIMITS, async (t) => {
    const count = seconds(300, 2000);
    await honest(t, await daemons(t, { 'limits.head_timeout': '2s' }), seconds(6, 7), async (server, base) => {
      const line = 'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: ';
      const slowly = open(server.port, count, (s) => {
        let at = 0;
        const timer = setInterval(() => s.write(line[at++ % line.length]), 250);
        s.on('close', () => clearInterval(timer));
      });
      await until('they are closed', () => slowly.all.every((s) => s.destroyed || s.readableEnded), 30_000, SELDOM);
      slowly.close();
      const closed = ({ 'closed_total bad_request': bad, 'closed_total head_timeout': late }) => bad + late;
      assert.ok(closed(await metrics(server)) - closed(base) >= count);
    });
  });

  test('they come and go', LIMITS, async (t) => {
    const all = await daemons(t);
    const [server] = all;
    const churn = (it) => load(it.port, `--prefix churn --churn 1000 --warmup 0 --duration ${seconds(1, 7)} --quiet`);
    for (const it of all) await churn(it); // what is allocated once is there now
    const before = await honest(t, all, seconds(4, 7), async (it) => {
      for (let i = 0; i < seconds(2, 1); i++) assert.equal((await churn(it)).code, 0);
    });
    const grown = resident(server) - before.rss;
    assert.ok(grown < 8e6, `resident memory has grown by ${grown} over ${seconds(2000, 21_000)} connections`);
  });
});

// A daemon, and a port beyond a bad network that leads to it.
async function across(t, options) {
  const link = await startLink(t);
  const server = await daemon(t, options, { listen: `${link.here}:0` });
  return { server, say: link.say, inside: { within: link.within }, port: await link.relay(server.port) };
}

if (!mayLink) console.log('# a bad network: not run, no network namespace may be made here');
else describe('a bad network', () => {
  test('packets are lost and late', LIMITS, async (t) => {
    const { server, say, inside, port } = await across(t);
    for (const [loss, delay, jitter] of FULL ? [[0, 20, 5], [1, 20, 5], [5, 50, 20]] : [[2, 10, 5]]) {
      say(`loss ${loss} ${delay} ${jitter}`);
      const far = await load(port, ['--rooms', '5', '--members', '10', '--rate', '50', '--duration', String(seconds(4, 15)), '--drain', '60', '--setup', '60', '--quiet'], inside);
      report(t, `${t.name}: ${loss} %, ${delay} ms`, { bad: [exact(far, `${loss} % lost`)] });
    }
    assert.equal((await metrics(server))['closed_total ping_timeout'], 0);
  });

  test('the network is gone without a word', LIMITS, async (t) => {
    const { server, say, inside, port } = await across(t, { 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': '1s' });
    const before = await now(server);
    const far = startLoad(port, ['--rooms', '5', '--members', '10', '--rate', '50', '--duration', '60', '--quiet'], inside);
    await until('they are there', async () => (await metrics(server)).conns >= before.conns + 50, 30_000);
    await sleep(500);
    say('cut');
    await until('they are swept out', async () => (await metrics(server))['closed_total ping_timeout'] >= 50, 20_000);
    await asBefore(server, before);
    far.child.kill('SIGKILL');
  });
});
