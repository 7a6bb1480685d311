// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EAGAIN, EBUSY, EFAULT, EINVAL, ENOENT, ENOMEM, EPERM, ESRCH } from '../../errno.ts';
import type { file } from '../../fs/fs.ts';
import { mmget_not_zero, mmput } from '../../kernel/fork/mm_init.ts';
import type { Gen } from '../../kernel/gen.ts';
import { preempt_point } from '../../kernel/sched/core.ts';
import { Unmodelled } from '../../unmodelled.ts';
import { vma_kernel_pagesize } from '../hugetlb/pool.ts';
import { hugetlb_unshare_all_pmds } from '../hugetlb/vma.ts';
import {
  is_vm_hugetlb_page,
  type mm_struct,
  type vm_area_struct,
  VM_MAYWRITE,
  VM_SPECIAL,
  VM_UFFD_FLAGS,
  VM_UFFD_MISSING,
  VM_UFFD_WP,
} from '../mm_types.ts';
import { mmap_read_lock, mmap_read_unlock, mmap_write_lock, mmap_write_unlock } from '../mmap_lock.ts';
import { mmu_gather, tlb_finish_mmu, tlb_gather_mmu } from '../mmu_gather.ts';
import { change_protection, MM_CP_TRY_CHANGE_WRITABLE, MM_CP_UFFD_WP, MM_CP_UFFD_WP_RESOLVE } from '../mprotect.ts';
import { PAGE_SIZE } from '../physmem.ts';
import { vma_modify_flags_uffd, VMG_VMA_STATE } from '../vma/merge.ts';
import { vma_find, vma_iter_set, vma_iterator, vma_prev, vma_wants_manual_pte_write_upgrade } from '../vma/vma.ts';
import { mfill_atomic, MFILL_ATOMIC_COPY, MFILL_ATOMIC_ZEROPAGE, vma_uffd_ops } from './mfill.ts';
import {
  uffd_disable_huge_pmd_share,
  UFFD_FEATURE_EVENT_FORK,
  UFFD_FEATURE_EVENT_REMAP,
  UFFD_FEATURE_EVENT_REMOVE,
  UFFD_FEATURE_EVENT_UNMAP,
  UFFD_FEATURE_INITIALIZED,
  UFFD_FEATURE_RWP_ASYNC,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_UNPOPULATED,
  userfaultfd_clear_vma,
  type userfaultfd_ctx,
  userfaultfd_missing,
  userfaultfd_set_ctx,
  userfaultfd_wp,
  wake_userfault,
} from './userfaultfd.ts';

const UFFD_API = 0xaan;
/** all features of include/uapi/linux/userfaultfd.h, bits 0 to 18 */
const UFFD_API_FEATURES = 0x7ffff;
const UFFD_FEATURE_RWP = 1 << 17;

// Request numbers and ioctl commands (include/uapi/linux/userfaultfd.h).
const _UFFDIO_REGISTER = 0x00;
const _UFFDIO_UNREGISTER = 0x01;
const _UFFDIO_WAKE = 0x02;
const _UFFDIO_COPY = 0x03;
const _UFFDIO_ZEROPAGE = 0x04;
const _UFFDIO_MOVE = 0x05;
const _UFFDIO_WRITEPROTECT = 0x06;
const _UFFDIO_CONTINUE = 0x07;
const _UFFDIO_POISON = 0x08;
const _UFFDIO_RWPROTECT = 0x09;
const _UFFDIO_SET_MODE = 0x0a;
const _UFFDIO_API = 0x3f;
const UFFDIO_API = 0xc018aa3f;
const UFFDIO_REGISTER = 0xc020aa00;
const UFFDIO_UNREGISTER = 0x8010aa01;
const UFFDIO_WAKE = 0x8010aa02;
const UFFDIO_COPY = 0xc028aa03;
const UFFDIO_ZEROPAGE = 0xc020aa04;
const UFFDIO_MOVE = 0xc028aa05;
const UFFDIO_WRITEPROTECT = 0xc018aa06;
const UFFDIO_CONTINUE = 0xc020aa07;
const UFFDIO_POISON = 0xc020aa08;
const UFFDIO_RWPROTECT = 0xc018aa09;
const UFFDIO_SET_MODE = 0x4010aa0a;

