// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-flag-is-a-bit-of-the-order

import type { RegressionCase } from '../../harness/regression/case.ts';
import { expect_huge_page_in_snapshot } from './offsets-in-a-huge-device-page-table.ts';

const regression: RegressionCase = {
  state: 'offsets-rfc-order-shift',
  fails: { kind: 'assertion', text: 'of the huge page is' },
  run: expect_huge_page_in_snapshot,
};

export default regression;
