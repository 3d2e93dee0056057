'use strict';
// A node of the reference: npm socket.io with @socket.io/redis-adapter and the vocabulary of bench.ini.
//   node node.js redis://127.0.0.1:6379
const http = require('http');
const { createAdapter } = require('@socket.io/redis-adapter');
const { createClient } = require('redis');
const { Server } = require('socket.io');

async function main(url) {
  const pub = createClient({ url });
  const sub = pub.duplicate();
  for (const client of [pub, sub]) client.on('error', (e) => console.error(String(e)));
  await Promise.all([pub.connect(), sub.connect()]);

  const server = http.createServer((req, res) => res.writeHead(404).end());
  const io = new Server(server, { adapter: createAdapter(pub, sub) });
  io.on('connection', (socket) => {
    socket.on('joinRoom', (room, ack) => {
      socket.join(room);
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
