// The client-facing port as a web server: files, errors, connections. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';

import { tempDir } from './lib/daemon.mjs';
import { eioPath } from './lib/eio.mjs';
import { SHARDS, label, reference, roomcastOnly, sleep, slow, start, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { Wire, request } from './lib/wire.mjs';

const BIG = Buffer.from([...Array(400_000).keys()].map((i) => (i * 7) & 255));
const LONG = 'body { color: red }\n'.repeat(200);
const PAGE = '<!DOCTYPE html><title>{title}</title><h1>{title}</h1>\n';

function site() {
  const top = tempDir();
  const root = join(top, 'site');
  mkdirSync(join(root, 'sub', 'deep'), { recursive: true });
  mkdirSync(join(root, 'bare'));
  mkdirSync(join(root, '.git'));
  const files = {
    'index.html': PAGE,
    'style.css': 'body { color: red }',
    'app.js': 'let x = "{title}";',
    'long.css': LONG,
    'data.json': '{}',
    'pic.png': Buffer.from([0x89, 0x50, 0x4e, 0x47]),
    'picture.svg': '<svg/>',
    'unknown.xyz': 'x',
    'no-extension': 'y',
    'big.bin': BIG,
    'empty.txt': '',
    'a b ü%.txt': 'odd name',
    'sub/index.html': 'sub index',
    'sub/deep/x.txt': 'deep',
    'bare/file.txt': 'no index here',
    '.hidden': 'secret',
    '.git/config': 'secret',
    'sub/.env': 'secret',
  };
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content);
  writeFileSync(join(top, 'secret.txt'), 'secret');
  symlinkSync('.', join(root, 'sub', 'circle'));
  return root;
}

const get = (server, path, headers) => request(server, { path, headers });

// Sends bytes, returns the responses until the server closes or n have come.
async function talk(server, bytes, n = 1, { head } = {}) {
  const wire = await Wire.open(server);
  await wire.write(bytes);
  const all = [];
  for (let i = 0; i < n; i++) all.push(await wire.response({ head }));
  return { all, first: all[0], wire };
}

