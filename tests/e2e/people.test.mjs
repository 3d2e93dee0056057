// People: the devices of a user, who may do what in which rooms, and who is there.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';

import { ask, client, closeAll, connect, event, inbox } from './lib/client.mjs';
import { tempDir } from './lib/daemon.mjs';
import { follow } from './lib/presence.mjs';
import { openStore } from './lib/store.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, until } from './lib/target.mjs';

const SECRET = randomBytes(32).toString('hex');
const secretFile = join(tempDir(), 'secret');
writeFileSync(secretFile, `${SECRET}\n`);

const sign = (claims) => jwt.sign(claims, SECRET, { expiresIn: '1h' });
const range = (n) => [...Array(n).keys()];

const OPTIONS = { 'auth.mode': 'optional', 'auth.secret_file': secretFile };

// A device of that user: a client with an inbox.
async function device(server, user, options = {}) {
  const socket = await connect(server, { auth: user ? { token: sign({ sub: user, ...options.claims }) } : {}, ...options });
  return Object.assign(socket, { box: inbox(socket) });
}

// What each has got once all that the sender has caused is there.
async function harvest(sender, all) {
  await ask(sender, 'mark');
  await Promise.all(all.map((s) => ask(s, 'mark')));
  await sleep(20 * slow);
  return all.map((s) => s.box.splice(0).map(([name, ...args]) => [name, ...args]));
}

const DEVICES = `
[event mark]
ack = auto
[event join]
join = {1}
[event joins]
join = rooms {1}
[event leave]
leave = {1}
[event say]
emit = room {1}: said {2}
[event tell]
emit = user {1}: told {2} {user}
[event others]
emit = user {user} except sender: echo {1}
[event both]
emit = user {1}, user {2}, room {3} except sender: told {4}
[event but]
emit = room {1} except user {2}: told {3}
[event poll]
ask = user {1}: question {2}
[event named]
join = {1}
emit = user {2}: told {room}
[event watch]
watch = rooms
[namespace /off]
auth = off
[event /off tell]
emit = user {1}: told {2}
[event /off mark]
ack = auto
[event /team-* tell]
emit = user {1}: told {2} {nsp}
[event /team-* mark]
ack = auto
[event /team-* watch]
watch = rooms
[connect /hello]
emit = user {user} except sender: another {id}
[event /hello mark]
ack = auto
`;

