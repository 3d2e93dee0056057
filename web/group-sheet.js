/* group-sheet.js - the sheet in which a group is made, and the field in which members are added. */

import { byId, el, bdi, setText } from './dom.js';
import { paintAvatar, reason } from './format.js';
import { cleanName } from './store.js';

const CANDIDATES_MAX = 40;

/** candidates(): users who may be wanted. onCreate(name, users): answers a refusal, or null. */
export function createGroupSheet({ candidates, onCreate }) {
  const sheet = byId('group');
  const input = byId('group-name');

  function open() {
    input.value = '';
    tell('');
    const users = candidates().slice(0, CANDIDATES_MAX);
    byId('group-people').replaceChildren(...users.map(candidateRow));
    byId('group-people-title').hidden = users.length === 0;
    sheet.showModal();
  }

  function tell(problem) {
    setText(byId('group-problem'), problem);
    byId('group-problem').hidden = !problem;
  }

  const chosen = () => [...byId('group-people').querySelectorAll('input:checked')].map(({ value }) => value);

  async function create(event) {
    event.preventDefault();
    const name = cleanName(input.value);
    if (!name) {
      input.value = '';
      input.reportValidity();
      return;
    }
    byId('group-save').disabled = true;
    const refusal = await onCreate(name, chosen());
    byId('group-save').disabled = false;
    if (refusal) tell(`That did not work: ${reason(refusal)}.`);
    else sheet.close();
  }

  byId('group-form').addEventListener('submit', create);
  byId('group-cancel').addEventListener('click', () => sheet.close());
  sheet.addEventListener('click', (event) => { if (event.target === sheet) sheet.close(); });
  return { open };
}

function candidateRow(user) {
  const row = el('label', 'candidate');
  const box = el('input');
  box.type = 'checkbox';
  box.value = user;
  const avatar = el('span', 'avatar small');
  avatar.setAttribute('aria-hidden', 'true');
  paintAvatar(avatar, user);
  row.append(box, avatar, bdi(user, 'person-name'));
  return row;
}

/** onAdd(user): answers a refusal, or null. */
export function createInviter({ onAdd }) {
  const form = byId('invite');
  const input = byId('invite-name');

  function tell(problem) {
    setText(byId('invite-problem'), problem);
    byId('invite-problem').hidden = !problem;
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const user = cleanName(input.value);
    if (!user) return;
    const refusal = await onAdd(user);
    tell(refusal ? `That did not work: ${reason(refusal)}.` : '');
    if (!refusal) input.value = '';
  });
  input.addEventListener('input', () => tell(''));
  return {
    show(isShown, users) {
      form.hidden = !isShown;
      if (!isShown) tell('');
      const list = byId('invite-list');
      const shown = users.join('\n');
      if (list.dataset.shown === shown) return;
      list.dataset.shown = shown;
      list.replaceChildren(...users.map((user) => Object.assign(el('option'), { value: user })));
    },
  };
}
