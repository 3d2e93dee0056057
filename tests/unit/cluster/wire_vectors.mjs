// Writes wire_vectors.inc: what @socket.io/redis-adapter and @socket.io/redis-emitter publish.
//
//   node tests/unit/cluster/wire_vectors.mjs >tests/unit/cluster/wire_vectors.inc
//
// payload: the bytes; text and attachments: the packet as socket.io-parser writes it; then rooms, except
// and volatile. exact: our bytes of the same message are equal.
import { createAdapter } from '@socket.io/redis-adapter';
import { Emitter } from '@socket.io/redis-emitter';
import { Encoder } from 'socket.io-parser';

let published;
const client = { publish: (channel, payload) => (published = { channel, payload }), subscribe() {}, psubscribe() {}, on() {} };
const encoder = { encode: () => [] };

function adapter(nsp) {
  const a = createAdapter(client, client)({ name: nsp, server: { encoder }, sockets: new Map() });
  a.uid = 'aB3-_9';
  return a;
}

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const cString = (text) => '"' + [...Buffer.from(text)].map((b) => (b < 32 || b > 126 || b === 34 || b === 92 || b === 63 ? `\\${b.toString(8).padStart(3, '0')}` : String.fromCharCode(b))).join('') + '"';
const list = (names) => [...names].map((n) => `${n}\n`).join('');

function write(nsp, data, opts, exact) {
  const [text, ...attachments] = new Encoder().encode({ type: 2, data: structuredClone(data), nsp });
  const fields = [published.channel, hex(published.payload), text, attachments.map((a) => hex(a) + ',').join(''), list(opts.rooms), list(opts.except)];
  console.log(`{${fields.map(cString).join(',\n ')},\n ${!!opts.flags.volatile}, ${exact}},`);
}

function broadcast(nsp, data, { rooms = [], except = [], flags = {} } = {}, exact = true) {
  const opts = { rooms: new Set(rooms), except: new Set(except), flags };
  adapter(nsp).broadcast({ type: 2, data: structuredClone(data) }, opts);
  write(nsp, data, opts, exact);
}

console.log('/* Made by wire_vectors.mjs: do not edit. */');
const buffer = (n) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7) & 0xff));
const map = (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`k${i}`, i]));
broadcast('/', ['e']);
broadcast('/', ['e', 1, 'two', null], { rooms: ['lobby'] });
broadcast('/chat', ['e', { a: [1, { b: true }] }], { rooms: ['a', 'b', 'räum #1'], except: ['c', 'y8xLyCDlBLlVEmJ3AAAB'] });
broadcast('/', ['e'], { except: ['y8xLyCDlBLlVEmJ3AAAB'], flags: { volatile: true } });
broadcast('/', ['e', buffer(3)], { rooms: ['lobby'] });
broadcast('/', ['e', { x: [buffer(0), 'y', { z: buffer(300) }] }, buffer(70000).subarray(0, 256)]);
broadcast('/', ['e', ...[0, 1, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]]);
broadcast('/', ['e', ...[-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31), -(2 ** 31) - 1, 0.5, -1.25e-7]]);
broadcast('/', ['e', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(255), 'x'.repeat(256), '\u0000"\\\u2028𝄞']);
broadcast('/', ['e', Array(15).fill(1), Array(16).fill(1), map(15), map(16), {}, []]);
broadcast('/tenant-7', ['ünïcödé'], { rooms: Array.from({ length: 20 }, (_, i) => `room ${i}`) });
broadcast('/', [7, 'an event that is a number']);
broadcast('/', ['e', { _placeholder: 'no', num: 0 }]);
// What is not ours to write.
broadcast('/', ['e'], { rooms: [1, -2, 3.5].slice(0, 2), flags: { compress: true } }, false);
broadcast('/', ['e', new Date(0), new Date(1700000000123), new Date(-1), new Date(1e14), { a: undefined, b: 1 }], { flags: { timeout: 5, compress: false } }, false);
const emitter = new Emitter(client);
emitter.to(['a', 'b']).except('c').volatile.emit('e', buffer(2));
write('/', ['e', buffer(2)], { rooms: ['a', 'b'], except: ['c'], flags: { volatile: true } }, false);
emitter.of('chat').to('only').emit('e');
write('/chat', ['e'], { rooms: ['only'], except: [], flags: {} }, false);
