// Messages that last: stored before they are acknowledged, handed out in the order of their ids, and
// kept for those who are not there.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import msgpack from 'socket.io-msgpack-parser';

import { ask, closeAll, event } from './lib/client.mjs';
import { device, messages, to, toGroup } from './lib/mail.mjs';
import { AUTH, openStore } from './lib/store.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, startFor, until } from './lib/target.mjs';

const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2}
[event keep]
store = room {1}: kept {message.id} {2} {"at":{message.time}}
[event keepOnce]
store = room {1} once {2.id?}: kept {2}
[event keepOthers]
store = room {1} except sender: kept {2}
[event keepLater]
store = later room {1}: kept {2}
[event keepFor]
require = group {1}
store = room {1}: kept {2}
ack = {message.id} {room}
[event enter]
join = {1}
history = room {1} {2?}
[event message]
message = {1}
[event history]
history = room {1} {2?}
[event talk]
history = conversation {1}
[event add]
group = add {1} {2}
[event remove]
group = remove {1} {2}
[event members]
group = list {1}
[event create]
group = create {1}
message = {"conversationType":"group","receiverId":{1},"content":{"type":"created"}}
[event invite]
require = group {1}
group = add {1} {2}
message = {"conversationType":"group","receiverId":{1},"content":{"type":"added","user":{2}}}
[event conversations]
history = conversations {1?}
[event mark]
ack = auto
[namespace /open]
auth = optional
[event /open keep]
store = room {1} once {3?}: kept {2}
[event /open history]
history = room {1}
[event /open conversations]
history = conversations
[event /open create]
group = create {1}
[room vip-*]
publish = claim rooms
history = member
`;

const range = (n) => [...Array(n).keys()];

const kept = (socket) => socket.box.filter(([name]) => name === 'kept').map(([, ...args]) => args);
const got = (socket, n) => until(`${n} messages`, () => messages(socket).length >= n, 20_000);

for (const shards of SHARDS)
  describe(`messages, ${label(shards)}`, roomcastOnly, () => {
    let server, store, serial = 0;
    // Names of a test's own: the store keeps everything.
    const name = (text) => `${text}${++serial}`;
    before(async () => {
      store = await openStore('sqlite');
      server = await start({ ini: INI, shards, options: { ...AUTH, ...store.options(), 'limits.max_queue': '256KiB', 'socketio.max_payload': '64KiB', 'store.history_limit': '50' } });
    });
    after(() => server.stop());
    afterEach(closeAll);

    test('a room gets what was stored, with its id and time, and the sender the same', async () => {
      const room = name('room');
      const all = await Promise.all(range(4).map((i) => device(server, `u${i}`)));
      for (const s of all) await ask(s, 'join', room);
      const before = Date.now();
      const ack = await ask(all[0], 'keep', room, { text: 'héllo' });
      assert.equal(ack.ok, true);
      assert.ok(Number.isSafeInteger(ack.id) && ack.id > 0);
      assert.ok(ack.time >= before - 1000 && ack.time <= Date.now() + 1000);
      for (const s of all) await until('kept', () => kept(s).length);
      for (const s of all) assert.deepEqual(kept(s), [[ack.id, { text: 'héllo' }, { at: ack.time }]]);
      const [row] = await store.rows(`SELECT * FROM message WHERE id = ${ack.id}`);
      assert.equal(row.conversation_type, 'room');
      assert.equal(row.sender_id, 'u0');
      assert.equal(row.receiver_id, room);
      assert.deepEqual(JSON.parse(row.content), [null, { text: 'héllo' }, { at: null }]);
    });

    test('the order of the ids is the order of delivery, whoever sends', async () => {
      const room = name('room');
      const all = await Promise.all(range(6).map((i) => device(server, `u${i}`)));
      for (const s of all) await ask(s, 'join', room);
      const n = 60;
      const acks = await Promise.all(all.flatMap((s) => range(n).map((i) => ask(s, 'keep', room, `${s.id} ${i}`))));
      await Promise.all(all.map((s) => until('all', () => kept(s).length === all.length * n, 20_000)));
      const ids = kept(all[0]).map(([id]) => id);
      assert.deepEqual(ids, acks.map((a) => a.id).sort((a, b) => a - b));
      for (const s of all) assert.deepEqual(kept(s), kept(all[0]));
      for (const s of all) {
        const own = kept(s).filter(([, text]) => text.startsWith(s.id));
        assert.deepEqual(own.map(([, text]) => text), range(n).map((i) => `${s.id} ${i}`));
      }
    });

    test('nothing of a sender overtakes its stored message', async () => {
      const rooms = range(5).map(() => name('room'));
      const [sender, member] = [await device(server, 'a'), await device(server, 'b')];
      for (const r of rooms) await ask(member, 'join', r);
      const want = [];
      for (const i of range(100)) {
        const verb = i % 3 === 1 ? 'keepOthers' : 'say';
        sender.emit(verb, rooms[(i * 7) % 5], i);
        want.push([verb === 'say' ? 'said' : 'kept', i]);
      }
      await ask(sender, 'mark');
      await until('all', () => member.box.length === 100, 20_000);
      assert.deepEqual(member.box, want);
    });

    test('a sender who hangs up right after sending', async () => {
      const room = name('room');
      const member = await device(server, 'm');
      await ask(member, 'join', room);
      const senders = await Promise.all(range(8).map((i) => device(server, `gone${i}`, { transports: ['websocket'] })));
      for (const s of senders) {
        s.emit('keep', room, s.id);
        s.disconnect();
      }
      await until('all', () => kept(member).length === 8, 20_000);
      assert.equal((await store.rows(`SELECT id FROM message WHERE receiver_id = '${room}'`)).length, 8);
    });

    test('the same client id is stored and delivered once, and acknowledged again', async () => {
      const room = name('room');
      const [a, a2, other] = [await device(server, 'ann'), await device(server, 'ann'), await device(server, 'bob')];
      await ask(a, 'join', room);
      const id = name('c');
      const first = await ask(a, 'keepOnce', room, { id, n: 1 });
      const again = await Promise.all([ask(a, 'keepOnce', room, { id, n: 2 }), ask(a2, 'keepOnce', room, { id, n: 3 })]);
      assert.deepEqual(again, [first, first]);
      const theirs = await ask(other, 'keepOnce', room, { id, n: 4 });
      assert.notEqual(theirs.id, first.id);
      await ask(a, 'keepOnce', room, { n: 5 });
      await ask(a, 'mark');
      assert.deepEqual(kept(a).map(([m]) => m.n), [1, 4, 5]);
    });

    test('later: sent at once, and stored', async () => {
      const room = name('room');
      const s = await device(server, 'ann');
      await ask(s, 'join', room);
      assert.deepEqual(await ask(s, 'keepLater', room, 'x'), { ok: true });
      assert.deepEqual(kept(s), [['x']]);
      await until('the row', async () => (await store.rows(`SELECT content FROM message WHERE receiver_id = '${room}'`))[0]?.content === 'x');
    });

    test('private messages reach all devices, but not the one that sent', async () => {
      const [ann, bob, eve] = ['ann', 'bob', 'eve'].map(name);
      const a = await Promise.all(range(3).map(() => device(server, ann)));
      const b = await Promise.all(range(3).map((i) => device(server, bob, i ? {} : { transports: ['polling'] })));
      const e = await device(server, eve);
      const ack = await ask(a[0], 'message', to(bob, { text: 'hi', n: [1, null] }, { senderId: eve, clientId: 'c1' }));
      assert.equal(ack.ok, true);
      const want = {
        id: ack.id, conversation_type: 'private', sender_id: ann, receiver_id: bob, content: { text: 'hi', n: [1, null] },
        created_at: new Date(ack.time).toISOString(), client_id: 'c1',
      };
      for (const s of [...b, a[1], a[2]]) {
        await got(s, 1);
        assert.deepEqual(messages(s), [want]);
      }
      await ask(b[1], 'message', to(ann, 'back'));
      await got(a[0], 1);
      for (const s of a) await got(s, s === a[0] ? 1 : 2);
      assert.deepEqual(messages(e), []);
      assert.equal(messages(a[0])[0].content, 'back');
      const page = await ask(e, 'talk', { type: 'private', with: bob });
      assert.deepEqual(page, { ok: true, messages: [], more: false });
      const talk = await ask(b[0], 'talk', { type: 'private', with: ann });
      assert.deepEqual(talk.messages, [want, messages(a[0])[0]]);
    });

    test('groups', async () => {
      const group = name('g');
      const users = range(4).map(() => name('user'));
      const [a, b, c, d] = await Promise.all(users.map((u) => device(server, u)));
      for (const u of users.slice(0, 3)) assert.deepEqual(await ask(a, 'add', group, u), { ok: true });
      assert.deepEqual(new Set((await ask(a, 'members', group)).users), new Set(users.slice(0, 3)));
      const ack = await ask(a, 'message', toGroup(group, 'all'));
      for (const s of [b, c]) {
        await got(s, 1);
        assert.equal(messages(s)[0].id, ack.id);
        assert.equal(messages(s)[0].receiver_id, group);
      }
      assert.equal((await ask(d, 'message', toGroup(group, 'x'))).error, 'not_in_group');
      assert.equal((await ask(d, 'talk', { type: 'group', with: group })).error, 'not_in_group');
      assert.equal((await ask(d, 'keepFor', group, 'x')).error, 'not_in_group');
      const [id, room] = await new Promise((done) => a.emit('keepFor', group, 'x', (...args) => done(args)));
      assert.ok(id > ack.id);
      assert.equal(room, group);
      await ask(a, 'remove', group, users[1]);
      await ask(a, 'message', toGroup(group, 'two'));
      await got(c, 2);
      await ask(b, 'mark');
      assert.equal(messages(b).length, 1);
      assert.deepEqual((await ask(c, 'talk', { type: 'group', with: group })).messages.map((m) => m.content), ['all', 'two']);
      assert.deepEqual([messages(a).length, messages(d).length], [0, 0]);
    });

    test('a group is created once; who is added gets to know, then or later', async () => {
      const [group, ann, bob, eve] = ['g', 'ann', 'bob', 'eve'].map(name);
      const a = await Promise.all(range(2).map(() => device(server, ann)));
      const b = await device(server, bob);
      const made = await ask(a[0], 'create', group);
      assert.deepEqual([made.ok, typeof made.id], [true, 'number']);
      await got(a[1], 1);
      assert.deepEqual([messages(a[1])[0].receiver_id, messages(a[1])[0].content], [group, { type: 'created' }]);
      for (const s of [a[0], b]) assert.equal((await ask(s, 'create', group)).error, 'group_exists');
      assert.equal((await ask(b, 'invite', group, bob)).error, 'not_in_group');
      for (const user of [bob, eve]) assert.equal((await ask(a[0], 'invite', group, user)).ok, true);
      await got(b, 2);
      assert.deepEqual(messages(b).map((m) => m.content), [bob, eve].map((user) => ({ type: 'added', user })));
      const e = await device(server, eve);
      await got(e, 1);
      assert.deepEqual(messages(e).map((m) => m.content), [{ type: 'added', user: eve }]);
      for (const user of [ann, bob, eve]) await ask(a[0], 'remove', group, user);
      assert.equal((await ask(b, 'create', group)).error, 'group_exists', 'what was said there is not for others');
    });

    test('the list of conversations: the last of each, the latest first, in pages', async () => {
      const [ann, bob, carl, group] = ['ann', 'bob', 'carl', 'g'].map(name);
      const [a, b, c] = await Promise.all([ann, bob, carl].map((u) => device(server, u)));
      const list = async (s, options) => {
        const { ok, conversations, more } = await ask(s, 'conversations', ...(options ? [options] : []));
        assert.equal(ok, true);
        return [conversations.map((i) => [i.type, i.with, i.message.content]), more];
      };
      assert.deepEqual(await list(a), [[], false]);
      await ask(a, 'add', group, ann);
      await ask(a, 'message', to(bob, 1));
      await ask(b, 'message', to(ann, 2));
      await ask(c, 'message', to(ann, 3));
      await ask(a, 'message', toGroup(group, 4));
      await ask(a, 'message', to(ann, 5));
      await ask(b, 'message', to(carl, 6));
      const want = [['private', ann, 5], ['group', group, 4], ['private', carl, 3], ['private', bob, 2]];
      assert.deepEqual(await list(a), [want, false]);
      assert.deepEqual(await list(b), [[['private', carl, 6], ['private', ann, 2]], false]);
      assert.deepEqual(await list(a, { limit: 3 }), [want.slice(0, 3), true]);
      const [first] = (await ask(a, 'conversations', { limit: 1 })).conversations;
      assert.deepEqual(await list(a, { limit: 1, before: first.message.id }), [want.slice(1, 2), true]);
      const talk = await ask(a, 'talk', { type: first.type, with: first.with });
      assert.deepEqual(talk.messages, [first.message]);
      const error = async (...args) => (await ask(a, 'conversations', ...args)).error;
      for (const options of [{ limit: 0 }, { before: 'x' }, { after: 7 }, 'all']) assert.equal(await error(options), 'bad_argument');
      const nobody = await device(server, null, { nsp: '/open' });
      for (const verb of ['conversations', 'create']) assert.equal((await ask(nobody, verb, 'g')).error, 'no_user');
    });

    test('an answer is bounded in bytes: what is left out comes with the next page', async () => {
      const ann = name('ann');
      const others = range(9).map(() => name('user'));
      const a = await device(server, ann);
      const text = 'x'.repeat(20_000);
      for (const u of others) await ask(a, 'message', to(u, text));
      const seen = [];
      for (let more = true, before; more; ) {
        const page = await ask(a, 'conversations', before ? { before } : {});
        assert.ok(page.conversations.length > 0 && page.conversations.length < 9, 'max_queue is 256 KiB');
        seen.push(...page.conversations.map((i) => i.with));
        before = page.conversations.at(-1).message.id;
        more = page.more;
      }
      assert.deepEqual(seen, others.toReversed());
    });

    test('who was away gets it on return: once, in order, before what is live', async () => {
      const [ann, bob] = [name('ann'), name('bob')];
      const group = name('g');
      const a = await device(server, ann);
      await ask(a, 'add', group, ann);
      await ask(a, 'add', group, bob);
      for (const i of range(130)) await ask(a, 'message', i % 2 ? to(bob, i) : toGroup(group, i));
      const live = (async () => {
        for (const i of range(40)) await ask(a, 'message', to(bob, 130 + i));
      })();
      const b = await Promise.all(range(2).map(() => device(server, bob)));
      await live;
      await until('the last one', () => b.every((s) => messages(s).at(-1)?.content === 169), 20_000);
      // Each message reaches the devices that were there when it was handed out, and each of them once.
      const contents = b.map((s) => messages(s).map((m) => m.content));
      const most = contents[0].length > contents[1].length ? contents[0] : contents[1];
      assert.deepEqual(most, range(170));
      for (const c of contents) assert.deepEqual(c, range(170).slice(170 - c.length));
      for (const s of b) s.disconnect();
      await until('gone', async () => (await store.rows(`SELECT message_id FROM user_cursor WHERE user_id = '${bob}'`)).length);
      await sleep(50 * slow);
      const back = await device(server, bob);
      await ask(a, 'message', to(bob, 'new'));
      await got(back, 1);
      assert.deepEqual(messages(back).map((m) => m.content), ['new']);
    });

    test('thousands of missed messages come page by page, as fast as they are read', async () => {
      const [ann, bob] = [name('ann'), name('bob')];
      const a = await device(server, ann);
      const text = 'x'.repeat(700);
      for (let i = 0; i < 1500; i += 100) await Promise.all(range(100).map((k) => ask(a, 'message', to(bob, `${i + k} ${text}`))));
      const b = await device(server, bob, { transports: ['websocket'] });
      await got(b, 1500);
      assert.deepEqual(messages(b).map((m) => parseInt(m.content, 10)), range(1500));
      assert.equal(b.connected, true);
    });

    test('history in pages, both ways', async () => {
      const room = name('room');
      const s = await device(server, 'ann');
      const ids = [];
      for (const i of range(120)) ids.push((await ask(s, 'keepOthers', room, i)).id);
      const page = async (options) => {
        const { ok, messages: rows, more } = await ask(s, 'history', room, options);
        assert.equal(ok, true);
        assert.deepEqual(rows.map((r) => r.id), rows.map((r) => ids[r.content]));
        return [rows.map((r) => r.content), more];
      };
      assert.deepEqual(await page(), [range(120).slice(70), true]); // store.history_limit
      assert.deepEqual(await page({ limit: 3 }), [[117, 118, 119], true]);
      assert.deepEqual(await page({ limit: 3, before: ids[117] }), [[114, 115, 116], true]);
      assert.deepEqual(await page({ limit: 3, after: 0 }), [[0, 1, 2], true]);
      assert.deepEqual(await page({ limit: 3, after: null, before: null }), [[117, 118, 119], true]);
      assert.deepEqual(await page({ limit: 3, after: ids[2] }), [[3, 4, 5], true]);
      assert.deepEqual(await page({ after: ids[116] }), [[117, 118, 119], false]);
      assert.deepEqual(await page({ before: ids[2] }), [[0, 1], false]);
      assert.deepEqual(await page({ before: ids[5], after: ids[1] }), [[2, 3, 4], false]);
      const all = [];
      for (let before, more = true; more; before = ids[all[0]]) {
        const [part, rest] = await page({ limit: 17, before });
        all.unshift(...part);
        more = rest;
      }
      assert.deepEqual(all, range(120));
      const [row] = (await ask(s, 'history', room, { limit: 1 })).messages;
      assert.deepEqual(
        [row.conversation_type, row.sender_id, row.receiver_id, row.event, row.client_id],
        ['room', 'ann', room, 'kept', null],
      );
      const entered = await ask(s, 'enter', room, { limit: 2 });
      assert.deepEqual(entered.messages.map((r) => r.content), [118, 119]);
      await ask(s, 'say', room, 'in');
      assert.deepEqual(s.box.at(-1), ['said', 'in']);
    });

    test('what another program has written into the table breaks no packet', async () => {
      const room = name('room');
      const s = await device(server, 'ann', { parser: msgpack });
      const { id } = await ask(s, 'keepOthers', room, { json: 1 });
      await store.rows(`UPDATE message SET content = '{"json":' WHERE id = ${id}`);
      const [row] = (await ask(s, 'history', room)).messages;
      assert.equal(row.content, '{"json":');
    });

    test('rooms of one name in two namespaces are two', async () => {
      const room = name('room');
      const [root, open] = [await device(server, 'ann'), await device(server, 'ann', { nsp: '/open' })];
      await ask(root, 'keepOthers', room, 'root');
      await ask(open, 'keep', room, 'open');
      const rows = (await ask(open, 'history', room)).messages;
      assert.deepEqual(rows.map((r) => [r.content, r.receiver_id]), [['open', room]]);
      assert.equal((await ask(root, 'history', room)).messages.length, 1);
    });

    test('refusals', async () => {
      const s = await device(server, 'ann');
      const error = async (...args) => (await ask(s, ...args)).error;
      assert.equal(await error('keep', '', 1), 'bad_room');
      assert.equal(await error('keep', 'r', Buffer.from('x')), 'bad_argument');
      assert.equal(await error('message', to('bob', Buffer.from('x'))), 'bad_argument');
      assert.equal(await error('message', 7), 'bad_argument');
      assert.equal(await error('message', { conversationType: 'all', receiverId: 'b', content: 1 }), 'bad_argument');
      assert.equal(await error('message', { conversationType: 'private', content: 1 }), 'missing_argument');
      assert.equal(await error('message', { conversationType: 'private', receiverId: 'b' }), 'missing_argument');
      assert.equal(await error('message', toGroup('no such group', 1)), 'not_in_group');
      assert.equal(await error('history', 'r', { before: 'x' }), 'bad_argument');
      for (const [key, least] of [['before', 1], ['after', 0], ['limit', 1]])
        for (const value of [least - 1, -7, 1.5, 2 ** 53, 1e30, '1', true, [], {}]) {
          const { error: code, message } = await ask(s, 'history', 'r', { [key]: value });
          assert.equal(code, 'bad_argument', `${key} ${JSON.stringify(value)}`);
          assert.equal(message, `${key} must be a whole number from ${least} to 2^53 - 1`);
        }
      for (const options of [{ before: 1 }, { after: 0 }, { limit: 1 }, { before: 2 ** 53 - 1, after: 2 ** 53 - 1, limit: 2 ** 53 - 1 }, { limit: null }])
        assert.equal((await ask(s, 'history', 'r', options)).ok, true, JSON.stringify(options));
      const told = async (options) => Object.values(await ask(s, 'talk', options)).slice(1);
      assert.deepEqual(await told({ type: 'private' }), ['missing_argument', 'the options lack the key with']);
      assert.deepEqual(await told({ with: 'bob' }), ['missing_argument', 'the options lack the key type']);
      assert.deepEqual(await told({ type: 'all', with: 'bob' }), ['bad_argument', 'type is private or group']);
      assert.match((await told('bob'))[1], /^the options are an object: \{"type":"private","with":USER\}/);
      assert.equal(await error('keepOnce', 'r', { id: 'x'.repeat(200) }), 'too_long');
      assert.equal(await error('keepOthers', 'vip-1', 1), 'denied');
      assert.equal(await error('history', 'vip-1'), 'denied');
      const refused = event(s, 'error');
      s.emit('keepOthers', 'vip-1', 1);
      assert.equal((await refused).error, 'denied');
      const nobody = await device(server, null, { nsp: '/open' });
      assert.equal((await ask(nobody, 'keep', 'r', 1)).ok, true);
      assert.equal((await ask(nobody, 'keep', 'r', 1, 'id')).error, 'no_user');
    });
  });

describe('messages: the server', roomcastOnly, () => {
  afterEach(closeAll);

  test('devices on four shards come one by one while there is more: each gets all from then on, once, in order', async (t) => {
    const store = await openStore('sqlite');
    const server = await startFor(t, { ini: INI, shards: 4, options: { ...AUTH, ...store.options(), 'limits.max_queue': '64KiB' } });
    const a = await device(server, 'ann');
    const text = 'x'.repeat(200);
    const say = (i) => ask(a, 'message', i % 3 ? to('bob', [i, text]) : toGroup('g', [i, text]));
    for (const user of ['ann', 'bob']) await ask(a, 'add', 'g', user);
    for (let i = 0; i < 600; i += 50) await Promise.all(range(50).map((k) => say(i + k)));
    const b = [];
    let last = 600;
    let coming = true;
    const live = (async () => {
      while (coming) await say(last++);
    })();
    for (const i of range(8)) {
      const heard = b.length ? messages(b[0]).length : 0;
      b.push(await device(server, 'bob', i % 4 === 3 ? { transports: ['polling'] } : { transports: ['websocket'] }));
      await until('the first one goes on', () => messages(b[0]).length > heard, 20_000);
    }
    coming = false;
    await live;
    const numbers = (s) => messages(s).map((m) => m.content[0]);
    await until('the last one', () => b.every((s) => numbers(s).at(-1) === last - 1), 30_000);
    assert.deepEqual(numbers(b[0]), range(last), 'the first device has stayed');
    for (const s of b) assert.deepEqual(numbers(s), range(last).slice(last - numbers(s).length));
    for (const s of b) s.disconnect();
    await until('the cursor', async () => {
      const [row] = await store.rows("SELECT message_id = (SELECT MAX(id) FROM message) AS all_of_it FROM user_cursor WHERE user_id = 'bob'");
      return row?.all_of_it === '1';
    }, 20_000);
  });

  test('what was handed out before it ended does not come again', async (t) => {
    const store = await openStore('sqlite');
    const options = { ...AUTH, ...store.options() };
    const first = await start({ ini: INI, shards: 4, options });
    const a = await device(first, 'ann', { reconnection: false });
    const b = await Promise.all(range(3).map((i) => device(first, `bob${i}`, { reconnection: false })));
    for (const i of range(10)) await Promise.all(range(3).map((k) => ask(a, 'message', to(`bob${k}`, i))));
    for (const s of b) await got(s, 10);
    await first.stop();
    const second = await startFor(t, { ini: INI, shards: 2, options });
    const again = await Promise.all(range(3).map((i) => device(second, `bob${i}`)));
    const ann = await device(second, 'ann');
    for (const k of range(3)) await ask(ann, 'message', to(`bob${k}`, 'new'));
    for (const s of again) {
      await got(s, 1);
      assert.deepEqual(messages(s).map((m) => m.content), ['new']);
    }
  });
});
