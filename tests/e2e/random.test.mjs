// 100 clients join, leave, send and reconnect at random; a model tells who must get a message,
// who may, and who must not. ROOMCAST_SEED repeats a run.
//
// Time is a counter in this process. A message was published between the moment it was sent and
// the moment at which the monitor, a member of every room throughout, has seen it. A client
//   must get it   when its join was acknowledged before it was sent, and it asked to leave (if
//                 at all) only after the monitor had seen it;
//   may get it    when it might have been a member in between;
//   and else must not; nobody gets anything twice, and all see a room's messages in one order.
import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';

import { ask, client, closeAll, connected } from './lib/client.mjs';
import { random } from './lib/random.mjs';
import { SHARDS, label, sleep, startFor, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const CLIENTS = 100;
const ACTIONS = 24; // of each client
const ROOMS = [...Array(15).keys()].map((r) => `room ${r}`);
const MODES = [['websocket'], ['polling', 'websocket'], ['websocket'], ['polling', 'websocket'], ['polling']];

let now = 0; // the model's clock
const tick = () => ++now;

class Member {
  constructor(world, index) {
    this.world = world;
    this.index = index;
    this.transports = MODES[index % MODES.length];
    this.stays = []; // { room, joinSent, joinAck, leaveSent, leaveAck, cut }
    this.got = new Map(); // message id -> times
    this.seen = new Map(ROOMS.map((r) => [r, []])); // message ids in order of arrival
  }

  async open() {
    const socket = client(this.world.server, { transports: this.transports });
    this.socket = socket;
    socket.on('said', (message) => {
      if (socket === this.socket) this.receive(message);
    });
    await connected(socket);
  }

  receive({ id, room, bytes }) {
    const m = this.world.messages.get(id);
    if (!m || m.room !== room || (bytes && bytes.readUInt32BE(0) !== m.number))
      this.world.faults.push(`client ${this.index} got a message that was never sent: ${id}`);
    this.got.set(id, (this.got.get(id) ?? 0) + 1);
    this.seen.get(room)?.push(id);
    if (this === this.world.monitor) m.seen ??= tick();
  }

  stay(room) {
    return this.stays.find((s) => s.room === room && s.leaveSent === undefined);
  }

  async join(room) {
    const stay = this.stay(room) ?? { room, joinSent: tick() };
    if (!this.stays.includes(stay)) this.stays.push(stay);
    assert.deepEqual(await ask(this.socket, 'join', room), { ok: true });
    stay.joinAck ??= tick();
  }

  async leave(room) {
    const stay = this.stay(room);
    if (stay) stay.leaveSent = tick();
    assert.deepEqual(await ask(this.socket, 'leave', room), { ok: true });
    if (stay) stay.leaveAck = tick();
  }

  send(event, room, binary) {
    const number = this.world.messages.size;
    const id = `${this.index}.${number}`;
    this.world.messages.set(id, { id, number, room, event, sender: this, sent: tick() });
    const message = { id, room };
    if (binary) {
      message.bytes = Buffer.alloc(8);
      message.bytes.writeUInt32BE(number);
    }
    return ask(this.socket, event, room, message);
  }

  async reconnect(abrupt) {
    const { engine } = this.socket.io;
    this.socket.removeAllListeners('said');
    const at = tick();
    for (const s of this.stays) {
      if (s.leaveSent === undefined) Object.assign(s, { leaveSent: at, cut: true });
      s.leaveAck ??= at;
    }
    if (abrupt && engine.transport.ws) engine.transport.ws.terminate();
    else this.socket.disconnect();
    await this.open();
  }

  async act(rng) {
    const dice = rng.next();
    const room = rng.pick(ROOMS);
    const mine = this.stays.filter((s) => s.leaveSent === undefined);
    if (dice < 0.22) await this.join(room);
    else if (dice < 0.36) await this.leave(mine.length ? rng.pick(mine).room : room);
    else if (dice < 0.7) await this.send('say', room, rng.next() < 0.15);
    else if (dice < 0.88) await this.send('tell', room, rng.next() < 0.15);
    else if (dice < 0.98)
      await Promise.all([this.join(room), this.send('say', room), this.leave(room), this.send('say', room)]);
    else await this.reconnect(rng.next() < 0.5);
  }
}

// 'must', 'may' or 'not'
function verdict(member, m) {
  if (m.event === 'tell' && m.sender === member) return 'not';
  const stays = member.stays.filter((s) => s.room === m.room);
  const inside = (s) => s.joinAck <= m.sent && (s.leaveSent === undefined || s.leaveSent >= m.seen) && !s.cut;
  if (stays.some(inside)) return 'must';
  const touches = (s) => s.joinSent <= m.seen && (s.leaveAck === undefined || s.leaveAck >= m.sent);
  return stays.some(touches) ? 'may' : 'not';
}

function check(world) {
  const counts = { must: 0, may: 0, not: 0 };
  for (const member of world.members) {
    for (const m of world.messages.values()) {
      const v = verdict(member, m);
      const n = member.got.get(m.id) ?? 0;
      counts[v]++;
      const fine = v === 'must' ? n === 1 : v === 'may' ? n <= 1 : n === 0;
      if (!fine)
        world.faults.push(
          `client ${member.index} ${v} get ${m.id} (${m.event} ${m.room}), got it ${n} times`,
        );
    }
    for (const room of ROOMS) {
      const order = world.monitor.seen.get(room);
      let at = -1;
      for (const id of member.seen.get(room)) {
        const next = order.indexOf(id, at + 1);
        if (next < 0) {
          world.faults.push(`client ${member.index} saw ${id} in another order than the monitor`);
          break;
        }
        at = next;
      }
    }
  }
  return counts;
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    afterEach(closeAll);

    test(`${CLIENTS} clients at random`, async (t) => {
      const seed = Number(process.env.ROOMCAST_SEED || Date.now() % 1e9);
      t.diagnostic(`seed ${seed}`);
      console.log(`# ${label(shards)}: seed ${seed}`);
      const world = { messages: new Map(), faults: [], members: [] };
      world.server = await startFor(t, { ini: RULES, shards });
      world.monitor = new Member(world, 0);
      await world.monitor.open();
      for (const room of ROOMS) await world.monitor.join(room);

      for (let i = 0; i < CLIENTS; i++) world.members.push(new Member(world, i + 1));
      await Promise.all(world.members.map((m) => m.open()));
      await Promise.all(
        world.members.map(async (member) => {
          const rng = random(seed + member.index);
          const actions = member.transports[0] === 'polling' && !member.transports[1] ? ACTIONS / 6 : ACTIONS;
          for (let n = 0; n < actions; n++) await member.act(rng); // polling in Node is slow
        }),
      );

      const all = [...world.messages.values()];
      await until('the monitor to see every message', () => all.every((m) => m.seen), 60_000);
      const missing = () =>
        world.members.some((c) => all.some((m) => verdict(c, m) === 'must' && !c.got.has(m.id)));
      await until(
        'the members to get theirs',
        async () => !missing() || sleep(100).then(() => false),
        10_000,
      ).catch(() => {});
      await sleep(200); // for what ought not to come
      world.members.push(world.monitor);
      const counts = check(world);
      console.log(`# ${all.length} messages; deliveries: ${JSON.stringify(counts)}`);
      assert.deepEqual(world.faults.slice(0, 10), [], `${world.faults.length} faults; seed ${seed}`);
      assert.ok(counts.must > 3000 && counts.not > 3000, 'the run proved little');
    });
  });
}
