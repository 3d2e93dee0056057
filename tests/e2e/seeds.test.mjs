// The seeds' own client code, as it stands in their texts, against the INI files in conf/examples.
import assert from 'node:assert/strict';
import { copyFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import jwt from 'jsonwebtoken';
import WebSocket from 'ws';

import { artifact, launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connected } from './lib/client.mjs';
import { tempDir, top } from './lib/daemon.mjs';
import { blocks, seed } from './lib/seeds.mjs';
import { AUTH, as, openStore } from './lib/store.mjs';
import { roomcastOnly, sleep, slow, startFor, until, within } from './lib/target.mjs';
import { request } from './lib/wire.mjs';

const { resolve } = createRequire(import.meta.url);
const DIST = dirname(resolve('socket.io-client/dist/socket.io.js'));
const example = (name) => join(top, 'conf/examples', `${name}.ini`);
const options = roomcastOnly;
const WAIT = 30_000;

// A port that was free a moment ago, for what has to know it before the server starts.
async function freePort() {
  const probe = createServer();
  await new Promise((done) => probe.listen(0, '127.0.0.1', done));
  const { port } = probe.address();
  await new Promise((done) => probe.close(done));
  return port;
}

describe('seed 000: rooms on Koa and Socket.IO', options, () => {
  let browser;
  before(async () => {
    if (!options.skip) browser = await launch();
  });
  after(() => browser?.close());

  // Serves its index.html with two changes: what its template engine would make of the title,
  // and the port. The page comes from 127.0.0.1 and connects to localhost, which is another
  // origin, so that CORS has to work, too.
  async function serve(t, shards) {
    const html = blocks(seed('000')).find((b) => b.language === 'html').code;
    assert.ok(html.includes('<%=title-%>') && html.includes("io.connect('http://localhost:3000/')"));
    const port = await freePort();
    const root = tempDir();
    writeFileSync(
      join(root, 'index.html'),
      html.replace('<%=title-%>', '{title}').replace('localhost:3000', `localhost:${port}`),
    );
    copyFileSync(join(DIST, 'socket.io.min.js'), join(root, 'socket.io.min.js'));
    return startFor(t, {
      conf: example('seed-000'),
      shards,
      listen: `127.0.0.1:${port}`,
      options: { 'server.static_root': root },
    });
  }

  async function visit(server) {
    const { page, faults } = await newPage(browser);
    page.setDefaultTimeout(WAIT * slow);
    page.on('dialog', (d) => d.accept());
    await page.goto(`${server.url}/`);
    await page.waitForFunction('socket.connected');
    return {
      page,
      faults,
      join: async (room) => {
        await page.fill('#newRoomInput', room);
        await page.click('text=Create');
      },
      say: async (text) => {
        await page.fill('#messageInput', text);
        await page.click('text=发送');
      },
      shows: async (...texts) => {
        let seen;
        await until(
          `the chat box to show ${texts}`,
          async () => {
            seen = await page.locator('#chatBox p').allTextContents();
            return seen.length >= texts.length;
          },
          WAIT,
        ).catch(() => {});
        await sleep(50);
        seen = await page.locator('#chatBox p').allTextContents();
        assert.deepEqual(seen, texts);
      },
    };
  }

  test('two pages meet in a room, talk, and one leaves', async (t) => {
    const server = await serve(t, 2);
    const [a, b, c] = await Promise.all([visit(server), visit(server), visit(server)]);
    assert.equal(await a.page.title(), 'socket.io chat');
    const joined = 'New member joined the room: kitchen';
    await a.join('kitchen');
    await a.shows(joined);
    await b.join('kitchen');
    await a.shows(joined, joined);
    await b.shows(joined);
    await c.join('cellar');
    await a.say('你好, is it warm?');
    await b.shows(joined, '[kitchen] 你好, is it warm?');
    await b.say('very');
    const talk = ['[kitchen] 你好, is it warm?', '[kitchen] very'];
    await a.shows(joined, joined, ...talk);
    await a.page.screenshot({ path: artifact('seed-000.png') });
    await c.shows('New member joined the room: cellar');
    const left = 'A member left the room: kitchen';
    await b.page.click('text=断开');
    await a.shows(joined, joined, ...talk, left);
    await b.page.waitForFunction('socket.disconnected');
    await b.shows(joined, ...talk);
    assert.equal(await c.page.evaluate('socket.io.engine.transport.name'), 'websocket');

    const d = await visit(server);
    await d.join('kitchen');
    await a.shows(joined, joined, ...talk, left, joined);
    await d.page.close({ runBeforeUnload: true }); // its beforeunload handler says goodbye
    await a.shows(joined, joined, ...talk, left, joined, left);
    assert.deepEqual(
      [a, b, c].flatMap((v) => v.faults.filter((f) => !f.includes('favicon') && !f.includes('404'))),
      [],
    );
    for (const v of [a, b, c]) await v.page.context().close();
  });

  test('whoever knows a room may write to it, as in the seed', async (t) => {
    const server = await serve(t, 1);
    const [a, b] = await Promise.all([visit(server), visit(server)]);
    await a.join('open');
    await a.shows('New member joined the room: open');
    await b.page.evaluate("socket.emit('sendMessageToRoom', 'open', 'from outside')");
    await a.shows('New member joined the room: open', '[open] from outside');
    await b.shows();
    await b.page
      .evaluate("new Promise((r) => { socket.timeout(300).emit('joinRoom', 'x', (e) => r(String(e))) })")
      .then((e) => assert.match(e, /timed out/));
    for (const v of [a, b]) await v.page.context().close();
  });

  test('the client it copies is served, at the version it is', async (t) => {
    const server = await serve(t, 1);
    const r = await request(server, {
      path: '/socket.io/socket.io.min.js',
      headers: { Origin: 'https://elsewhere.example' },
    });
    const { version } = createRequire(import.meta.url)('socket.io-client/package.json');
    assert.match(r.body.slice(0, 100), new RegExp(`Socket\\.IO v${version.replaceAll('.', '\\.')}`));
    const handshake = await request(server, {
      path: '/socket.io/?EIO=4&transport=polling',
      headers: { Origin: 'https://elsewhere.example' },
    });
    assert.equal(handshake.headers['access-control-allow-origin'], '*');
  });
});

describe('seed 004: Socket.IO in three minutes', options, () => {
  // The client that the article builds step by step: a block that imports, then the + lines.
  function clientCode() {
    const all = blocks(seed('004'));
    const first = all.findIndex((b) => b.code.includes("from 'socket.io-client'"));
    const added = all.slice(first + 1).filter((b) => b.language === 'diff');
    assert.equal(added.length, 2);
    const lines = added.flatMap((b) =>
      b.code
        .split('\n')
        .filter((l) => l.startsWith('+ '))
        .map((l) => l.slice(2)),
    );
    const code = `${all[first].code}\n${lines.join('\n')}\n`;
    assert.match(code, /const socket = io\(\)/);
    assert.match(code, /socket\.emit\('talk', '我打野，不给就送'\)/);
    assert.match(code, /socket\.on\('talk', message => \{/);
    return code;
  }

  const SAID = '我打野，不给就送';
  const watch = 'socket.heard = [];\nsocket.onAny((...m) => socket.heard.push(m));\n';

  test('five heroes in Node: each hears those who come after, nobody hears itself', async (t) => {
    const server = await startFor(t, { conf: example('seed-004'), shards: 2 });
    const dir = tempDir();
    symlinkSync(join(top, 'tests/node_modules'), join(dir, 'node_modules'));
    const url = new URL(server.url);
    globalThis.location = { protocol: url.protocol, host: url.host, hostname: url.hostname, port: url.port }; // io() means this place
    const sockets = [];
    t.after(() => {
      delete globalThis.location;
      for (const s of sockets) s.disconnect();
    });
    for (const hero of ['libai', 'yao', 'lvbu', 'houyi', 'diaochan']) {
      const file = join(dir, `${hero}.mjs`);
      writeFileSync(file, `${clientCode()}${watch}export { socket };\n`);
      const { socket } = await import(pathToFileURL(file));
      sockets.push(socket);
      await until(`${hero} to connect`, () => socket.connected, WAIT);
      const before = sockets.length - 1;
      await until(
        `${before} to hear ${hero}`,
        () => sockets.slice(0, before).every((s, i) => s.heard.length === before - i),
        WAIT,
      );
    }
    assert.equal(new Set(sockets.map((s) => s.id)).size, 5);
    sockets[2].disconnect();
    sockets[0].emit('talk', '上路');
    await until('the others', () => [1, 3, 4].every((i) => sockets[i].heard.at(-1)?.[1] === '上路'));
    await sleep(50);
    assert.deepEqual(
      sockets.map((s) => s.heard.length),
      [4, 4, 2, 2, 1],
    );
    for (const s of sockets)
      for (const m of s.heard)
        assert.ok(m[0] === 'talk' && [SAID, '上路'].includes(m[1]) && m.length === 2, JSON.stringify(m));
  });

  test('two pages in Chromium', async (t) => {
    const root = tempDir();
    const map =
      '<script type="importmap">{"imports":{"socket.io-client":"/socket.io/socket.io.esm.min.js"}}</script>';
    const script = `<script type="module">\n${clientCode()}${watch}window.socket = socket;\n</script>`;
    writeFileSync(join(root, 'index.html'), `<!DOCTYPE html><meta charset="utf-8">${map}${script}`);
    const server = await startFor(t, {
      conf: example('seed-004'),
      shards: 2,
      options: { 'server.static_root': root },
    });
    const browser = await launch();
    try {
      const pages = [];
      for (let i = 0; i < 2; i++) {
        const { page, faults } = await newPage(browser);
        page.setDefaultTimeout(WAIT * slow);
        await page.goto(`${server.url}/`);
        await page.waitForFunction('window.socket?.connected');
        pages.push({ page, faults });
      }
      await pages[0].page.waitForFunction('socket.heard.length > 0');
      await pages[1].page.evaluate("socket.emit('talk', '上路')");
      await pages[0].page.waitForFunction('socket.heard.length > 1');
      const heard = await Promise.all(pages.map(({ page }) => page.evaluate('socket.heard')));
      assert.deepEqual(heard, [
        [
          ['talk', SAID],
          ['talk', '上路'],
        ],
        [],
      ]);
      await pages[0].page.evaluate('socket.io.engine.close()'); // the connection breaks
      await pages[0].page.waitForFunction('socket.connected', null, { polling: 50 });
      await until(
        'the room again',
        async () => {
          await pages[1].page.evaluate("socket.emit('talk', '后羿')");
          return (await pages[0].page.evaluate('socket.heard')).some((m) => m[1] === '后羿');
        },
        WAIT,
      );
      assert.deepEqual(
        pages.flatMap((p) => p.faults.filter((f) => !f.includes('favicon') && !f.includes('404'))),
        [],
      );
    } finally {
      await browser.close();
    }
  });
});

describe('seed 001: private and group messages in a database', options, () => {
  afterEach(closeAll);

  test('its event and its row, with who sends taken from the token', async (t) => {
    const code = seed('001');
    const given = code.match(/const \{ (.*) \} = data;/)[1].split(', ');
    const fields = [...code.match(/const message = \{(.*?)\};/s)[1].matchAll(/(\w+):/g)].map((m) => m[1]);
    const [, eventName] = code.match(/socket\.on\('(\w+)', async \(data\)/);
    assert.deepEqual([eventName, given.length, fields.length], ['message', 4, 5]);
    const store = await openStore('sqlite');
    const server = await startFor(t, { conf: example('seed-001'), shards: 2, options: { ...AUTH, ...store.options() } });
    const socket = (user, claims) => client(server, as(user, claims));
    const [ann, bob, bob2, eve, admin] = [socket('ann'), socket('bob'), socket('bob'), socket('eve'), socket('root', { role: 'admin' })];
    const got = new Map([ann, bob, bob2, eve].map((s) => [s, []]));
    for (const [s, list] of got) s.on(eventName, (m) => list.push(m));
    await Promise.all([ann, bob, bob2, eve, admin].map(connected));
    const send = (from, ...values) => ask(from, eventName, Object.fromEntries(given.map((name, i) => [name, values[i]])));

    const ack = await send(ann, 'private', 'eve', 'bob', '你好');
    await until('both devices', () => got.get(bob).length && got.get(bob2).length);
    const row = { conversation_type: 'private', sender_id: 'ann', receiver_id: 'bob', content: '你好' };
    for (const s of [bob, bob2]) {
      const [m] = got.get(s);
      assert.deepEqual(Object.fromEntries(fields.map((f) => [f, m[f]])), { ...row, created_at: m.created_at });
      assert.equal(m.id, ack.id);
      assert.equal(Date.parse(m.created_at), ack.time);
    }
    const [stored] = await store.rows(`SELECT ${fields.join(', ')} FROM message`);
    assert.deepEqual({ ...stored, created_at: '' }, { ...row, created_at: '' });
    assert.equal(Date.parse(`${stored.created_at.replace(/Z?$/, 'Z')}`), ack.time);

    assert.equal((await ask(ann, 'addMember', 'team', 'ann')).error, 'not_same');
    for (const user of ['ann', 'bob', 'carl']) await ask(admin, 'addMember', 'team', user);
    await send(bob, 'group', 'bob', 'team', 'all of you');
    await until('ann', () => got.get(ann).length);
    assert.equal(got.get(ann)[0].content, 'all of you');
    assert.deepEqual((await store.rows('SELECT user_id FROM group_membership ORDER BY user_id')).map((r) => r.user_id), ['ann', 'bob', 'carl']);
    assert.deepEqual(got.get(eve), []);
    const carl = socket('carl'); // who was not there
    const missed = [];
    carl.on(eventName, (m) => missed.push(m.content));
    await connected(carl);
    await until('carl', () => missed.length);
    assert.deepEqual(missed, ['all of you']);
    const talk = await ask(bob, 'history', { type: 'private', with: 'ann' });
    assert.deepEqual(talk.messages.map((m) => m.content), ['你好']);
  });
});

describe('seeds 002 and 003: plain WebSocket', options, () => {
  const open = async (t, server, path = '') => {
    const ws = new WebSocket(server.url.replace('http', 'ws') + path);
    t.after(() => ws.terminate());
    ws.heard = [];
    ws.closed = new Promise((r) => ws.on('close', (code, reason) => r([code, reason.toString()])));
    ws.on('message', (data, binary) => ws.heard.push(binary ? data : data.toString()));
    await within(WAIT, 'open', new Promise((r, f) => ws.once('open', r).once('error', f)));
    return ws;
  };

  test('002: what one sends, all others get; a GET is told to upgrade', async (t) => {
    assert.match(seed('002'), /发送给除发送者以外的所有用户/);
    const server = await startFor(t, { conf: example('seed-002'), shards: 2 });
    const all = await Promise.all([1, 2, 3].map(() => open(t, server)));
    all[0].send('大家好');
    all[1].send('hi');
    await until(
      'all to hear',
      () => all[0].heard.length >= 1 && all[1].heard.length >= 1 && all[2].heard.length >= 2,
    );
    await sleep(50);
    assert.deepEqual(
      all.map((ws) => ws.heard.length),
      [1, 1, 2],
    );
    assert.deepEqual(
      [all[0].heard, all[1].heard, new Set(all[2].heard)],
      [['hi'], ['大家好'], new Set(['大家好', 'hi'])],
    );
    assert.equal((await request(server, { path: '/' })).status, 426);
  });

  test('003: the echo with its prefix', async (t) => {
    const [, prefix] = seed('003').match(/ws\.send\(`(.*?)\$\{data\}`\)/);
    const server = await start003(t);
    const ws = await open(t, server);
    ws.send('你好');
    ws.send('');
    await until('both', () => ws.heard.length === 2);
    assert.deepEqual(ws.heard, [`${prefix}你好`, prefix]);
    const interval = Number(seed('003').match(/ws\.ping\(\);\s*\}\);\s*\}, (\d+)\)/)[1]);
    assert.equal(interval, 30_000);
  });

  const start003 = (t, more) =>
    startFor(t, {
      conf: example('seed-003'),
      shards: 2,
      options: { 'store.path': join(tempDir(), 'messages.db'), ...more },
    });

  // What its server understands, and what it makes of it: { auth: ['clientId'], join: [...], chat: [...] }.
  function vocabulary() {
    const text = seed('003');
    const cases = [...text.matchAll(/case '(\w+)':\n(.*?)break;/gs)].map(([, type, code]) => [
      type,
      [...new Set([...code.matchAll(/msg\.(\w+)/g)].map(([, key]) => key))],
    ]);
    const sent = text.match(/manager\.broadcast\(msg\.roomId, \{(.*?)\}\)/s)[1];
    return { said: Object.fromEntries(cases), heard: [...sent.matchAll(/^(\w+):/gm)].map(([, key]) => key) };
  }

  // A client of that server: a message has what the server reads of it.
  const say = (ws, type, values) => {
    const keys = vocabulary().said[type];
    ws.send(JSON.stringify({ type, ...Object.fromEntries(keys.map((k) => [k, values[k]])) }));
  };

  test('003: auth, join, chat', async (t) => {
    assert.deepEqual(vocabulary(), {
      said: { auth: ['clientId'], join: ['roomId'], chat: ['roomId', 'content'] },
      heard: ['from', 'content', 'time'],
    });
    const server = await start003(t);
    const all = await Promise.all(['/chat', '/chat', '/chat', '/chat'].map((path) => open(t, server, path)));
    all.forEach((ws, i) => {
      say(ws, 'auth', { clientId: `client-${i}` });
      say(ws, 'join', { roomId: i === 3 ? 'elsewhere' : 'lobby' });
    });
    await until('all to be connected', () => all.every((ws) => ws.heard.length === 1));
    await sleep(50);
    const from = Date.now();
    say(all[0], 'chat', { roomId: 'lobby', content: '你好' });
    await until('the members', () => all.slice(0, 3).every((ws) => ws.heard.length === 2));
    say(all[3], 'chat', { roomId: 'lobby', content: 'whoever knows the room may write to it' });
    await until('the members', () => all.slice(0, 3).every((ws) => ws.heard.length === 3));
    await sleep(50);
    assert.equal(all[3].heard.length, 1);
    for (const ws of all.slice(0, 3)) {
      const [, first, second] = ws.heard.map((m) => JSON.parse(m));
      assert.deepEqual(Object.keys(first), vocabulary().heard);
      assert.deepEqual([first.from, first.content], ['client-0', '你好']);
      assert.ok(Math.abs(first.time - from) < 60_000);
      assert.equal(second.from, 'client-3');
    }
    all[0].close(); // manager.remove
    await all[0].closed;
    say(all[1], 'chat', { roomId: 'lobby', content: 'still here' });
    await until('the others', () => all.slice(1, 3).every((ws) => ws.heard.length === 4));
  });

  test('003: a token in the URL', async (t) => {
    const [, hello] = seed('003').match(/ws\.send\(JSON\.stringify\((\{ type: 'connected'.*?\})\)\)/);
    assert.equal(hello, "{ type: 'connected', userId: user.id }");
    const secret = 'the secret of process.env.JWT_SECRET';
    const server = await start003(t, { 'auth.secret': secret });
    const user = { id: 'user-7' };
    const path = (token) => `/live?token=${token}`;
    const [a, b] = [await open(t, server, path(jwt.sign(user, secret))), await open(t, server, path(jwt.sign({ id: 8 }, secret)))];
    await until('both', () => a.heard.length === 1 && b.heard.length === 1);
    const { id, ...rest } = JSON.parse(a.heard[0]);
    assert.deepEqual(rest, { type: 'connected', userId: user.id });
    assert.equal(JSON.parse(b.heard[0]).userId, '8');
    for (const ws of [a, b]) say(ws, 'join', { roomId: 'r' });
    const heard = (ws, n) => JSON.parse(ws.heard[n]);
    const toUser = { type: 'message', conversationType: 'private', receiverId: user.id };
    b.send(JSON.stringify({ ...toUser, content: 'just you', ack: 5 }));
    await until('the message', () => a.heard.length === 2 && b.heard.length === 2);
    assert.deepEqual([heard(a, 1).type, heard(a, 1).sender_id, heard(a, 1).content], ['message', '8', 'just you']);
    assert.deepEqual([heard(b, 1).type, heard(b, 1).ack, heard(b, 1).id], ['ack', 5, heard(a, 1).id]);
    say(a, 'chat', { roomId: 'r', content: 'hi' });
    await until('the chat', () => b.heard.length === 3);
    assert.deepEqual({ ...heard(b, 2), time: 0 }, { from: user.id, content: 'hi', time: 0 });
    assert.equal(id.length, 20);

    // What is kept: of the room, of two people, and for who is away.
    b.send(JSON.stringify({ type: 'history', roomId: 'r', limit: 5, ack: 6 }));
    b.send(JSON.stringify({ type: 'talk', args: [{ type: 'private', with: user.id }], ack: 7 }));
    await until('both answers', () => b.heard.length === 5);
    for (const [n, content] of [[3, { from: user.id, content: 'hi', time: heard(b, 2).time }], [4, 'just you']]) {
      assert.deepEqual([heard(b, n).type, heard(b, n).ok, heard(b, n).more], ['ack', true, false]);
      assert.deepEqual(heard(b, n).messages.map((m) => m.content), [content]);
    }
    a.close();
    await a.closed;
    await sleep(50);
    b.send(JSON.stringify({ ...toUser, content: 'for later', ack: 8 }));
    await until('the ack', () => b.heard.length === 6);
    const again = await open(t, server, path(jwt.sign(user, secret)));
    await until('what was missed', () => again.heard.length === 2);
    assert.equal(heard(again, 0).type, 'connected');
    assert.equal(heard(again, 1).content, 'for later');

    const [, code] = seed('003').match(/ws\.close\((\d+), '认证失败'\)/);
    const bad = await open(t, server, path('forged'));
    const [closed, reason] = await within(WAIT, 'the end', bad.closed);
    assert.equal(closed, Number(code));
    assert.ok(reason.length > 5);
  });
});
