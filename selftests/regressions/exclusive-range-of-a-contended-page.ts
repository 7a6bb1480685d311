// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-range-of-a-contended-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { two_devices_take_a_page } from './exclusive-access-to-a-contended-page.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: {
    subject: 'mm/rmap: avoid -EBUSY from make_device_exclusive()',
    where: 'seed 001, part of the rework of 2025',
  },
  bug: [
    'Two devices want exclusive access to one page at the same time.',
    'The first has the lock of the folio while it takes the mappings down.',
    'make_device_exclusive_range() for the second finds the lock taken, leaves a hole where the page would be, and the request ends with -EBUSY.',
  ],
  with: [],
  fails: { kind: 'assertion', text: 'ended with -16' },
  schedule: 'hmm1:1:22.1>2',
  run: two_devices_take_a_page,
};

export default regression;
