import { createServer } from 'node:http';

import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Server } from 'socket.io';

// A Node server with @socket.io/redis-streams-adapter, as startNode() of redis.mjs. It begins with the first entry that it reads: those between two
// reads before are lost to it.
export async function startStreamsNode(redis, { options, namespaces = [], install = () => {} } = {}) {
  const client = redis.client();
  await client.connect();
  const http = createServer();
  const io = new Server(http, { adapter: createAdapter(client, options) });
  for (const name of ['/', ...namespaces]) io.of(name).on('connection', (socket) => install(socket, socket.nsp));
  await new Promise((done) => http.listen(0, '127.0.0.1', done));
  return {
    io,
    url: `http://127.0.0.1:${http.address().port}`,
    stop: async () => {
      await new Promise((done) => io.close(done));
      await client.disconnect().catch(() => {});
    },
  };
}
