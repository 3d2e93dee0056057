/* profile.js - the name: where it is shown, and the sheet in which one signs in or changes it. */

import { byId, setText } from './dom.js';
import { paintAvatar } from './format.js';
import { cleanName, randomName } from './store.js';

/**
 * session: of session.js. onGuest(name), onSignIn(name): was chosen; the promise of the latter
 * fails with what to tell.
 */
export function createProfile(session, { onGuest, onSignIn }) {
  const sheet = byId('profile');
  const input = byId('name');
  const preview = () => paintAvatar(byId('name-avatar'), cleanName(input.value) || '?');
  let isFirst = false;

  function open() {
    input.value = session.name;
    showWords(session, isFirst);
    tell('');
    preview();
    sheet.showModal();
    input.select();
  }

  /** On the first visit. Who only closes the sheet is a guest. */
  function ask() {
    isFirst = true;
    open();
  }

  function tell(problem) {
    setText(byId('name-problem'), problem);
    byId('name-problem').hidden = !problem;
  }

  function close() {
    if (isFirst) onGuest(session.name);
    isFirst = false;
    sheet.close();
  }

  async function choose(asGuest) {
    const name = cleanName(input.value);
    if (!name) {
      input.value = '';
      input.reportValidity();
      return;
    }
    try {
      await become(name, asGuest || !session.canSignIn);
      isFirst = false;
      sheet.close();
    } catch (error) {
      tell(`That did not work: ${error.message}.`);
    }
  }

  async function become(name, asGuest) {
    const isSame = name === session.name && !isFirst && asGuest === !session.user;
    if (isSame) return;
    if (asGuest) onGuest(name);
    else await onSignIn(name);
  }

  function surprise() {
    input.value = randomName();
    preview();
    input.focus();
  }

  byId('profile-open').addEventListener('click', open);
  byId('profile-form').addEventListener('submit', (event) => {
    event.preventDefault();
    choose(false);
  });
  byId('name-guest').addEventListener('click', () => choose(true));
  byId('name-random').addEventListener('click', surprise);
  byId('name-cancel').addEventListener('click', close);
  sheet.addEventListener('cancel', (event) => {
    event.preventDefault();
    close();
  });
  sheet.addEventListener('click', (event) => { if (event.target === sheet && !isFirst) close(); });
  input.addEventListener('input', preview);
  return { open, ask, show: () => showProfile(session) };
}

const WORDS = {
  welcome: [`Welcome to ${document.querySelector('h1').textContent}`,
    'Sign in with a name to write to people in private, on all your devices. This is a demo: it asks for no password, so anybody can take any name.', 'Stay a guest', 'Sign in'],
  guest: ['You are a guest',
    'Sign in with a name to write to people in private, on all your devices. This is a demo: it asks for no password, so anybody can take any name.', 'Stay a guest', 'Sign in'],
  user: ['You are signed in',
    'With another name you are another person, with messages of their own.', 'Sign out', 'Save'],
  nickname: ['What should others call you?',
    'Everyone in your rooms sees this name. It is kept in this browser only.', '', 'Save'],
};

function showWords({ canSignIn, user }, isFirst) {
  const kind = user ? 'user' : 'guest';
  const [heading, text, guest, save] = WORDS[canSignIn ? (isFirst && 'welcome') || kind : 'nickname'];
  setText(byId('profile-heading'), heading);
  setText(byId('profile-text'), text);
  setText(byId('name-guest'), guest);
  setText(byId('name-save'), save);
  byId('name-guest').hidden = !guest;
  byId('name-cancel').hidden = isFirst;
}

function showProfile({ name, user, canSignIn }) {
  const hint = user ? 'Signed in' : 'Guest · sign in';
  setText(byId('profile-name'), name);
  setText(byId('profile-hint'), canSignIn ? hint : 'Change your name');
  paintAvatar(byId('profile-avatar'), name);
}
