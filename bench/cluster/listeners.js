'use strict';
// What Redis sees of many nodes: connections that are subscribed as nodes are, and read.
//   node listeners.js redis://127.0.0.1:6379 99
const net = require('net');

const CHANNELS = ['PSUBSCRIBE socket.io#/#*\r\n', 'SUBSCRIBE socket.io-request#/#\r\n'];
const { hostname, port } = new URL(process.argv[2]);
const count = Number(process.argv[3]);
let ready = 0;

for (let i = 0; i < count; i++) {
  const socket = net.connect(Number(port), hostname, () => socket.write(CHANNELS.join('')));
  socket.once('data', () => {
    if (++ready === count) console.error(`listening on ${hostname}:${port}`);
  });
  socket.on('data', () => {});
  socket.on('error', (e) => {
    console.error(String(e));
    process.exit(1);
  });
}
