// SPDX-License-Identifier: GPL-2.0-only

import { start_thread } from '../arch/x86/kernel/process_64.ts';
import { TASK_SIZE } from '../arch/x86/mm/pgtable/pgtable.ts';
import { clear_user, copy_to_user } from '../arch/x86/mm/uaccess.ts';
import { cpuid } from '../arch/x86/user/cpuid.ts';
import type { Machine } from '../machine.ts';
import { EFAULT, EINVAL, ELIBBAD, ENOEXEC, ENOMEM } from '../errno.ts';
import type { Gen } from '../kernel/gen.ts';
import type { mm_struct } from '../mm/mm_types.ts';
import {
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_PRIVATE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
  vm_brk_flags,
  vm_munmap,
} from '../mm/mmap/mmap.ts';
import { vm_mmap } from '../mm/util.ts';
import { begin_new_exec, type linux_binprm, open_exec, setup_arg_pages } from './exec.ts';
import { fput } from './file_table.ts';
import type { file } from './fs.ts';
import { kernel_read } from './read_write.ts';
import { PAGE_SIZE } from '../mm/contents.ts';
import { PATH_MAX } from './namei.ts';

const EHDR_BYTES = 64;
const PHDR_BYTES = 56;
const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const ELFCLASS64 = 2;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;
const PF_W = 2;
const PF_R = 4;
/** Bytes that program headers may have (fs/binfmt_elf.c: load_elf_phdrs()). */
const PHDRS_MAX = 65536;
/** Where a position-independent program with an interpreter goes (arch/x86/include/asm/elf.h: ELF_ET_DYN_BASE). */
const ELF_ET_DYN_BASE = Math.floor(TASK_SIZE / 3) * 2;
/** AT_MINSIGSTKSZ: struct rt_sigframe, the FXSAVE area and what aligns both (get_sigframe_size()). */
const SIGFRAME_SIZE = Math.ceil((440 + 15 + 512 + 63) / 16) * 16;
/** Bytes of struct rseq that the kernel knows (include/uapi/linux/rseq.h). */
const RSEQ_FEATURE_SIZE = 32;

/** Types of auxiliary vector entries (include/uapi/linux/auxvec.h). */
const AT = {
  NULL: 0,
  PHDR: 3,
  PHENT: 4,
  PHNUM: 5,
  PAGESZ: 6,
  BASE: 7,
  FLAGS: 8,
  ENTRY: 9,
  UID: 11,
  EUID: 12,
  GID: 13,
  EGID: 14,
  PLATFORM: 15,
  HWCAP: 16,
  CLKTCK: 17,
  SECURE: 23,
  RANDOM: 25,
  HWCAP2: 26,
  RSEQ_FEATURE_SIZE: 27,
  RSEQ_ALIGN: 28,
  EXECFN: 31,
  MINSIGSTKSZ: 51,
} as const;

interface elf_phdr {
  readonly p_type: number;
  readonly p_flags: number;
  readonly p_offset: number;
  readonly p_vaddr: number;
  readonly p_filesz: number;
  readonly p_memsz: number;
  readonly p_align: number;
}

interface elfhdr {
  readonly e_type: number;
  readonly e_entry: number;
  readonly e_phoff: number;
  readonly e_phnum: number;
  readonly phentsize: number;
}

const u64 = (v: DataView, at: number): number => v.getUint32(at, true) + v.getUint32(at + 4, true) * 2 ** 32;
const ELF_PAGEOFFSET = (x: number): number => ((x % PAGE_SIZE) + PAGE_SIZE) % PAGE_SIZE;
const ELF_PAGESTART = (x: number): number => x - ELF_PAGEOFFSET(x);
const ELF_PAGEALIGN = (x: number): number => Math.ceil(x / PAGE_SIZE) * PAGE_SIZE;
const BAD_ADDR = (x: number): boolean => x < 0 || x >= TASK_SIZE;

/** Returns the header, or null for a file that is no 64-bit x86 program. NON-KERNEL: the checks of load_elf_binary(). */
function elf_header(buf: Uint8Array): elfhdr | null {
  const v = new DataView(buf.buffer, buf.byteOffset, buf.length);
  if (buf.length < EHDR_BYTES || v.getUint32(0, false) !== 0x7f454c46 || buf[4] !== ELFCLASS64) return null;
  const e_type = v.getUint16(16, true);
  if ((e_type !== ET_EXEC && e_type !== ET_DYN) || v.getUint16(18, true) !== EM_X86_64) return null;
  return {
    e_type,
    e_entry: u64(v, 24),
    e_phoff: u64(v, 32),
    e_phnum: v.getUint16(56, true),
    phentsize: v.getUint16(54, true),
  };
}

