// SPDX-License-Identifier: GPL-2.0-only
// The failures that Linux 7.3.4 has itself, by what was recorded, and where they are explained.

import { readFileSync } from 'node:fs';
import { type MachineOptions, SPM_DEFAULT } from '../cli/options.ts';
import { type KtapResult, read_ktap } from '../ktap/ktap.ts';
import { in_words } from './agreement.ts';

/** A kind of machine on which Linux was recorded. */
export type Configuration = Pick<MachineOptions, 'thp' | 'spm'>;

/** Each file in selftests/results that holds the whole suite at once, by name. */
export const WHOLE_SUITE: Readonly<Record<string, Configuration>> = {
  smoke: { thp: 'always', spm: null },
  'spm-always': { thp: 'always', spm: SPM_DEFAULT },
  'spm-madvise': { thp: 'madvise', spm: SPM_DEFAULT },
  'spm-never': { thp: 'never', spm: SPM_DEFAULT },
};
/** Each file in which every test ran alone on a fresh machine. */
export const ISOLATED: Readonly<Record<string, Configuration>> = {
  'iso-always': WHOLE_SUITE['spm-always'],
  'iso-madvise': WHOLE_SUITE['spm-madvise'],
  'iso-never': WHOLE_SUITE['spm-never'],
};

/** Where the failures are explained, and under which heading those of a configuration. */
export const EXPLAINED = 'selftests/hmm-tests/FAILURES.md';
export function heading(name: string): string {
  if (name.startsWith('iso-')) return 'Each test alone';
  return `spm, THP ${WHOLE_SUITE[name]?.thp ?? 'always'}`;
}

export function results_file(dir: URL, name: string): URL {
  return new URL(`${name}.ktap`, dir);
}

/** Words broken into lines of at most 80 columns, the later ones indented. */
export function wrapped(text: string, indent = '  '): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(word);
    else if (`${last} ${word}`.length > 80) lines.push(indent + word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return `${lines.join('\n')}\n`;
}

/** Failures of a run, told apart by whether a recorded Linux 7.3.4 fails in the very same way. */
export function own_failures(
  dir: URL,
  fixtures: ReadonlySet<string>,
  machine: Configuration,
  results: readonly KtapResult[],
): { own: Map<string, string[]>; other: string[] } {
  const failed = results.filter((r) => r.verdict === 'FAIL');
  const own = new Map<string, string[]>();
  if (failed.length === 0) return { own, other: [] };
  // What happens to private memory is the same with coherent memory and without.
  const files = [...Object.entries(WHOLE_SUITE), ...Object.entries(ISOLATED)].filter(
    ([, it]) => it.thp === machine.thp,
  );
  const found = new Set<string>();
  for (const [name] of files) {
    const text = readFileSync(results_file(dir, name), 'utf8');
    const recorded = read_ktap(text, fixtures).runs.flatMap((run) => run.results);
    for (const r of failed) {
      const same = recorded.some((it) => it.name === r.name && in_words(it) === in_words(r));
      if (!same || found.has(r.name)) continue;
      found.add(r.name);
      own.set(name, [...(own.get(name) ?? []), r.name]);
    }
  }
  return { own, other: failed.map((r) => r.name).filter((name) => !found.has(name)) };
}

/** Failures that are Linux's own, by the recording that has them, in sentences. */
export function own_text(own: ReadonlyMap<string, readonly string[]>): string {
  const total = [...own.values()].reduce((n, names) => n + names.length, 0);
  if (total === 0) return '';
  const says =
    total === 1
      ? `1 failure is Linux 7.3.4's own: it fails in the same way. ${EXPLAINED} explains it:`
      : `${total} failures are Linux 7.3.4's own: it fails in the same way. ${EXPLAINED} explains each:`;
  const lines = [...own].map(([name, tests]) =>
    wrapped(
      `  ${name} ("${heading(name)}"): ${tests.map((it) => it.replace(/^\w+\.hmm2?_device_/, '')).join(', ')}`,
      '    ',
    ),
  );
  return wrapped(says, '') + lines.join('');
}
