// SPDX-License-Identifier: GPL-2.0-only
// Reports in a kernel's log: what stands between the results, or in a log appended to them.

/** What a report says about the kernel. */
export type ReportKind =
  | 'WARNING'
  | 'BUG'
  | 'OOPS'
  | 'KASAN'
  | 'KFENCE'
  | 'KMSAN'
  | 'KCSAN'
  | 'UBSAN'
  | 'LOCKDEP'
  | 'RCU'
  | 'HUNG'
  | 'LOCKUP'
  | 'KMEMLEAK'
  | 'OOM'
  | 'PANIC';

/** What the kernel reported, and the test that was running: null between the tests and after the last one. */
export interface KernelReport {
  kind: ReportKind;
  count: number;
  /** the function that it names, '?' if it names none */
  fn: string;
  test: string | null;
  /** its first line, without numbers that differ from run to run; empty for a `KERNEL` line */
  text: string;
}

interface Pattern {
  head: RegExp;
  kind: ReportKind;
  /** where the function stands: in the head (group 1), at the instruction pointer, or first in the call trace */
  where: 'head' | 'ip' | 'trace';
}

const FN = '([\\w.]+)\\+0x[\\da-f]+';
const LOCKDEP = [
  'possible (?:circular|recursive|irq lock inversion|irq)',
  '.*(?:HARDIRQ|SOFTIRQ|RECLAIM_FS)-\\w+ -> ',
  'inconsistent lock state',
  'suspicious RCU usage',
  'bad (?:unlock balance|contention) detected',
  'held lock freed',
  'lock held (?:when|at)',
  '.* still has locks held',
  'Nested lock was not taken',
  'chain_key collision',
].join('|');

