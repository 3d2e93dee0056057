// Names, numbers and sizes: each limit of [limits] is reached, and what is just below it passes. And limits
// that change while the server runs. All of it is roomcast's own.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { ask, closeAll, connect } from './lib/client.mjs';
import { Socket } from './lib/eio.mjs';
import { JsonClient } from './lib/jsonclient.mjs';
import { metrics, startWithMetrics } from './lib/metrics.mjs';
import { reload } from './lib/reload.mjs';
import { label, roomcastOnly, until, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { Wire } from './lib/wire.mjs';

const range = (n) => [...Array(n).keys()];
const INI = `${RULES}
[namespace /nine-byte]
[event question]
ask = room r within 20s: question {1}
[endpoint /ws]
protocol = json
`;
const OPTIONS = {
  'limits.max_head_size': '1KiB',
  'limits.max_target_size': '100',
  'limits.max_headers': '10',
  'limits.json_depth': '5',
  'limits.max_attachments': '2',
  'limits.max_args': '3',
  'limits.max_event_length': '16',
  'limits.max_namespace_length': '12',
  'limits.max_auth_size': '50',
  'limits.max_ack_id': '99',
  'limits.max_asks': '2',
  'limits.max_bad_messages': '3',
  'socketio.max_payload': '2KiB',
};

afterEach(closeAll);

describe('limits on sizes', roomcastOnly, () => {
  test('HTTP: head, target, header lines', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, options: OPTIONS });
    const status = async (target, headers = '') => {
      const wire = await Wire.open(server);
      await wire.write(`GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`);
      const r = await wire.response();
      wire.destroy();
      return r.status;
    };
    assert.equal(await status('/healthz'), 200);
    assert.equal(await status(`/healthz?${'x'.repeat(91)}`), 200);
    assert.equal(await status(`/healthz?${'x'.repeat(92)}`), 414);
    assert.equal(await status('/healthz', range(9).map((i) => `X-${i}: y\r\n`).join('')), 200);
    assert.equal(await status('/healthz', range(10).map((i) => `X-${i}: y\r\n`).join('')), 431);
    assert.equal(await status('/healthz', `X: ${'y'.repeat(900)}\r\n`), 200);
    assert.equal(await status('/healthz', `X: ${'y'.repeat(1100)}\r\n`), 431);
    await until('they are counted', async () => (await metrics(server))['closed_total bad_request'] === 3);
  });

  test('Socket.IO packets: what is over a limit ends the connection, what is just below does not', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options: OPTIONS });
    const cases = [
      ['depth', '421["ask",[[[[1]]]]]', '421["ask",[[[[[1]]]]]]'],
      ['arguments', '421["ask",1,2,3]', '421["ask",1,2,3,4]'],
      ['event', `421["${'x'.repeat(16)}"]`, `421["${'x'.repeat(17)}"]`],
      ['namespace', '40/nine-byte,', `40/${'x'.repeat(12)},`],
      ['ack id', '4299["ask"]', '42100["ask"]'],
      ['attachments', null, '453-1["ask",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]'],
    ];
    let n = 0;
    for (const [what, below, above] of cases) {
      const ws = await Socket.open(server, { namespace: '/' });
      const end = within(20_000, `the end after ${what}`, new Promise((done) => ws.ws.on('close', done)));
      if (below !== null) {
        ws.send(below);
        assert.match(await ws.next(), /^4[03]/, what);
      }
      ws.send(above);
      await end;
      assert.equal((await metrics(server))['closed_total limit'], ++n, what);
    }
    const big = await Socket.open(server, { namespace: '/' });
    const end = within(20_000, 'the end', new Promise((done) => big.ws.on('close', done)));
    big.send(`421["ask","${'x'.repeat(1900)}"]`);
    assert.match(await big.next(), /^431/);
    big.send(`421["ask","${'x'.repeat(2100)}"]`);
    assert.equal(await end, 1009);
    assert.equal((await metrics(server))['closed_total too_big'], 1);
  });

  test('auth, questions, bad messages', async (t) => {
    const server = await startWithMetrics(t, { ini: INI, shards: 2, options: OPTIONS });
    const ws = await Socket.open(server);
    ws.send(`40${JSON.stringify({ a: 'x'.repeat(50) })}`);
    assert.equal(
      await ws.next(),
      '44{"message":"auth is too big","data":{"code":"limit","key":"limits.max_auth_size"}}',
    );
    ws.send(`40${JSON.stringify({ a: 'x'.repeat(40) })}`);
    assert.match(await ws.next(), /^40/);
    ws.destroy();

    const [asker, silent] = await Promise.all([connect(server), connect(server)]);
    await ask(silent, 'join', 'r');
    for (let i = 0; i < 2; i++) asker.emit('question', i, () => {});
    assert.equal((await ask(asker, 'question', 'one more')).error, 'too_many_asks');

    const json = await JsonClient.connect(server, '/ws');
    for (let i = 0; i < 3; i++) json.send('no JSON');
    assert.equal((await json.take(3)).every((m) => m.type === 'error'), true);
    json.send({ type: 'ask', ack: 1 });
    assert.equal((await json.take(1))[0].type, 'ack');
    json.send('no JSON');
    assert.deepEqual(await within(20_000, 'the end', json.closed), { code: 1008, reason: 'too many bad messages' });
  });
});

describe('limits that are reloaded', roomcastOnly, () => {
  for (const shards of [1, 2])
    test(`rates, connections of an address, what waits: for those who are there, too; ${label(shards)}`, async (t) => {
      const server = await startWithMetrics(t, { ini: INI, shards, options: { 'limits.exempt_networks': '' } });
      const socket = await connect(server, { transports: ['websocket'] });
      const many = () => Promise.all(range(30).map((i) => ask(socket, 'ask', i)));
      assert.deepEqual(await many(), range(30));
      const limits = `[limits]
message_rate = 1
message_burst = 5
rate_policy = drop
max_connections_per_address = 1
max_memory = 1GiB
max_queued_total = 32MiB
message_timeout = 500ms
`;
      assert.equal((await reload(server, `${limits}${INI}`)).ok, true);
      assert.ok((await many()).filter((a) => a?.error === 'rate_limited').length >= 10);
      assert.equal((await metrics(server)).memory_ceiling_bytes, 1 << 30);
      // Who was there before is not counted.
      const one = await Wire.open(server);
      await one.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.equal((await one.response()).status, 200);
      const two = await Wire.open(server);
      assert.equal((await two.response()).status, 429);
      assert.equal((await reload(server, INI)).ok, true);
      assert.deepEqual(await many(), range(30));
      const three = await Wire.open(server);
      await three.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
      assert.equal((await three.response()).status, 200);
      for (const wire of [one, two, three]) wire.destroy();
    });
});
