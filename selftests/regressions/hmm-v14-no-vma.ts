// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. A driver hands hmm_vma_migrate() the vma that it found at an address, which is none.
//  2. is_vm_hugetlb_page() looks into it before anybody asks whether it is there.
//
// Running: npm run -s regression -- run hmm-v14-no-vma

import type { RegressionCase } from '../../harness/regression/case.ts';
import { open_v14, v14, V14_TO_DEVICE } from '../vocabulary/hmm_v14.ts';
import { PAGE, small_buffer } from '../vocabulary/memory.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  subject: '[HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2',
  upstream: 'Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form',
  bug: [
    'A driver hands hmm_vma_migrate() the vma that it found at an address, which is none.',
    'is_vm_hugetlb_page() looks into it before anybody asks whether it is there.',
  ],
  without: ['hmm-v14', 'hmm-v14-vma-checked-late'],
  with: ['hmm-v14'],
  fails: { kind: 'oops', text: 'NULL pointer dereference, address: 0000000000000020' },
  *run(c, x) {
    const fd = yield* open_v14(c, x);
    const b = yield* small_buffer(c, x, 2);
    yield* c.munmap(b.ptr, b.size);
    const ret = yield* v14(c, fd, V14_TO_DEVICE, b.ptr, 2);
    x.check(ret === -22, `migrating where nothing is mapped ended with ${JSON.stringify(ret)}`);
    const past = yield* v14(c, fd, V14_TO_DEVICE, b.mirror, (b.size / PAGE) * 1024);
    x.check(past === -22, `migrating past the end of a mapping ended with ${JSON.stringify(past)}`);
  },
};

export default regression;
