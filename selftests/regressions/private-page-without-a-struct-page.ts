// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run private-page-without-a-struct-page

import type { RegressionCase } from '../../harness/regression/case.ts';
import { close_device_of_a_page } from './free-device-page-can-be-taken.ts';

const regression: RegressionCase = {
  state: 'no-private-subpage',
  fails: { kind: 'oops', text: 'unable to handle page fault for address: ffffea' },
  run: close_device_of_a_page,
};

export default regression;
