// Very many Engine.IO sessions at once, as bytes and cheaply: for races, which need thousands.
//
// Answers are texts, "200 ok" or '400 {"code":1,…}'; "0" is a connection that ended without one.
// Requests go over a pool of keep-alive connections, so that those of one session reach all shards.
import { connect } from 'node:net';

import { eioPath } from './eio.mjs';
import { slow } from './target.mjs';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const POOLED = 96;

// A TCP connection that is read as HTTP answers, then as WebSocket frames.
class Link {
  constructor(port) {
    this.text = '';
    this.open = true;
    this.frames = false;
    this.queue = [];
    this.waiting = [];
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.setEncoding('latin1').on('data', (d) => {
      this.text += d;
      this.pump();
    });
    const end = () => {
      this.open = false;
      this.pump();
    };
    this.socket.on('end', end).on('close', end).on('error', end);
  }

  pump() {
    for (;;) {
      const found = this.frames ? this.frame() : this.answer();
      if (found === undefined) break;
      this.queue.push(found);
    }
    while (this.waiting.length && this.queue.length) this.waiting.shift()(this.queue.shift());
    if (!this.open) for (const w of this.waiting.splice(0)) w(this.frames ? 'end' : '0');
  }

  answer() {
    const end = this.text.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const head = this.text.slice(0, end);
    const status = head.slice(9, 12);
    if (status === '101') {
      this.frames = true;
      this.text = this.text.slice(end + 4);
      return status;
    }
    let body = '';
    let at = end + 4;
    const chunked = /\r\ntransfer-encoding: *chunked/i.test(head); // by the reference
    for (let more = true; more; more = chunked) {
      const length = chunked
        ? parseInt(this.text.slice(at), 16)
        : Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (chunked) at = this.text.indexOf('\r\n', at) + 2;
      if (at === 1 || this.text.length < at + length + (chunked ? 2 : 0)) return undefined;
      body += this.text.slice(at, at + length);
      at += length + (chunked ? 2 : 0);
      if (length === 0) break;
    }
    this.text = this.text.slice(at);
    if (/\r\nconnection: *close/i.test(head)) this.open = false;
    return `${status} ${body}`;
  }

  // The text of a message; "close" and its code.
  frame() {
    const t = this.text;
    if (t.length < 2) return undefined;
    let n = t.charCodeAt(1);
    let at = 2;
    if (n === 126) {
      if (t.length < 4) return undefined;
      n = (t.charCodeAt(2) << 8) | t.charCodeAt(3);
      at = 4;
    }
    if (t.length < at + n) return undefined;
    const data = t.slice(at, at + n);
    const opcode = t.charCodeAt(0) & 15;
    this.text = t.slice(at + n);
    return opcode === 8 ? `close ${n ? (data.charCodeAt(0) << 8) | data.charCodeAt(1) : 1005}` : data;
  }

  next() {
    if (this.queue.length) return Promise.resolve(this.queue.shift());
    if (!this.open) return Promise.resolve(this.frames ? 'end' : '0');
    return new Promise((done) => this.waiting.push(done));
  }

  write(text) {
    if (this.open) this.socket.write(text, 'latin1');
  }

  // Text messages, in one write.
  send(...messages) {
    this.write(
      messages
        .map((m) => {
          const n = m.length;
          const head = n < 126 ? String.fromCharCode(0x81, 0x80 | n) : String.fromCharCode(0x81, 0xfe, n >> 8, n & 255);
          return `${head}\0\0\0\0${m}`;
        })
        .join(''),
    );
  }

  destroy() {
    this.open = false;
    this.socket.destroy();
  }
}

export class Swarm {
  constructor(server) {
    this.port = server.port;
    this.idle = [];
    this.links = new Set();
  }

  link() {
    const link = new Link(this.port);
    this.links.add(link);
    link.socket.on('close', () => this.links.delete(link));
    return link;
  }

  // Some idle connection; a new one now and then.
  take() {
    while (this.idle.length) {
      const at = Math.floor(Math.random() * this.idle.length);
      const link = this.idle[at];
      this.idle[at] = this.idle[this.idle.length - 1];
      this.idle.pop();
      if (link.open) return link;
    }
    return this.link();
  }

  give(link) {
    if (!link.open) return;
    if (this.idle.length < POOLED && Math.random() < 0.98) this.idle.push(link);
    else link.destroy();
  }

