// All of socketio.test.mjs with the stock client of version 3, the first one of Engine.IO 4.
process.env.SOCKETIO_CLIENT = 'socket.io-client-3';
await import('./socketio.test.mjs');
