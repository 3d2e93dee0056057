// permessage-deflate through the broker: rooms whose members want different forms, acks, upgrades;
// and the clients that people use: socket.io-client, ws, Chromium, python3-websockets.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import WebSocket from 'ws';

import { launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connect, connected, inbox, upgraded } from './lib/client.mjs';
import { PMD, RSV1, pack, prose, unpack } from './lib/deflate.mjs';
import { Polling, eioPath } from './lib/eio.mjs';
import { SHARDS, label, reference, roomcastOnly, slow, start, startFor, within } from './lib/target.mjs';
import { BINARY, CONT, PING, PONG, RawWs, TEXT, frame } from './lib/wire.mjs';

const INI = `
[event join]
join = {1}
ack = auto

[event say]
emit = room {1}: said {2..}

[event whisper]
emit = socket {1}: whispered {2..}

[event echo]
ack = {args}

[event me]
ack = {id}
`;

const ON = { 'socketio.per_message_deflate': 'yes' };
const BIG = prose(20_000).toString();
const offers = (offer = PMD) => ({ headers: { 'Sec-WebSocket-Extensions': offer } });

// Frames of an Engine.IO WebSocket session, decompressed: .rsv says how they came.
class RawEio {
  static async open(server, { offer = PMD, ...query } = {}) {
    const s = new RawEio();
    s.ws = await RawWs.open(server, eioPath({ transport: 'websocket', ...query }), offer ? offers(offer) : {});
    return s;
  }

  // Also joins the namespace and, with an argument, a room.
  static async join(server, room, options) {
    const s = await RawEio.open(server, options);
    assert.equal((await s.next()).text[0], '0');
    await s.ws.send(TEXT, '40');
    assert.match((await s.next()).text, /^40/);
    if (room) {
      await s.ws.send(TEXT, `420["join","${room}"]`);
      assert.equal((await s.next()).text, '430[{"ok":true}]');
    }
    return s;
  }

  async next() {
    const f = await this.ws.frame();
    const data = f.rsv === 4 ? unpack(f.data) : f.data;
    assert.ok(f.rsv === 0 || f.rsv === 4);
    return { opcode: f.opcode, rsv: f.rsv, size: f.data.length, data, text: data.toString() };
  }

  send(textOrData, options) {
    return this.ws.send(typeof textOrData === 'string' ? TEXT : BINARY, textOrData, options);
  }

  destroy() {
    this.ws.destroy();
  }
}