describe('devices of users', roomcastOnly, () => {
  for (const shards of SHARDS)
    describe(label(shards), () => {
      let server;
      before(async () => {
        server = await start({ ini: DEVICES, shards, options: { ...OPTIONS, 'limits.max_rooms_per_socket': '2' } });
      });
      after(() => server.stop());
      afterEach(closeAll);

      // Ann has six devices, on all shards; Bob two; two more are nobody's.
      async function people() {
        const ann = await Promise.all(
          range(6).map((i) =>
            i % 3 === 2
              ? device(server, null, { transports: ['polling'], query: { token: sign({ sub: 'ann' }) } })
              : device(server, 'ann', { transports: [i % 3 === 1 ? 'polling' : 'websocket'] }),
          ),
        );
        const bob = await Promise.all(range(2).map(() => device(server, 'bob')));
        const nobody = await Promise.all(range(2).map(() => device(server, null)));
        return { ann, bob, nobody, all: [...ann, ...bob, ...nobody] };
      }

      test('all devices of a user get it, once, and nobody else', async () => {
        const { bob, all } = await people();
        bob[0].emit('tell', 'ann', 1);
        bob[0].emit('tell', 'bob', 2);
        bob[0].emit('tell', 'carl', 3);
        assert.deepEqual(
          await harvest(bob[0], all),
          all.map((s, i) => (i < 6 ? [['told', 1, 'bob']] : i < 8 ? [['told', 2, 'bob']] : [])),
        );
      });

      test('the other devices', async () => {
        const { ann, all } = await people();
        ann[2].emit('others', 'x');
        assert.deepEqual(
          await harvest(ann[2], all),
          all.map((s, i) => (i < 6 && i !== 2 ? [['echo', 'x']] : [])),
        );
      });

      test('users in lists of targets and behind except', async () => {
        const { ann, bob, nobody, all } = await people();
        for (const s of [ann[0], bob[0], nobody[0]]) await ask(s, 'join', 'r');
        ann[1].emit('both', 'ann', 'bob', 'r', 1);
        assert.deepEqual(
          await harvest(ann[1], all),
          all.map((s, i) => (i === 1 || i === 9 ? [] : [['told', 1]])),
        );
        nobody[1].emit('but', 'r', 'ann', 2);
        assert.deepEqual(
          await harvest(nobody[1], all),
          all.map((s, i) => (i === 6 || i === 8 ? [['told', 2]] : [])),
        );
      });

      test('a user is asked: all devices answer', async () => {
        const { ann, bob } = await people();
        ann.forEach((s, i) => s.on('question', (q, answer) => answer(q, i)));
        const got = await ask(bob[0], 'poll', 'ann', 'q');
        assert.deepEqual(got, { ok: true, answers: got.answers });
        assert.deepEqual(got.answers.sort((a, b) => a[1] - b[1]), range(6).map((i) => ['q', i]));
        assert.deepEqual(await ask(bob[0], 'poll', 'carl', 'q'), { ok: true, answers: [] });
      });

      test('a user is no room: {room} stays, and there must be one', async () => {
        const { ann, bob } = await people();
        assert.deepEqual(await ask(bob[0], 'named', 'r', 'ann'), { ok: true });
        assert.deepEqual((await harvest(bob[0], ann))[5], [['told', 'r']]);
        for (const user of ['', 'x'.repeat(129)])
          assert.equal((await ask(bob[0], 'tell', user, 1)).error, 'bad_target');
        assert.equal((await ask(bob[0], 'tell')).error, 'missing_argument');
        assert.deepEqual(await ask(bob[0], 'tell', 'x'.repeat(128), 1), { ok: true });
        assert.deepEqual(await ask(bob[0], 'tell', 42, 1), { ok: true });
      });

      test('the rooms of users are hidden, cannot be named, and do not count', async () => {
        const ann = await device(server, 'ann');
        const hidden = '\u0002user:ann';
        for (const name of [hidden, '\u0001rooms', '\u0000', '\u001fx', '\u007fx']) {
          for (const verb of ['join', 'leave', 'say'])
            assert.equal((await ask(ann, verb, name, 1)).error, 'bad_room', JSON.stringify([verb, name]));
          assert.equal((await ask(ann, 'joins', [name])).error, 'bad_room');
        }
        for (const room of ['a', 'b']) assert.deepEqual(await ask(ann, 'join', room), { ok: true });
        assert.equal((await ask(ann, 'join', 'c')).error, 'too_many_rooms');
        const spy = await device(server, null);
        await ask(spy, 'watch');
        const seen = new Set();
        await until('the list', () => {
          for (const [, list] of spy.box) for (const { room } of list.rooms) seen.add(room);
          return seen.has('a') && seen.has('b');
        });
        await device(server, 'dora');
        await sleep(500 * slow);
        for (const [, list] of spy.box) for (const { room } of list.rooms) seen.add(room);
        assert.deepEqual([...seen].sort(), ['a', 'b']);
      });

      test('each namespace has its own, also a dynamic one', async () => {
        const at = async (nsp) => {
          const s = client(server, { nsp, auth: { token: sign({ sub: 'ann' }) } });
          s.connect();
          await event(s, 'connect');
          return Object.assign(s, { box: inbox(s) });
        };
        const all = await Promise.all(['/', '/off', '/team-1', '/team-1', '/team-2'].map(at));
        all[2].emit('tell', 'ann', 1);
        assert.deepEqual(await harvest(all[2], all), [[], [], [['told', 1, '/team-1']], [['told', 1, '/team-1']], []]);
        all[1].emit('tell', 'ann', 2);
        assert.deepEqual(await harvest(all[1], all), [[], [], [], [], []]);
        await ask(all[4], 'watch');
        await sleep(500 * slow);
        for (const [, list] of all[4].box) assert.deepEqual(list.rooms, []);
      });

      test('[connect] reaches the devices that are there', async () => {
        const options = { nsp: '/hello', auth: { token: sign({ sub: 'eve' }) } };
        const first = await device(server, 'eve', options);
        const second = await device(server, 'eve', options);
        await until('word of the second', () => first.box.length === 1);
        assert.deepEqual(first.box[0].slice(0, 2), ['another', second.id]);
        assert.equal(second.box.length, 0);
      });

      test('it is there from the connect on, and a refresh changes nothing', async () => {
        const bob = await device(server, 'bob');
        for (const i of range(30).map((n) => n + 1)) {
          const ann = await device(server, 'ann', { transports: [i % 2 ? 'websocket' : 'polling'] });
          await ask(bob, 'tell', 'ann', i);
          await until('the message', () => ann.box.length === 1);
          const answer = await ask(ann, 'refreshToken', sign({ sub: 'ann' }));
          assert.equal(answer.ok, true);
          await ask(bob, 'tell', 'ann', -i);
          await until('the message', () => ann.box.length === 2);
          assert.deepEqual(ann.box.map(([, n]) => n), [i, -i]);
          ann.disconnect();
        }
      });
    });
});

