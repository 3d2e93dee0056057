// auth.dev_tokens_path: tokens for whoever asks, but not for the pages of other sites.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';

import { ask, closeAll, connect, event } from './lib/client.mjs';
import { run, tempDir } from './lib/daemon.mjs';
import { roomcastOnly, start, startFor, until } from './lib/target.mjs';
import { Wire, request } from './lib/wire.mjs';

const SECRET = 'a secret of thirty-two bytes, or more';
const PATH = '/dev/token';
const OPTIONS = { 'auth.mode': 'optional', 'auth.dev_tokens_path': PATH };
const INI = '[event whoami]\nack = {user}\n';
const JSON_TYPE = { 'Content-Type': 'application/json' };

describe('tokens for development', roomcastOnly, () => {
  let server;
  const post = (body, headers = JSON_TYPE, at = server) =>
    request(at, { method: 'POST', path: PATH, headers, body });
  const host = () => `127.0.0.1:${server.port}`;

  before(async () => {
    server = await start({
      ini: INI,
      shards: 2,
      options: { ...OPTIONS, 'auth.secret': SECRET, 'auth.issuer': 'here', 'auth.audience': 'us' },
    });
  });
  after(async () => {
    closeAll();
    await server.stop();
  });

  test('a name becomes a user', async () => {
    const answer = await post('{"name":"  Ann Lee "}');
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.headers['content-type'], 'application/json');
    assert.equal(answer.headers['cache-control'], 'no-store');
    const { token, user, expires, ...rest } = JSON.parse(answer.body);
    assert.deepEqual([user, rest], ['Ann Lee', {}]);
    const { header, payload } = jwt.verify(token, SECRET, { complete: true, issuer: 'here', audience: 'us' });
    assert.deepEqual(header, { alg: 'HS256', typ: 'JWT' });
    assert.equal(payload.sub, 'Ann Lee');
    assert.equal(payload.exp * 1000, expires);
    assert.ok(Math.abs(expires - 3_600_000 - Date.now()) < 60_000, String(expires));
    const socket = await connect(server, { auth: { token } });
    assert.equal(await ask(socket, 'whoami'), 'Ann Lee');
    const next = JSON.parse((await post('{"name":"Ann Lee"}')).body);
    assert.notEqual(next.token, token, 'each has an id of its own');
    assert.deepEqual(await ask(socket, 'refreshToken', next.token), { ok: true, user: 'Ann Lee', expires: next.expires });
  });

  test('requests that get none', async () => {
    const ann = '{"name":"Ann"}';
    for (const [options, status, error] of [
      [{ method: 'GET' }, 405, 'method'],
      [{ method: 'PUT', body: ann }, 405, 'method'],
      [{ method: 'OPTIONS', headers: { Origin: 'http://evil.example', 'Access-Control-Request-Method': 'POST' } }, 405, 'method'],
      [{ headers: {} }, 415, 'content_type'],
      [{ headers: { 'Content-Type': 'text/plain' } }, 415, 'content_type'],
      [{ headers: { 'Content-Type': 'application/jsonp' } }, 415, 'content_type'],
      [{ headers: { ...JSON_TYPE, Origin: 'http://evil.example' } }, 403, 'origin'],
      [{ headers: { ...JSON_TYPE, Origin: `http://evil.example/${host()}` } }, 403, 'origin'],
      [{ headers: { ...JSON_TYPE, Origin: `http://x${host()}` } }, 403, 'origin'],
      [{ headers: { ...JSON_TYPE, Origin: 'null' } }, 403, 'origin'],
      [{ headers: { ...JSON_TYPE, Origin: '' } }, 403, 'origin'],
      [{ body: undefined }, 400, 'bad_body'],
      [{ body: '{"name":' }, 400, 'bad_body'],
      [{ body: '{"name":["Ann"]}' }, 400, 'bad_body'],
      [{ body: '{"name":" "}' }, 400, 'bad_name'],
      [{ body: '{"name":"a\\u0001"}' }, 400, 'bad_name'],
      [{ body: JSON.stringify({ name: 'x'.repeat(65) }) }, 400, 'bad_name'],
      [{ body: JSON.stringify({ name: 'x'.repeat(1024) }) }, 413, 'too_big'],
      [{ body: JSON.stringify({ name: 'x'.repeat(2_000_000) }) }, 413, 'too_big'],
    ]) {
      const answer = await request(server, { method: 'POST', path: PATH, headers: JSON_TYPE, body: ann, ...options }).catch((e) => e);
      const what = JSON.stringify(options).slice(0, 200);
      if (answer.code === 'EPIPE' || answer.code === 'ECONNRESET') continue; // it sent on after the answer
      assert.equal(answer.status, status, what);
      assert.equal(answer.headers['access-control-allow-origin'], undefined);
      const body = JSON.parse(answer.body);
      assert.deepEqual([body.ok, body.error], [false, error], what);
      assert.ok(body.message.length > 5);
      if (status === 405) assert.equal(answer.headers.allow, 'POST');
    }
    assert.equal((await post('{"name":"Ann"}')).status, 200);
  });

  test('our own page, also behind a proxy that ends TLS', async () => {
    for (const origin of [`http://${host()}`, `https://${host()}`])
      assert.equal((await post('{"name":"Ann"}', { 'Content-Type': 'Application/JSON; charset=utf-8', Origin: origin })).status, 200);
  });

  test('bodies in pieces, one after the other on one connection', async () => {
    const wire = await Wire.open(server);
    const head = `POST ${PATH} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n`;
    const chunks = [`${head}Transfer-Encoding: chunked\r\n\r\n`, '7\r\n{"name"\r\n', '6\r\n:"Bob"\r\n', '1\r\n}\r\n', '0\r\n\r\n'];
    for (const chunk of chunks) await wire.write(chunk);
    const first = await wire.response();
    assert.equal(first.status, 200);
    assert.equal(JSON.parse(first.body).user, 'Bob');
    await wire.write(`${head}Content-Length: 14\r\n\r\n{"name":"Cat"}GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.equal(JSON.parse((await wire.response()).body).user, 'Cat');
    assert.equal((await wire.response()).body.toString(), 'ok\n');
    await wire.write(`${head}Transfer-Encoding: chunked\r\n\r\n500\r\n${'x'.repeat(0x500)}\r\n`);
    assert.equal((await wire.response()).status, 413);
    wire.socket.destroy();
  });

  test('a token that has run out needs another', async (t) => {
    const short = await startFor(t, {
      ini: INI,
      options: { ...OPTIONS, 'auth.secret': 'auto', 'auth.dev_tokens_ttl': '1s', 'auth.leeway': '0ms', 'auth.grace': '0ms' },
    });
    const { token } = JSON.parse((await post('{"name":"Ann"}', JSON_TYPE, short)).body);
    const socket = await connect(short, { auth: { token }, reconnection: false });
    await event(socket, 'disconnect');
    // Nobody else can sign for a secret that was made at the start.
    const forged = [`${token.split('.').slice(0, 2).join('.')}`];
    forged.push(createHmac('sha256', 'auto').update(forged[0]).digest('base64url'));
    await assert.rejects(connect(short, { auth: { token: forged.join('.') }, reconnection: false }));
  });

  test('pages know the path; off is off; the log warns', async (t) => {
    const www = join(tempDir(), 'www');
    mkdirSync(www);
    writeFileSync(join(www, 'index.html'), '<p title="{dev_tokens_path}">');
    const options = { 'server.static_root': www, 'auth.mode': 'optional', 'auth.secret': 'auto' };
    const off = await startFor(t, { ini: INI, options });
    assert.equal((await request(off, {})).body, '<p title="">');
    assert.equal((await request(off, { method: 'POST', path: PATH, headers: JSON_TYPE, body: '{"name":"A"}' })).status, 405);
    assert.equal((await request(off, { path: PATH })).status, 404);
    const on = await startFor(t, { ini: INI, options: { ...options, 'auth.dev_tokens_path': '/t' } });
    assert.equal((await request(on, {})).body, '<p title="/t">');
    await until('the warning', () => /warn.*auth\.dev_tokens_path = \/t: anybody can be anybody/i.test(on.stderr()));
    assert.ok(!/anybody/.test(off.stderr()));
  });

  test('--check names what is missing', async () => {
    for (const [options, told] of [
      [OPTIONS, /dev_tokens_path = \/dev\/token: expected secret or secret_file/],
      [{ ...OPTIONS, 'auth.mode': 'off', 'auth.secret': SECRET }, /dev_tokens_path = .*nobody looks at tokens/],
      [{ ...OPTIONS, 'auth.secret': 'short' }, /5 bytes/],
      [{ ...OPTIONS, 'auth.secret': SECRET, 'auth.dev_tokens_ttl': '0ms' }, /dev_tokens_ttl/],
      [{ ...OPTIONS, 'auth.secret': SECRET, 'auth.dev_tokens_path': 'token' }, /dev_tokens_path/],
    ]) {
      const args = Object.entries(options).flatMap(([k, v]) => ['-o', `${k}=${v}`]);
      const r = await run([...args, '--check']);
      assert.equal(r.code, 2, JSON.stringify(options));
      assert.match(r.stderr, told);
    }
    const cli = await run(['token', '-o', 'auth.secret=auto', '--user', 'ann']);
    assert.equal(cli.code, 2);
    assert.match(cli.stderr, /only the running server knows it/);
  });
});
