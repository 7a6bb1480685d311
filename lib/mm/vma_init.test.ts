// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { run_clean, small_machine } from '../kernel/testing.ts';
import { map_anon, vma_of } from './testing.ts';
import { vm_area_alloc, vm_area_dup, vm_area_free } from './vma_init.ts';

const [PAGE, MAP] = [4096, 0x200000000];

t.test('a copy has all that describes the mapping and nothing that links it', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    yield* map_anon(m, MAP, 2);
    const orig = vma_of(mm, MAP);
    const copy = vm_area_dup(m, orig);
    t.same(
      [copy.vm_start, copy.vm_end, copy.vm_flags, copy.vm_page_prot, copy.vm_pgoff, copy.vm_mm === mm],
      [MAP, MAP + 2 * PAGE, orig.vm_flags, orig.vm_page_prot, orig.vm_pgoff, true],
    );
    t.same(copy.anon_vma_chain, []);
    t.ok(copy.detached);
    vm_area_free(m, copy);
    t.throws(() => vm_area_free(m, orig), { name: 'Oops' }, 'one that is attached cannot be freed');
  });
  t.end();
});

t.test('a new one is empty', (t) => {
  run_clean(t, small_machine(), function* (m, mm) {
    const vma = vm_area_alloc(m, mm);
    t.same([vma.vm_start, vma.vm_end, vma.vm_flags, vma.vm_file], [0, 0, 0, null]);
  });
  t.end();
});
