// Identity: tokens of jsonwebtoken, and forged ones, by all the ways on which they may come.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import jwt from 'jsonwebtoken';
import WebSocket from 'ws';

import { ask, client, closeAll, connect, connected, event, upgraded } from './lib/client.mjs';
import { client2, close2, connected2 } from './lib/client2.mjs';
import { run, tempDir } from './lib/daemon.mjs';
import { SHARDS, label, roomcastOnly, sleep, slow, start, startFor, within } from './lib/target.mjs';
import { request } from './lib/wire.mjs';

const dir = tempDir();
const SECRET = randomBytes(32).toString('hex');
const pem = { publicKeyEncoding: { type: 'spki', format: 'pem' }, privateKeyEncoding: { type: 'pkcs8', format: 'pem' } };

function file(name, text) {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

const secretFile = file('secret', `${SECRET}\n`);

const INI = `
[connect]
join = user-{user}
[event whoami]
ack = {user} {claim.role} {"text":"{user}/{claim.role}","level":{claim.level}}
[event tell]
emit = room "user-{1}": told {2} {user}
[namespace /open]
auth = off
[event /open whoami]
ack = {user} {claim.role}
[namespace /maybe]
auth = optional
[event /maybe whoami]
ack = {user} {claim.role}
[namespace /team-*]
auth = required
[event /team-* whoami]
ack = {user} {nsp}
[endpoint /echo]
protocol = echo
[endpoint /free]
protocol = echo
auth = off
[endpoint /relay]
protocol = relay
auth = optional
`;

const OPTIONS = { 'auth.mode': 'required', 'auth.secret_file': secretFile, 'auth.cookie': 'session', 'auth.leeway': '0ms', 'auth.max_token_size': '4KiB' };

const sign = (claims, options) => jwt.sign(claims, SECRET, { expiresIn: '1h', ...options });
const transports = ['polling', 'websocket'];

async function refusal(server, options) {
  const socket = client(server, options);
  const error = event(socket, 'connect_error');
  socket.connect();
  return error;
}

// Opens a plain WebSocket: what came until it was closed, or a first echo.
async function plain(server, path, { headers, say = 'hello' } = {}) {
  const ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { headers });
  const outcome = await within(
    10_000,
    `WebSocket ${path}`,
    new Promise((done, fail) => {
      ws.on('open', () => say && ws.send(say));
      ws.on('message', (data) => done({ echo: data.toString() }));
      ws.on('close', (code, reason) => done({ code, reason: reason.toString() }));
      ws.on('error', fail);
      if (!say) ws.on('open', () => setTimeout(done, 100, { open: true }));
    }),
  );
  return { ws, ...outcome };
}

