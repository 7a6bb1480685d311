// SPDX-License-Identifier: GPL-2.0-only
// A process of a recorded program: executes one op at a time by system calls, loads and stores, and formats the answer.

import type { Gen } from '../../lib/kernel/gen.ts';
import type { Libc } from '../../lib/user/libc.ts';
import {
  type Advice,
  ARENA,
  ARENA_PAGES,
  type DevCmd,
  encode_list,
  type GupCmd,
  type Op,
  PAGE_SIZE,
  type Prot,
  type Value,
} from './format.ts';
import * as U from '../../lib/user/uapi.ts';

const PROT: Readonly<Record<Prot, number>> = { rw: U.PROT_READ | U.PROT_WRITE, r: U.PROT_READ, none: U.PROT_NONE };

const ADVICE: Readonly<Record<Advice, number>> = {
  hugepage: U.MADV_HUGEPAGE,
  nohugepage: U.MADV_NOHUGEPAGE,
  collapse: U.MADV_COLLAPSE,
  free: U.MADV_FREE,
  dontneed: U.MADV_DONTNEED,
  populate_read: U.MADV_POPULATE_READ,
  populate_write: U.MADV_POPULATE_WRITE,
  dontfork: U.MADV_DONTFORK,
  wipeonfork: U.MADV_WIPEONFORK,
  guard: U.MADV_GUARD_INSTALL,
  unguard: U.MADV_GUARD_REMOVE,
};

const DEV: Readonly<Record<DevCmd, number>> = {
  read: U.HMM_DMIRROR_READ,
  write: U.HMM_DMIRROR_WRITE,
  to_dev: U.HMM_DMIRROR_MIGRATE_TO_DEV,
  to_sys: U.HMM_DMIRROR_MIGRATE_TO_SYS,
  snapshot: U.HMM_DMIRROR_SNAPSHOT,
  exclusive: U.HMM_DMIRROR_EXCLUSIVE,
  check_exclusive: U.HMM_DMIRROR_CHECK_EXCLUSIVE,
  release: U.HMM_DMIRROR_RELEASE,
  flags: U.HMM_DMIRROR_FLAGS,
  read_unlocked: U.HMM_DMIRROR_READ_UNLOCKED,
};

/** Commands whose answer lists the first u32 of each mirror page. */
const LISTS_WORDS: readonly DevCmd[] = ['read', 'read_unlocked', 'to_dev', 'exclusive'];

const GUP: Readonly<Record<GupCmd, number>> = {
  gup_fast: U.GUP_FAST_BENCHMARK,
  pin_fast: U.PIN_FAST_BENCHMARK,
  pin_longterm: U.PIN_LONGTERM_BENCHMARK,
  gup_basic: U.GUP_BASIC_TEST,
  pin_basic: U.PIN_BASIC_TEST,
};

/** Offsets within the page that holds the structures which a process passes to the kernel. */
const AT = { cmd: 0, gup: 64, uffd: 192, word: 256, iov: 320 } as const;
/** Initial pages of the mirror buffer. */
const MIRROR_PAGES = 1024;
/** Maximum size of a mirror buffer; a longer range is an error before the driver looks at the buffer. */
const MAX_MIRROR_PAGES = ARENA_PAGES;
const MIRROR_FILL = 0xee;
/** First word of page i of a new file, minus i. */
const FILE_WORD = 0xf0000;
const UFFD_FILL = 0xab;
/** Flags of /proc/kpageflags that an answer shows: UPTODATE MMAP ANON SWAPBACKED COMPOUND_HEAD COMPOUND_TAIL HUGE THP ZERO. */
const KPF_SHOWN = [3, 11, 12, 14, 15, 16, 17, 22, 24].reduce((mask, bit) => mask | (1 << bit), 0);

const address = (page: number): number => ARENA + page * PAGE_SIZE;

/** A process of a program: its number, and its memory outside of the arena, which a forked child inherits. */
export class Process {
  readonly c: Libc;
  readonly id: number;
  /** A page for structures. */
  readonly area: number;
  private mirror: number;
  private mirror_pages: number;
  private readonly devices = new Map<number, number>();
  private uffd = -1;
  /** The userfaultfd for write protection. */
  private wp = -1;

