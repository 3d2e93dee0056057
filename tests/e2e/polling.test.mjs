// Engine.IO v4 over polling: packets, overlaps, aborts, limits, the end by the server.
//
// [REF] The reference differs here:
//  - a POST whose packets are bad: it cuts the connection without an answer while it closes the
//    session; roomcast may answer.
//  - pipelined requests overlap: Node starts them at once.
//  - a POST that is no UTF-8 is decoded to replacement characters.
import assert from 'node:assert/strict';
import { connect as tcp } from 'node:net';
import { after, before, describe, test } from 'node:test';

import { Polling, RS } from './lib/eio.mjs';
import { errorBody } from './lib/errors.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { Wire } from './lib/wire.mjs';

function pollingTests(server) {
  const open = () => Polling.open(server(), { namespace: '/' });

  test('POST is answered ok', async () => {
    const s = await open();
    const r = await s.raw('421["ask",1]');
    assert.deepEqual([r.status, r.body], [200, 'ok']);
    assert.equal(r.headers['content-type'], 'text/html');
    assert.equal(r.headers['content-length'], '2');
    assert.equal(r.headers['cache-control'], 'no-store');
  });

  test('a poll is held until there is something', async () => {
    const s = await open();
    const poll = s.get();
    assert.equal(await Promise.race([poll, sleep(150)]), undefined, 'answered too soon');
    await s.post('421["ask","late"]');
    const r = await poll;
    assert.equal(r.body, '431["late"]');
    assert.equal(r.headers['content-type'], 'text/plain; charset=UTF-8');
    assert.equal(r.headers['cache-control'], 'no-store');
  });

  test('what has waited comes in one body, in order', async () => {
    const s = await open();
    await s.post('42["echo",1]', '421["ask",2]', '42["echo",3]');
    await s.post('422["ask","ü👍"]');
    const r = await s.get();
    assert.equal(r.body, ['42["echo",1]', '431[2]', '42["echo",3]', '432["ü👍"]'].join(RS));
    assert.equal(r.headers['content-length'], String(Buffer.byteLength(r.body)));
  });

  test('binary is b and base64', async () => {
    const s = await open();
    await s.post(
      '452-["echo",{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}]',
      'bAQID',
      'b/wA=',
    );
    assert.deepEqual(await s.packets(3), [
      '452-["echo",{"_placeholder":true,"num":0},"x",{"_placeholder":true,"num":1}]',
      'bAQID',
      'b/wA=',
    ]);
    await s.post('451-["echo",{"_placeholder":true,"num":0}]'); // the attachment in a request of its own
    await s.post('b');
    assert.deepEqual(await s.packets(2), ['451-["echo",{"_placeholder":true,"num":0}]', 'b']);
  });

  test('a POST without Content-Type, with another, and chunked', async () => {
    const s = await open();
    for (const headers of [
      {},
      { 'Content-Type': 'application/x-www-form-urlencoded' },
      { 'Transfer-Encoding': 'chunked' },
    ]) {
      assert.equal((await s.raw('421["ask",1]', headers)).body, 'ok');
      assert.deepEqual(await s.poll(), ['431[1]']);
    }
  });

  test('a second poll closes the session: the first gets 1, it gets 400', async () => {
    for (const gap of [0, 5, 50]) {
      const s = await open();
      const first = s.get();
      await first.sent;
      await sleep(gap + 5 * slow);
      const second = await s.get();
      assert.equal(second.status, 400);
      const r = await first;
      assert.deepEqual([r.status, r.body], [200, '1']);
      await s.gone();
    }
  });

  test('a second POST while one arrives closes the session', async () => {
    const s = await open();
    const wire = await Wire.open(server());
    await wire.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n42["`);
    await sleep(50 * slow);
    assert.equal((await s.raw('421["ask",1]')).status, 400);
    await s.gone();
    // [REF] cuts the first one off; roomcast may also answer it
    await wire.write('echo",123456789]').catch(() => {});
    const rest = await wire.response().catch(() => null);
    if (rest) assert.equal(rest.status, 400);
    wire.destroy();
  });

  test('close packet with a poll pending: the poll gets a noop', async () => {
    const s = await open();
    const poll = s.get();
    await poll.sent;
    await sleep(30 * slow);
    await s.post('1');
    assert.deepEqual([(await poll).status, (await poll).body], [200, '6']);
    await s.gone();
  });

  test('close packet sent together with a poll', async () => {
    for (let i = 0; i < 10; i++) {
      const s = await open();
      const [poll, post] = await Promise.all([s.get(), s.raw('1')]);
      assert.deepEqual([post.status, post.body], [200, 'ok']);
      // whichever came first
      assert.ok(
        (poll.status === 200 && poll.body === '6') || (poll.status === 400 && poll.body === errorBody(1)),
        poll.body,
      );
      await s.gone();
    }
  });

  test('close packet without a poll', async () => {
    const s = await open();
    await s.post('1');
    await s.gone();
  });

  test('an aborted poll closes the session', async () => {
    const s = await open();
    const poll = s.get();
    await poll.sent;
    await sleep(50 * slow);
    poll.abort();
    await sleep(50 * slow);
    await s.gone();
  });

  test('an aborted poll and at once another', async () => {
    for (let i = 0; i < 5; i++) {
      const s = await open();
      const poll = s.get();
      await poll.sent;
      await sleep(20 * slow);
      poll.abort();
      const next = await s.get();
      // 400 code 1 when the abort was seen first, else the overlap's bare 400
      assert.equal(next.status, 400);
      await s.gone();
    }
  });

  // As nc -N and some proxies do; which shard the session is on is chance.
  test('a request that comes together with the end of its connection is answered', async () => {
    const whole = (request) => new Promise((resolve, reject) => {
      const socket = tcp({ host: '127.0.0.1', port: server().port, allowHalfOpen: true });
      let text = '';
      socket.on('data', (d) => (text += d)).on('end', () => resolve(text)).on('error', reject);
      socket.end(request);
    });
    for (let i = 0; i < 12; i++) {
      const s = await Polling.open(server());
      const posted = await whole(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\n40`);
      assert.match(posted, /^HTTP\/1.1 200 .*\r\n\r\nok$/s);
      assert.match(await whole(`GET ${s.path()} HTTP/1.1\r\nHost: x\r\n\r\n`), /^HTTP\/1.1 200 .*\r\n\r\n40{"sid":.*}$/s);
    }
  });

  test('an aborted POST closes the session', async () => {
    const s = await open();
    const wire = await Wire.open(server());
    await wire.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n42["`);
    await sleep(50 * slow);
    wire.destroy();
    await sleep(50 * slow);
    await s.gone();
  });

  test('octet-stream is refused and closes the session', async () => {
    const s = await open();
    const r = await s.raw(Buffer.from([4, 1, 2]), { 'Content-Type': 'application/octet-stream' });
    assert.equal(r.status, 400);
    await s.gone();
  });

  for (const [name, body] of [
    ['unknown type', '9'],
    ['letter', 'abc'],
    ['empty', ''],
    ['empty packet', `42["echo",1]${RS}`],
    ['ping', '2'],
    ['bad after good', `42["echo",1]${RS}x`],
  ]) {
    test(`a bad payload closes the session: ${name}`, async () => {
      const s = await open();
      const r = await s.raw(body).catch(() => null); // [REF] no answer
      if (r) assert.ok([200, 400].includes(r.status), String(r.status));
      await s.gone();
    });
  }

  test('a bad Socket.IO packet: what waited, then 6 and 1; or 1 to the pending poll', async () => {
    for (const bad of ['42["echo"', '47', '4511-["echo"]', '40', '42/other,["x"]', 'bAQID', `451-["echo",{"_placeholder":true,"num":0}]${RS}42["echo"]`]) {
      const s = await open();
      await s.post('421["ask",1]');
      await s.post(bad);
      assert.deepEqual(await s.poll(), ['431[1]'], bad);
      assert.deepEqual(await s.poll(), ['6', '1'], bad);
      await s.gone();
      const t = await open();
      const poll = t.get();
      await poll.sent;
      await sleep(20 * slow);
      await t.post(bad);
      assert.equal((await poll).body, '1', bad);
      await t.gone();
    }
  });

  // [REF] decodes it to replacement characters.
  test('a POST that is no UTF-8 closes the session', roomcastOnly, async () => {
    const s = await open();
    await s.raw(Buffer.from('42["echo","\xff"]', 'latin1')).catch(() => null);
    await s.gone();
  });

  test('packets that mean nothing to a server are ignored', async () => {
    const s = await open();
    await s.post('3', '6', '3probe', '421["ask",1]');
    assert.deepEqual(await s.poll(), ['431[1]']);
  });

  test('413, and the session goes on', async () => {
    const srv = server();
    const s = await open();
    const tooBig = 'x'.repeat(1_000_001);
    const chunked = await s.raw(tooBig, { 'Transfer-Encoding': 'chunked' }).catch((e) => e);
    assert.equal(chunked.status, 413);
    const wire = await Wire.open(srv);
    wire.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${tooBig.length}\r\n\r\n`);
    wire.write(tooBig);
    assert.equal((await wire.response()).status, 413);
    wire.destroy();
    const fits = `421["ask","${'x'.repeat(1_000_000 - 13)}"]`;
    assert.equal(fits.length, 1_000_000);
    const [r, answer] = await Promise.all([s.raw(fits), s.get()]);
    assert.deepEqual([r.status, r.body], [200, 'ok']);
    assert.equal(answer.body, fits.replace('421["ask",', '431['));
  });

  const post = (s, body) =>
    `POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const poll = (s) => `GET ${s.path()} HTTP/1.1\r\nHost: x\r\n\r\n`;

  test('one keep-alive connection', async () => {
    const s = await open();
    const wire = await Wire.open(server());
    for (let i = 0; i < 5; i++) {
      await wire.write(post(s, '421["ask",1]'));
      assert.equal((await wire.response()).body, 'ok');
      await wire.write(poll(s));
      assert.equal((await wire.response()).body, '431[1]');
    }
    await wire.trickle(post(s, '423["ask",3]') + poll(s));
    assert.deepEqual([(await wire.response()).body, (await wire.response()).body], ['ok', '433[3]']);
    wire.destroy();
  });

  // [REF] Node starts pipelined requests at once, so that the polls overlap.
  test('pipelined requests are taken one after the other', roomcastOnly, async () => {
    const s = await open();
    const wire = await Wire.open(server());
    await wire.write(post(s, '421["ask",1]') + poll(s) + post(s, '422["ask",2]') + poll(s));
    const all = [];
    for (let i = 0; i < 4; i++) all.push((await wire.response()).body);
    assert.deepEqual(all, ['ok', '431[1]', 'ok', '432[2]']);
    wire.destroy();
  });

  test('a client that never polls again and one that polls often', async () => {
    const s = await open();
    for (let i = 0; i < 30; i++) {
      await s.post(`42${i}["ask",${i}]`);
      assert.deepEqual(await s.poll(), [`43${i}[${i}]`]);
    }
  });
}

function closingTests(shards) {
  // The server ends a session on which no poll is pending; the client is told when it polls.
  test('an end by the server: buffered packets first, then 6 and 1', async (t) => {
    const server = await startFor(t, { ini: RULES, shards });
    const s = await Polling.open(server, { namespace: '/' });
    await s.post('42["echo",1]', '42["hangup"]');
    assert.deepEqual(await s.poll(), ['42["echo",1]', '41']);
    assert.deepEqual(await s.poll(), ['6', '1']);
    await s.gone();
  });

  test('an end by the server: a pending poll is told at once', async (t) => {
    const server = await startFor(t, {
      ini: RULES,
      shards,
      options: { 'socketio.connect_timeout': '200ms' },
    });
    const s = await Polling.open(server);
    assert.deepEqual(await s.poll(), ['1']);
    await s.gone();
  });

  test('an end by the server: told with the next poll, forgotten after close_timeout', async (t) => {
    const options = { 'socketio.connect_timeout': '200ms', 'socketio.close_timeout': '600ms' };
    const server = await startFor(t, { ini: RULES, shards, options });
    const [one, two] = await Promise.all([Polling.open(server), Polling.open(server)]);
    await sleep(400);
    assert.deepEqual(await one.poll(), ['6', '1']);
    await one.gone();
    await sleep(800);
    await two.gone();
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    after(() => server.stop());
    pollingTests(() => server);
    closingTests(shards);
  });
}
