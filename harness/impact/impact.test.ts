// SPDX-License-Identifier: GPL-2.0-only

import { join } from 'node:path';
import t from 'tap';
import { Coverage } from './coverage.ts';
import { impact_of } from './impact.ts';
import type { PatchFile } from './patch_file.ts';
import { reach_key, type Reach, read_reach, tests_reaching, write_reach } from './reach.ts';
import { impact_text } from './text.ts';
import { boot } from '../../lib/boot.ts';

const KEY = reach_key('lib/mm/hmm.ts', 'hmm_range_fault');
const reach: Reach = {
  tests: [
    { kind: 'suite', name: 'hmm.hmm_device_private.anon_read' },
    { kind: 'case', name: 'a-case' },
    { kind: 'program', name: 'p-1' },
    { kind: 'suite', name: 'hmm.hmm_device_private.double_map' },
  ],
  functions: new Map([
    [KEY, [0, 2]],
    [reach_key('lib/mm/hmm.ts', 'hmm_vma_walk_pmd'), [0, 1, 2]],
  ]),
};

function patch(...touched: PatchFile['touched']): PatchFile {
  return { subject: 'mm: change', message_id: null, patches: 1, touched };
}

t.test('what is modelled is named with the tests that reach it, all else with the reason', async (t) => {
  const it = impact_of(
    patch(
      { c_file: 'mm/hmm.c', c_name: 'hmm_range_fault', added: 2, removed: 1 },
      { c_file: 'mm/hmm.c', c_name: 'hmm_dma_map_pfn', added: 1, removed: 0 },
      { c_file: 'mm/ksm.c', c_name: 'ksm_enter', added: 1, removed: 0 },
      { c_file: 'tools/testing/selftests/mm/hmm-tests.c', c_name: 'double_map', added: 1, removed: 0 },
    ),
    reach,
  );
  t.match(it.touched, [
    { model: [{ file: 'lib/mm/hmm.ts', name: 'hmm_range_fault' }], tests: 2 },
    { model: [], why: 'not modelled, in a file that is' },
    { model: [], why: 'not modelled' },
    { model: [], why: /the port is/ },
  ]);
  t.same(it.tests, {
    suite: ['hmm.hmm_device_private.anon_read', 'hmm.hmm_device_private.double_map'],
    case: [],
    race: [],
    program: ['p-1'],
  });
  t.match(impact_text(it), /mm\/hmm\.c: hmm_range_fault, \+2 -1: lib\/mm\/hmm\.ts:\d+\n +2 tests reach it/);
});

t.test('the tests that reach most come first', async (t) => {
  const keys = [...reach.functions.keys()];
  t.same(tests_reaching(reach, keys)[0], { test: reach.tests[0], reaches: 2 });
  t.same(tests_reaching(reach, ['lib/mm/hmm.ts nothing']), []);
});

t.test('what was written down is read again', async (t) => {
  const file = join(t.testdir({}), 'reach.json.gz');
  write_reach(reach, file);
  t.same(read_reach(file), reach);
  t.ok((read_reach().functions.get(KEY) ?? []).length > 10, 'the project has a record of its own');
});

t.test('the functions that ran since the last look are told', async (t) => {
  const coverage = new Coverage();
  await coverage.start();
  boot();
  const first = await coverage.take();
  t.ok(first.some(([file, name]) => file === 'lib/boot.ts' && name === 'boot'));
  t.notOk(
    (await coverage.take()).some(([, name]) => name === 'boot'),
    'once',
  );
  await coverage.stop();
});
