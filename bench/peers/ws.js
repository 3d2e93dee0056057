'use strict';
// npm ws: /echo returns each message, every other path is one room that hears everything but
// its own messages.
const http = require('http');
const { WebSocketServer, WebSocket } = require('ws');

const server = http.createServer((req, res) => res.writeHead(404).end());
const wss = new WebSocketServer({ server, perMessageDeflate: false });
const relay = new Set();

wss.on('connection', (ws, req) => {
  if (req.url === '/echo') {
    ws.on('message', (data, binary) => ws.send(data, { binary }));
    return;
  }
  relay.add(ws);
  ws.on('close', () => relay.delete(ws));
  ws.on('message', (data, binary) => {
    for (const peer of relay)
      if (peer !== ws && peer.readyState === WebSocket.OPEN) peer.send(data, { binary });
  });
});

server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
  const { address, port } = server.address();
  console.error(`listening on ${address}:${port}`);
});
