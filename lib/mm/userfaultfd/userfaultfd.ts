// SPDX-License-Identifier: GPL-2.0-only
// Missing and write-protect faults that user space resolves. Leaves out minor faults, read-write protection and the
// events of a changing address space (fork, remap, remove, unmap): a request for them throws Unmodelled, so no context
// has them. Leaves out map_changing_lock, which only those events take for writing.

import { pmd_off } from '../../arch/x86/mm/pgtable/pgalloc.ts';
import {
  pmd_index,
  pmd_none,
  pmd_present,
  pmd_trans_huge,
  pmdp_get,
  pte_index,
  pte_none,
  pte_present,
  pte_uffd,
  pte_write,
  ptep_get,
} from '../../arch/x86/mm/pgtable/pgtable.ts';
import { copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EFAULT, EINVAL, ERESTARTSYS } from '../../errno.ts';
import { anon_inode_getfile } from '../../fs/eventfd.ts';
import { fd_install, get_unused_fd_flags } from '../../fs/file.ts';
import { type file_operations, O_CLOEXEC, O_NONBLOCK, O_RDONLY } from '../../fs/fs.ts';
import { EPOLLERR, EPOLLIN } from '../../fs/poll.ts';
import { mmdrop, mmget_not_zero, mmgrab, mmput } from '../../kernel/fork/mm_init.ts';
import type { Gen } from '../../kernel/gen.ts';
import { printk, WARN_ON_ONCE } from '../../kernel/printk.ts';
import {
  fatal_signal_pending,
  preempt_point,
  schedule,
  signal_pending,
  TASK_INTERRUPTIBLE,
  TASK_KILLABLE,
  type task_struct,
  TASK_UNINTERRUPTIBLE,
} from '../../kernel/sched/core.ts';
import { wait_on, wait_queue_head, wake_up } from '../../kernel/sched/wait.ts';
import { assert_fault_locked, release_fault_lock } from '../filemap/folio_lock.ts';
import { hstate_vma, huge_page_size } from '../hugetlb/pool.ts';
import { hugetlb_vma_lock_read, hugetlb_vma_unlock_read } from '../hugetlb/resv.ts';
import { huge_pte_index, huge_pte_offset } from '../hugetlb/vma.ts';
import { pte_is_uffd_wp_marker } from '../leafops.ts';
import {
  FAULT_FLAG_ALLOW_RETRY,
  FAULT_FLAG_INTERRUPTIBLE,
  FAULT_FLAG_KILLABLE,
  FAULT_FLAG_RETRY_NOWAIT,
  FAULT_FLAG_USER,
  FAULT_FLAG_WRITE,
  is_vm_hugetlb_page,
  type mm_struct,
  type vm_area_struct,
  type vm_fault,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_SHARED,
  VM_UFFD_FLAGS,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
  vma_is_anonymous,
} from '../mm_types.ts';
import { vma_set_page_prot } from '../mmap/mmap.ts';
import { mmap_write_lock, mmap_write_unlock, vma_start_write } from '../mmap_lock.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { change_protection, MM_CP_TRY_CHANGE_WRITABLE, MM_CP_UFFD_WP_RESOLVE } from '../mprotect.ts';
import { pte_offset_map } from '../pgtable-generic.ts';
import { vma_modify_flags_uffd, VMG_VMA_STATE } from '../vma/merge.ts';
import { vma_iterator, vma_next, vma_wants_manual_pte_write_upgrade } from '../vma/vma.ts';
import { userfaultfd_ioctl } from './ioctl.ts';

const UFFD_USER_MODE_ONLY = 1;
// Features of a context (include/uapi/linux/userfaultfd.h: UFFD_FEATURE_SIGBUS and the like).
export const UFFD_FEATURE_EVENT_FORK = 1 << 1;
export const UFFD_FEATURE_EVENT_REMAP = 1 << 2;
export const UFFD_FEATURE_EVENT_REMOVE = 1 << 3;
export const UFFD_FEATURE_EVENT_UNMAP = 1 << 6;
const UFFD_FEATURE_SIGBUS = 1 << 7;
const UFFD_FEATURE_THREAD_ID = 1 << 8;
const UFFD_FEATURE_EXACT_ADDRESS = 1 << 11;
export const UFFD_FEATURE_WP_UNPOPULATED = 1 << 13;
export const UFFD_FEATURE_WP_ASYNC = 1 << 15;
export const UFFD_FEATURE_RWP_ASYNC = 1 << 18;
export const UFFD_FEATURE_INITIALIZED = 1 << 30;

