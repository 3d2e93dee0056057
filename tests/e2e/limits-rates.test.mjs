// How fast clients may send, what happens to those who never finish what they say, how much may wait for
// all of them, and how many bad tokens they may bring. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { connect as dial } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';

import { ask, client, closeAll, connect, event, inbox } from './lib/client.mjs';
import { Polling, RS, Socket, eioPath } from './lib/eio.mjs';
import { JsonClient } from './lib/jsonclient.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { label, logged, roomcastOnly, sleep, until, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { BINARY, PING, PONG, RawWs, TEXT, Wire, frame } from './lib/wire.mjs';

const range = (n) => [...Array(n).keys()];
const INI = `${RULES}
[endpoint /echo]
protocol = echo
[endpoint /ws]
protocol = json
`;
const closed = async (server, reason) => (await metrics(server))[`closed_total ${reason}`] ?? 0;

afterEach(closeAll);

describe('message rate', roomcastOnly, () => {
  const RATE = { 'limits.message_rate': '20', 'limits.message_burst': '10' };

  for (const shards of [1, 2]) {
    test(`delay: who sends faster is read more slowly, and loses nothing; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: RATE });
      const fast = await Socket.open(server, { namespace: '/' });
      const other = await Socket.open(server, { namespace: '/' });
      const begin = Date.now();
      fast.send(...range(40).map((i) => `42${i}["ask",${i}]`));
      other.send('421["ask"]');
      assert.equal(await other.next(), '431[]');
      for (const i of range(40)) assert.equal(await fast.next(), `43${i}[${i}]`);
      // 10 at once, less the CONNECT, and then 20 a second.
      assert.ok(Date.now() - begin >= 1000, `${Date.now() - begin} ms`);
      const m = await metrics(server);
      assert.ok(m.rate_delays_total >= 1);
      assert.equal(m.rate_dropped_total, 0);
      assert.equal(m.sessions, 2);
      fast.destroy();
      other.destroy();
    });

    test(`delay: the answer to a POST waits; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: RATE });
      const poll = await Polling.open(server, { namespace: '/' });
      const begin = Date.now();
      await poll.post(...range(40).map((i) => `42${i}["ask",${i}]`));
      assert.ok(Date.now() - begin >= 1000, `${Date.now() - begin} ms`);
      assert.deepEqual(
        await poll.packets(40),
        range(40).map((i) => `43${i}[${i}]`),
      );
    });
  }

  test('delay: a client that goes while it is delayed leaves nothing behind', async (t) => {
    const server = await startWithMetrics(t, {
      ini: INI,
      shards: 2,
      options: { 'limits.message_rate': '1', 'limits.message_burst': '1' },
    });
    for (let i = 0; i < 5; i++) {
      const ws = await RawWs.open(server, '/echo');
      for (let k = 0; k < 5; k++) await ws.send(TEXT, 'x');
      await ws.frame();
      ws.destroy();
    }
    await until('all have gone', async () => (await metrics(server)).conns === 0, 20_000);
    const ws = await RawWs.open(server, '/echo');
    await ws.send(TEXT, 'y');
    assert.equal((await ws.frame()).data.toString(), 'y', 'whose place it was does not matter');
    ws.destroy();
  });

  const DROP = { 'limits.message_rate': '1', 'limits.message_burst': '5', 'limits.rate_policy': 'drop' };

  for (const shards of [1, 2])
    test(`drop: events above it are refused, by ack and by event; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: DROP });
      const socket = await connect(server, { transports: ['websocket'] });
      const answers = await Promise.all(range(30).map((i) => ask(socket, 'ask', i)));
      const refused = answers.filter((a) => a?.error === 'rate_limited');
      assert.ok(refused.length >= 10 && refused.length <= 26, JSON.stringify(answers));
      assert.equal(refused[0].message, 'too many messages a second');
      assert.equal((await metrics(server)).rate_dropped_total, refused.length);
      const told = inbox(socket);
      for (let i = 0; i < 30; i++) socket.emit('silent');
      await until('an error event', () => told.some(([name, e]) => name === 'error' && e.error === 'rate_limited'));
      // Attachments go with their packet.
      const bytes = await Promise.all(range(15).map(() => ask(socket, 'ask', Buffer.from('abc'))));
      assert.ok(bytes.some((a) => a?.error === 'rate_limited'));
      await until('time has passed', async () => (await ask(socket, 'ask', 'x')) === 'x', 20_000);
      assert.equal((await metrics(server)).sessions, 1);
    });

  test('drop: CONNECT, json clients, and endpoints', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 1, options: DROP });
    const ws = await Socket.open(server, { namespace: '/' });
    let answer = '';
    for (let i = 0; i < 20 && !answer.startsWith('44'); i++) {
      if (answer) ws.send('41/chat,'); // it was let in
      ws.send(...range(20).map((k) => `42${k}["ask"]`), '40/chat,');
      do answer = await ws.next();
      while (!/^4[04]/.test(answer));
    }
    assert.equal(answer, '44/chat,{"message":"too many messages a second","data":{"code":"rate_limited"}}');
    const json = await JsonClient.connect(server, '/ws');
    json.send(...range(20).map((i) => ({ type: 'ask', ack: i })));
    const answers = await json.take(20);
    assert.ok(answers.some((a) => JSON.stringify(a).includes('"rate_limited"')), JSON.stringify(answers));
    const raw = await RawWs.open(server, '/echo');
    const before = (await metrics(server)).rate_dropped_total;
    for (let i = 0; i < 20; i++) await raw.send(TEXT, `m${i}`);
    assert.equal((await raw.frame()).data.toString(), 'm0');
    await until('drops', async () => (await metrics(server)).rate_dropped_total >= before + 5);
    ws.destroy();
    raw.destroy();
  });

  const CLOSE = { ...DROP, 'limits.rate_policy': 'close' };

  for (const shards of [1, 2])
    test(`close: by 1008, counted as rate; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: CLOSE });
      const raw = await RawWs.open(server, '/echo');
      for (let i = 0; i < 20; i++) await raw.send(TEXT, 'x');
      assert.equal(await raw.closeCode(), 1008);
      assert.equal(await closed(server, 'rate'), 1);
      const json = await JsonClient.connect(server, '/ws');
      json.send(...range(20).map(() => ({ type: 'silent' })));
      assert.deepEqual(await within(20_000, 'the end', json.closed), { code: 1008, reason: 'too many messages a second' });
      const pings = await RawWs.open(server, '/echo');
      for (let i = 0; i < 20; i++) await pings.send(PING, 'x');
      await pings.wire.closed();
      const poll = await Polling.open(server, { namespace: '/' });
      const r = await poll.raw(range(20).map(() => '42["silent"]').join(RS));
      assert.equal(r.status, 200);
      await until('its end', async () => (await poll.get()).status === 400);
      assert.equal(await closed(server, 'rate'), 4);
      const fine = await Socket.open(server, { namespace: '/' });
      fine.send('421["ask"]');
      assert.equal(await fine.next(), '431[]');
      for (const ws of [raw, pings, fine]) ws.destroy();
    });
});

