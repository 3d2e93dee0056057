// Engine.IO 3 and Socket.IO 4 of the protocol (clients 2.x) as bytes, by protocol fact.
//
// A table of exchanges on polling sessions and of messages on WebSockets. When roomcast is the
// target, the npm server with allowEIO3 runs beside it and gets the same bytes: its answers must be
// the same, or else what the row says in `theirs`, with the reason in docs/protocol.md.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { gunzipSync, inflateSync } from 'node:zlib';

import { Polling, Socket, eioPath } from './lib/eio.mjs';
import { OCTETS, Polling3, bytes, readText, text } from './lib/eio3.mjs';
import { start as startReference } from './lib/reference.mjs';
import { SHARDS, label, reference, roomcastOnly, sleep, slow, start, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const INI = `${RULES}
[connect /moved]
refuse = "this has moved"
[connect /staff]
require = same {auth.token} secret else "not for you" {"to":"/lobby"}
`;
const EIO3 = { 'socketio.allow_eio3': 'yes' };
const PLACE = (n) => `{"_placeholder":true,"num":${n}}`;
const B = (...n) => Buffer.of(...n);
const L = (s) => Buffer.from(s, 'latin1');

// ---- requests and answers of a polling session ----

const post = (body, headers = { 'Content-Type': 'text/plain;charset=UTF-8' }) => ({ method: 'POST', body, headers });
const posts = (...packets) => post(text(...packets));
const octets = (body) => post(body, OCTETS);
const get = (more = {}) => ({ more, headers: more.headers });

const OK = [200, 'text/html', 'ok'];
const GONE = [400, 'application/json', '{"code":1,"message":"Session ID unknown"}'];
const BAD = [400, 'application/json', '{"code":3,"message":"Bad request"}'];
const EMPTY = (status) => [status, undefined, ''];
const poll = (...packets) => [200, 'text/plain; charset=UTF-8', text(...packets)];
const polled = (body) => [200, 'text/plain; charset=UTF-8', body];
const octetsOf = (...packets) => [200, 'application/octet-stream', bytes(...packets).toString('latin1')];

const ask = (n, arg = n) => `42${n}["ask",${JSON.stringify(arg)}]`;
const ack = (n, arg = n) => `43${n}[${JSON.stringify(arg)}]`;
const ALIVE = [posts(ask(99)), get()]; // an echo at the end says that the session lives
const LIVES = [OK, poll(ack(99))];
const alive = (...steps) => [...steps, ...ALIVE];
const lives = (...answers) => [...answers, ...LIVES];
// Text as it is in a payload of bytes, of characters that stand for bytes.
const framed = (s) => Buffer.concat([B(0, ...String(s.length).split('').map(Number), 255), L(s)]);
const ECHO = `451-["echo",${PLACE(0)}]`;

// Closes the session: the POST is answered all the same, as by the reference.
const closes = (name, body, more = {}) => [name, [Buffer.isBuffer(body) ? octets(body) : post(body), get()], [OK, GONE], more];
// The same for what Socket.IO finds wrong: the next poll is told.
const breaks = (name, body) => [name, [Buffer.isBuffer(body) ? octets(body) : post(body), get(), get()], [OK, poll('6', '1'), GONE]];

// Number() of JavaScript takes more than digits.
function oddLength(before) {
  const n = ask(1).length;
  const digits = before === '0x' ? n.toString(16) : before === '0b' ? n.toString(2) : n;
  return [`a length with more than digits: ${before}`, [post(`${before}${digits}:${ask(1)}`), get()], [OK, GONE], { theirs: [OK, poll(ack(1))] }];
}

const PAYLOADS = [
  ['one packet', [posts(ask(1)), get()], [OK, poll(ack(1))]],
  ['several packets, in order', [posts(ask(1), '6', ask(2), ask(3)), get()], [OK, poll(ack(1), ack(2), ack(3))]],
  ['lengths are in UTF-16 code units', [posts(ask(1, 'aü€'), ask(2, '👍'), ask(3, '𝒳é\u{10ffff}')), get()], [OK, poll(ack(1, 'aü€'), ack(2, '👍'), ack(3, '𝒳é\u{10ffff}'))]],
  ['a lone surrogate, which JSON escapes', [posts(ask(1, '\ud83d')), get()], [OK, poll(ack(1, '\ud83d'))]],
  ['zeros before a length', [post(`000${text(ask(1))}`), get()], [OK, poll(ack(1))]],
  ['a colon in the data', [posts(ask(1, '1:2')), get()], [OK, poll(ack(1, '1:2'))]],
  ['packets without anything are skipped', [post(`0:${text(ask(1))}0:`), get()], [OK, poll(ack(1))]],
  ['nothing but such a packet', alive(post('0:')), lives(OK)],
  ['ping and ping with data', [posts('2', '2probe'), get()], [OK, poll('3', '3')]],
  ['packets that mean nothing to a server', alive(posts('0', '5', '6', '0{}', '6x')), lives(OK)],
  ['a close packet, and nothing behind it counts', [posts('1', ask(1)), get()], [OK, GONE]],
  ['content types', alive(...['application/json', 'application/octet-stream; x', 'Application/Octet-Stream'].map((t) => post('1:6', { 'Content-Type': t }))), lives(OK, OK, OK)],
  ['a body that is too big', alive(post('x'.repeat(1_000_001)), octets(Buffer.alloc(1_000_001))), lives(EMPTY(413), EMPTY(413))],
  closes('an empty payload', ''),
  closes('a pong', '1:3'),
  closes('a type that is none', '1:7'),
  closes('a letter for a type', '1:x'),
  breaks('a length one too short', `${ask(1).length - 1}:${ask(1)}`),
  closes('a length one too long', `${ask(1).length + 1}:${ask(1)}`),
  closes('a length in bytes', `${Buffer.byteLength(ask(1, '€'))}:${ask(1, '€')}`),
  breaks('a length in characters', `${ask(1, '👍').length - 1}:${ask(1, '👍')}`),
  closes('a length that ends within a surrogate pair', '9:42["x","👍"]', { theirs: [OK, poll('6', '1')] }),
  closes('no length', `:${ask(1)}`),
  closes('no colon', `${ask(1).length}${ask(1)}`),
  closes('no packet', `${ask(1).length}`),
  closes('a colon and no packet', `${ask(1).length}:`),
  closes('a negative length', '-1:2'),
  closes('a length with a unit', '1b:2'),
  closes('a length beyond all numbers', `${'9'.repeat(400)}:2`),
  closes('a separator of Engine.IO 4', `${ask(1)}\x1e${ask(2)}`),
  ...[' ', '+', '0x', '0b'].map(oddLength),
  ['a length like 1.4e1', [post(`${ask(1).length / 10}e1:${ask(1)}`), get()], [OK, GONE], { theirs: [OK, poll(ack(1))] }],
];

// A whole payload cut at every place where it hurts.
const WHOLE = text(ask(1, '👍'), ask(2));
const CUTS = [...WHOLE].map((_, i) => [...WHOLE].slice(0, i).join('')).filter((cut) => cut !== '' && cut !== text(ask(1, '👍')));

const BINARY = [
  ['bytes come as bytes', [posts(ECHO, B(1, 2, 255)), get()], [OK, octetsOf(ECHO, B(1, 2, 255))]],
  ['and as text where the handshake says so', [posts(ECHO, B(1, 2, 255)), get()], [OK, poll(ECHO, B(1, 2, 255))], { query: { b64: '1' } }],
  ['b64 with any value', [posts(ECHO, B(1)), get()], [OK, poll(ECHO, B(1))], { query: { b64: '0' } }],
  ['b64 without one', [posts(ECHO, B(1)), get()], [OK, octetsOf(ECHO, B(1))], { query: { b64: '' } }],
  ['b64 of a poll means nothing', [posts(ECHO, B(1)), get({ b64: '1' })], [OK, octetsOf(ECHO, B(1))]],
  ['all packets of a payload with bytes in it', [posts(ask(1, 'ü👍'), ECHO, B(1), ask(2)), get()], [OK, octetsOf(ack(1, 'ü👍'), ECHO, B(1), ack(2))]],
  ['sent as bytes', [octets(bytes(ask(1, 'ü👍'), ECHO, B(0, 255, 4, 58))), get()], [OK, octetsOf(ack(1, 'ü👍'), ECHO, B(0, 255, 4, 58))]],
  ['text alone, sent as bytes', [octets(bytes(ask(1), ask(2))), get()], [OK, poll(ack(1), ack(2))]],
  ['an empty attachment', [octets(bytes(ECHO, B())), get()], [OK, octetsOf(ECHO, B())]],
  ['base64 among bytes', [octets(Buffer.concat([bytes(ECHO), bytes('b4AQL/')])), get()], [OK, octetsOf(ECHO, B(1, 2, 255))]],
  ['an ack with bytes', [octets(bytes(`451-7["ask",${PLACE(0)}]`, B(9))), get()], [OK, octetsOf(`461-7[${PLACE(0)}]`, B(9))]],
  ['lengths of 9, 10, 99, 100, 10,000', [octets(bytes(...[9, 10, 99, 100, 10_000].flatMap((n) => [ECHO, Buffer.alloc(n - 1, 255)]))), get()], [OK, octetsOf(...[9, 10, 99, 100, 10_000].flatMap((n) => [ECHO, Buffer.alloc(n - 1, 255)]))]],
  ['zeros before a length', [octets(L(`\0\0\0\x01\xff2`)), get()], [OK, poll('3')]],
  ['a first byte that is neither 0 nor 1 means bytes', [octets(Buffer.concat([bytes(ECHO), L('\x07\x02\xff\x04\x2a')])), get()], [OK, octetsOf(ECHO, B(42))]],
  ['other types as bytes', [octets(L('\x01\x01\xff\x02\x01\x01\xff\x06\x01\x01\xff\x2a\x01\x00\xff')), get()], [OK, poll('3')]],
  ['other types in base64', [posts('b2', 'b6', 'b7', 'b', 'b2AQID'), get()], [OK, poll('3', '3')]],
  ['an empty payload of bytes', alive(octets(B())), lives(OK)],
  ['a close packet as bytes', [octets(L('\x01\x01\xff\x01')), get()], [OK, GONE]],
  ['a close packet in base64', [posts('b1'), get()], [OK, GONE]],
  closes('a pong as bytes', L('\x01\x01\xff\x03')),
  closes('a type that is none, as text', L('\0\x01\xff7')),
  closes('an empty text', L('\0\0\xff')),
  breaks('bytes without an event', bytes(B(1))),
  breaks('bytes without an event, in base64', text(B(1))),
  breaks('text while bytes are missing', text(ECHO, ask(1))),
  closes('no length at all', L('\0')),
  closes('bytes over 9 among the digits', L(`\0\x0c\xff${ask(1)}`), { theirs: [OK, poll('3')] }),
  closes('a length without an end', L('\0\x01')),
  closes('text as it would be in a text payload', L(text(ask(1)))),
  closes('UTF-8 that is cut off', framed('421["ask","\xf0\x9f\x91')),
  closes('UTF-8 that is none', framed('421["ask","\xff"]')),
  ['a packet that is cut off, and an event all the same', [octets(Buffer.concat([L('\0\x09\x09\xff'), Buffer.from(ask(1))])), get()], [OK, GONE], { theirs: [OK, poll(ack(1))] }],
  ['base64 with other characters', [posts(ECHO, 'b4AQ-_'), get()], [OK, GONE], { theirs: [OK, octetsOf(ECHO, Buffer.from('AQ-_', 'base64'))] }],
  ['a surrogate in UTF-8', [octets(framed('421["ask","\xed\xa0\x80"]')), get()], [OK, GONE], { theirs: [OK, poll(ack(1, '\ufffd'))] }],
];

const SOCKETIO = [
  ['a namespace', [posts('40/chat,'), get(), posts('42/chat,1["ask",1]'), get()], [OK, poll('40/chat,'), OK, poll('43/chat,1[1]')]],
  ['a namespace without a comma', [posts('40/chat'), get(), posts('42/chat,1["ask",1]'), get()], [OK, poll('40/chat,'), OK, poll('43/chat,1[1]')]],
  ['a query is no part of the name', [posts('40/chat?k=v&a[]=/x,'), get(), posts('42/chat,1["ask",1]', '42/chat?other,2["ask",2]'), get(), posts('41/chat?x,'), posts('40/chat,'), get()], [OK, poll('40/chat,'), OK, poll('43/chat,1[1]', '43/chat,2[2]'), OK, OK, poll('40/chat,')]],
  ['a query is auth', [posts('40/greet?name=A%20b%2Bc+d%C3%BC,'), get()], [OK, poll('40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":"A b+c dü"}]')]],
  ['the last of several values counts', [posts('40/greet?name=a&name=b,'), get()], [OK, poll('40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":"b"}]')]],
  ['a query without a value, and a fragment', [posts('40/greet?name#x?name=y,'), get()], [OK, poll('40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":""}]')]],
  ['bad escapes in a query', [posts('40/greet?name=%zz%4%ff%e2%82,'), get()], [OK, poll('40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":"%zz%4\ufffd\ufffd"}]')]],
  ['data of a CONNECT is no auth', [posts('40/greet,{"name":"x"}'), get()], [OK, poll('40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":null}]')]],
  ['a namespace that there is not', [posts('40/nope,', '40/nope?k=v,', ask(1)), get()], [OK, poll('44/nope,{"message":"Invalid namespace"}', '44/nope,{"message":"Invalid namespace"}', ack(1))]],
  ['the namespace / is left and joined again', [posts('41'), posts('40'), get(), ...ALIVE], [OK, OK, poll('40'), ...LIVES]],
  ['the same with a query', [posts('41'), posts('40/?k=v,'), get(), ...ALIVE], [OK, OK, poll('40'), ...LIVES]],
  breaks('CONNECT to / once more', text('40')),
  breaks('CONNECT to / with a query', text('40/?k=v,')),
  ['CONNECT twice', [posts('40/chat,'), get(), posts('40/chat?x,'), get()], [OK, poll('40/chat,'), OK, poll('6', '1')]],
  breaks('an event of a namespace that was not joined', text('42/chat?x,["ask",1]')),
  breaks('an array for CONNECT data', text('40/chat,[]')),
  breaks('a CONNECT_ERROR', text('44"x"')),
  ['a refusal is its message', [posts('40/moved,'), posts('40/moved?x=1,'), get(), ...ALIVE], [OK, OK, poll('44/moved,"this has moved"', '44/moved,"this has moved"'), ...LIVES]],
  ['or its data, if it has some', [posts('40/staff?token=x,'), get(), posts('40/staff?token=%73ecret,'), get()], [OK, poll('44/staff,{"to":"/lobby"}'), OK, poll('40/staff,')]],
  ['the end of a namespace', [posts('40/chat,'), get(), posts('42["bye"]', '42/chat,1["ask",1]'), get()], [OK, poll('40/chat,'), OK, poll('41', '43/chat,1[1]')]],
  ['the end of the session', [posts('42["hangup"]'), get(), get(), get()], [OK, poll('41'), poll('6', '1'), GONE]],
  ['a name with dots or escapes', [posts('40/x/../chat,'), get()], [OK, poll('44/x/../chat,{"message":"Invalid namespace"}')], { theirs: [OK, poll('40/chat,')] }],
  ['a name that is not ASCII', [posts('40/ü,'), get()], [OK, poll('44/ü,{"message":"Invalid namespace"}')], { theirs: [OK, poll('44/%C3%BC,{"message":"Invalid namespace"}')] }],
];

const form = (s) => post(`d=${encodeURIComponent(s)}`, { 'Content-Type': 'application/x-www-form-urlencoded' });
const script = (s, j = 3) => polled(`___eio[${j}](${JSON.stringify(s)});`);
const J = { query: { j: '3', b64: '1' } };
const JSONP = [
  ['packets', [form(text(ask(1, 'ü👍"\u2027'), ask(2))), get()], [OK, script(text(ack(1, 'ü👍"\u2027'), ack(2)))], J],
  ['line separators', [form(text(ask(1, '\u2028\u2029'))), get()], [OK, polled(`___eio[3](${JSON.stringify(text(ack(1, '\u2028\u2029'))).replace('\u2028', '\\u2028').replace('\u2029', '\\u2029')});`)], J],
  ['bytes are base64', [form(text(ECHO, B(1, 2, 255))), get()], [OK, script(text(ECHO, B(1, 2, 255)))], J],
  ['bytes are base64 without b64 as well', [form(text(ECHO, B(1))), get()], [OK, script(text(ECHO, B(1)))], { query: { j: '3' }, theirs: [OK, polled(`___eio[3](${JSON.stringify(bytes(ECHO, B(1)))});`)] }],
  // The length is that of the packet as it was before a client made two backslashes of one.
  ['backslashes before an n', [form(text(ask(1, 'a\nb\\n')).replace(/\\n/g, '\\\\n')), get()], [OK, script(text(ack(1, 'a\nb\\n')))], J],
  ['a length that is wrong', [form(`x:${ask(1)}`), get()], [OK, GONE], J],
  ['an empty payload', [form(''), get()], [OK, GONE], J],
  ['octet-stream is no form', [octets(Buffer.from(`d=${ask(1).length}:${ask(1)}`)), form(text(ask(2))), get()], [OK, OK, script(text(ack(2)))], J],
  ['a ping', [form('1:2'), get()], [OK, script('1:3')], J],
];

const LONG = 'y'.repeat(2000);
const zipped = (coding) => get({ headers: { 'Accept-Encoding': coding } });
const ZIP = [
  ['text', [posts(ask(1, LONG)), zipped('gzip'), posts(ask(1, LONG)), zipped('deflate')], [OK, [...poll(ack(1, LONG)), 'gzip'], OK, [...poll(ack(1, LONG)), 'deflate']]],
  ['bytes', [posts(ECHO, Buffer.alloc(2000, 7)), zipped('gzip')], [OK, [...octetsOf(ECHO, Buffer.alloc(2000, 7)), 'gzip']]],
  ['a script', [form(text(ask(1, LONG))), zipped('gzip')], [OK, [...script(text(ack(1, LONG))), 'gzip']], J],
  ['short ones are not', [posts(ask(1)), zipped('gzip')], [OK, poll(ack(1))]],
];

const OPEN = '0{"sid":"*","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}';
const handshake = (more) => ({ more: { sid: undefined, ...more } });
const opened = polled(`${OPEN.length + 19}:${OPEN}`);
const HANDSHAKES = [
  ['whatever is not 4 is 3', ['3', '2', '5', '44', '', ' 4'].map((EIO) => handshake({ EIO })), Array(6).fill(opened)],
  ['no EIO', [handshake({ EIO: null })], [opened]],
  ['4 is 4', [handshake({ EIO: '4' })], [polled(OPEN)]],
  ['by JSONP', [handshake({ j: '1' })], [script(`${OPEN.length + 19}:${OPEN}`, 1)]],
  ['a session by another revision', [get({ EIO: '4' }), { ...posts(ask(1)), more: { EIO: '4' } }, { method: 'PUT', more: { EIO: '4' } }, ...ALIVE], [BAD, BAD, BAD, ...LIVES]],
  ['a session of 4 by another revision', [get({ EIO: '3' }), get({ EIO: '5' }), get({ EIO: null }), { ...posts(ask(1)), more: { EIO: '3' } }], Array(4).fill(BAD), { query: { EIO: '4' } }],
  ['a session of 3 by others that are not 4', [{ ...posts(ask(1)), more: { EIO: '5' } }, get({ EIO: null })], [OK, poll(ack(1))]],
  ['a session that has ended, by another revision', [posts('1'), get({ EIO: '4' }), { ...posts(ask(1)), more: { EIO: '4' } }, get()], [OK, GONE, GONE, GONE]],
  ['another transport', [get({ transport: 'websocket' }), ...ALIVE], [BAD, ...LIVES]],
  ['another method', [{ method: 'PUT', more: {} }, ...ALIVE], [EMPTY(500), ...LIVES]],
];

const GROUPS = [
  ['handshakes', HANDSHAKES],
  ['text payloads', [...PAYLOADS, ...CUTS.map((cut) => closes(`cut off: ${JSON.stringify(cut)}`, cut))]],
  ['binary', BINARY],
  ['Socket.IO', SOCKETIO],
  ['JSONP', JSONP],
  ['compression', ZIP],
];

async function exchanges(server, steps, query = {}) {
  const r = await request(server, { path: eioPath({ EIO: '3', ...query }) });
  assert.equal(r.status, 200, r.body);
  const sid = r.body.match(/sid\\?":\\?"([\w-]{20})/)[1];
  const path = (more) => eioPath({ EIO: '3', ...(query.EIO && { EIO: query.EIO }), sid, ...more });
  if (query.EIO !== '4') await request(server, { path: path() }); // the CONNECT
  const all = [];
  for (const { more = {}, method, body, headers } of steps) {
    const { headers: _, ...other } = more;
    if ('sid' in other) delete other.sid;
    const p = 'sid' in more ? eioPath({ EIO: '3', ...other }) : path(other);
    const a = await request(server, { method, path: p, headers, body, binary: true });
    const coding = a.headers['content-encoding'];
    const plain = coding === 'gzip' ? gunzipSync(a.body) : coding === 'deflate' ? inflateSync(a.body) : a.body;
    const octet = a.headers['content-type'] === 'application/octet-stream';
    const answer = plain
      .toString(octet ? 'latin1' : 'utf8')
      .replaceAll(sid, '*')
      .replace(/(sid\\?":\\?")[\w-]{20}/, '$1*');
    all.push([a.status, a.headers['content-type'], answer, ...(coding ? [coding] : [])]);
  }
  return all;
}

// The length before a packet that has the sid in it is that with a sid of 20 characters.
const measured = (answers) =>
  answers.map(([status, type, body, ...rest]) => [
    status,
    type,
    body.replace(/(\d+):(42\/greet,\[[^\]]*\*[^\]]*\])/g, (_, n, p) => `${p.length + 19}:${p}`),
    ...rest,
  ]);

