// Plain WebSocket endpoints: relay and echo, with the ws package and with frames by hand.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import {
  SHARDS,
  label,
  reference,
  roomcastOnly,
  sleep,
  slow,
  start,
  startFor,
  within,
} from './lib/target.mjs';
import {
  BINARY,
  CLOSE,
  CONT,
  PING,
  PONG,
  RawWs,
  TEXT,
  Wire,
  closePayload,
  frame,
  request,
} from './lib/wire.mjs';

const INI = `
[endpoint /chat]
protocol = relay

[endpoint /other]
protocol = relay

[endpoint /echo]
protocol = echo

[endpoint /prefix]
protocol = echo
prefix = "服务端回复: "

[endpoint /small]
protocol = echo
max_payload = 1KB
`;

// A ws client whose messages can be awaited.
class Plain {
  static async open(server, path, options) {
    const p = new Plain();
    p.ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options);
    p.queue = [];
    p.closed = new Promise((r) => p.ws.on('close', (code, reason) => r({ code, reason: reason.toString() })));
    p.ws.on('message', (data, binary) => {
      p.queue.push(binary ? data : data.toString());
      p.wake?.();
    });
    await within(20_000, 'open', new Promise((r, f) => p.ws.once('open', r).once('error', f)));
    return p;
  }

  send(...messages) {
    for (const m of messages) this.ws.send(m);
  }

  take(n, ms = 20_000) {
    const done = new Promise((r) => {
      this.wake = () => this.queue.length >= n && r(this.queue.splice(0, n));
      this.wake();
    });
    return within(ms, `${n} messages`, done);
  }

  async close(...args) {
    this.ws.close(...args);
    return within(20_000, 'close', this.closed);
  }
}

const MESSAGES = [
  'hello',
  '',
  'ünïcödé 漢字 👩‍👩‍👧‍👦',
  '{"json":[1, 2]}',
  Buffer.from([0, 1, 255]),
  Buffer.alloc(0),
  '\u0000\n',
];

function relayTests(server) {
  const open = (path = '/chat') => Plain.open(server(), path);

  test('relay: to everybody but the sender, text as text, bytes as bytes', async () => {
    const [a, b, c, other] = await Promise.all([open(), open(), open(), open('/other')]);
    a.send(...MESSAGES);
    for (const x of [b, c]) assert.deepEqual(await x.take(MESSAGES.length), MESSAGES);
    b.send('from b');
    for (const x of [a, c]) assert.deepEqual(await x.take(1), ['from b']);
    await sleep(30);
    for (const x of [a, b, c, other]) assert.deepEqual(x.queue, []);
    await Promise.all([a, b, c, other].map((x) => x.close()));
  });

  test('relay: large messages', async () => {
    const [a, b] = await Promise.all([open(), open()]);
    const text = 'é'.repeat(450_000);
    const bytes = randomBytes(1_000_000);
    a.send(text, bytes, 'end');
    const [x, y, z] = await b.take(3);
    assert.ok(x === text && bytes.equals(y) && z === 'end');
    await Promise.all([a, b].map((p) => p.close()));
  });

  test('relay: 12 clients, one order for all, nothing lost', async () => {
    const all = await Promise.all([...Array(12).keys()].map(() => open()));
    all.forEach(async (p, i) => {
      for (let n = 0; n < 50; n++) {
        p.send(`${i}:${n}`);
        if (n % 4 === i % 4) await new Promise(setImmediate);
      }
    });
    const seen = await Promise.all(all.map((p) => p.take(11 * 50)));
    // No client sees its own; for any two, the order of what both see is the same.
    for (const [i, mine] of seen.entries()) {
      assert.ok(mine.every((m) => !m.startsWith(`${i}:`)));
      assert.equal(new Set(mine).size, 11 * 50);
      for (const [j, theirs] of seen.entries()) {
        const common = (list) => list.filter((m) => !m.startsWith(`${i}:`) && !m.startsWith(`${j}:`)).join();
        assert.ok(common(mine) === common(theirs), `clients ${i} and ${j}`);
      }
    }
    await sleep(30);
    assert.ok(all.every((p) => p.queue.length === 0));
    await Promise.all(all.map((p) => p.close()));
  });

  test('relay: one that has left gets nothing and harms nobody', async () => {
    const [a, b, c] = await Promise.all([open(), open(), open()]);
    b.ws.terminate();
    a.send('still here');
    assert.deepEqual(await c.take(1), ['still here']);
    const late = await open();
    a.send('with the late one');
    assert.deepEqual(await late.take(1), ['with the late one']);
    await Promise.all([a, c, late].map((p) => p.close()));
  });

  test('echo, with and without a prefix', async () => {
    const [plain, prefixed] = await Promise.all([open('/echo'), open('/prefix')]);
    plain.send(...MESSAGES);
    assert.deepEqual(await plain.take(MESSAGES.length), MESSAGES);
    prefixed.send(...MESSAGES);
    const expected = MESSAGES.map((m) => (typeof m === 'string' ? `服务端回复: ${m}` : m));
    assert.deepEqual(await prefixed.take(MESSAGES.length), expected);
    await Promise.all([plain, prefixed].map((p) => p.close()));
  });
}