const UFFDIO_REGISTER_MODE_MISSING = 1;
const UFFDIO_REGISTER_MODE_WP = 2;
const UFFDIO_REGISTER_MODE_MINOR = 4;
const UFFDIO_REGISTER_MODE_RWP = 8;
const UFFDIO_COPY_MODE_DONTWAKE = 1;
const UFFDIO_COPY_MODE_WP = 2;
const UFFDIO_WRITEPROTECT_MODE_WP = 1;
const UFFDIO_WRITEPROTECT_MODE_DONTWAKE = 2;

/** Returns the mask of bit numbers. NON-KERNEL. */
function bits(...numbers: number[]): bigint {
  return numbers.reduce((sum, n) => sum | (1n << BigInt(n)), 0n);
}
const UFFD_API_IOCTLS = bits(_UFFDIO_REGISTER, _UFFDIO_UNREGISTER, _UFFDIO_SET_MODE, _UFFDIO_API);
const UFFD_API_RANGE_IOCTLS = bits(
  _UFFDIO_WAKE,
  _UFFDIO_COPY,
  _UFFDIO_ZEROPAGE,
  _UFFDIO_MOVE,
  _UFFDIO_WRITEPROTECT,
  _UFFDIO_CONTINUE,
  _UFFDIO_POISON,
  _UFFDIO_RWPROTECT,
);
const UFFD_API_RANGE_IOCTLS_BASIC = bits(
  _UFFDIO_WAKE,
  _UFFDIO_COPY,
  _UFFDIO_WRITEPROTECT,
  _UFFDIO_CONTINUE,
  _UFFDIO_POISON,
  _UFFDIO_RWPROTECT,
);

/** Returns n 64-bit words of user memory, or null for a fault. Numbers above 2^53 lose their low bits. NON-KERNEL. */
function* get_words(m: Machine, from: number, n: number): Gen<number[] | null> {
  const bytes = new Uint8Array(n * 8);
  if ((yield* copy_from_user(m, bytes, from, bytes.length)) !== 0) return null;
  return [...new BigUint64Array(bytes.buffer)].map(Number);
}

/** Writes a 64-bit word to user memory; returns 0 or -EFAULT (arch/x86/include/asm/uaccess.h: put_user()). */
function* put_word(m: Machine, to: number, word: bigint): Gen<number> {
  return (yield* copy_to_user(m, to, new Uint8Array(new BigInt64Array([word]).buffer), 8)) !== 0 ? -EFAULT : 0;
}

/** Returns a mode of which only the low 31 bits are defined, or -1 if another bit is set. NON-KERNEL. */
function low_bits(mode: number): number {
  return mode < 2 ** 31 ? mode : -1;
}

/** mm/userfaultfd.c: validate_unaligned_range() */
function validate_unaligned_range(mm: mm_struct, start: number, len: number): number {
  if (len % PAGE_SIZE !== 0 || len === 0 || start >= mm.task_size || len > mm.task_size - start) return -EINVAL;
  return 0;
}

/** mm/userfaultfd.c: validate_range() */
function validate_range(mm: mm_struct, start: number, len: number): number {
  return start % PAGE_SIZE !== 0 ? -EINVAL : validate_unaligned_range(mm, start, len);
}

/** mm/userfaultfd.c: vma_can_userfault() */
function vma_can_userfault(vma: vm_area_struct, vm_flags: number, wp_async: boolean): boolean {
  if (!is_vm_hugetlb_page(vma) && vma.vm_flags & VM_SPECIAL) return false;
  if (wp_async && (vm_flags & VM_UFFD_FLAGS) === VM_UFFD_WP) return true;
  return vma_uffd_ops(vma) !== null;
}

