// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../../machine.ts';
import { done, type Gen } from '../../../kernel/gen.ts';
import { preempt_point, signal_pending } from '../../../kernel/sched/core.ts';
import { do_signal, UserSignal } from '../../../kernel/signal.ts';
import type { mm_struct } from '../../../mm/mm_types.ts';
import { is_free_buddy_page } from '../../../mm/page_alloc.ts';
import { page_folio, pfn_to_page, ZONE_DEVICE } from '../../../mm/page.ts';
import type { PageBuffer } from '../../../mm/contents.ts';
import { PAGE_SIZE, type Slab } from '../../../mm/physmem.ts';
import { do_user_addr_fault } from './fault.ts';
import { TASK_SIZE } from './pgtable/pgtable.ts';
import { type Cpu, hardware_walk, TLB_ENTRIES, tlb_lookup, tlb_need_bytes } from './tlb.ts';

// Accesses by user code (user_*, which throw UserSignal on a bad address) and by the kernel to user memory
// (copy_from_user() and the like, which return the number of bytes not copied). All go through the TLB of the task's
// CPU. Translation and access are one step: no other task runs in between.

const TLB_MASK = TLB_ENTRIES - 1;
/** Modelled cost of copying or setting a page, in ns. */
const PAGE_NS = 250;

/**
 * Returns the u32 at an aligned address if the TLB translates it, else undefined; always undefined while interleavings
 * are explored. NON-KERNEL.
 */
export function tlb_load32(m: Machine, addr: number): number | undefined {
  const t = m.current;
  const mm = t.mm;
  if (mm === null || m.sched.explore) return undefined;
  const vpn = Math.floor(addr / PAGE_SIZE);
  const i = vpn & TLB_MASK;
  const cpu = m.cpus[t.cpu];
  if (cpu.rtag[i] !== mm.tlb_tag + vpn) return undefined;
  const off = addr - vpn * PAGE_SIZE;
  if ((off & 3) !== 0) return undefined;
  return (cpu.slab[i] as Slab).u32[cpu.base[i] + (off >>> 2)];
}

/**
 * Stores a u32 at an aligned address if the TLB translates it for writing. Returns false otherwise, and always while
 * interleavings are explored. NON-KERNEL.
 */
export function tlb_store32(m: Machine, addr: number, v: number): boolean {
  const t = m.current;
  const mm = t.mm;
  if (mm === null || m.sched.explore) return false;
  const vpn = Math.floor(addr / PAGE_SIZE);
  const i = vpn & TLB_MASK;
  const cpu = m.cpus[t.cpu];
  if (cpu.wtag[i] !== mm.tlb_tag + vpn) return false;
  const off = addr - vpn * PAGE_SIZE;
  if ((off & 3) !== 0) return false;
  (cpu.slab[i] as Slab).u32[cpu.base[i] + (off >>> 2)] = v;
  return true;
}

/**
 * Returns the index of the TLB entry for the address, or -1 if the access faults. The page has bytes then. NON-KERNEL.
 */
export function translate_now(m: Machine, addr: number, write: boolean): number {
  const i = translate_page(m, addr, write);
  if (i >= 0) tlb_need_bytes(cpu_of(m), i);
  return i;
}

/** Returns what translate_now() does, for an access to a whole page, which may have no bytes. NON-KERNEL. */
function translate_page(m: Machine, addr: number, write: boolean): number {
  const mm = m.current.mm as mm_struct;
  const vpn = Math.floor(addr / PAGE_SIZE);
  const i = tlb_lookup(m, mm, vpn, write);
  if (i < 0) return hardware_walk(m, mm, vpn, write);
  if (m.on_stale_access !== null) check_stale(m, i, addr, write, m.on_stale_access);
  return i;
}

/** Reports an access through a stale TLB entry to a page that was freed. NON-KERNEL. */
function check_stale(m: Machine, i: number, addr: number, write: boolean, report: (text: string) => void): void {
  const pfn = m.cpus[m.current.cpu].pfn[i];
  const page = pfn_to_page(m, pfn);
  if (m.page._refcount[page_folio(m, page)] !== 0) return;
  // Reclaim keeps pages without references until it has flushed what it unmapped.
  if (m.page.zone[page] !== ZONE_DEVICE && !is_free_buddy_page(m, page)) return;
  report(
    `${write ? 'a store to' : 'a load from'} 0x${addr.toString(16)} on CPU ${m.current.cpu} went through the TLB to pfn 0x${pfn.toString(16)}, which is free`,
  );
}

