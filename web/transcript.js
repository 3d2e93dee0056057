/* transcript.js - what is seen of one conversation: its messages, notices and own messages that
 * are still on their way. Stored messages stand in the order of their ids, others in that in which
 * the server sent them; own messages wait below all of them until the server has given them their
 * place. */

import { el, button, setText, oncePerFrame } from './dom.js';
import { sameDay, personName } from './format.js';
import {
  continues, messageRow, noticeRow, dayRow, newRow, showMark, problemNote,
} from './rows.js';

const ITEMS_MAX = 500;
const SLACK = 100;
const NOTICE_GROUP_MS = 2 * 60 * 1000;
const NEAR_END_PX = 48;

const kindOf = ({ note }) => (note ? 'notice' : 'message');

/** hooks: onRetry(message), onDiscard(message), onEarlier(), onPerson(user), onScroll() */
export class Transcript {
  constructor(label, hooks) {
    this.hooks = hooks;
    this.items = []; /* { kind: message | notice, time, ... }, oldest first */
    this.known = new Map(); /* id of a stored message → its item */
    this.firstNew = null; /* the item above which "New" stands */
    this.last = null; /* the newest item that is drawn: decides how the next one is grouped */
    this.day = null;
    this.pending = []; /* own messages without a place yet, oldest first */
    this.atEnd = true;
    this.height = 0; /* of all content, when it was last looked at */
    this.unseen = 0; /* came in while the reader was further up */
    this.keepEnd = oncePerFrame(() => this.settle());
    this.build(label);
  }

  build(label) {
    this.element = el('div', 'transcript');
    this.element.tabIndex = 0;
    this.element.setAttribute('role', 'region');
    this.element.setAttribute('aria-label', label);
    this.earlier = button('earlier plain', 'Load earlier messages', () => this.hooks.onEarlier());
    this.earlier.hidden = true;
    this.blank = el('div', 'blank');
    this.entries = el('div', 'entries');
    this.entries.setAttribute('role', 'log');
    this.entries.setAttribute('aria-label', 'Messages');
    this.outbox = el('div', 'outbox');
    this.element.append(this.earlier, this.blank, this.entries, this.outbox);
    this.element.addEventListener('scroll', () => this.scrolled(), { passive: true });
    /* a keyboard or a banner comes up, the phone turns: the end stays in view */
    new ResizeObserver(this.keepEnd).observe(this.element);
  }

  /* ---- messages ---- */

  /** The newest and the oldest stored message that is here; 0: none. */
  get lastId() { return Math.max(0, ...this.known.keys()); }

  get firstId() { return this.known.size ? Math.min(...this.known.keys()) : 0; }

  has(id) { return id !== null && this.known.has(id); }

  /** Shows a message that has just come; its item. */
  addMessage(message) {
    const item = { ...message, kind: kindOf(message) };
    const at = this.place(item, true);
    this.blank.hidden = true;
    if (at === this.items.length - 1) this.draw(item);
    else this.redraw();
    if (!this.atEnd) this.unseen += 1;
    this.limit();
    return item;
  }

  /** Stored messages that were not here yet; the reader stays where they are. */
  addStored(messages) {
    const fresh = messages.filter(({ id }) => !this.has(id));
    const items = fresh.map((message) => ({ ...message, kind: kindOf(message) }));
    if (items.length === 0) return items;
    items.forEach((item) => this.place(item, false));
    this.blank.hidden = true;
    this.redraw();
    return items;
  }

  /* What has just come stands at the end, unless it is older than what is there. */
  place(item, isLive) {
    const isLast = item.id === null || (isLive && item.id > this.lastId);
    const at = isLast ? this.items.length
      : this.items.findLastIndex(({ id }) => id && id < item.id) + 1;
    if (item.id !== null) this.known.set(item.id, item);
    this.items.splice(at, 0, item);
    return at;
  }

  /** An item turns out to be stored, as that. */
  confirm(item, { id, time }) {
    Object.assign(item, { id, time });
    this.known.set(id, item);
    if (item.row) showMark(item.row.querySelector('.meta'), 'stored', time);
  }

  /** "Ann joined"; those who come within a short time share a line. */
  addNotice({ type, socket = '', name, time }) {
    const person = personName(name, socket);
    const { last } = this;
    if (last && last.kind === 'notice' && last.type === type && time - last.time < NOTICE_GROUP_MS) {
      if (!last.names.includes(person)) last.names.push(person);
      this.draw(last);
      return;
    }
    const item = { kind: 'notice', type, time, names: [person] };
    this.items.push(item);
    this.draw(item);
    this.limit();
  }

