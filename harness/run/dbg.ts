import { UserCpu } from '../../lib/arch/x86/user/cpu.ts';
import { EXIT } from '../../lib/arch/x86/user/layout.ts';
const names = Object.fromEntries(Object.entries(EXIT).map(([k, v]) => [v, k]));
let n = 0; const t0 = Date.now();
const old = UserCpu.prototype.run;
const counts = new Map<string, number>();
UserCpu.prototype.run = function (mmu: any, ctx: number, fuel: number) {
  const r = old.call(this, mmu, ctx, fuel);
  if (Date.now() - t0 > 25000) { n++; const key = `${names[r]} rip ${this.rip(ctx).toString(16)} fault ${this.memory.view.getBigUint64(ctx + 0x390, true).toString(16)} kind ${this.memory.view.getUint32(ctx + 0x39c, true)} used ${fuel - this.fuel(ctx)} rax ${this.gpr(ctx, 0)}`; counts.set(key, (counts.get(key) ?? 0) + 1); if (n === 2000) { console.error([...counts].sort((a, b) => b[1] - a[1]).slice(0, 20)); process.exit(9); } }
  return r;
};
