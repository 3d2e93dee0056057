// Nodes with a client in a room, joined through a Redis of the test's own.
import assert from 'node:assert/strict';

import { ask, connect, inbox } from './client.mjs';
import { metric as metricOf, startWithMetrics } from './metrics.mjs';
import { startRedis } from './redis.mjs';
import { sleep, until } from './wait.mjs';

export const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2..}
`;

export async function startOwn(t, options) {
  const redis = await startRedis(options);
  t.after(() => redis.stop());
  return redis;
}

// A daemon with a client, and a second one, in the room "lobby".
export async function startMember(t, redis, { shards = 1, options = {}, ini = INI, auth } = {}) {
  const server = await startWithMetrics(t, { ini, shards, options: { 'cluster.redis': redis.url, ...options } });
  const client = await connect(server, { transports: ['websocket'], auth });
  const box = inbox(client);
  const second = await connect(server, { auth });
  const box2 = inbox(second);
  for (const c of [client, second]) await ask(c, 'join', 'lobby');
  return { server, admin: server.admin, client, box, second, box2 };
}

// Of the cluster.
export const metric = (node, name) => metricOf(node, `cluster_${name}`);
export const ready = async (node) => (await fetch(`${node.admin}/readyz`)).text();
export const isUp = (node) => until('it is up', async () => (await metric(node, 'up')) === 1, 30_000);
export const isDown = (node) => until('it is down', async () => (await metric(node, 'up')) === 0, 40_000);

let calls = 0;
// Says something on one node until another has it: what was sent before may have been lost.
export async function crosses(from, to) {
  const text = `call ${++calls}`;
  await until(`${text} has crossed`, async () => {
    await ask(from.client, 'say', 'lobby', text);
    return until('it is there', () => to.box.some((m) => m[1] === text), 500).catch(() => false);
  }, 30_000);
}

// Local clients get their messages whatever has become of Redis.
export async function works(node) {
  const text = `local ${++calls}`;
  await ask(node.client, 'say', 'lobby', text);
  await until('it has its own message', () => node.box.some((m) => m[1] === text));
}

// Numbers of what a node said that have not come, but for those that it does not know of (lost).
export function missing(box, from, n) {
  const got = new Set(box.filter((m) => m[1] === from).map((m) => m[2]));
  return Array.from({ length: n }, (_, i) => i).filter((i) => !got.has(i));
}

// Each number once, and in order.
export function inOrder(box, from) {
  const got = box.filter((m) => m[1] === from).map((m) => m[2]);
  for (let i = 1; i < got.length; i++) assert.ok(got[i] > got[i - 1], `${from}: ${got[i]} after ${got[i - 1]}`);
}

// Each node says numbers all the time, until stop() tells how many; slowest: milliseconds to its own ack.
export function talk(nodes, pause = 5) {
  let on = true;
  const said = Object.assign(nodes.map(() => 0), { slowest: 0 });
  const all = nodes.map(async (n, i) => {
    while (on) {
      const began = performance.now();
      await ask(n.client, 'say', 'lobby', `node ${i}`, said[i]);
      said.slowest = Math.max(said.slowest, performance.now() - began);
      said[i]++;
      await sleep(pause);
    }
  });
  return async () => {
    on = false;
    await Promise.all(all);
    return said;
  };
}

// All that each said has come to each, but for what it knows that it may have lost.
export async function hasAll(nodes, said) {
  await until('nothing waits', async () => (await Promise.all(nodes.map((n) => metric(n, 'pending')))).every((p) => p === 0), 30_000);
  const lost = await Promise.all(nodes.map((n) => metric(n, 'lost_total')));
  for (const to of nodes)
    for (const [i, n] of said.entries()) {
      await until(`what node ${i} said is there`, () => missing(to.box, `node ${i}`, n).length <= lost[i], 10_000).catch(() => {});
      const gaps = missing(to.box, `node ${i}`, n);
      assert.ok(gaps.length <= lost[i], `node ${i} has lost ${lost[i]}, node ${nodes.indexOf(to)} misses ${gaps}`);
      inOrder(to.box, `node ${i}`);
    }
}

// Both clients of a node have got the same, in one order: what the room's owner says.
export async function agree(nodes) {
  for (const n of nodes) {
    const of = (box) => box.filter((m) => m[0] === 'said').map((m) => m.slice(1));
    await until('both have it', () => n.box.length === n.box2.length, 10_000).catch(() => {});
    assert.deepEqual(of(n.box), of(n.box2));
  }
}
