// A MariaDB server of a test's own: its folder, its socket, its process. Nothing of the system's is
// touched, so it is the server's program alone that must be there (Debian: mariadb-server-core).
//
//   const db = await startMariadb();          // { tcp: true } and { tls: true } for those ways in
//   db.options()                              // what a daemon needs: { 'store.engine': 'mariadb', … }
//   await db.rows('SELECT id FROM message')   // [{ id: '1' }, …]
//   await db.stop(); await db.start();        // the same port and socket; kill(), pause(), resume()
//   await db.remove();
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { freePort, slow, tempDir } from './daemon.mjs';
import { Program } from './program.mjs';

const exec = promisify(execFile);
const FOLDERS = [...(process.env.PATH || '').split(':'), '/usr/sbin', '/usr/local/sbin'];
const AS_ROOT = process.getuid() === 0 ? ['--user=root'] : [];
const LOG_SIZE = '--innodb-log-file-size=16M';
const USER = 'roomcast';
const PASSWORD = "p'a\\ss;w#ord"; // one that has to be quoted everywhere
export const DATABASE = 'rooms';

function program(name) {
  const found = FOLDERS.map((folder) => join(folder, name)).find(existsSync);
  if (!found) throw new Error(`there is no ${name}: make deps-test installs it`);
  return found;
}

// A new data folder takes seconds to make and a tenth of one to copy: one for each test file.
let template;
function dataFolder() {
  template ??= (async () => {
    const dir = join(tempDir(), 'data');
    await exec(program('mariadb-install-db'), [
      '--no-defaults', `--datadir=${dir}`, '--auth-root-authentication-method=normal',
      '--skip-test-db', '--skip-name-resolve', LOG_SIZE, ...AS_ROOT,
      // A server begins by removing what others, it takes it, have left in its folder for such things.
    ], { env: { ...process.env, TMPDIR: tempDir() } });
    return dir;
  })();
  return template;
}

// A CA and a certificate for 127.0.0.1 that it has signed.
async function certificates(dir) {
  mkdirSync(dir);
  const openssl = (...args) => exec(program('openssl'), args, { cwd: dir });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  writeFileSync(join(dir, 'san'), 'subjectAltName=IP:127.0.0.1,DNS:localhost\n');
  await openssl('req', '-x509', ...key, '-keyout', 'ca-key.pem', '-out', 'ca.pem', '-days', '30', '-subj', '/CN=test CA');
  await openssl('req', ...key, '-keyout', 'key.pem', '-out', 'csr.pem', '-subj', '/CN=127.0.0.1');
  await openssl(
    'x509', '-req', '-in', 'csr.pem', '-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-CAcreateserial',
    '-out', 'cert.pem', '-days', '30', '-extfile', 'san',
  );
}

const UNESCAPE = { n: '\n', t: '\t', 0: '\0', '\\': '\\' };

// The batch form of the client program: a line of names, then one for each row. NULL is null here.
function parse(text) {
  const [names, ...lines] = text.split('\n').slice(0, -1).map((line) => line.split('\t'));
  const value = (v) => (v === 'NULL' ? null : v.replace(/\\(.)/g, (_, c) => UNESCAPE[c] ?? c));
  return lines.map((line) => Object.fromEntries(line.map((v, i) => [names[i], value(v)])));
}

class Mariadb extends Program {
  constructor(dir, port, tls) {
    super();
    this.engine = 'mariadb';
    this.dir = dir;
    this.socket = join(dir, 'socket');
    this.log = join(dir, 'log');
    this.port = port;
    this.tls = tls;
  }

  // tls: what [store] tls is to be.
  options(extra = {}) {
    const way = this.port
      ? { 'store.host': '127.0.0.1', 'store.port': this.port }
      : { 'store.socket': this.socket };
    if (this.tls) way['store.tls_ca'] = join(this.dir, 'tls/ca.pem');
    const who = { 'store.user': USER, 'store.password': PASSWORD, 'store.database': DATABASE };
    return { 'store.engine': 'mariadb', ...way, ...who, ...extra };
  }

  async start() {
    const way = this.port ? [`--port=${this.port}`, '--bind-address=127.0.0.1'] : ['--skip-networking'];
    const tls = ['ca', 'cert', 'key'].map((name) => `--ssl-${name}=${join(this.dir, 'tls', name)}.pem`);
    const child = this.launch(program('mariadbd'), [
      '--no-defaults', `--datadir=${join(this.dir, 'data')}`, `--socket=${this.socket}`,
      `--pid-file=${join(this.dir, 'pid')}`, `--log-error=${this.log}`, `--tmpdir=${this.dir}`,
      '--skip-name-resolve', '--skip-log-bin', '--innodb-buffer-pool-size=32M', LOG_SIZE,
      '--innodb-flush-log-at-trx-commit=1', ...way, ...(this.tls ? tls : []), ...AS_ROOT,
    ]);
    await this._ready(child);
  }

  async _ready(child) {
    for (const limit = Date.now() + 30_000 * slow; ; ) {
      const up = await this.sql('SELECT 1').then(() => true, () => false);
      if (up) return;
      if (child.exitCode !== null || child.signalCode || Date.now() > limit) {
        child.kill('SIGKILL');
        const log = existsSync(this.log) ? readFileSync(this.log, 'utf8').slice(-2000) : 'no log';
        throw new Error(`mariadbd did not start:\n${log}`);
      }
      await new Promise((r) => setTimeout(r, 20));
    }
  }

  // As its administrator. What the client program wrote.
  async sql(text, database = []) {
    const args = ['--no-defaults', `--socket=${this.socket}`, '--user=root', '--default-character-set=utf8mb4', '--batch', '-e', text, ...database];
    const { stdout } = await exec(program('mariadb'), args, { maxBuffer: 1 << 28 });
    return stdout;
  }

  async rows(text) {
    return parse(await this.sql(text, [DATABASE]));
  }

  async remove() {
    if (this.child) await this.kill();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export async function startMariadb({ tcp = false, tls = false } = {}) {
  const dir = tempDir();
  cpSync(await dataFolder(), join(dir, 'data'), { recursive: true });
  if (tls) await certificates(join(dir, 'tls'));
  const db = new Mariadb(dir, tcp || tls ? await freePort() : 0, tls);
  await db.start();
  const quoted = PASSWORD.replace(/[\\']/g, '\\$&');
  await db.sql(
    `CREATE DATABASE ${DATABASE} CHARACTER SET utf8mb4;
     CREATE USER '${USER}'@'%' IDENTIFIED BY '${quoted}' ${tls ? 'REQUIRE SSL' : ''};
     CREATE USER '${USER}'@'localhost' IDENTIFIED BY '${quoted}';
     GRANT ALL ON ${DATABASE}.* TO '${USER}'@'%';
     GRANT ALL ON ${DATABASE}.* TO '${USER}'@'localhost';`,
  );
  return db;
}
