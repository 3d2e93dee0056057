// Users who write and read all the time, and remember what they were told: for the tests of what a
// store keeps when something else does not. They come back by themselves after every cut.
//
// Every other message goes to a room, the others to one user. A faithful writer gives its messages
// client ids and repeats, in order, what was not acknowledged; another one lets go of it.
import { io } from 'socket.io-client';

import { OWN_CONNECTION } from './sockets.mjs';
import { as } from './store.mjs';
import { until } from './wait.mjs';

// The rules that they need.
export const INI = `
[event join]
join = {1}
[event say]
store = room {1} once {2}: said {user} {3} {message.id}
[event mutter]
store = room {1}: said {user} {2} {message.id}
[event message]
message = {1}
[event past]
history = room {1} {2}
[event echo]
ack = {args}
`;

const RETRY = 30; // ms after a refusal

export class Writer {
  constructor(url, { user, room, to, faithful = true, window = 4, transports = ['websocket'] }) {
    Object.assign(this, { user, room, to, faithful, window });
    this.writing = true;
    this.ready = false; // connected, in the room, and with what was said meanwhile
    this.count = 0;
    this.pending = []; // not acknowledged, in order: { n, sent, refused }
    this.acked = new Map(); // n: the answer
    this.given = new Map(); // n: the last error; only of those that let go
    this.refusals = []; // [error, …] of all
    this.trusted = false; // a first message of this connection was taken
    this.heard = new Map(); // id: text, of the room
    this.complete = 0; // there is no gap up to this id
    this.told = new Map(); // id: text, of private messages
    this.faults = [];
    this.socket = io(url, {
      ...OWN_CONNECTION, ...as(user), transports, reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 60,
    });
    this.socket.on('connect', () => this._guard(this._enter()));
    this.socket.on('disconnect', () => (this.ready = false));
    this.socket.on('said', (user, text, id) => this._live(this.heard, 'lastHeard', id, text));
    this.socket.on('message', (m) => this._live(this.told, 'lastTold', m.id, m.content));
    this.socket.connect();
  }

  _guard(promise) {
    promise.catch((e) => this.faults.push(e.message));
  }

  _ask(...args) {
    const { id } = this.socket;
    return new Promise((done) => this.socket.emit(...args, (answer) => this.socket.id === id && done(answer)));
  }

  // In one connection each message comes once, and ids only rise.
  _live(to, last, id, text) {
    if (!(id > this[last])) this.faults.push(`${this.user}: ${last} ${this[last]}, and then ${id}`);
    this[last] = id;
    to.set(id, text);
    if (this.ready && to === this.heard) this.complete = id;
  }

  async _enter() {
    this.lastHeard = this.lastTold = 0;
    this.trusted = false;
    this.step = 'join';
    const { ok } = await this._ask('join', this.room);
    this.step = 'past';
    if (!ok) throw new Error(`${this.user} could not join`);
    for (let more = true; more; ) {
      const page = await this._ask('past', this.room, { after: this.complete });
      if (!page.ok) {
        await new Promise((r) => setTimeout(r, RETRY));
        continue;
      }
      for (const row of page.messages) this.heard.set(row.id, row.content[1]);
      this.complete = page.messages.at(-1)?.id ?? this.complete;
      more = page.more;
    }
    this.step = 'writing';
    this.ready = true;
    this.complete = Math.max(this.complete, this.lastHeard);
    if (!this.faithful) this._letGo('cut');
    for (const item of this.pending) item.sent = false;
    this._pump();
  }

  _letGo(why) {
    for (const item of this.pending.splice(0)) this.given.set(item.n, why);
  }

  // One at a time until the first is taken: nothing may overtake one that is refused.
  _pump() {
    if (!this.ready || this.waiting) return;
    const width = this.trusted ? this.window : 1;
    while (this.writing && this.pending.length < width) this.pending.push({ n: ++this.count, sent: false });
    for (const item of this.pending.slice(0, width)) if (!item.sent) this._send(item);
  }

  _send(item) {
    item.sent = true;
    const { id } = this.socket;
    const text = `${this.user}:${item.n}`;
    const clientId = this.faithful ? text : undefined;
    const answered = (answer) => this.socket.id === id && this._answer(item, answer);
    if (item.n % 2)
      this.socket.emit(
        'message',
        { conversationType: 'private', senderId: 'nobody', receiverId: this.to, content: text, clientId },
        answered,
      );
    else if (this.faithful) this.socket.emit('say', this.room, text, text, answered);
    else this.socket.emit('mutter', this.room, text, answered);
  }

