/* person.js - what two people write to each other; nobody else gets it. */

import { Conversation } from './conversation.js';
import { readDirect } from './incoming.js';

const KEY = 'person:';

export const personKey = (user) => KEY + user;

export class Person extends Conversation {
  constructor(user, link, hooks, seen) {
    super(personKey(user), user, `Messages with ${user}`, link, hooks, seen);
    this.kind = 'person';
  }

  /** We are connected, as somebody. */
  open() {
    this.resume();
    this.catchUp();
  }

  transmitText({ text, client }) {
    const { name } = this;
    return this.link.request('message', {
      conversationType: 'private', receiverId: name, content: text, clientId: client,
    });
  }

  fetchPage(options) {
    return this.link.offer('conversation', { type: 'private', with: this.name, ...options });
  }

  readRow(row) {
    const message = readDirect(row);
    return message && this.hooks.onRead(message);
  }
}
