// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../../arch/x86/kernel/sys_x86_64.ts';
import { user_load32, user_memset, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { vfs_register_file } from '../../fs/namei.ts';
import { do_sys_open, ksys_ftruncate } from '../../fs/open.ts';
import { ksys_pread64, ksys_pwrite64 } from '../../fs/read_write.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../../kernel/testing.ts';
import { folio_lock } from '../filemap/folio_lock.ts';
import { folio_put } from '../folio.ts';
import type { mm_struct, vm_operations_struct } from '../mm_types.ts';
import { sys_mremap } from '../mremap/mremap.ts';
import { folio_get, pfn_to_page } from '../page.ts';
import { alloc_page } from '../page_alloc.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const BUF = 0x300000000;
const [READ, RW] = [1, 3];
const [SHARED, PRIVATE] = [0x11, 0x12];
const ANON = 0x20;
const [PRESENT, PTE_RW, DIRTY, PSE] = [1, 2, 16, 32];
const [MAYMOVE, FIXED] = [1, 2];
const O_TMPFILE_RDWR = 0o20200002;
const SIGBUS = 7;
const [VM_FAULT_SIGBUS, VM_FAULT_LOCKED] = [2, 0x200];

/**
 * Runs a process that has a file of 40 pages, of which page 25 is a hole; a page holds its number plus 1 in each byte.
 */
function run(body: (m: Machine, mm: mm_struct, fd: number) => Gen<void>): void {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* sys_mmap(m, BUF, PAGE, RW, 0x32, -1, 0);
    const fd = yield* do_sys_open(m, '/tmp', O_TMPFILE_RDWR, 0o600);
    yield* ksys_ftruncate(m, fd, 40 * PAGE);
    for (let n = 0; n < 40; n++) {
      yield* user_memset(m, BUF, n + 1, PAGE);
      if (n !== 25) yield* ksys_pwrite64(m, fd, BUF, PAGE, n * PAGE);
    }
    yield* body(m, mm, fd);
  });
}

/** Returns the numbers of the mapped pages from MAP on. */
function mapped(mm: mm_struct, pages = 40): number[] {
  return [...Array(pages).keys()].filter((n) => walk_address(mm, MAP + n * PAGE).entry & PRESENT);
}

/** Anonymous pages, the one at BUF aside, and pages of tmpfs. */
function rss(mm: mm_struct): number[] {
  return [mm.rss_stat[1] - 1, mm.rss_stat[3]];
}

function range(from: number, to: number): number[] {
  return [...Array(to - from).keys()].map((n) => from + n);
}

t.test('a read maps the cached pages around it: sixteen, aligned, within the mapping', (t) => {
  run(function* (m, mm, fd) {
    yield* sys_mmap(m, MAP, 40 * PAGE, READ, SHARED, fd, 0);
    t.equal(yield* user_load32(m, MAP + 20 * PAGE), 0x15151515);
    t.same(mapped(mm), [...range(16, 25), ...range(26, 32)], 'the hole stays one');
    t.same(rss(mm), [0, 15]);
    t.equal(yield* user_load32(m, MAP + 25 * PAGE), 0);
    t.equal(yield* user_load32(m, MAP + 39 * PAGE), 0x28282828);
    t.same(mapped(mm), range(16, 40));
    yield* sys_mmap(m, MAP, 40 * PAGE, READ, SHARED | ANON, -1, 0);
    yield* sys_mmap(m, MAP + 3 * PAGE, 2 * PAGE, READ, SHARED, fd, 8 * PAGE);
    t.equal(yield* user_load32(m, MAP + 4 * PAGE), 0x0a0a0a0a);
    t.same(mapped(mm), [3, 4]);
  });
  t.end();
});

t.test('a write to a private mapping copies the page, to a shared one dirties it, and maps no other', (t) => {
  run(function* (m, mm, fd) {
    const entry = (n: number): number => walk_address(mm, MAP + n * PAGE).entry;
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE, fd, 0);
    yield* user_store32(m, MAP + PAGE, 77);
    t.same(mapped(mm), [1]);
    t.same(rss(mm), [1, 0]);
    t.equal(yield* user_load32(m, MAP + PAGE + 4), 0x02020202, 'the rest of the page came along');
    t.equal(yield* ksys_pread64(m, fd, BUF, 4, PAGE), 4);
    t.equal(yield* user_load32(m, BUF), 0x02020202, 'the file is as it was');
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, SHARED, fd, 0);
    yield* user_store32(m, MAP + 2 * PAGE, 78);
    t.same(mapped(mm), [2]);
    t.equal(entry(2) & (PTE_RW | DIRTY), PTE_RW | DIRTY);
    t.same(rss(mm), [0, 1]);
    yield* ksys_pread64(m, fd, BUF, 4, 2 * PAGE);
    t.equal(yield* user_load32(m, BUF), 78);
  });
  t.end();
});

