// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { audit } from '../audit.ts';
import { boot } from '../boot.ts';
import type { Machine, MachineConfig } from '../machine.ts';
import type { Gen } from '../kernel/gen.ts';
import { load_module } from '../kernel/module.ts';
import { run_clean } from '../kernel/testing.ts';
import { folio_nr_pages, page_to_pfn } from '../mm/page.ts';
import { release } from '../mm/testing.ts';
import {
  dmirror_allocate_chunk,
  dmirror_device_evict_chunk,
  dmirror_device_remove_chunks,
  dmirror_devmem_alloc_page,
} from './chunk.ts';
import {
  BACKING_PAGE,
  dmirror,
  type dmirror_chunk,
  type dmirror_device,
  overwrite_mdevice,
  type test_hmm_state,
} from './dmirror.ts';

const MIB = 1024 * 1024;
const CHUNK_PAGES = 65536;
const EINVAL = -22;
const GROUND = 0x40000000;

/** Runs the body on a machine with the driver, for device n, which nobody has opened. */
function run(
  n: number,
  body: (m: Machine, mdevice: dmirror_device, d: dmirror) => Gen<void>,
  config: MachineConfig = {},
): Machine {
  return run_clean(t, boot({ mem: 128 * MIB, thp: 'never', ...config }), function* (m) {
    const params: Record<string, number> = n < 2 ? {} : { spm_addr_dev0: GROUND, spm_addr_dev1: GROUND + 256 * MIB };
    t.equal(yield* load_module(m, 'test_hmm', params), 0);
    const mod = m.modules.data.get('test_hmm') as test_hmm_state;
    const mdevice = mod.dmirror_devices[n];
    yield* body(m, mdevice, new dmirror(999, mdevice));
  });
}

t.test(
  'a private page comes locked, with one reference and a page of system memory behind it, and gives both back',
  (t) => {
    run(0, function* (m, mdevice, d) {
      const free = m.zone.nr_free;
      const last = (mdevice.devmem_chunks as dmirror_chunk[])[0].pagemap.range.end;
      const page = yield* dmirror_devmem_alloc_page(m, d, false);
      t.equal(page_to_pfn(m, page), Math.floor(last / 4096), 'the last of the chunk is first on the list');
      t.same([m.page._refcount[page], m.page.flags[page] & 1], [1, 1]);
      t.equal(m.zone.nr_free, free - 1);
      t.equal(m.page._refcount[BACKING_PAGE(m, page)], 1);
      const name = `pfn 0x${page_to_pfn(m, page).toString(16)}`;
      t.same(audit(m), [
        `lock: folio ${name} is locked`,
        `refcount: device page ${name} (1 pages) has 1 references, 0 are explained`,
      ]);
      const second = yield* dmirror_devmem_alloc_page(m, d, false);
      t.equal(second, page - 1);
      t.same([mdevice.calloc, mdevice.cfree], [2, 0]);
      release(m, page);
      t.equal(yield* dmirror_devmem_alloc_page(m, d, false), page, 'the last one given back is taken first');
      release(m, page);
      release(m, second);
      t.same([mdevice.calloc, mdevice.cfree, m.zone.nr_free], [3, 3, free]);
    });
    t.end();
  },
);

t.test('a huge page needs a chunk of its own, of which it is the last', (t) => {
  const m = run(0, function* (m, mdevice, d) {
    const folio = yield* dmirror_devmem_alloc_page(m, d, true);
    const chunks = mdevice.devmem_chunks as dmirror_chunk[];
    t.equal(chunks.length, 2, 'the first one is all single pages');
    t.equal(folio_nr_pages(m, folio), 512);
    t.equal(folio_nr_pages(m, BACKING_PAGE(m, folio)), 512);
    t.equal((page_to_pfn(m, folio) + 512) * 4096, chunks[1].pagemap.range.end + 1);
    t.equal(mdevice.calloc, 512);
    release(m, folio);
    t.equal(mdevice.cfree, 512);
    t.equal(yield* dmirror_devmem_alloc_page(m, d, true), folio);
    release(m, folio);
  });
  t.match(m.log.lines.at(-1), /^added new 256 MB chunk \(total 2 chunks, 512 MB\) PFNs \[0x[0-9a-f]+ 0x[0-9a-f]+\)$/);
  t.end();
});

