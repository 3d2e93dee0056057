'use strict';
// The reference: npm socket.io with its default engine and the vocabulary of conf/roomcast.ini,
// without the notices when somebody joins or leaves, which would swamp a room of 1,000.
//   node socketio.js                           a server by itself
//   node socketio.js redis://127.0.0.1:6379    a node, by @socket.io/redis-adapter
const http = require('http');
const { Server } = require('socket.io');

async function adapterOf(url) {
  const { createAdapter } = require('@socket.io/redis-adapter');
  const { createClient } = require('redis');
  const pub = createClient({ url });
  const sub = pub.duplicate();
  for (const client of [pub, sub]) client.on('error', (e) => console.error(String(e)));
  await Promise.all([pub.connect(), sub.connect()]);
  return createAdapter(pub, sub);
}

async function main(redis) {
  const server = http.createServer((req, res) => res.writeHead(404).end());
  const io = new Server(server, redis ? { adapter: await adapterOf(redis) } : {});

  io.on('connection', (socket) => {
    socket.on('joinRoom', (room, ack) => {
      socket.join(room);
      if (typeof ack === 'function') ack({ ok: true });
    });
    socket.on('leaveRoom', (room, ack) => {
      socket.leave(room);
      if (typeof ack === 'function') ack({ ok: true });
    });
    socket.on('sendMessageToRoom', (room, msg, ack) => {
      io.to(room).emit('roomMessage', `[${room}] ${msg}`);
      if (typeof ack === 'function') ack({ ok: true });
    });
  });

  server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
    const { address, port } = server.address();
    console.error(`listening on ${address}:${port}`);
  });
}

main(process.argv[2]);
