/* room-list.js - the list of rooms: ours, and all others by size, narrowed down by what
 * is typed above it. Made for thousands of rooms: at most one pass per frame, rows are reused,
 * and the order holds still while somebody is pointing at it. */

import { byId, el, icon, bdi, setText, oncePerFrame } from './dom.js';
import { number, count } from './format.js';

const ROWS_MAX = 1000;
const byName = new Intl.Collator(undefined, { numeric: true }).compare;

/**
 * state(): { counts: Map of members by room, joined: Map of conversations by room, active: room
 * or null }. onPick(room): a room was chosen, existing or not. onDraw(filter): it is drawn.
 */
export function createRoomList({ state, onPick, onDraw }) {
  const filter = byId('filter');
  const lists = { mine: createRows(byId('joined-list')), others: createRows(byId('other-list')) };
  const render = oncePerFrame(() => {
    const wanted = filter.value.trim();
    draw(state(), wanted, lists);
    onDraw(wanted);
    keepOneTabStop();
  });

  function pick(room) {
    filter.value = '';
    render();
    onPick(room);
  }

  listenToFilter(filter, pick, render);
  listenToRows(byId('rooms'), filter, pick, render);
  return { render };
}

function listenToFilter(filter, pick, render) {
  filter.addEventListener('input', render);
  filter.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') {
      filter.value = '';
      render();
    } else if (event.key === 'ArrowDown') {
      event.preventDefault();
      focusRow(0);
    }
  });
  byId('finder').addEventListener('submit', (event) => {
    event.preventDefault();
    const room = filter.value.trim();
    if (room) pick(room);
  });
  byId('create').addEventListener('click', () => pick(filter.value.trim()));
}

function listenToRows(nav, filter, pick, render) {
  nav.addEventListener('click', (event) => {
    const row = event.target.closest('.room');
    if (row) pick(row.dataset.room);
  });
  nav.addEventListener('keydown', (event) => moveFocus(event, filter));
  nav.addEventListener('pointerleave', render);
}

/* ---- keys: the rows are one stop for Tab, the arrows move inside ---- */

const visibleRows = () => [...document.querySelectorAll('#rooms :is(.room, .person:enabled)')];

function focusRow(index) {
  const rows = visibleRows();
  const row = rows[Math.max(0, Math.min(index, rows.length - 1))];
  if (row) row.focus();
}

function moveFocus(event, filter) {
  const rows = visibleRows();
  const at = rows.indexOf(document.activeElement);
  const target = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
  if (at < 0 || target === undefined) return;
  event.preventDefault();
  if (target < 0) filter.focus();
  else focusRow(target);
}

/* ---- drawing ---- */

function draw({ counts, joined, active }, filter, lists) {
  const wanted = filter.toLocaleLowerCase();
  const fits = (room) => !wanted || room.toLocaleLowerCase().includes(wanted);
  const info = (room) => ({
    members: counts.get(room) || 0,
    unread: joined.has(room) ? joined.get(room).unread : 0,
    active: room === active,
  });
  const mine = [...joined.keys()].filter(fits);
  const rest = [...counts.keys()].filter((room) => !joined.has(room) && fits(room));
  const { others } = lists;
  const order = others.isHeld() ? others.inPresentOrder(rest) : bySize(rest, counts);

  lists.mine.show(mine, info);
  others.show(order.slice(0, ROWS_MAX), info);
  byId('joined').hidden = mine.length === 0;
  byId('others').hidden = rest.length === 0;
  setText(byId('others-total'), number(rest.length));
  offerCreate(filter, counts.has(filter) || joined.has(filter));
  tell(mine.length + rest.length, rest.length - ROWS_MAX, filter);
}

function bySize(rooms, counts) {
  return rooms.sort((a, b) => counts.get(b) - counts.get(a) || byName(a, b));
}

function offerCreate(name, exists) {
  byId('create').hidden = !name || exists;
  setText(byId('create-name'), name);
}

function tell(found, hidden, filter) {
  const hint = byId('list-hint');
  let text = '';
  if (found === 0 && !filter) text = 'No rooms yet. Type a name above to open the first one.';
  if (hidden > 0) text = `${count(hidden, 'more room', 'more rooms')}: type above to find them.`;
  hint.hidden = !text;
  setText(hint, text);
}

function keepOneTabStop() {
  const rows = visibleRows();
  const stop = rows.find((row) => row === document.activeElement)
    || rows.find((row) => row.hasAttribute('aria-current')) || rows[0];
  rows.forEach((row) => { row.tabIndex = row === stop ? 0 : -1; });
}

/* ---- rows ---- */

/** One list element and its rows, which stay the same elements while their rooms exist. */
function createRows(list) {
  const rows = new Map();

  function show(rooms, info) {
    const keep = new Set(rooms);
    for (const [room, row] of rows) {
      if (!keep.has(room)) {
        row.item.remove();
        rows.delete(room);
      }
    }
    let next = list.firstElementChild;
    for (const room of rooms) {
      if (!rows.has(room)) rows.set(room, createRow(room));
      const row = rows.get(room);
      updateRow(row, info(room));
      if (row.item === next) next = next.nextElementSibling;
      else list.insertBefore(row.item, next);
    }
  }

  const isHeld = () => list.matches(':hover') || list.contains(document.activeElement);
  const inPresentOrder = (rooms) => {
    const left = new Set(rooms);
    const present = [...rows.keys()].filter((room) => left.delete(room));
    return [...present, ...left];
  };
  return { show, isHeld, inPresentOrder };
}

function createRow(room) {
  const item = el('li');
  const node = el('button', 'room');
  node.type = 'button';
  node.dataset.room = room;
  const unread = countOf('badge');
  const members = countOf('members');
  members.node.prepend(icon('person'));
  const hash = el('span', 'hash', '#');
  hash.setAttribute('aria-hidden', 'true');
  node.append(hash, bdi(room, 'room-name'), unread.node, members.node);
  item.append(node);
  return { item, node, unread, members, last: {} };
}

/* A number for the eye, followed by what it counts for the ear. */
function countOf(className) {
  const node = el('span', className);
  const shown = el('span');
  const spoken = el('span', 'visually-hidden');
  node.append(shown, spoken);
  return { node, shown, spoken };
}

function updateRow({ node, unread, members, last }, info) {
  const { members: m, unread: u, active } = info;
  if (last.members !== m) showCount(members, m, number(m), m === 1 ? ' member' : ' members');
  if (last.unread !== u) showCount(unread, u, u > 99 ? '99+' : String(u), ' unread');
  if (last.unread !== u) node.classList.toggle('has-unread', u > 0);
  if (last.active !== active) {
    if (active) node.setAttribute('aria-current', 'page');
    else node.removeAttribute('aria-current');
  }
  Object.assign(last, info);
}

function showCount({ node, shown, spoken }, n, text, unit) {
  node.hidden = n === 0;
  shown.textContent = n ? text : '';
  spoken.textContent = n ? unit : '';
}
