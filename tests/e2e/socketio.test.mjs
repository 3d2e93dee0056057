// The stock socket.io-client over each transport, on 1, 2 and 4 shards.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, sleep, start, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const MODES = {
  'polling only': ['polling'],
  'websocket only': ['websocket'],
  upgrade: ['polling', 'websocket'],
};

const TEXTS = [
  '',
  'plain',
  'ünïcödé \u00a0 \u2028 \u2029 \ufeff \ufffd',
  '漢字かな交じり 한국어 עברית',
  '👩‍👩‍👧‍👦 𝒳 🏳️‍🌈 \u{10ffff}',
  'quotes " \\ / \b\f\n\r\t \u0000 \u001e \u007f',
  '</script>&lt;{1}{room}{{ %s %n',
  '\ud800 lone, \udfff too',
];

const VALUES = [
  null,
  true,
  false,
  0,
  -0.5,
  1e21,
  1e-7,
  9007199254740991,
  [],
  {},
  [[[[]]]],
  { a: { b: { c: [null, { '': '' }] } } },
  { __proto__: null, constructor: 1, toString: 'x' },
  { _placeholder: 'no', num: 1 },
];

function sessions(server, transports) {
  const options = { transports };

  // Connected, and where an upgrade is due, upgraded.
  const join = async (more) => {
    const s = await connect(server(), { ...options, ...more });
    if (transports.length > 1) await upgraded(s);
    return s;
  };
  return { options, join };
}

function roomTests(server, transports) {
  const { join } = sessions(server, transports);

  test('connect: id, transport, auth', async () => {
    const s = await join({ nsp: '/greet', auth: { name: 'Ada' } });
    assert.match(s.id, /^[A-Za-z0-9_-]{20}$/);
    assert.notEqual(s.id, s.io.engine.id, 'the Engine.IO id is a secret');
    assert.equal(s.io.engine.transport.name, transports.at(-1));
  });

  test('connect rules: greeting, automatic room', async () => {
    const a = client(server(), { nsp: '/greet', transports, auth: { name: 'Ada' } });
    const atA = inbox(a);
    await connected(a);
    await atA.wait(1);
    const b = client(server(), { nsp: '/greet', transports });
    const atB = inbox(b);
    await connected(b);
    await Promise.all([atA.wait(2), atB.wait(1)]);
    assert.deepEqual(atA, [
      ['welcome', { id: a.id, name: 'Ada' }],
      ['arrived', b.id],
    ]);
    assert.deepEqual(atB, [['welcome', { id: b.id, name: null }]]);
  });

  test('rooms: members only, with and without the sender', async () => {
    const [a, b, c] = await Promise.all([join(), join(), join()]);
    const [atA, atB, atC] = [a, b, c].map(inbox);
    await Promise.all([
      ask(a, 'join', 'r1'),
      ask(b, 'join', 'r1'),
      ask(b, 'join', 'r2'),
      ask(c, 'join', 'r2'),
    ]);
    await ask(a, 'say', 'r1', 'one');
    await ask(a, 'tell', 'r1', 'two');
    await Promise.all([atA.wait(1), atB.wait(2)]);
    await ask(a, 'say', 'r2', 'from outside');
    await Promise.all([atB.wait(3), atC.wait(1)]);
    await ask(b, 'leave', 'r2');
    await ask(c, 'say', 'r2', 'alone');
    await ask(a, 'say', 'nobody-here', 'lost');
    await atC.wait(2);
    await sleep(30);
    assert.deepEqual(atA, [['said', 'one']]);
    assert.deepEqual(atB, [
      ['said', 'one'],
      ['said', 'two'],
      ['said', 'from outside'],
    ]);
    assert.deepEqual(atC, [
      ['said', 'from outside'],
      ['said', 'alone'],
    ]);
  });

  test('joining twice delivers once; leaving twice is harmless', async () => {
    const a = await join();
    const atA = inbox(a);
    for (const e of ['join', 'join', 'join']) await ask(a, e, 'twice');
    await ask(a, 'say', 'twice', 1);
    await atA.wait(1);
    for (const e of ['leave', 'leave']) await ask(a, e, 'twice');
    await ask(a, 'say', 'twice', 2);
    await ask(a, 'leave', 'never-joined');
    await sleep(30);
    assert.deepEqual(atA, [['said', 1]]);
  });

  test('everybody, everybody else, one by id, the room of an id', async () => {
    const all = await Promise.all([join(), join(), join()]);
    const [a, b] = all;
    const boxes = all.map(inbox);
    await ask(a, 'shout', 'all');
    await Promise.all(boxes.map((box) => box.wait(1)));
    await ask(a, 'shoutOthers', 'others');
    await Promise.all(boxes.slice(1).map((box) => box.wait(2)));
    await ask(a, 'whisper', b.id, 'psst');
    await ask(a, 'say', b.id, 'by room');
    await boxes[1].wait(4);
    await sleep(30);
    assert.deepEqual(boxes[0], [['shouted', 'all']]);
    assert.deepEqual(boxes[1].slice(0, 2), [
      ['shouted', 'all'],
      ['shouted', 'others'],
    ]);
    assert.deepEqual(boxes[1].slice(2), [
      ['whispered', 'psst'],
      ['said', 'by room'],
    ]);
    assert.deepEqual(boxes[2], [
      ['shouted', 'all'],
      ['shouted', 'others'],
    ]);
  });

  test('a member that has gone gets nothing, the others everything', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await Promise.all([ask(a, 'join', 'gone'), ask(b, 'join', 'gone')]);
    b.disconnect();
    const atA = inbox(a);
    for (let i = 0; i < 20; i++) a.emit('say', 'gone', i);
    await atA.wait(20);
    assert.deepEqual(
      atA.map((m) => m[1]),
      [...Array(20).keys()],
    );
  });
}

