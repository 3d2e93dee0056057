// A bad network: a namespace of the test's own, and a link to it that loses packets and is slow. Only where one
// may be made (mayLink).
//
//   const link = await startLink(t);
//   link.here                        // this side's address: what listens there can be reached from within
//   await link.relay(port)           // the port of a relay within to that port here
//   await link.relay(port, path)     // the same from a Unix socket, which can be reached from here, too
//   link.say('loss 10 5 2')          // percent, and milliseconds of delay and jitter; 'cut'
//   link.within                      // the words before a command that is to run within
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { top } from './daemon.mjs';
import { within } from './wait.mjs';

const SPACE = `roomcast-${process.pid}`;
const WITHIN = ['ip', 'netns', 'exec', SPACE];
const clients = join(top, 'tests/e2e/clients');

export const mayLink = (() => {
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

// A program that says a line when it is ready, and ends with its input after the test t.
async function child(t, program, ...args) {
  const it = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(it, 'close');
  t.after(async () => {
    it.stdin.end();
    await ended;
  });
  const [line] = await within(10_000, program, once(createInterface(it.stdout), 'line'));
  return { it, line };
}

export async function startLink(t) {
  const net = `10.199.${process.pid % 200}`, here = `${net}.1`;
  const { it } = await child(
    t, process.env.PYTHON3 || '/usr/bin/python3', join(clients, 'lossy_link.py'), `rc${process.pid % 10000}`, SPACE, here, `${net}.2`,
  );
  return {
    here,
    within: WITHIN,
    say: (text) => it.stdin.write(`${text}\n`),
    relay: async (port, ...path) =>
      (await child(t, ...WITHIN, process.execPath, join(clients, 'relay.mjs'), here, String(port), ...path)).line,
  };
}
