// SPDX-License-Identifier: GPL-2.0-only
// What a test does, call by call, much as strace(1) would show it.

import type { Gen } from '../../lib/kernel/gen.ts';
import type { Libc } from '../../lib/user/libc.ts';
import * as U from '../../lib/user/uapi.ts';
import type { Watch } from './kselftest_harness.ts';

const PAGE = 4096;
const MIB = 1024 ** 2;

/** ioctl requests by number. */
const REQUESTS: ReadonlyMap<number, string> = new Map(
  Object.entries(U).flatMap(([name, value]) =>
    typeof value === 'number' && /^(?:HMM_DMIRROR_(?!FLAG_|PROT_)|GUP_|PIN_|UFFDIO_(?!REGISTER_MODE))/.test(name)
      ? [[value, name] as const]
      : [],
  ),
);
const ADVICE: ReadonlyMap<number, string> = new Map(
  Object.entries(U).flatMap(([name, value]) =>
    typeof value === 'number' && name.startsWith('MADV_') ? [[value, name] as const] : [],
  ),
);

function size_text(bytes: number): string {
  if (bytes >= MIB && bytes % MIB === 0) return `${bytes / MIB} MiB`;
  return bytes % PAGE === 0 ? `${bytes / PAGE} page${bytes === PAGE ? '' : 's'}` : `${bytes} bytes`;
}

function prot_text(prot: number): string {
  const words = [prot & U.PROT_READ ? 'read' : '', prot & U.PROT_WRITE ? 'write' : ''].filter((word) => word !== '');
  return words.join('+') || 'none';
}

/** Places in memory by the name of the mapping that they are in: A, B, and so on. */
class Places {
  private maps: { name: string; start: number; size: number }[] = [];
  private count = 0;

  add(start: number, size: number): string {
    const n = this.count++;
    const name = n < 26 ? String.fromCharCode(65 + n) : `M${n}`;
    this.maps.push({ name, start, size });
    return name;
  }

  drop(start: number, size: number): void {
    const inside = (map: { start: number; size: number }): boolean =>
      map.start >= start && map.start + map.size <= start + size;
    this.maps = this.maps.filter((map) => !inside(map));
  }

  text(addr: number): string {
    const map = this.maps.findLast(({ start, size }) => addr >= start && addr < start + size);
    if (map === undefined) return 'the heap';
    return addr === map.start ? map.name : `${map.name}+${size_text(addr - map.start)}`;
  }
}

/**
 * Has `say` hear of each call of a test's processes that has to do with memory or a device, when it returns. Loads and
 * stores are told as whole sequences.
 */
