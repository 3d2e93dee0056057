// kill -9 of the daemon while many write: what was acknowledged is stored, once and in order; with
// repetition everything is; and those who come back get what they missed.
//
// ROOMCAST_KILLS   how often it is killed, for each store (default 5)
// ROOMCAST_SEED    repeats the moments of a run
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { freePort, slow, start } from './lib/daemon.mjs';
import { random } from './lib/random.mjs';
import { AUTH, ENGINES, openStore } from './lib/store.mjs';
import { sleep, until } from './lib/wait.mjs';
import { INI, acks, verify, writers } from './lib/writers.mjs';

const KILLS = Number(process.env.ROOMCAST_KILLS || 5);
const SEED = Number(process.env.ROOMCAST_SEED || Date.now() % 1_000_000);
const USERS = 12;
// A client whose server ends in the middle of its upgrade notices nothing until no ping comes.
const HEARTBEAT = { 'socketio.ping_interval': '1s', 'socketio.ping_timeout': '2s' };

describe('kill -9 under load', () => {
  for (const engine of ENGINES)
    test(`${engine}, ${KILLS} times`, { timeout: (60_000 + KILLS * 15_000) * slow }, async (t) => {
      t.diagnostic(`ROOMCAST_SEED=${SEED}`);
      const r = random(SEED);
      const store = await openStore(engine);
      t.after(() => store.remove());
      const port = await freePort();
      const options = { ...AUTH, ...store.options(), ...HEARTBEAT };
      const again = () => start({ ini: INI, listen: `127.0.0.1:${port}`, shards: r.pick([1, 2, 4]), options });

      let server = await again();
      t.after(() => server.child.kill('SIGKILL'));
      const all = writers(`http://127.0.0.1:${port}`, USERS);
      t.after(() => all.forEach((w) => w.close()));
      for (let i = 0; i < KILLS; i++) {
        // Mostly at work; now and then while they are still coming back.
        const before = acks(all);
        if (r.below(5)) await until(`load after ${i} kills`, () => acks(all) > before + USERS, 15_000);
        await sleep(r.below(400));
        await server.kill();
        server = await again();
      }
      for (const w of all) await w.finish();
      const rows = await verify(store, all);
      t.diagnostic(`${rows} messages stored, ${acks(all)} acked`);
      assert.ok(acks(all) > KILLS * USERS, `${acks(all)} acks are no load`);
      all.forEach((w) => w.close());
      await server.stop();
      assert.equal(await verify(store, all), rows, 'the end changed something');
    });
});
