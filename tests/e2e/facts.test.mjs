// Facts of the protocol that the files about its layers have no place for: one session over many
// TCP connections, what holds across an upgrade, and long-polling in a browser.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connected, inbox } from './lib/client.mjs';
import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { assertError } from './lib/errors.mjs';
import { SHARDS, label, sleep, slow, start, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { PING, RawWs, TEXT, Wire, request } from './lib/wire.mjs';

function connectionTests(server) {
  test('each request of a session on a connection of its own: all in order', async () => {
    const s = await Polling.open(server(), { namespace: '/' });
    const got = [];
    let asked = 0;
    while (asked < 60) {
      const [packets] = await Promise.all([
        s.poll(),
        s.post(...[...Array(1 + (asked % 3))].map(() => `42${asked}["ask",${asked++}]`)),
      ]);
      got.push(...packets);
    }
    while (got.length < asked) got.push(...(await s.poll()));
    assert.deepEqual(got, [...Array(asked).keys()].map((n) => `43${n}[${n}]`));
  });

  test('a few keep-alive connections, each used for any of several sessions', async () => {
    const wires = await Promise.all([...Array(6)].map(() => Wire.open(server())));
    const sessions = await Promise.all([...Array(5)].map(() => Polling.open(server(), { namespace: '/' })));
    for (let i = 0; i < 60; i++) {
      const s = sessions[i % 5];
      const body = `42${i}["ask",${i}]`;
      const [a, b] = [wires[i % 6], wires[(i * 5 + 1) % 6]];
      await a.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
      assert.equal((await a.response()).body, 'ok');
      await b.write(`GET ${s.path()} HTTP/1.1\r\nHost: x\r\n\r\n`);
      assert.equal((await b.response()).body, `43${i}[${i}]`);
    }
    for (const wire of wires) wire.destroy();
  });

  test('the connection of the handshake may end: the session does not', async () => {
    const wire = await Wire.open(server());
    await wire.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const { sid } = JSON.parse((await wire.response()).body.slice(1));
    wire.destroy();
    await sleep(30);
    const r = await request(server(), { method: 'POST', path: eioPath({ sid }), body: '40' });
    assert.equal(r.body, 'ok');
    assert.match((await request(server(), { path: eioPath({ sid }) })).body, /^40\{"sid"/);
  });

  test('a session by WebSocket knows no requests', async () => {
    const ws = await Socket.open(server(), { namespace: '/' });
    assertError(await request(server(), { path: eioPath({ sid: ws.sid }) }), 3);
    assertError(await request(server(), { method: 'POST', path: eioPath({ sid: ws.sid }), body: '1' }), 3);
    ws.send('421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });
}

function upgradeTests(server) {
  const open = () => Polling.open(server(), { namespace: '/' });
  const upgraded = async (query = {}) => {
    const s = await open();
    const ws = await Socket.open(server(), { sid: s.sid, ...query });
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    ws.send('5');
    return ws;
  };

  test('max_payload holds after an upgrade', async () => {
    const ws = await upgraded();
    const fits = `421["ask","${'x'.repeat(1_000_000 - 13)}"]`;
    ws.send(fits);
    assert.equal((await ws.next()).length, fits.length - '"ask",'.length);
    ws.send(`${fits} `);
    assert.equal((await ws.close()).code, 1009);
  });

  test('b64=1 of the WebSocket that a session moves to', async () => {
    const ws = await upgraded({ b64: '1' });
    ws.send('451-["echo",{"_placeholder":true,"num":0}]', Buffer.from([0, 19, 255]));
    assert.deepEqual(await ws.take(2), ['451-["echo",{"_placeholder":true,"num":0}]', 'bABP/']);
    ws.destroy();
  });

  test('attachments that come by different transports', async () => {
    const s = await open();
    await s.post(`452-["ask",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`.replace('["', '7["'), 'bAQ==');
    const ws = await Socket.open(server(), { sid: s.sid });
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    ws.send('5', Buffer.from([2]));
    assert.deepEqual(await ws.take(3), ['462-7[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', Buffer.from([1]), Buffer.from([2])]);
    ws.destroy();
  });

  test('what a client joined before holds after', async () => {
    const s = await open();
    await s.post('420["join","before"]', '40/chat,');
    await s.packets(2);
    const ws = await Socket.open(server(), { sid: s.sid });
    ws.send('2probe', '5');
    assert.equal(await ws.next(), '3probe');
    const other = await Socket.open(server(), { namespace: '/' });
    other.send('42["say","before","hi"]');
    assert.equal(await ws.next(), '42["said","hi"]');
    ws.send('42/chat,1["ask",1]');
    assert.equal(await ws.next(), '43/chat,1[1]');
    other.destroy();
    ws.destroy();
  });

  test('pings of WebSocket itself are answered on the probe, too', async () => {
    const s = await open();
    const ws = await RawWs.open(server(), s.path({ transport: 'websocket' }));
    await ws.send(PING, 'a');
    assert.equal((await ws.frame()).data.toString(), 'a');
    await ws.send(TEXT, '2probe');
    assert.equal((await ws.frame()).data.toString(), '3probe');
    await ws.send(PING, 'b');
    assert.equal((await ws.frame()).data.toString(), 'b');
    await ws.send(TEXT, '5');
    await ws.send(TEXT, '421["ask",1]');
    assert.equal((await ws.frame()).data.toString(), '431[1]');
    ws.destroy();
  });

  test('open, upgrade and noop packets mean nothing on a transport that is in use', async () => {
    const s = await open();
    await s.post('5', '0', '0{"sid":"x"}', '6', '5probe', '421["ask",1]');
    assert.deepEqual(await s.poll(), ['431[1]']);
    const ws = await Socket.open(server(), { namespace: '/' });
    ws.send('5', '0', '6', '5probe', '421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });
}

function heartbeatTests(shards) {
  test('a pong that nobody asked for puts the ping off', async (t) => {
    const options = { 'socketio.ping_interval': `${400 * slow}ms`, 'socketio.ping_timeout': '5s' };
    const server = await startFor(t, { ini: RULES, shards, options });
    const ws = await Socket.open(server, { namespace: '/' });
    ws.pong = false;
    for (let i = 0; i < 12; i++) {
      ws.send('3');
      await sleep(100 * slow);
    }
    assert.deepEqual(ws.queue, []);
    assert.equal(await ws.next(), '2');
    ws.destroy();
  });
}

function browserTests(shards) {
  let browser;
  before(async () => (browser = await launch()));
  after(() => browser?.close());
  afterEach(closeAll);

  // A page at one origin with a stock client of a server at another.
  const visit = async (t, here, there, io) => {
    const { page, context, faults } = await newPage(browser);
    t.after(() => context.close());
    await page.goto(`${here.url}/socket.io/socket.io.js`); // any page of that origin
    await page.addScriptTag({ url: '/socket.io/socket.io.js' });
    const codings = [];
    page.on('response', async (r) => codings.push([r.request().method(), (await r.allHeaders())['content-encoding']]));
    const outcome = await page.evaluate(([url, options]) => new Promise((done) => {
      window.socket = window.io(url, { reconnection: false, ...options });
      window.seen = [];
      window.socket.on('said', (...args) => window.seen.push(args));
      window.socket.on('connect', () => done('connect')).on('connect_error', (e) => done(e.message));
    }), [there.url, io]);
    return { page, outcome, codings, faults };
  };

  test('Chromium: polling with compressed answers', async (t) => {
    const server = await startFor(t, { ini: RULES, shards });
    const { page, outcome, codings } = await visit(t, server, server, { transports: ['polling'] });
    assert.equal(outcome, 'connect');
    const text = 'to be or not to be '.repeat(1000);
    assert.equal(await page.evaluate((v) => window.socket.emitWithAck('ask', v), text), text);
    await page.evaluate(() => window.socket.emitWithAck('join', 'page'));
    const other = await connected(client(server, { transports: ['polling'] }));
    const box = inbox(other);
    await ask(other, 'join', 'page');
    other.emit('say', 'page', text, 1);
    await box.wait(1);
    await page.waitForFunction(() => window.seen.length === 1);
    assert.deepEqual(await page.evaluate(() => window.seen), [[text, 1]]);
    assert.ok(codings.some(([method, coding]) => method === 'GET' && coding === 'gzip'), JSON.stringify(codings));
    assert.ok(codings.some(([method, coding]) => method === 'GET' && coding === undefined));
  });

  test('Chromium: another origin, with credentials and a cookie', async (t) => {
    const here = await startFor(t, { ini: RULES, shards: 1 });
    const options = { 'socketio.cors_origin': here.url, 'socketio.cors_credentials': 'yes', 'socketio.cookie': 'io' };
    const there = await startFor(t, { ini: RULES, shards, options });
    for (const transports of [['polling'], ['polling', 'websocket']]) {
      const { page, outcome } = await visit(t, here, there, {
        transports, withCredentials: true, extraHeaders: { 'x-mine': 'asks for a preflight' },
      });
      assert.equal(outcome, 'connect');
      assert.equal(await page.evaluate(() => window.socket.emitWithAck('ask', 'ü')), 'ü');
    }
  });

  test('Chromium: another origin that is not allowed', async (t) => {
    const here = await startFor(t, { ini: RULES, shards: 1 });
    for (const options of [{}, { 'socketio.cors_origin': 'https://a.example' }]) {
      const there = await startFor(t, { ini: RULES, shards, options });
      const { outcome } = await visit(t, here, there, { transports: ['polling'] });
      assert.equal(outcome, 'xhr poll error');
    }
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    after(() => server.stop());
    connectionTests(() => server);
    upgradeTests(() => server);
    heartbeatTests(shards);
    if (shards === SHARDS.at(-1)) browserTests(shards); // they take long, and shards make no difference
  });
}
