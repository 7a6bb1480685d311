// SPDX-License-Identifier: GPL-2.0-only

/** A departure from the default policy: at this step `to` runs instead of `from`. */
export interface Switch {
  step: number;
  from: number;
  to: number;
}

/** Everything that decides a run: the switches and the seed of the machine's random numbers. */
export interface Schedule {
  seed: number;
  switches: readonly Switch[];
  /** How the recorded run continued to its end; a replay has to do the same. */
  end?: { steps: number; hash: number };
}

const VERSION = 'hmm1';

/**
 * Formats a schedule as `hmm1:SEED:STEP.FROM>TO,...:STEPS.HASH`. Task 0 is the case's first process, the racing tasks
 * are numbered from 1 on, and tasks that they create follow. Steps count from the start of the race. The last part, the
 * number of steps of the whole run and a hash of where each of them stopped, may be missing.
 */
export function format_schedule(s: Schedule): string {
  const end = s.end === undefined ? '' : `:${s.end.steps}.${s.end.hash.toString(16)}`;
  return `${VERSION}:${s.seed}:${s.switches.map((w) => `${w.step}.${w.from}>${w.to}`).join(',')}${end}`;
}

/** Parses the output of format_schedule(). Throws RangeError that names what is wrong. */
export function parse_schedule(text: string): Schedule {
  const bad = (why: string): RangeError => new RangeError(`schedule ${JSON.stringify(text)}: ${why}`);
  const [version, seed, list, end, ...rest] = text.trim().split(':');
  if (version === undefined || !/^hmm\d+$/.test(version))
    throw bad(`expected ${VERSION}:SEED:STEP.FROM>TO,...:STEPS.HASH`);
  if (version !== VERSION) throw bad(`is of version ${version}, this program reads ${VERSION}`);
  if (seed === undefined || !/^\d+$/.test(seed) || list === undefined || rest.length > 0)
    throw bad(`expected ${VERSION}:SEED:STEP.FROM>TO,...:STEPS.HASH`);
  const switches = list
    .split(',')
    .filter((w) => w !== '')
    .map((w): Switch => {
      const part = /^(\d+)\.(\d+)>(\d+)$/.exec(w);
      if (part === null) throw bad(`${JSON.stringify(w)} is not STEP.FROM>TO`);
      return { step: Number(part[1]), from: Number(part[2]), to: Number(part[3]) };
    });
  for (let i = 1; i < switches.length; i++) {
    const step = switches[i].step;
    if (step <= switches[i - 1].step) throw bad(`step ${step} is out of order`);
  }
  if (end === undefined) return { seed: Number(seed), switches };
  const hit = /^(\d+)\.([0-9a-f]+)$/.exec(end);
  if (hit === null) throw bad(`${JSON.stringify(end)} is not STEPS.HASH`);
  return { seed: Number(seed), switches, end: { steps: Number(hit[1]), hash: Number.parseInt(hit[2], 16) } };
}
