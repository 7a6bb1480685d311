// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s mm-tests`: Linux's other mm selftests on the model, beside what Linux 7.3.4 answered.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { command, run_commands, text } from '../cli/command.ts';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { compare_program, recorded, recorded_names } from '../mm/recorded.ts';
import { run_mm_program } from '../mm/run.ts';
import { host_options } from '../run/options.ts';

function padded(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      row
        .map((cell, k) => cell.padEnd(widths[k]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

run_commands('mm-tests', [
  command({
    words: '[PROGRAM...]',
    count: [0, Infinity],
    about: `Runs programs of tools/testing/selftests/mm, compiled from your tree, and compares each line with what Linux 7.3.4
printed (selftests/results/mm). Without PROGRAM: all that were recorded. Exit status: 0 if all are as recorded.`,
    options: {
      binaries: text("directory with the programs, such as your tree's tools/testing/selftests/mm", 'DIR'),
      ...host_options,
    },
    run: (o, words) => {
      const known = recorded_names('noswap');
      const unknown = words.find((word) => !known.includes(word));
      if (unknown !== undefined)
        throw new UsageError(`no program ${unknown}: there are ${known.join(', ')}${did_you_mean(unknown, known)}`);
      if (o.binaries === null) throw new UsageError('--binaries=DIR is needed: the directory with the programs');
      const rows = [['program', 'subtests', 'seconds', 'beside Linux 7.3.4']];
      let all = true;
      for (const name of words.length > 0 ? words : known) {
        const file = join(o.binaries, name);
        if (!existsSync(file)) throw new UsageError(`${file}: there is no such program`);
        const linux = recorded('noswap', name);
        const from = performance.now();
        const run = run_mm_program({ file, root: o.root, cpu: o.cpu }, linux.args, STANDARD_MACHINE);
        const seconds = ((performance.now() - from) / 1000).toFixed(1);
        const { subtests, same, difference } = compare_program(linux, run);
        // The kernel reported nothing during any of the recordings.
        const agrees = difference === null && run.reports.length === 0 && run.findings.length === 0;
        if (!agrees) all = false;
        rows.push([name, `${same} of ${subtests}`, seconds, agrees ? 'identical' : 'NOT identical']);
        if (run.lacks !== null) print(`${name}: ${run.lacks}\n`);
        else if (difference !== null)
          print(`${name}: line ${difference.line}\n  Linux: ${difference.expected}\n  model: ${difference.got}\n`);
        for (const line of [...run.reports, ...run.findings]) print(`${name}: ${line}\n`);
      }
      print(`${padded(rows)}\n`);
      return all ? 0 : 1;
    },
  }),
]);
