// Certificates change while clients are connected: nobody is dropped, and who comes gets the new ones.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, before, describe, test } from 'node:test';

import { ask, closeAll, connect, inbox } from './lib/client.mjs';
import { ctl, startWithConsole } from './lib/console.mjs';
import { tempDir } from './lib/daemon.mjs';
import { reload } from './lib/reload.mjs';
import { SHARDS, label, roomcastOnly, startFor, until, within } from './lib/target.mjs';
import { Authority, dial, get, listenTls, secure } from './lib/tls.mjs';
import { RULES } from './lib/vocabulary.mjs';

const TWO = SHARDS.filter((n) => n <= 2);
const DEBUG = { 'log.level': 'debug' };
const VERSIONS = ['TLSv1.2', 'TLSv1.3'];
const GET = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n';

let ca, first, second;
const trust = () => ({ ca: ca.pem });

// The files that the configuration names; put() writes another pair to the same place.
function livePair() {
  const dir = tempDir();
  const live = { cert: join(dir, 'live.pem'), key: join(dir, 'live.key') };
  const put = (cert, key = cert) => {
    copyFileSync(cert.cert, live.cert);
    copyFileSync(key.key, live.key);
  };
  put(first);
  return { live, put };
}

const fingerprint = (pem) => new X509Certificate(pem).fingerprint256;

// The certificate that a new handshake shows.
async function shown(port, options = {}) {
  const socket = await dial(port, { ...trust(), ...options });
  const cert = socket.getPeerX509Certificate();
  socket.destroy();
  return cert.fingerprint256;
}

// One request on a connection that stays.
async function still(socket) {
  socket.forget();
  socket.write(GET);
  await socket.said(/ok\n/);
}

// Says something until it is stopped; all that was said is answered, and nothing twice.
function talker(socket, who) {
  let going = true, sent = 0;
  const done = (async () => {
    while (going) assert.equal((await ask(socket, 'say', 'lobby', who, sent++)).ok, true);
    return sent;
  })();
  return { sent: () => sent, stop: () => ((going = false), done) };
}

// A connection of that version, and the session to take up next time.
async function resumable(port, version, session) {
  const socket = await dial(port, { ...trust(), minVersion: version, maxVersion: version, session });
  const given = socket.getProtocol() === 'TLSv1.3' && new Promise((r) => socket.once('session', r));
  socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  await socket.said(/ok\n/);
  const next = (await (given && within(20_000, 'a ticket', given))) || socket.getSession();
  const reused = socket.isSessionReused();
  await socket.gone();
  socket.destroy();
  return { reused, session: next };
}