for (const shards of SHARDS) {
  describe(`polling, ${label(shards)}`, () => {
    let server;
    let other;
    before(async () => {
      server = await start({ ini: INI, shards, options: EIO3 });
      if (!reference) other = await startReference({ ini: INI, options: EIO3 });
    });
    after(async () => {
      await server.stop();
      await other?.stop();
    });

    for (const [group, rows] of GROUPS)
      for (const [name, steps, expected, { query, theirs } = {}] of rows)
        test(`${group}: ${name}`, async () => {
          const answers = await exchanges(server, steps, query);
          assert.deepEqual(answers, measured(reference ? theirs ?? expected : expected));
          if (other) assert.deepEqual(await exchanges(other, steps, query), measured(theirs ?? expected), 'the reference');
        });
  });
}

// ---- WebSocket: [name, messages, what comes back or null: a close frame without a code] ----

const MESSAGES = [
  ['ping and ping with data', ['2', '2probe'], ['3', '3']],
  ['packets that mean nothing to a server', ['0', '5', '6', '6x', ask(1)], [ack(1)]],
  ['bytes begin with their type', [ECHO, B(4, 1, 2, 255)], [ECHO, B(4, 1, 2, 255)]],
  ['an attachment without bytes', [ECHO, B(4)], [ECHO, B(4)]],
  ['bytes as base64 text', [ECHO, 'b4AQL/'], [ECHO, B(4, 1, 2, 255)]],
  ['b64=1: base64 text, whatever was sent', [ECHO, B(4, 1, 2, 255), ECHO, 'b4AQ=='], [ECHO, 'b4AQL/', ECHO, 'b4AQ=='], { query: { b64: '1' } }],
  ['other types in bytes', [B(2), B(6), B(42), B(), B(0, 1), ask(1)], ['3', ack(1)]],
  ['other types in base64', ['b2', 'b6', 'b7', 'b', ask(1)], ['3', ack(1)]],
  ['two attachments', [`452-["echo",${PLACE(0)},${PLACE(1)}]`, B(4, 1), B(4, 2)], [`452-["echo",${PLACE(0)},${PLACE(1)}]`, B(4, 1), B(4, 2)]],
  ['a namespace and its query', ['40/greet?name=%F0%9F%91%8D,'], ['40/greet,', '42/greet,["welcome",{"id":"/greet#*","name":"👍"}]']],
  ['a pong closes', ['3'], null],
  ['a pong in bytes closes', [B(3)], null],
  ['a type that is none closes', ['7'], null],
  ['a message without anything closes', [''], null],
  ['bytes without their type close', [ECHO, B(3, 1, 2)], null],
  ['bytes without an event close', [B(4, 1)], null],
];

