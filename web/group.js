/* group.js - what the members of a group write to each other; nobody else gets it, and who was away
 * gets it later. */

import { Conversation } from './conversation.js';
import { isRefused } from './connection.js';
import { readDirect, texts } from './incoming.js';

const KEY = 'group:';

export const groupKey = (name) => KEY + name;

export class Group extends Conversation {
  constructor(name, link, hooks, seen) {
    super(groupKey(name), name, `Messages in the group ${name}`, link, hooks, seen);
    this.kind = 'group';
    this.people = null; /* the members; null: not known yet */
    this.count = 0;
  }

  /** We are connected, as somebody. */
  async open() {
    this.ready = true;
    const reply = await this.link.offer('groupMembers', this.name);
    if (isRefused(reply) && reply.error === 'not_in_group') {
      this.hooks.onGone(this);
      return;
    }
    if (reply && Array.isArray(reply.users)) this.setPeople(new Set(texts(reply.users)));
    if (!this.link.isOnline()) return;
    this.resume();
    this.catchUp();
  }

  setPeople(people) {
    this.people = people;
    this.count = people.size;
    this.hooks.onChange();
  }

  /** Answers a refusal, or null. */
  async invite(user) {
    const reply = await this.ask('addToGroup', user);
    if (isRefused(reply)) return reply;
    if (Number.isSafeInteger(reply.id)) this.told({ note: 'added', whom: user }, reply);
    return null;
  }

  async leave() {
    return this.ask('leaveGroup');
  }

  async ask(event, ...args) {
    try {
      return (await this.link.request(event, this.name, ...args)) || { ok: false };
    } catch (error) {
      return { ok: false, message: 'there was no answer' };
    }
  }

  /* Of what we have done ourselves we get the acknowledgement only. */
  told(note, { id, time }) {
    const user = this.link.user();
    this.receive({ type: 'message', text: '', socket: '', name: null, client: '', mine: true, user, id, time, ...note }, true);
  }

  receive(message, isRead) {
    const { note, whom, user, mine } = message;
    super.receive(message, isRead);
    if (note === 'left' && mine) this.hooks.onGone(this, true);
    else if (this.people && note === 'added') this.setPeople(new Set(this.people).add(whom));
    else if (this.people && note === 'left') this.setPeople(new Set([...this.people].filter((name) => name !== user)));
  }

  transmitText({ text, client }) {
    return this.link.request('message', {
      conversationType: 'group', receiverId: this.name, content: text, clientId: client,
    });
  }

  fetchPage(options) {
    return this.link.offer('conversation', { type: 'group', with: this.name, ...options });
  }

  readRow(row) {
    const message = readDirect(row);
    return message && this.hooks.onRead(message);
  }
}
