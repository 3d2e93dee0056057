// What the rules of an INI file make of events; each also carried out on the npm server.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, client, closeAll, connect, connected, event, inbox } from './lib/client.mjs';
import { SHARDS, label, sleep, start, startFor, until } from './lib/target.mjs';

const INI = `
[connect]
join = everyone
join = "user {auth.name}"
emit = sender: hello {id} {auth.name} {nsp} "{auth.name} of {nsp}"

[event place]
emit = sender: placed {1} "{1}" {2?} "<{2?}>" {id} "{id}" {event} {nsp} {room}

[event keys]
emit = sender: keyed {1.a} "<{1.a}>" {1.b?} "<{1.b?}>" {2.a?} {1.c}
join = {1.a}
emit = room {1.a}: {1.a} {"of":{room}}

[event time]
emit = sender: timed {time} "{time}"

[event braces]
emit = sender: braced "{{1}" {"{{": "{{{1}"} [ {1}, [ "{1}" ] ] -1.5e3 true null

[event rest]
emit = sender: rested {2..} "end"
emit = sender: rested {args} {args}
ack = {2..}

[event named]
emit = sender: did-{1} {event}

[event rooms]
join = {1}
emit = room {1}: first {room}
join = "{1} too"
emit = room "{1} too": second {room} {"in":{room}}
leave = {1}
emit = room {1}: lost {room}
emit = sender: last {room}

[event guarded]
emit = sender: before
require = member {1}
emit = sender: after
ack = "in"

[event tooFew]
emit = sender: one {1}
emit = sender: two {2}
emit = sender: three {1}

[event auto]
ack = auto
emit = sender: sent

[event early]
ack = {"early":{1}}
emit = sender: late

[event none]
require = member "nobody here"
ack = none

[event to]
emit = socket {1}: direct {id} {2..}

[event all]
emit = all: broadcast {args}

[event others]
emit = all except sender: broadcast {args}

[event with blanks]
ack = "with blanks"

[event 7]
ack = "seven"

[event stop]
emit = sender: stopping
disconnect = namespace

[event *]
emit = sender: fallback {event} {args}
ack = {"fallback":{event}}

[event /strict known]
ack = {"known":true}

[connect /greet]
emit = all: arrival {auth.name} {id}
`;

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: INI, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    // A client past its greeting, and its inbox.
    const open = async (auth, nsp = '/') => {
      const s = client(server, { nsp, auth });
      const box = inbox(s);
      await connected(s);
      if (nsp === '/') {
        await box.wait(1);
        box.hello = box.shift();
      }
      return [s, box];
    };

    test('connect: rooms and greeting, with what the client said of itself', async () => {
      const [a, boxA] = await open({ name: 'Ada', other: 1 });
      assert.deepEqual(boxA.hello, ['hello', a.id, 'Ada', '/', 'Ada of /']);
      const [b, boxB] = await open();
      assert.deepEqual(boxB.hello, ['hello', b.id, null, '/', ' of /']);
      assert.equal(await ask(a, 'guarded', 'user Ada'), 'in');
      assert.equal((await ask(b, 'guarded', 'user Ada')).error, 'not_a_member');
    });

    test('placeholders as values and inside of texts', async () => {
      const [a, box] = await open();
      const cases = ['text', 'ü"\\{2}', 5, -0.5, true, false, null];
      for (const v of cases) a.emit('place', v);
      a.emit('place', 'x', 'second');
      a.emit('place', 'x', 2);
      await box.wait(cases.length + 2);
      cases.forEach((v, i) => {
        assert.deepEqual(box[i], ['placed', v, String(v), null, '<>', a.id, a.id, 'place', '/', '']);
      });
      assert.deepEqual(box.at(-2).slice(1, 5), ['x', 'x', 'second', '<second>']);
      assert.deepEqual(box.at(-1).slice(3, 5), [2, '<2>']);
    });

    test('objects and binary as whole values', async () => {
      const [a, box] = await open();
      a.emit('rest', { a: [1] }, Buffer.from('b'), { c: Buffer.from('d') });
      await box.wait(2);
      const args = [{ a: [1] }, Buffer.from('b'), { c: Buffer.from('d') }];
      assert.deepEqual(
        [...box],
        [
          ['rested', ...args.slice(1), 'end'],
          ['rested', ...args, ...args],
        ],
      );
    });

    test('an object where a text is needed', async () => {
      const [a, box] = await open();
      const r = await ask(a, 'place', { x: 1 });
      assert.deepEqual([r.ok, r.error], [false, 'bad_argument']);
      assert.equal((await ask(a, 'place', [1])).error, 'bad_argument');
      assert.deepEqual([...box], []);
    });

    test('keys of an object', async () => {
      const [a, box] = await open();
      const c = { deep: [Buffer.from('bytes'), 'ü'] };
      assert.deepEqual(await ask(a, 'keys', { a: 'x"y', c }), { ok: true });
      assert.deepEqual(
        [...box.splice(0)],
        [
          ['keyed', 'x"y', '<x"y>', null, '<>', null, c],
          ['x"y', { of: 'x"y' }],
        ],
      );
      await ask(a, 'keys', { a: 5, b: false, c: null }, { a: 'second' });
      assert.deepEqual(box.splice(0)[0], ['keyed', 5, '<5>', false, '<false>', 'second', null]);
    });

    test('keys that are not there', async () => {
      const [a, box] = await open();
      const lacks = (key) => ({
        ok: false,
        error: 'missing_argument',
        message: `argument 1 lacks the key ${key}`,
      });
      assert.deepEqual(await ask(a, 'keys', { b: 1 }), lacks('a'));
      assert.deepEqual(await ask(a, 'keys', { a: 1 }), lacks('c'));
      assert.deepEqual(await ask(a, 'keys', 'a'), lacks('a'));
      assert.deepEqual(await ask(a, 'keys', [1]), lacks('a'));
      assert.equal((await ask(a, 'keys')).message, 'argument 1 is missing');
      assert.equal((await ask(a, 'keys', { a: {}, c: 1 })).error, 'bad_argument');
      assert.deepEqual([...box], []);
    });

    test('time', async () => {
      const [a, box] = await open();
      a.emit('time');
      const [[, number, text]] = await box.wait(1);
      assert.ok(Number.isInteger(number) && Math.abs(number - Date.now()) < 60_000);
      assert.match(text, /^\d{13}$/);
    });

    test('braces and constants', async () => {
      const [a, box] = await open();
      a.emit('braces', 'x');
      await box.wait(1);
      assert.deepEqual(box[0], ['braced', '{1}', { '{': '{x' }, ['x', ['x']], -1500, true, null]);
    });

    test('all arguments, the rest of them, none', async () => {
      const [a, box] = await open();
      assert.deepEqual(await ask(a, 'rest', 1, 2, 3), [2, 3]);
      assert.deepEqual(
        [...box.splice(0)],
        [
          ['rested', 2, 3, 'end'],
          ['rested', 1, 2, 3, 1, 2, 3],
        ],
      );
      assert.equal(await ask(a, 'rest'), undefined);
      assert.deepEqual([...box], [['rested', 'end'], ['rested']]);
    });

    test('an event name with a placeholder', async () => {
      const [a, box] = await open();
      a.emit('named', 'this');
      await box.wait(1);
      assert.deepEqual(box[0], ['did-this', 'named']);
    });

    test('actions in their order; {room} is the room named last', async () => {
      const [a, box] = await open();
      assert.deepEqual(await ask(a, 'rooms', 'den'), { ok: true });
      assert.deepEqual(
        [...box],
        [
          ['first', 'den'],
          ['second', 'den too', { in: 'den too' }],
          ['last', 'den'],
        ],
      );
    });

    test('a refusal ends the rule where it happens', async () => {
      const [a, box] = await open();
      assert.equal((await ask(a, 'guarded', 'elsewhere')).error, 'not_a_member');
      assert.deepEqual([...box.splice(0)], [['before']]);
      assert.equal(await ask(a, 'guarded', 'everyone'), 'in');
      assert.deepEqual([...box.splice(0)], [['before'], ['after']]);
      assert.equal((await ask(a, 'tooFew', 1)).error, 'missing_argument');
      assert.deepEqual([...box.splice(0)], [['one', 1]]);
      a.emit('tooFew', 1);
      await box.wait(2);
      assert.deepEqual(
        [box[1][0], box[1][1].event, box[1][1].error],
        ['error', 'tooFew', 'missing_argument'],
      );
    });

    test('acks: auto, early, none', async () => {
      const [a, box] = await open();
      assert.deepEqual(await ask(a, 'auto'), { ok: true });
      assert.deepEqual([...box.splice(0)], [['sent']]);
      a.emit('early', 5, (answer) => box.push(['ack', answer]));
      await box.wait(2);
      assert.deepEqual([...box.splice(0)], [['ack', { early: 5 }], ['late']]);
      await assert.rejects(a.timeout(200).emitWithAck('none'), /timed out/);
      assert.deepEqual([box[0][0], box[0][1].error], ['error', 'not_a_member'], 'told by an event instead');
    });

    test('one by its id; an id that is none', async () => {
      const [a, boxA] = await open();
      const [b, boxB] = await open();
      assert.deepEqual(await ask(a, 'to', b.id, 1, { x: 2 }), { ok: true });
      await boxB.wait(1);
      assert.deepEqual(boxB[0], ['direct', a.id, 1, { x: 2 }]);
      await ask(a, 'to', a.id, 'me');
      await boxA.wait(1);
      b.disconnect();
      await ask(a, 'to', b.id, 'gone');
      await sleep(20);
      assert.deepEqual([...boxA], [['direct', a.id, 'me']]);
    });

    test('everybody, everybody else', async () => {
      const [a, boxA] = await open();
      const [, boxB] = await open();
      a.emit('all', 1);
      a.emit('others', 2);
      await boxB.wait(2);
      await sleep(20);
      assert.deepEqual([...boxA], [['broadcast', 1]]);
      assert.deepEqual(
        [...boxB],
        [
          ['broadcast', 1],
          ['broadcast', 2],
        ],
      );
    });

    test('the fallback, and names that are odd', async () => {
      const [a, box] = await open();
      assert.deepEqual(await ask(a, 'nobody-knows', 1, 2), { fallback: 'nobody-knows' });
      assert.deepEqual([...box.splice(0)], [['fallback', 'nobody-knows', 1, 2]]);
      assert.equal(await ask(a, 'with blanks'), 'with blanks');
      assert.deepEqual(await ask(a, '*', 'x'), { fallback: '*' });
      assert.deepEqual(await ask(a, 'Place', 'x'), { fallback: 'Place' }, 'case counts');
    });

    test('without a fallback an unknown event is refused', async () => {
      const s = await connect(server, { nsp: '/strict' });
      assert.deepEqual(await ask(s, 'known'), { known: true });
      const r = await ask(s, 'unknown');
      assert.deepEqual([r.ok, r.error], [false, 'unknown_event']);
      const box = inbox(s);
      s.emit('unknown', 1);
      assert.deepEqual(await ask(s, 'known'), { known: true });
      assert.deepEqual([...box], [], 'it is ignored without an ack');
    });

    test('a rule may end the stay', async () => {
      const [a, box] = await open();
      const end = event(a, 'disconnect');
      a.emit('stop');
      assert.equal((await end)[0], 'io server disconnect');
      assert.deepEqual([...box], [['stopping']]);
    });

    test('connect rules tell everybody', async () => {
      const [, boxA] = await open({ name: 'Ada' }, '/greet');
      const [b, boxB] = await open({ name: 'Bob' }, '/greet');
      await boxA.wait(1);
      assert.deepEqual(boxA.at(-1), ['arrival', 'Bob', b.id]);
      await until('Bob to hear of himself', () => boxB.some((m) => m[1] === 'Bob'));
    });
  });
}

