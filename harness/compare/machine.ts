// SPDX-License-Identifier: GPL-2.0-only
// The machine that a file of results comes from, as far as the file tells.

import { type MachineOptions, SPM_DEFAULT } from '../cli/options.ts';
import type { KtapFile, KtapResult } from '../ktap/ktap.ts';

export type Thp = MachineOptions['thp'];
export const THP_MODES: readonly Thp[] = ['always', 'madvise', 'never'];

/** The assertion of a fixture that could not open its device. */
const NO_DEVICE = /:Expected self->fd\d? \(-1\) >= 0 \(0\)$/;

const could_not_open = (r: KtapResult): boolean =>
  r.verdict === 'FAIL' && r.asserts.some((text) => NO_DEVICE.test(text));

/** Why a file's results say nothing about its kernel, in a sentence, or null if they do. */
export function unusable(file: KtapFile): string | null {
  const results = file.runs.flatMap((run) => run.results);
  const ran = results.filter((r) => r.verdict !== 'skip');
  if (ran.length > 0 && ran.every(could_not_open))
    return (
      'no test could open /dev/hmm_dmirror0: the test_hmm module is not loaded, or the user may not open the device; ' +
      'run it as root by test_hmm.sh smoke'
    );
  if (results.length > 0) return null;
  const said = [...file.notes, ...file.runs.flatMap((run) => run.notes)];
  if (said.some((text) => /as root/.test(text))) return 'the suite did not run: it has to be started as root';
  if (said.some((text) => /CONFIG_TEST_HMM/.test(text)))
    return 'the suite did not run: the kernel lacks the module test_hmm (CONFIG_TEST_HMM=m)';
  if (said.some((text) => /modprobe/.test(text))) return `the suite did not run: ${said[0]}`;
  return null;
}

/** Whether the machine had coherent device memory: null if no result tells. */
export function has_coherent(file: KtapFile): boolean | null {
  const coherent = file.runs.flatMap((run) => run.results).filter((r) => r.name.includes('coherent'));
  // A test that has no device is skipped at once: one that the run ended in had it.
  const open = file.runs.some((run) => run.unfinished.some((name) => name.includes('coherent')));
  if (coherent.length === 0) return open ? true : null;
  return coherent.some((r) => r.verdict !== 'skip' && !could_not_open(r));
}

/** The order in which to try the THP modes, the likeliest first, by the failures that each gives on Linux 7.3.4. */
export function likely_modes(file: KtapFile): readonly Thp[] {
  const results = file.runs.flatMap((run) => run.results);
  const failed = (pattern: RegExp): boolean => results.some((r) => r.verdict === 'FAIL' && pattern.test(r.name));
  if (failed(/private\.migrate_anon_huge_(?:zero_)?err$/)) return ['never', 'always', 'madvise'];
  const whole = file.runs.some((run) => run.results.length > 10);
  const spm = has_coherent(file) === true;
  if (whole && spm && !failed(/coherent\.(?:migrate_multiple|hmm_gup_test|migrate_remap_fault)$/))
    return ['madvise', 'always', 'never'];
  return THP_MODES;
}

/** Where the coherent memory is put when the file does not say: nothing depends on the addresses. */
export function derived_spm(file: KtapFile): MachineOptions['spm'] {
  return has_coherent(file) === true ? SPM_DEFAULT : null;
}

/** A machine in words. */
export function machine_text({ thp, spm, mem, patches }: MachineOptions): string {
  const hex = (a: number): string => `0x${a.toString(16)}`;
  const coherent = spm === null ? 'no coherent memory' : `coherent memory at ${hex(spm[0])} and ${hex(spm[1])}`;
  const gib = mem / 1024 ** 3;
  const states = patches.length > 0 ? `, with ${patches.join(', ')}` : '';
  return `THP ${thp}, ${coherent}, ${Number.isInteger(gib) ? `${gib} GiB` : `${mem / 1024 ** 2} MiB`}${states}`;
}