describe('tokens', roomcastOnly, () => {
  for (const shards of SHARDS)
    describe(label(shards), () => {
      let server;
      before(async () => {
        server = await start({ ini: INI, shards, options: OPTIONS });
      });
      after(() => server.stop());
      afterEach(closeAll);

      for (const transport of transports) {
        const one = { transports: [transport] };

        test(`${transport}: the auth object`, async () => {
          const auth = { token: sign({ sub: 'ann', role: 'admin', level: 3 }) };
          const socket = await connect(server, { ...one, auth });
          assert.deepEqual(await ask(socket, 'whoami'), ['ann', 'admin', { text: 'ann/admin', level: 3 }]);
        });

        test(`${transport}: the URL, a cookie, a bearer`, async () => {
          const token = sign({ id: 42 });
          for (const options of [
            { query: { token } },
            { extraHeaders: { cookie: `a=b; session=${token}; c=d` } },
            { extraHeaders: { authorization: `Bearer ${token}` } },
            { extraHeaders: { authorization: `bearer  ${token}` } },
          ]) {
            const socket = await connect(server, { ...one, ...options });
            assert.deepEqual(await ask(socket, 'whoami'), ['42', null, { text: '42/', level: null }]);
          }
        });

        test(`${transport}: which comes first`, async () => {
          const t = (sub) => sign({ sub });
          const all = {
            auth: { token: t('auth') },
            query: { token: t('query') },
            extraHeaders: { authorization: `Bearer ${t('bearer')}`, cookie: `session=${t('cookie')}` },
          };
          const who = async (options) => (await ask(await connect(server, { ...one, ...options }), 'whoami'))[0];
          assert.equal(await who(all), 'auth');
          assert.equal(await who({ ...all, auth: {} }), 'bearer');
          assert.equal(
            await who({ query: all.query, extraHeaders: { cookie: all.extraHeaders.cookie } }),
            'query',
          );
          assert.equal(await who({ extraHeaders: { cookie: all.extraHeaders.cookie } }), 'cookie');
        });

        test(`${transport}: refused in CONNECT`, async () => {
          const now = Math.floor(Date.now() / 1000);
          const good = sign({ sub: 'ann' });
          for (const [token, code] of [
            [undefined, 'token_missing'],
            ['', 'token_missing'],
            [null, 'token_missing'],
            [7, 'token_malformed'],
            [{ a: 1 }, 'token_malformed'],
            ['nonsense', 'token_malformed'],
            [jwt.sign({ sub: 'ann' }, null, { algorithm: 'none' }), 'token_algorithm'],
            [jwt.sign({ sub: 'ann' }, 'x'.repeat(32)), 'token_signature'],
            [jwt.sign({ sub: 'ann' }, SECRET, { algorithm: 'HS512' }), null],
            [good.slice(0, -2), 'token_malformed'],
            [good.slice(0, good.lastIndexOf('.') + 1), 'token_signature'],
            [jwt.sign({ sub: 'ann', exp: now - 1 }, SECRET), 'token_expired'],
            [sign({ sub: 'ann', nbf: now + 60 }), 'token_not_yet_valid'],
            [sign({ sub: 'ann' }, { audience: 'others' }), 'token_audience'],
            [sign({ name: 'ann' }), 'token_no_user'],
            [sign({ sub: 'ann', x: 'x'.repeat(4000) }), 'token_too_big'],
            [jwt.sign({ sub: 'ann' }, SECRET, { header: { crit: ['exp'] } }), 'token_malformed'],
            [jwt.sign({ sub: 'ann' }, SECRET, { header: { kid: '../../dev/null' } }), null],
          ]) {
            if (code === null) {
              await connect(server, { ...one, auth: { token } });
              continue;
            }
            const error = await refusal(server, { ...one, auth: { token } });
            assert.deepEqual(error.data, { code }, String(token).slice(0, 60));
            assert.ok(error.message.length > 5);
          }
        });
      }

      test('a wrong token in the handshake: 403 code 4, or 400 to an upgrade', async () => {
        const bad = jwt.sign({ sub: 'ann' }, 'x'.repeat(32));
        const path = (transport) => `/socket.io/?EIO=4&transport=${transport}`;
        for (const headers of [{ authorization: `Bearer ${bad}` }, { cookie: `session=${bad}` }]) {
          const r = await request(server, { path: path('polling'), headers });
          assert.equal(r.status, 403);
          assert.equal(r.body, '{"code":4,"message":"Forbidden"}');
        }
        const r = await request(server, { path: `${path('polling')}&token=${bad}` });
        assert.equal(r.status, 403);
        const error = await refusal(server, { transports: ['websocket'], query: { token: bad } });
        assert.match(String(error.description?.message ?? error.message), /400|websocket error/);
        // None at all: the auth object may still bring one.
        assert.equal((await request(server, { path: path('polling') })).status, 200);
      });

      test('namespaces: off, optional, required', async () => {
        const token = sign({ sub: 'ann', role: 'r' });
        const open = await connect(server, { nsp: '/open', auth: { token } });
        assert.deepEqual(await ask(open, 'whoami'), ['', null]);
        const nobody = await connect(server, { nsp: '/maybe' });
        assert.deepEqual(await ask(nobody, 'whoami'), ['', null]);
        const somebody = await connect(server, { nsp: '/maybe', auth: { token } });
        assert.deepEqual(await ask(somebody, 'whoami'), ['ann', 'r']);
        const wrong = await refusal(server, { nsp: '/maybe', auth: { token: 'wrong' } });
        assert.deepEqual(wrong.data, { code: 'token_malformed' });
        const none = await refusal(server, { nsp: '/' });
        assert.deepEqual(none.data, { code: 'token_missing' });
        assert.equal(none.message, 'a token is required');
      });

      test('one connection, two namespaces, two users', async () => {
        const main = client(server, { query: { token: sign({ sub: 'ann' }) } });
        const other = main.io.socket('/maybe', { auth: { token: sign({ sub: 'bob' }) } });
        main.connect();
        other.connect();
        await Promise.all([connected(main), connected(other)]);
        assert.equal((await ask(main, 'whoami'))[0], 'ann');
        assert.equal((await ask(other, 'whoami'))[0], 'bob');
      });

      test('{user} names rooms: two devices of one user', async () => {
        const devices = [];
        for (let i = 0; i < 4; i++)
          devices.push(await connect(server, { transports: [transports[i % 2]], auth: { token: sign({ sub: 'dev' }) } }));
        const bob = await connect(server, { auth: { token: sign({ sub: 'bob' }) } });
        const told = devices.map((d) => event(d, 'told'));
        bob.emit('tell', 'dev', 'hi');
        for (const t of told) assert.deepEqual(await t, ['hi', 'bob']);
      });

      test('after an upgrade it is the same user', async () => {
        const socket = await connect(server, { query: { token: sign({ sub: 'ann' }) } });
        await upgraded(socket);
        assert.equal((await ask(socket, 'whoami'))[0], 'ann');
      });

      test('clients of Socket.IO 2', async (t) => {
        const options = { ...OPTIONS, 'socketio.allow_eio3': 'yes' };
        const server = await startFor(t, { ini: INI, shards, options });
        t.after(close2);
        for (const transport of transports) {
          const one = { transports: [transport] };
          const old = await connected2(client2(server, { ...one, query: { token: sign({ sub: 'ann' }) } }));
          assert.equal((await ask(old, 'whoami'))[0], 'ann');
          const nobody = client2(server, one);
          const error = event(nobody, 'error');
          nobody.connect();
          assert.deepEqual(await error, { code: 'token_missing' });
        }
      });

      test('endpoints', async () => {
        const token = sign({ sub: 'ann' });
        for (const [path, headers] of [
          [`/echo?token=${token}`],
          ['/echo', { cookie: `session=${token}` }],
          ['/echo', { authorization: `Bearer ${token}` }],
          ['/free'],
          ['/free?token=nonsense'],
        ]) {
          const r = await plain(server, path, { headers });
          assert.equal(r.echo, 'hello', path);
          r.ws.terminate();
        }
        const relay = await plain(server, '/relay', { say: null });
        assert.ok(relay.open);
        relay.ws.terminate();
        for (const [path, reason] of [
          ['/echo', 'a token is required'],
          ['/echo?token=', 'a token is required'],
          ['/echo?token=nonsense', 'this is not a signed JSON Web Token'],
          [`/echo?token=${sign({ sub: 'ann' }, { expiresIn: -5 })}`, 'the token has expired'],
          ['/relay?token=nonsense', 'this is not a signed JSON Web Token'],
        ]) {
          const r = await plain(server, path);
          assert.deepEqual([r.code, r.reason], [1008, reason]);
        }
      });
    });
});

