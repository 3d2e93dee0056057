// TLS without a proxy: https and wss on a listener with certificates of its own.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { createServer, connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import WebSocket from 'ws';

import { launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { ctl, startWithConsole } from './lib/console.mjs';
import { run, tempDir, top } from './lib/daemon.mjs';
import { adminOf, metrics } from './lib/metrics.mjs';
import { ADMIN, operator } from './lib/operator.mjs';
import { SHARDS, label, logged, roomcastOnly, slow, startFor, until, within } from './lib/target.mjs';
import { Authority, NEW_RSA, dial, get, listenTls, secure } from './lib/tls.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { gather } from './lib/sockets.mjs';
import { Wire, request } from './lib/wire.mjs';

const exec = promisify(execFile);
const MB = 1 << 20;
const ECHO = `
[endpoint /echo]
protocol = echo
max_payload = 20MiB
`;
const DEBUG = { 'log.level': 'debug' };

let ca, pair, other;
const trust = () => ({ ca: ca.pem });

function begin() {
  ca = new Authority();
  pair = ca.issue('server');
  other = ca.issue('other', 'DNS:other.test,DNS:*.wild.test');
}

const start = (t, { ini = '', tls = '', pairs = pair, ...more } = {}) =>
  startFor(t, { ini: RULES + ECHO + ini + listenTls(pairs, tls), listen: null, options: DEBUG, ...more });

const closed = (server, reason) => until(`closed: ${reason}`, () => server.stderr().includes(`closed reason=${reason}`), 20_000);

function open(url, options) {
  const ws = new WebSocket(url, { ...trust(), ...options });
  const { all, add } = gather(); // from the start: the first message may come with the answer
  ws.on('message', add).on('error', () => {});
  ws.heard = all;
  return within(20_000, `WebSocket ${url}`, new Promise((done, fail) => {
    ws.once('open', () => done(ws)).once('error', fail);
  }));
}

// A proxy that passes on bytes: head comes before them, in one piece with the first of them, or byte by byte.
async function relay(t, to, head, trickle = false) {
  const open = new Set();
  const proxy = createServer((near) => {
    const far = tcpConnect({ port: to, host: '127.0.0.1', noDelay: true });
    for (const [one, other] of [[near, far], [far, near]])
      open.add(one.on('error', () => {}).on('close', () => (open.delete(one), other.destroy())));
    near.once('data', async (first) => {
      near.pause();
      const all = Buffer.concat([head, first]);
      if (trickle) for (const byte of all) await new Promise((r) => far.write(Buffer.of(byte), r));
      else far.write(all);
      near.pipe(far);
    });
    far.pipe(near);
  });
  t.after(() => (proxy.close(), open.forEach((s) => s.destroy())));
  await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
  return proxy.address().port;
}

const next = async (ws) => {
  await ws.heard.wait(1, 60_000);
  return ws.heard.shift();
};

describe('TLS', roomcastOnly, () => {
  before(begin);
  afterEach(closeAll);

  for (const shards of SHARDS) {
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']])
      test(`socket.io-client, ${transports.join(' and ')}; ${label(shards)}`, async (t) => {
        const server = await start(t, { ini: '[listen plain]\naddress = 127.0.0.1:0\n', listeners: 2, shards });
        const [plain, tls] = server.ports;
        const near = await connect({ url: `http://127.0.0.1:${plain}` });
        const heard = [inbox(near)];
        await ask(near, 'join', 'lobby');
        for (let i = 0; i < 8; i++) {
          const socket = client(secure(server, tls), { ...trust(), transports });
          await connected(socket);
          if (transports.length === 2) await upgraded(socket);
          await ask(socket, 'join', 'lobby');
          heard.push(inbox(socket));
          socket.emit('say', 'lobby', `hello ${i}`, Buffer.from([i, 255]), 'x'.repeat(i * 5000));
          for (const box of heard) {
            const said = (await box.wait(1)).shift();
            assert.deepEqual(said.slice(0, 3), ['said', `hello ${i}`, Buffer.from([i, 255])]);
            assert.equal(said[3].length, i * 5000);
            box.length = 0;
          }
        }
      });

    test(`behind a PROXY header: who the client is; ${label(shards)}`, async (t) => {
      const server = await startWithConsole(t, {
        ini: RULES + listenTls(pair, 'proxy_protocol = yes'),
        listen: null,
        shards,
        options: { ...DEBUG, 'server.trusted_proxies': '127.0.0.0/8' },
      });
      const v2 = Buffer.from('0d0a0d0a000d0a515549540a2111000cc000022c0a000001303901bb', 'hex');
      const cases = [
        [Buffer.from('PROXY TCP4 192.0.2.33 10.0.0.1 5555 443\r\n'), '192.0.2.33:5555'],
        [Buffer.from('PROXY TCP6 2001:db8::33 ::1 5555 443\r\n'), '[2001:db8::33]:5555'],
        [v2, '192.0.2.44:12345'],
      ];
      for (const [head, address] of cases)
        for (const trickle of [false, true]) {
          const at = secure(server, await relay(t, server.port, head, trickle));
          for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
            const socket = await connect(at, { ...trust(), transports });
            if (transports.length === 2) await upgraded(socket);
            assert.deepEqual(await ask(socket, 'ask', 'x'.repeat(20_000)), 'x'.repeat(20_000));
            const { clients } = await ctl(server, `SHOW clients address=${address}`);
            assert.deepEqual(clients.map((c) => [c.address, c.transport]), [[address, socket.io.engine.transport.name]]);
            const from = server.stderr().length;
            socket.disconnect();
            await until('the log', () => server.stderr().slice(from).includes(`peer=${address} ${transports.at(-1)} closed`), 20_000);
          }
          await logged(server, `peer=${address} tls TLSv1.3`);
        }
      await assert.rejects(dial(server.port, trust()));
      await closed(server, 'proxy_header');
    });

    test(`16 MiB each way; ${label(shards)}`, async (t) => {
      const server = await start(t, { shards, options: { ...DEBUG, 'limits.max_queue': '64MiB' } });
      const ws = await open(`${secure(server).ws}/echo`);
      const big = Buffer.alloc(16 * MB, 'roomcast');
      big.writeUInt32LE(0xdeadbeef, 16 * MB - 4);
      ws.send(big);
      ws.send('and on');
      assert.ok(big.equals(await next(ws)));
      assert.equal(String(await next(ws)), 'and on');
      ws.close();
      await closed(server, 'websocket_closed');
    });

    test(`a session is resumed on any shard; ${label(shards)}`, async (t) => {
      const server = await start(t, { shards });
      for (const version of ['TLSv1.2', 'TLSv1.3']) {
        const versions = { ...trust(), minVersion: version, maxVersion: version };
        let session;
        for (let i = 0; i < 8; i++) {
          const socket = await dial(server.port, { ...versions, session });
          assert.equal(socket.isSessionReused(), i !== 0, `${version}, connection ${i}`);
          const given = socket.getProtocol() === 'TLSv1.3' && new Promise((r) => socket.once('session', r));
          socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
          await socket.said(/ok\n/);
          session = (await (given && within(20_000, 'a ticket', given))) || socket.getSession();
          socket.end();
          await socket.gone();
        }
      }
    });
  }

  test('a room hears the same in the same order, on TLS and without', async (t) => {
    const server = await start(t, { ini: '[listen plain]\naddress = 127.0.0.1:0\n', listeners: 2, shards: 2 });
    const [plain, tls] = server.ports;
    const where = [{ url: `http://127.0.0.1:${plain}` }, secure(server, tls)];
    const members = await Promise.all(Array.from({ length: 12 }, (_, i) => connect(where[i % 2], { ...trust(), transports: ['websocket'] })));
    const heard = members.map(inbox);
    await Promise.all(members.map((m) => ask(m, 'join', 'lobby')));
    for (let i = 0; i < 100; i++)
      members.forEach((m, k) => m.emit('say', 'lobby', k, i, 'x'.repeat((i * 37 * k) % 3000)));
    const all = await Promise.all(heard.map((h) => h.wait(1200, 60_000)));
    for (const one of all) assert.deepEqual(one, all[0]);
    for (let k = 0; k < 12; k++)
      assert.deepEqual(all[0].filter((e) => e[1] === k).map((e) => e[2]), Array.from({ length: 100 }, (_, i) => i));
  });

  test('who does not read does not hold up the others', async (t) => {
    const server = await start(t, { shards: 2, options: { ...DEBUG, 'limits.max_queue': '1MiB' } });
    const [deaf, near, far] = await Promise.all([0, 1, 2].map(() => open(`${secure(server).ws}/socket.io/?EIO=4&transport=websocket`)));
    for (const ws of [deaf, near, far]) {
      await next(ws);
      ws.send('40');
      assert.match(String(await next(ws)), /^40/);
      ws.send('420["join","lobby"]');
      assert.equal(String(await next(ws)), '430[{"ok":true}]');
    }
    deaf.pause();
    const text = 'y'.repeat(50_000);
    for (let i = 0; i < 200; i++) {
      near.send(`42["say","lobby",${i},"${text}"]`);
      assert.equal(String(await next(far)), `42["said",${i},"${text}"]`);
    }
    await closed(server, 'slow_consumer');
    deaf.terminate();
    near.close();
    far.close();
  });

  test('names choose the certificate', async (t) => {
    const server = await start(t, { pairs: [pair, other] });
    for (const [servername, cn] of [['localhost', 'server'], ['other.test', 'other'], ['OTHER.test', 'other'], ['a.wild.test', 'other'],
      ['a.b.wild.test', 'server'], ['nobody.test', 'server'], ['', 'server']]) {
      const { socket } = await get(server.port, '/healthz', { ...trust(), servername, checkServerIdentity: () => {} });
      assert.equal(socket.getPeerCertificate()?.subject?.CN ?? socket.cn, cn, servername);
    }
  });

  test('of two certificates for one name the first is shown, whatever the client can do', async (t) => {
    const rsa = ca.issue('rsa', 'DNS:localhost,IP:127.0.0.1', NEW_RSA);
    const can = { ecdsa: 'ECDHE-ECDSA-AES128-GCM-SHA256', rsa: 'ECDHE-RSA-AES128-GCM-SHA256' };
    for (const [pairs, cn, good, bad] of [[[pair, rsa], 'server', can.ecdsa, can.rsa], [[rsa, pair], 'rsa', can.rsa, can.ecdsa]]) {
      const server = await start(t, { pairs });
      for (const options of [{}, { maxVersion: 'TLSv1.2' }, { maxVersion: 'TLSv1.2', ciphers: good }]) {
        const socket = await dial(server.port, { ...trust(), ...options });
        assert.equal(socket.getPeerCertificate().subject.CN, cn);
        socket.destroy();
      }
      await assert.rejects(dial(server.port, { ...trust(), maxVersion: 'TLSv1.2', ciphers: bad }), /handshake failure/i);
      await closed(server, 'tls_no_cipher');
    }
  });

  test('protocols: ALPN, versions', async (t) => {
    const server = await start(t);
    for (const [offer, chosen] of [[['http/1.1'], 'http/1.1'], [['h2', 'http/1.1'], 'http/1.1'], [undefined, false]]) {
      const socket = await dial(server.port, { ...trust(), ALPNProtocols: offer });
      assert.equal(socket.alpnProtocol, chosen);
      socket.destroy();
    }
    await assert.rejects(dial(server.port, { ...trust(), ALPNProtocols: ['h2'] }), /no application protocol/i);
    await closed(server, 'tls_no_http1');
    const old = { ...trust(), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' };
    await assert.rejects(dial(server.port, old), /protocol version/i);
    await closed(server, 'tls_version');
    await assert.rejects(dial(server.port, { ...trust(), maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }), /handshake failure/i);
    await closed(server, 'tls_no_cipher');
    await assert.rejects(dial(server.port), (e) => /UNABLE_TO_VERIFY|SELF_SIGNED|unable to/i.test(e.code + e.message));
  });

  test('tls_min and ciphers', async (t) => {
    const strict = await start(t, { tls: 'tls_min = 1.3\nciphers = TLS_CHACHA20_POLY1305_SHA256' });
    await assert.rejects(dial(strict.port, { ...trust(), maxVersion: 'TLSv1.2' }), /protocol version/i);
    const socket = await dial(strict.port, trust());
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    assert.equal(socket.getCipher().name, 'TLS_CHACHA20_POLY1305_SHA256');
    socket.destroy();
  });

  test('the Admin UI is told who came by TLS', async (t) => {
    const server = await start(t, { ini: '[listen plain]\naddress = 127.0.0.1:0\n', listeners: 2, shards: 2, options: { ...DEBUG, ...ADMIN } });
    const [plain, tls] = server.ports;
    const [near, at] = [{ url: `http://127.0.0.1:${plain}` }, secure(server, tls)];
    const all = [];
    for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']])
      for (const where of [near, at]) {
        const socket = await connect(where, { ...trust(), transports });
        if (transports.length === 2) await upgraded(socket);
        all.push([socket.id, where === at]);
      }
    const op = await operator(at, { ...trust(), transports: ['websocket'] });
    const [, sockets] = await op.hears('all_sockets');
    const told = (id) => sockets.find((s) => s.id === id).handshake.secure;
    assert.deepEqual(all.map(([id]) => [id, told(id)]), all);
    const late = await connect(at, { ...trust(), transports: ['websocket'] });
    const [, socket] = await op.hears('socket_connected', (s) => s.id === late.id);
    assert.equal(socket.handshake.secure, true);
  });

  test('certificates of clients', async (t) => {
    const theirs = new Authority('clients');
    const good = theirs.issue('ann', 'DNS:ann');
    const bad = new Authority('others').issue('eve', 'DNS:eve');
    const as = (who) => ({ ...trust(), cert: who.certPem, key: who.keyPem });
    const required = await start(t, { tls: `client_ca = ${theirs.file}\nclient_auth = required` });
    assert.equal((await get(required.port, '/healthz', as(good))).status, 200);
    for (const who of [trust(), as(bad)]) await assert.rejects(get(required.port, '/healthz', who), (e) => e.code !== 'ERR_ASSERTION');
    await until('both are counted', () => required.stderr().split('closed reason=tls_client_cert').length === 3, 20_000);
    const optional = await start(t, { tls: `client_ca = ${theirs.file}\nclient_auth = optional` });
    assert.equal((await get(optional.port, '/healthz', as(good))).status, 200);
    assert.equal((await get(optional.port, '/healthz', trust())).status, 200);
    await assert.rejects(get(optional.port, '/healthz', as(bad)), (e) => e.code !== 'ERR_ASSERTION');
    await closed(optional, 'tls_client_cert');
  });

  test('what is no TLS', async (t) => {
    const server = await start(t);
    const plain = await request(server, { path: '/healthz' });
    assert.equal(plain.status, 400);
    assert.equal(plain.body, 'This port speaks TLS: use https:// or wss://.\n');
    await closed(server, 'tls_plain_http');
    const wire = await Wire.open(server);
    await wire.write(Buffer.alloc(300, 0x80));
    await wire.closed();
    await closed(server, 'tls_protocol');
    const strange = ['s_client', '-connect', `127.0.0.1:${server.port}`, '-verify_return_error', '-CAfile', new Authority().file];
    await assert.rejects(exec('openssl', strange, { timeout: 60_000 * slow }), /certificate verify failed/);
    await closed(server, 'tls_refused');
    assert.equal((await get(server.port, '/healthz', trust())).status, 200);
  });

  for (const shards of SHARDS)
    test(`50 slow handshakes delay nobody; ${label(shards)}`, async (t) => {
      const server = await start(t, { shards, options: { ...DEBUG, 'limits.tls_timeout': '2s' } });
      // The first bytes of a hello that says it is 512 bytes long; then one now and then, or nothing.
      const slowly = Array.from({ length: 50 }, (_, i) => {
        const s = tcpConnect(server.port, '127.0.0.1').on('error', () => {});
        s.write(Buffer.from(i % 2 ? '1603010200010001fc0303' : '16', 'hex'));
        const timer = setInterval(() => s.writable && s.write(Buffer.of(i % 2 ? 7 : 3)), 300);
        s.over = new Promise((r) => s.once('close', () => (clearInterval(timer), r())));
        return s.resume();
      });
      for (let i = 0; i < 5; i++) assert.equal((await get(server.port, '/healthz', trust())).status, 200);
      await within(20_000, 'their end', Promise.all(slowly.map((s) => s.over)));
      await until('all are counted', () =>
        server.stderr().match(/closed reason=tls_(timeout|protocol)/g)?.length === 50, 20_000);
      assert.ok(server.stderr().match(/closed reason=tls_timeout/g).length >= 25);
    });

  test('python3: ssl, requests, websockets, socketio', async (t) => {
    const server = await start(t, { shards: 2 });
    const python = process.env.PYTHON3 || '/usr/bin/python3';
    const { stdout } = await exec(python, [join(top, 'tests/e2e/clients/tls_client.py'), String(server.port), ca.file], {
      timeout: 120_000 * slow,
      env: { ...process.env, REQUESTS_CA_BUNDLE: ca.file, SSL_CERT_FILE: ca.file, PYTHONWARNINGS: 'ignore' },
    });
    assert.deepEqual(stdout.trim().split('\n'), ['ok http.client', 'ok requests', 'ok websockets', 'ok socketio']);
  });

  test('openssl s_client: -reconnect', async (t) => {
    const server = await start(t, { shards: 2 });
    const args = ['s_client', '-connect', `127.0.0.1:${server.port}`, '-tls1_2', '-reconnect', '-CAfile', ca.file];
    const { stdout } = await new Promise((done) => {
      const child = execFile('openssl', args, { timeout: 60_000 * slow }, (error, out) => done({ stdout: out }));
      child.stdin.end();
    });
    assert.equal(stdout.match(/^Reused, TLSv1.2/gm)?.length, 5, stdout);
  });

  test('Chromium: https, polling, upgrade and wss', async (t) => {
    const server = await start(t, { shards: 2 });
    const browser = await launch();
    t.after(() => browser.close());
    const { page, context, faults } = await newPage(browser, { ignoreHTTPSErrors: true });
    t.after(() => context.close());
    await page.goto(`https://localhost:${server.port}/healthz`);
    await page.addScriptTag({ url: '/socket.io/socket.io.min.js' });
    const seen = await page.evaluate(async () => {
      const results = [];
      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        const socket = window.io({ transports, forceNew: true });
        await new Promise((ok, fail) => socket.on('connect', ok).on('connect_error', fail));
        if (transports.length === 2 && socket.io.engine.transport.name !== 'websocket')
          await new Promise((ok) => socket.io.engine.once('upgrade', ok));
        results.push([await socket.emitWithAck('ask', 'hello'), socket.io.engine.transport.name]);
        await new Promise((ok) => setTimeout(ok, 200)); // the next poll has arrived: behind the end it would be a 400
        socket.disconnect();
      }
      const ws = new WebSocket(`wss://${location.host}/echo`);
      await new Promise((ok, fail) => Object.assign(ws, { onopen: ok, onerror: fail }));
      ws.send('z'.repeat(300_000));
      results.push(await new Promise((ok) => (ws.onmessage = (e) => ok(e.data.length))));
      const over = new Promise((ok) => (ws.onclose = (e) => ok([e.code, e.wasClean])));
      ws.close(3000);
      results.push(await over);
      return results;
    });
    assert.deepEqual(seen, [['hello', 'polling'], ['hello', 'websocket'], ['hello', 'websocket'], 300_000, [3000, true]]);
    assert.deepEqual(faults.filter((f) => !/status of 404/.test(f)), []);
  });

  test('the end: close_notify comes, and SIGTERM leaves nobody waiting', async (t) => {
    const server = await start(t, { shards: 2 });
    const ended = await get(server.port, '/healthz', trust());
    assert.equal(ended.socket.fault, null);
    const socket = await connect(secure(server), { ...trust(), transports: ['websocket'] });
    const gone = event(socket, 'disconnect');
    const half = tcpConnect(server.port, '127.0.0.1').on('error', () => {});
    half.write(Buffer.from('16030102', 'hex'));
    await event(half, 'connect');
    await server.stop();
    assert.ok(['transport close', 'io server disconnect'].includes((await gone)[0] ?? (await gone)));
    half.destroy();
  });

  // The upgrade of a session goes to its shard, mostly another one than that by which its connection came.
  test('an upgrade on another shard, and the end of its connection: at once, in the middle, later', async (t) => {
    const server = await start(t, { shards: 4, options: { 'log.level': 'info', 'admin.listen': '127.0.0.1:0', 'socketio.upgrade_timeout': '1h' } });
    server.admin = await adminOf(server);
    const frame = (text) => Buffer.concat([Buffer.from([0x81, 0x80 | text.length, 0, 0, 0, 0]), Buffer.from(text)]);
    const path = (sid, transport) => `/socket.io/?EIO=4&transport=${transport}${sid ? `&sid=${sid}` : ''}`;
    const post = async (sid, packets) => {
      const socket = await dial(server.port, trust());
      socket.write(`POST ${path(sid, 'polling')} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: ${packets.length}\r\nConnection: close\r\n\r\n${packets}`);
      await socket.said(/^HTTP\/1\.1 200 /);
      socket.destroy();
    };
    // If so asked, hands on what comes when that has ended: the request, its first frame and close_notify are read as
    // one, and no FIN follows that would tell of the end a second time.
    let whole = false;
    const proxy = createServer({ allowHalfOpen: true }, (near) => {
      const far = tcpConnect({ port: server.port, host: '127.0.0.1' });
      const kept = [];
      near.on('data', (d) => (whole ? kept.push(d) : far.write(d))).on('end', () => far.write(Buffer.concat(kept))).on('error', () => far.destroy());
      far.on('data', (d) => near.write(d)).on('end', () => near.end()).on('error', () => near.destroy());
    });
    t.after(() => proxy.close());
    await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
    const upgrade = async (sid, port) => {
      const socket = await dial(port, trust());
      whole = port !== server.port;
      const head = `GET ${path(sid, 'websocket')} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
        + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';
      socket.write(Buffer.concat([Buffer.from(head), frame('2probe')]));
      return socket;
    };
    const moved = async () => (await metrics(server))['closed_total moved'] ?? 0;
    const ROUNDS = 24;
    for (let i = 0; i < ROUNDS; i++) {
      const { sid } = JSON.parse((await get(server.port, path('', 'polling'), trust())).body.slice(1));
      const socket = await upgrade(sid, i % 3 === 0 ? proxy.address().port : server.port);
      if (i % 3 === 0) {
        socket.end(); // the first shard has seen it
      } else {
        await socket.said(/^HTTP\/1\.1 101 [^]*3probe/);
        socket.write(frame('5'));
        if (i % 3 === 1) {
          socket.end();
        } else {
          socket.write(frame('40'));
          await socket.said(/40\{"sid":/);
          socket.destroy(); // without close_notify
        }
      }
      if (i % 3 !== 2) await socket.gone();
      whole = false;
      assert.equal(socket.fault, null);
      if (i % 3 === 0) await post(sid, '1');
    }
    assert.ok((await moved()) > ROUNDS / 3, 'some have moved');
    await until('all are gone', async () => {
      const m = await metrics(server);
      return m.conns === 0 && m.sessions === 0;
    }, 20_000);
    const again = await connect(secure(server), { ...trust(), transports: ['polling', 'websocket'] });
    await upgraded(again);
  });

  test('faults name the file, the line and the key', async () => {
    const dir = tempDir();
    const at = (name) => join(dir, name);
    writeFileSync(at('empty.pem'), 'nothing\n');
    await exec('openssl', ['pkey', '-in', pair.key, '-aes256', '-passout', 'pass:secret', '-out', at('sealed.key')]);
    await exec('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', at('old.key'), '-out', at('old.pem'), '-subj', '/CN=old',
      '-days', '1', '-not_after', '20200101000000Z', '-not_before', '20190101000000Z']).catch(() => {});
    const check = async (lines, expected, code = 2) => {
      const file = at('roomcast.ini');
      writeFileSync(file, `[listen a]\naddress = 127.0.0.1:0\n${lines}`);
      const r = await run(['-c', file, '--check']);
      assert.match(r.stderr, expected);
      assert.equal(r.code, code, r.stderr);
    };
    const ok = `tls = yes\ncertificate = ${pair.cert}\nkey = ${pair.key}\n`;
    await check(ok, /^$|client bundles/, 0);
    await check('tls = maybe\n', /roomcast\.ini:3: \[listen a\] tls = maybe: expected yes or no/);
    await check('tls = yes\n', /roomcast\.ini:1: \[listen a\] certificate = : expected a PEM file/);
    await check(`certificate = ${pair.cert}\n`, /roomcast\.ini:3: \[listen a\] certificate = .*: expected this key only with tls = yes/);
    await check('tls = yes\ncertificate = gone.pem\nkey = gone.key\n', /roomcast\.ini:4: \[listen a\] certificate = \/.*\/gone\.pem: No such file/);
    await check(`tls = yes\ncertificate = empty.pem\nkey = ${pair.key}\n`, /:4: \[listen a\] certificate = .*empty\.pem: there is no certificate in it/);
    await check(`tls = yes\ncertificate = ${pair.cert}\nkey = ${other.key}\n`, /:5: \[listen a\] key = .*other\.key: it is not the key of the certificate \S*server\.pem/);
    await check(`tls = yes\ncertificate = ${pair.cert}\nkey = sealed.key\n`, /:5: \[listen a\] key = .*sealed\.key: it is encrypted.*openssl pkey/);
    await check(`${ok}client_auth = required\n`, /\[listen a\] client_ca = : expected the PEM file/);
    await check(`${ok}client_auth = perhaps\n`, /:6: \[listen a\] client_auth = perhaps: expected off, optional or required/);
    await check(`${ok}tls_min = 1.1\n`, /:6: \[listen a\] tls_min = 1\.1: expected 1\.2 or 1\.3/);
    await check(`${ok}ciphers = NOPE\n`, /:6: \[listen a\] ciphers = NOPE: expected names as `openssl ciphers` lists them/);
    if (existsSync(at('old.pem')))
      await check('tls = yes\ncertificate = old.pem\nkey = old.key\n', /:4: \[listen a\] certificate = .*old\.pem: it has expired on 2020-01-01/, 0);
  });
});
