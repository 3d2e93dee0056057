// Clients of json endpoints: plain WebSockets in the rooms of Socket.IO clients.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';

import { launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connect, connected, event, inbox } from './lib/client.mjs';
import { JsonClient, closeAllJson } from './lib/jsonclient.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, startFor, until } from './lib/target.mjs';
import { RawWs, TEXT, frame } from './lib/wire.mjs';

const RULES = `
[event join]
join = {1.roomId}
emit = room {1.roomId} except sender: joined {"roomId":{room},"id":{id}}
[event leave]
leave = {1.roomId}
[event say]
require = member {1.roomId} else "not here" {"roomId":{1.roomId}}
emit = room {1.roomId}: said {"id":{id},"text":{1.text}}
[event pass]
emit = room {1.roomId}: passed {1}
[event list]
emit = sender: listed {args}
ack = {args}
[event several]
emit = room a, room b, room c: union {1}
[event others]
emit = all except sender: other {1}
[event direct]
emit = socket {1.to}: private {"from":{id},"text":{1.text}}
[event vote]
ask = room {1.roomId} except sender within 5s: question {"topic":{1.topic}}
[event askOne]
ask = socket {1.to} within 5s: question {1.topic}
[event who]
ack = {"id":{id},"auth":{auth.name},"user":{user},"nsp":{nsp},"event":{event}}
[event quiet]
ack = none
[event refusing]
refuse = "never" {"why":{1.why?}}
[event watch]
watch = rooms
[event bye]
emit = sender: parting
disconnect = namespace
[event wrong]
emit = sender: typed {"type":"mine","x":1}
emit = sender: typed {"type":"typed","x":2}
emit = sender: typed {"args":[1]}
emit = sender: typed
emit = sender: typed null
`;

const INI = `${RULES}
[endpoint /ws]
protocol = json
[endpoint /raw]
protocol = json
untyped = said, union
[endpoint /packed]
protocol = json
per_message_deflate = yes
max_payload = 200KB

[namespace /other]
[event /other who]
ack = {nsp}
[event /other say]
emit = all: said {1}
[endpoint /other]
protocol = json
namespace = /other

[namespace /named]
[connect /named]
require = auth name else "a name is needed"
join = lobby
emit = room lobby: entered {"name":{auth.name}}
[endpoint /named]
protocol = json
namespace = /named

[namespace /closed]
[connect /closed]
refuse = "closed for ever" {"code":"closed"}
[endpoint /closed]
protocol = json
namespace = /closed

[endpoint /echo]
protocol = echo
prefix = "again: "
`;

const OPTIONS = { 'socketio.per_message_deflate': 'yes', 'socketio.deflate_threshold': '100' };
const packed = { perMessageDeflate: { threshold: 0 } };

