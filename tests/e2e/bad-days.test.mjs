// What goes wrong around a daemon, while 200 well-behaved clients talk in 20 rooms: whatever it is, each of
// their messages reaches each member once and in order, and afterwards memory and descriptors are as before.
//
// ROOMCAST_BAD_DAYS=full  longer and more, as in docs/reliability.md
// ROOMCAST_REPORT         a file to which a JSON line for each is added: latencies, quiet and in the bad time
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { connect as tcp } from 'node:net';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';

import { binary, freePort, slow, start, tempDir, top } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { load, startLoad } from './lib/load.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { sleep, until, within } from './lib/wait.mjs';
import { RawWs, TEXT } from './lib/wire.mjs';

const FULL = process.env.ROOMCAST_BAD_DAYS === 'full';
const CLIENTS = 200;
const HONEST = ['--rooms', '20', '--members', '10', '--rate', '200', '--quiet', '--drain', '30'];
const conf = join(top, 'bench/bench.ini');
const LIMITS = { timeout: 240_000 * slow };

const seconds = (short, full) => (FULL ? full : short);
const status = (pid, key) =>
  Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;
const resident = (server) => status(server.pid, 'VmRSS');
const descriptors = (server) => readdirSync(`/proc/${server.pid}/fd`).length;

const daemon = (t, options, more) =>
  startWithMetrics(t, { conf, shards: 2, options: { 'log.level': 'error', ...options }, ...more });

// Troublemakers share the processors with the daemon: what is asked is how it delays its clients, not how the
// machine does. So they get what time is left, where that can be taken back.
async function politely(bad) {
  if (process.getuid() !== 0) return bad();
  setPriority(10);
  try {
    return await bad();
  } finally {
    setPriority(0);
  }
}

// A quiet time and a bad one for the same number of seconds; bad() runs in the midst of the second. What the
// clients got is exact in both.
async function honest(t, server, duration, bad, port = server.port) {
  const times = ['--duration', String(duration), '--warmup', '0'];
  const exact = (figures, when) => {
    assert.equal(figures.code, 0, `${when}: ${figures.out}${figures.err}`);
    assert.ok(figures.delivered > 0 && figures.delivered === figures.expected, `${when}: ${figures.out}`);
  };
  const before = (await metrics(server)).conns;
  const quiet = FULL ? await load(port, [...HONEST, ...times]) : null;
  if (quiet) exact(quiet, 'the quiet time');
  await until('the clients of the quiet time are gone', async () => (await metrics(server)).conns <= before);
  const running = startLoad(port, [...HONEST, ...times]);
  await until('the clients', async () => running.child.exitCode !== null || (await metrics(server)).conns >= before + CLIENTS, 20_000);
  await sleep(500); // the load's pause after the last join
  const more = await politely(() => bad(running));
  const figures = await within((duration + 90) * 1000, 'the end of the load', running.done);
  exact(figures, 'the bad time');
  const told = { test: t.name, sent: figures.sent, delivered: figures.delivered, p50_ms: figures.p50_us / 1000, p99_ms: figures.p99_us / 1000, ...more };
  if (quiet) Object.assign(told, { quiet_p50_ms: quiet.p50_us / 1000, quiet_p99_ms: quiet.p99_us / 1000 });
  t.diagnostic(JSON.stringify(told));
  if (process.env.ROOMCAST_REPORT) appendFileSync(process.env.ROOMCAST_REPORT, `${JSON.stringify(told)}\n`);
  return figures;
}