function roomTests(shards) {
  test('a room whose members want all kinds of forms', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: ON });
    const windows = ['', '; server_max_window_bits=8', '; server_max_window_bits=9', '; server_max_window_bits=12', '; client_max_window_bits'];
    const raw = await Promise.all([
      ...windows.map((w) => RawEio.join(server, 'all', { offer: PMD + w })),
      RawEio.join(server, 'all', { offer: null }),
      RawEio.join(server, 'all', { b64: 1 }),
    ]);
    const stock = await Promise.all([
      connect(server, { transports: ['websocket'] }),
      connect(server, { transports: ['websocket'], perMessageDeflate: { threshold: 0 } }),
      connect(server, { transports: ['polling'] }),
      connect(server),
    ]);
    const boxes = stock.map(inbox);
    await Promise.all(stock.map((s) => ask(s, 'join', 'all')));
    await upgraded(stock[3]);

    const bytes = [Buffer.alloc(5000, 'abc'), randomBytes(3000), Buffer.alloc(10)];
    const messages = [['small'], [BIG], [{ deep: [BIG, 'ünïcödé '.repeat(500)] }], [bytes[0], 'x', bytes[1], bytes[2]], ['last']];
    for (const m of messages) stock[0].emit('say', 'all', ...m);
    for (const box of boxes) assert.deepEqual(await box.wait(5), messages.map((m) => ['said', ...m]));

    for (const [i, s] of raw.entries()) {
      const has = i < windows.length || i === 6; // the one before did not offer it
      const b64 = i === 6;
      const got = async (rsv, opcode = TEXT) => {
        const m = await s.next();
        assert.deepEqual([m.rsv, m.opcode], [has ? rsv : 0, opcode], `client ${i}`);
        return m;
      };
      assert.equal((await got(0)).text, '42["said","small"]');
      assert.equal((await got(4)).text, `42${JSON.stringify(['said', BIG])}`);
      assert.equal((await got(4)).text, `42${JSON.stringify(['said', ...messages[2]])}`);
      assert.match((await got(0)).text, /^453-\["said",{"_placeholder":true,"num":0},"x"/);
      for (const [j, b] of bytes.entries()) {
        // Random bytes get no shorter; as base64 they do. The reference compresses them anyway.
        const rsv = b.length < 1024 ? 0 : j === 1 && !b64 && !reference ? 0 : 4;
        const m = await got(rsv, b64 ? TEXT : BINARY);
        assert.ok(b64 ? m.text === `b${b.toString('base64')}` : m.data.equals(b));
      }
      assert.equal((await got(0)).text, '42["said","last"]');
      s.destroy();
    }
  });

  test('many messages at once keep their order, large and small', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: { ...ON, 'socketio.deflate_threshold': 100 } });
    const s = await RawEio.join(server, 'r');
    const plain = await RawEio.join(server, 'r', { offer: null });
    const sender = await connect(server, { transports: ['websocket'] });
    const all = [...Array(300).keys()].map((i) => `${i} `.repeat(1 + (i * 7) % 90));
    for (const m of all) sender.emit('say', 'r', m);
    for (const m of all) {
      const expected = `42${JSON.stringify(['said', m])}`;
      const [a, b] = [await s.next(), await plain.next()];
      assert.deepEqual([a.text, b.text, b.rsv], [expected, expected, 0]);
      assert.equal(a.rsv, expected.length >= 100 ? 4 : 0, expected.slice(0, 40));
    }
    for (const x of [s, plain]) x.destroy();
  });

  test('acks and direct messages', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: ON });
    const [a, b] = [await RawEio.join(server), await RawEio.join(server)];
    await a.send(`427["echo","${BIG}"]`);
    const ack = await a.next();
    assert.deepEqual([ack.rsv, ack.text], [4, `437["${BIG}"]`]);
    await b.send('421["me"]');
    const id = JSON.parse((await b.next()).text.slice(3))[0];
    await a.send(pack(`42["whisper","${id}","${BIG}"]`), RSV1);
    // A frame's opcode is not compressed: the packet came as bytes, which are none of Socket.IO's.
    assert.equal((await within(5000, 'the end', a.ws.closeCode())), 1005);
    const c = await RawEio.join(server);
    await c.ws.send(TEXT, pack(`42["whisper","${id}","${BIG}"]`), RSV1);
    const m = await b.next();
    assert.deepEqual([m.rsv, m.text], [4, `42["whispered","${BIG}"]`]);
    for (const s of [a, b, c]) s.destroy();
  });

  test('attachments that come compressed', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: ON });
    const s = await RawEio.join(server);
    const bytes = [Buffer.alloc(3000, 7), randomBytes(100)];
    const packet = '452-9["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]';
    await s.ws.send(TEXT, pack(packet), RSV1);
    for (const b of bytes) await s.ws.send(BINARY, pack(b), RSV1);
    assert.equal((await s.next()).text, packet.replace('452-9["echo",', '462-9['));
    for (const b of bytes) assert.ok((await s.next()).data.equals(b));
    s.destroy();
  });

  test('max_payload counts what comes out', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: { ...ON, 'socketio.max_payload': '10KB' } });
    const fits = await RawEio.join(server);
    const around = '421["echo",""]'.length;
    await fits.ws.send(TEXT, pack(`421["echo","${'x'.repeat(10_000 - around)}"]`), RSV1);
    assert.equal((await fits.next()).text.length, 10_000 - '"echo",'.length);
    await fits.ws.send(TEXT, pack(`421["echo","${'x'.repeat(10_001 - around)}"]`), RSV1);
    assert.equal(await fits.ws.closeCode(), 1009);
    fits.destroy();
  });
}

