// Socket.IO v5 packets as bytes: what is valid, what closes the connection, namespaces, acks.
//
// Where the reference is laxer than protocols say, the case is marked [REF] and only asked of
// roomcast:
//  - `42`, `43` without any JSON: the reference ignores them.
//  - `4` alone: the reference takes the missing digit for 0, a CONNECT.
//  - ack ids beyond 2^53: the reference loses digits.
//  - a numeric event name is valid and reaches the rules by its digits.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Polling, Socket } from './lib/eio.mjs';
import {
  SHARDS,
  label,
  reference,
  roomcastOnly,
  sleep,
  slow,
  start,
  startFor,
  until,
} from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const P = (n) => `{"_placeholder":true,"num":${n}}`;
const bin = (n) => [...Array(n).keys()].map((i) => Buffer.from([i]));

// Each closes the connection of a socket that is connected to "/".
const INVALID = [
  ['unknown type 7', '47'],
  ['unknown type 9', '49["x"]'],
  ['a letter for a type', '4x'],
  ['CONNECT twice', '40'],
  ['CONNECT with an array', '40/chat,[]'],
  ['CONNECT with a string', '40/chat,"token"'],
  ['CONNECT with null', '40/chat,null'],
  ['CONNECT with a number', '40/chat,1.5'],
  ['CONNECT with bad JSON', '40/chat,{"token":'],
  ['CONNECT_ERROR from a client', '44{"message":"x"}'],
  ['CONNECT_ERROR with an array', '44[]'],
  ['DISCONNECT with data', '41{}'],
  ['DISCONNECT of a namespace not joined', '41/chat,'],
  ['EVENT for a namespace not joined', '42/chat,["echo"]'],
  ['EVENT for an unknown namespace', '42/nowhere,["echo"]'],
  ['ACK for a namespace not joined', '43/chat,1[]'],
  ['EVENT with an object', '42{}'],
  ['EVENT with an empty array', '42[]'],
  ['EVENT with a string', '42"echo"'],
  ['EVENT with a number', '421'.concat('.5')],
  ['EVENT named null', '42[null]'],
  ['EVENT named true', '42[true,1]'],
  ['EVENT named by an object', '42[{}]'],
  ['EVENT named by an array', '42[["echo"]]'],
  ['bad JSON: cut off', '42["echo"'],
  ['bad JSON: trailing text', '42["echo"]x'],
  ['bad JSON: trailing comma', '42["echo",]'],
  ['bad JSON: single quotes', "42['echo']"],
  ['bad JSON: control character in a string', '42["echo","\n"]'],
  ['bad JSON: leading zero', '42["echo",01]'],
  ['bad JSON: bare word', '42["echo",undefined]'],
  ['bad JSON: bad escape', '42["echo","\\x"]'],
  ['bad JSON: two values', '42["echo"]["echo"]'],
  ['bad JSON: NaN', '42["echo",NaN]'],
  ['reserved: connect', '42["connect"]'],
  ['reserved: connect_error', '42["connect_error"]'],
  ['reserved: disconnect', '42["disconnect"]'],
  ['reserved: disconnecting', '42["disconnecting"]'],
  ['reserved: newListener', '42["newListener"]'],
  ['reserved: removeListener', '42["removeListener"]'],
  ['reserved, written with escapes', '42["\\u0063onnect"]'],
  ['ACK with an object', '431{}'],
  ['ACK with a string', '431"x"'],
  ['BINARY_EVENT without a count', '45["echo"]'],
  ['BINARY_EVENT without a dash', '451["echo"]'],
  ['BINARY_EVENT with an empty count', '45-["echo"]'],
  ['BINARY_EVENT with a count of 0', '450-["echo"]'],
  ['BINARY_EVENT with a count of -1', '45-1-["echo"]'],
  ['BINARY_EVENT with a broken count', '451.5-["echo"]'],
  ['BINARY_EVENT with a letter for a count', '45a-["echo"]'],
  [
    'BINARY_EVENT with 11 attachments',
    `4511-["echo",${bin(11)
      .map((_, i) => P(i))
      .join()}]`,
  ],
  ['BINARY_EVENT with a huge count', '4599999999999999999999-["echo"]'],
  [
    'BINARY_ACK with 11 attachments',
    `4611-1[${bin(11)
      .map((_, i) => P(i))
      .join()}]`,
  ],
  ['BINARY_EVENT with a reserved name', `451-["connect",${P(0)}]`],
  ['a text packet while attachments are missing', `451-["echo",${P(0)}]`, '42["echo"]'],
  [
    'a text packet while the last attachment is missing',
    `452-["echo",${P(0)},${P(1)}]`,
    Buffer.from('a'),
    '42["echo"]',
  ],
  ['an attachment without an event', Buffer.from('a')],
  ['an attachment too many', `451-["echo",${P(0)}]`, Buffer.from('a'), Buffer.from('b')],
  ['placeholder out of range', `451-["echo",${P(1)}]`, Buffer.from('a')],
  ['placeholder negative', `451-["echo",${P(-1)}]`, Buffer.from('a')],
  ['placeholder a string', `451-["echo",{"_placeholder":true,"num":"0"}]`, Buffer.from('a')],
  ['placeholder far out of range', `451-["echo",${P(1e9)}]`, Buffer.from('a')],
  ['placeholder without num', '451-["echo",{"_placeholder":true}]', Buffer.from('a')],
];

