// Starts a roomcast daemon for a test and stops it again.
//
//   const server = await start({ ini: '[event hi]\nack = {args}\n', shards: 2,
//                                options: { 'socketio.ping_interval': '300ms' } });
//   ... server.url ...
//   await server.stop();            // SIGTERM; must exit 0 in time and without a sanitizer report
//
// ROOMCAST_BIN   the executable, relative to the top of the repository (default build/roomcast)
// ROOMCAST_SLOW  factor for every time limit (sanitizers, valgrind)
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const top = fileURLToPath(new URL('../../../', import.meta.url));
export const binary = resolve(top, process.env.ROOMCAST_BIN || 'build/roomcast');
export const slow = Number(process.env.ROOMCAST_SLOW || 1);

const READY = /listening on (?:unix:(\S+)|(\S+):(\d+))\s*$/gm;
const SANITIZER =
  /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:|Assertion .* failed/;

const running = new Set();
const folders = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const dir of folders) rmSync(dir, { recursive: true, force: true });
});

// Runs the executable to its end: { code, signal, stdout, stderr }.
export function run(args, { timeout = 10_000, env, input } = {}) {
  return new Promise((done, fail) => {
    const child = spawn(binary, args, { env: { ...process.env, ...env } });
    const out = { code: null, signal: null, stdout: '', stderr: '' };
    running.add(child);
    child.stdout.setEncoding('utf8').on('data', (d) => (out.stdout += d));
    child.stderr.setEncoding('utf8').on('data', (d) => (out.stderr += d));
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      fail(new Error(`roomcast ${args.join(' ')} did not end in time\n${out.stderr}`));
    }, timeout * slow);
    child.on('error', fail);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      done({ ...out, code, signal });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

// A folder for a test's files, removed when the process ends.
export function tempDir() {
  const dir = mkdtempSync(join(tmpdir(), 'roomcast-test-'));
  folders.add(dir);
  return dir;
}

// A port that was free a moment ago: for what has to come back on the same one.
export async function freePort() {
  const server = createServer();
  await new Promise((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

function tail(text, lines = 60) {
  return text.split('\n').slice(-lines).join('\n');
}

class Daemon {
  constructor(child) {
    this.child = child;
    this.pid = child.pid;
    this.dir = null; // of its configuration
    this.ports = [];
    this.sockets = []; // paths of Unix sockets
    this.ended = null; // { code, signal } once it has ended
    this.stopping = null;
    this._stderr = '';
    running.add(child);
    child.stdout.resume();
    child.stderr.setEncoding('utf8').on('data', (d) => (this._stderr += d));
    this.end = new Promise((done) => {
      child.on('close', (code, signal) => {
        running.delete(child);
        this.ended = { code, signal };
        done(this.ended);
      });
    });
  }

  get port() {
    return this.ports[0];
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  stderr() {
    return this._stderr;
  }

  async _ready(listeners, timeout) {
    const limit = Date.now() + timeout * slow;
    for (;;) {
      const found = [...this._stderr.matchAll(READY)];
      if (found.length >= listeners) {
        this.ports = found.filter((m) => m[3]).map((m) => Number(m[3]));
        this.sockets = found.filter((m) => m[1]).map((m) => m[1]);
        return;
      }
      const why = this.ended
        ? `ended with ${JSON.stringify(this.ended)}`
        : Date.now() > limit && 'is not ready in time';
      if (why) {
        this.child.kill('SIGKILL');
        throw new Error(`roomcast ${why}; stderr:\n${tail(this._stderr)}`);
      }
      await new Promise((r) => setTimeout(r, 5));
    }
  }

  // The end that nobody is prepared for. It must not have ended before, nor reported anything.
  async kill() {
    const early = this.ended;
    this.child.kill('SIGKILL');
    await this.end;
    const report = this._stderr.match(SANITIZER);
    if (early || report)
      throw new Error(`roomcast ${report?.[0] ?? `ended with ${JSON.stringify(early)}`}; stderr:\n${tail(this._stderr, 400)}`);
  }

  // Sends the signal and waits; a daemon that ends by itself, late, badly or with a sanitizer
  // report is an error. Calling it again gives the same answer.
  stop(signal = 'SIGTERM', timeout = 8_000) {
    this.stopping ??= this._stop(signal, timeout);
    return this.stopping;
  }

  async _stop(signal, timeout) {
    const early = this.ended;
    if (!early) this.child.kill(signal);
    let timer;
    const late = new Promise((r) => (timer = setTimeout(r, timeout * slow, 'late')));
    const outcome = await Promise.race([this.end, late]);
    clearTimeout(timer);
    if (outcome === 'late') {
      this.child.kill('SIGKILL');
      await this.end;
    }
    const report = this._stderr.match(SANITIZER);
    const fault =
      (early && `ended by itself with ${JSON.stringify(early)}`) ||
      (outcome === 'late' && `did not end within ${timeout * slow} ms of ${signal}`) ||
      (outcome.code !== 0 && `ended with ${JSON.stringify(outcome)} after ${signal}`) ||
      (report && `reported: ${report[0]}`);
    if (fault) throw new Error(`roomcast ${fault}; stderr:\n${tail(this._stderr, report ? 400 : 60)}`);
  }
}

// ini: text of an INI file; conf: path of one (instead of ini). options: { 'section.key': value }.
// listeners: how many `listening on` lines to wait for. listen: null leaves the key to the INI.
// files: limit of open files. within: the words of a command that becomes the daemon.
export async function start({
  ini = '',
  conf,
  shards = 1,
  options = {},
  listen = '127.0.0.1:0',
  listeners = 1,
  args = [],
  env = {},
  files,
  within = files ? ['sh', '-c', `ulimit -n ${files} && exec "$0" "$@"`] : [],
  timeout = 10_000,
} = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} does not exist: run make first`);
  const dir = tempDir();
  const all = { 'server.shards': shards, ...options };
  if (conf) {
    all['store.path'] ??= join(dir, 'store.db'); // the demo's own file stays as it is
  } else {
    conf = join(dir, 'roomcast.ini');
    writeFileSync(conf, ini);
  }
  if (listen) all['server.listen'] = listen;
  const argv = ['-c', conf];
  for (const [key, value] of Object.entries(all)) argv.push('-o', `${key}=${value}`);
  const [command, ...words] = [...within, binary, ...argv, ...args];
  const child = spawn(command, words, {
    cwd: dir,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const daemon = new Daemon(child);
  daemon.dir = dir;
  await new Promise((done, fail) => child.once('spawn', done).once('error', fail));
  await daemon._ready(listeners, timeout);
  return daemon;
}