function upgradeTests(shards) {
  const takeover = { ...ON, 'socketio.deflate_no_context_takeover': 'no', 'socketio.deflate_threshold': 100 };

  // A polling session with a WebSocket beside it.
  async function probing(t, options = ON, offer = PMD) {
    const server = await startFor(t, { ini: INI, shards, options });
    const polling = await Polling.open(server, { namespace: '/' });
    const s = await RawEio.open(server, { sid: polling.sid, offer });
    return { server, polling, s };
  }

  test('an upgraded session negotiates with its WebSocket', async (t) => {
    const { polling, s } = await probing(t);
    assert.match(s.ws.answer.headers['sec-websocket-extensions'], /^permessage-deflate/);
    await s.ws.send(TEXT, pack('2probe'), RSV1); // browsers compress whatever they send
    assert.deepEqual(await s.next().then((m) => [m.text, m.rsv]), ['3probe', 0]);
    assert.deepEqual(await polling.poll(), ['6']);
    await s.ws.send(TEXT, pack('5'), RSV1);
    await s.ws.send(TEXT, pack(`421["echo","${BIG}"]`), RSV1);
    const m = await s.next();
    assert.deepEqual([m.rsv, m.text], [4, `431["${BIG}"]`]);
    s.destroy();
  });

  test('in fragments, with a ping in between', async (t) => {
    const { s } = await probing(t);
    for (const packet of ['2probe', '5']) {
      const bytes = pack(packet);
      await s.ws.wire.write(Buffer.concat([
        frame(TEXT, bytes.subarray(0, 1), { ...RSV1, fin: false }), frame(PING, packet), frame(CONT, bytes.subarray(1)),
      ]));
      assert.deepEqual(await s.next().then((m) => [m.opcode, m.text]), [PONG, packet]);
      if (packet === '2probe') assert.equal((await s.next()).text, '3probe');
    }
    await s.ws.send(TEXT, '421["echo",1]');
    assert.equal((await s.next()).text, '431[1]');
    s.destroy();
  });

  test('with context takeover the probe is part of the context', async (t) => {
    const { s } = await probing(t, takeover);
    assert.doesNotMatch(s.ws.answer.headers['sec-websocket-extensions'], /client_no_context_takeover/);
    let context = '';
    const send = async (data) => {
      const dictionary = Buffer.from(context);
      await s.ws.send(TEXT, pack(data, context && { dictionary }), RSV1);
      context += data;
    };
    await send('2probe');
    assert.equal((await s.next()).text, '3probe');
    await send('5');
    const words = 'probe probe 2probe to be or not to be '.repeat(5);
    await send(`421["echo","${words}"]`);
    assert.equal((await s.next()).text, `431["${words}"]`);
    await send(`422["echo","${words}"]`);
    assert.deepEqual(await s.next().then((m) => [m.text, m.rsv]), [`432["${words}"]`, 4]);
    s.destroy();
  });

  test('what waits at the upgrade comes, too', async (t) => {
    const { server, polling, s } = await probing(t);
    const sender = await RawEio.join(server);
    await polling.post('421["join","r"]');
    assert.deepEqual(await polling.packets(1), ['431[{"ok":true}]']);
    await s.ws.send(TEXT, '2probe');
    assert.equal((await s.next()).text, '3probe');
    await sender.send(`42["say","r","${BIG}",1]`);
    await sender.send(`423["echo"]`);
    assert.equal((await sender.next()).text, '433[]');
    await s.ws.send(TEXT, '5');
    await sender.send(`42["say","r","${BIG}",2]`);
    for (const n of [1, 2]) assert.equal((await s.next()).text, `42["said","${BIG}",${n}]`);
    for (const x of [s, sender]) x.destroy();
  });

  test('not offered: nothing is compressed', async (t) => {
    const { s } = await probing(t, ON, null);
    assert.equal(s.ws.answer.headers['sec-websocket-extensions'], undefined);
    await s.ws.send(TEXT, '2probe');
    await s.next();
    await s.ws.send(TEXT, '5');
    await s.ws.send(TEXT, `421["echo","${BIG}"]`);
    assert.deepEqual(await s.next().then((m) => [m.text, m.rsv]), [`431["${BIG}"]`, 0]);
    s.destroy();
  });

  const BAD = [
    ['a bomb', pack(Buffer.alloc(1_000_000)), 1009, RSV1],
    ['no compressed data', Buffer.alloc(10, 255), 1007, RSV1],
    ['a compressed close packet', pack('1'), 1005, RSV1],
  ];
  for (const [name, bytes, code, options] of BAD)
    test(`a probe that sends ${name}: polling goes on`, roomcastOnly, async (t) => {
      const { polling, s } = await probing(t);
      await s.ws.send(TEXT, bytes, options);
      assert.equal(await s.ws.closeCode(), code);
      await polling.post('421["echo",1]');
      assert.deepEqual(await polling.packets(1), ['431[1]']);
      s.destroy();
    });

  test('socket.io-client, polling and then WebSocket', async (t) => {
    const server = await startFor(t, { ini: INI, shards, options: ON });
    const clients = await Promise.all([1, 2, 3].map(() => connect(server)));
    const boxes = clients.map(inbox);
    await Promise.all(clients.map((c) => ask(c, 'join', 'r')));
    await Promise.all(clients.map(upgraded));
    for (const c of clients) assert.match(c.io.engine.transport.ws.extensions, /permessage-deflate/);
    clients.forEach((c, i) => c.emit('say', 'r', i, BIG));
    const seen = await Promise.all(boxes.map((b) => b.wait(3)));
    for (const s of seen) assert.deepEqual(s, seen[0]);
    assert.deepEqual(seen[0].map(([, i]) => i).sort(), [0, 1, 2]);
    assert.ok(seen[0].every(([, , m]) => m === BIG));
  });
}

