// SPDX-License-Identifier: GPL-2.0-only

import type { PatchId } from '../../lib/patches/index.ts';
import type { MachineOptions } from '../cli/options.ts';

/** The tests of a whole run, without those that take long, that each state changes on one kind of machine. */
type Effects = Partial<Record<PatchId, readonly string[]>>;

/** By THP mode, with `+spm` where there is coherent memory. A hint where to look first; why.test.ts holds it true. */
export const EFFECTS: Readonly<Record<string, Effects>> = {};

export function effects_on({ thp, spm }: MachineOptions): Effects {
  return EFFECTS[`${thp}${spm === null ? '' : '+spm'}`] ?? {};
}
