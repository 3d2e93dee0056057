/* composer.js - the field in which one writes. */

import { byId } from './dom.js';

/** onSend(text): what was written is to be sent. */
export function createComposer(onSend) {
  const form = byId('composer');
  const field = byId('message');

  function fit() {
    field.style.height = 'auto';
    field.style.height = `${field.scrollHeight}px`;
    byId('send').disabled = !field.value.trim();
  }

  function fill(text) {
    field.value = text;
    fit();
  }

  function send(event) {
    event.preventDefault();
    const text = field.value.trim();
    if (!text || form.hidden) return;
    onSend(text);
    fill('');
    field.focus();
  }

  function onKey(event) {
    /* Enter also ends the composition of a Chinese or Japanese word: that one is not for us */
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) send(event);
  }

  function show(conversation) {
    form.hidden = !conversation;
    field.placeholder = conversation && conversation.kind !== 'room'
      ? `Write to ${conversation.name}` : 'Write a message';
  }

  form.addEventListener('submit', send);
  field.addEventListener('keydown', onKey);
  field.addEventListener('input', fit);
  return { text: () => field.value, fill, show };
}
