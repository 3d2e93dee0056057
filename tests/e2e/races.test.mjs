// The races of the protocol, many times each: requests of one session that meet on several TCP
// connections, and so on several shards, with small random delays between the two sides. Whichever
// comes first, the outcome is one of those that are named here, and nothing is left behind.
//
// ROOMCAST_RACES   how often (100; the suite `races` does each 1,000 times)
// ROOMCAST_SEED    repeats the delays of a run
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { eioPath } from './lib/eio.mjs';
import { random } from './lib/random.mjs';
import { BAD, Session, Swarm, UNKNOWN, inParallel, oneOf, same } from './lib/swarm.mjs';
import { SHARDS, label, reference, roomcastOnly, sleep, slow, start, until } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const TIMES = Number(process.env.ROOMCAST_RACES || 100);
const SEED = Number(process.env.ROOMCAST_SEED || Date.now() % 1e9);
const AT_ONCE = 50;
const MAX_CONNS = 256; // few, so that sessions which stay are noticed

const QUIET = { 'socketio.ping_interval': '10m', 'limits.idle_timeout': '10m', 'log.level': 'warn' };
const OVERLAP = '400 '; // no body

// No time at all, a turn, or some milliseconds.
async function gap(rng) {
  const n = rng.below(10);
  if (n < 4) return;
  await (n < 6 ? new Promise(setImmediate) : sleep(rng.below(6)));
}

function packets(answer) {
  same(answer.slice(0, 4), '200 ', answer);
  return answer.slice(4).split('\x1e');
}

// Both, in either order, with a gap.
async function both(rng, a, b) {
  const results = [];
  const first = rng.below(2);
  results[first] = first ? b() : a();
  await gap(rng);
  results[1 - first] = first ? a() : b();
  return Promise.all(results);
}

