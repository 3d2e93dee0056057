/* conversation.js - one room, person or group that we write with: the messages that wait to be sent,
 * those that were said before, and what is unread. room.js, person.js and group.js say how each does it. */

import { Transcript } from './transcript.js';
import { isRefused } from './connection.js';
import { readHistory } from './incoming.js';
import { reason } from './format.js';

const PAGE = 50;
const PAGES_MAX = 20; /* of what was missed, at once */

export class Conversation {
  /**
   * key: unique among all. link: { request, offer } of connection.js, isOnline(), user(): ours,
   * or ''. hooks: onChange(): the number of unread messages has changed, onSeen(key, id): all up to
   * this message was looked at, onPerson(user), onScroll(). seen: what onSeen said last, or 0.
   *
   * What is theirs to implement: transmitText(message) → the reply, fetchPage(options) → the
   * reply or null, readRow(row) → a message or null.
   */
  constructor(key, name, label, link, hooks, seen) {
    Object.assign(this, { key, name, link, hooks, seen });
    this.ready = false; /* to send */
    this.queue = [];
    this.unread = 0;
    this.draft = '';
    this.latest = null; /* the newest message that we know of */
    this.more = false; /* there are older messages than those here */
    this.synced = false; /* all that was said until now is here, or can be loaded above */
    this.syncedTo = 0; /* the last message for which that held */
    this.transcript = new Transcript(label, {
      onRetry: (message) => this.retry(message),
      onDiscard: (message) => this.transcript.removePending(message),
      onEarlier: () => this.loadEarlier(),
      onPerson: hooks.onPerson,
      onScroll: hooks.onScroll,
    });
  }

  /** The connection is gone. */
  suspend() {
    this.ready = false;
    if (this.synced) this.syncedTo = this.transcript.lastId;
    this.synced = false;
  }

  resume() {
    this.ready = true;
    this.flush();
  }

  /* ---- sending ---- */

  /* The client's own buffer would send before we are back in the room, and be refused: messages
   * wait here instead. What the client calls a message tells a second try from a second message. */
  send(text) {
    const message = { text, time: Date.now(), client: randomId() };
    this.transcript.clearNewMark();
    this.transcript.addPending(message);
    this.queue.push(message);
    this.flush();
  }

  retry(message) {
    this.transcript.setState(message, 'waiting');
    this.queue.push(message);
    this.flush();
  }

  flush() {
    if (!this.ready) return;
    this.queue.splice(0).forEach((message) => this.transmit(message));
  }

  async transmit(message) {
    const { transcript } = this;
    transcript.setState(message, 'sending');
    try {
      const reply = await this.transmitText(message);
      if (isRefused(reply)) this.fail(message, reason(reply));
      else if (reply && Number.isSafeInteger(reply.id)) this.stored(message, reply);
      else transcript.setState(message, 'sent');
    } catch (error) {
      this.fail(message, this.link.isOnline()
        ? 'the server did not answer' : 'the connection was lost on the way');
    }
  }

  fail(message, why) {
    if (this.transcript.pending.includes(message)) {
      this.transcript.setState(message, 'failed', why);
    }
  }

  /* A second try of what was stored before is told its old place: it may be here already. */
  stored(message, { id, time }) {
    const { transcript } = this;
    if (message.item && !message.item.id) transcript.confirm(message.item, { id, time });
    if (!transcript.pending.includes(message)) return;
    transcript.removePending(message);
    this.arrived({ ...message, id, time, type: 'message', user: this.link.user(), mine: true }, true);
  }

  /* ---- receiving ---- */

  /** isRead: somebody is looking at it right now. */
  receive(message, isRead) {
    const own = message.mine && this.transcript.findPending(message);
    if (own) this.transcript.removePending(own);
    const item = this.arrived(message, isRead);
    if (own) own.item = item;
  }

  arrived(message, isRead) {
    const { transcript } = this;
    if (transcript.has(message.id)) return transcript.known.get(message.id);
    const item = transcript.addMessage(message);
    this.note(message);
    if (isRead || message.mine) this.markSeen();
    else if (message.id === null || message.id > this.seen) this.countUnread([item]);
    return item;
  }

  note(message) {
    if (!this.latest || message.time >= this.latest.time) this.latest = message;
  }

  latestTime() { return this.latest ? this.latest.time : 0; }

  /* What was missed may come after what has just been said: "New" stands above the first of all. */
  countUnread(items) {
    if (items.length === 0) return;
    if (this.unread === 0 || !this.transcript.isBelowNew(items[0])) this.transcript.markNew(items[0]);
    this.unread += items.length;
    this.hooks.onChange();
  }

  markRead() {
    this.markSeen();
    if (this.unread === 0) return;
    this.unread = 0;
    this.hooks.onChange();
  }

  markSeen(id = this.transcript.lastId) {
    if (id <= this.seen) return;
    this.seen = id;
    this.hooks.onSeen(this.key, id);
  }

  /* ---- what was said before ---- */

  async page(options) {
    const reply = await this.fetchPage({ limit: PAGE, ...options });
    return readHistory(reply, (row) => this.readRow(row));
  }

  /** The newest messages; after a break in the connection all that was said in it. */
  async catchUp() {
    let after = this.syncedTo;
    for (let pages = 0; !this.synced && pages < PAGES_MAX; pages += 1) {
      const page = await this.page(after ? { after } : {});
      if (!page) return;
      this.show(page.messages, after ? this.more : page.more);
      this.synced = !after || !page.more || page.messages.length === 0;
      after = this.synced ? 0 : page.messages.at(-1).id;
    }
  }

  async loadEarlier() {
    const { transcript } = this;
    transcript.showEarlier({ more: true, busy: true });
    const page = await this.page({ before: transcript.firstId });
    if (page) this.show(page.messages, page.more, false);
    else transcript.showEarlier({ more: true, busy: false });
    transcript.element.focus();
  }

  show(messages, more, mayBeNew = true) {
    const isFirstVisit = !this.seen;
    const items = this.transcript.addStored(messages);
    if (messages.length) this.note(messages.at(-1));
    const { firstNew, lastId } = this.transcript;
    for (const item of items.filter(({ mine }) => mine)) {
      const own = this.transcript.findPending(item);
      if (own && own.state !== 'sending') this.transcript.removePending(own);
    }
    if (isFirstVisit) this.markSeen(firstNew && firstNew.id ? firstNew.id - 1 : lastId);
    else if (mayBeNew) this.countUnread(items.filter(({ id, mine }) => !mine && id > this.seen));
    this.more = more;
    this.transcript.showEarlier({ more, busy: false });
    this.hooks.onChange();
  }
}

/* crypto.randomUUID() is for https only. */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