function fileTests(server) {
  test('files with their types', async () => {
    const types = {
      '/style.css': 'text/css; charset=utf-8',
      '/app.js': 'text/javascript; charset=utf-8',
      '/data.json': 'application/json',
      '/pic.png': 'image/png',
      '/picture.svg': 'image/svg+xml',
      '/empty.txt': 'text/plain; charset=utf-8',
      '/unknown.xyz': 'application/octet-stream',
      '/no-extension': 'application/octet-stream',
      '/index.html': 'text/html; charset=utf-8',
    };
    for (const [path, type] of Object.entries(types)) {
      const r = await get(server(), path);
      assert.deepEqual([path, r.status, r.headers['content-type']], [path, 200, type]);
      assert.equal(r.headers['x-content-type-options'], 'nosniff');
    }
    assert.equal((await get(server(), '/style.css')).body, 'body { color: red }');
    assert.equal((await get(server(), '/app.js')).body, 'let x = "{title}";', 'only HTML is filled');
    assert.equal((await get(server(), '/sub/deep/x.txt')).body, 'deep');
  });

  test('a large file, byte for byte, many at once', async () => {
    const all = await Promise.all(
      [...Array(10).keys()].map(() => request(server(), { path: '/big.bin', binary: true })),
    );
    for (const r of all) assert.ok(r.body.equals(BIG));
  });

  test('index.html, with the title escaped', async () => {
    const title = 'Ünï &lt;b&gt; &quot;x&quot; &amp;';
    for (const path of ['/', '/?x=1', '/index.html']) {
      const r = await get(server(), path);
      assert.equal(r.body, `<!DOCTYPE html><title>${title}</title><h1>${title}</h1>\n`);
      assert.equal(r.headers['content-length'], String(Buffer.byteLength(r.body)));
    }
    assert.equal((await get(server(), '/sub/')).body, 'sub index');
    const r = await get(server(), '/sub');
    assert.deepEqual([r.status, r.headers.location], [301, '/sub/']);
    assert.equal((await get(server(), '/bare/')).status, 404, 'no listing');
  });

  test('names with blanks and other letters', async () => {
    assert.equal((await get(server(), '/a%20b%20%C3%BC%25.txt')).body, 'odd name');
    assert.equal((await get(server(), '/%73tyle.css')).status, 200);
    for (const path of [
      '/a+b+%C3%BC%25.txt',
      '/style.css/',
      '/STYLE.CSS',
      '/style.css%00',
      '/%zz',
      '/style.css%',
      '/nothing',
    ])
      assert.ok([400, 404].includes((await get(server(), path)).status), path);
  });

  test('ETag and 304', async () => {
    for (const path of ['/', '/big.bin']) {
      const r = await get(server(), path);
      const { etag } = r.headers;
      assert.match(etag, /^"[\x21-\x7e]+"$/);
      for (const tag of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
        const same = await get(server(), path, { 'If-None-Match': tag });
        assert.deepEqual([tag, same.status, same.body, same.headers.etag], [tag, 304, '', etag]);
      }
      for (const tag of ['"x"', etag.slice(1, -1)])
        assert.equal((await get(server(), path, { 'If-None-Match': tag })).status, 200);
    }
    const [a, b] = await Promise.all([get(server(), '/style.css'), get(server(), '/app.js')]);
    assert.notEqual(a.headers.etag, b.headers.etag);
  });

  test('text files are compressed, and have another ETag then', async () => {
    const get = (path, headers = {}) => request(server(), { path, headers: { 'Accept-Encoding': 'gzip', ...headers }, binary: true });
    const plain = await request(server(), { path: '/long.css' });
    assert.deepEqual([plain.body, plain.headers['content-encoding'], plain.headers.vary], [LONG, undefined, 'Accept-Encoding']);
    const r = await get('/long.css');
    assert.equal(r.status, 200);
    assert.equal(r.headers['content-encoding'], 'gzip');
    assert.equal(r.headers['content-type'], 'text/css; charset=utf-8');
    assert.equal(r.headers['content-length'], String(r.body.length));
    assert.equal(r.headers.vary, 'Accept-Encoding');
    assert.equal(r.headers['x-content-type-options'], 'nosniff');
    assert.ok(r.body.length < LONG.length / 5);
    assert.equal(gunzipSync(r.body).toString(), LONG);
    assert.notEqual(r.headers.etag, plain.headers.etag);

    for (const tag of [r.headers.etag, `W/${r.headers.etag}`, '*']) {
      const same = await get('/long.css', { 'If-None-Match': tag });
      assert.deepEqual([same.status, same.headers.etag, same.headers['content-encoding'], same.body.length], [304, r.headers.etag, undefined, 0]);
    }
    assert.equal((await get('/long.css', { 'If-None-Match': plain.headers.etag })).status, 200, 'other bytes');
    assert.equal((await request(server(), { path: '/long.css', headers: { 'If-None-Match': r.headers.etag } })).status, 200);

    const { first } = await talk(server(), 'HEAD /long.css HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n', 1, { head: true });
    assert.deepEqual([first.headers['content-length'], first.headers.etag], [r.headers['content-length'], r.headers.etag]);
    for (const coding of ['identity', 'br', 'deflate', 'gzip;q=0', '*;q=0'])
      assert.equal((await get('/long.css', { 'Accept-Encoding': coding })).body.toString(), LONG, coding);
    for (const path of ['/style.css', '/big.bin', '/empty.txt', '/nothing'])
      assert.equal((await get(path)).headers['content-encoding'], undefined, path);
  });

  test('HEAD is GET without the body', async () => {
    for (const path of ['/', '/big.bin', '/nothing', '/healthz', '/socket.io/socket.io.js']) {
      const { first, wire } = await talk(server(), `HEAD ${path} HTTP/1.1\r\nHost: x\r\n\r\n`, 1, {
        head: true,
      });
      const g = await get(server(), path);
      assert.equal(first.status, g.status, path);
      assert.equal(first.headers['content-length'], g.headers['content-length'], path);
      assert.equal(first.headers.etag, g.headers.etag);
      await wire.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'); // no body bytes lie between
      assert.equal((await wire.response()).status, 200);
      wire.destroy();
    }
  });

  test('no way out of the folder, no dot files', async () => {
    const paths = [
      '/../secret.txt',
      '/sub/../../secret.txt',
      '/..%2fsecret.txt',
      '/%2e%2e/secret.txt',
      '/%2e%2e%2fsecret.txt',
      '/..\\secret.txt',
      '/..%5csecret.txt',
      '//../secret.txt',
      '/./../secret.txt',
      '/sub/%2e%2e/%2e%2e/secret.txt',
      '/..%c0%afsecret.txt',
      '/%252e%252e/secret.txt',
      '/....//secret.txt',
      '/sub/..;/../secret.txt',
      '/etc/passwd',
      '//etc/passwd',
      '/.hidden',
      '/.git/config',
      '/.git/',
      '/sub/.env',
      '/%2ehidden',
      '/sub/%2eenv',
      '/.',
      '/..',
      '/sub/circle/.env',
    ];
    for (const path of paths) {
      const wire = await Wire.open(server()); // as written: no client tidies it up
      await wire.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      const r = await wire.response();
      assert.ok([301, 400, 404].includes(r.status), `${path}: ${r.status}`);
      assert.ok(!r.body.includes('secret') || r.status === 404, path);
      assert.ok(!r.body.includes('root:'), path);
      wire.destroy();
    }
  });

  test('health', async () => {
    const r = await get(server(), '/healthz');
    assert.deepEqual([r.status, r.body], [200, 'ok\n']);
    assert.equal(r.headers['cache-control'], 'no-store');
    assert.equal((await get(server(), '/healthz/x')).status, 404);
  });
}

