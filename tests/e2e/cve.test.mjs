// What has brought servers of this protocol down, by its CVE number: each attack has the outcome that
// the protocol defines, an honest client beside it notices nothing, and memory stays where it was.
//
// Most of it also runs against the npm server, whose present versions have these faults mended.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { Polling, RS, Socket, eioPath } from './lib/eio.mjs';
import { MESSAGES, assertError, refusedUpgrade } from './lib/errors.mjs';
import { SHARDS, label, reference, roomcastOnly, slow, sleep, start, startFor } from './lib/target.mjs';
import { RULES } from './lib/vocabulary.mjs';
import { CONT, RawWs, TEXT, Wire, frame, request } from './lib/wire.mjs';

const MB = 1_000_000;
const WS = eioPath({ transport: 'websocket' });
const rss = (server) => Number(readFileSync(`/proc/${server.pid}/statm`, 'utf8').split(' ')[1]) * 4096;
const sanitized = slow > 1; // shadow memory and quarantines grow as they please
const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;

// Runs the attack beside an honest conversation. mb: how much the daemon may grow at its height.
async function attack(server, body, { mb = 16 } = {}) {
  const honest = await Socket.open(server, { namespace: '/' });
  const before = rss(server);
  let highest = before;
  const watch = setInterval(() => (highest = Math.max(highest, rss(server))), 5);
  let answered = 0;
  let over = false;
  const talk = (async () => {
    while (!over) {
      honest.send(`42${answered}["ask",${answered}]`);
      assert.equal(await honest.next(), `43${answered}[${answered}]`);
      answered++;
      await sleep(5);
    }
  })();
  talk.catch(() => {});
  try {
    await body();
  } finally {
    over = true;
    clearInterval(watch);
  }
  await talk;
  highest = Math.max(highest, rss(server));
  honest.destroy();
  assert.ok(answered > 0);
  if (!reference && !sanitized) assert.ok(highest - before < mb * MB, `${(highest - before) / MB} MB more`);
}

// All of these frames end the connection without a code.
async function closes(server, ...frames) {
  const ws = await Socket.open(server, { namespace: '/' });
  ws.send(...frames);
  assert.equal((await ws.close()).code, 1005, String(frames[0]).slice(0, 60));
}

async function closesPolling(server, payload) {
  const s = await Polling.open(server, { namespace: '/' });
  await s.raw(payload).catch(() => null); // [REF] no answer to what is no Engine.IO
  const r = await s.get();
  if (r.status === 200) assert.equal(r.body, '6\x1e1'); // what is no Socket.IO is told
  await s.gone();
}

async function rawSession(server) {
  const ws = await RawWs.open(server, WS);
  await ws.frame();
  await ws.send(TEXT, '40');
  await ws.frame();
  return ws;
}

