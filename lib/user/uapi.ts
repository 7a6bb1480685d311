// SPDX-License-Identifier: GPL-2.0-only
// Numbers of the Linux ABI on x86-64 that user programs here use: what they would have from the C library's and the
// kernel's headers. They are declared a second time on purpose: a wrong number in the modelled kernel then shows as a
// failing test instead of agreeing with itself.

export const NULL = 0;
export const MAP_FAILED = -1;

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const EFAULT = 14;
export const EINVAL = 22;

/** The messages of strerror(3) for the errors that a test's own messages may show. */
const MESSAGES: ReadonlyMap<number, string> = new Map([
  [1, 'Operation not permitted'],
  [2, 'No such file or directory'],
  [4, 'Interrupted system call'],
  [5, 'Input/output error'],
  [9, 'Bad file descriptor'],
  [11, 'Resource temporarily unavailable'],
  [12, 'Cannot allocate memory'],
  [13, 'Permission denied'],
  [14, 'Bad address'],
  [16, 'Device or resource busy'],
  [19, 'No such device'],
  [22, 'Invalid argument'],
  [23, 'Too many open files in system'],
  [24, 'Too many open files'],
  [25, 'Inappropriate ioctl for device'],
  [28, 'No space left on device'],
  [95, 'Operation not supported'],
]);

/** The message for an errno, as glibc's strerror(3) words it. */
export function strerror(errno: number): string {
  return MESSAGES.get(errno) ?? `Unknown error ${errno}`;
}

export const O_RDONLY = 0o0;
export const O_WRONLY = 0o1;
export const O_RDWR = 0o2;
export const O_EXCL = 0o200;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
/** __O_TMPFILE | O_DIRECTORY */
export const O_TMPFILE = 0o20200000;

export const PROT_NONE = 0x0;
export const PROT_READ = 0x1;
export const PROT_WRITE = 0x2;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_FIXED = 0x10;
export const MAP_ANONYMOUS = 0x20;
export const MAP_HUGETLB = 0x40000;
export const MREMAP_MAYMOVE = 1;
export const MREMAP_FIXED = 2;
export const MREMAP_DONTUNMAP = 4;
export const MADV_DONTNEED = 4;
export const MADV_FREE = 8;
export const MADV_DONTFORK = 10;
export const MADV_HUGEPAGE = 14;
export const MADV_NOHUGEPAGE = 15;
export const MADV_WIPEONFORK = 18;
export const MADV_PAGEOUT = 21;
export const MADV_POPULATE_READ = 22;
export const MADV_POPULATE_WRITE = 23;
export const MADV_COLLAPSE = 25;
export const MADV_GUARD_INSTALL = 102;
export const MADV_GUARD_REMOVE = 103;

/** also _SC_PAGE_SIZE */
export const _SC_PAGESIZE = 30;

export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGBUS = 7;
export const SIGKILL = 9;
export const SIGSEGV = 11;
export const SIGTERM = 15;

/** 1 if the process ended by exit(2). */
export function WIFEXITED(status: number): number {
  return (status & 0x7f) === 0 ? 1 : 0;
}

/** The low byte that the process gave to exit(2). */
export function WEXITSTATUS(status: number): number {
  return (status >> 8) & 0xff;
}

/** The signal that ended the process, 0 for none. */
export function WTERMSIG(status: number): number {
  return status & 0x7f;
}

/** 1 if a signal ended the process. */
export function WIFSIGNALED(status: number): number {
  const sig = status & 0x7f;
  return sig !== 0 && sig !== 0x7f ? 1 : 0;
}

/** An ioctl number that reads and writes a structure of `size` bytes; above 2^31, so built by sums. */
function _IOWR(type: number, nr: number, size: number): number {
  return 3 * 2 ** 30 + size * 2 ** 16 + type * 2 ** 8 + nr;
}

/** struct hmm_dmirror_cmd of test_hmm_uapi.h: five u64 */
export const HMM_DMIRROR_CMD = { size: 40, addr: 0, ptr: 8, npages: 16, cpages: 24, faults: 32 } as const;

