/* format.js - how times, names, counts and reasons read. */

const NBSP = '\u00a0';
const NAME_MAX = 40;

const clockFormat = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const fullFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayFormat = new Intl.DateTimeFormat(undefined, {
  weekday: 'long', day: 'numeric', month: 'long',
});
const dateFormat = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const numberFormat = new Intl.NumberFormat();

export const clock = (time) => clockFormat.format(time);
export const fullTime = (time) => fullFormat.format(time);
export const number = (n) => numberFormat.format(n);

export function count(n, one, many) {
  return `${number(n)}${NBSP}${n === 1 ? one : many}`;
}

export function sameDay(a, b) {
  return new Date(a).toDateString() === new Date(b).toDateString();
}

export function dayLabel(time, now = Date.now()) {
  if (sameDay(time, now)) return 'Today';
  const yesterday = new Date(now);
  yesterday.setDate(yesterday.getDate() - 1);
  return sameDay(time, yesterday) ? 'Yesterday' : dayFormat.format(time);
}

/** Short: of a message in a list. */
export const shortTime = (time, now = Date.now()) => (sameDay(time, now) ? clock(time) : dateFormat.format(time));

export function latency(ms) {
  return ms < 1 ? `<${NBSP}1${NBSP}ms` : `${number(Math.round(ms))}${NBSP}ms`;
}

/** "Ada", "Ada and Bob", "Ada, Bob and 3 others". */
export function nameList(names) {
  if (names.length <= 1) return names.join('');
  const [first, second, third] = names;
  if (names.length === 2) return `${first} and ${second}`;
  return `${first}, ${second} and ${names.length === 3 ? third : `${names.length - 2} others`}`;
}

/** A name is what its owner sent: any JSON value. Without one, the id tells guests apart. */
export function personName(name, id) {
  const text = typeof name === 'string' ? name.slice(0, 4 * NAME_MAX).replace(/\s+/g, ' ').trim() : '';
  if (text) return Array.from(text).slice(0, NAME_MAX).join('');
  return id ? `Guest ${String(id).slice(0, 4)}` : 'Someone';
}

/** One or two letters for the round badge, or the first sign of a name without any. */
export function initials(name) {
  const words = name.match(/[\p{L}\p{N}][\p{L}\p{N}\p{M}'’]*/gu) || [name];
  const signs = words.slice(0, 2).map((word) => Array.from(word)[0] || '?');
  return signs.join('').toUpperCase();
}

/** The same name has the same colour on every screen. */
export function hue(name) {
  let hash = 2166136261;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 16777619);
  return ((hash >>> 0) % 24) * 15;
}

export function paintAvatar(node, name) {
  node.textContent = initials(name);
  node.style.setProperty('--hue', hue(name));
}

const REASONS = {
  not_a_member: 'you are not in this room',
  bad_room: 'this room name is not allowed',
  too_many_rooms: 'you are in too many rooms',
  too_many_targets: 'these are too many rooms at once',
  missing_argument: 'something was missing',
  bad_argument: 'the server did not understand it',
  bad_target: 'there is nobody to send it to',
  unknown_event: 'the server does not know this event',
  denied: 'you may not do that here',
  no_user: 'you are not signed in',
  not_in_group: 'you are not in this group',
  group_exists: 'there is a group of that name already',
  group_full: 'the group has as many members as it may have',
  store_busy: 'the server has too much to store at the moment',
  store_down: 'the server cannot store it at the moment',
  store_failed: 'the server could not store it',
  store_unknown: 'it is not known whether it was stored',
  too_long: 'it is too long',
};

/** Why the server said no, as the end of a sentence. */
export function reason(refusal) {
  if (!refusal) return 'no reason given';
  return REASONS[refusal.error] || String(refusal.message || refusal.error || 'no reason given');
}
