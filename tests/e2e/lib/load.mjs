// Runs the load generator of bench/ (bench/load) and reads what it says.
//
// BENCH_LOAD   the executable (default build/release/bench-load)
// BENCH_FLOOR  that of the floor (default build/release/bench-floor)
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { top } from './daemon.mjs';

const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

export const FLOOR = process.env.BENCH_FLOOR || join(top, 'build/release/bench-floor');
export const LOAD = process.env.BENCH_LOAD || join(top, 'build/release/bench-load');

// { child, done }: done is the figures of its JSON line, with code, out and err. within: a command that
// starts it, such as ['ip', 'netns', 'exec', NAME].
export function startLoad(port, options, { within = [] } = {}) {
  const words = typeof options === 'string' ? options.split(' ') : options;
  const [program, ...args] = [...within, LOAD, '--port', String(port), ...words];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (d) => (out += d));
  child.stderr.on('data', (d) => (err += d));
  running.add(child);
  const done = once(child, 'close').then(([code]) => {
    running.delete(child);
    const line = out.split('\n').find((l) => l.startsWith('{'));
    return { code, out, err, ...(line ? JSON.parse(line) : {}) };
  });
  return { child, done };
}

export const load = (port, options, more) => startLoad(port, options, more).done;
