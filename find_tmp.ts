import { explore, shrink, type StrategyName } from './harness/explore/search.ts';
import { format_schedule } from './harness/explore/schedule.ts';
import { load_cases } from './harness/regression.ts';
const [slug, strategy, n, bound, budget, seed] = process.argv.slice(2) as string[];
const [c] = await load_cases([slug as string]);
if (c === undefined) throw new Error('no case');
const race = { ...c, name: c.slug, summary: c.subject };
const o = { patches: c.without, budget: Number(budget ?? 20000) };
const e = explore(race, { ...o, strategy: strategy as StrategyName, schedules: Number(n), bound: Number(bound), seed: Number(seed ?? 1) });
console.error(`${slug}: ${e.schedules} schedules, ${e.steps} steps, ${e.failed?.failure?.kind}: ${e.failed?.failure?.text.slice(0, 300)}`);
if (e.failed !== null && e.failed.failure?.kind === c.fails.kind) {
  const s = e.failed.failure.kind === 'livelock' ? e.failed : shrink(race, e.failed, o, 300);
  console.log(JSON.stringify([slug, format_schedule({ seed: s.schedule.seed, switches: s.schedule.switches })]).slice(0, 3000));
  console.error(s.failure?.text.slice(0, 200), s.schedule.switches.length);
}
process.exit(0);
