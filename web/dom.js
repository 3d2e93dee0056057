/* dom.js - the few ways in which this page makes elements. Nothing here or elsewhere uses
 * innerHTML: whatever comes from other people is text and stays text. */

const SVG = 'http://www.w3.org/2000/svg';

export const byId = (id) => document.getElementById(id);

export function el(tag, className = '', text = '') {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  return node;
}

/** A symbol of the sprite in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  const use = document.createElementNS(SVG, 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

export function button(className, text, onClick) {
  const node = el('button', className, text);
  node.type = 'button';
  node.addEventListener('click', onClick);
  return node;
}

/** Text from elsewhere may run right to left; it must not turn its surroundings around. */
export function bdi(text, className = '') {
  return el('bdi', className, text);
}

/** Writing the same text again would make a screen reader say it again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Runs fn once before the next frame, however often it was asked for. */
export function oncePerFrame(fn) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      fn();
    });
  };
}