// All connections but those of the caller are gone, and with them their descriptors.
async function asBefore(server, before) {
  await until('connections and descriptors as before', async () =>
    (await metrics(server)).conns <= before.conns && descriptors(server) <= before.fds + 2, 30_000); // of /metrics itself
}
const now = async (server) => ({ conns: (await metrics(server)).conns, fds: descriptors(server), rss: resident(server) });

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
    const before = await now(server);
    await honest(t, server, seconds(5, 15), async () => {
      const limit = descriptors(server) + 100;
      execFileSync('prlimit', ['--pid', String(server.pid), `--nofile=${limit}:`]);
      const crowd = open(server.port, 300);
      await until('it says so', () => /accept: Too many open files/.test(server.stderr()));
      await sleep(seconds(1500, 5000));
      crowd.close();
      await until('descriptors of the crowd are free', () => descriptors(server) < limit - 50);
    });
    await asBefore(server, before);
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
    await honest(t, server, seconds(3, 10), async () => {
      for (let i = 0; i < 20; i++) open(port, 20).close(); // each is a line
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
    await honest(t, server, seconds(5, 15), async () => {
      for (const jump of ['+1d', '-1d', '+0']) {
        writeFileSync(file, `${jump}\n`);
        await sleep(seconds(1000, 4000));
      }
    });
    writeFileSync(file, '+1d\n');
    assert.ok(Number.isNaN(real) || (await date()) - real > 86_000_000, 'the clock has not jumped');
    assert.equal((await metrics(server))['closed_total ping_timeout'], 0);
  });

  test('the daemon is stopped, and goes on', LIMITS, async (t) => {
    const server = await daemon(t);
    await honest(t, server, seconds(5, 40), async () => {
      process.kill(server.pid, 'SIGSTOP');
      await sleep(seconds(2000, 30_000));
      process.kill(server.pid, 'SIGCONT');
    });
    assert.equal((await metrics(server))['closed_total ping_timeout'], 0, 'nobody is blamed for its own absence');
  });

  test('clients are stopped for ever', LIMITS, async (t) => {
    const server = await daemon(t, { 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': '1s' });
    const before = await now(server);
    await honest(t, server, seconds(5, 15), async () => {
      const other = startLoad(server.port, '--prefix other --rooms 5 --members 10 --rate 100 --duration 60 --quiet');
      await until('the others', async () => (await metrics(server)).conns >= CLIENTS + 50, 20_000);
      other.child.kill('SIGSTOP');
      await until('they are swept out', async () => (await metrics(server))['closed_total ping_timeout'] >= 50, 20_000);
      other.child.kill('SIGKILL');
    });
    await asBefore(server, before);
  });

  test('everybody comes back at once', LIMITS, async (t) => {
    const count = seconds(1000, 6000);
    const server = await daemon(t);
    const before = await now(server);
    await honest(t, server, seconds(8, 30), async () => {
      for (let round = 0; round < seconds(2, 4); round++) {
        const crowd = startLoad(server.port, `--prefix crowd --idle ${count} --members 10 --duration 300 --quiet --setup 120`);
        await until('the crowd', async () => crowd.child.exitCode !== null || (await metrics(server)).conns >= CLIENTS + count, 120_000);
        crowd.child.kill('SIGKILL');
        await crowd.done;
      }
    });
    await asBefore(server, before);
  });

  test('a busy shard', LIMITS, async (t) => {
    const server = await daemon(t);
    await honest(t, server, seconds(4, 15), async () => {
      // One room has one owner: its shard does nothing else.
      const busy = await load(server.port, `--prefix busy --rooms 1 --members 30 --outstanding 64 --warmup 0 --duration ${seconds(2, 10)} --quiet`);
      assert.equal(busy.code, 0, busy.out);
      return { busy_per_s: busy.per_s };
    });
  });

  test('50 MB for a client that never reads', LIMITS, async (t) => {
    const server = await daemon(t, { 'limits.max_queue': '4MiB' });
    const before = await now(server);
    await honest(t, server, seconds(6, 20), async () => {
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
      const text = `42["sendMessageToRoom","deaf","${'x'.repeat(500_000)}"]`;
      let most = 0;
      for (let i = 0; i < 100; i++) {
        await talker.send(TEXT, text);
        for (;;) if ((await talker.frame()).data.length > 400_000) break; // its own comes back
        most = Math.max(most, resident(server));
      }
      assert.ok(most - before.rss < 40e6, `resident memory has grown by ${most - before.rss}`);
      await until('it is closed', async () => (await metrics(server))['closed_total slow_consumer'] === 1);
      deaf.destroy();
      talker.destroy();
      return { grown_mb: (most - before.rss) / 1e6 };
    });
    await asBefore(server, before);
  });

  test('random bytes on every port', LIMITS, async (t) => {
    const server = await daemon(t, { 'limits.head_timeout': '2s' });
    const ports = [server.port, Number(new URL(server.admin).port)];
    const before = await now(server);
    await honest(t, server, seconds(4, 15), async () => {
      for (let round = 0; round < seconds(10, 60); round++) {
        const noise = open(ports[round % 2], 40, (s, i) => s.write(randomBytes(1 + ((i * 397) % 5000))));
        await sleep(200);
        noise.close();
      }
    });
    await asBefore(server, before);
  });

  test('heads that come byte by byte', LIMITS, async (t) => {
    const server = await daemon(t, { 'limits.head_timeout': '2s' });
    const before = await now(server);
    await honest(t, server, seconds(6, 20), async () => {
      const line = 'GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: ';
      const slowly = open(server.port, seconds(300, 2000), (s) => {
        let at = 0;
        const timer = setInterval(() => s.write(line[at++ % line.length]), 250);
        s.on('close', () => clearInterval(timer));
      });
      await until('they are closed', () => slowly.all.every((s) => s.destroyed || s.readableEnded), 30_000);
      slowly.close();
    });
    const closed = await metrics(server);
    assert.ok(closed['closed_total bad_request'] + closed['closed_total head_timeout'] >= seconds(300, 2000));
    await asBefore(server, before);
  });

  test('they come and go', LIMITS, async (t) => {
    const cycles = seconds(2000, 20_000);
    const server = await daemon(t);
    const churn = () => load(server.port, `--prefix churn --churn 1000 --warmup 0 --duration ${cycles / 2000} --quiet`);
    await churn(); // what is allocated once is there now
    const before = await now(server);
    await honest(t, server, seconds(4, 25), async () => {
      for (let i = 0; i < 2; i++) assert.equal((await churn()).code, 0);
    });
    await asBefore(server, before);
    const grown = resident(server) - before.rss;
    assert.ok(grown < 8e6, `resident memory has grown by ${grown} over ${cycles} connections`);
  });
});

