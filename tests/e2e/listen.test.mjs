// Where roomcast listens: [listen NAME] sections and Unix sockets. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { run, start as startDaemon, tempDir } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, request } from './lib/wire.mjs';

const text = (f) => f.data.toString();

// A Socket.IO client on raw frames, in a room.
async function joined(server, room) {
  const ws = await RawWs.open(server, eioPath({ transport: 'websocket' }));
  assert.match(text(await ws.frame()), /^0/);
  await ws.send(1, '40');
  assert.match(text(await ws.frame()), /^40/);
  await ws.send(1, `420["join","${room}"]`);
  assert.equal(text(await ws.frame()), '430[{"ok":true}]');
  return ws;
}

describe('listeners', roomcastOnly, () => {
  afterEach(closeAll);

  for (const shards of SHARDS)
    test(`a Unix socket and TCP, side by side; ${label(shards)}`, async (t) => {
      const server = await startFor(t, {
        ini: `${RULES}\n[listen front]\naddress = unix:front.sock\nmode = 0600\n`,
        listen: '127.0.0.1:0',
        listeners: 2,
        shards,
      });
      const socketPath = join(server.dir, 'front.sock');
      assert.deepEqual(server.sockets, [socketPath]);
      assert.equal(statSync(socketPath).mode & 0o777, 0o600);
      assert.equal((await request({ socketPath }, { path: '/healthz' })).status, 200);
      const far = await connect(server);
      const near = [];
      for (let i = 0; i < 2 * shards; i++) near.push(await joined({ socketPath }, 'lobby'));
      await ask(far, 'join', 'lobby');
      await far.emitWithAck('say', 'lobby', 'hello');
      for (const ws of near) {
        assert.equal(text(await ws.frame()), '42["said","hello"]');
        ws.destroy();
      }
    });

  test('connections of a Unix socket go to all shards', async (t) => {
    const server = await startFor(t, { ini: RULES, listen: 'unix:s.sock', shards: 4 });
    const [socketPath] = server.sockets;
    const clients = [];
    for (let i = 0; i < 4; i++) clients.push(await joined({ socketPath }, 'lobby'));
    for (const ws of clients) ws.destroy();
    await server.stop();
    const shards = [...server.stderr().matchAll(/shard=(\d+) conn=\S+ session=\S+ peer=unix websocket closed/g)];
    assert.deepEqual(shards.map((m) => m[1]).sort(), ['0', '1', '2', '3']);
  });

  test('the socket goes with the server; one that was left behind is replaced', async (t) => {
    const dir = tempDir();
    const listen = `unix:${join(dir, 's')}`;
    const first = await startDaemon({ ini: RULES, listen });
    t.after(() => first.ended || first.kill());
    const taken = await run(['-o', `server.listen=${listen}`]);
    assert.equal(taken.code, 1);
    assert.match(taken.stderr, /listen on unix:\S+: another program listens there: stop that, or choose/);
    assert.equal((await request({ socketPath: first.sockets[0] }, { path: '/healthz' })).status, 200);
    await first.kill();
    assert.ok(existsSync(join(dir, 's')), 'nobody could remove it');
    const second = await startFor(t, { ini: RULES, listen });
    assert.equal((await request({ socketPath: second.sockets[0] }, { path: '/healthz' })).status, 200);
    await second.stop();
    assert.equal(existsSync(join(dir, 's')), false);
  });

  test('what stands in the way and is no socket stays', async () => {
    const path = join(tempDir(), 'precious');
    writeFileSync(path, 'data');
    const r = await run(['-o', `server.listen=unix:${path}`]);
    assert.equal(r.code, 1);
    assert.match(r.stderr, /precious: there is another kind of file: remove it, or choose another path/);
    assert.ok(existsSync(path));
  });

  test('sections take the place of the default address', async (t) => {
    const ini = `${RULES}\n[listen a]\naddress = 127.0.0.1:0\n[listen b]\naddress = unix:b\n`;
    const server = await startFor(t, { ini, listen: null, listeners: 2 });
    assert.equal(server.ports.length, 1);
    assert.equal(server.sockets.length, 1);
    const c = await connect(server);
    const got = inbox(c);
    await ask(c, 'join', 'x');
    await ask(c, 'say', 'x', 1);
    await got.wait(1);
  });

  test('faults are told with file and line', async () => {
    const file = join(tempDir(), 'bad.ini');
    writeFileSync(file, '[server]\nlisten =\n[listen a]\nmode = 0600\n[listen b]\naddress = 80\n');
    const r = await run(['-c', file, '--check']);
    assert.equal(r.code, 2);
    assert.match(r.stderr, /bad\.ini:3: \[listen a\]: expected address = host:port or unix:\/path/);
    assert.match(r.stderr, /bad\.ini:6: \[listen b\] address = 80: expected addresses such as/);
    const none = await run(['-o', 'server.listen=', '--check']);
    assert.match(none.stderr, /expected an address, or a section \[listen NAME\]/);
    assert.equal(none.code, 2);
  });
});