describe('a token that expires', roomcastOnly, () => {
  afterEach(closeAll);
  const soon = (sub, s = 2) => sign({ sub }, { expiresIn: s * slow });

  for (const shards of SHARDS)
    for (const transport of transports)
      test(`${transport}, ${label(shards)}: disconnects, unless it is refreshed`, async (t) => {
        const server = await startFor(t, { ini: INI, shards, options: { ...OPTIONS, 'auth.grace': '0ms' } });
        const lost = await connect(server, { transports: [transport], auth: { token: soon('ann') } });
        const kept = await connect(server, { transports: [transport], query: { token: soon('ann') } });
        const began = Date.now();
        const gone = event(lost, 'disconnect');
        const token = sign({ sub: 'ann', role: 'new' });
        const answer = await ask(kept, 'refreshToken', token);
        assert.deepEqual(answer, { ok: true, user: 'ann', expires: jwt.decode(token).exp * 1000 });
        const reason = await gone;
        assert.equal(reason[0] ?? reason, 'io server disconnect');
        assert.ok(Date.now() - began > 900);
        await sleep(600);
        assert.ok(kept.connected);
        assert.equal((await ask(kept, 'whoami'))[1], 'new');
        // What the token of the handshake cannot do any more, a new one can.
        lost.auth = { token: sign({ sub: 'ann' }) };
        await connected(lost);
      });

  test('all sockets with the token of the handshake share its refreshing', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.grace': '0ms' } });
    const main = client(server, { query: { token: soon('ann') } });
    const maybe = main.io.socket('/maybe', {});
    const open = main.io.socket('/open', {});
    for (const s of [main, maybe, open]) s.connect();
    await Promise.all([connected(main), connected(maybe), connected(open)]);
    assert.equal((await ask(maybe, 'refreshToken', soon('ann', 4))).ok, true);
    await sleep(2600 * slow);
    assert.ok(main.connected && maybe.connected);
    await Promise.all([event(main, 'disconnect'), event(maybe, 'disconnect')]);
    assert.ok(open.connected);
    assert.deepEqual(await ask(open, 'whoami'), ['', null]);
  });

  test('in a namespace of a pattern', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.grace': '0ms' } });
    const none = await refusal(server, { nsp: '/team-a' });
    assert.deepEqual(none.data, { code: 'token_missing' });
    const socket = await connect(server, { nsp: '/team-a', auth: { token: soon('ann') } });
    assert.deepEqual(await ask(socket, 'whoami'), ['ann', '/team-a']);
    const reason = await event(socket, 'disconnect');
    assert.equal(reason[0] ?? reason, 'io server disconnect');
  });

  test('the grace', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.grace': '30s' } });
    const socket = await connect(server, { query: { token: soon('ann', 1) } });
    await sleep(1500 * slow);
    assert.ok(socket.connected);
    // But for a new socket it is too late.
    const maybe = socket.io.socket('/maybe', {});
    maybe.connect();
    assert.deepEqual((await event(maybe, 'connect_error')).data, { code: 'token_expired' });
    assert.equal((await ask(socket, 'refreshToken', sign({ sub: 'ann' }))).ok, true);
    await connected(maybe);
  });

  test('endpoint: close 1008', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.grace': '0ms' } });
    const r = await plain(server, `/echo?token=${soon('ann', 1)}`);
    assert.equal(r.echo, 'hello');
    const closed = new Promise((done) => r.ws.on('close', (code, reason) => done([code, reason.toString()])));
    assert.deepEqual(await within(10_000, 'close', closed), [1008, 'the token has expired']);
  });

  test('a client that stays without a namespace is closed', async (t) => {
    const options = { ...OPTIONS, 'auth.grace': '0ms', 'socketio.connect_timeout': '300ms' };
    const server = await startFor(t, { ini: INI, options });
    const ws = new WebSocket(`ws://127.0.0.1:${server.port}/socket.io/?EIO=4&transport=websocket&token=${soon('a', 1)}`);
    const got = [];
    ws.on('open', () => ws.send('40'));
    ws.on('message', (data) => got.push(data.toString()));
    await within(10_000, 'close', new Promise((done) => ws.on('close', done)));
    assert.equal(got.at(-1), '41');
  });
});

