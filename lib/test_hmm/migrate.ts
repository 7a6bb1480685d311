// SPDX-License-Identifier: GPL-2.0-only

import { mpfn_pfn } from '../mm/migrate_device/migrate_vma.ts';
import { HPAGE_PMD_NR } from '../arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EINVAL, ENOMEM, EPERM } from '../errno.ts';
import { mmget_not_zero, mmput } from '../kernel/fork/mm_init.ts';
import type { Gen } from '../kernel/gen.ts';
import { mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { folio_unlock, lock_page, unlock_page } from '../mm/filemap/folio_lock.ts';
import { folio_put, put_page } from '../mm/folio.ts';
import { folio_zone_device_data, is_device_coherent_page, is_device_private_page } from '../mm/memremap.ts';
import {
  MIGRATE_PFN_COMPOUND,
  migrate_pfn_from_page,
  MIGRATE_PFN_MIGRATE,
  migrate_pfn_to_page,
  MIGRATE_PFN_VALID,
  MIGRATE_PFN_WRITE,
  migrate_vma,
  MIGRATE_VMA_SELECT_COMPOUND,
  MIGRATE_VMA_SELECT_DEVICE_COHERENT,
  MIGRATE_VMA_SELECT_DEVICE_PRIVATE,
  MIGRATE_VMA_SELECT_SYSTEM,
} from '../mm/migrate_device/migrate_vma.ts';
import { migrate_vma_finalize, migrate_vma_pages, migrate_vma_setup } from '../mm/migrate_device/pages.ts';
import { type vm_fault, VM_FAULT_OOM, VM_FAULT_SIGBUS, VM_READ } from '../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import {
  folio_is_zone_device,
  folio_nr_pages,
  folio_order,
  folio_page,
  folio_test_large,
  page_folio,
  page_to_pfn,
} from '../mm/page.ts';
import {
  __free_pages,
  __GFP_NOFAIL,
  alloc_page,
  folio_alloc,
  GFP_HIGHUSER_MOVABLE,
  GFP_KERNEL,
} from '../mm/page_alloc.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { make_device_exclusive } from '../mm/rmap/device_exclusive.ts';
import { kvcalloc, kvfree } from '../mm/slub.ts';
import { vma_lookup } from '../mm/vma/vma.ts';
import { make_device_exclusive_range } from '../series/exclusive_range.ts';
import { dmirror_devmem_alloc_page } from './chunk.ts';
import {
  BACKING_PAGE,
  check_dmirror,
  COPY_PAGE_NS,
  type dmirror,
  dmirror_is_private_zone,
  dmirror_page_to_device,
  DPT_XA_TAG_ATOMIC,
  DPT_XA_TAG_WRITE,
  page_to_dmirror,
  set_zone_device_data,
} from './dmirror.ts';
import { dmirror_copy_back, type hmm_dmirror_cmd } from './fault.ts';
import { HMM_DMIRROR_FLAG_FAIL_ALLOC } from './uapi.ts';

const PTRS_PER_PTE = 512;
/** Pages per make_device_exclusive_range() call. */
const EXCLUSIVE_PAGES = 64;

/** Returns the MIGRATE_VMA_SELECT_* of the device's own memory (lib/test_hmm.c: dmirror_select_device()). */
function dmirror_select_device(d: dmirror): number {
  return dmirror_is_private_zone(d.mdevice) ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE : MIGRATE_VMA_SELECT_DEVICE_COHERENT;
}

/**
 * Copies n pages from pfn src, or zeroes them if src is -1. NON-KERNEL: copy_highpage() and clear_highpage() in a loop.
 */
function fill_pages(m: Machine, dst: number, src: number, n: number): void {
  if (src >= 0) m.ram.copy(dst, src, n);
  else for (let i = 0; i < n; i++) m.ram.clear(dst + i);
  m.sched.spend(COPY_PAGE_NS * n);
}

/** Returns true once per HMM_DMIRROR_FLAG_FAIL_ALLOC that user space set. NON-KERNEL: lines that upstream repeats. */
function fail_alloc(m: Machine, d: dmirror, is_large: boolean): boolean {
  if ((d.flags & HMM_DMIRROR_FLAG_FAIL_ALLOC) === 0 || (!is_large && m.patch.fails_huge_only)) return false;
  d.flags &= ~HMM_DMIRROR_FLAG_FAIL_ALLOC;
  return true;
}

/**
 * Warns of a device page among those that were selected; without flags there may be some. NON-KERNEL: a line of
 * upstream's dmirror_migrate_alloc_and_copy().
 */
