// What the helpers for both generations of the stock client share.
import { within } from './target.mjs';

// Options of a socket that has a connection of its own, and is not yet connected.
export const OWN_CONNECTION = { forceNew: true, autoConnect: false, reconnection: false };

// A list that is added to as things arrive; .wait(n) for the first n.
export function gather() {
  const all = [];
  let wake = () => {};
  const add = (item) => {
    all.push(item);
    wake();
  };
  const wait = (n, ms = 20_000) => {
    const done = new Promise((ok) => {
      wake = () => all.length >= n && ok(all.slice(0, n));
      wake();
    });
    return within(ms, `${n} events`, done).catch((e) => {
      throw new Error(`${e.message}; had ${all.length}: ${JSON.stringify(all).slice(0, 500)}`);
    });
  };
  Object.defineProperty(all, 'wait', { value: wait }); // not enumerable: no part of equality
  return { all, add };
}
