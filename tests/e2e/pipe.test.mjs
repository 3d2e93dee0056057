// Nodes of a cluster behind a proxy that knows nothing of sessions: whichever node a request lands on, the one
// that its sid names answers. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { after, afterEach, before, describe, test } from 'node:test';
import { connect as tlsConnect } from 'node:tls';

import { ask, client, closeAll, connect, connected, inbox, upgraded } from './lib/client.mjs';
import { eioPath, Polling } from './lib/eio.mjs';
import { metric, startWithMetrics } from './lib/metrics.mjs';
import { startNginx } from './lib/nginx.mjs';
import { startRedis } from './lib/redis.mjs';
import { Authority, listenTls } from './lib/tls.mjs';
import { logged, sleep, until, within } from './lib/wait.mjs';
import { RawWs, Wire, frame, request, TEXT } from './lib/wire.mjs';

const INI = `
[socketio]
cors_origin = *
[event join]
join = {1}
[event room]
emit = room {1}: said {2..}
[event echo]
ack = {args}
[event burst]
emit = sender: burst {1}
[limits]
max_queue = 64MiB
`;
const UNKNOWN = '{"code":1,"message":"Session ID unknown"}';
const range = (n) => [...Array(n).keys()];

afterEach(closeAll);

let redis;
before(async () => {
  redis = await startRedis();
});
after(() => redis?.stop());

let clusters = 0;

// Nodes that know each other. options: of all; own: of each, by its number.
async function startNodes(t, n, { ini = INI, shards = 2, options = {}, own = () => ({}), listeners } = {}) {
  const prefix = `pipes${++clusters}`;
  const nodes = [];
  for (const i of range(n)) {
    const node = await startWithMetrics(null, {
      ini,
      shards,
      listeners,
      options: {
        'cluster.redis': redis.url, 'cluster.prefix': prefix, 'cluster.node': `n${i}`, 'cluster.listen': '127.0.0.1:0',
        'cluster.lease': '1s', 'log.level': 'debug', ...options, ...own(i),
      },
    });
    nodes.push(node);
    t.after(() => node.ended || node.stop());
    [, node.pipePort] = /listening for nodes at 127\.0\.0\.1:(\d+)/.exec(node.stderr()) ?? [];
  }
  await know(nodes);
  return nodes;
}

// Each knows all others.
const know = (nodes) =>
  Promise.all(nodes.map((node) => until('the nodes know each other', async () => (await metric(node, 'cluster_nodes')) === nodes.length - 1, 20_000)));