function attachmentTests(server) {
  test('CVE-2026-33151: packets that announce attachments without end', () =>
    attack(server(), async () => {
      for (const n of ['11', '1000', '999999999', '4294967296', '9007199254740993', '1'.repeat(400), '-1', '1e3', '0x10'])
        await closes(server(), `45${n}-["echo",${placeholder(0)}]`);
      await closes(server(), `46${'9'.repeat(9)}-[${placeholder(0)}]`);
      await closesPolling(server(), `45999999999-["echo",${placeholder(0)}]`);
    }));

  test('CVE-2026-33151: announced, allowed, and never sent', () =>
    attack(server(), async () => {
      const waiting = await Promise.all([...Array(200)].map(() => Socket.open(server(), { namespace: '/' })));
      for (const ws of waiting)
        ws.send(`4510-["echo",${[...Array(10).keys()].map(placeholder)}]`, ...Array(9).fill(Buffer.alloc(100)));
      await Promise.all(waiting.map((ws) => {
        ws.send('42["echo",1]'); // a text where an attachment should be
        return ws.close();
      }));
    }));

  test('CVE-2026-33151: attachments that are longer together than a message may be', roomcastOnly, () =>
    attack(server(), async () => {
      // [REF] takes them, if each is short enough
      const ws = await Socket.open(server(), { namespace: '/' });
      ws.send(`4510-["echo",${[...Array(10).keys()].map(placeholder)}]`);
      for (let i = 0; i < 10; i++) ws.send(Buffer.alloc(900_000));
      await ws.close();
    }));

  for (const cve of ['CVE-2022-2421', 'CVE-2023-32695'])
    test(`${cve}: placeholders and names of types that nobody expects`, () =>
      attack(server(), async () => {
        if (cve === 'CVE-2022-2421') {
          for (const num of ['"splice"', '"length"', '"__proto__"', '"0"', '-1', '1', '1e9', 'null', 'true', '[]', '{}', '4294967296', '18446744073709551616'])
            await closes(server(), `451-["echo",${placeholder(num)}]`, Buffer.from('x'));
          await closes(server(), '450-["echo"]', Buffer.from('x')); // none is announced, one comes
          await closes(server(), `451-["echo",${placeholder(0)}]`, '42["echo"]');
          await closes(server(), '45-["echo"]');
          await closes(server(), '451["echo"]');
          await closes(server(), Buffer.from('x'));
          // Inside of text that is data a placeholder is no placeholder.
          const ws = await Socket.open(server(), { namespace: '/' });
          ws.send(`421["ask",{"_placeholder":true,"num":0}]`);
          assert.equal(await ws.next(), `431[${placeholder(0)}]`);
          ws.destroy();
        } else {
          for (const name of ['{"toString":"foo"}', '{"toString":{}}', '{"__proto__":{}}', '[]', 'null', 'true', '["echo"]', '{"_placeholder":true,"num":0}'])
            await closes(server(), `42[${name},1]`);
          await closes(server(), `451-[${placeholder(0)},1]`, Buffer.from('echo'));
          for (const packet of ['42{}', '42"echo"', '42[]', '43{}', '43"x"', '43null', '40[]', '40"x"', '40null', '4', '47', '4a'])
            await closes(server(), packet);
          for (const name of ['connect', 'connect_error', 'disconnect', 'disconnecting', 'newListener', 'removeListener'])
            await closes(server(), `42["${name}",1]`);
        }
      }));
}

