// Listens on a port of 127.0.0.1, prints it, and passes connections on: relay.mjs HOST PORT [PATH]. In a network
// namespace it is the way out for programs that talk to loopback only; with the path of a Unix socket, for those elsewhere.
import { connect, createServer } from 'node:net';

const [host, port, path] = process.argv.slice(2);
const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ host, port: Number(port), noDelay: true, allowHalfOpen: true });
  near.pipe(far).pipe(near);
  near.on('error', () => far.destroy());
  far.on('error', () => near.destroy());
});
server.listen(path ?? { port: 0, host: '127.0.0.1' }, () => console.log(server.address().port ?? path));
process.stdin.on('end', () => process.exit()).resume();