// A proxy that gives each request to the next server that runs, and keeps its connections to them for all of its clients.
async function startSplitter(t, nodes) {
  const agents = nodes.map(() => new http.Agent({ keepAlive: true }));
  const sockets = new Set();
  let at = 0;
  const next = () => {
    do at = (at + 1) % nodes.length;
    while (nodes[at].ended);
    return at;
  };
  const server = http.createServer((req, res) => {
    const i = next();
    const up = http.request(
      { host: '127.0.0.1', port: nodes[i].port, method: req.method, path: req.url, headers: req.headers, agent: agents[i] },
      (answer) => {
        const { connection, ...headers } = answer.headers;
        res.writeHead(answer.statusCode, headers);
        answer.pipe(res);
      },
    );
    up.on('error', () => res.headersSent ? res.destroy() : res.writeHead(502).end());
    res.on('close', () => res.writableFinished || up.destroy());
    req.pipe(up);
  });
  server.on('upgrade', (req, socket, head) => {
    const up = net.connect(nodes[next()].port, '127.0.0.1');
    const lines = range(req.rawHeaders.length / 2).map((i) => `${req.rawHeaders[2 * i]}: ${req.rawHeaders[2 * i + 1]}\r\n`);
    up.write(`${req.method} ${req.url} HTTP/1.1\r\n${lines.join('')}\r\n`);
    up.write(head);
    socket.pipe(up).pipe(socket);
    for (const s of [socket, up]) {
      sockets.add(s);
      s.on('error', () => {}).on('close', () => [socket, up].forEach((other) => other.destroy()));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    for (const s of sockets) s.destroy();
    for (const a of agents) a.destroy();
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, port: server.address().port };
}

// A polling session of that node, in "/".
const opened = (node) => Polling.open(node, { namespace: '/' });
const by = (session, node) => Object.assign(new Polling(node), { sid: session.sid });

// The session, moved to a WebSocket that is opened at that node.
async function moved(session, node) {
  const ws = await RawWs.open(node, eioPath({ sid: session.sid, transport: 'websocket' }));
  await ws.send(TEXT, '2probe');
  await ws.frame();
  await ws.send(TEXT, '5');
  return ws;
}

// What both nodes say to the same request, but for what every answer of a pipe has.
async function same(a, b, options) {
  const pick = (r) => [r.status, r.body, r.headers['content-type'], r.headers['access-control-allow-origin']];
  const [here, there] = [await request(a, options()), await request(b, options())];
  assert.deepEqual(pick(there), pick(here));
  return there;
}

describe('single requests', () => {
  for (const shards of [1, 2, 4])
    test(`polls and POSTs at another node; ${shards} shards`, async (t) => {
      const [a, b] = await startNodes(t, 2, { shards });
      for (const _ of range(4)) {
        const session = await opened(a);
        const there = by(session, b);
        const poll = there.get();
        const posted = await there.raw('420["echo",1]');
        assert.deepEqual([posted.status, posted.body, posted.headers.connection], [200, 'ok', 'close']);
        const got = await poll;
        assert.deepEqual([got.status, got.body, got.headers.connection], [200, '430[1]', 'close']);
        assert.equal((await session.raw('421["echo",2]')).headers.connection, 'close'); // request() asks for it
        assert.deepEqual(await there.poll(), ['431[2]']);
      }
      assert.equal(await metric(b, 'pipes_made_total'), 12);
      assert.equal(await metric(a, 'piped_total'), 12);
      assert.equal(await metric(a, 'pipes_made_total'), 0);
      await until('all have ended', async () => (await metric(b, 'pipes')) === 0);
      assert.equal(await metric(b, 'pipes_failed_total'), 0);
    });

  test('a kept connection is kept for its own node, and ends behind an answer of another', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const own = await opened(b), other = await opened(a);
    const wire = await Wire.open(b);
    const post = (s) => `POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\r\n42["echo","x"]`;
    // Behind answers that have not been read, and with bytes of a next request behind it.
    await wire.write(post(own) + post(own) + post(other) + post(own));
    for (const connection of [undefined, undefined, 'close']) {
      const r = await wire.response();
      assert.deepEqual([r.status, r.body, r.headers.connection], [200, 'ok', connection]);
    }
    await wire.closed();
    assert.equal(wire.data.length, 0);
  });

  test('bodies of 900 KB, in pieces, in chunks, and with 100-continue', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'log.level': 'info' } });
    const session = await opened(a), there = by(session, b);
    const text = 'ü'.repeat(10) + 'x'.repeat(900_000);
    const packet = Buffer.from(`421["echo",${JSON.stringify(text)}]`);
    const poll = async () => JSON.parse((await there.poll())[0].slice(3))[0];
    assert.equal((await there.raw(packet)).status, 200);
    assert.equal(await poll(), text);
    const wire = await Wire.open(b);
    const head = (more) => `POST ${there.path()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${more}\r\n\r\n`;
    const whole = Buffer.concat([Buffer.from(head(`Content-Length: ${packet.length}`)), packet]);
    await wire.trickle(whole.subarray(0, 400));
    for (let i = 400; i < whole.length; i += 100_000) {
      await wire.write(whole.subarray(i, i + 100_000));
      await sleep(5);
    }
    assert.equal((await wire.response()).body, 'ok');
    assert.equal(await poll(), text);
    const chunked = await Wire.open(b);
    await chunked.write(head('Transfer-Encoding: chunked'));
    for (const part of [packet.subarray(0, 70_000), packet.subarray(70_000)]) {
      await chunked.write(`${part.length.toString(16)}\r\n`);
      await chunked.write(part);
      await chunked.write('\r\n');
    }
    await chunked.write('0\r\n\r\n');
    assert.equal((await chunked.response()).body, 'ok');
    assert.equal(await poll(), text);
    const polite = await Wire.open(b);
    await polite.write(head(`Content-Length: ${packet.length}\r\nExpect: 100-continue`));
    assert.equal((await polite.response()).status, 100);
    await polite.write(packet);
    assert.equal((await polite.response()).body, 'ok');
    assert.equal(await poll(), text);
    const greedy = await request(b, { method: 'POST', path: there.path(), body: Buffer.alloc(1_000_001, 'x') }).catch(() => null);
    assert.equal(greedy?.status ?? 413, 413);
  });

  test('errors are those of the session\'s node', async (t) => {
    const [a, b] = await startNodes(t, 2, { ini: `${INI}\n[socketio]\nallow_eio3 = yes\n` });
    const session = await opened(a);
    const headers = { Origin: 'http://other.example' };
    const get = (path, more) => () => ({ path, headers, ...more });
    const misfit = await same(a, b, get(eioPath({ sid: session.sid, transport: 'websocket' })));
    assert.equal(misfit.body, '{"code":3,"message":"Bad request"}');
    assert.equal(misfit.headers['access-control-allow-origin'], '*');
    await same(a, b, get(eioPath({ sid: session.sid, EIO: '3' })));
    await same(a, b, get(eioPath({ sid: session.sid }), { method: 'PUT' }));
    await same(a, b, get(eioPath({ sid: session.sid, transport: 'tube' })));
    for (const at of range(20)) {
      const wrong = session.sid.slice(0, at) + (session.sid[at] === 'A' ? 'B' : 'A') + session.sid.slice(at + 1);
      const r = await same(a, b, get(eioPath({ sid: wrong })));
      assert.deepEqual([r.status, r.body, r.headers['access-control-allow-origin']], [400, UNKNOWN, '*']);
    }
    await assert.rejects(RawWs.open(b, eioPath({ sid: session.sid.slice(0, 3) + '____' + session.sid.slice(7), transport: 'websocket' })), /400 Session ID unknown/);
    assert.equal((await by(session, b).raw('4')).body, (await (await opened(a)).raw('4')).body);
    assert.deepEqual(await by(session, b).poll(), ['6', '1']);
    await by(session, b).gone();
    assert.equal(await metric(b, 'pipes_failed_total'), 0);
  });

  test('whoever drops a poll ends the session, wherever the poll is', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const session = await opened(a);
    const wire = await Wire.open(b);
    await wire.write(`GET ${session.path()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    await until('it has come', async () => (await metric(a, 'piped_total')) === 1);
    wire.destroy();
    await logged(a, 'polling closed reason=poll_aborted');
    await session.gone();
    await until('the pipe has ended', async () => (await metric(b, 'pipes')) === 0);
  });

  test('the client\'s address is known to the session\'s node, and counted where the client is', async (t) => {
    const [a, b] = await startNodes(t, 2, {
      options: { 'server.trusted_proxies': '127.0.0.1', 'limits.max_connections_per_address': 1, 'limits.exempt_networks': '' },
      // What the client says of itself is not believed because its address may be a proxy's there.
      own: (i) => (i === 0 ? { 'server.trusted_proxies': '127.0.0.1, 192.0.2.0/24' } : {}),
    });
    const headers = (ip) => ({ 'X-Forwarded-For': `1.1.1.1, ${ip}` });
    const open = async (ip) => JSON.parse((await request(a, { path: eioPath(), headers: headers(ip) })).body.slice(1)).sid;
    const path = (sid) => eioPath({ sid, transport: 'websocket' });
    const [one, two, three] = [await open('192.0.2.1'), await open('2001:db8::5'), await open('192.0.2.1')];
    const ws = await RawWs.open(b, path(one), { headers: headers('192.0.2.1') });
    const ws6 = await RawWs.open(b, path(two), { headers: headers('2001:db8::5') });
    for (const w of [ws, ws6]) {
      await w.send(TEXT, '2probe');
      assert.equal(String((await w.frame()).data), '3probe');
      await w.send(TEXT, '5');
    }
    // The second of that address is one too many for the node of its connection, and was none for the other.
    await assert.rejects(RawWs.open(b, path(three), { headers: headers('192.0.2.1') }), /429/);
    const direct = await RawWs.open(a, path(three), { headers: headers('192.0.2.1') });
    for (const w of [ws, ws6, direct]) w.destroy();
    await logged(a, /peer=192\.0\.2\.1 websocket closed/);
    await logged(a, /peer=2001:db8::5 websocket closed/);
    await until('the pipes have ended', async () => (await metric(b, 'pipes')) === 0);
    const again = await RawWs.open(b, path(await open('192.0.2.1')), { headers: headers('192.0.2.1') });
    again.destroy();
  });

  test('sids of Engine.IO 3', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'socketio.allow_eio3': 'yes' } });
    const first = await request(a, { path: eioPath({ EIO: '3' }) });
    const { sid } = JSON.parse(first.body.slice(first.body.indexOf('{'), first.body.indexOf('}') + 1));
    const path = eioPath({ EIO: '3', sid });
    const poll = await request(b, { path });
    assert.deepEqual([poll.status, poll.body], [200, '2:40']);
    assert.equal((await request(b, { path, method: 'POST', body: '15:420["echo","é"]' })).body, 'ok');
    const got = await request(b, { path });
    assert.deepEqual([got.status, got.body], [200, '8:430["é"]']);
    await same(a, b, () => ({ path: eioPath({ EIO: '4', sid }) }));
  });
});

describe('upgrades', () => {
  test('at another node, with bytes of the client behind the request', async (t) => {
    const [a, b] = await startNodes(t, 2);
    for (const pipelined of [undefined, frame(TEXT, '2probe')]) {
      const session = await opened(a);
      const ws = await RawWs.open(b, eioPath({ sid: session.sid, transport: 'websocket' }), { pipelined });
      if (!pipelined) await ws.send(TEXT, '2probe');
      assert.equal(String((await ws.frame()).data), '3probe');
      await ws.send(TEXT, '5');
      const big = JSON.stringify('y'.repeat(900_000));
      await ws.send(TEXT, `423["echo",${big}]`);
      assert.equal(String((await ws.frame()).data), `433[${big}]`);
      await ws.send(8, Buffer.from([3, 232]));
      assert.equal(await ws.closeCode(), 1000);
      await ws.wire.closed();
    }
    await until('the pipes have ended', async () => (await metric(b, 'pipes')) === 0);
    await logged(b, /pipe closed reason=pipe bytes=\d{7}/);
  });

  test('of TLS clients', async (t) => {
    const authority = new Authority();
    const tls = listenTls(authority.issue('server'));
    const [a, b] = await startNodes(t, 2, { ini: `${INI}\n${tls}`, listeners: 2 });
    const session = await opened(a);
    const open = () =>
      new Promise((done, fail) => {
        const socket = tlsConnect({ host: '127.0.0.1', port: b.ports[1], ca: authority.pem, servername: 'localhost' }, () => done(new Wire(socket)));
        socket.on('error', fail);
      });
    const wire = await open();
    const body = `424["echo","${'z'.repeat(300_000)}"]`;
    await wire.write(`POST ${session.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    assert.equal((await wire.response()).body, 'ok');
    await wire.closed();
    const poll = await open();
    await poll.write(`GET ${session.path()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    assert.equal((await poll.response()).body, `434${body.slice(10).replace(/^,/, '[')}`.replace('434"', '434["'));
    const wss = await open();
    await wss.write(Buffer.concat([Buffer.from(RawWs.handshake(eioPath({ sid: session.sid, transport: 'websocket' })).text), frame(TEXT, '2probe')]));
    assert.equal((await wss.response()).status, 101);
    const ws = Object.assign(new RawWs(), { wire: wss });
    assert.equal(String((await ws.frame()).data), '3probe');
    await ws.send(TEXT, '5');
    await ws.send(TEXT, body);
    assert.equal(String((await ws.frame()).data).length, body.length - 7);
    ws.destroy();
    const socket = await connect({ url: `https://127.0.0.1:${a.ports[1]}` }, { transports: ['polling'], ca: authority.pem });
    // From the next request on, at the other node.
    socket.io.engine.transport.uri = new Proxy(socket.io.engine.transport.uri, { apply: (f, self, args) => f.apply(self, args).replace(`:${a.ports[1]}`, `:${b.ports[1]}`) });
    for (const i of range(5)) assert.equal(await ask(socket, 'echo', `${i}`), `${i}`);
    assert.ok((await metric(b, 'pipes_made_total')) > 5);
  });

  test('a client that does not read costs its node little, and misses nothing', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const session = await opened(a);
    const ws = await moved(session, b);
    ws.wire.socket.pause();
    const part = 'b'.repeat(800_000);
    const rounds = 40;
    for (const i of range(rounds)) await ws.send(TEXT, `42["burst","${i}${part}"]`);
    await until('much waits at the session\'s node', async () => (await metric(a, 'queued')) > 8_000_000, 20_000);
    assert.ok((await metric(b, 'queued')) < 300_000, `${await metric(b, 'queued')} bytes wait`);
    ws.wire.socket.resume();
    for (const i of range(rounds)) {
      const { data } = await ws.frame();
      assert.equal(String(data), `42["burst","${i}${part}"]`);
    }
    ws.destroy();
  });

  test('a session\'s node that does not read is no burden either', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const session = await opened(a);
    const ws = await moved(session, b);
    a.child.kill('SIGSTOP');
    t.after(() => a.child.kill('SIGCONT'));
    let sent = 0;
    const text = frame(TEXT, `42["room","x","${'c'.repeat(900_000)}"]`);
    const flood = (async () => {
      for (const _ of range(40)) {
        await ws.wire.write(text);
        sent++;
      }
    })();
    await sleep(500);
    assert.ok(sent < 40, 'it is held back');
    assert.ok((await metric(b, 'queued')) < 300_000, `${await metric(b, 'queued')} bytes wait`);
    a.child.kill('SIGCONT');
    await within(20_000, 'all is taken', flood);
    await ws.send(TEXT, '425["echo",7]');
    assert.equal(String((await ws.frame()).data), '435[7]');
    ws.destroy();
  });
});

