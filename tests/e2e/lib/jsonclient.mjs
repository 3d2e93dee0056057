// A client of a json endpoint: a plain WebSocket with promises for what tests wait for.
import WebSocket from 'ws';

import { within } from './target.mjs';

const LIMIT = 20_000;
const all = new Set();

export class JsonClient {
  static async open(server, path, options) {
    const c = new JsonClient();
    c.ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, { perMessageDeflate: false, ...options });
    all.add(c.ws);
    c.queue = [];
    c.acks = 0;
    c.closed = new Promise((r) => c.ws.on('close', (code, reason) => r({ code, reason: reason.toString() })));
    c.ws.on('message', (data, binary) => {
      c.queue.push(binary ? data : JSON.parse(data.toString()));
      c.wake?.();
    });
    await within(LIMIT, 'open', new Promise((r, f) => c.ws.once('open', r).once('error', f)));
    return c;
  }

  // One that has been told that it is connected: .welcome.
  static async connect(server, path, options) {
    const c = await JsonClient.open(server, path, options);
    [c.welcome] = await c.take(1);
    if (c.welcome.type !== 'connected') throw new Error(JSON.stringify(c.welcome));
    return c;
  }

  send(...messages) {
    for (const m of messages) this.ws.send(typeof m === 'string' || Buffer.isBuffer(m) ? m : JSON.stringify(m));
  }

  // What pick() takes out of the queue, once it finds it.
  when(what, pick) {
    const done = new Promise((r) => {
      this.wake = () => {
        const found = pick();
        if (!found) return;
        this.wake = undefined;
        r(found);
      };
      this.wake();
    });
    return within(LIMIT, what, done);
  }

  // The next n messages.
  take(n) {
    return this.when(`${n} messages`, () => this.queue.length >= n && this.queue.splice(0, n));
  }

  // The answer to a message, which may be an error; what comes before it stays in the queue.
  ask(type, members) {
    const ack = ++this.acks;
    this.send({ type, ...members, ack });
    return this.when(`the answer to ${type}`, () => {
      const at = this.queue.findIndex((m) => m.ack === ack);
      return at >= 0 && this.queue.splice(at, 1)[0];
    });
  }

  end() {
    return within(LIMIT, 'close', this.closed);
  }

  close(...args) {
    this.ws.close(...args);
    return this.end();
  }
}

export function closeAllJson() {
  for (const ws of all) ws.terminate();
  all.clear();
}
