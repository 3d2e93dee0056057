// Clients of Socket.IO 2 and 3 beside those of 4: rooms are the same for all.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, connect, connected, inbox, closeAll } from './lib/client.mjs';
import { client2, close2, connected2, inbox2 } from './lib/client2.mjs';
import { SHARDS, label, start } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const MODES = {
  'polling only': ['polling'],
  'websocket only': ['websocket'],
  upgrade: ['polling', 'websocket'],
};

for (const shards of SHARDS) {
  describe(`rooms of old and new clients, ${label(shards)}`, () => {
    let server;
    before(async () => {
      server = await start({ ini: RULES, shards, options: { 'socketio.allow_eio3': 'yes' } });
    });
    after(() => server.stop());
    afterEach(() => {
      closeAll();
      close2();
    });

    for (const [mode, transports] of Object.entries(MODES)) {
      test(`one room for all, ${mode}`, async () => {
        const old = await connected2(client2(server, { transports }));
        const now = await connect(server, { transports });
        const [atOld, atNow] = [inbox2(old, 'said'), inbox(now)];
        await Promise.all([ask(old, 'join', 'r'), ask(now, 'join', 'r')]);
        await ask(old, 'say', 'r', 'from old', Buffer.of(1, 2, 255));
        await ask(now, 'say', 'r', 'from new', Buffer.of(3, 4));
        await Promise.all([atOld.wait(2), atNow.wait(2)]);
        const expected = [
          ['said', 'from old', Buffer.of(1, 2, 255)],
          ['said', 'from new', Buffer.of(3, 4)],
        ];
        assert.deepEqual(atOld, expected);
        assert.deepEqual(atNow, expected);
        assert.equal(old.id, old.io.engine.id);
      });
    }
  });
}
