// SPDX-License-Identifier: GPL-2.0-only

import { audit } from '../../lib/audit.ts';
import { boot } from '../../lib/boot.ts';
import type { Machine } from '../../lib/machine.ts';
import type { UserMemory } from '../../lib/arch/x86/user/memory.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module, type ModuleParams } from '../../lib/kernel/module.ts';
import { CHUNK, type MachineOptions } from '../cli/options.ts';
import { UsageError } from '../cli/usage_error.ts';
import type { Report } from '../compare/agreement.ts';
import { runSuite, type TestList, type Watch } from './kselftest_harness.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { WEXITSTATUS, WIFEXITED, WTERMSIG } from '../../lib/user/uapi.ts';

/** Boots a machine without the driver. Throws UsageError for an invalid machine. */
export function boot_machine(o: MachineOptions, user_memory: UserMemory | null = null): Machine {
  const reserved = o.spm === null ? [] : o.spm.map((start) => ({ start, size: CHUNK }));
  try {
    return boot({ mem: o.mem, patches: o.patches, reserved, user_memory });
  } catch (e) {
    if (e instanceof RangeError) throw new UsageError(e.message);
    throw e;
  }
}

/** Sets the THP mode and loads the driver, as test_hmm.sh does before the suite runs. */
export function* prepare(m: Machine, c: Libc, o: MachineOptions): Gen<void> {
  const mode = '/sys/kernel/mm/transparent_hugepage/enabled';
  if ((yield* c.write_file(mode, o.thp)) < 0)
    throw new Error(`writing ${o.thp} to ${mode} failed with errno ${c.errno}`);
  const params: ModuleParams = o.spm === null ? {} : { spm_addr_dev0: o.spm[0], spm_addr_dev1: o.spm[1] };
  const ret = yield* load_module(m, 'test_hmm', params);
  if (ret !== 0) throw new Error(`loading test_hmm failed with ${ret}`);
}

/** Takes the kernel's reports since the last call. */
export class ReportTaker {
  private warnings = 0;
  private oopses = 0;
  private readonly m: Machine;
  constructor(m: Machine) {
    this.m = m;
  }
  /** `test` is the running test, null between tests. */
  take(test: string | null): Report[] {
    const { log } = this.m;
    const taken = [
      ...log.warnings
        .slice(this.warnings)
        .map(({ fn, path, once }): Report => ({ kind: 'WARNING', fn, path, test, once: once === true })),
      ...log.oopses.slice(this.oopses).map(({ bug, path }): Report => {
        // BUG_ON() is a macro upstream: the function is the one that it stands in.
        const within = path.filter((fn) => fn !== 'BUG_ON');
        const kind = bug.startsWith('kernel BUG') ? 'BUG' : 'OOPS';
        return { kind, fn: within[0] ?? '?', path: within, test, once: false };
      }),
    ];
    this.warnings = log.warnings.length;
    this.oopses = log.oopses.length;
    return taken;
  }
}

/** The result of a run of a suite. */
export interface Outcome {
  /** Exit status as a shell shows it. */
  code: number;
  /** What the kernel reported, with the test during which it did. */
  reports: Report[];
  /** The kernel log. */
  log: readonly string[];
  /** Findings of the audit after each test, by the test's name. The audit stops once the kernel oopsed. */
  findings: { name: string; found: string[] }[];
}

/** Runs a suite on a new machine. */
export function run_suite(
  list: TestList,
  o: MachineOptions,
  argv: readonly string[],
  print: (text: string) => void,
  watch?: Watch,
): Outcome {
  const m = boot_machine(o);
  const taker = new ReportTaker(m);
  const reports: Report[] = [];
  const findings: Outcome['findings'] = [];
  const after_test = (name: string): void => {
    reports.push(...taker.take(name));
    // Like on Linux, an oops leaks locks and references.
    const found = m.log.oopses.length === 0 ? audit(m) : [];
    if (found.length > 0) findings.push({ name, found });
  };
  try {
    const status = runProgram(
      m,
      function* (c) {
        yield* prepare(m, c, o);
        return yield* runSuite(c, list, argv, print, { after_test, watch });
      },
      print,
    );
    reports.push(...taker.take(null));
    return {
      code: WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
      reports,
      log: m.log.lines,
      findings,
    };
  } finally {
    m.release();
  }
}
