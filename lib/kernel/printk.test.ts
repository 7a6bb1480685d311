// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { BUG_ON, call_path, Oops, printk, WARN_ON, WARN_ON_ONCE } from './printk.ts';
import { run_task, small_machine } from './testing.ts';

t.test('a warning is logged, counted and taints the kernel; one that does not hold leaves no trace', (t) => {
  const m = small_machine();
  t.equal(WARN_ON(m, false, 'some_function'), false);
  t.same([m.log.warnings, [...m.log.taint]], [[], []]);
  t.equal(WARN_ON(m, true, 'some_function', 'text'), true);
  t.same(
    m.log.warnings.map((w) => w.fn),
    ['some_function'],
  );
  t.ok(m.log.taint.has('W'));
  t.ok(m.log.lines.includes('WARNING: some_function: text'));
  t.end();
});

t.test('a once-only warning reports once a site, and again after clear_warn_once', (t) => {
  const m = small_machine();
  for (let i = 0; i < 3; i++) t.equal(WARN_ON_ONCE(m, true, 'f', 'a'), true);
  WARN_ON_ONCE(m, true, 'f', 'b');
  t.equal(m.log.warnings.length, 2);
  m.log.clear_warn_once();
  WARN_ON_ONCE(m, true, 'f', 'a');
  t.equal(m.log.warnings.length, 3);
  t.end();
});

t.test('an oops ends its task only, and carries the functions that the task was in', (t) => {
  const m = small_machine();
  function* inner_function(): Generator<never, void, void> {
    BUG_ON(true, 'some/file.c:1');
  }
  function* outer_function(): Generator<never, void, void> {
    yield* inner_function();
  }
  run_task(m, outer_function);
  printk(m, 'still here');
  const [oops] = m.log.oopses;
  t.equal(oops?.bug, 'kernel BUG at some/file.c:1');
  t.ok(oops?.path.includes('inner_function') && oops.path.includes('outer_function'));
  t.ok((oops?.path.indexOf('inner_function') ?? 0) < (oops?.path.indexOf('outer_function') ?? 0));
  t.equal(m.log.lines.at(-1), 'still here');
  t.ok(m.log.taint.has('D'));
  t.end();
});

t.test('the call path names functions, innermost first', (t) => {
  function named_one(): string[] {
    return call_path();
  }
  t.equal(named_one()[0], 'named_one');
  t.ok(new Oops('x') instanceof Error);
  t.end();
});
