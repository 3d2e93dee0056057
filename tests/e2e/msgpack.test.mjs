// Clients with socket.io-msgpack-parser: their packets as bytes, which the reference with the same
// parser has to understand and answer alike; and, where only roomcast can, in one room with clients
// of the JSON parser.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';

import { launch, newPage } from './lib/browser.mjs';
import { ask, client, closeAll, connect, connected, event, inbox, upgraded } from './lib/client.mjs';
import { top } from './lib/daemon.mjs';
import { Polling, Socket } from './lib/eio.mjs';
import { TRANSPORTS, ended, open, pack, parser, unpack } from './lib/msgpack.mjs';
import { random } from './lib/random.mjs';
import { SHARDS, label, reference, roomcastOnly, start, startFor, within } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';

const INI = `${RULES}
[event answer]
ask = room {1} within 5s: question {2..}
`;
// The reference serves one parser.
const options = { 'socketio.parser': 'msgpack' };

const hex = (text) => Buffer.from(text.replace(/\s/g, ''), 'hex');
const z = (text) => Buffer.from(text).toString('hex');
const str = (text) => (0xa0 + Buffer.byteLength(text)).toString(16) + z(text);
// The bytes of {type, data, nsp} by hand, data being hex.
const raw = (type, data, nsp = str('/')) =>
  hex(`83 ${str('type')} ${type} ${str('data')} ${data} ${str('nsp')} ${nsp}`);
const echo = (value) => raw('02', `92 ${str('echo')} ${value}`);

describe('the unit tests', () => {
  test('have the vectors of the npm packages', roomcastOnly, () => {
    const vectors = join(top, 'tests/unit/proto/msgpack_vectors');
    const made = execFileSync(process.execPath, [`${vectors}.mjs`], { encoding: 'utf8', maxBuffer: 1 << 24 });
    assert.equal(made, readFileSync(`${vectors}.inc`, 'utf8'));
  });
});