describe('refreshing', roomcastOnly, () => {
  afterEach(closeAll);

  test('what is refused leaves everything as it is', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.mode': 'optional' } });
    const socket = await connect(server, { auth: { token: sign({ sub: 'ann', role: 'old' }) } });
    for (const [args, error] of [
      [[], 'token_missing'],
      [[7], 'token_missing'],
      [[''], 'token_missing'],
      [['x'], 'token_malformed'],
      [[sign({ sub: 'bob' })], 'token_other_user'],
      [[sign({ sub: 'ann' }, { expiresIn: -1 })], 'token_expired'],
    ]) {
      const answer = await ask(socket, 'refreshToken', ...args);
      assert.equal(answer.ok, false);
      assert.equal(answer.error, error);
    }
    const told = event(socket, 'error');
    socket.emit('refreshToken', 'x');
    assert.equal((await told).error, 'token_malformed');
    assert.deepEqual((await ask(socket, 'whoami')).slice(0, 2), ['ann', 'old']);
    const nobody = await connect(server);
    assert.equal((await ask(nobody, 'refreshToken', sign({ sub: 'ann' }))).error, 'token_other_user');
    assert.equal((await ask(nobody, 'whoami'))[0], '');
  });

  test('the event has another name, or none', async (t) => {
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.refresh_event': 'renew' } });
    const token = sign({ sub: 'ann' });
    const socket = await connect(server, { auth: { token } });
    assert.equal((await ask(socket, 'renew', token)).ok, true);
    assert.equal((await ask(socket, 'refreshToken', token)).error, 'unknown_event');
  });
});

