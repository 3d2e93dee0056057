// Dynamic namespaces: names that fit a pattern of the INI. Each is one of its own.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, client, closeAll, connect, connected, event, inbox, refusal, upgraded } from './lib/client.mjs';
import { client2, close2, connected2, inbox2 } from './lib/client2.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { SHARDS, label, roomcastOnly, sleep, start, startFor, until } from './lib/target.mjs';

const range = (n) => [...Array(n).keys()];

const EVENTS = (nsp) => `
[event ${nsp} where]
ack = {nsp} {id}

[event ${nsp} join]
join = {1}

[event ${nsp} leave]
leave = {1}

[event ${nsp} say]
require = member {1}
emit = room {1}: said {nsp} {room} {2..}

[event ${nsp} others]
emit = room {1} except sender: said {nsp} {room} {2..}

[event ${nsp} all]
emit = all: alled {nsp} {args}

[event ${nsp} rest]
emit = all except sender: alled {nsp} {args}

[event ${nsp} me]
emit = sender: me {nsp} {args}

[event ${nsp} to]
emit = socket {1}: direct {nsp} {2..}

[event ${nsp} end]
disconnect = namespace

[event ${nsp} enter]
join = rooms {1}

[event ${nsp} exit]
leave = rooms {1}

[event ${nsp} union]
emit = rooms {1} except rooms {2}, sender: said {nsp} {3..}

[event ${nsp} allbut]
emit = all except room {1}, socket {2}: said {nsp} {3..}

[event ${nsp} flash]
emit = volatile all: said {nsp} {2..}
`;

const INI = `
${EVENTS('/')}
${EVENTS('/room-*')}

[namespace /room-fixed]

[event /room-fixed where]
ack = "fixed"

[connect /tenant-*]
require = auth key else "no key for {nsp}" {"nsp":{nsp}}
join = lobby
emit = all: arrival {nsp} {auth.key}

${EVENTS('/tenant-*')}

[event /tenant-a* where]
ack = "never: /tenant-* comes first"

[event /*/x-*/end where]
ack = "deep" {nsp}

[event /chat/* where]
ack = "chat" {nsp}
`;