/**
 * Returns the index of the TLB entry for the address after handling faults. A bad address throws UserSignal for user
 * code and returns -1 for the kernel. The page has bytes then, unless the access is to the whole of it. NON-KERNEL.
 */
export function translate(m: Machine, addr: number, write: boolean, user: boolean, whole = false): Gen<number> {
  const i = translate_once(m, addr, write, whole);
  return i >= 0 ? done(i) : translate_slowpath(m, addr, write, user, whole);
}

/** Returns the index of the TLB entry for the address, or -1 if it is bad or the access faults. NON-KERNEL. */
function translate_once(m: Machine, addr: number, write: boolean, whole: boolean): number {
  if (m.current.mm === null || !(addr >= 0 && addr < TASK_SIZE)) return -1;
  return whole ? translate_page(m, addr, write) : translate_now(m, addr, write);
}

/** The part of translate() that may sleep, from the page fault on. NON-KERNEL. */
function* translate_slowpath(m: Machine, addr: number, write: boolean, user: boolean, whole: boolean): Gen<number> {
  for (;;) {
    const bad = yield* do_user_addr_fault(m, addr, write, user);
    if (m.sched.explore) yield* preempt_point(m, 'return from fault');
    if (user) {
      if (bad !== 0) throw new UserSignal(bad, addr);
      if (signal_pending(m.current)) yield* do_signal(m);
    } else if (bad !== 0) {
      return -1;
    }
    const i = translate_once(m, addr, write, whole);
    if (i >= 0) return i;
  }
}

/** Returns the CPU of the current task. NON-KERNEL. */
export function cpu_of(m: Machine): Cpu {
  return m.cpus[m.current.cpu];
}

/** Returns the bytes of the slab that holds a translated page. NON-KERNEL. */
export function u8_of(cpu: Cpu, i: number): Uint8Array {
  return (cpu.slab[i] as Slab).u8;
}

/** Returns the index of a translated address in u8_of(). NON-KERNEL. */
export function at_of(cpu: Cpu, i: number, addr: number): number {
  return cpu.base[i] * 4 + (addr % PAGE_SIZE);
}

/** Returns the number of a translated page in its slab. NON-KERNEL. */
function page_of(cpu: Cpu, i: number): number {
  return cpu.base[i] / (PAGE_SIZE / 4);
}

/** Returns the number of bytes from addr to the end of its page. NON-KERNEL. */
export function left_in_page(addr: number): number {
  return PAGE_SIZE - (addr % PAGE_SIZE);
}

/** Loads a byte as user code; throws UserSignal for a bad address. NON-KERNEL. */
export function* user_load8(m: Machine, addr: number): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, 'load');
  const i = yield* translate(m, addr, false, true);
  const cpu = cpu_of(m);
  return u8_of(cpu, i)[at_of(cpu, i, addr)];
}

/** Loads a u32 as user code; one that crosses pages is two accesses. NON-KERNEL. */
export function* user_load32(m: Machine, addr: number): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, 'load');
  if (addr % 4 !== 0) return (yield* load_bytes(m, addr, 4)) >>> 0;
  const i = yield* translate(m, addr, false, true);
  const cpu = cpu_of(m);
  return (cpu.slab[i] as Slab).u32[cpu.base[i] + (addr % PAGE_SIZE) / 4];
}

/** Loads a u64 as user code, exact below 2^53. NON-KERNEL. */
export function* user_load64(m: Machine, addr: number): Gen<number> {
  if (m.sched.explore) yield* preempt_point(m, 'load');
  if (addr % 8 !== 0) return yield* load_bytes(m, addr, 8);
  const i = yield* translate(m, addr, false, true);
  const cpu = cpu_of(m);
  const u32 = (cpu.slab[i] as Slab).u32;
  const at = cpu.base[i] + (addr % PAGE_SIZE) / 4;
  return u32[at] + u32[at + 1] * 2 ** 32;
}

