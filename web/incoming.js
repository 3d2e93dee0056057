/* incoming.js - what the server sends, checked and brought into one form. Rules are written by
 * whoever runs the server and names by anybody: nothing here may be taken for granted. */

const TYPES = ['message', 'join', 'leave'];
const DATE_MAX = 8.64e15; /* the last moment that a Date can hold */

const JOINED = 'New member joined the room: ';
const LEFT = 'A member left the room: ';

const isTime = (value) => typeof value === 'number' && Math.abs(value) <= DATE_MAX;
const asText = (value) => (typeof value === 'string' ? value : JSON.stringify(value) || '');

/**
 * One roomMessage as { room, type, text, id, name, time }. Rules with the second argument say
 * all of it; otherwise the plain text is all there is. rooms: the rooms that we are in.
 */
export function readRoomMessage(plain, detail, rooms) {
  if (detail && typeof detail === 'object' && typeof detail.room === 'string') {
    const { room, type, id = '', name = null, time } = detail;
    return {
      room,
      type: TYPES.includes(type) ? type : 'message',
      text: asText('text' in detail ? detail.text : plain),
      id: asText(id),
      name: typeof name === 'string' ? name : null,
      time: isTime(time) ? time : Date.now(),
    };
  }
  return readPlain(asText(plain), rooms);
}

function readPlain(text, rooms) {
  const guess = { room: null, type: 'message', text, id: '', name: null, time: Date.now() };
  if (text.startsWith(JOINED)) return { ...guess, type: 'join', room: text.slice(JOINED.length) };
  if (text.startsWith(LEFT)) return { ...guess, type: 'leave', room: text.slice(LEFT.length) };
  /* "[a] b" may be a room "a] b" as well: the longest name that fits wins */
  const fits = rooms.filter((room) => text.startsWith(`[${room}] `));
  if (fits.length === 0) return guess;
  const room = fits.reduce((a, b) => (b.length > a.length ? b : a));
  return { ...guess, room, text: text.slice(room.length + 3) };
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
