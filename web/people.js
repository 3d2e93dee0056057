/* people.js - people: conversations with them and in groups, in the left column, and those who are in
 * the open room or group, in the panel on the right. */

import { byId, el, bdi, setText } from './dom.js';
import { count, paintAvatar, shortTime } from './format.js';
import { author, noteText } from './rows.js';

const ROWS_MAX = 200;
const PREVIEW_MAX = 120;
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/**
 * state(): { talks: conversations with people and in groups, canGroup, hasMore: there are others,
 * active: the key of the open one, user: ours }. isHere(user): are they in one of our rooms? undefined:
 * nobody knows. onPick({ kind, name }): was chosen.
 */
export function createPeople({ state, isHere, onPick }) {
  const direct = createRows(byId('direct-list'), onPick);
  const here = createRows(byId('here-list'), onPick);

  function renderDirect(filter) {
    const { talks, canGroup, hasMore, active, user } = state();
    const wanted = filter.toLocaleLowerCase();
    const rows = talks.filter(({ name }) => name.toLocaleLowerCase().includes(wanted));
    direct.show(rows.map(({ key, kind, name, unread, latest }) => ({
      key, kind, name, unread, latest, online: kind === 'person' ? isHere(name) : undefined, active: key === active, self: name === user && kind === 'person',
    })));
    byId('direct').hidden = rows.length === 0 && !(canGroup && !wanted);
    byId('new-group').hidden = !canGroup || Boolean(wanted);
    byId('more-talks').hidden = !hasMore;
  }

  function renderHere(room) {
    const { user } = state();
    const names = [...room.people].sort((a, b) => (b === user) - (a === user) || byName(a, b));
    const isGroup = room.kind === 'group';
    setText(byId('here-title'), isGroup ? 'Members' : 'Here now');
    here.show(names.slice(0, ROWS_MAX).map((name) => ({
      key: name, kind: 'person', name, unread: 0, online: isGroup ? name === user || isHere(name) : true, active: false, self: name === user,
    })));
    const more = Math.max(room.count, names.length) - Math.min(names.length, ROWS_MAX);
    byId('here-more').hidden = more <= 0;
    setText(byId('here-more'), more > 0 ? `and ${count(more, 'other', 'others')}` : '');
  }

  return { renderDirect, renderHere };
}

/** One list and its rows, which stay the same elements while their people are there. */
function createRows(list, onPick) {
  const rows = new Map();
  list.addEventListener('click', (event) => {
    const row = event.target.closest('.person');
    if (row && !row.disabled) onPick({ kind: row.dataset.kind, name: row.dataset.name });
  });

  function show(people) {
    const keep = new Set(people.map(({ key }) => key));
    for (const [key, row] of rows) {
      if (!keep.has(key)) {
        row.item.remove();
        rows.delete(key);
      }
    }
    let next = list.firstElementChild;
    for (const person of people) {
      if (!rows.has(person.key)) rows.set(person.key, createRow(person));
      const row = rows.get(person.key);
      updateRow(row, person);
      if (row.item === next) next = next.nextElementSibling;
      else list.insertBefore(row.item, next);
    }
  }
  return { show };
}

function createRow({ kind, name }) {
  const item = el('li');
  const node = el('button', 'person');
  node.type = 'button';
  Object.assign(node.dataset, { kind, name });
  const avatar = el('span', kind === 'group' ? 'avatar small group' : 'avatar small');
  avatar.setAttribute('aria-hidden', 'true');
  paintAvatar(avatar, name);
  const presence = el('span', 'visually-hidden');
  const badge = el('span', 'badge');
  const you = el('span', 'tag', 'you');
  const unread = el('span', 'visually-hidden', ' unread');
  const number = el('span');
  badge.append(number, unread);
  const time = el('time', 'talk-time');
  const text = el('span', 'talk-text');
  text.dir = 'auto';
  node.append(avatar, bdi(name, 'person-name'), presence, you, time, text, badge);
  item.append(node);
  return { item, node, presence, you, badge, number, time, text };
}

/* What was said last, in one line. */
function preview(kind, latest) {
  if (latest.note) return noteText(latest);
  const text = latest.text.slice(0, PREVIEW_MAX);
  if (latest.mine) return `You: ${text}`;
  return kind === 'group' ? `${author(latest)}: ${text}` : text;
}

function updateTalk({ node, time, text }, { kind, latest }) {
  node.classList.toggle('talk', Boolean(latest));
  time.hidden = !latest;
  text.hidden = !latest;
  if (!latest) return;
  setText(time, shortTime(latest.time));
  time.dateTime = new Date(latest.time).toISOString();
  setText(text, preview(kind, latest));
}

function updateRow(row, person) {
  const { node, presence, you, badge, number } = row;
  const { unread, online, active, self, kind } = person;
  updateTalk(row, person);
  node.classList.toggle('online', Boolean(online));
  node.classList.toggle('away', online === false);
  node.classList.toggle('has-unread', unread > 0);
  node.disabled = self;
  if (kind === 'group') setText(presence, ', group');
  else setText(presence, online === undefined ? '' : (online && ', here') || ', away');
  you.hidden = !self;
  badge.hidden = unread === 0;
  setText(number, unread > 99 ? '99+' : String(unread));
  if (active) node.setAttribute('aria-current', 'page');
  else node.removeAttribute('aria-current');
}
