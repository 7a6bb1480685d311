#!/usr/bin/env node
// SPDX-License-Identifier: GPL-2.0-only
// `npx hmm-selftests COMMAND ...`: the commands of the installed package.

import { fileURLToPath } from 'node:url';
import { EXTENSION } from '../cli/extension.ts';

const COMMANDS: Readonly<Record<string, { does: string; run: () => Promise<unknown> }>> = {
  start: {
    does: 'the suite in every recorded configuration, and whether the model agrees with Linux',
    run: () => import('./start.ts'),
  },
  'hmm-tests': { does: "the suite, with upstream's options and exit codes", run: () => import('./hmm-tests.ts') },
  run: { does: 'a program that you compiled, on the modelled machine', run: () => import('./run.ts') },
  compare: { does: "your kernel's results against the model's, test by test", run: () => import('./compare.ts') },
  replay: { does: 'recorded op programs against the model', run: () => import('./replay.ts') },
  explore: { does: 'interleavings of the modelled tasks', run: () => import('./explore.ts') },
  regression: { does: 'regression cases for kernel patches', run: () => import('./regression.ts') },
  drift: { does: 'what of a kernel tree the model does not follow as it is there', run: () => import('./drift.ts') },
  impact: { does: 'what a kernel patch touches, and which tests reach that', run: () => import('./impact.ts') },
  bench: { does: 'what the model costs', run: () => import('./bench.ts') },
};

const USAGE = `usage: hmm-selftests COMMAND [arguments]
${Object.entries(COMMANDS)
  .map(([name, { does }]) => `  ${name.padEnd(12)}${does}\n`)
  .join('')}`;

const [name, ...argv] = process.argv.slice(2);
const command = Object.hasOwn(COMMANDS, name ?? '') ? COMMANDS[name] : undefined;
if (command !== undefined) {
  // Messages name the lines of the TypeScript sources.
  process.setSourceMapsEnabled(true);
  process.argv = [process.argv[0], fileURLToPath(new URL(name + EXTENSION, import.meta.url)), ...argv];
  await command.run();
} else if (name === '--help' || name === '-h') {
  process.stdout.write(USAGE);
} else {
  const known = Object.keys(COMMANDS).join(', ');
  process.stderr.write(`hmm-selftests: expected one of ${known}, got ${name ?? 'nothing'}\n`);
  process.exitCode = 2;
}