function already_in_device(m: Machine): void {
  if (m.seam.migrate_selection.by_flags) WARN_ON(m, true, 'dmirror_migrate_alloc_and_copy', 'page already in device');
}

/**
 * Allocates a device page for each page that can migrate and copies the contents
 * (lib/test_hmm.c: dmirror_migrate_alloc_and_copy()).
 */
function* dmirror_migrate_alloc_and_copy(m: Machine, args: migrate_vma, d: dmirror): Gen<void> {
  const src = args.src as Float64Array;
  const dst = args.dst as Float64Array;
  let k = 0;
  let addr = args.start;
  while (addr < args.end) {
    const s = src[k];
    const is_large = (s & MIGRATE_PFN_COMPOUND) !== 0;
    const write = s & MIGRATE_PFN_WRITE;
    if ((s & MIGRATE_PFN_MIGRATE) === 0) {
      k++;
      addr += PAGE_SIZE;
      continue;
    }
    const spage = migrate_pfn_to_page(m, s);
    if (spage !== 0 && folio_is_zone_device(m, page_folio(m, spage))) {
      already_in_device(m);
      k++;
      addr += PAGE_SIZE;
      continue;
    }
    const spfn = spage !== 0 ? mpfn_pfn(s) : -1;
    const dpage = fail_alloc(m, d, is_large) ? 0 : yield* dmirror_devmem_alloc_page(m, d, is_large);
    if (dpage === 0) {
      if (!is_large) {
        k++;
        addr += PAGE_SIZE;
        continue;
      }
      const nr = spage === 0 ? HPAGE_PMD_NR : folio_nr_pages(m, page_folio(m, spage));
      for (let i = 0; i < nr && addr < args.end; i++) {
        const small = yield* dmirror_devmem_alloc_page(m, d, false);
        if (small === 0 && m.patch.checks_small_pages) {
          k++;
          addr += PAGE_SIZE;
          continue;
        }
        const rpage = BACKING_PAGE(m, small);
        set_zone_device_data(m, rpage, d.id);
        dst[k] = migrate_pfn_from_page(m, small) + write;
        fill_pages(m, page_to_pfn(m, rpage), spfn < 0 ? -1 : spfn + i, 1);
        k++;
        addr += PAGE_SIZE;
      }
      continue;
    }
    const rpage = BACKING_PAGE(m, dpage);
    set_zone_device_data(m, rpage, d.id);
    dst[k] = migrate_pfn_from_page(m, dpage) + write;
    let nr = 1;
    if (is_large) {
      dst[k] += MIGRATE_PFN_COMPOUND;
      const folio = page_folio(m, dpage);
      if (folio_test_large(m, folio)) nr = folio_nr_pages(m, folio);
    }
    fill_pages(m, page_to_pfn(m, rpage), spfn, nr);
    k += nr;
    addr += nr * PAGE_SIZE;
  }
}

/**
 * Returns -EPERM if a page of [start, end) is mapped for exclusive access, else 0
 * (lib/test_hmm.c: dmirror_check_atomic()).
 */
export function dmirror_check_atomic(d: dmirror, start: number, end: number): number {
  return d.pt.has_tag(start / PAGE_SIZE, end / PAGE_SIZE - 1, DPT_XA_TAG_ATOMIC) ? -EPERM : 0;
}

/** Maps a page for exclusive access in the mirror's page table. Returns 0 (lib/test_hmm.c: dmirror_atomic_map()). */
function* dmirror_atomic_map(m: Machine, addr: number, page: number, d: dmirror): Gen<number> {
  yield* mutex_lock(m, d.mutex);
  d.pt.store(addr / PAGE_SIZE, page, DPT_XA_TAG_ATOMIC);
  mutex_unlock(m, d.mutex);
  return 0;
}

