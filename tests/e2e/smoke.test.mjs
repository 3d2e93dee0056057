// A quick look at everything that matters; also run under the sanitizers.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { label, roomcastOnly, reference, sleep, start, startFor, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const MODES = {
  polling: { transports: ['polling'] },
  websocket: { transports: ['websocket'] },
  upgrade: { transports: ['polling', 'websocket'] },
};

for (const shards of reference ? [1] : [1, 2]) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    for (const [mode, options] of Object.entries(MODES)) {
      test(`${mode}: join, message, leave`, async () => {
        const [a, b, c] = await Promise.all([1, 2, 3].map(() => connect(server, options)));
        if (mode === 'upgrade') await Promise.all([a, b, c].map(upgraded));
        const [atA, atB, atC] = [a, b, c].map(inbox);
        for (const s of [a, b]) assert.deepEqual(await ask(s, 'join', 'den'), { ok: true });
        assert.deepEqual(await ask(a, 'say', 'den', 'hello', { n: 1 }), { ok: true });
        assert.deepEqual(await atB.wait(1), [['said', 'hello', { n: 1 }]]);
        assert.deepEqual(await ask(b, 'leave', 'den'), { ok: true });
        assert.deepEqual(await ask(c, 'say', 'den', 'anyone?'), { ok: true });
        await atA.wait(2);
        await sleep(50); // nothing more is on its way
        assert.deepEqual(atA, [
          ['said', 'hello', { n: 1 }],
          ['said', 'anyone?'],
        ]);
        assert.deepEqual(atB, [['said', 'hello', { n: 1 }]]);
        assert.deepEqual(atC, []);
      });
    }

    test('binary, there and back', async () => {
      const s = await connect(server);
      const back = event(s, 'echo');
      s.emit('echo', 'x', Buffer.from([0, 255, 1]), { deep: [new Uint8Array([7])] });
      assert.deepEqual(await back, ['x', Buffer.from([0, 255, 1]), { deep: [Buffer.from([7])] }]);
    });

    test('a lost transport is found again', async () => {
      const s = await connected(client(server, { reconnection: true, reconnectionDelay: 20 }));
      const first = s.id;
      await upgraded(s);
      s.io.engine.transport.ws.terminate?.();
      assert.equal((await event(s, 'disconnect'))[0] ?? '', 'transport close');
      await event(s, 'connect');
      assert.notEqual(s.id, first);
    });
  });
}

test('echo endpoint, and an exit that is clean with clients connected', roomcastOnly, async (t) => {
  const server = await startFor(t, {
    ini: `${RULES}[endpoint /echo]\nprotocol = echo\nprefix = You said:\n`,
    shards: 2,
  });
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}/echo`);
  await within(10_000, 'open', new Promise((r, f) => ws.once('open', r).once('error', f)));
  const answer = new Promise((r) => ws.once('message', (d) => r(d.toString())));
  ws.send('hi');
  assert.match(await within(10_000, 'echo', answer), /^You said: ?hi$/);
  const sockets = await Promise.all(Object.values(MODES).map((m) => connect(server, m)));
  await upgraded(sockets[2]);
  const ends = sockets.map((s) => event(s, 'disconnect'));
  await server.stop(); // exit code 0, in time, no sanitizer report
  for (const end of await Promise.all(ends)) assert.match([end].flat()[0], /^transport (close|error)$/);
});
