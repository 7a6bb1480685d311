// SPDX-License-Identifier: GPL-2.0-only
// The kernel with seed 000's series, in which device-private pages have offsets instead of pfns, behaves like Linux
// 7.3.4 except for the numbers of swap types.

import { fileURLToPath } from 'node:url';
import t from 'tap';
import { audit } from '../../lib/audit.ts';
import { boot } from '../../lib/boot.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module } from '../../lib/kernel/module.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { hmm_buffer_alloc, hmm_dmirror_cmd } from '../../selftests/hmm-tests/buffer.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { pagemap } from '../../selftests/vocabulary/proc.ts';
import { SPM_DEFAULT } from '../cli/options.ts';
import { judge, read_results } from '../compare/judge.ts';
import type { CaseContext, RaceCase } from '../explore/engine.ts';
import { explore } from '../explore/search.ts';
import { renumber_swap_types, replay_program } from './compare.ts';
import { read_recording } from './format.ts';
import { parse_ops } from './run.ts';
import * as U from '../../selftests/hmm-tests/uapi.ts';

const SERIES = ['device-private-offsets'] as const;
const PAGE = 4096;
const path = (name: string): string => fileURLToPath(new URL(`../../selftests/${name}`, import.meta.url));

t.test('recorded programs replay as they do without the series', (t) => {
  const file = path('programs/sample.jsonl.gz');
  const all = read_recording(file);
  const some = all.filter((program, i) => i % 40 === 3 && program.ops.some((op) => op.includes('to_dev')));
  t.ok(some.length >= 5, `${some.length} programs use device memory`);
  for (const program of some) t.equal(replay_program(program, file, {}, SERIES).report, '', program.id);
  t.end();
});

t.test(
  'swap types of device entries are lower by the three that the series adds, and that of markers is the same',
  (t) => {
    const [pagemap, load] = parse_ops(['0 pagemap 16 3', '0 load 16 1'], 'test');
    t.equal(renumber_swap_types(pagemap, '0 [1c4,1f4,9]', 21), '0 [194,1f4,9]');
    t.equal(renumber_swap_types(pagemap, '0 [1c4]', 24), '0 [1c4]');
    t.equal(renumber_swap_types(load, '0 [1c4]', 21), '0 [1c4]');
    t.end();
  },
);

t.test('tests of private and coherent memory, of one device and of two, give the recorded results', async (t) => {
  const file = await read_results(path('results/spm-never.ktap'), hmm_tests);
  const [run] = file.runs;
  const wanted =
    /\.(migrate_fault|anon_teardown|snapshot|migrate_mixed|exclusive_cow|hmm_cow_in_device|migrate_anon_huge_err)$/;
  const results = run.results.filter((r) => wanted.test(r.name));
  t.ok(results.length >= 10, `${results.length} tests`);
  const j = judge({ ...file, runs: [{ ...run, plan: results.length, results }] }, hmm_tests, {
    thp: 'never',
    spm: SPM_DEFAULT,
    mem: 6 * 1024 ** 3,
    patches: SERIES,
  });
  t.same(j.errors, []);
  t.same(j.differences, []);
  t.equal(j.compared, results.length);
});

t.test('an offset is used again once its memory was given back, and pagemap shows it', (t) => {
  const m = boot({ mem: 128 * 1024 ** 2, patches: SERIES });
  const seen: ({ type: number; offset: number } | { pfn: number } | null)[] = [];
  const status = runProgram(m, function* (c) {
    const loaded = yield* load_module(m, 'test_hmm', {});
    const fd = yield* c.open('/dev/hmm_dmirror0', U.O_RDWR);
    const b = yield* hmm_buffer_alloc(c, PAGE, PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1);
    if (loaded !== 0 || fd < 0 || b === null) return 1;
    yield* c.store32(b.ptr, 1);
    for (const request of [U.HMM_DMIRROR_MIGRATE_TO_DEV, U.HMM_DMIRROR_RELEASE, U.HMM_DMIRROR_MIGRATE_TO_DEV]) {
      if ((yield* hmm_dmirror_cmd(c, fd, request, b, 1)) !== 0) return 2;
      seen.push(yield* pagemap(c, b.ptr));
    }
    return (yield* c.load32(b.ptr)) === 1 ? 0 : 3;
  });
  t.equal(status, 0);
  const first = { type: 0x19, offset: 0xffff };
  t.same(
    [seen[0], seen[2]],
    [first, first],
    'the last page of the first chunk, both times, as a writable private entry',
  );
  t.match(seen[1], { pfn: Number });
  t.same(audit(m), []);
  t.end();
});

/** A process forks, changes protections and reads while all memory of its device is evicted. */
function eviction(racer: (t: Libc, addr: number, x: CaseContext) => Gen<void>): RaceCase {
  return {
    name: 'eviction',
    summary: 'eviction against what downgrades migration entries',
    *run(c, x) {
      const fd = yield* c.open('/dev/hmm_dmirror0', U.O_RDWR);
      const evictor = yield* c.open('/dev/hmm_dmirror0', U.O_RDWR);
      const b = yield* hmm_buffer_alloc(c, PAGE, PAGE, U.PROT_READ | U.PROT_WRITE, U.MAP_PRIVATE | U.MAP_ANONYMOUS, -1);
      if (b === null) throw new Error('no memory');
      yield* c.store32(b.ptr, 1);
      x.check((yield* hmm_dmirror_cmd(c, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 1)) === 0, 'the page does not migrate');
      yield* x.together([
        {
          name: 'evict the device',
          kind: 'thread',
          run: function* (t) {
            yield* t.close(evictor);
          },
        },
        {
          name: 'downgrade',
          kind: 'thread',
          run: function* (t) {
            yield* racer(t, b.ptr, x);
          },
        },
      ]);
      x.check((yield* c.load32(b.ptr)) === 1, 'the page is lost');
    },
  };
}

t.test(
  'fork() and mprotect() on a migration entry of a private page leave it one, in every interleaving that is tried',
  (t) => {
    const races = [
      eviction(function* (p, addr): Gen<void> {
        yield* p.mprotect(addr, PAGE, U.PROT_READ);
      }),
      eviction(function* (p, addr, x): Gen<void> {
        const child = yield* p.fork(function* (q) {
          return (yield* q.load32(addr)) === 1 ? 0 : 1;
        });
        x.check((yield* p.waitpid(child)).status === 0, 'the child does not read what its parent wrote');
      }),
    ];
    for (const race of races) {
      const { failed } = explore(race, { strategy: 'random', schedules: 60, bound: 0, seed: 7, patches: SERIES });
      t.equal(failed?.failure?.text ?? 'no failure', 'no failure');
    }
    t.end();
  },
);
