// SPDX-License-Identifier: GPL-2.0-only
//
// Subject: [HMM v14 13/16] mm/hmm/migrate: new memory migration helper for use with device memory v2
// Upstream: Message-Id 1481215184-18551-14-git-send-email-jglisse@redhat.com; not merged in this form
//
// Bug:
//  1. The helper has all the defects at once that the other cases hmm-v14-* show one by one.
//  2. A program that did not touch all of its pages sees one of them at once: not all pages move.
//
// Running: npm run -s regression -- run hmm-v14-as-posted

import type { RegressionCase } from '../../harness/regression/case.ts';
import empty_places from './hmm-v14-empty-places.ts';

const regression: Omit<RegressionCase, 'slug'> = {
  ...empty_places,
  bug: [
    'The helper has all the defects at once that the other cases hmm-v14-* show one by one.',
    'A program that did not touch all of its pages sees one of them at once: not all pages move.',
  ],
  without: ['hmm-v14', 'hmm-v14-as-posted'],
  fails: { kind: 'assertion', text: 'of 4 pages moved, not 4' },
};

export default regression;
