// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { sys_mmap } from '../arch/x86/kernel/sys_x86_64.ts';
import type { ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_memset, user_store32 } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { do_sys_open, ksys_ftruncate } from '../fs/open.ts';
import { walk_address } from '../inspect.ts';
import { kernel_wait4 } from '../kernel/exit.ts';
import { kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { run_clean, signal_of, small_machine } from '../kernel/testing.ts';
import { folio_lock, folio_unlock } from './filemap/folio_lock.ts';
import {
  make_device_exclusive_entry,
  make_readable_device_private_entry,
  make_writable_device_private_entry,
  make_writable_migration_entry,
  swp_type,
} from './leafops.ts';
import type { mm_struct } from './mm_types.ts';
import { sys_mprotect } from './mprotect.ts';
import { page_folio } from './page.ts';

const PAGE = 4096;
const HUGE = 2 * 1024 * 1024;
const MAP = 0x200000000;
const [NONE, READ, WRITE, RW] = [0, 1, 2, 3];
const [SHARED, PRIVATE, FIXED, ANON, NORESERVE] = [1, 2, 0x10, 0x20, 0x4000];
const [PROT_GROWSDOWN, PROT_GROWSUP] = [0x01000000, 0x02000000];
const [ENOMEM, EACCES, EINVAL] = [-12, -13, -22];
const [O_RDONLY, O_RDWR, O_CREAT] = [0, 2, 0o100];
const [PRESENT, PTE_RW, PSE, PROTNONE] = [1, 2, 32, 64];
const SIGSEGV = 11;

function run(body: (m: Machine) => Gen<void>, thp: 'never' | 'always' = 'never'): void {
  run_clean(t, small_machine({ thp }), body);
}

/** The vmas from MAP on: pages and rights (1 read, 2 write) of each. */
function vmas(m: Machine): number[][] {
  return (m.current.mm as mm_struct).mm_mt
    .filter((v) => v.vm_start >= MAP && v.vm_end <= MAP + 4 * HUGE)
    .map((v) => [(v.vm_end - v.vm_start) / PAGE, v.vm_flags & 7]);
}

function flags(m: Machine, addr: number): number {
  return walk_address(m.current.mm as mm_struct, addr).entry & (PRESENT | PTE_RW | PSE | PROTNONE);
}

t.test('bad arguments, holes, and more than the mapping may have', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 5 * PAGE, PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    t.equal(yield* sys_mprotect(m, MAP + 1, PAGE, READ), EINVAL);
    t.equal(yield* sys_mprotect(m, MAP, PAGE, 16), EINVAL);
    t.equal(yield* sys_mprotect(m, MAP, PAGE, PROT_GROWSDOWN | PROT_GROWSUP), EINVAL);
    t.equal(yield* sys_mprotect(m, MAP, PAGE, READ | PROT_GROWSDOWN), EINVAL, 'no stack');
    t.equal(yield* sys_mprotect(m, MAP, PAGE, READ | PROT_GROWSUP), EINVAL);
    t.equal(yield* sys_mprotect(m, MAP, 0, READ), 0);
    t.equal(yield* sys_mprotect(m, MAP - PAGE, 2 * PAGE, READ), ENOMEM, 'a hole at the start changes nothing');
    t.same(vmas(m), [
      [4, RW],
      [1, RW],
    ]);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, 4 * PAGE, READ), ENOMEM, 'up to a hole it is done');
    t.same(vmas(m), [
      [2, RW],
      [2, READ],
      [1, RW],
    ]);
    yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o600);
    const fd = yield* do_sys_open(m, '/tmp/file', O_RDONLY, 0);
    yield* sys_mmap(m, MAP + 6 * PAGE, PAGE, READ, SHARED | FIXED, fd, 0);
    t.equal(yield* sys_mprotect(m, MAP + 5 * PAGE, 2 * PAGE, WRITE), EACCES);
    t.same(vmas(m).slice(2), [
      [1, WRITE],
      [1, READ],
    ]);
  });
  t.end();
});