/** mm/userfaultfd.c: userfaultfd_api() */
function* userfaultfd_api(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const bytes = new Uint8Array(24);
  const words = new BigUint64Array(bytes.buffer);
  if ((yield* copy_from_user(m, bytes, arg, 24)) !== 0) return -EFAULT;
  const asked = words[1];
  let features = Number(asked & 0xffffffffn) | 0;
  let ok = words[0] === UFFD_API;
  if (features & UFFD_FEATURE_WP_ASYNC) features |= UFFD_FEATURE_WP_UNPOPULATED;
  if (features & UFFD_FEATURE_RWP_ASYNC && !(features & UFFD_FEATURE_RWP)) ok = false;
  if ((asked & ~BigInt(UFFD_API_FEATURES)) !== 0n) ok = false;
  const events =
    UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP;
  if (ok && features & events) throw new Unmodelled('mm/userfaultfd.c: userfaultfd_api() with UFFD_FEATURE_EVENT_*');
  if (ok) {
    words[1] = BigInt(UFFD_API_FEATURES);
    words[2] = UFFD_API_IOCTLS;
    if ((yield* copy_to_user(m, arg, bytes, 24)) !== 0) return -EFAULT;
    if (ctx.features === 0) {
      ctx.features = features | UFFD_FEATURE_INITIALIZED;
      return 0;
    }
  }
  words.fill(0n);
  return (yield* copy_to_user(m, arg, bytes, 24)) !== 0 ? -EFAULT : -EINVAL;
}

/** mm/userfaultfd.c: userfaultfd_register_range() */
function* register_range(
  m: Machine,
  ctx: userfaultfd_ctx,
  vma: vm_area_struct,
  vm_flags: number,
  start: number,
  end: number,
): Gen<number> {
  const vmi = new vma_iterator(ctx.mm, start);
  let prev = vma_prev(vmi);
  if (vma.vm_start < start) prev = vma;
  for (let cur = vma_find(vmi, end); cur !== null; cur = vma_find(vmi, end)) {
    if (cur.vm_userfaultfd_ctx !== ctx || (cur.vm_flags & vm_flags) !== vm_flags) {
      if (cur.vm_start > start) start = cur.vm_start;
      const vmg = VMG_VMA_STATE(vmi, prev, cur, start, Math.min(end, cur.vm_end));
      const new_flags = (cur.vm_flags & ~VM_UFFD_FLAGS) | vm_flags;
      const got: vm_area_struct | number = yield* vma_modify_flags_uffd(m, vmg, new_flags, ctx, false);
      if (typeof got === 'number') return got;
      cur = got;
      yield* userfaultfd_set_ctx(m, cur, ctx, vm_flags);
      if (is_vm_hugetlb_page(cur) && uffd_disable_huge_pmd_share(cur)) hugetlb_unshare_all_pmds(m, cur);
    }
    prev = cur;
    start = cur.vm_end;
  }
  return 0;
}

/**
 * Returns the first vma in [start, end) if `check` returns 0 for each of them, else -errno. NON-KERNEL:
 * userfaultfd_register() and userfaultfd_unregister() do it in place.
 */
function check_vmas(
  m: Machine,
  vmi: vma_iterator,
  start: number,
  end: number,
  check: (cur: vm_area_struct) => number,
): vm_area_struct | number {
  const vma = vma_find(vmi, end);
  if (vma === null) return -EINVAL;
  if (is_vm_hugetlb_page(vma) && start % vma_kernel_pagesize(m, vma) !== 0) return -EINVAL;
  for (let cur: vm_area_struct | null = vma; cur !== null; cur = vma_find(vmi, end)) {
    const err = check(cur);
    if (err !== 0) return err;
  }
  return vma;
}

