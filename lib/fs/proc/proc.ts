// SPDX-License-Identifier: GPL-2.0-only

import { copy_from_user, copy_to_user } from '../../arch/x86/mm/uaccess.ts';
import type { Machine } from '../../machine.ts';
import { EFAULT, EINVAL, ERANGE, ESRCH } from '../../errno.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type task_struct } from '../../kernel/sched/core.ts';
import { hugetlb_report_meminfo, nr_hugepages_store_common } from '../../mm/hugetlb/pool.ts';
import type { file_operations } from '../fs.ts';
import { type proc_pid_entry, vfs_register_file, vfs_register_text } from '../namei.ts';
import { proc_mem_operations } from './mem.ts';
import { proc_kpagecount_operations, proc_kpageflags_operations } from './page.ts';
import { proc_pagemap_operations } from './task_mmu/pagemap.ts';
import { show_maps, show_smaps, task_mem } from './task_mmu/task_mmu.ts';

/** fs/proc/meminfo.c: show_val_kb() */
function meminfo_line(label: string, pages: number): string {
  return `${`${label}:`.padEnd(16)}${String(pages * 4).padStart(8)} kB\n`;
}

/** Returns the text of /proc/meminfo, the modelled lines only (fs/proc/meminfo.c: meminfo_proc_show()). */
function meminfo_proc_show(m: Machine): string {
  return (
    meminfo_line('MemTotal', m.zone.managed_pages) +
    meminfo_line('MemFree', m.zone.nr_free) +
    meminfo_line('SwapCached', 0) +
    meminfo_line('SwapTotal', 0) +
    meminfo_line('SwapFree', 0) +
    meminfo_line('Committed_AS', m.vm_committed_as) +
    hugetlb_report_meminfo(m)
  );
}

/** fs/proc/array.c: get_task_state() */
function state_name(t: task_struct): string {
  if (t.exit_state !== 'alive') return 'Z (zombie)';
  if (t.state === TASK_RUNNING) return 'R (running)';
  return t.state === TASK_INTERRUPTIBLE ? 'S (sleeping)' : 'D (disk sleep)';
}

/** Returns the text of /proc/PID/status, the modelled lines only (fs/proc/array.c: proc_pid_status()). */
function proc_pid_status(m: Machine, t: task_struct): string {
  return (
    `Name:\t${t.comm}\nState:\t${state_name(t)}\nTgid:\t${t.tgid}\nNgid:\t0\nPid:\t${t.pid}\nPPid:\t${t.group_leader.real_parent?.tgid ?? 0}\n` +
    `TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n${t.mm === null ? '' : task_mem(m, t.mm)}`
  );
}

// characters of the longest number: a sign, 32 binary digits and a newline (kstrtouint_from_user())
const KSTRTOUINT_CHARS = 34;

/**
 * Parses a 32-bit number in C notation, decimal, octal or hexadecimal, optionally followed by a newline; returns it or
 * -errno (lib/kstrtox.c: kstrtouint()).
 */
function kstrtouint(text: string): number {
  const hit = /^\+?(?:0x([0-9a-f]+)|(0[0-7]*)|([1-9][0-9]*))/i.exec(text);
  if (hit === null) return -EINVAL;
  const [all, hex, octal, decimal] = hit;
  const value = BigInt(hex !== undefined ? `0x${hex}` : octal !== undefined ? `0o${octal}` : decimal);
  if (value > 0xffffffffffffffffn) return -ERANGE;
  if (!['', '\n'].includes(text.slice(all.length))) return -EINVAL;
  return value > 0xffffffffn ? -ERANGE : Number(value);
}

/** Makes the n-th fallible allocation of the file's task fail. NON-KERNEL: upstream's stand in fs/proc/base.c. */
const proc_fail_nth_operations: file_operations = {
  *read(m, f, buf, count, pos) {
    const task = f.f_inode.i_private as task_struct;
    if (task.exit_state === 'dead') return -ESRCH;
    const text = new TextEncoder().encode(`${m.slab.fail_nth.get(task.pid) ?? 0}\n`);
    const n = Math.min(count, text.length - pos);
    if (n <= 0) return 0;
    const left = yield* copy_to_user(m, buf, text.subarray(pos, pos + n), n);
    return left === n ? -EFAULT : n - left;
  },
  *write(m, f, buf, count) {
    const bytes = new Uint8Array(Math.min(count, KSTRTOUINT_CHARS));
    if ((yield* copy_from_user(m, bytes, buf, bytes.length)) !== 0) return -EFAULT;
    const n = kstrtouint((String.fromCharCode(...bytes).split('\0') as [string])[0]);
    if (n < 0) return n;
    const task = f.f_inode.i_private as task_struct;
    if (task.exit_state === 'dead') return -ESRCH;
    if (n === 0) m.slab.fail_nth.delete(task.pid);
    else m.slab.fail_nth.set(task.pid, n);
    return count;
  },
};

const comm: proc_pid_entry = { show: (_m, t) => `${t.comm}\n` };
const pagemap: file_operations = proc_pagemap_operations;

/** Registers the memory files of /proc, of processes and of the machine (fs/proc/root.c: proc_root_init()). */
export function proc_init(m: Machine): void {
  const pid = m.vfs.proc_pid;
  pid.set('maps', { show: (mm, t) => (t.mm === null ? '' : show_maps(mm, t.mm)) });
  pid.set('smaps', { show: (mm, t) => (t.mm === null ? '' : show_smaps(mm, t.mm)) });
  pid.set('status', { show: proc_pid_status });
  pid.set('comm', comm);
  pid.set('pagemap', { fops: pagemap });
  pid.set('mem', { fops: proc_mem_operations });
  vfs_register_file(m, '/proc/kpagecount', 0o400, proc_kpagecount_operations);
  vfs_register_file(m, '/proc/kpageflags', 0o400, proc_kpageflags_operations);
  if (m.config.fault_injection) pid.set('fail-nth', { fops: proc_fail_nth_operations });
  vfs_register_text(m, '/proc/meminfo', 0o444, { show: meminfo_proc_show });
  vfs_register_text(m, '/proc/sys/vm/nr_hugepages', 0o644, {
    show: (mm) => `${mm.hugetlb.default_hstate.max_huge_pages}\n`,
    store: (mm, buf) => {
      const words = buf.trim().split(/\s+/);
      const n = Number(words[0]);
      if (words[0] === '' || words[0] === undefined || !Number.isInteger(n) || n < 0) return -EINVAL;
      return nr_hugepages_store_common(mm, mm.hugetlb.default_hstate, n);
    },
  });
  vfs_register_text(m, '/proc/sys/vm/nr_overcommit_hugepages', 0o644, {
    show: (mm) => `${mm.hugetlb.default_hstate.nr_overcommit_huge_pages}\n`,
    store: (mm, buf) => {
      const n = Number(buf.trim());
      if (!Number.isInteger(n) || n < 0) return -EINVAL;
      mm.hugetlb.default_hstate.nr_overcommit_huge_pages = n;
      return 0;
    },
  });
  vfs_register_text(m, '/proc/sys/vm/overcommit_memory', 0o444, { show: () => '0\n' });
}
