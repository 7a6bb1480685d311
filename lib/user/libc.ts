// SPDX-License-Identifier: GPL-2.0-only

import { do_syscall_64, NR } from '../arch/x86/entry/syscall_64.ts';
import {
  tlb_load32,
  tlb_store32,
  user_copy,
  user_find32_seq,
  user_load32,
  user_load64,
  user_load8,
  user_memcmp,
  user_memset,
  user_read_bytes,
  user_store32,
  user_store32_seq,
  user_store64,
  user_store8,
  user_write_bytes,
} from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { do_scandir } from '../fs/readdir.ts';
import { STACK_TOP, start_process } from '../kernel/exec.ts';
import { wait_status } from '../kernel/exit.ts';
import { CLONE_FILES, CLONE_THREAD, CLONE_VM, kernel_clone } from '../kernel/fork/fork.ts';
import type { Gen } from '../kernel/gen.ts';
import { SIGBUS, SIGSEGV, type task_struct } from '../kernel/sched/core.ts';
import { wait_event, wait_queue_head, wake_up } from '../kernel/sched/wait.ts';
import { type sighandler, UserExit, UserSignal } from '../kernel/signal.ts';

/**
 * What a user-space program sees of the machine: libc's functions over the system calls, loads and stores.
 * Calls return what the C function returns: -1 with `errno` set on failure (mmap and mremap: MAP_FAILED).
 * Addresses are plain numbers; a "pointer" is a number, NULL is 0.
 */
export interface Libc {
  /** positive errno of the last failed call */
  errno: number;
  /** syscall(2): a system call by its number, such as NR.brk; up to six arguments */
  syscall(nr: number, ...args: number[]): Gen<number>;
  open(path: string, flags: number, mode?: number): Gen<number>;
  close(fd: number): Gen<number>;
  /** arg is a number or the address of a structure in the process's memory */
  ioctl(fd: number, request: number, arg: number): Gen<number>;
  mmap(addr: number, len: number, prot: number, flags: number, fd: number, offset: number): Gen<number>;
  munmap(addr: number, len: number): Gen<number>;
  mprotect(addr: number, len: number, prot: number): Gen<number>;
  madvise(addr: number, len: number, advice: number): Gen<number>;
  mincore(addr: number, len: number, vec: number): Gen<number>;
  process_vm_readv(
    pid: number,
    local: number,
    liovcnt: number,
    remote: number,
    riovcnt: number,
    flags: number,
  ): Gen<number>;
  mremap(old: number, old_len: number, new_len: number, flags: number, new_addr?: number): Gen<number>;
  read(fd: number, buf: number, count: number): Gen<number>;
  write(fd: number, buf: number, count: number): Gen<number>;
  pread(fd: number, buf: number, count: number, offset: number): Gen<number>;
  pwrite(fd: number, buf: number, count: number, offset: number): Gen<number>;
  ftruncate(fd: number, length: number): Gen<number>;
  /** poll(2) on a list of {fd, events}; answers revents by writing them into the objects; timeout in ms, -1 for ever */
  poll(fds: { fd: number; events: number; revents: number }[], timeout: number): Gen<number>;
  eventfd(initval: number, flags: number): Gen<number>;
  userfaultfd(flags: number): Gen<number>;
  sysconf(name: number): number;
  getpid(): number;
  /** The child runs `child` on its own copy of the address space and exits with what it returns (0 if nothing). */
  fork(child: (c: Libc) => Gen<number | void>): Gen<number>;
  /** status as waitpid(2) encodes it; uapi.ts has WIFEXITED and friends */
  waitpid(pid: number, options?: number): Gen<{ pid: number; status: number }>;
  /** A negative pid stands for the process group -pid. */
  kill(pid: number, sig: number): Gen<number>;
  /**
   * The caller becomes the leader of a process group of its own, as setpgid(0, 0); forked children inherit the group.
   */
  setpgrp(): Gen<number>;
  /** A descriptor for another process: poll() says POLLIN once that process has exited (before it is waited for). */
  pidfd_open(pid: number, flags: number): Gen<number>;
  /** never returns */
  exit(code: number): Gen<never>;
  /** blocks until a signal */
  pause(): Gen<number>;
  /** a thread that shares the address space; answers a handle, or -1 */
  pthread_create(start: (t: Libc) => Gen<number | void>): Gen<number>;
  pthread_join(thread: number): Gen<number>;
  nanosleep(ns: number): Gen<number>;
  /** CLOCK_MONOTONIC in nanoseconds of modelled time */
  clock_gettime(): number;
  malloc(size: number): Gen<number>;
  aligned_alloc(alignment: number, size: number): Gen<number>;
  free(ptr: number): Gen<void>;
  memset(addr: number, byte: number, n: number): Gen<void>;
  memcpy(dst: number, src: number, n: number): Gen<void>;
  /** the first n at which the two differ, or -1 if all are equal */
  memcmp(a: number, b: number, n: number): Gen<number>;
  load8(addr: number): Gen<number>;
  load32(addr: number): Gen<number>;
  /** as a number: exact below 2^53, which every address is */
  load64(addr: number): Gen<number>;
  store8(addr: number, v: number): Gen<void>;
  store32(addr: number, v: number): Gen<void>;
  store64(addr: number, v: number): Gen<void>;
  /**
   * The u32 at addr if this CPU's TLB holds its translation, else undefined: the fast half of a load in a hot loop,
   * `c.tlb_load32(a) ?? (yield* c.load32(a))`.
   */
  tlb_load32(addr: number): number | undefined;
  /** true if the store was done through a TLB entry: `if (!c.tlb_store32(a, v)) yield* c.store32(a, v)` */
  tlb_store32(addr: number, v: number): boolean;
  /** `for (k = 0; k < n; k++) ((u32 *)addr)[k] = (first + k * step) & mask;` as compiled code runs it */
  store32_seq(addr: number, n: number, first: number, step: number, mask?: number): Gen<void>;
  /** the first k below n at which `((int *)addr)[k] != first + k * step`, or n */
  find32_seq(addr: number, n: number, first: number, step: number): Gen<number>;
  /**
   * What a directory holds, in its own order (`.` and `..` left out), d_type as dirent has it (DT_DIR is 4); null with
   * errno set.
   */
  scandir(path: string): Gen<{ d_name: string; d_type: number }[] | null>;
  /** Reads a whole small text file (/proc, /sys), or null with errno set. */
  read_file(path: string): Gen<string | null>;
  /** Writes text to a file (/proc, /sys): bytes written or -1. */
  write_file(path: string, text: string): Gen<number>;
  /** what the program prints to its standard output, unbuffered */
  print(text: string): void;
  /** what the process does on a signal: a function of it, 'ignore', or null for the default */
  sigaction(sig: number, handler: sighandler | null): void;
  /**
   * sigsetjmp/siglongjmp around one access: the signal number if `body` raised `sig` (SIGSEGV or SIGBUS), and the
   * program goes on
   */
  catch_signal(body: () => Gen<void>): Gen<number>;
}

