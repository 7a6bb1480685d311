// SPDX-License-Identifier: GPL-2.0-only

import type { RaceCase } from '../../harness/explore/engine.ts';
import { evict_cases } from './evict.ts';
import { exclusive_cases } from './exclusive.ts';
import { fault_cases } from './faults.ts';
import { migrate_cases } from './migrate.ts';
import { range_cases } from './range.ts';
import { reap_cases } from './reap.ts';
import { thp_cases } from './thp.ts';
import { uffd_cases } from './uffd.ts';

/** The races that Linux 7.3.4 wins, whatever the interleaving. */
export const race_cases: readonly RaceCase[] = [
  ...fault_cases,
  ...evict_cases,
  ...exclusive_cases,
  ...range_cases,
  ...migrate_cases,
  ...thp_cases,
  ...uffd_cases,
  ...reap_cases,
];
