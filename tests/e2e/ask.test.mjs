// Action ask: the server's events ask clients for acknowledgements, and the answers become the
// sender's. Roomcast's own rules, so there is no reference for them.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { ask, closeAll, connect } from './lib/client.mjs';
import { label, roomcastOnly, start } from './lib/target.mjs';

const RULES = `
[event join]
join = {1}
[event question]
ask = socket {1} within 400ms: question {2..}
[event poll]
ask = room {1} except sender within 400ms: poll {2}
[event census]
ask = all within 400ms: poll {1}
`;

// Sockets on both transports; the n-th answers polls with n, and "mute" is never answered by 3.
async function crowd(server, n) {
  const all = [];
  for (let i = 0; i < n; i++) {
    const s = await connect(server, { transports: [i % 2 ? 'websocket' : 'polling'] });
    s.on('question', (q, extra, answer) => answer(`re:${q}`, extra));
    s.on('poll', (q, answer) => (q === 'mute' && i === 3 ? null : answer(i)));
    all.push(s);
  }
  return all;
}

const byValue = (answers) => answers.flat().sort();

for (const shards of [1, 2, 4]) {
  describe(label(shards), roomcastOnly, () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards })));
    afterEach(closeAll);
    after(() => server.stop());

    test('a socket is asked: its answer is passed on as it is', async () => {
      const [a, b] = await crowd(server, 2);
      assert.deepEqual(await ask(a, 'question', b.id, 'hi', { deep: [1] }), ['re:hi', { deep: [1] }]);
      const bytes = Buffer.from([0, 1, 255]);
      assert.deepEqual(await ask(a, 'question', b.id, 'bin', bytes), ['re:bin', bytes]);
      assert.deepEqual(await ask(a, 'question', a.id, 'me', 1), ['re:me', 1]);
    });

    test('a socket that is gone, one that never was, and one that does not answer', async () => {
      const [a, b, c] = await crowd(server, 3);
      const { id } = b;
      b.disconnect();
      c.off('question');
      c.on('question', () => {});
      assert.equal((await ask(a, 'question', 'nobody', 'hi')).error, 'bad_target');
      assert.equal((await ask(a, 'question', c.id, 'hi')).error, 'timeout');
      assert.equal((await ask(a, 'question', id, 'hi')).error, 'bad_target');
    });

    test('a room is asked: all answers, without the sender', async () => {
      const all = await crowd(server, 6);
      for (const s of all.slice(0, 4)) await ask(s, 'join', 'den');
      const { ok, answers } = await ask(all[0], 'poll', 'den', 'x');
      assert.deepEqual([ok, byValue(answers)], [true, [1, 2, 3]]);
      assert.deepEqual(await ask(all[5], 'poll', 'nowhere', 'x'), { ok: true, answers: [] });
      assert.deepEqual(byValue((await ask(all[5], 'census', 'x')).answers), [0, 1, 2, 3, 4, 5]);
    });

    test('partial answers when the time is over; late ones are ignored', async () => {
      const all = await crowd(server, 4);
      for (const s of all) await ask(s, 'join', 'den');
      const r = await ask(all[0], 'poll', 'den', 'mute');
      assert.deepEqual([r.ok, r.error, byValue(r.answers)], [false, 'timeout', [1, 2]]);
      assert.deepEqual(byValue((await ask(all[0], 'poll', 'den', 'x')).answers), [1, 2, 3]);
    });

    test('an answer counts once, and only from who was asked', async () => {
      const [a, b, c] = await crowd(server, 3);
      for (const s of [a, b]) await ask(s, 'join', 'den');
      let id;
      b.off('poll');
      b.on('poll', () => {});
      b.io.engine.on('packet', ({ data }) => (id = /^2(\d+)\["poll"/.exec(data)?.[1] ?? id));
      const answer = ask(a, 'poll', 'den', 'x');
      while (!id) await new Promise((r) => setTimeout(r, 5));
      c.io.engine.write(`3${Number(id) ^ 1}["forged"]`);
      b.io.engine.write(`3${id}["mine"]`);
      b.io.engine.write(`3${id}["again"]`);
      assert.deepEqual(await answer, { ok: true, answers: [['mine']] });
    });

    test('too many open questions of one connection are refused, others go on', async () => {
      const [a, b, c] = await crowd(server, 3);
      c.off('question');
      c.on('question', () => {});
      const open = Array.from({ length: 33 }, () => ask(a, 'question', c.id, 'hi'));
      assert.equal((await open[32]).error, 'too_many_asks');
      assert.deepEqual(await ask(b, 'question', a.id, 'hi', 1), ['re:hi', 1]);
      assert.deepEqual((await Promise.all(open)).map((r) => r.error), [...Array(32).fill('timeout'), 'too_many_asks']);
      const again = Array.from({ length: 32 }, () => ask(a, 'question', b.id, 'hi', 1));
      assert.deepEqual(await Promise.all(again), again.map(() => ['re:hi', 1]), 'their places are free again');
    });
  });
}