  private constructor(c: Libc, id: number, area: number, mirror: number, mirror_pages: number) {
    this.c = c;
    this.id = id;
    this.area = area;
    this.mirror = mirror;
    this.mirror_pages = mirror_pages;
  }

  /** The first process. Allocates and touches its memory, so that no op of the program does. */
  static *first(c: Libc): Gen<Process> {
    const area = yield* c.aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    yield* c.memset(area, 0, PAGE_SIZE);
    const mirror = yield* c.aligned_alloc(PAGE_SIZE, MIRROR_PAGES * PAGE_SIZE);
    yield* c.memset(mirror, MIRROR_FILL, MIRROR_PAGES * PAGE_SIZE);
    return new Process(c, 0, area, mirror, MIRROR_PAGES);
  }

  /** Arguments of fork(): `body` runs in the child, a process without the parent's descriptors. */
  private child_entry(id: number, body: (child: Process) => Gen<number>): (c: Libc) => Gen<number> {
    const { area, mirror, mirror_pages } = this;
    const inherited = [...this.devices.values(), ...[this.uffd, this.wp].filter((fd) => fd >= 0)];
    return function* (c) {
      for (const fd of inherited) yield* c.close(fd);
      return yield* body(new Process(c, id, area, mirror, mirror_pages));
    };
  }

  /** Forks process `id`, which runs `body`. Returns its pid or a negative errno. */
  *fork(id: number, body: (child: Process) => Gen<number>): Gen<number> {
    const pid = yield* this.c.fork(this.child_entry(id, body));
    return pid < 0 ? -this.c.errno : pid;
  }

  /** Returns 0, or the negative errno of the call that returned `ret`. */
  private status(ret: number): string {
    return ret === -1 ? `-${this.c.errno}` : '0';
  }

  /** Executes any op but fork and exit. Returns the answer in the format of a recording, without warnings. */
  *run(op: Op): Gen<string> {
    const { c } = this;
    switch (op.name) {
      case 'open': {
        const fd = yield* c.open(`/dev/hmm_dmirror${op.d}`, U.O_RDWR);
        if (fd >= 0) this.devices.set(op.d, fd);
        return this.status(fd);
      }
      case 'close': {
        const ret = yield* c.close(this.device(op.d));
        this.devices.delete(op.d);
        return this.status(ret);
      }
      case 'mmap':
        return yield* this.mmap(op);
      case 'munmap':
        return this.status(yield* c.munmap(address(op.p), op.n * PAGE_SIZE));
      case 'mprotect':
        return this.status(yield* c.mprotect(address(op.p), op.n * PAGE_SIZE, PROT[op.prot]));
      case 'madvise':
        return this.status(yield* c.madvise(address(op.p), op.n * PAGE_SIZE, ADVICE[op.advice]));
      case 'mremap': {
        const flags = U.MREMAP_MAYMOVE | U.MREMAP_FIXED | (op.dontunmap ? U.MREMAP_DONTUNMAP : 0);
        const len = op.n * PAGE_SIZE;
        return this.status(yield* c.mremap(address(op.p), len, len, flags, address(op.q)));
      }
      case 'uffd':
        return yield* this.register_uffd(op.p, op.n);
      case 'load':
        return yield* this.load(op.p, op.n);
      case 'store':
        return yield* this.store(op.p, op.n, op.v);
      case 'dev':
        return yield* this.dev(op);
      case 'pagemap':
        return yield* this.pagemap(op.p, op.n);
      case 'smaps':
        return yield* this.smaps();
      case 'gup':
        return yield* this.gup(op);
      case 'resize': {
        const [was, now] = [op.n * PAGE_SIZE, op.to * PAGE_SIZE];
        return this.status(yield* c.mremap(address(op.p), was, now, 0));
      }
      case 'mincore':
        return yield* this.mincore(op.p, op.n);
      case 'pvread':
        return yield* this.process_vm_readv(op.p, op.n);
      case 'memread':
        return yield* this.mem(op.p, op.n, null);
      case 'memwrite':
        return yield* this.mem(op.p, op.n, op.v);
      case 'kpage':
        return yield* this.kpage(op.p, op.n);
      case 'marks':
        return yield* this.marks(op.p, op.n);
      case 'uwp':
        return yield* this.register_wp(op.p, op.n);
      case 'wp':
        return yield* this.write_protect(op.p, op.n, op.mode);
      case 'fork':
      case 'exit':
        throw new Error(`${op.name} is not an op that a process does by itself`);
    }
  }

