import { explore } from './explore/search.ts';
import { format_schedule } from './explore/schedule.ts';
import { race_cases } from '../selftests/races/index.ts';
const strat=(process.argv[5]??'random') as 'random'|'pct'; const [states, n, filter] = [process.argv[2]!.split(','), Number(process.argv[3]), process.argv[4]];
for (const st of states) for (const c of race_cases) {
  if (filter && !c.name.match(filter)) continue;
  try {
  const t0 = Date.now();
  const r = explore(c, { strategy: strat, schedules: n, bound: Number(process.argv[6]??3), seed: 1, patches: [st] , budget: 20000});
  const dt = Date.now() - t0;
  if (r.failed) console.log(st, c.name, r.schedules, r.failed.failure!.kind, r.failed.failure!.text.slice(0, 150), format_schedule({...r.failed.schedule, end: undefined as never}).length, Math.round(1000*r.schedules/dt)+'/s');
  } catch (e) { console.log(st, c.name, 'ERR', (e as Error).message.slice(0,200)); }
}
