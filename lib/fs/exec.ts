// SPDX-License-Identifier: GPL-2.0-only

import { flush_thread, new_thread, type Processor } from '../arch/x86/kernel/process.ts';
import { copy_from_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import type { Machine } from '../machine.ts';
import { E2BIG, EACCES, EFAULT, ENAMETOOLONG, ENOMEM } from '../errno.ts';
import { mm_alloc, mmput } from '../kernel/fork/mm_init.ts';
import { exec_mm_release } from '../kernel/fork/mm_release.ts';
import type { Gen } from '../kernel/gen.ts';
import { SIGSEGV, SS_DISABLE, type task_struct } from '../kernel/sched/core.ts';
import { sched_yield } from '../kernel/sched/syscalls.ts';
import { flush_signal_handlers, kill_other_threads, UserExit } from '../kernel/signal.ts';
import {
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_GROWSDOWN,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '../mm/mmap/mmap.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import { vm_mmap } from '../mm/util.ts';
import { strncpy_from_user } from '../strncpy_from_user.ts';
import { Unmodelled } from '../unmodelled.ts';
import { load_elf_binary } from './binfmt_elf.ts';
import { do_close_on_exec } from './file.ts';
import { fput, fput_close_sync } from './file_table.ts';
import { type file, O_RDONLY, S_IFMT, S_IFREG } from './fs.ts';
import { absolute_path, PATH_MAX, path_openat } from './namei.ts';
import { kernel_read } from './read_write.ts';
import { PAGE_SIZE } from '../mm/contents.ts';

/** Top of the first stack. */
export const STACK_TOP = 0x7ffffffff000;
/** Bytes below the arguments that the stack has from the start. */
const STACK_EXPAND = 128 * 1024;
/** Bytes of the file that a format is told by (include/uapi/linux/binfmts.h: BINPRM_BUF_SIZE). */
const BINPRM_BUF_SIZE = 256;
/** Bytes of one argument, its NUL included (include/uapi/linux/binfmts.h: MAX_ARG_STRLEN). */
const MAX_ARG_STRLEN = 32 * PAGE_SIZE;
/** Bytes of all arguments: a quarter of the limit of the stack. */
const MAX_ARG_BYTES = 2 * 1024 * 1024;
const TASK_COMM_LEN = 16;
/** A program that is being started (include/linux/binfmts.h: struct linux_binprm). */
export interface linux_binprm {
  readonly file: file;
  readonly filename: string;
  /** the first bytes of the file */
  readonly buf: Uint8Array;
  /** strings with their NUL */
  readonly argv: readonly Uint8Array[];
  readonly envp: readonly Uint8Array[];
  readonly processor: Processor;
  /** top of the stack as it is filled */
  p: number;
  /** user address of the file's name */
  exec: number;
  arg_start: number;
  /** an error ends the program */
  point_of_no_return: boolean;
}

/** Opens a program (fs/exec.c: do_open_execat()). Returns it or -errno. */
export function* open_exec(m: Machine, name: string): Gen<file | number> {
  const f = yield* path_openat(m, absolute_path(m, name), O_RDONLY, 0);
  if (typeof f === 'number') return f;
  if ((f.f_inode.i_mode & S_IFMT) === S_IFREG && (f.f_inode.i_mode & 0o111) !== 0) return f;
  yield* fput_close_sync(m, f);
  return -EACCES;
}

/** Kills the other threads of the process and waits until they are gone (fs/exec.c: de_thread()). */
function* de_thread(m: Machine): Gen<void> {
  const t = m.current;
  const others = (): task_struct[] => t.group_leader.thread_group.filter((x) => x !== t && x.exit_state === 'alive');
  if (others().length > 0 && t !== t.group_leader)
    throw new Unmodelled('fs/exec.c: de_thread() of a thread that is not the leader');
  kill_other_threads(m);
  while (others().length > 0) yield* sched_yield(m);
}

/**
 * Gives up the old program: threads, address space, handlers, registers. Returns 0 or -errno
 * (fs/exec.c: begin_new_exec()). Leaves out credentials: everybody is root.
 */
export function* begin_new_exec(m: Machine, bprm: linux_binprm): Gen<number> {
  const t = m.current;
  bprm.point_of_no_return = true;
  yield* de_thread(m);
  yield* do_close_on_exec(m);
  const mm = mm_alloc(m);
  if (mm === null) return -ENOMEM;
  const old = t.mm as mm_struct;
  yield* exec_mm_release(m, t, old);
  t.mm = mm;
  mm.exe_file = bprm.file;
  bprm.file.f_count++;
  yield* mmput(m, old);
  if (t.thread === null) t.thread = new_thread(bprm.processor);
  else flush_thread(t.thread);
  t.sas_ss_sp = 0;
  t.sas_ss_size = 0;
  t.sas_ss_flags = SS_DISABLE;
  t.robust_list = 0;
  t.rseq = 0;
  t.comm = bprm.filename.slice(bprm.filename.lastIndexOf('/') + 1).slice(0, TASK_COMM_LEN - 1);
  flush_signal_handlers(t);
  return 0;
}

/**
 * Makes the stack and writes the name, the environment and the arguments to its top. Returns 0 or -errno
 * (fs/exec.c: setup_arg_pages()). Upstream writes them before it gives up the old program.
 */
export function* setup_arg_pages(m: Machine, bprm: linux_binprm, executable: boolean): Gen<number> {
  const name = new TextEncoder().encode(`${bprm.filename}\0`);
  const total = [name, ...bprm.argv, ...bprm.envp].reduce((sum, s) => sum + s.length, 8);
  const size = Math.ceil(total / PAGE_SIZE) * PAGE_SIZE + STACK_EXPAND;
  const prot = PROT_READ | PROT_WRITE | (executable ? PROT_EXEC : 0);
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN;
  const at = yield* vm_mmap(m, null, STACK_TOP - size, size, prot, flags, 0);
  if (at < 0) return at;
  bprm.p = STACK_TOP - 8;
  const push = function* (bytes: Uint8Array): Gen<boolean> {
    bprm.p -= bytes.length;
    return (yield* copy_to_user(m, bprm.p, bytes, bytes.length)) === 0;
  };
  if (!(yield* push(name))) return -EFAULT;
  bprm.exec = bprm.p;
  for (const s of [...bprm.argv, ...bprm.envp].reverse()) if (!(yield* push(s))) return -EFAULT;
  bprm.arg_start = bprm.p;
  return 0;
}

/** The arguments of execve(2) in user memory, or in the kernel's. NON-KERNEL (fs/exec.c: struct user_arg_ptr). */
export type exec_strings = readonly Uint8Array[];

/**
 * Replaces the current task's program by the file. Returns -errno if the old one goes on. What fails later ends the
 * task (fs/exec.c: bprm_execve()). Leaves out scripts and other formats.
 */
export function* do_execve(
  m: Machine,
  name: string,
  argv: exec_strings,
  envp: exec_strings,
  processor: Processor,
): Gen<number> {
  const bytes = [...argv, ...envp].reduce((sum, s) => sum + s.length + 8, 0);
  if (bytes > MAX_ARG_BYTES) return -E2BIG;
  const f = yield* open_exec(m, name);
  if (typeof f === 'number') return f;
  const buf = yield* kernel_read(m, f, 0, BINPRM_BUF_SIZE);
  const one = argv.length === 0 ? [new Uint8Array(1)] : argv;
  const bprm: linux_binprm = {
    file: f,
    filename: name,
    buf,
    argv: one,
    envp,
    processor,
    p: 0,
    exec: 0,
    arg_start: 0,
    point_of_no_return: false,
  };
  if (buf[0] === 0x23 && buf[1] === 0x21) throw new Unmodelled(`fs/binfmt_script.c: load_script() of ${name}`);
  const ret = yield* load_elf_binary(m, bprm);
  fput(m, f);
  if (ret !== 0 && bprm.point_of_no_return) throw new UserExit(SIGSEGV);
  return ret;
}

/** Reads an array of string pointers. Returns the strings with their NUL, or -errno. NON-KERNEL (copy_strings()). */
function* strings_of_user(m: Machine, at: number): Gen<Uint8Array[] | number> {
  const strings: Uint8Array[] = [];
  if (at === 0) return strings;
  const word = new Uint8Array(8);
  for (let k = 0, total = 0; ; k++) {
    if ((yield* copy_from_user(m, word, at + k * 8, 8)) !== 0) return -EFAULT;
    const v = new DataView(word.buffer);
    const p = v.getUint32(0, true) + v.getUint32(4, true) * 2 ** 32;
    if (p === 0) return strings;
    const s = yield* strnlen_copy(m, p);
    if (typeof s === 'number') return s;
    total += s.length + 8;
    if (total > MAX_ARG_BYTES) return -E2BIG;
    strings.push(s);
  }
}

/** Copies a string of user memory with its NUL. Returns its bytes, -EFAULT or -E2BIG. NON-KERNEL (strnlen_user()). */
function* strnlen_copy(m: Machine, p: number): Gen<Uint8Array | number> {
  const bytes: number[] = [];
  const chunk = new Uint8Array(PAGE_SIZE);
  while (bytes.length < MAX_ARG_STRLEN) {
    const at = p + bytes.length;
    const n = PAGE_SIZE - (at % PAGE_SIZE);
    if ((yield* copy_from_user(m, chunk, at, n)) !== 0) return -EFAULT;
    const end = chunk.subarray(0, n).indexOf(0);
    bytes.push(...chunk.subarray(0, end < 0 ? n : end + 1));
    if (end >= 0) return Uint8Array.from(bytes);
  }
  return -E2BIG;
}

/** execve(2) (fs/exec.c: execve()). */
export function* sys_execve(m: Machine, filename: number, argv: number, envp: number): Gen<number> {
  const { thread } = m.current;
  if (thread === null) throw new Error('execve(2) of a program that is a generator');
  const name = yield* strncpy_from_user(m, filename, PATH_MAX);
  if (typeof name === 'number') return -EFAULT;
  if (name.length >= PATH_MAX) return -ENAMETOOLONG;
  const args = yield* strings_of_user(m, argv);
  if (typeof args === 'number') return args;
  const env = yield* strings_of_user(m, envp);
  if (typeof env === 'number') return env;
  return yield* do_execve(m, name, args, env, thread.processor);
}
