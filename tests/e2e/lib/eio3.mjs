// Engine.IO 3 by hand. A packet is a string, or a Buffer that stands for a binary message.
import assert from 'node:assert/strict';

import { eioPath } from './eio.mjs';
import { request } from './wire.mjs';

export const OCTETS = { 'Content-Type': 'application/octet-stream' };

// "<length>:<packet>…": JavaScript's length of a string is the protocol's.
export function text(...packets) {
  const one = (p) => (Buffer.isBuffer(p) ? `b4${p.toString('base64')}` : p);
  return packets.map((p) => `${one(p).length}:${one(p)}`).join('');
}

// <0 text, 1 binary> <digits of the length> <255> <packet> …
export function bytes(...packets) {
  const parts = packets.flatMap((p) => {
    const data = Buffer.isBuffer(p) ? Buffer.concat([Buffer.of(4), p]) : Buffer.from(p);
    return [Buffer.of(Buffer.isBuffer(p) ? 1 : 0, ...String(data.length).split('').map(Number), 255), data];
  });
  return Buffer.concat(parts);
}

export function readText(payload) {
  const packets = [];
  while (payload !== '') {
    const m = payload.match(/^(\d+):/);
    assert.ok(m, `no length: ${payload.slice(0, 50)}`);
    const end = m[0].length + Number(m[1]);
    assert.ok(end <= payload.length, 'cut off');
    const p = payload.slice(m[0].length, end);
    packets.push(p.startsWith('b4') ? Buffer.from(p.slice(2), 'base64') : p);
    payload = payload.slice(end);
  }
  return packets;
}

export function readBytes(payload) {
  const packets = [];
  while (payload.length) {
    const at = payload.indexOf(255);
    const end = at + 1 + Number([...payload.subarray(1, at)].join(''));
    assert.ok(at > 1 && end <= payload.length, 'cut off');
    const p = payload.subarray(at + 1, end);
    if (payload[0]) assert.equal(p[0], 4);
    packets.push(payload[0] ? p.subarray(1) : p.toString());
    payload = payload.subarray(end);
  }
  return packets;
}

// Each request takes a connection of its own, so that they come to all shards.
export class Polling3 {
  // Joined to "/", as every session of Engine.IO 3; the CONNECT has been taken.
  static async open(server, query = {}) {
    const session = new Polling3(server);
    const r = await request(server, { path: eioPath({ EIO: '3', ...query }) });
    assert.equal(r.status, 200, r.body);
    const [open] = readText(r.body);
    assert.equal(open[0], '0');
    session.handshake = JSON.parse(open.slice(1));
    session.sid = session.handshake.sid;
    assert.deepEqual(await session.poll(), ['40']);
    return session;
  }

  constructor(server) {
    this.server = server;
  }

  path(more) {
    return eioPath({ EIO: '3', sid: this.sid, ...more });
  }

  get(more) {
    return request(this.server, { path: this.path(more), binary: true });
  }

  // The packets of the next poll.
  async poll() {
    const r = await this.get();
    assert.equal(r.status, 200, r.body.toString());
    if (r.headers['content-type'] === OCTETS['Content-Type']) return readBytes(r.body);
    return readText(r.body.toString());
  }

  async packets(n) {
    const all = [];
    while (all.length < n) all.push(...(await this.poll()));
    return all;
  }

  raw(body, headers = { 'Content-Type': 'text/plain;charset=UTF-8' }) {
    return request(this.server, { method: 'POST', path: this.path(), headers, body });
  }

  async post(...packets) {
    const r = await this.raw(text(...packets));
    assert.deepEqual([r.status, r.body], [200, 'ok']);
  }

  async postBytes(...packets) {
    const r = await this.raw(bytes(...packets), OCTETS);
    assert.deepEqual([r.status, r.body], [200, 'ok']);
  }

  async gone() {
    const r = await this.get();
    assert.deepEqual([r.status, r.body.toString()], [400, '{"code":1,"message":"Session ID unknown"}']);
  }
}
