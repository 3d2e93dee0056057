// bench/cluster/run.sh for a moment: it ends by itself, its books are right, and its report has figures. They
// mean nothing here.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { binary, tempDir, top } from './lib/daemon.mjs';
import { FLOOR, LOAD } from './lib/load.mjs';

const SCENARIOS = ['closed16', 'hop', 'empty@1000', 'redis@500'];

async function bench(dir, ...args) {
  const child = spawn(join(top, 'bench/cluster/run.sh'), args, {
    env: {
      ...process.env,
      ROOMCAST: binary,
      BENCH_BUILD: join(dir, 'build'),
      RESULTS: dir,
      BENCH_LOAD: LOAD,
      BENCH_FLOOR: FLOOR,
      BENCH_MODULES: join(top, 'tests/node_modules'),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.on('exit', () => child.kill());
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (d) => (text += d));
  const [code] = await once(child, 'close');
  return { code, text };
}

// Whose command line has this text.
const running = (text) =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && Number(pid) !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(text);
    } catch {
      return false; // it has just ended
    }
  });

test('nodes of both kinds: all is delivered, and told', async () => {
  const dir = tempDir();
  const { code, text } = await bench(dir, '-n', '1', '-d', '0.5', '-w', '0.2', '-s', SCENARIOS.join(','));
  assert.equal(code, 0, text);
  assert.deepEqual(running(dir), [], 'nothing is left');

  const runs = readFileSync(join(dir, 'cluster.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line));
  assert.deepEqual(
    runs.map((r) => r.label).sort(),
    [
      ...['closed16', 'hop'].flatMap((s) => [`${s} roomcast-2 1`, `${s} socketio-2 1`, `${s} floor-2 1`]),
      ...[1, 2, 4].map((n) => `empty@1000 roomcast-${n} 1`), 'empty@1000 socketio-2 1',
      ...[1, 25, 100].map((n) => `redis@500 roomcast-${n} 1`),
    ].sort(),
  );
  const crossing = { closed16: 1000 / 1001, hop: 0.5 };
  for (const r of runs) {
    assert.deepEqual([r.lost, r.duplicated, r.disordered, r.misrouted, r.failed], [0, 0, 0, 0, 0], r.label);
    assert.ok(r.sent > 0 && r.delivered === r.expected, r.label);
    const share = crossing[r.label.split(' ')[0]] ?? 0;
    assert.ok(Math.abs(r.crossed - share * r.delivered) < 0.5, `${r.label}: ${r.crossed} of ${r.delivered}`);
    if (r.rate === 0) continue; // on a busy machine nothing need be done in so short a time
    assert.ok(r.beside1_us > 0, `${r.label}: Redis ${r.beside1_us}`);
    if (share) assert.ok(r.cross_us > 0 && r.far_p50_us > 0, r.label);
    if (/roomcast-(2|4|25|100) 1$/.test(r.label) && !share) assert.ok(r.beside2_us > 0, r.label);
  }

  const report = readFileSync(join(dir, 'cluster.md'), 'utf8');
  for (const s of SCENARIOS) assert.ok(report.includes(`### ${s}\n`), s);
  const bar = /^\| (closed16|hop) \| ≥ 5 \| [\d.]+.* \| (?:[\d.]+|–) \| [\d.]+ \| [\d.]+ \| (yes|\*\*no\*\*|no; nor the floor) \|$/gm;
  assert.equal([...report.matchAll(bar)].length, 2);
  assert.match(report, /^\| faults: .* \| 0 \| 0 \| \| \| \| yes \|$/m);
  assert.match(report, /socket\.io 4\.\d+\.\d+, @socket\.io\/redis-adapter 8\./);
  assert.match(report, /^\| r\(n\): .* \| -?[\d.]+ \+ -?[\d.]+ × n \|$/m);
  assert.doesNotMatch(report, /nan|inf/);
});
