// Where shards run, and before whom: server.cpu_affinity and server.realtime, with and without the right to.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { start, top } from './lib/daemon.mjs';
import { load } from './lib/load.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { until } from './lib/wait.mjs';

// 3 or '0-3,8' as [3] or [0, 1, 2, 3, 8]
const listed = (text) => text.split(',').flatMap((part) => {
  const [from, to = from] = part.split('-').map(Number);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
});
const allowed = (path) => listed(/^Cpus_allowed_list:\s+(\S+)/m.exec(readFileSync(path, 'utf8'))[1]);
// Processors that are not there may be in these lists, and are nobody's to have.
const online = listed(readFileSync('/sys/devices/system/cpu/online', 'utf8').trim());
const mine = allowed('/proc/self/status').filter((cpu) => online.includes(cpu));
const RR = 2;

// { name: { cpus, policy } } of the threads of a daemon.
const threads = ({ pid }) => Object.fromEntries(readdirSync(`/proc/${pid}/task`).map((tid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/task/${tid}/stat`, 'utf8');
    const [name, rest] = [stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), stat.slice(stat.lastIndexOf(')') + 2)];
    const cpus = allowed(`/proc/${pid}/task/${tid}/status`).filter((cpu) => online.includes(cpu));
    return [name, { cpus, policy: Number(rest.split(' ')[38]) }];
  } catch {
    return [tid, {}]; // it has ended
  }
}));

async function started(t, options) {
  const server = await start({ shards: 3, options });
  t.after(() => server.stop());
  return until('all threads', () => ['shard-0', 'shard-1', 'shard-2', 'acceptor'].every((name) => threads(server)[name]) && server);
}

test('shards run where the machine wants them to', async (t) => {
  const all = threads(await started(t, {}));
  for (const name of ['shard-0', 'shard-1', 'shard-2', 'acceptor']) {
    assert.deepEqual(all[name].cpus, mine, name);
    assert.notEqual(all[name].policy, RR, name);
  }
});

// 100 rooms that talk as fast as they can, for a second, with two shards that may run on these processors.
async function yields(t, cpus, options = {}) {
  const within = ['taskset', '-c', cpus.join(',')];
  const server = await startWithMetrics(t, { conf: join(top, 'bench/bench.ini'), shards: 2, within, options });
  const figures = await load(server.port, '--rooms 100 --members 4 --outstanding 1 --warmup 0 --duration 1 --quiet');
  assert.equal(figures.code, 0, figures.out + figures.err);
  assert.ok(figures.delivered > 0 && figures.delivered === figures.expected, figures.out);
  return (await metrics(server)).yields_total;
}

test('shards that have one processor take turns', async (t) => {
  assert.ok((await yields(t, mine.slice(0, 1))) > 10);
});

test('shards that have one each need not', async (t) => {
  const often = await yields(t, mine.slice(0, 2), { 'server.cpu_affinity': 'yes' });
  if (mine.length > 1) assert.equal(often, 0);
  else assert.ok(often > 10, 'there is but one for both');
});

test('server.cpu_affinity: each has its core, and nobody else is kept anywhere', async (t) => {
  const server = await started(t, { 'server.cpu_affinity': 'yes' });
  await until('all are', () => [0, 1, 2].every((i) => threads(server)[`shard-${i}`].cpus.length === 1));
  const all = threads(server);
  for (let i = 0; i < 3; i++) assert.deepEqual(all[`shard-${i}`].cpus, [mine[i % mine.length]]);
  assert.deepEqual(all.acceptor.cpus, mine);
  assert.doesNotMatch(server.stderr(), /cpu_affinity/);
});

test('server.realtime: shards go before all else, or it says what is missing', async (t) => {
  const may = spawnSync('chrt', ['-r', '1', 'true']).status === 0;
  const server = await started(t, { 'server.realtime': 'yes' });
  if (may) await until('all do', () => [0, 1, 2].every((i) => threads(server)[`shard-${i}`].policy === RR));
  else await until('the reason', () => /server\.realtime: .*CAP_SYS_NICE.*LimitRTPRIO/.test(server.stderr()));
  assert.notEqual(threads(server).acceptor.policy, RR);
});

// Without the right to, whoever runs the test: it serves all the same.
test('server.realtime is not permitted', async (t) => {
  const drop = ['setpriv', '--inh-caps=-sys_nice', '--ambient-caps=-sys_nice', ...(process.getuid() === 0 ? ['--bounding-set=-sys_nice'] : [])];
  const without = ['prlimit', '--rtprio=0:0', ...drop];
  const server = await start({ shards: 2, options: { 'server.realtime': 'yes' }, within: without });
  t.after(() => server.stop());
  await until('the reason', () => /warn .*server\.realtime: .*Operation not permitted; it needs CAP_SYS_NICE/.test(server.stderr()));
  assert.equal(server.stderr().match(/server\.realtime/g).length, 1, 'once, not once a shard');
  assert.equal(threads(server)['shard-0'].policy === RR, false);
  assert.equal((await fetch(`http://127.0.0.1:${server.port}/healthz`)).status, 200);
});
