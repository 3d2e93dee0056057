// Engine.IO v4 requests: handshake, errors, CORS, options, the client bundles.
//
// Every test that is not marked also passes against the npm server (TARGET=reference); where that
// differs from the protocol's description, the place is marked [REF]. In sum:
//  - WebSocket with EIO=3: the reference answers 101, then raw HTTP, then closes.
//  - polling.test.mjs and upgrade.test.mjs list theirs.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { MESSAGES, assertError, refusedUpgrade } from './lib/errors.mjs';
import { SHARDS, label, reference, start, startFor, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const get = (server, path, headers) => request(server, { path, headers });
const SID = /^[A-Za-z0-9_-]{20}$/;

function handshakeTests(server) {
  test('polling handshake: exact body and headers', async () => {
    const r = await get(server(), eioPath());
    assert.equal(r.status, 200);
    const sid = JSON.parse(r.body.slice(1)).sid;
    assert.match(sid, SID);
    assert.equal(
      r.body,
      `0{"sid":"${sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
    );
    assert.equal(r.headers['content-type'], 'text/plain; charset=UTF-8');
    assert.equal(r.headers['cache-control'], 'no-store');
    assert.equal(r.headers['content-length'], String(r.body.length));
    assert.equal(r.headers['set-cookie'], undefined);
    assert.equal(r.headers['access-control-allow-origin'], undefined);
    assert.equal(r.headers['x-xss-protection'], undefined);
  });

  test('WebSocket handshake: no upgrades', async () => {
    const ws = new Socket(server(), eioPath({ transport: 'websocket' }));
    const open = await ws.next();
    const { sid } = JSON.parse(open.slice(1));
    assert.match(sid, SID);
    assert.equal(
      open,
      `0{"sid":"${sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`,
    );
    ws.destroy();
  });

  test('what a query may look like', async () => {
    const paths = [
      '/socket.io/?EIO=4&transport=polling&t=Pabc.1',
      '/socket.io/?transport=polling&EIO=4',
      '/socket.io/?EIO=4&transport=polling&',
      '/socket.io/?EIO=4&transport=%70olling',
      '/socket.io/?&&x&EIO=4&=&transport=polling&y=%zz',
      '/socket.io/?EIO=4&transport=polling&sid=',
      '/socket.io/more/path/?EIO=4&transport=polling',
    ];
    for (const path of paths) {
      const r = await get(server(), path);
      assert.deepEqual([path, r.status, r.body[0]], [path, 200, '0']);
    }
    for (const path of [
      '/socket.io?EIO=4&transport=polling',
      '/socket.iox/?EIO=4&transport=polling',
      '/Socket.io/?EIO=4&transport=polling',
    ])
      assert.equal((await get(server(), path)).status, 404, path);
  });

  test('ids differ, and are not the Socket.IO ids', async () => {
    const all = await Promise.all(
      [...Array(20).keys()].map(() => Polling.open(server(), { namespace: '/' })),
    );
    assert.equal(new Set(all.flatMap((s) => [s.sid, s.id])).size, 40);
    for (const s of all) assert.match(s.id, SID);
  });
}

function errorTests(server) {
  const cases = [
    ['no transport', { transport: null }, {}, 0],
    ['unknown transport', { transport: 'tobi' }, {}, 0],
    ['empty transport', { transport: '' }, {}, 0],
    ['transport __proto__', { transport: '__proto__' }, {}, 0],
    ['transport constructor', { transport: 'constructor' }, {}, 0],
    ['unknown transport before unknown sid', { transport: 'tobi', sid: 'x' }, {}, 0],
    ['unknown sid', { sid: 'test' }, {}, 1],
    ['sid of the right length', { sid: 'AAAAAAAAAAAAAAAAAAAA' }, {}, 1],
    ['sid __proto__', { sid: '__proto__' }, {}, 1],
    ['sid constructor', { sid: 'constructor' }, {}, 1],
    ['long sid', { sid: 'x'.repeat(2000) }, {}, 1],
    ['sid with odd characters', { sid: '../\u0000%ü' }, {}, 1],
    ['POST to an unknown sid', { sid: 'test' }, { method: 'POST', body: '4' }, 1],
    ['unknown sid before transport mismatch', { sid: 'test', transport: 'websocket' }, {}, 1],
    ['handshake by POST', {}, { method: 'POST', body: '4' }, 2],
    ['handshake by PUT', {}, { method: 'PUT' }, 2],
    ['handshake by DELETE', {}, { method: 'DELETE' }, 2],
    ['handshake by OPTIONS without CORS', {}, { method: 'OPTIONS' }, 2],
    ['handshake by POST before EIO', { EIO: '3' }, { method: 'POST', body: '4' }, 2],
    ['websocket without an upgrade', { transport: 'websocket' }, {}, 3],
    ['EIO 3', { EIO: '3' }, {}, 5],
    ['no EIO', { EIO: null }, {}, 5],
    ['EIO 44', { EIO: '44' }, {}, 5],
  ];
  for (const [name, query, options, code] of cases)
    test(`error: ${name}`, async () => {
      assertError(await request(server(), { path: eioPath(query), ...options }), code);
    });

  test('error: known sid with another transport or protocol', async () => {
    const s = await Polling.open(server(), { namespace: '/' });
    assertError(await get(server(), s.path({ transport: 'websocket' })), 3);
    assertError(await get(server(), s.path({ EIO: '3' })), 3);
    const ws = await Socket.open(server(), { namespace: '/' });
    assertError(await get(server(), eioPath({ sid: ws.sid })), 3);
    assertError(await request(server(), { method: 'POST', path: eioPath({ sid: ws.sid }), body: '4' }), 3);
    await s.post('421["ask",1]'); // neither was harmed
    assert.deepEqual(await s.poll(), ['431[1]']);
    ws.send('422["ask",2]');
    assert.equal(await ws.next(), '432[2]');
    ws.destroy();
  });

  test('error: known sid with a method that is neither GET nor POST', async () => {
    const s = await Polling.open(server(), { namespace: '/' });
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const r = await request(server(), { method, path: s.path() });
      assert.deepEqual([r.status, r.body], [500, ''], method);
    }
    await s.post('421["ask",1]');
    assert.deepEqual(await s.poll(), ['431[1]']);
  });

  test('error: upgrades get text and a closed connection', async () => {
    const cases = [
      [eioPath({ transport: 'tobi' }), 0],
      [eioPath({ transport: null }), 0],
      [eioPath({ transport: 'websocket', sid: 'test' }), 1],
      [eioPath({ transport: 'websocket', sid: '__proto__' }), 1],
    ];
    for (const [path, code] of cases) {
      const r = await refusedUpgrade(server(), path);
      assert.deepEqual([r.status, r.reason, r.body], [400, 'Bad Request', MESSAGES[code]], path);
      assert.equal(r.headers.connection, 'close');
      assert.equal(r.headers['content-type'], 'text/html');
    }
  });

  test('error: upgrade with an unsupported EIO', async () => {
    const wire = await Wire.open(server());
    await wire.write(RawWs.handshake(eioPath({ transport: 'websocket', EIO: '3' })).text);
    const r = await wire.response();
    // [REF] 101 and then garbage
    if (!reference) assert.deepEqual([r.status, r.body], [400, MESSAGES[5]]);
    await wire.closed();
  });

  test('error: an Origin with control characters', async () => {
    // Node's own HTTP parser answers 400 before Engine.IO sees it.
    const wire = await Wire.open(server());
    await wire.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nOrigin: http://a\x01b\r\n\r\n`);
    assert.equal((await wire.response()).status, 400);
    wire.destroy();
  });
}

function corsTests(shards) {
  const ORIGIN = 'https://a.example';
  const handshake = (server, headers = { Origin: ORIGIN }) => get(server, eioPath(), headers);
  const preflight = (server, headers = {}) =>
    request(server, {
      method: 'OPTIONS',
      path: eioPath(),
      headers: { Origin: ORIGIN, 'Access-Control-Request-Method': 'POST', ...headers },
    });

  test('CORS *', async (t) => {
    const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.cors_origin': '*' } });
    const r = await handshake(server);
    assert.equal(r.status, 200);
    assert.equal(r.headers['access-control-allow-origin'], '*');
    assert.equal(r.headers['access-control-allow-credentials'], undefined);
    assert.equal((await handshake(server, {})).headers['access-control-allow-origin'], '*');
    const bad = await get(server, eioPath({ transport: 'tobi' }), { Origin: ORIGIN });
    assertError(bad, 0);
    assert.equal(bad.headers['access-control-allow-origin'], '*');
    const s = await Polling.open(server, { namespace: '/' });
    const post = await request(server, {
      method: 'POST',
      path: s.path(),
      headers: { Origin: ORIGIN },
      body: '421["ask",1]',
    });
    assert.equal(post.headers['access-control-allow-origin'], '*');
    const poll = await get(server, s.path(), { Origin: ORIGIN });
    assert.equal(poll.headers['access-control-allow-origin'], '*');
    const p = await preflight(server, { 'Access-Control-Request-Headers': 'content-type,x-mine' });
    assert.deepEqual([p.status, p.body], [204, '']);
    assert.equal(p.headers['access-control-allow-origin'], '*');
    assert.equal(p.headers['access-control-allow-methods'], 'GET,HEAD,PUT,PATCH,POST,DELETE');
    assert.equal(p.headers['access-control-allow-headers'], 'content-type,x-mine');
    assert.match(p.headers.vary, /Access-Control-Request-Headers/);
    assert.equal(p.headers['content-length'], '0');
  });

  test('CORS list', async (t) => {
    const options = {
      'socketio.cors_origin': `https://b.example, ${ORIGIN}`,
      'socketio.cors_credentials': 'yes',
    };
    const server = await startFor(t, { ini: RULES, shards, options });
    const r = await handshake(server);
    assert.equal(r.headers['access-control-allow-origin'], ORIGIN);
    assert.equal(r.headers['access-control-allow-credentials'], 'true');
    assert.match(r.headers.vary, /Origin/);
    for (const Origin of [
      'https://evil.example',
      'https://a.example.evil.example',
      'http://a.example',
      'null',
    ]) {
      const other = await handshake(server, { Origin });
      assert.equal(other.status, 200);
      assert.equal(other.headers['access-control-allow-origin'], undefined, Origin);
      assert.match(other.headers.vary, /Origin/);
    }
    const p = await preflight(server);
    assert.equal(p.status, 204);
    assert.equal(p.headers['access-control-allow-origin'], ORIGIN);
    assert.equal(p.headers['access-control-allow-credentials'], 'true');
    const evil = await preflight(server, { Origin: 'https://evil.example' });
    assert.equal(evil.headers['access-control-allow-origin'], undefined);
  });
}

function optionTests(shards) {
  test('only polling', async (t) => {
    const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.transports': 'polling' } });
    const s = await Polling.open(server);
    assert.deepEqual(s.handshake.upgrades, []);
    assertError(await get(server, eioPath({ transport: 'websocket' })), 0);
    const wire = await Wire.open(server); // an upgrade is a request like others then
    await wire.write(RawWs.handshake(eioPath({ transport: 'websocket' })).text);
    assertError(await wire.response(), 0);
    wire.destroy();
  });

  test('only WebSocket', async (t) => {
    const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.transports': 'websocket' } });
    assertError(await get(server, eioPath()), 0);
    (await Socket.open(server, { namespace: '/' })).destroy();
  });

  test('no upgrades', async (t) => {
    const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.allow_upgrades': 'no' } });
    assert.deepEqual((await Polling.open(server)).handshake.upgrades, []);
    (await Socket.open(server, { namespace: '/' })).destroy();
  });

  test('another path, another max_payload', async (t) => {
    const options = { 'socketio.path': '/rt/io', 'socketio.max_payload': '1KB' };
    const server = await startFor(t, { ini: RULES, shards, options });
    assert.equal((await get(server, eioPath())).status, 404);
    const r = await get(server, eioPath({ path: '/rt/io/' }));
    const { sid, maxPayload } = JSON.parse(r.body.slice(1));
    assert.equal(maxPayload, 1000);
    const path = eioPath({ path: '/rt/io/', sid });
    assert.equal((await request(server, { method: 'POST', path, body: `4${'x'.repeat(1000)}` })).status, 413);
    assert.equal((await request(server, { method: 'POST', path, body: '40' })).body, 'ok');
    const ws = new WebSocket(
      `ws://127.0.0.1:${server.port}${eioPath({ path: '/rt/io/', transport: 'websocket' })}`,
    );
    ws.on('open', () => ws.send('x'.repeat(1001)));
    const code = await within(5000, 'close', new Promise((r) => ws.on('close', r)));
    assert.equal(code, 1009);
  });
}

const { resolve } = createRequire(import.meta.url);
const DIST = reference
  ? join(dirname(resolve('socket.io/package.json')), 'client-dist')
  : dirname(resolve('socket.io-client/dist/socket.io.js'));
const BUNDLES = ['', '.esm.min', '.min', '.msgpack.min'].flatMap((v) => [
  `socket.io${v}.js`,
  `socket.io${v}.js.map`,
]);

function bundleTests(server, shards) {
  for (const name of BUNDLES) {
    test(`serves ${name}`, async () => {
      const path = `/socket.io/${name}`;
      const r = await request(server(), { path, binary: true });
      assert.equal(r.status, 200);
      assert.ok(r.body.equals(readFileSync(join(DIST, name))), 'bytes differ from the npm package');
      assert.match(r.headers['content-type'], name.endsWith('.map') ? /^application\/json/ : /javascript/);
      assert.equal(r.headers['cache-control'], 'public, max-age=0');
      const { etag } = r.headers;
      assert.match(etag, /^(W\/)?".+"$/);
      for (const tag of [etag, `W/${etag.replace('W/', '')}`]) {
        const same = await get(server(), path, { 'If-None-Match': tag });
        assert.deepEqual([same.status, same.body], [304, '']);
      }
      assert.equal((await get(server(), path, { 'If-None-Match': '"other"' })).status, 200);
      assert.equal((await get(server(), `${path}?v=1`)).status, 200);
    });
  }

  test('other names below the path are Engine.IO requests', async () => {
    const names = ['socket.io.mini.js', 'xsocket.io.js', '../package.json', 'index.html', ''];
    if (!reference) names.push('socket.io.esm.js'); // [REF] looks for the file and hangs up
    for (const name of names)
      assert.ok([400, 404].includes((await get(server(), `/socket.io/${name}`)).status), name);
    assertError(await get(server(), '/socket.io/'), 0);
  });

  test('serve_client = no', async (t) => {
    const off = await startFor(t, { ini: RULES, shards, options: { 'socketio.serve_client': 'no' } });
    assert.ok([400, 404].includes((await get(off, '/socket.io/socket.io.js')).status));
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    after(() => server.stop());
    handshakeTests(() => server);
    errorTests(() => server);
    corsTests(shards);
    optionTests(shards);
    bundleTests(() => server, shards);
  });
}
