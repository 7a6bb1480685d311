// SPDX-License-Identifier: GPL-2.0-only
// What one process waits for and another one brings about.

import type { Libc } from '../../lib/user/libc.ts';
import type { Gen } from '../../lib/kernel/gen.ts';
import type { Checks } from './expect.ts';
import * as U from '../../lib/user/uapi.ts';

/** Something that one process waits for and another one brings about. */
export interface Event {
  readonly fd: number;
  readonly buf: number;
}

/** An event that has not happened yet. */
export function* new_event(c: Libc, x: Checks): Gen<Event> {
  const fd = yield* c.eventfd(0, U.EFD_CLOEXEC);
  x.check(fd >= 0, `no eventfd: errno ${c.errno}`);
  const buf = yield* c.malloc(8);
  yield* c.store64(buf, 1);
  return { fd, buf };
}

/** Makes the event happen. */
export function* happen(c: Libc, e: Event): Gen<void> {
  yield* c.write(e.fd, e.buf, 8);
}

/** Sleeps until the event has happened. */
export function* wait_for(c: Libc, e: Event): Gen<void> {
  yield* c.read(e.fd, e.buf, 8);
}

/** A child that does nothing until open_gate(): so that it can be looked at what it has without being raced with. */
export interface Gate {
  readonly event: Event;
  pid: number;
}

/** A gate that is shut. */
export function* shut_gate(c: Libc, x: Checks): Gen<Gate> {
  return { event: yield* new_event(c, x), pid: 0 };
}

/** Forks; the child waits behind the gate before it does anything. */
export function* fork_behind(t: Libc, x: Checks, gate: Gate, child: (c: Libc) => Gen<void>): Gen<void> {
  gate.pid = yield* t.fork(function* (c) {
    yield* wait_for(c, gate.event);
    yield* child(c);
  });
  x.check(gate.pid > 0, `fork: ${U.strerror(t.errno)}`);
}

/** Lets the child go on and waits until it is done. */
export function* open_gate(c: Libc, x: Checks, gate: Gate): Gen<void> {
  yield* happen(c, gate.event);
  const { status } = yield* c.waitpid(gate.pid);
  x.check(status === 0, `the child ended with wait status ${status}`);
  yield* c.close(gate.event.fd);
}
