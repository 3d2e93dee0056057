// A store that cannot: disk full, a file that may not grow or be written, MariaDB stopped, killed or
// standing still. Clients get clear refusals, nothing hangs or ends, and it goes on afterwards.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';

import { ask, closeAll, connect } from './lib/client.mjs';
import { freePort, run, slow, start, tempDir } from './lib/daemon.mjs';
import { startMariadb } from './lib/mariadb.mjs';
import { AUTH, ENGINES, as, openStore, sqlite } from './lib/store.mjs';
import { logged, until } from './lib/wait.mjs';
import { INI, acks, verify, writers } from './lib/writers.mjs';

const USERS = 8;
const REFUSALS = ['store_down', 'store_failed', 'store_busy', 'store_unknown'];
const LIMITS = { timeout: 120_000 * slow };

async function startFor(t, options) {
  const server = await start(options);
  t.after(() => server.stop());
  return server;
}

// A daemon under load. window 1: of a sender's messages none overtakes one that is refused.
async function underLoad(t, store, { shards = 2, options = {}, window = 1 } = {}) {
  const port = await freePort();
  const server = await startFor(t, {
    ini: INI, listen: `127.0.0.1:${port}`, shards, options: { ...AUTH, ...store.options(options) },
  });
  const all = writers(server.url, USERS, { window });
  t.after(() => all.forEach((w) => w.close()));
  await until('all write', () => all.every((w) => w.acked.size > 0), 20_000);
  return { server, all };
}

// More acks than there are now.
async function progress(all, what, ms = 20_000) {
  const before = acks(all);
  await until(`more acks: ${what}; ${all[0].refusals.at(-1)}`, () => acks(all) > before + 3 * all.length, ms);
}

const refusals = (all) => all.flatMap((w) => w.refusals);

async function refused(all, what, ms = 20_000) {
  const before = refusals(all).length;
  await until(`refusals: ${what}`, () => refusals(all).length > before + all.length, ms).catch((e) => {
    throw new Error(`${e.message}\n${all.map((w) => w.state()).join('\n')}`);
  });
}

// All is well again: nothing is stuck, and what was promised was kept.
async function settles(all, store) {
  await progress(all, 'afterwards');
  for (const w of all) await w.finish();
  for (const error of refusals(all)) assert.ok(REFUSALS.includes(error), error);
  await verify(store, all);
}

// Shards wait for nothing: who asks the store for nothing is answered at once.
async function responsive(server) {
  const socket = await connect(server, as('somebody'));
  for (let i = 0; i < 20; i++) {
    const from = performance.now();
    assert.equal(await ask(socket, 'echo', i), i);
    const took = performance.now() - from;
    assert.ok(took < 500 * slow, `an echo took ${took} ms`);
  }
  socket.disconnect();
}

const cli = (options) => Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);

// The end of a daemon that cannot start with this store.
const startless = (options) => run(['-o', 'server.listen=127.0.0.1:0', ...cli(options)]);

afterEach(closeAll);

// A small file system of its own for each, where that is permitted.
const mount = (dir, options) => execFileSync('mount', [...options, 'roomcast-test', dir], { stdio: 'ignore' });
const unmount = (dir) => execFileSync('umount', ['-l', dir]);

const mayMount = (() => {
  const dir = tempDir();
  try {
    mount(dir, ['-t', 'tmpfs']);
    unmount(dir);
    return true;
  } catch {
    return false;
  }
})();

function tmpfs(t, size) {
  const dir = join(tempDir(), 'disk');
  mkdirSync(dir);
  mount(dir, ['-t', 'tmpfs', '-o', `size=${size}`]);
  t.after(() => unmount(dir));
  return dir;
}

// To the last block, which the daemon may want as well.
function fill(dir) {
  for (let size = 1 << 16; size >= 4096; ) {
    try {
      appendFileSync(join(dir, 'filler'), Buffer.alloc(size));
    } catch {
      size /= 2;
    }
  }
}