  private device(d: number): number {
    return this.devices.get(d) ?? -1;
  }

  private *mmap(op: Op & { name: 'mmap' }): Gen<string> {
    const { c } = this;
    const len = op.n * PAGE_SIZE;
    let flags = U.MAP_FIXED | (op.kind === 'shared' || op.kind === 'fileshared' ? U.MAP_SHARED : U.MAP_PRIVATE);
    let fd = -1;
    let file = -1;
    if (op.kind === 'dmirror') {
      fd = this.device(op.d);
    } else if (op.kind === 'filepriv' || op.kind === 'fileshared') {
      file = yield* this.fresh_file(op.n);
      if (file < 0) return `-${c.errno}`;
      fd = file;
    } else {
      flags |= U.MAP_ANONYMOUS | (op.kind === 'huge' ? U.MAP_HUGETLB : 0);
    }
    const answer = this.status(yield* c.mmap(address(op.p), len, PROT[op.prot], flags, fd, 0));
    if (file >= 0) yield* c.close(file);
    return answer;
  }

  /** Creates an unnamed tmpfs file of n pages; page i starts with FILE_WORD + i. Returns its descriptor or -1. */
  private *fresh_file(n: number): Gen<number> {
    const { c } = this;
    const fd = yield* c.open('/tmp', U.O_TMPFILE | U.O_RDWR, 0o600);
    if (fd < 0) return -1;
    if ((yield* c.ftruncate(fd, n * PAGE_SIZE)) !== 0) return -1;
    for (let i = 0; i < n; i++) {
      yield* c.store32(this.area + AT.word, FILE_WORD + i);
      if ((yield* c.pwrite(fd, this.area + AT.word, 4, i * PAGE_SIZE)) !== 4) return -1;
    }
    return fd;
  }

  private *load(p: number, n: number): Gen<string> {
    const { c } = this;
    const values: Value[] = [];
    for (let i = 0; i < n; i++) {
      const a = address(p + i);
      let v = c.tlb_load32(a);
      if (v === undefined) {
        const signal = yield* c.catch_signal(function* () {
          v = yield* c.load32(a);
        });
        if (signal !== 0 || v === undefined) {
          values.push(signal_name(signal));
          continue;
        }
      }
      values.push(v >>> 0);
    }
    return `0 [${encode_list(values)}]`;
  }

  private *store(p: number, n: number, v: number): Gen<string> {
    const { c } = this;
    const values: Value[] = [];
    for (let i = 0; i < n; i++) {
      const a = address(p + i);
      let signal = 0;
      if (!c.tlb_store32(a, v + i)) signal = yield* c.catch_signal(() => c.store32(a, v + i));
      values.push(signal === 0 ? 0 : signal_name(signal));
    }
    return `0 [${encode_list(values)}]`;
  }

  /** Returns the mirror buffer with room for n pages. */
  private *mirror_for(n: number): Gen<number> {
    if (n > this.mirror_pages) {
      yield* this.c.free(this.mirror);
      this.mirror = yield* this.c.aligned_alloc(PAGE_SIZE, n * PAGE_SIZE);
      this.mirror_pages = n;
    }
    return this.mirror;
  }

