// SPDX-License-Identifier: GPL-2.0-only
// What a kernel in some state would leave: a run of the model, written as a file of results with the kernel's log.

import type { KtapResult } from '../ktap/ktap.ts';
import type { Report } from './agreement.ts';
import type { ModelRun } from './model.ts';

/** A report's first lines as a console shows them. */
function report_lines({ kind, fn }: Report, i: number): string[] {
  const stamp = `[${(100 + i * 0.01).toFixed(6).padStart(12)}]`;
  const head =
    kind === 'WARNING'
      ? [`WARNING: mm/memory.c:1 at ${fn}+0x1/0x2, CPU#0: hmm-tests/1`]
      : kind === 'BUG'
        ? ['kernel BUG at mm/memory.c:1!', `RIP: 0010:${fn}+0x1/0x2`]
        : ['BUG: kernel NULL pointer dereference, address: 0000000000000008', `RIP: 0010:${fn}+0x1/0x2`];
  return [...head, '---[ end trace 0000000000000000 ]---'].map((line) => `${stamp} ${line}`);
}

function result_lines({ name, verdict, reason, asserts, end }: KtapResult, n: number): string[] {
  const test = name.slice(name.lastIndexOf('.') + 1);
  const bad = verdict === 'FAIL';
  return [
    ...asserts.map((text) => `# hmm-tests.c:1:${text}`),
    ...(end === '' ? [] : [`# ${test}: ${end}`]),
    `#         ${bad ? 'FAIL' : '  OK'}  ${name}`,
    `${bad ? 'not ok' : 'ok'} ${n} ${name}${verdict === 'skip' ? ` # SKIP ${reason}` : ''}`,
  ];
}

/** The file of a run of `tests`; it ends in the test that the run did not come to the end of. */
export function recording({ run, reports }: ModelRun, tests: readonly string[]): string {
  const results = new Map(run.results.map((r) => [r.name, r]));
  const lines = ['TAP version 13', `1..${tests.length}`, '[   99.000000] test_hmm: HMM test module loaded'];
  let n = 0;
  for (const name of tests) {
    lines.push(`#  RUN           ${name} ...`);
    lines.push(...reports.filter((r) => r.test === name).flatMap(report_lines));
    const result = results.get(name);
    if (result === undefined) return `${lines.join('\n')}\n`;
    lines.push(...result_lines(result, ++n));
  }
  const of = (verdict: string): number => run.results.filter((r) => r.verdict === verdict).length;
  lines.push(`# Totals: pass:${of('pass')} fail:${of('FAIL')} xfail:0 xpass:0 skip:${of('skip')} error:0`);
  return `${lines.join('\n')}\n`;
}