async function talk(server, messages, n, query) {
  const s = await Socket.open(server, { EIO: '3', ...query });
  try {
    assert.deepEqual(s.handshake.upgrades, []);
    assert.equal(await s.next(), '40');
    s.send(...messages);
    if (n === null) return (await s.close()).code;
    const all = await s.take(n);
    return all.map((m) => (typeof m === 'string' ? m.replaceAll(s.sid, '*') : m));
  } finally {
    s.destroy();
  }
}

function webSockets(server, other) {
  for (const [name, messages, expected, { query } = {}] of MESSAGES)
    test(`WebSocket: ${name}`, async () => {
      const want = expected ?? 1005;
      assert.deepEqual(await talk(server(), messages, expected && expected.length, query), want);
      if (other()) assert.deepEqual(await talk(other(), messages, expected && expected.length, query), want, 'the reference');
    });

  test('WebSocket: a close packet closes', roomcastOnly, async () => {
    for (const packet of ['1', B(1), 'b1']) assert.equal(await talk(server(), [packet], null), 1005);
  });

  test('WebSocket: a message of max_payload passes, a longer one closes with 1009', async () => {
    const fits = ask(1, 'x'.repeat(1_000_000 - ask(1, '').length));
    assert.deepEqual(await talk(server(), [fits], 1), [ack(1, 'x'.repeat(1_000_000 - ask(1, '').length))]);
    assert.equal(await talk(server(), [`${fits} `], null), 1009);
  });
}

