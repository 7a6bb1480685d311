// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run longterm-pin-of-coherent-pages-by-the-fast-path

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PIN_FAST, PIN_WRITE } from '../vocabulary/drivers.ts';
import { coherent_config, coherent_params } from '../vocabulary/mirror.ts';
import { pin_coherent } from './longterm-pin-of-coherent-pages-fails.ts';

const regression: RegressionCase = {
  state: 'coherent-v3',
  patch: { subject: 'mm/gup: migrate device coherent pages when pinning instead of failing', where: 'b05a79d4377f' },
  bug: [
    'Coherent device pages are pinned for long by pin_user_pages_fast().',
    'They are refused only behind the walk with locks; the one without finds a page in no movable zone and pins it.',
    'The pin that was to fail is there, and the page cannot leave the device.',
  ],
  fails: { kind: 'assertion', text: 'pinned for long are 0x42,0x42' },
  config: coherent_config,
  params: coherent_params,
  run: (c, x) => pin_coherent(c, x, 2, PIN_WRITE | PIN_FAST),
};

export default regression;
