// Bytes on a TCP connection: what fetch and the ws package are too polite to send.
import { createHash, randomBytes } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';

import { within } from './target.mjs';

// Where a server is: at a TCP port of this machine, or by socketPath at a Unix socket.
const place = ({ socketPath, host = '127.0.0.1', port }) => (socketPath ? { socketPath } : { host, port });

// One request on a connection of its own (so that it may reach any shard).
// Resolves to { status, headers, body }; body is text unless binary is set.
// .abort() closes the connection, .sent resolves when the request has been written.
export function request(server, { method = 'GET', path = '/', headers = {}, body, binary } = {}) {
  let req;
  const answer = new Promise((done, fail) => {
    req = httpRequest({ ...place(server), method, path, headers, agent: false });
    req.on('error', fail);
    req.on('response', (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('error', fail);
      res.on('end', () => {
        const all = Buffer.concat(parts);
        const text = binary ? all : all.toString();
        done({ status: res.statusCode, reason: res.statusMessage, headers: res.headers, body: text });
      });
    });
    req.end(body);
  });
  answer.catch(() => {});
  const bounded = within(20_000, `${method} ${path}`, answer);
  bounded.catch(() => {});
  bounded.abort = () => req.destroy();
  bounded.sent = new Promise((r) => req.once('finish', r));
  return bounded;
}

// A TCP connection that is read as HTTP/1.1 responses, or as bytes.
export class Wire {
  static async open(server) {
    const { socketPath: path, ...tcp } = place(server);
    const wire = new Wire(connect({ ...(path ? { path } : tcp), noDelay: true }));
    await within(
      5000,
      'TCP connect',
      new Promise((done, fail) => {
        wire.socket.once('connect', done).once('error', fail);
      }),
    );
    return wire;
  }

  constructor(socket) {
    this.socket = socket;
    this.store = Buffer.alloc(0); // what has been read, with room behind it
    this.from = this.to = 0;
    this.ended = false; // the peer has sent FIN or RST
    this.waiting = new Set();
    const wake = () => {
      for (const w of this.waiting) w();
    };
    socket.on('data', (d) => {
      this.append(d);
      wake();
    });
    const end = () => {
      this.ended = true;
      wake();
    };
    socket.on('end', end).on('close', end).on('error', end);
  }

  write(data) {
    return new Promise((done) => this.socket.write(data, done));
  }

  // Writes one byte at a time, each in a turn of its own.
  async trickle(data) {
    for (const byte of Buffer.from(data)) {
      await this.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
  }

  destroy() {
    this.socket.destroy();
  }

  // Waits until parse() returns something; parse gets (data, ended).
  async take(what, parse, ms = 20_000) {
    let wake;
    const result = new Promise((done, fail) => {
      wake = () => {
        try {
          const found = parse(this.data, this.ended);
          if (found !== undefined) done(found);
          else if (this.ended)
            fail(new Error(`connection closed: ${what}; had ${this.data.toString('latin1', 0, 300)}`));
        } catch (e) {
          fail(e);
        }
      };
      this.waiting.add(wake);
      wake();
    });
    try {
      return await within(ms, what, result);
    } finally {
      this.waiting.delete(wake);
    }
  }

  // What has been read and not yet consumed.
  get data() {
    return this.store.subarray(this.from, this.to);
  }

  append(d) {
    if (this.to + d.length > this.store.length) {
      const rest = this.data;
      this.store = Buffer.allocUnsafe(2 * (rest.length + d.length));
      rest.copy(this.store);
      this.from = 0;
      this.to = rest.length;
    }
    d.copy(this.store, this.to);
    this.to += d.length;
  }

  consume(n) {
    const head = this.data.subarray(0, n);
    this.from += head.length;
    return head;
  }

  // Resolves when the peer has closed; fails when it has not in time.
  closed(ms = 20_000) {
    return this.take('the peer to close', (_, ended) => (ended ? true : undefined), ms);
  }

  // The next response: { status, reason, headers, body }. head: it answers a HEAD request.
  response({ head = false, ms } = {}) {
    return this.take(
      'an HTTP response',
      (data, ended) => {
        const r = parseResponse(data, ended, head);
        if (r) this.consume(r.size);
        return r;
      },
      ms,
    );
  }
}

function parseResponse(data, ended, headOnly) {
  const end = data.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first, ...lines] = data.toString('latin1', 0, end).split('\r\n');
  const m = first.match(/^HTTP\/1\.1 (\d{3}) (.*)$/);
  if (!m) throw new Error(`no status line: ${first}`);
  const headers = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  const status = Number(m[1]);
  const bodyless = headOnly || status < 200 || status === 204 || status === 304;
  let length = bodyless ? 0 : headers['content-length'];
  let body;
  let size = end + 4;
  if (!bodyless && headers['transfer-encoding'] === 'chunked') {
    const parts = [];
    for (;;) {
      const eol = data.indexOf('\r\n', size);
      if (eol < 0) return undefined;
      const n = parseInt(data.toString('latin1', size, eol), 16);
      if (data.length < eol + 2 + n + 2) return undefined;
      parts.push(data.subarray(eol + 2, eol + 2 + n));
      size = eol + 2 + n + 2;
      if (n === 0) break;
    }
    body = Buffer.concat(parts).toString();
  } else {
    if (length === undefined) {
      if (!ended) return undefined;
      length = data.length - size;
    }
    if (data.length < size + Number(length)) return undefined;
    body = data.toString('utf8', size, size + Number(length));
    size += Number(length);
  }
  return { status, reason: m[2], headers, body, size };
}