/** Enters the migrated pages into the mirror's page table (lib/test_hmm.c: dmirror_migrate_finalize_and_map()). */
function* dmirror_migrate_finalize_and_map(m: Machine, args: migrate_vma, d: dmirror): Gen<void> {
  const src = args.src as Float64Array;
  const dst = args.dst as Float64Array;
  const start_pfn = args.start / PAGE_SIZE;
  const end_pfn = args.end / PAGE_SIZE;
  yield* mutex_lock(m, d.mutex);
  for (let pfn = start_pfn, k = 0; pfn < end_pfn; pfn++, k++) {
    if ((src[k] & MIGRATE_PFN_MIGRATE) === 0) continue;
    const dpage = migrate_pfn_to_page(m, dst[k]);
    if (dpage === 0) continue;
    const nr = dst[k] & MIGRATE_PFN_COMPOUND ? folio_nr_pages(m, page_folio(m, dpage)) : 1;
    WARN_ON_ONCE(m, end_pfn < start_pfn + nr, 'dmirror_migrate_finalize_and_map', 'range');
    const rfolio = page_folio(m, BACKING_PAGE(m, dpage));
    WARN_ON(m, folio_nr_pages(m, rfolio) !== nr, 'dmirror_migrate_finalize_and_map');
    const tag = dst[k] & MIGRATE_PFN_WRITE ? DPT_XA_TAG_WRITE : 0;
    for (let i = 0; i < nr; i++) d.pt.store(pfn + i, folio_page(rfolio, i), tag);
  }
  mutex_unlock(m, d.mutex);
}

/**
 * Returns true if the pages of the array go to the mirror's page table: if all were found, or always before
 * ed913b055a74. On the stack of the kernel, which CONFIG_INIT_STACK_ALL_ZERO clears, those not found are NULL or of the
 * call before. NON-KERNEL: a line of dmirror_exclusive().
 */
function enters_all_pages(m: Machine, found: number, npages: number): boolean {
  return m.patch.exclusive_enters_stale_pages || found === npages;
}

/**
 * Makes a range exclusive by make_device_exclusive_range(), 64 pages at a time, as dmirror_exclusive() did before
 * make_device_exclusive(). Returns 0, or -EBUSY if a page was not obtained. NON-KERNEL.
 */
function* dmirror_exclusive_range(m: Machine, d: dmirror, start: number, end: number): Gen<number> {
  const pages = new Int32Array(EXCLUSIVE_PAGES);
  for (let addr = start, next: number; addr < end; addr = next) {
    next = Math.min(end, addr + pages.length * PAGE_SIZE);
    const npages = (next - addr) / PAGE_SIZE;
    const found = yield* make_device_exclusive_range(m, d.notifier.mm, addr, next, pages, null);
    let mapped = 0;
    const entered = enters_all_pages(m, found, npages) ? npages : 0;
    for (let i = 0; i < entered; i++) {
      if (pages[i] === 0) continue;
      yield* dmirror_atomic_map(m, addr + i * PAGE_SIZE, pages[i], d);
      mapped++;
    }
    for (let i = 0; i < found; i++) {
      if (pages[i] === 0) continue;
      unlock_page(m, pages[i]);
      put_page(m, pages[i]);
    }
    if (mapped < npages) return -EBUSY;
  }
  return 0;
}

/**
 * Makes a range exclusive page by page. Returns 0 or a negative errno. NON-KERNEL: the loop of upstream's
 * dmirror_exclusive().
 */
function* dmirror_exclusive_pages(m: Machine, d: dmirror, start: number, end: number): Gen<number> {
  for (let addr = start; addr < end; addr += PAGE_SIZE) {
    const page = yield* make_device_exclusive(m, d.notifier.mm, addr, null);
    if (page < 0) return page;
    const ret = yield* dmirror_atomic_map(m, addr, page, d);
    const folio = page_folio(m, page);
    folio_unlock(m, folio);
    folio_put(m, folio);
    if (ret !== 0) return ret;
  }
  return 0;
}

/**
 * HMM_DMIRROR_EXCLUSIVE: gives the device exclusive access to each page and returns the contents
 * (lib/test_hmm.c: dmirror_exclusive()).
 */
export function* dmirror_exclusive(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const mm = d.notifier.mm;
  const start = cmd.addr;
  const end = start + cmd.npages * PAGE_SIZE;
  if (!mmget_not_zero(mm)) return -EINVAL;
  yield* mmap_read_lock(m, mm);
  const exclusive = m.patch.exclusive_range ? dmirror_exclusive_range : dmirror_exclusive_pages;
  const ret = yield* exclusive(m, d, start, end);
  mmap_read_unlock(m, mm);
  yield* mmput(m, mm);
  if (ret !== 0) return ret;
  return yield* dmirror_copy_back(m, d, cmd);
}

/**
 * Allocates a system page for each device page of a range and copies the contents; falls back to single pages if a huge
 * page cannot be allocated. Returns 0 or VM_FAULT_OOM (lib/test_hmm.c: dmirror_devmem_fault_alloc_and_copy()).
 */
