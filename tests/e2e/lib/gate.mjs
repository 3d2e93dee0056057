// A way to a server that can be shut, cut, slow or silent.
//
//   const gate = await startGate(redis.port);   gate.port, gate.url
//   gate.shut();  gate.open();     connections end, new ones too; or not
//   gate.cut();                    those that there are end
//   gate.slow(ms);                 each piece of at most 64 KiB takes so long, each way; 0: none
//   gate.hold(); gate.let();       nothing goes through; it does again
import { connect, createServer } from 'node:net';

import { sleep } from './wait.mjs';

// host: where it listens.
export async function startGate(to, host = '127.0.0.1') {
  const pairs = new Set();
  let isOpen = true, ms = 0, held = null, release;
  const carry = async (from, into) => {
    try {
      for await (const piece of from) {
        if (ms) await sleep(ms);
        while (held) await held;
        if (!into.write(piece)) await new Promise((done) => into.once('drain', done).once('close', done));
      }
    } catch {
      // it was cut
    }
    from.destroy();
    into.destroy();
  };
  const server = createServer((near) => {
    if (!isOpen) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(to, '127.0.0.1');
    const pair = [near, far];
    pairs.add(pair);
    for (const s of pair) s.setNoDelay(true).on('error', () => {});
    Promise.all([carry(near, far), carry(far, near)]).then(() => pairs.delete(pair));
  });
  await new Promise((done) => server.listen(0, host, done));
  const { port } = server.address();
  const gate = {
    port,
    url: `redis://${host}:${port}`,
    cut: () => {
      for (const pair of pairs) for (const s of pair) s.resetAndDestroy();
    },
    shut: () => {
      isOpen = false;
      gate.cut();
    },
    open: () => (isOpen = true),
    slow: (n) => (ms = n),
    hold: () => (held ??= new Promise((done) => (release = done))),
    let: () => {
      held = null;
      release?.();
    },
    stop: () => {
      gate.let();
      gate.shut();
      server.close();
    },
  };
  return gate;
}
