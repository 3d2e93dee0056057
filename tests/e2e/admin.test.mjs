// The operators' listener: what /metrics, /healthz and /readyz say.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { afterEach, test } from 'node:test';

import { ask, closeAll, connect } from './lib/client.mjs';
import { freePort, run } from './lib/daemon.mjs';
import { parse } from './lib/exposition.mjs';
import { startMariadb } from './lib/mariadb.mjs';
import { startWithMetrics } from './lib/metrics.mjs';
import { openStore } from './lib/store.mjs';
import { SHARDS } from './lib/target.mjs';
import { until } from './lib/wait.mjs';

const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2}
[event keep]
store = room {1}: kept {2}
[event never]
refuse = "no"
`;

afterEach(closeAll);

async function started(t, options) {
  const server = await startWithMetrics(t, options);
  return { server, admin: server.admin };
}

// { name: sum over the shards }, and { 'name reason': sum }.
async function metrics(admin) {
  const r = await fetch(`${admin}/metrics`);
  assert.equal(r.status, 200);
  assert.equal(r.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  const sums = {};
  for (const family of parse(await r.text()).values())
    for (const { name, labels, value } of family.samples) {
      const key = labels.reason ? `${name} ${labels.reason}` : name;
      sums[key] = (sums[key] ?? 0) + value;
    }
  return sums;
}

for (const shards of SHARDS)
  test(`what happens is counted, ${shards} shards`, async (t) => {
    const store = await openStore('sqlite');
    const { server, admin } = await started(t, { ini: INI, shards, options: store.options() });
    const a = await connect(server);
    const b = await connect(server);
    for (const socket of [a, b]) await ask(socket, 'join', 'r');
    for (let i = 0; i < 5; i++) await ask(a, 'say', 'r', i);
    await ask(a, 'keep', 'r', 'x');
    await ask(a, 'never');
    let m = await metrics(admin);
    assert.equal(m.roomcast_conns, 2);
    assert.equal(m.roomcast_sessions, 2);
    assert.equal(m.roomcast_sockets, 2);
    assert.equal(m.roomcast_rooms, 1);
    assert.equal(m.roomcast_events_in_total, 9);
    assert.equal(m.roomcast_refused_total, 1);
    assert.equal(m.roomcast_published_total, 6);
    assert.equal(m.roomcast_deliveries_total, 12);
    assert.equal(m.roomcast_store_up, 1);
    assert.equal(m.roomcast_store_stored_total, 1);
    b.disconnect();
    m = await until('the end is counted', async () => {
      const now = await metrics(admin);
      return now.roomcast_conns === 1 && now;
    });
    assert.equal(m['roomcast_closed_total peer_closed'] + m['roomcast_closed_total websocket_closed'] +
      m['roomcast_closed_total client_closed'] > 0, true);
  });

test('without a store there are no metrics of one, and it is ready', async (t) => {
  const { admin } = await started(t, { ini: INI.replace(/\[event keep\]\n.*\n/, '') });
  assert.equal('roomcast_store_up' in (await metrics(admin)), false);
  for (const [path, status, text] of [['/healthz', 200, 'ok\n'], ['/readyz', 200, 'ready\n'],
    ['/', 404, 'not here: there are /metrics, /healthz and /readyz\n']]) {
    const r = await fetch(admin + path);
    assert.deepEqual([r.status, await r.text()], [status, text]);
  }
  assert.equal((await fetch(`${admin}/metrics`, { method: 'POST', body: 'x' })).status >= 400, true);
  assert.equal((await fetch(`${admin}/healthz`, { headers: { 'x-long': 'x'.repeat(9000) } })).status >= 400, true);
  assert.equal((await fetch(`${admin}/healthz`)).status, 200);
});

test('a store that is down shows, and comes back', async (t) => {
  const db = await startMariadb();
  t.after(() => db.remove());
  const { server, admin } = await started(t, { ini: INI, options: db.options() });
  await until('it is ready', async () => (await fetch(`${admin}/readyz`)).status === 200);
  const socket = await connect(server);
  assert.equal((await ask(socket, 'keep', 'r', 1)).ok, true);
  await db.stop();
  await until('it is not ready', async () => {
    await ask(socket, 'keep', 'r', 2);
    const r = await fetch(`${admin}/readyz`);
    return r.status === 503 && (await r.text()) === 'the store is down\n';
  });
  const m = await metrics(admin);
  assert.equal(m.roomcast_store_up, 0);
  assert.ok(m.roomcast_store_down_total + m.roomcast_store_failed_total > 0);
  assert.equal((await fetch(`${admin}/healthz`)).status, 200);
  await db.start();
  await until('it is ready again', async () => (await fetch(`${admin}/readyz`)).status === 200);
});

// A client that does not close its side holds up the end.
test('who is ending is not ready', async (t) => {
  const { server, admin } = await started(t, { ini: INI.replace(/\[event keep\]\n.*\n/, '') });
  const raw = createConnection({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
  t.after(() => raw.destroy());
  raw.write('GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n' +
    'Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
  await once(raw, 'data');
  const stopped = server.stop();
  await until('it says so', async () => {
    const r = await fetch(`${admin}/readyz`);
    return r.status === 503 && (await r.text()) === 'the server is ending\n';
  });
  raw.destroy();
  await stopped;
});

test('an address that is taken ends the start', async () => {
  const { server } = await started(null, { ini: INI.replace(/\[event keep\]\n.*\n/, '') });
  const { host } = new URL(server.url);
  const r = await run(['-o', `server.listen=127.0.0.1:${await freePort()}`, '-o', `admin.listen=${host}`]);
  await server.stop();
  assert.equal(r.code, 1);
  assert.match(r.stderr, new RegExp(`\\[admin\\] listen = ${host}: Address already in use; another program has it`));
});
