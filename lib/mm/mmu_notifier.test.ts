// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { ptdesc } from '../arch/x86/mm/pgtable/pgtable.ts';
import { Machine } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { task_struct } from '../kernel/sched/core.ts';
import { mm_struct } from './mm_types.ts';
import {
  mmu_interval_check_retry,
  mmu_interval_notifier,
  mmu_interval_notifier_insert,
  type mmu_interval_notifier_ops,
  mmu_interval_notifier_remove,
  mmu_interval_read_begin,
  mmu_interval_read_retry,
  mmu_interval_set_seq,
  mmu_notifier,
  mmu_notifier_invalidate_range_end,
  mmu_notifier_invalidate_range_start,
  mmu_notifier_invalidate_range_start_nonblock,
  mmu_notifier_range,
  mmu_notifier_range_init,
  mmu_notifier_range_init_owner,
  mmu_notifier_register,
  mmu_notifier_release,
  mmu_notifier_unregister,
} from './mmu_notifier.ts';

// From the uapi and the headers, on purpose a second time.
const EOVERFLOW = 75;
const EAGAIN = 11;
const CLEAR = 1;
const RELEASE = 5;
const MIGRATE = 6;

interface Setup {
  m: Machine;
  mm: mm_struct;
  /** Starts a task; it runs at the next go(). */
  task(body: () => Gen<void>): void;
  /** Runs until every task has ended. */
  go(): void;
}

function setup(): Setup {
  const m = new Machine({ mem: 64 * 1024 * 1024 });
  const mm = new mm_struct(m, 1, new ptdesc(4, 0));
  let pid = 1;
  let live = 0;
  return {
    m,
    mm,
    task(body) {
      const task = new task_struct(pid++, 'test');
      task.mm = mm;
      live++;
      m.sched.start(
        task,
        (function* (): Gen<void> {
          yield* body();
          live--;
        })(),
      );
    },
    go() {
      m.sched.run(() => live === 0);
    },
  };
}

function range_of(mm: mm_struct, start: number, end: number, event = CLEAR): mmu_notifier_range {
  const range = new mmu_notifier_range();
  mmu_notifier_range_init(range, event, 0, mm, start, end);
  return range;
}

/** Ops that note what they are called for. */
function noting(log: string[], name: string, answer = true): mmu_interval_notifier_ops {
  return {
    *invalidate(_m, sub, range, cur_seq): Gen<boolean> {
      log.push(`${name} event ${range.event} seq ${cur_seq}`);
      mmu_interval_set_seq(sub, cur_seq);
      return answer;
    },
  };
}

t.test('an invalidation calls who subscribed to the range, in order of address, with an odd number', (t) => {
  const { m, mm, task, go } = setup();
  const log: string[] = [];
  const [low, high, far] = [new mmu_interval_notifier(), new mmu_interval_notifier(), new mmu_interval_notifier()];
  task(function* () {
    t.equal(yield* mmu_interval_notifier_insert(m, high, mm, 0x3000, 0x1000, noting(log, 'high')), 0);
    t.equal(yield* mmu_interval_notifier_insert(m, low, mm, 0x1000, 0x2000, noting(log, 'low')), 0);
    t.equal(yield* mmu_interval_notifier_insert(m, far, mm, 0x9000, 0x1000, noting(log, 'far')), 0);
    const seq = yield* mmu_interval_read_begin(m, low);
    const range = range_of(mm, 0x2000, 0x4000);
    yield* mmu_notifier_invalidate_range_start(m, range);
    t.same(log, ['low event 1 seq 3', 'high event 1 seq 3']);
    t.ok(mmu_interval_read_retry(low, seq), 'who read before must read again');
    yield* mmu_notifier_invalidate_range_end(m, range);
    const again = yield* mmu_interval_read_begin(m, low);
    t.notOk(mmu_interval_check_retry(low, again), 'after the end a reading holds');
  });
  go();
  t.end();
});

t.test('a reader of a range under invalidation waits for its end', (t) => {
  const { m, mm, task, go } = setup();
  const log: string[] = [];
  const sub = new mmu_interval_notifier();
  task(function* () {
    yield* mmu_interval_notifier_insert(m, sub, mm, 0, 0x10000, noting(log, 'sub'));
    const range = range_of(mm, 0, 0x1000);
    yield* mmu_notifier_invalidate_range_start(m, range);
    task(function* () {
      log.push('reads');
      yield* mmu_interval_read_begin(m, sub);
      log.push('has read');
    });
    yield { what: 'the reader' };
    yield { what: 'the reader' };
    log.push('ends');
    yield* mmu_notifier_invalidate_range_end(m, range);
  });
  go();
  t.same(log, ['sub event 1 seq 3', 'reads', 'ends', 'has read']);
  t.end();
});

