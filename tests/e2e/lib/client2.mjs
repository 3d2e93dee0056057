// The stock socket.io-client 2, which speaks Engine.IO 3.
import io from 'socket.io-client-2';

import { gather, OWN_CONNECTION } from './sockets.mjs';
import { within } from './target.mjs';

const open = new Set();

// A socket of its own connection, not yet connected; closed by close2().
export function client2(server, { nsp = '/', ...options } = {}) {
  const socket = io(server.url + nsp, { ...OWN_CONNECTION, ...options });
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
  const { all, add } = gather();
  for (const event of events) socket.on(event, (...args) => add([event, ...args]));
  return all;
}

export function close2() {
  for (const socket of open) {
    socket.io.reconnection(false);
    socket.io.close();
  }
  open.clear();
}
