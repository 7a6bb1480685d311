// SPDX-License-Identifier: GPL-2.0-only

import type { RaceCase } from '../../harness/explore/engine.ts';

/** Every race that can be explored, by name. */
export const race_cases: readonly RaceCase[] = [];