const EINVAL = 22;
const ENOMEM = 12;
const O_RDONLY = 0;
const O_WRONLY = 1;
const PROT_RW = 3;
const MAP_PRIVATE_ANON = 0x22;
/** mmap(2)'s answer on failure, as a number: (void *)-1 */
const MAP_FAILED = -1;
const _SC_PAGESIZE = 30;
const _SC_NPROCESSORS_ONLN = 84;
/** malloc() of this many bytes or more is a mapping of its own (glibc's M_MMAP_THRESHOLD) */
const MMAP_THRESHOLD = 128 * 1024;
const HEAP_STEP = 132 * 1024;
/** what the kernel tells a program in AT_PAGESZ */
const PAGE_SIZE = 4096;
/** bytes at the bottom of the stack that calls with structures use; each thread has its own */
const SCRATCH_SIZE = PAGE_SIZE;

/** malloc's bookkeeping; a forked child gets a copy, as it does of the memory itself. */
class Heap {
  top = 0;
  end = 0;
  /** size of each block handed out, mapped ones included */
  readonly sizes = new Map<number, number>();
  /** free blocks of the heap, by size */
  readonly free = new Map<number, number[]>();
  copy(): Heap {
    const h = new Heap();
    h.top = this.top;
    h.end = this.end;
    for (const [k, v] of this.sizes) h.sizes.set(k, v);
    for (const [k, v] of this.free) h.free.set(k, [...v]);
    return h;
  }
}

/** A thread that pthread_join() can wait for. */
interface Thread {
  done: boolean;
  readonly wq: wait_queue_head;
}

/** libc over the system calls of one machine, for one thread of a modelled program. */
class Process implements Libc {
  errno = 0;
  private readonly m: Machine;
  private readonly heap: Heap;
  private readonly threads: Map<number, Thread>;
  private readonly out: (text: string) => void;
  private readonly scratch: number;
  private readonly pid: number;
  private readonly slots: { next: number };

