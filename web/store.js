/* store.js - what this browser remembers: the nickname and the rooms. */

const PREFIX = 'roomcast.';
const ROOMS_MAX = 50;
export const NAME_MAX = 32;

const FIRST = ('Amber Brave Calm Clever Coral Dapper Eager Gentle Golden Happy Jolly Keen Lucky '
  + 'Mellow Merry Nimble Quiet Rapid Silver Sunny Swift Teal Witty Young').split(' ');
const SECOND = ('Badger Beaver Condor Dolphin Falcon Finch Fox Gecko Heron Ibex Koala Lark Lynx '
  + 'Marten Otter Owl Panda Puffin Raven Robin Seal Stork Swan Wombat').split(' ');

/* Storage may be switched off or full; the page then simply forgets. */
function read(key) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + key));
  } catch (error) {
    return null;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(PREFIX + key, JSON.stringify(value));
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

/** null on a first visit; an empty list means that the visitor left every room. */
export function loadRooms() {
  const rooms = read('rooms');
  if (!Array.isArray(rooms)) return null;
  return rooms.filter((room) => typeof room === 'string' && room).slice(0, ROOMS_MAX);
}

export const saveRooms = (rooms) => write('rooms', rooms.slice(0, ROOMS_MAX));
