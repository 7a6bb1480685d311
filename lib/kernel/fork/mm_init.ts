// SPDX-License-Identifier: GPL-2.0-only
// Creation and destruction of address spaces: the part of kernel/fork.c that deals with mm_struct.

import { pgd_alloc, pgd_free } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import type { Machine } from '../../machine.ts';
import { fput, get_file } from '../../fs/file_table.ts';
import { mm_put_huge_zero_folio } from '../../mm/huge_memory/sysfs.ts';
import { khugepaged_exit } from '../../mm/khugepaged/khugepaged.ts';
import { mm_struct, MMF_DISABLE_THP, MMF_HAS_MDWE, MMF_HAS_MDWE_NO_INHERIT, VM_NOHUGEPAGE } from '../../mm/mm_types.ts';
import { dup_mmap, exit_mmap } from '../../mm/mmap/mmap.ts';
import { mmu_notifier_subscriptions_destroy, mmu_notifier_subscriptions_init } from '../../mm/mmu_notifier.ts';
import type { Gen } from '../gen.ts';
import { BUG_ON, printk, WARN_ON_ONCE } from '../printk.ts';

/** Flags that a child inherits from its parent's mm->flags (include/linux/mm_types.h: MMF_INIT_LEGACY_MASK). */
const MMF_INIT_LEGACY_MASK = MMF_DISABLE_THP | MMF_HAS_MDWE;
/** Flags that a child inherits from mm->def_flags (include/linux/mm.h: VM_INIT_DEF_MASK). */
const VM_INIT_DEF_MASK = VM_NOHUGEPAGE;
const resident_page_types = ['MM_FILEPAGES', 'MM_ANONPAGES', 'MM_SWAPENTS', 'MM_SHMEMPAGES'];

/** Returns the smallest id from 1 on that no live mm has (kernel/fork.c: mm_alloc_id()). */
function mm_alloc_id(m: Machine): number {
  const taken = new Set<number>();
  for (const mm of m.mms) taken.add(mm.mm_id);
  let id = 1;
  while (taken.has(id)) id++;
  return id;
}

/** Returns the flags of a new mm (include/linux/mm_types.h: mmf_init_legacy_flags()). */
function mmf_init_legacy_flags(flags: number): number {
  const kept = flags & MMF_HAS_MDWE_NO_INHERIT ? flags & ~MMF_HAS_MDWE : flags;
  return kept & MMF_INIT_LEGACY_MASK;
}

/** Allocates an empty address space with one user, or returns null (kernel/fork.c: mm_alloc()). */
export function mm_alloc(m: Machine): mm_struct | null {
  const pgd = pgd_alloc(m);
  if (pgd === null) return null;
  const mm = new mm_struct(m, mm_alloc_id(m), pgd);
  mmu_notifier_subscriptions_init(mm);
  const parent = m.current.mm;
  if (parent !== null) {
    mm.flags = mmf_init_legacy_flags(parent.flags);
    mm.def_flags = parent.def_flags & VM_INIT_DEF_MASK;
  }
  m.mms.add(mm);
  return mm;
}

/** Duplicates the current address space, or returns null (kernel/fork.c: dup_mm()). */
export function* dup_mm(m: Machine, oldmm: mm_struct): Gen<mm_struct | null> {
  const mm = mm_alloc(m);
  if (mm === null) return null;
  mm.mmap_base = oldmm.mmap_base;
  mm.task_size = oldmm.task_size;
  mm.start_brk = oldmm.start_brk;
  mm.brk = oldmm.brk;
  mm.saved_auxv = oldmm.saved_auxv;
  mm.exe_file = oldmm.exe_file === null ? null : get_file(oldmm.exe_file);
  const err = yield* dup_mmap(m, mm, oldmm);
  if (err) {
    yield* mmput(m, mm);
    return null;
  }
  return mm;
}

/** Adds a user to the address space (include/linux/sched/mm.h: mmget()). */
export function mmget(mm: mm_struct): void {
  mm.mm_users++;
}

/** Adds a user unless the last one is gone (include/linux/sched/mm.h: mmget_not_zero()). */
export function mmget_not_zero(mm: mm_struct): boolean {
  if (mm.mm_users === 0) return false;
  mm.mm_users++;
  return true;
}

/** Drops a user; the last one tears the address space down (kernel/fork.c: mmput()). */
export function* mmput(m: Machine, mm: mm_struct): Gen<void> {
  if (--mm.mm_users > 0) return;
  BUG_ON(mm.mm_users < 0, 'kernel/fork.c: mmput() of an mm without users');
  khugepaged_exit(m, mm);
  yield* exit_mmap(m, mm);
  if (mm.exe_file !== null) fput(m, mm.exe_file);
  mm.exe_file = null;
  mm_put_huge_zero_folio(m, mm);
  mmdrop(m, mm);
}

/** Takes a reference to the mm_struct, not to its contents (include/linux/sched/mm.h: mmgrab()). */
export function mmgrab(mm: mm_struct): void {
  mm.mm_count++;
}

/** Drops a reference to the mm_struct and frees it with the last one (include/linux/sched/mm.h: mmdrop()). */
export function mmdrop(m: Machine, mm: mm_struct): void {
  if (--mm.mm_count > 0) return;
  __mmdrop(m, mm);
}

/** Frees an mm_struct (kernel/fork.c: __mmdrop()). Reports counters that are not 0, as upstream's check_mm() does. */
function __mmdrop(m: Machine, mm: mm_struct): void {
  WARN_ON_ONCE(m, mm === m.current.mm, '__mmdrop');
  pgd_free(m, mm, mm.pgd);
  mmu_notifier_subscriptions_destroy(mm);
  for (const [i, type] of resident_page_types.entries()) {
    const x = mm.rss_stat[i];
    if (x !== 0)
      printk(
        m,
        `BUG: Bad rss-counter state mm:${mm.mm_id} type:${type} val:${x} Comm:${m.current.comm} Pid:${m.current.pid}`,
      );
  }
  if (mm.pgtables_bytes !== 0) printk(m, `BUG: non-zero pgtables_bytes on freeing mm: ${mm.pgtables_bytes}`);
  m.mms.delete(mm);
}