const RACES = {
  async 'a poll and a close packet'(swarm, rng) {
    const s = await Session.open(swarm);
    const [poll, post] = await both(rng, () => s.get(), () => s.post('1'));
    same(post, '200 ok', 'POST');
    oneOf(poll, ['200 6', UNKNOWN], 'poll'); // the poll was first; the end was
    await s.gone();
  },

  async 'the upgrade packet and at once a poll or a POST elsewhere'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probed();
    ws.send('5');
    const late = rng.below(2) ? s.get() : s.post('421["ask","no"]');
    if (rng.below(2)) ws.send('422["ask",2]');
    else await gap(rng).then(() => ws.send('422["ask",2]'));
    same(await late, BAD, 'the request after the upgrade');
    same(await ws.next(), '432[2]', 'over the WebSocket');
    same(await s.get(), BAD, 'a later poll');
    ws.destroy();
  },

  async 'a poll that is cut, and at once another'(swarm, rng) {
    const s = await Session.open(swarm);
    const poll = s.get();
    await gap(rng);
    poll.abort();
    if (rng.below(2)) await gap(rng);
    // The cut was seen first; it was not; the first poll was even read later.
    oneOf(await s.get(), [UNKNOWN, OVERLAP, '200 1'], 'the second poll');
    await until('the end of the session', async () => (await s.get()) === UNKNOWN);
  },

  async 'two polls'(swarm, rng) {
    const s = await Session.open(swarm);
    const polls = [s.get()];
    if (rng.below(2)) await sleep(5);
    polls.push(s.get());
    // Which one is first is told by the order of arrival only.
    assert.deepEqual((await Promise.all(polls)).sort(), ['200 1', OVERLAP]);
    await s.gone();
  },

  async 'two POSTs'(swarm, rng) {
    const s = await Session.open(swarm);
    const later = () => (rng.below(2) ? () => gap(rng) : undefined);
    const answers = await both(
      rng,
      () => s.post('421["ask",1]', later()),
      () => s.post('422["ask",2]', later()),
    );
    for (const a of answers) oneOf(a, ['200 ok', OVERLAP, UNKNOWN, ...(reference ? ['0'] : [])], 'POST');
    if (answers.every((a) => a === '200 ok')) {
      const acks = packets(await s.get()).sort();
      assert.deepEqual(acks, ['431[1]', '432[2]']);
      await s.end();
    } else {
      assert.ok(answers.includes(OVERLAP), 'one was refused');
      await s.gone();
    }
  },

  async 'a POST while the upgrade completes'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probed();
    const later = rng.below(2) ? () => gap(rng) : undefined;
    const [, post] = await both(
      rng,
      () => ws.send('5'),
      () => s.post('421["ask",1]', later),
    );
    oneOf(post, ['200 ok', BAD], 'POST');
    ws.send('422["ask",2]');
    // What was answered ok is acknowledged, once, and what was refused is not.
    if (post === '200 ok') same(await ws.next(), '431[1]', 'the POST');
    same(await ws.next(), '432[2]', 'the WebSocket');
    ws.send('423["ask",3]');
    same(await ws.next(), '433[3]', 'once');
    ws.destroy();
  },

  async 'every poll during an upgrade is answered at once'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probe();
    const held = s.get();
    await gap(rng);
    ws.send('2probe');
    same(await held, '200 6', 'the held poll');
    same(await ws.next(), '3probe', 'probe');
    for (let i = 0; i < 3; i++) {
      same(await s.get(), '200 6', 'another poll');
      await gap(rng);
    }
    const [poll, post] = await both(rng, () => s.get(), () => s.post('421["ask",1]'));
    same(post, '200 ok', 'POST');
    if (poll === '200 6') same(await s.get(), '200 431[1]', 'its ack');
    else same(poll, '200 431[1]', 'its ack');
    ws.send('5', '422["ask",2]');
    same(await ws.next(), '432[2]', 'over the WebSocket');
    ws.destroy();
  },

  async 'an upgrade that is broken off'(swarm, rng) {
    const s = await Session.open(swarm);
    const probed = rng.below(4);
    const ws = await (probed ? s.probed() : s.probe());
    const poll = rng.below(2) ? s.get() : null;
    await gap(rng);
    if (rng.below(2)) ws.destroy();
    else ws.send(rng.pick(['42["echo",1]', '9', '1', 'x', probed ? '2probe' : '2'])); // nothing that belongs there
    await gap(rng);
    if (poll && rng.below(4) === 0) {
      poll.abort();
      if ((await poll) === '0') { // it was held still, and the session ends with it; or its noop was on the way
        oneOf(await s.post('1'), ['200 ok', UNKNOWN], 'the end');
        await until('the end of the session', async () => (await s.get()) === UNKNOWN);
        ws.destroy();
        return;
      }
    }
    same(await s.post('421["ask",1]'), '200 ok', 'POST');
    const seen = poll ? packets(await poll) : [];
    while (!seen.includes('431[1]')) seen.push(...packets(await s.get())); // and noops before
    assert.deepEqual(seen.filter((packet) => packet !== '6'), ['431[1]']);
    if (rng.below(2)) {
      await s.end();
    } else { // it may try again
      const again = await until('another probe', async () => {
        const link = await s.probe();
        return link.refused ? null : link;
      });
      again.send('2probe', '5', '422["ask",2]');
      same(await again.next(), '3probe', 'probe');
      same(await again.next(), '432[2]', 'over the WebSocket');
      again.destroy();
    }
    ws.destroy();
  },

  async 'a session that ends while it upgrades'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probed();
    const [, post] = await both(rng, () => ws.send('5'), () => s.post('1'));
    if (post === '200 ok') {
      oneOf(await ws.next(), ['close 1005', 'end'], 'the WebSocket');
      await s.gone();
    } else {
      same(post, BAD, 'POST');
      ws.send('421["ask",1]');
      same(await ws.next(), '431[1]', 'over the WebSocket');
    }
    ws.destroy();
  },

  async 'a client that vanishes in the midst of an upgrade'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probed();
    const poll = rng.below(2) ? s.get() : null;
    ws.send(...['5', '421["ask",1]'].slice(0, rng.below(3)), '422["ask",2]'.slice(0, 1 + rng.below(12)));
    await gap(rng);
    ws.destroy();
    poll?.abort();
    await gap(rng);
    const last = await s.post('1'); // whatever it is by now
    oneOf(last, ['200 ok', BAD, UNKNOWN], 'the end');
    await until('the end of the session', async () => (await s.get()) === UNKNOWN);
  },

  async 'an end by the server and a poll'(swarm, rng) {
    const s = await Session.open(swarm);
    const [poll, post] = await both(rng, () => s.get(), () => s.post('42["hangup"]'));
    same(post, '200 ok', 'POST');
    same(poll, '200 41', 'the poll that waited, or came');
    same(await s.get(), '200 6\x1e1', 'the next one');
    await s.gone();
  },

  async 'an end by the server and no poll'(swarm, rng) {
    const s = await Session.open(swarm);
    same(await s.post(rng.below(2) ? '42["hangup"]' : '421["ask",1]\x1e42["hangup"]'), '200 ok', 'POST');
    await gap(rng);
    oneOf(await s.get(), ['200 41', '200 431[1]\x1e41'], 'what waited');
    await gap(rng);
    const [a, b] = await both(rng, () => s.get(), () => s.get());
    assert.deepEqual([a, b].sort(), ['200 6\x1e1', UNKNOWN]); // told once
  },

  async 'an end by the server and an upgrade'(swarm, rng) {
    const s = await Session.open(swarm);
    const ws = await s.probed();
    const [, post] = await both(rng, () => ws.send('5'), () => s.post('42["hangup"]'));
    if (post === BAD) { // the upgrade came first: the session goes on
      ws.send('421["ask",1]', '42["hangup"]');
      same(await ws.next(), '431[1]', 'over the WebSocket');
      same(await ws.next(), '41', 'told');
      oneOf(await ws.next(), ['close 1005', 'end'], 'the WebSocket');
      same(await s.get(), UNKNOWN, 'a session that has ended');
    } else {
      same(post, '200 ok', 'POST');
      const first = await ws.next();
      if (first === '41') { // told by the WebSocket
        oneOf(await ws.next(), ['close 1005', 'end'], 'the WebSocket');
      } else {
        oneOf(first, ['close 1005', 'end'], 'the WebSocket');
        same(await s.get(), '200 41', 'told by polling');
        same(await s.get(), '200 6\x1e1', 'the end');
      }
      await s.gone();
    }
    ws.destroy();
  },

  async 'two WebSockets for one session'(swarm, rng) {
    const s = await Session.open(swarm);
    const [a, b] = await both(rng, () => s.probe(), () => s.probe());
    const [ws, other] = a.refused ? [b, a] : [a, b];
    same(other.refused, '400 Bad request', 'the second one');
    assert.equal(ws.refused, undefined);
    ws.send('2probe', '5', '421["ask",1]');
    same(await ws.next(), '3probe', 'probe');
    same(await ws.next(), '431[1]', 'over the WebSocket');
    ws.destroy();
    other.destroy();
  },
};
// [REF] It lets both probe. A request that comes with the upgrade packet, or with the end of the
// session, it may cut off without an answer, and what the request brought is lost.
const ONLY_ROOMCAST = [
  'a POST while the upgrade completes',
  'an upgrade that is broken off',
  'a session that ends while it upgrades',
  'a client that vanishes in the midst of an upgrade',
  'an end by the server and an upgrade',
  'two WebSockets for one session',
];

