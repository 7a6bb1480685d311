// SPDX-License-Identifier: GPL-2.0-only
// A suite that the user compiled, in place of the ported one.

import { audit } from '../../lib/audit.ts';
import { WEXITSTATUS, WIFEXITED, WTERMSIG } from '../../lib/user/uapi.ts';
import type { MachineOptions } from '../cli/options.ts';
import { boot_machine, type Outcome, prepare, ReportTaker } from '../kselftest/run.ts';
import { ENVIRONMENT } from './binary.ts';
import type { Binary } from './options.ts';
import { run_program_on, shared_user_memory } from './program.ts';

const RESULT = /^(?:not )?ok \d+ (\S+)/;

/**
 * Runs a compiled suite on a new machine. `print` gets its standard output and error, line by line. The audit looks at
 * the machine once, at the end: while a test runs no process is at rest.
 */
export function run_binary_suite(
  binary: Binary,
  o: MachineOptions,
  args: readonly string[],
  print: (text: string) => void,
): Outcome {
  const m = boot_machine(o, shared_user_memory());
  const taker = new ReportTaker(m);
  const reports: Outcome['reports'] = [];
  const decoders = [new TextDecoder(), new TextDecoder()] as const;
  const open = ['', ''];
  const write = (fd: 1 | 2, bytes: Uint8Array): void => {
    const lines = (open[fd - 1] + decoders[fd - 1].decode(bytes, { stream: true })).split(/(?<=\n)/);
    open[fd - 1] = lines.at(-1)?.endsWith('\n') === false ? (lines.pop() as string) : '';
    for (const line of lines) {
      const result = RESULT.exec(line);
      if (result !== null) reports.push(...taker.take(result[1]));
      print(line);
    }
  };
  try {
    const program = { binary, args, env: ENVIRONMENT, write };
    const status = run_program_on(m, program, (c) => prepare(m, c, o));
    for (const rest of open) if (rest !== '') print(rest);
    reports.push(...taker.take(null));
    const found = m.log.oopses.length === 0 ? audit(m) : [];
    return {
      code: WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
      reports,
      log: m.log.lines,
      findings: found.length > 0 ? [{ name: binary.file, found }] : [],
    };
  } finally {
    m.release();
  }
}
