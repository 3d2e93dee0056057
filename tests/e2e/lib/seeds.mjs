// The applications that roomcast has to run with their own client code: articles with code in them.
//
// SEEDS_DIR   the folder of the texts (default ../shared/seeds beside the repository)
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';

import { top } from './daemon.mjs';

const folder = resolve(top, process.env.SEEDS_DIR || '../shared/seeds');

// The text of one, by its number ("000").
export function seed(number) {
  const name = readdirSync(folder).find((f) => f.startsWith(`${number}_`));
  if (!name) throw new Error(`no seed ${number} in ${folder}`);
  return readFileSync(join(folder, name), 'utf8');
}

// Its fenced blocks: [ { language, code } ].
export function blocks(text) {
  return [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)].map(([, language, code]) => ({ language, code }));
}
