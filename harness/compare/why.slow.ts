// SPDX-License-Identifier: GPL-2.0-only
// The file that a kernel in some patch state would leave is explained by that state. With SLOW=1 for every state in
// every recorded configuration, and for pairs of states, with the time that each took on standard error; ONLY=never+spm
// restricts it to one configuration, PAIRS=0 to single states.

import { readFileSync } from 'node:fs';
import t from 'tap';
import { check_patches } from '../../lib/patches/check_patches.ts';
import { patch_states, type PatchId } from '../../lib/patches/index.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { type MachineOptions, SPM_DEFAULT, STANDARD_MACHINE } from '../cli/options.ts';
import { needs_of } from '../regression/case.ts';
import { compare_file } from './comparison.ts';
import { EFFECTS } from './effects.ts';
import { explain, type Explained } from './explain.ts';
import { parse_results } from './judge.ts';
import { HEAVY, type ModelRun } from './model.ts';
import { Pool, run_to_its_end } from './pool.ts';
import { recording } from './recording.ts';
import { complete } from './why.ts';

const SLOW = process.env.SLOW === '1';
const STUCK_SECONDS = 15;
const P = 'hmm.hmm_device_private';

t.setTimeout(SLOW ? 0 : 300_000);

const pool = new Pool(new URL('../bin/compare.ts', import.meta.url), ['--worker', '-']);
t.teardown(() => pool.close());

/** A run with states, up to the test that it does not come to the end of. */
const run_with = (tests: readonly string[], machine: MachineOptions): Promise<ModelRun> =>
  run_to_its_end(pool, { tests, machine }, STUCK_SECONDS);

/** Seconds of CPU time that this process's children have used, those that are gone too; Linux only. */
function children_seconds(): number {
  const [HZ, UTIME, CUTIME] = [100, 11, 13];
  const stat = (pid: string): string[] => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  const sum = (fields: string[], from: number): number => Number(fields[from]) + Number(fields[from + 1]);
  const own = sum(stat('self'), CUTIME);
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8')
    .split(' ')
    .filter((pid) => pid !== '');
  return (own + children.reduce((n, pid) => n + sum(stat(pid), UTIME), 0)) / HZ;
}

async function explained(
  text: string,
  thp: MachineOptions['thp'] | null,
): Promise<{ c: Explained; seconds: number; cpu: number }> {
  const since = performance.now();
  const before = SLOW ? children_seconds() : 0;
  const file = parse_results({ text, cut: false }, 'a file', hmm_tests);
  const given = { thp, spm: null, mem: STANDARD_MACHINE.mem, patches: [], ignore_log: false };
  const found = await compare_file(pool, file, hmm_tests, given);
  const c = await explain(pool, found, hmm_tests, false, async () => []);
  return { c, seconds: (performance.now() - since) / 1000, cpu: SLOW ? children_seconds() - before : 0 };
}

/** Whether an explanation is a set of states, or one that leaves the very same file. */
async function is_named(
  c: Explained,
  states: readonly PatchId[],
  text: string,
  tests: readonly string[],
): Promise<PatchId[] | null> {
  for (const e of c.why?.explanations ?? []) {
    const same = e.states.length === states.length && states.every((id) => e.states.includes(id));
    if (same || recording(await run_with(tests, { ...c.machine, patches: e.states }), tests) === text)
      return [...e.states];
  }
  return null;
}

t.test('a pair of states is named for the file that it leaves, and what the tests do is told', async (t) => {
  const states: readonly PatchId[] = ['no-8a295dbbaf72', 'no-10b9feee2d0d'];
  const tests = [`${P}.open_close`, `${P}.migrate_anon_huge_fault`, 'hmm2.hmm2_device_private.double_map'];
  const text = recording(await run_with(tests, { ...STANDARD_MACHINE, patches: states }), tests);
  const { c } = await explained(text, 'always');
  const found = c.why?.explanations ?? [];
  t.ok(found.length > 0 && complete(found[0]), 'it is explained', { found });
  t.ok(
    found.some((e) => states.every((id) => e.states.includes(id))),
    'both are named',
    { found },
  );
  t.match(c.steps.get('hmm2.hmm2_device_private.double_map')?.join('\n'), /HMM_DMIRROR_READ A, 6 pages/);
});

t.test('a state in which a test does not end is named for a run that ends in it', async (t) => {
  const tests = [`${P}.anon_write`, `${P}.anon_write_prot`];
  const result = `#  RUN           ${tests[0]} ...\nok 1 ${tests[0]}\n`;
  const { c } = await explained(`TAP version 13\n1..2\n${result}#  RUN           ${tests[1]} ...\n`, 'always');
  t.match(c.judgement.missing.join('\n'), /anon_write_prot was started and has no result/);
  const found = c.why?.explanations ?? [];
  t.ok(
    found.some((e) => e.states.includes('no-hmm-write-check') && complete(e)),
    'no-hmm-write-check is named',
    { found },
  );
});

