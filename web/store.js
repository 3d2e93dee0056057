/* store.js - what this browser remembers: the name, the rooms, the people one has written with and
 * what was seen of all of them; and, in this tab only, who has signed in. */

const PREFIX = 'roomcast.';
const ROOMS_MAX = 50;
const PEOPLE_MAX = 50;
const SEEN_MAX = 500;
const NAME_MAX = 32;

const FIRST = ('Amber Brave Calm Clever Coral Dapper Eager Gentle Golden Happy Jolly Keen Lucky '
  + 'Mellow Merry Nimble Quiet Rapid Silver Sunny Swift Teal Witty Young').split(' ');
const SECOND = ('Badger Beaver Condor Dolphin Falcon Finch Fox Gecko Heron Ibex Koala Lark Lynx '
  + 'Marten Otter Owl Panda Puffin Raven Robin Seal Stork Swan Wombat').split(' ');

/* Storage may be switched off or full; the page then simply forgets. */
function read(key, from = 'localStorage') {
  try {
    return JSON.parse(window[from].getItem(PREFIX + key));
  } catch (error) {
    return null;
  }
}

function write(key, value, to = 'localStorage') {
  try {
    window[to].setItem(PREFIX + key, JSON.stringify(value));
  } catch (error) {
    /* nothing depends on it */
  }
}

const pick = (list) => list[Math.floor(Math.random() * list.length)];

export const randomName = () => `${pick(FIRST)} ${pick(SECOND)}`;

export function cleanName(text) {
  const name = String(text).replace(/\s+/g, ' ').trim();
  return Array.from(name).slice(0, NAME_MAX).join('');
}

export function loadName() {
  const stored = read('name');
  const name = typeof stored === 'string' ? cleanName(stored) : '';
  if (name) return name;
  return saveName(randomName());
}

export function saveName(name) {
  write('name', name);
  return name;
}

/** null: nobody has chosen yet. */
export function loadChoice() {
  const choice = read('as');
  return choice === 'user' || choice === 'guest' ? choice : null;
}

export const saveChoice = (choice) => write('as', choice);

export function loadSession() {
  const session = read('session', 'sessionStorage');
  const isOne = session && typeof session.token === 'string' && typeof session.user === 'string'
    && typeof session.until === 'number';
  return isOne ? session : null;
}

export const saveSession = (session) => write('session', session, 'sessionStorage');

function readNames(key, max) {
  const names = read(key);
  if (!Array.isArray(names)) return null;
  return names.filter((name) => typeof name === 'string' && name).slice(0, max);
}

/** null on a first visit; an empty list means that the visitor left every room. */
export const loadRooms = () => readNames('rooms', ROOMS_MAX);
export const saveRooms = (rooms) => write('rooms', rooms.slice(0, ROOMS_MAX));

/** Those with whom a user has written. */
export const loadPeople = (user) => readNames(`people.${user}`, PEOPLE_MAX) || [];
export const savePeople = (user, people) => write(`people.${user}`, people.slice(0, PEOPLE_MAX));

function readIds(key) {
  const ids = read(key);
  const entries = Object.entries(ids && typeof ids === 'object' ? ids : {});
  return new Map(entries.filter(([, id]) => Number.isInteger(id)));
}

/** The id of the last message that a user has looked at, by conversation. */
export const loadSeen = (user) => readIds(`seen.${user}`);

/* Another tab of the same user may have seen more. */
export function saveSeen(user, seen) {
  const stored = loadSeen(user);
  const merged = [...seen].map(([key, id]) => [key, Math.max(id, stored.get(key) || 0)]);
  merged.forEach(([key]) => stored.delete(key));
  write(`seen.${user}`, Object.fromEntries([...stored, ...merged].slice(-SEEN_MAX)));
}

/** The id of the last message in a conversation that a user has closed. */
export const loadClosed = (user) => readIds(`closed.${user}`);
export const saveClosed = (user, closed) => write(`closed.${user}`, Object.fromEntries([...closed].slice(-SEEN_MAX)));
