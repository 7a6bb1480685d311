// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EBUSY, EFAULT, EINVAL, ENOENT } from '../errno.ts';
import { mmget_not_zero, mmput } from '../kernel/fork/mm_init.ts';
import type { Gen } from '../kernel/gen.ts';
import { mutex_lock, mutex_trylock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { WARN_ON } from '../kernel/printk.ts';
import {
  HMM_PFN_ERROR,
  hmm_pfn_flags,
  HMM_PFN_REQ_FAULT,
  HMM_PFN_REQ_WRITE,
  hmm_pfn_to_map_order,
  hmm_pfn_to_page,
  HMM_PFN_VALID,
  HMM_PFN_WRITE,
  hmm_range,
  HMM_RANGE_DEFAULT_TIMEOUT,
  hmm_range_fault,
  hmm_range_fault_unlocked_timeout,
  jiffies,
} from '../mm/hmm.ts';
import { is_zero_pfn } from '../mm/memory/fault.ts';
import { is_device_coherent_page, is_device_private_page } from '../mm/memremap.ts';
import { mmap_read_lock, mmap_read_unlock } from '../mm/mmap_lock.ts';
import {
  mmu_interval_notifier,
  mmu_interval_notifier_insert,
  type mmu_interval_notifier_ops,
  mmu_interval_notifier_remove,
  mmu_interval_read_begin,
  mmu_interval_read_retry,
  mmu_interval_set_seq,
  type mmu_notifier_range,
  mmu_notifier_range_blockable,
} from '../mm/mmu_notifier.ts';
import { page_to_pfn } from '../mm/page.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import {
  backing_page_in_folio,
  type dmirror,
  type dmirror_bounce,
  dmirror_bounce_fini,
  dmirror_bounce_init,
  dmirror_do_read,
  dmirror_do_write,
  dmirror_page_to_device,
  DPT_XA_TAG_WRITE,
} from './dmirror.ts';
import {
  HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL,
  HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE,
  HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL,
  HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE,
  HMM_DMIRROR_PROT_ERROR,
  HMM_DMIRROR_PROT_NONE,
  HMM_DMIRROR_PROT_PMD,
  HMM_DMIRROR_PROT_PUD,
  HMM_DMIRROR_PROT_READ,
  HMM_DMIRROR_PROT_WRITE,
  HMM_DMIRROR_PROT_ZERO,
} from './uapi.ts';

/** Pages per hmm_range_fault() call of the driver. */
const PFNS = 32;

/**
 * A decoded struct hmm_dmirror_cmd. addr is page-aligned and below 2^64; it and addr + npages * PAGE_SIZE are exact.
 */
export interface hmm_dmirror_cmd {
  readonly addr: number;
  /** User address. Not exact from 2^53 on, where no address is valid. */
  readonly ptr: number;
  readonly npages: number;
  cpages: number;
  faults: number;
}

/**
 * Returns the hmm_range for faults of the mirror. NON-KERNEL: the initializers in upstream's dmirror_fault() and
 * dmirror_fault_unlocked().
 */
function new_range(d: dmirror, write: boolean): hmm_range {
  const range = new hmm_range();
  range.notifier = d.notifier;
  range.hmm_pfns = new Float64Array(PFNS);
  range.default_flags = HMM_PFN_REQ_FAULT | (write ? HMM_PFN_REQ_WRITE : 0);
  range.dev_private_owner = d.mdevice;
  return range;
}

/** Enters the faulted pages of the range into the mirror's page table (lib/test_hmm.c: dmirror_do_fault()). */
function dmirror_do_fault(m: Machine, d: dmirror, range: hmm_range): number {
  const end = range.end / PAGE_SIZE;
  const backing = m.patch.mirrors_backing_page;
  for (let pfn = range.start / PAGE_SIZE, i = 0; pfn < end; pfn++, i++) {
    const entry = range.hmm_pfns[i];
    const flags = hmm_pfn_flags(entry);
    WARN_ON(m, (flags & HMM_PFN_ERROR) !== 0, 'dmirror_do_fault');
    WARN_ON(m, (flags & HMM_PFN_VALID) === 0, 'dmirror_do_fault');
    let page = hmm_pfn_to_page(m, entry);
    if (backing) page = backing_page_in_folio(m, page);
    if (flags & HMM_PFN_WRITE) d.pt.store(pfn, page, DPT_XA_TAG_WRITE);
    else if (WARN_ON(m, (range.default_flags & HMM_PFN_REQ_WRITE) !== 0, 'dmirror_do_fault')) return -EFAULT;
    else d.pt.store(pfn, page, 0);
  }
  return 0;
}

