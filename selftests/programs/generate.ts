// SPDX-License-Identifier: GPL-2.0-only
// Programs of ops made at random, in the manner of the recorded ones, that shrink well when one of them fails.

import fc from 'fast-check';
import { ADVICE, type Config, DEV_CMDS, GUP_CMDS, PROTS, THP_MODES } from '../../harness/replay/format.ts';

/** A program that the model can run. */
export interface Generated {
  config: Config;
  ops: string[];
}

/** What one op is made from; numbers are reduced to what exists when the program is put together. */
interface Draw {
  what: number;
  proc: number;
  area: number;
  at: number;
  len: number;
  pick: number;
  dev: number;
}

interface Area {
  page: number;
  pages: number;
}

const SMALL = [3, 40, 78, 115, 150, 190];
const HUGE = [2048, 3072, 4096];
const FLAGS = [0, 1, 0x100, 0x101];

/** How often each op is drawn, as weights. */
const WEIGHTS: [string, number][] = [
  ['load', 12],
  ['store', 8],
  ['dev', 26],
  ['pagemap', 6],
  ['smaps', 2],
  ['mmap', 5],
  ['munmap', 2],
  ['mprotect', 4],
  ['madvise', 6],
  ['mremap', 3],
  ['fork', 4],
  ['exit', 1],
  ['gup', 4],
  ['open', 3],
  ['close', 1],
  ['uffd', 1],
  ['resize', 2],
  ['mincore', 2],
  ['pvread', 1],
  ['memread', 1],
  ['memwrite', 3],
  ['kpage', 2],
  ['uwp', 2],
  ['wp', 3],
  ['marks', 2],
];
const TABLE = WEIGHTS.flatMap(([name, n]) => new Array<string>(n).fill(name));

class Builder {
  readonly ops: string[] = [];
  readonly areas: Area[] = [];
  readonly alive = [0];
  private next_child = 1;
  private value = 0x1000;
  private readonly devices: number[];

  constructor(spm: boolean) {
    this.devices = spm ? [0, 1, 2, 3] : [0, 1];
    for (const d of this.devices.slice(-2)) this.ops.push(`0 open ${d}`);
  }

  private device(d: Draw): number {
    return this.devices[d.dev % this.devices.length];
  }

  /** Part of an area that was mapped once, or, if there is none, some pages of the arena. */
  private range(d: Draw): string {
    const area = this.areas[d.area % Math.max(1, this.areas.length)] ?? { page: 3, pages: 8 };
    if (d.len % 3 === 0) return `${area.page} ${area.pages}`;
    const first = d.at % area.pages;
    return `${area.page + first} ${1 + (d.len % Math.min(24, area.pages - first))}`;
  }

  private mmap(proc: number, d: Draw): string {
    const kinds = [
      'anon',
      'anon',
      'anon',
      'anon',
      'anon',
      'shared',
      'filepriv',
      'fileshared',
      'huge',
      `dmirror${this.device(d)}`,
    ];
    const kind = kinds[d.pick % kinds.length];
    const prot = PROTS[d.len % 5 === 0 ? 1 + (d.at % 2) : 0];
    const big = kind === 'huge' || (kind === 'anon' && d.at % 3 === 0);
    const area = big
      ? { page: HUGE[d.area % HUGE.length], pages: 512 * (1 + (d.dev % 2)) }
      : { page: SMALL[d.area % SMALL.length], pages: 1 + (d.len % 24) };
    this.areas.push(area);
    return `${proc} mmap ${area.page} ${area.pages} ${prot} ${kind}`;
  }

  add(d: Draw): void {
    const proc = this.alive[d.proc % this.alive.length];
    if (this.areas.length === 0) {
      this.ops.push(this.mmap(proc, d));
      return;
    }
    const what = TABLE[d.what % TABLE.length];
    this.value += 0x11;
    const op = this.text(what, proc, d);
    if (op !== null) this.ops.push(op);
  }

