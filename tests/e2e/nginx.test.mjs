// roomcast behind nginx, as conf/nginx.conf has it: every transport, its reload, slow clients, and ends of either.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import WebSocket from 'ws';

import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { tempDir } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { metric, startWithMetrics } from './lib/metrics.mjs';
import { nginxFor } from './lib/nginx.mjs';
import { SHARDS, label, roomcastOnly, start, startFor, until, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs } from './lib/wire.mjs';

const INI = `${RULES}\n[endpoint /echo]\nprotocol = echo\n`;
const TRUSTING = { 'server.trusted_proxies': '127.0.0.1' };
const TRANSPORTS = { 'polling only': ['polling'], 'WebSocket only': ['websocket'], upgrade: ['polling', 'websocket'] };
const range = (n) => [...Array(n).keys()];

function site() {
  const dir = join(tempDir(), 'site');
  mkdirSync(dir);
  writeFileSync(join(dir, 'index.html'), '<title>{title}</title>');
  writeFileSync(join(dir, 'big.js'), 'x'.repeat(3_000_000));
  return dir;
}

// From an address of this machine that is not the proxy's; certificates of tests are nobody's.
function agent(url, localAddress, keepAlive = true) {
  const options = { keepAlive, localAddress, rejectUnauthorized: false };
  return url.startsWith('https') ? new https.Agent(options) : new http.Agent(options);
}

function get(url, { method = 'GET', body, localAddress } = {}) {
  return within(20_000, `${method} ${url}`, new Promise((done, fail) => {
    const { request } = url.startsWith('https') ? https : http;
    const req = request(url, { method, localAddress, agent: false, rejectUnauthorized: false }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d)).on('error', fail).on('end', () => {
        done({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts).toString() });
      });
    });
    req.on('error', fail).end(body);
  }));
}

const via = (url, transports, localAddress, more = {}) =>
  client({ url }, { transports, agent: agent(url, localAddress), rejectUnauthorized: false, ...more });

async function echoed(url) {
  const ws = new WebSocket(`${url.replace('http', 'ws')}/echo`, { rejectUnauthorized: false });
  await within(20_000, 'WebSocket', once(ws, 'open'));
  const answer = once(ws, 'message');
  ws.send('hello');
  assert.equal(String((await within(20_000, 'echo', answer))[0]), 'hello');
  ws.close();
  await within(20_000, 'its end', once(ws, 'close'));
}

