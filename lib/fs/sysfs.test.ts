// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import { boot } from '../boot.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean } from '../kernel/testing.ts';
import { do_scandir } from './readdir.ts';
import { read_text, write_text } from './testing.ts';

const BUF = 0x300000000;
const THP = '/sys/kernel/mm/transparent_hugepage';
const [EACCES, EINVAL] = [-13, -22];

function run(body: (m: Machine) => Gen<void>, mem = 1024 * 1024 * 1024): void {
  run_clean(t, boot({ mem, thp: 'madvise' }), function* (m) {
    yield* sys_mmap(m, BUF, 4096, 3, 0x32, -1, 0);
    yield* body(m);
  });
}

const cat = (m: Machine, path: string): Gen<string> => read_text(m, path, BUF);
const echo = (m: Machine, text: string, path: string): Gen<number> => write_text(m, text, path, BUF);

t.test('a choice shows in brackets, takes one of its words, and is refused another', (t) => {
  run(function* (m) {
    t.equal(yield* cat(m, `${THP}/enabled`), 'always [madvise] never\n');
    t.equal(yield* echo(m, 'always\n', `${THP}/enabled`), 7);
    t.equal(yield* cat(m, `${THP}/enabled`), '[always] madvise never\n');
    t.equal(yield* echo(m, 'sometimes', `${THP}/enabled`), EINVAL);
    t.equal(yield* cat(m, `${THP}/enabled`), '[always] madvise never\n');
    t.equal(yield* cat(m, `${THP}/defrag`), 'always defer defer+madvise [madvise] never\n');
    t.equal(yield* echo(m, 'defer+madvise', `${THP}/defrag`), 13);
    t.equal(yield* cat(m, `${THP}/defrag`), 'always defer [defer+madvise] madvise never\n');
    t.equal(yield* echo(m, '0', `${THP}/use_zero_page`), 1);
    t.equal(yield* cat(m, `${THP}/use_zero_page`), '0\n');
    t.equal(yield* echo(m, '2', `${THP}/use_zero_page`), EINVAL);
  });
  run(
    function* (m) {
      t.equal(yield* cat(m, `${THP}/defrag`), 'always defer defer+madvise madvise [never]\n', 'with less than 512 MiB');
      t.equal(yield* cat(m, `${THP}/use_zero_page`), '0\n');
    },
    64 * 1024 * 1024,
  );
  t.end();
});

t.test('there is a choice for each size from 16 kB to 2 MB, of which only the largest inherits', (t) => {
  run(function* (m) {
    const names = (yield* do_scandir(m, THP)) as { d_name: string }[];
    const sizes = names
      .map((d) => /^hugepages-(\d+)kB$/.exec(d.d_name)?.[1])
      .filter((s) => s !== undefined)
      .map(Number)
      .sort((a, b) => a - b);
    t.same(sizes, [16, 32, 64, 128, 256, 512, 1024, 2048]);
    t.equal(yield* cat(m, `${THP}/hugepages-2048kB/enabled`), 'always [inherit] madvise never\n');
    t.equal(yield* cat(m, `${THP}/hugepages-64kB/enabled`), 'always inherit madvise [never]\n');
    t.equal(yield* echo(m, 'never', `${THP}/hugepages-2048kB/enabled`), 5);
    t.equal(yield* cat(m, `${THP}/hugepages-2048kB/enabled`), 'always inherit madvise [never]\n');
    t.equal(yield* cat(m, `${THP}/hpage_pmd_size`), '2097152\n');
    t.equal(yield* echo(m, '1', `${THP}/hpage_pmd_size`), EACCES);
  });
  t.end();
});

t.test("khugepaged's numbers have bounds", (t) => {
  run(function* (m) {
    const at = `${THP}/khugepaged`;
    t.equal(yield* cat(m, `${at}/max_ptes_none`), '511\n');
    t.equal(yield* cat(m, `${at}/max_ptes_swap`), '64\n');
    t.equal(yield* cat(m, `${at}/max_ptes_shared`), '256\n');
    t.equal(yield* cat(m, `${at}/pages_to_scan`), '4096\n');
    t.equal(yield* cat(m, `${at}/scan_sleep_millisecs`), '10000\n');
    t.equal(yield* cat(m, `${at}/alloc_sleep_millisecs`), '60000\n');
    t.equal(yield* echo(m, '0\n', `${at}/max_ptes_none`), 2);
    t.equal(m.thp.khugepaged_max_ptes_none, 0);
    for (const bad of ['512', '-1', 'x', ''])
      t.not(yield* echo(m, bad, `${at}/max_ptes_none`), bad.length === 0 ? 1 : bad.length, bad);
    t.equal(m.thp.khugepaged_max_ptes_none, 0);
    t.equal(yield* echo(m, '0', `${at}/pages_to_scan`), EINVAL, 'it must scan something');
    t.equal(yield* echo(m, '1', `${at}/pages_to_scan`), 1);
    t.equal(yield* echo(m, '4294967295', `${at}/scan_sleep_millisecs`), 10);
    t.equal(yield* echo(m, '4294967296', `${at}/scan_sleep_millisecs`), EINVAL);
    t.equal(yield* cat(m, `${at}/scan_sleep_millisecs`), '4294967295\n');
  });
  t.end();
});
