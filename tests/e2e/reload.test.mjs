// Reload by SIGHUP: what changes, for whom, and that nobody loses anything meanwhile.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect as dial } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';
import WebSocket from 'ws';

import { ask, client, closeAll, connect, connected, event, inbox } from './lib/client.mjs';
import { freePort, run, tempDir } from './lib/daemon.mjs';
import { JsonClient } from './lib/jsonclient.mjs';
import { reload } from './lib/reload.mjs';
import { AUTH, as, openStore } from './lib/store.mjs';
import { SHARDS, label, slow, startFor, until, within } from './lib/target.mjs';

const range = (n) => [...Array(n).keys()];
const BOTH = { reconnection: false };

afterEach(closeAll);

const rules = (name, more = '') => `
[event join]
join = {1}
[event say]
emit = room {1}: ${name} {2} {3}
${more}`;

// Whoever joins it is told when it is disconnected.
const drops = (sockets) => {
  const all = [];
  for (const s of sockets) s.on('disconnect', (why) => all.push(why));
  return all;
};

for (const shards of SHARDS)
  describe(label(shards), () => {
    test('rules change under traffic: nothing is lost, repeated or out of order, nobody is dropped', async (t) => {
      const MEMBERS = 6, ROOMS = ['a', 'b', 'c'], NAMES = ['said', 'told', 'cried'];
      const server = await startFor(t, { ini: rules('said'), shards });
      const members = await Promise.all(
        range(MEMBERS).map((i) => connect(server, { ...BOTH, transports: [i % 3 ? 'websocket' : 'polling'] })),
      );
      const dropped = drops(members);
      const boxes = members.map(inbox);
      for (const s of members) for (const room of ROOMS) await ask(s, 'join', room);

      let going = true, refused = 0;
      const sent = members.map(() => 0);
      const send = async (s, i) => {
        while (going) {
          // Rooms of several owners in turn: rules wait for fences while the generation changes.
          const answers = await Promise.all(
            range(5).map(() => ask(s, 'say', ROOMS[sent[i] % ROOMS.length], i, sent[i]++)),
          );
          refused += answers.filter((a) => a.ok !== true).length;
        }
      };
      const senders = members.map(send);
      for (const round of range(9)) {
        const name = NAMES[(round + 1) % NAMES.length];
        const { ok, lines } = await reload(server, rules(name, `[event /n${round} x]\nemit = all: y\n`));
        assert.deepEqual({ ok, lines }, { ok: true, lines: [] });
      }
      going = false;
      await Promise.all(senders);
      // What comes behind the last reload is by the last rules.
      const last = NAMES[9 % NAMES.length];
      await ask(members[0], 'say', 'a', 'end', 0);
      const total = sent.reduce((a, b) => a + b) + 1;
      const all = await Promise.all(boxes.map((box) => box.wait(total)));
      assert.equal(refused, 0);
      assert.deepEqual(dropped, []);
      for (const box of all) {
        const next = members.map(() => 0);
        for (const [name, i, n] of box) {
          assert.ok(NAMES.includes(name), name);
          if (i === 'end') {
            assert.equal(name, last);
            continue;
          }
          assert.equal(n, next[i]++, `message ${n} of ${i}`);
        }
        assert.deepEqual(next, sent);
        assert.equal(box.length, total);
      }
      assert.deepEqual(
        await Promise.all(boxes.map((box) => box.length)),
        boxes.map(() => total),
      );
    });

    test('namespaces that are new, gone, and back', async (t) => {
      const chat = '[event /chat join]\njoin = {1}\n[event /chat say]\nemit = all: heard {1}\n';
      const team = '[event /team-* say]\nemit = all: heard {1} {nsp}\n';
      const server = await startFor(t, { ini: '[event hi]\nack = 1\n', shards });
      const four = range(4);
      await assert.rejects(connect(server, { nsp: '/chat' }), /Invalid namespace/);
      assert.ok((await reload(server, chat + team)).ok);
      const early = await Promise.all(four.map(() => connect(server, { nsp: '/chat' })));
      const boxes = early.map(inbox);
      const teams = await Promise.all(four.map(() => connect(server, { nsp: '/team-7' })));
      const teamBoxes = teams.map(inbox);
      await ask(early[0], 'say', 1);
      await ask(teams[0], 'say', 2);
      for (const box of boxes) assert.deepEqual(await box.wait(1), [['heard', 1]]);
      for (const box of teamBoxes) assert.deepEqual(await box.wait(1), [['heard', 2, '/team-7']]);

      // Gone: who is there stays, but nobody comes, and there are no rules.
      assert.ok((await reload(server, '[event /other x]\nack = 1\n')).ok);
      assert.equal((await ask(early[1], 'say', 3)).error, 'unknown_event');
      assert.equal((await ask(teams[1], 'say', 3)).error, 'unknown_event');
      await assert.rejects(connect(server, { nsp: '/chat' }), /Invalid namespace/);
      await assert.rejects(connect(server, { nsp: '/team-8' }), /Invalid namespace/);

      // Back: it is the same one.
      assert.ok((await reload(server, `[event /new x]\nack = 1\n${team}${chat}`)).ok);
      const late = await connect(server, { nsp: '/chat' });
      const lateTeam = await connect(server, { nsp: '/team-7' });
      const [lateBox, lateTeamBox] = [inbox(late), inbox(lateTeam)];
      await ask(early[2], 'say', 4);
      await ask(lateTeam, 'say', 5);
      for (const box of [...boxes, lateBox]) {
        await box.wait(box === lateBox ? 1 : 2);
        assert.deepEqual(box.at(-1), ['heard', 4]);
      }
      for (const box of [...teamBoxes, lateTeamBox]) {
        await box.wait(box === lateTeamBox ? 1 : 2);
        assert.deepEqual(box.at(-1), ['heard', 5, '/team-7']);
      }
      assert.ok([...early, ...teams].every((s) => s.connected));
    });

    test('the first pattern of the INI counts, also when it is a new one', async (t) => {
      const rule = (pattern) => `[event ${pattern} who]\nack = "${pattern}"\n`;
      const server = await startFor(t, { ini: rule('/a-*'), shards });
      assert.ok((await reload(server, rule('/a-b*') + rule('/a-*'))).ok);
      assert.equal(await ask(await connect(server, { nsp: '/a-b1' }), 'who'), '/a-b*');
      assert.equal(await ask(await connect(server, { nsp: '/a-c1' }), 'who'), '/a-*');
    });

    test('stored messages that are under way', async (t) => {
      const keep = (name) => `[event join]\njoin = {1}\n[event keep]\nstore = room {1}: ${name} {2}\nemit = sender: mine {2}\n`;
      const store = await openStore('sqlite');
      t.after(() => store.remove());
      const server = await startFor(t, { ini: keep('kept'), shards, options: { ...AUTH, ...store.options() } });
      const s = await Promise.all(range(3).map((i) => connect(server, as(`user${i}`))));
      const boxes = s.map(inbox);
      for (const one of s) await ask(one, 'join', 'r');
      const all = [];
      for (const round of range(6)) {
        for (const one of s) for (const i of range(20)) all.push(ask(one, 'keep', 'r', round * 20 + i));
        const { ok } = await reload(server, keep(round % 2 ? 'kept' : 'stored'));
        assert.ok(ok);
      }
      for (const answer of await Promise.all(all)) assert.ok(answer.ok, JSON.stringify(answer));
      for (const box of boxes) {
        await box.wait(all.length + 120);
        assert.equal(box.filter(([name]) => name === 'kept' || name === 'stored').length, all.length);
        assert.deepEqual(
          box.filter(([name]) => name === 'mine').map(([, n]) => n),
          range(120),
        );
      }
    });

    test('messages to users begin for devices that are there', async (t) => {
      const store = await openStore('sqlite');
      t.after(() => store.remove());
      const server = await startFor(t, { ini: '[event hi]\nack = 1\n', shards, options: { ...AUTH, ...store.options() } });
      const ann = await connect(server, as('ann'));
      const bob = await connect(server, as('bob'));
      const box = inbox(bob);
      assert.ok((await reload(server, '[event message]\nmessage = {1}\n')).ok);
      const answer = await ask(ann, 'message', { conversationType: 'private', receiverId: 'bob', content: 'hello' });
      assert.ok(answer.ok, JSON.stringify(answer));
      const [[name, message]] = await box.wait(1);
      assert.deepEqual([name, message.content], ['message', 'hello']);
    });

    test('a user and a token are revoked: all their clients end, and come back no more', async (t) => {
      const file = join(tempDir(), 'revoked');
      writeFileSync(file, '');
      const ini = '[event hi]\nack = 1\n[event /side hi]\nack = 1\n[endpoint /json]\nprotocol = json\n';
      const options = { ...AUTH, 'auth.revoked': file };
      const server = await startFor(t, { ini, shards, options });
      const ann = await Promise.all([
        ...range(4).map((i) => connect(server, { ...as('ann'), transports: [i % 2 ? 'polling' : 'websocket'] })),
        connect(server, { ...as('ann'), nsp: '/side' }),
        connect(server, as('mia', { jti: 'lost' })),
      ]);
      const token = as('ann').auth.token;
      const json = await JsonClient.connect(server, `/json?token=${token}`);
      const others = await Promise.all([connect(server, as('bob')), connect(server, as('mia', { jti: 'good' }))]);
      const ends = ann.map((s) => within(20_000, 'the end', new Promise((r) => s.once('disconnect', r))));
      writeFileSync(file, 'user ann\njti lost\n');
      assert.ok((await reload(server)).ok);
      assert.deepEqual(await Promise.all(ends), ann.map(() => 'io server disconnect'));
      const { code, reason } = await within(20_000, 'the close', json.closed);
      assert.deepEqual([code, reason], [1008, 'the token has been revoked']);
      assert.equal(json.queue.at(-1).code, 'token_revoked');
      await assert.rejects(connect(server, as('ann')), (e) => e.data.code === 'token_revoked');
      const status = await fetch(`${server.url}/socket.io/?EIO=4&transport=polling&token=${token}`);
      assert.equal(status.status, 403);
      for (const s of others) assert.equal(await ask(s, 'hi'), 1);

      // Back in favour.
      writeFileSync(file, '');
      assert.ok((await reload(server)).ok);
      assert.equal(await ask(await connect(server, as('ann')), 'hi'), 1);
    });
  });

