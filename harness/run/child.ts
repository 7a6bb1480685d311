// SPDX-License-Identifier: GPL-2.0-only
// A compiled program as a child of a case's process.

import { readFileSync, statSync } from 'node:fs';
import { ret_from_fork } from '../../lib/arch/x86/entry/user_entry.ts';
import type { Processor } from '../../lib/arch/x86/kernel/process.ts';
import { ModelMmu } from '../../lib/arch/x86/user/mmu.ts';
import type { Machine } from '../../lib/machine.ts';
import { do_execve } from '../../lib/fs/exec.ts';
import { fd_install, get_unused_fd_flags } from '../../lib/fs/file.ts';
import { O_RDONLY, O_WRONLY } from '../../lib/fs/fs.ts';
import { add_root_file } from '../../lib/fs/namei.ts';
import { outside_pipe } from '../../lib/fs/pipe.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { UsageError } from '../cli/usage_error.ts';
import { compile } from './compiler.ts';
import { cpu_of_level } from './program.ts';

const PROGRAM = '/program';

/** How a program ended, and what it wrote. */
interface Ended {
  readonly status: number;
  readonly output: string;
}

const programs = new Map<string, string | null>();

/** The static program of a C source, or the program itself; null if it is a source and there is no compiler. */
export function program_of(file: string): string | null {
  if (!file.endsWith('.c')) return file;
  const key = `${file} ${statSync(file).mtimeMs}`;
  let program = programs.get(key);
  if (program === undefined) {
    program = compile(file);
    programs.set(key, program);
  }
  return program;
}

/**
 * Runs a static program as a child of the current process until it ends. The machine was booted with
 * shared_user_memory().
 */
export function* run_child(m: Machine, c: Libc, file: string): Gen<Ended> {
  const program = program_of(file);
  if (program === null) throw new UsageError(`${file}: there is no C compiler (cc, musl-gcc or zig) that builds it`);
  yield* add_root_file(m, PROGRAM, 0o755, readFileSync(program));
  const decoder = new TextDecoder();
  let output = '';
  const pid = yield* c.fork(function* () {
    const processor: Processor = {
      cpu: cpu_of_level('v1'),
      mmu: new ModelMmu(m),
      report: (text) => {
        output += `${text}\n`;
      },
    };
    for (const flags of [O_RDONLY, O_WRONLY, O_WRONLY]) {
      const sink = (bytes: Uint8Array): void => {
        output += decoder.decode(bytes, { stream: true });
      };
      fd_install(m, get_unused_fd_flags(m, 0), outside_pipe(m, flags, sink));
    }
    const strings = [new TextEncoder().encode(`${PROGRAM}\0`)];
    const ret = yield* do_execve(m, PROGRAM, strings, [], processor);
    if (ret !== 0) throw new UsageError(`${file}: expected a static program, execve() fails with errno ${-ret}`);
    yield* ret_from_fork(m);
  });
  const { status } = yield* c.waitpid(pid);
  return { status, output };
}