/** Returns the program headers, or null if there are none or too many (fs/binfmt_elf.c: load_elf_phdrs()). */
function* load_elf_phdrs(m: Machine, f: file, h: elfhdr): Gen<elf_phdr[] | null> {
  const size = h.e_phnum * PHDR_BYTES;
  if (h.phentsize !== PHDR_BYTES || size === 0 || size > PHDRS_MAX) return null;
  const bytes = yield* kernel_read(m, f, h.e_phoff, size);
  if (bytes.length !== size) return null;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  return Array.from({ length: h.e_phnum }, (_, k) => ({
    p_type: v.getUint32(k * PHDR_BYTES, true),
    p_flags: v.getUint32(k * PHDR_BYTES + 4, true),
    p_offset: u64(v, k * PHDR_BYTES + 8),
    p_vaddr: u64(v, k * PHDR_BYTES + 16),
    p_filesz: u64(v, k * PHDR_BYTES + 32),
    p_memsz: u64(v, k * PHDR_BYTES + 40),
    p_align: u64(v, k * PHDR_BYTES + 48),
  }));
}

/** Returns the bytes from the first segment to the end of the last (fs/binfmt_elf.c: total_mapping_size()). */
function total_mapping_size(phdrs: readonly elf_phdr[]): number {
  const loads = phdrs.filter((p) => p.p_type === PT_LOAD);
  if (loads.length === 0) return 0;
  const min = Math.min(...loads.map((p) => ELF_PAGESTART(p.p_vaddr)));
  return Math.max(...loads.map((p) => p.p_vaddr + p.p_memsz)) - min;
}

/** Returns the largest alignment of a segment that is a power of two (fs/binfmt_elf.c: maximum_alignment()). */
function maximum_alignment(phdrs: readonly elf_phdr[]): number {
  let alignment = 0;
  for (const { p_type, p_align } of phdrs)
    if (p_type === PT_LOAD && p_align > alignment && Number.isInteger(Math.log2(p_align))) alignment = p_align;
  return ELF_PAGEALIGN(alignment);
}

/** fs/binfmt_elf.c: make_prot() */
function make_prot(p_flags: number): number {
  return (p_flags & PF_R ? PROT_READ : 0) | (p_flags & PF_W ? PROT_WRITE : 0) | (p_flags & PF_X ? PROT_EXEC : 0);
}

/** Maps the part of a segment that is in the file. Returns the address or -errno (fs/binfmt_elf.c: elf_map()). */
function* elf_map(
  m: Machine,
  f: file,
  addr0: number,
  p: elf_phdr,
  prot: number,
  type: number,
  total_size: number,
): Gen<number> {
  const offset = ELF_PAGEOFFSET(p.p_vaddr);
  const addr = ELF_PAGESTART(addr0);
  const size = ELF_PAGEALIGN(p.p_filesz + offset);
  if (size === 0) return addr;
  const total = ELF_PAGEALIGN(total_size);
  const at = yield* vm_mmap(m, f, addr, total === 0 ? size : total, prot, type, p.p_offset - offset);
  if (total > size && !BAD_ADDR(at)) yield* vm_munmap(m, at + size, total - size);
  return at;
}

/** Maps a segment with its zeroes. Returns the address or -errno (fs/binfmt_elf.c: elf_load()). */
function* elf_load(
  m: Machine,
  f: file,
  addr: number,
  p: elf_phdr,
  prot: number,
  type: number,
  total_size: number,
): Gen<number> {
  const offset = ELF_PAGEOFFSET(p.p_vaddr);
  let at = ELF_PAGESTART(addr);
  let zero_start = at;
  if (p.p_filesz !== 0) {
    at = yield* elf_map(m, f, addr, p, prot, type, total_size);
    if (BAD_ADDR(at)) return at;
    if (p.p_memsz <= p.p_filesz) return at;
    zero_start = at + offset + p.p_filesz;
    const left = ELF_PAGEALIGN(zero_start) - zero_start;
    if (left > 0 && (yield* clear_user(m, zero_start, left)) !== 0 && prot & PROT_WRITE) return -EFAULT;
  }
  if (p.p_memsz <= p.p_filesz) return at;
  zero_start = ELF_PAGEALIGN(zero_start);
  const zero_end = ELF_PAGEALIGN(at + offset + p.p_memsz);
  const error = yield* vm_brk_flags(m, zero_start, zero_end - zero_start, (prot & PROT_EXEC) !== 0);
  return error !== 0 ? error : at;
}

