// Waiting in bounded time, stretched by ROOMCAST_SLOW.
import { slow } from './daemon.mjs';

export const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

// The promise's value, or an error that says what was awaited.
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`timed out: ${what}`)), ms * slow);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// Waits until check() is truthy and returns its value; it is asked every `every` ms.
export async function until(what, check, ms = 5000, every = 5) {
  const limit = Date.now() + ms * slow;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > limit) throw new Error(`timed out: ${what}`);
    await sleep(every);
  }
}

// The log is written by a thread of its own, and read from a pipe: what has happened need not be in it yet.
// text: a string, or an expression.
export const logged = (server, text) =>
  until(
    `the log: ${text}`,
    () => (typeof text === 'string' ? server.stderr().includes(text) : text.test(server.stderr())),
    20_000,
  );