const UFFD_EVENT_PAGEFAULT = 0x12;
const UFFD_PAGEFAULT_FLAG_WRITE = 1;
const UFFD_PAGEFAULT_FLAG_WP = 2;
const UFFD_MSG_SIZE = 32;

/** A fault that waits for user space (mm/userfaultfd.c: struct userfaultfd_wait_queue). */
class userfaultfd_wait_queue {
  readonly task: task_struct;
  readonly address: number;
  readonly flags: number;
  readonly ptid: number;
  waken = false;
  constructor(task: task_struct, address: number, flags: number, ptid: number) {
    this.task = task;
    this.address = address;
    this.flags = flags;
    this.ptid = ptid;
  }
}

/** A userfaultfd (include/linux/userfaultfd_k.h: struct userfaultfd_ctx). */
export class userfaultfd_ctx {
  /** faults not read yet, oldest first */
  fault_pending_wqh: userfaultfd_wait_queue[] = [];
  /** faults that were read and not resolved yet, oldest first */
  fault_wqh: userfaultfd_wait_queue[] = [];
  readonly fd_wqh = new wait_queue_head('userfaultfd');
  refcount = 1;
  /** UFFD_USER_MODE_ONLY and O_* */
  readonly flags: number;
  /** UFFD_FEATURE_*, 0 before the handshake */
  features = 0;
  released = false;
  readonly mm: mm_struct;
  constructor(mm: mm_struct, flags: number) {
    this.mm = mm;
    this.flags = flags;
  }
}

/** A context passed by reference (include/linux/mm_types.h: struct vm_userfaultfd_ctx). */
export interface vm_userfaultfd_ctx {
  ctx: userfaultfd_ctx | null;
}

/** Contexts that fork duplicates; always empty here (mm/userfaultfd.c: struct userfaultfd_fork_ctx). */
export type userfaultfd_fork_ctxs = { orig: userfaultfd_ctx; new_ctx: userfaultfd_ctx }[];
/** Pending unmap events; always empty here (mm/userfaultfd.c: struct userfaultfd_unmap_ctx). */
export type userfaultfd_unmap_ctxs = { ctx: userfaultfd_ctx; start: number; end: number }[];

/** Returns true if faults on missing pages go to user space (include/linux/userfaultfd_k.h: userfaultfd_missing()). */
export function userfaultfd_missing(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_UFFD_MISSING) !== 0;
}

/** Returns true if writes to protected pages go to user space (include/linux/userfaultfd_k.h: userfaultfd_wp()). */
export function userfaultfd_wp(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_UFFD_WP) !== 0;
}

/** Returns false: minor mode cannot be registered (include/linux/userfaultfd_k.h: userfaultfd_minor()). */
export function userfaultfd_minor(_vma: vm_area_struct): boolean {
  return false;
}

/** Returns false: read-write protection cannot be registered (include/linux/userfaultfd_k.h: userfaultfd_rwp()). */
export function userfaultfd_rwp(_vma: vm_area_struct): boolean {
  return false;
}

/** include/linux/userfaultfd_k.h: userfaultfd_protected() */
export function userfaultfd_protected(vma: vm_area_struct): boolean {
  return userfaultfd_wp(vma);
}

/** Returns true if the vma is registered in any mode (include/linux/userfaultfd_k.h: userfaultfd_armed()). */
export function userfaultfd_armed(vma: vm_area_struct): boolean {
  return (vma.vm_flags & VM_UFFD_FLAGS) !== 0;
}

/** include/linux/userfaultfd_k.h: userfaultfd_pte_wp() */
export function userfaultfd_pte_wp(vma: vm_area_struct, pte: number): boolean {
  return userfaultfd_wp(vma) && pte_uffd(pte);
}

