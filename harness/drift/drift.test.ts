// SPDX-License-Identifier: GPL-2.0-only

import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { UsageError } from '../cli/usage_error.ts';
import { config_differences } from './config.ts';
import { type Drift, drift_of, type Followed } from './drift.ts';
import { by_name, type Facts, read_facts } from './facts.ts';
import { drift_text } from './text.ts';
import { Tree } from './tree.ts';

const MAKEFILE = 'VERSION = 9\nPATCHLEVEL = 1\nSUBLEVEL = 2\nEXTRAVERSION = -rc3\n';
const RANGE_FAULT = 'int hmm_range_fault(struct hmm_range *range)\n{\n\treturn 0;\n}\n';

/** What the model cites that has no definition of its own, or that conditions of the preprocessor hide from the parser. */
const UNSEEN = [
  'include/linux/hmm.h: HMM_PFN_ORDER_SHIFT',
  'include/linux/interval_tree.h: interval_tree_insert',
  'include/linux/interval_tree.h: interval_tree_iter_first',
  'include/linux/interval_tree.h: interval_tree_iter_next',
  'include/linux/interval_tree.h: interval_tree_remove',
  'include/linux/mmzone.h: NR_FREE_PAGES',
  'include/linux/rmap.h: TTU_BATCH_FLUSH',
  'kernel/fork.c: clone',
];

/** A tree with these files. */
function tree_of(dir: string, files: Readonly<Record<string, string>>): Tree {
  for (const [file, text] of Object.entries({ Makefile: MAKEFILE, ...files })) {
    mkdirSync(`${dir}/${file}`.replace(/\/[^/]*$/, ''), { recursive: true });
    writeFileSync(`${dir}/${file}`, text);
  }
  return new Tree(dir);
}

const only = (drift: Drift): Followed[] => drift.followed.filter((it) => it.c_name === 'hmm_range_fault');

t.test('a definition is the same, differs, moved or is gone', async (t) => {
  const dir = t.testdir({ known: {}, same: {}, differs: {}, moved: {}, gone: {} });
  const known = tree_of(`${dir}/known`, { 'mm/hmm.c': RANGE_FAULT });
  const facts: Facts = new Map([['mm/hmm.c', by_name(await known.definitions('mm/hmm.c'))]]);

  const same = await drift_of(tree_of(`${dir}/same`, { 'mm/hmm.c': `/* as it was */\n${RANGE_FAULT}` }), facts);
  t.equal(same.version, '9.1.2-rc3');
  t.match(only(same), [{ standing: 'same', model: [{ file: 'lib/mm/hmm.ts', name: 'hmm_range_fault' }] }]);
  t.same(same.fresh, []);
  t.ok(same.unseen.includes('mm/memory.c: do_swap_page'), 'what has no digest is named');

  const changed = RANGE_FAULT.replace('return 0', 'return -16');
  const added = 'static int brand_new(void)\n{\n\treturn 1;\n}\n';
  const differs = await drift_of(tree_of(`${dir}/differs`, { 'mm/hmm.c': changed + added }), facts);
  t.match(only(differs), [{ standing: 'differs' }]);
  t.same(differs.fresh, [{ c_file: 'mm/hmm.c', c_name: 'brand_new' }]);
  t.match(drift_text(differs, []), /differs {2}hmm_range_fault\n +model: lib\/mm\/hmm\.ts:\d+\n/);

  const moved = await drift_of(tree_of(`${dir}/moved`, { 'mm/hmm.c': '', 'mm/walk.c': changed }), facts);
  t.match(only(moved), [{ standing: 'moved', to: [{ c_file: 'mm/walk.c', same: false }] }]);
  t.match(drift_text(moved, []), /moved {4}hmm_range_fault to mm\/walk\.c, where it differs/);

  const gone = await drift_of(tree_of(`${dir}/gone`, {}), facts);
  t.match(only(gone), [{ standing: 'gone', to: [] }]);
});

t.test('a directory that is no kernel tree is refused', async (t) => {
  const dir = t.testdir({ Makefile: 'all:\n\ttrue\n' });
  t.throws(
    () => new Tree(dir),
    new UsageError(`${dir}: expected the top of a kernel source tree, with a Makefile that has VERSION and PATCHLEVEL`),
  );
  t.throws(() => new Tree(`${dir}/nowhere`), UsageError);
});

t.test('the digests kept are those of what the model cites', async (t) => {
  const facts = read_facts();
  t.ok(facts.get('mm/hmm.c')?.has('hmm_range_fault'));
  t.ok(facts.get('mm/migrate_device.c')?.has('migrate_vma_collect_pmd'));
  const empty = t.testdir({});
  const drift = await drift_of(tree_of(empty, {}), facts);
  t.same(drift.unseen, UNSEEN, 'else: npm run -s drift -- TREE --record, with a tree of Linux 7.3.4');
});

t.test('a configuration other than the modelled one is named', async (t) => {
  const modelled =
    'CONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_SMP=y\nCONFIG_DEBUG_VM=y\nCONFIG_TRANSPARENT_HUGEPAGE=y\nCONFIG_DEVICE_PRIVATE=y\n' +
    'CONFIG_HMM_MIRROR=y\nCONFIG_MMU_NOTIFIER=y\nCONFIG_MIGRATION=y\nCONFIG_HUGETLB_PAGE=y\nCONFIG_USERFAULTFD=y\n' +
    'CONFIG_GUP_TEST=y\nCONFIG_TEST_HMM=m\nCONFIG_MEMCG=y\nCONFIG_SPARSEMEM_VMEMMAP=y\n# CONFIG_NUMA is not set\n';
  t.same(config_differences(modelled), []);
  t.match(config_differences(`${modelled}CONFIG_NUMA=y\n`.replace('CONFIG_GUP_TEST=y\n', '')), [
    { option: 'CONFIG_GUP_TEST', here: 'n', modelled: 'y' },
    { option: 'CONFIG_NUMA', here: 'y', modelled: 'n' },
  ]);
});
