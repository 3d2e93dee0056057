/* connection.js - the one Socket.IO connection: its state as people want to see it, and
 * requests that are answered, refused or fail. The client reconnects by itself; what has to be
 * said again after that (rooms, waiting messages) is the business of app.js. */

const ACK_TIMEOUT_MS = 20000;
const PROBE_EVERY_MS = 10000;
const FIRST_PROBE_MS = 1500;

export const isRefused = (reply) => Boolean(reply) && reply.ok === false;

/**
 * io: the stock client. auth: () => what the server is told on each connect. onStatus gets
 * {phase, transport, latency, attempt, reason}, phase being one of connecting, online,
 * reconnecting, stopped. events: handlers by event name, with connect and disconnect among them.
 */
export function openConnection(io, { auth, onStatus, events }) {
  const status = { phase: 'connecting', transport: '', latency: null, attempt: 0, reason: '' };
  const socket = io({
    auth: (send) => send(auth()),
    reconnectionDelay: 500,
    reconnectionDelayMax: 5000,
  });

  function update(changes) {
    Object.assign(status, changes);
    onStatus(status);
  }

  async function request(event, ...args) {
    if (!socket.connected) throw new Error('offline');
    const started = performance.now();
    const reply = await socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, ...args);
    update({ latency: performance.now() - started });
    return reply;
  }

  /* The manager only tries again on its own schedule: ending its attempt starts a new one. */
  function restart() {
    socket.disconnect();
    update({ phase: 'connecting', transport: '', attempt: 0, reason: '' });
    socket.connect();
  }

  watchTransport(socket, update);
  watchState(socket, update);
  Object.entries(events).forEach(([name, handler]) => socket.on(name, handler));
  retryWhenReachable(() => !socket.connected && status.phase !== 'stopped', restart);
  keepLatencyFresh(socket, request);

  return { status, request, restart, get id() { return socket.id; } };
}

function watchTransport(socket, update) {
  const manager = socket.io;
  manager.on('open', () => {
    const { engine } = manager;
    update({ transport: engine.transport.name });
    engine.on('upgrade', (transport) => update({ transport: transport.name }));
  });
}

function watchState(socket, update) {
  socket.on('connect', () => update({ phase: 'online', attempt: 0, reason: '' }));
  socket.on('disconnect', (reason) => update(afterLoss(socket, reason)));
  socket.on('connect_error', (error) => update(afterLoss(socket, error.message)));
  socket.io.on('reconnect_attempt', (attempt) => update({ attempt }));
}

/* `active` is false when the client will not try again: the server told us to go. */
function afterLoss(socket, reason) {
  const phase = socket.active ? 'reconnecting' : 'stopped';
  return { phase, reason, transport: '', latency: null };
}

/* A phone that wakes up should not sit out the rest of a delay. */
function retryWhenReachable(isNeeded, restart) {
  const check = () => {
    if (isNeeded() && document.visibilityState === 'visible') restart();
  };
  window.addEventListener('online', check);
  document.addEventListener('visibilitychange', check);
}

/* Every reply is a measurement; in quiet times `ping` provides some. A server whose rules do not
 * know that event refuses it once and is left alone from then on. */
function keepLatencyFresh(socket, request) {
  let known = true;
  async function probe() {
    if (!known || !socket.connected || document.visibilityState !== 'visible') return;
    try {
      known = !isRefused(await request('ping'));
    } catch (error) {
      known = false; /* silence, or it even cost us the connection (unknown_event = disconnect) */
    }
  }
  setInterval(probe, PROBE_EVERY_MS);
  socket.on('connect', () => setTimeout(probe, FIRST_PROBE_MS));
}
