// Long-polling with nothing but curl: whole sessions, as one would debug or script them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, describe, test } from 'node:test';

import { RS, eioPath } from './lib/eio.mjs';
import { errorBody } from './lib/errors.mjs';
import { SHARDS, label, reference, slow, start } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const ORIGIN = 'https://a.example';
const options = { 'socketio.cors_origin': ORIGIN, 'socketio.cookie': 'io', 'log.level': 'warn' };
const TEXT = 'Content-Type: text/plain;charset=UTF-8';

// Runs curl: { code, out, headers: those of the last answer, each name once, verbatim text }.
function curl(...args) {
  return new Promise((done) => {
    execFile('curl', ['-sS', '-i', '--max-time', String(20 * slow), ...args], { maxBuffer: 2 ** 24 }, (error, stdout, stderr) => {
      const answers = [];
      let rest = stdout.replaceAll('HTTP/1.1 100 Continue\r\n\r\n', '');
      for (let m; (m = /^HTTP\/[\d.]+ (\d{3})[^\r\n]*\r\n(.*?)\r\n\r\n/s.exec(rest));) {
        rest = rest.slice(m[0].length);
        const headers = Object.fromEntries(m[2].split('\r\n').map((l) => [l.slice(0, l.indexOf(':')).toLowerCase(), l.slice(l.indexOf(':') + 2)]));
        answers.push({ status: Number(m[1]), headers });
        const n = Number(headers['content-length']);
        if (rest.slice(n).startsWith('HTTP/')) { // several answers
          answers.at(-1).body = rest.slice(0, n);
          rest = rest.slice(n);
        }
      }
      if (answers.length) answers.at(-1).body = rest;
      done({ code: error?.code ?? 0, stderr, answers, ...answers.at(-1) });
    });
  });
}

