// WebSocket conformance by section of RFC 6455 and RFC 7692, in bytes on sockets, against the
// daemon's echo endpoint; with TARGET=reference against the ws package. Where the two differ,
// differs() says so and why.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import zlib from 'node:zlib';

import { PMD, RSV1, pack, prose, unpack } from './lib/deflate.mjs';
import { startEcho } from './lib/echo.mjs';
import { reference, roomcastOnly, sleep } from './lib/target.mjs';
import { BINARY, CLOSE, CONT, PING, PONG, RawWs, TEXT, Wire, closePayload, frame } from './lib/wire.mjs';

const MiB = 1 << 20;
const differs = (why, ours, theirs) => (reference ? theirs : ours);

// Connections of the tests; what is still open is closed after each suite.
const open = new Set();
async function connect(server, path, options) {
  const ws = await RawWs.open(server, path, options);
  ws.wire.socket.on('error', () => {});
  open.add(ws);
  return ws;
}
function closeAll() {
  for (const ws of open) ws.destroy();
  open.clear();
}

const text = (f) => f.data.toString();
const flags = (f) => ({ fin: f.fin, rsv: f.rsv, opcode: f.opcode });

// The connection still works, and nothing was sent before that.
async function alive(ws) {
  await ws.send(TEXT, 'alive?');
  const f = await ws.frame();
  assert.deepEqual({ ...flags(f), data: text(f) }, { fin: true, rsv: 0, opcode: TEXT, data: 'alive?' });
}

async function closesWith(ws, code, bytes) {
  ws.wire.write(bytes).catch(() => {});
  assert.equal(await ws.closeCode(), code);
  ws.wire.write(frame(CLOSE, closePayload(1000))).catch(() => {});
  await ws.wire.closed();
  ws.destroy();
}

// ---------------------------------------------------------------- RFC 6455

