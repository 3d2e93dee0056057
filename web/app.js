/* app.js - the demo page of roomcast: wires the connection, the conversations and what is on
 * screen. The one that is open stands in the address (#room=lobby, #person=Ann, #group=Friends), so
 * that a link can be shared. What a server's rules do not offer is not shown. */

import { byId, setText, oncePerFrame } from './dom.js';
import { count, reason } from './format.js';
import { loadRooms, saveRooms, loadSeen, saveSeen } from './store.js';
import { openConnection, isRefused } from './connection.js';
import { readRoomMessage, readPresence, applyRooms } from './incoming.js';
import { createSession } from './session.js';
import { Room, roomKey } from './room.js';
import { createDirect } from './direct.js';
import { createGroupSheet, createInviter } from './group-sheet.js';
import { createRoomList } from './room-list.js';
import { createPeople } from './people.js';
import { createProfile } from './profile.js';
import { createComposer } from './composer.js';
import { showHead } from './chat-head.js';
import { blankOf } from './rows.js';
import { showStatus } from './status.js';
import { toast } from './toast.js';

const FIRST_ROOM = 'lobby';
const NAME_MAX = 200;
const LIST_VIEW = '#rooms';
const RENEWAL_MS = 10000; /* from one refused token to the next that is worth a try */
const pageTitle = document.title;

const state = {
  ownIds: new Set(), /* each reconnection brings a new id; all of them were us */
  counts: new Map(), /* room → members, as the server tells it */
  rooms: new Map(), /* name → Room, in the order in which we came in */
  owner: '', /* the user whose all of this is */
  seen: new Map(), /* key of a conversation → id of the last message that was looked at */
  active: null, /* key of the open conversation */
  renewed: 0, /* when a token was refused */
};

const isNarrow = window.matchMedia('(max-width: 719px)');
const isWide = window.matchMedia('(min-width: 1180px)');
const hasKeyboard = window.matchMedia('(hover: hover) and (pointer: fine)');

const all = () => [...state.rooms.values(), ...direct.all()];
const active = () => all().find(({ key }) => key === state.active) || null;
const isOnline = () => connection.status.phase === 'online';
const isChatShown = () => document.body.dataset.view === 'chat' || !isNarrow.matches;
const isLooking = (key) => key === state.active && !document.hidden && isChatShown();

/* Is the user in one of our rooms? undefined: the server does not say who is. */
function isHere(user) {
  const known = [...state.rooms.values()].filter(({ people }) => people);
  return known.length ? known.some(({ people }) => people.has(user)) : undefined;
}

/* ---- conversations ---- */

const link = {
  request: (...args) => connection.request(...args),
  offer: (...args) => connection.offer(...args),
  isOnline,
  user: () => session.user,
};

const hooks = {
  onChange: onUnread,
  onScroll: oncePerFrame(() => showLatest(active() && active().transcript)),
  onPerson: pickPerson,
  onRead: whose,
  onGone(group, isQuiet) {
    if (!isQuiet) toast(`You are not in the group ${group.name}.`);
    forget(group);
  },
  onSeen(key, id) {
    state.seen.delete(key); /* to the end, as the latest */
    state.seen.set(key, id);
    keepSeen();
  },
};
const saveAllSeen = () => saveSeen(state.owner, state.seen);
const keepSeen = oncePerFrame(saveAllSeen);

/* Is a message ours, from whichever device? Is its author somebody whom nobody has checked? */
function whose(message) {
  const mine = message.user ? message.user === session.user : state.ownIds.has(message.socket);
  return { ...message, mine, isGuest: session.canSignIn && message.user === '' };
}

function show(conversation) {
  const { blank, element } = conversation.transcript;
  blank.append(...blankOf(conversation, session.name, () => profile.open()));
  element.hidden = true;
  byId('transcripts').prepend(element);
  return conversation;
}