// ---- upgrade ----

const noopFrom = (r) => [r.status, r.body.toString()];
const probe = (s, more = {}) => Socket.open(s.server, { EIO: '3', sid: s.sid, ...more });

function upgrades(server) {
  test('upgrade: polls get noops in payloads, then all goes by WebSocket', async () => {
    const s = await Polling3.open(server());
    const held = s.get();
    await held.sent;
    const ws = await probe(s);
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    assert.deepEqual(noopFrom(await held), [200, '1:6']);
    await s.post(ask(1));
    ws.send('5');
    assert.equal(await ws.next(), ack(1));
    ws.send(ECHO, B(4, 9), '2');
    assert.deepEqual((await ws.take(3)).sort(), [ECHO, B(4, 9), '3'].sort());
    const late = await s.get();
    assert.deepEqual(noopFrom(late), [400, BAD[2]]);
    ws.destroy();
  });

  test('upgrade: what waited takes the form of WebSockets', async () => {
    for (const [query, bytesThere] of [
      [{}, B(4, 1, 2)],
      [{ b64: '1' }, 'b4AQI='],
    ]) {
      const s = await Polling3.open(server());
      await s.postBytes(ECHO, B(1, 2));
      const ws = await probe(s, query);
      ws.send('2probe', '5');
      assert.deepEqual(await ws.take(3), ['3probe', ECHO, bytesThere]);
      ws.destroy();
    }
  });

  test('upgrade: a session by another revision', async () => {
    const old = await Polling3.open(server());
    const now = await Polling.open(server(), { namespace: '/' });
    for (const [sid, EIO] of [[old.sid, '4'], [now.sid, '3']]) {
      const wire = await Wire.open(server());
      await wire.write(RawWs.handshake(eioPath({ transport: 'websocket', sid, EIO })).text);
      const r = await wire.response();
      assert.deepEqual([r.status, r.body], [400, 'Bad request']);
      wire.destroy();
    }
    await old.post(ask(1));
    assert.deepEqual(await old.poll(), [ack(1)]);
    await now.post(ask(2));
    assert.deepEqual(await now.poll(), [ack(2)]);
  });

  test('upgrade: another packet on the probing WebSocket closes that one only', async () => {
    const s = await Polling3.open(server());
    for (const packet of ['3', '2', '4x', B(4, 1), ...(reference ? [] : ['5x', B(5)])]) {
      const ws = await probe(s);
      ws.send(packet);
      assert.equal((await ws.close()).code, 1005);
    }
    await s.post(ask(1));
    assert.deepEqual(await s.poll(), [ack(1)]);
  });

  test('upgrade: a JSONP session', async () => {
    const r = await request(server(), { path: eioPath({ EIO: '3', j: '1', b64: '1' }) });
    const sid = r.body.match(/sid\\":\\"([\w-]{20})/)[1];
    const held = request(server(), { path: eioPath({ EIO: '3', sid }) });
    assert.equal((await held).body, '___eio[1]("2:40");');
    const poll = request(server(), { path: eioPath({ EIO: '3', sid }) });
    await poll.sent;
    const ws = await probe({ server: server(), sid });
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    assert.equal((await poll).body, '___eio[1]("1:6");');
    ws.send('5', ECHO, B(4, 1));
    assert.deepEqual(await ws.take(2), [ECHO, B(4, 1)]);
    ws.destroy();
  });
}

