// SPDX-License-Identifier: GPL-2.0-only

import type { Machine } from '../../boot.ts';
import { EFAULT, EINVAL } from '../../errno.ts';
import { TASK_INTERRUPTIBLE, TASK_RUNNING, type task_struct } from '../../kernel/sched.ts';
import { hugetlb_report_meminfo } from '../../mm/hugetlb.ts';
import { nr_hugepages_store_common } from '../../mm/hugetlb_sysfs.ts';
import { copy_from_user } from '../../mm/uaccess.ts';
import type { file_operations } from '../fs.ts';
import { vfs_register_text, type proc_pid_entry } from '../namei.ts';
import { proc_pagemap_operations, show_maps, show_smaps, task_mem } from './task_mmu.ts';

function meminfo_line(label: string, pages: number): string {
  return `${`${label}:`.padEnd(16)}${String(pages * 4).padStart(8)} kB\n`;
}

/** The text of /proc/meminfo, of which the lines that this model counts (fs/proc/meminfo.c: meminfo_proc_show()). */
export function meminfo_proc_show(m: Machine): string {
  return (
    meminfo_line('MemTotal', m.zone.managed_pages) + meminfo_line('MemFree', m.zone.nr_free) + meminfo_line('SwapCached', 0) +
    meminfo_line('SwapTotal', 0) + meminfo_line('SwapFree', 0) + meminfo_line('Committed_AS', m.vm_committed_as) + hugetlb_report_meminfo(m)
  );
}

function state_name(t: task_struct): string {
  if (t.exit_state !== 'alive') return 'Z (zombie)';
  if (t.state === TASK_RUNNING) return 'R (running)';
  return t.state === TASK_INTERRUPTIBLE ? 'S (sleeping)' : 'D (disk sleep)';
}

/** The text of /proc/PID/status, of which the lines that this model knows (fs/proc/array.c: proc_pid_status()). */
export function proc_pid_status(m: Machine, t: task_struct): string {
  return (
    `Name:\t${t.comm}\nState:\t${state_name(t)}\nTgid:\t${t.tgid}\nNgid:\t0\nPid:\t${t.pid}\nPPid:\t${t.real_parent?.tgid ?? 0}\n` +
    `TracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n${t.mm === null ? '' : task_mem(m, t.mm)}`
  );
}

// The n-th allocation of the writer that can fail does (fs/proc/base.c: proc_fail_nth_write()); of other tasks' files there is none.
const proc_fail_nth_operations: file_operations = {
  *write(m, _f, buf, count) {
    const bytes = new Uint8Array(Math.min(count, 16));
    if ((yield* copy_from_user(m, bytes, buf, bytes.length)) !== 0) return -EFAULT;
    const text = new TextDecoder().decode(bytes).trim();
    if (!/^[0-9]+$/.test(text)) return -EINVAL;
    if (Number(text) === 0) m.slab.fail_nth.delete(m.current.pid);
    else m.slab.fail_nth.set(m.current.pid, Number(text));
    return count;
  },
};

const comm: proc_pid_entry = { show: (_m, t) => `${t.comm}\n` };
const pagemap: file_operations = proc_pagemap_operations;

/** Registers /proc: what concerns memory, of a process and of the machine (fs/proc/root.c: proc_root_init()). */
export function proc_init(m: Machine): void {
  const pid = m.vfs.proc_pid;
  pid.set('maps', { show: (mm, t) => (t.mm === null ? '' : show_maps(mm, t.mm)) });
  pid.set('smaps', { show: (mm, t) => (t.mm === null ? '' : show_smaps(mm, t.mm)) });
  pid.set('status', { show: proc_pid_status });
  pid.set('comm', comm);
  pid.set('pagemap', { fops: pagemap });
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