  _answer(item, answer) {
    if (answer.ok) {
      this.pending.splice(this.pending.indexOf(item), 1);
      this.acked.set(item.n, answer);
      this.trusted = true;
      this._pump();
      return;
    }
    this.refusals.push(answer.error);
    this.trusted = false;
    if (this.faithful) {
      item.sent = false;
    } else {
      this.pending.splice(this.pending.indexOf(item), 1);
      this.given.set(item.n, answer.error);
    }
    this.waiting ??= setTimeout(() => {
      this.waiting = null;
      this._pump();
    }, RETRY);
  }

  // Stops, and waits until nothing is open. A faithful one has everything acknowledged then.
  async finish(ms = 20_000) {
    this.writing = false;
    await until('all answers', () => this.ready && this.pending.length === 0, ms).catch(() => {
      throw new Error(`${this.user} has no end: ${this.state()}`);
    });
  }

  // For messages about what went wrong.
  state() {
    const { connected, io } = this.socket;
    const { transport, upgrading, readyState } = io.engine ?? {};
    return JSON.stringify({
      connected, readyState, upgrading, transport: transport?.name, ready: this.ready, trusted: this.trusted,
      step: this.step, pending: this.pending, acked: this.acked.size, refused: this.refusals.slice(-3), faults: this.faults,
    });
  }

  close() {
    clearTimeout(this.waiting);
    this.socket.disconnect();
    this.socket.io._close();
  }
}

// n users in rooms, each of whom writes to the next one; every fourth is not faithful.
export function writers(url, n, { prefix = '', ...options } = {}) {
  const transports = [['websocket'], ['polling', 'websocket'], ['polling']];
  return [...Array(n)].map(
    (_, i) =>
      new Writer(url, {
        user: `${prefix}user${i}`, room: `${prefix}room${i % 3}`, to: `${prefix}user${(i + 1) % n}`, faithful: i % 4 !== 3,
        transports: transports[i % 3], ...options,
      }),
  );
}

export const acks = (all) => all.reduce((sum, w) => sum + w.acked.size, 0);

const ROWS = `SELECT id, conversation_type AS type, sender_id AS sender, receiver_id AS receiver,
  content, client_id FROM message ORDER BY id`;

function rowFaults(w, rows) {
  const faults = [];
  const mine = rows.filter((row) => row.sender === w.user);
  const numbers = mine.map((row) => Number(/:(\d+)/.exec(row.content)[1]));
  const found = new Map(numbers.map((n, i) => [n, Number(mine[i].id)]));
  const twice = numbers.filter((n, i) => numbers.indexOf(n) !== i);
  if (twice.length) faults.push(`${w.user}: stored twice: ${twice}`);
  const late = numbers.filter((n, i) => i > 0 && n < numbers[i - 1]);
  if (late.length) faults.push(`${w.user}: out of order: ${late}`);
  for (const [n, ack] of w.acked)
    if (found.get(n) !== ack.id) faults.push(`${w.user}: ${n} was acked as ${ack.id}, is ${found.get(n)}`);
  const wanted = w.faithful ? [...Array(w.count).keys()].map((i) => i + 1) : [];
  const lost = wanted.filter((n) => !found.has(n));
  if (lost.length) faults.push(`${w.user}: lost in spite of repetition: ${lost}`);
  for (const [n, error] of w.given)
    if (!['cut', 'store_unknown'].includes(error) && found.has(n))
      faults.push(`${w.user}: ${n} was refused by ${error}, and stored as ${found.get(n)}`);
  return faults;
}

function missing(w, rows) {
  const here = (row) => row.type === 'room' && row.receiver === w.room && !w.heard.has(Number(row.id));
  const private_ = (row) => row.type === 'private' && row.receiver === w.user && !w.told.has(Number(row.id));
  return rows.filter((row) => here(row) || private_(row)).map((row) => row.id);
}

function strangers(w, rows) {
  const ids = new Set(rows.map((row) => Number(row.id)));
  return [...w.heard.keys(), ...w.told.keys()].filter((id) => !ids.has(id));
}

// After finish(): each message is there as often as it should be, in its sender's order, and has
// reached everybody whom it was for. Returns how many there are.
export async function verify(store, all) {
  const rows = await store.rows(ROWS);
  const faults = all.flatMap((w) => [...w.faults, ...rowFaults(w, rows)]);
  await until('all have everything', () => all.every((w) => missing(w, rows).length === 0), 15_000).catch(() => {
    for (const w of all) if (missing(w, rows).length) faults.push(`${w.user} has not got ${missing(w, rows)}`);
  });
  for (const w of all) if (strangers(w, rows).length) faults.push(`${w.user} got what is not stored: ${strangers(w, rows)}`);
  if (faults.length) throw new Error(faults.slice(0, 40).join('\n'));
  return rows.length;
}