export function step_watch(say: (test: string, text: string) => void): Watch {
  let test_now = '';
  let processes = 0;
  let places = new Places();
  let files = new Map<number, string>();
  return (c: Libc, test: string): void => {
    if (test !== test_now) {
      test_now = test;
      processes = 0;
      places = new Places();
      files = new Map();
    }
    const who = processes++ === 0 ? '' : `child ${processes - 1}: `;
    // malloc() and the like make calls of their own, which are none of the test's
    let inside = 0;
    const tell = (text: string): void => {
      if (inside === 0) say(test, who + text);
    };
    const result = (ret: number): string => (ret < 0 ? ` = -1 (${U.strerror(c.errno)})` : '');
    const at = (addr: number): string => places.text(addr);

    const { open, close, ioctl, mmap, munmap, mprotect, madvise, mremap, fork, pthread_create } = c;
    const { store32_seq, find32_seq, memset, malloc, free, read, write } = c;
    c.open = function* (path, flags, mode) {
      const fd = yield* open.call(c, path, flags, mode);
      if (fd >= 0) files.set(fd, path);
      tell(`open ${path}${result(fd)}`);
      return fd;
    };
    c.close = function* (fd) {
      const ret = yield* close.call(c, fd);
      tell(`close ${files.get(fd) ?? fd}${result(ret)}`);
      return ret;
    };
    c.ioctl = function* (fd, request, arg) {
      const name = REQUESTS.get(request) ?? `ioctl 0x${request.toString(16)}`;
      const file = files.get(fd) ?? 'a descriptor';
      if (!name.startsWith('HMM_DMIRROR_') || name === 'HMM_DMIRROR_RELEASE' || name === 'HMM_DMIRROR_FLAGS') {
        const ret = yield* ioctl.call(c, fd, request, arg);
        tell(`${name} on ${file}${result(ret)}`);
        return ret;
      }
      const addr = yield* c.load64(arg + U.HMM_DMIRROR_CMD.addr);
      const npages = yield* c.load64(arg + U.HMM_DMIRROR_CMD.npages);
      const ret = yield* ioctl.call(c, fd, request, arg);
      const cpages = ret === 0 ? ` = 0, cpages ${yield* c.load64(arg + U.HMM_DMIRROR_CMD.cpages)}` : result(ret);
      tell(`${name} ${at(addr)}, ${size_text(npages * PAGE)}, on ${file}${cpages}`);
      return ret;
    };
    c.mmap = function* (addr, len, prot, flags, fd, offset) {
      const ret = yield* mmap.call(c, addr, len, prot, flags, fd, offset);
      const of =
        (flags & U.MAP_ANONYMOUS ? 'anonymous' : (files.get(fd) ?? 'a file')) +
        (flags & U.MAP_SHARED ? ', shared' : '');
      if (inside === 0)
        tell(`mmap ${size_text(len)} of ${of}, ${prot_text(prot)} = ${ret < 0 ? 'failed' : places.add(ret, len)}`);
      return ret;
    };
    c.munmap = function* (addr, len) {
      const ret = yield* munmap.call(c, addr, len);
      tell(`munmap ${at(addr)}, ${size_text(len)}${result(ret)}`);
      if (processes === 1) places.drop(addr, len);
      return ret;
    };
    c.mprotect = function* (addr, len, prot) {
      const ret = yield* mprotect.call(c, addr, len, prot);
      tell(`mprotect ${at(addr)}, ${size_text(len)}, ${prot_text(prot)}${result(ret)}`);
      return ret;
    };
    c.madvise = function* (addr, len, advice) {
      const ret = yield* madvise.call(c, addr, len, advice);
      tell(`madvise ${at(addr)}, ${size_text(len)}, ${ADVICE.get(advice) ?? advice}${result(ret)}`);
      return ret;
    };
    c.mremap = function* (old, old_len, new_len, flags, new_addr) {
      const from = at(old);
      const ret = yield* mremap.call(c, old, old_len, new_len, flags, new_addr);
      tell(`mremap ${from}, ${size_text(old_len)} = ${ret < 0 ? 'failed' : places.add(ret, new_len)}`);
      return ret;
    };
    c.read = function* (fd, buf, n) {
      const ret = yield* read.call(c, fd, buf, n);
      tell(`read ${files.get(fd) ?? fd} into ${at(buf)}${result(ret)}`);
      return ret;
    };
    c.write = function* (fd, buf, n) {
      const ret = yield* write.call(c, fd, buf, n);
      tell(`write ${files.get(fd) ?? fd}, ${n} bytes${result(ret)}`);
      return ret;
    };
    c.fork = function* (child) {
      const ret = yield* fork.call(c, child);
      tell(`fork${result(ret)}`);
      return ret;
    };
    c.pthread_create = function* (start) {
      tell('starts a thread');
      return yield* pthread_create.call(c, start);
    };
    c.store32_seq = function* (addr, n, first, step, mask) {
      yield* store32_seq.call(c, addr, n, first, step, mask);
      tell(`stores ${size_text(n * 4)} at ${at(addr)}`);
    };
    c.find32_seq = function* (addr, n, first, step) {
      const found = yield* find32_seq.call(c, addr, n, first, step);
      tell(`loads ${size_text(n * 4)} at ${at(addr)}${found < n ? `, which differ at ${size_text(found * 4)}` : ''}`);
      return found;
    };
    c.memset = function* (addr, byte, n) {
      yield* memset.call(c, addr, byte, n);
      tell(`stores ${size_text(n)} at ${at(addr)}`);
    };
    c.malloc = function* (n) {
      inside++;
      const ret = yield* malloc.call(c, n);
      inside--;
      return ret;
    };
    c.free = function* (ptr): Gen<void> {
      inside++;
      yield* free.call(c, ptr);
      inside--;
    };
  };
}

/** The same steps one after the other as one, with their number. */
export function folded(steps: readonly string[]): string[] {
  const out: string[] = [];
  let times = 1;
  steps.forEach((step, i) => {
    if (step === steps[i + 1]) {
      times++;
      return;
    }
    out.push(times > 1 ? `${step} (${times} times)` : step);
    times = 1;
  });
  return out;
}