/** include/linux/userfaultfd_k.h: userfaultfd_huge_pmd_wp() */
export function userfaultfd_huge_pmd_wp(vma: vm_area_struct, pmd: number): boolean {
  return userfaultfd_wp(vma) && pte_uffd(pmd);
}

/** Returns true if protection also marks missing pages (mm/userfaultfd.c: userfaultfd_wp_unpopulated()). */
function userfaultfd_wp_unpopulated(vma: vm_area_struct): boolean {
  return ((vma.vm_userfaultfd_ctx?.features ?? 0) & UFFD_FEATURE_WP_UNPOPULATED) !== 0;
}

/** Returns true if the kernel resolves write-protect faults itself (mm/userfaultfd.c: userfaultfd_wp_async()). */
export function userfaultfd_wp_async(vma: vm_area_struct): boolean {
  return ((vma.vm_userfaultfd_ctx?.features ?? 0) & UFFD_FEATURE_WP_ASYNC) !== 0;
}

/** include/linux/userfaultfd_k.h: userfaultfd_wp_use_markers() */
export function userfaultfd_wp_use_markers(vma: vm_area_struct): boolean {
  if (!userfaultfd_wp(vma)) return false;
  return !vma_is_anonymous(vma) || userfaultfd_wp_unpopulated(vma);
}

/**
 * Returns true if a fault must not map surrounding pages (include/linux/userfaultfd_k.h: uffd_disable_fault_around()).
 */
export function uffd_disable_fault_around(vma: vm_area_struct): boolean {
  return userfaultfd_wp(vma);
}

/** include/linux/userfaultfd_k.h: uffd_disable_huge_pmd_share() */
export function uffd_disable_huge_pmd_share(vma: vm_area_struct): boolean {
  return userfaultfd_wp(vma);
}

/**
 * Returns true if moving the vma drops its registration (include/linux/userfaultfd_k.h:
 * vma_has_uffd_without_event_remap()).
 */
export function vma_has_uffd_without_event_remap(vma: vm_area_struct): boolean {
  const ctx = vma.vm_userfaultfd_ctx;
  return ctx !== null && (ctx.features & UFFD_FEATURE_EVENT_REMAP) === 0;
}

/** Returns true for a non-present pte with uffd-wp (include/linux/userfaultfd_k.h: pte_swp_uffd_any()). */
export function pte_swp_uffd_any(pte: number): boolean {
  return !pte_present(pte) && (pte_uffd(pte) || pte_is_uffd_wp_marker(pte));
}

/** include/linux/userfaultfd_k.h: is_mergeable_vm_userfaultfd_ctx() */
export function is_mergeable_vm_userfaultfd_ctx(vma: vm_area_struct, vm_ctx: userfaultfd_ctx | null): boolean {
  return vma.vm_userfaultfd_ctx === vm_ctx;
}

/** mm/userfaultfd.c: userfaultfd_ctx_get() */
function userfaultfd_ctx_get(ctx: userfaultfd_ctx): void {
  ctx.refcount++;
}

/** Drops a reference; the last one also drops the mm (mm/userfaultfd.c: userfaultfd_ctx_put()). */
function userfaultfd_ctx_put(m: Machine, ctx: userfaultfd_ctx): void {
  ctx.refcount--;
  if (ctx.refcount === 0) mmdrop(m, ctx.mm);
}

/** mm/userfaultfd.c: userfaultfd_huge_must_wait() */
function userfaultfd_huge_must_wait(m: Machine, vmf: vm_fault, reason: number): boolean {
  const vma = vmf.vma;
  const h = hstate_vma(m, vma);
  const pt = huge_pte_offset(m, vma.vm_mm, vmf.address, huge_page_size(h));
  return pt === null || entry_must_wait(ptep_get(pt, huge_pte_index(h, vmf.address)), reason);
}

/** Checks one pte for userfaultfd_must_wait() (mm/userfaultfd.c: userfaultfd_must_wait()). */
function entry_must_wait(pte: number, reason: number): boolean {
  if (pte_none(pte) || pte_is_uffd_wp_marker(pte)) return true;
  if (!pte_present(pte)) return false;
  return !pte_write(pte) && reason === VM_UFFD_WP;
}

