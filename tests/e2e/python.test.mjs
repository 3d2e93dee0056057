// Clients written in Python, as Debian ships them: python3-socketio (for threads and for asyncio)
// and python3-websockets. The cases are in clients/.
//
// PYTHON3   the interpreter (default /usr/bin/python3)
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { top } from './lib/daemon.mjs';
import { SHARDS, label, reference, roomcastOnly, slow, start } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const PYTHON = process.env.PYTHON3 || '/usr/bin/python3';
const INI = `${RULES}\n[endpoint /relay]\nprotocol = relay\n[endpoint /json]\nprotocol = json\n`;
const options = { 'socketio.ping_interval': '500ms', 'socketio.ping_timeout': `${5 * slow}s`, 'log.level': 'warn' };

const script = (name) => join(top, 'tests/e2e/clients', name);
const cases = (name) => [...readFileSync(script(name), 'utf8').matchAll(/^async def case_(\w+)/gm)].map((m) => m[1]);

// Connections to the server that can be cut.
async function proxyTo(server) {
  const pairs = new Set();
  const proxy = createServer((near) => {
    const far = connect(server.port, '127.0.0.1');
    const pair = [near, far];
    pairs.add(pair);
    const end = () => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const s of pair) s.setNoDelay(true).on('error', end).on('close', end);
    near.pipe(far).pipe(near);
  });
  await new Promise((done) => proxy.listen(0, '127.0.0.1', done));
  const cut = () => {
    for (const pair of pairs) for (const s of pair) s.resetAndDestroy();
  };
  return { port: proxy.address().port, cut, close: () => (cut(), proxy.close()) };
}

// Runs a script to its end: a Map of case → what became of it.
function run(name, args, cut) {
  return new Promise((done, fail) => {
    const results = new Map();
    const child = spawn(PYTHON, [script(name), ...args], { timeout: 240_000, env: { ...process.env, PYTHONWARNINGS: 'ignore' } });
    let text = '';
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (d) => (errors += d));
    child.stdout.setEncoding('utf8').on('data', (d) => {
      const lines = (text + d).split('\n');
      text = lines.pop();
      for (const line of lines) {
        const [, outcome, which] = /^(ok|failed) (\w+)/.exec(line) || [];
        if (line === 'cut') cut();
        else if (outcome && results.get(which) !== line) results.set(which, outcome === 'ok' && !results.has(which) ? 'ok' : `${line}\n${errors}`);
      }
    });
    child.on('error', fail).on('close', (code) => {
      if (code !== 0 || !results.size) fail(new Error(`${name}: exit code ${code}\n${errors}`));
      else done(results);
    });
  });
}

function suite(name, server, args, more = {}) {
  let results;
  let proxy;
  before(async () => {
    proxy = await proxyTo(server());
    results = await run(name, args(proxy.port), proxy.cut);
  });
  after(() => proxy?.close());
  for (const which of cases(name))
    test(which, more[which] || {}, () => assert.equal(results.get(which) ?? 'it was not run', 'ok'));
}

for (const shards of SHARDS) {
  describe(label(shards), { concurrency: 4 }, () => {
    let server;
    before(async () => (server = await start({ ini: INI, shards, options })));
    after(() => server.stop());

    for (const kind of ['sync', 'async'])
      for (const mode of ['polling', 'websocket', 'upgrade'])
        describe(`python3-socketio, ${kind}, ${mode}`, () =>
          suite('socketio_client.py', () => server, (port) => [`http://127.0.0.1:${port}`, kind, mode],
            reference ? { acks: roomcastOnly } : {})); // unknown_event

    describe('python3-websockets', () =>
      suite('websockets_client.py', () => server, (port) => [`ws://127.0.0.1:${port}`],
        reference ? { relay: roomcastOnly, json: roomcastOnly, refusals: roomcastOnly } : {})); // endpoints; it hangs up
  });
}