function roomFor(name) {
  if (state.rooms.has(name)) return state.rooms.get(name);
  const room = new Room(name, link, hooks, state.seen.get(roomKey(name)) || 0);
  state.rooms.set(name, room);
  saveRooms([...state.rooms.keys()]);
  show(room);
  if (isOnline()) join(room);
  return room;
}

async function join(room) {
  const refusal = await room.join();
  if (!refusal) return;
  toast(`You cannot join ${room.name}: ${reason(refusal)}.`);
  forget(room);
}

async function leave(conversation) {
  const refusal = conversation.kind === 'group' ? await conversation.leave() : null;
  if (isRefused(refusal) && refusal.error !== 'not_in_group') {
    toast(`You are still in ${conversation.name}: ${reason(refusal)}.`);
    return;
  }
  if (conversation.kind === 'room') conversation.leave();
  forget(conversation);
}

function forget(conversation) {
  const keys = all().map(({ key }) => key);
  const at = keys.indexOf(conversation.key);
  if (conversation.kind === 'room') state.rooms.delete(conversation.name);
  else direct.close(conversation);
  saveRooms([...state.rooms.keys()]);
  conversation.transcript.element.remove();
  if (state.active === conversation.key) {
    state.active = null;
    const next = all().find(({ key }) => key === (keys[at + 1] || keys[at - 1]));
    /* replaced, so that Back does not lead into what was just left */
    navigate(next && !isNarrow.matches ? addressOf(next) : LIST_VIEW, 'replaceState');
  }
  refresh();
}

/* ---- which one is open ---- */

const addressOf = ({ kind, name }) => `#${kind}=${encodeURIComponent(name)}`;

/** { kind, name } of the address, or null. */
function inAddress() {
  const params = new URLSearchParams(window.location.hash.slice(1));
  const kind = ['room', 'person', 'group'].find((k) => params.get(k));
  if (!kind || (kind !== 'room' && !session.user)) return null;
  return { kind, name: params.get(kind).slice(0, NAME_MAX) };
}

function navigate(address, how = 'pushState') {
  if (window.location.hash !== address) window.history[how](null, '', address);
  route();
}

function route() {
  const target = inAddress();
  document.body.dataset.view = target ? 'chat' : 'rooms';
  if (target) open(target.kind === 'room' ? roomFor(target.name) : direct.add(target.kind, target.name));
  refresh();
}

function open(conversation) {
  const before = active();
  if (before === conversation) return;
  if (before) {
    before.draft = composer.text();
    before.transcript.clearNewMark();
    before.transcript.element.hidden = true;
  }
  state.active = conversation.key;
  conversation.transcript.element.hidden = false;
  conversation.transcript.jumpToEnd();
  composer.fill(conversation.draft);
}

function openNext(step) {
  const list = all();
  if (list.length === 0) return;
  const at = list.findIndex(({ key }) => key === state.active);
  navigate(addressOf(list[(at + step + list.length) % list.length]));
}

function pick(target) {
  navigate(addressOf(target));
  if (hasKeyboard.matches) byId('message').focus();
}

const pickRoom = (name) => pick({ kind: 'room', name: name.slice(0, NAME_MAX) });

function pickDirect({ kind, name }) {
  if (kind === 'person') pickPerson(name);
  else pick({ kind, name });
}

function pickPerson(name) {
  if (!session.user) {
    profile.open();
  } else if (!direct.canWrite) {
    toast('This server does not pass on private messages.');
  } else if (name !== session.user) {
    if (!isWide.matches) showPeople(false);
    pick({ kind: 'person', name });
  }
}

/* ---- what the server says ---- */

function onConnect() {
  state.ownIds.add(connection.id);
  connection.request('watchRooms').catch(() => {});
  state.rooms.forEach(join);
  if (session.user) direct.connect();
}