/** Returns true if the fault is still unresolved (mm/userfaultfd.c: userfaultfd_must_wait()). */
function userfaultfd_must_wait(m: Machine, ctx: userfaultfd_ctx, vmf: vm_fault, reason: number): boolean {
  const pmdt = pmd_off(ctx.mm, vmf.address);
  if (pmdt === null) return true;
  const pi = pmd_index(vmf.address);
  const pmd = pmdp_get(pmdt, pi);
  if (pmd_none(pmd)) return true;
  if (pmd_trans_huge(pmd)) return !pte_write(pmd) && reason === VM_UFFD_WP;
  const pt = pte_offset_map(m, pmdt, pi);
  if (pt === null && !pmd_present(pmd)) return false;
  return pt === null || entry_must_wait(ptep_get(pt, pte_index(vmf.address)), reason);
}

/** mm/userfaultfd.c: userfaultfd_get_blocking_state() */
function blocking_state(flags: number): number {
  if (flags & FAULT_FLAG_INTERRUPTIBLE) return TASK_INTERRUPTIBLE;
  return flags & FAULT_FLAG_KILLABLE ? TASK_KILLABLE : TASK_UNINTERRUPTIBLE;
}

/**
 * Returns true if a signal is pending that ends a sleep in `state` (include/linux/sched/signal.h:
 * signal_pending_state()).
 */
function interrupted(t: task_struct, state: number): boolean {
  return state === TASK_INTERRUPTIBLE ? signal_pending(t) : state === TASK_KILLABLE && fatal_signal_pending(t);
}

/** Removes a fault from a queue if it is on it. NON-KERNEL (upstream: list_del()). */
function unqueue(list: userfaultfd_wait_queue[], uwq: userfaultfd_wait_queue): void {
  const i = list.indexOf(uwq);
  if (i >= 0) list.splice(i, 1);
}

/**
 * Lets user space resolve a fault: queues it, releases the fault's lock and sleeps until woken. Returns VM_FAULT_RETRY,
 * or VM_FAULT_SIGBUS if the fault cannot be retried. reason is VM_UFFD_MISSING or VM_UFFD_WP (mm/userfaultfd.c:
 * handle_userfault()).
 */
export function* handle_userfault(m: Machine, vmf: vm_fault, reason: number): Gen<number> {
  const vma = vmf.vma;
  const ctx = vma.vm_userfaultfd_ctx;
  if (m.current.exit_state !== 'alive') return VM_FAULT_SIGBUS;
  assert_fault_locked(vmf);
  if (ctx === null) return VM_FAULT_SIGBUS;
  WARN_ON_ONCE(m, ctx.mm !== vma.vm_mm, 'handle_userfault');
  if (ctx.features & UFFD_FEATURE_SIGBUS) return VM_FAULT_SIGBUS;
  if (!(vmf.flags & FAULT_FLAG_USER) && ctx.flags & UFFD_USER_MODE_ONLY) return VM_FAULT_SIGBUS;
  if (!(vmf.flags & FAULT_FLAG_ALLOW_RETRY)) {
    WARN_ON_ONCE(m, (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) !== 0, 'handle_userfault', 'nowait');
    printk(m, `FAULT_FLAG_ALLOW_RETRY missing ${vmf.flags.toString(16)}`);
    return VM_FAULT_SIGBUS;
  }
  if (vmf.flags & FAULT_FLAG_RETRY_NOWAIT) return VM_FAULT_RETRY;
  if (ctx.released) {
    release_fault_lock(m, vmf);
    return VM_FAULT_RETRY;
  }
  userfaultfd_ctx_get(ctx);
  const address = ctx.features & UFFD_FEATURE_EXACT_ADDRESS ? vmf.real_address : vmf.address;
  const flags =
    (vmf.flags & FAULT_FLAG_WRITE ? UFFD_PAGEFAULT_FLAG_WRITE : 0) |
    (reason === VM_UFFD_WP ? UFFD_PAGEFAULT_FLAG_WP : 0);
  const task = m.current;
  const uwq = new userfaultfd_wait_queue(task, address, flags, ctx.features & UFFD_FEATURE_THREAD_ID ? task.pid : 0);
  const state = blocking_state(vmf.flags);
  const hugetlb = is_vm_hugetlb_page(vma);
  if (hugetlb) yield* hugetlb_vma_lock_read(m, vma);
  ctx.fault_pending_wqh.push(uwq);
  if (m.sched.explore) yield* preempt_point(m, 'handle_userfault');
  const must_wait = hugetlb ? userfaultfd_huge_must_wait(m, vmf, reason) : userfaultfd_must_wait(m, ctx, vmf, reason);
  if (hugetlb) hugetlb_vma_unlock_read(m, vma);
  release_fault_lock(m, vmf);
  if (must_wait && !ctx.released) {
    wake_up(m, ctx.fd_wqh);
    if (!uwq.waken && !interrupted(task, state))
      yield* schedule(m, state, { what: `userfault at ${vmf.address.toString(16)}` });
  }
  unqueue(ctx.fault_pending_wqh, uwq);
  unqueue(ctx.fault_wqh, uwq);
  userfaultfd_ctx_put(m, ctx);
  return VM_FAULT_RETRY;
}

