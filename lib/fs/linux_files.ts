// SPDX-License-Identifier: GPL-2.0-only
// Which files the recorded kernel has below /proc and /sys, as find(1) listed them there, so that one that is not modelled
// is told from one that Linux lacks. NON-KERNEL.

/** Names by directory; `#` is any name, or any number and what follows it. */
const NAMES: Readonly<Record<string, string>> = {
  '/proc':
    'acpi buddyinfo bus cgroups cmdline config.gz consoles cpuinfo crypto devices diskstats dma driver execdomains ' +
    'filesystems fs interrupts iomem ioports irq kallsyms kmsg kpagecgroup kpagecount kpageflags loadavg locks ' +
    'meminfo misc modules mounts net pagetypeinfo partitions self softirqs stat swaps sys thread-self timer_list ' +
    'tty uptime version vmallocinfo vmstat zoneinfo',
  '/proc/bus': 'input pci',
  '/proc/bus/input': 'devices handlers',
  '/proc/bus/pci': '# devices',
  '/proc/fs': 'nfsd',
  '/proc/irq': '# default_smp_affinity',
  '/proc/irq/#':
    '# affinity_hint effective_affinity effective_affinity_list node smp_affinity smp_affinity_list spurious',
  '/proc/sys': 'debug dev fs kernel net user vm',
  '/proc/sys/debug': 'exception-trace',
  '/proc/sys/dev': 'tty',
  '/proc/sys/dev/tty': 'ldisc_autoload legacy_tiocsti',
  '/proc/sys/fs':
    'aio-max-nr aio-nr dentry-negative dentry-state epoll file-max file-nr inode-nr inode-state lease-break-time ' +
    'leases-enable mount-max nr_open overflowgid overflowuid pipe-max-size pipe-user-pages-hard ' +
    'pipe-user-pages-soft protected_fifos protected_hardlinks protected_regular protected_symlinks suid_dumpable',
  '/proc/sys/fs/epoll': 'max_user_watches',
  '/proc/sys/kernel':
    'arch bootloader_type bootloader_version cad_pid cap_last_cap ctrl-alt-del dmesg_restrict domainname hostname ' +
    'io_delay_type kernel_sys_info kptr_restrict max_lock_depth max_rcu_stall_to_panic modprobe modules_disabled ' +
    'ngroups_max oops_all_cpu_backtrace oops_limit osrelease ostype overflowgid overflowuid panic panic_on_io_nmi ' +
    'panic_on_oops panic_on_rcu_stall panic_on_unrecovered_nmi panic_on_warn panic_print panic_sys_info ' +
    'perf_cpu_time_max_percent perf_event_max_contexts_per_stack perf_event_max_sample_rate perf_event_max_stack ' +
    'perf_event_mlock_kb perf_event_paranoid pid_max poweroff_cmd print-fatal-signals printk printk_delay ' +
    'printk_devkmsg printk_ratelimit printk_ratelimit_burst pty random randomize_va_space ' +
    'sched_deadline_period_max_us sched_deadline_period_min_us sched_rr_timeslice_ms sched_rt_period_us ' +
    'sched_rt_runtime_us sysctl_writes_strict tainted threads-max timer_migration unknown_nmi_panic usermodehelper ' +
    'version warn_limit',
  '/proc/sys/kernel/pty': 'max nr reserve',
  '/proc/sys/kernel/random': 'boot_id entropy_avail poolsize urandom_min_reseed_secs uuid write_wakeup_threshold',
  '/proc/sys/kernel/usermodehelper': 'bset inheritable',
  '/proc/sys/net': 'core unix',
  '/proc/sys/net/core':
    'busy_poll busy_read bypass_prot_mem dev_weight dev_weight_rx_bias dev_weight_tx_bias devconf_inherit_init_net ' +
    'fb_tunnels_only_for_init_net flow_limit_cpu_bitmap flow_limit_table_len gro_normal_batch ' +
    'high_order_alloc_disable max_skb_frags mem_pcpu_rsv message_burst message_cost netdev_budget ' +
    'netdev_budget_usecs netdev_max_backlog netdev_rss_key netdev_tstamp_prequeue netdev_unregister_timeout_secs ' +
    'optmem_max qdisc_max_burst rmem_default rmem_max rps_default_mask rps_sock_flow_entries skb_defer_max ' +
    'somaxconn tstamp_allow_data txq_reselection_ms txrehash warnings wmem_default wmem_max',
  '/proc/sys/net/unix': 'max_dgram_qlen',
  '/proc/sys/user':
    'max_cgroup_namespaces max_ipc_namespaces max_mnt_namespaces max_net_namespaces max_pid_namespaces ' +
    'max_time_namespaces max_user_namespaces max_uts_namespaces',
  '/proc/sys/vm':
    'admin_reserve_kbytes compact_memory compact_unevictable_allowed compaction_proactiveness defrag_mode ' +
    'dirty_background_bytes dirty_background_ratio dirty_bytes dirty_expire_centisecs dirty_ratio ' +
    'dirty_writeback_centisecs dirtytime_expire_seconds drop_caches extfrag_threshold hugetlb_optimize_vmemmap ' +
    'hugetlb_shm_group laptop_mode legacy_va_layout lowmem_reserve_ratio max_map_count memfd_noexec min_free_kbytes ' +
    'mmap_min_addr mmap_rnd_bits movable_gigantic_pages nr_hugepages nr_overcommit_hugepages oom_dump_tasks ' +
    'oom_kill_allocating_task overcommit_kbytes overcommit_memory overcommit_ratio page-cluster ' +
    'page_lock_unfairness panic_on_oom percpu_pagelist_high_fraction stat_interval stat_refresh swappiness ' +
    'unprivileged_userfaultfd user_reserve_kbytes vfs_cache_pressure vfs_cache_pressure_denom ' +
    'watermark_boost_factor watermark_scale_factor',
  '/proc/tty': 'driver drivers ldisc ldiscs',
  '/proc/tty/driver': 'serial_8250',
  '/sys': 'kernel',
  '/sys/kernel':
    'address_bits boot_params cgroup cpu_byteorder debug fscaps irq mm notes oops_count rcu_expedited rcu_normal ' +
    'rcu_stall_count reboot software_nodes uevent_seqnum warn_count',
  '/sys/kernel/boot_params': 'data version',
  '/sys/kernel/cgroup': 'delegate features',
  '/sys/kernel/debug':
    'acpi bdi block clear_warn_once device_component devices_deferred extfrag fault_around_bytes gup_test hid ' +
    'mailbox multigrain_timestamps rseq sched sleep_time split_huge_pages swiotlb x86',
  '/sys/kernel/debug/bdi': '#',
  '/sys/kernel/debug/bdi/#': 'stats wb_stats',
  '/sys/kernel/debug/block': 'zram0',
  '/sys/kernel/debug/extfrag': 'extfrag_index unusable_index',
  '/sys/kernel/debug/mailbox': 'mailbox_summary',
  '/sys/kernel/debug/rseq': 'debug',
  '/sys/kernel/debug/sched':
    'base_slice_ns debug fair_server features latency_warn_ms latency_warn_once llc_balancing migration_cost_ns ' +
    'nr_migrate tunable_scaling verbose',
  '/sys/kernel/debug/sched/fair_server': 'cpu#',
  '/sys/kernel/debug/sched/fair_server/cpu#': 'period runtime',
  '/sys/kernel/debug/sched/llc_balancing':
    'aggr_tolerance enabled epoch_affinity_timeout epoch_period imb_pct overaggr_pct',
  '/sys/kernel/debug/swiotlb': 'io_tlb_nslabs io_tlb_used io_tlb_used_hiwater',
  '/sys/kernel/debug/x86': 'init_pkru nmi_longest_ns tlb_single_page_flush_ceiling topo',
  '/sys/kernel/debug/x86/topo': 'cpus domains',
  '/sys/kernel/debug/x86/topo/cpus': '0 1',
  '/sys/kernel/irq': '#',
  '/sys/kernel/irq/#': 'actions chip_name hwirq name per_cpu_count type wakeup',
  '/sys/kernel/mm': 'hugepages ksm swap transparent_hugepage',
  '/sys/kernel/mm/hugepages': 'hugepages-#',
  '/sys/kernel/mm/hugepages/hugepages-#':
    'demote demote_size free_hugepages nr_hugepages nr_overcommit_hugepages resv_hugepages surplus_hugepages',
  '/sys/kernel/mm/ksm':
    'advisor_max_cpu advisor_max_pages_to_scan advisor_min_pages_to_scan advisor_mode advisor_target_scan_time ' +
    'full_scans general_profit ksm_zero_pages max_page_sharing pages_scanned pages_shared pages_sharing ' +
    'pages_skipped pages_to_scan pages_unshared pages_volatile run sleep_millisecs smart_scan stable_node_chains ' +
    'stable_node_chains_prune_millisecs stable_node_dups use_zero_pages',
  '/sys/kernel/mm/swap': 'vma_ra_enabled',
  '/sys/kernel/mm/transparent_hugepage':
    'defrag enabled hpage_pmd_size hugepages-# khugepaged shmem_enabled shrink_underused use_zero_page',
  '/sys/kernel/mm/transparent_hugepage/hugepages-#': 'enabled shmem_enabled stats',
  '/sys/kernel/mm/transparent_hugepage/hugepages-#/stats':
    'anon_fault_alloc anon_fault_fallback anon_fault_fallback_charge collapse_alloc collapse_alloc_failed ' +
    'collapse_exceed_none_pte collapse_exceed_shared_pte collapse_exceed_swap_pte nr_anon nr_anon_partially_mapped ' +
    'shmem_alloc shmem_fallback shmem_fallback_charge split split_deferred split_failed swpin swpin_fallback ' +
    'swpin_fallback_charge swpout swpout_fallback zswpout',
  '/sys/kernel/mm/transparent_hugepage/khugepaged':
    'alloc_sleep_millisecs defrag full_scans max_ptes_none max_ptes_shared max_ptes_swap pages_collapsed ' +
    'pages_to_scan scan_sleep_millisecs',
  '/sys/kernel/reboot': 'cpu force hw_protection mode type',
};

/** what the list holds in full: devices, drivers and modules depend on the machine */
const LISTED = /^\/(proc|sys\/kernel)(\/|$)/;

/** Returns true for a path of the list. NON-KERNEL. */
function listed(path: string): boolean {
  return PATTERNS.some((pattern) => pattern.test(path));
}

const PATTERNS = Object.entries(NAMES).flatMap(([directory, names]) =>
  names.split(' ').map((name) => {
    const text = `${directory}/${name}`.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return new RegExp(`^${text.replaceAll('#', '[^/]+')}$`);
  }),
);

/** Returns true for a path below /proc or /sys that the recorded kernel has or, where only it knows, may have. NON-KERNEL. */
export function linux_may_have(path: string): boolean {
  if (!/^\/(proc|sys)\//.test(path)) return false;
  return LISTED.test(path) ? listed(path) : true;
}

/** Returns the paths of the list, for a test; `#` as 0. NON-KERNEL. */
export function listed_paths(): string[] {
  return Object.entries(NAMES).flatMap(([directory, names]) =>
    names.split(' ').map((name) => `${directory}/${name}`.replaceAll('#', '0')),
  );
}