// ---- races and closing ----

// A session, and its poll that the server holds.
async function polling(server) {
  const s = await Polling3.open(server);
  const held = s.get();
  await held.sent;
  await sleep(50 * slow);
  return [s, held];
}

function races(server) {
  test('two polls at once: the first gets a close packet, the second 400', async () => {
    const [s, first] = await polling(server());
    assert.equal((await s.get()).status, 400);
    assert.deepEqual(noopFrom(await first), [200, '1:1']);
    await s.gone();
  });

  test('a close packet while a poll is held: it gets a noop', async () => {
    const [s, held] = await polling(server());
    await s.post('1');
    assert.deepEqual(noopFrom(await held), [200, '1:6']);
    await s.gone();
  });

  test('an end by the server while a poll is held', async () => {
    const [s, held] = await polling(server());
    await s.post('42["hangup"]');
    const first = readText((await held).body.toString());
    const all = first.includes('1') ? first : [...first, ...(await s.poll())];
    assert.equal(all[0], '41');
    assert.equal(all.at(-1), '1');
    await s.gone();
  });

  test('an aborted poll closes the session', async () => {
    const [s, held] = await polling(server());
    held.abort();
    await until('the session to end', async () => (await s.get().then((r) => r.status)) === 400);
  });

  test('one session over many connections', async () => {
    const s = await Polling3.open(server());
    const other = await Polling3.open(server(), { b64: '1' });
    await s.post('420["join","many"]');
    await other.post('420["join","many"]');
    assert.deepEqual(await s.poll(), ['430[{"ok":true}]']);
    assert.deepEqual(await other.poll(), ['430[{"ok":true}]']);
    const N = 40;
    const said = (i) => `451-["said",${i},${PLACE(0)}]`;
    const [mine, theirs] = await Promise.all([
      s.packets(2 * N),
      other.packets(2 * N),
      (async () => {
        for (let i = 0; i < N; i++) {
          const packets = [`451-["say","many",${i},${PLACE(0)}]`, B(i, 255)];
          await (i % 2 ? s.post(...packets) : s.postBytes(...packets));
        }
      })(),
    ]);
    const all = [...Array(N).keys()].flatMap((i) => [said(i), B(i, 255)]);
    assert.deepEqual(mine, all);
    assert.deepEqual(theirs, all);
  });
}