describe('nodes that do not answer', () => {
  const unknown = async (session, node) => {
    const r = await request(node, { path: session.path(), headers: { Origin: 'http://other.example' } });
    assert.deepEqual([r.status, r.body, r.headers['access-control-allow-origin']], [400, UNKNOWN, '*']);
    await assert.rejects(RawWs.open(node, eioPath({ sid: session.sid, transport: 'websocket' })), /400 Session ID unknown/);
  };

  test('one that was killed', async (t) => {
    const [a, b, c] = await startNodes(t, 3);
    const session = await opened(a), other = await opened(c);
    const pending = by(session, b).get();
    const ws = await RawWs.open(b, eioPath({ sid: (await opened(a)).sid, transport: 'websocket' }));
    await until('it waits there', async () => (await metric(b, 'pipes')) === 2);
    await a.kill();
    const answer = await pending;
    assert.deepEqual([answer.status, answer.body], [400, UNKNOWN]);
    await ws.wire.closed();
    for (const node of [b, c]) await unknown(session, node); // before its lease is over
    await until('it is forgotten', async () => (await metric(b, 'cluster_nodes')) === 1, 20_000);
    await unknown(session, b);
    await by(other, b).post('426["echo","still"]');
    assert.deepEqual(await by(other, b).poll(), ['436["still"]']);
  });

  test('one that stands still', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const session = await opened(a);
    a.child.kill('SIGSTOP');
    t.after(() => a.child.kill('SIGCONT'));
    await unknown(session, b); // after its lease, or before it
    await logged(b, 'was not heard for cluster.lease');
    await unknown(session, b);
    a.child.kill('SIGCONT');
  });

  test('one that cannot be reached', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'cluster.pipe_timeout': '300ms', 'cluster.lease': '30s', 'server.backlog': 1 } });
    const session = await opened(a);
    a.child.kill('SIGSTOP');
    t.after(() => a.child.kill('SIGCONT'));
    // Until nobody is connected any more.
    const sockets = [];
    for (let connected = true; connected;) {
      const socket = net.connect(Number(a.pipePort), '127.0.0.1').on('error', () => {});
      sockets.push(socket);
      connected = await Promise.race([once(socket, 'connect').then(() => true), sleep(300).then(() => false)]);
    }
    const began = Date.now();
    await unknown(session, b);
    assert.ok(Date.now() - began >= 600, 'the time to connect was allowed');
    await logged(b, /node n0 at 127\.0\.0\.1:\d+ does not answer for its clients: pipe_timeout/);
    assert.equal(await metric(b, 'pipes_failed_total'), 2);
    for (const socket of sockets) socket.destroy();
    a.child.kill('SIGCONT');
    await until('it can be reached again', async () => (await by(session, b).raw('427["echo",1]')).status === 200);
  });

  test('one whose address is wrong', async (t) => {
    const dead = net.createServer().listen(0, '127.0.0.1');
    await once(dead, 'listening');
    const { port } = dead.address();
    await new Promise((done) => dead.close(done));
    const [a, b] = await startNodes(t, 2, { own: (i) => (i === 0 ? { 'cluster.advertise': `127.0.0.1:${port}` } : {}) });
    const session = await opened(a);
    await unknown(session, b);
    await logged(b, `node n0 at 127.0.0.1:${port} does not answer for its clients`);
    await session.post('427["echo",1]'); // the session knows nothing of it
  });

  test('addresses of all kinds', async (t) => {
    const kinds = [{ 'cluster.listen': '[::1]:0' }, { 'cluster.listen': 'localhost:0' }, { 'cluster.listen': '0.0.0.0:0', 'cluster.advertise': 'localhost:0' }];
    const nodes = await startNodes(t, 3, { own: (i) => kinds[i] });
    for (const a of nodes) {
      const session = await opened(a);
      for (const b of nodes) {
        await by(session, b).post('420["echo",1]');
        assert.deepEqual(await by(session, b).poll(), ['430[1]']);
      }
    }
  });

  test('one without cluster.listen', async (t) => {
    const [a, b] = await startNodes(t, 2, { own: (i) => (i === 0 ? { 'cluster.listen': '' } : {}) });
    const session = await opened(a);
    await unknown(session, b);
    const back = await opened(b);
    await by(back, a).post('428["echo",1]');
    assert.deepEqual(await by(back, a).poll(), ['438[1]']);
  });

  test('no more than cluster.max_pipes', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'cluster.max_pipes': 2 } });
    const sessions = [];
    for (const _ of range(3)) sessions.push(await opened(a));
    const polls = sessions.slice(0, 2).map((s) => by(s, b).get());
    await until('both are open', async () => (await metric(b, 'pipes')) === 2);
    assert.equal((await by(sessions[2], b).get()).status, 503);
    await sessions[0].post('429["echo",1]');
    assert.equal((await polls[0]).body, '439[1]');
    await until('one has ended', async () => (await metric(b, 'pipes')) === 1);
    await by(sessions[2], b).post('4210["echo",1]');
  });
});