function curlTests(server) {
  const url = (query) => server().url + eioPath(query);
  const open = async (...more) => {
    const r = await curl(...more, url());
    assert.equal(r.status, 200);
    return url({ sid: JSON.parse(r.body.slice(1)).sid });
  };
  const post = (to, data, ...more) => curl('-H', TEXT, '--data-binary', data, ...more, to);
  const poll = async (to, ...more) => {
    const r = await curl(...more, to);
    assert.deepEqual([r.code, r.status], [0, 200]);
    return r.body.split(RS);
  };
  const joined = async () => {
    const session = await open();
    assert.equal((await post(session, '40')).body, 'ok');
    assert.match((await poll(session))[0], /^40\{"sid":"[\w-]{20}"\}$/);
    return session;
  };

  test('a whole session', async () => {
    const session = await joined();
    const held = poll(session); // in the background
    assert.equal((await post(session, '421["ask",1,"ü👍"]')).body, 'ok');
    assert.deepEqual(await held, ['431[1,"ü👍"]']);
    await post(session, `42["echo",1]${RS}42["echo",2]`);
    assert.deepEqual(await poll(session), ['42["echo",1]', '42["echo",2]']);
    const last = poll(session);
    await new Promise((r) => setTimeout(r, 300 * slow));
    assert.equal((await post(session, '1')).body, 'ok');
    assert.deepEqual(await last, ['6']);
    const gone = await curl(session);
    assert.deepEqual([gone.status, gone.body], [400, errorBody(1)]);
  });

  test('two sessions in one room, with attachments', async () => {
    const [a, b] = [await joined(), await joined()];
    await post(a, '420["join","curl"]');
    assert.match((await poll(a))[0], /^430/);
    await post(b, `451-["say","curl",{"_placeholder":true,"num":0}]${RS}bAAEC`);
    assert.deepEqual(await poll(a), ['451-["said",{"_placeholder":true,"num":0}]', 'bAAEC']);
  });

  test('namespaces', async () => {
    const session = await joined();
    await post(session, '40/chat,{"token":"x"}');
    assert.match((await poll(session))[0], /^40\/chat,\{"sid":"/);
    await post(session, '42/chat,7["ask","there"]');
    assert.deepEqual(await poll(session), ['43/chat,7["there"]']);
    await post(session, '40/nowhere');
    assert.deepEqual(await poll(session), ['44/nowhere,{"message":"Invalid namespace"}']);
  });

  for (const coding of ['gzip', 'deflate'])
    test(`--compressed: ${coding}`, async () => {
      const session = await joined();
      const text = 'to be or not to be '.repeat(500);
      await post(session, `421["ask","${text}"]`);
      const r = await curl('--compressed', '-H', `Accept-Encoding: ${coding}`, session);
      assert.equal(r.headers['content-encoding'], coding);
      assert.equal(r.body, `431["${text}"]`);
      await post(session, '422["ask","short"]');
      const short = await curl('--compressed', session);
      assert.equal(short.headers['content-encoding'], undefined);
      assert.equal(short.body, '432["short"]');
    });

  test('a preflight, and what follows it', async () => {
    const preflight = await curl('-X', 'OPTIONS', '-H', `Origin: ${ORIGIN}`, '-H', 'Access-Control-Request-Method: POST', '-H', 'Access-Control-Request-Headers: content-type', url());
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers['access-control-allow-origin'], ORIGIN);
    assert.equal(preflight.headers['access-control-allow-methods'], 'GET,HEAD,PUT,PATCH,POST,DELETE');
    assert.equal(preflight.headers['access-control-allow-headers'], 'content-type');
    const session = await open('-H', `Origin: ${ORIGIN}`);
    assert.equal((await post(session, '40', '-H', `Origin: ${ORIGIN}`)).headers['access-control-allow-origin'], ORIGIN);
    const other = await curl('-H', 'Origin: https://b.example', url());
    assert.deepEqual([other.status, other.headers['access-control-allow-origin']], [200, undefined]);
  });

  test('a cookie', async () => {
    const r = await curl(url());
    assert.match(r.headers['set-cookie'], /^io=[\w-]{20}; Path=\/; HttpOnly; SameSite=Lax$/);
    assert.equal(r.headers['set-cookie'].slice(3, 23), JSON.parse(r.body.slice(1)).sid);
  });

  test('errors', async () => {
    for (const [path, code, ...more] of [
      [{ transport: 'tobi' }, 0], [{ sid: 'x' }, 1], [{}, 2, '-X', 'POST', '-d', ''], [{ transport: 'websocket' }, 3], [{ EIO: '5' }, 5],
    ]) {
      const r = await curl(...more, url(path));
      assert.deepEqual([r.status, r.body], [400, errorBody(code)]);
      assert.equal(r.headers['content-type'], 'application/json');
    }
    const session = await joined();
    assert.equal((await curl('-X', 'PUT', session)).status, 500);
    assert.equal((await curl('-I', session)).status, 500);
    assert.equal((await post(session, `421["ask",1]`)).body, 'ok'); // still there
  });

  test('two polls', async () => {
    const session = await joined();
    const first = poll(session);
    await new Promise((r) => setTimeout(r, 300 * slow));
    const second = await curl(session);
    assert.deepEqual([second.status, second.body], [400, '']);
    assert.deepEqual(await first, ['1']);
  });

  test('a poll that curl gives up', async () => {
    const session = await joined();
    const r = await curl('--max-time', '0.5', session);
    assert.equal(r.code, 28); // timed out
    await new Promise((done) => setTimeout(done, 100 * slow));
    assert.equal((await curl(session)).body, errorBody(1));
  });

  test('large bodies: Expect: 100-continue, chunked, and too large', async () => {
    const session = await joined();
    const text = 'x'.repeat(120_000); // of an argument of a program: 128 KiB at most
    for (const header of ['Expect: 100-continue', 'Transfer-Encoding: chunked']) {
      const sent = await post(session, `421["ask","${text}"]`, '-H', header);
      assert.deepEqual([sent.status, sent.body], [200, 'ok']);
      assert.deepEqual(await poll(session), [`431["${text}"]`]);
    }
    const tooBig = await post(session, '@/dev/zero', '-H', 'Content-Length: 1000001', '--max-time', '5');
    assert.equal(tooBig.status ?? 413, 413);
    await post(session, '422["ask",2]');
    assert.deepEqual(await poll(session), ['432[2]']);
  });

  test('HTTP/1.0, and several requests on one connection', async () => {
    const session = await joined();
    assert.equal((await post(session, '421["ask",1]', '--http1.0')).body, 'ok');
    assert.deepEqual(await poll(session, '--http1.0'), ['431[1]']);
    await post(session, '422["ask",2]');
    const r = await curl(session, '--next', '-sS', '-i', '--data-binary', '423["ask",3]', '-H', TEXT, session, '--next', '-sS', '-i', session);
    assert.deepEqual(r.answers.map((a) => [a.status, a.body]), [[200, '432[2]'], [200, 'ok'], [200, '433[3]']]);
  });

  test('an offer of HTTP/2 is not taken', async () => {
    const r = await curl('--http2', url());
    // [REF] any Upgrade header goes to the WebSocket
    if (!reference) assert.deepEqual([r.status, r.body[0]], [200, '0']);
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards, options })));
    after(() => server.stop());
    curlTests(() => server);
  });
}