/** Beginnings of reports, the more special first. */
const PATTERNS: readonly Pattern[] = [
  { head: /^Kernel panic - not syncing: /, kind: 'PANIC', where: 'trace' },
  { head: new RegExp(`^BUG: KASAN: .* in ${FN}`), kind: 'KASAN', where: 'head' },
  { head: /^BUG: KASAN: |^kasan: bug/i, kind: 'KASAN', where: 'trace' },
  { head: new RegExp(`^BUG: KFENCE: .* in ${FN}`), kind: 'KFENCE', where: 'head' },
  { head: /^BUG: KFENCE: /, kind: 'KFENCE', where: 'trace' },
  { head: /^BUG: KMSAN: .* in ([\w.]+)/, kind: 'KMSAN', where: 'head' },
  { head: /^BUG: KCSAN: .* in ([\w.]+)/, kind: 'KCSAN', where: 'head' },
  { head: /^UBSAN: /, kind: 'UBSAN', where: 'trace' },
  { head: new RegExp(`^WARNING: (?:${LOCKDEP})`), kind: 'LOCKDEP', where: 'trace' },
  {
    head: /^(?:\[ )?BUG: (?:Invalid wait context|bad unlock balance|lock held|key \S+ has not been registered|MAX_LOCK)/,
    kind: 'LOCKDEP',
    where: 'trace',
  },
  {
    head: /^(?:INFO: )?possible (?:circular|recursive) locking|^INFO: suspicious RCU usage|^INFO: inconsistent lock state/,
    kind: 'LOCKDEP',
    where: 'trace',
  },
  {
    head: new RegExp(`^WARNING: (?:CPU: \\d+ PID: \\d+ at \\S+ |\\S+:\\d+ at |at )${FN}`),
    kind: 'WARNING',
    where: 'head',
  },
  { head: /^WARNING: (?:CPU: \d+ PID: \d+ at |\S+:\d+ at |at )/, kind: 'WARNING', where: 'ip' },
  { head: /^WARNING: (\w+)(?:: .*)?$/, kind: 'WARNING', where: 'head' },
  { head: /^WARNING: .*(?:kernel stack|unwind|CPU|refcount)/, kind: 'WARNING', where: 'trace' },
  { head: /^kernel BUG at /, kind: 'BUG', where: 'ip' },
  { head: /^BUG: (?:unable to handle|kernel NULL pointer)/, kind: 'OOPS', where: 'ip' },
  { head: /^Unable to handle kernel /, kind: 'OOPS', where: 'ip' },
  {
    head: /^(?:Oops: )?(?:general protection fault|stack segment|double fault|invalid opcode|divide error|int3)[:,]/,
    kind: 'OOPS',
    where: 'ip',
  },
  {
    head: /^(?:watchdog: |NMI watchdog: )?BUG: (?:soft lockup|workqueue lockup)|^(?:NMI )?watchdog: (?:Watchdog|CPU\d+: Watchdog) detected hard LOCKUP/,
    kind: 'LOCKUP',
    where: 'ip',
  },
  { head: /^(?:\w+: )?(?:rcu: )?INFO: rcu\w* (?:self-)?detected? ?.*stall/, kind: 'RCU', where: 'ip' },
  { head: /^(?:rcu: )?rcu_\w+ kthread (?:starved|timer wakeup)/, kind: 'RCU', where: 'trace' },
  {
    head: /^INFO: task \S+:\d+(?: \S+)? blocked (?:for more than|in I\/O)|^INFO: task \S+:\d+ is blocked on/,
    kind: 'HUNG',
    where: 'trace',
  },
  { head: /^kmemleak: \d+ new suspected memory leaks/, kind: 'KMEMLEAK', where: 'trace' },
  { head: /^Out of memory: Killed process |^Memory cgroup out of memory: /, kind: 'OOM', where: 'trace' },
  { head: /^refcount_t: .*(?:use-after-free|underflow|saturated|leaking)/, kind: 'WARNING', where: 'trace' },
  { head: /^list_(?:add|del) corruption/, kind: 'BUG', where: 'trace' },
  { head: /^BUG: /, kind: 'BUG', where: 'trace' },
  { head: /^(?:Internal error|Oops): /, kind: 'OOPS', where: 'ip' },
];

/** Functions that only make a report: what they were called from is what it is about. */
const MACHINERY =
  /^(?:__?)?(?:dump_stack\w*|show_stack|dump_backtrace|print_\w+|report_bug|handle_bug|exc_\w+|asm_exc_\w+|ubsan_\w+|__ubsan_\w+|kasan_\w+|__asan_\w+|check_region_inline|kfence_\w+|lockdep_\w+|lock_acquire|__lock_acquire|validate_chain|check_\w+|mark_lock\w*|panic|vpanic|die\w*|oops_\w+|page_fault_oops|bad_page|bad_area\w*|warn_\w+|__warn\w*|refcount_warn_saturate|\w*list_(?:add|del)\w*valid\w*|schedule\w*|__schedule|io_schedule\w*|preempt_schedule\w*|context_switch|wait_for_completion\w*|__might_\w+|rcu_\w+|sched_show_task|watchdog\w*|nmi_\w+|oom_\w+|dump_header|out_of_memory|__alloc_\w+|_*mutex_lock\w*|down_(?:read|write)\w*|rwsem_\w+|_raw_\w+|folio_wait_\w+|__folio_lock\w*|do_raw_\w+|ret_from_\w+|el1\w*|el0\w*)(?:\.\w+)*$/;

const IP = new RegExp(`^(?:RIP: [\\da-f]{4}:|pc : |epc : |NIP \\[[\\da-f]+\\] |PC is at )(?:${FN}|(\\w+))`);
const FRAME = new RegExp(`^ *(?:\\[<[\\da-f]+>\\] )?(\\? )?${FN}/0x`);
const END = /^---\[ end (?:trace|Kernel panic)/;
/** A part of a report that has begun, not a report of its own. */
const CONTINUES =
  /^(?:Oops|Internal error): |^(?:Oops: )?(?:invalid opcode|general protection fault)[:,]|^BUG: KASAN: maybe wild-memory-access/;
const ABOUT_LINES = 80;

/** A function without what the compiler added to its name. */
function plain(fn: string): string {
  return fn.replace(/\.(?:constprop|isra|part|cold|llvm)(?:\.\d+)*/g, '');
}

/** A head without what differs from run to run: CPUs, processes, addresses, offsets. */
function without_numbers(text: string): string {
  return text
    .replace(/CPU: \d+ PID: \d+ at /, 'at ')
    .replace(/, CPU#\d+: .*$/, '')
    .replace(/\+0x[\da-f]+\/0x[\da-f]+/g, '')
    .replace(/\b(?:0x)?[\da-f]{12,16}\b/g, 'ADDRESS')
    .replace(/(\S):\d+(?= (?:blocked|is blocked))/, '$1')
    .trim();
}

/** Finds reports in a kernel's log, line by line. */
export class ReportReader {
  readonly reports: KernelReport[] = [];
  private open: { report: KernelReport; where: Pattern['where']; age: number } | null = null;

  /** Takes one line; `test` is the test that runs. True if it begins a report. */
  line(text: string, test: string | null): boolean {
    const head = text.trimStart();
    if (this.open !== null && this.goes_on(head)) return false;
    for (const { head: pattern, kind, where } of PATTERNS) {
      const hit = pattern.exec(head);
      if (hit === null) continue;
      const fn = where === 'head' ? plain(hit[1]) : '?';
      const report = { kind, count: 1, fn, test, text: without_numbers(head) };
      this.reports.push(report);
      this.open = { report, where, age: 0 };
      return true;
    }
    return false;
  }

  /** True if the line belongs to the report that is open: takes the function from it where it is missing. */
  private goes_on(text: string): boolean {
    const { open } = this;
    if (open === null) return false;
    const { report, where } = open;
    if (END.test(text) || ++open.age > ABOUT_LINES) {
      this.open = null;
      return END.test(text);
    }
    if (CONTINUES.test(text) && ['BUG', 'OOPS', 'KASAN', 'KFENCE'].includes(report.kind)) return true;
    if (report.fn !== '?') return false;
    const ip = where === 'ip' ? IP.exec(text) : null;
    if (ip !== null) {
      report.fn = plain(ip[1] ?? ip[2]);
      return true;
    }
    const frame = FRAME.exec(text);
    if (frame === null || frame[1] !== undefined || MACHINERY.test(plain(frame[2]))) return false;
    report.fn = plain(frame[2]);
    return true;
  }
}

/** Adds up reports of the same kind, function and test. */
export function summed(reports: readonly KernelReport[]): KernelReport[] {
  const sums = new Map<string, KernelReport>();
  for (const report of reports) {
    const key = `${report.kind} ${report.fn} ${report.test}`;
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, { ...report });
    else sum.count += report.count;
  }
  return [...sums.values()];
}
