// Clients of several nodes, roomcast daemons and a Node server, that say the same things in the same words, and
// what they must have heard of each other: whatever it is that joins the nodes.
//
//   const nodes = { one, four, node };       // started with INI, the Node server with NODE_SERVER
//   const all = await crowd(nodes, '/chat'); // one0, one1, four0, ...: s.name, s.at, s.box
//   await ask(all[0], 'room', 'lobby', 'hello');
//   (await heard(all)).four1                 // [['hello']], if it is in that room
import assert from 'node:assert/strict';

import { ask, connect, inbox } from './client.mjs';
import { until } from './wait.mjs';

export const NAMESPACES = ['/', '/chat', '/tenant-7'];

const rules = (nsp) => `
[event ${nsp} join]
join = {1}
[event ${nsp} leave]
leave = {1}
[event ${nsp} all]
emit = all: said {args}
[event ${nsp} others]
emit = all except sender: said {args}
[event ${nsp} room]
emit = room {1}: said {2..}
[event ${nsp} roomOthers]
emit = room {1} except sender: said {2..}
[event ${nsp} rooms]
emit = rooms {1}: said {2..}
[event ${nsp} but]
emit = rooms {1} except rooms {2}: said {3..}
[event ${nsp} allBut]
emit = all except room {1}: said {2..}
[event ${nsp} flash]
emit = volatile room {1}: said {2..}
[event ${nsp} to]
emit = socket {1}: said {2..}
`;
export const INI = ['/', '/chat', '/tenant-*'].map(rules).join('');

// The same for the Node server.
export function install(socket, nsp) {
  const on = (event, run) =>
    socket.on(event, (...args) => {
      const done = typeof args.at(-1) === 'function' ? args.pop() : () => {};
      run(...args);
      done({ ok: true });
    });
  on('join', (room) => socket.join(room));
  on('leave', (room) => socket.leave(room));
  on('all', (...args) => nsp.emit('said', ...args));
  on('others', (...args) => socket.broadcast.emit('said', ...args));
  on('room', (room, ...args) => nsp.to(room).emit('said', ...args));
  on('roomOthers', (room, ...args) => socket.to(room).emit('said', ...args));
  on('rooms', (rooms, ...args) => nsp.to(rooms).emit('said', ...args));
  on('but', (rooms, except, ...args) => nsp.to(rooms).except(except).emit('said', ...args));
  on('allBut', (room, ...args) => nsp.except(room).emit('said', ...args));
  on('flash', (room, ...args) => nsp.to(room).volatile.emit('said', ...args));
  on('to', (id, ...args) => nsp.to(id).emit('said', ...args));
}
export const NODE_SERVER = { namespaces: ['/chat', /^\/tenant-\d+$/], install };

// Clients of every node, each with an inbox. Every node's messages reach every other one.
export async function crowd(nodes, nsp, each = 2) {
  const all = [];
  for (const [at, node] of Object.entries(nodes))
    for (let i = 0; i < each; i++) {
      const socket = await connect(node, { nsp, transports: ['websocket'] });
      all.push(Object.assign(socket, { at, name: `${at}${i}`, box: inbox(socket) }));
    }
  await settle(all);
  return all;
}

let marks = 0;
// A message of each node has come to all, so that nothing is on its way between them any more.
export async function settle(all) {
  const firsts = all.filter((s, i) => all.findIndex((other) => other.at === s.at) === i);
  for (const from of firsts) {
    const mark = `mark ${++marks}`;
    await until(`${mark} of ${from.name}`, async () => {
      await ask(from, 'all', mark); // again and again: a node may not have subscribed, or read anything, yet
      return until('everybody has it', () => all.every((s) => s.box.some((m) => m[1] === mark)), 500).catch(() => false);
    }, 30_000);
  }
}

export const texts = (s) => s.box.filter((m) => !String(m[1]).startsWith('mark ')).map((m) => m.slice(1));

// What has come to whom until everything has settled.
export async function heard(all) {
  await settle(all);
  return Object.fromEntries(all.map((s) => [s.name, texts(s)]));
}

// cases: [event and arguments, names of those whom the last argument reaches]. Each of them is said by one.
export async function exchange(all, from, cases) {
  for (const s of all) s.box.length = 0;
  for (const [args] of cases) await ask(from, ...args);
  const got = await heard(all);
  for (const s of all) {
    const expected = cases.filter(([, who]) => who.includes(s.name)).map(([args]) => [args.at(-1)]);
    assert.deepEqual(got[s.name], expected, `from ${from.name} to ${s.name}`);
  }
}

