// Engine.IO v4 over WebSocket, the way there from polling, and the heartbeat.
//
// [REF] The reference differs here:
//  - `1` on a WebSocket is ignored; roomcast closes at once.
//  - frames that come with the handshake are lost: it listens for them a turn later.
//  - a second WebSocket for a session that began as one may probe until upgradeTimeout.
//  - engine.io 6.6.12 extends a running ping timeout once when another packet arrives.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { assertError, refusedUpgrade } from './lib/errors.mjs';
import {
  SHARDS,
  label,
  reference,
  roomcastOnly,
  sleep,
  slow,
  start,
  startFor,
  within,
} from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, closePayload, frame } from './lib/wire.mjs';

function webSocketTests(server) {
  const open = () => Socket.open(server(), { namespace: '/' });

  test('text and binary messages', async () => {
    const ws = await open();
    ws.send('451-["echo",{"_placeholder":true,"num":0}]', Buffer.from([0, 4, 255]));
    assert.deepEqual(await ws.take(2), [
      '451-["echo",{"_placeholder":true,"num":0}]',
      Buffer.from([0, 4, 255]),
    ]);
    ws.destroy();
  });

  test('b64=1: binary as base64 text', async () => {
    const ws = await Socket.open(server(), { namespace: '/', b64: '1' });
    ws.send('451-["echo",{"_placeholder":true,"num":0}]', 'bAAT/');
    assert.deepEqual(await ws.take(2), ['451-["echo",{"_placeholder":true,"num":0}]', 'bAAT/']);
    ws.destroy();
  });

  test('a message of max_payload passes, a longer one closes with 1009', async () => {
    const ws = await open();
    const fits = `421["ask","${'x'.repeat(1_000_000 - 13)}"]`;
    ws.send(fits);
    assert.equal((await ws.next()).length, fits.length - '"ask",'.length);
    ws.send(`${fits} `);
    assert.equal((await ws.close()).code, 1009);
  });

  for (const [name, packet] of [
    ['ping of a client', '2'],
    ['unknown type', '9'],
    ['letter', 'x'],
    ['binary without an event', Buffer.from('x')],
    ['empty', ''],
  ]) {
    test(`closes the connection, without a code: ${name}`, async () => {
      const ws = await open();
      ws.send(packet);
      assert.equal((await ws.close()).code, 1005);
    });
  }

  test('close packet closes', roomcastOnly, async () => {
    // [REF] ignores it
    const ws = await open();
    ws.send('1');
    await ws.close();
  });

  test('packets that mean nothing to a server are ignored', async () => {
    const ws = await open();
    ws.send('3', '6', '3x', '421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });

  // [REF] loses it: it listens for messages a turn later.
  test('the first frame may come with the handshake', roomcastOnly, async () => {
    const ws = await RawWs.open(server(), eioPath({ transport: 'websocket' }), { pipelined: frame(1, '40') });
    assert.match((await ws.frame()).data.toString(), /^0\{/);
    assert.match((await ws.frame()).data.toString(), /^40\{"sid":/);
    ws.destroy();
  });

  test('fragments, pings and pongs of WebSocket itself', async () => {
    const ws = await RawWs.open(server(), eioPath({ transport: 'websocket' }));
    await ws.frame();
    await ws.wire.write(
      Buffer.concat([
        frame(1, '4', { fin: false }),
        frame(9, 'hey'),
        frame(0, '0', { fin: false }),
        frame(0, ''),
      ]),
    );
    const pong = await ws.frame();
    assert.deepEqual([pong.opcode, pong.data.toString()], [10, 'hey']);
    assert.match((await ws.frame()).data.toString(), /^40\{"sid"/);
    const text = `421["ask","${'ü'.repeat(300_000)}"]`;
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += 9999)
      await ws.send(at === 0 ? 1 : 0, bytes.subarray(at, at + 9999), { fin: at + 9999 >= bytes.length });
    assert.equal((await ws.frame()).data.toString(), text.replace('421["ask",', '431['));
    await ws.wire.trickle(Buffer.concat([frame(1, '422["ask",1]'), frame(10, ''), frame(1, '423["ask",2]')]));
    assert.equal((await ws.frame()).data.toString(), '432[1]');
    assert.equal((await ws.frame()).data.toString(), '433[2]');
    await ws.send(8, closePayload(1000));
    assert.equal(await ws.closeCode(), 1000);
    await ws.wire.closed();
  });

  for (const [code, name, bytes] of [
    [1002, 'an unmasked frame', frame(1, '42["echo"]', { mask: false })],
    [1002, 'a reserved bit', frame(1, '42["echo"]', { rsv: 4 })],
    [1007, 'text that is no UTF-8', frame(1, Buffer.from('42["echo","\xff"]', 'latin1'))],
  ]) {
    test(`closes the connection with ${code}: ${name}`, async () => {
      const ws = await RawWs.open(server(), eioPath({ transport: 'websocket' }));
      await ws.send(1, '40');
      await ws.frame();
      await ws.frame();
      await ws.wire.write(bytes);
      assert.equal(await ws.closeCode(), code);
      await ws.send(8, closePayload(code)).catch(() => {});
      await ws.wire.closed();
    });
  }

  test('a bad WebSocket handshake is refused', async () => {
    const path = eioPath({ transport: 'websocket' });
    const refused = async (headers) => (await refusedUpgrade(server(), path, { headers })).status;
    assert.equal(await refused({ 'Sec-WebSocket-Key': null }), 400);
    assert.equal(await refused({ 'Sec-WebSocket-Key': 'short' }), 400);
    assert.ok([400, 426].includes(await refused({ 'Sec-WebSocket-Version': '12' })));
  });
}

function upgradeTests(server, shards) {
  const open = () => Polling.open(server(), { namespace: '/' });
  const probe = async (s) => {
    const ws = await Socket.open(server(), { sid: s.sid });
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    return ws;
  };

  test('polls are flushed with noops, then everything goes over the WebSocket', async () => {
    const s = await open();
    const poll = s.get();
    const ws = await probe(s);
    assert.equal((await within(2000, 'a noop', poll)).body, '6');
    for (let i = 0; i < 3; i++) assert.equal((await within(2000, 'another noop', s.get())).body, '6');
    await s.post('421["ask","during"]'); // still by polling
    assert.ok((await s.packets(1)).includes('431["during"]'));
    ws.send('5', '422["ask","after"]');
    assert.equal(await ws.next(), '432["after"]');
    ws.destroy();
  });

  test('what waited when the upgrade came is flushed to the WebSocket', async () => {
    const s = await open();
    const ws = await probe(s);
    await s.post('42["echo",1]', '42["echo",2]');
    ws.send('5', '42["echo",3]');
    assert.deepEqual(await ws.take(3), ['42["echo",1]', '42["echo",2]', '42["echo",3]']);
    ws.destroy();
  });

  test('a poll that is pending when the upgrade comes', async () => {
    const s = await open();
    const ws = await Socket.open(server(), { sid: s.sid });
    const poll = s.get();
    await poll.sent;
    await sleep(30 * slow);
    ws.send('2probe');
    ws.send('5'); // a client ought to wait for the poll
    assert.equal(await ws.next(), '3probe');
    const r = await within(
      3000,
      'the poll',
      poll.catch((e) => e),
    );
    // [REF] closes the discarded transport: 1
    if (r.status) assert.ok(r.status === 200 && /^[16]$/.test(r.body), r.body);
    ws.send('421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });

  test('after the upgrade requests are refused, also when they come at once', async (t) => {
    // With chatter between the shards, a request that was forwarded may be seen before the
    // WebSocket that is readable, too.
    const talkers = await Promise.all(
      [...Array(8).keys()].map(() => Socket.open(server(), { namespace: '/' })),
    );
    for (const ws of talkers) ws.send('42["join","a"]', '42["join","b"]', '42["join","c"]');
    const chatter = setInterval(
      () => talkers.forEach((ws, n) => ws.send(`42["tell","${'abc'[n % 3]}",1]`)),
      1,
    );
    t.after(() => {
      clearInterval(chatter);
      for (const ws of talkers) ws.destroy();
    });
    for (let i = 0; i < 25; i++) {
      const s = await open();
      const ws = await probe(s);
      await new Promise((r) => ws.ws.send('5', r));
      assertError(await s.get(), 3);
      assertError(await s.raw('421["ask",1]'), 3);
      ws.send('422["ask",2]');
      assert.equal(await ws.next(), '432[2]');
      ws.destroy();
    }
  });

  test('a second WebSocket for a session that is upgrading or upgraded is closed', async () => {
    const s = await open();
    const ws = await probe(s);
    const during = new Socket(server(), s.path({ transport: 'websocket' }));
    await during.close();
    ws.send('5', '421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    const late = new Socket(server(), s.path({ transport: 'websocket' }));
    await late.close();
    ws.send('422["ask",2]');
    assert.equal(await ws.next(), '432[2]');
    ws.destroy();
  });

  // [REF] lets it probe until upgradeTimeout.
  test('a second WebSocket for a session that began as one is closed', roomcastOnly, async () => {
    const one = await Socket.open(server(), { namespace: '/' });
    const two = new Socket(server(), eioPath({ transport: 'websocket', sid: one.sid }));
    await two.close();
    one.send('421["ask",1]');
    assert.equal(await one.next(), '431[1]');
    one.destroy();
  });

  for (const [name, packets] of [
    ['ping without probe', ['2']],
    ['message', ['42["echo",1]']],
    ['message after the probe', ['2probe', '42["echo",1]']],
    ['garbage', ['xyz']],
    ['binary', [Buffer.from('2probe')]],
  ]) {
    test(`another packet on the probing WebSocket closes that one only: ${name}`, async () => {
      const s = await open();
      const ws = await Socket.open(server(), { sid: s.sid });
      ws.send(...packets);
      await ws.close();
      await s.post('421["ask",1]');
      assert.deepEqual(
        (await s.packets(1)).filter((p) => p !== '6'),
        ['431[1]'],
      );
      const again = await probe(s); // and it can try again
      again.send('5', '422["ask",2]');
      assert.equal(await again.next(), '432[2]');
      again.destroy();
    });
  }

  test('a probing WebSocket that is cut leaves the session alone', async () => {
    const s = await open();
    const ws = await probe(s);
    ws.destroy();
    await sleep(50 * slow);
    await s.post('421["ask",1]');
    assert.deepEqual(await s.poll(), ['431[1]']);
    const again = await probe(s);
    again.send('5', '422["ask",2]');
    assert.equal(await again.next(), '432[2]');
    again.destroy();
  });

  // [REF] loses frames that come with the handshake.
  test('the probe may come with the handshake, on whatever shard', roomcastOnly, async () => {
    for (let i = 0; i < 12; i++) {
      const s = await open();
      const ws = await RawWs.open(server(), s.path({ transport: 'websocket' }), {
        pipelined: frame(1, '2probe'),
      });
      assert.equal((await ws.frame()).data.toString(), '3probe');
      await ws.wire.write(
        Buffer.concat([frame(1, '5'), frame(1, '421["ask",1]', { fin: false }), frame(0, '')]),
      );
      assert.equal((await ws.frame()).data.toString(), '431[1]');
      ws.destroy();
    }
  });

  test('an upgrade without a probe', async () => {
    const s = await open();
    const ws = await Socket.open(server(), { sid: s.sid });
    ws.send('5', '421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });

  test('an upgrade that takes too long is given up, polling goes on', async (t) => {
    const slowOne = await startFor(t, {
      ini: RULES,
      shards,
      options: { 'socketio.upgrade_timeout': '300ms' },
    });
    const s = await Polling.open(slowOne, { namespace: '/' });
    const silent = await Socket.open(slowOne, { sid: s.sid });
    await silent.close(3000);
    const probed = await Socket.open(slowOne, { sid: s.sid });
    probed.send('2probe');
    assert.equal(await probed.next(), '3probe');
    await probed.close(3000);
    await s.post('421["ask",1]');
    assert.deepEqual(
      (await s.packets(1)).filter((p) => p !== '6'),
      ['431[1]'],
    );
    const poll = s.get(); // held again: no noop any more
    assert.equal(await Promise.race([poll, sleep(300)]), undefined);
    await s.post('422["ask",2]');
    assert.equal((await poll).body, '432[2]');
  });

  test('a session that ends while upgrading takes the WebSocket with it', async () => {
    const s = await open();
    const ws = await probe(s);
    await s.post('1');
    await ws.close();
    await s.gone();
  });
}

function heartbeatTests(shards) {
  const options = { 'socketio.ping_interval': '300ms', 'socketio.ping_timeout': '400ms' };
  let server;
  before(async () => (server = await start({ ini: RULES, shards, options })));
  after(() => server.stop());

  const timedNext = async (ws) => {
    const from = Date.now();
    const packet = await ws.next();
    return [packet, Date.now() - from];
  };
  const about = (ms, wanted) =>
    assert.ok(ms > wanted - 80 && ms < wanted + 450 * slow, `${ms} ms, wanted about ${wanted}`);

  // A busy machine may hold this process up between two looks at the clock: what is wrong is wrong
  // three times in a row.
  const timed = (name, body) =>
    test(name, async () => {
      for (let left = 2; ; left--) {
        try {
          return await body();
        } catch (e) {
          if (left === 0 || !/wanted about/.test(e.message)) throw e;
        }
      }
    });

  test('the handshake tells the times', async () => {
    const { handshake } = await Polling.open(server);
    assert.deepEqual([handshake.pingInterval, handshake.pingTimeout], [300, 400]);
  });

  timed('WebSocket: ping, restarted by the pong; silence ends it', async () => {
    const ws = await Socket.open(server);
    ws.pong = false;
    await ws.join();
    const opened = Date.now();
    const [first] = await timedNext(ws);
    assert.equal(first, '2');
    about(Date.now() - opened, 300);
    await sleep(100);
    ws.send('3');
    const [second, gap] = await timedNext(ws);
    assert.equal(second, '2');
    about(gap, 300); // since the pong, not since the ping
    const from = Date.now();
    assert.equal((await ws.close()).code, 1005);
    about(Date.now() - from, 400);
  });

  test('WebSocket: pongs keep it for many intervals', async () => {
    const ws = await Socket.open(server, { namespace: '/' });
    await sleep(2500);
    ws.send('421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });

  timed('polling: ping in a poll, pong by POST; silence ends it', async () => {
    const s = await Polling.open(server, { namespace: '/' });
    for (let i = 0; i < 3; i++) {
      const from = Date.now();
      assert.deepEqual(await s.poll(), ['2']);
      about(Date.now() - from, 300);
      await s.post('3');
    }
    assert.deepEqual(await s.poll(), ['2']);
    const from = Date.now();
    assert.deepEqual(await s.poll(), ['1']);
    about(Date.now() - from, 400);
    await s.gone();
  });

  test('polling: a client that never comes back is forgotten', async () => {
    const s = await Polling.open(server, { namespace: '/' });
    await sleep(1100 * slow);
    await s.gone();
  });

  test('messages do not keep a client that sends no pong', async () => {
    const ws = await Socket.open(server, { namespace: '/' });
    ws.pong = false;
    ws.ws.removeAllListeners('message');
    const chatter = setInterval(() => ws.ws.readyState === 1 && ws.send('42["tell","nobody"]'), 50);
    const from = Date.now();
    await ws.close();
    clearInterval(chatter);
    // [REF] engine.io 6.6.12 extends the timeout once
    assert.ok(Date.now() - from < (reference ? 1600 : 1150) * slow);
  });

  test('the heartbeat goes on during and after an upgrade', async () => {
    const s = await Polling.open(server, { namespace: '/' });
    const ws = await Socket.open(server, { sid: s.sid });
    ws.pong = false;
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    let pings = 0; // the polls see them while the upgrade is under way
    for (const end = Date.now() + 700; Date.now() < end;) {
      const packets = await s.poll();
      if (packets.includes('2')) {
        pings++;
        await s.post('3');
      }
      await sleep(20);
    }
    assert.ok(pings >= 1, 'no ping while upgrading');
    ws.send('5');
    ws.pong = true;
    await sleep(1500);
    ws.send('421["ask",1]');
    assert.equal((await ws.next()).replace(/^2$/, ''), '431[1]');
    ws.destroy();
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    after(() => server.stop());
    webSocketTests(() => server);
    upgradeTests(() => server, shards);
    describe('heartbeat', { concurrency: true }, () => heartbeatTests(shards));
  });
}
