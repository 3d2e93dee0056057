// The table of docs/reliability.md, in Markdown, from what ROOMCAST_REPORT has got: latency-table.mjs FILE
// An asterisk: the machine stood still in each of the runs.
import { readFileSync } from 'node:fs';

const ms = (value) => (value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString('en'));
const cells = (told, kind) => {
  if (told[`${kind}_p50_ms`] === undefined) return ['', ''];
  const [p99, least, most] = ['p99_ms', 'p99_least_ms', 'p99_most_ms'].map((key) => told[`${kind}_${key}`]);
  const still = told[`${kind}_runs`] === 0 ? '*' : '';
  return [ms(told[`${kind}_p50_ms`]), ms(p99) + still + (least === undefined ? '' : ` (${ms(least)}–${ms(most)})`)];
};
const ratio = (told, from) => {
  if (!told[`${from}_p99_ms`]) return '';
  const times = told.bad_p99_ms / told[`${from}_p99_ms`];
  const text = times < 10 ? times.toFixed(1) : Math.round(times).toLocaleString('en');
  return times > 2 ? `**${text}**` : text;
};

const kinds = ['quiet', 'control', 'bad'];
const rows = [
  ['', ...kinds.flatMap((kind) => [`${kind}: p50`, 'p99']), 'p99, bad to quiet', 'bad to control'],
  Array(9).fill('---'),
];
for (const line of readFileSync(process.argv[2], 'utf8').trim().split('\n')) {
  const told = JSON.parse(line);
  rows.push([told.test, ...kinds.flatMap((kind) => cells(told, kind)), ratio(told, 'quiet'), ratio(told, 'control')]);
}
for (const row of rows) console.log(row[0] === '---' ? `|${row.join('|')}|` : `| ${row.join(' | ')} |`.replace(/\s+\|/g, ' |'));
