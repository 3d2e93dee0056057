// Every answer of the Engine.IO endpoint is the reference's: status, header lines and body.
//
// A table of exchanges, in groups by the server's options. Each states what must come; and when
// roomcast is the target, the npm server runs beside it, gets the same requests, and its answers
// must be the same in everything but what is said here:
//  - Date, Connection, Keep-Alive and how a body's length is told (chunked or Content-Length).
//  - `ours`: header lines that only roomcast sends, with their values.
//  - 'roomcast only' at the end: where the reference has no answer, or one that is no good.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import { gunzipSync, inflateSync } from 'node:zlib';

import { Polling, RS, Socket, eioPath } from './lib/eio.mjs';
import { start as startReference } from './lib/reference.mjs';
import { SHARDS, label, reference, roomcastOnly, start, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { RawWs, Wire, request } from './lib/wire.mjs';

const P = eioPath();
const S = eioPath({ sid: 'SID' }); // SID: of a session that was opened for the row
const WS = eioPath({ transport: 'websocket' });
const ORIGIN = 'https://a.example';
const HTML = 'text/html';
const TEXT = 'text/plain; charset=UTF-8';
const JSON_TYPE = 'application/json';
const MSIE = { 'User-Agent': 'Mozilla/4.0 (compatible;MSIE 7.0)' };
const TRIDENT = { 'User-Agent': 'Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like Gecko' };

const get = (path, headers) => ({ path, headers });
const post = (path, body, headers) => ({ method: 'POST', path, body, headers });
const via = (method, path, headers) => ({ method, path, headers });
const upgrade = (path, headers, method) => ({ path, headers, method, upgrade: true });

const MESSAGES = ['Transport unknown', 'Session ID unknown', 'Bad handshake method', 'Bad request', 'Forbidden', 'Unsupported protocol version'];
// What an answer must be; `headers` with null must be absent, and `only` tells that there are no others.
const error = (code, headers = {}) => ({
  status: code === 4 ? 403 : 400,
  headers: { 'content-type': JSON_TYPE, 'cache-control': null, 'x-xss-protection': null, ...headers },
  body: JSON.stringify({ code, message: MESSAGES[code] }),
});
const refused = (code) => ({ status: 400, headers: { 'content-type': HTML, connection: 'close' }, only: true, body: MESSAGES[code] });
const empty = (status) => ({ status, body: '', headers: { 'content-type': null, 'cache-control': null } });
const payload = (body, headers = {}) => ({ status: 200, headers: { 'content-type': TEXT, 'cache-control': 'no-store', ...headers }, body });
const ok = (headers = {}) => ({ status: 200, headers: { 'content-type': HTML, 'cache-control': 'no-store', ...headers }, body: 'ok' });
const OPEN = '0{"sid":"*","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}';
const opened = (headers) => payload(OPEN, headers);

// ---- one exchange ----

function decoded(headers, body) {
  if (headers['content-encoding'] === 'gzip') return gunzipSync(body).toString();
  if (headers['content-encoding'] === 'deflate') return inflateSync(body).toString();
  return body.toString();
}

async function upgraded(server, { path, method = 'GET', headers = {} }) {
  const wire = await Wire.open(server);
  await wire.write(RawWs.handshake(path, { headers }).text.replace(/^GET/, method));
  const r = await wire.response();
  if (r.status === 101) delete r.headers['sec-websocket-accept'];
  wire.destroy();
  return { status: r.status, headers: r.headers, body: r.status === 101 ? '' : r.body };
}

async function exchange(server, spec) {
  if (spec.upgrade) return upgraded(server, spec);
  const { method, path, headers, body } = spec;
  const r = await request(server, { method, path, headers, body, binary: true });
  const about = r.headers;
  if (about['content-length'] !== undefined && method !== 'HEAD') assert.equal(Number(about['content-length']), r.body.length);
  const text = method === 'HEAD' ? '' : decoded(about, r.body);
  return { status: r.status, headers: { ...about }, body: text };
}

const anonymous = (text) => text.replace(/(sid\\?":\\?"|=)[\w-]{20}(?![\w-])/g, '$1*');

// Sends a row's requests one after the other; what comes, without what differs from run to run.
async function exchanges(server, row) {
  let sid = '';
  if (row.steps.some((s) => s.path.includes('SID'))) {
    const r = await request(server, { path: eioPath(row.query) });
    sid = r.body.match(/sid\\?":\\?"([\w-]{20})/)[1];
    const path = eioPath({ sid, ...row.query });
    await request(server, { method: 'POST', path, body: row.query?.j === undefined ? '40' : 'd=40' });
    await request(server, { path });
  }
  const all = [];
  for (const step of row.steps) {
    const r = await exchange(server, { ...step, path: step.path.replace('SID', sid) });
    for (const name of ['date', 'keep-alive', 'transfer-encoding', 'content-length']) delete r.headers[name];
    if (!step.upgrade) delete r.headers.connection;
    for (const [name, value] of Object.entries(r.headers)) r.headers[name] = anonymous(String(value));
    all.push({ ...r, body: anonymous(r.body) });
  }
  return all;
}

function check(row, answers) {
  row.expect.forEach((want, i) => {
    const r = answers[i];
    const what = `${row.name}: answer ${i + 1}`;
    assert.equal(r.status, want.status, what);
    if (want.body !== undefined) assert.equal(r.body, want.body, what);
    for (const [name, value] of Object.entries(want.headers || {})) assert.equal(r.headers[name] ?? null, value, `${what}: ${name}`);
    if (want.only) assert.deepEqual(Object.keys(r.headers).sort(), Object.keys(want.headers).sort(), what);
  });
}

// ---- the table: [name, requests, answers, { query: of the session, ours: header lines }] ----

const HANDSHAKES = [
  ['handshake', [get(P)], [{ ...opened(), headers: { 'content-type': TEXT, 'cache-control': 'no-store' }, only: true }]],
  ['handshake for old Internet Explorers', [get(P, MSIE), get(P, TRIDENT)], [opened({ 'x-xss-protection': '0' }), opened({ 'x-xss-protection': '0' })]],
  ['handshake for other browsers', [get(P, { 'User-Agent': 'MSIE trident' })], [opened({ 'x-xss-protection': null })]],
  ['the last of several values counts', [get(`/socket.io/?EIO=3&transport=tobi&sid=x&EIO=4&transport=polling&sid=`)], [opened()]],
  ['and not the first', [get(`${P}&transport=tobi`), get(`${P}&EIO=3`)], [error(0), error(5)]],
  ['percent signs that escape nothing', [get(`${P}&sid=%zz`), get(`${P}&sid=%`), get(`${P}&t=%&%zz=%4`)], [error(1), error(1), opened()]],
  ['escaped names and values', [get('/socket.io/?%45IO=%34&tr%61nsport=poll%69ng')], [opened()]],
  ['a NUL in a value', [get(`/socket.io/?EIO=4&transport=polling%00`), get(`${P}&sid=%00`)], [error(0), error(1)]],
  ['a sid without a value', [get(`${P}&sid`), get(`${P}&sid=`)], [opened(), opened()]],
  ['semicolons do not part', [get('/socket.io/?EIO=4;transport=polling')], [error(0)]],
  ['deeper paths', [get('/socket.io/x/?EIO=4&transport=polling'), get('/socket.io/../?EIO=4&transport=polling')], [opened(), opened()]],
  ['other paths', ['/socket.io', '/socket.iox/', '/socket.i', '/socket%2eio/', '//socket.io/'].map((p) => get(p + P.slice(11))), Array(5).fill({ status: 404 }), { skipCompare: true }],
];

const ERRORS = [
  ['transports', [get('/socket.io/'), get('/socket.io/?EIO=4'), get(eioPath({ transport: 'tobi' })), get(eioPath({ transport: '' }))], Array(4).fill(error(0))],
  ['transports that objects have', ['__proto__', 'constructor', 'toString', 'webtransport'].map((transport) => get(eioPath({ transport }))), Array(4).fill(error(0))],
  ['sessions that objects have', ['__proto__', 'constructor', 'toString'].map((sid) => get(eioPath({ sid }))), Array(3).fill(error(1))],
  ['transport before everything', [post(eioPath({ transport: 'tobi', sid: 'x', EIO: '3' }), '4')], [error(0)]],
  ['session before method and version', [post(eioPath({ sid: 'x', EIO: '3' }), '4'), via('PUT', eioPath({ sid: 'x' }))], [error(1), error(1)]],
  ['handshakes by other methods', ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'].map((m) => via(m, P)), Array(6).fill(error(2))],
  ['a handshake by HEAD', [via('HEAD', P)], [{ ...error(2), body: '' }]],
  ['method before version', [via('PUT', eioPath({ EIO: '3' }))], [error(2)]],
  ['WebSocket without an upgrade', [get(WS), get(eioPath({ transport: 'websocket', EIO: '3' }))], [error(3), error(3)]],
  ['versions', ['3', '5', '44', '04', '4.0', ' 4', ''].map((EIO) => get(eioPath({ EIO }))), Array(7).fill(error(5))],
  ['no version', [get(eioPath({ EIO: null }))], [error(5)]],
  ['a session by another transport or version', [get(`${S}&transport=websocket`), get(`${S}&EIO=3`), post(`${S}&EIO=3`, '4'), post(S, '421["ask",1]'), get(S)],
    [error(3), error(3), error(3), ok(), payload('431[1]')]],
  ['a session by other methods', [...['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'].map((m) => via(m, S)), post(S, '421["ask",1]'), get(S)],
    [...Array(5).fill(empty(500)), ok(), payload('431[1]')]],
  ['a request that old Internet Explorers get wrong', [get(`${P}&sid=x`, MSIE)], [error(1)]],
];

const BIG = 'x'.repeat(1_000_001);
const SESSIONS = [
  ['POST and poll', [post(S, '421["ask",1]'), get(S)], [ok(), payload('431[1]')]],
  ['POST and poll of an old Internet Explorer', [post(S, '421["ask",1]', TRIDENT), get(S, TRIDENT)], [ok({ 'x-xss-protection': '0' }), payload('431[1]', { 'x-xss-protection': '0' })]],
  ['content types', ['application/json', 'application/octet-stream; x', 'Application/Octet-Stream', 'text/plain'].map((t) => post(S, '3', { 'Content-Type': t })), Array(4).fill(ok())],
  ['octet-stream', [post(S, '3', { 'Content-Type': 'application/octet-stream' }), get(S)], [empty(400), error(1)]],
  ['octet-stream, too big', [post(S, BIG, { 'Content-Type': 'application/octet-stream' }), get(S)], [empty(400), error(1)]],
  ['a body that is too big, and the session goes on', [post(S, BIG), post(S, '421["ask",1]'), get(S)], [empty(413), ok(), payload('431[1]')]],
  ['the same in chunks', [post(S, BIG, { 'Transfer-Encoding': 'chunked' }), post(S, '421["ask",1]'), get(S)], [empty(413), ok(), payload('431[1]')]],
  ['a body that is too big, of a request that is wrong anyway', [post(P, BIG), post(eioPath({ sid: 'x' }), BIG), post(`${S}&EIO=3`, BIG), post(eioPath({ transport: 'tobi' }), BIG), post(S, '421["ask",1]')],
    [error(2), error(1), error(3), error(0), ok()]],
  ['a close packet', [post(S, '1'), get(S), post(S, '3')], [ok(), error(1), error(1)]],
];

// A poll whose body is n bytes long, and what Accept-Encoding makes of it.
const long = (n) => [post(S, `421["ask","${'y'.repeat(n - 7)}"]`), null, `431["${'y'.repeat(n - 7)}"]`];
function compressed(name, header, coding, n = 1024) {
  const [send, , body] = long(n);
  const poll = get(S, header === undefined ? {} : { 'Accept-Encoding': header });
  return [`Accept-Encoding: ${name ?? header}`, [send, poll], [ok({ 'content-encoding': null }), payload(body, { 'content-encoding': coding, vary: null })]];
}
const COMPRESSION = [
  compressed('none at all', undefined, null),
  compressed('nothing in it', '', null),
  ...['identity', 'br', 'x-gzip', 'gzipp', 'gzip;q=0', 'deflate;q=0.0', '*;q=0', 'gzip;q=0, *;q=0', 'gzip;q=0.000', 'gzip;q', 'gzip;q=', 'gzip;q=x', ';q=1', 'gzip x', 'gzip;q=-1'].map((h) => compressed(undefined, h, null)),
  ...['gzip', 'GZIP', 'gzip, deflate, br', 'deflate;q=0.9, gzip', 'deflate;q=0.5,gzip;q=0.6', '*', 'identity, *', 'br, gzip', 'gzip;q=0.001', 'deflate;q=0, *', 'gzip ; q=1', 'gzip;q =0', 'gzip;Q=0',
    'gzip;x=y;q=0.5', 'deflate;q=0.30, gzip;q=0.31', 'gzip;q=2, deflate', 'gzip,', ',gzip', '*;q=0.5, gzip', '*;q=0.9, gzip;q=1', 'gzip;q=1.0;q=0', 'gzip;q=.5', 'deflate;q=0.1234, gzip;q=0.1235', 'gzip;q=0.5abc, deflate;q=0.4',
  ].map((h) => compressed(undefined, h, 'gzip')),
  ...['deflate', 'deflate, gzip', 'gzip;q=0.9, deflate', 'gzip;q=0, *', '*;q=1, gzip;q=0.5', 'gzip, deflate, gzip', 'Deflate', '*;q=0.5, gzip;q=0', 'gzip;q=0.5, *;q=0.7, deflate;q=0.6'].map((h) => compressed(undefined, h, 'deflate')),
  compressed('gzip, one byte too few', 'gzip', null, 1023),
  compressed('gzip, much', 'gzip', 'gzip', 100_000),
  ['errors are not compressed', [get(`${P}&sid=x`, { 'Accept-Encoding': 'gzip' })], [error(1, { 'content-encoding': null })]],
  ['the handshake is too short for it', [get(P, { 'Accept-Encoding': 'gzip' })], [opened({ 'content-encoding': null })]],
  ['two header lines', [long(2000)[0], { ...get(S), headers: { 'Accept-Encoding': ['br', 'deflate'] } }], [ok(), payload(long(2000)[2], { 'content-encoding': 'deflate' })]],
];

// JSONP: j is of the handshake; the requests that follow need not repeat it.
const J = { query: { j: '3' } };
const script = (j, text) => payload(`___eio[${j}](${text});`);
const form = (text) => `d=${encodeURIComponent(text)}`;
const openScript = (j) => script(j, JSON.stringify(OPEN));
const JSONP = [
  ['handshakes', ['0', '12', '', 'a1b2', '../</script>7'].map((j) => get(eioPath({ j }))), ['0', '12', '', '12', '7'].map(openScript)],
  ['j without a value, and twice', [get(`${P}&j`), get(`${P}&j=1&j=2`)], [openScript(''), openScript('2')]],
  ['errors are JSON all the same', [get(`${P}&j=1&sid=x`), post(eioPath({ j: '1' }), 'd=4'), get(eioPath({ j: '1', EIO: '3' }))], [error(1), error(2), error(5)]],
  ['packets', [post(S, form('421["ask",1]')), get(S), post(`${S}&j=9`, form('422["ask",2]')), get(`${S}&j=9`)], [ok(), script(3, '"431[1]"'), ok(), script(3, '"432[2]"')], J],
  ['several packets', [post(S, form(`421["ask","ü👍"]${RS}422["ask",2]`)), get(S)], [ok(), script(3, '"431[\\"ü👍\\"]\\u001e432[2]"')], J],
  ['binary', [post(S, form(`451-["echo",{"_placeholder":true,"num":0}]${RS}b++//`)), get(S)], [ok(), script(3, '"451-[\\"echo\\",{\\"_placeholder\\":true,\\"num\\":0}]\\u001eb++//"')], J],
  ['what a script must not have', [post(S, form('421["ask","\u2028\u2029\u2027\u202a\u007f</script>\\\\ \\" \\t"]')), get(S)],
    [ok(), script(3, JSON.stringify('431["\u2028\u2029\u2027\u202a\u007f</script>\\\\ \\" \\t"]').replace('\u2028', '\\u2028').replace('\u2029', '\\u2029'))], J],
  // A client sends a line feed as \n and \n as \\n.
  ['backslashes before an n', [2, 3, 4, 5].flatMap((n) => [post(S, form(`421["ask","a${'\\'.repeat(n)}nb"]`)), get(S)]),
    [1, 2, 3, 4].flatMap((n) => [ok(), script(3, JSON.stringify(`431["a${'\\'.repeat(n)}nb"]`))]), J],
  ['backslashes before others', [post(S, form('421["ask","\\\\\\\\ \\\\\\"n\\\\"]')), get(S)], [ok(), script(3, JSON.stringify('431["\\\\\\\\ \\\\\\"n\\\\"]'))], J],
  ['line feeds', [post(S, form('421\\n[\\n"ask",1]'))], [ok()], J],
  ['forms with more in them', [post(S, `x=1&${form('421["ask",1]')}&y`), get(S), post(S, '%64=422%5B%22ask%22%2C2%5D'), get(S)], [ok(), script(3, '"431[1]"'), ok(), script(3, '"432[2]"')], J],
  ['plus signs and bad escapes', [post(S, 'd=421["ask","a+b%zz%"]'), get(S)], [ok(), script(3, '"431[\\"a b%zz%\\"]"')], J],
  ['forms without a payload are ignored', [post(S, ''), post(S, 'x=1'), post(S, 'D=4'), post(S, 'd=9&d=9'), post(S, form('421["ask",1]')), get(S)], [ok(), ok(), ok(), ok(), ok(), script(3, '"431[1]"')], J],
  ['a close packet', [post(S, form('1')), get(S)], [ok(), error(1)], J],
  ['compressed, by the length of the script', [post(S, form(`421["ask","${'y'.repeat(1024 - 7 - 16)}"]`)), get(S, { 'Accept-Encoding': 'gzip' }), post(S, form(`421["ask","${'y'.repeat(1024 - 7 - 17)}"]`)), get(S, { 'Accept-Encoding': 'gzip' })],
    [ok(), { ...script(3, `"431[\\"${'y'.repeat(1024 - 7 - 16)}\\"]"`), headers: { 'content-encoding': 'gzip' } }, ok(), { ...script(3, `"431[\\"${'y'.repeat(1024 - 7 - 17)}\\"]"`), headers: { 'content-encoding': null } }], J],
  ['for old Internet Explorers', [get(eioPath({ j: '1' }), MSIE)], [{ ...openScript(1), headers: { 'x-xss-protection': '0', 'content-type': TEXT } }]],
];

const UPGRADES = [
  ['an upgrade', [upgrade(WS)], [{ status: 101, headers: { upgrade: 'websocket', connection: 'Upgrade' }, only: true }]],
  ['upgrades that are refused', [upgrade(eioPath({ transport: 'tobi' })), upgrade(eioPath({ transport: null })), upgrade(eioPath({ transport: 'websocket', sid: 'x' })), upgrade(WS, {}, 'POST')],
    [refused(0), refused(0), refused(1), refused(2)]],
  ['an upgrade of a session by another version', [upgrade(`${S}&transport=websocket&EIO=3`)], [refused(3)]],
];

const BUNDLE = '/socket.io/socket.io.js';
const MAP = '/socket.io/socket.io.min.js.map';
const bundle = (type, headers = {}) => ({
  status: 200,
  headers: { 'content-type': `application/${type}; charset=utf-8`, 'cache-control': 'public, max-age=0', etag: '"4.8.3"', ...headers },
});
const VARY = { ours: { vary: 'Accept-Encoding' } };
const BUNDLES = [
  ['bundles', [get(BUNDLE), get(MAP), get(`${BUNDLE}?x`)], [bundle('javascript', { 'content-encoding': null }), bundle('json'), bundle('javascript')], VARY],
  ['bundles, compressed', [get(BUNDLE, { 'Accept-Encoding': 'gzip' }), get(MAP, { 'Accept-Encoding': 'gzip, deflate' })], [bundle('javascript', { 'content-encoding': 'gzip' }), bundle('json', { 'content-encoding': 'gzip' })], VARY],
  ['bundles by HEAD', [via('HEAD', BUNDLE), via('HEAD', BUNDLE, { 'Accept-Encoding': 'gzip' })], [bundle('javascript', { 'content-encoding': null }), bundle('javascript', { 'content-encoding': 'gzip' })], VARY],
  ['bundles that the client has', ['"4.8.3"', 'W/"4.8.3"'].flatMap((tag) => [get(BUNDLE, { 'If-None-Match': tag }), get(BUNDLE, { 'If-None-Match': tag, 'Accept-Encoding': 'gzip' })]), Array(4).fill({ status: 304, body: '', headers: { 'content-encoding': null } }),
    { ours: { etag: '"4.8.3"', 'cache-control': 'public, max-age=0', ...VARY.ours } }],
  ['bundles that it has of another version', [get(BUNDLE, { 'If-None-Match': '"4.8.2"' })], [bundle('javascript')], VARY],
];

const cors = (extra) => ({ 'access-control-allow-origin': ORIGIN, vary: 'Origin', 'access-control-allow-credentials': null, 'access-control-expose-headers': null, ...extra });
const NO_CORS = { 'access-control-allow-origin': null, vary: null, 'access-control-allow-credentials': null, 'access-control-allow-methods': null };
const FROM = { Origin: ORIGIN };
const from = (Origin) => ({ Origin });
const ASK = { ...FROM, 'Access-Control-Request-Method': 'POST' };
const METHODS = { 'access-control-allow-methods': 'GET,HEAD,PUT,PATCH,POST,DELETE' };
const preflight = (headers) => ({ status: 204, body: '', headers: { 'content-type': null, ...headers } });

// The same exchanges for every setting of CORS, with its header lines.
const corsRows = (headers, asked = {}, wanted = 'Access-Control-Request-Headers') => {
  const vary = [headers.vary, wanted].filter(Boolean).join(', ') || null;
  return [
    ['handshake, poll and POST', [get(P, FROM), post(S, '421["ask",1]', FROM), get(S, FROM)], [opened(headers), ok(headers), payload('431[1]', headers)]],
    ['errors', [get(`${P}&sid=x`, FROM), get('/socket.io/', FROM), via('PUT', P, FROM), get(WS, FROM), get(eioPath({ EIO: '3' }), FROM)], [error(1, headers), error(0, headers), error(2, headers), error(3, headers), error(5, headers)]],
    ['empty errors', [via('PUT', S, FROM), post(S, BIG, FROM), post(S, BIG, { ...FROM, 'Transfer-Encoding': 'chunked' }), post(S, '3', { ...FROM, 'Content-Type': 'application/octet-stream' })], [500, 413, 413, 400].map((s) => ({ status: s, headers }))],
    ['preflight', [via('OPTIONS', P, ASK), via('OPTIONS', S, ASK), via('OPTIONS', '/socket.io/', FROM), via('OPTIONS', BUNDLE, ASK)], Array(4).fill(preflight({ ...headers, ...METHODS, ...asked, vary }))],
    ['preflight that asks for headers', [via('OPTIONS', P, { ...ASK, 'Access-Control-Request-Headers': 'content-type,x-mine' })],
      [preflight({ ...headers, ...METHODS, ...(wanted ? { 'access-control-allow-headers': 'content-type,x-mine' } : {}), ...asked, vary })]],
    ['WebSocket', [upgrade(WS, FROM)], [{ status: 101, headers }]],
    ['WebSocket that is refused', [upgrade(eioPath({ transport: 'tobi' }), FROM)], [refused(0)]],
    ['bundles', [get(BUNDLE, FROM), get(BUNDLE, { ...FROM, 'If-None-Match': '"4.8.3"' })], [{ status: 200 }, { status: 304 }],
      { ours: { vary: [headers.vary, 'Accept-Encoding'].filter(Boolean).join(', ') }, also: { vary: headers.vary }, drop: ['etag', 'cache-control'] }],
  ];
};
const origins = (allowed, not) => ['origins', [...allowed, ...not].map((o) => get(P, from(o))), [...allowed.map((o) => opened(cors({ 'access-control-allow-origin': o }))), ...not.map(() => opened(cors({ 'access-control-allow-origin': null })))]];

const COOKIE = (attributes) => ({ 'set-cookie': `io=*${attributes}` });
const cookieRows = (headers) => [
  ['a cookie with the handshake', [get(P)], [opened(headers)]],
  ['and with nothing else', [get(`${P}&sid=x`), post(S, '421["ask",1]'), get(S), upgrade(WS), via('PUT', P)], [error(1, { 'set-cookie': null }), ok({ 'set-cookie': null }), payload('431[1]', { 'set-cookie': null }), { status: 101, headers: { 'set-cookie': null } }, error(2, { 'set-cookie': null })]],
  ['also by JSONP', [get(eioPath({ j: '1' }))], [{ ...openScript(1), headers }]],
];

const GROUPS = [
  ['handshakes', {}, HANDSHAKES],
  ['errors', {}, ERRORS],
  ['sessions', {}, SESSIONS],
  ['compression', {}, COMPRESSION],
  ['compression from 10 bytes on', { 'socketio.http_compression_threshold': '10' }, [compressed('gzip', 'gzip', 'gzip', 10), compressed('gzip', 'gzip', null, 9), ['the handshake, too', [get(P, { 'Accept-Encoding': 'gzip' })], [opened({ 'content-encoding': 'gzip' })]]]],
  ['no compression', { 'socketio.http_compression': 'no' }, [compressed('gzip', 'gzip', null, 5000)]],
  ['JSONP', {}, JSONP],
  ['upgrades', {}, UPGRADES],
  ['bundles', {}, BUNDLES],
  ['no CORS', {}, [['requests of other pages', [get(P, FROM), via('OPTIONS', P, ASK), upgrade(WS, FROM)], [opened(NO_CORS), error(2, NO_CORS), { status: 101, headers: NO_CORS }]]]],
  ['CORS *', { 'socketio.cors_origin': '*' }, [...corsRows(cors({ 'access-control-allow-origin': '*', vary: null })),
    ['requests without an origin', [get(P), via('OPTIONS', P)], [opened({ 'access-control-allow-origin': '*' }), preflight({ ...METHODS, 'access-control-allow-origin': '*' })]]]],
  ['CORS * with credentials', { 'socketio.cors_origin': '*', 'socketio.cors_credentials': 'yes' }, corsRows(cors({ 'access-control-allow-origin': '*', vary: null, 'access-control-allow-credentials': 'true' }))],
  ['CORS list', { 'socketio.cors_origin': `https://b.example, ${ORIGIN}`, 'socketio.cors_credentials': 'yes' }, [...corsRows(cors({ 'access-control-allow-credentials': 'true' })),
    ['other origins', ['https://evil.example', 'https://a.example.evil.example', 'http://a.example', 'https://a.example:8443', 'HTTPS://A.EXAMPLE', 'null', ''].map((o) => get(P, from(o))),
      Array(7).fill(opened(cors({ 'access-control-allow-origin': null, 'access-control-allow-credentials': 'true' })))],
    ['no origin', [get(P), via('OPTIONS', P)], [opened(cors({ 'access-control-allow-origin': null, 'access-control-allow-credentials': 'true' })), { status: 204, headers: { 'access-control-allow-origin': null } }]]]],
  ['CORS patterns', { 'socketio.cors_origin': 'https://*.example, http://localhost:*, https://x-*.*.test, null' }, [...corsRows(cors({})),
    origins(['https://a.example', 'https://a.b.example', 'http://localhost:1', 'http://localhost:65535', 'https://x-1.a.test', 'https://x-1.b.c.test', 'null'],
      ['https://example', 'https://.example', 'https://example.com', 'https://a.example.com', 'https://a.example:80', 'http://a.example', 'https://evil.com/.example', 'https://evil.com:80.example', 'http://localhost:', 'http://localhost',
        'http://localhost:1/', 'https://x-.test', 'https://x-1.test', 'https://a.example ', 'https://é.example', 'nulls'].filter((o) => !/ $|é/.test(o) && o !== 'https://.example'))]],
  ['CORS keys', { 'socketio.cors_origin': ORIGIN, 'socketio.cors_methods': 'GET, POST', 'socketio.cors_allowed_headers': 'x-a, x-b', 'socketio.cors_exposed_headers': 'x-c,x-d', 'socketio.cors_max_age': '10m' },
    corsRows(cors({ 'access-control-expose-headers': 'x-c,x-d' }), { 'access-control-allow-methods': 'GET,POST', 'access-control-allow-headers': 'x-a,x-b', 'access-control-max-age': '600' }, null)],
  ['cookie', { 'socketio.cookie': 'io' }, cookieRows(COOKIE('; Path=/; HttpOnly; SameSite=Lax'))],
  ['cookie with other attributes', { 'socketio.cookie': 'io', 'socketio.cookie_path': '/a/b', 'socketio.cookie_http_only': 'no', 'socketio.cookie_secure': 'yes', 'socketio.cookie_same_site': 'none' },
    cookieRows(COOKIE('; Path=/a/b; Secure; SameSite=None'))],
  ['cookie with none', { 'socketio.cookie': 'io', 'socketio.cookie_path': '', 'socketio.cookie_http_only': 'no', 'socketio.cookie_same_site': 'off' }, cookieRows(COOKIE(''))],
  ['cookie, strict', { 'socketio.cookie': 'io', 'socketio.cookie_same_site': 'strict' }, cookieRows(COOKIE('; Path=/; HttpOnly; SameSite=Strict'))],
  ['allowed origins', { 'socketio.allow_origin': `${ORIGIN}, https://*.b.example`, 'socketio.cors_origin': '*' }, [
    ['an allowed one', [get(P, FROM), upgrade(WS, FROM), get(P, from('https://x.b.example')), upgrade(WS, from('https://x.b.example'))], [opened(), { status: 101 }, opened(), { status: 101 }]],
    ['none at all', [get(P), upgrade(WS)], [opened(), { status: 101 }]],
    ['another', ['https://evil.example', 'https://b.example', 'null'].flatMap((o) => [get(P, from(o)), upgrade(WS, from(o))]), Array(3).fill([error(4, { 'access-control-allow-origin': '*' }), refused(4)]).flat()],
    ['by JSONP', [get(eioPath({ j: '1' }), from('https://evil.example'))], [error(4)]],
    ['after transport, session and method, before the version', [get('/socket.io/?EIO=4', from('null')), get(`${P}&sid=x`, from('null')), via('PUT', P, from('null')), get(WS, from('null')), get(eioPath({ EIO: '3' }), from('null'))], [error(0), error(1), error(2), error(3), error(4)]],
    ['a session needs no more checks', [post(S, '421["ask",1]', from('null')), get(S, from('null'))], [ok(), payload('431[1]')]],
    ['bundles are for all', [get(BUNDLE, from('null'))], [{ status: 200 }], { ours: { vary: 'Accept-Encoding' } }],
  ]],
  ['no trailing slash', { 'socketio.add_trailing_slash': 'no' }, [
    ['all that begins with the path', ['/socket.io', '/socket.io/', '/socket.io/x', '/socket.iox'].map((p) => get(p + P.slice(11))), Array(4).fill(opened())],
    ['nothing else', [get(`/socket.i${P.slice(11)}`), get(`/x/socket.io${P.slice(11)}`)], Array(2).fill({ status: 404 }), { skipCompare: true }],
    ['upgrades', [upgrade(`/socket.io${WS.slice(11)}`)], [{ status: 101 }]],
    ['bundles', [get(BUNDLE)], [bundle('javascript')], VARY],
  ]],
  ['only polling: an upgrade is a request like others', { 'socketio.transports': 'polling' }, [
    ['requests', [{ ...upgrade(WS) }, { ...upgrade(P) }], [{ status: 400, body: error(0).body }, { status: 200, body: OPEN.replace('"websocket"', '') }], { drop: ['connection'] }],
  ]],
];

function compare(row, own, theirs) {
  const { ours = {}, also = {}, drop = [] } = row;
  own.forEach((r, i) => {
    for (const name of drop) {
      delete r.headers[name];
      delete theirs[i].headers[name];
    }
    for (const [name, value] of Object.entries(ours)) {
      if (r.headers[name] === undefined && theirs[i].headers[name] !== undefined) continue;
      assert.equal(r.headers[name], value, `${row.name}: answer ${i + 1}: ${name}`);
      if (also[name]) r.headers[name] = also[name];
      else if (theirs[i].headers[name] !== value) delete r.headers[name];
    }
    assert.deepEqual(r, theirs[i], `${row.name}: answer ${i + 1} is not the reference's`);
  });
}

for (const [group, options, rows] of GROUPS) {
  describe(`parity: ${group}`, () => {
    const servers = [];
    let npm;
    before(async () => {
      for (const shards of SHARDS) servers.push(await start({ ini: RULES, shards, options }));
      if (!reference) npm = await startReference({ ini: RULES, options });
    });
    after(async () => {
      for (const s of servers) await s.stop();
      await npm?.stop();
    });
    for (const [name, steps, expect, more = {}] of rows) {
      const row = { name, steps, expect, ...more };
      test(name, async () => {
        const theirs = npm && !row.skipCompare && (await exchanges(npm, row));
        for (const [i, server] of servers.entries()) {
          const own = await exchanges(server, row);
          check({ ...row, name: `${name} (${label(SHARDS[i])})` }, own);
          if (theirs) compare(row, own, structuredClone(theirs));
        }
      });
    }
  });
}

// ---- JSONP as a browser does it ----

for (const shards of SHARDS) {
  test(`JSONP: scripts run, and a session moves to WebSocket (${label(shards)})`, async (t) => {
    const server = await startFor(t, { ini: RULES, shards });
    const received = [];
    const poll = async (path) => {
      const r = await request(server, { path });
      assert.equal(r.status, 200, r.body);
      runInNewContext(r.body, { ___eio: { 5: (payload) => received.push(payload) } });
      return received.at(-1);
    };
    const { sid } = JSON.parse((await poll(eioPath({ j: '5' }))).slice(1));
    const send = async (text) => {
      const r = await request(server, { method: 'POST', path: eioPath({ sid, j: '5' }), body: form(text) });
      assert.equal(r.body, 'ok');
    };
    await send('40');
    assert.match(await poll(eioPath({ sid, j: '5' })), /^40\{"sid":/);
    const odd = '42["echo","\u2028\u2029\\"\\\\ </script> ü👍 \\u0001"]';
    await send(odd);
    assert.equal(await poll(eioPath({ sid, j: '5' })), odd);

    const ws = await Socket.open(server, { sid });
    const held = poll(eioPath({ sid, j: '5' }));
    ws.send('2probe');
    assert.equal(await ws.next(), '3probe');
    assert.equal(await held, '6');
    ws.send('5', '421["ask",1]');
    assert.equal(await ws.next(), '431[1]');
    ws.destroy();
  });
}

// ---- roomcast only ----

for (const shards of SHARDS) {
  describe(`not the reference's (${label(shards)})`, roomcastOnly, () => {
    const big = (n) => `431["${'z'.repeat(n - 7)}"]`;

    test('a body of more than 256 KiB goes out plain', async (t) => {
      const server = await startFor(t, { ini: RULES, shards });
      const s = await Polling.open(server, { namespace: '/' });
      for (const [n, coding] of [[256 * 1024, 'gzip'], [256 * 1024 + 1, undefined]]) {
        await s.post(big(n).replace('431[', '421["ask",'));
        const r = await request(server, { path: s.path(), headers: { 'Accept-Encoding': 'gzip' }, binary: true });
        assert.equal(r.headers['content-encoding'], coding);
        assert.equal(decoded(r.headers, r.body), big(n));
      }
    });

    test('many sessions at once are compressed, each its own', async (t) => {
      const server = await startFor(t, { ini: RULES, shards });
      await Promise.all([...Array(24).keys()].map(async (i) => {
        const s = await Polling.open(server, { namespace: '/' });
        for (let k = 0; k < 6; k++) {
          const text = `${i}.${k} `.repeat(300 + 50 * i);
          await s.post(`421["ask","${text}"]`);
          const coding = (i + k) % 2 ? 'gzip' : 'deflate';
          const r = await request(server, { path: s.path(), headers: { 'Accept-Encoding': coding }, binary: true });
          assert.equal(r.headers['content-encoding'], coding);
          assert.equal(decoded(r.headers, r.body), `431["${text}"]`);
        }
      }));
    });

    test('origins of plain endpoints', async (t) => {
      const ini = `${RULES}\n[endpoint /plain]\nprotocol = echo\n`;
      const server = await startFor(t, { ini, shards, options: { 'socketio.allow_origin': `${ORIGIN}, http://localhost:*` } });
      const status = async (headers) => (await upgraded(server, { path: '/plain', headers })).status;
      assert.equal(await status(FROM), 101);
      assert.equal(await status(from('http://localhost:3000')), 101);
      assert.equal(await status({}), 101);
      for (const o of ['https://evil.example', 'null', `${ORIGIN}.evil.example`, 'http://localhost'])
        assert.equal(await status(from(o)), 403, o);
      assert.equal((await request(server, { path: '/plain', headers: from('null') })).status, 426, 'pages may look');
    });

    test('a stock handshake that is refused for its origin leaves nothing behind', async (t) => {
      const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.allow_origin': ORIGIN, 'limits.max_connections': '20' } });
      for (let i = 0; i < 100; i++) {
        assert.equal((await request(server, { path: P, headers: from('null') })).status, 403);
        assert.equal((await upgraded(server, { path: WS, headers: from('null') })).status, 400);
      }
      assert.equal((await request(server, { path: P, headers: FROM })).status, 200);
    });

    test('a preflight with an Upgrade header; other methods for bundles', async (t) => {
      const server = await startFor(t, { ini: RULES, shards, options: { 'socketio.cors_origin': '*' } });
      assert.equal((await upgraded(server, { path: WS, method: 'OPTIONS', headers: ASK })).status, 204);
      const r = await request(server, { method: 'POST', path: BUNDLE });
      assert.deepEqual([r.status, r.body], [400, error(0).body]);
      assert.equal((await request(server, { path: '/socket.io/socket.io.esm.js' })).status, 400);
    });

    test('a body that is too big is not waited for', async (t) => {
      const server = await startFor(t, { ini: RULES, shards });
      const s = await Polling.open(server, { namespace: '/' });
      for (const [path, status] of [[s.path(), 413], [eioPath({ sid: 'x' }), 400], [P, 400], ['/', 405]]) {
        const wire = await Wire.open(server);
        await wire.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\nExpect: 100-continue\r\n\r\n`);
        const r = await wire.response();
        assert.deepEqual([r.status, r.headers.connection], [status, 'close'], path);
        wire.destroy();
      }
      await s.post('421["ask",1]');
      assert.deepEqual(await s.poll(), ['431[1]']);
    });
  });
}