/** Leaves out minor mode and read-write protection (mm/userfaultfd.c: userfaultfd_register()). */
function* userfaultfd_register(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const mm = ctx.mm;
  const words = yield* get_words(m, arg, 3);
  if (words === null) return -EFAULT;
  const [start, len] = words as [number, number, number];
  const mode = low_bits(words[2]);
  if (mode <= 0 || mode > 15) return -EINVAL;
  if (mode & UFFDIO_REGISTER_MODE_RWP && (mode & UFFDIO_REGISTER_MODE_WP || !(ctx.features & UFFD_FEATURE_RWP)))
    return -EINVAL;
  const err = validate_range(mm, start, len);
  if (err !== 0) return err;
  if (mode & UFFDIO_REGISTER_MODE_RWP)
    throw new Unmodelled('mm/userfaultfd.c: userfaultfd_register() with UFFDIO_REGISTER_MODE_RWP');
  if (mode & UFFDIO_REGISTER_MODE_MINOR)
    throw new Unmodelled('mm/userfaultfd.c: userfaultfd_register() with UFFDIO_REGISTER_MODE_MINOR');
  let vm_flags = 0;
  if (mode & UFFDIO_REGISTER_MODE_MISSING) vm_flags |= VM_UFFD_MISSING;
  if (mode & UFFDIO_REGISTER_MODE_WP) vm_flags |= VM_UFFD_WP;
  const end = start + len;
  if (!mmget_not_zero(mm)) return -ENOMEM;
  yield* mmap_write_lock(m, mm);
  const wp_async = (ctx.features & UFFD_FEATURE_WP_ASYNC) !== 0;
  let basic_ioctls = false;
  const vma = check_vmas(m, new vma_iterator(mm, start), start, end, (cur) => {
    if (!vma_can_userfault(cur, vm_flags, wp_async)) return -EINVAL;
    if (!(cur.vm_flags & VM_MAYWRITE)) return -EPERM;
    if (is_vm_hugetlb_page(cur) && end <= cur.vm_end && end > cur.vm_start && end % vma_kernel_pagesize(m, cur) !== 0)
      return -EINVAL;
    if (cur.vm_userfaultfd_ctx !== null && cur.vm_userfaultfd_ctx !== ctx) return -EBUSY;
    if (cur.vm_userfaultfd_ctx === ctx && cur.vm_flags & VM_UFFD_WP & ~vm_flags) return -EBUSY;
    if (is_vm_hugetlb_page(cur)) basic_ioctls = true;
    return 0;
  });
  const ret = typeof vma === 'number' ? vma : yield* register_range(m, ctx, vma, vm_flags, start, end);
  mmap_write_unlock(m, mm);
  yield* mmput(m, mm);
  if (ret !== 0) return ret;
  let ioctls_out = basic_ioctls ? UFFD_API_RANGE_IOCTLS_BASIC : UFFD_API_RANGE_IOCTLS;
  ioctls_out &= ~bits(_UFFDIO_CONTINUE, _UFFDIO_RWPROTECT);
  if (!(mode & UFFDIO_REGISTER_MODE_WP)) ioctls_out &= ~bits(_UFFDIO_WRITEPROTECT);
  return yield* put_word(m, arg + 24, ioctls_out);
}

/** The part of userfaultfd_unregister() under the mmap_lock (mm/userfaultfd.c: userfaultfd_unregister()). */
function* unregister_vmas(m: Machine, ctx: userfaultfd_ctx, start: number, end: number): Gen<number> {
  const vmi = new vma_iterator(ctx.mm, start);
  const wp_async = (ctx.features & UFFD_FEATURE_WP_ASYNC) !== 0;
  const first = check_vmas(m, vmi, start, end, (cur) => {
    if (cur.vm_userfaultfd_ctx !== null && cur.vm_userfaultfd_ctx !== ctx) return -EINVAL;
    return vma_can_userfault(cur, cur.vm_flags, wp_async) ? 0 : -EINVAL;
  });
  if (typeof first === 'number') return first;
  vma_iter_set(vmi, start);
  let prev = vma_prev(vmi);
  if (first.vm_start < start) prev = first;
  for (let cur = vma_find(vmi, end); cur !== null; cur = vma_find(vmi, end)) {
    if (cur.vm_userfaultfd_ctx !== null) {
      if (cur.vm_start > start) start = cur.vm_start;
      const vma_end = Math.min(end, cur.vm_end);
      if (userfaultfd_missing(cur)) wake_userfault(m, cur.vm_userfaultfd_ctx, start, vma_end - start);
      const got: vm_area_struct | number = yield* userfaultfd_clear_vma(m, vmi, prev, cur, start, vma_end);
      if (typeof got === 'number') return got;
      cur = got;
    }
    prev = cur;
    start = cur.vm_end;
  }
  return 0;
}

/** mm/userfaultfd.c: userfaultfd_unregister() */
function* userfaultfd_unregister(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const mm = ctx.mm;
  const words = yield* get_words(m, arg, 2);
  if (words === null) return -EFAULT;
  const [start, len] = words as [number, number];
  const err = validate_range(mm, start, len);
  if (err !== 0) return err;
  if (!mmget_not_zero(mm)) return -ENOMEM;
  yield* mmap_write_lock(m, mm);
  const ret = yield* unregister_vmas(m, ctx, start, start + len);
  mmap_write_unlock(m, mm);
  yield* mmput(m, mm);
  return ret;
}