  private *dev(op: Op & { name: 'dev' }): Gen<string> {
    const { c } = this;
    const pages = Math.min(op.n, MAX_MIRROR_PAGES);
    const mirror = yield* this.mirror_for(pages);
    yield* c.memset(mirror, op.cmd === 'write' ? 0 : MIRROR_FILL, pages * PAGE_SIZE);
    if (op.cmd === 'write') {
      for (let i = 0; i < pages; i++) yield* c.store32(mirror + i * PAGE_SIZE, op.v + i);
    }

    const F = U.HMM_DMIRROR_CMD;
    const cmd = this.area + AT.cmd;
    yield* c.store64(cmd + F.addr, op.cmd === 'flags' ? ARENA : address(op.p));
    yield* c.store64(cmd + F.ptr, mirror);
    yield* c.store64(cmd + F.npages, op.n);
    yield* c.store64(cmd + F.cpages, 0);
    yield* c.store64(cmd + F.faults, 0);
    let ret;
    do {
      ret = yield* c.ioctl(this.device(op.d), DEV[op.cmd], cmd);
    } while (ret !== 0 && c.errno === U.EINTR);
    if (ret !== 0) return `-${c.errno}`;

    const cpages = yield* c.load64(cmd + F.cpages);
    const faults = yield* c.load64(cmd + F.faults);
    const answer = `0 c=${cpages} f=${faults}`;
    if (op.cmd === 'snapshot') {
      const values: number[] = [];
      for (let i = 0; i < pages; i++) values.push(yield* c.load8(mirror + i));
      return `${answer} [${encode_list(values)}]`;
    }
    if (!LISTS_WORDS.includes(op.cmd)) return answer;
    const values: number[] = [];
    for (let i = 0; i < pages; i++) {
      const a = mirror + i * PAGE_SIZE;
      values.push((c.tlb_load32(a) ?? (yield* c.load32(a))) >>> 0);
    }
    return `${answer} [${encode_list(values)}]`;
  }

  private *pagemap(p: number, n: number): Gen<string> {
    const { c } = this;
    const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
    if (fd < 0) return `-${c.errno}`;
    const buf = yield* c.malloc(n * 8);
    const got = yield* c.pread(fd, buf, n * 8, (address(p) / PAGE_SIZE) * 8);
    const errno = c.errno;
    yield* c.close(fd);
    const values: number[] = [];
    for (let i = 0; i < got / 8; i++) {
      const lo = yield* c.load32(buf + i * 8);
      const hi = (yield* c.load32(buf + i * 8 + 4)) >>> 0;
      const swap = (hi >>> 30) & 1;
      const v = ((hi >>> 31) << 3) | (swap << 2) | (((hi >>> 29) & 1) << 1) | ((hi >>> 24) & 1);
      values.push(swap ? v | ((lo & 0x1f) << 4) : v);
    }
    yield* c.free(buf);
    return got < 0 ? `-${errno}` : `0 [${encode_list(values)}]`;
  }

  private *mincore(p: number, n: number): Gen<string> {
    const { c } = this;
    const vec = yield* c.malloc(n + 1);
    const ret = yield* c.mincore(address(p), n * PAGE_SIZE, vec);
    const values: number[] = [];
    for (let i = 0; i < n && ret === 0; i++) values.push(yield* c.load8(vec + i));
    yield* c.free(vec);
    return ret === 0 ? `0 [${encode_list(values)}]` : `-${c.errno}`;
  }

  /** Reads its own pages, one by one. */
  private *process_vm_readv(p: number, n: number): Gen<string> {
    const { c } = this;
    const [word, local, remote] = [0, 16, 32].map((at) => this.area + AT.iov + at) as [number, number, number];
    const values: Value[] = [];
    yield* c.store64(local, word);
    yield* c.store64(local + 8, 4);
    yield* c.store64(remote + 8, 4);
    for (let i = 0; i < n; i++) {
      yield* c.store64(remote, address(p + i));
      const got = yield* c.process_vm_readv(c.getpid(), local, 1, remote, 1, 0);
      values.push(got === 4 ? (yield* c.load32(word)) >>> 0 : '!segv');
    }
    return `0 [${encode_list(values)}]`;
  }

  /** Reads its own pages by /proc/self/mem, or writes v on to them. */
  private *mem(p: number, n: number, v: number | null): Gen<string> {
    const { c } = this;
    const fd = yield* c.open('/proc/self/mem', U.O_RDWR);
    const word = this.area + AT.word;
    const values: Value[] = [];
    for (let i = 0; i < n; i++) {
      const at = address(p + i);
      if (v !== null) {
        yield* c.store32(word, v + i);
        values.push((yield* c.pwrite(fd, word, 4, at)) === 4 ? 0 : '!segv');
      } else {
        values.push((yield* c.pread(fd, word, 4, at)) === 4 ? (yield* c.load32(word)) >>> 0 : '!segv');
      }
    }
    yield* c.close(fd);
    return `0 [${encode_list(values)}]`;
  }

