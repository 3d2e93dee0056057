/* rows.js - the rows of a transcript: messages, notices and the lines between them; and what stands
 * there before anything was said. */

import { el, icon, button, bdi } from './dom.js';
import {
  clock, fullTime, dayLabel, nameList, personName, paintAvatar, hue,
} from './format.js';

const TEXT_MAX = 8000;
const GROUP_MS = 5 * 60 * 1000;
const LINK = /\bhttps?:\/\/[^\s<>"]*[^\s<>"'.,;:!?()[\]{}]/g;

const NOTICE_VERBS = { join: 'joined', leave: 'left' };

/** Who said it, as it is shown: a user by their id, a guest by the name they go by. */
export const author = ({ user, name, socket }) => user || personName(name, socket);

/** Does it belong to the same bubble as the item above? */
export function continues(last, message) {
  if (!last || last.kind !== 'message') return false;
  if (message.time - last.time > GROUP_MS) return false;
  if (last.mine || message.mine) return Boolean(last.mine && message.mine);
  return last.user === message.user && author(last) === author(message)
    && (Boolean(message.user) || last.socket === message.socket);
}

/** hooks.onPerson(user): their name was chosen. */
export function messageRow(message, first, hooks) {
  const { mine, id, text, time } = message;
  const row = el('article', `message ${mine ? 'mine' : 'theirs'}${first ? ' first' : ''}`);
  const person = mine ? 'You' : author(message);
  if (!mine) row.append(avatar(person));
  const bubble = el('div', 'bubble');
  bubble.append(authorNode(message, person, hooks), textNode(text), meta(time));
  row.append(bubble);
  if (mine) showMark(row.querySelector('.meta'), id ? 'stored' : 'sent', time);
  return row;
}

function authorNode({ mine, user, isGuest }, person, { onPerson }) {
  const canWrite = user && !mine && onPerson;
  const node = canWrite ? button('author', '', () => onPerson(user)) : el('span', 'author');
  node.append(bdi(person));
  node.style.setProperty('--hue', hue(person));
  if (canWrite) node.title = `Write to ${person}`;
  if (isGuest && !mine) node.append(el('span', 'tag', 'guest'));
  return node;
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
  stored: ['stored', 'Stored'],
  failed: ['alert', 'Not sent'],
};

/** How far an own message has come; time: when it was stored. */
export function showMark(node, state, time) {
  const [symbol, label] = MARKS[state];
  const old = node.querySelector('.mark');
  if (old) old.remove();
  const mark = el('span', 'mark');
  mark.dataset.mark = state;
  mark.title = state === 'stored' ? `${label}, ${fullTime(time)}` : label;
  mark.append(icon(symbol), el('span', 'visually-hidden', label));
  node.append(mark);
}

/** Why a message was not sent, and what one can do about it. */
export function problemNote(message, why, { onRetry, onDiscard }) {
  const note = el('span', 'problem');
  note.setAttribute('role', 'alert');
  note.append(el('span', '', `Not sent: ${why}.`),
    button('link', 'Send again', () => onRetry(message)),
    button('link', 'Discard', () => onDiscard(message)));
  return note;
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

/** What has happened to a group. */
export function noteText({ note, whom, user, mine }) {
  const who = mine ? 'You' : user;
  if (note === 'added') return `${who} added ${whom}`;
  return note === 'created' ? `${who} made this group` : `${who} left`;
}

export function noticeRow(item) {
  const { names, type, time, note } = item;
  const row = el('p', 'notice', note ? noteText(item) : `${nameList(names)} ${NOTICE_VERBS[type]}`);
  row.title = fullTime(time);
  return row;
}

export function dayRow(time) {
  const row = el('p', 'divider');
  const stamp = el('time', '', dayLabel(time));
  stamp.dateTime = new Date(time).toISOString().slice(0, 10);
  row.append(stamp);
  return row;
}

export const newRow = () => el('p', 'divider new', 'New');

/** What stands where nothing was said yet. */
export function blankOf({ kind, name }, ownName, onRename) {
  const title = el('h3');
  const note = el('p');
  if (kind === 'person') {
    title.append('You and ', bdi(name));
    note.append('What you write here only the two of you get, on all your devices.');
    return [icon('person'), title, note];
  }
  if (kind === 'group') {
    title.append('This is the group ', bdi(name));
    note.append('What you write here its members get, on all their devices, and later if they are away.');
    return [icon('people'), title, note];
  }
  title.append('This is ', bdi(name, 'blank-room'));
  note.append('You are here as ', bdi(ownName, 'own-name'), '. ',
    button('link', 'Change your name', onRename));
  return [icon('cast'), title, el('p', '', 'What is said from now on appears here.'), note];
}