export const CONT = 0;
export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

// A client frame, masked unless told otherwise, with any flaw one likes.
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = true, wide = false, length } = {}) {
  const data = Buffer.from(payload);
  const n = length ?? data.length;
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | opcode];
  const m = mask ? 0x80 : 0;
  if (n < 126 && !wide) head.push(m | n);
  else if (n < 65536 && wide !== 8) head.push(m | 126, n >> 8, n & 255);
  else {
    const big = Buffer.alloc(8);
    big.writeBigUInt64BE(BigInt(n));
    head.push(m | 127, ...big);
  }
  if (!mask) return Buffer.concat([Buffer.from(head), data]);
  const key = randomBytes(4);
  const masked = Buffer.from(data.map((b, i) => b ^ key[i & 3]));
  return Buffer.concat([Buffer.from(head), key, masked]);
}

export function closePayload(code, reason = '') {
  const b = Buffer.alloc(2);
  b.writeUInt16BE(code);
  return Buffer.concat([b, Buffer.from(reason)]);
}

// A WebSocket of raw frames.
export class RawWs {
  static handshake(path, { key = randomBytes(16).toString('base64'), headers = {} } = {}) {
    const all = {
      Host: '127.0.0.1',
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': key,
      ...headers,
    };
    const lines = Object.entries(all)
      .filter(([, v]) => v !== null)
      .map(([k, v]) => `${k}: ${v}\r\n`);
    return { key, text: `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n` };
  }

  static async open(server, path, options = {}) {
    const ws = new RawWs();
    ws.wire = await Wire.open(server);
    const { key, text } = RawWs.handshake(path, options);
    await ws.wire.write(options.pipelined ? Buffer.concat([Buffer.from(text), options.pipelined]) : text);
    ws.answer = await ws.wire.response();
    if (ws.answer.status !== 101) throw new Error(`upgrade refused: ${ws.answer.status} ${ws.answer.body}`);
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    if (ws.answer.headers['sec-websocket-accept'] !== accept) throw new Error('wrong Sec-WebSocket-Accept');
    return ws;
  }

  send(...args) {
    return this.wire.write(frame(...args));
  }

  // The next frame of the server: { opcode, fin, rsv, data }.
  frame(ms) {
    return this.wire.take(
      'a WebSocket frame',
      (data) => {
        if (data.length < 2) return undefined;
        if (data[1] & 0x80) throw new Error('the server masked a frame');
        let n = data[1] & 127;
        let at = 2;
        if (n === 126) {
          if (data.length < 4) return undefined;
          n = data.readUInt16BE(2);
          at = 4;
        } else if (n === 127) {
          if (data.length < 10) return undefined;
          n = Number(data.readBigUInt64BE(2));
          at = 10;
        }
        if (data.length < at + n) return undefined;
        const f = { opcode: data[0] & 15, fin: !!(data[0] & 0x80), rsv: (data[0] >> 4) & 7 };
        f.data = Buffer.from(data.subarray(at, at + n));
        this.wire.consume(at + n);
        return f;
      },
      ms,
    );
  }

  // Expects text frames only until the close frame; its code (1005: none was given).
  async closeCode(ms) {
    for (;;) {
      const f = await this.frame(ms);
      if (f.opcode === CLOSE) return f.data.length ? f.data.readUInt16BE(0) : 1005;
    }
  }

  destroy() {
    this.wire.destroy();
  }
}