for (const shards of SHARDS) {
  describe(`WebSocket and upgrade, ${label(shards)}`, () => {
    let server;
    let other;
    before(async () => {
      server = await start({ ini: INI, shards, options: EIO3 });
      if (!reference) other = await startReference({ ini: INI, options: EIO3 });
    });
    after(async () => {
      await server.stop();
      await other?.stop();
    });

    webSockets(() => server, () => other);
    upgrades(() => server);
    races(() => server);
  });
}

// ---- heartbeat: the client pings ----

describe('heartbeat', () => {
  const FAST = { ...EIO3, 'socketio.ping_interval': '400ms', 'socketio.ping_timeout': '300ms' };

  test('a client that pings lives on, and is never pinged', async (t) => {
    const server = await startFor(t, { ini: RULES, shards: SHARDS.at(-1), options: FAST });
    const ws = await Socket.open(server, { EIO: '3' });
    assert.deepEqual([ws.handshake.pingInterval, ws.handshake.pingTimeout], [400, 300]);
    ws.pong = false; // and a ping of the server would be seen
    const s = await Polling3.open(server);
    const got = await ws.take(1);
    const polled = [];
    for (let i = 0; i < 8; i++) {
      await sleep(200);
      ws.send('2');
      await s.post('2');
      got.push(await ws.next());
      polled.push(...(await s.poll()));
    }
    assert.deepEqual(got, ['40', ...Array(8).fill('3')]);
    assert.deepEqual(polled, Array(8).fill('3'));
    ws.destroy();
  });

  test('one that does not is closed after interval and timeout', async (t) => {
    const server = await startFor(t, { ini: RULES, options: FAST });
    const ws = await Socket.open(server, { EIO: '3' });
    const s = await Polling3.open(server);
    const from = Date.now();
    ws.send(ask(1)); // messages are no pings
    const held = s.get();
    assert.equal((await ws.close()).code, 1005);
    const took = Date.now() - from;
    assert.ok(took >= 600 && took < 1500 * slow, `${took} ms`);
    assert.deepEqual(noopFrom(await held), [200, '1:1']);
    await s.gone();
  });

  test('a held poll does not keep a client that is silent after it', async (t) => {
    const server = await startFor(t, { ini: RULES, options: FAST });
    const s = await Polling3.open(server);
    await sleep(1200 * slow);
    await s.gone();
  });

  // The reference stops the timer at an upgrade and never starts it again.
  test('the heartbeat goes on after an upgrade', roomcastOnly, async (t) => {
    const server = await startFor(t, { ini: RULES, options: FAST });
    const s = await Polling3.open(server);
    const ws = await probe(s);
    ws.send('2probe', '5', '2');
    assert.deepEqual(await ws.take(2), ['3probe', '3']);
    const from = Date.now();
    assert.equal((await ws.close()).code, 1005);
    const took = Date.now() - from;
    assert.ok(took >= 600 && took < 1500 * slow, `${took} ms`);
  });
});

