// What the tests run against: the daemon, or with TARGET=reference the npm server.
import * as daemon from './daemon.mjs';

export const reference = process.env.TARGET === 'reference';
export const slow = daemon.slow;

// Numbers of shards to repeat a test with.
export const SHARDS = reference ? [1] : (process.env.ROOMCAST_SHARDS || '1,2,4').split(',').map(Number);
export const label = (shards) => (reference ? 'reference' : `${shards} shard${shards > 1 ? 's' : ''}`);

// Options for a test of what only roomcast has.
export const roomcastOnly = reference ? { skip: 'only roomcast has this' } : {};

export async function start(options) {
  return (reference ? await import('./reference.mjs') : daemon).start(options);
}

// Starts a server that is stopped, and its end checked, after the test t.
export async function startFor(t, options) {
  const server = await start(options);
  t.after(() => server.stop());
  return server;
}

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

// The promise's value, or an error that says what was awaited.
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`timed out: ${what}`)), ms * slow);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Waits until check() is truthy and returns its value.
export async function until(what, check, ms = 5000) {
  const limit = Date.now() + ms * slow;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > limit) throw new Error(`timed out: ${what}`);
    await sleep(5);
  }
}
