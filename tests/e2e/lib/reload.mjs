// Reloads of a daemon, by SIGHUP.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { until } from './wait.mjs';

const RESULT = /(reloaded|reload failed, the configuration stays as it was)$/gm;

const results = (server) => [...server.stderr().matchAll(RESULT)];

// Writes the INI, if there is one, and reloads. Returns what was said: { ok, lines }.
export async function reload(server, ini) {
  if (ini !== undefined) writeFileSync(join(server.dir, 'roomcast.ini'), ini);
  const before = results(server).length;
  const from = server.stderr().length;
  server.child.kill('SIGHUP');
  const all = await until(
    'the reload',
    () => {
      if (server.ended) throw new Error(`roomcast has ended: ${server.stderr()}`);
      const now = results(server);
      return now.length > before && now;
    },
    20_000,
  );
  const said = server.stderr().slice(from);
  return {
    ok: all.at(-1)[1] === 'reloaded',
    lines: [...said.matchAll(/reload: (.*)$/gm)].map((m) => m[1]),
  };
}