const H = 'H'.charCodeAt(0);
export const HMM_DMIRROR_READ = _IOWR(H, 0x00, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_WRITE = _IOWR(H, 0x01, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_MIGRATE_TO_DEV = _IOWR(H, 0x02, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_MIGRATE_TO_SYS = _IOWR(H, 0x03, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_SNAPSHOT = _IOWR(H, 0x04, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_EXCLUSIVE = _IOWR(H, 0x05, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_CHECK_EXCLUSIVE = _IOWR(H, 0x06, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_RELEASE = _IOWR(H, 0x07, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_FLAGS = _IOWR(H, 0x08, HMM_DMIRROR_CMD.size);
export const HMM_DMIRROR_READ_UNLOCKED = _IOWR(H, 0x09, HMM_DMIRROR_CMD.size);

export const HMM_DMIRROR_FLAG_FAIL_ALLOC = 1;

export const HMM_DMIRROR_PROT_ERROR = 0xff;
export const HMM_DMIRROR_PROT_NONE = 0x00;
export const HMM_DMIRROR_PROT_READ = 0x01;
export const HMM_DMIRROR_PROT_WRITE = 0x02;
export const HMM_DMIRROR_PROT_PMD = 0x04;
export const HMM_DMIRROR_PROT_PUD = 0x08;
export const HMM_DMIRROR_PROT_ZERO = 0x10;
export const HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL = 0x20;
export const HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL = 0x40;
export const HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE = 0x50;

/** struct gup_test of mm/gup_test.h: four u64, three u32, eight u32, padded to 80 bytes */
export const GUP_TEST = { size: 80, addr: 16, len: 24, nr_pages_per_call: 32, gup_flags: 36, test_flags: 40 } as const;

const g = 'g'.charCodeAt(0);
export const GUP_FAST_BENCHMARK = _IOWR(g, 1, GUP_TEST.size);
export const PIN_FAST_BENCHMARK = _IOWR(g, 2, GUP_TEST.size);
export const PIN_LONGTERM_BENCHMARK = _IOWR(g, 3, GUP_TEST.size);
export const GUP_BASIC_TEST = _IOWR(g, 4, GUP_TEST.size);
export const PIN_BASIC_TEST = _IOWR(g, 5, GUP_TEST.size);
export const FOLL_WRITE = 0x01;
export const FOLL_LONGTERM = 0x100;

export const UFFD_API = 0xaa;
/** struct uffdio_api */
export const UFFDIO_API_ARG = { size: 24, api: 0, features: 8, ioctls: 16 } as const;
export const UFFDIO_API = _IOWR(0xaa, 0x3f, UFFDIO_API_ARG.size);
/** struct uffdio_register */
export const UFFDIO_REGISTER_ARG = { size: 32, start: 0, len: 8, mode: 16, ioctls: 24 } as const;
export const UFFDIO_REGISTER = _IOWR(0xaa, 0x00, UFFDIO_REGISTER_ARG.size);
export const UFFDIO_REGISTER_MODE_MISSING = 1;
export const UFFDIO_REGISTER_MODE_WP = 2;
export const UFFD_FEATURE_WP_ASYNC = 1 << 15;
export const UFFDIO_WRITEPROTECT_ARG = { size: 24, start: 0, len: 8, mode: 16 } as const;
export const UFFDIO_WRITEPROTECT = _IOWR(0xaa, 0x06, UFFDIO_WRITEPROTECT_ARG.size);
/** struct uffdio_copy */
export const UFFDIO_COPY_ARG = { size: 40, dst: 0, src: 8, len: 16, mode: 24, copy: 32 } as const;
export const UFFDIO_COPY = _IOWR(0xaa, 0x03, UFFDIO_COPY_ARG.size);
/** struct uffdio_range */
export const UFFDIO_RANGE_ARG = { size: 16, start: 0, len: 8 } as const;
/** _IOR: the kernel is only told */
export const UFFDIO_WAKE = _IOWR(0xaa, 0x02, UFFDIO_RANGE_ARG.size) - 2 ** 30;
/** struct uffd_msg, and its pagefault arm */
export const UFFD_MSG = { size: 32, event: 0, address: 16 } as const;
export const UFFD_EVENT_PAGEFAULT = 0x12;
export const POLLIN = 1;
export const EFD_CLOEXEC = 0o2000000;
