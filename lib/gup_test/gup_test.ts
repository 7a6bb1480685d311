// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINTR, EINVAL, ENOMEM } from '../errno.ts';
import { debugfs_create_file } from '../fs/debugfs.ts';
import type { file, file_operations } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { mutex, mutex_lock, mutex_unlock } from '../kernel/locking/mutex.ts';
import { printk, WARN_ON, WARN_ON_ONCE } from '../kernel/printk.ts';
import { put_page } from '../mm/folio.ts';
import { get_user_pages, get_user_pages_fast, pin_user_pages, pin_user_pages_fast } from '../mm/gup/gup.ts';
import { folio_is_longterm_pinnable, FOLL_LONGTERM, FOLL_WRITE, unpin_user_pages } from '../mm/gup/pin.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { mmap_read_lock_killable, mmap_read_unlock } from '../mm/mmap_lock.ts';
import { page_folio, page_to_pfn } from '../mm/page.ts';
import { PAGE_SIZE } from '../mm/physmem.ts';
import { folio_maybe_dma_pinned } from '../mm/rmap/rmap.ts';

/** Size of struct gup_test and offsets of its members (mm/gup_test.h). */
const GUP_TEST = {
  size: 80,
  get_delta_usec: 0,
  put_delta_usec: 8,
  addr: 16,
  len: 24,
  nr_pages_per_call: 32,
  gup_flags: 36,
  test_flags: 40,
  which_pages: 44,
} as const;
/** Size of struct pin_longterm_test and offsets of its members (mm/gup_test.h). */
const PIN_LONGTERM_TEST = { size: 24, addr: 0, len: 8, flags: 16 } as const;

/** Returns the number of an ioctl of type 'g' (include/uapi/asm-generic/ioctl.h: _IOC()). */
function ioc(dir: number, nr: number, size: number): number {
  return dir * 2 ** 30 + size * 2 ** 16 + 0x67 * 2 ** 8 + nr;
}

const GUP_FAST_BENCHMARK = ioc(3, 1, GUP_TEST.size);
const PIN_FAST_BENCHMARK = ioc(3, 2, GUP_TEST.size);
const PIN_LONGTERM_BENCHMARK = ioc(3, 3, GUP_TEST.size);
const GUP_BASIC_TEST = ioc(3, 4, GUP_TEST.size);
const PIN_BASIC_TEST = ioc(3, 5, GUP_TEST.size);
const DUMP_USER_PAGES_TEST = ioc(3, 6, GUP_TEST.size);
const PIN_LONGTERM_TEST_START = ioc(1, 7, PIN_LONGTERM_TEST.size);
const PIN_LONGTERM_TEST_STOP = ioc(0, 8, 0);
const PIN_LONGTERM_TEST_READ = ioc(1, 9, 8);

const GUP_TEST_MAX_PAGES_TO_DUMP = 8;
const GUP_TEST_FLAG_DUMP_PAGES_USE_PIN = 1;
const PIN_LONGTERM_TEST_FLAG_USE_WRITE = 1;
const PIN_LONGTERM_TEST_FLAG_USE_FAST = 2;
const INT_MAX = 2 ** 31 - 1;

/** State of an open file (mm/gup_test.c: struct gup_test_data). */
class gup_test_data {
  readonly longterm_mutex = new mutex('longterm_mutex');
  longterm_pages: Int32Array | null = null;
  longterm_nr_pages = 0;
}

/** Drops the references or pins of the pages (mm/gup_test.c: put_back_pages()). */
function put_back_pages(m: Machine, cmd: number, pages: Int32Array, nr_pages: number, test_flags: number): void {
  const pinned =
    cmd === PIN_FAST_BENCHMARK ||
    cmd === PIN_BASIC_TEST ||
    cmd === PIN_LONGTERM_BENCHMARK ||
    (cmd === DUMP_USER_PAGES_TEST && (test_flags & GUP_TEST_FLAG_DUMP_PAGES_USE_PIN) !== 0);
  if (pinned) unpin_user_pages(m, pages, nr_pages);
  else for (let i = 0; i < nr_pages; i++) put_page(m, pages[i]);
}

