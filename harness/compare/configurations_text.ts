// SPDX-License-Identifier: GPL-2.0-only
// What the suite came to in several configurations, as text and as KTAP.

import type { PatchId } from '../../lib/patches/index.ts';
import { command_line } from '../cli/command.ts';
import type { Done } from './configurations.ts';
import { agrees, differences_text, type Judgement } from './judge.ts';
import { own_text } from './known.ts';

type All = readonly (readonly [string, Done])[];

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) =>
        column === 0 || column === row.length - 1 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd();
  return `${rows.map(line).join('\n')}\n`;
}

function row(name: string, j: Judgement): string[] {
  return [
    name,
    String(j.pass),
    String(j.fail),
    String(j.skip),
    agrees(j) ? `identical, all ${j.compared}` : `NOT identical: ${j.same} of ${j.compared} are`,
  ];
}

/** A configuration that differs: where, and how to run just that again. */
function difference(name: string, j: Judgement, patches: readonly PatchId[]): string {
  const states = patches.length > 0 ? [`--patches=${patches.join(',')}`] : [];
  const again = command_line('start', `--configuration=${name}`, ...states);
  return `${name}:\n${differences_text(j).replace(/^(?=.)/gm, '  ')}\n  again: ${again}\n`;
}

/** The table, below what differs and above which failures are Linux's own. */
export function configurations_text(all: All, patches: readonly PatchId[]): string {
  const different = all.filter(([, { judgement }]) => !agrees(judgement));
  const rows = all.map(([name, { judgement }]) => row(name, judgement));
  const failed = all.map(([name, { judgement }]) => [name, judgement.failed] as const);
  return [
    ...different.map(([name, { judgement }]) => difference(name, judgement, patches)),
    table([['configuration', 'pass', 'fail', 'skip', 'beside Linux 7.3.4'], ...rows]),
    own_text(new Map(failed.filter(([, tests]) => tests.length > 0))),
  ].join('');
}

/** What the suite printed in each configuration, as the kselftest runner nests the output of programs. */
export function recording_of(all: All): string {
  const parts = all.map(([name, { judgement, output }], i) => {
    const nested = output.replace(/^.*\n/gm, '# $&');
    return `# selftests: hmm: ${name}\n${nested}${agrees(judgement) ? 'ok' : 'not ok'} ${i + 1} selftests: hmm: ${name}\n`;
  });
  return `TAP version 13\n1..${all.length}\n${parts.join('')}`;
}
