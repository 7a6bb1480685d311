// SPDX-License-Identifier: GPL-2.0-only
//
// Running: npm run -s regression -- run offsets-need-no-physical-space

import type { RegressionCase } from '../../harness/regression/case.ts';
import { PAGE, small_buffer, word } from '../vocabulary/memory.ts';
import { must, open_device } from '../vocabulary/mirror.ts';
import { OFFSETS } from '../vocabulary/offsets.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: RegressionCase = {
  state: 'device-private-offsets',
  bug: [
    'A machine has 33 bits of physical address, and memory and devices take all of them.',
    'A driver has 256 MiB of private memory and asks request_free_mem_region() for as much address space; there is none.',
    'The device cannot be used, although no CPU would ever have used one of the addresses.',
  ],
  without: [],
  with: OFFSETS,
  fails: { kind: 'assertion', text: 'loading test_hmm ended with -12' },
  config: { mem: 7 * 1024 ** 3, phys_bits: 33 },
  params: null,
  *run(c, x) {
    const loaded = yield* x.modprobe('test_hmm');
    x.check(loaded === 0, `loading test_hmm ended with ${loaded}`);
    const fd = yield* open_device(c, x, 0);
    const b = yield* small_buffer(c, x, 4);
    yield* must(c, x, fd, U.HMM_DMIRROR_MIGRATE_TO_DEV, b, 4, 'migrating to the device');
    for (let i = 0; i < 4; i++) x.check((yield* c.load32(b.ptr + i * PAGE)) === word(i), `page ${i} came back changed`);
  },
};

export default regression;
