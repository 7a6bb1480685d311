// SPDX-License-Identifier: GPL-2.0-only

import { readFileSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { ret_from_fork } from '../../lib/arch/x86/entry/user_entry.ts';
import type { Processor } from '../../lib/arch/x86/kernel/process.ts';
import { type CpuLevel, UserCpu } from '../../lib/arch/x86/user/cpu.ts';
import { UserMemory } from '../../lib/arch/x86/user/memory.ts';
import { ModelMmu } from '../../lib/arch/x86/user/mmu.ts';
import type { Machine } from '../../lib/machine.ts';
import { do_execve } from '../../lib/fs/exec.ts';
import { fd_install, get_unused_fd_flags } from '../../lib/fs/file.ts';
import { O_RDONLY, O_WRONLY } from '../../lib/fs/fs.ts';
import { add_root_file } from '../../lib/fs/namei.ts';
import { outside_pipe } from '../../lib/fs/pipe.ts';
import { ENOENT, ENOEXEC } from '../../lib/errno.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { wait_status } from '../../lib/kernel/exit.ts';
import { type Libc, start_program } from '../../lib/user/libc.ts';
import { UsageError } from '../cli/usage_error.ts';
import { host_root } from './host_root.ts';
import type { Binary } from './options.ts';

/** A compiled program and what it gets. */
export interface Program {
  readonly binary: Binary;
  /** its arguments, without its own name */
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** its working directory on the machine; that of this process if nothing else is said */
  readonly cwd?: string;
  /** where what it writes to its standard output and error goes */
  readonly write: (fd: 1 | 2, bytes: Uint8Array) => void;
}

let user_memory: UserMemory | null = null;
const cpus = new Map<CpuLevel, UserCpu>();

/** The memory of compiled programs, which all machines of this process share. */
export function shared_user_memory(): UserMemory {
  user_memory ??= new UserMemory();
  return user_memory;
}

/** The CPU of a level, which all machines of this process share. */
export function cpu_of_level(level: CpuLevel): UserCpu {
  let cpu = cpus.get(level);
  if (cpu === undefined) {
    cpu = new UserCpu(shared_user_memory(), level);
    cpus.set(level, cpu);
  }
  return cpu;
}

/** The bytes of a program. Throws UsageError for a file that is none. */
function read_program(path: string): Uint8Array {
  if (statSync(path).isDirectory()) throw new UsageError(`${path}: expected a compiled program, it is a directory`);
  const bytes = readFileSync(path);
  if (bytes.length < 64 || bytes.readUInt32BE(0) !== 0x7f454c46)
    throw new UsageError(`${path}: expected a compiled program (ELF), it is something else`);
  if (bytes[4] !== 2 || bytes.readUInt16LE(18) !== 62)
    throw new UsageError(`${path}: expected a program for x86-64, it is for another processor`);
  return bytes;
}

/**
 * Runs a compiled program on a machine, which was booted with shared_user_memory(), after `prepare`, as the first
 * process, until it has exited and everything that it started is done or sleeps for good. Returns its wait(2) status.
 */
export function run_program_on(m: Machine, p: Program, prepare: (c: Libc) => Gen<void>): number {
  const bytes = read_program(p.binary.file);
  const path = resolve(p.binary.file);
  const processor: Processor = {
    cpu: cpu_of_level(p.binary.cpu),
    mmu: new ModelMmu(m),
    report: (text) => p.write(2, new TextEncoder().encode(`${text}\n`)),
  };
  const strings = (list: readonly string[]): Uint8Array[] => list.map((s) => new TextEncoder().encode(`${s}\0`));
  m.vfs.root = host_root(p.binary.root);
  const t = start_program(
    m,
    function* (c) {
      yield* prepare(c);
      yield* add_root_file(m, path, 0o755, bytes);
      m.current.pwd = p.cwd ?? process.cwd();
      for (const fd of [0, 1, 2] as const) {
        const flags = fd === 0 ? O_RDONLY : O_WRONLY;
        fd_install(
          m,
          get_unused_fd_flags(m, 0),
          outside_pipe(m, flags, (b) => p.write(fd === 2 ? 2 : 1, b)),
        );
      }
      const ret = yield* do_execve(m, path, strings([p.binary.file, ...p.args]), strings(p.env), processor);
      if (ret === -ENOENT)
        throw new UsageError(
          `${p.binary.file}: its interpreter is not below ${p.binary.root}; --root=DIR names another directory`,
        );
      if (ret === -ENOEXEC) throw new UsageError(`${p.binary.file}: Linux does not start it (ENOEXEC)`);
      if (ret !== 0) throw new UsageError(`${p.binary.file}: execve() fails with errno ${-ret}`);
      return yield* ret_from_fork(m);
    },
    basename(path),
  );
  m.sched.run(() => t.exit_state !== 'alive');
  return wait_status(t);
}