/** Warns about pages that are not pinned as the command says (mm/gup_test.c: verify_dma_pinned()). */
function verify_dma_pinned(m: Machine, cmd: number, pages: Int32Array, nr_pages: number): void {
  if (cmd !== PIN_FAST_BENCHMARK && cmd !== PIN_BASIC_TEST && cmd !== PIN_LONGTERM_BENCHMARK) return;
  for (let i = 0; i < nr_pages; i++) {
    const folio = page_folio(m, pages[i]);
    if (WARN_ON(m, !folio_maybe_dma_pinned(m, folio), 'verify_dma_pinned', `pages[${i}] is NOT dma-pinned`)) break;
    if (
      cmd === PIN_LONGTERM_BENCHMARK &&
      WARN_ON(m, !folio_is_longterm_pinnable(m, folio), 'verify_dma_pinned', `pages[${i}] is NOT pinnable but pinned`)
    )
      break;
  }
}

/**
 * Logs the pages that user space selected (mm/gup_test.c: dump_pages_test()). Leaves out most of dump_page()'s text.
 */
function dump_pages_test(m: Machine, gup: DataView, pages: Int32Array, nr_pages: number): void {
  for (let i = 0; i < GUP_TEST_MAX_PAGES_TO_DUMP; i++) {
    const at = GUP_TEST.which_pages + 4 * i;
    const which = gup.getUint32(at, true);
    if (which > nr_pages) {
      printk(m, `ZEROING due to out of range: .which_pages[${i}]: ${which}`);
      gup.setUint32(at, 0, true);
    }
  }
  for (let i = 0; i < GUP_TEST_MAX_PAGES_TO_DUMP; i++) {
    const which = gup.getUint32(GUP_TEST.which_pages + 4 * i, true);
    if (which === 0) continue;
    const page = pages[which - 1];
    printk(
      m,
      `---- page #${which - 1}, starting from user virt addr: 0x${gup.getBigUint64(GUP_TEST.addr, true).toString(16)}`,
    );
    printk(
      m,
      `page: refcount:${m.page._refcount[page]} mapcount:${m.page._mapcount[page] + 1} pfn:0x${page_to_pfn(m, page).toString(16)}`,
    );
    printk(m, 'page dumped because: gup_test: dump_pages() test');
  }
}

/** Returns an array of page pointers, or null without memory (include/linux/slab.h: kvcalloc()). */
function kvcalloc_pages(m: Machine, nr_pages: number): Int32Array | null {
  const bytes = nr_pages * 8;
  if (bytes >= 2 ** 64) return null;
  if (WARN_ON_ONCE(m, bytes > INT_MAX, '__kvmalloc_node_noprof')) return null;
  if (bytes > m.zone.managed_pages * PAGE_SIZE) return null;
  return new Int32Array(nr_pages);
}

/**
 * Calls the GUP function of the command. Returns the number of pages or a negative errno. NON-KERNEL: the switch of
 * upstream's __gup_test_ioctl().
 */
function* gup_test_call(
  m: Machine,
  cmd: number,
  addr: number,
  nr: number,
  gup: DataView,
  pages: Int32Array,
): Gen<number> {
  const gup_flags = gup.getUint32(GUP_TEST.gup_flags, true) | 0;
  switch (cmd) {
    case GUP_FAST_BENCHMARK:
      return yield* get_user_pages_fast(m, addr, nr, gup_flags, pages);
    case GUP_BASIC_TEST:
      return yield* get_user_pages(m, addr, nr, gup_flags, pages);
    case PIN_FAST_BENCHMARK:
      return yield* pin_user_pages_fast(m, addr, nr, gup_flags, pages);
    case PIN_BASIC_TEST:
      return yield* pin_user_pages(m, addr, nr, gup_flags, pages);
    case PIN_LONGTERM_BENCHMARK:
      return yield* pin_user_pages(m, addr, nr, gup_flags | FOLL_LONGTERM, pages);
    default:
      if (gup.getUint32(GUP_TEST.test_flags, true) & GUP_TEST_FLAG_DUMP_PAGES_USE_PIN) {
        return yield* pin_user_pages(m, addr, nr, gup_flags, pages);
      }
      return yield* get_user_pages(m, addr, nr, gup_flags, pages);
  }
}