function* dmirror_devmem_fault_alloc_and_copy(m: Machine, args: migrate_vma, d: dmirror): Gen<number> {
  const src = args.src as Float64Array;
  const dst = args.dst as Float64Array;
  let order = 0;
  for (let addr = args.start, k = 0; addr < args.end; k += 1 << order) {
    const s = src[k];
    let spage = migrate_pfn_to_page(m, s);
    if (spage === 0 || (s & MIGRATE_PFN_MIGRATE) === 0) {
      addr += PAGE_SIZE;
      continue;
    }
    const foreign = !is_device_private_page(m, spage) && !is_device_coherent_page(m, spage);
    if (WARN_ON(m, foreign, 'dmirror_devmem_fault_alloc_and_copy')) {
      addr += PAGE_SIZE;
      continue;
    }
    spage = BACKING_PAGE(m, spage);
    order = folio_order(m, page_folio(m, spage));
    let flags = order > 0 ? MIGRATE_PFN_COMPOUND : 0;
    flags |= s & MIGRATE_PFN_WRITE;
    let dpage: number;
    check_dmirror(d);
    if (fail_alloc(m, d, order > 0)) {
      flags &= ~MIGRATE_PFN_COMPOUND;
      dpage = 0;
    } else {
      dpage = folio_alloc(m, GFP_HIGHUSER_MOVABLE, order);
    }
    dst[k] = flags;
    if (dpage === 0 && order === 0) return VM_FAULT_OOM;
    const spfn = page_to_pfn(m, spage);
    const nr = 1 << order;
    if (dpage !== 0) {
      yield* lock_page(m, dpage);
      dst[k] = migrate_pfn_from_page(m, dpage) + flags;
      check_dmirror(d);
      const pfn = addr / PAGE_SIZE;
      d.pt.erase(pfn, pfn + nr - 1);
      addr += nr * PAGE_SIZE;
      fill_pages(m, page_to_pfn(m, dpage), spfn, nr);
      continue;
    }
    for (let i = 0; i < nr; i++) {
      const page = alloc_page(m, GFP_HIGHUSER_MOVABLE);
      if (page === 0) {
        for (let n = i; n > 0; ) {
          const fpage = migrate_pfn_to_page(m, dst[k + --n]);
          unlock_page(m, fpage);
          __free_pages(m, fpage, 0);
        }
        for (let n = 0; n < nr; n++) dst[k + n] = 0;
        return VM_FAULT_OOM;
      }
      yield* lock_page(m, page);
      dst[k + i] = migrate_pfn_from_page(m, page);
      check_dmirror(d);
      const pfn = addr / PAGE_SIZE;
      d.pt.erase(pfn, pfn);
      addr += PAGE_SIZE;
      fill_pages(m, page_to_pfn(m, page), spfn + i, 1);
    }
  }
  return 0;
}

/**
 * Allocates the arrays of an ioctl's migration, for the pages of one pte table. NON-KERNEL: lines that upstream
 * repeats.
 */
function alloc_pfns(m: Machine, args: migrate_vma): void {
  args.src = kvcalloc(m, PTRS_PER_PTE, GFP_KERNEL | __GFP_NOFAIL);
  args.dst = kvcalloc(m, PTRS_PER_PTE, GFP_KERNEL | __GFP_NOFAIL);
}

/** Frees the arrays of an ioctl's migration. NON-KERNEL: lines that upstream repeats. */
function free_pfns(m: Machine, args: migrate_vma): void {
  kvfree(m, args.src);
  kvfree(m, args.dst);
}

/** Returns the number of pages that migrated (lib/test_hmm.c: dmirror_successful_migrated_pages()). */
function dmirror_successful_migrated_pages(m: Machine, migrate: migrate_vma): number {
  const src = migrate.src as Float64Array;
  const both = MIGRATE_PFN_VALID | MIGRATE_PFN_MIGRATE;
  let cpages = 0;
  const compound = m.patch.counts_huge_cpages ? HPAGE_PMD_NR : 1;
  for (let i = 0; i < migrate.npages; i++)
    if ((src[i] & both) === both) cpages += src[i] & MIGRATE_PFN_COMPOUND ? compound : 1;
  return cpages;
}

/**
 * HMM_DMIRROR_MIGRATE_TO_SYS: migrates device pages to system memory and counts them in cpages
 * (lib/test_hmm.c: dmirror_migrate_to_system()).
 */
