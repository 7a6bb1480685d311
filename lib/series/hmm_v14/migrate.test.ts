// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { pte_pfn, pte_present } from '../../arch/x86/mm/pgtable/pgtable.ts';
import { user_load32, user_store32 } from '../../arch/x86/mm/uaccess.ts';
import { boot } from '../../boot.ts';
import type { Machine } from '../../machine.ts';
import { walk_address } from '../../inspect.ts';
import type { Gen } from '../../kernel/gen.ts';
import { run_clean } from '../../kernel/testing.ts';
import { folio_trylock } from '../../mm/filemap/folio_lock.ts';
import { put_page } from '../../mm/folio.ts';
import { swp_type } from '../../mm/leafops.ts';
import { zone_device_folio_init } from '../../mm/memremap.ts';
import { type mm_struct, type vm_area_struct, VM_PFNMAP } from '../../mm/mm_types.ts';
import { vm_munmap } from '../../mm/mmap/mmap.ts';
import { mmap_read_lock, mmap_read_unlock } from '../../mm/mmap_lock.ts';
import { page_to_pfn, pfn_to_page } from '../../mm/page.ts';
import { alloc_page } from '../../mm/page_alloc.ts';
import { vm_mmap } from '../../mm/util.ts';
import { vma_lookup } from '../../mm/vma/vma.ts';
import type { PatchId } from '../../patches/index.ts';
import { hmm_devmem_add, hmm_devmem_remove } from './devmem.ts';
import { hmm_devmem } from './hmm.ts';
import { type hmm_migrate_ops, hmm_vma_migrate } from './migrate.ts';

// The numbers, declared again.
const [VALID, WRITE, DEVICE, LOCKED, MIGRATE, UNADDRESSABLE] = [1, 4, 32, 64, 256, 512];
const PAGE = 4096;
const EINVAL = 22;
const PRIVATE_WRITE = 0x1c;

/** A process with four pages, the last one untouched, and a device. */
class Fixture {
  readonly m: Machine;
  readonly freed: number[] = [];
  readonly devmem: hmm_devmem;
  buf = 0;
  vma!: vm_area_struct;
  readonly src = new Float64Array(4);
  dst = new Float64Array(4);
  /** What src contained at either callback. */
  offered: number[] = [];
  moved: number[] = [];
  private next = 0;
  constructor(m: Machine) {
    this.m = m;
    this.devmem = new hmm_devmem({
      free: (_m, _devmem, page) => void this.freed.push(page),
      *fault() {
        throw new Error('unexpected fault');
      },
    });
  }
  *init(): Gen<void> {
    const { m } = this;
    t.equal(yield* hmm_devmem_add(m, this.devmem, 'test', 128 * 1024 * 1024), 0);
    this.next = this.devmem.pfn_first;
    this.buf = yield* vm_mmap(m, null, 0, 4 * PAGE, 3, 0x22, 0);
    for (let i = 0; i < 3; i++) yield* user_store32(m, this.buf + i * PAGE, 100 + i);
    this.vma = vma_lookup(m.current.mm as mm_struct, this.buf) as vm_area_struct;
  }
  pte(i: number): number {
    return walk_address(this.m.current.mm as mm_struct, this.buf + i * PAGE).entry;
  }
  device_page(): number {
    const page = pfn_to_page(this.m, this.next++);
    zone_device_folio_init(this.m, page, this.devmem.pagemap, 0);
    return page;
  }
  system_page(): number {
    const page = alloc_page(this.m, 0x100);
    folio_trylock(this.m, page);
    return page;
  }
  ops(make: (i: number) => number): hmm_migrate_ops {
    const { offered, moved } = this;
    return {
      *alloc_and_copy(m, _vma, src, dst) {
        offered.push(...src);
        for (let i = 0; i < 4; i++) {
          const page = src[i] & MIGRATE ? make(i) : 0;
          dst[i] = page === 0 ? 0 : page_to_pfn(m, page) * 1024 + VALID + LOCKED;
        }
      },
      *finalize_and_map(_m, _vma, src) {
        moved.push(...src);
      },
    };
  }
  *migrate(make: (i: number) => number): Gen<number> {
    const { m } = this;
    this.offered = [];
    this.moved = [];
    yield* mmap_read_lock(m, m.current.mm as mm_struct);
    const ret = yield* hmm_vma_migrate(
      m,
      this.ops(make),
      this.vma,
      this.src,
      this.dst,
      this.buf,
      this.buf + 4 * PAGE,
      null,
    );
    mmap_read_unlock(m, m.current.mm as mm_struct);
    return ret;
  }
  *end(): Gen<void> {
    yield* vm_munmap(this.m, this.buf, 4 * PAGE);
    yield* hmm_devmem_remove(this.m, this.devmem);
  }
}