describe('byte rate', roomcastOnly, () => {
  const RATE = { 'limits.byte_rate': '100KB', 'limits.byte_burst': '64KiB' };
  const text = 'x'.repeat(25_000);

  for (const shards of [1, 2])
    test(`who sends more is read more slowly; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: RATE });
      const ws = await Socket.open(server, { namespace: '/' });
      let begin = Date.now();
      ws.send(...range(12).map((i) => `42${i}["ask","${text}"]`));
      for (const i of range(12)) assert.equal(await ws.next(), `43${i}["${text}"]`);
      // 300 KB; a burst, and what is read at once, need not wait.
      assert.ok(Date.now() - begin >= 1000, `${Date.now() - begin} ms`);
      assert.ok((await metrics(server)).rate_delays_total >= 1);
      const poll = await Polling.open(server, { namespace: '/' });
      begin = Date.now();
      await poll.post(...range(12).map((i) => `42${i}["ask","${text}"]`));
      assert.ok(Date.now() - begin >= 1000, `${Date.now() - begin} ms`);
      assert.equal((await poll.packets(12)).length, 12);
      ws.destroy();
    });

  test('close', async (t) => {
    const server = await startWithMetrics(t, {
      ini: INI,
      options: { ...RATE, 'limits.rate_policy': 'close' },
    });
    const ws = await RawWs.open(server, '/echo');
    for (let i = 0; i < 12; i++) await ws.send(TEXT, text);
    await ws.wire.closed();
    await until('it is counted', async () => (await closed(server, 'rate')) === 1);
    ws.destroy();
  });
});

describe('what never comes to its end', roomcastOnly, () => {
  // Bytes, one by one, as long as the other side listens.
  const drip = async (wire, bytes, ms = 30) => {
    for (const b of bytes) {
      if (wire.ended) return;
      await wire.write(Buffer.of(b)).catch(() => {});
      await sleep(ms);
    }
  };

  test('a head, byte by byte', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, options: { 'limits.head_timeout': '500ms' } });
    const wire = await Wire.open(server);
    const dripping = drip(wire, Buffer.from(`GET /healthz HTTP/1.1\r\nHost: ${'x'.repeat(10_000)}`));
    const r = await wire.response();
    assert.equal(r.status, 408);
    await wire.closed();
    await dripping;
    await until('it is counted', async () => (await closed(server, 'head_timeout')) === 1);
  });

  test('nothing at all; and the second request of a connection', async (t) => {
    const server = await startWithMetrics(t, {
      ini: INI,
      options: { 'limits.head_timeout': '3s', 'limits.idle_timeout': '300ms' },
    });
    const silent = await Wire.open(server);
    await silent.closed();
    assert.equal(await closed(server, 'head_timeout'), 1);
    const idle = await Wire.open(server);
    await idle.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
    assert.equal((await idle.response()).status, 200);
    await idle.closed();
    assert.equal(await closed(server, 'idle'), 1);
    const second = await Wire.open(server);
    await second.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he');
    assert.equal((await second.response()).status, 200);
    const dripping = drip(second, Buffer.alloc(10_000, 'x'));
    assert.equal((await second.response()).status, 408);
    await second.closed();
    await dripping;
  });

  test('a body, byte by byte', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options: { 'limits.head_timeout': '2s' } });
    const poll = await Polling.open(server, { namespace: '/' });
    const wire = await Wire.open(server);
    await wire.write(`POST ${poll.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n`);
    const dripping = drip(wire, Buffer.alloc(10_000, 'x'));
    assert.equal((await wire.response()).status, 408);
    await wire.closed();
    await dripping;
    await until('it is counted', async () => (await closed(server, 'head_timeout')) === 1);
  });

  for (const shards of [1, 2])
    test(`a WebSocket message: in its frame, in its head, between its fragments; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: { 'limits.message_timeout': '500ms' } });
      const cases = [
        async (ws) => drip(ws.wire, frame(TEXT, 'x'.repeat(10_000))),
        async (ws) => ws.wire.write(frame(TEXT, 'x'.repeat(300)).subarray(0, 3)),
        async (ws) => {
          // Pongs may come between fragments, so no heartbeat ends this.
          await ws.send(TEXT, 'x', { fin: false });
          while (!ws.wire.ended) {
            await ws.send(PONG, '').catch(() => {});
            await sleep(30);
          }
        },
        async (ws) => {
          await ws.send(TEXT, 'x', { fin: false });
          while (!ws.wire.ended) {
            await ws.send(0, 'x', { fin: false }).catch(() => {});
            await sleep(30);
          }
        },
      ];
      const all = await Promise.all(cases.map(() => RawWs.open(server, '/echo')));
      const working = all.map((ws, i) => cases[i](ws));
      for (const ws of all) assert.equal(await ws.closeCode(), 1008);
      await Promise.all(all.map((ws) => ws.wire.closed()));
      await Promise.all(working);
      assert.equal(await closed(server, 'message_timeout'), cases.length);
      for (const ws of all) ws.destroy();
    });

  test('a packet whose attachments do not come, although its client is alive', async (t) => {
    const server = await startWithMetrics(t, {
      ini: INI,
      options: { 'limits.message_timeout': '600ms', 'socketio.ping_interval': '100ms' },
    });
    const ws = await Socket.open(server, { namespace: '/' });
    const end = within(20_000, 'the end', new Promise((done) => ws.ws.on('close', done)));
    ws.send('452-["ask",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]');
    await sleep(200);
    ws.ws.send(Buffer.from('first'));
    assert.equal(await end, 1008);
    assert.equal(await closed(server, 'message_timeout'), 1);
  });

  test('who comes to the end in time is not concerned', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, options: { 'limits.message_timeout': '4s' } });
    const ws = await RawWs.open(server, '/echo');
    const whole = frame(BINARY, 'x'.repeat(1000));
    for (let i = 0; i < 4; i++) {
      await ws.wire.write(whole.subarray(0, 500));
      await sleep(20);
      await ws.wire.write(whole.subarray(500));
      assert.equal((await ws.frame()).data.length, 1000);
    }
    await sleep(4500);
    await ws.send(TEXT, 'still here');
    assert.equal((await ws.frame()).data.toString(), 'still here');
    ws.destroy();
  });

  test('Engine.IO: a handshake, and no namespace', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, options: { 'socketio.connect_timeout': '500ms' } });
    const ws = new Socket(server, eioPath({ transport: 'websocket' }));
    await within(20_000, 'the end', new Promise((done) => ws.ws.on('close', done)));
    assert.equal(await closed(server, 'connect_timeout'), 1);
    assert.equal((await metrics(server)).sessions, 0);
  });

  test('Engine.IO: a handshake, and no poll', async (t) => {
    const options = { 'socketio.ping_interval': '300ms', 'socketio.ping_timeout': '300ms' };
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options });
    await Polling.open(server);
    await until('its end', async () => (await closed(server, 'ping_timeout')) === 1);
    await until('nobody is left', async () => (await metrics(server)).sessions === 0);
  });

  test('Engine.IO: half an upgrade', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options: { 'socketio.upgrade_timeout': '300ms' } });
    const poll = await Polling.open(server, { namespace: '/' });
    const probe = await RawWs.open(server, eioPath({ transport: 'websocket', sid: poll.sid }));
    await probe.wire.write(frame(TEXT, '2probe').subarray(0, 5));
    await probe.wire.closed();
    await until('it is counted', async () => (await closed(server, 'upgrade_failed')) >= 1);
    await poll.post('421["ask"]');
    assert.deepEqual(await poll.packets(1), ['431[]'], 'polling goes on');
    probe.destroy();
  });
});

