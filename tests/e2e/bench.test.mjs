// The load generator of bench/: its counts are believed, so here it meets servers that lose, repeat,
// swap, delay and misdirect messages, and say how often they did.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';

import { WebSocketServer } from 'ws';

import { start, top } from './lib/daemon.mjs';
import { FLOOR, load as run } from './lib/load.mjs';
import { Authority, listenTls } from './lib/tls.mjs';

const SHORT = '--warmup 0.1 --duration 0.5 --settle 0.1 --drain 0.5'.split(' ');

const load = (port, options, times = SHORT) =>
  run(port, [...times, ...(typeof options === 'string' ? options.split(' ') : options)]);

// A plain WebSocket server in which each path is a room that hears all its members, but for what
// fault(room, member, data, send) makes of a message: it is called for each receiver.
async function relay(t, fault = (room, member, data, send) => send(data)) {
  const http = createServer();
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
  const rooms = new Map();
  wss.on('connection', (ws, req) => {
    if (!rooms.has(req.url)) rooms.set(req.url, []);
    const room = rooms.get(req.url);
    const member = room.push(ws) - 1;
    ws.on('error', () => {});
    ws.on('message', (data) => {
      room.forEach((peer, i) => fault(room, i, data, (d) => peer.send(d, { binary: false }), member));
    });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    for (const ws of wss.clients) ws.terminate();
    http.close();
  });
  return { port: http.address().port, rooms };
}

// One receiver in a room of ten, and every n-th of its messages.
function every(n, receiver, what) {
  let count = 0;
  const fault = (room, member, data, send) => {
    if (member === receiver && ++count % n === 0) {
      fault.happened++;
      what(room, member, data, send);
    } else {
      send(data);
    }
  };
  fault.happened = 0;
  return fault;
}

const faults = (r) => ({
  lost: r.lost,
  duplicated: r.duplicated,
  disordered: r.disordered,
  misrouted: r.misrouted,
  failed: r.failed,
});
const none = { lost: 0, duplicated: 0, disordered: 0, misrouted: 0, failed: 0 };
const TEN = '--proto ws --members 10 --rate 200';

describe('what the load generator counts', { concurrency: 9 }, () => {
  test('a faithful server: everything once, and exit code 0', async (t) => {
    const server = await relay(t);
    const r = await load(server.port, TEN);
    assert.deepEqual(faults(r), none);
    assert.ok(r.sent >= 90 && r.sent <= 130, `sent ${r.sent}`);
    assert.equal(r.expected, r.sent * 10);
    assert.equal(r.delivered, r.expected);
    assert.equal(r.code, 0);
  });

  test('lost messages', async (t) => {
    const fault = every(7, 3, () => {});
    const server = await relay(t, fault);
    const r = await load(server.port, TEN);
    assert.ok(fault.happened > 5);
    assert.deepEqual(faults(r), { ...none, lost: fault.happened });
    assert.equal(r.code, 1);
  });

  test('repeated messages', async (t) => {
    const fault = every(5, 2, (room, member, data, send) => {
      send(data);
      send(data);
    });
    const server = await relay(t, fault);
    const r = await load(server.port, TEN);
    assert.ok(fault.happened > 5);
    assert.deepEqual(faults(r), { ...none, duplicated: fault.happened });
    assert.equal(r.code, 1);
  });

  test('a repetition does not make up for a loss', async (t) => {
    let before;
    const fault = every(6, 2, (room, member, data, send) => send(before));
    const server = await relay(t, (room, member, data, send) => {
      fault(room, member, data, send);
      if (member === 2) before = data;
    });
    const r = await load(server.port, TEN);
    assert.ok(fault.happened > 5);
    // The one that was sent instead is the one before, which had come (or had been replaced itself).
    assert.deepEqual(faults(r), { ...none, lost: fault.happened, duplicated: fault.happened });
  });

  test('swapped messages', async (t) => {
    let kept = null;
    const fault = every(8, 4, (room, member, data) => (kept = data));
    const server = await relay(t, (room, member, data, send) => {
      const late = member === 4 ? kept : null;
      if (late) kept = null;
      fault(room, member, data, send);
      if (late) send(late);
    });
    const r = await load(server.port, TEN);
    const still = kept ? 1 : 0; // the very last one is lost
    assert.ok(fault.happened > 5);
    assert.deepEqual(faults(r), { ...none, lost: still, disordered: fault.happened - still });
    assert.equal(r.code, 1);
  });

  test('messages of another room', async (t) => {
    let server;
    const fault = every(9, 0, (room, member, data, send) => {
      const other = [...server.rooms.values()].find((r) => r !== room);
      send(data);
      other[0].send(data, { binary: false });
    });
    server = await relay(t, fault);
    const r = await load(server.port, '--proto ws --path /room/{room} --rooms 3 --members 4 --rate 300');
    assert.equal(server.rooms.size, 3);
    assert.ok(fault.happened > 5);
    assert.deepEqual(faults(r), { ...none, misrouted: fault.happened });
    assert.equal(r.code, 1);
  });

  test('a connection that the server drops', async (t) => {
    let n = 0;
    const server = await relay(t, (room, member, data, send) => {
      if (member === 9 && ++n === 20) room[9].terminate();
      send(data);
    });
    const r = await load(server.port, TEN);
    assert.equal(r.failed, 1);
    assert.ok(r.lost > 50, `lost ${r.lost}`);
    assert.match(r.err, /the first: (closed by the server|recv)/);
    assert.equal(r.code, 1);
  });

  test('a server that refuses', async (t) => {
    const http = createServer((req, res) => res.writeHead(404).end());
    http.on('upgrade', (req, socket) => socket.end('HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'));
    http.listen(0, '127.0.0.1');
    t.after(() => http.close());
    await once(http, 'listening');
    for (const proto of ['ws', 'sio', 'poll']) {
      const r = await load(http.address().port, `--proto ${proto} --members 3`);
      assert.equal(r.code, 1);
      assert.match(r.err, /only 0 of 3 connections are ready/);
    }
  });

  test('a stalled member is waited for by nobody', async (t) => {
    const server = await relay(t, (room, member, data, send) => {
      if (room[member].bufferedAmount > 100_000) room[member].terminate();
      else send(data);
    });
    const r = await load(server.port, '--proto ws --members 10 --rate 200 --size 20000 --stalled 1');
    assert.deepEqual(faults(r), none);
    assert.equal(r.expected, r.sent * 9);
    assert.equal(r.delivered, r.expected);
    assert.deepEqual([r.stalled, r.stalled_closed], [1, 1]);
    assert.equal(r.code, 0);
  });
});