  /** Does "New" stand above it? */
  isBelowNew(item) { return this.items.indexOf(this.firstNew) <= this.items.indexOf(item); }

  /** The line above the first message that nobody has looked at. */
  markNew(item) {
    this.firstNew = item;
    this.redraw();
  }

  clearNewMark() {
    if (!this.firstNew) return;
    this.firstNew = null;
    this.redraw();
  }

  /** more: there are older messages; busy: they are on their way. */
  showEarlier({ more, busy }) {
    this.earlier.hidden = !more;
    this.earlier.disabled = busy;
    setText(this.earlier, busy ? 'Loading…' : 'Load earlier messages');
  }

  /* ---- drawing ---- */

  draw(item) {
    if (item === this.last) {
      const row = noticeRow(item);
      item.row.replaceWith(row);
      item.row = row;
      return;
    }
    if (!this.day || !sameDay(this.day, item.time)) {
      this.entries.append(dayRow(item.time));
      this.day = item.time;
      this.last = null;
    }
    if (item === this.firstNew) {
      this.entries.append(newRow());
      this.last = null;
    }
    item.row = item.kind === 'notice' ? noticeRow(item)
      : messageRow(item, !continues(this.last, item), this.hooks);
    this.entries.append(item.row);
    this.last = item;
    this.keepEnd();
  }

  /* Something came in between: all rows are made anew, without a screen reader saying them. */
  redraw() {
    const fromEnd = this.element.scrollHeight - this.element.scrollTop;
    this.entries.setAttribute('aria-live', 'off');
    this.entries.replaceChildren();
    this.day = null;
    this.last = null;
    this.items.forEach((item) => this.draw(item));
    this.height = this.element.scrollHeight;
    if (!this.atEnd) this.element.scrollTop = this.height - fromEnd;
    requestAnimationFrame(() => this.entries.removeAttribute('aria-live'));
  }

  /* A room may run for weeks: the page keeps the newest items, more for who reads further up. */
  limit() {
    const max = this.atEnd ? ITEMS_MAX : 4 * ITEMS_MAX;
    if (this.items.length <= max + SLACK) return;
    this.items.splice(0, this.items.length - max).forEach(({ id }) => this.known.delete(id));
    this.redraw();
    if (this.known.size) this.showEarlier({ more: true, busy: false });
  }

  /* ---- own messages on their way ---- */

  /** Shows a message at once; it is { text, time, client } and gets state and row here. */
  addPending(message) {
    const own = { ...message, mine: true };
    message.row = messageRow(own, !this.pending.length && !continues(this.last, own), this.hooks);
    this.pending.push(message);
    this.blank.hidden = true;
    this.outbox.append(message.row);
    this.setState(message, 'waiting');
    this.jumpToEnd();
  }

  /** state: waiting (for the connection), sending, sent (acked), failed (with why). */
  setState(message, state, why = '') {
    message.state = state;
    message.row.dataset.state = state;
    const old = message.row.querySelector('.problem');
    if (old) old.remove();
    showMark(message.row.querySelector('.meta'), state, message.time);
    if (state === 'failed') {
      message.row.querySelector('.bubble').append(problemNote(message, why, this.hooks));
    }
    this.keepEnd();
  }

  /** The own message that the server has just given its place, or undefined. */
  findPending({ client, text }) {
    return this.pending.find((m) => (client ? m.client === client
      : m.text === text && m.state !== 'waiting'));
  }

  removePending(message) {
    this.pending = this.pending.filter((m) => m !== message);
    message.row.remove();
  }

  /* ---- scrolling ---- */

  /* Rows that came in after the last settle() do not count: the end has moved then, not the
   * reader. */
  scrolled() {
    const { scrollTop, clientHeight } = this.element;
    if (!clientHeight) return; /* not shown */
    this.atEnd = this.height - scrollTop - clientHeight < NEAR_END_PX;
    if (this.atEnd) this.unseen = 0;
    this.hooks.onScroll();
  }

  settle() {
    this.height = this.element.scrollHeight;
    if (this.atEnd) this.element.scrollTop = this.height;
    this.hooks.onScroll();
  }

  jumpToEnd() {
    this.atEnd = true;
    this.unseen = 0;
    this.keepEnd();
  }
}