describe('SQLite', () => {
  test('a file that may not grow', LIMITS, async (t) => {
    const store = await openStore('sqlite');
    const { server, all } = await underLoad(t, store);
    const limit = (size) => execFileSync('prlimit', [`--pid=${server.pid}`, `--fsize=${size}:`]);
    for (let i = 0; i < 3; i++) {
      limit(4096);
      await refused(all, 'nothing can be written');
      await logged(server, /error store: sqlite: (requests fail until it works again|lost)/);
      await responsive(server);
      limit('unlimited');
      await progress(all, 'files may grow again');
    }
    await settles(all, store);
  });

  if (!mayMount) console.log('# a full disk: not run, nothing may be mounted here; a file that may not grow was');
  else test('a full disk', LIMITS, async (t) => {
    const dir = tmpfs(t, '64m'); // more than the messages of this test take
    const store = sqlite(join(dir, 'store.db'));
    const { server, all } = await underLoad(t, store);
    for (let i = 0; i < 3; i++) {
      fill(dir);
      await refused(all, 'the disk is full');
      await logged(server, /error store: sqlite: .*(full|disk I\/O error)/);
      await responsive(server);
      rmSync(join(dir, 'filler'));
      await progress(all, 'there is room again');
    }
    await settles(all, store);
  });

  test('a file or folder that cannot be written is told at the start', LIMITS, async (t) => {
    const cases = [['/proc/roomcast.db', /\/proc\/roomcast\.db: .+/], [join(tempDir(), 'none/store.db'), /No such file/]];
    if (mayMount || process.getuid() !== 0) { // root may write whatever the mode
      const disk = mayMount ? tmpfs(t, '1m') : tempDir();

      writeFileSync(join(disk, 'store.db'), '');
      if (mayMount) execFileSync('mount', ['-o', 'remount,ro', disk]);
      else for (const [name, mode] of [['store.db', 0o444], ['.', 0o555]]) chmodSync(join(disk, name), mode);
      t.after(() => mayMount || chmodSync(disk, 0o755));
      cases.push([join(disk, 'store.db'), /Read-only file system|Permission denied/]);
      cases.push([join(disk, 'new.db'), /Read-only file system|Permission denied/]);
    }
    for (const [path, why] of cases) {
      const r = await startless(sqlite(path).options());
      assert.equal(r.code, 1, r.stderr);
      assert.match(r.stderr, why);
      assert.match(r.stderr, new RegExp(path));
    }
  });

  test('two daemons on one file take turns', LIMITS, async (t) => {
    const store = await openStore('sqlite');
    const both = await Promise.all([0, 1].map(() => startFor(t, { ini: INI, shards: 2, options: { ...AUTH, ...store.options() } })));
    // Whoever waited in vain for its turn is told that nothing was stored, and says it again.
    const say = async (socket, name) => {
      for (;;) {
        const answer = await ask(socket, 'say', 'r', name, `text of ${name}`);
        if (answer.ok) return answer.id;
        assert.equal(answer.error, 'store_failed');
      }
    };
    const ids = await Promise.all(both.flatMap((server, k) => [0, 1, 2].map(async (n) => {
      const socket = await connect(server, as(`u${k}${n}`));
      const own = [];
      for (let i = 0; i < 40; i++) own.push(await say(socket, `${k}-${n}-${i}`));
      assert.deepEqual(own, own.toSorted((a, b) => a - b));
      return own;
    })));
    assert.equal(new Set(ids.flat()).size, 240, 'no id twice');
    const rows = await store.rows("SELECT id, client_id FROM message ORDER BY id");
    assert.equal(rows.length, 240);
    assert.equal(new Set(rows.map((r) => r.client_id)).size, 240);
    const reader = await connect(both[0], as('reader'));
    const { messages } = await ask(reader, 'past', 'r', { limit: 100 });
    assert.deepEqual(messages.map((m) => String(m.id)), rows.slice(-100).map((r) => r.id), 'each shows what both have stored');
  });

  test('a file that is no database, and one of somebody else', LIMITS, async () => {
    const store = await openStore('sqlite');
    writeFileSync(store.path, 'this is a letter, and no database at all. '.repeat(100));
    const r = await startless(store.options());
    assert.equal(r.code, 1, r.stderr);
    assert.match(r.stderr, /not a database/);
    assert.match(readFileSync(store.path, 'utf8'), /^this is a letter/);

    const theirs = await openStore('sqlite');
    await theirs.rows('CREATE TABLE message (id INTEGER PRIMARY KEY, subject TEXT)');
    const s = await startless(theirs.options());
    assert.equal(s.code, 1, s.stderr);
    assert.match(s.stderr, /schema_version/);
  });

});

