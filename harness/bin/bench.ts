// SPDX-License-Identifier: GPL-2.0-only
// `npm run -s bench`: what the model costs, each figure beside memcpy of the same bytes measured in the same run.

import { fileURLToPath } from 'node:url';
import { boot } from '../../lib/boot.ts';
import type { Machine } from '../../lib/machine.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import { load_module } from '../../lib/kernel/module.ts';
import { type Libc, runProgram } from '../../lib/user/libc.ts';
import { hmm_tests } from '../../selftests/hmm-tests/index.ts';
import { command, run_commands } from '../cli/command.ts';
import { STANDARD_MACHINE } from '../cli/options.ts';
import { print } from '../cli/program.ts';
import { did_you_mean, UsageError } from '../cli/usage_error.ts';
import { boot_machine, prepare, run_suite } from '../kselftest/run.ts';
import { ENVIRONMENT } from '../run/binary.ts';
import { program_of } from '../run/child.ts';
import { cpu_of_level, run_program_on, shared_user_memory } from '../run/program.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const PAGE = 4096;
const PROT_RW = 3;
const MAP_PRIVATE_ANON = 0x22;
const MADV_DONTNEED = 4;
const MADV_HUGEPAGE = 14;
const MADV_NOHUGEPAGE = 15;
const O_RDWR = 2;
const HMM_DMIRROR_MIGRATE_TO_DEV = 0xc0284802;
const HMM_DMIRROR_MIGRATE_TO_SYS = 0xc0284803;
const RUNS = 5;

interface Row {
  name: string;
  /** nanoseconds for one unit, the median of the runs */
  ns: number;
  unit: string;
  /** bytes that a unit handles, 0 where memcpy is no measure */
  bytes: number;
  note?: string;
}

function median(xs: number[]): number {
  return [...xs].sort((a, b) => a - b)[xs.length >> 1];
}