// Two servers of one room for each path. fault(member, data, send) is called for what crosses: for
// receivers at another server than the sender's.
async function nodes(t, fault = (member, data, send) => send(data)) {
  const rooms = new Map();
  const seen = { ports: [], crossed: 0 };
  for (const node of [0, 1]) {
    const http = createServer();
    const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
    wss.on('connection', (ws, req) => {
      if (!rooms.has(req.url)) rooms.set(req.url, []);
      const room = rooms.get(req.url);
      room.push({ ws, node });
      ws.on('error', () => {});
      ws.on('message', (data) => {
        room.forEach((peer, i) => {
          const send = (d) => peer.ws.send(d, { binary: false });
          if (peer.node === node) return send(data);
          seen.crossed++;
          fault(i, data, send);
        });
      });
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    seen.ports.push(http.address().port);
    t.after(() => {
      for (const ws of wss.clients) ws.terminate();
      http.close();
    });
  }
  seen.port = seen.ports.join(',');
  seen.members = (path, node) => rooms.get(path).filter((peer) => peer.node === node).length;
  return seen;
}

describe('what the load generator counts of several nodes', { concurrency: 6 }, () => {
  test('members are spread, and what crosses is counted', async (t) => {
    const server = await nodes(t);
    const r = await load(server.port, '--proto ws --path /room/{room} --rooms 4 --members 10 --rate 200');
    assert.deepEqual(faults(r), none);
    for (const room of [0, 1, 2, 3]) assert.deepEqual([0, 1].map((node) => server.members(`/room/${room}`, node)), [5, 5]);
    assert.deepEqual([r.nodes, r.crossed, r.delivered], [2, server.crossed, 2 * server.crossed]);
    assert.equal(r.code, 0, r.err);
    assert.match(r.out, /crossing +\d+ deliveries\/s/);
  });

  test('apart: who sends is alone on the first', async (t) => {
    const server = await nodes(t);
    const r = await load(server.port, `${TEN} --apart`);
    assert.deepEqual([server.members('/', 0), server.members('/', 1)], [1, 9]);
    assert.deepEqual([r.crossed, r.delivered], [9 * r.sent, 10 * r.sent]);
    assert.equal(r.code, 0, r.err);
  });

  test('what the way between adds is told apart', async (t) => {
    const server = await nodes(t, (member, data, send) => setTimeout(() => send(data), 30));
    const r = await load(server.port, `${TEN} --apart`);
    assert.equal(r.code, 0, r.err);
    assert.ok(r.far_p50_us > 29_000 && r.near_p50_us < 25_000, `${r.near_p50_us}, ${r.far_p50_us}`);
  });

  test('what is lost between nodes', async (t) => {
    let lost = 0;
    let count = 0;
    const server = await nodes(t, (member, data, send) => (++count % 50 === 0 ? lost++ : send(data)));
    const r = await load(server.port, `${TEN} --apart`);
    assert.ok(lost > 5);
    assert.deepEqual(faults(r), { ...none, lost });
    assert.equal(r.crossed, server.crossed - lost);
    assert.equal(r.code, 1);
  });

  test('what comes twice crosses once', async (t) => {
    let twice = 0;
    const server = await nodes(t, (member, data, send) => {
      send(data);
      if (member === 3) send(data), twice++;
    });
    const r = await load(server.port, `${TEN} --apart`);
    assert.ok(twice > 50);
    assert.deepEqual(faults(r), { ...none, duplicated: twice });
    assert.equal(r.crossed, 9 * r.sent);
  });

  test('closed loop over the nodes: the next goes when one has crossed', async (t) => {
    let most = 0;
    let first = -1;
    const waiting = [];
    const server = await nodes(t, (member, data, send) => {
      if (first < 0) first = member;
      waiting.push(() => send(data));
      if (member === first) most = Math.max(most, waiting.filter(Boolean).length);
    });
    const timer = setInterval(() => waiting.splice(0).forEach((send) => send()), 20);
    t.after(() => clearInterval(timer));
    const r = await load(server.port, '--proto ws --members 2 --outstanding 8 --far');
    assert.equal(most, 8);
    assert.equal(r.code, 0, r.err);
    assert.ok(r.sent >= 40 && r.sent < 800, `sent ${r.sent}`);
  });

  test('CPU time of others, for each message', async (t) => {
    const server = await nodes(t);
    const idle = spawn('sleep', ['100']);
    t.after(() => idle.kill());
    const r = await load(server.port, `${TEN} --beside ${process.pid} --beside ${idle.pid}`);
    assert.equal(r.code, 0, r.err);
    assert.ok(r.beside1_us > 1, `${r.beside1_us}`);
    assert.equal(r.beside2_us, 0);
  });

  test('options that contradict each other', async () => {
    for (const [port, options, why] of [
      ['1,2,x', '', /--port 1,2,x: expected/],
      ['1,2,3,4,5,6,7,8,9', '', /up to 8 numbers/],
      ['1', '--apart', /several ports/],
      ['1,2', '--far --senders 2', /one sender/],
    ]) {
      const r = await load(port, `--members 4 ${options}`.trim());
      assert.equal(r.code, 2);
      assert.match(r.err, why);
    }
  });
});

// A Socket.IO server in as many words as the client needs. Messages go to the sender's connection
// alone; fault(ack, id) answers instead of it.
async function acking(t, fault = (ack) => ack()) {
  const http = createServer();
  const wss = new WebSocketServer({ server: http, perMessageDeflate: false });
  const seen = { connects: [] };
  wss.on('connection', (ws) => {
    ws.send('0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":100000}');
    ws.on('message', (data) => {
      const [, type, id, body] = /^(4\d)(\d*)(.*)$/.exec(data);
      if (type === '40') {
        seen.connects.push(body);
        ws.send('40{"sid":"s"}');
        return;
      }
      const [name, room, text] = JSON.parse(body);
      const ack = (answer = '{"ok":true}') => ws.send(`43${id}[${answer}]`);
      if (name === 'joinRoom') {
        ack();
        return;
      }
      fault(ack, Number(id));
      ws.send(`42["roomMessage","[${room}] ${text}"]`);
    });
  });
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  t.after(() => {
    for (const ws of wss.clients) ws.terminate();
    http.close();
  });
  return { port: http.address().port, ...seen };
}

describe('what the load generator counts of acknowledgements', { concurrency: 6 }, () => {
  const ACKS = '--ack --rooms 3 --members 1 --rate 200';
  const acks = ({ acked, refused, unacked }) => ({ acked, refused, unacked });

  test('all came, in time', async (t) => {
    const server = await acking(t);
    const r = await load(server.port, [...ACKS.split(' '), '--auth', '{"token":"a.b.c"}']);
    assert.deepEqual(acks(r), { acked: r.sent, refused: 0, unacked: 0 });
    assert.deepEqual(faults(r), none);
    assert.equal(r.code, 0, r.err);
    assert.ok(r.sent >= 90 && r.sent <= 130, `sent ${r.sent}`);
    assert.ok(r.acked_per_s > 150 && r.acked_per_s < 250, `${r.acked_per_s}/s`);
    assert.deepEqual(server.connects, Array(3).fill('{"token":"a.b.c"}'));
    assert.match(r.out, /until ack us p50 [\d.]+ +p90 [\d.]+ +p99/);
  });

  test('one that never comes, beside its message, which did', async (t) => {
    let left = 0;
    const server = await acking(t, (ack, id) => (id % 10 === 7 ? left++ : ack()));
    const r = await load(server.port, ACKS);
    assert.ok(left > 5);
    assert.deepEqual(acks(r), { acked: r.sent - left, refused: 0, unacked: left });
    assert.equal(r.lost, 0);
    assert.equal(r.code, 1);
  });

  test('a refusal, with its words', async (t) => {
    let said = 0;
    const no = '{"ok":false,"error":"store_busy"}';
    const server = await acking(t, (ack, id) => (id % 10 === 7 ? ack(no, said++) : ack()));
    const r = await load(server.port, ACKS);
    assert.ok(said > 5);
    assert.deepEqual(acks(r), { acked: r.sent - said, refused: said, unacked: 0 });
    assert.match(r.err, new RegExp(`load: ${said} refused, the first: \\d{8}\\[{"ok":false,"error":"store_busy"}`));
    assert.equal(r.code, 1);
  });

  test('twice, and in another order', async (t) => {
    let twice = 0;
    let swapped = 0;
    let kept;
    const server = await acking(t, (ack, id) => {
      if (id % 20 === 7) kept = ack;
      else ack();
      if (id % 20 === 8 && kept) swapped += (kept(), (kept = null), 1);
      if (id % 20 === 15) twice += (ack(), 1);
    });
    const r = await load(server.port, '--ack --members 1 --rate 200');
    assert.ok(swapped > 2 && twice > 2);
    assert.equal(r.duplicated, twice);
    assert.ok(r.disordered >= swapped, `${r.disordered} of ${swapped}`);
    assert.equal(r.acked, r.sent - (kept ? 1 : 0));
    assert.equal(r.code, 1);
  });

  test('closed loop: the next goes when the ack came, and latency is until then', async (t) => {
    let most = 0;
    const waiting = [];
    const server = await acking(t, (ack) => (most = Math.max(most, waiting.push(ack))));
    const timer = setInterval(() => waiting.splice(0).forEach((ack) => ack()), 40);
    t.after(() => clearInterval(timer));
    const r = await load(server.port, '--ack --members 1 --outstanding 4');
    assert.equal(most, 4);
    assert.equal(r.code, 0, r.err);
    assert.ok(r.ack_p50_us > 15_000 && r.p50_us < r.ack_p50_us, `${r.ack_p50_us}, ${r.p50_us}`);
  });

  test('of protocols without them', async () => {
    const r = await load(1, '--ack --proto ws --path /echo --echo');
    assert.equal(r.code, 2);
    assert.match(r.err, /--ack goes with messages by sio/);
  });
});

// These block the test's own process, and so come one after the other.
describe('what the load generator measures', () => {
  test('open loop: what was due while the server stood still was late', async (t) => {
    const server = await relay(t);
    const timer = setTimeout(() => {
      for (const end = Date.now() + 400; Date.now() < end; );
    }, 600);
    const r = await load(server.port, '--proto ws --members 2 --rate 100 --label a-run', [
      '--warmup', '0.2', '--duration', '1.5', '--settle', '0.1',
    ]);
    clearTimeout(timer);
    assert.equal(r.code, 0);
    assert.ok(r.max_us > 350_000, `max ${r.max_us}`);
    // 40 of 150 messages were due in that time: a client that had waited with them would see one.
    assert.ok(r.p90_us > 100_000, `p90 ${r.p90_us}`);
    assert.ok(r.p50_us < 100_000, `p50 ${r.p50_us}`);
    assert.ok(r.sent >= 165 && r.sent <= 175, `sent ${r.sent}`);

    assert.match(r.err, /^measure +[\d.]+ s +2 ready +\d+ sent\/s/m); // progress
    assert.match(r.out, /latency us +p50 [\d.]+ +p90 [\d.]+ +p99 [\d.]+ +p99\.9 [\d.]+ +max [\d.]+/);
    assert.equal(r.out.split('\n').filter((l) => l.startsWith('{')).length, 1);
    assert.equal(r.label, 'a-run');
  });

  test('closed loop: as many on the way as was asked for', async (t) => {
    let most = 0;
    const waiting = [];
    const server = await relay(t, (room, member, data, send) => {
      waiting.push(() => send(data));
      most = Math.max(most, waiting.length);
    });
    const timer = setInterval(() => waiting.splice(0).forEach((send) => send()), 20);
    const r = await load(server.port, '--proto ws --members 1 --outstanding 8');
    clearInterval(timer);
    assert.equal(most, 8);
    assert.equal(r.code, 0);
    assert.ok(r.sent >= 40, `sent ${r.sent}`);
  });

  test("CPU time of all the server's threads", async (t) => {
    const server = await relay(t);
    const burner = new Worker('for (;;);', { eval: true });
    await once(burner, 'online');
    const before = process.cpuUsage();
    const r = await load(server.port, `--pid ${process.pid} --proto ws --members 2 --rate 50`);
    const used = process.cpuUsage(before);
    await burner.terminate();
    const total = (used.user + used.system) / 1e6;
    const seen = r.server_cores * r.seconds;
    assert.ok(seen > 0.2 * total && seen <= 1.05 * total, `saw ${seen} s of ${total} s`);
    assert.ok(Math.abs(r.cpu_us * r.per_s - r.server_cores * 1e6) < 0.02e6, 'per delivery');
    assert.ok(r.rss_ready > 10e6, `resident ${r.rss_ready}`);
  });

  test('only loopback', async () => {
    const r = await load(1, '--host 192.0.2.1');
    assert.equal(r.code, 2);
    assert.match(r.err, /only 127\.0\.0\.0\/8/);
  });
});

describe('every protocol, against the servers that it is meant for', { concurrency: 4 }, () => {
  const INI = `[event joinRoom]
join = {1}
[event sendMessageToRoom]
emit = room {1}: roomMessage "[{1}] {2}"
[endpoint /echo]
protocol = echo
[endpoint /relay]
protocol = relay
`;

  async function clean(port, options) {
    const r = await load(port, options, '--warmup 0 --duration 0.3 --settle 0 --drain 1'.split(' '));
    assert.equal(r.code, 0, r.out + r.err);
    assert.deepEqual(faults(r), none);
    assert.ok(r.delivered > 50 || r.idle || r.per_s > 50, r.out);
  }

  test('roomcast', async (t) => {
    const server = await start({ ini: INI, shards: 2 });
    t.after(() => server.stop());
    // One after the other: they would meet in the same rooms.
    for (const options of [
      '--rooms 5 --members 10 --senders 10 --rate 100',
      '--rooms 5 --members 10 --outstanding 4 --size 3000',
      '--proto poll --rooms 2 --members 10 --rate 50',
      '--proto poll --members 5 --outstanding 2',
      '--proto ws --path /echo --echo --members 10',
      '--proto ws --path /relay --members 10 --rate 100 --except',
      '--idle 200 --members 10',
      '--churn 200 --members 10',
    ])
      await clean(server.port, options);
  });

  test('roomcast by TLS', async (t) => {
    const server = await start({ ini: INI + listenTls(new Authority().issue('server')), listen: null, shards: 2 });
    t.after(() => server.stop());
    for (const options of [
      '--rooms 5 --members 10 --senders 10 --rate 100',
      '--rooms 5 --members 10 --outstanding 4 --size 30000',
      '--proto poll --members 5 --outstanding 2',
      '--proto ws --path /echo --echo --members 10',
      '--idle 50 --members 10',
      '--churn 50 --members 10',
    ]) {
      const r = await load(server.port, `${options} --tls`, '--warmup 0 --duration 0.3 --settle 0 --drain 20'.split(' '));
      assert.equal(r.code, 0, r.out + r.err);
      assert.deepEqual(faults(r), none);
      assert.ok(r.delivered > 0 || r.idle || r.churn > 0, r.out);
    }
    const plain = await load(server.port, '--idle 5');
    assert.equal(plain.code, 1);
    const other = await start({ ini: INI });
    t.after(() => other.stop());
    const refused = await load(other.port, '--idle 5 --tls');
    assert.equal(refused.code, 1);
    assert.match(refused.out + refused.err, /TLS handshake/);
  });

  for (const mode of ['send', 'coalesce', 'writev'])
    test(`the floor: ${mode}`, async (t) => {
      const child = spawn(FLOOR, [mode], { stdio: ['ignore', 'ignore', 'pipe'] });
      t.after(() => child.kill());
      const [text] = await once(child.stderr, 'data');
      const port = /127\.0\.0\.1:(\d+)/.exec(text)[1];
      await clean(port, '--proto floor --rooms 5 --members 10 --outstanding 4');
      await clean(port, '--proto floor --members 20 --size 20000 --rate 100');
      await clean(port, '--proto floor --echo --members 10');
      await clean(port, '--proto poll --rooms 5 --members 10 --rate 200');
    });
});
