// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s regression`: the patch states, and the cases that show what each patch is for.

import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { patch_states } from '../../lib/patches/index.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, command_line, run_commands, text } from '../cli/command.ts';
import { EXTENSION } from '../cli/extension.ts';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import { agrees, differences_text, judge, read_results } from '../compare/judge.ts';
import { type RegressionCase, run_regression } from '../regression/case.ts';
import { patch_index, PATCHES } from '../regression/patch_index.ts';

const DIR = 'selftests/regressions';
/** The cases in selftests/regressions, by slug; all of them if none is named. */
export async function load_cases(slugs: readonly string[] = []): Promise<RegressionCase[]> {
  const dir = new URL(`../../${DIR}/`, import.meta.url);
  const all = readdirSync(dir)
    .filter((f) => f.endsWith(EXTENSION) && !f.endsWith(`.test${EXTENSION}`))
    .map((f) => f.slice(0, -EXTENSION.length))
    .sort();
  const unknown = slugs.find((s) => !all.includes(s));
  if (unknown !== undefined)
    throw new UsageError(`no case ${unknown} in ${DIR}: there are ${all.join(', ') || 'none'}`);
  const cases: RegressionCase[] = [];
  for (const slug of slugs.length > 0 ? slugs : all) {
    const module = (await import(new URL(slug + EXTENSION, dir).href)) as {
      default?: Omit<RegressionCase, 'slug'>;
    };
    if (module.default === undefined)
      throw new UsageError(`${DIR}/${slug}.ts: has no default export; expected a regression case`);
    cases.push({ ...module.default, slug });
  }
  return cases;
}

function list(): number {
  for (const kind of ['series', 'reverted', 'proposed'] as const) {
    for (const p of patch_states.filter((x) => x.kind === kind)) {
      process.stdout.write(
        `${p.id}\n    ${p.subject} (${p.date})\n    ${kind}, ${p.where}; Linux 7.3.4 ${p.merged ? 'has it' : 'does not have it'}\n    ${p.changes}\n`,
      );
      if (p.excludes !== undefined && p.excludes.length > 0)
        process.stdout.write(`    excludes ${p.excludes.join(', ')}\n`);
    }
  }
  return 0;
}

/**
 * Results that the author recorded beside a case, SLUG.before.ktap and SLUG.after.ktap, against the model's in each
 * state.
 */
async function compare_recorded(c: RegressionCase): Promise<string[]> {
  const wrong: string[] = [];
  for (const [when, patches] of [
    ['before', c.without],
    ['after', c.with],
  ] as const) {
    const path = `${DIR}/${c.slug}.${when}.ktap`;
    if (!existsSync(path)) continue;
    const options = STANDARD_MACHINE;
    const j = judge(await read_results(path, hmm_tests), hmm_tests, {
      ...options,
      patches,
      thp: c.config?.thp ?? options.thp,
      mem: c.config?.mem ?? options.mem,
    });
    if (!agrees(j)) wrong.push(`${path}: the model differs\n${differences_text(j)}`);
  }
  return wrong;
}

async function run(slugs: readonly string[]): Promise<number> {
  let bad = 0;
  for (const c of await load_cases(slugs)) {
    const v = run_regression(c);
    const wrong = [...(v.wrong === null ? [] : [v.wrong]), ...(await compare_recorded(c))];
    if (wrong.length === 0) process.stdout.write(`ok ${c.slug}: without the fix ${v.without}\n`);
    else {
      bad++;
      process.stdout.write(
        `not ok ${c.slug}: ${wrong.join('\n')}\n  run just this: ${command_line('regression', 'run', c.slug)}\n`,
      );
    }
  }
  return bad === 0 ? 0 : 1;
}

function template(id: string, subject: string): string {
  const quote = (s: string): string => `'${s.replace(/[\\']/g, '\\$&')}'`;
  return `// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: ${subject}
// Upstream: ${id}
//
// Bug:
//  1. (what happens first without the patch)
//  2. (what goes wrong)
//
// Running: npm run -s regression -- run SLUG

import type { RegressionCase } from '../../../harness/regression_case.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: ${quote(subject)},
  upstream: ${quote(id)},
  bug: ['(the numbered steps of above)'],
  // Patch states (npm run -s regression -- list) of the machine without the fix, and with it.
  without: [],
  with: [],
  fails: { kind: 'assertion', text: '(words of the failure)' },
  *run(_c, x) {
    x.check(false, 'this case is not filled in yet');
  },
};

export default regression;
`;
}

function create(id: string | null, subject: string | null): number {
  if (id === null) throw new UsageError('new needs --id=COMMIT_OR_MESSAGE_ID');
  if (subject === null) throw new UsageError('new needs --subject=TEXT, the subject of the patch');
  const slug = subject
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 60);
  if (slug === '') throw new UsageError(`--subject ${JSON.stringify(subject)}: expected some letters or digits`);
  const path = `${DIR}/${slug}.ts`;
  if (existsSync(path)) throw new UsageError(`${path} exists already`);
  writeFileSync(path, template(id, subject).replaceAll('SLUG', slug));
  process.stdout.write(`wrote ${path}; it fails until it is filled in: ${command_line('regression', 'run', slug)}\n`);
  return 0;
}

if (process.argv[1]?.endsWith(`regression${EXTENSION}`)) {
  run_commands('regression', [
    command({ verb: 'list', words: '', count: [0, 0], about: 'Lists the patch states.', options: {}, run: list }),
    command({
      verb: 'run',
      words: '[CASE...]',
      count: [0, Infinity],
      about: 'Runs cases, all of them if none is named: each must fail without its fix and pass with it.',
      options: {},
      run: (_, slugs) => run(slugs),
    }),
    command({
      verb: 'new',
      words: '',
      count: [0, 0],
      about: 'Writes the file of a case for a patch, which fails until it is filled in.',
      options: {
        id: text('its commit or Message-Id', 'ID'),
        subject: text("the patch's subject", 'TEXT'),
      },
      run: (o) => create(o.id, o.subject),
    }),
    command({
      verb: 'index',
      words: '',
      count: [0, 0],
      about: 'Writes lib/patches/index.ts from the files of the patch states.',
      options: {},
      run: () => {
        writeFileSync(`${PATCHES}index.ts`, patch_index());
        return 0;
      },
    }),
  ]);
}
