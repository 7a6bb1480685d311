// SPDX-License-Identifier: GPL-2.0-only
// The part of tools/testing/selftests/mm/vm_util.c that the suite uses: files of /proc and /sys, pagemap entries, and
// ending the program on errors.

import { Ksft, KSFT_FAIL } from '../../harness/kselftest/kselftest.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { EINVAL, O_RDONLY, O_WRONLY, strerror } from '../../lib/user/uapi.ts';
import type { Gen } from '../../lib/kernel/gen.ts';

const PMD_SIZE_FILE_PATH = '/sys/kernel/mm/transparent_hugepage/hpage_pmd_size';
export const PAGEMAP_PATH = '/proc/self/pagemap';

/** A pagemap entry as two 32-bit halves. */
interface PagemapEntry {
  lo: number;
  hi: number;
}

/** Bits 62 and 63 as bits of the high half. */
export const PM_SWAP_HI = 1 << 30;
const PM_PRESENT_HI = 1 << 31;

/** Returns 1 if the entry says that a page is present. */
export function PAGEMAP_PRESENT(entry: PagemapEntry): number {
  return (entry.hi & PM_PRESENT_HI) !== 0 ? 1 : 0;
}

/** Returns the pagemap entry of the page at `start`; ends the program if it cannot be read. */
export function* pagemap_get_entry(c: Libc, fd: number, start: number): Gen<PagemapEntry> {
  const pfn = Math.floor(start / 4096);
  const buf = yield* c.malloc(8);
  const ret = yield* c.pread(fd, buf, 8, pfn * 8);
  if (ret !== 8) return yield* ksft_exit_fail_msg(c, 'reading pagemap failed\n');
  const entry = { lo: yield* c.load32(buf), hi: yield* c.load32(buf + 4) };
  yield* c.free(buf);
  return entry;
}

/** Ends the program with TAP's `Bail out!`. The counters are those of a process that has counted nothing. */
function* ksft_exit_fail_msg(c: Libc, text: string): Gen<never> {
  const ksft = new Ksft((line) => c.print(line));
  ksft.printf(`Bail out! ${text}`);
  ksft.ksft_print_cnts();
  return yield* c.exit(KSFT_FAIL);
}

/** Returns up to `max` bytes from the start of a file by one read(2); null if it cannot be opened or is empty. */
function* read_start(c: Libc, path: string, max: number): Gen<string | null> {
  const fd = yield* c.open(path, O_RDONLY);
  if (fd === -1) return null;
  const buf = yield* c.malloc(max);
  const n = yield* c.read(fd, buf, max);
  const errno = c.errno;
  let text: string | null = null;
  if (n >= 1) {
    text = '';
    for (let i = 0; i < n; i++) text += String.fromCharCode(yield* c.load8(buf + i));
  }
  yield* c.close(fd);
  yield* c.free(buf);
  c.errno = errno;
  return text;
}

/** strtoul(text, NULL, 10) for the kernel's output. */
function strtoul(text: string): number {
  const digits = /^\s*(\d+)/.exec(text);
  return digits === null ? 0 : Number(digits[1]);
}

/** Returns the size of a PMD-sized page in bytes, 0 without transparent huge pages. */
export function* read_pmd_pagesize(c: Libc): Gen<number> {
  const text = yield* read_start(c, PMD_SIZE_FILE_PATH, 19);
  return text === null ? 0 : strtoul(text);
}

/** Returns the number in a file; ends the program if it cannot be read. */
export function* read_num(c: Libc, path: string): Gen<number> {
  const text = yield* read_start(c, path, 20);
  if (text === null) return yield* ksft_exit_fail_msg(c, `read_file(): ${strerror(c.errno)} (${c.errno})\n`);
  return strtoul(text);
}

/** Writes a number to a file; ignores EINVAL and ends the program on any other error. */
export function* write_num_ignore_einval(c: Libc, path: string, num: number): Gen<void> {
  const text = String(num);
  const fd = yield* c.open(path, O_WRONLY);
  if (fd === -1) return yield* ksft_exit_fail_msg(c, `${path} open failed: ${strerror(c.errno)}\n`);
  const buf = yield* c.malloc(text.length + 1);
  for (let i = 0; i < text.length; i++) yield* c.store8(buf + i, text.charCodeAt(i));
  yield* c.store8(buf + text.length, 0);
  const n = yield* c.write(fd, buf, text.length);
  const errno = c.errno;
  yield* c.close(fd);
  yield* c.free(buf);
  c.errno = errno;
  if (n < 0) {
    if (errno === EINVAL) return;
    yield* ksft_exit_fail_msg(c, `${path} write(${text}) failed: ${strerror(errno)}\n`);
  }
  if (n !== text.length) {
    yield* ksft_exit_fail_msg(
      c,
      `${path} write(${text}) is truncated, expected ${text.length} bytes, got ${n} bytes\n`,
    );
  }
}