for (const shards of SHARDS) {
  describe(label(shards), roomcastOnly, () => {
    let server;
    before(async () => {
      if (!roomcastOnly.skip) server = await start({ ini: INI, shards, options: OPTIONS });
    });
    afterEach(() => {
      closeAllJson();
      closeAll();
    });
    after(() => server?.stop());

    const json = (path = '/ws', options = undefined) => JsonClient.connect(server, path, options);

    test('connected carries the id that others know it by', async () => {
      const [a, b, s] = await Promise.all([json(), json('/other'), connect(server)]);
      assert.deepEqual(Object.keys(a.welcome), ['type', 'id']);
      assert.match(a.welcome.id, /^[\w-]{20}$/);
      assert.notEqual(a.welcome.id, b.welcome.id);
      assert.deepEqual(await a.ask('who'), {
        type: 'ack', ack: 1, id: a.welcome.id, auth: null, user: '', nsp: '/', event: 'who',
      });
      assert.deepEqual(await b.ask('who'), { type: 'ack', ack: 1, args: ['/other'] });
      await ask(s, 'direct', { to: a.welcome.id, text: 'psst' });
      assert.deepEqual(await a.take(1), [{ type: 'private', from: s.id, text: 'psst' }]);
    });

    test('the WebSocket of a browser', async (t) => {
      const browser = await launch();
      t.after(() => browser.close());
      const { page, faults } = await newPage(browser);
      const s = await connect(server);
      const box = inbox(s);
      await ask(s, 'join', { roomId: 'browser' });
      const told = page.evaluate((url) => new Promise((done, fail) => {
        const ws = new WebSocket(url);
        const got = [];
        ws.onerror = () => fail(new Error('error'));
        ws.onmessage = ({ data }) => {
          const message = JSON.parse(data);
          got.push(message);
          if (message.type === 'connected') ws.send(JSON.stringify({ type: 'join', roomId: 'browser', ack: 1 }));
          else if (message.type === 'ack') ws.send(JSON.stringify({ type: 'say', roomId: 'browser', text: 'grüße 👋' }));
          else if (message.text === 'bye') ws.close(1000);
        };
        ws.onclose = ({ code, wasClean }) => done({ got, code, wasClean });
      }), `ws://127.0.0.1:${server.port}/ws`);
      await until('word of the page', () => box.some(([name]) => name === 'said'), 20_000);
      const { id } = box.find(([name]) => name === 'said')[1];
      await ask(s, 'say', { roomId: 'browser', text: 'bye' });
      const { got, code, wasClean } = await told;
      assert.deepEqual(got, [
        { type: 'connected', id },
        { type: 'ack', ack: 1, ok: true },
        { type: 'said', id, text: 'grüße 👋' },
        { type: 'said', id: s.id, text: 'bye' },
      ]);
      assert.deepEqual([code, wasClean, faults], [1000, true, []]);
    });

    test('one room, both ways', async () => {
      const [a, b, s] = await Promise.all([json(), json('/raw'), connect(server)]);
      const box = inbox(s);
      assert.deepEqual(await a.ask('join', { roomId: 'both' }), { type: 'ack', ack: 1, ok: true });
      await b.ask('join', { roomId: 'both' });
      assert.deepEqual(await a.take(1), [{ type: 'joined', roomId: 'both', id: b.welcome.id }]);
      assert.deepEqual(await ask(s, 'join', { roomId: 'both' }), { ok: true });
      for (const x of [a, b]) assert.deepEqual(await x.take(1), [{ type: 'joined', roomId: 'both', id: s.id }]);
      a.send({ type: 'say', roomId: 'both', text: 'ü "1"' });
      const said = { id: a.welcome.id, text: 'ü "1"' };
      assert.deepEqual(await a.take(1), [{ type: 'said', ...said }]);
      assert.deepEqual(await b.take(1), [said], 'untyped');
      assert.deepEqual((await box.wait(1)).splice(0), [['said', said]]);
      s.emit('say', { roomId: 'both', text: 'from s' });
      assert.deepEqual(await a.take(1), [{ type: 'said', id: s.id, text: 'from s' }]);
      assert.deepEqual(await b.take(1), [{ id: s.id, text: 'from s' }]);
      assert.deepEqual(await a.ask('leave', { roomId: 'both' }), { type: 'ack', ack: 2, ok: true });
      await ask(s, 'say', { roomId: 'both', text: 'without a' });
      assert.equal((await b.take(1))[0].text, 'without a');
      await sleep(20);
      assert.deepEqual(a.queue, []);
      assert.equal((await a.ask('say', { roomId: 'both', text: 'x' })).code, 'not_a_member');
    });

    test('what an event becomes, and what becomes of a message', async () => {
      const [a, s] = await Promise.all([json(), connect(server)]);
      const box = inbox(s);
      await a.ask('join', { roomId: 'forms' });
      await ask(s, 'join', { roomId: 'forms' });
      await a.take(1);
      // A message is the event's one argument, without type and ack.
      a.send({ type: 'pass', roomId: 'forms', deep: { type: 'kept', ack: [1] }, ack: 9 });
      const object = { roomId: 'forms', deep: { type: 'kept', ack: [1] } };
      assert.deepEqual(await box.wait(1), [['passed', object]]);
      assert.deepEqual(await a.take(2), [
        { type: 'passed', ...object },
        { type: 'ack', ack: 9, ok: true },
      ]);
      // With args alone these are the arguments.
      a.send({ type: 'list', args: [1, 'two', { type: 3 }, null], ack: 0 });
      assert.deepEqual(await a.take(2), [
        { type: 'listed', args: [1, 'two', { type: 3 }, null] },
        { type: 'ack', ack: 0, args: [1, 'two', { type: 3 }, null] },
      ]);
      a.send({ type: 'list', args: [], ack: 1 }, { type: 'list', args: [{ x: 1 }], ack: 2 });
      assert.deepEqual(await a.take(4), [
        { type: 'listed' },
        { type: 'ack', ack: 1 },
        { type: 'listed', x: 1 },
        { type: 'ack', ack: 2, x: 1 },
      ]);
      a.send({ type: 'list', args: [1], more: 2 });
      assert.deepEqual(await a.take(1), [{ type: 'listed', data: { args: [1], more: 2 } }]);
      a.send({ type: 'wrong' });
      assert.deepEqual(await a.take(5), [
        { type: 'typed', data: { type: 'mine', x: 1 } },
        { type: 'typed', x: 2 },
        { type: 'typed', data: { args: [1] } },
        { type: 'typed' },
        { type: 'typed', args: [null] },
      ]);
    });

    test('binary data of others comes as base64', async () => {
      const [a, b, s] = await Promise.all([json(), json('/packed', packed), connect(server)]);
      for (const x of [a, b]) await x.ask('join', { roomId: 'bytes' });
      await a.take(1);
      const big = randomBytes(3000);
      await ask(s, 'pass', { roomId: 'bytes', a: Buffer.from('hello'), b: [Buffer.alloc(0), big] });
      const expected = {
        type: 'passed', roomId: 'bytes', a: { _base64: 'aGVsbG8=' },
        b: [{ _base64: '' }, { _base64: big.toString('base64') }],
      };
      for (const x of [a, b]) assert.deepEqual(await x.take(1), [expected]);
    });

    test('a namespace is shared through its endpoint only', async () => {
      const [a, b, s, t] = await Promise.all([json(), json('/other'), connect(server), connect(server, { nsp: '/other' })]);
      const [boxS, boxT] = [inbox(s), inbox(t)];
      b.send({ type: 'say', text: 'in /other' });
      assert.deepEqual(await b.take(1), [{ type: 'said', text: 'in /other' }]);
      assert.deepEqual(await boxT.wait(1), [['said', { text: 'in /other' }]]);
      a.send({ type: 'others', text: 'in /' });
      assert.deepEqual(await boxS.wait(1), [['other', { text: 'in /' }]]);
      await sleep(20);
      assert.deepEqual([a.queue, b.queue, boxT.length], [[], [], 1]);
    });

    test('an order for all: in one room, and over several', async () => {
      const clients = await Promise.all([json(), json('/raw'), json('/packed', packed), json()]);
      const sockets = await Promise.all([connect(server), connect(server, { transports: ['polling'] })]);
      const boxes = sockets.map((s) => inbox(s));
      for (const [i, c] of clients.entries()) await c.ask('join', { roomId: 'abc'[i % 3] });
      for (const [i, s] of sockets.entries()) await ask(s, 'join', { roomId: 'cab'[i] });
      await sleep(50);
      for (const c of clients) c.queue.length = 0;
      for (const b of boxes) b.length = 0;
      const n = 40;
      for (let i = 0; i < n; i++) {
        for (const [j, c] of clients.entries()) c.send({ type: 'several', by: `j${j}`, i });
        for (const [j, s] of sockets.entries()) s.emit('several', { by: `s${j}`, i });
        if (i % 8 === 0) await sleep(2);
      }
      const total = n * (clients.length + sockets.length);
      const seen = [
        ...(await Promise.all(clients.map((c) => c.take(total)))),
        ...(await Promise.all(boxes.map((b) => b.wait(total)))).map((b) => b.map(([, m]) => m)),
      ].map((list) => list.map((m) => `${m.by}:${m.i}`));
      for (const list of seen) assert.deepEqual(list, seen[0]);
      for (const by of new Set(seen[0].map((m) => m.split(':')[0])))
        assert.deepEqual(
          seen[0].filter((m) => m.startsWith(`${by}:`)),
          Array.from({ length: n }, (_, i) => `${by}:${i}`),
        );
      for (const c of clients) assert.deepEqual(c.queue, []);
    });

    test('acks and events of one client keep their order', async () => {
      const a = await json();
      for (let i = 0; i < 15; i++) {
        a.send({ type: 'join', roomId: `order ${i}` });
        a.send({ type: 'pass', roomId: `order ${i}`, i, ack: i });
        a.send({ type: 'ping' });
        a.send('{}');
      }
      const got = (await a.take(15 * 4)).map((m) => m.type);
      for (let i = 0; i < 15; i++)
        assert.deepEqual(got.slice(i * 4, i * 4 + 4), ['passed', 'ack', 'pong', 'error'], `${i}`);
    });

    test('questions: JSON clients ask, and are asked', async () => {
      const [a, b, s] = await Promise.all([json(), json('/raw'), connect(server)]);
      await a.ask('join', { roomId: 'council' });
      await b.ask('join', { roomId: 'council' });
      await ask(s, 'join', { roomId: 'council' });
      await a.take(2);
      await b.take(1);
      s.on('question', (q, answer) => answer(`s on ${q.topic ?? q}`));
      const answers = a.ask('vote', { roomId: 'council', topic: 'tea' });
      const [q] = await b.take(1);
      assert.deepEqual({ ...q, ask: 0 }, { type: 'question', ask: 0, topic: 'tea' });
      b.send({ type: 'answer', ask: q.ask, args: ['b', 2] });
      const { answers: list, ...rest } = await answers;
      assert.deepEqual(rest, { type: 'ack', ack: 2, ok: true });
      assert.deepEqual(list.sort(), [['b', 2], ['s on tea']].sort());
      // One socket's answer is passed on as it is.
      const one = ask(s, 'askOne', { to: a.welcome.id, topic: 'milk' });
      const [q1] = await a.take(1);
      assert.deepEqual(q1, { type: 'question', ask: q1.ask, args: ['milk'] });
      a.send({ type: 'answer', ask: q1.ask, yes: true });
      assert.deepEqual(await one, { yes: true });
      assert.deepEqual(await b.ask('askOne', { to: s.id, topic: 'x' }), { type: 'ack', ack: 2, args: ['s on x'] });
      // Who was not asked has no say.
      b.send({ type: 'answer', ask: 12345, args: [] });
      assert.equal((await b.ask('who')).ok, undefined);
    });

    test('errors', async () => {
      const a = await json();
      const bad = [
        ['', 'bad_json'], ['nonsense', 'bad_json'], ['[1]', 'bad_json'], ['"x"', 'bad_json'],
        ['{}', 'no_type'], ['{"type":7}', 'no_type'],
        ['{"type":"ack"}', 'bad_type'], ['{"type":"connected"}', 'bad_type'], ['{"type":"disconnect"}', 'bad_type'],
        ['{"type":"who","ack":"text"}', 'bad_ack'], ['{"type":"answer"}', 'bad_ask'],
        [`{"type":"who","x":${'['.repeat(100)}${']'.repeat(100)}}`, 'too_deep'],
        [JSON.stringify({ type: 'x'.repeat(200) }), 'limit'],
        [JSON.stringify({ type: 'who', args: Array(17).fill(0), ack: 5 }), 'limit'],
      ];
      for (const [text, code] of bad) {
        a.send(text);
        const [m] = await a.take(1);
        assert.deepEqual([m.type, m.code], ['error', code], text);
        assert.ok(m.message.length > 5);
        assert.equal(m.ack, text.includes('"ack":5') ? 5 : undefined);
      }
      const refused = (await a.ask('refusing', { why: 5 }));
      assert.deepEqual(refused, {
        type: 'error', code: 'refused', message: 'never', event: 'refusing', ack: 1, data: { why: 5 },
      });
      a.send({ type: 'refusing' });
      assert.deepEqual(await a.take(1), [
        { type: 'error', code: 'refused', message: 'never', event: 'refusing', data: { why: null } },
      ]);
      for (const [type, members, code] of [
        ['nothing', {}, 'unknown_event'],
        ['join', {}, 'missing_argument'],
        ['join', { roomId: {} }, 'bad_argument'],
        ['join', { roomId: '' }, 'bad_room'],
        ['say', { roomId: 'elsewhere', text: '' }, 'not_a_member'],
        ['direct', { to: 'nobody' }, 'bad_target'],
      ]) {
        const m = await a.ask(type, members);
        assert.deepEqual([m.type, m.code, m.event], ['error', code, type]);
      }
      assert.match((await a.ask('join')).message, /argument 1 lacks the key roomId/);
      a.send({ type: 'nothing' });
      assert.equal((await a.take(1))[0].code, 'unknown_event');
      a.send({ type: 'quiet', ack: 77 });
      assert.deepEqual(await a.ask('who').then((m) => m.id), a.welcome.id);
      assert.deepEqual(a.queue, []);
    });

    test('the list of rooms', async () => {
      const [a, b] = await Promise.all([json(), json()]);
      a.send({ type: 'watch' });
      await b.ask('join', { roomId: 'watched by JSON' });
      const rooms = new Map();
      await until('the room', async () => {
        for (const m of a.queue.splice(0)) {
          assert.equal(m.type, 'rooms');
          for (const r of m.rooms) rooms.set(r.room, r.members);
        }
        return rooms.get('watched by JSON') === 1;
      });
    });

    test('a rule that disconnects', async () => {
      const a = await json();
      a.send({ type: 'bye' }, { type: 'who' });
      assert.deepEqual(await a.take(2), [{ type: 'parting' }, { type: 'disconnected' }]);
      await a.end();
      assert.deepEqual(a.queue, []);
    });

    test('frames: binary 1003, bad UTF-8 1007, too big 1009, too many bad messages 1008', async () => {
      const a = await json();
      a.send(Buffer.from('{"type":"who"}'));
      assert.equal((await a.take(1))[0].code, 'binary');
      assert.equal((await a.end()).code, 1003);
      const b = await RawWs.open(server, '/ws');
      await b.frame();
      await b.wire.write(frame(TEXT, Buffer.from([0x22, 0xff, 0x22])));
      assert.equal(await b.closeCode(), 1007);
      b.destroy();
      const c = await json('/packed');
      c.send(JSON.stringify({ type: 'who', x: 'x'.repeat(200_000) }));
      assert.equal((await c.end()).code, 1009);
      const d = await json();
      for (let i = 0; i < 16; i++) d.send('?');
      await d.take(16);
      assert.equal((await d.ask('who')).type, 'ack');
      d.send('?');
      assert.equal((await d.take(1))[0].code, 'bad_json');
      assert.deepEqual(await d.end(), { code: 1008, reason: 'too many bad messages' });
    });

    test('a client that breaks off leaves its rooms', async () => {
      const [a, s] = await Promise.all([json(), connect(server)]);
      await a.ask('join', { roomId: 'short' });
      a.ws.terminate();
      await until('it to be gone', async () => {
        const r = await ask(s, 'vote', { roomId: 'short', topic: 'anybody?' });
        assert.equal(r.ok, true);
        return r.answers.length === 0;
      });
    });

    test('compressed and plain receivers of one message', async () => {
      const [a, b, s] = await Promise.all([json(), json('/packed', packed), connect(server, { transports: ['websocket'], perMessageDeflate: true })]);
      const box = inbox(s);
      assert.match(b.ws.extensions, /permessage-deflate/);
      assert.equal(a.ws.extensions, '');
      for (const x of [a, b]) await x.ask('join', { roomId: 'sizes' });
      await ask(s, 'join', { roomId: 'sizes' });
      await a.take(2);
      await b.take(1);
      for (const text of ['short', 'again and '.repeat(500), randomBytes(2000).toString('hex')]) {
        b.send({ type: 'pass', roomId: 'sizes', text });
        for (const x of [a, b]) assert.deepEqual(await x.take(1), [{ type: 'passed', roomId: 'sizes', text }]);
      }
      assert.equal((await box.wait(3))[2][1].text.length, 4000);
    });

    test('auth gives what rules know as {auth.KEY}', async () => {
      const a = await json();
      assert.deepEqual(await a.ask('auth', { name: 'ann', x: 1 }), { type: 'ack', ack: 1, ok: true });
      assert.equal((await a.ask('who')).auth, 'ann');
      a.send({ type: 'auth', name: 'bob' });
      assert.equal((await a.ask('who')).auth, 'bob');
      assert.deepEqual(a.queue, []);
      const m = await a.ask('auth', { name: 'x'.repeat(9000) });
      assert.deepEqual([m.type, m.code], ['error', 'limit']);
      assert.equal((await a.ask('who')).auth, 'bob');
    });

    test('a namespace whose [connect] reads auth waits for it', async () => {
      const a = await JsonClient.open(server, '/named');
      a.send({ type: 'ping' }, { type: 'who', ack: 3 });
      assert.deepEqual(await a.take(2), [
        { type: 'pong' },
        { type: 'error', code: 'auth_first', message: 'the first message must be auth, since [connect] reads {auth...}', ack: 3 },
      ]);
      a.send({ type: 'auth', name: 'ann', ack: 4 });
      const [hello, ...rest] = await a.take(3);
      assert.equal(hello.type, 'connected');
      assert.deepEqual(
        rest.map((m) => [m.type, m.name ?? m.ok]).sort(),
        [['ack', true], ['entered', 'ann']],
      );
      const b = await JsonClient.open(server, '/named');
      b.send({ type: 'auth', nickname: 'x' });
      const [m] = await b.take(1);
      assert.deepEqual([m.type, m.code, m.message], ['error', 'refused', 'a name is needed']);
      assert.deepEqual(await b.end(), { code: 1008, reason: 'a name is needed' });
    });

    test('a refusal by [connect]', async () => {
      const a = await JsonClient.open(server, '/closed');
      assert.deepEqual(await a.take(1), [
        { type: 'error', code: 'closed', message: 'closed for ever', data: { code: 'closed' } },
      ]);
      assert.deepEqual(await a.end(), { code: 1008, reason: 'closed for ever' });
    });

    test('other endpoints beside it', async () => {
      const e = await JsonClient.open(server, '/echo').catch((x) => x);
      e.ws.removeAllListeners('message');
      const heard = new Promise((r) => e.ws.on('message', (d) => r(d.toString())));
      e.send('{"type":"who"}');
      assert.equal(await heard, 'again: {"type":"who"}');
    });
  });
}