const invalid = (server, nsp) => refusal(client(server, { nsp }));

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: INI, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    const open = async (nsp, options) => {
      const s = await connect(server, { nsp, ...options });
      return [s, inbox(s)];
    };

    test('names that fit, and names that do not', async () => {
      for (const nsp of ['/room-1', '/room-ä', '/room-a-b', '/room-*', '/room-room-', '/room-a b']) {
        const [s] = await open(nsp);
        assert.deepEqual(await ask(s, 'where'), [nsp, s.id]);
      }
      for (const nsp of ['/room-', '/room', '/Room-1', '/room-1/', '/room-1/2', '/xroom-1', '/room-/', '/tenant'])
        assert.deepEqual(await invalid(server, nsp), ['Invalid namespace', undefined], nsp);
    });

    test('exact names come first, then patterns in the order of the file', async () => {
      assert.equal(await ask((await open('/room-fixed'))[0], 'where'), 'fixed');
      const [s] = await open('/tenant-abc', { auth: { key: 1 } });
      assert.deepEqual(await ask(s, 'where'), ['/tenant-abc', s.id]);
      assert.deepEqual(await ask((await open('/a/x-b/end'))[0], 'where'), ['deep', '/a/x-b/end']);
      assert.deepEqual(await ask((await open('/chat/x-x-/end'))[0], 'where'), ['deep', '/chat/x-x-/end']);
      assert.deepEqual(await ask((await open('/chat/x-'))[0], 'where'), ['chat', '/chat/x-']);
      assert.deepEqual(await invalid(server, '/a/x-/end'), ['Invalid namespace', undefined]);
      assert.deepEqual(await invalid(server, '/chat/a/b'), ['Invalid namespace', undefined]);
    });

    test('rooms and all are those of one name', async () => {
      const clients = [];
      for (const nsp of ['/room-a', '/room-a', '/room-b', '/', '/room-ab', '/tenant-a'])
        clients.push(await open(nsp, { auth: { key: 'k' } }));
      for (const [s] of clients) await ask(s, 'join', 'den');
      for (const [, box] of clients) box.length = 0; // arrivals
      for (const [i, [s]] of clients.entries()) {
        await ask(s, 'say', 'den', i);
        await ask(s, 'all', i);
      }
      for (const [s] of clients) await ask(s, 'me', 'last');
      const told = (nsp, ...who) => [
        ...who.flatMap((i) => [
          ['said', nsp, 'den', i],
          ['alled', nsp, i],
        ]),
        ['me', nsp, 'last'],
      ];
      const expected = [
        told('/room-a', 0, 1),
        told('/room-a', 0, 1),
        told('/room-b', 2),
        told('/', 3),
        told('/room-ab', 4),
        told('/tenant-a', 5),
      ];
      for (const [i, [, box]] of clients.entries()) {
        await box.wait(expected[i].length);
        assert.deepEqual([...box], expected[i], `client ${i}`);
      }
    });

    test('membership is that of one name', async () => {
      const [a] = await open('/room-a');
      const b = await connected(a.io.socket('/room-b'));
      await ask(a, 'join', 'den');
      assert.equal((await ask(b, 'say', 'den', 1)).error, 'not_a_member');
      assert.deepEqual(await ask(a, 'say', 'den', 1), { ok: true });
      await ask(b, 'leave', 'den');
      assert.deepEqual(await ask(a, 'say', 'den', 2), { ok: true });
      await ask(a, 'leave', 'den');
      assert.equal((await ask(a, 'say', 'den', 3)).error, 'not_a_member');
    });

    test('except the sender; one by its id, in the same namespace only', async () => {
      const [a, boxA] = await open('/room-a');
      const [b, boxB] = await open('/room-a');
      const [c, boxC] = await open('/room-c');
      await ask(a, 'join', 'den');
      await ask(b, 'join', 'den');
      await ask(a, 'others', 'den', 1);
      await ask(a, 'rest', 2);
      await ask(a, 'to', b.id, 3);
      await ask(c, 'to', b.id, 4);
      await ask(a, 'to', c.id, 5);
      await ask(b, 'to', b.id, 6);
      await ask(b, 'me', 7);
      await boxB.wait(5);
      assert.deepEqual(
        [...boxB],
        [
          ['said', '/room-a', 'den', 1],
          ['alled', '/room-a', 2],
          ['direct', '/room-a', 3],
          ['direct', '/room-a', 6],
          ['me', '/room-a', 7],
        ],
      );
      await sleep(20);
      assert.deepEqual([[...boxA], [...boxC]], [[], []]);
    });

    test('unions, except rooms, volatile', async () => {
      const all = [];
      for (const nsp of ['/room-a', '/room-a', '/room-a', '/room-b']) all.push(await open(nsp));
      const [[a, boxA], [b, boxB], [c, boxC], [d, boxD]] = all;
      for (const [s] of all) await ask(s, 'enter', ['r0', 'r1', 'r2', 'r3']);
      await ask(c, 'enter', ['muted']);
      await ask(b, 'exit', ['r0', 'r1']);
      await ask(a, 'union', ['r0', 'r1', 'r2'], ['none'], 1); // b, c: once each
      await ask(a, 'union', ['r0', 'r1'], [], 2); // c
      await ask(a, 'union', ['r2', 'r3'], ['muted'], 3); // b
      await ask(b, 'allbut', 'muted', a.id, 4); // b
      await ask(a, 'allbut', 'none', d.id, 5); // another namespace's id leaves nobody out
      await ask(d, 'union', ['r0'], ['muted'], 6); // nobody
      await ask(d, 'allbut', 'muted', b.id, 7); // d
      await ask(b, 'flash', 'r2', 8);
      for (const [s] of all) await ask(s, 'me', 'last');
      for (const [, box] of all) await until('the last', () => box.at(-1)?.[0] === 'me');
      const told = (box) => box.filter((m) => m[0] === 'said').map((m) => m[2]);
      assert.deepEqual([boxA, boxB, boxC, boxD].map((box) => told(box)), [[5, 8], [1, 3, 4, 5, 8], [1, 2, 5, 8], [7]]);
    });

    test('binary both ways, polling and after an upgrade', async () => {
      const b = Buffer.from('binary');
      for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
        const [s, box] = await open('/room-bin', { transports });
        if (transports.length > 1) await upgraded(s);
        assert.deepEqual(await ask(s, 'all', b, { b }), { ok: true });
        await box.wait(1);
        assert.deepEqual(box[0], ['alled', '/room-bin', b, { b }]);
        s.disconnect();
      }
    });

    test('what [connect] says, for each name', async () => {
      assert.deepEqual(await refusal(client(server, { nsp: '/tenant-x' })), ['no key for /tenant-x', { nsp: '/tenant-x' }]);
      const [x, boxX] = await open('/tenant-x', { auth: { key: 'X' } });
      const [y] = await open('/tenant-y', { auth: { key: 'Y' } });
      await open('/tenant-x', { auth: { key: 'X2' } });
      await until('the arrival', () => boxX.some((m) => m[2] === 'X2'));
      assert.ok(!boxX.some((m) => m[2] === 'Y'));
      assert.deepEqual(await ask(x, 'say', 'lobby', 1), { ok: true });
      assert.deepEqual(await ask(y, 'say', 'lobby', 1), { ok: true });
    });

    test('many of one connection; leaving one, ended by a rule, and back', async () => {
      const [a] = await open('/room-0');
      const more = [];
      for (const i of range(8)) more.push(await connected(a.io.socket(`/room-m${i}`)));
      for (const [i, s] of more.entries()) assert.deepEqual((await ask(s, 'where'))[0], `/room-m${i}`);
      more[3].disconnect();
      const end = event(more[4], 'disconnect');
      more[4].emit('end');
      assert.equal((await end)[0], 'io server disconnect');
      assert.deepEqual((await ask(more[5], 'where'))[0], '/room-m5');
      const back = await connected(more[4]);
      const box = inbox(back);
      await ask(back, 'all', 'again');
      await box.wait(1);
      assert.deepEqual([...box], [['alled', '/room-m4', 'again']]);
    });

    test('clients that come and go while others talk', async () => {
      const [keeper, box] = await open('/room-busy');
      let sent = 0;
      let done = false;
      const talk = (async () => {
        while (!done) await ask(keeper, 'all', sent++);
      })();
      for (let round = 0; round < 10; round++) {
        const some = await Promise.all(range(4).map((i) => open(i % 2 ? '/room-busy' : `/room-${round}-${i}`)));
        await Promise.all(some.map(([s], i) => ask(s, 'join', `r${i}`)));
        for (const [s] of some) s.disconnect();
      }
      done = true;
      await talk;
      await box.wait(sent);
      assert.deepEqual(
        box.map((m) => m[2]),
        range(sent),
      );
    });

    test('the bytes: hostile names', async () => {
      const names = {
        '/room-\0': 'Invalid namespace',
        '/room-a\0den': 'Invalid namespace',
        '/room-a\n': 'Invalid namespace',
        '/room-a\x7f': 'Invalid namespace',
        '/room-a?x=1': 'Invalid namespace',
        '/room-?': 'Invalid namespace',
        [`/room-${'x'.repeat(122)}`]: null, // 128 bytes
        [`/room-${'ü'.repeat(61)}`]: null,
        '/room-"': null,
        '/room-\\': null,
        '/room-{1}': null,
        '/room-%s%n': null,
        '/room-\u2028': null,
        '/room-[[': null,
      };
      const ws = await Socket.open(server, { namespace: '/' });
      for (const [name, error] of Object.entries(names)) {
        ws.send(`40${name},`);
        const answer = await ws.next();
        if (error) {
          assert.equal(answer, `44${name},{"message":"${error}"}`);
          continue;
        }
        assert.ok(answer.startsWith(`40${name},{"sid":"`), answer);
        ws.send(`42${name},1["me"]`);
        assert.deepEqual((await ws.take(2)).sort(), [
          `42${name},["me",${JSON.stringify(name)}]`,
          `43${name},1[{"ok":true}]`,
        ]);
        ws.send(`41${name},`);
      }
      ws.send('40/room-a,b,'); // what is behind the comma is no object
      await ws.close();
    });

    test('a second CONNECT, and packets of a name that was not joined', async () => {
      for (const packet of ['40/room-a,', '42/room-b,["me"]', '41/room-b,', '43/room-b,1[]', '42/room-*,["me"]']) {
        const ws = await Socket.open(server, { namespace: '/room-a' });
        ws.send(packet);
        await ws.close();
      }
      const poll = await Polling.open(server, { namespace: '/room-a' });
      await poll.join('/room-b');
      await poll.post('42/room-a,["me",1]', '42/room-b,["me",2]', '41/room-a,', '42/room-b,["me",3]');
      assert.deepEqual(await poll.packets(3), [
        '42/room-a,["me","/room-a",1]',
        '42/room-b,["me","/room-b",2]',
        '42/room-b,["me","/room-b",3]',
      ]);
    });
  });
}