export function* dmirror_migrate_to_system(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const mm = d.notifier.mm;
  const end = cmd.addr + cmd.npages * PAGE_SIZE;
  const args = new migrate_vma();
  if (m.patch.to_system_allocates_first) alloc_pfns(m, args);
  if (!mmget_not_zero(mm)) return -EINVAL;
  if (args.src === null) alloc_pfns(m, args);
  cmd.cpages = 0;
  let ret = 0;
  yield* mmap_read_lock(m, mm);
  for (let addr = cmd.addr, next: number; addr < end; addr = next) {
    const vma = vma_lookup(mm, addr);
    if (vma === null || (vma.vm_flags & VM_READ) === 0) {
      ret = -EINVAL;
      break;
    }
    next = Math.min(end, addr + PTRS_PER_PTE * PAGE_SIZE, vma.vm_end);
    args.vma = vma;
    args.start = addr;
    args.end = next;
    args.pgmap_owner = d.mdevice;
    args.src_owner = d.mdevice;
    args.flags = dmirror_select_device(d) | MIGRATE_VMA_SELECT_COMPOUND;
    ret = yield* migrate_vma_setup(m, args);
    if (ret !== 0) break;
    if ((yield* dmirror_devmem_fault_alloc_and_copy(m, args, d)) !== 0) {
      yield* migrate_vma_finalize(m, args);
      ret = -ENOMEM;
      break;
    }
    yield* migrate_vma_pages(m, args);
    cmd.cpages += dmirror_successful_migrated_pages(m, args);
    yield* migrate_vma_finalize(m, args);
  }
  mmap_read_unlock(m, mm);
  yield* mmput(m, mm);
  free_pfns(m, args);
  return ret;
}

/**
 * HMM_DMIRROR_MIGRATE_TO_DEV: migrates pages to the device and returns their contents
 * (lib/test_hmm.c: dmirror_migrate_to_device()).
 */
export function* dmirror_migrate_to_device(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const mm = d.notifier.mm;
  const end = cmd.addr + cmd.npages * PAGE_SIZE;
  if (!mmget_not_zero(mm)) return -EINVAL;
  const args = new migrate_vma();
  alloc_pfns(m, args);
  let ret = 0;
  yield* mmap_read_lock(m, mm);
  for (let addr = cmd.addr, next: number; addr < end; addr = next) {
    const vma = vma_lookup(mm, addr);
    if (vma === null || (vma.vm_flags & VM_READ) === 0) {
      ret = -EINVAL;
      break;
    }
    next = Math.min(end, addr + PTRS_PER_PTE * PAGE_SIZE, vma.vm_end);
    args.vma = vma;
    args.start = addr;
    args.end = next;
    args.pgmap_owner = d.mdevice;
    args.flags = MIGRATE_VMA_SELECT_SYSTEM | MIGRATE_VMA_SELECT_COMPOUND;
    ret = yield* migrate_vma_setup(m, args);
    if (ret !== 0) break;
    yield* dmirror_migrate_alloc_and_copy(m, args, d);
    yield* migrate_vma_pages(m, args);
    yield* dmirror_migrate_finalize_and_map(m, args, d);
    yield* migrate_vma_finalize(m, args);
  }
  mmap_read_unlock(m, mm);
  yield* mmput(m, mm);
  free_pfns(m, args);
  if (ret !== 0) return ret;
  return yield* dmirror_copy_back(m, d, cmd);
}

/**
 * Handles a CPU fault on a private page: migrates it, or the folio that a pmd maps, to system memory
 * (lib/test_hmm.c: dmirror_devmem_fault()).
 */
export function* dmirror_devmem_fault(m: Machine, vmf: vm_fault): Gen<number> {
  const folio = page_folio(m, vmf.page);
  const rpage = folio_zone_device_data(m, folio);
  const d = page_to_dmirror(m, dmirror_page_to_device(m, vmf.page).mod, rpage);
  const order = vmf.pte !== null ? 0 : folio_order(m, folio);
  const size = PAGE_SIZE << order;
  const args = new migrate_vma();
  args.start = vmf.address - (vmf.address % size);
  args.vma = vmf.vma;
  args.end = args.start + size;
  args.src = new Float64Array(1 << order);
  args.dst = new Float64Array(1 << order);
  args.pgmap_owner = d.mdevice;
  args.src_owner = d.mdevice;
  args.flags = dmirror_select_device(d) | (order > 0 ? MIGRATE_VMA_SELECT_COMPOUND : 0);
  if (!m.patch.no_fault_page) args.fault_page = vmf.page;
  if ((yield* migrate_vma_setup(m, args)) !== 0) return VM_FAULT_SIGBUS;
  const ret = yield* dmirror_devmem_fault_alloc_and_copy(m, args, d);
  if (ret === 0) yield* migrate_vma_pages(m, args);
  yield* migrate_vma_finalize(m, args);
  return ret;
}
