// conf/examples/cluster as it is shipped: three nodes behind nginx without sticky sessions, Redis and MariaDB, by its
// own script. Clients of each transport end on different nodes and do not notice.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { launch, newPage } from './lib/browser.mjs';
import { ask, closeAll, connect, event, inbox, upgraded } from './lib/client.mjs';
import { binary, freePort, slow, tempDir, top } from './lib/daemon.mjs';
import { until, within } from './lib/wait.mjs';

const NODES = ['node1', 'node2', 'node3'];
const WAIT_MS = 45_000;
const exec = promisify(execFile);

class Cluster {
  constructor() {
    this.dir = tempDir();
    this.text = '';
  }

  async start() {
    this.port ??= await freePort();
    this.ports ??= [await freePort(), await freePort(), await freePort()];
    this.url = `http://127.0.0.1:${this.port}`;
    this.text = '';
    this.child = spawn(join(top, 'conf/examples/cluster/run.sh'), [String(this.port)], {
      env: { ...process.env, ROOMCAST: binary, CLUSTER_DIR: this.dir, NODE_PORTS: this.ports.join(' '), AGAIN: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout.on('data', (d) => (this.text += d));
    this.child.stderr.on('data', (d) => (this.text += d));
    this.end = once(this.child, 'close');
    await until('the cluster', () => {
      assert.equal(this.child.exitCode, null, this.text);
      return this.text.includes('cluster: open http');
    }, 90_000).catch((e) => {
      throw new Error(`${e.message}\n${this.text}`);
    });
  }

  // Of what the script has started under that name, the last time.
  pid(name) {
    return Number([...this.text.matchAll(new RegExp(`^cluster: ${name} +pid (\\d+)`, 'gm'))].at(-1)[1]);
  }

  times(text) {
    return this.text.split(text).length - 1;
  }

  // Everything that the script has started: by its folder, in the command or the environment.
  running() {
    return readdirSync('/proc').filter((pid) => {
      try {
        const says = (file) => readFileSync(`/proc/${pid}/${file}`, 'utf8').includes(this.dir);
        return /^\d+$/.test(pid) && (says('cmdline') || says('environ'));
      } catch {
        return false; // it has just ended
      }
    });
  }

  async clients(node) {
    const { stdout } = await exec(binary, ['ctl', '-s', join(this.dir, `${node}.ctl`), '--json', 'SHOW', 'clients', 'limit=all']);
    return JSON.parse(stdout).clients;
  }

  // On which node each of these sockets is.
  async nodesOf(sockets) {
    const lists = await Promise.all(NODES.map((node) => this.clients(node)));
    return sockets.map(({ id }) => NODES.find((_, i) => lists[i].some((c) => c.sockets.some((s) => s.id === id))));
  }

  async stop(signal) {
    this.child.kill(signal);
    const [code, by] = await within(40_000, 'the end', this.end);
    if (signal !== 'SIGKILL') assert.deepEqual(this.running(), [], 'the script is the last');
    await until('all of it has ended', () => this.running().length === 0, 20_000);
    return by ?? code;
  }
}

const cluster = new Cluster();
before(() => cluster.start());
after(async () => {
  closeAll();
  await cluster.stop('SIGKILL');
});
afterEach(closeAll);

const TRANSPORTS = { polling: ['polling'], websocket: ['websocket'], upgrade: ['polling', 'websocket'] };
const FAST = { reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 200, timeout: 5000 };

async function token(name) {
  const answer = await fetch(`${cluster.url}/dev/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
  assert.equal(answer.status, 200);
  return (await answer.json()).token;
}

const texts = (box, type = 'message') => box.filter(([name, , about]) => name === 'roomMessage' && about.type === type).map((m) => m[2].text);

// One client on each node, by WebSocket: nginx goes round.
async function trio(each = async () => ({})) {
  const all = [];
  for (const [i] of NODES.entries()) {
    const socket = await connect(cluster, { transports: ['websocket'], ...FAST, ...(await each(i)) });
    all.push(Object.assign(socket, { box: inbox(socket) }));
  }
  return all;
}

describe('the cluster of conf/examples', () => {
  test('three nodes see each other, and nginx goes round', async () => {
    assert.deepEqual((await cluster.nodesOf(await trio())).toSorted(), NODES);
    const seen = new Set();
    for (let i = 0; i < 3; i++) seen.add((await fetch(`${cluster.url}/healthz`)).headers.get('x-node'));
    assert.equal(seen.size, 3);
  });

  for (const [name, transports] of Object.entries(TRANSPORTS))
    test(`${name}: requests of a session go to all nodes; rooms, messages and history over nodes`, async () => {
      const room = `garden ${name}`;
      const all = await Promise.all(Array.from({ length: 6 }, () => connect(cluster, { transports, ...FAST })));
      if (transports.length > 1) await within(WAIT_MS, 'upgrades', Promise.all(all.map(upgraded)));
        assert.ok(new Set(await cluster.nodesOf(all)).size > 1, 'they are on several nodes');
      const boxes = all.map(inbox);
      for (const s of all) assert.equal((await ask(s, 'joinRoom', room)).ok, true);
      const said = [];
      for (const [i, s] of all.entries()) {
        for (const n of [1, 2, 3]) {
          said.push(`${i}: ${n}`);
          assert.equal((await ask(s, 'sendMessageToRoom', room, said.at(-1))).ok, true);
        }
      }
      await until('all have all', () => boxes.every((box) => texts(box).length >= said.length), WAIT_MS);
      for (const box of boxes) {
        assert.deepEqual(texts(box).toSorted(), said.toSorted(), 'each once');
        for (const i of all.keys())
          assert.deepEqual(texts(box).filter((t) => t.startsWith(`${i}:`)), [1, 2, 3].map((n) => `${i}: ${n}`), 'in order');
      }
      for (const s of all) {
        const { messages } = await ask(s, 'history', room);
        assert.deepEqual(messages.map((m) => m.content[1].text), said, 'the same on each node');
      }
    });

  test('private messages, wherever the devices are', async () => {
    const tokens = { ann: await token('ann'), bob: await token('bob') };
    const [ann, bob, other] = await trio((i) => ({ auth: { token: tokens[i === 0 ? 'ann' : 'bob'] } }));
    assert.deepEqual((await cluster.nodesOf([ann, bob, other])).toSorted(), NODES);
    const answer = await ask(ann, 'message', { conversationType: 'private', receiverId: 'bob', content: 'psst', clientId: '1' });
    assert.equal(answer.ok, true, JSON.stringify(answer));
    for (const device of [bob, other])
      await until('it has come', () => device.box.some((m) => m[0] === 'message' && m[1].content === 'psst'), WAIT_MS);
    const { messages } = await ask(other, 'conversation', { type: 'private', with: 'ann' });
    assert.equal(messages.length, 1);
  });

  test('who is in a room, on whatever node', async () => {
    const tokens = await Promise.all(['kim', 'lee', 'mia'].map(token));
    const all = await trio((i) => ({ auth: { token: tokens[i] } }));
    assert.deepEqual((await cluster.nodesOf(all)).toSorted(), NODES);
    for (const s of all) assert.equal((await ask(s, 'joinRoom', 'pond')).ok, true);
    for (const s of all)
      await until('all are present', async () => (await ask(s, 'presence', 'pond')).count === 3, WAIT_MS);
    all[2].disconnect();
    const left = (box) => box.some(([name, e]) => name === 'presence' && e.room === 'pond' && e.left?.includes('mia'));
    await until('the others are told who left', () => left(all[0].box) && left(all[1].box), WAIT_MS);
  });

  test('how many are in a room, on all nodes', async () => {
    const all = await trio();
    assert.equal((await ask(all[0], 'watchRooms')).ok, true);
    const members = () => all[0].box.filter((m) => m[0] === 'rooms').flatMap((m) => m[1].rooms).filter((r) => r.room === 'dune').at(-1)?.members;
    for (const s of all) assert.equal((await ask(s, 'joinRoom', 'dune')).ok, true);
    await until('the list has all members', () => members() === 3, WAIT_MS);
    all[2].disconnect();
    await until('one less', () => members() === 2, WAIT_MS);
  });

  test('a node is killed: its clients go to the others, and later to it again', async () => {
    const all = await trio();
    for (let i = 0; i < 3; i++) {
      const socket = await connect(cluster, { transports: ['polling'], ...FAST });
      all.push(Object.assign(socket, { box: inbox(socket) }));
    }
    const join = (s) => ask(s, 'joinRoom', 'harbour');
    for (const s of all) {
      await join(s);
      s.on('connect', () => join(s).catch(() => {}));
    }
    const starts = cluster.times('cluster: node2 ');
    const victim = all[(await cluster.nodesOf(all)).indexOf('node2')];
    const lost = event(victim, 'disconnect', WAIT_MS);
    process.kill(cluster.pid('node2'), 'SIGKILL');
    await lost;
    await until('the script says so', () => cluster.text.includes('cluster: node2 has ended by signal 9'), WAIT_MS);
    await within(WAIT_MS, 'all are back', until('connected', () => all.every((s) => s.connected), WAIT_MS));
    for (const s of all) await join(s);
    for (const s of all) s.box.length = 0;
    for (const [i, s] of all.entries()) assert.equal((await ask(s, 'sendMessageToRoom', 'harbour', `after ${i}`)).ok, true);
    await until('they hear each other', () => all.every((s) => texts(s.box).length === all.length), WAIT_MS);
    await until('it is there again', () => cluster.times('cluster: node2 ') > starts + 1, WAIT_MS);
    await until('clients come to it', async () => {
      const socket = await connect(cluster, { transports: ['websocket'], ...FAST });
      return (await cluster.nodesOf([socket]))[0] === 'node2';
    }, WAIT_MS);
  });

  test('Redis is killed: it comes back, and so do messages between nodes', async () => {
    const all = await trio();
    for (const s of all) await ask(s, 'joinRoom', 'island');
    process.kill(cluster.pid('redis'), 'SIGKILL');
    await until('the script says so', () => cluster.text.includes('cluster: redis has ended by signal 9'), WAIT_MS);
    let n = 0;
    await until('a message of each has come to all', async () => {
      const mark = `mark ${++n}`;
      for (const s of all) await ask(s, 'sendMessageToRoom', 'island', mark);
      const heard = () => all.every((s) => texts(s.box).filter((t) => t === mark).length === 3);
      return until('heard', heard, 1000).catch(() => false);
    }, WAIT_MS);
    assert.ok(all.every((s) => s.connected), 'nobody was disconnected');
  });

  test('two people talk on the demo page', async (t) => {
    const browser = await launch();
    t.after(() => browser.close());
    const visit = async (name) => {
      const { page, context, faults } = await newPage(browser);
      t.after(() => context.close());
      page.setDefaultTimeout(WAIT_MS * slow);
      await page.addInitScript((who) => {
        localStorage.setItem('roomcast.name', JSON.stringify(who));
        localStorage.setItem('roomcast.as', JSON.stringify('user'));
      }, name);
      await page.goto(`${cluster.url}/`);
      await page.locator('body[data-phase="online"]').waitFor();
      await page.locator('.sidebar [data-status][data-transport="websocket"]').waitFor({ state: 'attached' });
      return { page, faults };
    };
    const ada = await visit('Ada');
    const grace = await visit('Grace');
    assert.equal(await ada.page.title(), 'roomcast cluster');
    const say = async ({ page }, text) => {
      await page.fill('#message', text);
      await page.press('#message', 'Enter');
    };
    const sees = ({ page }, text) => page.locator('.entries .message:visible', { hasText: text }).first().waitFor();
    await say(ada, 'Hello from my node');
    await sees(grace, 'Hello from my node');
    await say(grace, 'And from mine');
    await sees(ada, 'And from mine');
    assert.deepEqual([...ada.faults, ...grace.faults], []);
  });

  test('Ctrl-C ends all of it; what was stored is there the next time; and nothing outlives a killed script', async () => {
    const [s] = await trio();
    await ask(s, 'joinRoom', 'cellar');
    await ask(s, 'sendMessageToRoom', 'cellar', 'for later');
    closeAll();
    assert.ok(cluster.running().length >= 6);
    assert.equal(await cluster.stop('SIGINT'), 130);
    assert.match(cluster.text, /ends all of it/);

    await cluster.start();
    const [again] = await trio();
    await ask(again, 'joinRoom', 'cellar');
    const { messages } = await ask(again, 'history', 'cellar');
    assert.deepEqual(messages.map((m) => m.content[1].text), ['for later']);
    closeAll();
    assert.equal(await cluster.stop('SIGKILL'), 'SIGKILL');
    await cluster.start();
  });
});
