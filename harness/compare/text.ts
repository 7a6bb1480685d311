// SPDX-License-Identifier: GPL-2.0-only
// A comparison for people, for programs, and for those that read KTAP.

import type { Comparison } from './comparison.ts';
import { agrees, differences_text, summary } from './judge.ts';

export function comparison_text(c: Comparison): string {
  const { judgement: j } = c;
  return [
    `machine: ${c.machine_said}\n`,
    ...j.notes.map((note) => `note: ${note}\n`),
    differences_text(j),
    `${summary(j)}\n`,
  ].join('');
}

export function comparison_json(c: Comparison): string {
  const { judgement: j, machine } = c;
  const answer = {
    file: c.file.name,
    verdict: agrees(j) ? 'same' : 'differs',
    machine: { ...machine, patches: [...machine.patches] },
    compared: j.compared,
    identical: j.same,
    model: { pass: j.pass, fail: j.fail, skip: j.skip },
    differences: j.differences,
    missing: j.missing,
    notes: j.notes,
    errors: j.errors,
  };
  return `${JSON.stringify(answer, null, 2)}\n`;
}

/** A comment of KTAP, on as many lines as it has. */
const comment = (text: string): string => text.replace(/^/gm, '# ').concat('\n');

export function comparison_ktap(c: Comparison): string {
  const { judgement: j } = c;
  const names = new Set(c.file.runs.flatMap((run) => run.results.map((r) => r.name)));
  const newer = new Set(j.newer.filter((r) => r.verdict !== 'FAIL').map((r) => r.name));
  const points: { name: string; ok: boolean; skip: string; says: string[] }[] = [];
  for (const name of names) {
    const mine = j.differences.filter((d) => d.name === name);
    const says = mine.flatMap(({ file, model }) => [`file:  ${file}`, `model: ${model}`]);
    points.push({ name, ok: mine.length === 0, skip: newer.has(name) ? "not in the model's suite" : '', says });
  }
  for (const { name, file, model } of j.differences) {
    if (name !== null && names.has(name)) continue;
    points.push({ name: name ?? 'kernel log', ok: false, skip: '', says: [`file:  ${file}`, `model: ${model}`] });
  }
  const whole = [...j.missing, ...j.errors];
  points.push({ name: 'the file is whole', ok: whole.length === 0, skip: '', says: whole });
  const skipped = points.filter((p) => p.skip !== '').length;
  const failed = points.filter((p) => !p.ok).length;
  return [
    'TAP version 13\n',
    `1..${points.length}\n`,
    comment(`machine: ${c.machine_said}`),
    ...j.notes.map((note) => comment(`note: ${note}`)),
    ...points.map(({ name, ok, skip, says }, i) => {
      const directive = skip === '' ? '' : ` # SKIP ${skip}`;
      return `${says.map(comment).join('')}${ok ? 'ok' : 'not ok'} ${i + 1} ${name}${directive}\n`;
    }),
    `# Totals: pass:${points.length - failed - skipped} fail:${failed} xfail:0 xpass:0 skip:${skipped} error:0\n`,
  ].join('');
}
