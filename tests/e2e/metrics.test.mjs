// /metrics: what it says is what has happened; its form; and what the dashboard and the alerts ask for is there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';

import WebSocket from 'ws';

import { ask, closeAll, connect, event } from './lib/client.mjs';
import { top } from './lib/daemon.mjs';
import { parse, sum } from './lib/exposition.mjs';
import { startWithMetrics } from './lib/metrics.mjs';
import { startRedis } from './lib/redis.mjs';
import { openStore } from './lib/store.mjs';
import { SHARDS } from './lib/target.mjs';
import { until } from './lib/wait.mjs';

const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2}
[event both]
emit = room {1}, room {2}: said {3}
[event tell]
emit = socket {1}: told {2}
[endpoint /ws]
protocol = echo
`;

afterEach(closeAll);

async function scrape(server) {
  const r = await fetch(`${server.admin}/metrics`);
  assert.equal(r.status, 200);
  assert.equal(r.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  return parse(await r.text());
}

// Scrapes until check says that all has been counted.
const scraped = (server, what, check) =>
  until(what, async () => {
    const m = await scrape(server);
    return check(m) && m;
  }, 20_000);

for (const shards of SHARDS.filter((n) => n <= 2)) {
  test(`what has happened is what is counted, ${shards} shards`, async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards });
    const members = [];
    for (let i = 0; i < 5; i++)
      members.push(await connect(server, { transports: [i === 0 ? 'polling' : 'websocket'] }));
    for (const m of members) await ask(m, 'join', 'r');
    await ask(members[1], 'join', 'other');
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/ws`, { perMessageDeflate: false });
    t.after(() => ws.terminate());
    await new Promise((done, fail) => ws.once('open', done).once('error', fail));

    let m = await scrape(server);
    assert.deepEqual(['polling', 'websocket', 'plain'].map((transport) => sum(m, 'roomcast_clients', { transport })), [1, 4, 1]);
    assert.equal(sum(m, 'roomcast_sessions'), 6);
    assert.equal(sum(m, 'roomcast_rooms'), 2);
    assert.equal(sum(m, 'roomcast_delivery_latency_seconds_count'), 0);
    const before = m;

    const heard = members.map((s) => {
      let n = 0;
      s.on('said', () => n++);
      return () => n;
    });
    for (let i = 0; i < 10; i++) await ask(members[0], 'say', 'r', 'x'.repeat(1000));
    await until('all have heard it', () => heard.every((n) => n() === 10));
    const told = event(members[2], 'told');
    await ask(members[3], 'tell', members[2].id, 1);
    await told;
    m = await scraped(server, 'it is counted', (now) => sum(now, 'roomcast_deliveries_total') === 51);
    // A publication counts once on each shard where it was handed out.
    const publications = sum(m, 'roomcast_fanout_members_count');
    assert.equal(sum(m, 'roomcast_fanout_members_sum'), 50);
    assert.ok(publications >= 10 && publications <= 10 * shards, `${publications}`);
    assert.equal(sum(m, 'roomcast_fanout_members_bucket', { le: '8' }), publications);
    assert.equal(sum(m, 'roomcast_fanout_members_bucket', { le: '+Inf' }), publications);
    if (shards === 1) assert.equal(sum(m, 'roomcast_fanout_members_bucket', { le: '4' }), 0);
    assert.equal(sum(m, 'roomcast_delivery_latency_seconds_count'), publications + 1);
    assert.ok(sum(m, 'roomcast_delivery_latency_seconds_sum') > 0);
    assert.ok(sum(m, 'roomcast_delivery_latency_seconds_sum') < 60);
    assert.ok(sum(m, 'roomcast_loop_lag_seconds_count') > sum(before, 'roomcast_loop_lag_seconds_count'));
    const sent = sum(m, 'roomcast_sent_bytes_total') - sum(before, 'roomcast_sent_bytes_total');
    const received = sum(m, 'roomcast_received_bytes_total') - sum(before, 'roomcast_received_bytes_total');
    assert.ok(sent > 50 * 1000 && sent < 2 * 50 * 1000, `${sent}`);
    assert.ok(received > 10 * 1000 && received < 20 * 1000, `${received}`);

    await ask(members[1], 'both', 'r', 'other', 1);
    m = await scraped(server, 'the union is counted', (now) => sum(now, 'roomcast_deliveries_total') === 56);
    assert.equal(sum(m, 'roomcast_fanout_members_sum'), 55);

    for (const s of members) s.disconnect();
    ws.close();
    m = await scraped(server, 'all have gone', (now) => sum(now, 'roomcast_sessions') === 0);
    assert.equal(sum(m, 'roomcast_clients'), 0);
    assert.equal(sum(m, 'roomcast_rooms'), 0);
    assert.equal(sum(m, 'roomcast_mail_waiting'), 0);
    assert.equal(sum(m, 'roomcast_blocked'), 0);
  });

  test(`upgrades move clients to the other transport, ${shards} shards`, async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards });
    const s = await connect(server);
    if (s.io.engine.transport.name !== 'websocket') await new Promise((done) => s.io.engine.once('upgrade', done));
    const m = await scraped(server, 'it has moved', (now) => sum(now, 'roomcast_clients', { transport: 'websocket' }) === 1);
    assert.equal(sum(m, 'roomcast_clients', { transport: 'polling' }), 0);
    s.disconnect();
    await scraped(server, 'it has gone', (now) => sum(now, 'roomcast_clients') === 0);
  });
}

