/* profile.js - the nickname: where it is shown and the sheet in which it is changed. */

import { byId, setText } from './dom.js';
import { paintAvatar } from './format.js';
import { cleanName, randomName } from './store.js';

/** name(): the present one. onRename(name): another one was chosen. */
export function createProfile({ name, onRename }) {
  const sheet = byId('profile');
  const input = byId('name');
  const preview = () => paintAvatar(byId('name-avatar'), cleanName(input.value) || '?');

  function open() {
    input.value = name();
    preview();
    sheet.showModal();
    input.select();
  }

  function save(event) {
    const chosen = cleanName(input.value);
    if (!chosen) {
      event.preventDefault();
      input.value = '';
      input.reportValidity();
    } else if (chosen !== name()) {
      onRename(chosen);
    }
  }

  function surprise() {
    input.value = randomName();
    preview();
    input.focus();
  }

  byId('profile-open').addEventListener('click', open);
  byId('profile-form').addEventListener('submit', save);
  byId('name-random').addEventListener('click', surprise);
  byId('name-cancel').addEventListener('click', () => sheet.close());
  sheet.addEventListener('click', (event) => { if (event.target === sheet) sheet.close(); });
  input.addEventListener('input', preview);
  return { open, show: showName };
}

function showName(name) {
  setText(byId('profile-name'), name);
  paintAvatar(byId('profile-avatar'), name);
}
