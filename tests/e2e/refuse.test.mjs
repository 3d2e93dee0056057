// Clients that are not let in, and events that are refused with a message and data of the rule.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, client, closeAll, connect, connected, event, inbox, refusal } from './lib/client.mjs';
import { client2, close2, connected2 } from './lib/client2.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { SHARDS, label, reference, start, startFor, until } from './lib/target.mjs';

const INI = `
[event ask]
ack = {args}

[event rooms]
emit = room den: found {1}

[connect /named]
require = auth name else "who are you?" {"code":401,"nsp":{nsp}}
join = den
emit = all: arrival {auth.name}

[event /named rooms]
emit = room den: found {1}
ack = "told"

[connect /secret]
require = auth token
require = same {auth.token} "open, sesame" else "wrong token {auth.token}"

[event /secret ask]
ack = {args}

[connect /closed]
refuse = "come back later, {auth.name}" {"retry":[60,null],"you":{auth.name}}

[event give]
require = same {1} "the \\"word\\"" else "not {1}" {"said":{1},"all":{2?}}
ack = "right"

[event member]
require = member {1} else "you are not in {room}"
ack = "in"

[event no]
refuse = never {1}

[event late]
emit = sender: first
refuse = "too late"
`;

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: INI, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    for (const transport of ['polling', 'websocket']) {
      const open = (nsp, auth) => client(server, { nsp, auth, transports: [transport] });

      test(`${transport}: connect_error has the message and the data of the rule`, async () => {
        const told = ['who are you?', { code: 401, nsp: '/named' }];
        assert.deepEqual(await refusal(open('/named')), told);
        assert.deepEqual(await refusal(open('/named', {})), told);
        assert.deepEqual(await refusal(open('/named', { name: null })), told);
        assert.deepEqual(await refusal(open('/named', { name: '' })), told);
        assert.deepEqual(await refusal(open('/named', { Name: 'x' })), told);
        for (const name of ['Ann', 0, false, ['a']]) await connected(open('/named', { name }));
        assert.deepEqual(await refusal(open('/closed', { name: 'Ann' })), [
          'come back later, Ann',
          { retry: [60, null], you: 'Ann' },
        ]);
        assert.deepEqual(await refusal(open('/closed')), [
          'come back later, ',
          { retry: [60, null], you: null },
        ]);
      });

      test(`${transport}: without data there is none`, async () => {
        assert.deepEqual(await refusal(open('/secret', { token: 'x"y' })), ['wrong token x"y', undefined]);
        const [message, data] = await refusal(open('/secret'));
        assert.ok(message.length > 0);
        assert.equal(data, undefined);
        const s = await connected(open('/secret', { token: 'open, sesame' }));
        assert.deepEqual(await ask(s, 'ask', 1), 1);
      });

      test(`${transport}: other namespaces of the connection stay, and it may try again`, async () => {
        const main = await connected(client(server, { transports: [transport] }));
        const other = main.io.socket('/named', { auth: {} });
        assert.deepEqual((await refusal(other))[0], 'who are you?');
        assert.equal(await ask(main, 'ask', 'still here'), 'still here');
        assert.equal(other.connected, false);
        other.auth = { name: 'Ann' };
        await connected(other);
        assert.equal(await ask(other, 'rooms', 1), 'told');
        assert.equal(await ask(main, 'ask', 'and now'), 'and now');
      });
    }

    test('who is refused has joined nothing and reached nobody', async () => {
      const ann = await connect(server, { nsp: '/named', auth: { name: 'Ann' } });
      const box = inbox(ann);
      await refusal(client(server, { nsp: '/named', auth: {} }));
      const bob = await connect(server, { nsp: '/named', auth: { name: 'Bob' } });
      await ask(bob, 'rooms', 1);
      await until('what the room was told', () => box.some((m) => m[0] === 'found'));
      assert.deepEqual([...box].filter((m) => m[1] !== 'Ann'), [
        ['arrival', 'Bob'],
        ['found', 1],
      ]);
    });

    test('the bytes; what follows in the same payload', async () => {
      const ws = await Socket.open(server);
      ws.send('40/secret,{"token":"no"}');
      assert.equal(await ws.next(), '44/secret,{"message":"wrong token no"}');
      ws.send('40/named,{"name":""}', '40');
      assert.equal(await ws.next(), '44/named,{"message":"who are you?","data":{"code":401,"nsp":"/named"}}');
      assert.match(await ws.next(), /^40\{"sid":/);
      ws.send('40/nowhere,');
      assert.equal(await ws.next(), '44/nowhere,{"message":"Invalid namespace"}');
      ws.send('421["ask"]');
      assert.equal(await ws.next(), '431[]');
      ws.send('42/named,["rooms"]'); // the namespace was not joined
      await ws.closed;
    });

    test('events are refused with the message and the data of the rule', async () => {
      const s = await connect(server);
      const box = inbox(s);
      assert.equal(await ask(s, 'give', 'the "word"'), 'right');
      const told = { ok: false, error: 'not_same', message: 'not x', data: { said: 'x', all: null } };
      assert.deepEqual(await ask(s, 'give', 'x'), told);
      assert.deepEqual(await ask(s, 'give', 'x', { a: [1] }), { ...told, data: { said: 'x', all: { a: [1] } } });
      assert.equal((await ask(s, 'give')).error, 'missing_argument');
      assert.equal((await ask(s, 'give', {})).error, 'bad_argument');
      s.emit('give', 'y', 2);
      await box.wait(1);
      assert.deepEqual(box.shift(), [
        'error',
        { event: 'give', error: 'not_same', message: 'not y', data: { said: 'y', all: 2 } },
      ]);
      assert.deepEqual(await ask(s, 'member', 'den'), {
        ok: false,
        error: 'not_a_member',
        message: 'you are not in den',
      });
      assert.equal(await ask(s, 'member', s.id), 'in');
      assert.equal((await ask(s, 'late')).message, 'too late');
      assert.deepEqual([...box], [['first']]);
    });

    test('binary data of a refusal', async () => {
      const s = await connect(server);
      const box = inbox(s);
      const b = Buffer.from('bytes');
      const told = { error: 'refused', message: 'never', data: b };
      assert.deepEqual(await ask(s, 'no', b), { ok: false, ...told });
      s.emit('no', b);
      await box.wait(1);
      assert.deepEqual(box[0], ['error', { event: 'no', ...told }]);
      assert.deepEqual((await ask(s, 'give', 'x', { b })).data, { said: 'x', all: { b } });
      assert.equal((await ask(s, 'no')).error, 'missing_argument');
    });
  });
}