/** Returns true if an invalidation came since the range was read. NON-KERNEL: a call of mmu_interval_read_retry(). */
function must_retry(m: Machine, range: hmm_range): boolean {
  return mmu_interval_read_retry(range.notifier, range.notifier_seq) && !m.patch.no_read_retry;
}

/**
 * Calls hmm_range_fault() until no invalidation interferes. Returns 0 with d.mutex held, -EBUSY after the timeout, or
 * another error. NON-KERNEL: the loop of upstream's dmirror_range_fault().
 */
function* fault_until_stable(m: Machine, d: dmirror, range: hmm_range): Gen<number> {
  const mm = d.notifier.mm;
  const timeout = jiffies(m) + HMM_RANGE_DEFAULT_TIMEOUT;
  for (;;) {
    if (jiffies(m) > timeout) return -EBUSY;
    range.notifier_seq = yield* mmu_interval_read_begin(m, range.notifier);
    yield* mmap_read_lock(m, mm);
    const ret = yield* hmm_range_fault(m, range);
    mmap_read_unlock(m, mm);
    if (ret === -EBUSY) continue;
    if (ret !== 0) return ret;
    yield* mutex_lock(m, d.mutex);
    if (!must_retry(m, range)) return 0;
    mutex_unlock(m, d.mutex);
  }
}

/**
 * Faults a range into the mirror, with mmap_lock taken here. Returns 0 or a negative errno
 * (lib/test_hmm.c: dmirror_range_fault()).
 */
function* dmirror_range_fault(m: Machine, d: dmirror, range: hmm_range): Gen<number> {
  let ret = yield* fault_until_stable(m, d, range);
  if (ret !== 0) return ret;
  ret = dmirror_do_fault(m, d, range);
  mutex_unlock(m, d.mutex);
  return ret;
}

/**
 * Faults a range into the mirror by hmm_range_fault_unlocked_timeout(). Returns 0 or a negative errno
 * (lib/test_hmm.c: dmirror_range_fault_unlocked()).
 */
function* dmirror_range_fault_unlocked(m: Machine, d: dmirror, range: hmm_range, timeout: number): Gen<number> {
  for (;;) {
    let ret = yield* hmm_range_fault_unlocked_timeout(m, range, timeout);
    if (ret !== 0) return ret;
    yield* mutex_lock(m, d.mutex);
    if (must_retry(m, range)) {
      mutex_unlock(m, d.mutex);
      continue;
    }
    ret = dmirror_do_fault(m, d, range);
    mutex_unlock(m, d.mutex);
    return ret;
  }
}

/** Faults [start, end) into the mirror, 32 pages at a time (lib/test_hmm.c: dmirror_fault()). */
function* dmirror_fault(m: Machine, d: dmirror, start: number, end: number, write: boolean): Gen<number> {
  const mm = d.notifier.mm;
  if (!mmget_not_zero(mm)) return m.patch.fault_without_mm_succeeds ? 0 : -EFAULT;
  const range = new_range(d, write);
  let ret = 0;
  for (let addr = start; addr < end && ret === 0; addr = range.end) {
    range.start = addr;
    range.end = Math.min(addr + PFNS * PAGE_SIZE, end);
    ret = yield* dmirror_range_fault(m, d, range);
  }
  yield* mmput(m, mm);
  return ret;
}

/** Faults [start, end) into the mirror; mmap_lock may be dropped (lib/test_hmm.c: dmirror_fault_unlocked()). */
function* dmirror_fault_unlocked(
  m: Machine,
  d: dmirror,
  start: number,
  end: number,
  write: boolean,
  timeout: number,
): Gen<number> {
  const mm = d.notifier.mm;
  if (!mmget_not_zero(mm)) return m.patch.fault_without_mm_succeeds ? 0 : -EFAULT;
  const range = new_range(d, write);
  let ret = 0;
  for (let addr = start; addr < end && ret === 0; addr = range.end) {
    range.start = addr;
    range.end = Math.min(addr + PFNS * PAGE_SIZE, end);
    ret = yield* dmirror_range_fault_unlocked(m, d, range, timeout);
  }
  yield* mmput(m, mm);
  return ret;
}