describe('MariaDB', () => {
  for (const [how, away] of [
    ['stopped', (db) => db.stop()],
    ['killed', (db) => db.kill()],
  ])
    test(`${how} and started again, three times`, LIMITS, async (t) => {
      const db = await startMariadb();
      t.after(() => db.remove());
      const { server, all } = await underLoad(t, db);
      for (let i = 0; i < 3; i++) {
        await away(db);
        await refused(all, how);
        await responsive(server);
        assert.ok(refusals(all).includes('store_down'));
        await db.start();
        await progress(all, 'started again');
      }
      await settles(all, db);
      await logged(server, /store: mariadb: lost, [^]*store: mariadb: there again/);
    });

  test('standing still: the queue is bounded, and the rest is told so', LIMITS, async (t) => {
    const db = await startMariadb();
    t.after(() => db.remove());
    const { server, all } = await underLoad(t, db, { shards: 1, options: { 'store.max_pending': 3, 'store.timeout': '60s' } });
    for (let i = 0; i < 3; i++) {
      db.pause();
      await refused(all, 'more than may wait');
      await responsive(server);
      assert.equal(refusals(all).at(-1), 'store_busy');
      db.resume();
      await progress(all, 'goes on');
    }
    await settles(all, db);
  });

  test('who connects meanwhile, and is to join by a group, waits no longer than store.timeout', LIMITS, async (t) => {
    const db = await startMariadb();
    t.after(() => db.remove());
    const ini = `${INI}
[room g-*]
join = group
[connect]
join = g-one
[event add]
group = add {1} {2}
[event here]
require = member g-one
`;
    const server = await startFor(t, { ini, shards: 2, options: { ...AUTH, ...db.options({ 'store.timeout': '1s' }) } });
    const ann = await connect(server, as('ann'));
    assert.equal((await ask(ann, 'here')).error, 'not_a_member');
    assert.equal((await ask(ann, 'add', 'one', 'ann')).ok, true);
    const member = await connect(server, as('ann'));
    assert.equal((await ask(member, 'here')).ok, true);
    db.pause();
    const waiting = await Promise.all([connect(server, as('ann')), connect(server, as('ann'))]); // they are let in
    for (const socket of waiting) assert.equal((await ask(socket, 'here')).error, 'not_a_member');
    assert.equal((await ask(member, 'here')).ok, true);
    db.resume();
    await until('the store is back', async () => (await ask(await connect(server, as('ann')), 'here')).ok, 20_000);
  });

  test('standing still for longer than store.timeout', LIMITS, async (t) => {
    const db = await startMariadb();
    t.after(() => db.remove());
    const { server, all } = await underLoad(t, db, { options: { 'store.timeout': '1s' } });
    db.pause();
    await refused(all, 'lost');
    await responsive(server);
    db.resume();
    await progress(all, 'reached again');
    await settles(all, db);
  });

  test('not there at the start: it is waited for', LIMITS, async (t) => {
    const db = await startMariadb();
    t.after(() => db.remove());
    await db.stop();
    const server = await startFor(t, { ini: INI, options: { ...AUTH, ...db.options() } });
    const socket = await connect(server, as('ann'));
    const say = (text) => ask(socket, 'say', 'lobby', text, text);
    const { ok, error } = await say('too early');
    assert.deepEqual([ok, error], [false, 'store_down']);
    await logged(server, /store: mariadb: cannot be reached/);
    await db.start();
    const answer = await until('it is reached', async () => {
      const a = await say('at last');
      return a.ok && a;
    }, 15_000);
    assert.deepEqual((await db.rows('SELECT id, client_id FROM message')), [{ id: `${answer.id}`, client_id: 'at last' }]);
  });

  test('TLS: a good certificate is needed, and enough', LIMITS, async (t) => {
    const db = await startMariadb({ tls: true });
    t.after(() => db.remove());
    const stored = async (options) => {
      const server = await start({ ini: INI, options: { ...AUTH, ...db.options(options) } });
      const socket = await connect(server, as('ann'));
      const answer = await ask(socket, 'mutter', 'lobby', 'hello');
      socket.disconnect();
      await server.stop();
      return [answer.ok || answer.error, server.stderr()];
    };
    const [ok] = await stored({ 'store.tls': 'required' });
    assert.equal(ok, true); // the account is one that must use TLS
    const other = await startMariadb({ tls: true });
    t.after(() => other.remove());
    const [refusal, told] = await stored({ 'store.tls': 'required', 'store.tls_ca': other.options()['store.tls_ca'] });
    assert.equal(refusal, 'store_down');
    assert.match(told, /certificate/i);
    const [without] = await stored({ 'store.tls': 'off' });
    assert.equal(without, 'store_down');
  });

  test('two daemons on one database', LIMITS, async (t) => {
    const db = await startMariadb();
    t.after(() => db.remove());
    await together(t, db);
  });
});

// Ids are one sequence, and a message's name is known at both.
async function together(t, store) {
  const options = { ...AUTH, ...store.options() };
  const ports = [await freePort(), await freePort()];
  const servers = [];
  for (const port of ports)
    servers.push(await startFor(t, { ini: INI, shards: 2, listen: `127.0.0.1:${port}`, options }));
  const all = servers.flatMap((server, i) => writers(server.url, USERS / 2, { prefix: 'ab'[i] }));
  t.after(() => all.forEach((w) => w.close()));
  await progress(all, 'both write');
  const ids = [];
  for (const server of [...servers, ...servers]) {
    const { id } = await ask(await connect(server, as('ann')), 'say', 'lobby', 'the same', 'text');
    ids.push(id);
  }
  assert.deepEqual(ids, Array(4).fill(ids[0]));
  await progress(all, 'both go on');
  for (const w of all) await w.finish();
  assert.deepEqual(all.flatMap((w) => w.refusals), []);
  await verify(store, all);
}

for (const engine of ENGINES)
  test(`a schema that is newer than the program: ${engine}`, LIMITS, async (t) => {
    const store = await openStore(engine);
    t.after(() => store.remove());
    const server = await start({ options: store.options() });
    await server.stop();
    const [{ version }] = await store.rows('SELECT MAX(version) AS version FROM schema_version');
    await store.rows(`INSERT INTO schema_version (version) VALUES (${Number(version) + 1})`);
    const r = await startless(store.options());
    assert.equal(r.code, 1, r.stderr);
    assert.match(r.stderr, new RegExp(`version ${Number(version) + 1}, and this program knows ${version}`));
  });