describe('clients of Socket.IO 2', () => {
  afterEach(() => {
    closeAll();
    close2();
  });

  test('in one namespace with new ones', async (t) => {
    const server = await startFor(t, { ini: INI, shards: 2, options: { 'socketio.allow_eio3': 'yes' } });
    const old = await connected2(client2(server, { nsp: '/room-a' }));
    const now = await connect(server, { nsp: '/room-a' });
    const other = await connected2(client2(server, { nsp: '/room-b' }));
    const [atOld, atNow, atOther] = [inbox2(old, 'alled', 'direct'), inbox(now), inbox2(other, 'alled', 'direct')];
    assert.deepEqual(await ask(old, 'where').then((r) => r[0] ?? r), '/room-a');
    await ask(old, 'all', 1);
    await ask(now, 'all', 2);
    await ask(now, 'to', old.id, 3);
    await ask(other, 'to', old.id, 4);
    await atOld.wait(3);
    await atNow.wait(2);
    await sleep(20);
    assert.deepEqual([...atOld], [
      ['alled', '/room-a', 1],
      ['alled', '/room-a', 2],
      ['direct', '/room-a', 3],
    ]);
    assert.deepEqual([...atNow], [
      ['alled', '/room-a', 1],
      ['alled', '/room-a', 2],
    ]);
    assert.deepEqual([...atOther], []);
  });
});