/** Loads n bytes, little-endian. NON-KERNEL. */
function* load_bytes(m: Machine, addr: number, n: number): Gen<number> {
  const bytes = yield* user_read_bytes(m, addr, n);
  let v = 0;
  for (let k = n - 1; k >= 0; k--) v = v * 256 + bytes[k];
  return v;
}

/** Stores a byte as user code; throws UserSignal for a bad address. NON-KERNEL. */
export function* user_store8(m: Machine, addr: number, v: number): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, 'store');
  const i = yield* translate(m, addr, true, true);
  const cpu = cpu_of(m);
  u8_of(cpu, i)[at_of(cpu, i, addr)] = v;
}

/** Stores a u32 as user code; one that crosses pages is two accesses. NON-KERNEL. */
export function* user_store32(m: Machine, addr: number, v: number): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, 'store');
  if (addr % 4 !== 0) {
    yield* user_write_bytes(m, addr, new Uint8Array([v, v >>> 8, v >>> 16, v >>> 24]));
    return;
  }
  const i = yield* translate(m, addr, true, true);
  const cpu = cpu_of(m);
  (cpu.slab[i] as Slab).u32[cpu.base[i] + (addr % PAGE_SIZE) / 4] = v;
}

/** Stores (v + k * step) & mask as the k-th of n words from `at` on; a sum beyond 32 bits wraps. NON-KERNEL. */
function store_seq(words: Uint32Array, at: number, n: number, v: number, step: number, mask: number): void {
  v |= 0;
  for (const end = at + n; at < end; at++, v = (v + step) | 0) words[at] = v & mask;
}

/** Returns how many of n words from `at` on are v, v + step and so on, which are i32. NON-KERNEL. */
function find_seq(words: Uint32Array, at: number, n: number, v: number, step: number): number {
  let k = 0;
  for (; k < n && (words[at + k] | 0) === v; k++) v += step;
  return k;
}

/**
 * Stores (first + k * step) & mask as the k-th of n aligned u32, like a loop of user code. Every access of such a loop
 * is translated, but only the first one to a page can miss the TLB while no other task runs. NON-KERNEL.
 */
export function* user_store32_seq(
  m: Machine,
  addr: number,
  n: number,
  first: number,
  step: number,
  mask: number,
): Gen<void> {
  for (let k = 0; k < n; ) {
    if (m.sched.explore || addr % 4 !== 0) {
      yield* user_store32(m, addr + k * 4, (first + k * step) & mask);
      k++;
      continue;
    }
    const at = addr + k * 4;
    const end = Math.min(n, k + left_in_page(at) / 4);
    const whole = end - k === PAGE_SIZE / 4;
    const i = yield* translate(m, at, true, true, whole);
    const cpu = cpu_of(m);
    const slab = cpu.slab[i] as Slab;
    if (whole) slab.overwrite(page_of(cpu, i));
    store_seq(slab.u32, cpu.base[i] + (at % PAGE_SIZE) / 4, end - k, first + k * step, step, mask);
    k = end;
  }
}

/**
 * Compares n aligned i32 with first + k * step, like a loop of user code. Returns the first k that differs, or n.
 * NON-KERNEL.
 */
export function* user_find32_seq(m: Machine, addr: number, n: number, first: number, step: number): Gen<number> {
  for (let k = 0; k < n; ) {
    if (m.sched.explore || addr % 4 !== 0) {
      if (((yield* user_load32(m, addr + k * 4)) | 0) !== first + k * step) return k;
      k++;
      continue;
    }
    const at = addr + k * 4;
    const i = yield* translate(m, at, false, true);
    const cpu = cpu_of(m);
    const len = Math.min(n - k, left_in_page(at) / 4);
    const same = find_seq((cpu.slab[i] as Slab).u32, cpu.base[i] + (at % PAGE_SIZE) / 4, len, first + k * step, step);
    k += same;
    if (same < len) return k;
  }
  return n;
}

/** Stores a u64 as user code; v is exact below 2^53, negative numbers are two's complement. NON-KERNEL. */
export function* user_store64(m: Machine, addr: number, v: number): Gen<void> {
  if (m.sched.explore) yield* preempt_point(m, 'store');
  const hi = Math.floor(v / 2 ** 32);
  const lo = v - hi * 2 ** 32;
  if (addr % 8 !== 0) {
    yield* user_write_bytes(m, addr, new Uint8Array(new Uint32Array([lo, hi]).buffer));
    return;
  }
  const i = yield* translate(m, addr, true, true);
  const cpu = cpu_of(m);
  const u32 = (cpu.slab[i] as Slab).u32;
  const at = cpu.base[i] + (addr % PAGE_SIZE) / 4;
  u32[at] = lo;
  u32[at + 1] = hi;
}

