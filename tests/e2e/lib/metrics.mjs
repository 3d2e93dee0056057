// A daemon with an operators' listener, and what its /metrics say.
import assert from 'node:assert/strict';

import { start } from './daemon.mjs';
import { until } from './wait.mjs';

// Starts one that is stopped after the test t; server.admin is the address of its admin listener.
export async function startWithMetrics(t, { options, ...rest } = {}) {
  const server = await start({ ...rest, options: { 'admin.listen': '127.0.0.1:0', ...options } });
  t.after(() => server.stop());
  const line = await until('the address of the metrics', () =>
    /metrics on (http:\S+)\/metrics/.exec(server.stderr()),
  );
  server.admin = line[1];
  return server;
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
