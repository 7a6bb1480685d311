// SPDX-License-Identifier: GPL-2.0-only
// Device memory of HMM v14: patches 05/16 and 15/16 of 8 December 2016. NON-KERNEL throughout.

import type { Machine } from '../../machine.ts';
import { EINVAL } from '../../errno.ts';
import type { Gen } from '../../kernel/gen.ts';
import { release_mem_region, request_free_mem_region } from '../../kernel/resource.ts';
import { lock_page } from '../../mm/filemap/folio_lock.ts';
import { MEMORY_DEVICE_PRIVATE, memremap_pages, memunmap_pages } from '../../mm/memremap.ts';
import { type vm_area_struct, type vm_fault, VM_FAULT_SIGBUS } from '../../mm/mm_types.ts';
import { alloc_page, GFP_HIGHUSER } from '../../mm/page_alloc.ts';
import { PAGE_SIZE } from '../../mm/physmem.ts';
import { Unmodelled } from '../../unmodelled.ts';
import {
  type hmm_devmem,
  HMM_PFN_ERROR,
  MEMORY_DEVICE,
  MEMORY_DEVICE_ALLOW_MIGRATE,
  MEMORY_DEVICE_UNADDRESSABLE,
  page_devmem,
} from './hmm.ts';
import { type hmm_migrate_ops, hmm_vma_migrate } from './migrate.ts';

/** Handles a CPU fault on device memory by calling the driver. NON-KERNEL (mm/hmm.c of HMM v14). */
function* hmm_devmem_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const devmem = page_devmem(m, vmf.page) as hmm_devmem;
  return yield* devmem.ops.fault(m, devmem, vmf.vma, vmf.address, vmf.page, vmf.flags);
}

/**
 * Gives device memory struct pages. Returns 0, or -EINVAL without MEMORY_DEVICE. The pages are today's device-private
 * ones, whose refcount is 0 while free; in v14 it was 1. NON-KERNEL (kernel/memremap.c of HMM v14).
 */
function* devm_memremap_pages(m: Machine, devmem: hmm_devmem, flags: number): Gen<number> {
  if ((flags & MEMORY_DEVICE) === 0) return -EINVAL;
  if ((flags & MEMORY_DEVICE_UNADDRESSABLE) === 0)
    throw new Unmodelled('devm_memremap_pages: addressable device memory of HMM v14');
  const { pagemap } = devmem;
  devmem.flags = flags;
  pagemap.type = MEMORY_DEVICE_PRIVATE;
  pagemap.nr_range = 1;
  pagemap.owner = devmem;
  pagemap.ops = {
    folio_free: (_m, folio) => devmem.ops.free(m, devmem, folio),
    migrate_to_ram: hmm_devmem_fault,
  };
  const ret = yield* memremap_pages(m, pagemap, 0);
  return ret < 0 ? ret : 0;
}

/**
 * Hotplugs `size` bytes of unaddressable memory at a free physical address. Returns 0 or a negative errno. v14 always
 * passes all three flags. NON-KERNEL (mm/hmm.c of HMM v14).
 */
export function* hmm_devmem_add(
  m: Machine,
  devmem: hmm_devmem,
  name: string,
  size: number,
  flags = MEMORY_DEVICE | MEMORY_DEVICE_ALLOW_MIGRATE | MEMORY_DEVICE_UNADDRESSABLE,
): Gen<number> {
  const res = request_free_mem_region(m, null, size, name);
  if (typeof res === 'number') return res;
  const { range } = devmem.pagemap;
  range.start = res.start;
  range.end = res.end;
  const ret = yield* devm_memremap_pages(m, devmem, flags);
  if (ret < 0) {
    release_mem_region(m, res.start, size);
    return ret;
  }
  devmem.pfn_first = res.start / PAGE_SIZE;
  devmem.pfn_last = (res.end + 1) / PAGE_SIZE;
  return 0;
}

/** Removes the memory once none of its pages is in use. NON-KERNEL (mm/hmm.c of HMM v14). */
export function* hmm_devmem_remove(m: Machine, devmem: hmm_devmem): Gen<void> {
  const { start, end } = devmem.pagemap.range;
  yield* memunmap_pages(m, devmem.pagemap);
  release_mem_region(m, start, end + 1 - start);
}

/** Returns a locked page for an address, or 0. NON-KERNEL (mm/hmm.c of HMM v14). */
export function* hmm_vma_alloc_locked_page(m: Machine, _vma: vm_area_struct, _addr: number): Gen<number> {
  const page = alloc_page(m, GFP_HIGHUSER);
  if (page !== 0) yield* lock_page(m, page);
  return page;
}

/**
 * Migrates a range to system memory for a fault at `addr`. Returns 0, or VM_FAULT_SIGBUS if the driver has lost that
 * page. NON-KERNEL (mm/hmm.c of HMM v14).
 */
export function* hmm_devmem_fault_range(
  m: Machine,
  vma: vm_area_struct,
  ops: hmm_migrate_ops,
  src_pfns: Float64Array,
  dst_pfns: Float64Array,
  start: number,
  addr: number,
  end: number,
  priv: unknown,
): Gen<number> {
  if ((yield* hmm_vma_migrate(m, ops, vma, src_pfns, dst_pfns, start, end, priv)) !== 0) return VM_FAULT_SIGBUS;
  return dst_pfns[Math.floor((addr - start) / PAGE_SIZE)] & HMM_PFN_ERROR ? VM_FAULT_SIGBUS : 0;
}
