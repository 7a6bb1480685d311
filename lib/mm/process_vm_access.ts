// SPDX-License-Identifier: GPL-2.0-only

import { access_ok, copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ESRCH } from '../errno.ts';
import { mmget_not_zero, mmput } from '../kernel/fork/mm_init.ts';
import type { Gen } from '../kernel/gen.ts';
import { find_task_by_vpid } from '../kernel/pid.ts';
import { pin_user_pages_remote } from './gup/gup.ts';
import { FOLL_WRITE, unpin_user_pages_dirty_lock } from './gup/pin.ts';
import type { mm_struct } from './mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { page_to_pfn } from './page.ts';
import { PAGE_SIZE } from './physmem.ts';

const UIO_MAXIOV = 1024;
const IOVEC_BYTES = 16;
/** Pages pinned at a time (mm/process_vm_access.c: PVM_MAX_USER_PAGES). */
const PVM_MAX_USER_PAGES = 1024;

/** A part of an address space (struct iovec). */
interface iovec {
  base: number;
  len: number;
}

/** Returns the iovecs at a user address, or -errno. NON-KERNEL (lib/iov_iter.c: iovec_from_user()). */
function* iovec_from_user(m: Machine, uvec: number, nr_segs: number): Gen<iovec[] | number> {
  if (nr_segs > UIO_MAXIOV) return -EINVAL;
  const bytes = new Uint8Array(nr_segs * IOVEC_BYTES);
  if ((yield* copy_from_user(m, bytes, uvec, bytes.length)) !== 0) return -EFAULT;
  const v = new DataView(bytes.buffer);
  const found: iovec[] = [];
  for (let at = 0; at < bytes.length; at += IOVEC_BYTES) {
    const [base, len] = [v.getBigUint64(at, true), v.getBigUint64(at + 8, true)];
    if (len >= 2n ** 63n) return -EINVAL;
    found.push({ base: Number(base), len: Number(len) });
  }
  return found;
}

/** The local side of a transfer: what is left of its iovecs. NON-KERNEL (upstream: struct iov_iter). */
class iov_iter {
  private readonly vecs: iovec[];
  constructor(vecs: readonly iovec[]) {
    this.vecs = vecs.map((v) => ({ ...v })).filter((v) => v.len > 0);
  }
  count(): number {
    return this.vecs.reduce((sum, v) => sum + v.len, 0);
  }
  /** Copies between kernel memory and the iovecs. Returns the bytes copied. */
  *copy(m: Machine, bytes: Uint8Array, to_user: boolean): Gen<number> {
    let done = 0;
    while (done < bytes.length && this.vecs.length > 0) {
      const v = this.vecs[0];
      const n = Math.min(v.len, bytes.length - done);
      const part = bytes.subarray(done, done + n);
      let left: number;
      if (to_user) left = yield* copy_to_user(m, v.base, part, n);
      else {
        const from = new Uint8Array(n);
        left = yield* copy_from_user(m, from, v.base, n);
        part.set(from.subarray(0, n - left));
      }
      done += n - left;
      v.base += n - left;
      v.len -= n - left;
      if (v.len === 0) this.vecs.shift();
      if (left > 0) break;
    }
    return done;
  }
}

/** Copies one remote iovec. Returns 0 or -EFAULT (mm/process_vm_access.c: process_vm_rw_single_vec()). */
function* process_vm_rw_single_vec(m: Machine, mm: mm_struct, vec: iovec, iter: iov_iter, write: boolean): Gen<number> {
  if (vec.len === 0) return 0;
  let pa = vec.base - (vec.base % PAGE_SIZE);
  let offset = vec.base - pa;
  let { len } = vec;
  let nr_pages = Math.floor((vec.base + len - 1) / PAGE_SIZE) - Math.floor(vec.base / PAGE_SIZE) + 1;
  let rc = 0;
  while (rc === 0 && nr_pages > 0 && iter.count() > 0) {
    const pages = new Int32Array(Math.min(nr_pages, PVM_MAX_USER_PAGES));
    const locked = { locked: true };
    yield* mmap_read_lock(m, mm);
    const pinned = yield* pin_user_pages_remote(m, mm, pa, pages.length, write ? FOLL_WRITE : 0, pages, locked);
    if (locked.locked) mmap_read_unlock(m, mm);
    if (pinned <= 0) return -EFAULT;
    let bytes = Math.min(pinned * PAGE_SIZE - offset, len);
    len -= bytes;
    for (let i = 0; bytes > 0 && iter.count() > 0; i++) {
      const copy = Math.min(PAGE_SIZE - offset, bytes);
      const contents = m.ram.bytes(page_to_pfn(m, pages[i])).subarray(offset, offset + copy);
      const copied = yield* iter.copy(m, contents, !write);
      bytes -= copied;
      if (copied < copy && iter.count() > 0) {
        rc = -EFAULT;
        break;
      }
      offset = 0;
    }
    offset = 0;
    nr_pages -= pinned;
    pa += pinned * PAGE_SIZE;
    yield* unpin_user_pages_dirty_lock(m, pages, pinned, write);
  }
  return rc;
}

/**
 * Copies between the current address space and another process's. Returns bytes or -errno (mm/process_vm_access.c:
 * process_vm_rw()). Leaves out the permission to do so: everybody is root.
 */
function* process_vm_rw(
  m: Machine,
  pid: number,
  lvec: number,
  liovcnt: number,
  rvec: number,
  riovcnt: number,
  flags: number,
  write: boolean,
): Gen<number> {
  if (flags !== 0) return -EINVAL;
  const local = yield* iovec_from_user(m, lvec, liovcnt);
  if (typeof local === 'number') return local;
  if (!local.every((v) => access_ok(v.base, v.len))) return -EFAULT;
  const iter = new iov_iter(local);
  const total = iter.count();
  if (total === 0) return 0;
  const remote = yield* iovec_from_user(m, rvec, riovcnt);
  if (typeof remote === 'number') return remote;
  if (remote.every((v) => v.len === 0)) return 0;
  const task = find_task_by_vpid(m, pid);
  const mm = task?.mm ?? null;
  if (mm === null || !mmget_not_zero(mm)) return -ESRCH;
  let rc = 0;
  for (let i = 0; i < remote.length && iter.count() > 0 && rc === 0; i++)
    rc = yield* process_vm_rw_single_vec(m, mm, remote[i], iter, write);
  yield* mmput(m, mm);
  const copied = total - iter.count();
  return copied > 0 ? copied : rc;
}

/** Reads from another process's memory (mm/process_vm_access.c: process_vm_readv()). */
export function sys_process_vm_readv(
  m: Machine,
  pid: number,
  lvec: number,
  liovcnt: number,
  rvec: number,
  riovcnt: number,
  flags: number,
): Gen<number> {
  return process_vm_rw(m, pid, lvec, liovcnt, rvec, riovcnt, flags, false);
}

/** Writes to another process's memory (mm/process_vm_access.c: process_vm_writev()). */
export function sys_process_vm_writev(
  m: Machine,
  pid: number,
  lvec: number,
  liovcnt: number,
  rvec: number,
  riovcnt: number,
  flags: number,
): Gen<number> {
  return process_vm_rw(m, pid, lvec, liovcnt, rvec, riovcnt, flags, true);
}