function run(patches: PatchId[], body: (f: Fixture) => Gen<void>): void {
  run_clean(t, boot({ mem: 128 * 1024 * 1024, thp: 'never', patches: ['hmm-v14', ...patches] }), function* (m) {
    const f = new Fixture(m);
    yield* f.init();
    yield* body(f);
    yield* f.end();
  });
}

t.test('pages go to the device with their flags, and back', async (t) => {
  run([], function* (f) {
    const old = pte_pfn(f.pte(0));
    t.equal(yield* f.migrate(() => f.device_page()), 0);
    t.equal(f.offered[0], old * 1024 + VALID + WRITE + LOCKED + MIGRATE);
    t.equal(f.offered[3], MIGRATE, 'nothing was mapped here');
    t.same(f.moved, f.offered);
    for (let i = 0; i < 4; i++) t.equal(swp_type(f.pte(i)), PRIVATE_WRITE);

    t.equal(yield* f.migrate((i) => (i === 1 ? 0 : f.system_page())), 0);
    t.equal(f.offered[0], f.devmem.pfn_first * 1024 + VALID + WRITE + DEVICE + LOCKED + MIGRATE + UNADDRESSABLE);
    t.same(
      f.moved.map((e) => (e & MIGRATE) !== 0),
      [true, false, true, true],
    );
    t.same(
      [0, 1, 2, 3].map((i) => pte_present(f.pte(i))),
      [true, false, true, true],
    );
    t.equal(f.freed.length, 3);
  });
});

t.test('as posted, places without a page and the zero page are no matter of the device', async (t) => {
  run(['hmm-v14-as-posted'], function* (f) {
    yield* user_load32(f.m, f.buf + 3 * PAGE);
    t.equal(yield* f.migrate(() => f.device_page()), 0);
    t.equal(f.offered[3], 0);
    t.same(
      f.offered.slice(0, 3).map((e) => e & MIGRATE),
      [MIGRATE, MIGRATE, MIGRATE],
    );
  });
  run([], function* (f) {
    yield* user_load32(f.m, f.buf + 3 * PAGE);
    t.equal(yield* f.migrate((i) => (i === 3 ? f.device_page() : 0)), 0);
    t.equal(f.offered[3], MIGRATE);
    t.equal(swp_type(f.pte(3)), PRIVATE_WRITE);
    t.ok(pte_present(f.pte(0)));
  });
});

t.test('a page with one reference too many stays mapped, and is not offered', async (t) => {
  run([], function* (f) {
    const page = pfn_to_page(f.m, pte_pfn(f.pte(1)));
    f.m.page._refcount[page]++;
    t.equal(yield* f.migrate(() => f.device_page()), 0);
    t.equal(f.offered[1], 0);
    t.equal(pfn_to_page(f.m, pte_pfn(f.pte(1))), page);
    put_page(f.m, page);
  });
});

t.test('device memory of others is not collected', async (t) => {
  run([], function* (f) {
    t.equal(yield* f.migrate((i) => (i === 0 ? f.device_page() : 0)), 0);
    f.devmem.flags = 1 + 4;
    t.equal(yield* f.migrate(() => 0), 0);
    t.same(
      f.offered.map((e) => (e & MIGRATE) !== 0),
      [false, true, true, true],
    );
  });
});

t.test('arguments that make no sense are refused', async (t) => {
  run([], function* (f) {
    const { m, buf, vma, src, dst } = f;
    const ops = f.ops(() => 0);
    const end = buf + 4 * PAGE;
    const call = (
      ...a: [hmm_migrate_ops | null, vm_area_struct | null, Float64Array | null, Float64Array | null, number, number]
    ): Gen<number> => hmm_vma_migrate(m, ...a, null);
    t.equal(yield* call(ops, null, src, dst, buf, end), -EINVAL);
    t.equal(yield* call(null, vma, src, dst, buf, end), -EINVAL);
    t.equal(yield* call(ops, vma, null, dst, buf, end), -EINVAL);
    t.equal(yield* call(ops, vma, src, null, buf, end), -EINVAL);
    t.equal(yield* call(ops, vma, src, dst, buf, buf + PAGE - 1), -EINVAL, 'less than a page');
    t.equal(yield* call(ops, vma, src, dst, buf - PAGE, end), -EINVAL);
    t.equal(yield* call(ops, vma, src, dst, buf, vma.vm_end + PAGE), -EINVAL);
    vma.vm_flags |= VM_PFNMAP;
    t.equal(yield* call(ops, vma, src, dst, buf, end), -EINVAL);
    vma.vm_flags &= ~VM_PFNMAP;
  });
});
