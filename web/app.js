/* app.js - the demo page of roomcast: wires the connection, the rooms and what is on screen.
 * The room that is open stands in the address (#room=lobby), so that a link can be shared. */

import { byId, bdi, button, el, icon, setText, oncePerFrame } from './dom.js';
import { count, reason } from './format.js';
import { loadName, saveName, loadRooms, saveRooms } from './store.js';
import { openConnection } from './connection.js';
import { readRoomMessage, applyRooms } from './incoming.js';
import { Conversation } from './conversation.js';
import { createRoomList } from './room-list.js';
import { createProfile } from './profile.js';
import { showStatus } from './status.js';

const FIRST_ROOM = 'lobby';
const ROOM_NAME_MAX = 200;
const LIST_VIEW = '#rooms';
const TOAST_MS = 7000;
const pageTitle = document.title;

const state = {
  name: loadName(),
  ownIds: new Set(), /* each reconnection brings a new id; all of them were us */
  counts: new Map(), /* room → members, as the server tells it */
  joined: new Map(), /* room → Conversation, in the order in which we came in */
  active: null,
};

const active = () => state.joined.get(state.active) || null;
const isOnline = () => connection.status.phase === 'online';
const isLooking = (room) => room === state.active && !document.hidden && isChatShown();
const isChatShown = () => document.body.dataset.view === 'chat' || !isNarrow.matches;
const isNarrow = window.matchMedia('(max-width: 719px)');
const hasKeyboard = window.matchMedia('(hover: hover) and (pointer: fine)');

/* ---- rooms ---- */

function conversationFor(room) {
  const known = state.joined.get(room);
  if (known) return known;
  const link = { request: connection.request, isOnline };
  const conversation = new Conversation(room, link, { onChange: onUnread, onScroll: onScrolled });
  state.joined.set(room, conversation);
  saveRooms([...state.joined.keys()]);
  fillBlank(conversation.transcript.blank, room);
  conversation.transcript.element.hidden = true;
  byId('transcripts').prepend(conversation.transcript.element);
  if (isOnline()) join(conversation);
  return conversation;
}

async function join(conversation) {
  const refusal = await conversation.join();
  if (!refusal) return;
  toast(`You cannot join ${conversation.name}: ${reason(refusal)}.`);
  forget(conversation);
}

function leave(conversation) {
  conversation.leave();
  forget(conversation);
}

function forget(conversation) {
  const rooms = [...state.joined.keys()];
  const at = rooms.indexOf(conversation.name);
  state.joined.delete(conversation.name);
  saveRooms([...state.joined.keys()]);
  conversation.transcript.element.remove();
  if (state.active === conversation.name) {
    state.active = null;
    const next = rooms[at + 1] || rooms[at - 1];
    /* replaced, so that Back does not lead into the room that was just left */
    navigate(next && !isNarrow.matches ? addressOf(next) : LIST_VIEW, 'replaceState');
  }
  refresh();
}

/* ---- which room is open ---- */

const addressOf = (room) => `#room=${encodeURIComponent(room)}`;

function roomInAddress() {
  const room = new URLSearchParams(window.location.hash.slice(1)).get('room');
  return room ? room.slice(0, ROOM_NAME_MAX) : null;
}

function navigate(address, how = 'pushState') {
  if (window.location.hash !== address) window.history[how](null, '', address);
  route();
}

function route() {
  const room = roomInAddress();
  document.body.dataset.view = room ? 'chat' : 'rooms';
  if (room) open(room);
  refresh();
}

function open(room) {
  const before = active();
  const conversation = conversationFor(room);
  if (before && before !== conversation) {
    before.draft = byId('message').value;
    before.transcript.clearNewMark();
    before.transcript.element.hidden = true;
  }
  if (before === conversation) return;
  state.active = room;
  conversation.transcript.element.hidden = false;
  conversation.transcript.jumpToEnd();
  byId('message').value = conversation.draft;
  fitMessage();
}

function openNext(step) {
  const rooms = [...state.joined.keys()];
  if (rooms.length === 0) return;
  const at = rooms.indexOf(state.active);
  navigate(addressOf(rooms[(at + step + rooms.length) % rooms.length]));
}

function pickRoom(room) {
  navigate(addressOf(room.slice(0, ROOM_NAME_MAX)));
  if (hasKeyboard.matches) byId('message').focus();
}

/* ---- what the server says ---- */

function onConnect() {
  state.ownIds.add(connection.id);
  connection.request('watchRooms').catch(() => {});
  state.joined.forEach(join);
}

function onDisconnect() {
  state.joined.forEach((conversation) => conversation.suspend());
}

function onRoomMessage(plain, detail) {
  const message = readRoomMessage(plain, detail, [...state.joined.keys()]);
  const conversation = message.room === null ? active() : state.joined.get(message.room);
  if (!conversation) return;
  const mine = state.ownIds.has(message.id);
  conversation.receive({ ...message, mine }, isLooking(conversation.name));
}

function onRooms(update) {
  applyRooms(state.counts, update);
  refresh();
}

function onServerError(error) {
  const what = error && error.event ? `“${error.event}” was refused` : 'The server reports an error';
  toast(`${what}: ${reason(error)}.`);
}

function rename(name) {
  state.name = saveName(name);
  refresh();
  /* the name is told when connecting, so it takes a new connection */
  connection.restart();
}

/* ---- the screen ---- */