  constructor(
    m: Machine,
    heap: Heap,
    threads: Map<number, Thread>,
    out: (text: string) => void,
    pid: number,
    slots: { next: number },
  ) {
    this.m = m;
    this.heap = heap;
    this.threads = threads;
    this.out = out;
    this.pid = pid;
    this.slots = slots;
    this.scratch = STACK_TOP - SCRATCH_SIZE * (1 + (slots.next++ % 16));
  }

  *syscall(nr: number, a = 0, b = 0, c = 0, d = 0, e = 0, f = 0): Gen<number> {
    const ret = yield* do_syscall_64(this.m, nr, a, b, c, d, e, f);
    if (ret < 0 && ret > -4096) {
      this.errno = -ret;
      return -1;
    }
    return ret;
  }

  /** Puts a string where system calls can read it. */
  private *cstring(text: string): Gen<number> {
    yield* user_write_bytes(this.m, this.scratch, new TextEncoder().encode(`${text}\0`));
    return this.scratch;
  }

  *open(path: string, flags: number, mode = 0): Gen<number> {
    return yield* this.syscall(NR.open, yield* this.cstring(path), flags, mode);
  }
  close(fd: number): Gen<number> {
    return this.syscall(NR.close, fd);
  }
  ioctl(fd: number, request: number, arg: number): Gen<number> {
    return this.syscall(NR.ioctl, fd, request, arg);
  }
  mmap(addr: number, len: number, prot: number, flags: number, fd: number, offset: number): Gen<number> {
    return this.syscall(NR.mmap, addr, len, prot, flags, fd, offset);
  }
  munmap(addr: number, len: number): Gen<number> {
    return this.syscall(NR.munmap, addr, len);
  }
  mprotect(addr: number, len: number, prot: number): Gen<number> {
    return this.syscall(NR.mprotect, addr, len, prot);
  }
  madvise(addr: number, len: number, advice: number): Gen<number> {
    return this.syscall(NR.madvise, addr, len, advice);
  }
  mincore(addr: number, len: number, vec: number): Gen<number> {
    return this.syscall(NR.mincore, addr, len, vec);
  }
  process_vm_readv(
    pid: number,
    local: number,
    liovcnt: number,
    remote: number,
    riovcnt: number,
    flags: number,
  ): Gen<number> {
    return this.syscall(NR.process_vm_readv, pid, local, liovcnt, remote, riovcnt, flags);
  }
  mremap(old: number, old_len: number, new_len: number, flags: number, new_addr = 0): Gen<number> {
    return this.syscall(NR.mremap, old, old_len, new_len, flags, new_addr);
  }
  read(fd: number, buf: number, count: number): Gen<number> {
    return this.syscall(NR.read, fd, buf, count);
  }
  write(fd: number, buf: number, count: number): Gen<number> {
    return this.syscall(NR.write, fd, buf, count);
  }
  pread(fd: number, buf: number, count: number, offset: number): Gen<number> {
    return this.syscall(NR.pread64, fd, buf, count, offset);
  }
  pwrite(fd: number, buf: number, count: number, offset: number): Gen<number> {
    return this.syscall(NR.pwrite64, fd, buf, count, offset);
  }
  ftruncate(fd: number, length: number): Gen<number> {
    return this.syscall(NR.ftruncate, fd, length);
  }
  *poll(fds: { fd: number; events: number; revents: number }[], timeout: number): Gen<number> {
    const bytes = new Uint8Array(fds.length * 8);
    const v = new DataView(bytes.buffer);
    fds.forEach((p, i) => {
      v.setInt32(i * 8, p.fd, true);
      v.setInt16(i * 8 + 4, p.events, true);
    });
    yield* user_write_bytes(this.m, this.scratch, bytes);
    const ret = yield* this.syscall(NR.poll, this.scratch, fds.length, timeout);
    const back = yield* user_read_bytes(this.m, this.scratch, bytes.length);
    const w = new DataView(back.buffer, back.byteOffset);
    fds.forEach((p, i) => {
      p.revents = w.getInt16(i * 8 + 6, true);
    });
    return ret;
  }
  eventfd(initval: number, flags: number): Gen<number> {
    return this.syscall(NR.eventfd2, initval, flags);
  }
  userfaultfd(flags: number): Gen<number> {
    return this.syscall(NR.userfaultfd, flags);
  }
  sysconf(name: number): number {
    if (name === _SC_PAGESIZE) return PAGE_SIZE;
    if (name === _SC_NPROCESSORS_ONLN) return this.m.cpus.length;
    this.errno = EINVAL;
    return -1;
  }
  getpid(): number {
    return this.pid;
  }
  *fork(child: (c: Libc) => Gen<number | void>): Gen<number> {
    const heap = this.heap.copy();
    const m = this.m;
    const out = this.out;
    const ret = yield* kernel_clone(m, 0, function* () {
      return yield* child(new Process(m, heap, new Map(), out, m.current.tgid, { next: 0 }));
    });
    if (ret < 0) this.errno = -ret;
    return ret < 0 ? -1 : ret;
  }
  *waitpid(pid: number, options = 0): Gen<{ pid: number; status: number }> {
    const ret = yield* this.syscall(NR.wait4, pid, this.scratch, options);
    const status = ret > 0 ? yield* user_load32(this.m, this.scratch) : 0;
    return { pid: ret, status };
  }
  kill(pid: number, sig: number): Gen<number> {
    return this.syscall(NR.kill, pid, sig);
  }
  setpgrp(): Gen<number> {
    return this.syscall(NR.setpgid, 0, 0);
  }
  pidfd_open(pid: number, flags: number): Gen<number> {
    return this.syscall(NR.pidfd_open, pid, flags);
  }
  // the exit itself is the exception
  *exit(code: number): Gen<never> {
    throw new UserExit((code & 255) << 8);
  }
  pause(): Gen<number> {
    return this.syscall(NR.pause);
  }
  *pthread_create(start: (t: Libc) => Gen<number | void>): Gen<number> {
    const m = this.m;
    const thread: Thread = { done: false, wq: new wait_queue_head('a thread') };
    const c = new Process(m, this.heap, this.threads, this.out, this.pid, this.slots);
    const ret = yield* kernel_clone(m, CLONE_VM | CLONE_FILES | CLONE_THREAD, function* () {
      yield* start(c);
      thread.done = true;
      wake_up(m, thread.wq);
    });
    if (ret < 0) return -1;
    this.threads.set(ret, thread);
    return ret;
  }
  *pthread_join(id: number): Gen<number> {
    const thread = this.threads.get(id);
    if (thread === undefined) return EINVAL;
    yield* wait_event(this.m, thread.wq, () => thread.done);
    this.threads.delete(id);
    return 0;
  }
  *nanosleep(ns: number): Gen<number> {
    const ts = new DataView(new ArrayBuffer(16));
    ts.setBigInt64(0, BigInt(Math.floor(ns / 1e9)), true);
    ts.setBigInt64(8, BigInt(Math.floor(ns % 1e9)), true);
    yield* user_write_bytes(this.m, this.scratch, new Uint8Array(ts.buffer));
    return yield* this.syscall(NR.nanosleep, this.scratch);
  }
  clock_gettime(): number {
    return this.m.sched.now;
  }
  sigaction(sig: number, handler: sighandler | null): void {
    const handlers = this.m.current.group_leader.handlers;
    if (handler === null) handlers.delete(sig);
    else handlers.set(sig, handler);
  }
  *malloc(size: number): Gen<number> {
    const n = Math.max(32, Math.ceil((size + 16) / 16) * 16);
    if (n >= MMAP_THRESHOLD) {
      const len = Math.ceil(n / PAGE_SIZE) * PAGE_SIZE;
      const at = yield* this.mmap(0, len, PROT_RW, MAP_PRIVATE_ANON, -1, 0);
      if (at === MAP_FAILED) return 0;
      this.heap.sizes.set(at + 16, len);
      return at + 16;
    }
    const reuse = this.heap.free.get(n)?.pop();
    if (reuse !== undefined) {
      this.heap.sizes.set(reuse, n);
      return reuse;
    }
    const h = this.heap;
    if (h.end === 0) {
      h.top = yield* this.syscall(NR.brk, 0);
      h.end = h.top;
    }
    if (h.top + n > h.end) {
      const want = h.end + Math.ceil(Math.max(n, HEAP_STEP) / PAGE_SIZE) * PAGE_SIZE;
      const got = yield* this.syscall(NR.brk, want);
      if (got < want) {
        this.errno = ENOMEM;
        return 0;
      }
      h.end = want;
    }
    const p = h.top + 16;
    h.top += n;
    h.sizes.set(p, n);
    return p;
  }
  *aligned_alloc(alignment: number, size: number): Gen<number> {
    const raw = yield* this.malloc(size + alignment);
    if (raw === 0) return 0;
    const p = Math.ceil(raw / alignment) * alignment;
    if (p !== raw) {
      this.heap.sizes.set(p, -raw);
    }
    return p;
  }
  *free(ptr: number): Gen<void> {
    if (ptr === 0) return;
    const n = this.heap.sizes.get(ptr);
    if (n === undefined) throw new RangeError(`free(0x${ptr.toString(16)}): not a block of malloc()`);
    this.heap.sizes.delete(ptr);
    if (n < 0) {
      yield* this.free(-n);
      return;
    }
    if (n >= MMAP_THRESHOLD) {
      yield* this.munmap(ptr - 16, n);
      return;
    }
    const list = this.heap.free.get(n);
    if (list === undefined) this.heap.free.set(n, [ptr]);
    else list.push(ptr);
  }
  memset(addr: number, byte: number, n: number): Gen<void> {
    return user_memset(this.m, addr, byte, n);
  }
  memcpy(dst: number, src: number, n: number): Gen<void> {
    return user_copy(this.m, dst, src, n);
  }
  memcmp(a: number, b: number, n: number): Gen<number> {
    return user_memcmp(this.m, a, b, n);
  }
  load8(addr: number): Gen<number> {
    return user_load8(this.m, addr);
  }
  load32(addr: number): Gen<number> {
    return user_load32(this.m, addr);
  }
  load64(addr: number): Gen<number> {
    return user_load64(this.m, addr);
  }
  store8(addr: number, v: number): Gen<void> {
    return user_store8(this.m, addr, v);
  }
  store32(addr: number, v: number): Gen<void> {
    return user_store32(this.m, addr, v);
  }
  store64(addr: number, v: number): Gen<void> {
    return user_store64(this.m, addr, v);
  }
  tlb_load32(addr: number): number | undefined {
    return tlb_load32(this.m, addr);
  }
  tlb_store32(addr: number, v: number): boolean {
    return tlb_store32(this.m, addr, v);
  }
  store32_seq(addr: number, n: number, first: number, step: number, mask = -1): Gen<void> {
    return user_store32_seq(this.m, addr, n, first, step, mask);
  }
  find32_seq(addr: number, n: number, first: number, step: number): Gen<number> {
    return user_find32_seq(this.m, addr, n, first, step);
  }
  *scandir(path: string): Gen<{ d_name: string; d_type: number }[] | null> {
    const r = yield* do_scandir(this.m, path);
    if (typeof r !== 'number') return r;
    this.errno = -r;
    return null;
  }
  *read_file(path: string): Gen<string | null> {
    const fd = yield* this.open(path, O_RDONLY);
    if (fd < 0) return null;
    const buf = yield* this.malloc(65536);
    const decoder = new TextDecoder();
    let text = '';
    let n: number;
    while ((n = yield* this.read(fd, buf, 65536)) > 0)
      text += decoder.decode(yield* user_read_bytes(this.m, buf, n), { stream: true });
    const failed = n < 0 ? this.errno : 0;
    yield* this.free(buf);
    yield* this.close(fd);
    this.errno = failed;
    return failed !== 0 ? null : text + decoder.decode();
  }
  *write_file(path: string, text: string): Gen<number> {
    const fd = yield* this.open(path, O_WRONLY);
    if (fd < 0) return -1;
    const bytes = new TextEncoder().encode(text);
    const buf = yield* this.malloc(bytes.length + 1);
    yield* user_write_bytes(this.m, buf, bytes);
    const n = yield* this.write(fd, buf, bytes.length);
    const failed = n < 0 ? this.errno : 0;
    yield* this.free(buf);
    yield* this.close(fd);
    this.errno = failed;
    return n;
  }
  print(text: string): void {
    this.out(text);
  }
  *catch_signal(body: () => Gen<void>): Gen<number> {
    try {
      yield* body();
    } catch (e) {
      // any other signal, such as SIGKILL, ends the process and not just the access
      if (e instanceof UserSignal && (e.sig === SIGSEGV || e.sig === SIGBUS)) return e.sig;
      throw e;
    }
    return 0;
  }
}

/** Starts a program as a process of its own, which has not run yet. */
export function start_program(
  m: Machine,
  main: (c: Libc) => Gen<number>,
  comm: string,
  print: (text: string) => void = () => {},
): task_struct {
  return start_process(m, comm, function* () {
    return yield* main(new Process(m, new Heap(), new Map(), print, m.current.tgid, { next: 0 }));
  });
}

/**
 * Runs a program as a process of its own on the machine until it has exited and everything that it started is done or
 * sleeps for good; answers its wait(2) status.
 */
export function runProgram(
  m: Machine,
  main: (c: Libc) => Gen<number>,
  print: (text: string) => void = () => {},
  comm = 'hmm-tests',
): number {
  const t = start_program(m, main, comm, print);
  m.sched.run(() => t.exit_state !== 'alive');
  return wait_status(t);
}
