// An echo server to test WebSocket conformance with: endpoints of the daemon, or with
// TARGET=reference the ws package.
//
//   await startEcho({ endpoints: { '/echo': {}, '/z': { deflate: true, max: 1000 } },
//                     deflate: { threshold: 100, alone: false, bits: 10 } })
//
// deflate   of all endpoints that have it on. alone: the server demands client_no_context_takeover;
//           bits: client_max_window_bits, where the client lets the server choose
import { createServer } from 'node:http';

import { WebSocketServer } from 'ws';

import { reference, start } from './target.mjs';

const yes = (v) => (v ? 'yes' : 'no');

function startDaemon({ endpoints, deflate: { threshold = 1024, alone = true, bits = 15 } = {}, shards = 2 }) {
  const sections = Object.entries(endpoints).map(([path, { deflate, max = 1_000_000 }]) => `
[endpoint ${path}]
protocol = echo
max_payload = ${max}
per_message_deflate = ${yes(deflate)}
`);
  return start({
    ini: sections.join(''),
    shards,
    options: {
      'socketio.deflate_threshold': threshold,
      'socketio.deflate_no_context_takeover': yes(alone),
      'socketio.deflate_window_bits': bits,
      'limits.max_queue': '64MiB',
    },
  });
}

async function startReference({ endpoints, deflate: { threshold = 1024, alone = true, bits } = {} }) {
  const http = createServer((req, res) => res.writeHead(426).end());
  const servers = new Map();
  for (const [path, { deflate, max = 1_000_000 }] of Object.entries(endpoints)) {
    const perMessageDeflate = deflate && {
      threshold,
      serverNoContextTakeover: true, // what the daemon always does
      ...(alone && { clientNoContextTakeover: true }),
      ...(bits && { clientMaxWindowBits: bits }),
    };
    const server = new WebSocketServer({ noServer: true, maxPayload: max, perMessageDeflate });
    server.on('connection', (ws) => {
      ws.on('error', () => {});
      ws.on('message', (data, binary) => ws.send(data, { binary }));
    });
    servers.set(path, server);
  }
  http.on('upgrade', (req, socket, head) => {
    const server = servers.get(req.url);
    server.handleUpgrade(req, socket, head, (ws) => server.emit('connection', ws));
  });
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  return {
    port: http.address().port,
    pid: process.pid,
    async stop() {
      for (const server of servers.values()) for (const ws of server.clients) ws.terminate();
      http.closeAllConnections();
      await new Promise((done) => http.close(done));
    },
  };
}

export function startEcho(options) {
  return reference ? startReference(options) : startDaemon(options);
}
