// SPDX-License-Identifier: GPL-2.0-only

import { user_read_bytes, user_write_bytes } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { do_sys_open, ksys_close } from './open.ts';
import { ksys_read, ksys_write } from './read_write.ts';

/** Returns the text that one read of up to `size` bytes into user memory at `buf` gives. NON-KERNEL. */
export function* read_text(m: Machine, path: string, buf: number, size = 4096): Gen<string> {
  const fd = yield* do_sys_open(m, path, 0, 0);
  const n = yield* ksys_read(m, fd, buf, size);
  const text = new TextDecoder().decode(yield* user_read_bytes(m, buf, n));
  yield* ksys_close(m, fd);
  return text;
}

/** Writes a text to a file from user memory at `buf`; returns bytes or -errno. NON-KERNEL. */
export function* write_text(m: Machine, text: string, path: string, buf: number): Gen<number> {
  const fd = yield* do_sys_open(m, path, 1, 0);
  if (fd < 0) return fd;
  yield* user_write_bytes(m, buf, new TextEncoder().encode(text));
  const n = yield* ksys_write(m, fd, buf, text.length);
  yield* ksys_close(m, fd);
  return n;
}