/** mm/userfaultfd.c: userfaultfd_wake() */
function* userfaultfd_wake(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const words = yield* get_words(m, arg, 2);
  if (words === null) return -EFAULT;
  const [start, len] = words as [number, number];
  const err = validate_range(ctx.mm, start, len);
  if (err !== 0) return err;
  wake_userfault(m, ctx, start, len);
  return 0;
}

/** The part that struct uffdio_copy and struct uffdio_zeropage have in common. NON-KERNEL. */
interface fill_request {
  /** MFILL_ATOMIC_* */
  readonly how: number;
  readonly dst: number;
  readonly src: number;
  readonly len: number;
  readonly wp: boolean;
  readonly wake: boolean;
  /** user address of the word that receives the bytes filled or -errno */
  readonly result: number;
}

/** Fills pages, reports the result to user space and wakes faults. NON-KERNEL: the end of both ioctls. */
function* fill(m: Machine, ctx: userfaultfd_ctx, req: fill_request): Gen<number> {
  const { dst, len } = req;
  if (!mmget_not_zero(ctx.mm)) return -ESRCH;
  const done = yield* mfill_atomic(m, ctx, req.how, dst, req.src, len, req.wp);
  yield* mmput(m, ctx.mm);
  if ((yield* put_word(m, req.result, BigInt(done))) !== 0) return -EFAULT;
  if (done < 0) return done;
  if (req.wake) wake_userfault(m, ctx, dst, done);
  return done === len ? 0 : -EAGAIN;
}

/** mm/userfaultfd.c: userfaultfd_copy() */
function* userfaultfd_copy(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const words = yield* get_words(m, arg, 4);
  if (words === null) return -EFAULT;
  const [dst, src, len] = words as [number, number, number, number];
  const mode = low_bits(words[3]);
  const err = validate_unaligned_range(ctx.mm, src, len) || validate_range(ctx.mm, dst, len);
  if (err !== 0) return err;
  if (mode < 0 || mode & ~(UFFDIO_COPY_MODE_DONTWAKE | UFFDIO_COPY_MODE_WP)) return -EINVAL;
  return yield* fill(m, ctx, {
    how: MFILL_ATOMIC_COPY,
    dst,
    src,
    len,
    wp: (mode & UFFDIO_COPY_MODE_WP) !== 0,
    wake: !(mode & UFFDIO_COPY_MODE_DONTWAKE),
    result: arg + 32,
  });
}

/** mm/userfaultfd.c: userfaultfd_zeropage() */
function* userfaultfd_zeropage(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const words = yield* get_words(m, arg, 3);
  if (words === null) return -EFAULT;
  const [start, len] = words as [number, number, number];
  const mode = low_bits(words[2]);
  const err = validate_range(ctx.mm, start, len);
  if (err !== 0) return err;
  if (mode < 0 || mode & ~UFFDIO_COPY_MODE_DONTWAKE) return -EINVAL;
  return yield* fill(m, ctx, {
    how: MFILL_ATOMIC_ZEROPAGE,
    dst: start,
    src: 0,
    len,
    wp: false,
    wake: !(mode & UFFDIO_COPY_MODE_DONTWAKE),
    result: arg + 24,
  });
}

/**
 * Write-protects pages of a vma or removes the protection. Returns the pages changed or -errno (mm/userfaultfd.c:
 * uffd_wp_range()).
 */
export function* uffd_wp_range(
  m: Machine,
  vma: vm_area_struct,
  start: number,
  len: number,
  enable_wp: boolean,
): Gen<number> {
  let cp_flags = enable_wp ? MM_CP_UFFD_WP : MM_CP_UFFD_WP_RESOLVE;
  if (!enable_wp && vma_wants_manual_pte_write_upgrade(vma)) cp_flags |= MM_CP_TRY_CHANGE_WRITABLE;
  const tlb = new mmu_gather();
  tlb_gather_mmu(m, tlb, vma.vm_mm);
  const ret = yield* change_protection(m, tlb, vma, start, start + len, cp_flags);
  if (m.sched.explore) yield* preempt_point(m, 'tlb_finish_mmu');
  tlb_finish_mmu(m, tlb);
  return ret;
}