describe('the listener for nodes', () => {
  // Header of version 2 for TCP4, with the token if there is one.
  const header = (token, family = 0x11) => {
    const rest = Buffer.concat([Buffer.from([192, 0, 2, 9, 0, 0, 0, 0, 4, 210, 0, 0]), ...(token ? [Buffer.from([0xe0, 0, token.length]), token] : [])]);
    const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n....', 'latin1');
    head[12] = 0x21;
    head[13] = family;
    head.writeUInt16BE(rest.length, 14);
    return Buffer.concat([head, rest]);
  };

  // From what nodes say of themselves.
  async function tokens(nodes) {
    const { decode } = await import('notepack.io');
    const { createClient } = await import('redis');
    const c = createClient({ url: redis.url });
    const found = new Map();
    await c.connect();
    await c.pSubscribe(`pipes${clusters}-roomcast#`, (message) => {
      const [, id, , what, , , , token] = decode(message);
      if (what === 'here') found.set(id, Buffer.from(token));
    }, true);
    await until('all have said their tokens', () => found.size === nodes.length, 20_000);
    await c.disconnect();
    return found;
  }

  test('takes nobody without the token of its node', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'server.trusted_proxies': '127.0.0.0/8' } });
    const session = await opened(a);
    const found = await tokens([a, b]);
    const get = `GET ${session.path()} HTTP/1.1\r\nHost: x\r\n\r\n`;
    const at = { port: Number(a.pipePort) };
    const tries = [
      header(), header(Buffer.alloc(16)), header(found.get('n1')), header(found.get('n0').subarray(0, 15)),
      header(Buffer.concat([found.get('n0'), Buffer.of(0)])), 'PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n', '',
    ];
    for (const first of tries) {
      const wire = await Wire.open(at);
      await wire.write(Buffer.concat([Buffer.from(first), Buffer.from(get)]));
      await wire.closed();
      assert.equal(wire.data.length, 0);
    }
    await logged(a, 'refused by cluster.listen: it does not show the token of this node');
    const text = await (await fetch(`${a.admin}/metrics`)).text();
    assert.match(text, /reason="pipe_token"\} [1-6]\n/);
    assert.match(text, /reason="proxy_header"\} 1\n/);
    assert.equal(await metric(a, 'piped_total'), 0);
    const good = await Wire.open(at);
    await good.trickle(header(found.get('n0')));
    await good.write(`POST ${session.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n420["echo","x"]`);
    const r = await good.response();
    assert.deepEqual([r.status, r.body, r.headers.connection], [200, 'ok', 'close']);
    await good.closed();
    assert.equal(await metric(a, 'piped_total'), 1);
  });

  test('whoever comes without it does not fill the log', async (t) => {
    const [a] = await startNodes(t, 1, { shards: 1, options: { 'log.level': 'info' } });
    await Promise.all(range(100).map(async () => {
      const wire = await Wire.open({ port: Number(a.pipePort) });
      await wire.write(header());
      await wire.closed();
    }));
    await logged(a, 'refused by cluster.listen');
    await sleep(300);
    const lines = a.stderr().match(/refused by cluster.listen|proxy closed/g).length;
    assert.ok(lines <= 80, `${lines} lines`);
  });

  test('what came by a pipe is not passed on again', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const session = await opened(a);
    const found = await tokens([a, b]);
    const wire = await Wire.open({ port: Number(b.pipePort) });
    await wire.write(Buffer.concat([header(found.get('n1')), Buffer.from(`GET ${session.path()} HTTP/1.1\r\nHost: x\r\n\r\n`)]));
    const r = await wire.response();
    assert.deepEqual([r.status, r.body], [400, UNKNOWN]);
    assert.equal(await metric(b, 'pipes_made_total'), 0);
  });

  test('its keys are checked', async () => {
    const { run } = await import('./lib/daemon.mjs');
    const check = async (...options) => (await run(['--check', ...options.flatMap((o) => ['-o', o])])).stderr;
    const REDIS = 'cluster.redis=redis://127.0.0.1:1';
    assert.match(await check('cluster.listen=127.0.0.1:5000'), /\[cluster\] listen = 127\.0\.0\.1:5000: expected cluster\.redis/);
    assert.match(await check(REDIS, 'cluster.listen=0.0.0.0:5000'), /listen = 0\.0\.0\.0:5000: expected one address, or .*cluster\.advertise/);
    assert.match(await check(REDIS, 'cluster.advertise=10.0.0.1:5000'), /advertise = 10\.0\.0\.1:5000: expected cluster\.listen/);
    assert.match(await check(REDIS, 'cluster.listen=:5000', 'cluster.advertise=:0'), /advertise = :0: expected the address of one machine/);
    assert.match(await check(REDIS, 'cluster.listen=127.0.0.1:5000', 'server.listen=127.0.0.1:5000'), /listen = 127\.0\.0\.1:5000: expected one that no other/);
    assert.doesNotMatch(await check(REDIS, 'cluster.listen=0.0.0.0:5000', 'cluster.advertise=localhost:0'), /expected/);
  });
});

