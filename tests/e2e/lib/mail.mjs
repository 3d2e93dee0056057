// Users who write to each other and to groups by the event "message": what they send, and devices that keep what comes.
import { client, connected, inbox } from './client.mjs';
import { as } from './store.mjs';

// A device of that user, or of nobody. What comes with the answer to CONNECT is in the box, too.
export async function device(server, user, options = {}) {
  const socket = client(server, { ...(user ? as(user) : {}), ...options });
  socket.box = inbox(socket);
  await connected(socket);
  return socket;
}

export const messages = (socket) => socket.box.filter(([event]) => event === 'message').map(([, m]) => m);
export const to = (receiverId, content, more) => ({ conversationType: 'private', receiverId, content, ...more });
export const toGroup = (receiverId, content) => ({ conversationType: 'group', receiverId, content });