t.test('what no state does is not explained', async (t) => {
  const text = `TAP version 13\n1..1\nnot ok 1 ${P}.open_close\n`;
  const { c } = await explained(text, 'always');
  t.same(c.why?.explanations, []);
  t.ok((c.why?.tried ?? 0) > 50, 'all states were tried');
});

const CONFIGURATIONS: Readonly<Record<string, MachineOptions>> = {
  always: STANDARD_MACHINE,
  'always+spm': { ...STANDARD_MACHINE, spm: SPM_DEFAULT },
  'madvise+spm': { ...STANDARD_MACHINE, thp: 'madvise', spm: SPM_DEFAULT },
  'never+spm': { ...STANDARD_MACHINE, thp: 'never', spm: SPM_DEFAULT },
};

/** The tests of the second file about which it differs from the first. */
function changed(a: string, b: string): string[] {
  const parts = (text: string): Map<string, string> =>
    new Map(
      text
        .split(/^(?=# {2}RUN)/m)
        .map((part) => part.replace(/^\[.*?\]/gm, '').replace(/^# Totals.*$/m, ''))
        .map((part) => [/^# {2}RUN +(\S+)/.exec(part)?.[1] ?? '', part] as const),
    );
  const [x, y] = [parts(a), parts(b)];
  return [...y.keys()].filter((name) => name !== '' && x.get(name) !== y.get(name));
}

if (SLOW) {
  const tests = hmm_tests()
    .names()
    .filter((name) => !HEAVY.test(name));
  const names = Object.keys(CONFIGURATIONS).filter((name) => (process.env.ONLY ?? name) === name);
  for (const configuration of names) {
    t.test(
      `every state that changes a result with THP ${configuration} is named`,
      { timeout: 7_200_000 },
      async (t) => {
        const machine = CONFIGURATIONS[configuration];
        const base = recording(await run_with(tests, machine), tests);
        const files = new Map<PatchId, string>();
        const effects: Record<string, string[]> = {};
        const judged: { states: string; cpu: number; named: string }[] = [];
        const judge = async (states: readonly PatchId[], label: string, text: string): Promise<void> => {
          const { c, seconds, cpu } = await explained(text, machine.thp);
          const named = await is_named(c, states, text, tests);
          const others = (c.why?.explanations.length ?? 0) - 1;
          judged.push({ states: label, cpu, named: named?.join('+') ?? 'NOT named' });
          process.stderr.write(
            `${configuration} ${label}: ${named?.join('+') ?? 'NOT named'}, ${others} others, ` +
              `${seconds.toFixed(1)} s, ${cpu.toFixed(1)} s of CPU time\n`,
          );
          t.ok(named !== null, label, { found: c.why, differences: c.judgement.differences.slice(0, 5) });
        };
        for (const { id } of patch_states) {
          const states = check_patches([...needs_of(id), id]);
          const text = recording(await run_with(tests, { ...machine, patches: states }), tests);
          const effect = changed(base, text);
          if (effect.length === 0) continue;
          files.set(id, text);
          effects[id] = effect;
          await judge(states, id, text);
        }
        if (EFFECTS[configuration] !== undefined) t.same(effects, EFFECTS[configuration], 'effects.ts is true');
        if (process.env.EFFECTS === '1')
          process.stderr.write(`EFFECTS ${JSON.stringify({ [configuration]: effects })}\n`);
        const ids = [...files.keys()];
        for (const [i, a] of process.env.PAIRS === '0' ? [] : ids.entries()) {
          for (const b of ids.slice(i + 1)) {
            let states: PatchId[];
            try {
              states = check_patches([...new Set([...needs_of(a), a, ...needs_of(b), b])]);
            } catch {
              continue;
            }
            const text = recording(await run_with(tests, { ...machine, patches: states }), tests);
            if (
              changed(files.get(a) as string, text).length === 0 ||
              changed(files.get(b) as string, text).length === 0
            )
              continue;
            await judge(states, `${a} and ${b}`, text);
          }
        }
        const times = judged.map((it) => it.cpu).sort((a, b) => a - b);
        t.comment(`${judged.length} files, ${judged.filter((it) => it.named !== 'NOT named').length} explained`);
        t.comment(`CPU time: median ${times[times.length >> 1]?.toFixed(1)} s, most ${times.at(-1)?.toFixed(1)} s`);
      },
    );
  }
}
