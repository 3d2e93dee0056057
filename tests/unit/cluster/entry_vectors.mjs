// Writes entry_vectors.inc: what @socket.io/redis-streams-adapter puts into the stream, and what it publishes.
//
//   node tests/unit/cluster/entry_vectors.mjs >tests/unit/cluster/entry_vectors.inc
//
// kind 3: data of a broadcast; text and attachments: the packet as socket.io-parser writes it. Others: requests, with the
// type before the data where they are in the stream, in hex where they are published. Then id, rooms, except, the rooms
// to join or leave, volatile or close. exact: our bytes of the same message are equal.
import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Encoder } from 'socket.io-parser';

let entry, published;
const client = {
  duplicate: () => client,
  connect: async () => {},
  on() {},
  disconnect() {},
  sSubscribe() {},
  subscribe() {},
  sendCommand: async () => ['', 3],
  xRead: () => new Promise(() => {}),
  xAdd: async (stream, id, payload) => ((entry = payload), '1-1'),
  publish: async (channel, payload) => (published = { channel, payload }),
};
const encoder = { encode: () => [] };

function adapter(nsp) {
  const a = createAdapter(client)({ name: nsp, server: { encoder, opts: {} }, sockets: new Map() });
  a.uid = 'aB3-_9';
  return a;
}

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const cString = (text) => '"' + [...Buffer.from(text)].map((b) => (b < 32 || b > 126 || b === 34 || b === 92 || b === 63 ? `\\${b.toString(8).padStart(3, '0')}` : String.fromCharCode(b))).join('') + '"';
const list = (names) => [...names].map((n) => `${n}\n`).join('');

function write(kind, nsp, bytes, { text = '', attachments = [], id = '', rooms = [], except = [], moved = [], flag = false, exact = false }) {
  const fields = [nsp, bytes, text, attachments.map((a) => hex(a) + ',').join(''), id, list(rooms), list(except), list(moved)];
  console.log(`{${kind}, ${fields.map(cString).join(',\n ')},\n ${flag}, ${exact}},`);
}

async function broadcast(nsp, data, { rooms = [], except = [], flags = {} } = {}, exact = true) {
  await adapter(nsp).broadcast({ type: 2, data: structuredClone(data) }, { rooms: new Set(rooms), except: new Set(except), flags });
  const [text, ...attachments] = new Encoder().encode({ type: 2, data: structuredClone(data), nsp });
  write(3, nsp, entry.data, { text, attachments, rooms, except, flag: !!flags.volatile, exact: exact && attachments.length === 0 });
}

console.log('/* Made by entry_vectors.mjs: do not edit. */');
const buffer = (n) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7) & 0xff));
await broadcast('/', ['e']);
await broadcast('/', ['e', 1, 'two', null], { rooms: ['lobby'] });
await broadcast('/chat', ['e', { a: [1, { b: true }] }], { rooms: ['a', 'b', 'räum #1', '"\\\u0001'], except: ['c', 'y8xLyCDlBLlVEmJ3AAAB'] });
await broadcast('/', ['e'], { except: ['y8xLyCDlBLlVEmJ3AAAB'], flags: { volatile: true } });
await broadcast('/', ['e', buffer(3)], { rooms: ['lobby'] });
await broadcast('/chat', ['e', { x: [buffer(0), 'y', { z: buffer(300) }] }, buffer(70000).subarray(0, 256)], { except: ['c'], flags: { volatile: true } });
await broadcast('/', ['e', ...[0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1], buffer(1)]);
await broadcast('/', ['e', ...[-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, 0.5, -1.25e-7], buffer(1)]);
await broadcast('/', ['e', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(256), '\u0000"\\\u2028𝄞']);
await broadcast('/tenant-7', ['ünïcödé'], { rooms: Array.from({ length: 20 }, (_, i) => `room ${i}`) });
await broadcast('/', [7, 'an event that is a number']);
await broadcast('/', ['e', { _placeholder: 'no', num: 0 }]);
await broadcast('/', ['e', new Date(1700000000123), { b: 1 }], { flags: { timeout: 5, compress: false } }, false);
await broadcast('/', ['e', new Date(0), new Date(1700000000123), new Date(-1), buffer(1)], {}, false);

const opts = { rooms: new Set(['a', 'räum']), except: new Set(['c']), flags: {} };
const about = { rooms: opts.rooms, except: opts.except };
await adapter('/').addSockets(opts, ['x', 'y']);
write(4, '/', entry.type + entry.data, { ...about, moved: ['x', 'y'] });
await adapter('/').delSockets(opts, ['x']);
write(5, '/', entry.type + entry.data, { ...about, moved: ['x'] });
await adapter('/').disconnectSockets(opts, true);
write(6, '/', entry.type + entry.data, { ...about, flag: true });
await adapter('/').disconnectSockets(opts, false);
write(6, '/', entry.type + entry.data, about);

const passing = async (kind, nsp, run, more = {}) => {
  const a = adapter(nsp);
  published = undefined;
  run(a);
  while (!published) await new Promise((r) => setTimeout(r, 1));
  const [id = ''] = [...a.requests.keys(), ...a.ackRequests.keys()];
  if (published.channel !== `socket.io#${nsp}#`) throw new Error(published.channel);
  write(kind, nsp, hex(published.payload), { id, ...more });
};
await passing(7, '/chat', (a) => a.fetchSockets(opts).catch(() => {}), about);
await passing(9, '/', (a) => a.serverSideEmit(['hello', 1]));
await passing(9, '/', (a) => a.serverSideEmit(['hello', 1, () => {}]));
const [text, ...attachments] = new Encoder().encode({ type: 2, data: ['question', buffer(2), 'ü'], nsp: '/chat' });
await passing(30, '/chat', (a) => a.broadcastWithAck({ type: 2, data: ['question', buffer(2), 'ü'] }, { ...opts, flags: { timeout: 1 } }, () => {}, () => {}), { ...about, text, attachments });
process.exit(0);