function malformedTests(server) {
  const afterProbe = async (data) => {
    const s = await Polling.open(server(), { namespace: '/' });
    const ws = await RawWs.open(server(), s.path({ transport: 'websocket' }));
    await ws.wire.write(data);
    await ws.wire.closed();
    await s.post('421["ask",1]');
    assert.ok((await s.packets(1)).includes('431[1]')); // the session lives
  };

  test('CVE-2022-21676: frames that WebSocket does not know', () =>
    attack(server(), async () => {
      for (const data of [
        frame(TEXT, 'x', { rsv: 3 }), frame(TEXT, 'x', { rsv: 4 }), frame(3, 'x'), frame(TEXT, 'x', { mask: false }),
        frame(CONT, 'x'), frame(8, 'x'), frame(9, 'x'.repeat(126)), frame(TEXT, '', { length: 2 ** 40 }), Buffer.alloc(64, 0xff),
      ]) {
        const ws = await rawSession(server());
        await ws.wire.write(data);
        assert.ok([1002, 1009].includes(await ws.closeCode()));
        ws.destroy();
        await afterProbe(data); // and before an upgrade is complete
      }
    }));

  test('CVE-2022-41940: upgrades that are reset', () =>
    attack(server(), async () => {
      for (let i = 0; i < 60; i++) {
        const s = i % 3 ? null : await Polling.open(server());
        const wire = await Wire.open(server());
        const path = s ? s.path({ transport: 'websocket' }) : i % 2 ? WS : eioPath({ transport: 'tobi' });
        const { text } = RawWs.handshake(path);
        await wire.write(text.slice(0, i % 5 ? undefined : 20 + i));
        if (i % 4) wire.socket.resetAndDestroy();
        else wire.destroy();
      }
    }));

  test('CVE-2023-31125: upgrades without what they need', () =>
    attack(server(), async () => {
      const bad = [
        [eioPath({ transport: null }), 0], [eioPath({ transport: 'toString' }), 0], [eioPath({ transport: '' }), 0], ['/socket.io/', 0],
        [eioPath({ transport: '__proto__' }), 0], [eioPath({ transport: 'constructor' }), 0], [eioPath({ transport: 'websocket', sid: 'x' }), 1],
        [eioPath({ transport: 'websocket', sid: '__proto__' }), 1], [eioPath({ transport: 'websocket', sid: 'constructor' }), 1],
      ];
      for (const [path, code] of bad) {
        const r = await refusedUpgrade(server(), path);
        assert.deepEqual([r.status, r.body], [400, MESSAGES[code]], path);
      }
      for (const headers of [{ 'Sec-WebSocket-Key': null }, { 'Sec-WebSocket-Key': '' }, { 'Sec-WebSocket-Key': 'x'.repeat(500) }, { 'Sec-WebSocket-Version': '99' }]) {
        const r = await refusedUpgrade(server(), WS, { headers });
        assert.ok([400, 426].includes(r.status));
      }
    }));

  test('CVE-2023-31125: heads that are no heads', () =>
    attack(server(), async () => {
      for (const bytes of [
        '\0'.repeat(100), 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n', `GET ${WS} HTTP/1.1\r\nUpgrade\r\n\r\n`,
        `GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nOrigin: a\x01b\r\n\r\n`, `GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n`,
        `POST ${eioPath()} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n`, `GET ${eioPath()} HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(200_000)}`,
      ]) {
        const wire = await Wire.open(server());
        await wire.write(bytes);
        const { status } = await wire.response();
        assert.ok(status >= 400 && status < 506, `${status} for ${bytes.slice(0, 50)}`);
        wire.destroy();
      }
    }));

  test('CVE-2024-38355: an event named error', () =>
    attack(server(), async () => {
      const ws = await Socket.open(server(), { namespace: '/' });
      const s = await Polling.open(server(), { namespace: '/' });
      for (const packet of ['42["error"]', '42["error",{"message":"x"}]', '42["error",null]']) {
        ws.send(packet);
        await s.post(packet);
      }
      ws.send(`451-["error",${placeholder(0)}]`, Buffer.from('x'), '421["ask",1]');
      let last = await ws.next();
      while (last.startsWith('42["error"')) last = await ws.next(); // there is no rule for it, which is told
      assert.equal(last, '431[1]');
      await s.post('422["ask",2]');
      assert.equal((await s.packets(1)).at(-1), '432[2]');
      ws.destroy();
    }));
}

