/* toast.js - short words at the edge of the page, which go by themselves. */

import { byId, el, icon, button } from './dom.js';

const TOAST_MS = 7000;

export function toast(text) {
  const node = el('div', 'toast');
  const close = button('tool', '', () => node.remove());
  close.setAttribute('aria-label', 'Dismiss');
  close.append(icon('close'));
  node.append(el('p', '', text), close);
  byId('toasts').append(node);
  setTimeout(() => node.remove(), TOAST_MS);
}
