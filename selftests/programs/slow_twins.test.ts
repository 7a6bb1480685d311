// SPDX-License-Identifier: GPL-2.0-only
// While interleavings are explored, every lock is one that may have to be waited for, and the shortcuts of a normal run
// (remove_migration_ptes_fast(), map_pte_fast(), the TLB's and others) are not taken. Without a second task to switch to
// both ways must come to the same: the same answers, and the same struct pages and page tables.

import { fileURLToPath } from 'node:url';
import t from 'tap';
import { read_recording } from '../../harness/replay/format.ts';
import { type Answer, parse_ops, run_ops } from '../../harness/replay/run.ts';
import type { ptdesc } from '../../lib/arch/x86/mm/pgtable/pgtable.ts';
import type { Machine } from '../../lib/machine.ts';
import type { Strategy } from '../../lib/kernel/sched/core.ts';

const slow = process.env.SLOW === '1';

/** Runs a task until it waits. */
const in_turn: Strategy = {
  next_task: (runnable, current, is_yielding) =>
    current !== null && !is_yielding && runnable.includes(current) ? current : runnable[0],
  random_u32: () => 1,
};

/** The page tables of a machine: index and entry, level by level. */
function tables(m: Machine): unknown[] {
  const table = (pt: ptdesc): unknown[] => {
    const found: unknown[] = [];
    pt.entry.forEach((entry, i) => {
      const child = pt.child?.[i] ?? null;
      if (entry !== 0 || child !== null) found.push([i, entry, child === null ? null : table(child)]);
    });
    return found;
  };
  return [...m.mms].map((mm) => [mm.mm_id, [...mm.rss_stat], mm.pgtables_bytes, table(mm.pgd)]);
}

interface End {
  answers: readonly Answer[];
  stop: string | null;
  columns: Map<string, ArrayLike<number>>;
  tables: unknown[];
  warnings: readonly unknown[];
}

/** Runs a program; keeps what there is once it has answered its last op or stopped. */
function end_of(program: ReturnType<typeof read_recording>[number], as_explored: boolean): End {
  const ops = parse_ops(program.ops, program.id);
  const columns = new Map<string, ArrayLike<number>>();
  let left: unknown[] = [];
  const keep = (m: Machine): void => {
    for (const [name, column] of Object.entries(m.page) as [string, unknown][])
      if (ArrayBuffer.isView(column)) columns.set(name, (column as Int32Array).slice(0, m.page.rows));
    left = tables(m);
  };
  const { machine, answers, stop } = run_ops(program.config, ops, {
    on_boot(m) {
      m.sched.strategy = in_turn;
      m.sched.explore = as_explored;
    },
    on_answer(m, i) {
      if (i === ops.length - 1) keep(m);
      return false;
    },
    on_stop: keep,
  });
  const { warnings } = machine.log;
  machine.release();
  const why = stop?.kind === 'oops' ? stop.oops.bug : (stop?.kind ?? null);
  return { answers, stop: why, columns, tables: left, warnings };
}

t.test('a program leaves the same behind by the short ways and by the long ones', (t) => {
  const all = read_recording(fileURLToPath(new URL('sample.jsonl.gz', import.meta.url)));
  for (const program of all.filter((_, i) => slow || i % 31 === 0)) {
    const [short, long] = [end_of(program, false), end_of(program, true)];
    t.ok(short.columns.size > 10, `${program.id} came to an end`);
    t.same(long.answers, short.answers, `${program.id}: answers`);
    t.equal(long.stop, short.stop, `${program.id}: what stopped it`);
    t.same(long.tables, short.tables, `${program.id}: page tables`);
    t.same(long.warnings, short.warnings, `${program.id}: warnings`);
    for (const [name, column] of short.columns) {
      const other = long.columns.get(name) as ArrayLike<number>;
      const at = Array.prototype.findIndex.call(column, (v, i) => v !== other[i]);
      t.equal(at, -1, `${program.id}: ${name} of page ${at}`);
    }
  }
  t.end();
});