function handshakeTests(server) {
  test('GET without an upgrade is told to upgrade', async () => {
    for (const method of ['GET', 'HEAD']) {
      const r = await request(server(), { method, path: '/chat' });
      assert.equal(r.status, 426);
      assert.match(r.headers.upgrade, /websocket/);
      assert.match(r.headers.connection, /upgrade/i);
    }
    assert.equal((await request(server(), { method: 'POST', path: '/chat', body: 'x' })).status, 405);
    const upgrade = RawWs.handshake('/nothing').text;
    const wire = await Wire.open(server());
    await wire.write(upgrade);
    assert.equal((await wire.response()).status, 404);
    wire.destroy();
  });

  test('handshakes: good ones', async () => {
    const headers = [
      {},
      { Connection: 'keep-alive, Upgrade' },
      { Connection: 'upgrade', Upgrade: 'WebSocket' },
      { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
      { 'Sec-WebSocket-Protocol': 'a, b' },
      { Origin: 'https://elsewhere.example' },
    ];
    for (const h of headers) {
      const ws = await RawWs.open(server(), '/echo?token=x', { headers: h });
      assert.equal(ws.answer.headers.upgrade.toLowerCase(), 'websocket');
      assert.equal(ws.answer.headers['sec-websocket-extensions'], undefined);
      await ws.send(TEXT, 'hi');
      assert.equal((await ws.frame()).data.toString(), 'hi');
      ws.destroy();
    }
    const key = await RawWs.open(server(), '/echo', { key: 'dGhlIHNhbXBsZSBub25jZQ==' }); // RFC 6455, 1.3
    assert.equal(key.answer.headers['sec-websocket-accept'], 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
    key.destroy();
  });

  test('handshakes: bad ones', async () => {
    const bad = [
      [{ 'Sec-WebSocket-Key': null }, 400],
      [{ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ' }, 400],
      [{ 'Sec-WebSocket-Key': 'AAAA' }, 400],
      [{ 'Sec-WebSocket-Version': '8' }, 426],
      [{ 'Sec-WebSocket-Version': null }, 426],
      [{ Connection: 'keep-alive' }, 426],
      [{ Upgrade: 'h2c' }, 426],
      [{ Upgrade: null }, 426],
    ];
    for (const [headers, status] of bad) {
      const wire = await Wire.open(server());
      await wire.write(RawWs.handshake('/echo', { headers }).text);
      const r = await wire.response();
      assert.ok([status, 400].includes(r.status), `${JSON.stringify(headers)}: ${r.status}`);
      if (r.status === 426 && 'Sec-WebSocket-Version' in headers)
        assert.equal(r.headers['sec-websocket-version'], '13');
      wire.destroy();
    }
  });
}

function frameTests(server) {
  const open = (path = '/echo') => RawWs.open(server(), path);

  test('one byte at a time', async () => {
    const ws = await open();
    await ws.wire.trickle(
      Buffer.concat([frame(TEXT, 'drip 👍'), frame(PING, 'p'), frame(BINARY, 'x'.repeat(130))]),
    );
    assert.equal((await ws.frame()).data.toString(), 'drip 👍');
    const pong = await ws.frame();
    assert.deepEqual([pong.opcode, pong.data.toString()], [PONG, 'p']);
    assert.equal((await ws.frame()).data.length, 130);
    ws.destroy();
  });

  test('many frames in one write', async () => {
    const ws = await open();
    const n = 500;
    await ws.wire.write(Buffer.concat([...Array(n).keys()].map((i) => frame(TEXT, String(i)))));
    for (let i = 0; i < n; i++) assert.equal((await ws.frame()).data.toString(), String(i));
    ws.destroy();
  });

  test('fragments, with control frames in between', async () => {
    const ws = await open();
    const face = Buffer.from('👍');
    await ws.wire.write(
      Buffer.concat([
        frame(TEXT, 'a', { fin: false }),
        frame(PING, 'one'),
        frame(CONT, face.subarray(0, 2), { fin: false }), // in the middle of a character
        frame(PONG, 'unasked'),
        frame(CONT, face.subarray(2), { fin: false }),
        frame(CONT, '', { fin: false }),
        frame(CONT, 'z'),
      ]),
    );
    const pong = await ws.frame();
    assert.deepEqual([pong.opcode, pong.data.toString()], [PONG, 'one']);
    const whole = await ws.frame();
    assert.deepEqual([whole.opcode, whole.fin, whole.data.toString()], [TEXT, true, 'a👍z']);
    await ws.send(BINARY, 'b', { fin: false });
    await ws.send(CONT, 'c');
    const binary = await ws.frame();
    assert.deepEqual([binary.opcode, binary.data.toString()], [BINARY, 'bc']);
    ws.destroy();
  });

  test('lengths at the borders', async () => {
    const ws = await open();
    for (const n of [0, 1, 125, 126, 127, 65535, 65536, 65537]) {
      await ws.send(BINARY, Buffer.alloc(n, 'x'));
      assert.equal((await ws.frame()).data.length, n);
    }
    ws.destroy();
  });

  test('thousands of tiny fragments', async () => {
    const ws = await open();
    const parts = [frame(TEXT, 'x', { fin: false })];
    for (let i = 0; i < 5000; i++) parts.push(frame(CONT, i % 2 ? 'x' : '', { fin: false }));
    parts.push(frame(CONT, '.'));
    await ws.wire.write(Buffer.concat(parts));
    assert.equal((await ws.frame()).data.toString(), `${'x'.repeat(2501)}.`);
    ws.destroy();
  });

  const CLOSES = [
    [1002, 'unmasked', frame(TEXT, 'x', { mask: false })],
    [1002, 'reserved bit 1', frame(TEXT, 'x', { rsv: 4 })],
    [1002, 'reserved bit 2', frame(TEXT, 'x', { rsv: 2 })],
    [1002, 'opcode 3', frame(3, 'x')],
    [1002, 'opcode 11', frame(11, 'x')],
    [1002, 'continuation of nothing', frame(CONT, 'x')],
    [1002, 'text inside of a message', Buffer.concat([frame(TEXT, 'x', { fin: false }), frame(TEXT, 'y')])],
    [1002, 'fragmented ping', frame(PING, 'x', { fin: false })],
    [1002, 'ping of 126 bytes', frame(PING, 'x'.repeat(126))],
    [1002, 'close of one byte', frame(CLOSE, 'x')],
    [1002, 'close code 999', frame(CLOSE, closePayload(999))],
    [1002, 'close code 1005', frame(CLOSE, closePayload(1005))],
    [1002, 'close code 1006', frame(CLOSE, closePayload(1006))],
    [1002, 'close code 5000', frame(CLOSE, closePayload(5000))],
    [1007, 'text that is no UTF-8', frame(TEXT, Buffer.from([0xc3, 0x28]))],
    [1007, 'text cut off in a character', frame(TEXT, Buffer.from('é').subarray(0, 1))],
    [1007, 'an encoded surrogate', frame(TEXT, Buffer.from([0xed, 0xa0, 0x80]))],
    [1007, 'an overlong character', frame(TEXT, Buffer.from([0xc0, 0xaf]))],
    [1007, 'bad text, before its last fragment', frame(TEXT, Buffer.from([0xff]), { fin: false })],
    [1009, 'a frame that is too long', frame(BINARY, Buffer.alloc(1_000_001))],
    [1009, 'a length of 2^62', frame(BINARY, '', { length: 2 ** 62 })],
    [
      1009,
      'fragments that are too long',
      Buffer.concat([frame(TEXT, 'x'.repeat(600_000), { fin: false }), frame(CONT, 'x'.repeat(600_000))]),
    ],
  ];
  for (const [code, name, bytes] of CLOSES) {
    test(`closes with ${code}: ${name}`, async () => {
      const ws = await open();
      ws.wire.socket.on('error', () => {});
      ws.wire.write(bytes).catch(() => {});
      assert.equal(await ws.closeCode(), code);
      ws.wire.write(frame(CLOSE, closePayload(code))).catch(() => {});
      await ws.wire.closed();
    });
  }

  test('a bad close reason', async () => {
    const ws = await open();
    await ws.send(CLOSE, Buffer.concat([closePayload(1000), Buffer.from([0xff])]));
    assert.ok([1002, 1007].includes(await ws.closeCode()));
    ws.destroy();
  });

  test('close is answered with its code, and the server ends the connection', async () => {
    for (const [payload, code] of [
      ['', 1005],
      [closePayload(1000), 1000],
      [closePayload(1001, 'leaving'), 1001],
      [closePayload(4321), 4321],
    ]) {
      const ws = await open();
      await ws.send(CLOSE, payload);
      assert.equal(await ws.closeCode(), code);
      await ws.wire.closed();
    }
    const p = await Plain.open(server(), '/chat');
    assert.equal((await p.close(3001, 'bye')).code, 3001);
  });

  test('nothing is answered after a close', async () => {
    const ws = await open();
    await ws.wire.write(
      Buffer.concat([frame(TEXT, 'before'), frame(CLOSE, closePayload(1000)), frame(TEXT, 'after')]),
    );
    assert.equal((await ws.frame()).data.toString(), 'before');
    assert.equal((await ws.frame()).opcode, CLOSE);
    await ws.wire.closed();
    assert.equal(ws.wire.data.length, 0);
  });

  test('max_payload of an endpoint', async () => {
    const ws = await open('/small');
    await ws.send(TEXT, 'x'.repeat(1000));
    assert.equal((await ws.frame()).data.length, 1000);
    await ws.send(TEXT, 'x'.repeat(1001));
    assert.equal(await ws.closeCode(), 1009);
    ws.destroy();
  });

  test('a bad frame harms no neighbour', async () => {
    const [a, b] = await Promise.all([Plain.open(server(), '/chat'), Plain.open(server(), '/chat')]);
    for (const [, , bytes] of CLOSES) {
      const ws = await open('/chat');
      ws.wire.socket.on('error', () => {});
      ws.wire.write(bytes).catch(() => {});
      await ws.closeCode();
      ws.destroy();
    }
    a.send('fine');
    assert.deepEqual(await b.take(1), ['fine']);
    await Promise.all([a, b].map((p) => p.close()));
  });
}

function pingTests(shards) {
  test('the server pings; a client that does not answer is closed', async (t) => {
    const ini = '[endpoint /p]\nprotocol = relay\nping_interval = 300ms\n';
    const server = await startFor(t, { ini, shards });
    const good = await Plain.open(server, '/p');
    let pings = 0;
    good.ws.on('ping', () => pings++);
    const mute = await RawWs.open(server, '/p');
    const from = Date.now();
    assert.equal((await mute.frame()).opcode, PING);
    await mute.wire.closed();
    const took = Date.now() - from;
    assert.ok(took > 400 && took < 1500 * slow, `${took} ms`);
    await sleep(1000);
    assert.ok(pings >= 2, `${pings} pings`);
    assert.equal(good.ws.readyState, WebSocket.OPEN);
    await good.close();
  });
}

for (const shards of SHARDS) {
  describe(label(shards), roomcastOnly, () => {
    let server;
    before(async () => {
      if (!reference) server = await start({ ini: INI, shards });
    });
    after(() => server?.stop());
    relayTests(() => server);
    handshakeTests(() => server);
    frameTests(() => server);
    pingTests(shards);
  });
}
