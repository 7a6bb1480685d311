// SPDX-License-Identifier: GPL-2.0-only

import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { pte_dirty, pte_pfn, pte_special, pte_uffd, pte_write } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_memset, user_store32, user_store64 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { fget } from '../../fs/file.ts';
import { fput } from '../../fs/file_table.ts';
import type { file } from '../../fs/fs.ts';
import { sys_ioctl } from '../../fs/ioctl.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { ksys_read } from '../../fs/read_write.ts';
import { kernel_clone } from '../../kernel/fork/fork.ts';
import type { Gen } from '../../kernel/gen.ts';
import { sched_yield } from '../../kernel/sched/syscalls.ts';
import { run_clean, small_machine } from '../../kernel/testing.ts';
import { sys_madvise } from '../madvise/madvise.ts';
import type { mm_struct, vm_area_struct } from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { sys_munmap } from '../mmap/mmap.ts';
import { sys_mprotect } from '../mprotect.ts';
import { PageAnonExclusive } from '../page-flags.ts';
import { pfn_to_page } from '../page.ts';
import { pte_at } from '../testing.ts';
import { mfill_atomic, vma_uffd_ops } from './mfill.ts';
import { sys_userfaultfd, type userfaultfd_ctx } from './userfaultfd.ts';
import t from 'tap';

const [PAGE, HUGE, MAP, BUF] = [4096, 2 * 1024 * 1024, 0x200000000, 0x300000000];
const [SRC, MSG] = [BUF + PAGE, BUF + 512];
const [R, RW] = [1, 3];
const [SHARED, PRIVATE, FIXED, ANON, HUGETLB] = [1, 2, 0x10, 0x20, 0x40000];
const O_TMPFILE_RDWR = 0o20200002;
const [COPY, ZEROPAGE] = [0, 1];
const [MISSING, WP] = [1, 2];
const [ENOENT, ENOMEM, EFAULT, EEXIST, EINVAL] = [-2, -12, -14, -17, -22];
const [ANON_PAGES, SHMEM_PAGES] = [1, 3];
const HUGEPAGE = 14;

/** Runs the body as a process; `fill` fills pages from MAP on for a descriptor. */
function run(
  body: (
    m: Machine,
    mm: mm_struct,
    fill: (fd: number, page: number, n?: number, mode?: number, wp?: boolean, src?: number) => Gen<number>,
  ) => Gen<void>,
): void {
  const m = run_clean(t, small_machine({ thp: 'madvise', nr_hugepages: 2 }), function* (m, mm) {
    yield* sys_mmap(m, BUF, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, SRC, 0xab, 4 * PAGE);
    yield* body(m, mm, function* (fd, page, n = 1, mode = COPY, wp = false, src = SRC) {
      const f = fget(m, fd) as file;
      fput(m, f);
      return yield* mfill_atomic(m, f.private_data as userfaultfd_ctx, mode, MAP + page * PAGE, src, n * PAGE, wp);
    });
  });
  t.same(m.log.lines, []);
}

/** A descriptor with [start, start + len) registered. */
function* uffd(m: Machine, start: number, len: number, mode = MISSING): Gen<number> {
  const fd = yield* sys_userfaultfd(m, 0);
  const call = function* (cmd: number, words: number[]): Gen<void> {
    for (let i = 0; i < words.length; i++) yield* user_store64(m, BUF + i * 8, words[i]);
    t.equal(yield* sys_ioctl(m, fd, cmd, BUF), 0);
  };
  yield* call(0xc018aa3f, [0xaa, 0, 0]);
  yield* call(0xc020aa00, [start, len, mode, 0]);
  return fd;
}

