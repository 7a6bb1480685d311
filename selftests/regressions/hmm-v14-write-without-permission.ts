// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 10/16] mm/hmm/mirror: device page fault handler
// Upstream: Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A device wants to write to a page of a read-only mapping.
//  2. hmm_vma_fault() has it faulted in for writing; what the process gets is not writable.
//  3. It finds that, and faults again, for ever and with the mmap_lock held.
//
// Running: npm run -s regression -- run hmm-v14-write-without-permission

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_v14, v14, V14_ACCESS_WRITE } from '../vocabulary/hmm_v14.ts';
import { small_buffer } from '../vocabulary/memory.ts';
import { thread } from '../vocabulary/racers.ts';
import * as U from '../hmm-tests/uapi.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 10/16] mm/hmm/mirror: device page fault handler',
  upstream: 'Message-Id 1481215184-18551-11-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A device wants to write to a page of a read-only mapping.',
    'hmm_vma_fault() has it faulted in for writing; what the process gets is not writable.',
    'It finds that, and faults again, for ever and with the mmap_lock held.',
  ],
  without: ['hmm-v14', 'hmm-v14-faults-without-permission'],
  with: ['hmm-v14'],
  fails: { kind: 'livelock', text: 'no end after' },
  budget: 3000,
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 1, U.PROT_READ);
    let ret: unknown = 0;
    yield* x.together([
      thread('write by the device', function* (t) {
        ret = yield* v14(t, fd, V14_ACCESS_WRITE, b.ptr, 1, b.mirror);
      }),
    ]);
    x.check(ret === -U.EPERM, `writing to a read-only mapping ended with ${JSON.stringify(ret)}`);
  },
};

export default regression;
