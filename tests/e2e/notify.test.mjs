// What the service manager is told (sd_notify), and the unit for it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, test } from 'node:test';

import { closeAll, connect, event } from './lib/client.mjs';
import { tempDir, top } from './lib/daemon.mjs';
import { reload } from './lib/reload.mjs';
import { start, until } from './lib/target.mjs';

afterEach(closeAll);

// The datagrams of a socket at that address, each as { KEY: value }.
async function manager(t, address) {
  const child = spawn('/usr/bin/python3', [join(top, 'tests/e2e/clients/notify_socket.py'), address], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const told = [];
  let bound = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const text = JSON.parse(line);
    if (text === 'bound') bound = true;
    else told.push(Object.fromEntries(text.split('\n').map((l) => [l.slice(0, l.indexOf('=')), l.slice(l.indexOf('=') + 1)])));
  });
  await until('the socket', () => bound, 20_000);
  return told;
}

const states = (told) => told.flatMap((d) => ['READY', 'RELOADING', 'STOPPING'].filter((k) => d[k] === '1'));

for (const kind of ['path', 'abstract'])
  test(`ready, reloading, stopping: a socket by ${kind}`, async (t) => {
    const address = kind === 'path' ? join(tempDir(), 'notify') : `@roomcast-test-${process.pid}-${randomBytes(6).toString('hex')}`;
    const told = await manager(t, address);
    const server = await start({ ini: '[event a]\nack = 1\n', shards: 2, env: { NOTIFY_SOCKET: address } });
    await until('ready', () => told.length === 1);
    assert.deepEqual(told[0], { READY: '1', STATUS: 'serving, 2 shards' });
    assert.equal((await reload(server, '[event b]\nack = 1\n')).ok, true);
    await until('ready again', () => told.length === 3);
    assert.equal(told[1].RELOADING, '1');
    assert.match(told[1].MONOTONIC_USEC, /^[1-9]\d+$/);
    assert.deepEqual(told[2], told[0]);
    assert.equal((await reload(server, '[nonsense]\n')).ok, false);
    await until('ready all the same', () => told.length === 5);
    assert.deepEqual(told[4], { READY: '1', STATUS: 'serving, 2 shards; the last reload failed: see the log' });
    assert.ok(BigInt(told[3].MONOTONIC_USEC) > BigInt(told[1].MONOTONIC_USEC));
    await server.stop();
    await until('stopping', () => told.length === 6);
    assert.equal(told[5].STATUS, 'ending');
    assert.ok(Number(told[5].EXTEND_TIMEOUT_USEC) >= 10_000_000);
    assert.deepEqual(states(told), ['READY', 'RELOADING', 'READY', 'RELOADING', 'READY', 'STOPPING']);
  });

test('the watchdog is told while idle shards answer, and not without being asked', async (t) => {
  const address = join(tempDir(), 'notify');
  const told = await manager(t, address);
  const count = () => told.filter((d) => d.WATCHDOG === '1').length;
  const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '200000' };
  const quiet = await start({ shards: 1, env: { ...env, WATCHDOG_PID: '1' } });
  await quiet.stop();
  assert.equal(count(), 0, 'it was for another process');
  const server = await start({ shards: 4, env });
  await until('ten times', () => count() >= 10, 60_000);
  await server.stop();
});

test('nobody is told: the server does not care', async (t) => {
  const server = await start({ shards: 1, env: { NOTIFY_SOCKET: join(tempDir(), 'nobody') } });
  const s = await connect(server);
  const end = event(s, 'disconnect');
  await server.stop();
  await end;
});

test('the unit has what it must', () => {
  const unit = readFileSync(join(top, 'conf/roomcast.service'), 'utf8');
  for (const line of ['Type=notify', 'NoNewPrivileges=yes', 'ProtectSystem=strict', 'StateDirectory=roomcast', `ExecReload=/bin/sh -c 'kill -HUP "$$MAINPID"'`, 'RestartPreventExitStatus=2'])
    assert.ok(unit.split('\n').includes(line), line);
});