function framing(server) {
  const echo = () => connect(server(), '/echo');

  describe('RFC 6455, 5.2: base framing', () => {
    // The answer has the length in its shortest form, too.
    const HEADS = [[0, 2], [1, 2], [124, 2], [125, 2], [126, 4], [127, 4], [128, 4], [65534, 4], [65535, 4], [65536, 10], [65537, 10]];
    for (const opcode of [TEXT, BINARY]) {
      test(`lengths at the borders, opcode ${opcode}`, async () => {
        const ws = await echo();
        for (const [n, head] of HEADS) {
          const data = Buffer.alloc(n, 'x');
          await ws.send(opcode, data);
          const bytes = await ws.wire.take('an answer', (d) => (d.length >= head + n ? d : undefined));
          assert.equal(bytes.length, head + n, `${n} bytes`);
          const f = await ws.frame();
          assert.deepEqual(flags(f), { fin: true, rsv: 0, opcode });
          assert.ok(f.data.equals(data));
        }
        await alive(ws);
      });
    }

    const WIDE = [['0 in 16 bits', 0, 2], ['125 in 16 bits', 125, 2], ['0 in 64 bits', 0, 8], ['125 in 64 bits', 125, 8], ['126 in 64 bits', 126, 8], ['65535 in 64 bits', 65535, 8]];
    for (const [name, n, wide] of WIDE) {
      test(`a length that is not in its shortest form: ${name}`, async () => {
        const ws = await echo();
        const bytes = frame(BINARY, Buffer.alloc(n), { wide });
        if (!differs('ws takes them', true, false)) {
          await ws.wire.write(bytes);
          assert.equal((await ws.frame()).data.length, n);
        } else {
          await closesWith(ws, 1002, bytes);
        }
      });
    }

    test('the highest bit of a 64 bit length', async () => {
      const code = differs('ws calls it too big', 1002, 1009);
      await closesWith(await echo(), code, Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
    });

    for (const rsv of [1, 2, 3, 4, 5, 6, 7])
      for (const opcode of [TEXT, BINARY, PING, PONG, CLOSE])
        test(`reserved bits ${rsv.toString(2).padStart(3, '0')} with opcode ${opcode}`, async () => {
          await closesWith(await echo(), 1002, frame(opcode, opcode === CLOSE ? closePayload(1000) : 'x', { rsv }));
        });

    for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
      test(`reserved opcode ${opcode}`, async () => {
        await closesWith(await echo(), 1002, frame(opcode, 'x'));
        await closesWith(await echo(), 1002, frame(opcode, ''));
        const ws = await echo(); // inside of a message
        await ws.send(TEXT, 'x', { fin: false });
        await closesWith(ws, 1002, frame(opcode, 'x'));
      });
    }

    test('what comes before a bad frame is answered', async () => {
      const ws = await echo();
      await ws.wire.write(Buffer.concat([frame(TEXT, 'one'), frame(TEXT, 'two'), frame(3, 'x'), frame(TEXT, 'three')]));
      assert.equal(text(await ws.frame()), 'one');
      assert.equal(text(await ws.frame()), 'two');
      assert.equal((await ws.frame()).opcode, CLOSE);
      await ws.wire.write(frame(CLOSE, closePayload(1002)));
      await ws.wire.closed();
      assert.equal(ws.wire.data.length, 0);
    });
  });

  describe('RFC 6455, 5.1 and 5.3: masking', () => {
    for (const opcode of [TEXT, BINARY, PING, PONG, CLOSE])
      test(`an unmasked frame, opcode ${opcode}`, async () => {
        await closesWith(await echo(), 1002, frame(opcode, opcode === CLOSE ? closePayload(1000) : 'x', { mask: false }));
      });
    test('an unmasked empty frame', async () => closesWith(await echo(), 1002, frame(TEXT, '', { mask: false })));

    test('masks of all kinds', async () => {
      const ws = await echo();
      const data = randomBytes(1000);
      for (const key of [[0, 0, 0, 0], [255, 255, 255, 255], [0, 0, 0, 1], [128, 0, 0, 0], [1, 2, 3, 4]])
        for (const n of [1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 125, 1000]) {
          const part = data.subarray(0, n);
          const head = n < 126 ? [0x82, 0x80 | n] : [0x82, 0xfe, n >> 8, n & 255];
          await ws.wire.write(Buffer.from([...head, ...key, ...part.map((b, i) => b ^ key[i & 3])]));
          assert.ok((await ws.frame()).data.equals(part));
        }
    });

    test('a mask goes on over chunks of any size', async () => {
      const ws = await echo();
      const data = randomBytes(500);
      const bytes = frame(BINARY, data);
      for (const step of [1, 2, 3, 5, 7, 11, 64, 127, 499]) {
        for (let at = 0; at < bytes.length; at += step) {
          await ws.wire.write(bytes.subarray(at, at + step));
          await new Promise(setImmediate);
        }
        assert.ok((await ws.frame()).data.equals(data), `chunks of ${step}`);
      }
    });
  });

  describe('RFC 6455, 5.4: fragmentation', () => {
    const FINE = [
      ['two fragments', ['he', 'llo']],
      ['an empty first one', ['', 'hello']],
      ['an empty last one', ['hello', '']],
      ['only empty ones', ['', '', '', '']],
      ['one byte each', [...'hello, world']],
      ['one of each length', ['x', 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65536), '']],
    ];
    for (const [name, parts] of FINE)
      for (const opcode of [TEXT, BINARY])
        test(`${name}, opcode ${opcode}`, async () => {
          const ws = await echo();
          const frames = parts.map((p, i) => frame(i ? CONT : opcode, p, { fin: i === parts.length - 1 }));
          await ws.wire.write(Buffer.concat(frames));
          const f = await ws.frame();
          assert.deepEqual(flags(f), { fin: true, rsv: 0, opcode });
          assert.equal(text(f), parts.join(''));
          for (const one of frames) {
            await ws.wire.write(one);
            await new Promise(setImmediate);
          }
          assert.equal(text(await ws.frame()), parts.join(''));
          await alive(ws);
        });

    const BAD = [
      ['a continuation of nothing', [frame(CONT, 'x')]],
      ['an unfinished continuation of nothing', [frame(CONT, 'x', { fin: false })]],
      ['a continuation of a message that has ended', [frame(TEXT, 'x'), frame(CONT, 'y')]],
      ['a continuation of fragments that have ended', [frame(TEXT, 'x', { fin: false }), frame(CONT, 'y'), frame(CONT, 'z')]],
      ['a text inside of a text', [frame(TEXT, 'x', { fin: false }), frame(TEXT, 'y')]],
      ['bytes inside of a text', [frame(TEXT, 'x', { fin: false }), frame(BINARY, 'y', { fin: false })]],
      ['a text inside of bytes', [frame(BINARY, 'x', { fin: false }), frame(CONT, 'x', { fin: false }), frame(TEXT, 'y')]],
      ['reserved bit on a continuation', [frame(TEXT, 'x', { fin: false }), frame(CONT, 'y', { rsv: 4 })]],
    ];
    for (const [name, frames] of BAD)
      test(`refused: ${name}`, async () => closesWith(await echo(), 1002, Buffer.concat(frames)));
  });

  describe('RFC 6455, 5.5: control frames', () => {
    test('pings of any length get the same back', async () => {
      const ws = await echo();
      for (const n of [0, 1, 2, 100, 124, 125]) {
        const data = randomBytes(n);
        await ws.send(PING, data);
        const f = await ws.frame();
        assert.deepEqual(flags(f), { fin: true, rsv: 0, opcode: PONG });
        assert.ok(f.data.equals(data));
      }
    });

    test('many pings at once get their pongs in order', async () => {
      const ws = await echo();
      const all = [...Array(50).keys()].map(String);
      await ws.wire.write(Buffer.concat(all.map((p) => frame(PING, p))));
      for (const p of all) assert.equal(text(await ws.frame()), p);
    });

    test('a pong that nobody asked for is ignored', async () => {
      const ws = await echo();
      for (const data of ['', 'x', Buffer.alloc(125, 255)]) await ws.send(PONG, data);
      await alive(ws);
    });

    test('inside of a fragmented message they are answered at once, and do not disturb it', async () => {
      const ws = await echo();
      const face = Buffer.from('👍');
      await ws.send(TEXT, face.subarray(0, 1), { fin: false });
      await ws.send(PING, 'between');
      assert.deepEqual(flags(await ws.frame()), { fin: true, rsv: 0, opcode: PONG });
      for (let i = 1; i < 4; i++) {
        await ws.wire.write(Buffer.concat([
          frame(PONG, 'x'), frame(CONT, face.subarray(i, i + 1), { fin: false }), frame(PING, String(i)),
        ]));
        assert.equal(text(await ws.frame()), String(i));
      }
      await ws.send(CONT, '');
      assert.equal(text(await ws.frame()), '👍');
      await alive(ws);
    });

    test('between the chunks of one fragment there is none: those bytes are payload', async () => {
      const ws = await echo();
      const ping = frame(PING, 'x', { mask: false });
      const bytes = frame(BINARY, ping);
      await ws.wire.write(bytes.subarray(0, 7));
      await sleep(5);
      await ws.wire.write(bytes.subarray(7));
      const f = await ws.frame();
      assert.ok(f.opcode === BINARY && f.data.equals(ping));
    });

    for (const opcode of [PING, PONG, CLOSE]) {
      test(`opcode ${opcode} in fragments`, async () => {
        await closesWith(await echo(), 1002, frame(opcode, opcode === CLOSE ? closePayload(1000) : 'x', { fin: false }));
      });
      test(`opcode ${opcode} with more than 125 bytes`, async () => {
        const payload = Buffer.concat([closePayload(1000), Buffer.alloc(124, 'x')]);
        await closesWith(await echo(), 1002, frame(opcode, payload));
        await closesWith(await echo(), 1002, frame(opcode, Buffer.alloc(65536, 'x')));
        // known from the length alone
        await closesWith(await echo(), 1002, Buffer.from([0x80 | opcode, 0xfe, 0, 126]));
      });
    }
  });

  describe('RFC 6455, 5.5.1 and 7: close', () => {
    const VALID = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    const INVALID = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 32768, 65535];

    test('the code comes back, and the server ends the connection', async () => {
      for (const code of VALID) {
        const ws = await echo();
        await ws.send(CLOSE, closePayload(code, 'r'));
        const f = await ws.frame();
        assert.deepEqual([f.opcode, f.data.readUInt16BE(0)], [CLOSE, code]);
        await ws.wire.closed();
        assert.equal(ws.wire.data.length, 0);
      }
    });

    test('no code: none comes back', async () => {
      const ws = await echo();
      await ws.send(CLOSE);
      const f = await ws.frame();
      assert.deepEqual([f.opcode, f.data.length], [CLOSE, 0]);
      await ws.wire.closed();
    });

    for (const code of INVALID)
      test(`code ${code} is refused`, async () => closesWith(await echo(), 1002, frame(CLOSE, closePayload(code))));
    test('half a code is refused', async () => closesWith(await echo(), 1002, frame(CLOSE, 'x')));

    test('reasons', async () => {
      for (const reason of ['', 'x', 'Grund: Ümläute 漢字 👍', 'x'.repeat(123)]) {
        const ws = await echo();
        await ws.send(CLOSE, closePayload(4000, reason));
        assert.equal(await ws.closeCode(), 4000);
        await ws.wire.closed();
      }
      for (const bytes of [[0xff], [0xc3], [0xed, 0xa0, 0x80], [0x41, 0xf0, 0x9f, 0x91]])
        await closesWith(await echo(), 1007, frame(CLOSE, Buffer.concat([closePayload(1000), Buffer.from(bytes)])));
    });

    test('after a close nothing is answered', async () => {
      for (const late of [frame(TEXT, 'late'), frame(PING, 'late'), frame(3, 'bad'), Buffer.from('nonsense')]) {
        const ws = await echo();
        await ws.wire.write(Buffer.concat([frame(TEXT, 'first'), frame(CLOSE, closePayload(1000)), late]));
        assert.equal(text(await ws.frame()), 'first');
        assert.deepEqual((await ws.frame()).opcode, CLOSE);
        await ws.wire.closed();
        assert.equal(ws.wire.data.length, 0);
      }
    });

    test('inside of a fragmented message', async () => {
      const ws = await echo();
      await ws.wire.write(Buffer.concat([frame(TEXT, 'x', { fin: false }), frame(CLOSE, closePayload(1001))]));
      assert.equal(await ws.closeCode(), 1001);
      await ws.wire.closed();
    });

    test('a connection that ends without a close harms nobody', async () => {
      const [a, b] = [await echo(), await echo()];
      await a.send(TEXT, 'x', { fin: false });
      a.wire.socket.resetAndDestroy();
      const c = await echo();
      c.wire.socket.end(frame(TEXT, 'half').subarray(0, 5));
      await c.wire.closed();
      await alive(b);
    });
  });

  // From one byte to four; what is next to the borders of the encoding (RFC 3629).
  const VALID_TEXT = {
    'ASCII': '00 01 7f 41',
    'two bytes': 'c2 80 df bf',
    'three bytes': 'e0 a0 80 ed 9f bf ee 80 80 ef bf bf',
    'four bytes': 'f0 90 80 80 f4 8f bf bf',
    'no characters, but valid': 'ef bf be ef bf bf ef b7 90 f0 9f bf be',
    'a byte order mark': 'ef bb bf 41',
    'Greek': 'ce ba e1 bd b9 cf 83 ce bc ce b5',
    'a family': 'f0 9f 91 a9 e2 80 8d f0 9f 91 a7',
  };
  const INVALID_TEXT = {
    'a lone continuation byte': '80',
    'the last continuation byte': '41 bf',
    'all of ASCII, then one': '41 42 43 44 45 46 47 48 80',
    'c0': 'c0 80',
    'c1': 'c1 bf',
    'f5': 'f5 80 80 80',
    'fe': 'fe',
    'ff': 'ff',
    'two bytes, second wrong': 'c3 28',
    'two bytes, second missing': 'c3 41',
    'three bytes, overlong': 'e0 9f bf',
    'three bytes, second wrong': 'e2 28 a1',
    'three bytes, third wrong': 'e2 82 28',
    'the first surrogate': 'ed a0 80',
    'the last surrogate': 'ed bf bf',
    'a pair of surrogates': 'ed a0 bd ed b8 80',
    'four bytes, overlong': 'f0 8f bf bf',
    'four bytes, third wrong': 'f0 90 28 bc',
    'four bytes, fourth wrong': 'f0 90 80 28',
    'above U+10FFFF': 'f4 90 80 80',
    'five bytes': 'f8 88 80 80 80',
    'six bytes': 'fc 84 80 80 80 80',
    'valid, invalid, valid': 'ce ba e1 bd b9 cf 83 ed a0 80 65',
  };
  const CUT_TEXT = { 'after 1 of 2': 'c3', 'after 1 of 3': 'e2', 'after 2 of 3': 'e2 82', 'after 1 of 4': 'f0', 'after 2 of 4': 'f0 9f', 'after 3 of 4': '41 f0 9f 91' };
  const bytesOf = (hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

  describe('RFC 6455, 8.1: UTF-8', () => {
    for (const [name, hex] of Object.entries(VALID_TEXT))
      test(`valid: ${name}`, async () => {
        const data = bytesOf(hex);
        const ws = await echo();
        await ws.send(TEXT, data);
        assert.ok((await ws.frame()).data.equals(data));
        for (let i = 0; i <= data.length; i++) { // cut into fragments anywhere
          await ws.wire.write(Buffer.concat([frame(TEXT, data.subarray(0, i), { fin: false }), frame(CONT, data.subarray(i))]));
          assert.ok((await ws.frame()).data.equals(data), `cut at ${i}`);
        }
        await ws.wire.trickle(frame(TEXT, data));
        assert.ok((await ws.frame()).data.equals(data));
      });

    for (const [name, hex] of Object.entries({ ...INVALID_TEXT, ...CUT_TEXT }))
      test(`invalid: ${name}`, async () => {
        const data = bytesOf(hex);
        await closesWith(await echo(), 1007, frame(TEXT, data));
        await closesWith(await echo(), 1007, frame(TEXT, Buffer.concat([Buffer.alloc(200, 'é'), data])));
        for (let i = 0; i <= data.length; i++)
          await closesWith(await echo(), 1007, Buffer.concat([frame(TEXT, data.subarray(0, i), { fin: false }), frame(CONT, data.subarray(i))]));
        const ws = await echo(); // as bytes it is fine
        await ws.send(BINARY, data);
        assert.ok((await ws.frame()).data.equals(data));
      });

    // ws looks at a text when it is complete.
    for (const [name, hex] of Object.entries(INVALID_TEXT)) {
      test(`fail fast, before the last fragment: ${name}`, roomcastOnly, async () => {
        const ws = await echo();
        await closesWith(ws, 1007, frame(TEXT, bytesOf(hex), { fin: false }));
      });
      test(`fail fast, in the midst of a frame: ${name}`, roomcastOnly, async () => {
        const ws = await echo();
        const bytes = frame(TEXT, Buffer.concat([bytesOf(hex), Buffer.alloc(1000, 'x')]));
        await closesWith(ws, 1007, bytes.subarray(0, bytes.length - 990));
      });
    }
  });
}