// ---- identity ----

const SECRET = randomBytes(32).toString('hex');
const sign = (claims, options) => jwt.sign(claims, SECRET, { expiresIn: '1h', ...options });

const AUTH = `
[connect]
join = "user {user}"
[event who]
ack = {"user":{user},"role":{claim.role},"name":{auth.name}}
[event tell]
emit = user {1.to}: told {"from":{user},"text":{1.text}}
[namespace /maybe]
auth = optional
[event /maybe who]
ack = {"user":{user}}
[endpoint /ws]
protocol = json
[endpoint /free]
protocol = json
auth = off
[endpoint /maybe]
protocol = json
namespace = /maybe
`;

const AUTH_OPTIONS = { 'auth.mode': 'required', 'auth.secret': SECRET, 'auth.cookie': 'session', 'auth.leeway': '0ms', 'auth.grace': '0ms' };

for (const shards of SHARDS) {
  describe(`identity, ${label(shards)}`, roomcastOnly, () => {
    let server;
    before(async () => {
      if (!roomcastOnly.skip) server = await start({ ini: AUTH, shards, options: AUTH_OPTIONS });
    });
    afterEach(() => {
      closeAllJson();
      closeAll();
    });
    after(() => server?.stop());

    const token = sign({ sub: 'ann', role: 'admin' });
    const who = { user: 'ann', role: 'admin', name: null };

    test('a token in the URL, a header or a cookie: connected says whose it is', async () => {
      for (const [path, options] of [
        [`/ws?token=${token}`, {}],
        ['/ws', { headers: { Authorization: `Bearer ${token}` } }],
        ['/ws', { headers: { Cookie: `session=${token}` } }],
      ]) {
        const a = await JsonClient.connect(server, path, options);
        assert.deepEqual(a.welcome, { type: 'connected', id: a.welcome.id, userId: 'ann' });
        assert.deepEqual(await a.ask('who'), { type: 'ack', ack: 1, ...who });
        await a.ask('auth', { name: 'Ann' });
        assert.deepEqual(await a.ask('who'), { type: 'ack', ack: 3, ...who, name: 'Ann' });
      }
    });

    test('a bad one is refused with 1008 and a reason', async () => {
      for (const [bad, code, reason] of [
        [sign({ sub: 'x' }, { expiresIn: -60 }), 'token_expired', 'the token has expired'],
        ['nonsense', 'token_malformed', 'this is not a signed JSON Web Token'],
        [jwt.sign({ sub: 'x' }, 'another'.repeat(8)), 'token_signature', "the token's signature is wrong"],
      ]) {
        const a = await JsonClient.open(server, `/ws?token=${bad}`);
        // As the CONNECT_ERROR of a Socket.IO client has it, by either way.
        const told = { type: 'error', code, message: reason, data: { code } };
        assert.deepEqual(await a.take(1), [told]);
        assert.deepEqual(await a.end(), { code: 1008, reason });
        const b = await JsonClient.open(server, '/ws');
        b.send({ type: 'auth', token: bad });
        assert.deepEqual(await b.take(1), [told]);
        assert.deepEqual(await b.end(), { code: 1008, reason });
      }
    });

    test('or as the first message', async () => {
      const a = await JsonClient.open(server, '/ws');
      a.send({ type: 'who', ack: 8 });
      assert.deepEqual((await a.take(1))[0].code, 'auth_first');
      a.send({ type: 'auth', token, name: 'Ann', ack: 9 });
      const [hello, ack] = await a.take(2);
      assert.deepEqual(hello, { type: 'connected', id: hello.id, userId: 'ann' });
      assert.deepEqual(ack, { type: 'ack', ack: 9, ok: true });
      assert.deepEqual(await a.ask('who'), { type: 'ack', ack: 1, ...who, name: 'Ann' });
      const b = await JsonClient.open(server, '/ws');
      b.send({ type: 'auth', name: 'without a token' });
      assert.equal((await b.take(1))[0].code, 'token_missing');
      assert.equal((await b.end()).code, 1008);
    });

    test('all devices of a user, whatever they speak', async () => {
      const a = await JsonClient.connect(server, `/ws?token=${token}`);
      const s = client(server, { auth: { token } });
      const t = client(server, { auth: { token: sign({ sub: 'bob' }) } });
      await Promise.all([connected(s), connected(t)]);
      const heard = event(s, 'told');
      assert.deepEqual(await ask(t, 'tell', { to: 'ann', text: 'hi' }), { ok: true });
      assert.deepEqual(await a.take(1), [{ type: 'told', from: 'bob', text: 'hi' }]);
      assert.deepEqual(await heard, { from: 'bob', text: 'hi' });
    });

    test('optional: one that was nobody starts anew as somebody', async () => {
      const a = await JsonClient.connect(server, '/maybe');
      assert.equal(a.welcome.userId, undefined);
      assert.equal((await a.ask('who')).user, '');
      a.send({ type: 'auth', token });
      const [again] = await a.take(1);
      assert.deepEqual(again, { type: 'connected', id: again.id, userId: 'ann' });
      assert.notEqual(again.id, a.welcome.id);
      assert.equal((await a.ask('who')).user, 'ann');
      const b = await JsonClient.connect(server, '/maybe');
      b.send({ type: 'auth', token: 'nonsense' });
      assert.equal((await b.take(1))[0].code, 'token_malformed');
      assert.equal((await b.end()).code, 1008);
    });

    test('off: nobody looks at tokens', async () => {
      const a = await JsonClient.connect(server, '/free?token=nonsense');
      assert.deepEqual(Object.keys(a.welcome), ['type', 'id']);
      assert.equal((await a.ask('auth', { token: 'nonsense', name: 'x' })).ok, true);
      assert.deepEqual(await a.ask('who'), { type: 'ack', ack: 2, user: '', role: null, name: 'x' });
    });

    test('auth again refreshes the token, in time', async () => {
      const a = await JsonClient.connect(server, `/ws?token=${sign({ sub: 'ann' }, { expiresIn: 2 * slow })}`);
      const b = await JsonClient.connect(server, `/ws?token=${sign({ sub: 'ann' }, { expiresIn: 2 * slow })}`);
      assert.equal((await a.ask('auth', { token: sign({ sub: 'bob' }) })).code, 'token_other_user');
      assert.equal((await a.ask('auth', { token: 5 })).code, 'token_malformed');
      assert.deepEqual(await a.ask('auth', { token }), { type: 'ack', ack: 3, ok: true });
      assert.equal((await b.take(1))[0].code, 'token_expired');
      assert.deepEqual(await b.end(), { code: 1008, reason: 'the token has expired' });
      assert.equal((await a.ask('who')).user, 'ann');
    });
  });
}