describe('the end of a node', () => {
  test('ends the WebSockets that it passes on, and waits for answers that are on their way', async (t) => {
    const [a, b] = await startNodes(t, 2);
    const ws = await RawWs.open(b, eioPath({ sid: (await opened(a)).sid, transport: 'websocket' }));
    const session = await opened(a);
    const poll = by(session, b).get();
    await until('both are there', async () => (await metric(b, 'pipes')) === 2);
    const stopped = b.stop();
    await ws.wire.closed();
    await session.post('420["echo",1]');
    assert.equal((await poll).body, '430[1]');
    await stopped;
  });

  test('others pass requests on to it until its sessions have ended', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'server.drain_time': '3s' } });
    const sessions = [];
    for (const _ of range(10)) sessions.push(await opened(a));
    const stopped = a.stop('SIGTERM', 20_000);
    await until('clients cannot connect', () => Wire.open(a).then((w) => w.destroy(), () => true));
    const answers = await Promise.all(sessions.map((s) => by(s, b).raw('420["echo",1]')));
    assert.ok(answers.filter((r) => r.body === 'ok').length >= 5, `${answers.map((r) => r.body)}`);
    for (const s of sessions) by(s, b).get().catch(() => {}); // they are told
    await stopped;
    await assert.rejects(Wire.open({ port: Number(a.pipePort) }));
  });

  test('they are spread over server.drain_time', async (t) => {
    const [a, b] = await startNodes(t, 2, { options: { 'server.drain_time': '1s' } });
    const ended = [];
    for (const _ of range(10)) {
      const ws = await RawWs.open(b, eioPath({ sid: (await opened(a)).sid, transport: 'websocket' }));
      ws.wire.closed(30_000).then(() => ended.push(Date.now()));
    }
    await b.stop();
    await until('all have ended', () => ended.length === 10);
    assert.ok(ended[9] - ended[0] > 500, `over ${ended[9] - ended[0]} ms`);
  });
});

