// SPDX-License-Identifier: GPL-2.0-only
// The device-private branch of mm/memory.c: do_swap_page(), as Linux 7.3.4 has it and as it was before its fixes. All
// find the page in vmf.page and return VM_FAULT_*.

import { pte_unmap_unlock } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import { pmd_index, type ptdesc, pte_index } from '../../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { BUG_ON } from '../../kernel/printk.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { page_devmem } from '../../series/hmm_v14/hmm.ts';
import { softleaf_entry_wait_on_locked, trylock_page, unlock_page } from '../filemap/folio_lock.ts';
import { get_page, put_page } from '../folio.ts';
import { type dev_pagemap_ops, page_pgmap } from '../memremap.ts';
import { FAULT_FLAG_REMOTE, type vm_fault } from '../mm_types.ts';

import { pte_offset_map, pte_offset_map_lock } from '../pgtable-generic.ts';

/**
 * Locks the pte table at the fault. Returns false, unlocked, if the pte has changed since it was read. NON-KERNEL: lines
 * of upstream's do_swap_page().
 */
function* lock_unchanged(m: Machine, vmf: vm_fault): Gen<boolean> {
  vmf.pte = yield* pte_offset_map_lock(m, vmf.vma.vm_mm, vmf.pmdt as ptdesc, pmd_index(vmf.address), vmf.address);
  if (vmf.pte === null) return false;
  if (vmf.pte.entry[pte_index(vmf.address)] === vmf.orig_pte) return true;
  pte_unmap_unlock(m, vmf.pte);
  return false;
}

/** Calls the driver with a reference on the page. NON-KERNEL: lines of upstream's do_swap_page(). */
function* call_migrate_to_ram(m: Machine, vmf: vm_fault): Gen<number> {
  const page = vmf.page;
  get_page(m, page);
  pte_unmap_unlock(m, vmf.pte as ptdesc);
  if (m.sched.explore) yield* preempt_point(m, 'migrate_to_ram');
  const migrate_to_ram = page_pgmap(m, page).ops?.migrate_to_ram;
  BUG_ON(migrate_to_ram === undefined, 'mm/memory.c: do_swap_page() of a device-private page without migrate_to_ram()');
  const ret = yield* (migrate_to_ram as NonNullable<typeof migrate_to_ram>)(m, vmf);
  return m.patch.migrate_to_ram_ret_dropped ? 0 : ret;
}

/**
 * Takes the page's lock and a reference and calls migrate_to_ram(); waits for a lock that is taken, and lets the access
 * be retried (mm/memory.c: do_swap_page()).
 */
export function* do_device_private_page(m: Machine, vmf: vm_fault, entry: number): Gen<number> {
  if (!(yield* lock_unchanged(m, vmf))) return 0;
  const page = vmf.page;
  if (!trylock_page(m, page)) {
    yield* softleaf_entry_wait_on_locked(m, entry, (vmf.pte as ptdesc).ptl);
    return 0;
  }
  const ret = yield* call_migrate_to_ram(m, vmf);
  unlock_page(m, page);
  put_page(m, page);
  return ret;
}

/** Retries at once while the page is locked (mm/memory.c: do_swap_page() before b570f37a2ce4). */
export function* do_device_private_page_polling(m: Machine, vmf: vm_fault, _entry: number): Gen<number> {
  if (!(yield* lock_unchanged(m, vmf))) return 0;
  const page = vmf.page;
  m.current.polls = false;
  if (!trylock_page(m, page)) {
    pte_unmap_unlock(m, vmf.pte as ptdesc);
    // A CPU fault returns to user space, where the task can be preempted, before the access is retried. A remote fault
    // retries in a loop without leaving the kernel.
    m.current.polls = (vmf.flags & FAULT_FLAG_REMOTE) !== 0;
    return 0;
  }
  const ret = yield* call_migrate_to_ram(m, vmf);
  unlock_page(m, page);
  put_page(m, page);
  return ret;
}

/** Leaves the lock to whoever migrates (mm/memory.c: do_swap_page() before 1afaeb8293c9). */
export function* do_device_private_page_without_lock(m: Machine, vmf: vm_fault, _entry: number): Gen<number> {
  if (!(yield* lock_unchanged(m, vmf))) return 0;
  const ret = yield* call_migrate_to_ram(m, vmf);
  put_page(m, vmf.page);
  return ret;
}

/**
 * Takes neither lock nor reference and does not look at the pte again (mm/memory.c: do_swap_page() before
 * 16ce101db85d).
 */
export function* do_device_private_page_unlocked(m: Machine, vmf: vm_fault, _entry: number): Gen<number> {
  vmf.pte = pte_offset_map(m, vmf.pmdt as ptdesc, pmd_index(vmf.address));
  if (m.sched.explore) yield* preempt_point(m, 'do_swap_page');
  const ops = page_pgmap(m, vmf.page).ops;
  return yield* (ops?.migrate_to_ram as NonNullable<dev_pagemap_ops['migrate_to_ram']>)(m, vmf);
}

/** Takes neither for device memory of HMM v14, whose fault handler does. NON-KERNEL (mm/memory.c of HMM v14). */
export function* do_device_private_page_of_v14(m: Machine, vmf: vm_fault, entry: number): Gen<number> {
  const fault = page_devmem(m, vmf.page) !== null ? do_device_private_page_unlocked : do_device_private_page;
  return yield* fault(m, vmf, entry);
}