// What the daemon has open: "descriptor target".
function openOf(server) {
  const dir = `/proc/${server.pid}/fd`;
  return readdirSync(dir).flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`${dir}/${fd}`)}`];
    } catch {
      return []; // closed since
    }
  });
}

// Nothing is left: no descriptor, and every place for a session can be taken.
async function nothingLeft(server, swarm, shards, descriptors) {
  swarm.destroy();
  try {
    await until('the descriptors', () => openOf(server).length <= descriptors.length, 15_000);
  } catch {
    const were = new Set(descriptors);
    assert.deepEqual(openOf(server).filter((fd) => !were.has(fd)), [], 'descriptors that were not given back');
  }
  const places = 2 * MAX_CONNS * shards;
  const full = new Swarm(server);
  let taken = 0;
  let refused = 0;
  await inParallel(places * 4, 32, async () => {
    if (taken === places) return;
    const answer = await full.request('GET', eioPath());
    if (answer.startsWith('200')) taken++;
    else refused++;
  });
  // Each shard has its own, and connections do not spread evenly.
  for (let i = 0; taken < places && i < 200; i++) {
    const link = full.link();
    link.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    while ((await link.next()).startsWith('200')) {
      taken++;
      link.write(`GET ${eioPath()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    link.destroy();
  }
  full.destroy();
  assert.equal(taken, places, `sessions are left behind (${refused} refused)`);
}