  // The answer; .abort() cuts the connection. later: what to wait for between head and body.
  request(method, path, body = '', later) {
    const link = this.take();
    const head = method === 'GET' ? '' : `Content-Length: ${body.length}\r\n`;
    link.write(`${method} ${path} HTTP/1.1\r\nHost: x\r\n${head}\r\n${later ? '' : body}`);
    later?.().then(() => link.write(body));
    let over = false; // then the connection is somebody else's
    const answer = link.next().then((text) => {
      over = true;
      this.give(link);
      return text;
    });
    answer.abort = () => {
      if (over) return;
      if (link.socket.connecting) link.socket.once('connect', () => link.destroy());
      else link.destroy();
    };
    return answer;
  }

  // A WebSocket; .refused is the answer if it was no 101.
  async socket(path) {
    const link = this.link();
    link.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n\r\n`,
    );
    const answer = await link.next();
    if (answer !== '101') link.refused = answer;
    return link;
  }

  // A session that began as a WebSocket, in the namespace /.
  async talker() {
    const ws = await this.socket(eioPath({ transport: 'websocket' }));
    await ws.next();
    ws.send('40');
    await ws.next();
    return ws;
  }

  destroy() {
    for (const link of this.links) link.destroy();
  }
}

// A session that begins with polling.
export class Session {
  static async open(swarm, namespace = true) {
    const s = new Session();
    s.swarm = swarm;
    const answer = await swarm.request('GET', eioPath());
    s.sid = /^200 0\{"sid":"([\w-]{20})"/.exec(answer)?.[1];
    if (!s.sid) throw new Error(`no session: ${answer}`);
    s.path = eioPath({ sid: s.sid });
    if (namespace) {
      same(await s.post('40'), '200 ok', 'CONNECT');
      const seen = [];
      while (!seen.some((packet) => packet.startsWith('40{"sid":"'))) {
        const answer = await s.get();
        if (!answer.startsWith('200 ')) throw new Error(`no namespace: ${answer}`);
        seen.push(...answer.slice(4).split('\x1e'));
      }
      if (seen.includes('2')) same(await s.post('3'), '200 ok', 'pong'); // it took so long
    }
    return s;
  }

  get() {
    return this.swarm.request('GET', this.path);
  }

  post(body, later) {
    return this.swarm.request('POST', this.path, body, later);
  }

  // A WebSocket for the upgrade.
  probe() {
    return this.swarm.socket(eioPath({ transport: 'websocket', sid: this.sid }));
  }

  // A WebSocket that has been answered 3probe.
  async probed() {
    const ws = await this.probe();
    if (ws.refused) throw new Error(`no upgrade: ${ws.refused}`);
    ws.send('2probe');
    same(await ws.next(), '3probe', 'probe');
    return ws;
  }

  async gone() {
    same(await this.get(), UNKNOWN, 'a session that has ended');
  }

  async end() {
    same(await this.post('1'), '200 ok', 'the end');
    await this.gone();
  }
}

export const UNKNOWN = '400 {"code":1,"message":"Session ID unknown"}';
export const BAD = '400 {"code":3,"message":"Bad request"}';

export function same(value, wanted, what = 'answer') {
  if (value !== wanted) throw new Error(`${what}: ${JSON.stringify(value)}, wanted ${JSON.stringify(wanted)}`);
}

export function oneOf(value, wanted, what = 'answer') {
  if (!wanted.includes(value)) throw new Error(`${what}: ${JSON.stringify(value)}, wanted one of ${JSON.stringify(wanted)}`);
}

// body(i) for i = 0 … times - 1, so many at once; the first fault ends it.
export async function inParallel(times, atOnce, body) {
  let next = 0;
  let failed = false;
  const worker = async () => {
    while (next < times && !failed) {
      const i = next++;
      let timer;
      const late = new Promise((_, fail) => {
        timer = setTimeout(() => fail(new Error('it hangs')), 15_000 * slow);
      });
      try {
        await Promise.race([body(i), late]);
      } catch (e) {
        failed = true;
        e.message = `number ${i}: ${e.message}`;
        throw e;
      } finally {
        clearTimeout(timer);
      }
    }
  };
  await Promise.all([...Array(Math.min(atOnce, times))].map(worker));
}
