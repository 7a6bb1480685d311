// SPDX-License-Identifier: GPL-2.0-only

import type { offset_layout } from '../mm/device_private.ts';
import type { PatchId } from './index.ts';
import type { Seams } from './seams.ts';

/** One way in which a machine can differ from Linux 7.3.4: the default export of the file of its name. NON-KERNEL. */
export interface PatchState {
  /** what boot({ patches }) takes, and the name of the file */
  id: PatchId;
  /**
   * 'series': applied as posted or merged; 'reverted': a fix of 7.3.4 taken back out; 'proposed': a fix that 7.3.4
   * lacks. The name of the folder.
   */
  kind: 'series' | 'reverted' | 'proposed';
  /** of the patch or of the cover letter */
  subject: string;
  /** year, or year-month-day, of the posting or the commit */
  date: string;
  /** commit id, Message-Id or the seed document that discusses it */
  where: string;
  /** true if Linux 7.3.4 has the patch */
  merged: boolean;
  /** what the machine does differently in this state, in one or two sentences */
  changes: string;
  /** what goes wrong without the fix, or with the series, step by step, as the regression case of the state shows it */
  bug?: readonly string[];
  /** states that must hold too */
  needs?: readonly PatchId[];
  /** states that cannot hold at the same time */
  excludes?: readonly PatchId[];
  /** what is true of m.patch in this state, and else false; the lines that differ ask for it */
  sets?: readonly string[];
  /** its own implementations of whole functions */
  seams?: Partial<Seams>;
  /** what is different in the numbers of device-private pages that have offsets */
  offsets?: Partial<offset_layout>;
}