for (const shards of SHARDS) {
  describe(`msgpack packets, ${label(shards)}`, () => {
    let server;
    before(async () => {
      server = await start({ ini: reference ? RULES : INI, shards, options });
    });
    after(() => server.stop());

    for (const transport of TRANSPORTS) {
      const peer = async (t, nsp) => {
        const p = await open(server, transport);
        t.after(() => p.end());
        if (nsp) await p.join(nsp);
        return p;
      };

      test(`CONNECT, ${transport}`, async (t) => {
        const p = await peer(t);
        await p.send({ type: 0, data: { token: 'x', more: [1] }, nsp: '/' });
        const first = await p.next();
        assert.deepEqual(first, { type: 0, data: { sid: first.data.sid }, nsp: '/' });
        assert.equal(first.data.sid.length, 20);
        await p.send({ type: 0, nsp: '/chat' });
        const second = await p.next();
        assert.deepEqual(second, { type: 0, data: { sid: second.data.sid }, nsp: '/chat' });
        await p.send({ type: 0, data: undefined, nsp: '/nowhere' });
        assert.deepEqual(await p.next(), { type: 4, data: { message: 'Invalid namespace' }, nsp: '/nowhere' });
      });

      test(`EVENT and ACK, ${transport}`, async (t) => {
        const p = await peer(t, '/');
        await p.emit('echo', 1, 'ü👍', { a: [null, true] });
        assert.deepEqual(await p.next(), { type: 2, data: ['echo', 1, 'ü👍', { a: [null, true] }], nsp: '/' });
        await p.emitWithId(0, 'ask', 'x');
        assert.deepEqual(await p.next(), { type: 3, data: ['x'], id: 0, nsp: '/' });
        await p.emitWithId(2 ** 53 - 1, 'askEcho', -1.5);
        assert.deepEqual(await p.next(), { type: 2, data: ['echo', -1.5], nsp: '/' });
        assert.deepEqual(await p.next(), { type: 3, data: [{ ok: true, first: -1.5 }], id: 2 ** 53 - 1, nsp: '/' });
      });

      test(`binary, ${transport}`, async (t) => {
        const p = await peer(t, '/');
        const args = [Buffer.of(1, 2, 255), { deep: [Buffer.alloc(300, 7), 'x'] }, Buffer.alloc(0)];
        await p.emit('echo', ...args);
        assert.deepEqual(await p.next(), { type: 2, data: ['echo', ...args], nsp: '/' });
        await p.emitWithId(3, 'ask', ...args);
        assert.deepEqual(await p.next(), { type: 3, data: args, id: 3, nsp: '/' });
      });

      test(`namespaces and DISCONNECT, ${transport}`, async (t) => {
        const p = await peer(t, '/');
        await p.join('/chat');
        await p.send({ type: 2, data: ['echo', 1], nsp: '/chat' });
        assert.deepEqual(await p.next(), { type: 2, data: ['echo', 1], nsp: '/chat' });
        await p.send({ type: 1, nsp: '/chat' });
        await p.emitWithId(0, 'ask'); // the reference would take a CONNECT that is too near for a second one
        assert.deepEqual(await p.next(), { type: 3, data: [], id: 0, nsp: '/' });
        await p.join('/chat');
        await p.emitWithId(1, 'bye');
        const bye = [await p.next(), await p.next()];
        // The reference does not wait for the rest of the rule.
        if (reference) bye.reverse();
        assert.deepEqual(bye, [
          { type: 3, data: [{ ok: true }], id: 1, nsp: '/' },
          { type: 1, nsp: '/' },
        ]);
        await p.join('/');
      });

      test(`many packets at once, ${transport}`, async (t) => {
        const p = await peer(t, '/');
        const n = 100;
        await p.send(...[...Array(n).keys()].map((i) => ({ type: 2, data: ['echo', i, Buffer.of(i)], nsp: '/' })));
        for (let i = 0; i < n; i++) assert.deepEqual((await p.next()).data, ['echo', i, Buffer.of(i)]);
      });
    }

    // [what, bytes of an argument, bytes of it in the echo]
    for (const [what, sent, back = sent] of [
      ['nil', 'c0'],
      ['booleans', '92 c2 c3'],
      ['0', '00'],
      ['127 as uint 8', 'cc7f', '7f'],
      ['-1 as int 64', 'd3ffffffffffffffff', 'ff'],
      ['1 as float 64', 'cb3ff0000000000000', '01'],
      ['float 32', 'ca3fc00000', 'cb3ff8000000000000'],
      ['0.1', 'cb3fb999999999999a'],
      ['2^-44', 'cb3d30000000000000'],
      ['5e-324', 'cb0000000000000001'],
      ['-0', 'cb8000000000000000', '00'],
      ['2^53', 'cf0020000000000000'],
      ['-2^53', 'd3ffe0000000000000'],
      ['str 8', 'd90161', 'a161'],
      ['str 32', 'db0000000161', 'a161'],
      ['array 32', 'dd00000001 01', '9101'],
      ['map 16', 'de0001 a161 01', '81a16101'],
      ['keys that are no strings', '83 07 01 c0 02 c3 03', '83 a137 01 a46e756c6c 02 a474727565 03'],
      ['bin 32', 'c600000001ff', 'c401ff'],
      ['another extension', 'd50578ff', '9205c40278ff'],
      ['extension 8', 'c70105 ff', '9205c401ff'],
      ['a map that looks like a placeholder', `82 ${str('_placeholder')} c3 ${str('num')} 00`],
    ])
      test(`value: ${what}`, async (t) => {
        const p = await open(server);
        t.after(() => p.end());
        await p.join('/');
        p.send(echo(sent));
        assert.equal((await p.nextBytes()).toString('hex'), raw('02', `92 ${str('echo')} ${back}`).toString('hex'));
      });

    test('keys in any order, others read over, the last one counts', async (t) => {
      const p = await open(server);
      t.after(() => p.end());
      await p.join('/');
      p.send(
        hex(`86 ${str('nsp')} ${str('/')} a178 c40101 ${str('data')} 91${str('x')} ${str('data')}
             93 ${str('echo')} 01 c40102 07 92d4000001 ${str('type')} cc02`),
      );
      assert.deepEqual(await p.next(), { type: 2, data: ['echo', 1, Buffer.of(2)], nsp: '/' });
    });

    for (const [what, bytes] of [
      ['no bytes', Buffer.alloc(0)],
      ['no MessagePack', hex('c1')],
      ['a number', hex('07')],
      ['an array', hex('9102')],
      ['an empty map', hex('80')],
      ['bytes behind it', Buffer.concat([pack({ type: 2, data: ['echo'], nsp: '/' }), hex('c0')])],
      ['cut off', pack({ type: 2, data: ['echo'], nsp: '/' }).subarray(0, -1)],
      ['type 5', pack({ type: 5, data: ['echo'], nsp: '/' })],
      ['type -1', pack({ type: -1, data: ['echo'], nsp: '/' })],
      ['type as a string', pack({ type: '2', data: ['echo'], nsp: '/' })],
      ['no type', pack({ data: ['echo'], nsp: '/' })],
      ['no nsp', pack({ type: 2, data: ['echo'] })],
      ['nsp as a number', pack({ type: 2, data: ['echo'], nsp: 1 })],
      ['id as a string', pack({ type: 2, data: ['echo'], id: '1', nsp: '/' })],
      ['id null', pack({ type: 2, data: ['echo'], id: null, nsp: '/' })],
      ['no data', pack({ type: 2, nsp: '/' })],
      ['data as a string', pack({ type: 2, data: 'echo', nsp: '/' })],
      ['data as a map', pack({ type: 2, data: { echo: 1 }, nsp: '/' })],
      ['ACK without data', pack({ type: 3, id: 1, nsp: '/' })],
      ['DISCONNECT with data', pack({ type: 1, data: [], nsp: '/' })],
      ['CONNECT with an array', pack({ type: 0, data: [], nsp: '/chat' })],
      ['CONNECT with null', pack({ type: 0, data: null, nsp: '/chat' })],
      ['CONNECT with bytes', pack({ type: 0, data: Buffer.of(1), nsp: '/chat' })],
      ['CONNECT twice', pack({ type: 0, nsp: '/' })],
      ['CONNECT_ERROR', pack({ type: 4, data: 'x', nsp: '/' })],
      ['a namespace not joined', pack({ type: 2, data: ['echo'], nsp: '/chat' })],
      ['an unknown namespace', pack({ type: 2, data: ['echo'], nsp: '/nowhere' })],
    ])
      test(`closes: ${what}`, async (t) => {
        const p = await open(server);
        t.after(() => p.end());
        await p.join('/');
        p.send(bytes);
        await p.ends();
      });

    test('closes: a packet of the JSON parser', async (t) => {
      const p = await open(server);
      t.after(() => p.end());
      p.socket.send('40');
      await p.ends();
    });

    // What the parser lets through, and the reference's server then makes something of.
    for (const [what, bytes] of [
      ['an event without a name', pack({ type: 2, data: [], nsp: '/' })],
      ['a reserved name', pack({ type: 2, data: ['disconnect'], nsp: '/' })],
      ['a name that is null', pack({ type: 2, data: [null], nsp: '/' })],
      ['a namespace without a slash', pack({ type: 0, nsp: 'chat' })],
      ['a namespace with a comma', pack({ type: 0, nsp: '/a,b' })],
      ['an id below 0', pack({ type: 2, data: ['ask'], id: -1, nsp: '/' })],
      ['an id above 2^53 - 1', pack({ type: 2, data: ['ask'], id: 2 ** 53, nsp: '/' })],
      ['a string that is not UTF-8', echo('a1ff')],
      ['a key that is an array', echo('81 90 01')],
      ['bytes in auth', pack({ type: 0, data: { key: Buffer.of(1) }, nsp: '/chat' })],
      ['a placeholder without its attachment', echo(`92 c401ff 82 ${str('_placeholder')} c3 ${str('num')} 01`)],
      ['11 attachments', echo(`9b ${'c400'.repeat(11)}`)],
      ['nested too deep', echo('91'.repeat(100) + '00')],
      ['a text over max_payload', echo(`dd 00030d40 ${'c2'.repeat(200_000)}`)],
      ['a length of 4 GiB', echo('ddffffffff')],
    ])
      test(`closes, unlike the reference: ${what}`, roomcastOnly, async (t) => {
        const p = await open(server);
        t.after(() => p.end());
        await p.join('/');
        p.send(bytes);
        await p.ends();
      });

    test('what JSON has not, and 64 bits', roomcastOnly, async (t) => {
      const p = await open(server);
      t.after(() => p.end());
      await p.join('/');
      for (const [sent, back] of [
        ['cb7ff8000000000000', 'c0'], // NaN
        ['ca7f800000', 'c0'], // Infinity
        ['d40000', 'c0'], // undefined
        ['82 a161 d40000 a162 01', '81 a162 01'],
        ['d7000000000000000001', 'b8' + z('1970-01-01T00:00:00.001Z')],
        ['c70200beef', 'c402beef'], // an ArrayBuffer
        ['cf0020000000000001', 'cf0020000000000001'],
        ['cfffffffffffffffff', 'cfffffffffffffffff'],
        ['d38000000000000001', 'd38000000000000001'],
        ['cb43f0000000000000', 'cb43f0000000000000'], // 2^64
        ['cb444b1ae4d6e2ef50', 'cb444b1ae4d6e2ef50'], // 1e21
      ]) {
        p.send(echo(sent));
        assert.equal((await p.nextBytes()).toString('hex'), raw('02', `92 ${str('echo')} ${back}`).toString('hex'));
      }
    });
  });

  describe(`rooms of both parsers, ${label(shards)}`, { skip: reference && 'one parser at a time' }, () => {
    const MODES = {
      'polling only': ['polling'],
      'websocket only': ['websocket'],
      upgrade: ['polling', 'websocket'],
    };
    let server;
    before(async () => {
      server = await start({
        ini: `${INI}\n[namespace /packed]\nparser = msgpack\n[namespace /text]\nparser = json\n[namespace /packed-*]\nparser = msgpack\n`,
        shards,
        options: { 'socketio.per_message_deflate': 'yes', 'socketio.deflate_threshold': '64' },
      });
    });
    after(() => server.stop());
    afterEach(closeAll);

    for (const [mode, transports] of Object.entries(MODES)) {
      const pair = () =>
        Promise.all([connect(server, { transports, parser }), connect(server, { transports })]);

      test(`one room for all, ${mode}`, async () => {
        const [packed, text] = await pair();
        const peers = [packed, text, ...(await pair())];
        if (mode === 'upgrade') await Promise.all(peers.slice(0, 2).map(upgraded));
        const got = peers.map((p) => inbox(p));
        for (const p of peers) await ask(p, 'join', 'r');
        const args = [
          0, -1, 255, 65536, -2147483649, 2 ** 53, 1.5, 5e-324, '', 'ü👍\u0000"\\', 'x'.repeat(5000),
          null, true, [], {}, [[{ a: [] }]],
        ];
        const binary = [Buffer.of(1, 2, 255), { deep: [Buffer.alloc(70_000, 'abc')], no: 'x' }, Buffer.alloc(0)];
        for (const p of peers.slice(0, 2)) {
          await ask(p, 'say', 'r', args);
          await ask(p, 'say', 'r', ...binary);
        }
        for (const g of got) {
          await g.wait(4);
          assert.deepEqual([...g], [
            ['said', args],
            ['said', ...binary],
            ['said', args],
            ['said', ...binary],
          ]);
        }
      });

      test(`what JSON has not is the same for both, ${mode}`, async () => {
        const [packed, text] = await pair();
        const got = [inbox(packed), inbox(text)];
        await Promise.all([ask(packed, 'join', 'r'), ask(text, 'join', 'r')]);
        const odd = [undefined, NaN, Infinity, new Date(5), { a: undefined, b: 1 }, -0];
        await ask(packed, 'say', 'r', odd, new Uint8Array([1, 2]).buffer);
        for (const g of got) {
          const [[, seen, bytes]] = await g.wait(1);
          assert.deepEqual(seen, JSON.parse(JSON.stringify(odd)));
          assert.deepEqual(Buffer.from(bytes), Buffer.of(1, 2));
        }
      });

      test(`acknowledgements and questions, ${mode}`, async () => {
        const [packed, text] = await pair();
        assert.deepEqual(await ask(packed, 'ask', { b: Buffer.of(1) }), { b: Buffer.of(1) });
        for (const p of [packed, text]) {
          p.on('question', (value, answer) => answer(value, 'from', p === packed));
          await ask(p, 'join', 'r');
        }
        for (const p of [packed, text]) {
          const { ok, answers } = await ask(p, 'answer', 'r', 2.5);
          assert.equal(ok, true);
          answers.sort();
          assert.deepEqual(answers, [[2.5, 'from', false], [2.5, 'from', true]]);
        }
        // The one that is asked answers for itself, with bytes.
        assert.deepEqual(await ask(text, 'answer', packed.id, Buffer.of(7)), [Buffer.of(7), 'from', true]);
        assert.deepEqual(await ask(packed, 'answer', text.id, Buffer.of(8)), [Buffer.of(8), 'from', false]);
        const refusal = await ask(packed, 'sayMember', 'other', 1);
        assert.equal(refusal.error, 'not_a_member');
      });

      test(`a namespace for one parser, ${mode}`, async () => {
        for (const [nsp, own, name] of [
          ['/packed', { parser }, 'msgpack'],
          ['/text', {}, 'JSON'],
          ['/packed-7', { parser }, 'msgpack'],
        ]) {
          const other = own.parser ? {} : { parser };
          await connect(server, { nsp, transports, ...own });
          const refused = client(server, { nsp, transports, ...other });
          refused.connect();
          const error = await event(refused, 'connect_error');
          assert.equal(error.message, `only for clients with the ${name} parser`);
          assert.deepEqual(error.data, { code: 'parser', parser: name.toLowerCase() });
          const root = client(server, { nsp: '/', transports, forceNew: false, ...other });
          await connected(root);
        }
      });
    }

    test('an upgrade with messages under way loses and doubles nothing', async () => {
      const text = await connect(server, { transports: ['websocket'] });
      const packed = client(server, { parser });
      const got = inbox(packed);
      const n = 300;
      await connected(packed);
      await ask(packed, 'join', 'flow');
      for (let i = 0; i < n; i++) {
        text.emit('say', 'flow', i, Buffer.of(i & 0xff));
        if (i % 10 === 0) await ask(text, 'ask', i);
      }
      await got.wait(n);
      assert.deepEqual([...got], [...Array(n).keys()].map((i) => ['said', i, Buffer.of(i & 0xff)]));
      await upgraded(packed);
    });

    test('base64 in WebSocket', async (t) => {
      const p = await open(server, 'websocket', { b64: 1 });
      t.after(() => p.end());
      await p.join('/');
      p.emit('echo', Buffer.of(1), 'x');
      const message = await p.socket.next();
      assert.equal(typeof message, 'string');
      assert.deepEqual(unpack(Buffer.from(message.slice(1), 'base64')).data, ['echo', Buffer.of(1), 'x']);
    });

    for (const transport of TRANSPORTS)
      test(`the first packet decides, ${transport}`, async (t) => {
        const p = await open(server, transport);
        t.after(() => p.end());
        await p.join('/');
        if (transport === 'websocket') p.socket.send('42["echo"]');
        else await p.session.post('42["echo"]');
        await p.ends();
        const q = transport === 'websocket' ? await Socket.open(server) : await Polling.open(server);
        if (transport === 'websocket') t.after(() => q.destroy());
        await q.join('/');
        const bytes = pack({ type: 2, data: ['echo'], nsp: '/' });
        if (transport === 'websocket') {
          q.send(bytes);
          assert.equal((await q.close()).code, 1005);
        } else {
          await q.post('b' + bytes.toString('base64'));
          await ended(q);
        }
      });

    test('random bytes close one connection and disturb nobody', async (t) => {
      const seed = Number(process.env.ROOMCAST_SEED || Date.now() % 1e9);
      t.diagnostic(`ROOMCAST_SEED=${seed}`);
      const rand = random(seed);
      const good = [await connect(server, { parser }), await connect(server)];
      const got = good.map((g) => inbox(g));
      for (const g of good) await ask(g, 'join', 'calm');
      const packets = [
        { type: 2, data: ['say', 'calm2', { a: [1, 'x', Buffer.alloc(50)] }], id: 3, nsp: '/' },
        { type: 0, data: { token: 'x' }, nsp: '/chat' },
        { type: 3, id: 5, data: [Buffer.alloc(9)], nsp: '/' },
      ];
      const attacks = 150;
      for (let i = 0; i < attacks; i++) {
        const p = await open(server);
        await p.join('/');
        const bytes = Buffer.from(pack(packets[i % packets.length]));
        for (let k = 0; k <= i % 4; k++) bytes[rand.below(bytes.length)] = rand.below(256);
        p.send(bytes.subarray(0, 1 + rand.below(bytes.length)));
        p.send({ type: 2, data: ['ask', 'alive'], id: 99, nsp: '/' });
        const seen = p.next().catch(() => 'closed');
        assert.ok(await within(10_000, 'an answer or the end', seen));
        p.end();
      }
      await ask(good[0], 'say', 'calm', 'done');
      for (const g of got) assert.deepEqual([...(await g.wait(1))], [['said', 'done']]);
    });
  });
}