t.test('rights split and merge mappings, and end or allow accesses at once', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 4 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_memset(m, MAP, 9, 4 * PAGE);
    t.equal(yield* sys_mprotect(m, MAP + PAGE, PAGE, READ), 0);
    t.same(vmas(m), [
      [1, RW],
      [1, READ],
      [2, RW],
    ]);
    t.equal(yield* signal_of(user_store32(m, MAP + PAGE, 1)), SIGSEGV, 'in spite of what the TLB held');
    t.equal(yield* user_load32(m, MAP + PAGE), 0x09090909);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, NONE), 0);
    t.equal(flags(m, MAP + 2 * PAGE), PROTNONE);
    t.equal(yield* signal_of(user_load32(m, MAP + 2 * PAGE)), SIGSEGV);
    t.equal(yield* sys_mprotect(m, MAP, 4 * PAGE, RW), 0);
    t.same(vmas(m), [[4, RW]]);
    t.equal(flags(m, MAP + 2 * PAGE), PRESENT | PTE_RW, 'its own page needs no fault to be written to');
    t.equal(yield* user_load32(m, MAP + 2 * PAGE), 0x09090909);
    t.equal((m.current.mm as mm_struct).rss_stat[1], 4);
  });
  t.end();
});

t.test('pages that are shared with a child, empty or clean in a file stay read-only in the table', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    yield* user_load32(m, MAP + PAGE);
    const fd = yield* do_sys_open(m, '/tmp/file', O_RDWR | O_CREAT, 0o600);
    yield* ksys_ftruncate(m, fd, PAGE);
    yield* sys_mmap(m, MAP + 2 * PAGE, PAGE, RW, PRIVATE | FIXED, fd, 0);
    yield* user_load32(m, MAP + 2 * PAGE);
    const pid = yield* kernel_clone(m, 0, function* () {
      t.equal(yield* sys_mprotect(m, MAP, 3 * PAGE, READ), 0);
      t.equal(yield* sys_mprotect(m, MAP, 3 * PAGE, RW), 0);
      t.same([flags(m, MAP), flags(m, MAP + PAGE), flags(m, MAP + 2 * PAGE)], [PRESENT, PRESENT, 0]);
      yield* user_store32(m, MAP, 2);
    });
    yield* kernel_wait4(m, pid, 0);
    t.equal(yield* user_load32(m, MAP), 1);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, READ), 0);
    t.equal(yield* sys_mprotect(m, MAP + 2 * PAGE, PAGE, RW), 0);
    t.equal(flags(m, MAP + 2 * PAGE), PRESENT);
  });
  t.end();
});

t.test('write access to private memory is charged, and given back only where no page was ever written', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, 4 * PAGE, READ, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 4 * PAGE, 4 * PAGE, READ, PRIVATE | ANON | FIXED | NORESERVE, -1, 0);
    const [base, data] = [m.vm_committed_as, (m.current.mm as mm_struct).data_vm];
    yield* sys_mprotect(m, MAP, 8 * PAGE, RW);
    t.equal(m.vm_committed_as - base, 4);
    t.equal((m.current.mm as mm_struct).data_vm - data, 8);
    yield* sys_mprotect(m, MAP, 2 * PAGE, READ);
    t.equal(m.vm_committed_as - base, 2);
    yield* user_store32(m, MAP + 3 * PAGE, 1);
    yield* sys_mprotect(m, MAP, 8 * PAGE, READ);
    t.equal(m.vm_committed_as - base, 2);
    t.equal((m.current.mm as mm_struct).data_vm - data, 0);
  });
  t.end();
});

