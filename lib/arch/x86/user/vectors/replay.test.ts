// SPDX-License-Identifier: GPL-2.0-only

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { forms } from './forms.ts';
import { Replay, Results } from './replay.ts';
import { parse_encoding } from './state.ts';

// encodings.gz: a line an encoding, those that Linux's mm selftests execute and those of forms.ts. results.gz: what
// an AMD
// EPYC (Zen 5) made of 32 states of each. `RECORD=1 npx tap lib/arch/x86/user/vectors/replay.test.ts` records them
// again.

const SLOW = process.env['SLOW'] !== undefined;
const STATES = 32;
/** of the recorded encodings one in so many is replayed, so that the default run takes seconds */
const SAMPLE = SLOW ? 1 : 25;
const FRESH = SLOW ? 1 : 40;

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const read = (name: string): Buffer => gunzipSync(readFileSync(path(name)));

/** Compiles record.c, or returns null where no C compiler for x86-64 is found. */
function recorder(): string | null {
  if (process.arch !== 'x64' || process.platform !== 'linux') return null;
  const out = `${mkdtempSync(`${tmpdir()}/x86-`)}/record`;
  try {
    execFileSync('cc', ['-O2', '-o', out, path('record.c')], { stdio: 'ignore' });
    return out;
  } catch {
    return null;
  }
}

const record = (program: string, lines: readonly string[], states: number, first: number): Buffer =>
  execFileSync(program, [String(states), String(first)], { input: lines.join('\n') + '\n', maxBuffer: 2 ** 30 });

const program = recorder();

if (process.env['RECORD'] !== undefined && program !== null) {
  const executed = read('executed.gz').toString().trim().split('\n');
  const lines = [...new Map([...executed, ...forms()].map((line) => [line.split(' ')[0], line])).values()];
  writeFileSync(path('encodings.gz'), gzipSync(lines.join('\n') + '\n', { level: 9 }));
  writeFileSync(path('results.gz'), gzipSync(record(program, lines, STATES, 0), { level: 9 }));
}

t.test('recorded instructions do what the processor did', (t) => {
  const lines = read('encodings.gz').toString().trim().split('\n');
  const results = new Results(read('results.gz'));
  const run = new Replay('v3');
  const wrong: string[] = [];
  lines.forEach((line, k) => {
    const e = parse_encoding(line);
    // The results stand one behind the other; without SLOW=1 only each SAMPLE-th encoding is checked.
    if (k % SAMPLE !== 0) results.skip(STATES);
    else wrong.push(...run.check(e, results, 0, STATES, false));
  });
  t.ok(results.ended(), 'the results are read to the end');
  t.same(wrong.slice(0, 20), [], `${wrong.length} differences`);
  t.same([...run.unimplemented], [], 'no instruction is missing');
  t.ok(lines.length >= 5000);
  t.end();
});

if (program !== null) {
  t.test('instructions do what this processor does, from other states, as regions and step by step', (t) => {
    const first = STATES + Math.floor(Math.random() * 1e6);
    const lines = forms().filter((_, k) => (k + first) % FRESH === 0);
    const bytes = record(program, lines, 4, first);
    for (const stepping of [false, true]) {
      const results = new Results(bytes);
      const replay = new Replay('v3');
      const wrong = lines.flatMap((line) => replay.check(parse_encoding(line), results, first, 4, stepping));
      t.same(wrong.slice(0, 20), [], `from state ${first} on, ${stepping ? 'step by step' : 'as regions'}`);
    }
    t.end();
  });
}
