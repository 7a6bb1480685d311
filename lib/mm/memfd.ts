// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL } from '../errno.ts';
import { fd_install, get_unused_fd_flags } from '../fs/file.ts';
import { FMODE_LSEEK, FMODE_PREAD, FMODE_PWRITE, O_CLOEXEC } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { strncpy_from_user } from '../strncpy_from_user.ts';
import { Unmodelled } from '../unmodelled.ts';
import { VM_NORESERVE } from './mm_types.ts';
import { shmem_file_setup } from './shmem.ts';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_HUGETLB = 4;
const MFD_NOEXEC_SEAL = 8;
const MFD_EXEC = 16;
const MFD_NAME_MAX_LEN = 250;

/** memfd_create(2) (mm/memfd.c: memfd_create()). Leaves out seals, which nothing can add. */
export function* sys_memfd_create(m: Machine, uname: number, flags: number): Gen<number> {
  if (flags & MFD_HUGETLB) throw new Unmodelled('mm/memfd.c: memfd_create() with MFD_HUGETLB');
  if (flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) return -EINVAL;
  if ((flags & (MFD_NOEXEC_SEAL | MFD_EXEC)) === (MFD_NOEXEC_SEAL | MFD_EXEC)) return -EINVAL;
  const name = yield* strncpy_from_user(m, uname, MFD_NAME_MAX_LEN);
  if (typeof name === 'number') return -EFAULT;
  if (name.length >= MFD_NAME_MAX_LEN) return -EINVAL;
  const fd = get_unused_fd_flags(m, flags & MFD_CLOEXEC ? O_CLOEXEC : 0);
  if (fd < 0) return fd;
  const f = shmem_file_setup(m, `memfd:${name}`, 0, VM_NORESERVE);
  if (typeof f === 'number') return f;
  f.f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
  f.f_inode.i_mode = 0o100777;
  fd_install(m, fd, f);
  return fd;
}
