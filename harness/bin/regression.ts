// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s regression`: the patch states, and the cases that show what each patch is for.

import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { patch_states } from '../../lib/patches/index.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { check_types } from '../cases/check.ts';
import { choice, command, command_line, run_commands, text } from '../cli/command.ts';
import { BUILT } from '../cli/extension.ts';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { UsageError } from '../cli/usage_error.ts';
import { agrees, differences_text, judge, read_results } from '../compare/judge.ts';
import { type LoadedCase, run_regression } from '../regression/case.ts';
import { create } from '../regression/create.ts';
import { case_file, CASES, load_cases, type Loaded } from '../regression/load.ts';
import { PATCH_KINDS, write_patch_index } from '../regression/patch_index.ts';

async function list(): Promise<number> {
  const cases = await load_cases();
  for (const kind of PATCH_KINDS) {
    for (const p of patch_states.filter((x) => x.kind === kind)) {
      print(
        `${p.id}\n    ${p.subject} (${p.date})\n    ${kind}, ${p.where}; Linux 7.3.4 ${p.merged ? 'has it' : 'does not have it'}\n    ${p.changes}\n`,
      );
      if (p.excludes !== undefined && p.excludes.length > 0) print(`    excludes ${p.excludes.join(', ')}\n`);
      for (const it of cases) if ('c' in it && it.c.state === p.id) print(`    case ${it.slug}\n`);
    }
  }
  return 0;
}

/**
 * Results that the author recorded beside a case, SLUG.before.ktap and SLUG.after.ktap, against the model's in each
 * state.
 */
async function compare_recorded(c: LoadedCase): Promise<string[]> {
  const wrong: string[] = [];
  for (const [when, patches] of [
    ['before', c.without],
    ['after', c.with],
  ] as const) {
    const path = `${CASES}${c.slug}.${when}.ktap`;
    if (!existsSync(path)) continue;
    const j = judge(await read_results(path, hmm_tests), hmm_tests, {
      ...STANDARD_MACHINE,
      patches,
      thp: c.config?.thp ?? STANDARD_MACHINE.thp,
      mem: c.config?.mem ?? STANDARD_MACHINE.mem,
    });
    if (!agrees(j)) wrong.push(`${relative('.', path)}: the model differs\n${differences_text(j)}`);
  }
  return wrong;
}

/** What is wrong with a case, and how it failed without the fix. */
async function run_one(it: Loaded): Promise<{ wrong: readonly string[]; without: string }> {
  if ('wrong' in it) return { wrong: it.wrong, without: '' };
  if (it.unfilled.length > 0) return { wrong: it.unfilled, without: '' };
  const v = run_regression(it.c);
  return { wrong: [...(v.wrong === null ? [] : [v.wrong]), ...(await compare_recorded(it.c))], without: v.without };
}

async function run(names: readonly string[]): Promise<number> {
  const loaded = await load_cases(names);
  const checking = check_types([...new Set(loaded.flatMap(({ files }) => files))]);
  let bad = 0;
  for (const it of loaded) {
    const { wrong: found, without } = await run_one(it);
    const types = await checking;
    const complaints = it.files.flatMap((file) => types?.get(file) ?? []);
    // With a step that does nothing the outcome says nothing, and a file that cannot be loaded has been complained of.
    const wrong = 'wrong' in it || complaints.length === 0 ? found : [...it.unfilled, ...complaints];
    if (wrong.length === 0) print(`ok ${it.slug}: without the fix ${without}\n`);
    else {
      bad++;
      const again = command_line('regression', 'run', it.slug);
      print(`not ok ${it.slug}: ${wrong.join('\n  ')}\n  run just this: ${again}\n`);
    }
  }
  if ((await checking) === null && !BUILT)
    process.stderr.write('regression: types and yield* are not checked: typescript is not installed\n');
  return bad === 0 ? 0 : 1;
}

run_commands('regression', [
  command({
    verb: 'list',
    words: '',
    count: [0, 0],
    about: 'Lists the patch states and their cases.',
    options: {},
    run: list,
  }),
  command({
    verb: 'run',
    words: '[CASE|STATE...]',
    count: [0, Infinity],
    about: `Runs cases, those of a patch state, or all of them: each must fail without its fix and pass with it.`,
    options: {},
    run: (_, names) => run(names),
  }),
  command({
    verb: 'new',
    words: '',
    count: [0, 0],
    about: 'Writes the files of a patch state and of its case, which fail until they are filled in.',
    options: {
      id: text('commit or Message-Id of the patch', 'ID'),
      subject: text('subject of the patch', 'TEXT'),
      kind: choice('taken out of 7.3.4, put in, or a series', ['reverted', 'proposed', 'series'], 'reverted'),
    },
    run: (o) => {
      if (o.id === null) throw new UsageError('new needs --id=COMMIT_OR_MESSAGE_ID');
      if (o.subject === null) throw new UsageError('new needs --subject=TEXT, the subject of the patch');
      const { state, slug } = create(o.kind, o.id, o.subject);
      const again = command_line('regression', 'run', slug);
      print(`wrote ${state} and ${relative('.', case_file(slug))}; they fail until they are filled in: ${again}\n`);
      return 0;
    },
  }),
  command({
    verb: 'index',
    words: '',
    count: [0, 0],
    about: 'Writes lib/patches/index.ts from the files of the patch states.',
    options: {},
    run: () => {
      write_patch_index();
      return 0;
    },
  }),
]);