/* The next server may have started anew, with another secret: old tokens are worth nothing then. */
function onDisconnect(why) {
  const hasEnded = session.user && !session.isFresh();
  all().forEach((conversation) => conversation.suspend());
  session.expire();
  if (why === 'io server disconnect' && hasEnded) connection.restart();
}

/* The token of last time is worth nothing any more. */
function onRefused({ data }) {
  const isToken = data && typeof data.code === 'string' && data.code.startsWith('token_');
  if (!isToken || !session.user || Date.now() - state.renewed < RENEWAL_MS) return;
  state.renewed = Date.now();
  session.expire();
  connection.restart();
}

function onRoomMessage(plain, detail) {
  const message = readRoomMessage(plain, detail, [...state.rooms.keys()]);
  const open = active();
  const room = message.room === null ? open : state.rooms.get(message.room);
  if (room && room.kind === 'room') room.receive(whose(message), isLooking(room.key));
}

function onPresence(value) {
  const change = readPresence(value);
  const room = change && state.rooms.get(change.room);
  if (room) room.changePeople(change);
}

function onRooms(update) {
  applyRooms(state.counts, update);
  refresh();
}

function onServerError(error) {
  const what = error && error.event ? `“${error.event}” was refused` : 'The server reports an error';
  toast(`${what}: ${reason(error)}.`);
}

/* ---- who we are ---- */

async function signIn(name) {
  await session.signIn(name);
  becomeAnother();
}

function beGuest(name) {
  const wasUser = Boolean(session.user);
  session.beGuest(name);
  if (wasUser || !isStarted()) {
    becomeAnother();
    return;
  }
  refresh();
  /* the name is told when connecting, so it takes a new connection */
  connection.restart();
}

const isStarted = () => connection.status.phase !== 'idle';

/* All that is on screen was somebody else's to see. */
function becomeAnother() {
  if (isStarted()) window.location.reload();
  else start();
}

/* ---- the screen ---- */

const refresh = oncePerFrame(() => {
  const conversation = active();
  if (conversation && isLooking(conversation.key)) conversation.markRead();
  showChat(conversation);
  showUnread();
  profile.show();
  document.querySelectorAll('.own-name').forEach((node) => setText(node, session.name));
  roomList.render();
});

function showChat(conversation) {
  const { name, kind, people: here } = conversation || {};
  byId('chat').classList.toggle('empty', !conversation);
  byId('nowhere').hidden = Boolean(conversation);
  composer.show(conversation);
  showHead(conversation, {
    members: state.counts.get(name) || 0, online: kind === 'person' ? isHere(name) : false, user: session.user,
  });
  const isOpen = Boolean(here) && document.body.dataset.people === 'on';
  byId('people').hidden = !isOpen;
  byId('people-toggle').setAttribute('aria-expanded', String(isOpen));
  if (isOpen) people.renderHere(conversation);
  inviter.show(isOpen && kind === 'group', isOpen ? wanted(here) : []);
  byId('here-hint').hidden = !session.canSignIn || Boolean(session.user) || kind === 'group';
  showLatest(conversation && conversation.transcript);
}

/* Whom one may want in a group: who is not among these. */
function wanted(among) {
  const here = [...state.rooms.values()].flatMap((room) => [...(room.people || [])]);
  return [...new Set([...direct.people(), ...here])].filter((name) => name !== session.user && !among.has(name));
}

function showPeople(isShown) {
  document.body.dataset.people = isShown ? 'on' : 'off';
  refresh();
}

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
  const total = all().reduce((sum, { unread }) => sum + unread, 0);
  document.title = total ? `(${total}) ${pageTitle}` : pageTitle;
  setText(byId('back-badge'), total > 99 ? '99+' : String(total));
  byId('back-badge').hidden = total === 0;
}

/* ---- what the visitor does ---- */

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
  } else if (event.key === 'Escape' && !isWide.matches && !byId('people').hidden) {
    showPeople(false);
    byId('people-toggle').focus();
  }
}