function sizes(server) {
  describe('RFC 6455, 10.4: limits', () => {
    const small = (options) => connect(server(), '/small', options); // 1000 bytes
    test('as long as allowed, in one frame or many', async () => {
      const ws = await small();
      await ws.send(BINARY, Buffer.alloc(1000));
      assert.equal((await ws.frame()).data.length, 1000);
      for (let i = 0; i < 10; i++) await ws.send(i ? CONT : BINARY, Buffer.alloc(100), { fin: i === 9 });
      assert.equal((await ws.frame()).data.length, 1000);
      await alive(ws);
    });
    test('one byte more', async () => closesWith(await small(), 1009, frame(BINARY, Buffer.alloc(1001))));
    test('the announcement is enough', async () => {
      await closesWith(await small(), 1009, frame(BINARY, '', { length: 1001 }));
      await closesWith(await small(), 1009, frame(TEXT, '', { length: 2 ** 40 }));
    });
    test('together they are too long', async () => {
      const ws = await small();
      await ws.send(TEXT, 'x'.repeat(600), { fin: false });
      await closesWith(ws, 1009, frame(CONT, '', { length: 401, fin: false }));
    });
    test('fragments without end', async () => {
      const ws = await small();
      const parts = [frame(TEXT, 'x', { fin: false })];
      for (let i = 0; i < 1000; i++) parts.push(frame(CONT, 'x', { fin: false }));
      await closesWith(ws, 1009, Buffer.concat(parts));
    });
  });

  describe('RFC 6455, 5.4: big messages', () => {
    const big = () => connect(server(), '/big'); // 16 MiB
    const data = randomBytes(16 * MiB);
    const whole = frame(BINARY, data);

    test('16 MiB in one frame', async () => {
      const ws = await big();
      ws.wire.write(whole);
      assert.ok((await ws.frame(60_000)).data.equals(data));
      await closesWith(ws, 1009, frame(BINARY, '', { length: 16 * MiB + 1 }));
    });

    for (const chunk of [997, 1024, 65_521, 1_000_003])
      test(`in chunks of ${chunk} bytes`, async () => {
        const ws = await big();
        const n = chunk < 5000 ? MiB : 16 * MiB;
        const bytes = n === data.length ? whole : frame(BINARY, data.subarray(0, n));
        for (let at = 0; at < bytes.length; at += chunk) await ws.wire.write(bytes.subarray(at, at + chunk));
        assert.ok((await ws.frame(60_000)).data.equals(data.subarray(0, n)));
      });

    for (const size of [64, 1000, 65_536, 5_000_000])
      test(`in fragments of ${size} bytes`, async () => {
        const ws = await big();
        const n = size < 1000 ? MiB : size < 5000 ? 8 * MiB : 16 * MiB; // ws: 16,384 fragments at most
        for (let at = 0; at < n; at += size) {
          const part = data.subarray(at, Math.min(at + size, n));
          ws.wire.socket.write(frame(at ? CONT : BINARY, part, { fin: at + size >= n }));
          if (at % (256 * size) === 0) await new Promise(setImmediate);
        }
        assert.ok((await ws.frame(60_000)).data.equals(data.subarray(0, n)));
        await alive(ws);
      });

    test('text', async () => {
      const ws = await big();
      const t = Buffer.from('ä€𝄞x'.repeat(16 * MiB / 10)); // 10 bytes each, never in step with chunks
      ws.wire.write(frame(TEXT, t));
      assert.ok((await ws.frame(60_000)).data.equals(t));
    });
  });
}