/** Runs a benchmark or a basic test (mm/gup_test.c: __gup_test_ioctl()). */
function* __gup_test_ioctl(m: Machine, cmd: number, gup: DataView): Gen<number> {
  const mm = m.current.mm as mm_struct;
  const needs_mmap_lock = cmd !== GUP_FAST_BENCHMARK && cmd !== PIN_FAST_BENCHMARK;
  const start64 = gup.getBigUint64(GUP_TEST.addr, true);
  const size64 = gup.getBigUint64(GUP_TEST.len, true);
  if (start64 + size64 >= 1n << 64n) return -EINVAL;
  const start = Number(start64);
  const end = Number(start64 + size64);
  const pages = kvcalloc_pages(m, Number(size64 / 4096n));
  if (pages === null) return -ENOMEM;
  if (needs_mmap_lock && (yield* mmap_read_lock_killable(m, mm)) !== 0) return -EINTR;
  const per_call = gup.getUint32(GUP_TEST.nr_pages_per_call, true);
  const t0 = m.sched.now;
  let i = 0;
  let nr = per_call;
  let addr = start;
  for (let next: number; addr < end; addr = next) {
    if (nr !== per_call) break;
    next = addr + nr * PAGE_SIZE;
    if (next > end) {
      next = end;
      nr = Math.floor((next - addr) / PAGE_SIZE);
    }
    nr = yield* gup_test_call(m, cmd, addr, nr, gup, pages.subarray(i));
    if (nr <= 0) break;
    i += nr;
  }
  const t1 = m.sched.now;
  gup.setBigUint64(GUP_TEST.get_delta_usec, BigInt(Math.floor((t1 - t0) / 1000)), true);
  gup.setBigUint64(GUP_TEST.len, BigInt(addr - start), true);
  verify_dma_pinned(m, cmd, pages, i);
  if (cmd === DUMP_USER_PAGES_TEST) dump_pages_test(m, gup, pages, i);
  put_back_pages(m, cmd, pages, i, gup.getUint32(GUP_TEST.test_flags, true));
  gup.setBigUint64(GUP_TEST.put_delta_usec, BigInt(Math.floor((m.sched.now - t1) / 1000)), true);
  if (needs_mmap_lock) mmap_read_unlock(m, mm);
  return 0;
}

/** Unpins the pages of PIN_LONGTERM_TEST_START (mm/gup_test.c: pin_longterm_test_stop()). */
function pin_longterm_test_stop(m: Machine, data: gup_test_data): void {
  if (data.longterm_pages === null) return;
  if (data.longterm_nr_pages > 0) unpin_user_pages(m, data.longterm_pages, data.longterm_nr_pages);
  data.longterm_pages = null;
  data.longterm_nr_pages = 0;
}

