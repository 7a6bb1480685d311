// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run hmm-v14-as-posted

import type { RegressionCase } from '../../harness/regression/case.ts';
import empty_places from './hmm-v14-empty-places.ts';

const regression: RegressionCase = {
  ...empty_places,
  state: 'hmm-v14-as-posted',
  fails: { kind: 'assertion', text: 'of 4 pages moved, not 4' },
};

export default regression;