// Only asked of roomcast.
const INVALID_HERE = [
  ['EVENT without data', '42'],
  ['ACK without data', '431'],
  ['a MESSAGE without a type', '4'],
  ['an ack id beyond 2^53 - 1', '429007199254740992["ask"]'],
  ['an ack id of 400 digits', `42${'9'.repeat(400)}["ask"]`],
  ['JSON 65 deep', `42["echo",${'['.repeat(64)}${']'.repeat(64)}]`],
  ['JSON 100,000 deep', `42["echo",${'['.repeat(100_000)}`],
  ['17 arguments', `42["echo"${',1'.repeat(17)}]`],
  ['an event name of 129 bytes', `42["${'e'.repeat(129)}"]`],
  ['a namespace of 129 bytes', `40/${'n'.repeat(128)},`],
];

const VALID = [
  ['an event without arguments', ['42["echo"]'], ['42["echo"]']],
  ['ack id 0', ['420["ask","x"]'], ['430["x"]']],
  ['ack id 2^53 - 1', ['429007199254740991["ask"]'], ['439007199254740991[]']],
  ['the same ack id again', ['427["ask",1]', '427["ask",2]'], ['437[1]', '437[2]']],
  ['an ack that nobody asked for', ['43999[1]', '421["ask",1]'], ['431[1]']],
  [
    '10 attachments',
    [
      `4510-["echo",${bin(10)
        .map((_, i) => P(i))
        .join()}]`,
      ...bin(10),
    ],
    [
      `4510-["echo",${bin(10)
        .map((_, i) => P(i))
        .join()}]`,
      ...bin(10),
    ],
  ],
  ['an ack with attachments', [`451-5["ask",${P(0)}]`, ...bin(1)], [`461-5[${P(0)}]`, ...bin(1)]],
  ['an unwanted ack with attachments', [`461-5[${P(0)}]`, ...bin(1), '421["ask",1]'], ['431[1]']],
  [
    'an empty attachment',
    [`451-["echo",${P(0)}]`, Buffer.alloc(0)],
    [`451-["echo",${P(0)}]`, Buffer.alloc(0)],
  ],
  [
    'reserved names as arguments',
    ['42["echo","connect","disconnect"]'],
    ['42["echo","connect","disconnect"]'],
  ],
  ['an event without a rule', ['42["nobody",1]', '421["ask",1]'], ['431[1]']],
  ['an event named by a number', ['42[5,1]', '421["ask",1]'], ['431[1]']],
  ['escapes in the event name', ['42["\\u0065cho",1]'], ['42["echo",1]']],
];

