/* connection.js - the one Socket.IO connection: its state as people want to see it, and
 * requests that are answered, refused or fail. The client reconnects by itself; what has to be
 * said again after that (rooms, waiting messages) is the business of app.js. */

const ACK_TIMEOUT_MS = 20000;
const PROBE_EVERY_MS = 10000;
const FIRST_PROBE_MS = 1500;

const NOT_OFFERED = ['unknown_event', 'no_store'];

export const isRefused = (reply) => Boolean(reply) && reply.ok === false;

/**
 * io: the stock client. auth: () => a promise of what the server is told on each connect; when it
 * fails, so does the connection. onStatus gets {phase, transport, latency, attempt, reason}, phase
 * being one of idle (until start()), connecting, online, reconnecting, stopped. events: handlers
 * by event name, with connect, connect_error and disconnect among them.
 */
export function openConnection(io, { auth, onStatus, events }) {
  const status = { phase: 'idle', transport: '', latency: null, attempt: 0, reason: '' };
  const unknown = new Set(); /* events that this server has no rules for */
  const socket = io({
    autoConnect: false,
    auth: (send) => auth().then(send, giveUp),
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

  /** The reply to an event that not every server has a rule for; null: this one has none. */
  async function offer(event, ...args) {
    if (unknown.has(event)) return null;
    let reply = null;
    try {
      reply = await request(event, ...args);
      if (isRefused(reply) && NOT_OFFERED.includes(reply.error)) unknown.add(event);
    } catch (error) {
      /* silence, or it even cost us the connection (unknown_event = disconnect) */
      if (socket.connected || status.phase === 'stopped') unknown.add(event);
    }
    return unknown.has(event) ? null : reply;
  }

  /* No answer is a connection that is lost, and tried again; no as an answer is final. */
  function giveUp(error) {
    if (error instanceof TypeError) socket.io.engine.close();
    else stop(error.message);
  }

  function stop(reason) {
    socket.disconnect();
    update({ phase: 'stopped', transport: '', latency: null, reason });
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
  retryWhenReachable(() => !socket.connected && isTrying(status), restart);
  keepLatencyFresh(socket, offer);

  return { status, request, offer, restart, stop, get id() { return socket.id; } };
}

const isTrying = ({ phase }) => phase === 'connecting' || phase === 'reconnecting';

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

/* Every reply is a measurement; in quiet times `ping` provides some. */
function keepLatencyFresh(socket, offer) {
  const probe = () => {
    if (socket.connected && document.visibilityState === 'visible') offer('ping');
  };
  setInterval(probe, PROBE_EVERY_MS);
  socket.on('connect', () => setTimeout(probe, FIRST_PROBE_MS));
}
