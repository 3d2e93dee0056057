// A Redis server of a test's own, and a Node server that is joined to others by its adapter.
//
//   const redis = await startRedis();         // { password, unix: true }
//   redis.url                                 // for cluster.redis, and for createClient()
//   await redis.command('CLIENT', 'LIST')
//   await redis.stop(); await redis.start();  // the same port; pause(), resume()
//   const node = await startNode(redis);      // a socket.io server: node.io, node.url
import { createServer } from 'node:http';
import { join } from 'node:path';

import { createAdapter } from '@socket.io/redis-adapter';
import { createClient } from 'redis';
import { Server } from 'socket.io';

import { freePort, slow, tempDir } from './daemon.mjs';
import { Program } from './program.mjs';
import { until } from './wait.mjs';

class Redis extends Program {
  constructor(dir, port, password, keeps, debug) {
    super();
    this.options = ['--appendonly', keeps ? 'yes' : 'no', ...(debug ? ['--enable-debug-command', 'local'] : [])];
    this.dir = dir;
    this.port = port;
    this.password = password;
    this.socket = join(dir, 'socket');
  }

  get url() {
    return `redis://${this.password ? `:${encodeURIComponent(this.password)}@` : ''}127.0.0.1:${this.port}`;
  }

  async start() {
    const secret = this.password ? ['--requirepass', this.password] : [];
    const child = this.launch('redis-server', [
      '--port', this.port, '--bind', '127.0.0.1', '--dir', this.dir, '--unixsocket', this.socket,
      '--save', '', ...this.options, '--logfile', join(this.dir, 'log'), ...secret,
    ]);
    await until(
      'redis-server answers',
      () => {
        if (child.exitCode !== null) throw new Error('redis-server did not start: make deps-test installs it');
        return this.command('PING').then((r) => r === 'PONG', () => false);
      },
      30_000,
    );
  }

  client(options) {
    const c = createClient({ url: this.url, socket: { reconnectStrategy: 50 }, ...options });
    c.on('error', () => {});
    return c;
  }

  async command(...args) {
    const c = this.client({ socket: { reconnectStrategy: false } });
    await c.connect();
    try {
      return await c.sendCommand(args.map(String));
    } finally {
      await c.disconnect();
    }
  }
}

// keeps: its data, over a stop. debug: knows DEBUG.
export async function startRedis({ password = '', keeps = false, debug = false } = {}) {
  const redis = new Redis(tempDir(), await freePort(), password, keeps, debug);
  await redis.start();
  return redis;
}

// The npm server with @socket.io/redis-adapter. namespaces: those besides / that clients may join.
export async function startNode(redis, { options, namespaces = [], install = () => {} } = {}) {
  const pub = redis.client(), sub = redis.client();
  await Promise.all([pub.connect(), sub.connect()]);
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(pub, sub, options) });
  for (const name of ['/', ...namespaces]) io.of(name).on('connection', (socket) => install(socket, socket.nsp));
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  return {
    io,
    pub,
    url: `http://127.0.0.1:${http.address().port}`,
    stop: async () => {
      await new Promise((done) => io.close(done));
      // The adapter unsubscribes, and does not wait for it: what it has asked for comes first.
      await Promise.all([pub.quit(), sub.quit()].map((p) => p.catch(() => {})));
    },
  };
}

// Waits until as many servers listen to a namespace. suffix: '' for the streams adapter.
export function joined(redis, n, nsp = '/', prefix = 'socket.io', suffix = '-request') {
  const channel = `${prefix}${suffix}#${nsp}#`;
  return until(
    `${n} servers at ${channel}`,
    async () => Number((await redis.command('PUBSUB', 'NUMSUB', channel))[1]) === n,
    20_000 * Math.max(1, slow / 4),
  );
}
