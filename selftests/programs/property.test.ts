// SPDX-License-Identifier: GPL-2.0-only
// Whatever a program does, nothing in the machine contradicts anything else after any op, and nothing is left when its
// processes are gone.

import fc from 'fast-check';
import t from 'tap';
import { parse_ops, run_ops } from '../../harness/replay/run.ts';
import { audit } from '../../lib/audit.ts';
import { type Generated, programs } from './generate.ts';

const SEED = 20260731;
const slow = process.env.SLOW === '1';
const RUNS = slow ? 2500 : 30;

/**
 * The first thing wrong in a run of the program, or null. An oops is Linux's own answer to some programs, and ends
 * them.
 */
function first_fault({ config, ops }: Generated): string | null {
  let fault: string | null = null;
  const { machine, stop } = run_ops(config, parse_ops(ops, 'a generated program'), {
    on_answer: (m, i) => {
      const found = audit(m);
      if (found.length > 0) fault = `after op ${i + 1}, "${ops[i]}": ${found.join('; ')}`;
      return fault !== null;
    },
    tear_down: true,
  });
  if (fault !== null) return fault;
  if (stop === null) {
    const left = audit(machine);
    return left.length > 0 ? `after the end: ${left.join('; ')}` : null;
  }
  if (stop.kind === 'oops') return null;
  return stop.kind === 'hang' ? `hangs: ${stop.waits.join('; ')}` : stop.text;
}

if (slow) t.setTimeout(1_200_000);

t.test(`${RUNS} programs made at random pass the audit after every op (seed ${SEED})`, (t) => {
  const result = fc.check(
    fc.property(programs(40), (program) => {
      const fault = first_fault(program);
      if (fault !== null) throw new Error(`${JSON.stringify(program.config)}\n${program.ops.join('\n')}\n${fault}`);
    }),
    { seed: SEED, numRuns: RUNS },
  );
  const why = result.errorInstance instanceof Error ? result.errorInstance.message : '';
  t.ok(!result.failed, result.failed ? `${why}\n(seed ${SEED}, path ${result.counterexamplePath})` : 'none fails');
  t.end();
});