describe('time', roomcastOnly, () => {
  test('who is to say auth and does not is closed', async (t) => {
    const server = await startFor(t, {
      ini: AUTH, shards: 1, options: { ...AUTH_OPTIONS, 'socketio.connect_timeout': '300ms' },
    });
    t.after(closeAllJson);
    const a = await JsonClient.open(server, '/ws');
    assert.equal((await a.take(1))[0].code, 'auth_timeout');
    assert.deepEqual(await a.end(), { code: 1008, reason: 'auth did not come in time' });
    const b = await JsonClient.open(server, '/ws');
    b.send({ type: 'auth', token: sign({ sub: 'ann' }) });
    assert.equal((await b.take(1))[0].type, 'connected');
    await sleep(500);
    assert.equal((await b.ask('who')).user, 'ann');
  });

  test('pings, and the end when no pong comes', async (t) => {
    const ini = '[endpoint /ws]\nprotocol = json\nping_interval = 300ms\n';
    const server = await startFor(t, { ini, shards: 1 });
    t.after(closeAllJson);
    const good = await JsonClient.connect(server, '/ws');
    let pings = 0;
    good.ws.on('ping', () => pings++);
    const mute = await RawWs.open(server, '/ws');
    await mute.wire.closed();
    await sleep(700);
    assert.ok(pings >= 2, `${pings} pings`);
    good.send({ type: 'ping' });
    assert.deepEqual(await good.take(1), [{ type: 'pong' }]);
  });

  test('the server stops: 1001', async (t) => {
    const server = await start({ ini: '[endpoint /ws]\nprotocol = json\n', shards: 2 });
    t.after(closeAllJson);
    const a = await JsonClient.connect(server, '/ws');
    const [end] = await Promise.all([a.end(), server.stop()]);
    assert.equal(end.code, 1001);
  });
});