function exhaustionTests(server) {
  test('CVE-2020-36048: bodies without end', () =>
    attack(server(), async () => {
      const s = await Polling.open(server(), { namespace: '/' });
      const block = Buffer.alloc(65536, '4');
      for (const head of [`Content-Length: ${1e12}`, 'Transfer-Encoding: chunked']) {
        const wire = await Wire.open(server());
        wire.socket.on('error', () => {});
        await wire.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
        for (let i = 0; i < 400 && !wire.ended; i++) {
          if (head[0] === 'T') wire.socket.write('10000\r\n');
          wire.socket.write(block);
          if (head[0] === 'T') wire.socket.write('\r\n');
          await new Promise(setImmediate);
        }
        const r = await wire.response().catch(() => null); // a reset may overtake the answer
        if (r) assert.equal(r.status, 413);
        wire.destroy();
      }
      await s.post('421["ask",1]'); // the session lives
      assert.deepEqual(await s.poll(), ['431[1]']);
    }));

  test('CVE-2020-36048: many bodies that stop just before their end', () =>
    attack(server(), async () => {
      const wires = [];
      for (let i = 0; i < 20; i++) {
        const s = await Polling.open(server(), { namespace: '/' });
        const wire = await Wire.open(server());
        await wire.write(`POST ${s.path()} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n${'4'.repeat(999_999)}`);
        wires.push(wire);
      }
      await sleep(100);
      for (const wire of wires) wire.destroy();
    }, { mb: 20 * 2 + 16 })); // what is allowed, and doubling

  test('CVE-2020-36048: half a million packets in one body', () =>
    attack(server(), async () => {
      const s = await Polling.open(server(), { namespace: '/' });
      const from = Date.now();
      await s.post(Array(499_990).fill('6').join(RS));
      await s.post('421["ask",1]');
      assert.deepEqual(await s.poll(), ['431[1]']);
      assert.ok(Date.now() - from < 15_000 * slow);
      await closesPolling(server(), RS.repeat(999_999));
    }, { mb: 32 }));

  test('CVE-2020-36049: one part of a packet is all of it', () =>
    attack(server(), async () => {
      const n = 990_000;
      const from = Date.now();
      const packets = [`4${'7'.repeat(n)}`, `45${'1'.repeat(n)}-[]`, `42${'['.repeat(n)}`, `42["${'x'.repeat(n)}`, `42[${'"",'.repeat(n / 3)}`];
      // [REF] takes the first for no data, and the second for an ack id of Infinity
      if (!reference) packets.push(`42/${'a'.repeat(n)}`, `42${'9'.repeat(n)}["ask"]`, `4${'2'.repeat(n)}`);
      for (const packet of packets) await closes(server(), packet);
      for (const packet of [`45${'1'.repeat(n)}`, `42["ask",${'['.repeat(n)}`]) await closesPolling(server(), packet);
      assert.ok(Date.now() - from < 20_000 * slow, 'it took too long');
    }, { mb: 32 }));

  // [REF] 1008 after 16,384 fragments; here a fragment leaves nothing behind but its bytes.
  test('CVE-2026-48779: a million fragments of one byte, and of none', roomcastOnly, () =>
    attack(server(), async () => {
      for (const [data, count] of [['x', 900_000], ['', 1_000_000]]) {
        const ws = await rawSession(server());
        await ws.send(TEXT, '421["ask","', { fin: false });
        const some = Buffer.concat(Array(10_000).fill(frame(CONT, data, { fin: false })));
        for (let i = 0; i < count; i += 10_000) await ws.wire.write(some);
        await ws.send(CONT, '"]');
        assert.equal((await ws.frame()).data.length, '431[""]'.length + count * data.length);
        await ws.send(TEXT, '422["ask",2]');
        assert.equal((await ws.frame()).data.toString(), '432[2]');
        ws.destroy();
      }
    }));

  test('CVE-2026-48779: slow fragments of one byte, on many connections', () =>
    attack(server(), async () => {
      const all = await Promise.all([...Array(40)].map(() => rawSession(server())));
      for (const ws of all) await ws.send(TEXT, '421["ask","', { fin: false });
      for (let i = 0; i < 50; i++) {
        for (const ws of all) ws.wire.socket.write(frame(CONT, 'x', { fin: false }));
        await sleep(2);
      }
      for (const ws of all) await ws.wire.trickle(frame(CONT, '"]'));
      for (const ws of all) assert.equal((await ws.frame()).data.toString(), `431["${'x'.repeat(50)}"]`);
      for (const ws of all) ws.destroy();
    }));
}

const OBJECTS = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'prototype'];