describe('policies', () => {
  afterEach(closeAll);
  const RULE = '[event ok]\nemit = sender: done\n[event no]\nrequire = member x\n';

  test('ack_policy = none, error_event of another name', async (t) => {
    const options = { 'socketio.ack_policy': 'none', 'socketio.error_event': 'oops' };
    const s = await connect(await startFor(t, { ini: RULE, options }));
    const box = inbox(s);
    await assert.rejects(s.timeout(200).emitWithAck('ok'), /timed out/);
    s.emit('no');
    await box.wait(2);
    assert.deepEqual(
      box.map((m) => m[0]),
      ['done', 'oops'],
    );
  });

  test('error_event = nothing', async (t) => {
    const s = await connect(await startFor(t, { ini: RULE, options: { 'socketio.error_event': '' } }));
    const box = inbox(s);
    s.emit('no');
    s.emit('ok');
    await box.wait(1);
    assert.deepEqual([...box], [['done']]);
  });

  test('unknown_event = disconnect', async (t) => {
    const s = await connect(
      await startFor(t, { ini: RULE, options: { 'socketio.unknown_event': 'disconnect' } }),
    );
    const end = event(s, 'disconnect');
    s.emit('ok');
    s.emit('what');
    assert.match((await end)[0], /^(io server disconnect|transport close)$/);
  });
});