/** Maps the interpreter. Returns what its addresses are moved by, or -errno (fs/binfmt_elf.c: load_elf_interp()). */
function* load_elf_interp(m: Machine, f: file, h: elfhdr, phdrs: readonly elf_phdr[], no_base: number): Gen<number> {
  let load_addr = 0;
  let load_addr_set = false;
  let total_size = total_mapping_size(phdrs);
  if (total_size === 0) return -EINVAL;
  for (const p of phdrs) {
    if (p.p_type !== PT_LOAD) continue;
    let type = MAP_PRIVATE;
    if (h.e_type === ET_EXEC || load_addr_set) type |= MAP_FIXED;
    else if (no_base !== 0) load_addr = -p.p_vaddr;
    const at = yield* elf_load(m, f, load_addr + p.p_vaddr, p, make_prot(p.p_flags), type, total_size);
    total_size = 0;
    if (BAD_ADDR(at)) return at < 0 ? at : -ENOMEM;
    if (!load_addr_set && h.e_type === ET_DYN) {
      load_addr = at - ELF_PAGESTART(p.p_vaddr);
      load_addr_set = true;
    }
    const start = load_addr + p.p_vaddr;
    if (BAD_ADDR(start) || p.p_filesz > p.p_memsz || p.p_memsz > TASK_SIZE - start) return -ENOMEM;
  }
  return load_addr;
}

/**
 * Writes argc, argv, envp and the auxiliary vector. Returns 0 or -errno (fs/binfmt_elf.c: create_elf_tables()). Leaves
 * out the vDSO: nothing is mapped.
 */
function* create_elf_tables(
  m: Machine,
  bprm: linux_binprm,
  h: elfhdr,
  interp_load_addr: number,
  e_entry: number,
  phdr_addr: number,
): Gen<number> {
  let p = bprm.p - (bprm.p % 16);
  const push = function* (bytes: Uint8Array): Gen<number> {
    p -= bytes.length;
    return (yield* copy_to_user(m, p, bytes, bytes.length)) === 0 ? p : -EFAULT;
  };
  const platform = yield* push(new TextEncoder().encode('x86_64\0'));
  const random = yield* push(Uint8Array.from({ length: 16 }, () => m.sched.strategy.random_u32()));
  if (platform < 0 || random < 0) return -EFAULT;
  const auxv: number[] = [
    ...[AT.MINSIGSTKSZ, SIGFRAME_SIZE],
    ...[AT.HWCAP, cpuid(bprm.processor.cpu.level, 1, 0)[3]],
    ...[AT.PAGESZ, PAGE_SIZE],
    ...[AT.CLKTCK, 100],
    ...[AT.PHDR, phdr_addr],
    ...[AT.PHENT, PHDR_BYTES],
    ...[AT.PHNUM, h.e_phnum],
    ...[AT.BASE, interp_load_addr],
    ...[AT.FLAGS, 0],
    ...[AT.ENTRY, e_entry],
    ...[AT.UID, 0, AT.EUID, 0, AT.GID, 0, AT.EGID, 0],
    ...[AT.SECURE, 0],
    ...[AT.RANDOM, random],
    ...[AT.HWCAP2, 0],
    ...[AT.EXECFN, bprm.exec],
    ...[AT.PLATFORM, platform],
    ...[AT.RSEQ_FEATURE_SIZE, RSEQ_FEATURE_SIZE],
    ...[AT.RSEQ_ALIGN, RSEQ_FEATURE_SIZE],
    ...[AT.NULL, 0],
  ];
  const mm = m.current.mm as mm_struct;
  const pointers: number[] = [];
  let at = bprm.arg_start;
  for (const list of [bprm.argv, bprm.envp]) {
    for (const s of list) {
      pointers.push(at);
      at += s.length;
    }
    pointers.push(0);
  }
  mm.saved_auxv = auxv;
  const words = [bprm.argv.length, ...pointers, ...auxv];
  const sp = p - words.length * 8;
  bprm.p = sp - (sp % 16);
  const bytes = new Uint8Array(words.length * 8);
  const v = new DataView(bytes.buffer);
  for (const [k, word] of words.entries()) v.setBigUint64(k * 8, BigInt(word), true);
  return (yield* copy_to_user(m, bprm.p, bytes, bytes.length)) === 0 ? 0 : -EFAULT;
}

/** Opens the program's interpreter and reads its headers. Returns it or -errno. NON-KERNEL: part of load_elf_binary(). */
function* open_interpreter(
  m: Machine,
  bprm: linux_binprm,
  p: elf_phdr,
): Gen<{ f: file; h: elfhdr; phdrs: elf_phdr[] } | number> {
  if (p.p_filesz > PATH_MAX || p.p_filesz < 2) return -ENOEXEC;
  const name = yield* kernel_read(m, bprm.file, p.p_offset, p.p_filesz);
  if (name.length !== p.p_filesz || name.at(-1) !== 0) return -ENOEXEC;
  const f = yield* open_exec(m, new TextDecoder().decode(name.subarray(0, name.indexOf(0))));
  if (typeof f === 'number') return f;
  const h = elf_header(yield* kernel_read(m, f, 0, EHDR_BYTES));
  const phdrs = h === null ? null : yield* load_elf_phdrs(m, f, h);
  if (h !== null && phdrs !== null) return { f, h, phdrs };
  fput(m, f);
  return -ELIBBAD;
}