function nameTests(server) {
  test('__proto__ and the like as transport and sid', () =>
    attack(server(), async () => {
      for (const name of OBJECTS) {
        assertError(await request(server(), { path: eioPath({ transport: name }) }), 0);
        assertError(await request(server(), { path: eioPath({ sid: name }) }), 1);
        assertError(await request(server(), { method: 'POST', path: eioPath({ sid: name }), body: '4' }), 1);
        assert.equal((await refusedUpgrade(server(), eioPath({ transport: name }))).body, MESSAGES[0]);
        assert.equal((await refusedUpgrade(server(), eioPath({ transport: 'websocket', sid: name }))).body, MESSAGES[1]);
      }
    }));

  test('__proto__ and the like as namespace', () =>
    attack(server(), async () => {
      const ws = await Socket.open(server());
      for (const name of OBJECTS) {
        ws.send(`40/${name},`);
        assert.equal(await ws.next(), `44/${name},{"message":"Invalid namespace"}`);
      }
      await ws.join('/');
      ws.send('421["ask",1]');
      assert.equal(await ws.next(), '431[1]');
      ws.destroy();
      for (const name of OBJECTS) await closes(server(), `42/${name},["echo"]`); // of one that was not joined
    }));

  test('__proto__ and the like as room and argument', () =>
    attack(server(), async () => {
      const [a, b] = [await Socket.open(server(), { namespace: '/' }), await Socket.open(server(), { namespace: '/' })];
      for (const name of OBJECTS) {
        a.send(`420["join","${name}"]`);
        assert.match(await a.next(), /^430\[/);
        b.send(`42["say","${name}","hi"]`);
        assert.equal(await a.next(), '42["said","hi"]');
        a.send(`420["leave","${name}"]`);
        assert.match(await a.next(), /^430\[/);
        b.send(`420["say","${name}","nobody"]`);
        assert.match(await b.next(), /^430\[/);
        a.send(`421["ask","${name}"]`, `422["ask",{"${name === '__proto__' ? 'x' : name}":{"polluted":1}}]`);
        assert.equal(await a.next(), `431["${name}"]`);
        assert.match(await a.next(), /^432\[\{/);
      }
      a.destroy();
      b.destroy();
    }));

  test('__proto__ and the like as event', () =>
    attack(server(), async () => {
      const ws = await Socket.open(server(), { namespace: '/' });
      const s = await Polling.open(server(), { namespace: '/' });
      for (const name of OBJECTS) {
        ws.send(`42["${name}",1]`);
        await s.post(`42["${name}",1]`);
      }
      ws.send('421["ask",1]');
      let last = await ws.next();
      while (last.startsWith('42["error"')) last = await ws.next();
      assert.equal(last, '431[1]');
      ws.destroy();
      await s.post('1');
    }));

  test('__proto__ in auth', () =>
    attack(server(), async () => {
      const ws = await Socket.open(server());
      ws.send('40{"__proto__":{"name":"x"},"constructor":{"prototype":{"y":1}}}');
      assert.match(await ws.next(), /^40\{"sid"/);
      ws.destroy();
    }));
}

for (const shards of SHARDS) {
  describe(label(shards), () => {
    let server;
    before(async () => (server = await start({ ini: RULES, shards, options: { 'log.level': 'warn' } })));
    after(() => server.stop());
    attachmentTests(() => server);
    malformedTests(() => server);
    exhaustionTests(() => server);
    nameTests(() => server);

    test('the same attacks, again and again, do not add up', roomcastOnly, async (t) => {
      const own = await startFor(t, { ini: RULES, shards, options: { 'log.level': 'warn' } });
      const round = async () => {
        for (let i = 0; i < 30; i++) {
          await closes(own, `4511-["echo",${placeholder(0)}]`);
          await closes(own, `42${'9'.repeat(500_000)}["ask"]`);
          await closesPolling(own, `45${'1'.repeat(300_000)}`);
          const ws = await rawSession(own);
          await ws.send(TEXT, `42["ask","${'x'.repeat(100_000)}`, { fin: false });
          ws.destroy();
        }
        await sleep(50);
        return rss(own);
      };
      await round();
      await round();
      const settled = await round();
      const later = (await round(), await round());
      if (!sanitized) assert.ok(later - settled < 2 * MB, `${(later - settled) / MB} MB more`);
    });
  });
}
