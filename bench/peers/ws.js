'use strict';
// npm ws: /echo returns each message, every other path is a room of its own that hears all its
// members, the sender too.
const http = require('http');
const { WebSocketServer, WebSocket } = require('ws');

const server = http.createServer((req, res) => res.writeHead(404).end());
const wss = new WebSocketServer({ server, perMessageDeflate: false });
const rooms = new Map();

wss.on('connection', (ws, req) => {
  if (req.url === '/echo') {
    ws.on('message', (data, binary) => ws.send(data, { binary }));
    return;
  }
  let room = rooms.get(req.url);
  if (!room) rooms.set(req.url, (room = new Set()));
  room.add(ws);
  ws.on('close', () => room.delete(ws));
  ws.on('message', (data, binary) => {
    for (const peer of room)
      if (peer.readyState === WebSocket.OPEN) peer.send(data, { binary });
  });
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const { address, port } = server.address();
  console.error(`listening on ${address}:${port}`);
});
