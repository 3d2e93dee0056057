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
  add_trailing_slash: (v) => ({ addTrailingSlash: yes(v) }),
  allow_eio3: (v) => ({ allowEIO3: yes(v) }),
};

// The daemon always compresses each message by itself.
const deflate = (all) => ({
  threshold: size(all.deflate_threshold || '1KiB'),
  serverNoContextTakeover: true,
  ...(yes(all.deflate_no_context_takeover || 'yes') && { clientNoContextTakeover: true }),
});

// An item of a list of origins; * inside of it stands for a part of a name or a port.
function origin(item) {
  if (!item.includes('*')) return item;
  const parts = item.split('*').map((s) => s.replace(/[.\[\]+]/g, '\\$&'));
  return new RegExp(`^${parts.join('[A-Za-z0-9._-]+')}$`);
}

function cors(conf) {
  const origins = list(conf.cors_origin || '');
  if (!origins.length) return {};
  const cors = { origin: origins[0] === '*' ? '*' : origins.map(origin), credentials: yes(conf.cors_credentials || 'no') };
  if (conf.cors_methods) cors.methods = list(conf.cors_methods);
  if (conf.cors_allowed_headers) cors.allowedHeaders = list(conf.cors_allowed_headers);
  if (conf.cors_exposed_headers) cors.exposedHeaders = list(conf.cors_exposed_headers);
  if (conf.cors_max_age) cors.maxAge = duration(conf.cors_max_age) / 1000;
  return { cors };
}

function cookie(conf) {
  if (!conf.cookie) return {};
  const sameSite = conf.cookie_same_site || 'lax';
  return {
    cookie: {
      name: conf.cookie,
      path: conf.cookie_path ?? '/',
      httpOnly: yes(conf.cookie_http_only || 'yes'),
      secure: yes(conf.cookie_secure || 'no'),
      sameSite: sameSite === 'off' ? false : sameSite,
    },
  };
}

function compression(conf) {
  if (!yes(conf.http_compression || 'yes')) return { httpCompression: false };
  return { httpCompression: { threshold: size(conf.http_compression_threshold || '1KiB') } };
}

function allowRequest(conf) {
  const allowed = list(conf.allow_origin || '').map(origin);
  if (!allowed.length) return {};
  const fits = (item, o) => (item instanceof RegExp ? item.test(o) : item === '*' || item === o);
  return {
    allowRequest: (req, done) => {
      const o = req.headers.origin;
      done(null, o === undefined || allowed.some((item) => fits(item, o)));
    },
  };
}

function settings(section, ini, options) {
  const all = {};
  const prefix = `${section}.`;
  for (const { header, entries } of parseIni(ini))
    if (header === section) for (const [k, v] of entries) all[k] = v;
  for (const [k, v] of Object.entries(options)) if (k.startsWith(prefix)) all[k.slice(prefix.length)] = String(v);
  return all;
}

// The server's part of @socket.io/admin-ui, as the keys of [admin] say.
async function adminUi(io, conf) {
  if (!yes(conf.ui || 'no')) return;
  const { instrument } = (await import('@socket.io/admin-ui')).default;
  instrument(io, {
    auth: { type: 'basic', username: conf.ui_username, password: conf.ui_password_hash },
    namespaceName: conf.ui_namespace || '/admin',
    readonly: yes(conf.ui_read_only || 'no'),
    mode: conf.ui_mode || 'development',
    serverId: conf.ui_server_id,
  });
}

export async function start({ ini = '', options = {} } = {}) {
  const conf = settings('socketio', ini, options);
  const opts = {};
  for (const [k, v] of Object.entries(conf)) Object.assign(opts, OPTIONS[k]?.(v, conf));
  Object.assign(opts, cors(conf), cookie(conf), compression(conf), allowRequest(conf));
  if (conf.parser === 'msgpack') opts.parser = (await import('socket.io-msgpack-parser')).default;
  opts.cleanupEmptyChildNamespaces = true;
  const http = createServer((req, res) => res.writeHead(404).end());
  const io = new Server(http, opts);
  // No option: 30 s, which would also hold up the end of this process.
  const closeTimeout = duration(conf.close_timeout || '2s');
  io.engine.on('connection', (s) => (s.transport.closeTimeout = closeTimeout));
  await adminUi(io, settings('admin', ini, options));
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
