// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { EXIT_GROUP, machine_code, run_tiny, tiny_elf } from './testing.ts';

/** mov $158, %eax; mov $OPTION, %edi; mov $ARG, %esi; syscall */
const arch_prctl = (option: number, arg: number): number[] =>
  machine_code('b89e000000 bf@option be@arg 0f05', { option, arg });
const [SET_GS, SET_FS, GET_FS, CET_STATUS] = [0x1001, 0x1002, 0x1003, 0x3001];

t.test('the bases of fs and gs are set and read', async (t) => {
  // mov %fs:0, %edi reads where the base points: to the ELF header
  const load = machine_code('64 8b3c25 00000000 81e7 ff000000');
  t.equal(run_tiny(tiny_elf([...arch_prctl(SET_FS, 0x400000), ...load, ...EXIT_GROUP])).status, 0x7f << 8);
  const load_gs = machine_code('65 8b3c25 00000000 81e7 ff000000');
  t.equal(run_tiny(tiny_elf([...arch_prctl(SET_GS, 0x400001), ...load_gs, ...EXIT_GROUP])).status, 0x45 << 8);
  // into the bss at 0x401000, of which the second byte is then 0x20
  const get = [...arch_prctl(SET_FS, 0x2000), ...arch_prctl(GET_FS, 0x401000), ...machine_code('0fb63c25 01104000')];
  t.equal(run_tiny(tiny_elf([...get, ...EXIT_GROUP], 8192)).status, 0x20 << 8);
});

t.test('an option that the configuration lacks is -EINVAL, another one that there is ends the run', async (t) => {
  // mov %eax, %edi; neg %edi
  const errno = machine_code('89c7 f7df');
  t.equal(run_tiny(tiny_elf([...arch_prctl(CET_STATUS, 0), ...errno, ...EXIT_GROUP])).status, 22 << 8);
  t.equal(run_tiny(tiny_elf([...arch_prctl(GET_FS, 0x1000), ...errno, ...EXIT_GROUP])).status, 14 << 8, 'EFAULT');
  t.throws(() => run_tiny(tiny_elf(arch_prctl(0x1011, 0))), /do_arch_prctl_64\(\) of 0x1011/);
});