describe('which parser is served', { skip: reference && 'an option of roomcast' }, () => {
  afterEach(closeAll);

  test('json only', async (t) => {
    const server = await startFor(t, { ini: RULES, options: { 'socketio.parser': 'json' } });
    assert.equal(await ask(await connect(server), 'ask', 1), 1);
    const p = await open(server);
    t.after(() => p.end());
    p.send({ type: 0, nsp: '/' });
    await p.ends();
  });

  test('either by default', async (t) => {
    const server = await startFor(t, { ini: RULES });
    assert.equal(await ask(await connect(server), 'ask', 1), 1);
    assert.equal(await ask(await connect(server, { parser }), 'ask', 1), 1);
  });

  test('many a limit', async (t) => {
    const server = await startFor(t, {
      ini: RULES,
      options: { 'socketio.max_payload': '10KB', 'limits.json_depth': '4', 'limits.max_attachments': '2' },
    });
    const fits = [{ a: [1] }, Buffer.of(1), Buffer.of(2)];
    const packed = await connect(server, { parser });
    assert.deepEqual(await ask(packed, 'ask', ...fits), fits);
    for (const args of [[[[[[]]]]], [Buffer.of(1), Buffer.of(2), Buffer.of(3)], [Array(2500).fill(null)], ['x'.repeat(11_000)]]) {
      const p = await connect(server, { parser, transports: ['websocket'] });
      const gone = event(p, 'disconnect');
      p.emit('ask', ...args);
      await gone;
    }
    assert.deepEqual(await ask(packed, 'ask', ...fits), fits);
  });
});

