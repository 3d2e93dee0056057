// The demo page in headless Chromium: visitors talk, look at the room list, survive a restart of
// the server, and use a phone. Screenshots are kept as page-*.png among the artifacts.
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { join } from 'node:path';

import { artifact, launch, newPage } from './lib/browser.mjs';
import { ask, closeAll, connect } from './lib/client.mjs';
import { slow, start, tempDir, top } from './lib/daemon.mjs';
import { reference, until } from './lib/target.mjs';

const SHARDS = 2;
const DESK = { viewport: { width: 1280, height: 800 }, colorScheme: 'light' };
const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  isMobile: true,
  hasTouch: true,
};
const TOUCH_PX = 44;
const HOLD_MS = 4500; // conf/roomcast.ini says 5s
const WAIT_MS = 45_000; // pages are slow to draw on a busy machine without a GPU

const serve = (path, { listen = '127.0.0.1:0', ...options } = {}) =>
  start({ conf: join(top, 'conf/roomcast.ini'), shards: SHARDS, listen, options: { 'store.path': path, ...options } });
const newStore = () => join(tempDir(), 'messages');

// A visitor with a browser profile of their own, seen through what the page shows. as: user, who
// has signed in with that name before, or guest; without a name it is their first visit.
class Visitor {
  static async arrive(t, { browser, url, name, as = 'user', hash = '', ...options }) {
    const { page, context, faults } = await newPage(browser, { ...DESK, ...options });
    t.after(() => context.close());
    page.setDefaultTimeout(WAIT_MS * slow);
    const frames = [];
    page.on('websocket', (ws) => ws.on('framesent', ({ payload }) => frames.push(String(payload))));
    if (name) {
      await page.addInitScript((values) => {
        if (location.protocol === 'about:' || localStorage.getItem('roomcast.name')) return;
        for (const [key, value] of Object.entries(values)) localStorage.setItem(`roomcast.${key}`, JSON.stringify(value));
      }, { name, as });
    }
    await page.goto(url + '/' + hash);
    return new Visitor(page, faults, frames);
  }

  // frames: what the page has sent by WebSocket.
  constructor(page, faults, frames) {
    Object.assign(this, { page, faults, frames });
  }

  shown(selector, text) {
    const found = this.page.locator(`${selector}:visible`, text ? { hasText: text } : {});
    return found.first().waitFor();
  }

  async online() {
    await this.page.locator('body[data-phase="online"]').waitFor();
    const upgraded = this.page.locator('.sidebar [data-status][data-transport="websocket"]');
    await upgraded.waitFor({ state: 'attached' }); // a phone does not show the sidebar
  }

  async write(text) {
    await this.page.fill('#message', text);
    await this.page.press('#message', 'Enter');
  }

  // Until the text stands in the open room with its place given by the server.
  message(text) {
    return this.shown('.entries .message', text);
  }

  async authorOf(text) {
    const row = this.page.locator('.entries .message:visible', { hasText: text }).first();
    const mine = (await row.getAttribute('class')).split(' ').includes('mine');
    return { name: await row.locator('.author').textContent(), mine };
  }

  title(text) {
    return until(`title ${text}`, async () => (await this.page.title()) === text, WAIT_MS);
  }

  // How far the own message has come, by its mark.
  async mark(text, state) {
    const mark = this.page.locator(`.message.mine:has-text("${text}") .mark[data-mark="${state}"]`);
    await mark.first().waitFor({ state: 'attached' });
    return mark.first().getAttribute('title');
  }

  // Opens the private conversation with the author of what is on screen.
  async writeTo(name) {
    await this.page.locator('button.author:visible', { hasText: name }).first().click();
    await this.shown('#room-title', name);
  }

  person(name) {
    return this.page.locator('#direct-list .person', { has: this.page.locator('.person-name', { hasText: name }) });
  }

  // Messages of the open room, in the order shown.
  messages() {
    return this.page.locator('.transcript:not([hidden]) .entries .message .text').allTextContents();
  }