// ---------------------------------------------------------------- RFC 7692

const deflated = (path, server, offer = PMD) => connect(server, path, { headers: { 'Sec-WebSocket-Extensions': offer } });

function negotiation(servers) {
  const extensions = async (server, offer) => {
    const wire = await Wire.open(server);
    const headers = { 'Sec-WebSocket-Extensions': offer };
    await wire.write(RawWs.handshake('/z', { headers }).text);
    const r = await wire.response();
    wire.destroy();
    return r.status === 101 ? r.headers['sec-websocket-extensions'] : r.status;
  };
  const params = (value) => value && String(value).split(';').map((s) => s.trim()).sort().join('; ');

  describe('RFC 7692, 5 and 7.1: negotiation', () => {
    const SERVER = 'server_no_context_takeover';
    const CLIENT = 'client_no_context_takeover';
    const BOTH = `${CLIENT}; ${PMD}; ${SERVER}`;
    const FINE = [
      [PMD, BOTH],
      [`${PMD}; client_max_window_bits`, BOTH],
      [`${PMD}; ${SERVER}; ${CLIENT}`, BOTH],
      [`${PMD};${CLIENT}`, BOTH],
      [`x-other; a=b, ${PMD}`, BOTH],
      [`${PMD}; server_max_window_bits=10`, `${BOTH}; server_max_window_bits=10`],
      [`${PMD}; server_max_window_bits=10, ${PMD}`, `${BOTH}; server_max_window_bits=10`],
      ...[8, 9, 11, 14, 15].map((n) => [`${PMD}; server_max_window_bits=${n}`, `${BOTH}; server_max_window_bits=${n}`]),
      ...[8, 9, 12, 15].map((n) => [`${PMD}; client_max_window_bits=${n}`, `client_max_window_bits=${n}; ${BOTH}`]),
      [`${PMD}; client_max_window_bits="10"`, `client_max_window_bits=10; ${BOTH}`],
    ];
    for (const [offer, answer] of FINE)
      test(`accepted: ${offer}`, async () => {
        assert.equal(params(await extensions(servers.alone, offer)), params(answer));
      });

    const SECOND = [
      [`${PMD}; unknown, ${PMD}; client_max_window_bits`, BOTH],
      [`${PMD}; server_max_window_bits=7, ${PMD}`, BOTH],
    ];
    for (const [offer, answer] of SECOND)
      test(`the first one that is right: ${offer}`, async () => {
        const expected = differs('ws refuses the handshake for one wrong offer', params(answer), '400');
        assert.equal(params(await extensions(servers.alone, offer)), expected);
      });

    const DECLINED = ['', 'x-webkit-deflate-frame', 'permessage-deflate2'];
    const WRONG = [
      `${PMD}; unknown`,
      `${PMD}; unknown=1`,
      `${PMD}; ${CLIENT}=1`,
      `${PMD}; ${SERVER}; ${SERVER}`,
      `${PMD}; server_max_window_bits`,
      `${PMD}; server_max_window_bits=7`,
      `${PMD}; server_max_window_bits=16`,
      `${PMD}; server_max_window_bits=x`,
      `${PMD}; client_max_window_bits=7`,
      `${PMD}; client_max_window_bits=16`,
      `${PMD}; client_max_window_bits; client_max_window_bits`,
      `${PMD}; server_max_window_bits=9; server_max_window_bits=10`,
      `${PMD};`,
      `${PMD}; =`,
      `${PMD}; client_max_window_bits="`,
      `${PMD} client_max_window_bits`,
      `${PMD}, "x"`,
    ];
    for (const offer of DECLINED)
      test(`declined: ${offer || '(nothing)'}`, async () => {
        const status = offer === '' ? differs('ws takes an empty header for a fault', undefined, 400) : undefined;
        assert.equal(await extensions(servers.alone, offer), status);
      });
    for (const offer of WRONG)
      test(`declined: ${offer}`, async () => {
        const expected = differs('ws refuses the handshake, RFC 7692 says decline', undefined, 400);
        assert.equal(await extensions(servers.alone, offer), expected);
      });

    test('several headers are one list', async () => {
      const wire = await Wire.open(servers.alone);
      const { text: request } = RawWs.handshake('/z', { headers: { 'Sec-WebSocket-Extensions': 'x-other' } });
      await wire.write(request.replace(/\r\n\r\n$/, `\r\nSec-WebSocket-Extensions: ${PMD}\r\n\r\n`));
      assert.equal(params((await wire.response()).headers['sec-websocket-extensions']), params(BOTH));
      wire.destroy();
    });

    test('with context takeover allowed, the client decides', async () => {
      assert.equal(params(await extensions(servers.takeover, PMD)), params(`${PMD}; ${SERVER}`));
      assert.equal(params(await extensions(servers.takeover, `${PMD}; ${CLIENT}`)), params(BOTH));
    });

    test('with a window of our own, the client has to let us choose', async () => {
      const offer = (o) => extensions(servers.narrow, `${PMD}${o}`);
      assert.equal(params(await offer('; client_max_window_bits')), params(`${BOTH}; client_max_window_bits=9`));
      assert.equal(params(await offer('; client_max_window_bits=12')), params(`${BOTH}; client_max_window_bits=9`));
      assert.equal(params(await offer('')), differs('ws insists on its window', params(BOTH), '400'));
      const less = await offer('; client_max_window_bits=8');
      assert.equal(params(less), differs('ws insists on its window', params(`${BOTH}; client_max_window_bits=8`), '400'));
    });

    test('not offered: RSV1 is refused', async () => {
      await closesWith(await connect(servers.alone, '/z'), 1002, frame(TEXT, pack('x'), RSV1));
    });
    test('not enabled: declined, and RSV1 is refused', async () => {
      const ws = await deflated('/plain', servers.alone);
      assert.equal(ws.answer.headers['sec-websocket-extensions'], undefined);
      await alive(ws);
      await closesWith(ws, 1002, frame(TEXT, pack('x'), RSV1));
    });
  });
}