describe('bytes that wait for all', roomcastOnly, () => {
  for (const shards of [1, 2])
    test(`those furthest behind are closed, the others are served; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, {
        ini: INI,
        shards,
        options: { 'limits.max_queued_total': '8MiB', 'limits.max_queue': '1GiB' },
      });
      const deaf = [];
      for (let i = 0; i < 3; i++) {
        const ws = await RawWs.open(server, eioPath({ transport: 'websocket' }));
        await ws.send(TEXT, '40');
        for (let k = 0; k < 2; k++) await ws.frame();
        await ws.send(TEXT, `421["join","pile ${i}"]`);
        await ws.frame();
        ws.wire.socket.pause();
        deaf.push(ws);
      }
      const listener = await Socket.open(server, { namespace: '/' });
      listener.send('421["join","pile 0"]');
      await listener.next();
      const a = await Socket.open(server, { namespace: '/' });
      const text = 'x'.repeat(100_000);
      let sent = 0;
      const done = async () => (await closed(server, 'queued_total')) >= 1;
      while (sent < 3000 && (sent % 50 !== 0 || sent === 0 || !(await done()))) {
        // Pile 0 is three times as high as the others.
        const pile = [0, 0, 0, 1, 2][sent++ % 5];
        a.send(`421["say","pile ${pile}","${text}"]`);
        assert.match(await a.next(), /^431/);
        if (pile === 0) assert.ok((await listener.next()).startsWith('42["said"'));
      }
      await until('one is closed', done);
      const m = await metrics(server);
      assert.ok(m.queued <= 8 << 20, `${m.queued} bytes wait`);
      await logged(server, /limits\.max_queued_total = 8388608 bytes is reached: closed the \d+ slowest/);
      a.send('421["ask"]');
      assert.equal(await a.next(), '431[]');
      for (const ws of deaf) ws.destroy();
      listener.destroy();
      a.destroy();
    });

  for (const shards of [1, 2])
    test(`HTTP answers that nobody reads go before clients with little; ${label(shards)}`, async (t) => {
      const options = {
        'socketio.max_payload': '16MiB',
        'limits.max_queued_total': '32MiB',
        'limits.max_queue': '1GiB',
        'socketio.ping_interval': '10m',
      };
      const server = await startWithMetrics(t, { ini: INI, shards, options });
      const honest = [];
      for (let i = 0; i < 4; i++) {
        const ws = await RawWs.open(server, eioPath({ transport: 'websocket' }));
        await ws.send(TEXT, '40');
        for (let k = 0; k < 2; k++) await ws.frame();
        await ws.send(TEXT, '421["join","r"]');
        await ws.frame();
        ws.wire.socket.pause();
        honest.push(ws);
      }
      const a = await Socket.open(server, { namespace: '/' });
      const text = 'x'.repeat(100_000);
      for (let sent = 0; sent % 20 !== 0 || (await metrics(server)).queued < 512 << 10; sent++) {
        a.send(`421["say","r","${text}"]`);
        assert.match(await a.next(), /^431/);
      }
      // Answers to polls, each with bytes of its own.
      const deaf = [];
      const much = 'b'.repeat(12 << 20);
      for (let i = 0; i < 10; i++) {
        const poll = await Polling.open(server, { namespace: '/' });
        await poll.post(`421["join","pile ${i}"]`);
        assert.match((await poll.packets(1))[0], /^431/);
        const wire = await Wire.open(server);
        deaf.push(wire);
        const begun = new Promise((done) => {
          wire.socket.once('data', () => done(wire.socket.pause()));
        });
        await wire.write(`GET ${poll.path()} HTTP/1.1\r\nHost: x\r\n\r\n`);
        a.send(`421["say","pile ${i}","${much}"]`);
        assert.match(await a.next(), /^431/);
        await within(20_000, 'the beginning of an answer', begun);
      }
      const m = await until(
        'no more than two have room',
        async () => {
          const now = await metrics(server);
          return now['closed_total queued_total'] >= 8 && now.queued <= 32 << 20 ? now : null;
        },
        20_000,
      );
      assert.ok(m.sessions >= 5 + 2, `${m.sessions} sessions: clients with little are left alone`);
      await logged(server, /http closed reason=queued_total/);
      for (const ws of honest) {
        ws.wire.socket.resume();
        await ws.send(TEXT, '427["ask"]');
        while ((await ws.frame()).data.toString() !== '437[]');
      }
      for (const x of [...honest, ...deaf, a]) x.destroy();
    });

  test('nothing waits for those who read', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options: { 'limits.max_queued_total': '1MiB' } });
    const all = await Promise.all(range(6).map(() => connect(server, { transports: ['websocket'] })));
    await Promise.all(all.map((s) => ask(s, 'join', 'r')));
    const boxes = all.map(inbox);
    const text = 'x'.repeat(20_000);
    for (let i = 0; i < 100; i++) await ask(all[i % 6], 'say', 'r', i, text);
    for (const box of boxes) await box.wait(100, 30_000);
    const m = await metrics(server);
    assert.equal(m['closed_total queued_total'], 0);
    await until('the queues are empty', async () => (await metrics(server)).queued < 100_000);
  });
});

describe('bad tokens', roomcastOnly, () => {
  const SECRET = 'a secret that is long enough for HS256';
  const AUTH = {
    'auth.mode': 'required',
    'auth.secret': SECRET,
    'limits.auth_failure_rate': '1',
    'limits.auth_failure_burst': '3',
    'limits.exempt_networks': '',
  };
  const good = () => jwt.sign({ sub: 'ann' }, SECRET, { expiresIn: '1h' });
  const bad = () => jwt.sign({ sub: 'ann' }, `${SECRET} not`, { expiresIn: '1h' });
  // The answer to a handshake with that token, from that address.
  const handshake = async (server, token, localAddress = '127.0.0.1') => {
    const wire = new Wire(dial({ host: '127.0.0.1', port: server.port, localAddress, noDelay: true }));
    await wire.write(`GET ${eioPath({ token })} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    const r = await wire.response();
    wire.destroy();
    return r;
  };

  for (const shards of [1, 2]) {
    test(`above the rate none of that address is looked at; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: AUTH });
      assert.equal((await handshake(server, good())).status, 200);
      const statuses = (await Promise.all(range(30).map(() => handshake(server, bad())))).map((r) => r.status);
      const count = (s) => statuses.filter((x) => x === s).length;
      assert.equal(count(403) + count(429), 30, statuses.join());
      assert.ok(count(403) >= 3 && count(429) >= 10, statuses.join());
      assert.equal((await metrics(server)).tokens_unlooked_total, count(429));
      const r = await until('a good one is refused, too', async () => {
        const answer = await handshake(server, good());
        if (answer.status === 429) return answer;
        await Promise.all(range(10).map(() => handshake(server, bad())));
        return null;
      });
      assert.equal(r.headers['retry-after'], '5');
      assert.equal((await handshake(server, good(), '127.0.0.9')).status, 200, 'others are not concerned');
      await until('time has passed', async () => (await handshake(server, good())).status === 200, 20_000);
    });

    test(`in CONNECT, and in messages of json clients; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: AUTH });
      const codes = [];
      const ws = await Socket.open(server);
      for (let i = 0; i < 12; i++) {
        ws.send(`40${JSON.stringify({ token: bad() })}`);
        codes.push(JSON.parse((await ws.next()).slice(2)).data.code);
      }
      assert.deepEqual(codes.slice(0, 3), Array(3).fill('token_signature'));
      assert.ok(codes.includes('rate_limited'), codes.join());
      const poll = await Polling.open(server);
      await poll.post(...range(12).map(() => `40${JSON.stringify({ token: bad() })}`));
      const answers = await poll.packets(12);
      assert.ok(answers.some((a) => JSON.parse(a.slice(2)).data.code === 'rate_limited'), answers.join());
      const stock = client(server, { auth: { token: bad() }, transports: ['websocket'], reconnection: false });
      const refused = event(stock, 'connect_error');
      stock.connect();
      assert.match((await refused).data.code, /^(rate_limited|token_signature)$/);
      const clients = await Promise.all(range(12).map(() => JsonClient.open(server, '/ws')));
      for (const json of clients) json.send({ type: 'auth', token: bad() });
      const ends = await within(20_000, 'the ends', Promise.all(clients.map((json) => json.closed)));
      assert.ok(ends.every((e) => e.code === 1008) && ends.some((e) => /too many bad tokens/.test(e.reason)), JSON.stringify(ends));
      ws.destroy();
    });
  }
});