// A signal is sent sooner than it is met.
const isStill = (pid) =>
  readdirSync(`/proc/${pid}/task`).every((task) => / T /.test(readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1')));

describe('nginx', roomcastOnly, () => {
  afterEach(closeAll);

  for (const shards of SHARDS)
    for (const way of ['TCP', 'a Unix socket'])
      test(`every transport, files, plain WebSocket; by ${way}; ${label(shards)}`, async (t) => {
        const server = await startFor(t, {
          ini: INI,
          shards,
          listen: way === 'TCP' ? '127.0.0.1:0' : 'unix:s',
          options: { 'server.static_root': site(), ...(way === 'TCP' ? TRUSTING : {}) },
        });
        const front = await nginxFor(t, { upstream: server.sockets[0] ?? `127.0.0.1:${server.port}` });
        const sockets = [];
        let n = 0;
        for (const url of [front.url, front.tls])
          for (const transports of Object.values(TRANSPORTS)) {
            const c = await connected(via(url, transports, `127.9.0.${++n}`));
            if (transports.length === 2) await upgraded(c);
            sockets.push(c);
          }
        const boxes = sockets.map(inbox);
        for (const c of sockets) assert.deepEqual(await ask(c, 'join', 'lobby'), { ok: true });
        for (const [i, c] of sockets.entries()) await ask(c, 'say', 'lobby', i, Buffer.from([i, 255]));
        for (const box of boxes) await box.wait(sockets.length);
        for (const box of boxes)
          assert.deepEqual(box.slice(0, 6), range(6).map((i) => ['said', i, Buffer.from([i, 255])]));
        for (const url of [front.url, front.tls]) {
          await echoed(url);
          const page = await get(`${url}/`);
          assert.equal(page.status, 200);
          assert.match(page.body, /<title>roomcast/);
          assert.equal((await get(`${url}/big.js`)).body.length, 3_000_000);
          assert.equal((await get(`${url}/socket.io/socket.io.min.js`)).status, 200);
          assert.equal((await get(`${url}/nothing`)).status, 404);
          const long = await get(`${url}${eioPath({ sid: 'x'.repeat(20) })}`, { method: 'POST', body: 'x'.repeat(1_000_001) });
          assert.equal(long.status, 413);
        }
        closeAll();
        for (const i of range(6))
          await until(`the address of client ${i + 1}`, () =>
            new RegExp(`peer=127\\.9\\.0\\.${i + 1} (websocket|polling) closed`).test(server.stderr()), 20_000);
      });

  test('many polling clients share few connections to several shards', async (t) => {
    const server = await startFor(t, { ini: INI, shards: 4, options: TRUSTING });
    const front = await nginxFor(t, { upstream: `127.0.0.1:${server.port}` });
    const sockets = await Promise.all(range(40).map((i) => connected(via(front.url, ['polling'], `127.9.1.${i + 1}`))));
    for (const round of range(3))
      assert.deepEqual(await Promise.all(sockets.map((c, i) => ask(c, 'ask', [round, i]))), sockets.map((_, i) => [round, i]));
  });

  test('its stream module says by PROXY headers who a client is', async (t) => {
    const server = await startFor(t, {
      ini: `${INI}\n[listen bytes]\naddress = 127.0.0.1:0\nproxy_protocol = yes\n`,
      listeners: 2,
      shards: 2,
      options: TRUSTING,
    });
    const front = await nginxFor(t, { upstream: `127.0.0.1:${server.ports[0]}`, bytes: `127.0.0.1:${server.ports[1]}` });
    const url = `http://${front.bytes.host}:${front.bytes.port}`;
    let n = 0;
    for (const transports of Object.values(TRANSPORTS)) {
      const c = await connected(via(url, transports, `127.9.2.${++n}`));
      if (transports.length === 2) await upgraded(c);
      assert.deepEqual(await ask(c, 'ask', n), n);
      c.close();
      await until('its address', () =>
        new RegExp(`peer=127\\.9\\.2\\.${n}:\\d+ (websocket|polling) closed`).test(server.stderr()), 20_000);
    }
    await echoed(url);
  });

  test('nginx -s reload under load: WebSockets notice nothing, polling clients come back', async (t) => {
    const options = { ...TRUSTING, 'socketio.ping_interval': '3s', 'socketio.ping_timeout': '4s' };
    const server = await startFor(t, { ini: INI, shards: 2, options });
    const front = await nginxFor(t, { upstream: `127.0.0.1:${server.port}` });
    const again = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
    const open = async (transports, keepAlive) => {
      const own = { ...again, agent: agent(front.url, '127.9.3.1', keepAlive) };
      const c = await connected(via(front.url, transports, '127.9.3.1', own));
      if (transports.length === 2) await upgraded(c);
      await ask(c, 'join', 'lobby');
      const gone = [];
      c.on('disconnect', (reason) => gone.push(reason));
      return { c, box: inbox(c), gone };
    };
    const lasting = [];
    for (const transports of [['websocket'], ['polling', 'websocket'], ['websocket'], ['polling', 'websocket']])
      lasting.push(await open(transports));
    const polling = await Promise.all(range(4).map((i) => open(['polling'], i % 2 === 0)));
    // Two that send, each the next one when the last is acknowledged: what is acknowledged must arrive.
    let ending = false;
    const sent = [];
    const senders = range(2).map(async (s) => {
      const c = await connected(via(front.url, ['websocket'], '127.9.3.2'));
      for (let i = 0; !ending; i++) {
        assert.deepEqual(await ask(c, 'say', 'lobby', s, i), { ok: true });
        sent.push(s);
      }
    });
    for (const round of range(3)) {
      await until('messages', () => sent.length >= 60 * (round + 1), 60_000);
      await front.reload();
    }
    const enough = sent.length + 60;
    await until('messages of the new workers, too', () => sent.length >= enough, 60_000);
    ending = true;
    await Promise.all(senders);
    for (const { box } of lasting) await box.wait(sent.length);
    for (const { gone, box } of lasting) {
      assert.deepEqual(gone, []);
      assert.equal(box.length, sent.length);
      assert.deepEqual(box, lasting[0].box, 'one order for all');
      for (const s of [0, 1])
        assert.deepEqual(box.filter((m) => m[1] === s).map((m) => m[2]), range(sent.filter((x) => x === s).length));
    }
    // A poll may meet the end of a connection that an old worker has kept. Browsers send it again, or tell it
    // the client, which reconnects. Node's (xmlhttprequest-ssl 2.1.2) begins it again and never ends it: such a
    // client learns of it by its ping timeout.
    for (const p of polling) {
      await until('all messages, or its end', () => p.gone.length !== 0 || p.box.length === sent.length, 60_000);
      if (p.gone.length === 0) {
        assert.deepEqual(p.box, lasting[0].box);
        continue;
      }
      await until('it is back', () => p.c.connected, 60_000);
      assert.deepEqual(await ask(p.c, 'ask', 1), 1);
    }
  });

  test('a client that does not read is closed by max_queue, others get everything', async (t) => {
    const server = await startFor(t, { ini: INI, shards: 2, options: { ...TRUSTING, 'limits.max_queue': '256KiB' } });
    const front = await nginxFor(t, { upstream: `127.0.0.1:${server.port}` });
    const slow = await RawWs.open(front, eioPath({ transport: 'websocket' }));
    await slow.frame();
    await slow.send(1, '40');
    await slow.frame();
    await slow.send(1, '420["join","flood"]');
    await slow.frame();
    slow.wire.socket.pause();
    const fast = await Promise.all([['websocket'], ['polling']].map((transports) => connected(via(front.url, transports))));
    const boxes = fast.map(inbox);
    for (const c of fast) await ask(c, 'join', 'flood');
    const big = 'x'.repeat(64 << 10);
    let n = 0;
    const closed = () => server.stderr().includes('websocket closed reason=slow_consumer');
    // What the kernel and nginx take for it comes first: some 20 MB.
    while (!closed() && n < 2000) {
      for (let i = 0; i < 4; i++) await ask(fast[0], 'say', 'flood', n++, big);
      for (const box of boxes) await box.wait(n);
    }
    assert.ok(closed(), `after ${n} messages`);
    for (const box of boxes) assert.deepEqual(box.map((m) => m[1]), range(n));
    for (const c of fast) assert.ok(c.connected);
    slow.wire.socket.resume();
    await slow.wire.closed(60_000);
  });

  test('roomcast restarts behind it: 502 meanwhile, and the clients return', async (t) => {
    const listen = `unix:${join(tempDir(), 's')}`;
    const first = await start({ ini: INI, shards: 2, listen });
    t.after(() => first.stop());
    const front = await nginxFor(t, { upstream: first.sockets[0] });
    const again = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
    const sockets = [];
    for (const transports of Object.values(TRANSPORTS)) {
      const c = await connected(via(front.url, transports, '127.9.4.1', again));
      if (transports.length === 2) await upgraded(c);
      sockets.push(c);
    }
    const ends = sockets.map((c) => event(c, 'disconnect', 60_000));
    await first.stop();
    await Promise.all(ends);
    assert.equal((await get(`${front.url}${eioPath()}`)).status, 502);
    assert.equal((await get(`${front.tls}/`)).status, 502);
    const second = await startFor(t, { ini: INI, shards: 2, listen });
    await until('all are back', () => sockets.every((c) => c.connected), 60_000);
    const boxes = sockets.map(inbox);
    for (const c of sockets) await ask(c, 'join', 'lobby');
    await ask(sockets[0], 'say', 'lobby', 'again');
    for (const box of boxes) await box.wait(1);
    assert.equal(second.ended, null);
  });

  test('roomcast stands still for a while: 504, and everything goes on', async (t) => {
    const server = await startFor(t, { ini: INI, shards: 2, options: TRUSTING });
    const more = [['proxy_read_timeout 75s;', 'proxy_read_timeout 1s;']];
    const front = await nginxFor(t, { upstream: `127.0.0.1:${server.port}`, more });
    assert.equal((await get(`${front.url}/healthz`)).status, 200);
    process.kill(server.pid, 'SIGSTOP');
    await until('all its threads stand still', () => isStill(server.pid));
    try {
      const answers = await Promise.all(range(8).map(() => get(`${front.url}/healthz`)));
      assert.deepEqual(answers.map((r) => r.status), Array(8).fill(504));
    } finally {
      process.kill(server.pid, 'SIGCONT');
    }
    await until('it answers', async () => (await get(`${front.url}/healthz`)).status === 200, 20_000);
    const c = await connected(via(front.url, ['polling']));
    assert.deepEqual(await ask(c, 'ask', 1), 1);
  });

  for (const [how, signal] of [['dies', 'SIGKILL'], ['stands still', 'SIGSTOP']])
    test(`nginx ${how}: nothing of its clients is left`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: INI,
        shards: 2,
        options: { ...TRUSTING, 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': '1s' },
      });
      const front = await nginxFor(t, { upstream: `127.0.0.1:${server.port}` });
      t.after(() => front.kill());
      for (const transports of Object.values(TRANSPORTS)) {
        const c = await connected(via(front.url, transports));
        if (transports.length === 2) await upgraded(c);
      }
      assert.ok((await metric(server, 'conns')) >= 3);
      front.signal(signal);
      await until('its sessions are gone', async () => (await metric(server, 'sessions')) === 0, 60_000);
      if (how === 'dies') await until('its connections are gone', async () => (await metric(server, 'conns')) === 0, 60_000);
      else await until('the reason', () => /closed reason=ping_timeout/.test(server.stderr()), 20_000);
      await front.kill();
      await until('its connections are gone', async () => (await metric(server, 'conns')) === 0, 60_000);
      const direct = await connect(server, { transports: ['websocket'] });
      assert.deepEqual(await ask(direct, 'ask', 1), 1);
    });
});
