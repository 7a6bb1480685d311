// SPDX-License-Identifier: GPL-2.0-only
// Pages that a userfaultfd write-protects.

import type { CaseContext } from '../../harness/explore/engine.ts';
import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { HmmBuffer } from '../hmm-tests/buffer.ts';
import { PAGE } from './memory.ts';
import * as U from '../../lib/user/uapi.ts';

const UFFDIO_WRITEPROTECT = { request: 0xc018aa06, size: 24, start: 0, len: 8, mode: 16 } as const;
const UFFDIO_REGISTER_MODE_WP = 2;
const UFFDIO_WRITEPROTECT_MODE_WP = 1;

/** Write-protects npages of the buffer from its start on for a userfaultfd, whose descriptor it answers. */
export function* uffd_protect(c: Libc, x: CaseContext, b: HmmBuffer, npages: number): Gen<number> {
  const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
  const at = yield* c.malloc(64);
  yield* c.store64(at + U.UFFDIO_API_ARG.api, U.UFFD_API);
  yield* c.store64(at + U.UFFDIO_API_ARG.features, 0);
  x.check((yield* c.ioctl(uffd, U.UFFDIO_API, at)) === 0, `UFFDIO_API ended with errno ${c.errno}`);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.start, b.ptr);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.len, npages * PAGE);
  yield* c.store64(at + U.UFFDIO_REGISTER_ARG.mode, UFFDIO_REGISTER_MODE_WP);
  x.check((yield* c.ioctl(uffd, U.UFFDIO_REGISTER, at)) === 0, `UFFDIO_REGISTER ended with errno ${c.errno}`);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.start, b.ptr);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.len, npages * PAGE);
  yield* c.store64(at + UFFDIO_WRITEPROTECT.mode, UFFDIO_WRITEPROTECT_MODE_WP);
  x.check(
    (yield* c.ioctl(uffd, UFFDIO_WRITEPROTECT.request, at)) === 0,
    `UFFDIO_WRITEPROTECT ended with errno ${c.errno}`,
  );
  return uffd;
}

/** What /proc/self/pagemap says of bit 57 of each page: 'w' write-protected for a userfaultfd, '-' not. */
export function* uffd_protected(c: Libc, b: HmmBuffer, npages: number): Gen<string> {
  const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
  const at = yield* c.malloc(8);
  let text = '';
  for (let i = 0; i < npages; i++) {
    yield* c.pread(fd, at, 8, (b.ptr / PAGE + i) * 8);
    text += (yield* c.load32(at + 4)) & (1 << 25) ? 'w' : '-';
  }
  yield* c.close(fd);
  return text;
}