  async members(room, n) {
    const label = n === 0 ? undefined : `${n} member${n === 1 ? '' : 's'}`;
    const labels = () => this.page.locator('.room').evaluateAll((rows) => rows.map(
      (row) => [row.querySelector('bdi').textContent, row.querySelector('.members').textContent]));
    let seen;
    await until(`${room} with ${n} members`, async () => {
      seen = new Map(await labels());
      return seen.get(room) === label;
    }, WAIT_MS).catch((e) => {
      throw new Error(`${e.message}; the list shows ${JSON.stringify([...seen])}`);
    });
  }

  async enter(room) {
    await this.page.fill('#filter', room);
    await this.page.press('#filter', 'Enter');
    await this.shown('#room-title', room);
  }

  picture(name) {
    return this.page.screenshot({ path: artifact(`page-${name}.png`), animations: 'disabled' });
  }

  // What may not happen even while there is no server, when a refused connection is no fault.
  exceptions() {
    const expected = /ERR_(CONNECTION|EMPTY_RESPONSE)|WebSocket connection to/;
    return this.faults.filter((fault) => !expected.test(fault));
  }
}

describe('the demo page', { skip: reference && 'the reference serves no page' }, () => {
  let browser;
  let server;
  let store;
  const visit = (t, name, options) =>
    Visitor.arrive(t, { browser, url: server.url, name, ...options });

  before(async () => (browser = await launch()));
  after(() => browser?.close());
  beforeEach(async () => {
    store = newStore();
    server = await serve(store);
  });
  afterEach(() => {
    closeAll();
    return server.stop();
  });

  test('two visitors talk in the lobby', async (t) => {
    const ada = await visit(t, 'Ada Lovelace');
    await ada.online();
    await ada.members('lobby', 1);
    const bob = await visit(t, 'Grace Hopper', { colorScheme: 'dark' });
    await bob.online();
    await Promise.all([ada, bob].map((v) => v.members('lobby', 2)));
    await ada.shown('.notice', 'Grace Hopper joined');
    const status = await ada.page.locator('.sidebar [data-status]').textContent();
    assert.match(status, /^ConnectedWebSocket · (<\u00a0)?\d+\u00a0ms$/);
    assert.equal(await ada.page.title(), 'roomcast');
    assert.equal(await ada.page.locator('h1').textContent(), 'roomcast');

    await ada.write('Good morning!');
    await bob.message('Good morning!');
    await bob.write('Good morning, Ada. See https://example.org/a?b=c, it is good.');
    await ada.message('Good morning, Ada.');
    assert.deepEqual(await bob.authorOf('Good morning!'), { name: 'Ada Lovelace', mine: false });
    assert.deepEqual(await ada.authorOf('Good morning!'), { name: 'You', mine: true });
    assert.deepEqual(await ada.authorOf('See https'), { name: 'Grace Hopper', mine: false });
    const link = ada.page.locator('.entries .text a');
    assert.equal(await link.getAttribute('href'), 'https://example.org/a?b=c');

    for (let i = 1; i <= 5; i++) {
      await Promise.all([ada.write(`Ada ${i}`), bob.write(`Grace ${i}`)]);
    }
    for (const v of [ada, bob]) {
      await until('all have come', async () => (await v.messages()).length === 12, WAIT_MS);
    }
    assert.deepEqual(await ada.messages(), await bob.messages(), 'one order for both');
    assert.equal(await ada.page.locator('.outbox .message').count(), 0, 'nothing is on its way any more');
    await ada.picture('talk-light');
    await bob.picture('talk-dark');
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('HTML in names, rooms and messages stays text', async (t) => {
    const evil = '<img src=x onerror="window.broken=1"><b>bold</b>';
    const ada = await visit(t, '<i>Ada</i>');
    const bob = await visit(t, 'Bob', { hash: `#room=${encodeURIComponent('<u>den</u>')}` });
    await Promise.all([ada.online(), bob.online()]);
    await ada.members('<u>den</u>', 1);
    await ada.enter('<u>den</u>');
    await bob.shown('.notice', '<i>Ada</i> joined');
    await ada.write(evil);
    await bob.message(evil);
    assert.deepEqual(await bob.authorOf(evil), { name: '<i>Ada</i>', mine: false });
    for (const { page } of [ada, bob]) {
      assert.equal(await page.locator('b, i, u, img[src="x"]').count(), 0);
      assert.equal(await page.evaluate(() => window.broken), undefined);
    }
    await bob.picture('html-is-text');
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('rooms come, count, show what is unread, and go', async (t) => {
    const ada = await visit(t, 'Ada');
    const bob = await visit(t, 'Bob');
    await Promise.all([ada.online(), bob.online()]);
    await ada.enter('garden');
    await bob.members('garden', 1);
    await bob.page.locator('#other-list .room', { hasText: 'garden' }).click();
    await ada.members('garden', 2);
    await bob.page.locator('#joined-list .room', { hasText: 'lobby' }).click();
    await ada.write('first');
    await ada.write('second');
    await bob.shown('.room.has-unread', 'garden2 unread2 members');
    await bob.title('(2) roomcast');
    await bob.page.locator('#joined-list .room', { hasText: 'garden' }).click();
    await bob.shown('.divider.new');
    await bob.title('roomcast');
    await bob.picture('unread');

    await bob.page.click('#leave');
    await ada.members('garden', 1);
    await ada.shown('.notice', 'Bob left');
    await bob.shown('#room-title', 'lobby');
    await ada.page.context().close();
    await bob.members('garden', 0);
    await bob.members('lobby', 1);
    assert.deepEqual(bob.faults, []);
  });

  test('a chosen name and the rooms are still there after a reload', async (t) => {
    const ada = await visit(t, 'Ada');
    const guest = await visit(t, null);
    await guest.shown('#profile-heading', 'Welcome to roomcast');
    await guest.picture('welcome');
    await guest.page.click('#name-guest');
    await guest.online();
    await ada.shown('.notice', 'joined');
    assert.match(await guest.page.locator('#profile-name').textContent(), /^\w+ \w+$/);
    await guest.page.click('#profile-open');
    await guest.page.fill('#name', 'Augusta');
    await guest.picture('name');
    await guest.page.press('#name', 'Enter');
    await ada.shown('.notice', 'Augusta');
    await guest.online();
    await guest.enter('garden');
    await ada.members('garden', 1);
    await guest.page.reload();
    await guest.online();
    await guest.shown('#room-title', 'garden');
    await guest.members('lobby', 2);
    await guest.write('still me');
    await guest.message('still me');
    assert.equal(await guest.page.locator('#profile-name').textContent(), 'Augusta');
    assert.deepEqual([...ada.faults, ...guest.faults], []);
  });

  test('signing in, as another, and out', async (t) => {
    const ada = await visit(t, 'Ada');
    const bob = await visit(t, null);
    await bob.page.fill('#name', ' Bob  Lee ');
    await bob.page.press('#name', 'Enter');
    await Promise.all([ada, bob].map((v) => v.online()));
    await bob.shown('#profile-hint', 'Signed in');
    await bob.write('verified');
    await ada.message('verified');
    assert.equal((await ada.authorOf('verified')).name, 'Bob Lee');
    const session = () => bob.page.evaluate(() => JSON.parse(sessionStorage.getItem('roomcast.session')));
    const { token, user } = await session();
    assert.equal(user, 'Bob Lee');

    await bob.page.reload();
    await bob.online();
    assert.equal((await session()).token, token, 'the token of this tab is still good');
    await bob.page.click('#profile-open');
    await bob.shown('#profile-heading', 'You are signed in');
    await bob.picture('profile');
    await bob.page.click('#name-guest');
    await bob.shown('#profile-hint', 'Guest · sign in');
    await bob.online();
    await bob.write('anybody could say that');
    await ada.message('anybody could say that');
    assert.equal((await ada.authorOf('anybody could')).name, 'Bob Leeguest', 'a name that nobody has checked');
    assert.equal(await session(), null);
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('a token is refreshed before it ends', async (t) => {
    const short = await serve(newStore(), { 'auth.dev_tokens_ttl': '3s', 'auth.leeway': '0ms', 'auth.grace': '3s' });
    t.after(() => short.stop());
    const [ada, bob] = await Promise.all(['Ada', 'Bob'].map((name) => visit(t, name, { url: short.url })));
    await Promise.all([ada, bob].map((v) => v.online()));
    const refreshed = (v) => v.frames.filter((f) => f.includes('refreshToken')).length;
    await until('three refreshes', () => Math.min(refreshed(ada), refreshed(bob)) >= 3, WAIT_MS);
    await ada.write('still me');
    await bob.message('still me');
    assert.equal((await bob.authorOf('still me')).name, 'Ada');
    assert.equal(await ada.page.locator('.notice', { hasText: 'left' }).count(), 0);
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('a strict Content-Security-Policy', async (t) => {
    const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
      + "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'";
    const root = join(tempDir(), 'web');
    cpSync(join(top, 'web'), root, { recursive: true });
    const index = readFileSync(join(root, 'index.html'), 'utf8');
    writeFileSync(join(root, 'index.html'), index.replace('<head>', `<head><meta http-equiv="Content-Security-Policy" content="${policy}">`));
    const strict = await serve(newStore(), { 'server.static_root': root });
    t.after(() => strict.stop());
    const [ada, bob] = await Promise.all(['Ada', 'Bob'].map((name) => visit(t, name, { url: strict.url })));
    await Promise.all([ada, bob].map((v) => v.online()));
    await ada.write('see https://example.org');
    await bob.message('see https');
    await bob.writeTo('Ada');
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('a server without tokens has guests only', async (t) => {
    const plain = await serve(newStore(), { 'auth.dev_tokens_path': '' });
    t.after(() => plain.stop());
    const ada = await visit(t, 'Ada', { url: plain.url });
    const bob = await visit(t, null, { url: plain.url });
    await Promise.all([ada, bob].map((v) => v.online()));
    await ada.shown('#profile-hint', 'Change your name');
    await ada.write('hello');
    await bob.message('hello');
    assert.deepEqual(await bob.authorOf('hello'), { name: 'Ada', mine: false });
    assert.deepEqual(await ada.authorOf('hello'), { name: 'You', mine: true });
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('a server that acknowledges nothing and stores nothing', async (t) => {
    const bare = await start({ conf: join(top, 'conf/examples/seed-000.ini'), shards: SHARDS });
    t.after(() => bare.stop());
    const ada = await visit(t, 'Ada', { url: bare.url });
    await ada.online();
    await ada.write('hello');
    const bob = await visit(t, 'Bob', { url: bare.url });
    await bob.online();
    await bob.write('who is here?');
    await Promise.all([ada, bob].map((v) => v.message('who is here?')));
    assert.deepEqual(await ada.messages(), ['hello', 'who is here?']);
    assert.match(await ada.mark('hello', 'sent'), /^Sent$/);
    assert.equal(await ada.page.locator('#people-toggle:visible, .earlier:visible').count(), 0);
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('both are back after a restart of the server', async (t) => {
    const ada = await visit(t, 'Ada');
    const bob = await visit(t, 'Bob', { colorScheme: 'dark' });
    await Promise.all([ada.online(), bob.online()]);
    await Promise.all([ada, bob].map((v) => v.enter('garden')));
    await Promise.all([ada, bob].map((v) => v.members('garden', 2)));
    await server.stop();
    await Promise.all([ada, bob].map((v) => v.shown('#banner', 'No connection.')));
    await ada.write('written while there was no server');
    await ada.shown('.outbox .message[data-state="waiting"]', 'written while');
    await ada.picture('offline-light');
    await bob.picture('offline-dark');

    server = await serve(store, { listen: `127.0.0.1:${server.port}` });
    await Promise.all([ada.online(), bob.online()]);
    await ada.message('written while there was no server');
    await Promise.all([ada, bob].map((v) => v.members('garden', 2)));
    await bob.write('here I am again');
    await ada.message('here I am again');
    await ada.write('so am I');
    await bob.message('so am I');
    for (const { page } of [ada, bob]) await page.locator('#banner').waitFor({ state: 'hidden' });
    assert.deepEqual([...ada.exceptions(), ...bob.exceptions()], []);
  });

  test('private messages: all devices, unread marks, stored', async (t) => {
    const [ada, phone, bob, eve] = await Promise.all(['Ada', 'Ada', 'Bob', 'Eve'].map((name) => visit(t, name)));
    await Promise.all([ada, phone, bob, eve].map((v) => v.online()));
    await ada.write('hello all');
    await ada.mark('hello all', 'stored');
    await bob.message('hello all');
    await bob.writeTo('Ada');
    await bob.write('between us');
    assert.match(await bob.mark('between us', 'stored'), /^Stored, .*\d/);
    assert.equal(await bob.page.locator('.outbox .message').count(), 0);

    for (const v of [ada, phone]) {
      await v.shown('#direct-list .person.has-unread', 'Bob');
      await v.title('(1) roomcast');
    }
    await ada.picture('private-unread');
    await ada.person('Bob').click();
    await ada.message('between us');
    await ada.title('roomcast');
    await ada.write('indeed');
    await bob.message('indeed');
    await phone.person('Bob').click();
    await phone.message('indeed');
    assert.deepEqual(await phone.authorOf('indeed'), { name: 'You', mine: true });
    for (const v of [ada, phone, bob]) assert.deepEqual(await v.messages(), ['between us', 'indeed']);
    await bob.picture('private');
    assert.equal(await eve.page.locator('#direct-list .person').count(), 0, 'nobody else gets it');
    assert.ok(!(await eve.page.locator('body').textContent()).includes('between us'));
    assert.deepEqual([ada, phone, bob, eve].flatMap((v) => v.faults), []);
  });

  test('groups: made, written to, joined by others, left', async (t) => {
    const ada = await visit(t, 'Ada');
    const [bob, eve] = await Promise.all(['Bob', 'Eve'].map((name) => visit(t, name)));
    await Promise.all([ada, bob, eve].map((v) => v.online()));
    await ada.shown('#people-count', '3 people');
    await ada.page.click('#new-group');
    await ada.page.locator('#group').waitFor();
    await ada.page.fill('#group-name', 'Picnic');
    await ada.page.locator('.candidate', { hasText: 'Bob' }).click();
    await ada.picture('group-sheet');
    await ada.page.click('#group-save');
    await ada.shown('#room-title', 'Picnic');
    await ada.shown('.notice', 'You added Bob');
    await ada.shown('#room-members', '2 members');
    await bob.shown('#direct-list .person.has-unread', 'Picnic');
    await bob.shown('.talk-text', 'Ada added Bob');
    await ada.write('who brings the cake?');
    assert.match(await ada.mark('who brings', 'stored'), /^Stored/);
    await bob.shown('.talk-text', 'Ada: who brings the cake?');
    await bob.person('Picnic').click();
    await bob.message('who brings the cake?');
    await bob.shown('.notice', 'Ada made this group');
    await bob.write('I do');
    await ada.message('I do');

    await bob.page.goto('about:blank');
    await ada.write('and a blanket?');
    await ada.mark('and a blanket?', 'stored');
    await bob.page.goto(server.url);
    await bob.online();
    await bob.shown('#direct-list .person.has-unread', 'Picnic');
    await bob.shown('.talk-text', 'Ada: and a blanket?');
    await bob.person('Picnic').click();
    await bob.message('and a blanket?');
    assert.deepEqual(await bob.messages(), ['who brings the cake?', 'I do', 'and a blanket?']);
    await bob.picture('group');

    assert.equal(await eve.page.locator('#direct-list .person').count(), 0, 'nobody else gets it');
    await bob.page.fill('#invite-name', 'Eve');
    await bob.page.press('#invite-name', 'Enter');
    await eve.shown('#direct-list .person.has-unread', 'Picnic');
    await eve.person('Picnic').click();
    await eve.shown('#room-members', '3 members');
    await eve.write('late, but here');
    for (const v of [ada, bob]) await v.message('late, but here');
    await ada.shown('#here-list .person', 'Eve');
    await eve.page.click('#leave');
    await ada.shown('.notice', 'Eve left');
    await ada.shown('#room-members', '2 members');
    await until('gone', async () => (await eve.page.locator('#direct-list .person').count()) === 0, WAIT_MS);

    await eve.page.click('#new-group');
    await eve.page.fill('#group-name', 'Picnic');
    await eve.page.press('#group-name', 'Enter');
    await eve.shown('#group-problem', 'there is a group of that name already');
    await eve.page.click('#group-cancel');
    await eve.page.goto('about:blank');
    await eve.page.goto(`${server.url}/#group=Picnic`);
    await eve.shown('.toast', 'You are not in the group Picnic.');
    assert.deepEqual([ada, bob, eve].flatMap((v) => v.faults), []);
  });

  test('the list of conversations, in another browser too', async (t) => {
    const other = await visit(t, 'Ada');
    await other.online();
    const { token } = await other.page.evaluate(() => JSON.parse(sessionStorage.getItem('roomcast.session')));
    const sender = await connect(server, { auth: { token } });
    for (let i = 1; i <= 33; i++) {
      const message = { conversationType: 'private', receiverId: `Friend ${i}`, content: `hello ${i}` };
      assert.equal((await ask(sender, 'message', message)).ok, true);
    }
    const ada = await visit(t, 'Ada');
    await ada.online();
    const rows = () => ada.page.locator('#direct-list .person-name').allTextContents();
    const friends = Array.from({ length: 33 }, (_, i) => `Friend ${33 - i}`);
    const shows = (n) => until(`${n} conversations`, async () => (await rows()).length === n, WAIT_MS);
    await shows(30);
    assert.deepEqual(await rows(), friends.slice(0, 30), 'the latest first');
    await ada.shown('#direct-list .talk', 'You: hello 33');
    await ada.picture('conversations');
    await ada.page.click('#more-talks');
    await shows(33);
    assert.deepEqual(await rows(), friends);
    assert.equal(await ada.page.locator('#more-talks:visible').count(), 0);
    await ada.title('roomcast');
    await ada.person('Friend 33').click();
    await ada.message('hello 33');
    await ada.page.click('#leave');
    await shows(32);
    await ada.page.reload();
    await ada.online();
    await ada.shown('#direct-list .talk', 'You: hello 32');
    assert.ok(!(await rows()).includes('Friend 33'), 'closed');
    assert.equal((await ask(sender, 'message', { conversationType: 'private', receiverId: 'Friend 33', content: 'again' })).ok, true);
    await ada.shown('#direct-list .talk', 'You: again');
    assert.deepEqual([ada, other].flatMap((v) => v.faults), []);
  });

  test('"New" stands above all that is unread, in whatever order it came', async (t) => {
    const ada = await visit(t, 'Ada');
    await ada.online();
    const seen = await ada.page.evaluate(async () => {
      const { Conversation } = await import('./conversation.js');
      const hooks = { onChange() {}, onSeen() {}, onPerson() {}, onScroll() {} };
      const link = { isOnline: () => true, user: () => 'Ada', request: async () => null, offer: async () => null };
      const talk = new Conversation('key', 'name', 'label', link, hooks, 7);
      const message = (id) => ({ type: 'message', id, text: `m${id}`, socket: '', user: 'Bob', name: null, client: '', time: 1e12 + id, mine: false });
      const state = () => [talk.unread, talk.transcript.firstNew.id];
      const states = [];
      talk.receive(message(10), false);
      states.push(state());
      talk.show([7, 8, 9, 10].map(message), false);
      states.push(state());
      talk.receive(message(11), false);
      states.push(state());
      const rows = [...talk.transcript.entries.children].map((row) => (row.className === 'divider new' ? 'New' : row.querySelector('.text')?.textContent));
      return { states, rows: rows.filter(Boolean) };
    });
    assert.deepEqual(seen, { states: [[1, 10], [3, 8], [4, 8]], rows: ['m7', 'New', 'm8', 'm9', 'm10', 'm11'] });
  });

  test('who was away gets what was said, once', async (t) => {
    const ada = await visit(t, 'Ada');
    const bob = await visit(t, 'Bob');
    await Promise.all([ada, bob].map((v) => v.online()));
    await bob.write('see you');
    await ada.message('see you');
    await bob.page.goto('about:blank');
    await ada.write('missed in the room');
    await ada.writeTo('Bob');
    await ada.write('missed in private');
    await ada.mark('missed in private', 'stored');

    await bob.page.goto(server.url);
    await bob.online();
    await bob.message('missed in the room');
    await bob.shown('.divider.new');
    assert.deepEqual(await bob.messages(), ['see you', 'missed in the room']);
    assert.deepEqual(await bob.authorOf('see you'), { name: 'You', mine: true });
    await bob.shown('#direct-list .person.has-unread', 'Ada');
    await bob.shown('#direct-list .badge', '1 unread');
    await bob.title('(1) roomcast');
    await bob.page.reload();
    await bob.online();
    await bob.title('(1) roomcast');
    await bob.person('Ada').click();
    await bob.message('missed in private');
    await bob.page.reload();
    await bob.online();
    await bob.message('missed in private');
    assert.deepEqual(await bob.messages(), ['missed in private'], 'still once');
    await bob.title('roomcast');
    assert.deepEqual([...ada.faults, ...bob.faults], []);
  });

  test('who is here: people come and go quietly', async (t) => {
    const ada = await visit(t, 'Ada');
    await ada.online();
    await ada.shown('#here-list .person:disabled', 'Ada');
    const bob = await visit(t, 'Bob');
    const guest = await visit(t, 'Otter', { as: 'guest' });
    await Promise.all([bob, guest].map((v) => v.online()));
    await ada.shown('.notice', 'Bob and Otter joined');
    await ada.shown('#people-count', '2 people');
    await guest.shown('#here-list .person', 'Bob');
    await guest.shown('#here-hint', 'Guests are not listed');
    await ada.page.locator('#here-list .person', { hasText: 'Bob' }).click();
    await ada.shown('#room-title', 'Bob');
    await ada.shown('#room-members', 'Here now');
    await ada.write('hello');
    await ada.mark('hello', 'stored');
    await ada.shown('#direct-list .person.online', 'Bob');
    await ada.page.locator('#joined-list .room', { hasText: 'lobby' }).click();
    await ada.picture('people');

    const gone = Date.now();
    await bob.page.reload();
    await bob.online();
    await bob.shown('#here-list .person', 'Ada');
    const isQuick = Date.now() - gone < HOLD_MS; // too quick to be told
    await bob.page.click('#leave');
    await ada.shown('.notice', 'Bob left');
    if (isQuick) assert.equal(await ada.page.locator('.notice').count(), 2, 'joined and left, once each');
    await ada.shown('#people-count', '1 person');
    await ada.shown('#direct-list .person.away', 'Bob');
    await ada.page.click('#people-close');
    await ada.page.locator('#people').waitFor({ state: 'hidden' });
    assert.deepEqual([ada, bob, guest].flatMap((v) => v.faults), []);
  });

  test('what was said while the connection was lost', async (t) => {
    const ada = await visit(t, 'Ada');
    const bob = await visit(t, 'Bob');
    await Promise.all([ada, bob].map((v) => v.online()));
    await ada.write('one');
    await bob.message('one');
    await bob.writeTo('Ada');
    await bob.write('private one');
    await ada.shown('#direct-list .person.has-unread', 'Bob');

    server.child.kill('SIGSTOP'); // what is written now gets no answer
    await bob.write('private two');
    await bob.mark('private two', 'sending');
    server.child.kill('SIGKILL');
    await server.end;
    await bob.shown('.problem', 'the connection was lost on the way');
    server = await serve(store, { listen: `127.0.0.1:${server.port}` });
    const guest = await connect(server, { auth: { name: 'Guest' } });
    await ask(guest, 'joinRoom', 'lobby');
    await ask(guest, 'sendMessageToRoom', 'lobby', 'two');
    await Promise.all([ada, bob].map((v) => v.online()));

    await bob.page.locator('.problem .link', { hasText: 'Send again' }).click();
    await bob.mark('private two', 'stored');
    const ids = bob.frames.filter((f) => f.includes('private two')).map((f) => f.match(/"clientId":"(\w+)"/)[1]);
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1], 'a second try is no second message');
    await ada.message('two');
    assert.deepEqual(await ada.messages(), ['one', 'two']);
    await ada.person('Bob').click();
    await ada.message('private two');
    assert.deepEqual(await ada.messages(), ['private one', 'private two']);
    await bob.page.locator('#joined-list .room', { hasText: 'lobby' }).click();
    await bob.message('two');
    assert.deepEqual(await bob.messages(), ['one', 'two']);
    assert.deepEqual([...ada.exceptions(), ...bob.exceptions()], []);
  });

  test('history on join, and earlier', async (t) => {
    const guest = await connect(server, { auth: { name: 'Guest' } });
    await ask(guest, 'joinRoom', 'lobby');
    const texts = Array.from({ length: 120 }, (_, i) => `message ${i + 1}`);
    for (const text of texts) assert.equal((await ask(guest, 'sendMessageToRoom', 'lobby', text)).ok, true);
    const ada = await visit(t, 'Ada');
    await ada.online();
    await ada.message('message 120');
    const shows = (n) => until(`${n} messages`, async () => (await ada.messages()).length === n, WAIT_MS);
    await shows(50);
    assert.deepEqual(await ada.messages(), texts.slice(-50));
    assert.equal((await ada.authorOf('message 120')).name, 'Guestguest');
    assert.equal(await ada.page.locator('.divider.new').count(), 0, 'nothing is new on a first visit');
    await ada.page.locator('.transcript').evaluate((node) => { node.scrollTop = 0; });
    await ada.shown('#latest');
    const top71 = () => ada.page.locator('.message', { hasText: 'message 71' }).evaluate((node) => node.getBoundingClientRect().top);
    const before = await top71();
    await ada.page.click('.earlier');
    await shows(100);
    const moved = (await top71()) - before;
    assert.ok(Math.abs(moved) < 100, `what one was reading stays in view; it moved by ${moved}`);
    await ada.page.click('.earlier');
    await shows(120);
    assert.deepEqual(await ada.messages(), texts);
    assert.equal(await ada.page.locator('.earlier:visible').count(), 0, 'that was all');
    await ask(guest, 'sendMessageToRoom', 'lobby', 'one more');
    await ada.shown('#latest', '1 new message');
    await ada.picture('history');
    assert.deepEqual(ada.faults, []);
  });

  test('a phone', async (t) => {
    const ada = await visit(t, 'Ada');
    const phone = await visit(t, 'Otter', PHONE);
    const dark = await visit(t, 'Heron', { ...PHONE, colorScheme: 'dark' });
    await Promise.all([ada, phone, dark].map((v) => v.online()));
    await fitsPhone(phone.page);
    const long = 'https://example.org/'.padEnd(300, 'x');
    await ada.write(`A long word does not widen the page: ${long}`);
    await phone.message('A long word');
    await phone.write('Seen on a phone.');
    await dark.message('Seen on a phone.');
    await fitsPhone(phone.page);
    await phone.picture('phone-light');
    await dark.picture('phone-dark');
    await phone.page.tap('#back');
    await phone.shown('.room', 'lobby');
    await fitsPhone(phone.page);
    await phone.picture('phone-rooms-light');
    await ada.enter('garden');
    await phone.page.locator('.room', { hasText: 'garden' }).tap();
    await phone.shown('#room-title', 'garden');
    await phone.page.goBack();
    await phone.shown('.room', 'garden');

    await phone.page.tap('#new-group');
    await phone.page.fill('#group-name', 'A group with a name of some length');
    await phone.page.locator('.candidate', { hasText: 'Heron' }).tap();
    await fitsPhone(phone.page);
    await phone.picture('phone-sheet-light');
    await phone.page.tap('#group-save');
    await phone.shown('.notice', 'You added Heron');
    await phone.write('Seen by the two of us, and a text that is longer than the row in which it is shown');
    await phone.mark('Seen by the two', 'stored');
    await dark.page.tap('#back');
    await dark.shown('.talk-text', 'Otter: Seen by the two of us');
    await fitsPhone(dark.page);
    await dark.picture('phone-conversations-dark');
    await phone.page.tap('#people-toggle');
    await phone.shown('#here-list .person', 'Heron');
    await fitsPhone(phone.page);
    await phone.picture('phone-members-light');
    await phone.page.tap('#people-close');
    await phone.page.tap('#back');
    await phone.shown('.talk-text', 'You: Seen by the two of us');
    await phone.picture('phone-conversations-light');
    assert.deepEqual([...ada.faults, ...phone.faults, ...dark.faults], []);
  });
});

// Nothing sticks out to the side, and whatever can be tapped is large enough for a finger.
async function fitsPhone(page) {
  const width = await page.evaluate(() => document.scrollingElement.scrollWidth);
  assert.equal(width, PHONE.viewport.width);
  const targets = page.locator(':is(button, input:not([type=checkbox]), textarea, label):visible');
  const sizes = await targets.evaluateAll((nodes) => nodes.map((node) => {
    const { width: w, height: h } = node.getBoundingClientRect();
    return { name: node.id || node.className, least: Math.min(w, h) };
  }));
  assert.ok(sizes.length >= 3);
  assert.deepEqual(sizes.filter(({ least }) => least < TOUCH_PX), []);
}
