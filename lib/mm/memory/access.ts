// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { folio_put } from '../folio.ts';
import { get_user_page_vma_remote } from '../gup/gup.ts';
import { FOLL_WRITE } from '../gup/pin.ts';
import { type mm_struct, type vm_area_struct, VM_GROWSDOWN } from '../mm_types.ts';
import { find_vma } from '../mmap/find_vma.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from '../mmap_lock.ts';
import { folio_mark_dirty_lock } from '../page-writeback.ts';
import { page_folio, page_to_pfn } from '../page.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { vma_lookup } from '../vma/vma.ts';

/** Returns true if the address is below a stack, which access_remote_vm() would grow. NON-KERNEL. */
function below_stack(mm: mm_struct, addr: number): boolean {
  return ((find_vma(mm, addr)?.vm_flags ?? 0) & VM_GROWSDOWN) !== 0;
}

/**
 * Copies between a buffer and an address space, with FOLL_WRITE in gup_flags to the address space. Returns the number of
 * bytes copied (mm/memory.c: access_remote_vm()). Leaves out ->access() of a vma: nothing modelled has it.
 */
export function* access_remote_vm(
  m: Machine,
  mm: mm_struct,
  addr: number,
  buf: Uint8Array,
  gup_flags: number,
): Gen<number> {
  if ((yield* mmap_read_lock_killable(m, mm)) !== 0) return 0;
  let done = 0;
  if (vma_lookup(mm, addr) === null && below_stack(mm, addr))
    throw new Unmodelled('mm/memory.c: access_remote_vm() below a stack');
  while (done < buf.length && vma_lookup(mm, addr) !== null) {
    const vmap: { vma: vm_area_struct | null } = { vma: null };
    const page = yield* get_user_page_vma_remote(m, mm, addr, gup_flags, vmap);
    if (page < 0) break;
    const folio = page_folio(m, page);
    const offset = addr % PAGE_SIZE;
    const bytes = Math.min(buf.length - done, PAGE_SIZE - offset);
    const contents = m.ram.bytes(page_to_pfn(m, page)).subarray(offset, offset + bytes);
    if (gup_flags & FOLL_WRITE) {
      contents.set(buf.subarray(done, done + bytes));
      folio_mark_dirty_lock(m, folio);
    } else {
      buf.set(contents, done);
    }
    folio_put(m, folio);
    done += bytes;
    addr += bytes;
  }
  mmap_read_unlock(m, mm);
  return done;
}
