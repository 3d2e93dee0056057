// An operator: a client of the Admin UI's namespace, as the UI is one.
import { readFileSync } from 'node:fs';

import { client, connected } from './client.mjs';
import { gather } from './sockets.mjs';
import { until } from './target.mjs';

export const PASSWORD = 'changeit';
// bcrypt of it, with as few rounds as there can be
const HASH = '$2b$04$ppY/N4W0AxOKLdQngtL2deuo1BmU95qmbqmTinKtQbUz/h7bm60eu';
export const GOOD = { username: 'admin', password: PASSWORD };
export const ADMIN = { 'admin.ui': 'yes', 'admin.ui_username': GOOD.username, 'admin.ui_password_hash': HASH };

// Where the package's own pages are.
const main = new URL(import.meta.resolve('@socket.io/admin-ui'));
export const pages = new URL('../ui/dist/', main);
export const version = JSON.parse(readFileSync(new URL('../package.json', main), 'utf8')).version;

// Everything that it is told as [event, ...args] in `told`; of one kind by of(event).
export async function operator(server, { auth = GOOD, nsp = '/admin', ...options } = {}) {
  const socket = client(server, { nsp, auth, ...options });
  const { all, add } = gather();
  socket.onAny((...args) => add(args));
  await connected(socket);
  const of = (...events) => all.filter(([event]) => events.includes(event));
  return {
    socket,
    told: all,
    of,
    // The first that fits, once it has come.
    hears: (event, fits = () => true) =>
      until(`${event} is told`, () => of(event).find(([, ...args]) => fits(...args)), 20_000),
  };
}

// What operators were told of one socket, without the times.
export function story(op, id) {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
  const lines = [];
  for (const [event, ...args] of op.told) {
    if (['config', 'session', 'server_stats', 'all_sockets'].includes(event)) continue;
    const named = typeof args[0] === 'object' ? args[0].id : event.startsWith('room_') ? args[2] : args[1];
    if (named !== id) continue;
    if (event !== 'socket_updated') {
      const at = args.pop();
      if (!time.test(at)) throw new Error(`${event} has no time: ${at}`);
    }
    lines.push([event, ...args]);
  }
  return lines;
}
