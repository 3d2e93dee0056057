/* people.js - people: those with whom one writes, in the left column, and those who are in the
 * open room, in the panel on the right. */

import { byId, el, bdi, setText } from './dom.js';
import { count, paintAvatar } from './format.js';

const ROWS_MAX = 200;
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/**
 * state(): { people: Map of conversations by user, active: the key of the open one, user: ours }.
 * isHere(user): are they in one of our rooms? undefined: nobody knows. onPick(user): a person was chosen.
 */
export function createPeople({ state, isHere, onPick }) {
  const direct = createRows(byId('direct-list'), onPick);
  const here = createRows(byId('here-list'), onPick);

  function renderDirect(filter) {
    const { people, active, user } = state();
    const wanted = filter.toLocaleLowerCase();
    const rows = [...people.values()].filter(({ name }) => name.toLocaleLowerCase().includes(wanted));
    direct.show(rows.map(({ key, name, unread }) => ({
      name, unread, online: isHere(name), active: key === active, self: name === user,
    })));
    byId('direct').hidden = rows.length === 0;
  }

  function renderHere(room) {
    const { user } = state();
    const names = [...room.people].sort((a, b) => (b === user) - (a === user) || byName(a, b));
    here.show(names.slice(0, ROWS_MAX).map((name) => ({
      name, unread: 0, online: true, active: false, self: name === user,
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
    if (row && !row.disabled) onPick(row.dataset.user);
  });

  function show(people) {
    const keep = new Set(people.map(({ name }) => name));
    for (const [name, row] of rows) {
      if (!keep.has(name)) {
        row.item.remove();
        rows.delete(name);
      }
    }
    let next = list.firstElementChild;
    for (const person of people) {
      if (!rows.has(person.name)) rows.set(person.name, createRow(person.name));
      const row = rows.get(person.name);
      updateRow(row, person);
      if (row.item === next) next = next.nextElementSibling;
      else list.insertBefore(row.item, next);
    }
  }
  return { show };
}

function createRow(name) {
  const item = el('li');
  const node = el('button', 'person');
  node.type = 'button';
  node.dataset.user = name;
  const avatar = el('span', 'avatar small');
  avatar.setAttribute('aria-hidden', 'true');
  paintAvatar(avatar, name);
  const presence = el('span', 'visually-hidden');
  const badge = el('span', 'badge');
  const you = el('span', 'tag', 'you');
  const unread = el('span', 'visually-hidden', ' unread');
  const number = el('span');
  badge.append(number, unread);
  node.append(avatar, bdi(name, 'person-name'), presence, you, badge);
  item.append(node);
  return { item, node, presence, you, badge, number };
}

function updateRow({ node, presence, you, badge, number }, { unread, online, active, self }) {
  node.classList.toggle('online', Boolean(online));
  node.classList.toggle('away', online === false);
  node.classList.toggle('has-unread', unread > 0);
  node.disabled = self;
  setText(presence, online === undefined ? '' : (online && ', here') || ', away');
  you.hidden = !self;
  badge.hidden = unread === 0;
  setText(number, unread > 99 ? '99+' : String(unread));
  if (active) node.setAttribute('aria-current', 'page');
  else node.removeAttribute('aria-current');
}