/**
 * Copies pages and faults in those that the mirror lacks. NON-KERNEL: the loop of upstream's dmirror_read() and
 * dmirror_write().
 */
function* access(
  m: Machine,
  d: dmirror,
  cmd: hmm_dmirror_cmd,
  bounce: dmirror_bounce,
  copy: typeof dmirror_do_read,
  fault: (start: number, end: number) => Gen<number>,
): Gen<number> {
  const end = cmd.addr + cmd.npages * PAGE_SIZE;
  let start = cmd.addr;
  for (;;) {
    yield* mutex_lock(m, d.mutex);
    let ret = copy(m, d, start, end, bounce);
    mutex_unlock(m, d.mutex);
    if (ret !== -ENOENT) return ret;
    start = cmd.addr + bounce.cpages * PAGE_SIZE;
    ret = yield* fault(start, end);
    if (ret !== 0) return ret;
    cmd.faults++;
  }
}

/**
 * Reads npages pages with the given way to fault. NON-KERNEL: the common part of upstream's dmirror_read() and
 * dmirror_read_unlocked().
 */
function* read_by(
  m: Machine,
  d: dmirror,
  cmd: hmm_dmirror_cmd,
  fault: (start: number, end: number) => Gen<number>,
): Gen<number> {
  const bounce = dmirror_bounce_init(m, cmd.addr, cmd.npages * PAGE_SIZE);
  if (typeof bounce === 'number') return bounce;
  let ret = yield* access(m, d, cmd, bounce, dmirror_do_read, fault);
  if (ret === 0 && (yield* copy_to_user(m, cmd.ptr, bounce.ptr, bounce.size)) !== 0) ret = -EFAULT;
  cmd.cpages = bounce.cpages;
  dmirror_bounce_fini(bounce);
  return ret;
}

/**
 * HMM_DMIRROR_READ: the device reads npages pages from addr on and stores them at ptr (lib/test_hmm.c: dmirror_read()).
 */
export function* dmirror_read(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  return yield* read_by(m, d, cmd, (start, end) => dmirror_fault(m, d, start, end, false));
}

/**
 * HMM_DMIRROR_READ_UNLOCKED: dmirror_read() with faults that may drop mmap_lock
 * (lib/test_hmm.c: dmirror_read_unlocked()).
 */
export function* dmirror_read_unlocked(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd, timeout: number): Gen<number> {
  return yield* read_by(m, d, cmd, (start, end) => dmirror_fault_unlocked(m, d, start, end, false, timeout));
}

/** HMM_DMIRROR_WRITE: the device writes npages pages from ptr to addr on (lib/test_hmm.c: dmirror_write()). */
export function* dmirror_write(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const bounce = dmirror_bounce_init(m, cmd.addr, cmd.npages * PAGE_SIZE);
  if (typeof bounce === 'number') return bounce;
  let ret = -EFAULT;
  if ((yield* copy_from_user(m, bounce.ptr, cmd.ptr, bounce.size)) === 0) {
    ret = yield* access(m, d, cmd, bounce, dmirror_do_write, (start, end) => dmirror_fault(m, d, start, end, true));
  }
  cmd.cpages = bounce.cpages;
  dmirror_bounce_fini(bounce);
  return ret;
}

/**
 * Returns the contents of the mirrored pages to user space, at the end of a migration to the device. NON-KERNEL: lines
 * that upstream's dmirror_migrate_to_device() and dmirror_exclusive() repeat.
 */
export function* dmirror_copy_back(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const size = cmd.npages * PAGE_SIZE;
  const bounce = dmirror_bounce_init(m, cmd.addr, size);
  if (typeof bounce === 'number') return bounce;
  yield* mutex_lock(m, d.mutex);
  let ret = dmirror_do_read(m, d, cmd.addr, cmd.addr + size, bounce);
  mutex_unlock(m, d.mutex);
  if (ret === 0 && (yield* copy_to_user(m, cmd.ptr, bounce.ptr, bounce.size)) !== 0) ret = -EFAULT;
  cmd.cpages = bounce.cpages;
  dmirror_bounce_fini(bounce);
  return ret;
}

