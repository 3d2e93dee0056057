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

export { logged, sleep, until, within } from './wait.mjs';
