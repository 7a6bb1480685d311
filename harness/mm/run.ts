// SPDX-License-Identifier: GPL-2.0-only
// Runs one of Linux's other mm selftests on the machine on which it was recorded.

import { audit } from '../../lib/audit.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { Unmodelled } from '../../lib/unmodelled.ts';
import type { Libc } from '../../lib/user/libc.ts';
import { WEXITSTATUS, WIFEXITED, WTERMSIG } from '../../lib/user/uapi.ts';
import type { MachineOptions } from '../cli/options.ts';
import { boot_machine, prepare } from '../kselftest/run.ts';
import { ENVIRONMENT } from '../run/binary.ts';
import type { Binary } from '../run/options.ts';
import { run_program_on, shared_user_memory } from '../run/program.ts';
import type { ProgramResult } from './recorded.ts';

/** What oracle/mm-image.sh wrote before each program: huge pages in the pool, and a khugepaged that does not scan. */
const SETTINGS = [
  ['/sys/kernel/mm/transparent_hugepage/khugepaged/defrag', '0'],
  ['/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs', '999999'],
  ['/proc/sys/vm/nr_hugepages', '32'],
] as const;

/** The result of a run on the model. */
export interface ProgramRun extends ProgramResult {
  /** what the model lacks, which ended the program, or null */
  readonly lacks: string | null;
  /** what the kernel reported */
  readonly reports: readonly string[];
  /** what the audit of the machine found at the end */
  readonly findings: readonly string[];
}

function* settings(c: Libc): Gen<void> {
  for (const [file, text] of SETTINGS) {
    if ((yield* c.write_file(file, text)) < 0) throw new Error(`writing ${text} to ${file} failed: errno ${c.errno}`);
  }
}

/** Runs a program on a new machine. Its standard output and error come as one text. */
export function run_mm_program(binary: Binary, args: readonly string[], o: MachineOptions): ProgramRun {
  const m = boot_machine(o, shared_user_memory());
  const decoder = new TextDecoder();
  let text = '';
  const write = (_fd: 1 | 2, bytes: Uint8Array): void => {
    text += decoder.decode(bytes, { stream: true });
  };
  const reports = (): string[] => [
    ...m.log.warnings.map(({ fn }) => `WARNING ${fn}`),
    ...m.log.oopses.map(({ bug }) => bug),
  ];
  const lines = (): string[] => (text === '' ? [] : text.replace(/\n$/, '').split('\n'));
  try {
    const program = { binary, args, env: ENVIRONMENT, cwd: '/tmp', write };
    const status = run_program_on(m, program, function* (c) {
      yield* prepare(m, c, o);
      yield* settings(c);
    });
    return {
      lines: lines(),
      status: WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
      lacks: null,
      reports: reports(),
      findings: m.log.oopses.length === 0 ? audit(m) : [],
    };
  } catch (e) {
    if (!(e instanceof Unmodelled)) throw e;
    return { lines: lines(), status: -1, lacks: e.message, reports: reports(), findings: [] };
  } finally {
    m.release();
  }
}
