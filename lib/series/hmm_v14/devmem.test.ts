// SPDX-License-Identifier: GPL-2.0-only

import { user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean } from '../../kernel/testing.ts';
import { unlock_page } from '../../mm/filemap/folio_lock.ts';
import { put_page } from '../../mm/folio.ts';
import { zone_device_folio_init } from '../../mm/memremap.ts';
import type { mm_struct, vm_area_struct } from '../../mm/mm_types.ts';
import { mmap_read_lock, mmap_read_unlock } from '../../mm/mmap_lock.ts';
import { folio_test_locked } from '../../mm/page-flags.ts';
import { pfn_to_page } from '../../mm/page.ts';
import { __free_pages } from '../../mm/page_alloc.ts';
import { vm_mmap } from '../../mm/util.ts';
import { vma_lookup } from '../../mm/vma/vma.ts';
import { hmm_devmem_add, hmm_devmem_fault_range, hmm_devmem_remove, hmm_vma_alloc_locked_page } from './devmem.ts';
import { dev_page_allow_migrate, hmm_devmem, is_addressable_page, page_devmem } from './hmm.ts';
import type { hmm_migrate_ops } from './migrate.ts';
import t from 'tap';

const MIB = 1024 * 1024;
const SIGBUS_FAULT = 2;
const EINVAL = 22;

function run(body: (m: Machine, mm: mm_struct) => Gen<void>): void {
  run_clean(t, boot({ mem: 128 * MIB, thp: 'never', patches: ['hmm-v14'] }), body);
}

function devmem(freed: number[] = []): hmm_devmem {
  return new hmm_devmem({
    free: (_m, _devmem, page) => void freed.push(page),
    *fault() {
      return SIGBUS_FAULT;
    },
  });
}

t.test('memory is hotplugged with the kind that it is said to have, and goes again', async (t) => {
  run(function* (m) {
    const freed: number[] = [];
    const d = devmem(freed);
    t.equal(yield* hmm_devmem_add(m, d, 'test', 128 * MIB), 0);
    t.equal(d.pfn_last - d.pfn_first, 128 * 256);
    const page = pfn_to_page(m, d.pfn_first);
    zone_device_folio_init(m, page, d.pagemap, 0);
    t.equal(page_devmem(m, page), d);
    t.ok(dev_page_allow_migrate(m, page));
    t.notOk(is_addressable_page(m, page));
    unlock_page(m, page);
    put_page(m, page);
    t.same(freed, [page]);
    yield* hmm_devmem_remove(m, d);
    const again = devmem();
    t.equal(yield* hmm_devmem_add(m, again, 'test', 128 * MIB, 1 + 4), 0);
    t.equal(again.pfn_first, d.pfn_first, 'its place is free again');
    t.notOk(dev_page_allow_migrate(m, pfn_to_page(m, again.pfn_first)));
    yield* hmm_devmem_remove(m, again);
  });
});

t.test('what is not device memory is refused, and leaves nothing behind', async (t) => {
  run(function* (m) {
    t.equal(yield* hmm_devmem_add(m, devmem(), 'test', 128 * MIB, 2 + 4), -EINVAL);
    const d = devmem();
    t.equal(yield* hmm_devmem_add(m, d, 'test', 128 * MIB), 0);
    yield* hmm_devmem_remove(m, d);
  });
});

t.test('a fault ends in a bus error where the driver has lost the page', async (t) => {
  run(function* (m, mm) {
    const buf = yield* vm_mmap(m, null, 0, 8192, 3, 0x22, 0);
    yield* user_store32(m, buf, 1);
    yield* user_store32(m, buf + 4096, 1);
    const vma = vma_lookup(mm, buf) as vm_area_struct;
    const ops: hmm_migrate_ops = {
      *alloc_and_copy(_m, _vma, _src, dst) {
        dst[0] = 8;
      },
      *finalize_and_map() {},
    };
    const fault = (addr: number, end = buf + 8192): Gen<number> =>
      hmm_devmem_fault_range(m, vma, ops, new Float64Array(2), new Float64Array(2), buf, addr, end, null);
    yield* mmap_read_lock(m, mm);
    t.equal(yield* fault(buf + 100), SIGBUS_FAULT);
    t.equal(yield* fault(buf + 5000), 0);
    t.equal(yield* fault(buf, buf), SIGBUS_FAULT, 'a range that makes no sense');
    mmap_read_unlock(m, mm);
    const page = yield* hmm_vma_alloc_locked_page(m, vma, buf);
    t.ok(folio_test_locked(m, page));
    unlock_page(m, page);
    __free_pages(m, page, 0);
  });
});