function navigateToFilter() {
  if (isNarrow.matches) navigate(LIST_VIEW);
  byId('filter').focus();
  byId('filter').select();
}

function listen() {
  byId('back').addEventListener('click', () => navigate(LIST_VIEW));
  byId('share').addEventListener('click', share);
  byId('leave').addEventListener('click', () => { if (active()) leave(active()); });
  byId('people-toggle').addEventListener('click', () => showPeople(byId('people').hidden));
  byId('people-close').addEventListener('click', () => {
    showPeople(false);
    byId('people-toggle').focus();
  });
  byId('latest').addEventListener('click', () => active().transcript.jumpToEnd());
  byId('retry').addEventListener('click', () => connection.restart());
  byId('new-group').addEventListener('click', () => groupSheet.open());
  byId('more-talks').addEventListener('click', () => direct.loadMore());
  byId('go-lobby').addEventListener('click', () => pickRoom(FIRST_ROOM));
  byId('skip').addEventListener('click', (event) => {
    event.preventDefault();
    byId('message').focus();
  });
  window.addEventListener('popstate', route);
  window.addEventListener('pagehide', saveAllSeen);
  window.addEventListener('keydown', onShortcut);
  document.addEventListener('visibilitychange', refresh);
  isNarrow.addEventListener('change', refresh);
  isWide.addEventListener('change', () => showPeople(isWide.matches));
}

/* ---- start ---- */

/** Those of last time, and the one in the address; on a first visit the lobby. */
function start() {
  const linked = inAddress();
  const rooms = loadRooms() || (linked && linked.kind === 'room' ? [] : [FIRST_ROOM]);
  state.owner = session.user;
  state.seen = loadSeen(state.owner);
  rooms.forEach(roomFor);
  if (session.user) direct.restore();
  if (!linked && rooms.length > 0) {
    window.history.replaceState(null, '', addressOf({ kind: 'room', name: rooms[0] }));
  }
  showPeople(isWide.matches);
  connection.restart();
  route();
  if (hasKeyboard.matches) byId('message').focus();
}

/* A page that is served by something else has the mark itself in there. */
function devTokensPath() {
  const path = document.querySelector('meta[name="dev-tokens"]').content;
  return path.startsWith('/') ? path : '';
}

const session = createSession(devTokensPath(), {
  onToken: (token) => connection.request('refreshToken', token).catch(() => {}),
});
const profile = createProfile(session, { onGuest: beGuest, onSignIn: signIn });
const composer = createComposer((text) => active().send(text));
const direct = createDirect({
  link, hooks, seen: () => state.seen, onNew: show, onChange: () => refresh(),
});
const people = createPeople({
  state: () => ({
    talks: direct.all(), canGroup: direct.canGroup, hasMore: direct.oldest > 0, active: state.active, user: session.user,
  }),
  isHere,
  onPick: pickDirect,
});
const groupSheet = createGroupSheet({
  candidates: () => wanted(new Set()),
  async onCreate(name, users) {
    const refusal = await direct.createGroup(name, users);
    if (!refusal) pick({ kind: 'group', name });
    return refusal;
  },
});
const inviter = createInviter({ onAdd: (user) => active().invite(user) });
const roomList = createRoomList({
  state: () => {
    const open = active();
    return { counts: state.counts, joined: state.rooms, active: open && open.kind === 'room' ? open.name : null };
  },
  onPick: pickRoom,
  onDraw: people.renderDirect,
});
const connection = openConnection(window.io, {
  auth: session.auth,
  onStatus: showStatus,
  events: {
    connect: onConnect,
    disconnect: onDisconnect,
    connect_error: onRefused,
    roomMessage: onRoomMessage,
    message: (row) => direct.receive(row, isLooking),
    presence: onPresence,
    rooms: onRooms,
    error: onServerError,
  },
});

listen();
showStatus(connection.status);
if (session.resume()) profile.ask();
else start();