/** Returns the snapshot byte of an entry (lib/test_hmm.c: dmirror_mkentry()). */
function dmirror_mkentry(m: Machine, d: dmirror, entry: number): number {
  const flags = hmm_pfn_flags(entry);
  if (flags & HMM_PFN_ERROR) return HMM_DMIRROR_PROT_ERROR;
  if ((flags & HMM_PFN_VALID) === 0) return HMM_DMIRROR_PROT_NONE;
  const page = hmm_pfn_to_page(m, entry);
  let perm = HMM_DMIRROR_PROT_NONE;
  if (is_device_private_page(m, page)) {
    const local = d.mdevice === dmirror_page_to_device(m, page);
    perm = local ? HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL : HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE;
  } else if (is_device_coherent_page(m, page)) {
    const local = d.mdevice === dmirror_page_to_device(m, page);
    perm = local ? HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL : HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE;
  } else if (is_zero_pfn(m, page_to_pfn(m, page))) {
    perm = HMM_DMIRROR_PROT_ZERO;
  }
  perm |= flags & HMM_PFN_WRITE ? HMM_DMIRROR_PROT_WRITE : HMM_DMIRROR_PROT_READ;
  const order = hmm_pfn_to_map_order(entry);
  if (order === 9) perm |= HMM_DMIRROR_PROT_PMD;
  else if (order === 18) perm |= HMM_DMIRROR_PROT_PUD;
  return perm;
}

/** Handles an invalidation during a snapshot (lib/test_hmm.c: dmirror_snapshot_invalidate()). */
function* dmirror_snapshot_invalidate(
  m: Machine,
  mni: mmu_interval_notifier,
  range: mmu_notifier_range,
  cur_seq: number,
): Gen<boolean> {
  const d = mni.container as dmirror;
  if (mmu_notifier_range_blockable(range)) yield* mutex_lock(m, d.mutex);
  else if (!mutex_trylock(m, d.mutex)) return false;
  mmu_interval_set_seq(mni, cur_seq);
  mutex_unlock(m, d.mutex);
  return true;
}

const dmirror_mrn_ops: mmu_interval_notifier_ops = {
  invalidate: dmirror_snapshot_invalidate,
};

/** Stores the snapshot bytes of at most 32 pages in `perm` (lib/test_hmm.c: dmirror_range_snapshot()). */
function* dmirror_range_snapshot(m: Machine, d: dmirror, range: hmm_range, perm: Uint8Array): Gen<number> {
  const notifier = new mmu_interval_notifier();
  notifier.container = d;
  range.notifier = notifier;
  let ret = yield* mmu_interval_notifier_insert(
    m,
    notifier,
    d.notifier.mm,
    range.start,
    range.end - range.start,
    dmirror_mrn_ops,
  );
  if (ret !== 0) return ret;
  ret = yield* fault_until_stable(m, d, range);
  if (ret === 0) {
    const n = (range.end - range.start) / PAGE_SIZE;
    for (let i = 0; i < n; i++) perm[i] = dmirror_mkentry(m, d, range.hmm_pfns[i]);
    mutex_unlock(m, d.mutex);
  }
  yield* mmu_interval_notifier_remove(m, notifier);
  notifier.freed = true; // it is on the stack
  return ret;
}

/** HMM_DMIRROR_SNAPSHOT: stores one byte per page at ptr and faults nothing in (lib/test_hmm.c: dmirror_snapshot()). */
export function* dmirror_snapshot(m: Machine, d: dmirror, cmd: hmm_dmirror_cmd): Gen<number> {
  const mm = d.notifier.mm;
  const end = cmd.addr + cmd.npages * PAGE_SIZE;
  if (!mmget_not_zero(mm)) return -EINVAL;
  const perm = new Uint8Array(PFNS);
  const range = new hmm_range();
  range.hmm_pfns = new Float64Array(PFNS);
  range.dev_private_owner = d.mdevice;
  let uptr = cmd.ptr;
  let ret = 0;
  for (let addr = cmd.addr, next: number; addr < end; addr = next) {
    next = Math.min(addr + PFNS * PAGE_SIZE, end);
    range.start = addr;
    range.end = next;
    ret = yield* dmirror_range_snapshot(m, d, range, perm);
    if (ret !== 0) break;
    const n = (range.end - range.start) / PAGE_SIZE;
    if ((yield* copy_to_user(m, uptr, perm, n)) !== 0) {
      ret = -EFAULT;
      break;
    }
    cmd.cpages += n;
    uptr += n;
  }
  yield* mmput(m, mm);
  return ret;
}
