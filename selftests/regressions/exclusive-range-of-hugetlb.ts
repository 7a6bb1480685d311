// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run exclusive-range-of-hugetlb

import type { RegressionCase } from '../../harness/regression/case.ts';
import { take_hugetlb } from './exclusive-access-to-hugetlb.ts';

const regression: RegressionCase = {
  state: 'exclusive-range',
  patch: { subject: 'mm/gup: reject FOLL_SPLIT_PMD with hugetlb VMAs', where: 'CVE-2025-22034' },
  bug: [
    'A device wants exclusive access to a range of a hugetlb mapping.',
    'make_device_exclusive_range() has GUP split its pmd, as if it were one of a transparent huge page.',
    'GUP finds no page in what is left, the fault handler nothing to do, and so on for ever.',
  ],
  with: [],
  fails: { kind: 'livelock', text: 'no end after' },
  config: { nr_hugepages: 2 },
  *run(c, x) {
    const ret = yield* take_hugetlb(c, x, 2);
    x.check(ret < 0, `exclusive access to a hugetlb page ended with ${ret}`);
  },
};

export default regression;
