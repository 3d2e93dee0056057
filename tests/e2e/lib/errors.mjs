// The errors of Engine.IO requests, and upgrades that are refused.
import assert from 'node:assert/strict';

import { RawWs, Wire } from './wire.mjs';

export const MESSAGES = [
  'Transport unknown',
  'Session ID unknown',
  'Bad handshake method',
  'Bad request',
  'Forbidden',
  'Unsupported protocol version',
];

export const errorBody = (code) => JSON.stringify({ code, message: MESSAGES[code] });

export function assertError(r, code) {
  assert.deepEqual([r.status, r.body], [400, errorBody(code)]);
  assert.equal(r.headers['content-type'], 'application/json');
}

// The answer to an upgrade that was refused before 101.
export async function refusedUpgrade(server, path, options) {
  const wire = await Wire.open(server);
  await wire.write(RawWs.handshake(path, options).text);
  const r = await wire.response();
  await wire.closed();
  return r;
}