function namespaceTests(server, transports) {
  const { options, join } = sessions(server, transports);

  test('namespaces share a connection and are apart', async () => {
    const a = await join();
    const chat = a.io.socket('/chat');
    const empty = a.io.socket('/empty');
    await Promise.all([chat, empty].map(connected));
    assert.equal(new Set([a.id, chat.id, empty.id]).size, 3);
    const [atA, atChat, atEmpty] = [a, chat, empty].map(inbox);
    await ask(a, 'join', 'same');
    await ask(chat, 'join', 'same');
    await ask(chat, 'say', 'same', 'in chat');
    await atChat.wait(1);
    await ask(a, 'say', 'same', 'in main');
    await ask(chat, 'shout', 'chat only');
    await Promise.all([atA.wait(1), atChat.wait(2)]);
    await sleep(30);
    assert.deepEqual(atA, [['said', 'in main']]);
    assert.deepEqual(atChat, [
      ['said', 'in chat'],
      ['shouted', 'chat only'],
    ]);
    assert.deepEqual(atEmpty, []);
    assert.deepEqual(await ask(chat, 'ask', 1, { two: 2 }), [1, { two: 2 }]);
  });

  test('leaving one namespace keeps the other', async () => {
    const a = await join();
    const chat = await connected(a.io.socket('/chat'));
    const other = await join({ nsp: '/chat' });
    await ask(chat, 'join', 'n');
    await ask(other, 'join', 'n');
    const [atChat, atOther] = [chat, other].map(inbox);
    chat.disconnect();
    assert.deepEqual(await ask(a, 'ask', 'still here'), 'still here');
    await ask(other, 'say', 'n', 'x');
    await atOther.wait(1);
    assert.deepEqual(atChat, []);
    chat.connect(); // a new socket: it is in no room
    await event(chat, 'connect');
    await ask(other, 'say', 'n', 'y');
    await atOther.wait(2);
    await sleep(30);
    assert.deepEqual(atChat, []);
  });

  test('an unknown namespace is refused, the connection lives', async () => {
    const a = await join();
    const nowhere = a.io.socket('/nowhere');
    const error = event(nowhere, 'connect_error');
    nowhere.connect();
    const e = await error;
    assert.equal(e.message, 'Invalid namespace');
    assert.equal(e.data, undefined);
    assert.equal(nowhere.connected, false);
    assert.equal(await ask(a, 'ask', 1), 1);
    const direct = client(server(), { ...options, nsp: '/nowhere' });
    await assert.rejects(connected(direct), { message: 'Invalid namespace' });
  });
}

