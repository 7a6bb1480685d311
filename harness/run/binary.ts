// SPDX-License-Identifier: GPL-2.0-only

import { writeSync } from 'node:fs';
import { Unmodelled } from '../../lib/unmodelled.ts';
import { WEXITSTATUS, WIFEXITED, WTERMSIG } from '../../lib/user/uapi.ts';
import type { MachineOptions } from '../cli/options.ts';
import { boot_machine, prepare } from '../kselftest/run.ts';
import type { Binary } from './options.ts';
import { run_program_on, shared_user_memory } from './program.ts';

const NOT_MODELLED = 3;

/** Environment of a program: nothing of the host's, so that a run repeats. */
export const ENVIRONMENT = ['HOME=/root', 'PATH=/usr/bin:/bin', 'TERM=dumb', 'LANG=C'];

export interface Invocation {
  readonly binary: Binary;
  readonly args: readonly string[];
  readonly dmesg: boolean;
}

/** Writes all bytes to a descriptor of this process, also if it is a pipe that does not block. */
function write_all(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code !== 'EAGAIN') throw e;
    }
  }
}

/** Runs a program on a machine of its own with the driver loaded. Returns the exit status as a shell shows it. */
export function run_binary(o: MachineOptions, run: Invocation): number {
  const m = boot_machine(o, shared_user_memory());
  const program = { ...run, env: ENVIRONMENT, write: write_all };
  let code: number;
  try {
    const status = run_program_on(m, program, (c) => prepare(m, c, o));
    code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  } catch (e) {
    if (!(e instanceof Unmodelled)) throw e;
    write_all(2, new TextEncoder().encode(`${run.binary.file}: ${e.message}\n`));
    code = NOT_MODELLED;
  }
  if (run.dmesg) write_all(2, new TextEncoder().encode(m.log.lines.map((line) => `${line}\n`).join('')));
  m.release();
  return code;
}