// Stock clients by a proxy that spreads requests over all nodes.
function conversations(name, front) {
  describe(name, () => {
    for (const [what, transports] of Object.entries({ 'polling only': ['polling'], 'polling, then WebSocket': ['polling', 'websocket'] }))
      for (const n of [2, 3])
        test(`${what}, ${n} nodes`, async (t) => {
          const nodes = await startNodes(t, n);
          const { url } = await front(t, nodes);
          const sockets = [];
          for (const _ of range(6)) sockets.push(Object.assign(await connect({ url }, { transports }), {}));
          for (const s of sockets) {
            s.box = inbox(s);
            if (transports.length === 2) await upgraded(s);
            assert.deepEqual(await ask(s, 'join', 'r'), { ok: true });
          }
          // Joined is joined on its own node; what others say comes by Redis.
          await until('all hear of all', async () => {
            await ask(sockets[0], 'room', 'r', 'mark');
            return sockets.every((s) => s.box.some((m) => m[1] === 'mark'));
          }, 20_000);
          const big = 'x'.repeat(900_000), bytes = Buffer.from(range(300).map((i) => i & 255));
          for (const [i, s] of sockets.entries()) {
            assert.equal(await ask(s, 'echo', big), big);
            assert.deepEqual(await ask(s, 'echo', { bytes }), { bytes });
            await ask(s, 'room', 'r', i, bytes);
          }
          for (const s of sockets) {
            const said = () => s.box.filter((m) => m[1] !== 'mark');
            const got = await until('all that was said', () => said().length >= sockets.length && said(), 20_000);
            assert.deepEqual(got.map((m) => m[1]).sort(), range(sockets.length));
            for (const m of got) assert.deepEqual(m[2], bytes);
          }
          const made = await Promise.all(nodes.map((node) => metric(node, 'pipes_made_total')));
          assert.ok(made.some((m) => m > 0), `${made}`);
          for (const node of nodes) assert.equal(await metric(node, 'pipes_failed_total'), 0);
          closeAll();
          await until('all pipes end', async () => (await Promise.all(nodes.map((node) => metric(node, 'pipes')))).every((p) => p === 0), 20_000);
        });

    test('100 clients at once', async (t) => {
      const nodes = await startNodes(t, 3, { options: { 'log.level': 'info' } });
      const { url } = await front(t, nodes);
      const sockets = range(100).map((i) => client({ url }, { transports: i % 2 ? ['polling'] : ['polling', 'websocket'] }));
      await Promise.all(sockets.map((s) => connected(s)));
      for (const round of range(3)) {
        const answers = await Promise.all(sockets.map((s, i) => ask(s, 'echo', `${round} ${i}`)));
        assert.deepEqual(answers, sockets.map((_, i) => `${round} ${i}`));
      }
      for (const node of nodes) assert.equal(await metric(node, 'pipes_failed_total'), 0);
      const sessions = await Promise.all(nodes.map((node) => metric(node, 'sessions')));
      assert.equal(sessions.reduce((x, y) => x + y), 100);
    });

    test('a node dies: its clients come back, others stay', async (t) => {
      const nodes = await startNodes(t, 3);
      const { url } = await front(t, nodes);
      const sockets = range(12).map((i) =>
        client({ url }, { transports: i % 2 ? ['polling'] : ['polling', 'websocket'], reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 300 }));
      await Promise.all(sockets.map((s) => connected(s)));
      for (const s of sockets) if (s.io.opts.transports.length === 2) await upgraded(s);
      for (const s of sockets) assert.equal(await ask(s, 'echo', 1), 1);
      const before = sockets.map((s) => s.id);
      const lost = await metric(nodes[2], 'sessions');
      assert.ok(lost > 0 && lost < 12, `${lost} sessions`);
      await nodes[2].kill();
      for (const s of sockets)
        await until('it is there, or again', () => s.connected && s.timeout(2000).emitWithAck('echo', 2).then(() => true, () => false), 40_000);
      await until('all sessions are elsewhere', async () => (await metric(nodes[0], 'sessions')) + (await metric(nodes[1], 'sessions')) >= 12, 20_000);
      const stayed = sockets.filter((s, i) => s.id === before[i]).length;
      assert.ok(stayed > 0, 'some have stayed');
    });
  });
}

conversations('behind a proxy that deals requests out', startSplitter);

conversations('behind nginx, one after the other, with kept connections', async (t, nodes) => {
  const front = await startNginx({
    upstream: `127.0.0.1:${nodes[0].port}`,
    more: [['keepalive 256;', `${nodes.slice(1).map((n) => `server 127.0.0.1:${n.port};`).join('\n')}\nkeepalive 256;`]],
  });
  t.after(() => front.stop());
  return front;
});
