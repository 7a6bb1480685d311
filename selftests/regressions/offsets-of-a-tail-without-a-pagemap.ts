// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-of-a-tail-without-a-pagemap

import type { RegressionCase } from '../../harness/regression/case.ts';
import { read_page_of_large_folio } from './offsets-forgotten-by-a-split.ts';

const regression: RegressionCase = {
  state: 'offsets-split-tail',
  fails: { kind: 'oops', text: 'NULL pointer' },
  run: read_page_of_large_folio,
};

export default regression;
