// The stock socket.io-client, with promises for what tests wait for. SOCKETIO_CLIENT names another
// version of the package, one that has the same interface.
import { gather, OWN_CONNECTION } from './sockets.mjs';
import { within } from './target.mjs';

const { io } = await import(process.env.SOCKETIO_CLIENT || 'socket.io-client');

const open = new Set();

// A socket of its own connection, not yet connected; closed by closeAll().
export function client(server, { nsp = '/', ...options } = {}) {
  const socket = io(server.url + nsp, { ...OWN_CONNECTION, ...options });
  open.add(socket);
  return socket;
}

export function event(emitter, name, ms = 20_000) {
  return within(
    ms,
    `event ${name}`,
    new Promise((done) => {
      emitter.once(name, (...args) => done(args.length > 1 ? args : args[0]));
    }),
  );
}

export async function connected(socket) {
  if (socket.connected) return socket;
  const done = new Promise((ok, fail) => {
    socket.once('connect', ok);
    socket.once('connect_error', fail);
  });
  socket.connect();
  await within(30_000, 'connect', done);
  return socket;
}

export function connect(server, options) {
  return connected(client(server, options));
}

// Of one that is to be refused: [message, data].
export async function refusal(socket) {
  const failed = event(socket, 'connect_error');
  socket.connect();
  const e = await failed;
  return [e.message, e.data];
}

// Everything that arrives from now on as [event, ...args]; .wait(n) for the first n.
export function inbox(socket) {
  const { all, add } = gather();
  socket.onAny((...args) => add(args));
  return all;
}

// An event with an acknowledgement in bounded time.
export function ask(socket, ...args) {
  const what = `ack of ${args[0]} (${socket.io.engine?.transport?.name})`;
  return within(
    30_000,
    what,
    new Promise((done) => {
      socket.emit(...args, (...answer) => done(answer.length > 1 ? answer : answer[0]));
    }),
  );
}

// Waits until the polling session has moved to WebSocket.
export async function upgraded(socket) {
  const { engine } = socket.io;
  if (engine.transport.name !== 'websocket') await event(engine, 'upgrade');
}

export function closeAll() {
  for (const socket of open) {
    socket.disconnect();
    socket.io._close(); // also when other namespaces hold it, or when it is about to reconnect
  }
  open.clear();
}