  /** Returns the pagemap entries of n pages, high word first, or null if they cannot be read. */
  private *entries(p: number, n: number): Gen<[number, number][]> {
    const { c } = this;
    const fd = yield* c.open('/proc/self/pagemap', U.O_RDONLY);
    const buf = yield* c.malloc(n * 8);
    const got = yield* c.pread(fd, buf, n * 8, (address(p) / PAGE_SIZE) * 8);
    yield* c.close(fd);
    const found: [number, number][] = [];
    for (let i = 0; i < got / 8; i++)
      found.push([(yield* c.load32(buf + i * 8 + 4)) >>> 0, (yield* c.load32(buf + i * 8)) >>> 0]);
    yield* c.free(buf);
    return found;
  }

  /** Mapcount and some flags of the present pages. */
  private *kpage(p: number, n: number): Gen<string> {
    const { c } = this;
    const fds = [yield* c.open('/proc/kpageflags', U.O_RDONLY), yield* c.open('/proc/kpagecount', U.O_RDONLY)];
    const word = this.area + AT.word;
    const values: number[] = [];
    for (const [hi, lo] of yield* this.entries(p, n)) {
      if (hi >>> 31 === 0) {
        values.push(0);
        continue;
      }
      const pfn = (hi & 0x7fffff) * 2 ** 32 + lo;
      const info: number[] = [];
      for (const fd of fds) info.push((yield* c.pread(fd, word, 8, pfn * 8)) === 8 ? yield* c.load64(word) : 0);
      values.push(info[1] * 2 ** 28 + (info[0] & KPF_SHOWN));
    }
    for (const fd of fds) yield* c.close(fd);
    return `0 [${encode_list(values)}]`;
  }

  /** The uffd-wp and guard bits of pagemap. */
  private *marks(p: number, n: number): Gen<string> {
    const values = (yield* this.entries(p, n)).map(([hi]) => ((hi >>> 25) & 1) | (((hi >>> 26) & 1) << 1));
    return `0 [${encode_list(values)}]`;
  }

  private *smaps(): Gen<string> {
    const text = yield* this.c.read_file('/proc/self/smaps');
    if (text === null) return `-${this.c.errno}`;
    let vmas = 0;
    let inside = false;
    const kb = { Rss: 0, Anonymous: 0, AnonHugePages: 0, Swap: 0 };
    for (const line of text.split('\n')) {
      const range = /^([0-9a-f]+)-([0-9a-f]+) /.exec(line);
      if (range !== null) {
        inside = Number.parseInt(range[1], 16) >= ARENA && Number.parseInt(range[2], 16) <= address(ARENA_PAGES);
        if (inside) vmas++;
        continue;
      }
      const field = inside ? /^(Rss|Anonymous|AnonHugePages|Swap):\s*(\d+) kB/.exec(line) : null;
      if (field !== null) kb[field[1] as keyof typeof kb] += Number(field[2]);
    }
    return `0 vmas=${vmas} rss=${kb.Rss / 4} anon=${kb.Anonymous / 4} thp=${kb.AnonHugePages / 4} swap=${kb.Swap / 4}`;
  }

  private *gup(op: Op & { name: 'gup' }): Gen<string> {
    const { c } = this;
    const fd = yield* c.open('/sys/kernel/debug/gup_test', U.O_RDWR);
    if (fd < 0) return `-${c.errno}`;
    const F = U.GUP_TEST;
    const gup = this.area + AT.gup;
    yield* c.memset(gup, 0, F.size);
    yield* c.store64(gup + F.addr, address(op.p));
    yield* c.store64(gup + F.len, op.n * PAGE_SIZE);
    yield* c.store32(gup + F.nr_pages_per_call, op.n);
    yield* c.store32(gup + F.gup_flags, op.flags);
    const ret = yield* c.ioctl(fd, GUP[op.cmd], gup);
    const errno = c.errno;
    yield* c.close(fd);
    return ret !== 0 ? `-${errno}` : `0 size=${(yield* c.load64(gup + F.len)) / PAGE_SIZE}`;
  }