const ACCESS = `
[room vip-*]
join = claim rooms
publish = member
[room user/*]
join = user
publish = authenticated
[room lobby]
publish = claim level
[room news*]
join = authenticated
publish = claim role
[room /team-* *]
join = authenticated
publish = member
[connect]
join = {auth.room}
emit = room lobby: hello {id}
emit = room news-{auth.news}: hello {id}
[event join]
join = {1}
[event joins]
join = rooms {1}
[event say]
emit = room {1}: said {2}
[event lobby]
emit = room lobby: said {1}
[event says]
emit = rooms {1}, user ann: said {2}
[event poll]
ask = room {1} within 300ms: said {2}
[event tell]
emit = socket {1}: said {2}
[event mark]
ack = auto
[event /team-* join]
join = {1}
[event /team-* say]
emit = room {1}: said {2}
[event /team-* everybody]
emit = all except room {1}: said {2}
`;

describe('access rules', roomcastOnly, () => {
  for (const shards of SHARDS)
    describe(label(shards), () => {
      let server;
      before(async () => {
        server = await start({ ini: ACCESS, shards, options: OPTIONS });
      });
      after(() => server.stop());
      afterEach(closeAll);

      const denied = (rule) => ({ ok: false, error: 'denied', message: rule });
      const ok = { ok: true };

      test('who may join', async () => {
        const ann = await device(server, 'ann', { claims: { rooms: ['vip-1', 7, ['vip-4'], { x: 'vip-5' }] } });
        const bob = await device(server, 'bob', { claims: { rooms: 'vip-2' } });
        const nobody = await device(server, null);
        for (const [who, room, answer] of [
          [ann, 'vip-1', ok],
          [ann, 'vip-2', denied('[room vip-*] join = claim rooms')],
          [ann, 'vip-4', denied('[room vip-*] join = claim rooms')],
          [ann, 'vip-5', denied('[room vip-*] join = claim rooms')],
          [ann, 'vip-a/b', denied('[room vip-*] join = claim rooms')],
          [ann, 'vip-', ok],
          [bob, 'vip-1', denied('[room vip-*] join = claim rooms')],
          [bob, 'vip-2', ok],
          [nobody, 'vip-1', denied('[room vip-*] join = claim rooms')],
          [ann, 'user/ann', ok],
          [ann, 'user/bob', denied('[room user/*] join = user')],
          [nobody, 'user/', ok],
          [nobody, 'user/ann', denied('[room user/*] join = user')],
          [nobody, 'lobby', ok],
          [nobody, 'another', ok],
          [ann, 'news', ok],
          [ann, 'newspaper', ok],
          [nobody, 'newspaper', denied('[room news*] join = authenticated')],
        ])
          assert.deepEqual(await ask(who, 'join', room), answer, room);
      });

      test('lists are joined as a whole, or not at all', async () => {
        const ann = await device(server, 'ann', { claims: { rooms: ['vip-1'] } });
        assert.deepEqual(await ask(ann, 'joins', ['a', 'vip-2']), denied('[room vip-*] join = claim rooms'));
        await ask(ann, 'say', 'a', 1);
        assert.deepEqual((await harvest(ann, [ann]))[0], []);
        assert.deepEqual(await ask(ann, 'joins', ['a', 'vip-1', ann.id]), ok);
        await ask(ann, 'say', 'a', 2);
        await ask(ann, 'say', 'vip-1', 3);
        assert.deepEqual((await harvest(ann, [ann]))[0], [['said', 2], ['said', 3]]);
      });

      test('who may publish', async () => {
        const ann = await device(server, 'ann', { claims: { rooms: ['vip-1'], level: 'lobby', role: ['news', 'newsletter'] } });
        const bob = await device(server, 'bob', { claims: { level: ['other'] } });
        const nobody = await device(server, null);
        await ask(ann, 'join', 'vip-1');
        for (const [who, event, answer] of [
          [ann, ['say', 'vip-1', 1], ok],
          [ann, ['say', 'vip-2', 1], denied('[room vip-*] publish = member')],
          [bob, ['say', 'vip-1', 1], denied('[room vip-*] publish = member')],
          [bob, ['say', 'user/ann', 1], ok],
          [nobody, ['say', 'user/ann', 1], denied('[room user/*] publish = authenticated')],
          [ann, ['say', 'lobby', 1], ok],
          [bob, ['say', 'lobby', 1], denied('[room lobby] publish = claim level')],
          [ann, ['lobby', 1], ok],
          [nobody, ['lobby', 1], denied('[room lobby] publish = claim level')],
          [ann, ['say', 'newsletter', 1], ok],
          [ann, ['says', ['newsletter', 'vip-1', 'x'], 1], ok],
          [ann, ['says', ['news', 'vip-2'], 1], denied('[room vip-*] publish = member')],
          [ann, ['says', ['news-1', 'vip-1'], 1], denied('[room news*] publish = claim role')],
          [nobody, ['says', [], 1], ok],
          [bob, ['poll', 'vip-1', 1], denied('[room vip-*] publish = member')],
          [nobody, ['tell', ann.id, 1], ok],
          [nobody, ['say', ann.id, 1], ok],
        ])
          assert.deepEqual(await ask(who, ...event), answer, JSON.stringify(event));
        ann.on('said', (_, answer) => answer?.('yes'));
        assert.deepEqual(await ask(ann, 'poll', 'vip-1', 1), { ok: true, answers: [['yes']] });
      });

      test('without an acknowledgement the error event tells the rule, and the rest of the rule is off', async () => {
        const nobody = await device(server, null);
        const told = event(nobody, 'error');
        nobody.emit('say', 'newsletter', 1);
        assert.deepEqual(await told, { event: 'say', error: 'denied', message: '[room news*] publish = claim role' });
      });

      test('[connect]: joins are checked, greetings to its own rooms are not', async () => {
        const nobody = await device(server, null, { auth: { room: 'lobby' } });
        const ann = await device(server, null, { auth: { token: sign({ sub: 'ann', rooms: 'vip-1' }), room: 'vip-1', news: 'x' } });
        const eve = await device(server, null, { auth: { room: 'vip-1', news: 'x' } });
        const spy = await device(server, null, { auth: { token: sign({ sub: 'spy' }), room: 'news-x' } });
        await device(server, null, { auth: { token: sign({ sub: 'bob', role: 'news-x' }), news: 'x', room: 'else' } });
        assert.deepEqual(await ask(ann, 'say', 'vip-1', 1), ok);
        assert.deepEqual(await ask(eve, 'say', 'vip-1', 1), denied('[room vip-*] publish = member'));
        const [lobby, vip, , news] = await harvest(ann, [nobody, ann, eve, spy]);
        assert.equal(lobby.filter(([name]) => name === 'hello').length, 4);
        assert.deepEqual(vip, [['said', 1]]);
        assert.equal(news.length, 1);
      });

      test('dynamic namespaces', async () => {
        const ann = await device(server, 'ann', { nsp: '/team-1' });
        const nobody = await device(server, null, { nsp: '/team-1' });
        assert.deepEqual(await ask(ann, 'join', 'a'), ok);
        assert.deepEqual(await ask(nobody, 'join', 'a'), denied('[room /team-* *] join = authenticated'));
        assert.deepEqual(await ask(ann, 'say', 'a', 1), ok);
        assert.deepEqual(await ask(ann, 'say', 'b', 1), denied('[room /team-* *] publish = member'));
        assert.deepEqual(await ask(nobody, 'say', 'a', 1), denied('[room /team-* *] publish = member'));
        assert.deepEqual(await ask(nobody, 'everybody', 'a', 2), ok);
        assert.deepEqual(await ask(nobody, 'say', nobody.id, 3), ok);
        assert.deepEqual(ann.box.splice(0), [['said', 1]]);
      });
    });
});