t.test('chunks lie beside each other, lists run over them, and all go at once', (t) => {
  run(1, function* (m, mdevice, d) {
    const got = { page: 0 };
    t.equal(yield* dmirror_allocate_chunk(m, mdevice, got, false), 0);
    const [one, two] = mdevice.devmem_chunks as dmirror_chunk[];
    t.not(got.page, 0);
    t.equal(two.pagemap.range.end + 1 - two.pagemap.range.start, 256 * MIB);
    t.ok(two.pagemap.range.end < one.pagemap.range.start || two.pagemap.range.start > one.pagemap.range.end);
    t.equal(mdevice.calloc, 1);
    yield* dmirror_device_evict_chunk(m, one);
    yield* dmirror_device_remove_chunks(m, mdevice);
    t.same([mdevice.devmem_chunks, mdevice.free_pages, mdevice.free_folios, mdevice.devmem_capacity], [null, 0, 0, 0]);
    const page = yield* dmirror_devmem_alloc_page(m, d, false);
    t.equal(mdevice.devmem_chunks?.length, 1, 'a new one is made when a page is asked for');
    release(m, page);
  });
  t.end();
});

t.test('a coherent device has its one range, and its pages are their own memory', (t) => {
  const m = run(
    2,
    function* (m, mdevice, d) {
      const free = m.zone.nr_free;
      const page = yield* dmirror_devmem_alloc_page(m, d, false);
      t.equal(page_to_pfn(m, page), GROUND / 4096 + 2 * CHUNK_PAGES - 1, 'upstream gives minor 2 the second address');
      t.equal(BACKING_PAGE(m, page), page);
      t.equal(m.zone.nr_free, free, 'no system memory is used');
      release(m, page);
      t.equal(mdevice.cfree, 1);
    },
    { mem: 2048 * MIB, reserved: [{ start: GROUND, size: 512 * MIB }] },
  );
  const added = m.log.lines.filter((l) => l.startsWith('added')).map((l) => l.slice(l.indexOf('PFNs')));
  t.same(added.slice(2), ['PFNs [0x50000 0x60000)', 'PFNs [0x40000 0x50000)']);
  t.end();
});

t.test('no memory behind it, no page; no such type, no chunk', (t) => {
  run(
    0,
    function* (m, mdevice, d) {
      const taken: number[] = [];
      for (;;) {
        const page = yield* dmirror_devmem_alloc_page(m, d, false);
        if (page === 0) break;
        taken.push(page);
      }
      t.same([mdevice.calloc, mdevice.devmem_chunks?.length], [taken.length, 1], 'the device has more');
      for (const page of taken) release(m, page);
      t.equal(mdevice.cfree, taken.length);
      const odd = Object.create(mdevice, { zone_device_type: { value: 9 } }) as dmirror_device;
      t.equal(yield* dmirror_allocate_chunk(m, odd, null, false), EINVAL);
    },
    { mem: 64 * MIB },
  );
  t.end();
});

t.test(
  'a mirror whose mdevice is the address of an lru finds a type and a held lock in the struct pages after it',
  (t) => {
    run(2, function* (m, mdevice, d) {
      const page = mdevice.free_pages;
      mdevice.mod.dmirrors.set(d.id, d);
      overwrite_mdevice(m, mdevice.mod, d.id, page - 20);
      mdevice.mod.dmirrors.delete(d.id);
      t.not(d.mdevice, mdevice);
      t.equal(d.mdevice.zone_device_type, -1);
      m.page._mapcount[page - 19] = 1;
      t.equal(d.mdevice.zone_device_type, 1);
      m.page._mapcount[page - 19] = -1;
      t.throws(() => d.mdevice.devmem_chunks, /devmem_chunks/);
      const waiting: Gen<void> = d.mdevice.lock_free_lists(m);
      for (let i = 0; i < 3; i++) t.match(waiting.next().value, { what: /mdevice->lock/ });
      m.page.zone_device_data[page - 10] = 0;
      t.throws(() => waiting.next(), /free_pages/);
    });
    t.end();
  },
);
