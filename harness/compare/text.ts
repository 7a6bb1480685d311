// SPDX-License-Identifier: GPL-2.0-only
// A comparison for people, for programs, and for those that read KTAP.

import type { Difference } from './agreement.ts';
import { type Explained, means, named, reach, steps_command } from './explain.ts';
import { agrees, summary } from './judge.ts';

/** So many steps of a test are shown, the last ones. */
const STEPS = 12;

/** The machine on which a difference is seen: with the likeliest explanation's states. */
const seen_on = (c: Explained): Explained['machine'] => ({
  ...c.machine,
  patches: c.why?.explanations.at(0)?.states ?? c.machine.patches,
});

/** What a test does, and how to see it; empty for a test that is not shown. */
function steps_text(c: Explained, test: string | null): string {
  const all = test === null ? undefined : c.steps.get(test);
  if (test === null || all === undefined) return '';
  const failed = all.findIndex((step) => step.startsWith('then fails: '));
  const steps = failed < 0 ? all : all.slice(0, failed + 1);
  const shown = steps.slice(-STEPS);
  const earlier = steps.length > shown.length ? [`(${steps.length - shown.length} steps before)`] : [];
  const lines = [...earlier, ...shown].map((step, i) => `  ${i === 0 ? 'steps: ' : '       '}${step}\n`);
  return `${lines.join('')}  all of it: ${steps_command(seen_on(c), test)}\n`;
}

/** The explanations in sentences, the likeliest first. */
function why_lines(c: Explained): string[] {
  if (c.why === null) return [];
  const { explanations, tried } = c.why;
  if (explanations.length === 0)
    return [`none of ${tried} states of the kernel that the model knows, alone or in pairs, behaves as the file does`];
  return explanations.flatMap((e, i) => {
    const ids = named(e.states.filter((id) => !c.machine.patches.includes(id)));
    return [
      `${i === 0 ? '' : 'or '}as with ${ids.join(' and ')}: ${ids.map(means).join('; ')}`,
      ...(i === 0 ? [reach(e)] : []),
    ];
  });
}

function difference_text(c: Explained, { name, file, model }: Difference): string {
  return `${name ?? 'while no test ran'}\n  file:  ${file}\n  model: ${model}\n${steps_text(c, name)}`;
}

export function comparison_text(c: Explained): string {
  const { judgement: j } = c;
  const said = new Set(j.differences.map((d) => d.name));
  const open = [...c.steps.keys()].filter((name) => !said.has(name));
  return [
    `machine: ${c.machine_said}\n`,
    ...j.notes.map((note) => `note: ${note}\n`),
    ...j.differences.map((d) => difference_text(c, d)),
    ...j.missing.map((text) => `missing: ${text}\n`),
    ...open.map((name) => `${name}, which did not end\n${steps_text(c, name)}`),
    ...j.errors.map((e) => `${e}\n`),
    ...why_lines(c).map((line, i) => `${i === 0 ? 'why: ' : '     '}${line}\n`),
    ...c.apart.map((line, i) => `${i === 0 ? 'to tell them apart: ' : '                    '}${line}\n`),
    `${summary(j)}\n`,
  ].join('');
}

export function comparison_json(c: Explained): string {
  const { judgement: j, machine } = c;
  const answer = {
    file: c.file.name,
    verdict: agrees(j) ? 'same' : 'differs',
    machine: { ...machine, said: c.machine_said },
    compared: j.compared,
    identical: j.same,
    model: { pass: j.pass, fail: j.fail, skip: j.skip },
    differences: j.differences.map((d) => ({
      ...d,
      steps: c.steps.get(d.name ?? '') ?? [],
      command: d.name === null ? null : steps_command(seen_on(c), d.name),
    })),
    missing: j.missing,
    notes: j.notes,
    errors: j.errors,
    why:
      c.why === null
        ? null
        : {
            tried: c.why.tried,
            seconds: Number(c.seconds.toFixed(2)),
            explanations: c.why.explanations.map((e) => ({ ...e, means: named(e.states).map(means) })),
            apart: c.apart,
          },
  };
  return `${JSON.stringify(answer, null, 2)}\n`;
}

/** A comment of KTAP, on as many lines as it has. */
const comment = (text: string): string => text.trimEnd().replace(/^/gm, '# ').concat('\n');

interface Point {
  name: string;
  ok: boolean;
  skip: string;
  says: string;
}

export function comparison_ktap(c: Explained): string {
  const { judgement: j } = c;
  const names = new Set(c.file.runs.flatMap((run) => run.results.map((r) => r.name)));
  const newer = new Set(j.newer.filter((r) => r.verdict !== 'FAIL').map((r) => r.name));
  const points: Point[] = [...names].map((name) => {
    const mine = j.differences.filter((d) => d.name === name);
    const skip = newer.has(name) ? "not in the model's suite" : '';
    return { name, ok: mine.length === 0, skip, says: mine.map((d) => difference_text(c, d)).join('') };
  });
  for (const d of j.differences) {
    if (d.name !== null && names.has(d.name)) continue;
    points.push({ name: d.name ?? 'kernel log', ok: false, skip: '', says: difference_text(c, d) });
  }
  const whole = [...j.missing, ...j.errors];
  points.push({ name: 'the file is whole', ok: whole.length === 0, skip: '', says: whole.join('\n') });
  const skipped = points.filter((p) => p.skip !== '').length;
  const failed = points.filter((p) => !p.ok).length;
  return [
    'TAP version 13\n',
    `1..${points.length}\n`,
    comment(`machine: ${c.machine_said}`),
    ...j.notes.map((note) => comment(`note: ${note}`)),
    ...points.map(({ name, ok, skip, says }, i) => {
      const directive = skip === '' ? '' : ` # SKIP ${skip}`;
      return `${says === '' ? '' : comment(says)}${ok ? 'ok' : 'not ok'} ${i + 1} ${name}${directive}\n`;
    }),
    ...[...why_lines(c), ...c.apart].map(comment),
    `# Totals: pass:${points.length - failed - skipped} fail:${failed} xfail:0 xpass:0 skip:${skipped} error:0\n`,
  ].join('');
}
