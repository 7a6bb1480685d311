// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../machine.ts';
import { EIO } from '../errno.ts';
import type { address_space } from '../fs/fs.ts';
import type { Gen } from '../kernel/gen.ts';
import { filemap_get_entry, filemap_remove_folio } from './filemap/filemap.ts';
import { folio_trylock, folio_unlock } from './filemap/folio_lock.ts';
import { folio_put } from './folio.ts';
import { folio_split } from './huge_memory/split_folio.ts';
import { unmap_mapping_folio } from './memory/zap.ts';
import { folio_test_dirty } from './page-flags.ts';
import { folio_cancel_dirty } from './page-writeback.ts';
import { folio_pfn, folio_size, folio_test_large } from './page.ts';
import { PAGE_SIZE } from './physmem.ts';
import { folio_mapped } from './rmap/rmap.ts';

/**
 * Removes a locked folio from a file after unmapping it. Returns 0, or -EIO if it is no longer in the mapping
 * (mm/truncate.c: truncate_inode_folio()).
 */
export function* truncate_inode_folio(m: Machine, mapping: address_space, folio: number): Gen<number> {
  if (m.page.mapping[folio] !== mapping.id * 4) return -EIO;
  if (folio_mapped(m, folio)) yield* unmap_mapping_folio(m, folio);
  folio_cancel_dirty(m, folio);
  filemap_remove_folio(m, folio);
  return 0;
}

/** Zeroes part of a folio, in bytes (include/linux/highmem.h: folio_zero_range()). */
export function folio_zero_range(m: Machine, folio: number, start: number, length: number): void {
  const pfn = folio_pfn(m, folio);
  while (length > 0) {
    const off = start % PAGE_SIZE;
    const n = Math.min(length, PAGE_SIZE - off);
    m.ram.bytes(pfn + Math.floor(start / PAGE_SIZE)).fill(0, off, off + n);
    start += n;
    length -= n;
  }
}

/**
 * Truncates [start, end] (bytes, end may be Infinity) of a folio: removes the folio if the range covers it, else zeroes
 * the range and splits. Returns false if it could not be split (mm/truncate.c: truncate_inode_partial_folio()).
 */
export function* truncate_inode_partial_folio(m: Machine, folio: number, start: number, end: number): Gen<boolean> {
  const mapping = m.mappings.get(m.page.mapping[folio] >>> 2) as address_space;
  const pos = m.page.index[folio] * PAGE_SIZE;
  const size = folio_size(m, folio);
  const offset = pos < start ? start - pos : 0;
  const length = pos + size <= end ? size - offset : end + 1 - pos - offset;
  if (length === size) {
    yield* truncate_inode_folio(m, mapping, folio);
    return true;
  }
  folio_zero_range(m, folio, offset, length);
  if (!folio_test_large(m, folio)) return true;
  const split_at = folio + Math.floor(offset / PAGE_SIZE);
  if ((yield* folio_split(m, folio, 0, split_at, null)) === 0) {
    if (offset + length === size) return true;
    const end_idx = Math.floor((pos + offset + length) / PAGE_SIZE);
    const folio2 = filemap_get_entry(m, mapping, end_idx);
    if (folio2 === 0) return true;
    if (!folio_trylock(m, folio2)) {
      folio_put(m, folio2);
      return true;
    }
    if (m.page.mapping[folio2] === mapping.id * 4 && folio_test_large(m, folio2)) {
      yield* folio_split(m, folio2, 0, folio2 + (end_idx - m.page.index[folio2]), null);
    }
    folio_unlock(m, folio2);
    folio_put(m, folio2);
    return true;
  }
  if (folio_test_dirty(m, folio)) return false;
  yield* truncate_inode_folio(m, mapping, folio);
  return true;
}