/**
 * Copies n bytes as user code, page by page in ascending order; the ranges must not overlap within a page. NON-KERNEL.
 */
export function* user_copy(m: Machine, dst: number, src: number, n: number): Gen<void> {
  while (n > 0) {
    if (m.sched.explore) yield* preempt_point(m, 'copy');
    const len = Math.min(n, left_in_page(src), left_in_page(dst));
    const si = yield* translate(m, src, false, true);
    const cpu = cpu_of(m);
    const from = u8_of(cpu, si);
    const from_at = at_of(cpu, si, src);
    const di = dst >= 0 && dst < TASK_SIZE ? translate_now(m, dst, true) : -1;
    if (di < 0) {
      yield* translate(m, dst, true, true);
      continue;
    }
    const to = u8_of(cpu, di);
    const to_at = at_of(cpu, di, dst);
    if (to === from) to.copyWithin(to_at, from_at, from_at + len);
    else to.set(from.subarray(from_at, from_at + len), to_at);
    m.sched.spend((PAGE_NS * len) / PAGE_SIZE);
    dst += len;
    src += len;
    n -= len;
  }
}

/**
 * Sets bytes within a page. Returns -1 if the address is bad for the kernel, else 0. NON-KERNEL: the common part of
 * user_memset() and clear_user().
 */
function* fill_user(m: Machine, addr: number, byte: number, len: number, user: boolean): Gen<number> {
  const whole = len === PAGE_SIZE;
  const i = yield* translate(m, addr, true, user, whole);
  if (i < 0) return -1;
  const cpu = cpu_of(m);
  const at = at_of(cpu, i, addr);
  if (whole) (cpu.slab[i] as Slab).fill(page_of(cpu, i), (byte & 255) * 0x01010101);
  else u8_of(cpu, i).fill(byte, at, at + len);
  return 0;
}

/** Sets n bytes as user code, page by page in ascending order. NON-KERNEL. */
export function* user_memset(m: Machine, addr: number, byte: number, n: number): Gen<void> {
  while (n > 0) {
    if (m.sched.explore) yield* preempt_point(m, 'memset');
    const len = Math.min(n, left_in_page(addr));
    yield* fill_user(m, addr, byte, len, true);
    m.sched.spend((PAGE_NS * len) / PAGE_SIZE);
    addr += len;
    n -= len;
  }
}

/** Returns the index of the first byte that differs, or -1. NON-KERNEL. */
function first_difference(x: Slab, xi: number, y: Slab, yi: number, len: number): number {
  let k = 0;
  if (((xi | yi) & 3) === 0) {
    const words = len >>> 2;
    const a = x.u32;
    const b = y.u32;
    const from = (yi - xi) >> 2;
    const start = xi >>> 2;
    const end = start + words;
    let i = start;
    while (i < end && a[i] === b[i + from]) i++;
    const w = i - start;
    k = w * 4;
  }
  while (k < len && x.u8[xi + k] === y.u8[yi + k]) k++;
  return k < len ? k : -1;
}

/** Compares n bytes as user code. Returns the index of the first byte that differs, or -1. NON-KERNEL. */
export function* user_memcmp(m: Machine, a: number, b: number, n: number): Gen<number> {
  let done = 0;
  while (done < n) {
    if (m.sched.explore) yield* preempt_point(m, 'memcmp');
    const len = Math.min(n - done, left_in_page(a + done), left_in_page(b + done));
    const ai = yield* translate(m, a + done, false, true);
    const cpu = cpu_of(m);
    const a_at = at_of(cpu, ai, a + done);
    const a_slab = cpu.slab[ai] as Slab;
    const bi = b + done >= 0 && b + done < TASK_SIZE ? translate_now(m, b + done, false) : -1;
    if (bi < 0) {
      yield* translate(m, b + done, false, true);
      continue;
    }
    const diff = first_difference(a_slab, a_at, cpu.slab[bi] as Slab, at_of(cpu, bi, b + done), len);
    if (diff >= 0) return done + diff;
    done += len;
  }
  return -1;
}