// A network of its own, if that may be made here.
const SPACE = `roomcast-${process.pid}`;
const mayLink = (() => {
  try {
    execFileSync('ip', ['netns', 'add', SPACE], { stdio: 'ignore' });
    return existsSync('/dev/net/tun');
  } catch {
    return false;
  }
})();
process.on('exit', () => {
  if (mayLink) execFileSync('ip', ['netns', 'del', SPACE]);
});

async function child(t, program, args) {
  const it = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(it, 'close');
  t.after(async () => {
    it.stdin.end();
    await ended;
  });
  const [line] = await within(10_000, program, once(createInterface(it.stdout), 'line'));
  return { it, line };
}

// A daemon, and a port in the namespace that leads to it over a bad network.
async function across(t, options) {
  const net = `10.199.${process.pid % 200}`;
  const { it: link } = await child(t, process.env.PYTHON3 || '/usr/bin/python3', [join(top, 'tests/e2e/clients/lossy_link.py'), `rc${process.pid % 10000}`, SPACE, `${net}.1`, `${net}.2`]);
  const server = await daemon(t, options, { listen: `${net}.1:0` });
  const way = await child(t, 'ip', ['netns', 'exec', SPACE, process.execPath, join(top, 'tests/e2e/clients/relay.mjs'), `${net}.1`, String(server.port)]);
  return { server, say: (text) => link.stdin.write(`${text}\n`), inside: { within: ['ip', 'netns', 'exec', SPACE] }, port: way.line };
}

if (!mayLink) console.log('# a bad network: not run, no network namespace may be made here');
else describe('a bad network', () => {
  test('packets are lost and late', LIMITS, async (t) => {
    const { server, say, inside, port } = await across(t);
    for (const [loss, delay, jitter] of FULL ? [[0, 20, 5], [1, 20, 5], [5, 50, 20]] : [[2, 10, 5]]) {
      say(`loss ${loss} ${delay} ${jitter}`);
      const far = await load(port, ['--rooms', '5', '--members', '10', '--rate', '50', '--duration', String(seconds(4, 20)), '--drain', '60', '--setup', '60', '--quiet'], inside);
      assert.equal(far.code, 0, far.out + far.err);
      assert.equal(far.delivered, far.expected);
      const told = { test: `${t.name}: ${loss} %, ${delay} ms`, sent: far.sent, delivered: far.delivered, p50_ms: far.p50_us / 1000, p99_ms: far.p99_us / 1000 };
      t.diagnostic(JSON.stringify(told));
      if (process.env.ROOMCAST_REPORT) appendFileSync(process.env.ROOMCAST_REPORT, `${JSON.stringify(told)}\n`);
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
