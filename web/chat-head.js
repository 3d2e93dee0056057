/* chat-head.js - the line above the messages: which conversation it is, who is there, and what can
 * be done with it. */

import { byId, el, setText } from './dom.js';
import { count, paintAvatar } from './format.js';

const FACES_MAX = 3;

/** conversation: the open one, or null. members: of the room. online: is the person in one of our
 * rooms? undefined: nobody knows. */
export function showHead(conversation, { members, online, user }) {
  const kind = conversation ? conversation.kind : '';
  const isPerson = kind === 'person';
  const hasPeople = !isPerson && Boolean(conversation && conversation.people);
  byId('chat').dataset.kind = kind;
  setText(byId('room-title'), conversation ? conversation.name : '');
  setText(byId('room-members'), subtitle(conversation, members, online, user));
  byId('share').hidden = kind !== 'room';
  byId('leave').hidden = !conversation;
  byId('leave-icon').setAttribute('href', isPerson ? '#i-close' : '#i-leave');
  byId('leave').setAttribute('aria-label', isPerson ? 'Close this conversation' : `Leave this ${kind}`);
  setText(byId('leave-text'), isPerson ? 'Close' : 'Leave');
  byId('people-toggle').hidden = !hasPeople;
  if (hasPeople) showFaces([...conversation.people], conversation.count);
  byId('person-avatar').hidden = kind === 'room' || !conversation;
  byId('person-avatar').classList.toggle('group', kind === 'group');
  if (conversation && kind !== 'room') paintAvatar(byId('person-avatar'), conversation.name);
  byId('person-avatar').classList.toggle('online', Boolean(online));
}

function subtitle(conversation, members, online, user) {
  if (!conversation) return '';
  if (conversation.kind === 'room') return members > 0 ? count(members, 'member', 'members') : '';
  if (!user) return 'Sign in to write';
  if (conversation.kind === 'group') return conversation.people ? count(conversation.count, 'member', 'members') : 'Group';
  if (online === undefined) return '';
  return online ? 'Here now' : 'Away; gets it on return';
}

function showFaces(users, total) {
  const faces = users.slice(0, FACES_MAX).map((name) => {
    const face = el('span', 'avatar small');
    paintAvatar(face, name);
    return face;
  });
  const node = byId('faces');
  const shown = users.slice(0, FACES_MAX).join('\n');
  if (node.dataset.shown !== shown) node.replaceChildren(...faces);
  node.dataset.shown = shown;
  setText(byId('people-count'), count(Math.max(total, users.length), 'person', 'people'));
}