// Messages both ways while the session moves: each once, and in order.
async function inFlight(swarm, rng, talkers, i) {
  const heard = [];
  const acks = [];
  const hear = (packet) => {
    const said = /^42\["said",(\d+)\]$/.exec(packet);
    const ack = /^43(\d+)\[(\d+)\]$/.exec(packet);
    if (said) heard.push(Number(said[1]));
    else if (ack) acks.push(Number(ack[1]));
    else if (packet !== '6') throw new Error(`unexpected: ${packet}`);
  };
  const s = await Session.open(swarm);
  same(await s.post(`42["join","r${i}"]`), '200 ok', 'join');
  same(await s.post('420["ask",0]'), '200 ok', 'ask');
  const joined = packets(await s.get());
  assert.equal(joined.at(-1), '430[0]');
  const [MESSAGES, ASKS] = [30, 12];
  const talking = (async () => {
    const talker = rng.pick(talkers);
    for (let n = 0; n < MESSAGES; n++) {
      talker.send(`42["say","r${i}",${n}]`);
      if (rng.below(3)) await gap(rng);
    }
  })();
  let moving = false;
  let asked = 0;
  const polling = (async () => {
    while (!moving) {
      packets(await s.get()).forEach(hear);
    }
  })();
  const posting = (async () => {
    while (!moving && asked < ASKS - 2) {
      asked++;
      same(await s.post(`42${asked}["ask",${asked}]`), '200 ok', 'POST');
      await gap(rng);
    }
  })();
  await gap(rng);
  const ws = await s.probed();
  moving = true; // as the stock client: it waits for its poll and its POST, and goes over
  await Promise.all([polling, posting]);
  ws.send('5');
  const rest = [];
  while (asked < ASKS) {
    asked++;
    rest.push(`42${asked}["ask",${asked}]`);
  }
  if (rng.below(2)) ws.send(...rest);
  else for (const r of rest) await gap(rng).then(() => ws.send(r));
  while (heard.length < MESSAGES || acks.length < ASKS) hear(await ws.next());
  await talking;
  ws.send('4299["ask",99]');
  hear(await ws.next()); // nothing comes twice
  assert.deepEqual(heard, [...Array(MESSAGES).keys()]);
  assert.deepEqual(acks, [...Array(ASKS + 1).keys(), 99].filter((n) => n !== 0 && n !== ASKS + 1));
  ws.destroy();
}

// Servers whose times are short: ends and pings that come of themselves.

async function uncompleted(swarm, rng) {
  const s = await Session.open(swarm);
  const ws = await s.probe();
  if (rng.below(2)) ws.send('2probe');
  let last = await ws.next();
  if (last === '3probe') last = await ws.next();
  oneOf(last, ['close 1005', 'end'], 'the WebSocket');
  let pings = 0;
  await polls(s, 1, async (packet) => {
    if (packet === '2') pings++;
  });
  if (rng.below(2)) { // polling goes on, and so does the heartbeat
    await polls(s, 2, (packet) => packet === '2' && pings++);
    assert.ok(pings >= 2, 'no pings');
  }
  same(await s.post('1'), '200 ok', 'the end');
  ws.destroy();
}

