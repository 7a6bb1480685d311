// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import * as U from './uapi.ts';

t.test('the commands are _IOWR of type H with a struct of 40 bytes', (t) => {
  t.same(
    [
      U.HMM_DMIRROR_READ,
      U.HMM_DMIRROR_WRITE,
      U.HMM_DMIRROR_MIGRATE_TO_DEV,
      U.HMM_DMIRROR_MIGRATE_TO_SYS,
      U.HMM_DMIRROR_SNAPSHOT,
      U.HMM_DMIRROR_EXCLUSIVE,
      U.HMM_DMIRROR_CHECK_EXCLUSIVE,
      U.HMM_DMIRROR_RELEASE,
      U.HMM_DMIRROR_FLAGS,
      U.HMM_DMIRROR_READ_UNLOCKED,
    ],
    [
      0xc0284800, 0xc0284801, 0xc0284802, 0xc0284803, 0xc0284804, 0xc0284805, 0xc0284806, 0xc0284807, 0xc0284808,
      0xc0284809,
    ],
  );
  t.match(U.HMM_DMIRROR_CMD, { size: 40, addr: 0, ptr: 8, npages: 16, cpages: 24, faults: 32 });
  t.end();
});

t.test(
  'a byte of a snapshot: the rights in bits 0 and 1, the size of the mapping in 2 and 3, where the page is above',
  (t) => {
    t.same(
      [U.HMM_DMIRROR_PROT_NONE, U.HMM_DMIRROR_PROT_READ, U.HMM_DMIRROR_PROT_WRITE, U.HMM_DMIRROR_PROT_ERROR],
      [0, 1, 2, 0xff],
    );
    t.same([U.HMM_DMIRROR_PROT_PMD, U.HMM_DMIRROR_PROT_PUD], [4, 8]);
    t.same(
      [
        U.HMM_DMIRROR_PROT_ZERO,
        U.HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL,
        U.HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE,
        U.HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL,
        U.HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE,
      ],
      [0x10, 0x20, 0x30, 0x40, 0x50],
    );
    t.same(
      [U.HMM_DMIRROR_MEMORY_DEVICE_PRIVATE, U.HMM_DMIRROR_MEMORY_DEVICE_COHERENT, U.HMM_DMIRROR_FLAG_FAIL_ALLOC],
      [1, 2, 1],
    );
    t.end();
  },
);
