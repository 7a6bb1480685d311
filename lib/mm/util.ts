// SPDX-License-Identifier: GPL-2.0-only

import type { ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { folio_pte_batch_flags } from '../arch/x86/mm/pgtable/pte.ts';
import type { Machine } from '../machine.ts';
import { EINTR, EINVAL, ENOMEM } from '../errno.ts';
import type { address_space, file } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { printk } from '../kernel/printk.ts';
import { mm_populate } from './gup/gup.ts';
import { COPY_NS_PER_PAGE } from './migrate/entry.ts';
import type { anon_vma, mm_struct } from './mm_types.ts';
import { do_mmap } from './mmap/mmap.ts';
import { mmap_write_lock_killable, mmap_write_unlock } from './mmap_lock.ts';
import { folio_test_idle } from './page-flags.ts';
import { FOLIO_MAPPING_ANON, FOLIO_MAPPING_FLAGS, folio_nr_pages, folio_pfn, page_folio, PGTY_buddy } from './page.ts';
import { PAGE_SIZE } from './physmem.ts';
import { userfaultfd_unmap_complete, type userfaultfd_unmap_ctxs } from './userfaultfd/userfaultfd.ts';

// struct page_snapshot's flags (include/linux/mm.h)
const PAGE_SNAPSHOT_FAITHFUL = 1 << 0;
export const PAGE_SNAPSHOT_PG_BUDDY = 1 << 1;
export const PAGE_SNAPSHOT_PG_IDLE = 1 << 2;

/**
 * Numbers of a page at one moment (include/linux/mm.h: struct page_snapshot). Leaves out the copies of struct page and
 * folio.
 */
interface page_snapshot {
  pfn: number;
  /** index of the page in its folio */
  idx: number;
  /** PAGE_SNAPSHOT_* */
  flags: number;
}

/** Takes a snapshot, which is always faithful: nothing runs concurrently (mm/util.c: snapshot_page()). */
export function snapshot_page(m: Machine, page: number): page_snapshot {
  const folio = page_folio(m, page);
  let flags = PAGE_SNAPSHOT_FAITHFUL;
  if (m.page.page_type[page] === PGTY_buddy) flags |= PAGE_SNAPSHOT_PG_BUDDY;
  if (folio_test_idle(m, folio)) flags |= PAGE_SNAPSHOT_PG_IDLE;
  if (m.device_private.by_offset(page)) flags |= m.device_private.snapshot_flag;
  return { pfn: m.device_private.page_number(page), idx: page - folio, flags };
}

// Page flags as /proc/kpageflags shows them (include/uapi/linux/kernel-page-flags.h: KPF_*).
export const KPF_MMAP = 2 ** 11;
export const KPF_ANON = 2 ** 12;
export const KPF_COMPOUND_HEAD = 2 ** 15;
export const KPF_COMPOUND_TAIL = 2 ** 16;
export const KPF_THP = 2 ** 22;
export const KPF_ZERO_PAGE = 2 ** 24;
export const KPF_BUDDY = 2 ** 10;
export const KPF_HUGE = 2 ** 17;
export const KPF_HWPOISON = 2 ** 19;
export const KPF_NOPAGE = 2 ** 20;
export const KPF_OFFLINE = 2 ** 23;
export const KPF_IDLE = 2 ** 25;
export const KPF_PGTABLE = 2 ** 26;

/** do_mmap() that takes the mmap_lock, and populates if do_mmap() asks for it (mm/util.c: vm_mmap_pgoff()). */
export function* vm_mmap_pgoff(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  pgoff: number,
): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const populate = { len: 0 };
  const uf: userfaultfd_unmap_ctxs = [];
  if (yield* mmap_write_lock_killable(m, mm)) return -EINTR;
  const ret = yield* do_mmap(m, f, addr, len, prot, flags, 0, pgoff, populate, uf);
  mmap_write_unlock(m, mm);
  yield* userfaultfd_unmap_complete(m, mm, uf);
  if (populate.len !== 0) yield* mm_populate(m, ret, populate.len);
  return ret;
}

/** vm_mmap_pgoff() with an offset in bytes; returns -EINVAL if it is unaligned (mm/util.c: vm_mmap()). */
export function* vm_mmap(
  m: Machine,
  f: file | null,
  addr: number,
  len: number,
  prot: number,
  flags: number,
  offset: number,
): Gen<number> {
  if (offset % PAGE_SIZE !== 0) return -EINVAL;
  return yield* vm_mmap_pgoff(m, f, addr, len, prot, flags, offset / PAGE_SIZE);
}

/** folio_pte_batch_flags() without flags (mm/util.c: folio_pte_batch()). */
export function folio_pte_batch(m: Machine, folio: number, pt: ptdesc, i: number, pte: number, max_nr: number): number {
  return folio_pte_batch_flags(m, folio, null, pt, i, { pte }, max_nr, 0);
}

/** Copies a folio to another one of the same size; both must be in the linear map (mm/util.c: folio_copy()). */
export function folio_copy(m: Machine, dst: number, src: number): void {
  const nr = folio_nr_pages(m, src);
  m.ram.copy(folio_pfn(m, dst), folio_pfn(m, src), nr);
  m.sched.spend(nr * COPY_NS_PER_PAGE);
}

/**
 * Returns the folio's address_space, or null for anonymous memory and free pages (mm/util.c: folio_mapping()). Leaves
 * out the swap cache.
 */
export function folio_mapping(m: Machine, folio: number): address_space | null {
  const mapping = m.page.mapping[folio];
  if (mapping === 0 || (mapping & FOLIO_MAPPING_FLAGS) !== 0) return null;
  return m.mappings.get(mapping >> 2) as address_space | null;
}

/** Returns an anonymous folio's anon_vma, null for any other folio (mm/util.c: folio_anon_vma()). */
export function folio_anon_vma(m: Machine, folio: number): anon_vma | null {
  const mapping = m.page.mapping[folio];
  if ((mapping & FOLIO_MAPPING_FLAGS) !== FOLIO_MAPPING_ANON) return null;
  return m.mappings.get(mapping >> 2) as anon_vma | null;
}

/** Undoes a charge of security_vm_enough_memory_mm() (include/linux/mman.h: vm_unacct_memory()). */
export function vm_unacct_memory(m: Machine, pages: number): void {
  m.vm_committed_as -= pages;
}

/**
 * Charges pages of private writable memory. Returns 0, or -ENOMEM if one request exceeds all memory (mm/util.c:
 * __vm_enough_memory()). Models the default heuristic overcommit without swap.
 */
export function security_vm_enough_memory_mm(m: Machine, _mm: mm_struct, pages: number): number {
  m.vm_committed_as += pages;
  if (pages <= m.zone.managed_pages) return 0;
  printk(
    m,
    `__vm_enough_memory: pid: ${m.current.pid}, comm: ${m.current.comm}, bytes: ${pages * PAGE_SIZE} not enough memory for the allocation`,
  );
  vm_unacct_memory(m, pages);
  return -ENOMEM;
}