t.test('a subscription made or ended during an invalidation waits for the end of the last one that nests', (t) => {
  const { m, mm, task, go } = setup();
  const log: string[] = [];
  const [old, young] = [new mmu_interval_notifier(), new mmu_interval_notifier()];
  task(function* () {
    yield* mmu_interval_notifier_insert(m, old, mm, 0, 0x10000, noting(log, 'old'));
    const outer = range_of(mm, 0, 0x1000);
    const inner = range_of(mm, 0x1000, 0x2000);
    yield* mmu_notifier_invalidate_range_start(m, outer);
    yield* mmu_notifier_invalidate_range_start(m, inner);
    t.equal(yield* mmu_interval_notifier_insert(m, young, mm, 0, 0x1000, noting(log, 'young')), 0);
    t.notOk(young.in_tree);
    let removed = false;
    task(function* () {
      yield* mmu_interval_notifier_remove(m, old);
      removed = true;
    });
    yield { what: 'the removal' };
    yield* mmu_notifier_invalidate_range_end(m, inner);
    yield { what: 'the removal' };
    t.same([young.in_tree, old.in_tree, removed], [false, true, false]);
    yield* mmu_notifier_invalidate_range_end(m, outer);
    t.same([young.in_tree, old.in_tree], [true, false]);
    yield { what: 'the removal' };
    t.ok(removed);
  });
  go();
  t.end();
});

t.test('an invalidation that hits nobody leaves the number even, and tree changes go through', (t) => {
  const { m, mm, task, go } = setup();
  const log: string[] = [];
  const [sub, late] = [new mmu_interval_notifier(), new mmu_interval_notifier()];
  task(function* () {
    yield* mmu_interval_notifier_insert(m, sub, mm, 0x8000, 0x1000, noting(log, 'sub'));
    const range = range_of(mm, 0, 0x1000);
    yield* mmu_notifier_invalidate_range_start(m, range);
    t.equal(mm.notifier_subscriptions?.invalidate_seq, 2);
    yield* mmu_interval_notifier_insert(m, late, mm, 0, 0x1000, noting(log, 'late'));
    t.ok(late.in_tree);
    t.equal(late.invalidate_seq, 3, 'the new one counts as under invalidation');
    yield* mmu_notifier_invalidate_range_end(m, range);
    t.same(log, []);
    t.equal(mm.notifier_subscriptions?.invalidate_seq, 4);
  });
  go();
  t.end();
});

t.test('a callback may refuse only where it may not block', (t) => {
  const { m, mm, task, go } = setup();
  const sub = new mmu_interval_notifier();
  task(function* () {
    yield* mmu_interval_notifier_insert(m, sub, mm, 0, 0x1000, noting([], 'sub', false));
    t.equal(yield* mmu_notifier_invalidate_range_start_nonblock(m, range_of(mm, 0, 0x1000)), -EAGAIN);
    t.equal(mm.notifier_subscriptions?.active_invalidate_ranges, 0, 'the failed start has ended itself');
    t.equal(m.log.warnings.length, 0);
    const range = range_of(mm, 0, 0x1000);
    yield* mmu_notifier_invalidate_range_start(m, range);
    yield* mmu_notifier_invalidate_range_end(m, range);
    t.same(
      m.log.warnings.map((w) => w.fn),
      ['mn_itree_invalidate'],
    );
  });
  go();
  t.end();
});

t.test('an empty range and one that wraps cannot be subscribed to', (t) => {
  const { m, mm, task, go } = setup();
  const sub = new mmu_interval_notifier();
  task(function* () {
    t.equal(yield* mmu_interval_notifier_insert(m, sub, mm, 0x1000, 0, noting([], 'sub')), -EOVERFLOW);
    t.equal(yield* mmu_interval_notifier_insert(m, sub, mm, 2 ** 64 - 4096, 8192, noting([], 'sub')), -EOVERFLOW);
    t.equal(yield* mmu_interval_notifier_insert(m, sub, mm, 0, 2 ** 64 - 4096, noting([], 'sub')), 0, 'all of it can');
  });
  go();
  t.end();
});

t.test('the end of the mm reaches both kinds of subscription once, and holds the mm until they go', (t) => {
  const { m, mm, task, go } = setup();
  const log: string[] = [];
  const sub = new mmu_interval_notifier();
  const whole = new mmu_notifier({
    *release(): Gen<void> {
      log.push('whole');
    },
  });
  task(function* () {
    yield* mmu_interval_notifier_insert(m, sub, mm, 0, 0x1000, noting(log, 'sub'));
    t.equal(yield* mmu_notifier_register(m, whole, mm), 0);
    t.equal(mm.mm_count, 3);
    yield* mmu_notifier_release(m, mm);
    t.same(log, [`sub event ${RELEASE} seq 3`, 'whole']);
    yield* mmu_notifier_unregister(m, whole, mm);
    yield* mmu_interval_notifier_remove(m, sub);
    t.same([log.length, mm.mm_count], [2, 1]);
  });
  go();
  t.end();
});

t.test('the owner of a migration is told to the callbacks', (t) => {
  const { mm } = setup();
  const owner = {};
  const range = new mmu_notifier_range();
  mmu_notifier_range_init_owner(range, MIGRATE, 0, mm, 0, 4096, owner);
  t.equal(range.owner, owner);
  t.equal(range.event, MIGRATE);
  t.end();
});
