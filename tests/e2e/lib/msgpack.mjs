// Clients by hand that speak as socket.io-msgpack-parser does, over either transport.
import assert from 'node:assert/strict';

import parser from 'socket.io-msgpack-parser';

import { Polling, Socket } from './eio.mjs';
import { until } from './target.mjs';

export { parser };

export const pack = (packet) => new parser.Encoder().encode(packet)[0];

// Without the keys that are undefined, of which the reference sends some.
export function unpack(bytes) {
  let packet;
  new parser.Decoder().on('decoded', (p) => (packet = p)).add(bytes);
  for (const object of [packet, packet.data])
    if (object) for (const key of Object.keys(object)) if (object[key] === undefined) delete object[key];
  return packet;
}

const event = (data, more = {}) => ({ type: 2, data, options: { compress: true }, nsp: '/', ...more });

// send() takes packets, or bytes as they are; next() gives the next packet.
class Peer {
  send(...packets) {
    return this.sendBytes(packets.map((p) => (Buffer.isBuffer(p) ? p : pack(p))));
  }

  emit(...data) {
    return this.send(event(data));
  }

  emitWithId(id, ...data) {
    return this.send(event(data, { id }));
  }

  async next() {
    return unpack(await this.nextBytes());
  }

  async join(nsp = '/', auth) {
    await this.send({ type: 0, data: auth, nsp });
    const answer = await this.next();
    assert.equal(answer.type, 0, JSON.stringify(answer));
    assert.equal(answer.nsp, nsp);
    return (this.id = answer.data.sid);
  }
}

class WebSocketPeer extends Peer {
  async open(server, query) {
    this.socket = await Socket.open(server, query);
    return this;
  }

  sendBytes(list) {
    this.socket.send(...list);
  }

  async nextBytes() {
    const message = await this.socket.next();
    if (typeof message !== 'string') return message;
    assert.equal(message[0], 'b', message); // the handshake had b64=1
    return Buffer.from(message.slice(1), 'base64');
  }

  async ends() {
    const { code } = await this.socket.close();
    assert.equal(code, 1005);
  }

  end() {
    this.socket.destroy();
  }
}

// A polling session is closed, of which the client may have been told first.
export function ended(session) {
  return until('the end of the session', async () => {
    const r = await session.get();
    return r.status === 400 && r.body.includes('Session ID unknown');
  });
}

class PollingPeer extends Peer {
  queue = [];

  async open(server) {
    this.session = await Polling.open(server);
    return this;
  }

  sendBytes(list) {
    return this.session.post(...list.map((b) => 'b' + b.toString('base64')));
  }

  async nextBytes() {
    while (!this.queue.length) this.queue = await this.session.packets(1);
    const packet = this.queue.shift();
    assert.equal(packet[0], 'b', packet);
    return Buffer.from(packet.slice(1), 'base64');
  }

  ends() {
    return ended(this.session);
  }

  end() {}
}

export const TRANSPORTS = ['websocket', 'polling'];

export async function open(server, transport = 'websocket', query = {}) {
  return (transport === 'polling' ? new PollingPeer() : new WebSocketPeer()).open(server, query);
}
