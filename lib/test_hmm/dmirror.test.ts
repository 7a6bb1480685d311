// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { device_page_table, DPT_XA_TAG_ATOMIC, DPT_XA_TAG_WRITE, xa_pointer_tag, xa_untag_pointer } from './dmirror.ts';

t.test('an entry answers its page and its tag', (t) => {
  const pt = new device_page_table();
  pt.store(0x7fffffff0, 123456, DPT_XA_TAG_WRITE);
  const entry = pt.load(0x7fffffff0);
  t.equal(xa_untag_pointer(entry), 123456);
  t.equal(xa_pointer_tag(entry), DPT_XA_TAG_WRITE);
  t.equal(pt.load(0x7fffffff1), 0);
  t.end();
});

t.test('erasing takes both ends, over as many pieces as it covers', (t) => {
  const pt = new device_page_table();
  for (let pfn = 500; pfn < 2000; pfn++) pt.store(pfn, pfn, 0);
  pt.erase(510, 1030);
  t.same(
    [509, 510, 1030, 1031].map((pfn) => pt.load(pfn) !== 0),
    [true, false, false, true],
  );
  pt.erase(0, 2 ** 52);
  t.equal(pt.load(1999), 0);
  t.end();
});

t.test('a tag is found only inside of the range', (t) => {
  const pt = new device_page_table();
  pt.store(700, 1, DPT_XA_TAG_ATOMIC);
  t.ok(pt.has_tag(0, 2 ** 52, DPT_XA_TAG_ATOMIC));
  t.ok(pt.has_tag(700, 700, DPT_XA_TAG_ATOMIC));
  t.notOk(pt.has_tag(701, 900, DPT_XA_TAG_ATOMIC));
  t.notOk(pt.has_tag(0, 2 ** 52, DPT_XA_TAG_WRITE));
  t.end();
});