// The first ping is due while the session moves; it comes, once, one way or the other.
async function pinged(swarm, rng) {
  const s = await Session.open(swarm);
  const opened = performance.now();
  let pings = 0;
  let moving = false;
  const polling = (async () => {
    while (!moving)
      for (const packet of packets(await s.get()))
        if (packet === '2') {
          pings++;
          same(await s.post('3'), '200 ok', 'pong');
        } else {
          same(packet, '6', 'packet');
        }
  })();
  await sleep(Math.max(0, 190 + rng.below(100) - (performance.now() - opened)));
  const ws = await s.probed();
  await sleep(rng.below(40));
  moving = true;
  await polling;
  ws.send('5');
  const moved = performance.now();
  while (pings < 3) {
    same(await ws.next(), '2', 'ping');
    pings++;
    ws.send('3');
  }
  const took = performance.now() - moved;
  assert.ok(took < 3 * 250 + 2000 * slow, `${took} ms for the pings: the heartbeat was parked`);
  ws.send('421["ask",1]');
  const answer = await ws.next();
  same(answer === '2' ? await ws.next() : answer, '431[1]', 'the session');
  ws.destroy();
}

// Polls until n packets have come that are no noops, and answers pings.
async function polls(s, n, hear) {
  for (let had = 0; had < n;) {
    for (const packet of packets(await s.get())) {
      if (packet === '6') continue;
      if (packet === '2') same(await s.post('3'), '200 ok', 'pong');
      await hear(packet);
      had++;
    }
  }
}

const PATIENCE = 150;

async function unjoined(swarm, rng) {
  const s = await Session.open(swarm, false);
  await sleep(Math.max(0, PATIENCE - 8 + rng.below(16)));
  const poll = await s.get();
  // It waited when the end came; it came later.
  oneOf(poll, ['200 1', '200 6\x1e1'], 'poll');
  await s.gone();
}

for (const shards of SHARDS) {
  describe(`${label(shards)}, ${TIMES} times, seed ${SEED}`, () => {
    let server;
    let swarm;
    let descriptors;
    const options = { ...QUIET, 'limits.max_connections': MAX_CONNS, 'limits.max_rooms': TIMES + 10 };
    before(async () => {
      server = await start({ ini: RULES, shards, options });
      descriptors = openOf(server);
      swarm = new Swarm(server);
    });
    after(async () => {
      swarm.destroy();
      await server.stop();
    });

    for (const [name, race] of Object.entries(RACES))
      test(name, ONLY_ROOMCAST.includes(name) ? roomcastOnly : {}, () =>
        inParallel(TIMES, AT_ONCE, (i) => race(swarm, random(SEED + i))));

    test('messages both ways during an upgrade: none is lost, repeated or out of order', async () => {
      const talkers = await Promise.all([...Array(4)].map(() => swarm.talker()));
      await inParallel(TIMES, AT_ONCE, (i) => inFlight(swarm, random(SEED + i), talkers, i));
      for (const t of talkers) t.destroy();
    });

    test('after all of them nothing is left', roomcastOnly, () => nothingLeft(server, swarm, shards, descriptors));

    describe('short times', () => {
      const crowded = async (more, race) => {
        const hasty = await start({ ini: RULES, shards, options: { ...QUIET, ...more } });
        const crowd = new Swarm(hasty);
        try {
          await inParallel(TIMES, 2 * AT_ONCE, (i) => race(crowd, random(SEED + i)));
        } finally {
          crowd.destroy();
          await hasty.stop();
        }
      };
      const BEATS = { 'socketio.ping_interval': '250ms', 'socketio.ping_timeout': `${5 * slow}s` };

      test('an upgrade that nobody completes', () =>
        crowded({ ...BEATS, 'socketio.upgrade_timeout': '150ms' }, uncompleted));
      test('a ping that is due while the session moves', () => crowded(BEATS, pinged));
      test('an end by the server just when a poll comes', () =>
        crowded({ 'socketio.connect_timeout': `${PATIENCE}ms` }, unjoined));
    });
  });
}
