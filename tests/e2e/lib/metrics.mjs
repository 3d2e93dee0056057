// A daemon with an operators' listener, and what its /metrics say.
import assert from 'node:assert/strict';

import { start } from './daemon.mjs';
import { until } from './wait.mjs';

// Starts one that is stopped after the test t, if one is given; server.admin is the address of its admin listener.
export async function startWithMetrics(t, { options, ...rest } = {}) {
  const server = await start({ ...rest, options: { 'admin.listen': '127.0.0.1:0', ...options } });
  t?.after(() => server.stop());
  server.admin = await adminOf(server);
  return server;
}

// What its log says of that address.
export async function adminOf(server) {
  const line = await until('the address of the metrics', () => /metrics on (http:\S+)\/metrics/.exec(server.stderr()));
  return line[1];
}

// { name: sum over the shards }; of those with a reason or a limit, { 'name reason': sum }.
export async function metrics(server) {
  const r = await fetch(`${server.admin}/metrics`);
  assert.equal(r.status, 200);
  const sums = {};
  for (const line of (await r.text()).split('\n')) {
    const [, name, labels, value] = /^roomcast_(\w+?)(\{.*\})? (\d+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const more = /(?:reason|limit)="(\w+)"/.exec(labels ?? '')?.[1];
    const key = more ? `${name} ${more}` : name;
    sums[key] = (sums[key] ?? 0) + Number(value);
  }
  return sums;
}

// One that must be there, of all shards where they have each their own.
export async function metric(server, name) {
  const text = await (await fetch(`${server.admin}/metrics`)).text();
  const found = [...text.matchAll(new RegExp(`^roomcast_${name}(?:\\{[^}]*\\})? (\\d+)$`, 'gm'))];
  assert.ok(found.length > 0, name);
  return found.reduce((sum, m) => sum + Number(m[1]), 0);
}
