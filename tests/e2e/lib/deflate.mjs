// permessage-deflate by hand (RFC 7692): a client's side with zlib.
import assert from 'node:assert/strict';
import zlib from 'node:zlib';

export const PMD = 'permessage-deflate';
export const RSV1 = { rsv: 4 };

// A message as a client compresses it: without the tail of the flush.
export function pack(data, options = {}) {
  const bytes = zlib.deflateRawSync(data, { finishFlush: zlib.constants.Z_SYNC_FLUSH, ...options });
  assert.equal(bytes.toString('hex', bytes.length - 4), '0000ffff');
  return bytes.subarray(0, bytes.length - 4);
}

// Small pieces of output: zlib then notices what is farther away than the window.
export function unpack(data, windowBits = 15) {
  return zlib.inflateRawSync(Buffer.concat([data, Buffer.from([0, 0, 255, 255])]), {
    finishFlush: zlib.constants.Z_SYNC_FLUSH, windowBits, chunkSize: 64,
  });
}

// Compressible, with repetitions from near and from far.
export function prose(n) {
  let x = 7;
  const out = Buffer.alloc(n);
  for (let i = 0; i < n; i++) {
    x = (x * 1103515245 + 12345) & 0x7fffffff;
    const back = [220, 3000, 15_000, 30_000][(i / 5000) & 3];
    out[i] = i > 30_000 && i % 1000 < 700 ? out[i - back] : 97 + (x >> 16) % 26;
  }
  return out;
}