test('clients of Socket.IO 2 get the data alone, or else the message', async (t) => {
  t.after(close2);
  const server = await startFor(t, { ini: INI, shards: 2, options: { 'socketio.allow_eio3': 'yes' } });
  const told = async (nsp) => {
    const s = client2(server, { nsp });
    const failed = event(s, 'error');
    s.connect();
    return failed;
  };
  assert.deepEqual(await told('/named'), { code: 401, nsp: '/named' });
  assert.equal(await told('/secret?token=no'), 'wrong token no');
  const s = client2(server, { nsp: '/secret?token=open%2C%20sesame' });
  assert.equal(await ask(await connected2(s), 'ask', 5), 5);
});

describe('time', () => {
  afterEach(closeAll);

  test('a refused client is still to join one in time', async (t) => {
    const options = { 'socketio.connect_timeout': '300ms' };
    const server = await startFor(t, { ini: INI, options });
    const ws = await Socket.open(server);
    ws.send('40/closed,');
    assert.match(await ws.next(), /^44\/closed,\{"message":"come back later, "/);
    await ws.closed;
    const poll = await Polling.open(server);
    await poll.post('40/closed,');
    assert.match((await poll.packets(1))[0], /^44\/closed,/);
    await poll.poll().catch(() => {}); // told that it is closed
    await until('the session to be gone', async () => (await poll.get()).status === 400);
  });

  test('10,000 refused clients leave nothing behind', { skip: reference }, async (t) => {
    const server = await startFor(t, { ini: INI, shards: 2 });
    const ws = await Socket.open(server, { namespace: '/' });
    for (let i = 0; i < 10_000; i++) ws.send('40/secret,{"token":"no"}');
    for (let i = 0; i < 10_000; i++) assert.match(await ws.next(), /^44/);
    ws.send('40/secret,{"token":"open, sesame"}');
    assert.match(await ws.next(), /^40\/secret,/);
    ws.destroy();
  });
});