/**
 * Wakes the faults in [start, start + len) of one queue, all if len is 0. Returns the others (mm/userfaultfd.c:
 * __wake_userfault(), mm/userfaultfd.c: userfaultfd_wake_function()).
 */
function wake_list(m: Machine, list: userfaultfd_wait_queue[], start: number, len: number): userfaultfd_wait_queue[] {
  // newest first, the order of a wait queue
  for (const uwq of [...list].reverse()) {
    if (len !== 0 && (uwq.address < start || uwq.address >= start + len)) continue;
    uwq.waken = true;
    m.sched.wake_up_process(uwq.task);
  }
  return list.filter((uwq) => !uwq.waken);
}

/** Wakes the faults in [start, start + len), all if len is 0 (mm/userfaultfd.c: wake_userfault()). */
export function wake_userfault(m: Machine, ctx: userfaultfd_ctx, start: number, len: number): void {
  ctx.fault_pending_wqh = wake_list(m, ctx.fault_pending_wqh, start, len);
  ctx.fault_wqh = wake_list(m, ctx.fault_wqh, start, len);
}

/** mm/userfaultfd.c: userfaultfd_set_vm_flags() */
function set_vm_flags(vma: vm_area_struct, vm_flags: number): void {
  const uffd_wp_changed = ((vma.vm_flags ^ vm_flags) & VM_UFFD_WP) !== 0;
  vma.vm_flags = vm_flags;
  if (vma.vm_flags & VM_SHARED && uffd_wp_changed) vma_set_page_prot(vma);
}

/**
 * Registers a whole vma with VM_UFFD_* of vm_flags. The mmap_lock is held for writing (mm/userfaultfd.c:
 * userfaultfd_set_ctx()).
 */
export function* userfaultfd_set_ctx(
  m: Machine,
  vma: vm_area_struct,
  ctx: userfaultfd_ctx | null,
  vm_flags: number,
): Gen<void> {
  yield* vma_start_write(m, vma);
  vma.vm_userfaultfd_ctx = ctx;
  set_vm_flags(vma, (vma.vm_flags & ~VM_UFFD_FLAGS) | vm_flags);
}

/** Unregisters a vma that is write-locked or not visible yet (mm/userfaultfd.c: userfaultfd_reset_ctx()). */
function userfaultfd_reset_ctx(vma: vm_area_struct): void {
  vma.vm_userfaultfd_ctx = null;
  set_vm_flags(vma, vma.vm_flags & ~VM_UFFD_FLAGS);
}

/**
 * Unregisters [start, end) of a vma with splits and merges. Returns the vma that contains the range then, or -errno
 * (mm/userfaultfd.c: userfaultfd_clear_vma()).
 */
