/* incoming.js - what the server sends, checked and brought into one form. Rules are written by
 * whoever runs the server and names by anybody: nothing here may be taken for granted. */

const TYPES = ['message', 'join', 'leave'];
const DATE_MAX = 8.64e15; /* the last moment that a Date can hold */

const JOINED = 'New member joined the room: ';
const LEFT = 'A member left the room: ';

const isTime = (value) => typeof value === 'number' && Math.abs(value) <= DATE_MAX;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const asText = (value) => (typeof value === 'string' ? value : JSON.stringify(value) || '');
const asId = (value) => (Number.isSafeInteger(value) && value > 0 ? value : null);
const asTime = (value) => (isTime(value) ? value : Date.now());
export const texts = (value) => (Array.isArray(value) ? value.filter((v) => typeof v === 'string') : []);

/**
 * One roomMessage as { room, type, id, text, socket, user, name, client, time }: id is the stored
 * message's, or null; socket the connection it came from; user who has signed in there, '' for a
 * guest, null where rules do not say it. Rules with the second argument say all of it; otherwise
 * the plain text is all there is. rooms: the rooms that we are in.
 */
export function readRoomMessage(plain, detail, rooms) {
  if (!isObject(detail) || typeof detail.room !== 'string') return readPlain(asText(plain), rooms);
  const { room, type, user, name } = detail;
  return {
    room,
    type: TYPES.includes(type) ? type : 'message',
    id: asId(detail.message),
    text: asText('text' in detail ? detail.text : plain),
    socket: asText(detail.id ?? ''),
    user: typeof user === 'string' ? user : null,
    name: typeof name === 'string' ? name : null,
    client: typeof detail.client === 'string' ? detail.client : '',
    time: asTime(detail.time),
  };
}

function readPlain(text, rooms) {
  const guess = {
    room: null, type: 'message', id: null, text, socket: '', user: null, name: null, client: '', time: Date.now(),
  };
  if (text.startsWith(JOINED)) return { ...guess, type: 'join', room: text.slice(JOINED.length) };
  if (text.startsWith(LEFT)) return { ...guess, type: 'leave', room: text.slice(LEFT.length) };
  /* "[a] b" may be a room "a] b" as well: the longest name that fits wins */
  const fits = rooms.filter((room) => text.startsWith(`[${room}] `));
  if (fits.length === 0) return guess;
  const room = fits.reduce((a, b) => (b.length > a.length ? b : a));
  return { ...guess, room, text: text.slice(room.length + 3) };
}

/* What every stored message has: { id, text, user, client, time }, text as it was stored. */
function readRow(row) {
  const time = Date.parse(row.created_at);
  return {
    type: 'message',
    id: asId(row.id),
    text: asText(row.content ?? ''),
    socket: '',
    user: typeof row.sender_id === 'string' ? row.sender_id : '',
    name: null,
    client: typeof row.client_id === 'string' ? row.client_id : '',
    time: asTime(time),
  };
}

const NOTES = ['created', 'added', 'left'];

/* What has happened to a group stands among its messages, as { type, user }. */
function readNote({ content }) {
  if (!isObject(content) || !NOTES.includes(content.type)) return {};
  return { note: content.type, whom: typeof content.user === 'string' ? content.user : '' };
}

/** A private message as { id, text, user, to, client, time }, or null; of a group's message there is
 * its name as group, and note and whom if it tells of the group itself. */
export function readDirect(row) {
  if (!isObject(row) || !['private', 'group'].includes(row.conversation_type)) return null;
  if (typeof row.sender_id !== 'string' || typeof row.receiver_id !== 'string') return null;
  if (row.conversation_type === 'private') return { ...readRow(row), to: row.receiver_id };
  return { ...readRow(row), ...readNote(row), group: row.receiver_id };
}

/** A page of the list of conversations: { list, more }, or null. */
export function readConversations(reply) {
  if (!isObject(reply) || !Array.isArray(reply.conversations)) return null;
  const list = reply.conversations.filter(isObject).map((entry) => ({
    kind: entry.type === 'group' ? 'group' : 'person',
    name: typeof entry.with === 'string' ? entry.with : '',
    message: readDirect(entry.message),
  }));
  const good = list.filter(({ name, message }) => name && message && message.id);
  return { list: good, more: reply.more === true && good.length > 0 };
}

/** A stored message of a room: its content is what the event's arguments were. */
export function readStored(row, room) {
  if (!isObject(row)) return null;
  const [plain, detail] = Array.isArray(row.content) ? row.content : [row.content];
  const { id, user, client, time } = readRow(row);
  const said = readRoomMessage(plain, detail, [room]);
  return { ...said, room, id, user: user || said.user, client: client || said.client, time };
}

/** A page of history: { messages, more }, or null. read: of one row. */
export function readHistory(reply, read) {
  if (!isObject(reply) || !Array.isArray(reply.messages)) return null;
  const messages = reply.messages.map(read).filter((m) => m && m.id && m.type === 'message');
  return { messages, more: reply.more === true };
}

/** Who is in a room, or what has changed of it: { room, users, joined, left, count }, or null. Of
 * many users not all are named, but counted. */
export function readPresence(value) {
  if (!isObject(value) || value.ok === false || typeof value.room !== 'string') return null;
  return {
    room: value.room,
    users: texts(value.users),
    joined: texts(value.joined),
    left: texts(value.left),
    count: Number.isSafeInteger(value.count) ? value.count : 0,
  };
}

/** Brings the counts up to date with one `rooms` event: a full list, or the changes since. */
export function applyRooms(counts, update) {
  if (!update || !Array.isArray(update.rooms)) return;
  if (update.full) counts.clear();
  for (const entry of update.rooms) {
    if (!entry || typeof entry.room !== 'string' || !Number.isInteger(entry.members)) continue;
    if (entry.members > 0) counts.set(entry.room, entry.members);
    else counts.delete(entry.room);
  }
}