describe('what only roomcast has', roomcastOnly, () => {
  afterEach(closeAll);

  const WATCH = `
[event /room-* join]
join = {1}
[event /room-* leave]
leave = {1}
[event /room-* watch]
watch = rooms
[event /room-* unwatch]
unwatch = rooms
[event /room-* vote]
ask = all except sender within 5s: vote {1}
[event /room-* one]
ask = socket {1} within 300ms: vote {2}
`;

  // The list as a watcher knows it.
  const follow = (box) => {
    const rooms = {};
    for (const [name, { full, rooms: changes }] of box) {
      assert.equal(name, 'rooms');
      if (full) for (const k of Object.keys(rooms)) delete rooms[k];
      for (const { room, members } of changes) {
        if (members) rooms[room] = members;
        else delete rooms[room];
      }
    }
    return rooms;
  };

  for (const shards of SHARDS) {
    test(`the list of rooms of each name, ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini: WATCH, shards });
      const a = [];
      for (let i = 0; i < 3; i++) a.push(await connect(server, { nsp: '/room-a' }));
      const b = await connect(server, { nsp: '/room-b' });
      for (const s of a) await ask(s, 'join', 'before');
      await ask(b, 'join', 'other');
      const [boxA, boxB] = [inbox(a[0]), inbox(b)];
      await ask(a[0], 'watch');
      await ask(b, 'watch');
      const shows = (box, expected) =>
        until(`${JSON.stringify(expected)}, not ${JSON.stringify(box)}`, () => {
          const rooms = follow(box);
          return JSON.stringify(Object.entries(rooms).sort()) === JSON.stringify(Object.entries(expected).sort());
        });
      await shows(boxA, { before: 3 });
      await shows(boxB, { other: 1 });
      for (const [i, s] of a.entries()) await ask(s, 'join', `r${i}`);
      await ask(a[2], 'leave', 'before');
      await shows(boxA, { before: 2, r0: 1, r1: 1, r2: 1 });
      a[1].disconnect();
      a[2].disconnect();
      await shows(boxA, { before: 1, r0: 1 });
      assert.deepEqual(follow(boxB), { other: 1 });
      // All watchers and members gone, and back.
      a[0].disconnect();
      await sleep(300);
      const again = await connect(server, { nsp: '/room-a' });
      const box = inbox(again);
      await ask(again, 'watch');
      await ask(again, 'join', 'new');
      await shows(box, { new: 1 });
      await ask(b, 'unwatch');
      const before = boxB.length;
      await ask(b, 'join', 'unseen');
      await sleep(400);
      assert.equal(boxB.length, before);
    });

    test(`questions, ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini: WATCH, shards });
      const all = [];
      for (const nsp of ['/room-a', '/room-a', '/room-a', '/room-b', '/room-b']) {
        const s = await connect(server, { nsp });
        s.on('vote', (topic, answer) => answer(`${nsp} ${topic}`));
        all.push(s);
      }
      assert.deepEqual(await ask(all[0], 'vote', 'x'), { ok: true, answers: [['/room-a x'], ['/room-a x']] });
      assert.deepEqual(await ask(all[3], 'vote', 'y'), { ok: true, answers: [['/room-b y']] });
      assert.equal(await ask(all[0], 'one', all[1].id, 'z'), '/room-a z');
      assert.equal((await ask(all[0], 'one', all[3].id, 'z')).error, 'bad_target');
    });
  }

  test('limits.max_namespaces', async (t) => {
    const options = { 'limits.max_namespaces': '3', 'limits.max_sockets': '8' };
    const server = await startFor(t, { ini: WATCH, options });
    const a = await connect(server, { nsp: '/room-0' });
    const more = [];
    for (const i of [1, 2]) more.push(await connected(a.io.socket(`/room-${i}`)));
    const told = ['too many namespaces', { code: 'limit', key: 'limits.max_namespaces' }];
    assert.deepEqual(await invalid(server, '/room-3'), told);
    const b = await connect(server, { nsp: '/room-2' }); // it is there
    more[1].disconnect();
    await sleep(20);
    assert.deepEqual(await invalid(server, '/room-3'), told, 'one has a socket left');
    b.disconnect();
    await until('room for another', async () => {
      const s = client(server, { nsp: '/room-3' });
      return connected(s).catch(() => null);
    });
    assert.deepEqual(await invalid(server, '/room-4'), told);
  });

  test('rooms of a socket: that of all does not count', async (t) => {
    const options = { 'limits.max_rooms_per_socket': '2' };
    const s = await connect(await startFor(t, { ini: WATCH, options }), { nsp: '/room-a' });
    const results = [];
    for (const r of ['a', 'b', 'c']) results.push((await ask(s, 'join', r)).error ?? 'ok');
    assert.deepEqual(results, ['ok', 'ok', 'too_many_rooms']);
    await ask(s, 'leave', 'a');
    assert.deepEqual(await ask(s, 'join', 'c'), { ok: true });
    assert.equal((await ask(s, 'join', '\u0001rooms')).error, 'bad_room');
    assert.equal((await ask(s, 'join', '')).error, 'bad_room');
  });

  for (const shards of SHARDS) {
    test(`10,000 names came and went, ${label(shards)}`, async (t) => {
      const server = await startFor(t, { ini: WATCH, shards, options: { 'limits.max_namespaces': '50' } });
      // As many at a time as the limit lets in; a name that stayed would be one too many.
      const sockets = await Promise.all(range(4).map(() => Socket.open(server, { namespace: '/room-keep' })));
      for (let i = 0; i < 10_000; i += 40) {
        for (const [j, ws] of sockets.entries()) {
          for (let n = 0; n < 10; n++) {
            const name = `/room-${i + j * 10 + n}`;
            ws.send(`40${name},`, `42${name},7["join","den"]`, `42${name},["watch"]`, `41${name},`);
          }
        }
        for (const ws of sockets) {
          for (let acks = 0; acks < 10;) {
            const packet = await ws.next();
            assert.match(packet, /^4[023]\/room-\d+,/);
            acks += packet[1] === '3';
          }
        }
      }
      sockets.forEach((ws) => ws.destroy());
    });
  }
});