/** Pins a range long-term. Returns 0 or a negative errno (mm/gup_test.c: pin_longterm_test_start()). */
function* pin_longterm_test_start(m: Machine, data: gup_test_data, arg: number): Gen<number> {
  const mm = m.current.mm as mm_struct;
  if (data.longterm_pages !== null) return -EINVAL;
  const bytes = new Uint8Array(PIN_LONGTERM_TEST.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const args = new DataView(bytes.buffer);
  const addr64 = args.getBigUint64(PIN_LONGTERM_TEST.addr, true);
  const size64 = args.getBigUint64(PIN_LONGTERM_TEST.len, true);
  const flags = args.getUint32(PIN_LONGTERM_TEST.flags, true);
  if ((flags & ~(PIN_LONGTERM_TEST_FLAG_USE_WRITE | PIN_LONGTERM_TEST_FLAG_USE_FAST)) !== 0) return -EINVAL;
  if ((addr64 | size64) % 4096n !== 0n || size64 > (1n << 63n) - 1n || size64 === 0n) return -EINVAL;
  const nr_pages = Number(size64 / 4096n);
  const pages = kvcalloc_pages(m, nr_pages);
  if (pages === null) return -ENOMEM;
  const gup_flags = FOLL_LONGTERM | (flags & PIN_LONGTERM_TEST_FLAG_USE_WRITE ? FOLL_WRITE : 0);
  const fast = (flags & PIN_LONGTERM_TEST_FLAG_USE_FAST) !== 0;
  if (!fast && (yield* mmap_read_lock_killable(m, mm)) !== 0) return -EINTR;
  data.longterm_pages = pages;
  data.longterm_nr_pages = 0;
  let ret = 0;
  while (data.longterm_nr_pages < nr_pages) {
    const done = data.longterm_nr_pages;
    const pin = fast ? pin_user_pages_fast : pin_user_pages;
    const cur_pages = yield* pin(
      m,
      Number(addr64) + done * PAGE_SIZE,
      nr_pages - done,
      gup_flags,
      pages.subarray(done),
    );
    if (cur_pages < 0) {
      pin_longterm_test_stop(m, data);
      ret = cur_pages;
      break;
    }
    data.longterm_nr_pages += cur_pages;
  }
  if (!fast) mmap_read_unlock(m, mm);
  return ret;
}

/** Copies the pinned pages to user space (mm/gup_test.c: pin_longterm_test_read()). */
function* pin_longterm_test_read(m: Machine, data: gup_test_data, arg: number): Gen<number> {
  if (data.longterm_pages === null) return -EINVAL;
  const bytes = new Uint8Array(8);
  if ((yield* copy_from_user(m, bytes, arg, 8)) !== 0) return -EFAULT;
  const user_addr = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  for (let i = 0; i < data.longterm_nr_pages; i++) {
    const from = m.ram.bytes(page_to_pfn(m, data.longterm_pages[i]));
    if ((yield* copy_to_user(m, user_addr + i * PAGE_SIZE, from, PAGE_SIZE)) !== 0) return -EFAULT;
  }
  return 0;
}

/** Runs a PIN_LONGTERM_TEST_* command (mm/gup_test.c: pin_longterm_test_ioctl()). */
function* pin_longterm_test_ioctl(m: Machine, filep: file, cmd: number, arg: number): Gen<number> {
  const data = filep.private_data as gup_test_data;
  let ret = 0;
  yield* mutex_lock(m, data.longterm_mutex);
  if (cmd === PIN_LONGTERM_TEST_START) ret = yield* pin_longterm_test_start(m, data, arg);
  else if (cmd === PIN_LONGTERM_TEST_STOP) pin_longterm_test_stop(m, data);
  else ret = yield* pin_longterm_test_read(m, data, arg);
  mutex_unlock(m, data.longterm_mutex);
  return ret;
}

/** Handles an ioctl of the file (mm/gup_test.c: gup_test_ioctl()). */
function* gup_test_ioctl(m: Machine, filep: file, cmd: number, arg: number): Gen<number> {
  switch (cmd) {
    case GUP_FAST_BENCHMARK:
    case PIN_FAST_BENCHMARK:
    case PIN_LONGTERM_BENCHMARK:
    case GUP_BASIC_TEST:
    case PIN_BASIC_TEST:
    case DUMP_USER_PAGES_TEST:
      break;
    case PIN_LONGTERM_TEST_START:
    case PIN_LONGTERM_TEST_STOP:
    case PIN_LONGTERM_TEST_READ:
      return yield* pin_longterm_test_ioctl(m, filep, cmd, arg);
    default:
      return -EINVAL;
  }
  const bytes = new Uint8Array(GUP_TEST.size);
  if ((yield* copy_from_user(m, bytes, arg, bytes.length)) !== 0) return -EFAULT;
  const ret = yield* __gup_test_ioctl(m, cmd, new DataView(bytes.buffer));
  if (ret !== 0) return ret;
  return (yield* copy_to_user(m, arg, bytes, bytes.length)) !== 0 ? -EFAULT : 0;
}

const gup_test_fops: file_operations = {
  *open(_m, _inode, f): Gen<number> {
    f.private_data = new gup_test_data();
    return 0;
  },
  unlocked_ioctl: gup_test_ioctl,

  *release(m, _inode, f): Gen<number> {
    pin_longterm_test_stop(m, f.private_data as gup_test_data);
    f.private_data = null;
    return 0;
  },
};

/**
 * Creates /sys/kernel/debug/gup_test (mm/gup_test.c: gup_test_init()). The mutex of its long-term pins ignores SIGKILL.
 */
export function gup_test_init(m: Machine): number {
  debugfs_create_file(m, 'gup_test', 0o600, null, gup_test_fops);
  return 0;
}