const refresh = oncePerFrame(() => {
  const conversation = active();
  if (conversation && isLooking(conversation.name)) conversation.markRead();
  showChat(conversation);
  showUnread();
  profile.show(state.name);
  document.querySelectorAll('.own-name').forEach((node) => setText(node, state.name));
  roomList.render();
});

function showChat(conversation) {
  byId('chat').classList.toggle('empty', !conversation);
  byId('nowhere').hidden = Boolean(conversation);
  byId('share').hidden = !conversation;
  byId('leave').hidden = !conversation;
  byId('composer').hidden = !conversation;
  setText(byId('room-title'), conversation ? conversation.name : '');
  setText(byId('room-members'), conversation ? membersOf(conversation.name) : '');
  showLatest(conversation && conversation.transcript);
}

function membersOf(room) {
  const members = state.counts.get(room) || 0;
  return members > 0 ? count(members, 'member', 'members') : '';
}

const onScrolled = oncePerFrame(() => showLatest(active() && active().transcript));

function showLatest(transcript) {
  byId('latest').hidden = !transcript || transcript.atEnd;
  if (!transcript) return;
  const { unseen } = transcript;
  setText(byId('latest-text'), unseen ? count(unseen, 'new message', 'new messages') : 'Latest');
}

/* At once: a tab in the background has no frames, but its title is seen. */
function onUnread() {
  showUnread();
  refresh();
}

function showUnread() {
  let total = 0;
  state.joined.forEach(({ unread }) => { total += unread; });
  document.title = total ? `(${total}) ${pageTitle}` : pageTitle;
  setText(byId('back-badge'), total > 99 ? '99+' : String(total));
  byId('back-badge').hidden = total === 0;
}

function fillBlank(node, room) {
  const title = el('h3');
  title.append('This is ', bdi(room, 'blank-room'));
  const who = el('p');
  who.append('You are here as ', bdi(state.name, 'own-name'), '. ',
    button('link', 'Change your name', () => profile.open()));
  node.append(icon('cast'), title, el('p', '', 'What is said from now on appears here.'), who);
}

function toast(text) {
  const node = el('div', 'toast');
  const close = button('tool', '', () => node.remove());
  close.setAttribute('aria-label', 'Dismiss');
  close.append(icon('close'));
  node.append(el('p', '', text), close);
  byId('toasts').append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}

/* ---- what the visitor does ---- */

function fitMessage() {
  const field = byId('message');
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
  byId('send').disabled = !field.value.trim();
}

function sendMessage(event) {
  event.preventDefault();
  const field = byId('message');
  const text = field.value.trim();
  if (!text || !active()) return;
  active().send(text);
  field.value = '';
  fitMessage();
  field.focus();
}

function onMessageKey(event) {
  /* Enter also ends the composition of a Chinese or Japanese word: that one is not for us */
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  sendMessage(event);
}

async function share() {
  const address = window.location.href;
  try {
    await navigator.clipboard.writeText(address);
    toast('The link is copied. Whoever opens it comes straight into this room.');
  } catch (error) {
    /* the clipboard needs https, or a permission */
    toast(`The link to this room: ${address}`);
  }
}

function onShortcut(event) {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
    event.preventDefault();
    navigateToFilter();
  } else if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
    event.preventDefault();
    openNext(event.key === 'ArrowUp' ? -1 : 1);
  }
}

function navigateToFilter() {
  if (isNarrow.matches) navigate(LIST_VIEW);
  byId('filter').focus();
  byId('filter').select();
}

function listen() {
  byId('composer').addEventListener('submit', sendMessage);
  byId('message').addEventListener('keydown', onMessageKey);
  byId('message').addEventListener('input', fitMessage);
  byId('back').addEventListener('click', () => navigate(LIST_VIEW));
  byId('share').addEventListener('click', share);
  byId('leave').addEventListener('click', () => { if (active()) leave(active()); });
  byId('latest').addEventListener('click', () => active().transcript.jumpToEnd());
  byId('retry').addEventListener('click', () => connection.restart());
  byId('go-lobby').addEventListener('click', () => pickRoom(FIRST_ROOM));
  byId('skip').addEventListener('click', (event) => {
    event.preventDefault();
    byId('message').focus();
  });
  window.addEventListener('popstate', route);
  window.addEventListener('keydown', onShortcut);
  document.addEventListener('visibilitychange', refresh);
  isNarrow.addEventListener('change', refresh);
}

/* ---- start ---- */

/** The rooms of last time, and the one in the address; on a first visit the lobby. */
function enterFirstRooms() {
  const linked = roomInAddress();
  const stored = loadRooms() || (linked ? [] : [FIRST_ROOM]);
  stored.forEach(conversationFor);
  if (!linked && stored.length > 0) window.history.replaceState(null, '', addressOf(stored[0]));
  route();
  if (hasKeyboard.matches) byId('message').focus();
}

const profile = createProfile({ name: () => state.name, onRename: rename });
const roomList = createRoomList({ state: () => state, onPick: pickRoom });
const connection = openConnection(window.io, {
  auth: () => ({ name: state.name }),
  onStatus: showStatus,
  events: {
    connect: onConnect,
    disconnect: onDisconnect,
    roomMessage: onRoomMessage,
    rooms: onRooms,
    error: onServerError,
  },
});

listen();
showStatus(connection.status);
enterFirstRooms();