  private text(what: string, proc: number, d: Draw): string | null {
    switch (what) {
      case 'load':
        return `${proc} load ${this.range(d)}`;
      case 'store':
        return `${proc} store ${this.range(d)} 0x${this.value.toString(16)}`;
      case 'pagemap':
      case 'mincore':
      case 'pvread':
      case 'memread':
      case 'kpage':
      case 'uwp':
      case 'marks':
        return `${proc} ${what} ${this.range(d)}`;
      case 'memwrite':
        return `${proc} memwrite ${this.range(d)} 0x${this.value.toString(16)}`;
      case 'resize':
        return `${proc} resize ${this.range(d)} ${1 + (d.pick % 40)}`;
      case 'wp':
        return `${proc} wp ${this.range(d)} ${d.pick % 3 === 0 ? 0 : 1}`;
      case 'smaps':
        return `${proc} smaps`;
      case 'mmap':
        return this.mmap(proc, d);
      case 'munmap':
        return `${proc} munmap ${this.range(d)}`;
      case 'mprotect':
        return `${proc} mprotect ${this.range(d)} ${PROTS[d.pick % PROTS.length]}`;
      case 'madvise':
        return `${proc} madvise ${this.range(d)} ${ADVICE[d.pick % ADVICE.length]}`;
      case 'mremap':
        return `${proc} mremap ${this.range(d)} ${d.pick % 2 === 0 ? 460 + (d.at % 40) : 5120 + 512 * (d.at % 2)}${d.dev % 3 === 0 ? ' dontunmap' : ''}`;
      case 'gup':
        return `${proc} gup ${GUP_CMDS[d.pick % GUP_CMDS.length]} ${this.range(d)} 0x${(FLAGS[d.at % FLAGS.length]).toString(16)}`;
      case 'open':
        return `${proc} open ${this.device(d)}`;
      case 'close':
        return `${proc} close ${this.device(d)}`;
      // The recorded programs' handler answers with a single page, which a hugetlb fault waits on for ever.
      case 'uffd': {
        const small = this.areas.filter((a) => a.page < HUGE[0]);
        const area = small[d.area % Math.max(1, small.length)];
        return area === undefined ? null : `${proc} uffd ${area.page} ${area.pages}`;
      }
      case 'dev':
        return this.dev(proc, d);
      case 'exit':
        if (proc === 0) return null;
        this.alive.splice(this.alive.indexOf(proc), 1);
        return `${proc} exit`;
      default:
        if (this.next_child > 3) return null;
        this.alive.push(this.next_child);
        return `${proc} fork ${this.next_child++}`;
    }
  }

  private dev(proc: number, d: Draw): string {
    const cmd = DEV_CMDS[d.pick % DEV_CMDS.length] as string;
    if (cmd === 'flags') return `${proc} dev ${this.device(d)} flags 0 ${d.at % 4}`;
    const value = cmd === 'write' ? ` 0x${this.value.toString(16)}` : '';
    return `${proc} dev ${this.device(d)} ${cmd} ${this.range(d)}${value}`;
  }
}

const draw = fc.record({
  what: fc.nat({ max: 999 }),
  proc: fc.nat({ max: 7 }),
  area: fc.nat({ max: 7 }),
  at: fc.nat({ max: 1023 }),
  len: fc.nat({ max: 63 }),
  pick: fc.nat({ max: 59 }),
  dev: fc.nat({ max: 11 }),
});

/** Programs of up to `max` ops in every configuration. */
export function programs(max: number): fc.Arbitrary<Generated> {
  return fc
    .record({
      thp: fc.constantFrom(...THP_MODES),
      spm: fc.boolean(),
      draws: fc.array(draw, { minLength: 4, maxLength: max, size: 'max' }),
    })
    .map(({ thp, spm, draws }) => {
      const b = new Builder(spm);
      for (const d of draws) b.add(d);
      return { config: { thp, spm }, ops: b.ops };
    });
}