function sending(servers) {
  describe('RFC 7692, 6.1 and 7.2.1: what the server sends', () => {
    test('compressed from the threshold on', async () => {
      const ws = await deflated('/z', servers.alone); // 1024
      for (const [n, rsv] of [[1023, 0], [1024, 4], [1025, 4], [125, 0], [100_000, 4]]) {
        const data = prose(n);
        await ws.send(BINARY, data);
        const f = await ws.frame();
        assert.deepEqual(flags(f), { fin: true, rsv, opcode: BINARY }, `${n} bytes`);
        assert.ok((rsv ? unpack(f.data) : f.data).equals(data));
        if (rsv) assert.ok(f.data.length < n);
      }
    });

    test('text and bytes stay what they are', async () => {
      const ws = await deflated('/z', servers.low); // threshold 0
      for (const opcode of [TEXT, BINARY]) {
        await ws.send(opcode, 'ü'.repeat(500));
        const f = await ws.frame();
        assert.deepEqual(flags(f), { fin: true, rsv: 4, opcode });
        assert.equal(unpack(f.data).toString(), 'ü'.repeat(500));
      }
    });

    test('what does not get shorter is sent as it is', roomcastOnly, async () => {
      const ws = await deflated('/z', servers.low);
      for (const data of [Buffer.alloc(0), Buffer.from('x'), randomBytes(10), randomBytes(5000), randomBytes(100_000)]) {
        await ws.send(BINARY, data);
        const f = await ws.frame();
        assert.equal(f.rsv, 0);
        assert.ok(f.data.equals(data));
      }
    });

    test('control frames are never compressed', async () => {
      const ws = await deflated('/z', servers.low);
      await ws.send(PING, 'x'.repeat(125));
      const f = await ws.frame();
      assert.deepEqual({ ...flags(f), data: text(f) }, { fin: true, rsv: 0, opcode: PONG, data: 'x'.repeat(125) });
      await ws.send(CLOSE, closePayload(1000));
      assert.equal((await ws.frame()).rsv, 0);
    });

    test('each message by itself: 7.1.1.1', async () => {
      const ws = await deflated('/z', servers.alone);
      const data = prose(5000);
      let first;
      for (let i = 0; i < 5; i++) {
        await ws.send(BINARY, data);
        const f = await ws.frame();
        assert.ok(unpack(f.data).equals(data));
        first ??= f.data;
        assert.ok(f.data.equals(first));
      }
    });

    for (const bits of [8, 9, 10, 11, 12, 13, 14, 15])
      test(`within the window that the client has: server_max_window_bits=${bits}`, async () => {
        const ws = await deflated('/z', servers.alone, `${PMD}; server_max_window_bits=${bits}`);
        const data = prose(200_000);
        await ws.send(BINARY, data);
        const f = await ws.frame();
        assert.equal(f.rsv, 4);
        assert.ok(unpack(f.data, bits).equals(data));
      });
    test('the check of windows can fail', () => {
      const data = prose(200_000);
      for (const bits of [8, 12, 14]) assert.throws(() => unpack(pack(data), bits), /too far back/);
    });

    test('up to 16 MiB', async () => {
      const ws = await deflated('/big', servers.alone);
      const data = Buffer.alloc(16 * MiB);
      const block = prose(65_536);
      for (let at = 0; at < data.length; at += block.length) block.copy(data, at);
      ws.wire.write(frame(BINARY, data));
      const f = await ws.frame(60_000);
      assert.ok(f.rsv === 4 && f.data.length < data.length / 2);
      assert.ok(unpack(f.data).equals(data));
    });
  });
}

