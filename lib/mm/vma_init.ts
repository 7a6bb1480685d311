// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { BUG_ON } from '../kernel/printk.ts';
import { type mm_struct, vm_area_struct } from './mm_types.ts';
import { vma_dummy_vm_ops } from './vma/vma.ts';

/** Returns a new vma of the mm without range or flags (mm/vma_init.c: vm_area_alloc()). */
export function vm_area_alloc(_m: Machine, mm: mm_struct): vm_area_struct {
  const vma = new vm_area_struct(mm, 0, 0);
  vma.vm_ops = vma_dummy_vm_ops;
  return vma;
}

/** Returns a detached copy with the same anon_vma and without anon_vma chains (mm/vma_init.c: vm_area_dup()). */
export function vm_area_dup(_m: Machine, orig: vm_area_struct): vm_area_struct {
  const vma = new vm_area_struct(orig.vm_mm, orig.vm_start, orig.vm_end);
  vma.vm_ops = orig.vm_ops;
  vma.anon_vma = orig.anon_vma;
  vma.vm_pgoff = orig.vm_pgoff;
  vma.vm_anon_pgoff = orig.vm_anon_pgoff;
  vma.vm_file = orig.vm_file;
  vma.vm_private_data = orig.vm_private_data;
  vma.vm_flags = orig.vm_flags;
  vma.vm_page_prot = orig.vm_page_prot;
  vma.vm_userfaultfd_ctx = orig.vm_userfaultfd_ctx;
  return vma;
}

/** Frees a detached vma without anon_vma chains (mm/vma_init.c: vm_area_free()). */
export function vm_area_free(_m: Machine, vma: vm_area_struct): void {
  BUG_ON(!vma.detached, 'mm/vma_init.c: vm_area_free() of a vma that is attached');
}