function payloadTests(server, transports) {
  const { join } = sessions(server, transports);

  test('acks carry what the rule says', async () => {
    const a = await join();
    assert.deepEqual(await ask(a, 'join', 'acks'), { ok: true });
    assert.deepEqual(await ask(a, 'ask', 'x', 1), ['x', 1]);
    assert.equal(await ask(a, 'ask', null), null);
    assert.equal((await ask(a, 'ask')) ?? 'nothing', 'nothing');
    assert.deepEqual(await ask(a, 'askEcho', 'y'), { ok: true, first: 'y' });
    if (a.timeout) {
      assert.deepEqual(await a.timeout(5000).emitWithAck('askEcho', 'y'), { ok: true, first: 'y' });
      await assert.rejects(a.timeout(200).emitWithAck('silent'), /timed out/);
    }
    const many = await Promise.all([...Array(300).keys()].map((i) => ask(a, 'ask', i)));
    assert.deepEqual(many, [...Array(300).keys()]);
  });

  test('acks of refusals', async () => {
    const a = await join();
    const code = async (...args) => {
      const r = await ask(a, ...args);
      assert.equal(r.ok, false);
      assert.equal(typeof r.message, 'string');
      return r.error;
    };
    assert.equal(await code('join'), 'missing_argument');
    assert.equal(await code('join', ''), 'bad_room');
    assert.equal(await code('join', { no: 'name' }), 'bad_argument');
    assert.equal(await code('join', ['no', 'name']), 'bad_argument');
    assert.equal(await code('sayMember', 'not-mine', 'x'), 'not_a_member');
    assert.equal(await code('no-such-event', 1), 'unknown_event');
    const told = event(a, 'error');
    a.emit('sayMember', 'not-mine', 'x');
    const { message, ...rest } = await told;
    assert.equal(typeof message, 'string');
    assert.deepEqual(rest, { event: 'sayMember', error: 'not_a_member' });
  });

  test('texts and values arrive as they were sent', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await ask(b, 'join', 'exact');
    const atB = inbox(b);
    const all = [...TEXTS, ...VALUES];
    for (const v of all) a.emit('say', 'exact', v, [v], { k: v });
    await atB.wait(all.length);
    // as Socket.IO sees them: through JSON
    const expected = all.map((v) => ['said', ...JSON.parse(JSON.stringify([v, [v], { k: v }]))]);
    const well = (x) => JSON.parse(JSON.stringify(x).replaceAll(/\\ud(800|fff)/g, '\ufffd'));
    assert.deepEqual(well(atB), well(expected));
  });

  test('room and event names with odd characters', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    const atB = inbox(b);
    const rooms = [
      ' ',
      'a b',
      'ü',
      '👩‍👩‍👧‍👦',
      '"',
      '\\',
      'a\nb',
      '{1}',
      '__proto__',
      'constructor',
      '0',
      'x'.repeat(200),
    ];
    for (const r of rooms) assert.deepEqual(await ask(b, 'join', r), { ok: true }, r);
    for (const r of rooms) await ask(a, 'say', r, r);
    await atB.wait(rooms.length);
    assert.deepEqual(new Set(atB.map((m) => m[1])), new Set(rooms));
    assert.equal(atB.length, rooms.length);
  });

  test('a number names the room of its digits', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    const atB = inbox(b);
    await ask(b, 'join', 42);
    await ask(a, 'say', '42', 'text');
    await ask(a, 'say', 42, 'number');
    await atB.wait(2);
    assert.deepEqual(atB, [
      ['said', 'text'],
      ['said', 'number'],
    ]);
  });

  test('binary: several, nested, empty, in rooms and acks', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await ask(a, 'join', 'bin');
    await ask(b, 'join', 'bin');
    const [atA, atB] = [a, b].map(inbox);
    const bytes = Buffer.from([...Array(256).keys()]);
    const args = [
      'head',
      bytes,
      { a: [new Uint8Array([1, 2]), { b: Buffer.alloc(0) }], t: 'ü' },
      Buffer.alloc(70_000, 7),
      5,
    ];
    const expected = [
      'head',
      bytes,
      { a: [Buffer.from([1, 2]), { b: Buffer.alloc(0) }], t: 'ü' },
      Buffer.alloc(70_000, 7),
      5,
    ];
    a.emit('say', 'bin', ...args);
    a.emit('say', 'bin', 'text between');
    a.emit('say', 'bin', Buffer.from('last'));
    await Promise.all([atA.wait(3), atB.wait(3)]);
    for (const box of [atA, atB])
      assert.deepEqual(box, [
        ['said', ...expected],
        ['said', 'text between'],
        ['said', Buffer.from('last')],
      ]);
    assert.deepEqual(await ask(a, 'ask', bytes, { x: Buffer.from('y') }), [bytes, { x: Buffer.from('y') }]);
    const ten = [...Array(10).keys()].map((i) => Buffer.from([i]));
    assert.deepEqual(await ask(a, 'ask', ...ten), ten);
  });

  test('messages of 900 KB', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await ask(b, 'join', 'big');
    const atB = inbox(b);
    const big = 'x👍'.repeat(180_000); // 900,000 bytes
    const bin = Buffer.alloc(600_000, 'bytes'); // 800,000 as base64
    await ask(a, 'say', 'big', big);
    await ask(a, 'say', 'big', bin);
    const [one, two] = await atB.wait(2, 20_000);
    assert.ok(one[1] === big, 'text differs');
    assert.ok(bin.equals(two[1]), 'bytes differ');
  });

  test('a thousand messages, all there and in order', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    await ask(b, 'join', 'many');
    const atB = inbox(b);
    for (let i = 0; i < 1000; i++) a.emit('say', 'many', i, i % 50 ? 'text' : Buffer.from([i & 255]));
    await atB.wait(1000, 20_000);
    assert.deepEqual(
      atB.map((m) => m[1]),
      [...Array(1000).keys()],
    );
  });
}

