/* room.js - a room that we are in, or want to be in: its membership on the present connection and
 * who else is there. */

import { Conversation } from './conversation.js';
import { isRefused } from './connection.js';
import { readStored, readPresence } from './incoming.js';

const KEY = 'room:';

export const roomKey = (name) => KEY + name;

export class Room extends Conversation {
  constructor(name, link, hooks, seen) {
    super(roomKey(name), name, `Messages in ${name}`, link, hooks, seen);
    this.kind = 'room';
    this.people = null; /* users who are here; null: the server does not say */
    this.count = 0; /* of them, also of those whom it does not name */
  }

  /** Joins, catches up, and sends what has waited for it. Answers a refusal, or null. */
  async join() {
    let reply = null;
    try {
      reply = await this.link.request('joinRoom', this.name);
    } catch (error) {
      /* Without an answer but still connected, the server's rules do not ack: go on. */
      if (!this.link.isOnline()) return null;
    }
    if (isRefused(reply)) return reply;
    this.resume();
    this.catchUp();
    this.lookAround();
    return null;
  }

  leave() {
    this.ready = false;
    this.link.request('leaveRoom', this.name).catch(() => {});
  }

  async lookAround() {
    const here = readPresence(await this.link.offer('presence', this.name));
    this.people = here && new Set(here.users);
    this.count = here ? here.count : 0;
    this.hooks.onChange();
  }

  /** Somebody came or went. */
  changePeople({ joined, left, count }) {
    if (!this.people) this.people = new Set();
    this.tellPeople('join', joined.filter((user) => !this.people.has(user)));
    this.tellPeople('leave', left.filter((user) => this.people.has(user)));
    joined.forEach((user) => this.people.add(user));
    left.forEach((user) => this.people.delete(user));
    this.count = count;
    this.hooks.onChange();
  }

  tellPeople(type, users) {
    users.filter((user) => user !== this.link.user())
      .forEach((name) => this.transcript.addNotice({ type, name, time: Date.now() }));
  }

  receive(message, isRead) {
    if (!this.ready) this.resume(); /* only who is in the room gets it, acks or not */
    if (message.type === 'message') {
      /* a rule that does not say who sent it: what we are waiting for must be ours */
      const isOurs = !message.socket && message.user === null
        && this.transcript.findPending(message);
      super.receive({ ...message, mine: message.mine || Boolean(isOurs) }, isRead);
    } else if (!message.mine && !(message.user && this.people)) {
      this.transcript.addNotice({ ...message, name: message.user || message.name });
    }
  }

  /* What a guest calls a message says nothing: another guest may call theirs the same. */
  transmitText({ text, client }) {
    const names = this.link.user() ? [client] : [];
    return this.link.request('sendMessageToRoom', this.name, text, ...names);
  }

  fetchPage(options) {
    return this.link.offer('history', this.name, options);
  }

  readRow(row) {
    const message = readStored(row, this.name);
    return message && this.hooks.onRead(message);
  }
}
