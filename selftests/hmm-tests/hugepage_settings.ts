// SPDX-License-Identifier: GPL-2.0-only
// The hugetlb half of tools/testing/selftests/mm/hugepage_settings.c: what HUGETLB_SETUP_DEFAULT_PAGES() does before
// main(), and what is restored at exit and on the usual signals. Leaves out the THP half, which this suite does not
// use.

import { KSFT_FAIL } from '../../harness/kselftest/kselftest.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { SIGHUP, SIGINT, SIGQUIT, SIGTERM } from '../../lib/user/uapi.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { read_num, write_num_ignore_einval } from './vm_util.ts';

const SYSFS_HUGEPAGES = '/sys/kernel/mm/hugepages/';
const HUGETLB_MAX_NR_PAGESIZES = 10;
const DT_DIR = 4;

/** Settings before the program changed anything: upstream's static variables, one object per run of the suite. */
export interface HugetlbSettings {
  saved: boolean;
  /** Bytes, 0 if unknown. */
  default_size: number;
  /** Bytes, in the order of the directory listing. */
  sizes: number[];
  /** Pool size for each of `sizes`. */
  nr_hugepages: number[];
}

/** Returns empty settings. */
export function hugetlb_settings(): HugetlbSettings {
  return { saved: false, default_size: 0, sizes: [], nr_hugepages: [] };
}

/** Returns the pool sizes that the kernel supports, at most `max`; prints a line for each the first time. */
function* detect_hugetlb_page_sizes(c: Libc, s: HugetlbSettings, max: number): Gen<number[]> {
  if (s.saved) return s.sizes.slice(0, max);
  const entries = yield* c.scandir(SYSFS_HUGEPAGES);
  const sizes: number[] = [];
  for (const entry of entries ?? []) {
    if (sizes.length >= max) break;
    if (entry.d_type !== DT_DIR) continue;
    const kb = /^hugepages-(\d+)kB/.exec(entry.d_name);
    if (kb === null) continue;
    sizes.push(Number(kb[1]) * 1024);
    c.print(`# [INFO] detected hugetlb page size: ${kb[1]} KiB\n`);
  }
  return sizes;
}

/** Returns the size of the default huge page in bytes, 0 if the kernel has none. */
export function* default_huge_page_size(c: Libc, s: HugetlbSettings): Gen<number> {
  if (s.default_size !== 0) return s.default_size;
  const meminfo = yield* c.read_file('/proc/meminfo');
  const kb = meminfo === null ? null : /^Hugepagesize:\s*(\d+) kB/m.exec(meminfo);
  return kb === null ? 0 : Number(kb[1]) * 1024;
}

function hugetlb_sysfs_path(size: number, attr: string): string {
  return `${SYSFS_HUGEPAGES}hugepages-${size / 1024}kB/${attr}`;
}

/** Returns the number of pages in the pool of this page size. */
function* hugetlb_nr_pages(c: Libc, size: number): Gen<number> {
  return yield* read_num(c, hugetlb_sysfs_path(size, 'nr_hugepages'));
}

/** Resizes the pool of this page size; ignores a kernel that cannot (EINVAL). */
function* hugetlb_set_nr_pages(c: Libc, size: number, nr: number): Gen<void> {
  yield* write_num_ignore_einval(c, hugetlb_sysfs_path(size, 'nr_hugepages'), nr);
}

/** Returns the number of free pages in the pool of this page size. */
function* hugetlb_free_pages(c: Libc, size: number): Gen<number> {
  return yield* read_num(c, hugetlb_sysfs_path(size, 'free_hugepages'));
}

/** Returns the number of free pages in the default pool. */
export function* hugetlb_free_default_pages(c: Libc, s: HugetlbSettings): Gen<number> {
  const size = yield* default_huge_page_size(c, s);
  return size === 0 ? 0 : yield* hugetlb_free_pages(c, size);
}

/** Saves the sizes of the pools once, and restores them on signals that would end the program. */
function* hugetlb_save_settings(c: Libc, s: HugetlbSettings): Gen<void> {
  for (const sig of [SIGTERM, SIGINT, SIGHUP, SIGQUIT]) {
    c.sigaction(sig, function* () {
      yield* hugetlb_restore_settings(c, s);
      yield* c.exit(KSFT_FAIL);
    });
  }
  if (s.saved) return;
  s.default_size = yield* default_huge_page_size(c, s);
  if (s.default_size === 0) return;
  const sizes = yield* detect_hugetlb_page_sizes(c, s, HUGETLB_MAX_NR_PAGESIZES);
  if (sizes.length === 0) {
    s.default_size = 0;
    return;
  }
  for (const size of sizes) s.nr_hugepages.push(yield* hugetlb_nr_pages(c, size));
  s.sizes = sizes;
  s.saved = true;
}

/**
 * Makes sure that at least nr pages of the default size are free, after saving the settings. Returns true if they are.
 */
export function* hugetlb_setup_default(c: Libc, s: HugetlbSettings, nr: number): Gen<boolean> {
  yield* hugetlb_save_settings(c, s);
  const size = yield* default_huge_page_size(c, s);
  if (size === 0) return false;
  const free = yield* hugetlb_free_pages(c, size);
  const total = yield* hugetlb_nr_pages(c, size);
  if (free >= nr) return true;
  yield* hugetlb_set_nr_pages(c, size, total + (nr - free));
  return (yield* hugetlb_free_pages(c, size)) >= nr;
}

/** Restores the size of every pool. */
export function* hugetlb_restore_settings(c: Libc, s: HugetlbSettings): Gen<void> {
  if (!s.saved || s.default_size === 0) return;
  for (let i = 0; i < s.sizes.length; i++) yield* hugetlb_set_nr_pages(c, s.sizes[i], s.nr_hugepages[i]);
}