test('heartbeats that are missed', async (t) => {
  const server = await startWithMetrics(t, { ini: `${INI}ping_interval = 200ms\n`,
    options: { 'socketio.ping_interval': '200ms', 'socketio.ping_timeout': '200ms' } });
  const silent = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`);
  const plain = new WebSocket(`ws://127.0.0.1:${server.port}/ws`, { autoPong: false });
  for (const ws of [silent, plain]) {
    ws.on('error', () => {});
    t.after(() => ws.terminate());
  }
  silent.on('open', () => silent.send('40'));
  const m = await scraped(server, 'both are counted', (now) => sum(now, 'roomcast_heartbeat_timeouts_total') === 2);
  assert.equal(sum(m, 'roomcast_closed_total', { reason: 'ping_timeout' }), 2);
});

test('a client that does not read is blocked', async (t) => {
  const server = await startWithMetrics(t, { ini: INI, options: { 'limits.max_queue': '100MB', 'socketio.max_payload': '20MB' } });
  const a = await connect(server, { transports: ['websocket'] });
  const lazy = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`, { maxPayload: 1 << 28 });
  t.after(() => lazy.terminate());
  await new Promise((done) => lazy.once('open', done));
  lazy.send('40');
  await new Promise((done) => lazy.on('message', (d) => String(d).startsWith('40') && done()));
  lazy.send('42["join","r"]');
  await scraped(server, 'it has joined', (now) => sum(now, 'roomcast_rooms') === 1);
  lazy.pause();
  await ask(a, 'say', 'r', 'x'.repeat(16_000_000));
  await scraped(server, 'it is blocked', (now) => sum(now, 'roomcast_blocked') === 1);
  lazy.resume();
  await scraped(server, 'it has read all', (now) => sum(now, 'roomcast_blocked') === 0);
});

test('what every process says', async (t) => {
  const server = await startWithMetrics(t, { ini: INI });
  const m = await scrape(server);
  const [build] = m.get('roomcast_build_info').samples;
  assert.equal(build.value, 1);
  assert.match(build.labels.version, /^\d+\.\d+\.\d+$/);
  assert.match(build.labels.openssl, /^\d+\.\d+/);
  assert.ok(sum(m, 'process_resident_memory_bytes') > 1e6);
  assert.ok(sum(m, 'process_virtual_memory_bytes') > sum(m, 'process_resident_memory_bytes'));
  const fds = readdirSync(`/proc/${server.pid}/fd`).length;
  assert.ok(Math.abs(sum(m, 'process_open_fds') - fds) <= 2, `${sum(m, 'process_open_fds')} ${fds}`);
  const limit = /Max open files +(\d+)/.exec(readFileSync(`/proc/${server.pid}/limits`, 'utf8'))[1];
  assert.equal(sum(m, 'process_max_fds'), Number(limit));
  assert.ok(Math.abs(sum(m, 'process_start_time_seconds') - Date.now() / 1000) < 600);
  assert.ok(sum(m, 'process_cpu_seconds_total') > 0);
  assert.ok(sum(m, 'roomcast_uptime_seconds') >= 0);
});

// Of a query: the words that are names of metrics.
const asked = (expr) => expr.match(/\b(?:roomcast|process)_[a-z0-9_]+/g) ?? [];

test('the dashboard and the alerts ask for what is there', async (t) => {
  const store = await openStore('sqlite');
  const redis = await startRedis();
  t.after(() => redis.stop());
  const server = await startWithMetrics(t, { ini: INI, options: store.options({ 'cluster.redis': redis.url }) });
  const m = await scrape(server);
  const there = (name) => m.has(name) || (/_(bucket|sum|count)$/.test(name) && m.has(name.replace(/_(bucket|sum|count)$/, '')));
  const board = JSON.parse(readFileSync(join(top, 'conf/grafana/roomcast.json'), 'utf8'));
  assert.ok(board.schemaVersion >= 36 && board.uid && board.title);
  const panels = board.panels.flatMap((p) => [p, ...(p.panels ?? [])]);
  assert.equal(new Set(panels.map((p) => p.id)).size, panels.length);
  let queries = 0;
  for (const p of panels) {
    assert.ok(p.type && p.title && p.gridPos, JSON.stringify(p));
    if (p.type === 'row') continue;
    assert.ok(p.targets.length > 0, p.title);
    assert.ok(p.fieldConfig.defaults.unit, `${p.title} has a unit`);
    for (const { expr, refId } of p.targets) {
      assert.ok(refId && asked(expr).length > 0, `${p.title}: ${expr}`);
      for (const name of asked(expr)) assert.ok(there(name), `${p.title}: there is no ${name}`);
      queries++;
    }
  }
  assert.ok(queries > 15);
  for (const { query } of board.templating.list.filter((v) => v.type === 'query'))
    for (const name of asked(typeof query === 'string' ? query : query.query)) assert.ok(there(name), name);

  const rules = readFileSync(join(top, 'conf/prometheus-alerts.yml'), 'utf8');
  const exprs = [...rules.matchAll(/^ +expr: (.+)$/gm)].map((e) => e[1]);
  assert.equal(exprs.length, [...rules.matchAll(/^ +- alert: \w+$/gm)].length);
  assert.ok(exprs.length > 5);
  for (const expr of exprs)
    for (const name of asked(expr)) assert.ok(there(name), `${expr}: there is no ${name}`);
  // Where Prometheus is installed, it is asked itself.
  if (spawnSync('promtool', ['--version']).status === 0) {
    const text = await (await fetch(`${server.admin}/metrics`)).text();
    const metrics = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
    assert.deepEqual([metrics.status, metrics.stderr], [0, '']);
    const alerts = spawnSync('promtool', ['check', 'rules', join(top, 'conf/prometheus-alerts.yml')], { encoding: 'utf8' });
    assert.equal(alerts.status, 0, alerts.stdout + alerts.stderr);
  }
});