function errorTests(server) {
  test('404, 405, 413, 414, 431: pages, and the connection as it should be', async () => {
    const long = 'x'.repeat(9000);
    const cases = [
      [404, true, 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n'],
      [405, true, 'DELETE / HTTP/1.1\r\nHost: x\r\n\r\n'],
      [405, true, 'BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n'],
      [405, null, 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi'],
      [414, false, `GET /${long} HTTP/1.1\r\nHost: x\r\n\r\n`],
      [431, false, `GET / HTTP/1.1\r\nHost: x\r\nX: ${long}\r\nY: ${long}\r\n\r\n`],
      [431, false, `GET / HTTP/1.1\r\nHost: x\r\n${'X: y\r\n'.repeat(70)}\r\n`],
      [505, false, 'GET / HTTP/2.0\r\nHost: x\r\n\r\n'],
    ];
    for (const [status, alive, bytes] of cases) {
      const { first, wire } = await talk(server(), bytes);
      assert.equal(first.status, status, bytes.slice(0, 40));
      assert.ok(first.body.length > 0);
      if (status === 405) assert.match(first.headers.allow, /GET/);
      if (alive === false) {
        assert.equal(first.headers.connection, 'close');
        await wire.closed();
      } else if (alive) {
        await wire.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
        assert.equal((await wire.response()).status, 200);
      }
      wire.destroy();
    }
    const { first } = await talk(server(), 'OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal(first.status, 204);
  });

  // RFC 9112: what two parsers could read in two ways is refused, and the connection ends.
  const AMBIGUOUS = {
    'two lengths that differ':
      'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'a list of lengths that differ': 'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4, 5\r\n\r\nabcde',
    'length and chunked':
      'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'a signed length': 'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd',
    'a negative length': 'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\nabcd',
    'a hexadecimal length': 'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0x4\r\n\r\nabcd',
    'an empty length': 'POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n',
    'a length of 30 digits': `POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: ${'9'.repeat(30)}\r\n\r\n`,
    'obs-fold': 'GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n',
    'a blank before the colon': 'GET / HTTP/1.1\r\nHost : x\r\n\r\n',
    'a header without a colon': 'GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n',
    'a header without a name': 'GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n',
    'a bare CR': 'GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n',
    'a NUL': 'GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n',
    'a blank in the target': 'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n',
    'no version': 'GET /\r\nHost: x\r\n\r\n',
    'no target': 'GET HTTP/1.1\r\nHost: x\r\n\r\n',
    garbage: '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    'no Host': 'GET / HTTP/1.1\r\n\r\n',
    'two Hosts': 'GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
    'a bad chunk size': `POST ${eioPath({ sid: 'x' })} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n`,
    'a chunk longer than it says': `POST ${eioPath({ sid: 'x' })} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n`,
    'chunked in HTTP/1.0': 'POST /p HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  };
  for (const [name, bytes] of Object.entries(AMBIGUOUS)) {
    test(`refused: ${name}`, async () => {
      const wire = await Wire.open(server());
      await wire.write(Buffer.from(bytes, 'latin1'));
      await wire.write('GET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n').catch(() => {});
      const r = await wire.response();
      assert.equal(r.status, 400, r.body);
      assert.equal(r.headers.connection, 'close');
      await wire.closed();
      assert.equal(wire.data.length, 0, 'nothing after the refusal');
    });
  }

  test('refused: unknown transfer codings', async () => {
    for (const coding of ['gzip, chunked', 'identity', 'chunked, chunked', 'xchunked']) {
      const { first, wire } = await talk(
        server(),
        `POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`,
      );
      assert.ok([400, 501].includes(first.status), `${coding}: ${first.status}`);
      await wire.closed();
    }
  });

  test('a refusal harms no other connection', async () => {
    const good = await Wire.open(server());
    for (const bytes of Object.values(AMBIGUOUS)) {
      const bad = await Wire.open(server());
      await bad.write(Buffer.from(bytes, 'latin1'));
      await bad.closed();
    }
    await good.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await good.response()).status, 200);
    good.destroy();
  });
}

function connectionTests(server, shards) {
  const HEALTH = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';

  test('keep-alive, Connection: close, HTTP/1.0', async () => {
    const { wire } = await talk(server(), HEALTH);
    for (let i = 0; i < 20; i++) {
      await wire.write(HEALTH);
      assert.equal((await wire.response()).body, 'ok\n');
    }
    await wire.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    assert.equal((await wire.response()).headers.connection, 'close');
    await wire.closed();

    const old = await talk(server(), 'GET /healthz HTTP/1.0\r\n\r\n');
    assert.equal(old.first.status, 200);
    await old.wire.closed();
    const kept = await talk(server(), 'GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    assert.match(kept.first.headers.connection, /keep-alive/i);
    await kept.wire.write('GET /healthz HTTP/1.0\r\n\r\n');
    assert.equal((await kept.wire.response()).status, 200);
    await kept.wire.closed();
  });

  test('requests in one write, answered in order', async () => {
    const paths = ['/style.css', '/nothing', '/big.bin', '/', '/healthz', '/sub/', '/big.bin', '/empty.txt'];
    const bytes = paths.map((p) => `GET ${p} HTTP/1.1\r\nHost: x\r\n\r\n`).join('');
    for (let i = 0; i < 3; i++) {
      const { all, wire } = await talk(server(), bytes.repeat(4), paths.length * 4);
      assert.deepEqual(
        all.slice(0, 8).map((r) => r.status),
        [200, 404, 200, 200, 200, 200, 200, 200],
      );
      assert.equal(all[0].body, 'body { color: red }');
      assert.equal(all[5].body, 'sub index');
      assert.equal(all[12].body, 'ok\n');
      wire.destroy();
    }
  });

  test('one byte at a time, with empty lines in between', async () => {
    const wire = await Wire.open(server());
    await wire.trickle(`\r\n${HEALTH}\r\n\r\nGET /style.css HTTP/1.1\r\nhOST:x\r\nX-Odd:\t a  \r\n\r\n`);
    assert.equal((await wire.response()).body, 'ok\n');
    assert.equal((await wire.response()).body, 'body { color: red }');
    wire.destroy();
  });

  test('a chunked POST, one byte at a time', async () => {
    const sid = JSON.parse((await get(server(), eioPath())).body.slice(1)).sid;
    const path = eioPath({ sid });
    const wire = await Wire.open(server());
    const chunks = '1\r\n4\r\n1;name="value"\r\n0\r\n00\r\nX-Trailer: y\r\n\r\n';
    await wire.trickle(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n${chunks}${HEALTH}`,
    );
    assert.equal((await wire.response()).body, 'ok');
    assert.equal((await wire.response()).body, 'ok\n');
    assert.match((await get(server(), path)).body, /^40\{"sid"/);
    wire.destroy();
  });

  test('Expect: 100-continue', async () => {
    const sid = JSON.parse((await get(server(), eioPath())).body.slice(1)).sid;
    const wire = await Wire.open(server());
    await wire.write(
      `POST ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n`,
    );
    assert.equal((await wire.response()).status, 100);
    await wire.write('40');
    assert.equal((await wire.response()).body, 'ok');
    await wire.write(
      `POST ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n\r\n`,
    );
    assert.equal((await wire.response()).status, 413, 'the body is not asked for');
    wire.destroy();
  });

  test('absolute form, and what proxies send', async () => {
    const { first } = await talk(
      server(),
      'GET http://x.example/style.css?q HTTP/1.1\r\nHost: x.example\r\nVia: 1.1 p\r\n\r\n',
    );
    assert.equal(first.body, 'body { color: red }');
  });

  test('a client that closes its half after the request still gets the answer', async () => {
    const wire = await Wire.open(server());
    wire.socket.end(HEALTH);
    assert.equal((await wire.response()).body, 'ok\n');
    await wire.closed();
  });

  test('a client that does not read what it asked for holds up nobody', async () => {
    const greedy = await Wire.open(server());
    greedy.socket.pause();
    greedy.write('GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(60)); // 24 MB
    for (let i = 0; i < 20; i++) {
      const from = Date.now();
      assert.equal((await get(server(), '/healthz')).status, 200);
      assert.ok(Date.now() - from < 1000 * slow);
    }
    greedy.destroy();
  });

  test('slow heads, slow bodies and idle connections are ended', async (t) => {
    const options = { 'limits.head_timeout': '400ms', 'limits.idle_timeout': '700ms' };
    const own = await startFor(t, { ini: RULES, shards, options });
    const ends = async (wire, least, most) => {
      const from = Date.now();
      await wire.closed(8000);
      const took = Date.now() - from;
      assert.ok(took > least && took < most * slow, `${took} ms`);
      return wire.data.toString();
    };
    const dripping = await Wire.open(own);
    const drip = setInterval(
      () => dripping.socket.writable && dripping.write('X: y\r\n').catch(() => {}),
      100,
    );
    await dripping.write('GET / HTTP/1.1\r\nHost: x\r\n');
    dripping.socket.on('error', () => {});
    const text = await ends(dripping, 250, 1500);
    clearInterval(drip);
    assert.ok(text === '' || text.startsWith('HTTP/1.1 408 '), text);

    const idle = await talk(own, HEALTH);
    assert.equal(await ends(idle.wire, 400, 2500), '');
    const silent = await Wire.open(own);
    assert.match(await ends(silent, 250, 2500), /^$|^HTTP\/1\.1 408 /);

    const sid = JSON.parse((await get(own, eioPath())).body.slice(1)).sid;
    const body = await talk(
      own,
      `POST ${eioPath({ sid })} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n40`,
      0,
    );
    assert.match(await ends(body.wire, 250, 3000), /^$|^HTTP\/1\.1 408 /);
  });

  test('a held poll is not idle', async (t) => {
    const options = {
      'limits.head_timeout': '200ms',
      'limits.idle_timeout': '200ms',
      'socketio.ping_interval': '900ms',
    };
    const own = await startFor(t, { ini: RULES, shards, options });
    const sid = JSON.parse((await get(own, eioPath())).body.slice(1)).sid;
    await request(own, { method: 'POST', path: eioPath({ sid }), body: '40' });
    await get(own, eioPath({ sid }));
    assert.equal((await get(own, eioPath({ sid }))).body, '2');
  });

  test('200 connections at once, each on some shard', async () => {
    const wires = await Promise.all([...Array(200).keys()].map(() => Wire.open(server())));
    await Promise.all(wires.map((w) => w.write(HEALTH)));
    for (const w of wires) assert.equal((await w.response()).body, 'ok\n');
    for (const w of wires) w.destroy();
    await sleep(20);
    assert.equal((await get(server(), '/healthz')).status, 200);
  });
}

for (const shards of SHARDS) {
  describe(label(shards), roomcastOnly, () => {
    let server;
    before(async () => {
      if (reference) return;
      const options = { 'server.static_root': site(), 'server.title': 'Ünï <b> "x" &' };
      server = await start({ ini: RULES, shards, options });
    });
    after(() => server?.stop());
    fileTests(() => server);
    errorTests(() => server);
    connectionTests(() => server, shards);
  });
}