/** mm/userfaultfd.c: mwriteprotect_range() */
function* mwriteprotect_range(
  m: Machine,
  ctx: userfaultfd_ctx,
  start: number,
  len: number,
  enable_wp: boolean,
): Gen<number> {
  const end = start + len;
  yield* mmap_read_lock(m, ctx.mm);
  let err = -ENOENT;
  const vmi = new vma_iterator(ctx.mm, start);
  for (let vma = vma_find(vmi, end); vma !== null; vma = vma_find(vmi, end)) {
    if (!userfaultfd_wp(vma)) {
      err = -ENOENT;
      break;
    }
    const size = vma_kernel_pagesize(m, vma);
    if (is_vm_hugetlb_page(vma) && (start % size !== 0 || len % size !== 0)) {
      err = -EINVAL;
      break;
    }
    const from = Math.max(vma.vm_start, start);
    err = yield* uffd_wp_range(m, vma, from, Math.min(vma.vm_end, end) - from, enable_wp);
    if (err < 0) break;
    err = 0;
  }
  mmap_read_unlock(m, ctx.mm);
  return err;
}

/** mm/userfaultfd.c: userfaultfd_writeprotect() */
function* userfaultfd_writeprotect(m: Machine, ctx: userfaultfd_ctx, arg: number): Gen<number> {
  const words = yield* get_words(m, arg, 3);
  if (words === null) return -EFAULT;
  const [start, len] = words as [number, number, number];
  const mode = low_bits(words[2]);
  const err = validate_range(ctx.mm, start, len);
  if (err !== 0) return err;
  const mode_wp = (mode & UFFDIO_WRITEPROTECT_MODE_WP) !== 0;
  const mode_dontwake = (mode & UFFDIO_WRITEPROTECT_MODE_DONTWAKE) !== 0;
  if (mode < 0 || mode > 3 || (mode_wp && mode_dontwake)) return -EINVAL;
  if (!mmget_not_zero(ctx.mm)) return -ESRCH;
  const ret = yield* mwriteprotect_range(m, ctx, start, len, mode_wp);
  yield* mmput(m, ctx.mm);
  if (ret === 0 && !mode_wp && !mode_dontwake) wake_userfault(m, ctx, start, len);
  return ret;
}

/**
 * Dispatches the ioctls of a userfaultfd. Before the handshake all but UFFDIO_API return -EINVAL (mm/userfaultfd.c:
 * userfaultfd_ioctl()).
 */
export function* userfaultfd_ioctl(m: Machine, f: file, cmd: number, arg: number): Gen<number> {
  const ctx = f.private_data as userfaultfd_ctx;
  if (cmd !== UFFDIO_API && !(ctx.features & UFFD_FEATURE_INITIALIZED)) return -EINVAL;
  switch (cmd) {
    case UFFDIO_API:
      return yield* userfaultfd_api(m, ctx, arg);
    case UFFDIO_REGISTER:
      return yield* userfaultfd_register(m, ctx, arg);
    case UFFDIO_UNREGISTER:
      return yield* userfaultfd_unregister(m, ctx, arg);
    case UFFDIO_WAKE:
      return yield* userfaultfd_wake(m, ctx, arg);
    case UFFDIO_COPY:
      return yield* userfaultfd_copy(m, ctx, arg);
    case UFFDIO_ZEROPAGE:
      return yield* userfaultfd_zeropage(m, ctx, arg);
    case UFFDIO_WRITEPROTECT:
      return yield* userfaultfd_writeprotect(m, ctx, arg);
    case UFFDIO_MOVE:
      throw new Unmodelled('mm/userfaultfd.c: userfaultfd_move()');
    case UFFDIO_CONTINUE:
      throw new Unmodelled('mm/userfaultfd.c: userfaultfd_continue()');
    case UFFDIO_POISON:
      throw new Unmodelled('mm/userfaultfd.c: userfaultfd_poison()');
    case UFFDIO_RWPROTECT:
      throw new Unmodelled('mm/userfaultfd.c: userfaultfd_rwprotect()');
    case UFFDIO_SET_MODE:
      throw new Unmodelled('mm/userfaultfd.c: userfaultfd_set_mode()');
    default:
      return -EINVAL;
  }
}
