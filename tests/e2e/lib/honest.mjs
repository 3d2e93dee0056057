// 200 well-behaved clients that talk in 20 rooms while something goes wrong, and how long their messages take.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';

import { startLoad } from './load.mjs';
import { metrics } from './metrics.mjs';
import { sleep, until, within } from './wait.mjs';

export const FULL = process.env.ROOMCAST_BAD_DAYS === 'full';
const CLIENTS = 200;
const HONEST = ['--rooms', '20', '--members', '10', '--rate', '200', '--quiet', '--drain', '30'];
const SETTLE = 0.5; // the load's pause after the last join
const WARMUP = FULL ? 2.5 : 0; // together 3 s: who has been here for 2 is served before newcomers

export const seconds = (short, full) => (FULL ? full : short);
export const resident = (server) =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${server.pid}/status`, 'utf8'))[1]) * 1024;
export const descriptors = (server) => readdirSync(`/proc/${server.pid}/fd`).length;

// Its metrics, with fds and rss.
export const now = async (server) =>
  ({ ...(await metrics(server)), fds: descriptors(server), rss: resident(server) });

// All connections but those of the caller are gone, and with them their descriptors.
export async function asBefore(server, before) {
  await until('connections and descriptors as before', async () =>
    (await metrics(server)).conns <= before.conns && descriptors(server) <= before.fds + 2, 30_000); // of /metrics itself
}

// A virtual processor that sleeps may need up to 40 ms to wake up, which would be in the figures of quiet times and
// not in those of bad ones, where no processor sleeps. So in the long form, in all times alike, each has a process
// that does next to nothing, 1,000 times a second. They end with this process. Without taskset there are none.
//
// They also tell when they were kept from it for more than 30 ms: if all were at once, the machine itself stood still.
const NAP = `import os, time
parent, last = os.getppid(), time.monotonic()
while os.getppid() == parent:
    time.sleep(0.001)
    now = time.monotonic()
    if now - last > 0.03:
        print(now, flush=True)
    last = now`;
let awake = [];
export async function keepAwake() {
  if (!FULL) return;
  awake = cpus().map((_, i) => {
    const child = spawn('taskset', ['-c', String(i), process.env.PYTHON3 || '/usr/bin/python3', '-c', NAP],
      { stdio: ['ignore', 'pipe', 'ignore'] });
    const it = { child, late: [] }; // late: seconds of the monotonic clock
    child.on('error', () => {}).unref();
    child.stdout.on('data', (text) => it.late.push(...String(text).trim().split('\n').map(Number)));
    child.stdout.unref();
    return it;
  });
  process.on('exit', () => awake.forEach(({ child }) => child.kill()));
  await sleep(500);
  awake = awake.filter(({ child }) => child.pid !== undefined && child.exitCode === null);
}
const clock = () => Number(process.hrtime.bigint()) / 1e9;
const stoodStill = (from) => awake.length > 0 && awake[0].late.some((at) =>
  at > from && awake.every(({ late }) => late.some((other) => Math.abs(other - at) < 0.02)));

// Adds a line to the report, from { kind: [{ p50_ms, p99_ms, ... }, ...] } with the figures of each run. It has their
// medians as kind_p50_ms and so on, of p99 the least and the greatest, too. Runs in which the machine stood still do
// not count, unless there are no others; kind_runs is how many counted.
export function report(t, name, kinds) {
  const told = { test: name, awake: awake.length };
  for (const [kind, all] of Object.entries(kinds)) {
    const steady = all.filter(({ still }) => !still);
    const runs = steady.length > 0 ? steady : all;
    told[`${kind}_runs`] = steady.length;
    for (const key of Object.keys(runs[0]).filter((it) => it !== 'still')) {
      const sorted = runs.map((figures) => figures[key]).sort((a, b) => a - b);
      told[`${kind}_${key}`] = sorted[Math.floor(sorted.length / 2)];
      if (key === 'p99_ms' && all.length > 1)
        Object.assign(told, { [`${kind}_p99_least_ms`]: sorted[0], [`${kind}_p99_most_ms`]: sorted.at(-1) });
    }
  }
  t.diagnostic(JSON.stringify(told));
  if (process.env.ROOMCAST_REPORT) appendFileSync(process.env.ROOMCAST_REPORT, `${JSON.stringify(told)}\n`);
}

const ms = (us) => Math.round(us) / 1000;

// What a load has got was exact.
export function exact(figures, when) {
  assert.equal(figures.code, 0, `${when}: ${figures.out}${figures.err}`);
  assert.ok(figures.delivered > 0 && figures.delivered === figures.expected, `${when}: ${figures.out}`);
  return { sent: figures.sent, delivered: figures.delivered, p50_ms: ms(figures.p50_us), p99_ms: ms(figures.p99_us) };
}

// Clients, good and bad, are on other machines in earnest: here they have the processors in common with the daemon. What
// is asked is how it delays its clients, not how long these wait for a processor. So where that is permitted who
// makes trouble gets only the time that nobody else wants (SCHED_IDLE), and who behaves well is served at once,
// also before shards with server.realtime.
const mayChoose = FULL && process.getuid() === 0 && spawnSync('chrt', ['-f', '1', 'true']).status === 0;
const AT_ONCE = mayChoose ? { within: ['chrt', '-f', '2'] } : {};
const schedule = (policy) => mayChoose && spawnSync('chrt', ['-a', policy, '-p', '0', String(process.pid)]);
async function politely(bad) {
  schedule('-i');
  try {
    return await bad();
  } finally {
    schedule('-o');
  }
}

// One run of well-behaved clients at the server, with trouble for `troubled`, if any, from the start of what is
// measured. In the long form that is made as often as fits, so that the figures are those of the trouble.
async function run(kind, server, duration, troubled, bad) {
  const { conns } = await metrics(server);
  const times = ['--duration', String(duration), '--settle', String(SETTLE), '--warmup', String(WARMUP)];
  const measured = clock() + SETTLE + WARMUP; // or a little later
  const running = startLoad(server.port, [...HONEST, ...times], AT_ONCE);
  const done = running.done.then((figures) => ({ ...figures, still: stoodStill(measured) }));
  let more;
  if (troubled) {
    await until('the clients', async () => running.child.exitCode !== null || (await metrics(server)).conns >= conns + CLIENTS, 20_000);
    await sleep((SETTLE + WARMUP) * 1000);
    const end = Date.now() + duration * 1000;
    let begun;
    do {
      begun = Date.now();
      more = await politely(async () => bad(troubled, await now(troubled)));
    } while (FULL && Date.now() + (Date.now() - begun) / 2 < end);
  }
  const figures = await within((WARMUP + duration + 90) * 1000, 'the end of the load', done);
  return { ...exact(figures, `the ${kind} time`), ...more, still: figures.still };
}

// A bad time, in the midst of which is bad(daemon, what now() said of it). In the long form there are quiet times of
// the same length before, and if there are two daemons control times: the same trouble, made for the other one,
// which has the machine in common with the first but nothing else. These alternate `times` times. What the clients
// got is exact in each of them, and connections and descriptors are as before after it. Returns what was before all.
export async function honest(t, daemons, duration, bad, { times = 3 } = {}) {
  const [server, other] = daemons;
  const before = await Promise.all(daemons.map(now));
  const order = FULL ? ['quiet', ...(other ? ['control'] : []), 'bad'] : ['bad'];
  const kinds = Object.fromEntries(order.map((kind) => [kind, []]));
  for (let i = 0; i < (FULL ? times : 1); i++) {
    for (const kind of order) {
      const troubled = { control: other, bad: server }[kind];
      kinds[kind].push(await run(kind, server, duration, troubled, bad));
      await Promise.all(daemons.map((it, k) => asBefore(it, before[k])));
    }
  }
  report(t, t.name, kinds);
  return before[0];
}
