// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { EFAULT } from '../../../errno.ts';
import type { Gen } from '../../../kernel/gen.ts';
import { BUG_ON, Oops, printk } from '../../../kernel/printk.ts';
import { fatal_signal_pending, SIGBUS, signal_pending, SIGSEGV } from '../../../kernel/sched/core.ts';
import { sched_yield } from '../../../kernel/sched/syscalls.ts';
import { handle_mm_fault } from '../../../mm/memory/fault.ts';
import {
  FAULT_FLAG_DEFAULT,
  FAULT_FLAG_TRIED,
  FAULT_FLAG_USER,
  FAULT_FLAG_VMA_LOCK,
  FAULT_FLAG_WRITE,
  VM_ACCESS_FLAGS,
  type vm_area_struct,
  VM_FAULT_COMPLETED,
  VM_FAULT_ERROR,
  VM_FAULT_HWPOISON,
  VM_FAULT_HWPOISON_LARGE,
  VM_FAULT_MAJOR,
  VM_FAULT_OOM,
  VM_FAULT_RETRY,
  VM_FAULT_SIGBUS,
  VM_FAULT_SIGSEGV,
  VM_WRITE,
} from '../../../mm/mm_types.ts';
import { lock_mm_and_find_vma, lock_vma_under_rcu, mmap_read_unlock, vma_end_read } from '../../../mm/mmap_lock.ts';
import { Unmodelled } from '../../../unmodelled.ts';
import { TASK_SIZE } from './pgtable/pgtable.ts';

/** Modelled cost of entering and leaving the fault handler, in ns. */
const FAULT_NS = 500;
/** Default of RLIMIT_STACK in bytes; a stack does not grow beyond it. */
export const STACK_LIMIT = 8 * 1024 * 1024;
/** Number of VM_FAULT_OOM in a row after which the model gives up; upstream retries for ever. */
const OOM_RETRIES = 1000;

/**
 * Returns true if the vma forbids the access (arch/x86/mm/fault.c: access_error()). x86 has no write-only mappings, so
 * a read needs any of VM_ACCESS_FLAGS. Leaves out pkeys and shadow stacks: nothing modelled creates either.
 */
function access_error(vma: vm_area_struct, write: boolean): boolean {
  return write ? (vma.vm_flags & VM_WRITE) === 0 : (vma.vm_flags & VM_ACCESS_FLAGS) === 0;
}

/** Returns true if a retried fault has to stop for a signal (include/linux/sched/signal.h: fault_signal_pending()). */
function fault_signal_pending(m: Machine, fault: number, user: boolean): boolean {
  return (fault & VM_FAULT_RETRY) !== 0 && (fatal_signal_pending(m.current) || (user && signal_pending(m.current)));
}

/**
 * Handles a page fault at a user address, of user code or, with `user` false, of the kernel. A fault of user code locks
 * only the vma if it can; it comes back under mmap_lock if that does not suffice. Returns 0 if the access is to be
 * retried, also when a signal has to be handled first, else SIGSEGV or SIGBUS for user code and -EFAULT for the kernel (arch/x86/mm/fault.c: do_user_addr_fault()).
 */
export function* do_user_addr_fault(m: Machine, address: number, write: boolean, user: boolean): Gen<number> {
  const t = m.current;
  const mm = t.mm;
  m.sched.spend(FAULT_NS);
  if (mm === null || t.pagefault_disabled > 0 || t.preempt_count > 0) {
    if (user) throw new Oops(`user access to ${address.toString(16)} of a task that runs no user code`);
    return -EFAULT;
  }
  if (!(address >= 0 && address < TASK_SIZE)) return user ? SIGSEGV : -EFAULT;
  const access = (write ? FAULT_FLAG_WRITE : 0) | (user ? FAULT_FLAG_USER : 0);
  for (let oom = 0; ; ) {
    let flags = FAULT_FLAG_DEFAULT | access;
    let fault = VM_FAULT_RETRY;
    let vma = user ? yield* lock_vma_under_rcu(m, mm, address) : null;
    if (vma !== null) {
      if (access_error(vma, write)) {
        vma_end_read(m, vma);
        return SIGSEGV;
      }
      fault = yield* handle_mm_fault(m, vma, address, flags | FAULT_FLAG_VMA_LOCK);
      if (!(fault & (VM_FAULT_RETRY | VM_FAULT_COMPLETED))) vma_end_read(m, vma);
      if (fault & VM_FAULT_MAJOR) flags |= FAULT_FLAG_TRIED;
      if (fault_signal_pending(m, fault, user)) return 0;
    }
    while (fault & VM_FAULT_RETRY) {
      vma = yield* lock_mm_and_find_vma(m, mm, address);
      if (vma === null) {
        if (!user) return -EFAULT;
        return fatal_signal_pending(t) ? 0 : SIGSEGV;
      }
      if (access_error(vma, write)) {
        mmap_read_unlock(m, mm);
        return user ? SIGSEGV : -EFAULT;
      }
      fault = yield* handle_mm_fault(m, vma, address, flags);
      if (fault_signal_pending(m, fault, user)) return user ? 0 : -EFAULT;
      if (fault & VM_FAULT_COMPLETED) return 0;
      if (fault & VM_FAULT_RETRY) flags |= FAULT_FLAG_TRIED;
      else mmap_read_unlock(m, mm);
    }
    if (!(fault & VM_FAULT_ERROR)) return 0;
    if (!user) return -EFAULT;
    if (fault & VM_FAULT_OOM) {
      if (fatal_signal_pending(t)) return 0;
      if (oom === 0) printk(m, 'Huh VM_FAULT_OOM leaked out to the #PF handler. Retrying PF');
      if (++oom > OOM_RETRIES) throw new Unmodelled('pagefault_out_of_memory: a fault that never succeeds');
      yield* sched_yield(m);
      continue;
    }
    if (fault & (VM_FAULT_SIGBUS | VM_FAULT_HWPOISON | VM_FAULT_HWPOISON_LARGE)) return SIGBUS;
    BUG_ON(!(fault & VM_FAULT_SIGSEGV), 'arch/x86/mm/fault.c: do_user_addr_fault()');
    return SIGSEGV;
  }
}