const PAYLOADS = [
  ['plain'],
  ['ünïcödé ☃ 𝄞 \u0000 "quoted" \\ \u2028'],
  [0, -1, 1.5, 127, 128, 65536, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, 0.1 + 1e9, -0.1],
  [null, true, false, [], {}, [[[]]], { a: { b: [1, { c: null }] } }],
  [Buffer.from([0, 1, 255])],
  [Buffer.from([0, 1, 255]), -1, 1.5, 127, 128, 65536, 2 ** 31, -(2 ** 31) - 1, 2 ** 53 - 1, null, { ü: [true] }],
  [{ deep: [Buffer.alloc(300, 7), { more: Buffer.alloc(0) }] }, 'and', Buffer.from('text')],
  [{ _placeholder: 'no', num: 0 }],
  ['x'.repeat(70_000)],
  [Buffer.alloc(70_000, 5)],
  [Array.from({ length: 70 }, (_, i) => ({ [`key ${i}`]: i }))],
];

// Payloads arrive as they were sent.
export async function exchangePayloads(all) {
  for (const s of all) await ask(s, 'join', 'payloads');
  for (const from of all) {
    for (const s of all) s.box.length = 0;
    for (const args of PAYLOADS) await ask(from, 'room', 'payloads', ...args);
    const got = await heard(all);
    for (const s of all) assert.deepEqual(got[s.name], PAYLOADS, `from ${from.name} to ${s.name}`);
  }
}

// ---- what the Node server, io its namespace, asks of all nodes ----

const parity = (s) => (s.name.endsWith('0') ? 'even' : 'odd');
const ids = (sockets) => sockets.map((s) => s.id).sort();

// fetchSockets, socketsJoin, socketsLeave. Afterwards each is in the room "even" or "odd", the even ones in "more".
export async function fetchAndMove(io, all) {
  for (const s of all) await ask(s, 'join', parity(s));
  const fetched = await io.fetchSockets();
  assert.deepEqual(ids(fetched), ids(all));
  for (const f of fetched) {
    const s = all.find((one) => one.id === f.id);
    assert.deepEqual([...f.rooms].sort(), [s.id, parity(s)].sort(), s.name);
    assert.match(f.handshake.address, /127\.0\.0\.1/);
  }
  const odd = all.filter((s) => parity(s) === 'odd');
  assert.deepEqual(ids(await io.in('odd').except(odd[0].id).fetchSockets()), ids(odd.slice(1)));

  // What is said to a room at once is heard by those who have just joined it. (Not so on the Node server
  // itself: its clients are told before its own request comes back from Redis.)
  for (const s of all) s.box.length = 0;
  for (let i = 0; i < 20; i++) {
    io.in('even').socketsJoin([`both ${i}`, 'more']);
    io.to(`both ${i}`).emit('said', i);
    io.in('even').socketsLeave(`both ${i}`);
    io.to(`both ${i}`).emit('said', 'nobody');
  }
  const got = await heard(all);
  for (const s of all.filter((s) => s.at !== 'node'))
    assert.deepEqual(got[s.name], parity(s) === 'even' ? Array.from({ length: 20 }, (_, i) => [i]) : [], s.name);
}

// Broadcasts with acknowledgements. All answer the event "question" from then on; answers(who, ...got) is what
// comes of that, in the order of their names.
export async function question(io, all) {
  for (const s of all) {
    await ask(s, 'join', parity(s));
    s.on('question', (...args) => args.at(-1)({ from: s.name, got: args.slice(0, -1), bin: Buffer.from(s.name) }));
  }
  const sorted = (list) => list.sort((a, b) => (a.from < b.from ? -1 : 1));
  const answers = (who, ...got) => sorted(who.map((s) => ({ from: s.name, got, bin: Buffer.from(s.name) })));
  assert.deepEqual(sorted(await io.timeout(20_000).emitWithAck('question', 'ü', 7)), answers(all, 'ü', 7));
  assert.deepEqual(
    sorted(await io.in('odd').timeout(20_000).emitWithAck('question', Buffer.from([1, 2]))),
    answers(all.filter((s) => parity(s) === 'odd'), Buffer.from([1, 2])),
  );
  return answers;
}