// ---- switched off ----

test('without allow_eio3', async (t) => {
  const server = await startFor(t, { ini: RULES });
  const error = JSON.stringify({ code: 5, message: 'Unsupported protocol version' });
  for (const more of [{ EIO: '3' }, { EIO: null }, { EIO: '3', j: '0' }, { EIO: '3', b64: '1' }]) {
    const r = await request(server, { path: eioPath(more) });
    assert.deepEqual([r.status, r.headers['content-type'], r.body], [400, 'application/json', error]);
  }
  const s = await Polling.open(server, { namespace: '/' });
  const r = await s.raw(bytes('2'), OCTETS); // of Engine.IO 3
  assert.equal(r.status, 400);
});

test('without allow_eio3: WebSocket', roomcastOnly, async (t) => {
  const server = await startFor(t, { ini: RULES });
  const wire = await Wire.open(server);
  await wire.write(RawWs.handshake(eioPath({ EIO: '3', transport: 'websocket' })).text);
  const r = await wire.response();
  assert.deepEqual([r.status, r.body], [400, 'Unsupported protocol version']);
  await wire.closed();
});

test('a session of 4 does not get less', async (t) => {
  const server = await startFor(t, { ini: RULES, options: EIO3 });
  const s = await Polling.open(server, { namespace: '/' });
  await s.post(ECHO, 'bAQI=');
  assert.deepEqual(await s.packets(2), [ECHO, 'bAQI=']);
  const ws = await Socket.open(server, { namespace: '/' });
  ws.send(ECHO, B(1, 2));
  assert.deepEqual(await ws.take(2), [ECHO, B(1, 2)]);
  ws.destroy();
});

test('/ refuses: a session without a socket', async (t) => {
  const server = await startFor(t, { ini: '[connect]\nrefuse = "closed today" {"until":9}\n[event /a ask]\nack = {args}\n', options: EIO3 });
  const r = await request(server, { path: eioPath({ EIO: '3' }) });
  const sid = r.body.match(/"sid":"([\w-]{20})/)[1];
  const s = Object.assign(new Polling3(server), { sid });
  assert.deepEqual(await s.poll(), ['44{"until":9}']);
  await s.post('40/a,');
  assert.deepEqual(await s.poll(), ['40/a,']);
  await s.post('42/a,1["ask",1]');
  assert.deepEqual(await s.poll(), ['43/a,1[1]']);
});