/** Processor time of the process in ns, with its collector's and compiler's: other work on the machine adds little. */
function now(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

/**
 * Nanoseconds that copying `bytes` takes here and now, between buffers far larger than the caches where the size asks
 * for it.
 */
function memcpy_ns(bytes: number): number {
  const span = Math.max(bytes, 64 * MIB);
  const src = new Uint8Array(span).fill(1);
  const dst = new Uint8Array(span).fill(2);
  const times: number[] = [];
  for (let r = 0; r < RUNS; r++) {
    const t = now();
    for (let at = 0; at + bytes <= span; at += bytes) dst.set(src.subarray(at, at + bytes), at);
    times.push((now() - t) / Math.floor(span / bytes));
  }
  return median(times);
}

/** Runs user code on a machine; an exception in it ends the benchmark. */
function on(m: Machine, code: (c: Libc) => Gen<void>): void {
  const status = runProgram(m, function* (c) {
    yield* code(c);
    return 0;
  });
  if (status !== 0)
    throw new Error(`a benchmark's program ended with status ${status}: ${m.log.lines.slice(-3).join(' | ')}`);
}

function* must(call: Gen<number>, what: string, c: Libc): Gen<number> {
  const r = yield* call;
  if (r === -1) throw new Error(`${what} failed with errno ${c.errno}`);
  return r;
}

function bench_boot(rows: Row[]): void {
  for (const gib of [6, 512]) {
    const times: number[] = [];
    const machines: Machine[] = [];
    globalThis.gc?.();
    const before = process.memoryUsage();
    for (let r = 0; r < RUNS; r++) {
      const t = now();
      machines.push(boot({ mem: gib * GIB }));
      times.push(now() - t);
    }
    globalThis.gc?.();
    const after = process.memoryUsage();
    const bytes = (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / machines.length;
    rows.push({
      name: `boot, ${gib} GiB of RAM`,
      ns: median(times),
      unit: 'boot',
      bytes: 0,
      note: `${(bytes / MIB).toFixed(1)} MiB of memory`,
    });
  }
}

function bench_bookkeeping(rows: Row[]): void {
  const m = boot();
  const npages = 65536;
  on(m, function* (c) {
    const p = yield* must(c.mmap(0, npages * PAGE, PROT_RW, MAP_PRIVATE_ANON, -1, 0), 'mmap', c);
    yield* c.madvise(p, npages * PAGE, MADV_NOHUGEPAGE);
    for (let i = 0; i < npages; i++) yield* c.store32(p + i * PAGE, i);
  });
  const row = Object.values(m.page).reduce(
    (n: number, v) =>
      n +
      (ArrayBuffer.isView(v) && 'BYTES_PER_ELEMENT' in v && (v as Uint8Array).length >= m.page.rows
        ? (v as Uint8Array).BYTES_PER_ELEMENT
        : 0),
    0,
  );
  rows.push({
    name: 'bookkeeping of a touched page',
    ns: NaN,
    unit: 'page',
    bytes: 0,
    note: `${row} bytes of columns (struct page itself: 64)`,
  });
}

function bench_access(rows: Row[]): void {
  const m = boot();
  const words = (16 * PAGE) / 4;
  const rounds = 100;
  const load: number[] = [];
  const store: number[] = [];
  on(m, function* (c) {
    const p = yield* must(c.mmap(0, 16 * PAGE, PROT_RW, MAP_PRIVATE_ANON, -1, 0), 'mmap', c);
    yield* c.memset(p, 1, 16 * PAGE);
    let sum = 0;
    for (let r = 0; r < RUNS; r++) {
      let t = now();
      for (let k = 0; k < rounds; k++)
        for (let i = 0; i < words; i++) sum = (sum + (c.tlb_load32(p + i * 4) ?? (yield* c.load32(p + i * 4)))) | 0;
      load.push((now() - t) / (rounds * words));
      t = now();
      for (let k = 0; k < rounds; k++)
        for (let i = 0; i < words; i++) if (!c.tlb_store32(p + i * 4, sum)) yield* c.store32(p + i * 4, sum);
      store.push((now() - t) / (rounds * words));
    }
  });
  rows.push({ name: 'load, TLB hit', ns: median(load), unit: 'load', bytes: 4 });
  rows.push({ name: 'store, TLB hit', ns: median(store), unit: 'store', bytes: 4 });
}

function bench_faults(rows: Row[]): void {
  const m = boot();
  const npages = 16384;
  const small: number[] = [];
  const huge: number[] = [];
  on(m, function* (c) {
    for (const [advice, times] of [
      [MADV_NOHUGEPAGE, small],
      [MADV_HUGEPAGE, huge],
    ] as const) {
      const p = yield* must(c.mmap(0, npages * PAGE, PROT_RW, MAP_PRIVATE_ANON, -1, 0), 'mmap', c);
      yield* c.madvise(p, npages * PAGE, advice);
      const step = advice === MADV_HUGEPAGE ? 512 : 1;
      for (let r = 0; r < RUNS; r++) {
        const t = now();
        for (let i = 0; i < npages; i += step) yield* c.store32(p + i * PAGE, i);
        times.push((now() - t) / (npages / step));
        yield* c.madvise(p, npages * PAGE, MADV_DONTNEED);
      }
      yield* c.munmap(p, npages * PAGE);
    }
  });
  rows.push({ name: 'minor fault, 4 KiB page', ns: median(small), unit: 'fault', bytes: PAGE });
  rows.push({ name: 'minor fault, 2 MiB page', ns: median(huge), unit: 'fault', bytes: 2 * MIB });
}

/** Migrates `mib` MiB to the device and back; times a 4 KiB page each way. */
function bench_migration(rows: Row[], mib: number, thp: boolean): void {
  const m = boot();
  const npages = (mib * MIB) / PAGE;
  const there: number[] = [];
  const back: number[] = [];
  on(m, function* (c) {
    if ((yield* load_module(m, 'test_hmm', {})) !== 0) throw new Error('loading test_hmm failed');
    const fd = yield* must(c.open('/dev/hmm_dmirror0', O_RDWR), 'open /dev/hmm_dmirror0', c);
    const cmd = yield* c.malloc(40);
    const mirror = yield* c.malloc(npages * PAGE);
    yield* c.memset(mirror, 0, npages * PAGE);
    const raw = yield* must(c.mmap(0, npages * PAGE + 2 * MIB, PROT_RW, MAP_PRIVATE_ANON, -1, 0), 'mmap', c);
    const p = Math.ceil(raw / (2 * MIB)) * 2 * MIB;
    yield* c.madvise(p, npages * PAGE, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (let r = 0; r < Math.max(3, 256 / mib); r++) {
      // no page of one repeated word, which would not be copied
      yield* c.store32_seq(p, npages * (PAGE / 4), r, 1);
      for (const [request, times] of [
        [HMM_DMIRROR_MIGRATE_TO_DEV, there],
        [HMM_DMIRROR_MIGRATE_TO_SYS, back],
      ] as const) {
        yield* c.store64(cmd, p);
        yield* c.store64(cmd + 8, mirror);
        yield* c.store64(cmd + 16, npages);
        const t = now();
        yield* must(c.ioctl(fd, request, cmd), 'migrate', c);
        times.push((now() - t) / npages);
      }
    }
    yield* c.close(fd);
  });
  const how = `${mib} MiB ${thp ? 'with' : 'without'} THP`;
  const rate = (ns: number): string => `${(PAGE / ns).toFixed(2)} GB/s`;
  // To the device: the page is copied to device memory and from there to the mirror buffer. Back: copied once.
  rows.push({
    name: `to the device, ${how}`,
    ns: median(there),
    unit: '4 KiB page',
    bytes: 2 * PAGE,
    note: rate(median(there)),
  });
  rows.push({ name: `back, ${how}`, ns: median(back), unit: '4 KiB page', bytes: PAGE, note: rate(median(back)) });
}

/** Instructions, time and memory of a compiled program that runs alone on a machine, whose boot is part of it. */
function timed_program(file: string): { ns: number; insns: number; mib: number } {
  const t = now();
  const m = boot_machine(STANDARD_MACHINE, shared_user_memory());
  const program = { binary: { file, root: '/', cpu: 'v1' }, args: [], env: ENVIRONMENT, write: () => {} } as const;
  const before = cpu_of_level('v1').retired;
  run_program_on(m, program, (c) => prepare(m, c, STANDARD_MACHINE));
  const ns = now() - t;
  const mib = shared_user_memory().used_bytes() / MIB;
  m.release();
  return { ns, insns: cpu_of_level('v1').retired - before, mib };
}

/** Compiled programs: how fast they run, how soon they start, and the suite beside its port. */
function bench_programs(rows: Row[]): void {
  const source = (name: string): string => fileURLToPath(new URL(`../../selftests/c/${name}`, import.meta.url));
  const [nothing, loop] = [program_of(source('nothing.c')), program_of(source('loop.c'))];
  if (nothing === null || loop === null) {
    rows.push({ name: 'compiled programs', ns: NaN, unit: '', bytes: 0, note: 'no C compiler builds one here' });
    return;
  }
  const note = ({ ns, insns, mib }: ReturnType<typeof timed_program>): string =>
    `${insns} instructions, ${((1e3 * insns) / ns).toFixed(0)} million/s, ${mib.toFixed(0)} MiB`;
  for (const [name, file] of [
    ['a C program that does nothing, from boot', nothing],
    ['the same, its code translated already', nothing],
    ['a C program that works on 4 MiB', loop],
    ['the same, its code translated already', loop],
  ] as const) {
    const run = timed_program(file);
    rows.push({ name, ns: run.ns, unit: 'run', bytes: 0, note: note(run) });
  }
  const dir = process.env.UPSTREAM_SELFTESTS;
  if (dir === undefined) return;
  const t = now();
  run_suite(hmm_tests(), STANDARD_MACHINE, [], () => {});
  const port = now() - t;
  const run = timed_program(`${dir}/hmm-tests`);
  rows.push({ name: 'the ported suite', ns: port, unit: 'suite', bytes: 0 });
  rows.push({
    name: "upstream's binary of the suite",
    ns: run.ns,
    unit: 'suite',
    bytes: 0,
    note: `${(run.ns / port).toFixed(2)} of the port's time; ${note(run)}`,
  });
}

function table(rows: readonly Row[]): string {
  const copy = new Map<number, number>();
  const big = memcpy_ns(64 * MIB) / (64 * MIB);
  const lines = [['what', 'time', 'memcpy of the same bytes', 'share of memcpy speed', '']];
  for (const r of rows) {
    const time = Number.isNaN(r.ns)
      ? ''
      : r.ns >= 1e6
        ? `${(r.ns / 1e6).toFixed(1)} ms/${r.unit}`
        : r.ns >= 1000
          ? `${(r.ns / 1000).toFixed(2)} us/${r.unit}`
          : `${r.ns.toFixed(1)} ns/${r.unit}`;
    let ref = '';
    let share = '';
    if (r.bytes > 0) {
      // Copies of a page or less are measured as part of a large copy, so that both read memory and not a cache.
      const ns = r.bytes <= 2 * PAGE ? big * r.bytes : (copy.get(r.bytes) ?? memcpy_ns(r.bytes));
      copy.set(r.bytes, ns);
      ref = `${ns.toFixed(1)} ns`;
      share = `${((100 * ns) / r.ns).toFixed(1)} %`;
    }
    lines.push([r.name, time, ref, share, r.note ?? '']);
  }
  lines.push(['memcpy', `${(1 / big).toFixed(2)} GB/s`, '', '', '64 MiB pieces']);
  const width = [0, 1, 2, 3, 4].map((i) => Math.max(...lines.map((l) => l[i].length)));
  return lines
    .map((l) =>
      l
        .map((x, i) => x.padEnd(width[i]))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Boots and releases machines of which each touches 32 MiB: the memory of one is to do for all. */
function bench_boots(rows: Row[]): void {
  const boots = 2000;
  const times: number[] = [];
  let first = 0;
  for (let k = 0; k < boots; k++) {
    const t = now();
    const m = boot({ mem: 64 * MIB });
    for (let pfn = 0; pfn < 8192; pfn += 512) m.ram.bytes(4096 + pfn)[0] = 1;
    m.release();
    times.push(now() - t);
    if (k === 20) first = process.memoryUsage().rss;
  }
  const more = (process.memoryUsage().rss - first) / MIB;
  rows.push({
    name: `${boots} boots, 32 MiB touched in each`,
    ns: median(times),
    unit: 'boot',
    bytes: 0,
    note: `${more.toFixed(0)} MiB more after the last than after the 20th`,
  });
}

/** Fills fresh memory, from 4 MiB to 16 GiB: the cost of a page is to stay flat. */
function bench_scale(rows: Row[]): void {
  for (const mib of [4, 64, 1024, 16384]) {
    const m = boot({ mem: (mib + 2048) * MIB, thp: 'never' });
    let ns = 0;
    on(m, function* (c) {
      const p = yield* must(c.mmap(0, mib * MIB, PROT_RW, MAP_PRIVATE_ANON, -1, 0), 'mmap', c);
      const t = now();
      yield* c.memset(p, 0x11, mib * MIB);
      ns = (now() - t) / ((mib * MIB) / PAGE);
    });
    const held = m.ram.resident_bytes() + m.page.bytes();
    rows.push({
      name: `fault and memset, ${mib} MiB`,
      ns,
      unit: '4 KiB page',
      bytes: PAGE,
      note: `${(held / MIB).toFixed(0)} MiB of struct pages and contents`,
    });
    m.release();
  }
}

const SECTIONS: Record<string, (rows: Row[]) => void> = {
  programs: bench_programs,
  boot: bench_boot,
  bookkeeping: bench_bookkeeping,
  access: bench_access,
  faults: bench_faults,
  boots: bench_boots,
  scale: bench_scale,
  migration: (rows) => {
    bench_migration(rows, 4, false);
    bench_migration(rows, 4, true);
    bench_migration(rows, 256, false);
    bench_migration(rows, 256, true);
  },
};

const PARTS = Object.keys(SECTIONS);

run_commands('bench', [
  command({
    words: '[PART...]',
    count: [0, Infinity],
    about: `Measures what the model costs, beside memcpy of the same bytes. Parts: ${PARTS.join(', ')}.`,
    options: {},
    run: (_, words) => {
      const unknown = words.find((word) => !PARTS.includes(word));
      if (unknown !== undefined)
        throw new UsageError(`no part ${unknown}: there are ${PARTS.join(', ')}${did_you_mean(unknown, PARTS)}`);
      const rows: Row[] = [];
      for (const name of words.length > 0 ? words : PARTS) SECTIONS[name](rows);
      print(`${table(rows)}\n`);
      return 0;
    },
  }),
]);
