/* transcript.js - what is seen of one room: its messages, notices and own messages that are
 * still on their way. Entries stand in the order in which the server sent them; own messages
 * wait below all of them until the server has given them their place. */

import { el, icon, button, bdi, oncePerFrame } from './dom.js';
import {
  clock, fullTime, sameDay, dayLabel, nameList, personName, paintAvatar, hue,
} from './format.js';

const ENTRIES_MAX = 500;
const TEXT_MAX = 8000;
const GROUP_MS = 5 * 60 * 1000;
const NOTICE_GROUP_MS = 2 * 60 * 1000;
const NEAR_END_PX = 48;
const LINK = /\bhttps?:\/\/[^\s<>"]*[^\s<>"'.,;:!?()[\]{}]/g;

const NOTICE_VERBS = { join: 'joined', leave: 'left' };

/** hooks: onRetry(message), onDiscard(message), onScroll() */
export class Transcript {
  constructor(room, hooks) {
    this.room = room;
    this.hooks = hooks;
    this.last = null; /* the newest entry: decides how the next one is grouped */
    this.pending = []; /* own messages without a place yet, oldest first */
    this.atEnd = true;
    this.height = 0; /* of all content, when it was last looked at */
    this.unseen = 0; /* came in while the reader was further up */
    this.keepEnd = oncePerFrame(() => this.settle());
    this.build();
  }

  build() {
    this.element = el('div', 'transcript');
    this.element.tabIndex = 0;
    this.element.setAttribute('role', 'region');
    this.element.setAttribute('aria-label', `Messages in ${this.room}`);
    this.blank = el('div', 'blank');
    this.entries = el('div', 'entries');
    this.entries.setAttribute('role', 'log');
    this.entries.setAttribute('aria-label', 'Messages');
    this.outbox = el('div', 'outbox');
    this.element.append(this.blank, this.entries, this.outbox);
    this.element.addEventListener('scroll', () => this.scrolled(), { passive: true });
    /* a keyboard or a banner comes up, the phone turns: the end stays in view */
    new ResizeObserver(this.keepEnd).observe(this.element);
  }

  /* ---- what others see ---- */

  addMessage(message) {
    this.separateDay(message.time);
    const row = messageRow(message, !continues(this.last, message));
    if (message.mine) showMark(row.querySelector('.meta'), 'sent');
    this.blank.hidden = true;
    this.append(row);
    if (!this.atEnd) this.unseen += 1;
    this.last = { ...message, kind: 'message' };
  }

  /** "Ada joined"; those who come within a short time share a line. */
  addNotice({ type, id, name, time }) {
    const person = personName(name, id);
    this.separateDay(time);
    if (this.extendNotice(type, person, time)) return;
    const row = el('p', 'notice');
    this.last = { kind: 'notice', type, time, row, names: [person] };
    writeNotice(this.last);
    this.append(row);
  }

  extendNotice(type, person, time) {
    const { last } = this;
    if (!last || last.kind !== 'notice' || last.type !== type) return false;
    if (time - last.time > NOTICE_GROUP_MS) return false;
    if (!last.names.includes(person)) last.names.push(person);
    writeNotice(last);
    return true;
  }

  /** A line of the page itself. */
  addRemark(text) {
    this.append(el('p', 'notice', text));
    this.last = null;
  }

  separateDay(time) {
    if (this.day !== undefined && sameDay(this.day, time)) return;
    this.day = time;
    this.append(dayRow(time));
    this.last = null;
  }

  /** The line above the first message that nobody has looked at; it comes with `time`. */
  markNew(time) {
    this.separateDay(time);
    this.clearNewMark();
    this.newMark = el('p', 'divider new', 'New');
    this.append(this.newMark);
    this.last = null;
  }

  clearNewMark() {
    if (this.newMark) this.newMark.remove();
    this.newMark = null;
  }

  append(row) {
    this.entries.append(row);
    if (this.entries.childElementCount > 2 * ENTRIES_MAX) this.trim(); /* no frames, no settle() */
    this.keepEnd();
  }

  /* A room may run for weeks: the page keeps the newest entries only. */
  trim() {
    while (this.entries.childElementCount > ENTRIES_MAX) {
      this.entries.firstElementChild.remove();
      this.trimmed = true;
    }
    const { firstElementChild: oldest } = this.entries;
    if (this.trimmed && oldest.classList.contains('message')) oldest.classList.add('first');
  }

  /* ---- own messages on their way ---- */

  /** Shows a message at once; it is { text, time } and gets state, row and slots here. */
  addPending(message) {
    message.row = messageRow({ ...message, mine: true }, this.pending.length === 0
      && !continues(this.last, { ...message, mine: true }));
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
    showMark(message.row.querySelector('.meta'), state);
    if (state === 'failed') message.row.querySelector('.bubble').append(this.problem(message, why));
    this.keepEnd();
  }

  problem(message, why) {
    const note = el('span', 'problem');
    note.setAttribute('role', 'alert');
    note.append(el('span', '', `Not sent: ${why}.`),
      button('link', 'Send again', () => this.hooks.onRetry(message)),
      button('link', 'Discard', () => this.hooks.onDiscard(message)));
    return note;
  }

  /** The own message that the server has just given its place, or undefined. */
  findPending(text) {
    return this.pending.find((m) => m.text === text && m.state !== 'waiting');
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
    this.trim();
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

/* ---- rows ---- */

function continues(last, message) {
  if (!last || last.kind !== 'message') return false;
  if (message.time - last.time > GROUP_MS) return false;
  if (last.mine || message.mine) return Boolean(last.mine && message.mine);
  return last.id === message.id && last.name === message.name;
}

function messageRow(message, first) {
  const { mine, id, name, text, time } = message;
  const row = el('article', `message ${mine ? 'mine' : 'theirs'}${first ? ' first' : ''}`);
  const person = mine ? 'You' : personName(name, id);
  if (!mine) row.append(avatar(person));
  const bubble = el('div', 'bubble');
  const author = bdi(person, 'author');
  author.style.setProperty('--hue', hue(person));
  if (id) author.title = `Connection ${id}`;
  bubble.append(author, textNode(text), meta(time));
  row.append(bubble);
  return row;
}

function avatar(person) {
  const node = el('span', 'avatar');
  node.setAttribute('aria-hidden', 'true');
  paintAvatar(node, person);
  return node;
}

function meta(time) {
  const node = el('span', 'meta');
  const stamp = el('time', '', clock(time));
  stamp.dateTime = new Date(time).toISOString();
  stamp.title = fullTime(time);
  node.append(stamp);
  return node;
}

const MARKS = {
  waiting: ['clock', 'Waiting for the connection'],
  sending: ['clock', 'Sending'],
  sent: ['check', 'Sent'],
  failed: ['alert', 'Not sent'],
};

function showMark(node, state) {
  const [symbol, label] = MARKS[state];
  const old = node.querySelector('.mark');
  if (old) old.remove();
  const mark = el('span', 'mark');
  mark.title = label;
  mark.append(icon(symbol), el('span', 'visually-hidden', label));
  node.append(mark);
}

/** Text stays text; only addresses become links, and those are made from text as well. */
function textNode(text) {
  const shown = text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
  const node = el('span', 'text');
  node.dir = 'auto';
  let end = 0;
  for (const match of shown.matchAll(LINK)) {
    node.append(shown.slice(end, match.index), link(match[0]));
    end = match.index + match[0].length;
  }
  node.append(shown.slice(end));
  return node;
}

function link(address) {
  const node = el('a', '', address);
  node.href = address;
  node.target = '_blank';
  node.rel = 'noopener noreferrer nofollow';
  return node;
}

function dayRow(time) {
  const row = el('p', 'divider');
  const stamp = el('time', '', dayLabel(time));
  stamp.dateTime = new Date(time).toISOString().slice(0, 10);
  row.append(stamp);
  return row;
}

function writeNotice({ row, names, type, time }) {
  row.textContent = `${nameList(names)} ${NOTICE_VERBS[type]}`;
  row.title = fullTime(time);
}