/**
 * Starts an ELF program in the current task. Returns 0 or -errno (fs/binfmt_elf.c: load_elf_binary()). Addresses are
 * those of a kernel that does not randomize.
 */
export function* load_elf_binary(m: Machine, bprm: linux_binprm): Gen<number> {
  const h = elf_header(bprm.buf);
  if (h === null) return -ENOEXEC;
  const phdrs = yield* load_elf_phdrs(m, bprm.file, h);
  if (phdrs === null) return -ENOEXEC;
  const wanted = phdrs.find((p) => p.p_type === PT_INTERP);
  const interpreter = wanted === undefined ? null : yield* open_interpreter(m, bprm, wanted);
  if (typeof interpreter === 'number') return interpreter;
  const stack = phdrs.find((p) => p.p_type === PT_GNU_STACK);
  const retval = yield* begin_new_exec(m, bprm);
  if (retval !== 0) return retval;
  const error = yield* setup_arg_pages(m, bprm, stack !== undefined && (stack.p_flags & PF_X) !== 0);
  if (error !== 0) return error;

  let load_bias = 0;
  let phdr_addr = 0;
  let elf_brk = 0;
  let first = true;
  for (const p of phdrs) {
    if (p.p_type !== PT_LOAD) continue;
    let type = MAP_PRIVATE;
    let total_size = 0;
    if (!first) type |= MAP_FIXED;
    else if (h.e_type === ET_EXEC) type |= MAP_FIXED_NOREPLACE;
    else {
      total_size = total_mapping_size(phdrs);
      if (total_size === 0) return -EINVAL;
      const alignment = maximum_alignment(phdrs);
      if (interpreter !== null) {
        load_bias = ELF_ET_DYN_BASE;
        type |= MAP_FIXED_NOREPLACE;
      } else if (alignment > PAGE_SIZE) {
        load_bias = yield* elf_load(m, bprm.file, 0, p, make_prot(p.p_flags), type, total_size);
        if (BAD_ADDR(load_bias)) return load_bias < 0 ? load_bias : -EINVAL;
        yield* vm_munmap(m, load_bias, total_size);
        type |= MAP_FIXED_NOREPLACE;
      }
      if (alignment !== 0) load_bias -= load_bias % alignment;
      load_bias = ELF_PAGESTART(load_bias - p.p_vaddr);
    }
    const at = yield* elf_load(m, bprm.file, load_bias + p.p_vaddr, p, make_prot(p.p_flags), type, total_size);
    if (BAD_ADDR(at)) return at < 0 ? at : -EINVAL;
    if (first && h.e_type === ET_DYN) load_bias += at - ELF_PAGESTART(load_bias + p.p_vaddr);
    first = false;
    if (p.p_offset <= h.e_phoff && h.e_phoff < p.p_offset + p.p_filesz) phdr_addr = h.e_phoff - p.p_offset + p.p_vaddr;
    if (BAD_ADDR(p.p_vaddr) || p.p_filesz > p.p_memsz || p.p_memsz > TASK_SIZE - p.p_vaddr) return -EINVAL;
    elf_brk = Math.max(elf_brk, p.p_vaddr + p.p_memsz);
  }
  const e_entry = h.e_entry + load_bias;
  phdr_addr += load_bias;
  elf_brk += load_bias;

  let elf_entry = e_entry;
  let interp_load_addr = 0;
  if (interpreter !== null) {
    interp_load_addr = yield* load_elf_interp(m, interpreter.f, interpreter.h, interpreter.phdrs, load_bias);
    if (interp_load_addr < 0) return interp_load_addr;
    elf_entry = interp_load_addr + interpreter.h.e_entry;
    fput(m, interpreter.f);
  }
  if (BAD_ADDR(elf_entry)) return -EINVAL;
  const tables = yield* create_elf_tables(m, bprm, h, interp_load_addr, e_entry, phdr_addr);
  if (tables !== 0) return tables;
  const mm = m.current.mm as mm_struct;
  if (h.e_type === ET_DYN && interpreter === null) elf_brk = ELF_ET_DYN_BASE;
  mm.start_brk = ELF_PAGEALIGN(elf_brk);
  mm.brk = mm.start_brk;
  start_thread(m, elf_entry, bprm.p);
  return 0;
}