const ENDPOINTS = `
[endpoint /echo]
protocol = echo
per_message_deflate = yes

[endpoint /relay]
protocol = relay
per_message_deflate = yes

[endpoint /off]
protocol = echo
`;

// Messages of all sizes; text and bytes.
const LIVE = [
  'hello', '', BIG, 'ünïcödé 漢字 👩‍👩‍👧‍👦 '.repeat(400), JSON.stringify([...Array(2000).keys()]),
  Buffer.alloc(0), Buffer.alloc(100_000, 'ab'), randomBytes(70_000), Buffer.from([0, 255]), '.',
];

class Plain {
  static async open(server, path, perMessageDeflate) {
    const p = new Plain();
    p.ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { perMessageDeflate });
    p.queue = [];
    p.ws.on('message', (data, binary) => {
      p.queue.push(binary ? data : data.toString());
      p.wake?.();
    });
    await within(20_000, 'open', new Promise((r, f) => p.ws.once('open', r).once('error', f)));
    return p;
  }

  take(n) {
    const done = new Promise((r) => {
      this.wake = () => this.queue.length >= n && r(this.queue.splice(0, n));
      this.wake();
    });
    return within(20_000, `${n} messages`, done);
  }

  async close() {
    const closed = new Promise((r) => this.ws.on('close', r));
    this.ws.close(1000);
    assert.equal(await within(10_000, 'close', closed), 1000);
  }
}

const WS_OPTIONS = [
  true,
  { threshold: 0 },
  { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true },
  { threshold: 0, clientMaxWindowBits: false },
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((bits) => ({ threshold: 0, serverMaxWindowBits: bits, clientMaxWindowBits: bits })),
  { threshold: 0, zlibDeflateOptions: { level: 1, memLevel: 1 }, zlibInflateOptions: { chunkSize: 1024 } },
];

function wsTests(servers) {
  for (const [name, key] of [['each message by itself', 'alone'], ['context takeover', 'takeover']])
    for (const options of WS_OPTIONS)
      test(`ws, ${name}, ${JSON.stringify(options)}`, async () => {
        const p = await Plain.open(servers[key], '/echo', options);
        assert.match(p.ws.extensions, /permessage-deflate/);
        for (let i = 0; i < 3; i++) {
          for (const m of LIVE) p.ws.send(m);
          const got = await p.take(LIVE.length);
          for (const [j, m] of LIVE.entries()) assert.deepEqual(got[j], m);
        }
        await p.close();
      });

  test('ws, not enabled for the endpoint', async () => {
    const p = await Plain.open(servers.alone, '/off', true);
    assert.equal(p.ws.extensions, '');
    p.ws.send(BIG);
    assert.deepEqual(await p.take(1), [BIG]);
    await p.close();
  });

  test('ws, one relay for clients of all kinds', async () => {
    const kinds = [false, ...WS_OPTIONS];
    const all = await Promise.all(kinds.map((o) => Plain.open(servers.takeover, '/relay', o)));
    all.forEach((p, i) => {
      for (const m of LIVE) p.ws.send(Buffer.isBuffer(m) ? Buffer.concat([Buffer.of(i), m]) : `${i}:${m}`);
    });
    const from = (m) => (Buffer.isBuffer(m) ? m[0] : Number(m.slice(0, m.indexOf(':'))));
    const rest = (m) => (Buffer.isBuffer(m) ? m.subarray(1) : m.slice(m.indexOf(':') + 1));
    for (const [i, p] of all.entries()) {
      const got = await p.take((all.length - 1) * LIVE.length);
      for (let j = 0; j < all.length; j++) {
        const theirs = got.filter((m) => from(m) === j).map(rest);
        assert.deepEqual(theirs, i === j ? [] : LIVE);
      }
    }
    await Promise.all(all.map((p) => p.close()));
  });
}

