// Certificates for the tests of TLS, made by openssl: an authority of their own and whom it signs for.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';

import { tempDir } from './daemon.mjs';
import { within } from './target.mjs';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
export const NEW_RSA = ['-newkey', 'rsa:2048', '-nodes'];

export class Authority {
  constructor(name = 'tests') {
    this.dir = tempDir();
    this.name = name;
    this.serial = 1;
    openssl('req', '-x509', ...NEW_KEY, '-keyout', this.at('ca.key'), '-out', this.at('ca.pem'), '-days', '30', '-subj',
      `/CN=${name} authority`, '-addext', 'basicConstraints=critical,CA:TRUE');
    this.file = this.at('ca.pem');
    this.pem = readFileSync(this.file);
  }

  at(file) {
    return join(this.dir, file);
  }

  // names: 'DNS:localhost,IP:127.0.0.1'. Returns { cert, key }, paths of PEM files, and those files' texts.
  issue(id, names = 'DNS:localhost,IP:127.0.0.1', newKey = NEW_KEY) {
    const [key, csr, cert, ext] = ['key', 'csr', 'pem', 'ext'].map((e) => this.at(`${id}.${e}`));
    openssl('req', ...newKey, '-keyout', key, '-out', csr, '-subj', `/CN=${id}`);
    writeFileSync(ext, `subjectAltName=${names}\n`);
    openssl('x509', '-req', '-in', csr, '-CA', this.file, '-CAkey', this.at('ca.key'), '-set_serial',
      String(++this.serial), '-days', '20', '-extfile', ext, '-out', cert);
    return { cert, key, certPem: readFileSync(cert), keyPem: readFileSync(key) };
  }
}

// The section of a listener with TLS.
export const listenTls = (pairs, more = '', name = 'tls') => `
[listen ${name}]
address = 127.0.0.1:0
tls = yes
certificate = ${[pairs].flat().map((p) => p.cert).join(', ')}
key = ${[pairs].flat().map((p) => p.key).join(', ')}
${more}
`;

// The server as its clients see it by https and wss.
export const secure = (server, port = server.port) => ({ url: `https://localhost:${port}`, ws: `wss://localhost:${port}`, port });

// A TLS connection after its handshake; an error of it rejects. .said(pattern) waits for text, .forget() drops what has come.
export async function dial(port, options = {}) {
  const socket = tlsConnect({ host: '127.0.0.1', port, servername: 'localhost', ...options });
  const waiting = new Set();
  let text = '';
  socket.ended = false;
  socket.fault = null;
  const wake = () => waiting.forEach((w) => w());
  socket.setEncoding('latin1').on('data', (d) => ((text += d), wake()));
  const end = () => ((socket.ended = true), wake());
  socket.on('end', end).on('close', end).on('error', (e) => ((socket.fault ??= e), end()));
  const wait = (what, check) =>
    within(20_000, what, new Promise((done) => {
      const look = () => check() && (waiting.delete(look), done());
      waiting.add(look);
      look();
    }));
  socket.said = async (pattern) => {
    await wait(`${pattern}; had ${text}`, () => pattern.test(text) || socket.ended);
    if (!pattern.test(text)) throw socket.fault ?? new Error(`closed; had ${text}`);
    return pattern.exec(text);
  };
  socket.forget = () => (text = '');
  socket.gone = () => wait('the end of a TLS connection', () => socket.ended);
  await within(20_000, 'a TLS handshake', new Promise((done, fail) => {
    socket.once('secureConnect', done).once('error', fail).once('close', () => fail(new Error('closed in the handshake')));
  }));
  return socket;
}

// One request by https; { status, body, socket }. It ends the connection.
export async function get(port, path, options) {
  const socket = await dial(port, options);
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
  const [, status, body] = await socket.said(/^HTTP\/1\.1 (\d+) [^]*?\r\n\r\n([^]*)$/);
  await socket.gone();
  return { status: Number(status), body, socket };
}
