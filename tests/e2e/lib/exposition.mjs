// The text format of Prometheus (version 0.0.4), read strictly: what a scraper would refuse, and what
// does not keep to its conventions, is an error.
import assert from 'node:assert/strict';

const NAME = /^[a-z][a-z0-9_]*$/;
const SAMPLE = /^([a-z][a-z0-9_]*)(?:\{((?:[a-z][a-z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\+Inf|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/;

// Map of name → { type, help, samples: [{ name, labels, value }] }.
export function parse(text) {
  assert.ok(text.endsWith('\n'), 'the last line ends');
  const families = new Map();
  let current = null;
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment) {
      const [, what, name, rest] = comment;
      assert.match(name, NAME, line);
      if (what === 'HELP') {
        assert.ok(!families.has(name), `${name} comes twice`);
        current = { name, help: rest, samples: [], seen: new Set() };
        families.set(name, current);
      } else {
        assert.equal(current?.name, name, line);
        assert.ok(['counter', 'gauge', 'histogram'].includes(rest), line);
        assert.equal(current.type, undefined, line);
        current.type = rest;
      }
      continue;
    }
    const [, name, list, value] = SAMPLE.exec(line) ?? assert.fail(`no sample: ${line}`);
    assert.ok(current?.type, `${line}: before its TYPE`);
    const suffix = current.type === 'histogram' ? /_(bucket|sum|count)$/ : /$^/;
    assert.equal(name.replace(suffix, ''), current.name, line);
    assert.equal(/_total$/.test(current.name), current.type === 'counter', `${name}: counters end with _total`);
    assert.doesNotMatch(current.name, /_(ms|us|ns|kb|mb|kib|mib|milliseconds|microseconds)(_|$)/, `${name}: base units`);
    const labels = {};
    for (const [, key, text] of (list ?? '').matchAll(/([a-z0-9_]+)="((?:[^"\\]|\\.)*)"/g)) {
      assert.ok(!(key in labels), line);
      labels[key] = text;
    }
    const id = `${name}{${Object.entries(labels).sort().join()}}`;
    assert.ok(!current.seen.has(id), `${id} comes twice`);
    current.seen.add(id);
    current.samples.push({ name, labels, value: value === '+Inf' ? Infinity : Number(value) });
  }
  for (const f of families.values()) {
    assert.ok(f.type && f.samples.length, `${f.name} has type and samples`);
    if (f.type === 'histogram') checkHistogram(f);
  }
  return families;
}

function checkHistogram(f) {
  const series = new Map();
  for (const s of f.samples) {
    const { le, ...rest } = s.labels;
    const key = JSON.stringify(rest);
    if (!series.has(key)) series.set(key, { buckets: [] });
    const at = series.get(key);
    if (s.name.endsWith('_bucket')) at.buckets.push([le === '+Inf' ? Infinity : Number(le), s.value]);
    else at[s.name.slice(f.name.length + 1)] = s.value;
  }
  for (const { buckets, sum, count } of series.values()) {
    assert.ok(buckets.length > 1 && Number.isFinite(sum), f.name);
    assert.equal(buckets.at(-1)[0], Infinity, f.name);
    assert.equal(buckets.at(-1)[1], count, f.name);
    for (let i = 1; i < buckets.length; i++)
      assert.ok(buckets[i][0] > buckets[i - 1][0] && buckets[i][1] >= buckets[i - 1][1], f.name);
  }
}

// The sum of the samples that have these labels.
export function sum(families, name, labels = {}) {
  const family = families.get(name) ?? families.get(name.replace(/_(bucket|sum|count)$/, ''));
  assert.ok(family, `there is no ${name}`);
  return family.samples
    .filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))
    .reduce((n, s) => n + s.value, 0);
}
