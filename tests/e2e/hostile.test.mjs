// Peers that mean harm: bytes of real conversations cut, mixed, repeated and flipped at random, on
// connections that break off anywhere. The daemon lives, leaks nothing, and two honest clients in
// a room notice nothing of it. ROOMCAST_SEED repeats a run (as far as timing allows).
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { random } from './lib/random.mjs';
import { SHARDS, label, roomcastOnly, sleep, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, frame } from './lib/wire.mjs';

const INI = `${RULES}
[event watch]
watch = rooms
[event unwatch]
unwatch = rooms
[endpoint /relay]
protocol = relay
[endpoint /echo]
protocol = echo
`;
const ATTACKERS = 16;
const ATTACKS = 40; // of each

const PACKETS = [
  '40',
  '40/chat,',
  '40{"token":"x"}',
  '41',
  '41/chat,',
  '42["join","den"]',
  '42["leave","den"]',
  '42["say","den","hostile"]',
  '421["ask",1,{"a":[1,2]}]',
  '42/chat,7["echo","ü👍"]',
  '451-["echo",{"_placeholder":true,"num":0}]',
  '452-["ask",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]',
  '42["shoutOthers","hostile"]',
  '42["whisper","AAAAAAAAAAAAAAAAAAAA",1]',
  '431[]',
  '2',
  '3',
  '2probe',
  '5',
  '1',
  '6',
  '42["bye"]',
  '42["hangup"]',
  '42["watch"]',
  '42["unwatch"]',
  `42["echo","${'x'.repeat(70_000)}"]`,
  '42["join","\\u0000\\ud800"]',
  '4',
  '',
  'x',
];

function mutate(rng, bytes) {
  const b = Buffer.from(bytes);
  switch (rng.below(6)) {
    case 0:
      if (b.length) b[rng.below(b.length)] = rng.below(256);
      return b;
    case 1:
      return b.subarray(0, rng.below(b.length + 1));
    case 2:
      return Buffer.concat([b, b.subarray(rng.below(b.length + 1))]);
    case 3: {
      const at = rng.below(b.length + 1);
      return Buffer.concat([
        b.subarray(0, at),
        Buffer.from([rng.below(256), rng.below(256)]),
        b.subarray(at),
      ]);
    }
    default:
      return b; // as it is: good packets at bad times
  }
}

const packet = (rng) =>
  rng.below(8) === 0 ? Buffer.from([rng.below(256), 1, 2]) : Buffer.from(rng.pick(PACKETS));

// Writes in pieces, to a connection that may be gone.
async function write(rng, wire, bytes) {
  for (let at = 0; at < bytes.length;) {
    const n = rng.below(4) === 0 ? 1 + rng.below(20) : bytes.length;
    if (!wire.socket.writable) return;
    await wire.write(bytes.subarray(at, at + n));
    at += n;
    if (at < bytes.length && rng.below(30) === 0) return; // and no more
  }
}

const frames = (rng, n) =>
  Buffer.concat(
    [...Array(n)].map(() => {
      const data = mutate(rng, packet(rng));
      const text = rng.below(6) !== 0;
      return mutate(rng, frame(text ? 1 : 2, data, { fin: rng.below(12) !== 0 }));
    }),
  );