  private *register_uffd(p: number, n: number): Gen<string> {
    const { c } = this;
    const arg = this.area + AT.uffd;
    if (this.uffd < 0) {
      const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
      if (uffd < 0) return `-${c.errno}`;
      yield* c.store64(arg + U.UFFDIO_API_ARG.api, U.UFFD_API);
      yield* c.store64(arg + U.UFFDIO_API_ARG.features, 0);
      if ((yield* c.ioctl(uffd, U.UFFDIO_API, arg)) !== 0) return `-${c.errno}`;
      if ((yield* c.pthread_create((thread) => answer_faults(thread, uffd))) === -1) return `-${c.errno}`;
      this.uffd = uffd;
    }
    const F = U.UFFDIO_REGISTER_ARG;
    yield* c.store64(arg + F.start, address(p));
    yield* c.store64(arg + F.len, n * PAGE_SIZE);
    yield* c.store64(arg + F.mode, U.UFFDIO_REGISTER_MODE_MISSING);
    return this.status(yield* c.ioctl(this.uffd, U.UFFDIO_REGISTER, arg));
  }

  /** Registers a range for write protection that the kernel resolves by itself. */
  private *register_wp(p: number, n: number): Gen<string> {
    const { c } = this;
    const arg = this.area + AT.uffd;
    if (this.wp < 0) {
      const uffd = yield* c.userfaultfd(U.O_CLOEXEC | U.O_NONBLOCK);
      if (uffd < 0) return `-${c.errno}`;
      yield* c.store64(arg + U.UFFDIO_API_ARG.api, U.UFFD_API);
      yield* c.store64(arg + U.UFFDIO_API_ARG.features, U.UFFD_FEATURE_WP_ASYNC);
      if ((yield* c.ioctl(uffd, U.UFFDIO_API, arg)) !== 0) return `-${c.errno}`;
      this.wp = uffd;
    }
    const F = U.UFFDIO_REGISTER_ARG;
    yield* c.store64(arg + F.start, address(p));
    yield* c.store64(arg + F.len, n * PAGE_SIZE);
    yield* c.store64(arg + F.mode, U.UFFDIO_REGISTER_MODE_WP);
    return this.status(yield* c.ioctl(this.wp, U.UFFDIO_REGISTER, arg));
  }

  private *write_protect(p: number, n: number, mode: number): Gen<string> {
    const { c } = this;
    const arg = this.area + AT.uffd;
    const F = U.UFFDIO_WRITEPROTECT_ARG;
    yield* c.store64(arg + F.start, address(p));
    yield* c.store64(arg + F.len, n * PAGE_SIZE);
    yield* c.store64(arg + F.mode, mode);
    return this.status(yield* c.ioctl(this.wp, U.UFFDIO_WRITEPROTECT, arg));
  }
}

function signal_name(signal: number): Value {
  if (signal === U.SIGSEGV) return '!segv';
  if (signal === U.SIGBUS) return '!bus';
  throw new Error(`an access raised signal ${signal}: expected SIGSEGV or SIGBUS`);
}

/** Thread that supplies missing pages, filled with UFFD_FILL, as long as the process lives. */
function* answer_faults(c: Libc, uffd: number): Gen<void> {
  const page = yield* c.aligned_alloc(PAGE_SIZE, PAGE_SIZE);
  yield* c.memset(page, UFFD_FILL, PAGE_SIZE);
  const msg = yield* c.malloc(U.UFFD_MSG.size);
  const copy = yield* c.malloc(U.UFFDIO_COPY_ARG.size);
  const F = U.UFFDIO_COPY_ARG;
  const fds = [{ fd: uffd, events: U.POLLIN, revents: 0 }];
  while ((yield* c.poll(fds, -1)) > 0) {
    if ((yield* c.read(uffd, msg, U.UFFD_MSG.size)) !== U.UFFD_MSG.size) continue;
    if ((yield* c.load8(msg + U.UFFD_MSG.event)) !== U.UFFD_EVENT_PAGEFAULT) continue;
    const fault = yield* c.load64(msg + U.UFFD_MSG.address);
    yield* c.store64(copy + F.dst, fault - (fault % PAGE_SIZE));
    yield* c.store64(copy + F.src, page);
    yield* c.store64(copy + F.len, PAGE_SIZE);
    yield* c.store64(copy + F.mode, 0);
    yield* c.store64(copy + F.copy, 0);
    yield* c.ioctl(uffd, U.UFFDIO_COPY, copy);
  }
}