function bytes(list) {
  return list.map((x) => (Buffer.isBuffer(x) ? `b${x.toString('base64')}` : x));
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    after(() => server.stop());

    const closes = (name, packets, options = {}) =>
      test(`closes: ${name}`, options, async () => {
        const ws = await Socket.open(server, { namespace: '/' });
        ws.send(...packets);
        assert.equal((await ws.close()).code, 1005);
        assert.deepEqual(
          ws.queue.filter((m) => String(m).startsWith('42')),
          [],
          'nothing is answered',
        );
      });
    for (const [name, ...packets] of INVALID) closes(name, packets);
    for (const [name, ...packets] of INVALID_HERE) closes(name, packets, roomcastOnly);

    test('the same over polling: the session is closed', async () => {
      for (const [name, ...packets] of INVALID.filter((_, i) => i % 6 === shards % 6)) {
        const s = await Polling.open(server, { namespace: '/' });
        await s.raw(bytes(packets).join('\x1e')).catch(() => null);
        const until400 = async () => {
          const r = await s.get();
          if (r.status === 200) assert.match(r.body, /^(6\x1e)?1$/, name);
          return r.status === 400;
        };
        await until(name, until400);
      }
    });

    for (const [name, packets, answers] of VALID) {
      test(`valid: ${name}`, async () => {
        const ws = await Socket.open(server, { namespace: '/' });
        ws.send(...packets);
        assert.deepEqual(await ws.take(answers.length), answers);
        ws.send('4299["ask"]');
        assert.equal(await ws.next(), '4399[]');
        ws.destroy();
      });
    }

    test('valid ones over polling', async () => {
      const s = await Polling.open(server, { namespace: '/' });
      for (const [, packets, answers] of VALID) {
        await s.post(...bytes(packets));
        assert.deepEqual(await s.packets(answers.length), bytes(answers));
      }
    });

    test('nothing may come before CONNECT', async () => {
      for (const first of [
        '42["echo"]',
        '43[]',
        '41',
        '44{"message":"x"}',
        '42/chat,["echo"]',
        '40[]',
        '40"x"',
      ]) {
        const ws = await Socket.open(server);
        ws.send(first);
        assert.equal((await ws.close()).code, 1005, first);
      }
    });

    test('CONNECT in its forms', async () => {
      const forms = [
        ['40', /^40\{"sid":"[\w-]{20}"\}$/],
        ['40{}', /^40\{"sid":"[\w-]{20}"\}$/],
        ['40{"token":"ü","deep":{"a":[1]}}', /^40\{"sid":"[\w-]{20}"\}$/],
        ['40/,', /^40\{"sid":"[\w-]{20}"\}$/],
        ['40/chat,', /^40\/chat,\{"sid":"[\w-]{20}"\}$/],
        ['40/chat', /^40\/chat,\{"sid":"[\w-]{20}"\}$/],
        ['40/chat,{"a":1}', /^40\/chat,\{"sid":"[\w-]{20}"\}$/],
        ['40/nowhere,', /^44\/nowhere,\{"message":"Invalid namespace"\}$/],
        ['40/nowhere', /^44\/nowhere,\{"message":"Invalid namespace"\}$/],
        ['40/CHAT,', /^44\/CHAT,\{"message":"Invalid namespace"\}$/],
        ['40/__proto__,', /^44\/__proto__,\{"message":"Invalid namespace"\}$/],
      ];
      for (const [packet, answer] of forms) {
        const ws = await Socket.open(server);
        ws.send(packet);
        assert.match(await ws.next(), answer, packet);
        ws.destroy();
      }
    });

    test('an auth that is too big is refused, the connection lives', roomcastOnly, async () => {
      const ws = await Socket.open(server, { namespace: '/' });
      ws.send(`40/chat,{"a":"${'x'.repeat(9000)}"}`, '421["ask"]', `40/chat,{"a":"${'x'.repeat(8000)}"}`);
      const [error, ack, connect] = await ws.take(3);
      assert.match(error, /^44\/chat,\{"message":"[^"]+"/);
      assert.equal(ack, '431[]');
      assert.match(connect, /^40\/chat,\{"sid"/);
      ws.destroy();
    });

    test('namespaces: events, acks and ids are apart', async () => {
      const ws = await Socket.open(server, { namespace: '/' });
      const main = ws.id;
      await ws.join('/chat');
      assert.notEqual(ws.id, main);
      ws.send(
        '42/chat,["echo",1]',
        '42["echo",2]',
        '42/chat,7["ask",3]',
        '427["ask",4]',
        '42/chat,8["unknown"]',
      );
      const [a, b, c, d, e] = await ws.take(5);
      assert.deepEqual([a, b, c, d], ['42/chat,["echo",1]', '42["echo",2]', '43/chat,7[3]', '437[4]']);
      assert.match(e, /^43\/chat,8\[\{"ok":false,"error":"unknown_event"/);
      ws.send(`451-/chat,9["ask",${P(0)}]`, Buffer.from('z'));
      assert.deepEqual(await ws.take(2), [`461-/chat,9[${P(0)}]`, Buffer.from('z')]);
      ws.send('40/nowhere,', '42/chat,10["ask"]');
      assert.deepEqual(await ws.take(2), ['44/nowhere,{"message":"Invalid namespace"}', '43/chat,10[]']);
      ws.destroy();
    });

    test('DISCONNECT: no answer, the connection stays, CONNECT again', async () => {
      const ws = await Socket.open(server, { namespace: '/' });
      const first = ws.id;
      await ws.join('/chat');
      ws.send('41', '42/chat,1["ask"]');
      assert.equal(await ws.next(), '43/chat,1[]');
      ws.send('41/chat,');
      await sleep(100);
      assert.equal(ws.isClosed, undefined, 'the last namespace takes the connection along');
      await ws.join('/');
      assert.notEqual(ws.id, first);
      ws.send('421["ask"]');
      assert.equal(await ws.next(), '431[]');
      ws.send('41');
      if (reference) await sleep(50); // [REF] leaves a turn later
      ws.send('42["echo"]'); // no longer joined
      assert.equal((await ws.close()).code, 1005);
    });

    test('disconnect by a rule: 41 and the connection stays; with the connection: closed', async () => {
      const ws = await Socket.open(server, { namespace: '/' });
      ws.send('42["bye"]');
      assert.equal(await ws.next(), '41');
      await ws.join('/chat');
      await ws.join('/');
      ws.send('42["hangup"]');
      const told = [await ws.next(), await ws.next().catch(() => null)];
      assert.ok(told.includes('41'), String(told));
      assert.equal((await ws.close()).code, 1005);
    });

    test('connect_timeout: a connection that joins nothing is closed', async (t) => {
      const own = await startFor(t, { ini: RULES, shards, options: { 'socketio.connect_timeout': '300ms' } });
      const [idle, refused, joined, left] = await Promise.all(
        [...Array(4).keys()].map(() => Socket.open(own)),
      );
      const from = Date.now();
      refused.send('40/nowhere,');
      await joined.join('/');
      await left.join('/');
      left.send('41');
      assert.equal((await idle.close()).code, 1005);
      assert.equal((await refused.close()).code, 1005);
      const took = Date.now() - from;
      assert.ok(took > 200 && took < 900 * slow, `${took} ms`);
      await sleep(200);
      for (const ws of [joined, left]) assert.equal(ws.isClosed, undefined);
      joined.send('421["ask"]');
      assert.equal(await joined.next(), '431[]');
      for (const ws of [joined, left]) ws.destroy();
    });

    test('a flawed packet harms nobody else', async () => {
      const good = await Socket.open(server, { namespace: '/' });
      good.send('420["join","calm"]');
      await good.next();
      for (const [, ...packets] of INVALID) {
        const ws = await Socket.open(server, { namespace: '/' });
        ws.send('42["join","calm"]', '42["tell","calm","before"]', ...packets);
        await ws.close();
        assert.equal(await good.next(), '42["said","before"]');
      }
      good.send('421["ask"]');
      assert.equal(await good.next(), '431[]');
      good.destroy();
    });
  });
}