t.test("a copied page is dirty, one's own, and writable as far as its vma is; a zeroed one is the zero page", (t) => {
  run(function* (m, mm, fill) {
    yield* sys_mmap(m, MAP, 8 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* uffd(m, MAP, 8 * PAGE, MISSING | WP);
    const rss = mm.rss_stat[ANON_PAGES];
    t.equal(yield* fill(fd, 0, 2), 2 * PAGE);
    const pte = pte_at(mm, MAP);
    t.same([pte_dirty(pte), pte_write(pte), pte_uffd(pte)], [true, true, false]);
    t.ok(PageAnonExclusive(m, pfn_to_page(m, pte_pfn(pte))));
    t.equal(mm.rss_stat[ANON_PAGES], rss + 2);
    t.equal(yield* fill(fd, 2, 1, COPY, true), PAGE);
    t.same(
      [pte_write(pte_at(mm, MAP + 2 * PAGE)), pte_uffd(pte_at(mm, MAP + 2 * PAGE))],
      [false, true],
      'the first write will be seen',
    );
    t.equal(yield* fill(fd, 3, 1, ZEROPAGE), PAGE);
    const zero = pte_at(mm, MAP + 3 * PAGE);
    t.same([pte_special(zero), pte_write(zero), pfn_to_page(m, pte_pfn(zero))], [true, false, m.zero_page]);
    t.equal(mm.rss_stat[ANON_PAGES], rss + 3);
    yield* sys_mprotect(m, MAP + 6 * PAGE, 2 * PAGE, R);
    t.equal(yield* fill(fd, 6), PAGE, 'memory that may not be written to can be filled');
    t.notOk(pte_write(pte_at(mm, MAP + 6 * PAGE)));
    t.equal(yield* user_load32(m, MAP + 6 * PAGE), 0xabababab);
    t.equal(yield* fill(fd, 5, 2), ENOENT, 'not over the edge of a vma');
    t.equal(yield* fill(fd, 0, 1), EEXIST);
    t.equal(yield* fill(fd, 3, 1, ZEROPAGE), EEXIST);
  });
  t.end();
});

t.test('what is filled must be registered, for protection too if the fill is to protect, and not be huge', (t) => {
  run(function* (m, mm, fill) {
    yield* sys_mmap(m, MAP, 2 * HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_madvise(m, MAP, HUGE, HUGEPAGE);
    yield* user_store32(m, MAP, 1);
    const fd = yield* uffd(m, MAP, HUGE + 2 * PAGE);
    t.equal(yield* fill(fd, 1), EEXIST, 'a huge page is there');
    t.equal(yield* fill(fd, 512, 1, COPY, true), EINVAL);
    t.equal(yield* fill(fd, 514), ENOENT);
    t.equal(yield* fill(fd, 512, 3), ENOENT);
    t.equal(yield* fill(fd, 2048), ENOENT, 'no memory');
    m.zone.fail_page_alloc = () => true;
    t.equal(yield* fill(fd, 512), ENOMEM);
    m.zone.fail_page_alloc = null;
    t.equal(yield* fill(fd, 512, 2), 2 * PAGE);
    t.equal(mm.mmap_lock.owner, null);
    t.equal((find_vma(mm, MAP + HUGE) as vm_area_struct).vm_readers, 0);
  });
  t.end();
});

t.test(
  "in a shared mapping the page goes into the file, as far as that reaches; in a private one it is the process's",
  (t) => {
    run(function* (m, mm, fill) {
      const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE_RDWR, 0o600);
      yield* ksys_ftruncate(m, fd, 3 * PAGE);
      yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED | FIXED, fd, 0);
      yield* sys_mmap(m, MAP + HUGE, 4 * PAGE, RW, PRIVATE | FIXED, fd, 0);
      const mapping = find_vma(mm, MAP)?.vm_file?.f_mapping;
      const [shared, own] = [yield* uffd(m, MAP, 4 * PAGE), yield* uffd(m, MAP + HUGE, 4 * PAGE)];
      t.equal(yield* fill(shared, 0), PAGE);
      t.equal(yield* fill(shared, 1, 1, ZEROPAGE), PAGE);
      t.same([mapping?.nrpages, mm.rss_stat[SHMEM_PAGES]], [2, 2]);
      t.ok(pte_write(pte_at(mm, MAP)));
      t.equal(yield* fill(shared, 2, 2), PAGE, 'up to the end of the file');
      t.equal(yield* fill(shared, 3), ENOMEM, 'there is no page to be had behind it');
      t.equal(mapping?.nrpages, 3, 'what did not work left nothing in the file');
      yield* user_store32(m, MAP, 5);
      t.equal(yield* fill(own, 512), PAGE);
      t.equal(yield* user_load32(m, MAP + HUGE), 0xabababab);
      t.equal(yield* user_load32(m, MAP), 5);
      t.equal(yield* fill(own, 515), EFAULT, 'here there is one, which cannot be mapped');
      t.equal(mapping?.nrpages, 3);
      t.equal(mm.rss_stat[SHMEM_PAGES], 3);
    });
    t.end();
  },
);

t.test('a source that is not there yet is faulted in without the lock; what changes meanwhile counts', (t) => {
  run(function* (m, mm, fill) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const fd = yield* uffd(m, MAP, 4 * PAGE);
    t.equal(yield* fill(fd, 0, 1, COPY, false, BUF + 6 * PAGE), PAGE);
    t.equal(yield* user_load32(m, MAP), 0);
    t.equal(yield* fill(fd, 1, 1, COPY, false, 0x7000), EFAULT);
    t.equal(yield* fill(fd, 1, 2, COPY, false, BUF + 7 * PAGE), PAGE, 'the second page of the source does not exist');
    const slow = MAP + HUGE;
    yield* sys_mmap(m, slow, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    const source = yield* uffd(m, slow, 2 * PAGE);
    for (const gone of [false, true]) {
      let ret = 0;
      const src = slow + (gone ? PAGE : 0);
      yield* kernel_clone(m, 0x10500, function* () {
        ret = yield* fill(fd, gone ? 2 : 3, 1, COPY, false, src);
      });
      yield* ksys_read(m, source, MSG, 32);
      t.equal(ret, 0, 'it waits for its source');
      if (gone) yield* sys_munmap(m, MAP + 2 * PAGE, PAGE);
      for (let i = 0; i < 4; i++) yield* user_store64(m, BUF + i * 8, [src, SRC, PAGE, 0][i]);
      t.equal(yield* sys_ioctl(m, source, 0xc028aa03, BUF), 0);
      while (ret === 0) yield* sched_yield(m);
      t.equal(ret, gone ? ENOENT : PAGE);
    }
    t.equal(yield* user_load32(m, MAP + 3 * PAGE), 0xabababab);
    t.equal(mm.mmap_lock.owner, null);
  });
  t.end();
});

t.test('what can be served', (t) => {
  run(function* (m, mm) {
    yield* sys_mmap(m, MAP, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + PAGE, PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + HUGE, HUGE, RW, SHARED | ANON | FIXED | HUGETLB, -1, 0);
    const [anon, shmem, huge] = [MAP, MAP + PAGE, MAP + HUGE].map((a) => find_vma(mm, a) as vm_area_struct);
    const can = (vma: vm_area_struct): boolean[] => [
      vma_uffd_ops(vma)?.alloc_folio !== undefined,
      vma_uffd_ops(vma)?.filemap_add !== undefined,
    ];
    t.same(
      [can(anon), can(shmem), can(huge)],
      [
        [true, false],
        [true, true],
        [false, false],
      ],
    );
    t.ok(vma_uffd_ops(huge));
    anon.vm_ops = {};
    t.equal(vma_uffd_ops(anon), null);
    anon.vm_ops = null;
    yield* sys_munmap(m, MAP + HUGE, HUGE);
  });
  t.end();
});