describe('keys', roomcastOnly, () => {
  afterEach(closeAll);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048, ...pem });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048, ...pem });
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ed = generateKeyPairSync('ed25519', pem);

  test('PEM files and a JWK set; algorithms belong to their keys', async (t) => {
    const jwk = (kid, key) => ({ kid, use: 'sig', ...key.export({ format: 'jwk' }) });
    const jwks = file('jwks.json', JSON.stringify({ keys: [jwk('e1', ec.publicKey)] }));
    const server = await startFor(t, {
      ini: INI,
      options: {
        'auth.mode': 'required',
        'auth.public_key': `${file('rsa.pem', rsa.publicKey)}, ${file('ed.pem', ed.publicKey)}`,
        'auth.jwks': jwks,
        'auth.audience': 'rooms, chat',
        'auth.issuer': 'https://login.example/',
      },
    });
    const claims = { sub: 'ann', aud: 'chat', iss: 'https://login.example/' };
    const who = async (token) => (await ask(await connect(server, { auth: { token } }), 'whoami'))[0];
    for (const algorithm of ['RS256', 'RS512', 'PS256', 'PS384'])
      assert.equal(await who(jwt.sign(claims, rsa.privateKey, { algorithm })), 'ann');
    assert.equal(await who(jwt.sign(claims, ec.privateKey, { algorithm: 'ES256', keyid: 'e1' })), 'ann');

    // EdDSA, which jsonwebtoken lacks, as roomcast token signs it.
    const minted = await run([
      'token',
      '-o',
      `auth.private_key=${file('ed.key', ed.privateKey)}`,
      '--user',
      'ann',
      '--claim',
      'aud=rooms',
      '--claim',
      'iss=https://login.example/',
    ]);
    assert.equal(minted.code, 0, minted.stderr);
    assert.equal(jwt.decode(minted.stdout.trim(), { complete: true }).header.alg, 'EdDSA');
    assert.equal(await who(minted.stdout.trim()), 'ann');

    const b64 = (x) => Buffer.from(JSON.stringify(x)).toString('base64url');
    const input = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64(claims)}`;
    const confused = (key) => `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`;
    for (const [token, code] of [
      [confused(rsa.publicKey), 'token_unknown_key'],
      [confused(rsa.publicKey.trim()), 'token_unknown_key'],
      [jwt.sign(claims, other.privateKey, { algorithm: 'RS256' }), 'token_signature'],
      [jwt.sign(claims, ec.privateKey, { algorithm: 'ES256', keyid: 'e2' }), 'token_unknown_key'],
      [jwt.sign({ ...claims, aud: 'x' }, rsa.privateKey, { algorithm: 'RS256' }), 'token_audience'],
      [jwt.sign({ ...claims, iss: 'x' }, rsa.privateKey, { algorithm: 'RS256' }), 'token_issuer'],
      [`${b64({ alg: 'ES256', kid: 'e1' })}.${b64(claims)}.${Buffer.alloc(64).toString('base64url')}`, 'token_signature'],
    ])
      assert.deepEqual((await refusal(server, { auth: { token } })).data, { code });
  });

  test('revoked users and token ids', async (t) => {
    const revoked = file('revoked', '# out\nuser mallory\r\njti  t 1 \n\nuser 7\n');
    const server = await startFor(t, { ini: INI, options: { ...OPTIONS, 'auth.revoked': revoked } });
    for (const claims of [{ sub: 'mallory' }, { sub: 'ann', jti: 't 1' }, { id: 7 }])
      assert.deepEqual((await refusal(server, { auth: { token: sign(claims) } })).data, { code: 'token_revoked' });
    for (const claims of [{ sub: 'ann', jti: 'mallory' }, { sub: 't 1' }, { sub: '77' }])
      await connect(server, { auth: { token: sign(claims) } });
  });

  test('faults are told at the start', async () => {
    for (const [options, told] of [
      [{}, /expected a key/],
      [{ secret: 'short' }, /5 bytes/],
      [{ secret: SECRET, secret_file: secretFile }, /either/],
      [{ secret_file: '/nowhere/secret' }, /No such file/],
      [{ secret_file: file('pem-secret', rsa.publicKey) }, /no secret|bytes/],
      [{ public_key: file('private.pem', rsa.privateKey) }, /private/],
      [{ public_key: secretFile }, /no PEM/],
      [{ jwks: secretFile }, /jwks/],
      [{ secret: SECRET, algorithms: 'none' }, /algorithms = none/],
      [{ secret: SECRET, algorithms: 'HS256, RS256' }, /RS256: there is no key/],
      [{ secret: SECRET, public_key: file('a.pem', rsa.publicKey), algorithms: 'HS256' }, /none of them is listed/],
      [{ secret: SECRET, revoked: file('bad-revoked', 'user a\nmallory\n') }, /:2: expected user ID/],
      [{ secret: SECRET, mode: 'maybe' }, /off, optional or required/],
    ]) {
      const args = Object.entries({ mode: 'required', ...options }).flatMap(([k, v]) => ['-o', `auth.${k}=${v}`]);
      const r = await run([...args, '--check']);
      assert.equal(r.code, 2, JSON.stringify(options));
      assert.match(r.stderr, told);
      assert.ok(!r.stderr.includes(SECRET));
    }
    const rule = await run(['-c', file('rule.ini', '[auth]\nmode = optional\n[event refreshToken]\nack = 1\n'), '-o', `auth.secret=${SECRET}`, '--check']);
    assert.match(rule.stderr, /refresh_event/);
    const section = await run(['-c', file('section.ini', '[namespace /a]\nauth = often\n'), '--check']);
    assert.match(section.stderr, /section\.ini:2: \[namespace \/a\] auth = often: expected off, optional or required/);
  });
});

describe('roomcast token', roomcastOnly, () => {
  const token = (...args) => run(['token', ...args]);
  const key = ['-o', `auth.secret=${SECRET}`];

  test('what it mints, jsonwebtoken verifies', async () => {
    const r = await token(...key, '--user', 'ann', '--claim', 'n=7', '--claim', 'name=Ann Lee', '--expires', '90s', '--kid', 'k1', '--alg', 'HS384');
    assert.equal(r.code, 0, r.stderr);
    const { header, payload } = jwt.verify(r.stdout.trim(), SECRET, { complete: true });
    assert.deepEqual(header, { alg: 'HS384', typ: 'JWT', kid: 'k1' });
    assert.equal(payload.sub, 'ann');
    assert.equal(payload.n, 7);
    assert.equal(payload.name, 'Ann Lee');
    assert.equal(payload.exp - payload.iat, 90);
    const never = await token(...key, '--user', 'ann', '--expires', 'never');
    assert.equal(jwt.decode(never.stdout.trim()).exp, undefined);
  });

  test('with private keys', async () => {
    for (const [type, options, alg] of [
      ['rsa', { modulusLength: 2048 }, 'RS256'],
      ['ec', { namedCurve: 'P-384' }, 'ES384'],
    ]) {
      const pair = generateKeyPairSync(type, { ...options, ...pem });
      const r = await token('-o', `auth.private_key=${file(`${type}.key`, pair.privateKey)}`, '--user', 'ann');
      assert.equal(r.code, 0, r.stderr);
      assert.equal(jwt.verify(r.stdout.trim(), pair.publicKey, { algorithms: [alg] }).sub, 'ann');
    }
  });

  test('wrong usage: exit 2 and why', async () => {
    for (const [args, told] of [
      [[...key], /--user/],
      [[...key, '--user', ''], /--user/],
      [['--user', 'ann'], /expected a key/],
      [[...key, '--user', 'ann', 'more'], /unexpected argument more/],
      [[...key, '--user', 'ann', '--expires', '90'], /--expires 90: expected a duration/],
      [[...key, '--user', 'ann', '--claim', 'x'], /KEY=VALUE/],
      [[...key, '--user', 'ann', '--alg', 'none'], /no such algorithm/],
      [[...key, '--user', 'ann', '--alg', 'RS256'], /--alg RS256/],
      [['-o', 'auth.private_key=/nowhere', '--user', 'ann'], /No such file/],
      [['-o', `auth.private_key=${secretFile}`, '--user', 'ann'], /no PEM of a private key/],
      [['-o', 'auth.secret=short', '--user', 'ann'], /5 bytes/],
      [['-o', 'auth.secret=auto', '--user', 'ann'], /-o auth\.secret= -o auth\.secret_file=FILE/],
    ]) {
      const r = await token(...args);
      assert.equal(r.code, 2, args.join(' '));
      assert.match(r.stderr, told);
      assert.equal(r.stdout, '');
    }
    const help = await token('--help');
    assert.equal(help.code, 0);
    assert.match(help.stdout, /--claim/);
  });
});
