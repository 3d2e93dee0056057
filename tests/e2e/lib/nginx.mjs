// Debian's nginx, with conf/nginx.conf as it is shipped but for what a test cannot have: ports below 1024,
// folders of the system, and a certificate of example.org. No root is needed.
//
//   const front = await startNginx({ upstream: '127.0.0.1:43211' });   // or a path: a Unix socket
//   front.url, front.tls                // http://127.3.4.5:8080, https://127.3.4.5:8443
//   await front.reload();               // nginx -s reload, until the new workers serve
//   front.stop()                        // or kill(), pause(), resume()
//
// It has an address of its own in 127.0.0.0/8, so that nobody else has the ports.
import { execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { slow, tempDir, top } from './daemon.mjs';
import { until } from './wait.mjs';

const exec = promisify(execFile);
const NGINX = '/usr/sbin/nginx';
const STREAM = '/usr/lib/nginx/modules/ngx_stream_module.so';

const running = new Set();
process.prependListener('exit', () => {
  for (const front of running) front.signal('SIGKILL');
});

// One for all: making it takes a moment.
let certificate;
async function certificates() {
  const dir = tempDir();
  await exec('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30',
    '-subj', '/CN=example.org', '-keyout', join(dir, 'key.pem'), '-out', join(dir, 'cert.pem'),
  ]);
  return { cert: join(dir, 'cert.pem'), key: join(dir, 'key.pem') };
}

// Each of these lines must be there, or the test does not test what is shipped.
function replace(text, from, to) {
  if (!text.includes(from)) throw new Error(`conf/nginx.conf has no ${JSON.stringify(from)}`);
  return text.replaceAll(from, to);
}

// The text of conf/nginx.conf for a test. bytes: upstream of the stream block; more: further changes, [from, to].
function render({ address, dir, upstream, bytes, cert, key, more = [] }) {
  const at = upstream.startsWith('/') ? `unix:${upstream}` : upstream;
  let text = readFileSync(join(top, 'conf/nginx.conf'), 'utf8');
  const changes = [
    ['user www-data;', process.getuid() === 0 ? 'user root;' : ''],
    ['worker_processes auto;', 'worker_processes 2;'],
    ['worker_rlimit_nofile 200000;', ''],
    ['worker_connections 100000;', 'worker_connections 2000;'],
    ['pid /run/nginx.pid;', `pid ${dir}/pid;`],
    ['error_log /var/log/nginx/error.log warn;', `error_log ${dir}/error.log notice;`],
    ['include /etc/nginx/modules-enabled/*.conf;', bytes ? `load_module ${STREAM};` : ''],
    ['access_log /var/log/nginx/access.log without_query buffer=64k flush=5s;', `access_log ${dir}/access.log without_query;`],
    ['listen 80;', `listen ${address}:8080;`],
    ['listen [::]:80;', ''],
    ['listen 443 ssl;', `listen ${address}:8443 ssl;`],
    ['listen [::]:443 ssl;', ''],
    ['/etc/ssl/certs/example.org.pem', cert],
    ['/etc/ssl/private/example.org.key', key],
    ['server 127.0.0.1:3000;', `server ${at};`],
    [
      'http {\n',
      `http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((n) => `    ${n}_temp_path ${dir}/${n};\n`).join('')}`,
    ],
    ...more,
  ];
  for (const [from, to] of changes) text = replace(text, from, to);
  if (!bytes) return text;
  const optional = text.indexOf('#stream {');
  text = text.slice(0, optional) + text.slice(optional).replace(/^#/gm, '');
  return replace(replace(text, 'server 127.0.0.1:3001;', `server ${bytes};`), 'listen 3080;', `listen ${address}:8081;`);
}

class Nginx {
  constructor(address, dir, file) {
    Object.assign(this, { address, dir, file });
    this.port = 8080;
    this.url = `http://${address}:8080`;
    this.tls = `https://${address}:8443`;
    this.bytes = { host: address, port: 8081 };
    this.ended = false;
    this.stderr = '';
    this.child = spawn(NGINX, ['-p', dir, '-c', file, '-e', join(dir, 'error.log'), '-g', 'daemon off;'], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.child.stderr.setEncoding('utf8').on('data', (d) => (this.stderr += d));
    this.end = new Promise((done) => {
      this.child.once('error', (e) => (this.stderr += e)).once('close', () => {
        this.ended = true;
        running.delete(this);
        done();
      });
    });
    running.add(this);
  }

  get host() {
    return this.address;
  }

  log() {
    const file = join(this.dir, 'error.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  // The master and its workers, from /proc: no other nginx has this parent.
  pids() {
    const workers = readdirSync('/proc').filter((pid) => {
      if (!/^\d+$/.test(pid)) return false;
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === this.child.pid;
      } catch {
        return false; // it has just ended
      }
    });
    return [this.child.pid, ...workers.map(Number)];
  }

  signal(name) {
    if (this.ended) return;
    for (const pid of this.pids()) {
      try {
        process.kill(pid, name);
      } catch {
        // it has just ended
      }
    }
  }

  // Does it answer? With what, is roomcast's.
  _answers() {
    return new Promise((done) => {
      const req = request({ host: this.address, port: 8080, path: '/', agent: false }, (res) => {
        res.resume();
        done(true);
      });
      req.on('error', () => done(false)).end();
    });
  }

  async ready() {
    const limit = Date.now() + 20_000 * slow;
    while (!(await this._answers())) {
      if (this.ended || Date.now() > limit) throw new Error(`nginx does not start: ${this.stderr}${this.log()}`);
      await new Promise((r) => setTimeout(r, 20));
    }
  }

  async reload() {
    const before = this.pids();
    await exec(NGINX, ['-p', this.dir, '-c', this.file, '-e', join(this.dir, 'error.log'), '-s', 'reload']);
    await until('new workers', () => this.pids().filter((pid) => !before.includes(pid)).length >= 2, 20_000);
    return before.slice(1);
  }

  pause() {
    this.signal('SIGSTOP');
  }

  resume() {
    this.signal('SIGCONT');
  }

  async kill() {
    this.signal('SIGKILL');
    await this.end;
  }

  async stop() {
    if (!this.ended) this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.signal('SIGKILL'), 8_000 * slow);
    await this.end;
    clearTimeout(timer);
  }
}

export async function startNginx({ upstream, bytes, more }) {
  if (!existsSync(NGINX) || !existsSync(STREAM)) throw new Error('there is no nginx with its stream module: make deps-test installs them');
  certificate ??= certificates();
  const dir = tempDir();
  const address = `127.${randomInt(1, 255)}.${randomInt(0, 256)}.${randomInt(2, 255)}`;
  const file = join(dir, 'nginx.conf');
  mkdirSync(join(dir, 'logs'));
  writeFileSync(file, render({ address, dir, upstream, bytes, more, ...(await certificate) }));
  const front = new Nginx(address, dir, file);
  await front.ready();
  return front;
}

// nginx with what is shipped, but of the test's own: stopped after the test t.
export async function nginxFor(t, options) {
  const front = await startNginx(options);
  t.after(() => front.stop());
  return front;
}
