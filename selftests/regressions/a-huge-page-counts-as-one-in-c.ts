// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run a-huge-page-counts-as-one-in-c

import type { RegressionCase } from '../../harness/regression/case.ts';

const regression: RegressionCase = {
  state: 'fix-compound-cpages',
  fails: { kind: 'assertion', text: 'cpages is 1' },
  program: 'a-huge-page-counts-as-one.c',
};

export default regression;