const HOLD = 400 * slow;
const PRESENCE = `
[room secret-*]
presence = yes
presence_hold = 0ms
join = claim rooms
[room quiet]
[room *]
presence = yes
presence_hold = ${HOLD}ms
[event join]
join = {1}
[event leave]
leave = {1}
[event mark]
ack = auto
[event who]
presence = room {1}
[event both]
ack = {"first":true}
presence = room {1}
[event /team-* join]
join = {1}
[event /team-* who]
presence = room {1}
[event /team-* mark]
ack = auto
[room /team-* *]
presence = yes
presence_hold = 0ms
[connect /auto]
join = lobby
[room /auto lobby]
presence = yes
[event /auto who]
presence = room lobby
[event /auto mark]
ack = auto
`;

describe('presence', roomcastOnly, () => {
  for (const shards of SHARDS)
    describe(label(shards), () => {
      let server;
      let room;
      let n = 0;
      before(async () => {
        server = await start({ ini: PRESENCE, shards, options: { ...OPTIONS, 'limits.users_listed': '50' } });
      });
      after(() => server.stop());
      afterEach(closeAll);

      async function member(user, options) {
        const s = await device(server, user, options);
        assert.deepEqual(await ask(s, 'join', room), { ok: true });
        return s;
      }
      const arrive = (s, count) =>
        until(`${count} presence events`, () => s.box.filter(([name]) => name === 'presence').length >= count);
      const who = async (s, name) => {
        const answer = await ask(s, 'who', name);
        return { ...answer, users: answer.users.sort() };
      };
      const presence = (box) => box.filter(([name]) => name === 'presence').map(([, e]) => e);

      test('users come and go, whatever the number of their devices', async () => {
        room = `r${n++}`;
        const spy = await member('spy');
        await arrive(spy, 1);
        const ann = await member('ann');
        await arrive(spy, 2);
        const again = await Promise.all(range(3).map(() => member('ann')));
        const nobody = await member(null);
        await sleep(200 * slow);
        for (const s of [ann, nobody]) s.disconnect();
        assert.deepEqual(await ask(again[0], 'leave', room), { ok: true });
        again[1].disconnect();
        await sleep(HOLD + 200 * slow);
        assert.equal(presence(spy.box).length, 2);
        assert.deepEqual(await who(spy, room), { ok: true, room, count: 2, users: ['ann', 'spy'], more: false });
        assert.deepEqual(await ask(again[2], 'leave', room), { ok: true });
        await arrive(spy, 3);
        assert.deepEqual(presence(spy.box), [
          { room, joined: ['spy'], left: [], count: 1 },
          { room, joined: ['ann'], left: [], count: 2 },
          { room, joined: [], left: ['ann'], count: 1 },
        ]);
      });

      test('a reconnect within the hold makes no noise, a later one does', async () => {
        room = `r${n++}`;
        const spy = await member('spy');
        await arrive(spy, 1);
        for (const i of range(6)) {
          const ann = await member('ann', { transports: [i % 2 ? 'polling' : 'websocket'] });
          if (i === 0) await arrive(spy, 2);
          ann.disconnect();
          await sleep(HOLD / 8);
        }
        assert.deepEqual(await who(spy, room), { ok: true, room, count: 2, users: ['ann', 'spy'], more: false });
        assert.equal(presence(spy.box).length, 2);
        await arrive(spy, 3);
        assert.deepEqual(presence(spy.box).at(-1), { room, joined: [], left: ['ann'], count: 1 });
        await member('ann');
        await arrive(spy, 4);
        assert.deepEqual(presence(spy.box).at(-1), { room, joined: ['ann'], left: [], count: 2 });
      });

      test('without a hold it is told at once', async () => {
        room = 'secret-1';
        const spy = await member('spy', { claims: { rooms: room } });
        await arrive(spy, 1);
        const ann = await member('ann', { claims: { rooms: [room] } });
        await arrive(spy, 2);
        ann.disconnect();
        const before = Date.now();
        await arrive(spy, 3);
        assert.ok(Date.now() - before < 1000 * slow);
        assert.deepEqual(presence(spy.box).at(-1), { room, joined: [], left: ['ann'], count: 1 });
      });

      test('many at once are told together, and all are told', async () => {
        room = `r${n++}`;
        const spy = await member('spy');
        await arrive(spy, 1);
        const users = range(40).map((i) => `u${String(i).padStart(2, '0')}`);
        const all = await Promise.all([...users, ...users].map((u) => device(server, u)));
        await Promise.all(all.map((s) => ask(s, 'join', room)));
        await until('all', () => follow(spy.box, room).count === 41);
        const { users: there, events } = follow(spy.box, room);
        assert.deepEqual(there, ['spy', ...users].sort());
        assert.ok(events < 21, `${events} events for 41 users`);
        assert.equal((await ask(spy, 'who', room)).count, 41);
        // Half of the users lose all of their devices, the others one.
        for (const [i, s] of all.entries()) if (i < 60) s.disconnect();
        await until('the rest', () => follow(spy.box, room).count === 21);
        assert.deepEqual(follow(spy.box, room).users, ['spy', ...users.slice(20)].sort());
        await until('another member has it, too', () => presence(all[79].box).at(-1).count === 21);
      });

      test('lists are bounded, counts are not', async () => {
        room = `r${n++}`;
        const spy = await member('spy');
        const all = await Promise.all(range(60).map((i) => device(server, `u${i}`)));
        all.forEach((s) => s.emit('join', room));
        await until('all', async () => (await ask(spy, 'who', room)).count === 61);
        const answer = await ask(spy, 'who', room);
        assert.equal(answer.more, true);
        assert.equal(new Set(answer.users).size, 50);
        await until('the event', () => presence(spy.box).at(-1)?.count === 61);
        for (const e of presence(spy.box)) assert.ok(e.joined.length <= 50 && (e.joined.length < 50 || e.more === true));
      });

      test('who is there, asked', async () => {
        room = `r${n++}`;
        const ann = await device(server, 'ann');
        const none = { ok: true, room, count: 0, users: [], more: false };
        assert.deepEqual(await ask(ann, 'who', room), none);
        // Behind the join's acknowledgement oneself is there.
        for (const i of range(30)) {
          const other = `${room}-${i}`;
          ann.emit('join', other);
          const answer = await ask(ann, 'who', other);
          assert.deepEqual(answer, { ok: true, room: other, count: 1, users: ['ann'], more: false });
          ann.emit('leave', other);
        }
        assert.deepEqual(await ask(ann, 'who', 'quiet'), {
          ok: false,
          error: 'bad_room',
          message: 'no [room] section keeps the presence of this room',
        });
        assert.equal((await ask(ann, 'who', ann.id)).count, 0);
        assert.equal((await ask(ann, 'who', '')).error, 'bad_room');
        assert.equal((await ask(ann, 'who')).error, 'missing_argument');
        const denied = { ok: false, error: 'denied', message: '[room secret-*] join = claim rooms' };
        assert.deepEqual(await ask(ann, 'who', 'secret-2'), denied);
        ann.box.splice(0);
        ann.emit('who', room);
        await until('the event', () => ann.box.some(([, e]) => e.full));
        assert.deepEqual(ann.box.find(([, e]) => e.full), ['presence', { room, full: true, count: 0, users: [], more: false }]);
        ann.box.splice(0);
        assert.deepEqual(await ask(ann, 'both', room), { first: true });
        await until('the event', () => ann.box.some(([, e]) => e.full));
      });

      test('answers keep their place among other acknowledgements', async () => {
        room = `r${n++}`;
        const ann = await member('ann');
        const order = [];
        const answers = range(60).map(
          (i) => new Promise((done) => ann.emit(i % 3 ? 'who' : 'mark', `${room}-${i % 7}`, () => done(order.push(i)))),
        );
        await Promise.all(answers);
        assert.deepEqual(order, range(60));
      });

      test('dynamic namespaces, and rooms of [connect]', async () => {
        room = `r${n++}`;
        const at = (user, nsp) => member(user, { nsp });
        const [a, b] = [await at('ann', '/team-1'), await at('bob', '/team-2')];
        await arrive(a, 1);
        await arrive(b, 1);
        const c = await at('carl', '/team-1');
        await arrive(a, 2);
        assert.deepEqual(presence(a.box).at(-1), { room, joined: ['carl'], left: [], count: 2 });
        assert.deepEqual((await who(c, room)).users, ['ann', 'carl']);
        assert.equal((await ask(b, 'who', room)).count, 1);
        c.disconnect();
        await arrive(a, 3);
        assert.equal(presence(b.box).length, 1);
        const auto = await device(server, 'ann', { nsp: '/auto' });
        assert.deepEqual((await ask(auto, 'who')).users, ['ann']);
      });
    });

  test('the event has the name that the INI gives it, or there is none', async (t) => {
    const ini = '[room *]\npresence = yes\n[event join]\njoin = {1}\n[event who]\npresence = room {1}\n';
    for (const name of ['people', '']) {
      const server = await start({ ini, options: { ...OPTIONS, 'socketio.presence_event': name } });
      t.after(() => server.stop());
      const ann = await device(server, 'ann');
      await ask(ann, 'join', 'r');
      ann.emit('who', 'r');
      await sleep(300 * slow);
      assert.equal((await ask(ann, 'who', 'r')).count, 1);
      assert.deepEqual(ann.box.map(([event]) => event), name ? [name, name] : []);
      closeAll();
    }
  });
});

