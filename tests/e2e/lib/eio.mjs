// Engine.IO v4 by hand: a polling session of single requests, and a WebSocket with a queue.
import assert from 'node:assert/strict';

import WebSocket from 'ws';

import { within } from './target.mjs';
import { request } from './wire.mjs';

export const RS = '\x1e';

export function eioPath({ transport = 'polling', sid, path = '/socket.io/', EIO = '4', ...more } = {}) {
  const query = new URLSearchParams();
  if (EIO !== null) query.set('EIO', EIO);
  if (transport !== null) query.set('transport', transport);
  if (sid !== undefined) query.set('sid', sid);
  for (const [k, v] of Object.entries(more)) query.set(k, v);
  return `${path}?${query}`;
}

// Each request takes a connection of its own.
export class Polling {
  // namespace: also join it (by default none).
  static async open(server, { namespace, auth } = {}) {
    const session = new Polling(server);
    const r = await request(server, { path: eioPath() });
    assert.equal(r.status, 200, r.body);
    assert.equal(r.body[0], '0');
    session.handshake = JSON.parse(r.body.slice(1));
    session.sid = session.handshake.sid;
    if (namespace) await session.join(namespace, auth);
    return session;
  }

  constructor(server) {
    this.server = server;
  }

  path(more) {
    return eioPath({ sid: this.sid, ...more });
  }

  get() {
    return request(this.server, { path: this.path() });
  }

  // The packets of the next poll.
  async poll() {
    const r = await this.get();
    assert.equal(r.status, 200, r.body);
    return r.body.split(RS);
  }

  // Polls until n packets (pings left out) have come.
  async packets(n) {
    const all = [];
    while (all.length < n) all.push(...(await this.poll()).filter((p) => p !== '2'));
    return all;
  }

  raw(body, headers = { 'Content-Type': 'text/plain;charset=UTF-8' }) {
    return request(this.server, { method: 'POST', path: this.path(), headers, body });
  }

  async post(...packets) {
    const r = await this.raw(packets.join(RS));
    assert.equal(r.status, 200, r.body);
    assert.equal(r.body, 'ok');
  }

  async join(namespace = '/', auth) {
    const nsp = namespace === '/' ? '' : `${namespace},`;
    await this.post(`40${nsp}${auth ? JSON.stringify(auth) : ''}`);
    const [answer] = await this.packets(1);
    assert.match(answer, /^40/);
    this.id = JSON.parse(answer.slice(2 + nsp.length)).sid;
    return this.id;
  }

  // Fails unless the server has forgotten the session.
  async gone() {
    const r = await this.get();
    assert.deepEqual([r.status, r.body], [400, '{"code":1,"message":"Session ID unknown"}']);
  }
}

// A WebSocket whose messages are awaited one by one: strings, or Buffers for binary frames.
export class Socket {
  static async open(server, { namespace, auth, ...query } = {}) {
    const socket = new Socket(server, eioPath({ transport: 'websocket', ...query }));
    await socket.opened;
    if (query.sid === undefined) {
      const first = await socket.next();
      assert.equal(first[0], '0');
      socket.handshake = JSON.parse(first.slice(1));
      socket.sid = socket.handshake.sid;
    }
    if (namespace) await socket.join(namespace, auth);
    return socket;
  }

  constructor(server, path, options) {
    this.ws = new WebSocket(`ws://127.0.0.1:${server.port}${path}`, options);
    this.queue = [];
    this.waiting = [];
    this.ws.on('message', (data, binary) => {
      const message = binary ? data : data.toString();
      if (message === '2' && this.pong !== false) {
        this.ws.send('3'); // heartbeats are answered and kept out of the queue
        return;
      }
      this.queue.push(message);
      this._serve();
    });
    this.opened = within(
      20_000,
      'WebSocket open',
      new Promise((done, fail) => {
        this.ws.on('open', done).on('error', fail);
      }),
    );
    this.opened.catch(() => {});
    // { code, reason } of the close frame
    this.closed = new Promise((done) => {
      this.ws.on('close', (code, reason) => {
        this.isClosed = true;
        done({ code, reason: reason.toString() });
        this._serve();
      });
    });
  }

  _serve() {
    while (this.waiting.length && this.queue.length) this.waiting.shift().done(this.queue.shift());
    if (this.isClosed) for (const w of this.waiting.splice(0)) w.fail(new Error('closed by the server'));
  }

  async next(ms = 20_000) {
    let waiter;
    const value = new Promise((done, fail) => this.waiting.push((waiter = { done, fail })));
    this._serve();
    try {
      return await within(ms, 'a WebSocket message', value);
    } finally {
      this.waiting = this.waiting.filter((w) => w !== waiter); // a late message is for the next one
    }
  }

  async take(n) {
    const all = [];
    while (all.length < n) all.push(await this.next());
    return all;
  }

  send(...messages) {
    for (const m of messages) this.ws.send(m);
  }

  async join(namespace = '/', auth) {
    const nsp = namespace === '/' ? '' : `${namespace},`;
    this.send(`40${nsp}${auth ? JSON.stringify(auth) : ''}`);
    const answer = await this.next();
    assert.match(answer, /^40/);
    this.id = JSON.parse(answer.slice(2 + nsp.length)).sid;
    return this.id;
  }

  close(ms = 8_000) {
    return within(ms, 'WebSocket close', this.closed);
  }

  destroy() {
    this.ws.on('error', () => {});
    this.ws.terminate();
  }
}
