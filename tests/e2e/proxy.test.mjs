// Proxies: PROXY headers, X-Forwarded-For, and who is believed. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { ask, closeAll, connect, upgraded } from './lib/client.mjs';
import { run, tempDir } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { reload } from './lib/reload.mjs';
import { label, logged, roomcastOnly, SHARDS, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const GET = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
const OPEN = eioPath({ transport: 'websocket' });
const TRUSTING = { 'server.trusted_proxies': '127.0.0.0/8' };
const PROXIED = `${RULES}\n[listen front]\naddress = 127.0.0.1:0\nproxy_protocol = yes\n`;

const from = (address) => ({ 'X-Forwarded-For': address });

// A header of version 2; rest: addresses and what follows them.
function v2(command, family, rest) {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n....', 'latin1');
  head[12] = 0x20 | command;
  head[13] = family;
  head.writeUInt16BE(rest.length, 14);
  return Buffer.concat([head, Buffer.from(rest)]);
}
const V2_TCP4 = v2(1, 0x11, [192, 0, 2, 44, 10, 0, 0, 1, 0x30, 0x39, 0, 80]);
const V2_TCP6 = v2(1, 0x21, [
  ...[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x99],
  ...[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
  ...[0x30, 0x39, 0, 80],
  ...[1, 0, 2, 0x68, 0x32], // a TLV: ALPN h2
]);

describe('X-Forwarded-For', roomcastOnly, () => {
  afterEach(closeAll);

  for (const shards of SHARDS)
    test(`of a trusted proxy it tells the client, for every transport; ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini: RULES, shards, options: { ...TRUSTING, 'log.level': 'debug' } });
      const options = (address) => ({ extraHeaders: from(`1.1.1.1, ${address}`) });
      const ws = await connect(server, { transports: ['websocket'], ...options('192.0.2.1') });
      const polling = await connect(server, { transports: ['polling'], ...options('192.0.2.2') });
      const moved = await connect(server, options('192.0.2.3'));
      await upgraded(moved);
      for (const c of [ws, polling, moved]) assert.deepEqual(await ask(c, 'ask', 1), 1);
      closeAll();
      await logged(server, 'peer=192.0.2.1 websocket closed');
      await logged(server, 'peer=192.0.2.2 polling closed');
      await logged(server, 'peer=192.0.2.3 websocket closed');
      assert.equal(server.stderr().includes('1.1.1.1'), false);
    });

  test('each request of a kept connection has its own', async (t) => {
    const server = await startFor(t, { ini: RULES, options: { ...TRUSTING, 'log.level': 'debug' } });
    const wire = await Wire.open(server);
    for (const n of [1, 2, 3]) {
      await wire.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.${n}\r\n\r\n`);
      assert.equal((await wire.response()).status, 200);
      await logged(server, `peer=192.0.2.${n} opened transport=polling`);
    }
    await wire.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await wire.response()).status, 200);
    await logged(server, 'peer=127.0.0.1:'); // the proxy itself
    wire.destroy();
  });

  test('a Unix socket is trusted, others are not unless they are listed', async (t) => {
    const server = await startFor(t, { ini: RULES, listen: '127.0.0.1:0, unix:s', listeners: 2 });
    const [socketPath] = server.sockets;
    const near = await RawWs.open({ socketPath }, OPEN, { headers: from('192.0.2.5') });
    near.destroy();
    await logged(server, 'peer=192.0.2.5 websocket closed');
    const far = await RawWs.open(server, OPEN, { headers: from('192.0.2.6') });
    far.destroy();
    await until('the end of the other', () => /peer=127\.0\.0\.1:\d+ websocket closed/.test(server.stderr()), 20_000);
    assert.equal(server.stderr().includes('192.0.2.6'), false);
  });

  test('who is trusted changes with a reload, also for connections that are there', async (t) => {
    const ini = (proxies) => `${RULES}\n[server]\ntrusted_proxies = ${proxies}\n`;
    const server = await startFor(t, { ini: ini(''), shards: 2, options: { 'log.level': 'debug' } });
    const wire = await Wire.open(server);
    const polled = async (n) => {
      await wire.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.${n}\r\n\r\n`);
      assert.equal((await wire.response()).status, 200);
    };
    await polled(1);
    assert.equal((await reload(server, ini('10.0.0.0/8, 127.0.0.1'))).ok, true);
    await polled(2);
    await logged(server, 'peer=198.51.100.2 opened transport=polling');
    assert.equal((await reload(server, ini('10.0.0.0/8'))).ok, true);
    await polled(3);
    assert.equal((await reload(server, ini('10.0.0.1/8'))).ok, false);
    await polled(4);
    wire.destroy();
    await until('the log', () => (server.stderr().match(/peer=127\.0\.0\.1:\d+ opened/g) ?? []).length === 3, 20_000);
    assert.equal(/198\.51\.100\.[134]/.test(server.stderr()), false);
  });

  test('limits by address count the client', async (t) => {
    const options = { ...TRUSTING, 'limits.max_connections_per_address': 1 };
    const server = await startFor(t, { ini: RULES, shards: 2, options });
    const first = await RawWs.open(server, OPEN, { headers: from('192.0.2.5') });
    await assert.rejects(RawWs.open(server, OPEN, { headers: from('192.0.2.5') }), /upgrade refused: 429/);
    const other = await RawWs.open(server, OPEN, { headers: from('192.0.2.6') });
    first.destroy();
    const again = await until('its place is free', () =>
      RawWs.open(server, OPEN, { headers: from('192.0.2.5') }).catch(() => false), 20_000);
    other.destroy();
    again.destroy();
  });
});

describe('PROXY headers', roomcastOnly, () => {
  afterEach(closeAll);

  const start = (t, more = {}) =>
    startFor(t, { ini: PROXIED, listen: null, ...more, options: { ...TRUSTING, 'log.level': 'debug', ...more.options } });

  for (const shards of SHARDS)
    test(`versions 1 and 2, in one piece and byte by byte; ${label(shards)}`, async (t) => {
      const server = await start(t, { shards });
      const cases = [
        ['PROXY TCP4 192.0.2.33 10.0.0.1 5555 80\r\n', '192.0.2.33:5555'],
        ['PROXY TCP6 2001:db8::33 ::1 5555 80\r\n', '[2001:db8::33]:5555'],
        [V2_TCP4, '192.0.2.44:12345'],
        [V2_TCP6, '[2001:db8::99]:12345'],
        [v2(1, 0x31, Buffer.alloc(216)), 'unix'],
        ['PROXY UNKNOWN\r\n', '127.0.0.1:'],
        [v2(0, 0, []), '127.0.0.1:'],
        [v2(1, 0, [1, 2, 3]), '127.0.0.1:'],
      ];
      for (const [head, peer] of cases)
        for (const pieces of [false, true]) {
          const before = server.stderr().length;
          const wire = await Wire.open(server);
          if (pieces) await wire.trickle(head);
          await wire.write(pieces ? GET : Buffer.concat([Buffer.from(head), Buffer.from(GET)]));
          assert.equal((await wire.response()).status, 200);
          await wire.write(GET);
          assert.equal((await wire.response()).status, 200);
          wire.destroy();
          await until(`the log of ${peer}`, () =>
            server.stderr().slice(before).includes(`peer=${peer}`) &&
            server.stderr().slice(before).includes('http closed'), 20_000);
        }
    });

  test('and then everything: an upgrade that moves to another shard', async (t) => {
    const server = await start(t, { shards: 4 });
    const open = async (n) => {
      const wire = await Wire.open(server);
      await wire.write(`PROXY TCP4 192.0.2.${n} 10.0.0.1 ${n} 80\r\n`);
      return wire;
    };
    for (let n = 1; n <= 8; n++) {
      const polling = await open(n);
      await polling.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\n\r\n`);
      const { sid } = JSON.parse((await polling.response()).body.slice(1));
      const ws = new RawWs();
      ws.wire = await open(n);
      await ws.wire.write(RawWs.handshake(eioPath({ transport: 'websocket', sid })).text);
      assert.equal((await ws.wire.response()).status, 101);
      await ws.send(1, '2probe');
      assert.equal((await ws.frame()).data.toString(), '3probe');
      await ws.send(1, '5');
      await ws.send(1, '40');
      assert.match((await ws.frame()).data.toString(), /^40/);
      ws.destroy();
      polling.destroy();
      await logged(server, `peer=192.0.2.${n}:${n} websocket closed`);
    }
  });

  test('X-Forwarded-For counts behind a proxy that is named by a header', async (t) => {
    const server = await start(t);
    for (const [proxy, client] of [['127.0.0.9', '192.0.2.77'], ['192.0.2.8', '192.0.2.8:1']]) {
      const wire = await Wire.open(server);
      await wire.write(`PROXY TCP4 ${proxy} 10.0.0.1 1 2\r\n${GET.replace('\r\n\r\n', '\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n')}`);
      assert.equal((await wire.response()).status, 200);
      wire.destroy();
      await logged(server, `peer=${client} http closed`);
    }
  });

  test('what is none, or a bad one, ends the connection, is logged and counted', async (t) => {
    const server = await start(t, { options: { 'admin.listen': '127.0.0.1:0' } });
    const bad = [
      [GET, 'there is none'],
      ['PROXY TCP4 1.2.3.4\r\n', 'its line is none of'],
      [`PROXY UNKNOWN ${'x'.repeat(200)}`, 'its line is longer than 107 bytes'],
      [v2(1, 0x12, Buffer.alloc(12)), 'it is not of TCP'],
      [v2(1, 0x11, Buffer.alloc(3)), 'it is too short for its addresses'],
      [v2(1, 0x11, Buffer.alloc(5000)), 'it is longer than 2064 bytes'],
    ];
    for (const [head, why] of bad) {
      const wire = await Wire.open(server);
      await wire.write(head);
      await wire.closed();
      assert.equal(wire.data.length, 0, 'nothing is answered to what is no proxy');
      await logged(server, `PROXY header refused: ${why}`);
    }
    await until('each of their ends', () =>
      (server.stderr().match(/proxy closed reason=proxy_header/g) ?? []).length === bad.length, 20_000);
    const port = Number(server.stderr().match(/metrics on http:\/\/127\.0\.0\.1:(\d+)/)[1]);
    const metrics = await request({ port }, { path: '/metrics' });
    assert.match(metrics.body, new RegExp(`reason="proxy_header"[^\\n]*} ${bad.length}\\n`));
  });

  test('others than the trusted may not send any', async (t) => {
    const server = await start(t, { options: { 'server.trusted_proxies': '10.0.0.0/8, ::1' } });
    const wire = await Wire.open(server);
    await wire.write(`PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n${GET}`).catch(() => {});
    await wire.closed();
    await logged(server, 'refused by [listen front]: it is not of server.trusted_proxies');
  });

  test('it must come in time, and whole', async (t) => {
    const server = await start(t, { options: { 'limits.head_timeout': '300ms' } });
    const silent = await Wire.open(server);
    const half = await Wire.open(server);
    await half.write('PROXY TCP4 1.2');
    await silent.closed();
    await half.closed();
    await until('both ends', () =>
      (server.stderr().match(/proxy closed reason=head_timeout/g) ?? []).length === 2, 20_000);
  });

  test('one that is cut off is gone', async (t) => {
    const server = await start(t);
    const cut = await Wire.open(server);
    await cut.write(V2_TCP4.subarray(0, 20));
    cut.socket.end();
    await cut.closed();
    await logged(server, 'proxy closed reason=peer_closed');
  });

  test('the end of the server does not wait for one', async (t) => {
    const server = await start(t);
    const wire = await Wire.open(server);
    await wire.write('PROXY ');
    const ws = new RawWs();
    ws.wire = await Wire.open(server);
    await ws.wire.write(Buffer.concat([V2_TCP4, Buffer.from(RawWs.handshake(OPEN).text)]));
    assert.equal((await ws.wire.response()).status, 101);
    await server.stop();
    assert.match(server.stderr(), /proxy closed reason=shutdown/);
  });

  test('limits by address count the client', async (t) => {
    const server = await start(t, { shards: 2, options: { 'limits.max_connections_per_address': 1 } });
    const open = async (address) => {
      const wire = await Wire.open(server);
      await wire.write(`PROXY TCP4 ${address} 10.0.0.1 1 2\r\n${GET}`);
      return [wire, (await wire.response()).status];
    };
    const [first, ok] = await open('192.0.2.5');
    assert.equal(ok, 200);
    assert.equal((await open('192.0.2.5'))[1], 429);
    assert.equal((await open('192.0.2.6'))[1], 200);
    first.destroy();
    await until('its place is free', async () => (await open('192.0.2.5'))[1] === 200, 20_000);
  });

  test('a Unix socket takes them without a list', async (t) => {
    const ini = `${RULES}\n[listen front]\naddress = unix:f\nproxy_protocol = yes\n`;
    const server = await startFor(t, { ini, listen: null, options: { 'log.level': 'debug' } });
    const wire = await Wire.open({ socketPath: server.sockets[0] });
    await wire.write(Buffer.concat([V2_TCP4, Buffer.from(GET)]));
    assert.equal((await wire.response()).status, 200);
    wire.destroy();
    await logged(server, 'peer=192.0.2.44:12345 http closed');
  });

  test('by TCP it wants a list', async () => {
    const file = join(tempDir(), 'bad.ini');
    writeFileSync(file, '[listen a]\naddress = :0\nproxy_protocol = yes\n[server]\ntrusted_proxies =\n');
    const r = await run(['-c', file, '--check']);
    assert.equal(r.code, 2);
    assert.match(r.stderr, /bad\.ini:1: \[listen a\] proxy_protocol = yes: expected networks in server\.trusted_/);
    const other = await run(['-o', 'server.trusted_proxies=10.0.0.1/8', '--check']);
    assert.equal(other.code, 2);
    assert.match(other.stderr, /trusted_proxies = 10\.0\.0\.1\/8: expected/);
  });
});