const KINDS = {
  async http(rng, server) {
    const wire = await Wire.open(server);
    const sid = rng.below(2) ? (await Polling.open(server)).sid : 'x';
    const body = mutate(rng, `${rng.pick(PACKETS)}\x1e${rng.pick(PACKETS)}\x1ebAQID`);
    const heads = [
      `POST ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length + rng.below(3) - 1}\r\n\r\n`,
      `POST ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`,
      `GET ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\n\r\n`,
      `GET / HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(rng.below(20_000))}\r\n\r\n`,
      `OPTIONS ${eioPath({})} HTTP/1.1\r\nHost: x\r\nOrigin: https://x\r\n\r\n`,
    ];
    for (let i = 0; i < 1 + rng.below(3); i++)
      await write(rng, wire, mutate(rng, Buffer.concat([Buffer.from(rng.pick(heads)), body])));
    return wire;
  },
  async socket(rng, server) {
    const path = rng.pick([
      eioPath({ transport: 'websocket' }),
      eioPath({ transport: 'websocket' }),
      '/relay',
      '/echo',
    ]);
    const ws = await RawWs.open(server, path);
    if (path.startsWith('/socket')) await ws.send(1, '40');
    await write(rng, ws.wire, frames(rng, 1 + rng.below(8)));
    return ws.wire;
  },
  async session(rng, server) {
    const s = await Polling.open(server, { namespace: '/' });
    const requests = [];
    for (let i = 0; i < 1 + rng.below(4); i++) {
      const payload = [...Array(1 + rng.below(4))]
        .map(() => (rng.below(8) ? rng.pick(PACKETS) : 'bAQID'))
        .join('\x1e');
      requests.push(rng.below(2) ? s.get() : s.raw(mutate(rng, payload)));
      if (rng.below(3) === 0) await sleep(rng.below(5));
    }
    for (const r of requests) if (rng.below(3) === 0) r.abort();
    return { destroy: () => requests.forEach((r) => r.abort()) };
  },
  async upgrade(rng, server) {
    const s = await Polling.open(server, { namespace: '/' });
    const ws = await RawWs.open(server, s.path({ transport: 'websocket' }));
    const poll = rng.below(2) ? s.get() : null;
    await ws.send(1, '2probe');
    if (rng.below(2)) await ws.send(1, '5');
    await write(rng, ws.wire, frames(rng, rng.below(5)));
    if (rng.below(3) === 0) s.raw(mutate(rng, rng.pick(PACKETS)));
    if (rng.below(4) === 0) poll?.abort();
    return { destroy: () => (ws.destroy(), poll?.abort()) };
  },
};

for (const shards of SHARDS) {
  describe(label(shards), roomcastOnly, () => {
    afterEach(closeAll);

    test(`${ATTACKERS * ATTACKS} attacks beside an honest conversation`, async (t) => {
      const seed = Number(process.env.ROOMCAST_SEED || Date.now() % 1e9);
      console.log(`# ${label(shards)}: seed ${seed}`);
      const options = {
        'limits.head_timeout': '500ms',
        'limits.idle_timeout': '1s',
        'socketio.connect_timeout': '1s',
        'socketio.upgrade_timeout': '500ms',
        'socketio.close_timeout': '500ms',
        'socketio.ping_interval': '1s',
        'log.level': 'warn',
      };
      const server = await startFor(t, { ini: INI, shards, options });
      const [a, b] = await Promise.all([
        connect(server, { transports: ['websocket'] }),
        connect(server, { transports: ['polling'] }),
      ]);
      const lost = [];
      for (const s of [a, b]) s.on('disconnect', (reason) => lost.push(reason));
      const atB = inbox(b);
      await Promise.all([ask(a, 'join', 'honest'), ask(b, 'join', 'honest')]);
      const before = readdirSync(`/proc/${server.pid}/fd`).length;
      let attacking = true;
      let said = 0;
      const honest = (async () => {
        while (attacking && !lost.length) {
          assert.deepEqual(await ask(a, 'say', 'honest', said), { ok: true });
          said++;
          await sleep(5);
        }
      })();
      let failed = 0;
      const held = []; // left open until the end
      await Promise.all(
        [...Array(ATTACKERS).keys()].map(async (n) => {
          const rng = random(seed + n);
          for (let i = 0; i < ATTACKS; i++) {
            const kind = rng.pick(Object.keys(KINDS));
            const h = await KINDS[kind](rng, server).catch(() => (failed++, null));
            if (rng.below(4)) {
              await sleep(rng.below(10));
              h?.destroy();
            } else if (h) {
              held.push(h);
            }
          }
        }),
      );
      attacking = false;
      for (const h of held) h.destroy();
      await honest;
      assert.deepEqual(lost, [], 'an honest client was disconnected');
      const own = () => atB.filter(([e]) => e === 'said');
      await until('B to hear everything', () => own().length >= said, 20_000);
      assert.deepEqual(
        own().map((m) => m[1]),
        [...Array(said).keys()],
      );
      assert.ok(said > 20, `only ${said} messages`);
      assert.ok(failed < ATTACKERS * ATTACKS * 0.2, `${failed} attacks did not even start`);
      // These two and their polls remain.
      const files = () => readdirSync(`/proc/${server.pid}/fd`).length;
      await until(
        `descriptors to be freed (${files()} now, ${before} before)`,
        () => files() <= before + 4,
        10_000,
      );
      const fresh = await Socket.open(server, { namespace: '/' });
      fresh.send('421["ask",1]');
      assert.equal(await fresh.next(), '431[1]');
      fresh.destroy();
    });
  });
}