function endTests(server, transports) {
  const { options, join } = sessions(server, transports);
  const reason = async (s) => [await event(s, 'disconnect')].flat()[0];

  test('reconnects after the transport was cut, and can join again', async () => {
    const s = await join({ reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 20 });
    const other = await join();
    const atOther = inbox(other);
    await ask(s, 'join', 're');
    await ask(other, 'join', 're');
    const before = s.id;
    const end = reason(s);
    s.io.engine.transport.onError('cut by the test'); // as a broken connection ends it
    assert.equal(await end, 'transport error');
    await event(s, 'connect');
    assert.notEqual(s.id, before);
    const atS = inbox(s);
    await ask(other, 'say', 're', 'missed');
    await atOther.wait(1);
    await ask(s, 'join', 're');
    await ask(other, 'say', 're', 'seen');
    await atS.wait(1);
    assert.deepEqual(atS, [['said', 'seen']]);
  });

  test('reasons: by the client, by a rule for one namespace, for all', async () => {
    const a = await join();
    const byClient = reason(a);
    a.disconnect();
    assert.equal(await byClient, 'io client disconnect');

    const b = await join({ reconnection: true });
    const chat = await connected(b.io.socket('/chat'));
    const byRule = reason(b);
    b.emit('bye');
    assert.equal(await byRule, 'io server disconnect');
    assert.equal(await ask(chat, 'ask', 'up'), 'up');
    assert.equal(b.active, false, 'the client is not to come back');

    const c = await join({ reconnection: true });
    const also = await connected(c.io.socket('/chat'));
    const ends = Promise.all([reason(c), reason(also)]);
    c.emit('hangup');
    // The reference says 41 to each namespace, in an order of its own.
    assert.equal((await ends)[0], 'io server disconnect');
    assert.match((await ends)[1], /^(io server disconnect|transport close)$/);
  });

  test('a client that goes leaves its rooms', async () => {
    const s = await join();
    const watcher = await connect(server(), { nsp: '/greet', ...options });
    assert.ok(watcher.connected);
    await ask(s, 'join', 'left');
    s.io.engine.close();
    const other = await join();
    const atOther = inbox(other);
    await ask(other, 'join', 'left');
    await ask(other, 'say', 'left', 'only me');
    await atOther.wait(1);
    assert.deepEqual(atOther, [['said', 'only me']]);
  });
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    for (const [mode, transports] of Object.entries(MODES)) {
      describe(mode, () => {
        roomTests(() => server, transports);
        namespaceTests(() => server, transports);
        payloadTests(() => server, transports);
        endTests(() => server, transports);
      });
    }

    // The reference parses and prints again; roomcast passes the bytes on.
    const RAW =
      '1e400,1.0,-0,1E+2,0.10,12345678901234567890, "\\u00e9\\/é😀\\ud83d\\ude00\\ud800" ,{ "a" : [ 1 ,2 ] ,"a":3}';

    test('payloads pass byte for byte over WebSocket', roomcastOnly, async () => {
      const a = await Socket.open(server, { namespace: '/' });
      const b = await Socket.open(server, { namespace: '/' });
      b.send('420["join","raw"]');
      assert.equal(await b.next(), '430[{"ok":true}]');
      a.send(`42["say","raw",${RAW}]`, `42[ "echo" , ${RAW}  ]`, `4217["ask",${RAW}]`);
      assert.equal(await b.next(), `42["said",${RAW}]`);
      assert.equal(await a.next(), `42["echo",${RAW}]`);
      assert.equal(await a.next(), `4317[${RAW}]`);
      a.destroy();
      b.destroy();
    });

    test('payloads pass byte for byte over polling', roomcastOnly, async () => {
      const a = await Polling.open(server, { namespace: '/' });
      await a.post(`42["echo",${RAW}]`, `425["ask",${RAW}]`);
      assert.deepEqual(await a.packets(2), [`42["echo",${RAW}]`, `435[${RAW}]`]);
    });

    test('many polling and WebSocket clients in one room', async () => {
      const transports = (i) => ({ transports: Object.values(MODES)[i % 3] });
      const all = await Promise.all([...Array(12).keys()].map((i) => connect(server, transports(i))));
      const boxes = all.map(inbox);
      await Promise.all(all.map((s) => ask(s, 'join', 'mixed')));
      all.forEach((s, i) => s.emit('say', 'mixed', i, Buffer.from([i])));
      await until('all to have all', () => boxes.every((b) => b.length === 12));
      for (const b of boxes) assert.deepEqual(b, boxes[0], 'one order for all');
      assert.equal(new Set(boxes[0].map((m) => m[1])).size, 12);
    });
  });
}