const PYTHON = `
import asyncio, sys
import websockets
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Factory

MESSAGES = ["hello", "", "to be or not to be " * 500, "ünïcödé 漢字 " * 300, b"", bytes(range(256)) * 200, "."]

async def echo(url, extensions, expected):
    # compression=None: only the extensions that are given
    async with websockets.connect(url, compression=None, extensions=extensions) as ws:
        names = [e.name for e in ws.extensions]
        assert (names == ["permessage-deflate"]) == expected, names
        for _ in range(3):
            for m in MESSAGES:
                await ws.send(m)
                got = await asyncio.wait_for(ws.recv(), 20)
                assert got == m, (extensions, m[:40], got[:40])
            async def pieces():
                for at in range(0, 9500, 950):
                    yield MESSAGES[2][at:at + 950]
            await ws.send(pieces())  # a fragmented message
            assert await asyncio.wait_for(ws.recv(), 20) == MESSAGES[2]
        await (await ws.ping())

async def main(url):
    async with websockets.connect(url + "/echo") as ws:  # as it comes
        assert [e.name for e in ws.extensions] == ["permessage-deflate"]
        await ws.send(MESSAGES[2])
        assert await ws.recv() == MESSAGES[2]
    await echo(url + "/echo", [Factory()], True)
    await echo(url + "/echo", [Factory(server_no_context_takeover=True, client_no_context_takeover=True)], True)
    for bits in range(9, 16):  # Python's zlib has no window of 8 bits
        await echo(url + "/echo", [Factory(server_max_window_bits=bits, client_max_window_bits=bits)], True)
    await echo(url + "/off", [Factory()], False)
    try:
        async with websockets.connect(url + "/echo") as ws:
            await ws.send("x" * 1000001)
            await asyncio.wait_for(ws.recv(), 20)
            assert False, "it was taken"
    except websockets.ConnectionClosed as e:
        assert e.code == 1009, e
    print("ok", websockets.__version__)

asyncio.run(main(sys.argv[1]))
`;

function pythonTests(servers) {
  for (const [name, key] of [['each message by itself', 'alone'], ['context takeover', 'takeover']])
    test(`python3-websockets, ${name}`, async () => {
      const python = process.env.PYTHON3 || '/usr/bin/python3';
      const { stdout } = await promisify(execFile)(python, ['-c', PYTHON, `ws://127.0.0.1:${servers[key].port}`], {
        timeout: 60_000 * slow,
      });
      assert.match(stdout, /^ok \d/);
    });
}

