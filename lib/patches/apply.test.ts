// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { apply_patches } from './apply.ts';
import { patch_states } from './index.ts';
import { linux_seams } from './seams.ts';

t.test('Linux 7.3.4 has nothing set and its own functions', (t) => {
  const { patch, seam, layout } = apply_patches([]);
  t.same([...new Set(Object.values(patch))], [false]);
  t.same(seam, linux_seams);
  t.same([layout.mpfn_flag, layout.hmm_order_shift, layout.max_swapfiles], [32, 52, 21]);
  t.end();
});

t.test('a state sets what its file says, and nothing else', (t) => {
  for (const p of patch_states) {
    const { patch, seam, layout } = apply_patches([p.id]);
    const set = Object.entries(patch).filter(([, on]) => on);
    t.same(set.map(([name]) => name).sort(), [...(p.sets ?? [])].sort(), p.id);
    t.has(seam, p.seams ?? linux_seams, p.id);
    t.has(layout, p.offsets ?? {}, p.id);
  }
  t.end();
});

t.test('states add up', (t) => {
  const { patch, seam, layout } = apply_patches(['device-private-offsets', 'offsets-no-mpfn-flag', 'no-read-retry']);
  t.ok(patch.no_read_retry);
  t.equal(layout.mpfn_flag, 0);
  t.not(seam.device_private_numbers, linux_seams.device_private_numbers);
  t.equal(seam.device_private_fault, linux_seams.device_private_fault);
  t.end();
});
