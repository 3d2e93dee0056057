// Writes msgpack_vectors.inc: packets as the npm packages of both parsers have them.
//
//   node tests/unit/proto/msgpack_vectors.mjs >tests/unit/proto/msgpack_vectors.inc
//
// sent: bytes of a client with socket.io-msgpack-parser; text and attachments: the same packet as
// socket.io-parser writes it after they were read; back: that, read, as the msgpack parser writes
// it. Left out are integers over 2^53, of which we keep all digits, and from 2^64 on, which
// notepack writes wrongly.
import msgpack from 'socket.io-msgpack-parser';
import * as json from 'socket.io-parser';

const buffer = (n) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 7) & 0xff));
const map = (n) => Object.fromEntries(Array.from({ length: n }, (_, i) => ['k' + i, i]));
const arrayBuffer = (n) => {
  const b = buffer(n);
  return b.buffer.slice(b.byteOffset, b.byteOffset + n);
};

let seed = 0x2545f491;
function randomDouble() {
  const view = new DataView(new ArrayBuffer(8));
  for (const at of [0, 4]) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    view.setUint32(at, seed);
  }
  return view.getFloat64(0);
}

const integers = [0, 7, 8, 15, 16, 31, 32].flatMap((bits) =>
  [-1, 0, 1].map((d) => 2 ** bits + d)).concat(2 ** 52, 2 ** 53 - 1, 2 ** 53);
const fractions = [0.1, 0.1 + 0.2, 1 / 3, 4.35, 1e-6, 1e-7, 123456.789e-12, 5e-324, 2 ** -1022,
  Math.PI, 1.5e-300, ...Array.from({ length: 50 }, (_, i) => 2 ** -(i * 20 + 4)),
  ...Array.from({ length: 100 }, randomDouble)].filter((v) => !Number.isInteger(v));
const strings = ['', 'a', '"\\/\b\f\n\r\t\u0000\u001f\u007f', 'äöü€', '👩‍👩‍👧', '\u2028\u2029', '{"a":1}',
  ...[31, 32, 33, 255, 256, 300].map((n) => 'x'.repeat(n)), 'é'.repeat(16), '👩'.repeat(40)];
const values = [
  null, true, false, undefined, NaN, Infinity, -Infinity, -0,
  ...integers, ...integers.map((v) => -v), ...fractions, ...strings,
  [], {}, [[]], [{}], { a: {} }, [1, 'a', null, [2.5, { b: [] }]], [undefined, 1],
  { a: undefined, b: 1, c: undefined, d: { e: undefined } }, { '': 0, '"': 1, 'ä': 2, 7: 3 },
  ...[15, 16, 17].flatMap((n) => [Array(n).fill(n), map(n)]),
  new Date(0), new Date(-1), new Date(1705901609985), new Date(8.64e15), new Date(-8.64e15),
  { at: new Date(951782399999) },
  ...[0, 1, 2, 7, 8, 9, 255, 256].flatMap((n) => [buffer(n), arrayBuffer(n)]),
  [buffer(1), { b: buffer(2), c: [arrayBuffer(3)] }, 'x', buffer(0)],
  { _placeholder: true, num: 0 }, { _placeholder: true }, { num: 1 },
];

const packets = [
  { type: 0, nsp: '/' }, { type: 0, data: undefined, nsp: '/' },
  { type: 0, data: { token: 'x', n: 1 }, nsp: '/chat' },
  { type: 1, nsp: '/' }, { type: 1, nsp: '/chat' },
  { type: 2, data: ['e'], options: { compress: true }, id: 0, nsp: '/' },
  { type: 2, data: ['e'], options: { compress: true }, id: 2 ** 53 - 1, nsp: '/chat' },
  { type: 2, data: [7, 'x'], id: undefined, nsp: '/' },
  { type: 3, id: 12, data: [], nsp: '/' },
  { type: 3, id: 12, data: [{ a: buffer(3) }, null], nsp: '/chat' },
  ...values.map((v) => ({ type: 2, data: ['e', v], options: { compress: true }, nsp: '/' })),
];

function read(decoder, parts) {
  let packet;
  decoder.on('decoded', (p) => (packet = p));
  for (const p of parts) decoder.add(p);
  return packet;
}
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const quote = (s) => '"' + [...Buffer.from(s)].map((c) => {
  if (c < 0x20 || c > 0x7e || c === 0x3f) return '\\' + c.toString(8).padStart(3, '0');
  return (c === 0x22 || c === 0x5c ? '\\' : '') + String.fromCharCode(c);
}).join('') + '"';

console.log('/* Made by msgpack_vectors.mjs: do not edit. {sent, text, attachments, back}, in hex but for the text. */');
for (const packet of packets) {
  const [sent] = new msgpack.Encoder().encode(packet);
  const decoded = read(new msgpack.Decoder(), [sent]);
  delete decoded.options; // the server reads it, no packet of its own has it
  const [text, ...attachments] = new json.Encoder().encode(decoded);
  const { type, data, id, nsp } = read(new json.Decoder(), [text, ...attachments.map((a) => Buffer.from(a))]);
  const head = type === 3 || type === 6 ? { id, type: 3, data } : { type: type % 3 === 2 ? 2 : type, data, id };
  for (const key of Object.keys(head)) if (head[key] === undefined) delete head[key];
  const [back] = new msgpack.Encoder().encode({ ...head, nsp });
  console.log(`{"${hex(sent)}",\n ${quote(text)},\n "${attachments.map(hex).join(' ')}",\n "${hex(back)}"},`);
}
