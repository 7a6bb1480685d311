// SPDX-License-Identifier: GPL-2.0-only
// Migration times with and without huge pages, by the modelled clock.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import {
  type Hmm,
  hmm_buffer_alloc,
  hmm_buffer_free,
  hmm_migrate_dev_to_sys,
  hmm_migrate_sys_to_dev,
  type HmmBuffer,
  TWOMEG,
} from './buffer.ts';
import { read_pmd_pagesize } from './vm_util.ts';
import * as U from './uapi.ts';

const INT_MAX = 2 ** 31 - 1;

interface BenchmarkResults {
  /** Milliseconds per migration, on average. */
  sys_to_dev_time: number;
  dev_to_sys_time: number;
  /** GiB per second. */
  throughput_s2d: number;
  throughput_d2s: number;
}

/** Milliseconds with the resolution of gettimeofday(2). */
function get_time_ms(c: Libc): number {
  return Math.floor(c.clock_gettime() / 1000) / 1000;
}

/** printf()'s %.<digits>f, including the result of a division by zero. */
function fixed(x: number, digits: number): string {
  if (Number.isNaN(x)) return '-nan';
  if (!Number.isFinite(x)) return x > 0 ? 'inf' : '-inf';
  return x.toFixed(digits);
}

function print_benchmark_results(
  c: Libc,
  test_name: string,
  buffer_size: number,
  thp: BenchmarkResults,
  regular: BenchmarkResults,
): void {
  const saved = (t: number, r: number): string => `${fixed(((r - t) / r) * 100, 1)}%`;
  const gained = (t: number, r: number): string => `${fixed(((t - r) / r) * 100, 1)}%`;
  const row = (name: string, unit: string, digits: number, t: number, r: number, change: string): string =>
    `${name} | ${fixed(t, digits)} ${unit} | ${fixed(r, digits)} ${unit} | ${change}\n`;
  const ms = 'ms       ';
  const gb = 'GB/s     ';
  c.print(`\n=== ${test_name} (${fixed(buffer_size / (1024 * 1024), 1)} MB) ===\n`);
  c.print('                     | With THP        | Without THP     | Improvement\n');
  c.print(`${'-'.repeat(69)}\n`);
  const s2d = [thp.sys_to_dev_time, regular.sys_to_dev_time] as const;
  const d2s = [thp.dev_to_sys_time, regular.dev_to_sys_time] as const;
  c.print(row('Sys->Dev Migration  ', ms, 3, ...s2d, saved(...s2d)));
  c.print(row('Dev->Sys Migration  ', ms, 3, ...d2s, saved(...d2s)));
  const up = [thp.throughput_s2d, regular.throughput_s2d] as const;
  const down = [thp.throughput_d2s, regular.throughput_d2s] as const;
  c.print(row('S->D Throughput     ', gb, 2, ...up, gained(...up)));
  c.print(row('D->S Throughput     ', gb, 2, ...down, gained(...down)));
}

/** The timed part, on an existing buffer. Returns 0 or the error. */
function* migrate_repeatedly(
  c: Libc,
  fd: number,
  buffer: HmmBuffer,
  use_thp: boolean,
  buffer_size: number,
  iterations: number,
  results: BenchmarkResults,
): Gen<number> {
  const npages = buffer_size / c.sysconf(U._SC_PAGESIZE);
  yield* c.memset(buffer.mirror, 0xff, buffer_size);
  let ret = yield* c.madvise(buffer.ptr, buffer_size, use_thp ? U.MADV_HUGEPAGE : U.MADV_NOHUGEPAGE);
  if (ret !== 0) return ret;

  yield* c.store32_seq(buffer.ptr, buffer_size / 4, 0, 1, 0xff);

  ret = yield* hmm_migrate_sys_to_dev(c, fd, buffer, npages);
  if (ret !== 0) return ret;
  ret = yield* hmm_migrate_dev_to_sys(c, fd, buffer, npages);
  if (ret !== 0) return ret;

  let s2d_total = 0;
  let d2s_total = 0;
  for (let i = 0; i < iterations; i++) {
    let start = get_time_ms(c);
    ret = yield* hmm_migrate_sys_to_dev(c, fd, buffer, npages);
    if (ret !== 0) return ret;
    s2d_total += get_time_ms(c) - start;

    start = get_time_ms(c);
    ret = yield* hmm_migrate_dev_to_sys(c, fd, buffer, npages);
    if (ret !== 0) return ret;
    d2s_total += get_time_ms(c) - start;
  }

  const gib = buffer_size / 2 ** 30;
  results.sys_to_dev_time = s2d_total / iterations;
  results.dev_to_sys_time = d2s_total / iterations;
  results.throughput_s2d = gib / (results.sys_to_dev_time / 1000);
  results.throughput_d2s = gib / (results.dev_to_sys_time / 1000);
  return 0;
}

/** One buffer size, with or without huge pages. Returns 0, -1 or a negative errno. */
function* run_migration_benchmark(
  c: Libc,
  fd: number,
  use_thp: boolean,
  buffer_size: number,
  iterations: number,
  results: BenchmarkResults,
): Gen<number> {
  const buffer = yield* hmm_buffer_alloc(
    c,
    buffer_size,
    buffer_size,
    U.PROT_READ | U.PROT_WRITE,
    U.MAP_PRIVATE | U.MAP_ANONYMOUS,
    -1,
  );
  if (buffer === null) return -1;
  const ret = yield* migrate_repeatedly(c, fd, buffer, use_thp, buffer_size, iterations, results);
  yield* hmm_buffer_free(c, buffer);
  return ret;
}

/** Migrates buffers from a quarter of a huge page up to 128 of them. */
export function* benchmark_thp_migration({ self, c, t }: Hmm): Gen<void> {
  const no_results = { sys_to_dev_time: 0, dev_to_sys_time: 0, throughput_s2d: 0, throughput_d2s: 0 };
  const thp_results: BenchmarkResults = { ...no_results };
  const regular_results: BenchmarkResults = { ...no_results };
  const thp_size = (yield* read_pmd_pagesize(c)) || TWOMEG;
  const iterations = 5;

  c.print('\nHMM THP Migration Benchmark\n');
  c.print('---------------------------\n');
  c.print(`System page size: ${c.sysconf(U._SC_PAGESIZE)} bytes\n`);

  const tests: readonly [size: number, name: string][] = [
    [thp_size / 4, 'Small Buffer'],
    [thp_size / 2, 'Half THP Size'],
    [thp_size, 'Single THP Size'],
    [thp_size * 2, 'Two THP Size'],
    [thp_size * 4, 'Four THP Size'],
    [thp_size * 8, 'Eight THP Size'],
    [thp_size * 128, 'One twenty eight THP Size'],
  ];
  for (const [size, name] of tests) {
    if (size > INT_MAX) break;
    let ret = yield* run_migration_benchmark(c, self.fd, true, size, iterations, thp_results);
    t.ASSERT_EQ(ret, 0, 'run_migration_benchmark(self->fd, 1, test_sizes[i], iterations, &thp_results)', '0');
    ret = yield* run_migration_benchmark(c, self.fd, false, size, iterations, regular_results);
    t.ASSERT_EQ(ret, 0, 'run_migration_benchmark(self->fd, 0, test_sizes[i], iterations, &regular_results)', '0');
    print_benchmark_results(c, name, size, thp_results, regular_results);
  }
}
