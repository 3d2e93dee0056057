// The console of operators: raw, as programs use it, and by roomcast ctl.
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { join } from 'node:path';

import { run, start, tempDir } from './daemon.mjs';
import { until, within } from './wait.mjs';

// A daemon with a console; .console is the path of its socket.
export async function startWithConsole(t, { options, ...rest }) {
  const path = join(tempDir(), 'c.sock');
  const server = await start({ ...rest, options: { 'admin.socket': path, ...options } });
  t.after(() => server.stop());
  await until('its console is said', () => server.stderr().includes(`console on ${path}\n`));
  server.console = path;
  return server;
}

// A connection that keeps what it gets, line by line.
export class Console {
  static async open(path) {
    const c = new Console();
    c.lines = [];
    c.ended = false;
    c.rest = '';
    c.socket = createConnection({ path, allowHalfOpen: true });
    c.socket.setEncoding('utf8').on('data', (d) => {
      const all = (c.rest + d).split('\n');
      c.rest = all.pop();
      c.lines.push(...all);
    });
    c.socket.on('error', () => {});
    c.socket.on('end', () => (c.ended = true)).on('close', () => (c.ended = true));
    await once(c.socket, 'connect');
    return c;
  }

  write(text) {
    this.socket.write(text);
  }

  async next() {
    await until('the console answers', () => this.lines.length || this.ended, 30_000);
    return this.lines.length ? JSON.parse(this.lines.shift()) : null;
  }

  ask(command) {
    this.write(`${command}\n`);
    return this.next();
  }

  async end() {
    await within(30_000, 'the console ends', until('its end', () => this.ended, 30_000));
  }

  close() {
    this.socket.destroy();
  }
}

// One command on a connection of its own.
export async function ctl(server, command) {
  const c = await Console.open(server.console);
  try {
    return await c.ask(command);
  } finally {
    c.close();
  }
}

export function cli(server, ...args) {
  return run(['ctl', '-s', server.console, ...args], { timeout: 30_000 });
}