const GROUPS = `
[room group-*]
join = group
publish = group
history = group
presence = yes
[room team]
join = group
[connect]
join = {auth.room}
[event add]
group = add {1} {2}
[event remove]
group = remove {1} {2}
[event join]
join = {1}
[event joins]
join = rooms {1}
[event say]
emit = room {1}: said {2}
[event says]
emit = rooms {1}: said {2}
[event twice]
emit = room {1}: said 1
emit = room {1}: said 2
[event keep]
store = room {1}: kept {2}
[event read]
history = room {1}
[event poll]
ask = room {1} within 5s: question {2}
[event who]
presence = room {1}
[event mark]
ack = auto
[room *]
presence = yes
presence_hold = 0ms
`;

describe('rooms of groups', roomcastOnly, () => {
  for (const shards of SHARDS)
    describe(label(shards), () => {
      let server, store;
      before(async () => {
        store = await openStore('sqlite');
        server = await start({ ini: GROUPS, shards, options: { ...OPTIONS, ...store.options() } });
      });
      after(async () => {
        await server.stop();
        await store.remove();
      });
      afterEach(closeAll);

      const denied = (what, room = 'group-*') => ({ ok: false, error: 'denied', message: `[room ${room}] ${what} = group` });
      const ok = { ok: true };

      test('the store knows who may', async () => {
        const ann = await device(server, 'ann');
        const nobody = await device(server, null);
        const bob = await device(server, 'bob');
        for (const group of ['7', '8', 'team']) assert.deepEqual(await ask(ann, 'add', group, 'ann'), ok);
        for (const room of ['group-7', 'group-8', 'team']) {
          assert.deepEqual(await ask(ann, 'join', room), ok, room);
          const pattern = room === 'team' ? room : 'group-*';
          for (const s of [bob, nobody]) assert.deepEqual(await ask(s, 'join', room), denied('join', pattern));
        }
        assert.deepEqual(await ask(ann, 'join', 'group-9'), denied('join'));
        assert.deepEqual(await ask(ann, 'say', 'group-7', 1), ok);
        assert.deepEqual(await ask(bob, 'say', 'group-7', 1), denied('publish'));
        assert.deepEqual(await ask(ann, 'twice', 'group-8'), ok);
        assert.deepEqual(await ask(ann, 'says', ['x', 'group-7', 'group-8', 'group-7'], 3), ok);
        assert.deepEqual(await ask(ann, 'says', ['group-7', 'group-9'], 4), denied('publish'));
        const kept = await ask(ann, 'keep', 'group-7', 'k');
        assert.equal(kept.ok, true);
        assert.deepEqual(await ask(bob, 'keep', 'group-7', 'k'), denied('publish'));
        const history = await ask(ann, 'read', 'group-7');
        assert.deepEqual(history.messages.map(({ id, content }) => [id, content]), [[kept.id, 'k']]);
        assert.deepEqual(await ask(bob, 'read', 'group-7'), denied('history'));
        assert.deepEqual((await ask(ann, 'who', 'group-7')).users, ['ann']);
        assert.deepEqual(await ask(bob, 'who', 'group-7'), denied('join'));
        ann.on('question', (q, answer) => answer(q));
        assert.deepEqual(await ask(ann, 'poll', 'group-7', 'q'), { ok: true, answers: [['q']] });
        assert.deepEqual(await ask(bob, 'poll', 'group-7', 'q'), denied('publish'));
        assert.deepEqual(
          ann.box.filter(([name]) => name === 'said' || name === 'kept').map(([, ...args]) => args),
          [[1], [1], [2], [3], ['k']],
        );
      });

      test('a change of the group counts at once, also in lists and at the connect', async () => {
        const ann = await device(server, 'ann');
        const rooms = ['group-a', 'other', 'group-b'];
        assert.deepEqual(await ask(ann, 'joins', rooms), denied('join'));
        for (const group of ['a', 'b']) await ask(ann, 'add', group, 'eve');
        const eve = await device(server, 'eve', { auth: { token: sign({ sub: 'eve' }), room: 'group-a' } });
        assert.deepEqual(await ask(eve, 'say', 'group-a', 1), ok);
        assert.deepEqual(await ask(eve, 'joins', rooms), ok);
        assert.deepEqual(await ask(ann, 'remove', 'b', 'eve'), ok);
        assert.deepEqual(await ask(eve, 'say', 'group-b', 2), denied('publish'));
        assert.deepEqual(await ask(eve, 'say', 'group-a', 3), ok);
        assert.deepEqual((await harvest(eve, [eve]))[0].filter(([name]) => name === 'said'), [['said', 1], ['said', 3]]);
        const bob = await device(server, 'bob', { auth: { token: sign({ sub: 'bob' }), room: 'group-a' } });
        assert.deepEqual((await ask(eve, 'who', 'group-a')).users, ['eve']);
        assert.deepEqual(await ask(bob, 'mark'), ok);
      });

      test('events that wait for the store keep their order', async () => {
        const ann = await device(server, 'ann');
        await ask(ann, 'add', 'o', 'ann');
        await ask(ann, 'joins', ['group-o', 'free']);
        for (const i of range(100)) ann.emit('say', i % 3 ? 'group-o' : 'free', i);
        await ask(ann, 'mark');
        await until('all', () => ann.box.filter(([name]) => name === 'said').length === 100);
        assert.deepEqual(ann.box.filter(([name]) => name === 'said').map(([, n]) => n), range(100));
      });
    });
});