describe('the bundle socket.io.msgpack.min.js', { skip: reference && 'needs both parsers' }, () => {
  let browser;
  before(async () => {
    browser = await launch();
  });
  after(() => browser.close());
  afterEach(closeAll);

  for (const transports of [['polling', 'websocket'], ['polling'], ['websocket']])
    test(`talks in Chromium, ${transports.join(' and ')}`, async (t) => {
      const server = await startFor(t, { ini: RULES, shards: 2 });
      const { page, context, faults } = await newPage(browser);
      t.after(() => context.close());
      const other = await connect(server);
      const got = inbox(other);
      await ask(other, 'join', 'r');
      await page.goto(`${server.url}/socket.io/`); // any page of that origin
      await page.addScriptTag({ url: `${server.url}/socket.io/socket.io.msgpack.min.js` });
      await page.evaluate(async (list) => {
        window.got = [];
        window.socket = io({ transports: list });
        socket.on('said', (...args) =>
          got.push(args.map((a) => (a instanceof Uint8Array || a instanceof ArrayBuffer ? [...new Uint8Array(a)] : a))),
        );
        await new Promise((done) => socket.on('connect', done));
        await socket.emitWithAck('join', 'r');
        await socket.emitWithAck('say', 'r', 'from the page', 1.5, new Uint8Array([1, 2, 255]).buffer);
      }, transports);
      await ask(other, 'say', 'r', 'to the page', -7, Buffer.of(3, 4));
      assert.deepEqual([...(await got.wait(2))], [
        ['said', 'from the page', 1.5, Buffer.of(1, 2, 255)],
        ['said', 'to the page', -7, Buffer.of(3, 4)],
      ]);
      await page.waitForFunction(() => window.got.length === 2);
      assert.deepEqual(await page.evaluate(() => window.got), [
        ['from the page', 1.5, [1, 2, 255]],
        ['to the page', -7, [3, 4]],
      ]);
      const exceptions = faults.filter((f) => f.startsWith('exception')); // that page is a 400
      assert.deepEqual(exceptions, []);
    });
});