/** Reads n bytes as user code. NON-KERNEL. */
export function* user_read_bytes(m: Machine, addr: number, n: number): Gen<Uint8Array> {
  const out = new Uint8Array(n);
  yield* read_user(m, out, addr, n, true);
  return out;
}

/** Writes bytes as user code. NON-KERNEL. */
export function* user_write_bytes(m: Machine, addr: number, bytes: Uint8Array): Gen<void> {
  yield* write_user(m, addr, bytes, bytes.length, true);
}

/**
 * Reads user memory. Returns the number of bytes not read. NON-KERNEL: the common part of copy_from_user() and
 * user_read_bytes().
 */
function* read_user(m: Machine, to: Uint8Array | PageBuffer, from: number, n: number, user: boolean): Gen<number> {
  let done = 0;
  while (done < n) {
    if (m.sched.explore) yield* preempt_point(m, user ? 'load' : 'copy_from_user');
    const addr = from + done;
    const len = Math.min(n - done, left_in_page(addr));
    const i = yield* translate(m, addr, false, user);
    if (i < 0) break;
    const cpu = cpu_of(m);
    const at = at_of(cpu, i, addr);
    if (to instanceof Uint8Array) to.set(u8_of(cpu, i).subarray(at, at + len), done);
    else to.write(done, cpu.slab[i] as Slab, at, len);
    done += len;
  }
  m.sched.spend((PAGE_NS * done) / PAGE_SIZE);
  return n - done;
}

/**
 * Writes user memory. Returns the number of bytes not written. NON-KERNEL: the common part of copy_to_user() and
 * user_write_bytes().
 */
function* write_user(m: Machine, to: number, from: Uint8Array | PageBuffer, n: number, user: boolean): Gen<number> {
  let done = 0;
  while (done < n) {
    if (m.sched.explore) yield* preempt_point(m, user ? 'store' : 'copy_to_user');
    const addr = to + done;
    const len = Math.min(n - done, left_in_page(addr));
    const i = yield* translate(m, addr, true, user, len === PAGE_SIZE);
    if (i < 0) break;
    const cpu = cpu_of(m);
    const at = at_of(cpu, i, addr);
    if (!(from instanceof Uint8Array)) from.read(done, cpu.slab[i] as Slab, at, len);
    else (cpu.slab[i] as Slab).write(at, len === from.length ? from : from.subarray(done, done + len));
    done += len;
  }
  m.sched.spend((PAGE_NS * done) / PAGE_SIZE);
  return n - done;
}

/** Returns true if [addr, addr + size) is in user space (arch/x86/include/asm/uaccess_64.h: __access_ok()). */
export function access_ok(addr: number, size: number): boolean {
  return addr >= 0 && addr + size <= TASK_SIZE;
}

/**
 * Copies n bytes from user memory. Returns the number of bytes not copied (include/linux/uaccess.h: copy_from_user()).
 */
export function* copy_from_user(m: Machine, to: Uint8Array | PageBuffer, from: number, n: number): Gen<number> {
  const left = access_ok(from, n) ? yield* read_user(m, to, from, n, false) : n;
  // No user of a buffer of pages looks at it after an error.
  if (to instanceof Uint8Array) to.fill(0, n - left, n);
  return left;
}

/** Copies n bytes to user memory. Returns the number of bytes not copied (include/linux/uaccess.h: copy_to_user()). */
export function* copy_to_user(m: Machine, to: number, from: Uint8Array | PageBuffer, n: number): Gen<number> {
  if (!access_ok(to, n)) return n;
  return yield* write_user(m, to, from, n, false);
}

/**
 * Zeroes n bytes of user memory. Returns the number of bytes not zeroed
 * (arch/x86/include/asm/uaccess_64.h: clear_user()).
 */
export function* clear_user(m: Machine, to: number, n: number): Gen<number> {
  if (!access_ok(to, n)) return n;
  let done = 0;
  while (done < n) {
    const addr = to + done;
    const len = Math.min(n - done, left_in_page(addr));
    if ((yield* fill_user(m, addr, 0, len, false)) < 0) break;
    done += len;
  }
  return n - done;
}
