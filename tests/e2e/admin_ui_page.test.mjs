// The Socket.IO Admin UI itself, the pages of the npm package as they are, in headless Chromium. Screenshots are kept as
// admin-ui-*.png among the artifacts.
import assert from 'node:assert/strict';
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { artifact, launch, newPage } from './lib/browser.mjs';
import { ask, closeAll, connect, event, inbox } from './lib/client.mjs';
import { slow } from './lib/daemon.mjs';
import { ADMIN, pages, PASSWORD } from './lib/operator.mjs';
import { label, reference, SHARDS, startFor, until } from './lib/target.mjs';

const INI = `
[event join]
join = {1}
[event say]
emit = room {1}: said {2}
`;
const WS = { transports: ['websocket'] };
const WAIT_MS = 45_000; // pages are slow to draw on a busy machine without a GPU
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.png': 'image/png' };

let browser, site;

// Another site than the server's, as https://admin.socket.io is one.
before(async () => {
  browser = await launch();
  const http = createServer((req, res) => {
    const path = new URL(req.url, 'http://x').pathname;
    const file = fileURLToPath(new URL(`.${path === '/' ? '/index.html' : path}`, pages));
    if (!existsSync(file)) return res.writeHead(404).end();
    res.writeHead(200, { 'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(res);
  });
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  site = { http, url: `http://127.0.0.1:${http.address().port}` };
});
after(async () => {
  await browser?.close();
  site?.http.closeAllConnections();
  site?.http.close();
});
afterEach(closeAll);

async function open(t, url) {
  const { page, context, faults } = await newPage(browser, { viewport: { width: 1500, height: 950 }, locale: 'en-US' });
  t.after(() => context.close());
  page.setDefaultTimeout(WAIT_MS * slow);
  // Its fonts and icons are on other sites, which a test does not ask.
  await page.route(/^https:/, (route) => route.abort());
  await page.goto(url);
  return { page, faults };
}

async function login(page, url, password = PASSWORD) {
  await page.getByLabel('Server URL').fill(url);
  await page.getByLabel('Username').fill('admin');
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
}

async function loggedIn(page) {
  await page.locator('.v-dialog--active').waitFor({ state: 'hidden' });
  await page.getByText('Status: connected').first().waitFor();
}

const go = (page, title) => page.locator('.v-navigation-drawer .v-list-item', { hasText: title }).click();
const row = (page, ...texts) => texts.reduce((rows, hasText) => rows.filter({ hasText }), page.locator('tbody tr')).first();
const shot = (page, name) => page.screenshot({ path: artifact(`admin-ui-${name}.png`) });

// Icons and fonts that were not fetched are no faults, nor is the request that a wrong password ends.
const real = (faults) => faults.filter((f) => !/net::ERR_FAILED|ERR_BLOCKED/.test(f));

const serve = (t, shards, options = {}) =>
  startFor(t, { ini: INI, shards, options: { ...ADMIN, 'socketio.cors_origin': site.url, 'socketio.cors_credentials': 'yes', ...options } });

for (const shards of SHARDS) {
  describe(label(shards), () => {
    test('a wrong password is refused, the right one is not', async (t) => {
      const server = await serve(t, shards);
      const { page, faults } = await open(t, site.url);
      await login(page, server.url, 'wrong');
      await page.getByText('Invalid credentials').waitFor();
      await shot(page, 'refused');
      await login(page, server.url);
      await loggedIn(page);
      // A page that is loaded again needs no password: it has a session.
      await page.reload();
      await loggedIn(page);
      assert.deepEqual(real(faults), []);
    });

    test('servers, sockets, rooms, events and clients are there', async (t) => {
      const server = await serve(t, shards, { 'admin.ui_server_id': 'node-one' });
      const sockets = await Promise.all([1, 2, 3, 4, 5].map(() => connect(server, WS)));
      const [ann, bob] = sockets;
      for (const s of sockets) await ask(s, 'join', 'lobby');
      await ask(ann, 'join', 'den');
      const { page, faults } = await open(t, site.url);
      await login(page, server.url);
      await loggedIn(page);
      await go(page, 'Servers');
      await row(page, 'node-one', String(server.pid)).waitFor();
      await shot(page, 'servers');
      await go(page, 'Sockets');
      for (const s of sockets) await row(page, s.id).waitFor();
      await shot(page, 'sockets');
      const late = await connect(server, { transports: ['polling'] });
      await row(page, late.id, 'polling').waitFor();
      late.disconnect();
      await row(page, bob.id).waitFor();
      await until('it is gone', async () => !(await row(page, 'HTTP long-polling').isVisible()), WAIT_MS);
      await go(page, 'Rooms');
      await row(page, 'lobby', '5').waitFor();
      await row(page, 'den', '1').waitFor();
      await shot(page, 'rooms');
      ann.emit('say', 'den', 'hello');
      await go(page, 'Events');
      await row(page, ann.id, 'say').waitFor();
      await row(page, ann.id, 'said').waitFor();
      await shot(page, 'events');
      await go(page, 'Clients');
      await until('six clients', async () => (await page.locator('tbody tr').count()) === 6, WAIT_MS);
      await go(page, 'Dashboard');
      await page.getByText('Servers').first().waitFor();
      await shot(page, 'dashboard');
      assert.deepEqual(real(faults), []);
    });

    test('a socket is made to join a room, to leave it, and to go', async (t) => {
      const server = await serve(t, shards);
      const sockets = await Promise.all([1, 2, 3, 4].map(() => connect(server, WS)));
      const [ann, bob] = sockets;
      await ask(bob, 'join', 'lobby');
      const heard = inbox(ann);
      const { page, faults } = await open(t, site.url);
      await login(page, server.url);
      await loggedIn(page);
      await go(page, 'Sockets');
      await row(page, ann.id).click();
      await page.getByLabel('Join a room').fill('lobby');
      await page.locator('form', { has: page.getByLabel('Join a room') }).getByRole('button').last().click();
      await row(page, 'lobby').waitFor();
      await shot(page, 'joined');
      bob.emit('say', 'lobby', 'welcome');
      await heard.wait(1);
      assert.deepEqual(heard, [['said', 'welcome']]);
      await row(page, 'lobby').getByRole('button').click();
      await row(page, 'lobby').waitFor({ state: 'hidden' });
      await go(page, 'Sockets');
      const left = event(bob, 'disconnect');
      await row(page, bob.id).getByRole('button').click();
      assert.equal([].concat(await left)[0], 'io server disconnect');
      await page.getByText('disconnected', { exact: true }).first().waitFor(); // the click has opened its details, too
      await shot(page, 'gone');
      await go(page, 'Sockets');
      await until('its row is gone', async () => (await page.locator('tbody tr').count()) === 3, WAIT_MS);
      assert.ok(sockets.filter((s) => s !== bob).every((s) => s.connected));
      assert.deepEqual(real(faults), []);
    });
  });
}

test('in production there are figures only', async (t) => {
  const server = await serve(t, SHARDS.at(-1), { 'admin.ui_mode': 'production' });
  const { page, faults } = await open(t, site.url);
  await login(page, server.url);
  await loggedIn(page);
  await go(page, 'Servers');
  await row(page, String(server.pid)).waitFor();
  assert.equal(await page.locator('.v-navigation-drawer .v-list-item').count(), 2);
  assert.deepEqual(real(faults), []);
});

test('the pages served by roomcast itself', { skip: reference && 'only roomcast has this' }, async (t) => {
  const server = await startFor(t, { ini: INI, shards: 2, options: { ...ADMIN, 'server.static_root': fileURLToPath(pages).replace(/\/$/, '') } });
  const ann = await connect(server, WS);
  const { page, faults } = await open(t, server.url);
  await login(page, server.url);
  await loggedIn(page);
  await go(page, 'Sockets');
  await row(page, ann.id).waitFor();
  assert.deepEqual(real(faults), []);
});
