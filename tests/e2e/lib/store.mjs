// A store for a test: an SQLite file or a MariaDB server of its own, and a way past the daemon to
// what is in it.
//
//   const store = await openStore('sqlite');
//   const server = await startFor(t, { ini, options: { ...AUTH, ...store.options() } });
//   await store.rows('SELECT id, content FROM message ORDER BY id')  // [{ id: '1', … }, …]: texts
//   await store.remove();
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';

import jwt from 'jsonwebtoken';

import { tempDir } from './daemon.mjs';
import { startMariadb } from './mariadb.mjs';

const exec = promisify(execFile);

// ROOMCAST_ENGINES leaves some out.
export const ENGINES = (process.env.ROOMCAST_ENGINES || 'sqlite,mariadb').split(',');

const SECRET = randomBytes(32).toString('hex');

// Options of a daemon that believes token(user).
export const AUTH = { 'auth.mode': 'required', 'auth.secret': SECRET };

// Options of a client that is this user, with more claims.
export const as = (user, claims) => ({ auth: { token: jwt.sign({ sub: user, ...claims }, SECRET, { expiresIn: '1h' }) } });

class Sqlite {
  constructor(path = join(tempDir(), 'store.db')) {
    this.engine = 'sqlite';
    this.path = path;
  }

  options(extra) {
    return { 'store.engine': 'sqlite', 'store.path': this.path, ...extra };
  }

  // Beside the daemon too: readers of a WAL wait for nobody.
  async rows(sql) {
    const args = ['-batch', '-json', '-cmd', '.timeout 10000', this.path, sql];
    const { stdout } = await exec('sqlite3', args, { maxBuffer: 1 << 28 });
    const text = ([name, value]) => [name, value === null ? null : String(value)];
    return JSON.parse(stdout || '[]').map((row) => Object.fromEntries(Object.entries(row).map(text)));
  }

  async remove() {}
}

// One whose place matters.
export const sqlite = (path) => new Sqlite(path);

export async function openStore(engine) {
  return engine === 'sqlite' ? new Sqlite() : startMariadb();
}
