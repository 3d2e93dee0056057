/* conversation.js - one room that we are in, or want to be in: its membership on the present
 * connection, the messages that wait for it, what is unread. */

import { Transcript } from './transcript.js';
import { isRefused } from './connection.js';
import { reason } from './format.js';

export class Conversation {
  /** connection: see connection.js. onChange(): the number of unread messages has changed.
   * onScroll(): the transcript has moved. */
  constructor(name, connection, { onChange, onScroll }) {
    this.name = name;
    this.connection = connection;
    this.onChange = onChange;
    this.member = false;
    this.queue = [];
    this.unread = 0;
    this.draft = '';
    this.transcript = new Transcript(name, {
      onRetry: (message) => this.retry(message),
      onDiscard: (message) => this.transcript.removePending(message),
      onScroll,
    });
  }

  /* ---- membership ---- */

  /** Joins, and sends what has waited for it. Answers a refusal, or null. */
  async join() {
    let reply = null;
    try {
      reply = await this.connection.request('joinRoom', this.name);
    } catch (error) {
      /* Without an answer but still connected, the server's rules do not ack: go on. */
      if (!this.connection.isOnline()) return null;
    }
    if (isRefused(reply)) return reply;
    this.member = true;
    this.flush();
    return null;
  }

  leave() {
    this.member = false;
    this.connection.request('leaveRoom', this.name).catch(() => {});
  }

  /** The connection is gone, and with it the membership. */
  suspend() {
    this.member = false;
  }

  /* ---- sending ---- */

  /* The client's own buffer would send before we have joined again, and be refused: messages
   * wait here instead. */
  send(text) {
    const message = { text, time: Date.now() };
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
    if (!this.member) return;
    this.queue.splice(0).forEach((message) => this.transmit(message));
  }

  async transmit(message) {
    const { transcript } = this;
    transcript.setState(message, 'sending');
    try {
      const reply = await this.connection.request('sendMessageToRoom', this.name, message.text);
      if (isRefused(reply)) this.fail(message, reason(reply));
      else transcript.setState(message, 'sent');
    } catch (error) {
      this.fail(message, this.connection.isOnline()
        ? 'the server did not answer' : 'the connection was lost on the way');
    }
  }

  fail(message, why) {
    if (this.transcript.pending.includes(message)) {
      this.transcript.setState(message, 'failed', why);
    }
  }

  /* ---- receiving ---- */

  /** isRead: somebody is looking at this room right now. */
  receive(message, isRead) {
    if (message.type !== 'message') {
      if (!message.mine) this.transcript.addNotice(message);
      return;
    }
    /* a rule that does not say who sent it: what we are waiting for must be ours */
    const own = (message.mine || !message.id) && this.transcript.findPending(message.text);
    const mine = message.mine || Boolean(own);
    if (own) this.transcript.removePending(own);
    if (!isRead && !mine) this.countUnread(message.time);
    this.transcript.addMessage({ ...message, mine });
  }

  countUnread(time) {
    if (this.unread === 0) this.transcript.markNew(time);
    this.unread += 1;
    this.onChange();
  }

  markRead() {
    if (this.unread === 0) return;
    this.unread = 0;
    this.onChange();
  }
}
