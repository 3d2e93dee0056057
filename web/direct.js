/* direct.js - the conversations that are a user's own, with people and in groups: which there are, as
 * the server lists them, in pages. */

import { isRefused } from './connection.js';
import { readConversations, readDirect } from './incoming.js';
import { loadPeople, savePeople, loadClosed, saveClosed } from './store.js';
import { Person, personKey } from './person.js';
import { Group, groupKey } from './group.js';

const PAGE = 30;
const KINDS = { person: [Person, personKey], group: [Group, groupKey] };

/**
 * link, hooks: as of a Conversation. seen: Map of what was seen, by key. onNew(conversation): there is
 * one more; onChange(): something else has changed.
 */
export function createDirect({ link, hooks, seen, onNew, onChange }) {
  const talks = new Map(); /* by key */
  let closed = new Map(); /* key → id of the last message when it was closed */
  const direct = {
    canWrite: false, /* the server passes on private messages */
    canGroup: false, /* and may know of groups */
    oldest: 0, /* id up to which the list is here; 0: there is no more of it */
  };

  function add(kind, name) {
    const [Kind, keyOf] = KINDS[kind];
    const key = keyOf(name);
    if (talks.has(key)) return talks.get(key);
    const talk = new Kind(name, link, hooks, seen().get(key) || 0);
    talks.set(key, talk);
    keepPeople();
    onNew(talk);
    return talk;
  }

  direct.add = (kind, name) => {
    const talk = add(kind, name);
    if (closed.delete(talk.key)) saveClosed(link.user(), closed);
    if (link.isOnline() && !talk.ready) talk.open();
    return talk;
  };

  const people = () => [...talks.values()].filter(({ kind }) => kind === 'person');
  const keepPeople = () => savePeople(link.user(), people().map(({ name }) => name));

  direct.all = () => [...talks.values()].sort((a, b) => b.latestTime() - a.latestTime()
    || ((b.latest && b.latest.id) || 0) - ((a.latest && a.latest.id) || 0));
  direct.people = () => people().map(({ name }) => name);

  /** It comes back with the next message. */
  direct.close = (talk) => {
    talks.delete(talk.key);
    keepPeople();
    if (talk.latest && talk.latest.id) closed.set(talk.key, talk.latest.id);
    saveClosed(link.user(), closed);
  };

  /** Those of last time, until the server says which there are. */
  direct.restore = () => {
    closed = loadClosed(link.user());
    loadPeople(link.user()).forEach((name) => add('person', name));
  };

  /** We are connected, as somebody. */
  direct.connect = async () => {
    const page = await fetchPage(0);
    if (page) direct.canWrite = true;
    else direct.canWrite = await keepsMessages();
    direct.canGroup = direct.canGroup || Boolean(page);
    talks.forEach((talk) => { if (!talk.ready) talk.open(); });
    onChange();
  };

  direct.loadMore = async () => {
    await fetchPage(direct.oldest);
    talks.forEach((talk) => { if (!talk.ready) talk.open(); });
    onChange();
  };

  async function fetchPage(before) {
    const reply = await link.offer('conversations', { limit: PAGE, ...(before && { before }) });
    const page = readConversations(reply);
    if (!page) return null;
    for (const { kind, name, message } of page.list) {
      if ((closed.get(KINDS[kind][1](name)) || 0) < message.id) add(kind, name).note(hooks.onRead(message));
    }
    if (before || !direct.oldest) direct.oldest = page.more ? page.list.at(-1).message.id : 0;
    return page;
  }

  /* A server without that list: everybody has a conversation with themselves, if it keeps any. */
  async function keepsMessages() {
    const reply = await link.offer('conversation', { type: 'private', with: link.user(), limit: 1 });
    return Boolean(reply) && !isRefused(reply);
  }

  /** A message has come: the conversation that it belongs to, or null. */
  direct.receive = (row, isLooking) => {
    const message = readDirect(row);
    if (!message || !link.user()) return null;
    const partner = message.user === link.user() ? message.to : message.user;
    const talk = direct.add(message.group ? 'group' : 'person', message.group || partner);
    talk.receive(hooks.onRead(message), isLooking(talk.key));
    return talk;
  };

  /** Answers a refusal, or null. */
  direct.createGroup = async (name, users) => {
    const reply = await link.offer('createGroup', name);
    if (reply === null) direct.canGroup = false;
    if (reply === null || isRefused(reply)) return reply || { message: 'this server makes no groups' };
    const group = direct.add('group', name);
    for (const user of users) await group.invite(user);
    return null;
  };

  return direct;
}
