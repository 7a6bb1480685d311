import { boot } from '/work/main/lib/boot.ts';
import { start_process } from '/work/main/lib/kernel/exec.ts';
import { kernel_clone } from '/work/main/lib/kernel/fork.ts';
import { kernel_wait4 } from '/work/main/lib/kernel/exit.ts';
import { sys_mmap } from '/work/main/lib/mm/mmap.ts';
import { do_syscall_64 } from '/work/main/lib/kernel/syscalls.ts';
import { user_load32, user_store32 } from '/work/main/lib/mm/uaccess.ts';
import * as A from '/work/main/lib/audit.ts';
const HUGE=2*1024*1024, MAP=0x200000000;
const m = boot({ mem: 256*1024*1024, thp: 'always', nr_hugepages: 8 });
let seed=7; const rnd=(n:number)=>{ seed=(seed*1103515245+12345)&0x7fffffff; return (seed>>8)%n; };
function check(what:string){ const f=(A as any).audit(m); if (f.length) { console.log(what, f.slice(0,5)); process.exit(1);} }
function* body(depth:number): any {
  for (let i=0;i<300;i++){
    const slot=rnd(4), a=MAP+slot*8*HUGE, n=1+rnd(3), op=rnd(12);
    let what=`${depth}:${i} op ${op} slot ${slot} n ${n}`;
    try {
    switch(op){
      case 0: yield* sys_mmap(m,a,n*HUGE,3,0x32|0x40000,-1,0); break;
      case 1: yield* sys_mmap(m,a,n*HUGE,3,0x31|0x40000,-1,0); break;
      case 2: yield* sys_mmap(m,a,n*HUGE,3,0x31,-1,0); break;
      case 3: yield* do_syscall_64(m,11,a+rnd(2)*HUGE,HUGE); break;
      case 4: case 5: yield* user_store32(m,a+rnd(n)*HUGE+rnd(512)*4096,i); break;
      case 6: yield* user_load32(m,a+rnd(n)*HUGE+rnd(512)*4096); break;
      case 7: yield* do_syscall_64(m,10,a,HUGE,rnd(2)?3:1); break;
      case 8: yield* do_syscall_64(m,28,a,n*HUGE,[4,8,14,15][rnd(4)]); break;
      case 9: yield* do_syscall_64(m,25,a,HUGE,HUGE,3,MAP+(rnd(4)*8+4)*HUGE); break;
      case 10: if(depth<2){ const p=yield* kernel_clone(m,0,()=>body(depth+1)); if(rnd(2)) yield* kernel_wait4(m,p,0);} break;
      case 11: yield* do_syscall_64(m,28,a,n*HUGE,rnd(2)?22:23); break;
    }
    } catch(e:any){ if (e?.constructor?.name!=='UserSignal') { console.log(what); throw e; } }
    check(what);
    if (i > 60*(3-depth)) return;
  }
}
start_process(m,'x',()=>body(0));
m.sched.run(()=>m.sched.tasks.length===0);
check('end'); console.log('ok', m.log.warnings, m.log.oopses.map((o:any)=>o.bug+o.path), m.hugetlb.default_hstate);