function receiving(servers) {
  const z = () => deflated('/z', servers.alone);
  const echoed = async (ws, expected) => {
    const f = await ws.frame();
    const data = f.rsv ? unpack(f.data) : f.data;
    assert.ok(data.equals(Buffer.from(expected)), `${data.toString('latin1', 0, 80)}`);
    return f;
  };

  describe('RFC 7692, 6.2 and 7.2.2: what the server takes', () => {
    const HELLO = {
      '7.2.3.1: one block': 'f2 48 cd c9 c9 07 00',
      '7.2.3.3: a block without compression': '00 05 00 fa ff 48 65 6c 6c 6f 00',
      '7.2.3.4: a block marked as final': 'f3 48 cd c9 c9 07 00 00',
      '7.2.3.5: two blocks': 'f2 48 05 00 00 00 ff ff ca c9 c9 07 00',
    };
    for (const [name, hex] of Object.entries(HELLO))
      test(`${name}, cut anywhere`, async () => {
        const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
        const ws = await z();
        for (let at = 0; at <= bytes.length; at++) {
          await ws.wire.write(Buffer.concat([
            frame(TEXT, bytes.subarray(0, at), { ...RSV1, fin: false }), frame(PING, 'p'), frame(CONT, bytes.subarray(at)),
          ]));
          assert.equal((await ws.frame()).opcode, PONG);
          assert.equal((await echoed(ws, 'Hello')).opcode, TEXT);
        }
        await ws.wire.trickle(frame(TEXT, bytes, RSV1));
        await echoed(ws, 'Hello');
        await alive(ws);
      });

    test('7.2.3.6: empty messages', async () => {
      const ws = await z();
      for (const bytes of [[0], [2, 0], []]) {
        await ws.send(TEXT, Buffer.from(bytes), RSV1);
        const f = await ws.frame();
        assert.ok(f.opcode === TEXT && (f.rsv ? unpack(f.data) : f.data).length === 0);
      }
    });

    test('all ways to compress', async () => {
      const ws = await z();
      const { Z_FULL_FLUSH, Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED } = zlib.constants;
      const data = prose(60_000);
      const ways = [
        ...[0, 1, 3, 6, 9].map((level) => ({ level })),
        ...[Z_FILTERED, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED].map((strategy) => ({ strategy })),
        ...[1, 9].map((memLevel) => ({ memLevel })),
        { finishFlush: Z_FULL_FLUSH },
      ];
      for (const way of ways)
        for (const part of [data.subarray(0, 1), data.subarray(0, 300), data]) {
          await ws.send(BINARY, pack(part, way), RSV1);
          await echoed(ws, part);
        }
    });

    for (const bits of [8, 9, 10, 11, 12, 13, 14, 15])
      test(`client_max_window_bits=${bits}`, async () => {
        const ws = await deflated('/z', servers.alone, `${PMD}; client_max_window_bits=${bits}`);
        const data = prose(100_000);
        for (const part of [data, data.subarray(0, 1000), data]) {
          await ws.send(BINARY, pack(part, { windowBits: bits }), RSV1);
          await echoed(ws, part);
        }
      });

    test('compressed or not, message by message', async () => {
      const ws = await z();
      for (let i = 0; i < 20; i++) {
        const data = `message ${i} `.repeat(i);
        await (i % 3 ? ws.send(TEXT, pack(data), RSV1) : ws.send(TEXT, data));
        await echoed(ws, data);
      }
    });

    test('in very many fragments', async () => {
      const ws = await z();
      const data = prose(20_000);
      const packed = pack(data);
      const frames = [...packed].map((b, i) =>
        frame(i ? CONT : BINARY, Buffer.of(b), { rsv: i ? 0 : 4, fin: i === packed.length - 1 }));
      await ws.wire.write(Buffer.concat(frames));
      await echoed(ws, data);
    });

    test('16 MiB, in chunks', async () => {
      const ws = await deflated('/big', servers.alone);
      const data = Buffer.concat([prose(8 * MiB), randomBytes(8 * MiB)]);
      const bytes = frame(BINARY, pack(data, { level: 1 }), RSV1);
      for (let at = 0; at < bytes.length; at += 65_521) await ws.wire.write(bytes.subarray(at, at + 65_521));
      await echoed(ws, data);
    });

    const BAD = [
      ['RSV1 on a continuation', 1002, [frame(TEXT, pack('x'), { ...RSV1, fin: false }), frame(CONT, 'x', RSV1)]],
      ['RSV1 only on a continuation', 1002, [frame(TEXT, 'x', { fin: false }), frame(CONT, pack('x'), RSV1)]],
      ['RSV1 on a ping', 1002, [frame(PING, 'x', RSV1)]],
      ['RSV1 on a close', 1002, [frame(CLOSE, closePayload(1000), RSV1)]],
      ['RSV1 and RSV2', 1002, [frame(TEXT, pack('x'), { rsv: 6 })]],
      ['no compressed data', 1007, [frame(TEXT, Buffer.alloc(20, 255), RSV1)]],
      ['no compressed data in the second fragment', 1007, [frame(BINARY, pack('x'), { ...RSV1, fin: false }), frame(CONT, Buffer.alloc(20, 255))]],
      ['a distance from before the beginning', 1007, [frame(TEXT, Buffer.from([0xf2, 0, 0x11, 0, 0]), RSV1)]],
      ['plain text with RSV1', 1007, [frame(TEXT, 'not compressed at all', RSV1)]],
      ['no UTF-8 in it', 1007, [frame(TEXT, pack(Buffer.from([65, 0xff, 65])), RSV1)]],
      ['half a character at the end', 1007, [frame(TEXT, pack(Buffer.from('xé').subarray(0, 2)), RSV1)]],
    ];
    for (const [name, code, frames] of BAD)
      test(`refused: ${name}`, async () => closesWith(await z(), code, Buffer.concat(frames)));

    test('refused: cut off', async () => {
      const packed = pack(prose(2000));
      for (const n of [1, 10, 500, packed.length - 1]) {
        const ws = await z();
        const bytes = frame(BINARY, packed.subarray(0, n), RSV1);
        if (differs('ws hands out what there is', true, false)) await closesWith(ws, 1007, bytes);
        else await ws.wire.write(bytes).then(() => ws.frame());
      }
    });

    test('fail fast: bad text before the last fragment', roomcastOnly, async () => {
      const packed = pack(Buffer.concat([Buffer.from([0xff]), prose(5000)]));
      await closesWith(await z(), 1007, frame(TEXT, packed.subarray(0, 4000), { ...RSV1, fin: false }));
    });
  });

  describe('RFC 7692, 7.1.1.2: context takeover by the client', () => {
    const one = Buffer.from('The quick brown fox jumps over the lazy dog. '.repeat(3));
    const two = Buffer.from('The lazy dog jumps over the quick brown fox. ');
    const three = Buffer.from('The end of the quick brown fox. ');
    const first = pack(one);
    const second = pack(two, { dictionary: one });
    const third = pack(three, { dictionary: Buffer.concat([one, two]) });

    test('messages refer to earlier ones, with others in between', async () => {
      const ws = await deflated('/z', servers.takeover);
      for (let i = 0; i < 2; i++) {
        await ws.send(TEXT, first, RSV1);
        await echoed(ws, one);
        await ws.send(TEXT, 'not compressed');
        await echoed(ws, 'not compressed');
        await ws.wire.write(Buffer.concat([
          frame(TEXT, second.subarray(0, 3), { ...RSV1, fin: false }), frame(PING, ''), frame(CONT, second.subarray(3)),
        ]));
        assert.equal((await ws.frame()).opcode, PONG);
        await echoed(ws, two);
        await ws.send(TEXT, third, RSV1);
        await echoed(ws, three);
      }
    });

    for (const [name, server, offer] of [
      ['the server demanded so', 'alone', PMD],
      ['the client promised so', 'takeover', `${PMD}; client_no_context_takeover`],
    ])
      test(`refused when ${name}`, async () => {
        const ws = await deflated('/z', servers[server], offer);
        await ws.send(TEXT, first, RSV1);
        await echoed(ws, one);
        await closesWith(ws, 1007, frame(TEXT, second, RSV1));
      });

    for (const bits of [8, 10, 12, 15])
      test(`a window of ${bits} bits over many messages`, async () => {
        const ws = await deflated('/z', servers.takeover, `${PMD}; client_max_window_bits=${bits}`);
        const data = prose(100_000);
        // A window of 8 bits is one of 9 to zlib, which then looks back 250 bytes at most.
        const reach = bits === 8 ? 250 : 2 ** bits - 262;
        for (let at = 0; at < data.length; at += 2500) {
          const part = data.subarray(at, at + 2500);
          const dictionary = data.subarray(Math.max(0, at - reach), at);
          await ws.send(BINARY, pack(part, { windowBits: bits, ...(at && { dictionary }) }), RSV1);
          await echoed(ws, part);
        }
      });
  });

  describe('RFC 7692, 8: limits', () => {
    const small = () => deflated('/smallz', servers.alone); // 1000 bytes
    test('as long as allowed', async () => {
      const ws = await small();
      await ws.send(BINARY, pack(Buffer.alloc(1000)), RSV1);
      await echoed(ws, Buffer.alloc(1000));
      await alive(ws);
    });
    test('one byte more', async () => closesWith(await small(), 1009, frame(BINARY, pack(Buffer.alloc(1001)), RSV1)));
    test('compressed longer than allowed', async () => {
      await closesWith(await small(), 1009, frame(BINARY, '', { ...RSV1, length: 1001 }));
    });
    test('together they are too long', async () => {
      const packed = pack(Buffer.alloc(1_000_000));
      const ws = await small();
      const parts = [...packed.subarray(0, 900)].map((b, i) => frame(i ? CONT : BINARY, Buffer.of(b), { rsv: i ? 0 : 4, fin: false }));
      await closesWith(ws, 1009, Buffer.concat(parts));
    });

    test('a bomb takes no more memory than a message may', async () => {
      const fresh = () => deflated('/z', servers.fresh); // 1 MB
      const peak = () => Number(readFileSync(`/proc/${servers.fresh.pid}/status`, 'utf8').match(/VmHWM:\s+(\d+)/)[1]) * 1024;
      const bomb = pack(Buffer.alloc(512 * MiB), { level: 9 }); // half a megabyte
      const header = frame(BINARY, bomb, RSV1);
      await closesWith(await fresh(), 1009, header);
      if (reference) return; // it is this very process
      const before = peak();
      for (let i = 0; i < 5; i++) await closesWith(await fresh(), 1009, header);
      assert.ok(peak() - before < 4 * MiB, `${peak() - before} bytes more`);
      assert.ok(peak() < 32 * MiB, `${peak()} bytes`);
    });
  });
}

describe(reference ? 'ws' : 'roomcast', () => {
  const servers = {};
  const deflate = { deflate: true };
  before(async () => {
    const big = 16 * MiB;
    servers.alone = await startEcho({
      endpoints: {
        '/echo': {}, '/plain': {}, '/small': { max: 1000 }, '/big': { max: big, ...deflate },
        '/z': deflate, '/smallz': { max: 1000, ...deflate },
      },
    });
    servers.fresh = await startEcho({ endpoints: { '/z': deflate } });
    servers.low = await startEcho({ endpoints: { '/z': deflate }, deflate: { threshold: 0 } });
    servers.takeover = await startEcho({ endpoints: { '/z': deflate }, deflate: { alone: false } });
    servers.narrow = await startEcho({ endpoints: { '/z': deflate }, deflate: { bits: 9 } });
  });
  after(async () => {
    closeAll();
    for (const server of Object.values(servers)) await server.stop();
  });
  framing(() => servers.alone);
  sizes(() => servers.alone);
  negotiation(servers);
  sending(servers);
  receiving(servers);
});
