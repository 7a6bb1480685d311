// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../machine.ts';
import { WARN_ON, WARN_ON_ONCE } from '../../kernel/printk.ts';
import {
  folio_clear_partially_mapped,
  folio_set_partially_mapped,
  folio_test_large_rmappable,
  folio_test_partially_mapped,
  folio_test_swapcache,
} from '../page-flags.ts';
import { folio_order, folio_ref_count, large } from '../page.ts';
import {
  count_mthp_stat,
  count_vm_event,
  folio_test_pmd_mappable,
  mod_mthp_stat,
  MTHP_STAT_NR_ANON_PARTIALLY_MAPPED,
  MTHP_STAT_SPLIT_DEFERRED,
} from './sysfs.ts';

/**
 * Removes the folio from the deferred split queue. Returns false if it was not queued. NON-KERNEL: upstream calls
 * __list_lru_del() on its _deferred_list.
 */
export function deferred_split_del(m: Machine, folio: number): boolean {
  const l = large(m, folio);
  if (!l.on_deferred_list) return false;
  l.on_deferred_list = false;
  m.thp.deferred_split_lru.delete(folio);
  return true;
}

/** Clears PG_partially_mapped and its counter. NON-KERNEL: part of upstream's __folio_unqueue_deferred_split(). */
export function clear_partially_mapped(m: Machine, folio: number): void {
  if (!folio_test_partially_mapped(m, folio)) return;
  folio_clear_partially_mapped(m, folio);
  mod_mthp_stat(m, folio_order(m, folio), MTHP_STAT_NR_ANON_PARTIALLY_MAPPED, -1);
}

/**
 * Queues a large anonymous folio to be split under memory pressure. Sets PG_partially_mapped if `partially_mapped`
 * (mm/huge_memory.c: deferred_split_folio()).
 */
export function deferred_split_folio(m: Machine, folio: number, partially_mapped: boolean): void {
  const order = folio_order(m, folio);
  if (order <= 1) return;
  if (!partially_mapped && !m.thp.split_underused_thp) return;
  if (folio_test_swapcache(m, folio)) return;
  if (partially_mapped) {
    if (!folio_test_partially_mapped(m, folio)) {
      folio_set_partially_mapped(m, folio);
      if (folio_test_pmd_mappable(m, folio)) count_vm_event(m, 'THP_DEFERRED_SPLIT_PAGE');
      count_mthp_stat(m, order, MTHP_STAT_SPLIT_DEFERRED);
      mod_mthp_stat(m, order, MTHP_STAT_NR_ANON_PARTIALLY_MAPPED, 1);
    }
  } else {
    WARN_ON(m, folio_test_partially_mapped(m, folio), 'deferred_split_folio');
  }
  const l = large(m, folio);
  if (l.on_deferred_list) return;
  l.on_deferred_list = true;
  m.thp.deferred_split_lru.add(folio);
}

/**
 * Removes a folio whose refcount is 0 from the deferred split queue. Returns false if it was not queued (mm/internal.h:
 * folio_unqueue_deferred_split()).
 */
export function folio_unqueue_deferred_split(m: Machine, folio: number): boolean {
  if (folio_order(m, folio) <= 1 || !folio_test_large_rmappable(m, folio)) return false;
  if (!large(m, folio).on_deferred_list) return false;
  WARN_ON_ONCE(m, folio_ref_count(m, folio) !== 0, '__folio_unqueue_deferred_split');
  deferred_split_del(m, folio);
  clear_partially_mapped(m, folio);
  return true;
}