function chromiumTests(servers) {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());

  const visit = async (t, server) => {
    const { page, context, faults } = await newPage(browser);
    t.after(() => context.close());
    await page.goto(`http://127.0.0.1:${server.port}/healthz`);
    // There is no favicon.
    return { page, faults: () => faults.filter((f) => !/status of 404/.test(f)) };
  };

  for (const [name, key] of [['each message by itself', 'alone'], ['context takeover', 'takeover']])
    test(`Chromium: WebSocket, ${name}`, async (t) => {
      const { page, faults } = await visit(t, servers[key]);
      const seen = await page.evaluate(async (big) => {
        const ws = new WebSocket(`ws://${location.host}/echo`);
        ws.binaryType = 'arraybuffer';
        await new Promise((ok, fail) => Object.assign(ws, { onopen: ok, onerror: fail }));
        const next = () => new Promise((ok, fail) => Object.assign(ws, { onmessage: (e) => ok(e.data), onclose: fail }));
        const bytes = new Uint8Array(200_000).map((_, i) => (i * i) >> 7);
        const wrong = [];
        for (let i = 0; i < 5; i++)
          for (const m of ['hello', '', big, 'ü漢👍'.repeat(3000), bytes]) {
            ws.send(m);
            const got = await next();
            const same = m === bytes
              ? got.byteLength === bytes.length && new Uint8Array(got).every((b, j) => b === bytes[j])
              : got === m;
            if (!same) wrong.push([i, String(m).slice(0, 20), String(got).slice(0, 20)]);
          }
        const closed = new Promise((ok) => (ws.onclose = (e) => ok([e.code, e.wasClean])));
        ws.close(3000);
        return { wrong, extensions: ws.extensions, closed: await closed };
      }, BIG);
      assert.deepEqual(seen.wrong, []);
      assert.match(seen.extensions, /permessage-deflate; server_no_context_takeover/);
      assert.equal(seen.extensions.includes('client_no_context_takeover'), key === 'alone');
      assert.deepEqual(seen.closed, [3000, true]);
      assert.deepEqual(faults(), []);
    });

  for (const [name, key] of [['each message by itself', 'alone'], ['context takeover', 'takeover']])
    test(`Chromium: socket.io-client, upgraded, ${name}`, async (t) => {
      const pages = await Promise.all([visit(t, servers[key]), visit(t, servers[key])]);
      for (const { page } of pages) {
        await page.addScriptTag({ url: '/socket.io/socket.io.min.js' });
        await page.evaluate(async () => {
          window.socket = window.io();
          window.seen = [];
          window.socket.on('said', (...args) => {
            window.seen.push(args.map((a) => (a instanceof ArrayBuffer ? a.byteLength : a)));
          });
          await window.socket.emitWithAck('join', 'page');
          const { engine } = window.socket.io;
          if (engine.transport.name !== 'websocket') await new Promise((ok) => engine.once('upgrade', ok));
        });
      }
      const other = await connected(client(servers[key], { transports: ['websocket'] }));
      const box = inbox(other);
      await ask(other, 'join', 'page');
      for (const [i, { page }] of pages.entries())
        await page.evaluate(([n, big]) => window.socket.emit('say', 'page', n, big, new Uint8Array(50_000)), [i, BIG]);
      other.emit('say', 'page', 2, BIG, Buffer.alloc(50_000));
      const expected = [0, 1, 2].map((i) => [i, BIG, 50_000]);
      const got = (await box.wait(3)).map(([, n, m, b]) => [n, m, b.length]);
      assert.deepEqual([...got].sort((a, b) => a[0] - b[0]), expected);
      for (const { page, faults } of pages) {
        await page.waitForFunction(() => window.seen.length >= 3);
        assert.deepEqual(await page.evaluate(() => window.seen), got, 'one order for all');
        const transport = await page.evaluate(async (big) => ({
          name: window.socket.io.engine.transport.name,
          extensions: window.socket.io.engine.transport.ws.extensions,
          ack: (await window.socket.emitWithAck('echo', big)) === big,
        }), BIG);
        assert.match(transport.extensions, /permessage-deflate/);
        assert.deepEqual([transport.name, transport.ack], ['websocket', true]);
        assert.deepEqual(faults(), []);
      }
      closeAll();
    });
}

for (const shards of SHARDS)
  describe(`rooms and sessions, ${label(shards)}`, () => {
    afterEach(closeAll);
    roomTests(shards);
    upgradeTests(shards);
  });

test('off by default', async (t) => {
  const server = await startFor(t, { ini: INI });
  const s = await RawEio.join(server);
  assert.equal(s.ws.answer.headers['sec-websocket-extensions'], undefined);
  await s.send(`421["echo","${BIG}"]`);
  assert.deepEqual(await s.next().then((m) => [m.rsv, m.text]), [0, `431["${BIG}"]`]);
  await s.ws.send(TEXT, pack('421["echo"]'), RSV1);
  assert.equal(await s.ws.closeCode(), 1002);
  s.destroy();
});

describe('clients of all kinds', roomcastOnly, () => {
  const servers = {};
  before(async () => {
    if (reference) return;
    const conf = { ini: INI + ENDPOINTS, shards: 2 };
    servers.alone = await start({ ...conf, options: ON });
    servers.takeover = await start({
      ...conf, options: { ...ON, 'socketio.deflate_no_context_takeover': 'no', 'socketio.deflate_threshold': 0 },
    });
  });
  after(async () => {
    for (const server of Object.values(servers)) await server.stop();
  });
  wsTests(servers);
  pythonTests(servers);
  chromiumTests(servers);
});
