// The reference: a socket.io server in this process, with the event rules of the same INI text.
// It stands in for the daemon when TARGET=reference, so that the tests are tested.
import { createServer } from 'node:http';

import { Server } from 'socket.io';

import { install, parseIni } from './rules.mjs';

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SIZES = { '': 1, KB: 1e3, MB: 1e6, KIB: 1024, MIB: 1024 * 1024 };

function duration(text) {
  const [, n, unit] = text.match(/^(\d+)(ms|s|m|h)$/);
  return n * UNITS[unit];
}

function size(text) {
  const [, n, unit] = String(text).match(/^(\d+)\s*([A-Za-z]*)$/);
  return n * SIZES[unit.toUpperCase()];
}

const list = (text) =>
  text
    .split(',')
    .map((s) => s.trim())
    .filter(Boolean);
const yes = (text) => ['yes', 'true', 'on', '1'].includes(text);

// [socketio] keys in terms of the reference server's options.
const OPTIONS = {
  path: (v) => ({ path: v }),
  ping_interval: (v) => ({ pingInterval: duration(v) }),
  ping_timeout: (v) => ({ pingTimeout: duration(v) }),
  max_payload: (v) => ({ maxHttpBufferSize: size(v) }),
  connect_timeout: (v) => ({ connectTimeout: duration(v) }),
  upgrade_timeout: (v) => ({ upgradeTimeout: duration(v) }),
  transports: (v) => ({ transports: list(v) }),
  allow_upgrades: (v) => ({ allowUpgrades: yes(v) }),
  serve_client: (v) => ({ serveClient: yes(v) }),
  per_message_deflate: (v, all) => ({ perMessageDeflate: yes(v) && deflate(all) }),
};

// The daemon always compresses each message by itself.
const deflate = (all) => ({
  threshold: size(all.deflate_threshold || '1KiB'),
  serverNoContextTakeover: true,
  ...(yes(all.deflate_no_context_takeover || 'yes') && { clientNoContextTakeover: true }),
});

function settings(ini, options) {
  const all = {};
  for (const { header, entries } of parseIni(ini))
    if (header === 'socketio') for (const [k, v] of entries) all[k] = v;
  for (const [k, v] of Object.entries(options)) if (k.startsWith('socketio.')) all[k.slice(9)] = String(v);
  return all;
}

export async function start({ ini = '', options = {} } = {}) {
  const conf = settings(ini, options);
  const opts = {};
  for (const [k, v] of Object.entries(conf)) Object.assign(opts, OPTIONS[k]?.(v, conf));
  const origins = list(conf.cors_origin || '');
  if (origins.length)
    opts.cors = {
      origin: origins[0] === '*' ? '*' : origins,
      credentials: yes(conf.cors_credentials || 'no'),
    };
  const http = createServer((req, res) => res.writeHead(404).end());
  const io = new Server(http, opts);
  // No option: 30 s, which would also hold up the end of this process.
  const closeTimeout = duration(conf.close_timeout || '2s');
  io.engine.on('connection', (s) => (s.transport.closeTimeout = closeTimeout));
  install(io, ini, {
    policy: conf.ack_policy,
    errorEvent: conf.error_event,
    unknown: conf.unknown_event,
  });
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  const { port } = http.address();
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    pid: process.pid,
    stderr: () => '',
    async stop() {
      io.disconnectSockets(true);
      http.closeAllConnections();
      await io.close();
    },
  };
}
