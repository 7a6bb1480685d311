// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { Oops } from '../../lib/kernel/printk.ts';
import { innermost, record_program, replay_program, same_answer, same_end } from './compare.ts';
import { check_program, type Program } from './format.ts';
import { do_tasks } from './jobs.ts';

const OPS = [
  '0 open 0',
  '0 mmap 16 4 rw anon',
  '0 store 16 4 0x1000',
  '0 fork 1',
  '1 load 16 5',
  '1 store 16 1 0x2000',
  '0 dev 0 read 16 4',
  '1 pagemap 16 4',
  '0 smaps',
  '1 exit',
  '0 fork 1',
  '1 dev 0 read 16 1',
];

const PROGRAM: Program = { id: 'own', theme: 'own', config: { thp: 'never', spm: false }, ops: OPS, results: [] };

function oops_in(path: string[]): Oops {
  return Object.assign(new Oops('BUG: made for a test'), { path });
}

t.test("answers agree if their text does and each warning is on its recorded symbol's call path", async (t) => {
  const warnings = [{ fn: 'pagemap_range', path: ['WARN_ON', 'pagemap_range', 'memremap_pages'] }];
  t.ok(same_answer('0 [0*4]', { body: '0 [0*4]', warnings: [] }));
  t.notOk(same_answer('0 [0*4]', { body: '0 [0*3,1]', warnings: [] }));
  t.ok(same_answer('0 warn=memremap_pages', { body: '0', warnings }), 'the compiled kernel names a caller');
  t.ok(same_answer('0 warn=pagemap_range', { body: '0', warnings }));
  t.ok(same_answer('0 warn=memremap_pages.constprop.0', { body: '0', warnings }), 'or a copy that the compiler made');
  t.notOk(same_answer('0 warn=dmirror_do_fault', { body: '0', warnings }));
  t.notOk(same_answer('0', { body: '0', warnings }), 'a warning that Linux does not give');
  t.notOk(same_answer('0 warn=memremap_pages warn=memremap_pages', { body: '0', warnings }), 'one that it gives twice');
});

t.test('ends agree if the recorded function is one that the kernel was in', async (t) => {
  const oops = oops_in(['memcpy_from_page', 'dmirror_do_read', 'dmirror_read']);
  const end = (symbol: string): { oops: string; bug: string } => ({ oops: symbol, bug: '' });
  t.ok(same_end(end('dmirror_do_read'), { kind: 'oops', oops }));
  t.notOk(same_end(end('remove_migration_pte'), { kind: 'oops', oops }));
  t.notOk(same_end(end('dmirror_do_read'), null));
  t.notOk(same_end(undefined, { kind: 'oops', oops }));
  t.ok(same_end({ hang: true }, { kind: 'hang', waits: [] }));
  t.notOk(same_end({ hang: true }, { kind: 'unmodelled', text: 'not modelled: x' }));
  t.ok(same_end(undefined, null));
  t.equal(innermost(['BUG_ON', 'remove_migration_pte', 'rmap_walk']), 'remove_migration_pte');
});

t.test('what the model records is a recording, and the model agrees with it', async (t) => {
  const recorded = record_program(PROGRAM);
  t.same(check_program(JSON.parse(JSON.stringify(recorded)), 'here'), recorded);
  t.same(recorded.results.slice(0, 7), ['0', '0', '0 [0*4]', '0', '0 [1000+4,!segv]', '0 [0]', '0 c=4 f=1 [1000+4]']);
  t.equal(recorded.results.at(-1), '-9', 'a new child has no device open, also if it takes the number of a dead one');
  t.same(replay_program(recorded, 'own.jsonl'), { id: 'own', identical: true, report: '' });
});

t.test(
  'a difference is shown with the op, both answers, what led there, and the command that replays it',
  async (t) => {
    const recorded = record_program(PROGRAM);
    const results = recorded.results.with(6, '0 c=4 f=1 [1000+2,7,1003]');
    const { identical, report } = replay_program({ ...recorded, results }, 'own.jsonl');
    t.notOk(identical);
    t.match(report, 'program own (own, thp=never, no spm) diverges at op 7 of 12: 0 dev 0 read 16 4');
    t.match(report, '  Linux: 0 c=4 f=1 [1000+2,7,1003]\n  model: 0 c=4 f=1 [1000+4]\n  pages: 18\n');
    t.match(report, '    3: 0 store 16 4 0x1000 => 0 [0*4]\n    4: 0 fork 1 => 0\n');
    t.match(report, /the pages now:\n {4}\S/);
    t.match(report, /again: npm run -s replay -- own\.jsonl --only own$/);
  },
);

t.test('a program that should have ended early and does not, or the other way round, is a difference', async (t) => {
  const recorded = record_program(PROGRAM);
  const end = { oops: 'dmirror_do_read', bug: 'BUG: unable to handle page fault' };
  const { identical, report } = replay_program(
    { ...recorded, results: recorded.results.slice(0, 5), end },
    'own.jsonl',
  );
  t.notOk(identical);
  t.match(
    report,
    'diverges at op 6 of 12: 1 store 16 1 0x2000\n  Linux: oops in dmirror_do_read (BUG: unable to handle page fault)\n  model: 0 [0]\n',
  );
});

t.test('programs run in processes of their own answer the same, in their order', async (t) => {
  const recorded = record_program(PROGRAM);
  const tasks = ['a', 'b', 'c'].map((id) => ({
    mode: 'replay' as const,
    program: { ...recorded, id },
    file: 'own.jsonl',
  }));
  const seen: string[] = [];
  await do_tasks(tasks, 2, ({ outcome }) => {
    t.ok(outcome.identical, outcome.report);
    seen.push(outcome.id);
    return false;
  });
  t.same(seen, ['a', 'b', 'c']);
});