t.test('entries that are not present lose the right to write, and exclusive ones stay', (t) => {
  run(function* (m) {
    const mm = m.current.mm as mm_struct;
    yield* sys_mmap(m, MAP, 2 * PAGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* sys_mmap(m, MAP + 2 * PAGE, PAGE, RW, SHARED | ANON | FIXED, -1, 0);
    yield* user_memset(m, MAP, 9, 3 * PAGE);
    const entries = [0, 1, 2].map((n) => walk_address(mm, MAP + n * PAGE));
    const pfn = (n: number): number => Math.floor((entries[n]?.entry ?? 0) / 2 ** 20);
    const set = (n: number, entry: number): void =>
      void ((entries[n]?.table as ptdesc).entry[entries[n]?.index ?? 0] = entry);
    const types = (): number[] => [0, 1, 2].map((n) => swp_type(walk_address(mm, MAP + n * PAGE).entry));
    const folios = [0, 2].map((n) => page_folio(m, m.page.pfn_to_page(pfn(n))));
    for (const folio of folios) yield* folio_lock(m, folio);
    set(0, make_writable_migration_entry(pfn(0)));
    set(1, make_writable_device_private_entry(pfn(1)));
    set(2, make_writable_migration_entry(pfn(2)));
    t.equal(yield* sys_mprotect(m, MAP, 3 * PAGE, READ), 0);
    t.same(types(), [0x1a, 0x1d, 0x19], 'an anonymous page is still exclusive');
    t.equal(walk_address(mm, MAP + PAGE).entry, make_readable_device_private_entry(pfn(1)));
    set(1, make_device_exclusive_entry(pfn(1)));
    t.equal(yield* sys_mprotect(m, MAP, 3 * PAGE, RW), 0);
    t.same(types(), [0x1a, 0x1e, 0x19], 'none gets the right back here');
    for (const n of [0, 1, 2]) set(n, entries[n]?.entry ?? 0);
    for (const folio of folios) folio_unlock(m, folio);
  });
  t.end();
});

t.test('of a large folio in small mappings only the exclusive pages become writable again', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    yield* sys_mprotect(m, MAP, PAGE, READ);
    yield* kernel_wait4(m, yield* kernel_clone(m, 0, function* () {}), 0);
    yield* user_store32(m, MAP + 5 * PAGE, 1);
    yield* user_store32(m, MAP + 6 * PAGE, 1);
    yield* sys_mprotect(m, MAP, HUGE, READ);
    yield* sys_mprotect(m, MAP, HUGE, RW);
    const writable = [...Array(512).keys()].filter((n) => flags(m, MAP + n * PAGE) & PTE_RW);
    t.same(writable, [5, 6]);
    const pfns = [4, 5, 6, 7].map((n) =>
      Math.floor(walk_address(m.current.mm as mm_struct, MAP + n * PAGE).entry / 2 ** 20),
    );
    t.same(
      pfns.map((p) => p - pfns[0]),
      [0, 1, 2, 3],
      'each entry its own page',
    );
  }, 'always');
  t.end();
});

t.test('a huge page is changed as a whole, and split for a part', (t) => {
  run(function* (m) {
    yield* sys_mmap(m, MAP, HUGE, RW, PRIVATE | ANON | FIXED, -1, 0);
    yield* user_store32(m, MAP, 1);
    t.equal(flags(m, MAP), PRESENT | PTE_RW | PSE);
    yield* sys_mprotect(m, MAP, HUGE, READ);
    t.equal(flags(m, MAP), PRESENT | PSE);
    yield* sys_mprotect(m, MAP, HUGE, RW);
    t.equal(flags(m, MAP), PRESENT | PTE_RW | PSE);
    yield* sys_mprotect(m, MAP + PAGE, PAGE, READ);
    t.same(
      [0, 1, 2].map((n) => flags(m, MAP + n * PAGE)),
      [PRESENT | PTE_RW, PRESENT, PRESENT | PTE_RW],
    );
    t.equal((m.current.mm as mm_struct).rss_stat[1], 512);
  }, 'always');
  t.end();
});