describe('TLS and reloads', roomcastOnly, () => {
  before(() => {
    ca = new Authority();
    first = ca.issue('first');
    second = ca.issue('second');
  });
  afterEach(closeAll);

  const ways = {
    SIGHUP: async (server) => (await reload(server)).ok,
    'ctl RELOAD': async (server) => (await ctl(server, 'RELOAD')).ok,
  };
  for (const shards of TWO)
    for (const [way, again] of Object.entries(ways))
      test(`another certificate by ${way}: who is there talks on, who comes gets it; ${label(shards)}`, async (t) => {
        const { live, put } = livePair();
        const server = await startWithConsole(t, { ini: RULES + listenTls(live), listen: null, shards, options: DEBUG });
        const at = secure(server);
        const kept = await dial(server.port, trust());
        const members = [];
        for (const transports of [['websocket'], ['polling'], ['websocket'], ['polling']])
          members.push(await connect(at, { ...trust(), transports }));
        const ids = members.map((m) => m.id);
        const dropped = [];
        for (const m of members) m.on('disconnect', (why) => dropped.push(why));
        const boxes = members.map(inbox);
        for (const m of members) await ask(m, 'join', 'lobby');
        await still(kept);
        assert.equal(await shown(server.port), fingerprint(first.certPem));

        const talkers = members.map((m, i) => talker(m, i));
        for (const pair of [second, first, second]) {
          put(pair);
          assert.equal(await again(server), true);
          assert.equal(await shown(server.port), fingerprint(pair.certPem));
          // Somebody says something on each side of each change.
          const had = talkers.map((k) => k.sent());
          await Promise.all(boxes.map((box) => box.wait(box.length + 1, 60_000)));
          await until('all go on', () => talkers.every((k, i) => k.sent() > had[i] + 1), 60_000);
        }
        const sent = await Promise.all(talkers.map((k) => k.stop()));
        const total = sent.reduce((a, b) => a + b);
        for (const box of boxes) {
          const all = await box.wait(total, 60_000);
          for (const i of members.keys())
            assert.deepEqual(all.filter((e) => e[1] === i).map((e) => e[2]), Array.from({ length: sent[i] }, (_, n) => n));
        }
        assert.deepEqual(dropped, []);
        assert.deepEqual(members.map((m) => m.id), ids);
        await still(kept);
        assert.equal(kept.getPeerX509Certificate().fingerprint256, fingerprint(first.certPem));
        kept.destroy();
      });

  for (const shards of TWO)
    test(`a session is taken up after the change, too; ${label(shards)}`, async (t) => {
      const { live, put } = livePair();
      const server = await startFor(t, { ini: RULES + listenTls(live), listen: null, shards, options: DEBUG });
      const had = [];
      for (const version of VERSIONS) had.push(await resumable(server.port, version));
      put(second);
      assert.equal((await reload(server)).ok, true);
      for (const [i, version] of VERSIONS.entries()) {
        let { session } = had[i];
        assert.equal(had[i].reused, false);
        for (let n = 0; n < 4; n++) {
          const now = await resumable(server.port, version, session);
          assert.equal(now.reused, true, `${version}, connection ${n}`);
          session = now.session;
        }
      }
      // Only a full handshake shows a certificate: the new one.
      for (const version of VERSIONS)
        assert.equal(await shown(server.port, { minVersion: version, maxVersion: version }), fingerprint(second.certPem));
    });

  test('a key that does not fit, or no key: the old pair stays, and the log says where', async (t) => {
    const { live, put } = livePair();
    const ini = `${RULES}${listenTls(live)}`;
    const line = (key) => 1 + ini.split('\n').findIndex((l) => l.startsWith(`${key} = `));
    const server = await startWithConsole(t, { ini, listen: null, shards: 2, options: DEBUG });
    const member = await connect(secure(server), { ...trust(), transports: ['websocket'] });
    const faults = [
      [() => put(second, first), 'key', /live\.key: it is not the key of the certificate \S+live\.pem/],
      [() => writeFileSync(live.key, 'none\n'), 'key', /live\.key: there is no private key in it/],
      [() => writeFileSync(live.cert, 'none\n'), 'certificate', /live\.pem: there is no certificate in it/],
    ];
    for (const [spoil, key, why] of faults) {
      put(second);
      spoil();
      const where = `roomcast.ini:${line(key)}: [listen tls] ${key} = `;
      const { ok, lines } = await reload(server);
      assert.equal(ok, false);
      assert.ok(lines.some((l) => l.includes(where) && why.test(l)), lines.join('\n'));
      const answer = await ctl(server, 'RELOAD');
      assert.equal(answer.ok, false);
      assert.ok(answer.message.includes(where) && why.test(answer.message), answer.message);
      assert.equal(await shown(server.port), fingerprint(first.certPem));
      assert.deepEqual(await ask(member, 'ask', key), key);
    }
    put(second);
    assert.equal((await reload(server)).ok, true);
    assert.equal(await shown(server.port), fingerprint(second.certPem));
    assert.deepEqual(await ask(member, 'ask', 1), 1);
  });

  test('what else changes: more certificates, versions, whose clients; not tls itself', async (t) => {
    const other = ca.issue('other', 'DNS:other.test');
    const theirs = new Authority('clients');
    const ann = theirs.issue('ann', 'DNS:ann');
    const ini = (pairs, more = '') => RULES + listenTls(pairs, more);
    const server = await startFor(t, { ini: ini(first), listen: null, shards: 2, options: DEBUG });
    const member = await connect(secure(server), { ...trust(), transports: ['websocket'] });
    const before = [];
    for (const version of VERSIONS) before.push(await resumable(server.port, version));

    assert.equal((await reload(server, ini([first, other]))).ok, true);
    assert.equal(await shown(server.port, { servername: 'other.test' }), fingerprint(other.certPem));
    assert.equal(await shown(server.port), fingerprint(first.certPem));

    assert.equal((await reload(server, ini(first, 'tls_min = 1.3'))).ok, true);
    await assert.rejects(dial(server.port, { ...trust(), maxVersion: 'TLSv1.2' }), /protocol version/i);

    // A ticket from before is no way around it.
    assert.equal((await reload(server, ini(first, `client_ca = ${theirs.file}\nclient_auth = required`))).ok, true);
    for (const { session } of before)
      await assert.rejects(get(server.port, '/healthz', { ...trust(), session }), (e) => e.code !== 'ERR_ASSERTION');
    await until('both are counted', () => server.stderr().split('closed reason=tls_client_cert').length === 3, 20_000);
    const known = { ...trust(), cert: ann.certPem, key: ann.keyPem };
    assert.equal((await get(server.port, '/healthz', known)).status, 200);

    const off = await reload(server, `${RULES}\n[listen tls]\naddress = 127.0.0.1:0\ntls = no\n`);
    assert.deepEqual(off, { ok: true, lines: ['[listen tls]: the change needs a restart; it stays as it is'] });
    assert.equal((await get(server.port, '/healthz', known)).status, 200);
    assert.deepEqual(await ask(member, 'ask', 1), 1);
  });
});
