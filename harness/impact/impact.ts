// SPDX-License-Identifier: GPL-2.0-only
// What a kernel patch touches of what is modelled, and which tests reach that.

import { type Citation, citations } from '../drift/citations.ts';
import { read_facts } from '../drift/facts.ts';
import type { PatchFile, Touched } from './patch_file.ts';
import { type Kind, reach_key, type Reach, tests_reaching } from './reach.ts';

/** The file that upstream's suite is in; the port has each of its tests under the same name. */
const SUITE = 'tools/testing/selftests/mm/hmm-tests.c';

export interface TouchedDefinition extends Touched {
  /** the model's functions that follow it; none for what is not modelled */
  model: { file: string; line: number; name: string }[];
  /** why there is none */
  why: string;
  /** how many tests reach them */
  tests: number;
}

export interface Impact {
  subject: string | null;
  patches: number;
  touched: TouchedDefinition[];
  /** tests to run, by kind, those that reach most of what is touched first */
  tests: Record<Kind, string[]>;
}

function reason(it: Touched, followed: ReadonlySet<string>): string {
  if (it.c_file === SUITE) return 'the suite itself: the port is selftests/hmm-tests/';
  if (it.c_name === null) return 'outside of functions';
  if (!/\.[chS]$/.test(it.c_file)) return 'no C';
  return followed.has(it.c_file) ? 'not modelled, in a file that is' : 'not modelled';
}

/** What a patch touches. */
export function impact_of(patch: PatchFile, reach: Reach): Impact {
  const by_definition = new Map<string, Citation[]>();
  for (const it of citations()) {
    const key = `${it.c_file}: ${it.c_name}`;
    by_definition.set(key, [...(by_definition.get(key) ?? []), it]);
  }
  const followed = new Set(read_facts().keys());
  const keys: string[] = [];
  const touched = patch.touched.map((it): TouchedDefinition => {
    const all = by_definition.get(`${it.c_file}: ${it.c_name ?? ''}`) ?? [];
    const model = all.map(({ file, line, name }) => ({ file, line, name }));
    const own = model.map(({ file, name }) => reach_key(file, name));
    keys.push(...own);
    return {
      ...it,
      model,
      why: model.length > 0 ? '' : reason(it, followed),
      tests: tests_reaching(reach, own).length,
    };
  });
  const tests: Record<Kind, string[]> = { suite: [], case: [], race: [], program: [] };
  for (const { test } of tests_reaching(reach, keys)) tests[test.kind].push(test.name);
  const changed = patch.touched.filter((it) => it.c_file === SUITE).map((it) => it.c_name);
  for (const { kind, name } of reach.tests)
    if (kind === 'suite' && changed.includes(name.split('.').at(-1) ?? '') && !tests.suite.includes(name))
      tests.suite.push(name);
  return { subject: patch.subject, patches: patch.patches, touched, tests };
}