t.test('beyond the end of the file, and where no driver answers, is SIGBUS', (t) => {
  run(function* (m, mm, fd) {
    yield* sys_mmap(m, MAP, 42 * PAGE, RW, PRIVATE, fd, 0);
    t.equal(yield* signal_of(user_load32(m, MAP + 40 * PAGE)), SIGBUS);
    t.equal(yield* signal_of(user_store32(m, MAP + 41 * PAGE, 1)), SIGBUS);
    t.same(mapped(mm, 42), range(32, 40), 'the read mapped what is around it before');
    vfs_register_file(m, '/dev/none', 0o600, { mmap_prepare: (_m, desc) => ((desc.vm_ops = {}), 0) });
    yield* sys_mmap(m, MAP, PAGE, RW, SHARED, yield* do_sys_open(m, '/dev/none', 2, 0), 0);
    t.equal(yield* signal_of(user_load32(m, MAP)), SIGBUS);
    t.same([mapped(mm, 1), rss(mm)], [[], [0, 8]]);
  });
  t.end();
});

t.test('a driver is asked before its page may be written to', (t) => {
  run(function* (m, mm) {
    const page = alloc_page(m, 0);
    let answer = VM_FAULT_SIGBUS;
    const seen: number[] = [];
    const ops: vm_operations_struct = {
      *fault(m, vmf) {
        folio_get(m, page);
        vmf.page = page;
        return 0;
      },
      *page_mkwrite(m, vmf) {
        seen.push(vmf.flags, walk_address(mm, MAP).entry & PTE_RW);
        if (answer === VM_FAULT_LOCKED) yield* folio_lock(m, page);
        return answer;
      },
    };
    vfs_register_file(m, '/dev/asks', 0o600, { mmap_prepare: (_m, desc) => ((desc.vm_ops = ops), 0) });
    yield* sys_mmap(m, MAP, PAGE, RW, SHARED, yield* do_sys_open(m, '/dev/asks', 2, 0), 0);
    t.equal(yield* signal_of(user_store32(m, MAP, 1)), SIGBUS);
    t.same([mapped(mm, 1), m.page._refcount[page]], [[], 1], 'refused, and nothing is left of it');
    t.equal(yield* user_load32(m, MAP), 0);
    t.equal(walk_address(mm, MAP).entry & PTE_RW, 0);
    answer = VM_FAULT_LOCKED;
    yield* user_store32(m, MAP, 9);
    t.same(seen, [3, 0, 3, 0], 'write and mkwrite, still read-only');
    t.equal(m.ram.bytes(Math.floor(walk_address(mm, MAP).entry / 2 ** 20))[0], 9);
    t.same([m.page._refcount[page], mm.rss_stat[0]], [2, 1]);
    yield* sys_mmap(m, MAP, PAGE, READ, 0x32, -1, 0);
    folio_put(m, page);
    t.equal(m.page._refcount[page], 0);
  });
  t.end();
});

t.test('a huge folio is mapped by one pmd where all of it fits, by ptes elsewhere', (t) => {
  run(function* (m, mm) {
    m.thp.shmem_enabled = 'force';
    yield* sys_mmap(m, MAP, HUGE, RW, SHARED | ANON, -1, 0);
    yield* user_store32(m, MAP + 5 * PAGE, 1);
    const leaf = walk_address(mm, MAP);
    t.same([leaf.level, leaf.entry & (PSE | PTE_RW)], ['pmd', PSE | PTE_RW]);
    t.equal(mm.rss_stat[3], 512);
    const to = MAP + HUGE + 3 * PAGE;
    yield* sys_mremap(m, MAP, 0, 8 * PAGE, MAYMOVE | FIXED, to);
    t.equal(yield* user_load32(m, to + 5 * PAGE), 1);
    t.equal(walk_address(mm, to + 5 * PAGE).level, 'pte');
    t.equal(mm.rss_stat[3], 512 + 8);
    const folio = pfn_to_page(m, Math.floor(leaf.entry / 2 ** 20));
    t.equal((m.page.large.get(folio)?._large_mapcount ?? 0) + 1, 9);
  });
  t.end();
});