export function* userfaultfd_clear_vma(
  m: Machine,
  vmi: vma_iterator,
  prev: vm_area_struct | null,
  vma: vm_area_struct,
  start: number,
  end: number,
): Gen<vm_area_struct | number> {
  const give_up_on_oom = start === vma.vm_start && end === vma.vm_end;
  if (userfaultfd_protected(vma)) {
    let cp_flags = MM_CP_UFFD_WP_RESOLVE;
    if (vma_wants_manual_pte_write_upgrade(vma)) cp_flags |= MM_CP_TRY_CHANGE_WRITABLE;
    const tlb = new mmu_gather();
    tlb_gather_mmu(m, tlb, vma.vm_mm);
    yield* change_protection(m, tlb, vma, start, end, cp_flags);
    if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
    tlb_finish_mmu(m, tlb);
  }
  const vmg = VMG_VMA_STATE(vmi, prev, vma, start, end);
  const ret = yield* vma_modify_flags_uffd(m, vmg, vma.vm_flags & ~VM_UFFD_FLAGS, null, give_up_on_oom);
  if (typeof ret !== 'number') yield* userfaultfd_set_ctx(m, ret, null, 0);
  return ret;
}

/** mm/userfaultfd.c: userfaultfd_release_all() */
function* userfaultfd_release_all(m: Machine, mm: mm_struct, ctx: userfaultfd_ctx): Gen<void> {
  if (!mmget_not_zero(mm)) return;
  yield* mmap_write_lock(m, mm);
  const vmi = new vma_iterator(mm, 0);
  let prev: vm_area_struct | null = null;
  for (let vma = vma_next(vmi); vma !== null; vma = vma_next(vmi)) {
    if (vma.vm_userfaultfd_ctx !== ctx) {
      prev = vma;
      continue;
    }
    const cleared: vm_area_struct | number = yield* userfaultfd_clear_vma(m, vmi, prev, vma, vma.vm_start, vma.vm_end);
    prev = typeof cleared === 'number' ? vma : cleared;
  }
  mmap_write_unlock(m, mm);
  yield* mmput(m, mm);
}

/**
 * Unregisters a child's vma, which UFFD_FEATURE_EVENT_FORK would keep. Returns 0 (mm/userfaultfd.c: dup_userfaultfd()).
 */
export function dup_userfaultfd(_m: Machine, vma: vm_area_struct, _fcs: userfaultfd_fork_ctxs): number {
  if (vma.vm_userfaultfd_ctx !== null) userfaultfd_reset_ctx(vma);
  return 0;
}

/** Does nothing: no context has fork events (mm/userfaultfd.c: dup_userfaultfd_complete()). */
export function* dup_userfaultfd_complete(_m: Machine, _fcs: userfaultfd_fork_ctxs): Gen<void> {}

/** mm/userfaultfd.c: dup_userfaultfd_fail() */
export function dup_userfaultfd_fail(_m: Machine, _fcs: userfaultfd_fork_ctxs): void {}

/** Unregisters the write-locked destination vma of an mremap (mm/userfaultfd.c: mremap_userfaultfd_prep()). */
export function mremap_userfaultfd_prep(_m: Machine, vma: vm_area_struct, _vm_ctx: vm_userfaultfd_ctx): void {
  if (vma.vm_userfaultfd_ctx !== null) userfaultfd_reset_ctx(vma);
}

/** Does nothing: no context has remap events (mm/userfaultfd.c: mremap_userfaultfd_complete()). */
export function* mremap_userfaultfd_complete(
  _m: Machine,
  _vm_ctx: vm_userfaultfd_ctx,
  _from: number,
  _to: number,
  _len: number,
): Gen<void> {}

/** mm/userfaultfd.c: mremap_userfaultfd_fail() */
export function mremap_userfaultfd_fail(_m: Machine, _vm_ctx: vm_userfaultfd_ctx): void {}

/**
 * Reports pages that madvise() drops. Returns true, mmap_lock still held: no context has remove events
 * (mm/userfaultfd.c: userfaultfd_remove()).
 */
export function* userfaultfd_remove(_m: Machine, _vma: vm_area_struct, _start: number, _end: number): Gen<boolean> {
  return true;
}

/** Prepares unmap events. Returns 0: no context has them (mm/userfaultfd.c: userfaultfd_unmap_prep()). */
export function userfaultfd_unmap_prep(
  _m: Machine,
  _vma: vm_area_struct,
  _start: number,
  _end: number,
  _unmaps: userfaultfd_unmap_ctxs,
): number {
  return 0;
}

/** Does nothing: no context has unmap events (mm/userfaultfd.c: userfaultfd_unmap_complete()). */
export function* userfaultfd_unmap_complete(_m: Machine, _mm: mm_struct, _uf: userfaultfd_unmap_ctxs): Gen<void> {}