test('keys are rotated: old tokens connect no more, who is connected stays', async (t) => {
  const dir = tempDir(), secret = join(dir, 'secret'), pem = join(dir, 'key.pem'), jwks = join(dir, 'jwks.json');
  const keys = range(2).map(() => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  const pemOf = (k) => k.publicKey.export({ type: 'spki', format: 'pem' });
  const jwksOf = (kid, k) => JSON.stringify({ keys: [{ ...k.publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' }] });
  const secrets = range(2).map(() => randomBytes(32).toString('hex'));
  const rsa = range(2).map(() => generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const write = (i) => {
    writeFileSync(secret, secrets[i]);
    writeFileSync(pem, pemOf(rsa[i]));
    writeFileSync(jwks, jwksOf(`k${i}`, keys[i]));
  };
  const tokens = (i) => [
    jwt.sign({ sub: 'ann' }, secrets[i]),
    jwt.sign({ sub: 'ann' }, rsa[i].privateKey, { algorithm: 'RS256' }),
    jwt.sign({ sub: 'ann' }, keys[i].privateKey, { algorithm: 'ES256', keyid: `k${i}` }),
  ];
  write(0);
  const server = await startFor(t, {
    ini: '[event who]\nack = {user}\n',
    shards: 2,
    options: { 'auth.mode': 'required', 'auth.secret_file': secret, 'auth.public_key': pem, 'auth.jwks': jwks },
  });
  const before = await Promise.all(tokens(0).map((token) => connect(server, { auth: { token } })));
  for (const token of tokens(1)) await assert.rejects(connect(server, { auth: { token } }));
  write(1);
  assert.ok((await reload(server)).ok);
  for (const token of tokens(1)) assert.equal(await ask(await connect(server, { auth: { token } }), 'who'), 'ann');
  for (const token of tokens(0)) await assert.rejects(connect(server, { auth: { token } }), (e) => /^token_|^key/.test(e.data.code));
  for (const s of before) assert.equal(await ask(s, 'who'), 'ann');

  // A key that is none keeps all of the old ones.
  writeFileSync(pem, 'no key');
  const { ok, lines } = await reload(server);
  assert.equal(ok, false);
  assert.match(lines.join('\n'), /public_key = .*key\.pem/);
  assert.equal(await ask(await connect(server, { auth: { token: tokens(1)[1] } }), 'who'), 'ann');
});

test('a secret that the server made stays', async (t) => {
  const ini = '[event who]\nack = {user}\n';
  const options = { 'auth.mode': 'required', 'auth.secret': 'auto', 'auth.dev_tokens_path': '/token' };
  const server = await startFor(t, { ini, shards: 2, options });
  const r = await fetch(`${server.url}/token`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{"name":"ann"}' });
  const { token } = await r.json();
  assert.ok((await reload(server)).ok);
  assert.equal(await ask(await connect(server, { auth: { token } }), 'who'), 'ann');
});

test('a broken file: the configuration stays, and the log says why and where', async (t) => {
  const server = await startFor(t, { ini: rules('said'), shards: 2 });
  const s = await connect(server);
  const box = inbox(s);
  await ask(s, 'join', 'r');
  for (const [ini, why] of [
    [`${rules('told')}[limits]\nmax_rooms_per_socket = lots\n`, /roomcast\.ini:7: \[limits\] max_rooms_per_socket = lots: expected /],
    [`${rules('told')}[evnt x]\n`, /roomcast\.ini:6: \[evnt x\]: unknown section \(did you mean event\?\)/],
    ['[event say]\nemit = nowhere {1}: told\n', /roomcast\.ini:2: .*emit = nowhere/],
    ['[room vip]\njoin = authenticated\n', /roomcast\.ini:2: .*auth = optional or required/],
    ['[server]\nstatic_root = /nowhere/at/all\n', /static_root = \/nowhere\/at\/all/],
  ]) {
    const { ok, lines } = await reload(server, ini);
    assert.equal(ok, false, ini);
    assert.match(lines.join('\n'), why);
  }
  renameSync(join(server.dir, 'roomcast.ini'), join(server.dir, 'gone.ini'));
  const { ok, lines } = await reload(server);
  assert.equal(ok, false);
  assert.match(lines.join('\n'), /roomcast\.ini: the file cannot be read: No such file or directory/);
  await ask(s, 'say', 'r', 1, 2);
  assert.deepEqual(await box.wait(1), [['said', 1, 2]]);
  assert.equal((await connect(server)).connected, true);
});

test('what needs a restart is named, and does not change; the rest does', async (t) => {
  const port = await freePort();
  const head = (server, more = '') => `[server]\n${server}\n${more}[socketio]\nping_interval = 25s\n`;
  const endpoints = (protocol) => `[endpoint /ws]\nprotocol = ${protocol}\n`;
  const server = await startFor(t, {
    ini: `${head(`listen = 127.0.0.1:${port}\nshards = 1`)}${endpoints('relay')}${rules('said')}`,
    listen: null,
    shards: 1,
  });
  // The command line says how many shards there are: it counts again.
  const again = `${head(`listen = 127.0.0.1:${port}, 127.0.0.1:0\nshards = 3`, '[listen more]\naddress = 127.0.0.1:0\n')}max_payload = 2MB
[store]
engine = none
password = secret2
[limits]
max_room_length = 3
${endpoints('echo')}${rules('told')}`;
  const { ok, lines } = await reload(server, again.replace('25s', '1s'));
  assert.ok(ok);
  assert.deepEqual(lines, [
    `[server] listen: the change needs a restart; it stays 127.0.0.1:${port}`,
    '[socketio] ping_interval: the change needs a restart; it stays 25s',
    '[socketio] max_payload: the change needs a restart; it stays 1MB',
    '[store] password: the change needs a restart; it stays empty',
    '[listen more]: a new one needs a restart',
    '[endpoint /ws]: the change needs a restart; it stays as it is',
  ]);
  assert.equal([...server.stderr().matchAll(/listening on/g)].length, 1);
  const handshake = await (await fetch(`${server.url}/socket.io/?EIO=4&transport=polling`)).text();
  const { pingInterval, maxPayload } = JSON.parse(handshake.slice(1));
  assert.deepEqual([pingInterval, maxPayload], [25000, 1000000]);
  const ws = new WebSocket(`ws://127.0.0.1:${port}/ws`);
  await event(ws, 'open');
  let echoed = false;
  ws.on('message', () => (echoed = true));
  ws.send('relayed to nobody');
  const s = await connect(server);
  const box = inbox(s);
  assert.equal((await ask(s, 'join', 'long')).error, 'bad_room');
  await ask(s, 'join', 'r');
  await ask(s, 'say', 'r', 1, 2);
  assert.deepEqual(await box.wait(1), [['told', 1, 2]]);
  ws.close();
  await event(ws, 'close');
  assert.equal(echoed, false);
});

test('endpoints come and go', async (t) => {
  const two = '[endpoint /a]\nprotocol = echo\nprefix = "A: "\n';
  const server = await startFor(t, { ini: two, shards: 2 });
  const open = async (path) => {
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`);
    await within(20_000, `open ${path}`, new Promise((r, f) => ws.once('open', r).once('error', f)));
    t.after(() => ws.terminate());
    return ws;
  };
  const say = async (ws, text) => {
    const answer = event(ws, 'message');
    ws.send(text);
    return String((await answer)[0]);
  };
  const a = await open('/a');
  assert.equal(await say(a, 'x'), 'A: x');
  assert.ok((await reload(server, '[endpoint /b]\nprotocol = echo\nprefix = "B: "\n[endpoint /a]\nprotocol = echo\nprefix = "AA: "\n')).ok);
  assert.equal(await say(a, 'x'), 'AA: x');
  assert.equal(await say(await open('/b'), 'x'), 'B: x');
  assert.ok((await reload(server, '[endpoint /b]\nprotocol = relay\n')).ok);
  assert.equal(await say(a, 'x'), 'AA: x', 'who is there is served');
  await assert.rejects(open('/a'), /404/);
});

test('access rules, limits, the level of the log, and files', async (t) => {
  const dir = tempDir();
  writeFileSync(join(dir, 'index.html'), '<p>{title}');
  const ini = (room, rest) => `[server]\nstatic_root = ${dir}\n${rest}\n${rules('said')}${room}`;
  const server = await startFor(t, { ini: ini('', 'title = one'), shards: 2, options: { 'auth.mode': 'optional', 'auth.secret': randomBytes(32).toString('hex') } });
  const page = async () => (await fetch(`${server.url}/`)).text();
  const s = await connect(server);
  assert.equal((await ask(s, 'join', 'vip')).ok, true);
  assert.equal(await page(), '<p>one');
  assert.equal(/ debug /.test(server.stderr()), false);
  writeFileSync(join(dir, 'more.txt'), 'more');
  const room = '[room vip]\njoin = authenticated\npublish = authenticated\n';
  assert.ok((await reload(server, ini(room, 'title = two\n[log]\nlevel = debug\n[limits]\nmax_rooms_per_socket = 1'))).ok);
  assert.equal(await page(), '<p>two');
  assert.equal(await (await fetch(`${server.url}/more.txt`)).text(), 'more');
  assert.equal((await ask(s, 'say', 'vip', 1, 2)).error, 'denied');
  const late = await connect(server);
  assert.equal((await ask(late, 'join', 'vip')).error, 'denied');
  assert.equal((await ask(late, 'join', 'a')).ok, true);
  assert.equal((await ask(late, 'join', 'b')).error, 'too_many_rooms');
  await until('debug lines', () => / debug /.test(server.stderr()));
});

test('a big file for slow readers is not copied, and comes whole although a reload has brought another', async (t) => {
  const dir = tempDir();
  const READERS = 20, SIZE = 12_000_000;
  const [old, other] = [randomBytes(SIZE), randomBytes(SIZE / 2)];
  const path = join(dir, 'big.bin');
  writeFileSync(path, old);
  const ini = `[server]\nstatic_root = ${dir}\n${rules('said')}`;
  const server = await startFor(t, { ini, shards: 2 });
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]) * 1024;
  // Reads the beginning and no more until body() is asked for; unless all of it has come with the beginning.
  const get = async () => {
    const socket = dial({ host: '127.0.0.1', port: server.port });
    const pieces = [];
    const end = new Promise((resolve) => socket.once('end', resolve));
    socket.on('data', (d) => pieces.push(d));
    const begun = event(socket, 'data', 20_000);
    socket.write('GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    await begun;
    socket.pause();
    return { socket, pieces, end };
  };
  const body = async ({ socket, pieces, end }) => {
    socket.resume();
    await within(60_000, 'the end of the file', end);
    const all = Buffer.concat(pieces);
    return all.subarray(all.indexOf('\r\n\r\n') + 4);
  };
  const first = await get();
  const before = resident();
  const readers = [];
  for (let i = 0; i < READERS; i++) readers.push(await get());
  const more = resident() - before;
  assert.ok(more < 2 * SIZE, `${READERS} readers of ${SIZE} bytes take ${more}`);
  for (const content of [other, other.subarray(1)]) {
    writeFileSync(path, content);
    assert.ok((await reload(server)).ok);
    assert.ok(content.equals(await body(await get())));
  }
  for (const reader of [first, readers[0], readers[1]]) assert.ok(old.equals(await body(reader)));
  for (const { socket } of readers) socket.destroy();
  if (slow !== 1) return; // a sanitizer keeps what was freed
  await until('the old files are gone', () => resident() < before + 1.5 * SIZE, 20_000).catch(() => {
    assert.fail(`${resident()} bytes are resident, ${before} were`);
  });
});

test('timeouts hold for connections that wait already', async (t) => {
  const server = await startFor(t, { ini: '[limits]\nidle_timeout = 1h\nhead_timeout = 10m\n', shards: 2 });
  const silent = client(server, { transports: ['websocket'] });
  await connected(silent);
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket`);
  await event(ws, 'open'); // joins no namespace
  const closed = event(ws, 'close', 40_000);
  assert.ok((await reload(server, '[socketio]\nconnect_timeout = 200ms\n')).ok);
  await closed;
  assert.ok(silent.connected);
});

test('the console reloads, says what came of it, and shows what is in effect', async (t) => {
  const path = join(tempDir(), 'ctl.sock');
  const server = await startFor(t, { ini: rules('said'), shards: 2, options: { 'admin.socket': path } });
  const ctl = async (...args) => {
    const { stdout } = await run(['ctl', '-s', path, '--json', ...args]);
    return JSON.parse(stdout);
  };
  await until('the console', () => server.stderr().includes('console on'));
  writeFileSync(join(server.dir, 'roomcast.ini'), `[server]\nbacklog = 7\n[limits]\nmax_args = 3\n${rules('told')}`);
  const done = await ctl('RELOAD');
  assert.equal(done.ok, true);
  assert.match(done.message, /^\[server\] backlog: the change needs a restart; it stays 1024\nreloaded$/m);
  assert.match(JSON.stringify(await ctl('SHOW', 'config', 'key=limits.max_args')), /max_args.*"3"/);
  const s = await connect(server);
  const box = inbox(s);
  await ask(s, 'join', 'r');
  await ask(s, 'say', 'r', 1, 2);
  assert.deepEqual(await box.wait(1), [['told', 1, 2]]);
  const file = join(server.dir, 'roomcast.ini');
  writeFileSync(file, `[admin]\nsocket = ${path}\n[nonsense]\n`);
  const failed = await ctl('RELOAD');
  assert.equal(failed.ok, false);
  assert.match(failed.message, /roomcast\.ini:3: \[nonsense\]/);
  // The socket is found in a file that has faults, which are the server's to tell; once.
  const { code, stdout, stderr } = await run(['ctl', '-c', file, 'RELOAD']);
  assert.equal(code, 1);
  assert.equal((stdout + stderr).match(/roomcast\.ini:3: \[nonsense\]/g).length, 1);
});
