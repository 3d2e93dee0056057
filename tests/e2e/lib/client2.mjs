// The stock socket.io-client 2, which speaks Engine.IO 3.
import io from 'socket.io-client-2';

import { within } from './target.mjs';

const open = new Set();

// A socket of its own connection, not yet connected; closed by close2().
export function client2(server, { nsp = '/', ...options } = {}) {
  const socket = io(server.url + nsp, {
    forceNew: true,
    autoConnect: false,
    reconnection: false,
    ...options,
  });
  open.add(socket);
  return socket;
}

export async function connected2(socket) {
  if (socket.connected) return socket;
  const done = new Promise((ok, fail) => {
    socket.once('connect', ok);
    for (const event of ['connect_error', 'error'])
      socket.once(event, (e) => fail(e instanceof Error ? e : Object.assign(new Error('refused'), { data: e })));
  });
  socket.connect();
  await within(30_000, 'connect', done);
  return socket;
}

export const connect2 = (server, options) => connected2(client2(server, options));

// What arrives of these events from now on, as [event, ...args]; .wait(n) for the first n.
export function inbox2(socket, ...events) {
  const all = [];
  let wake = () => {};
  for (const event of events)
    socket.on(event, (...args) => {
      all.push([event, ...args]);
      wake();
    });
  const wait = (n, ms = 20_000) => {
    const done = new Promise((ok) => {
      wake = () => all.length >= n && ok(all.slice(0, n));
      wake();
    });
    return within(ms, `${n} events`, done).catch((e) => {
      throw new Error(`${e.message}; had ${all.length}: ${JSON.stringify(all).slice(0, 500)}`);
    });
  };
  return Object.defineProperty(all, 'wait', { value: wait }); // not enumerable: no part of equality
}

export function close2() {
  for (const socket of open) {
    socket.io.reconnection(false);
    socket.io.close();
  }
  open.clear();
}