/** Returns the bytes of struct uffd_msg (mm/userfaultfd.c: userfault_msg()). */
function userfault_msg(uwq: userfaultfd_wait_queue): Uint8Array {
  const bytes = new Uint8Array(UFFD_MSG_SIZE);
  const v = new DataView(bytes.buffer);
  v.setUint8(0, UFFD_EVENT_PAGEFAULT);
  v.setUint32(8, uwq.flags, true);
  v.setUint32(16, uwq.address % 2 ** 32, true);
  v.setUint32(20, Math.floor(uwq.address / 2 ** 32), true);
  v.setUint32(24, uwq.ptid, true);
  return bytes;
}

/** Leaves out events: no context has them (mm/userfaultfd.c: userfaultfd_ctx_read()). */
function* userfaultfd_ctx_read(
  m: Machine,
  ctx: userfaultfd_ctx,
  no_wait: boolean,
): Gen<userfaultfd_wait_queue | number> {
  for (;;) {
    const uwq = ctx.fault_pending_wqh.shift();
    if (uwq !== undefined) {
      ctx.fault_wqh.push(uwq);
      return uwq;
    }
    if (signal_pending(m.current)) return -ERESTARTSYS;
    if (no_wait) return -EAGAIN;
    yield* wait_on(m, ctx.fd_wqh, TASK_INTERRUPTIBLE);
  }
}

/** Operations of an open userfaultfd (mm/userfaultfd.c: userfaultfd_fops). */
const userfaultfd_fops: file_operations = {
  *read(m, f, buf, count): Gen<number> {
    const ctx = f.private_data as userfaultfd_ctx;
    if (!(ctx.features & UFFD_FEATURE_INITIALIZED)) return -EINVAL;
    let no_wait = (f.f_flags & O_NONBLOCK) !== 0;
    let ret = 0;
    for (;;) {
      if (count - ret < UFFD_MSG_SIZE) return ret > 0 ? ret : -EINVAL;
      const uwq = yield* userfaultfd_ctx_read(m, ctx, no_wait);
      if (typeof uwq === 'number') return ret > 0 ? ret : uwq;
      if ((yield* copy_to_user(m, buf + ret, userfault_msg(uwq), UFFD_MSG_SIZE)) !== 0) return ret > 0 ? ret : -EFAULT;
      ret += UFFD_MSG_SIZE;
      no_wait = true;
    }
  },
  poll(_m, f) {
    const ctx = f.private_data as userfaultfd_ctx;
    if (!(ctx.features & UFFD_FEATURE_INITIALIZED) || !(f.f_flags & O_NONBLOCK))
      return { mask: EPOLLERR, wait: ctx.fd_wqh };
    return { mask: ctx.fault_pending_wqh.length > 0 ? EPOLLIN : 0, wait: ctx.fd_wqh };
  },
  unlocked_ioctl: userfaultfd_ioctl,
  *release(m, _node, f): Gen<number> {
    const ctx = f.private_data as userfaultfd_ctx;
    ctx.released = true;
    yield* userfaultfd_release_all(m, ctx.mm, ctx);
    wake_userfault(m, ctx, 0, 0);
    wake_up(m, ctx.fd_wqh);
    userfaultfd_ctx_put(m, ctx);
    return 0;
  },
};

/**
 * The userfaultfd system call of a privileged caller. Returns a descriptor, -EINVAL or -EMFILE (mm/userfaultfd.c:
 * new_userfaultfd()).
 */
export function* sys_userfaultfd(m: Machine, flags: number): Gen<number> {
  if (flags & ~(O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY)) return -EINVAL;
  const fd = get_unused_fd_flags(m, flags);
  if (fd < 0) return fd;
  const mm = m.current.mm as mm_struct;
  mmgrab(mm);
  const ctx = new userfaultfd_ctx(mm, flags);
  fd_install(
    m,
    fd,
    anon_inode_getfile(m, '[userfaultfd]', userfaultfd_fops, ctx, O_RDONLY | (flags & (O_CLOEXEC | O_NONBLOCK))),
  );
  return fd;
}
