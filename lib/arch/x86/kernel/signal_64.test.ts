// SPDX-License-Identifier: GPL-2.0-only

import t from 'tap';
import { CODE, EXIT_GROUP, machine_code, run_tiny, tiny_elf } from './testing.ts';

const SIGSEGV = 11;
const [SA_SIGINFO, SA_RESTORER] = [4, 0x04000000];
const COUNTER = 0x401000;

/** A program with a handler for a signal: `body` raises it; then the counter is the exit status. */
function with_handler(
  sig: number,
  body: readonly number[],
  handler: readonly number[],
  flags = SA_RESTORER,
): Uint8Array {
  const setup = (act: number): number[] =>
    // rt_sigaction(sig, act, NULL, 8)
    machine_code('b80d000000 bf@sig be@act 31d2 41ba08000000 0f05', { sig, act });
  const end = [...machine_code('8b3c25@counter', { counter: COUNTER }), ...EXIT_GROUP];
  const restorer = machine_code('b80f000000 0f05');
  const size = setup(0).length + body.length + end.length;
  const [handler_at, restorer_at] = [CODE + size, CODE + size + handler.length];
  const act = machine_code('@handler 00000000 @flags 00000000 @restorer 00000000 0000000000000000', {
    handler: handler_at,
    flags,
    restorer: restorer_at,
  });
  const act_at = restorer_at + restorer.length;
  return tiny_elf([...setup(act_at), ...body, ...end, ...handler, ...restorer, ...act], 8192);
}

/** kill(getpid(), SIGUSR1) */
const RAISE = machine_code('b827000000 0f05 89c7 be0a000000 b83e000000 0f05');
/** incl COUNTER; ret */
const COUNT = machine_code('ff0425@counter c3', { counter: COUNTER });

t.test('a handler runs on the stack and the program goes on where it was', async (t) => {
  t.equal(run_tiny(with_handler(10, RAISE, COUNT)).status, 1 << 8);
  t.equal(run_tiny(with_handler(10, [...RAISE, ...RAISE], COUNT)).status, 2 << 8);
  // mov %edi, COUNTER; ret: the number of the signal
  const number = machine_code('893c25@counter c3', { counter: COUNTER });
  t.equal(run_tiny(with_handler(10, RAISE, number)).status, 10 << 8);
});

t.test('registers are what they were, also those that the handler changes', async (t) => {
  // mov $5, %ebx; raise; mov %ebx, COUNTER
  const body = [...machine_code('bb05000000'), ...RAISE, ...machine_code('891c25@counter', { counter: COUNTER })];
  t.equal(run_tiny(with_handler(10, body, machine_code('bb63000000 c3'))).status, 5 << 8);
});

t.test('a fault says its address, and the frame holds where it goes on', async (t) => {
  // mov 0x123, %eax, of 7 bytes; the handler adds 7 to the saved rip and stores the low byte of si_addr
  const fault = machine_code('8b0425 23010000');
  const handler = machine_code('8b4610 880425@counter 488382a800000007 c3', { counter: COUNTER });
  t.equal(run_tiny(with_handler(SIGSEGV, fault, handler, SA_RESTORER | SA_SIGINFO)).status, 0x23 << 8);
});

t.test('without a restorer, or on a stack that is not there, the program ends', async (t) => {
  t.equal(run_tiny(with_handler(10, RAISE, COUNT, 0)).status, SIGSEGV);
  // mov $0x1000, %esp
  t.equal(run_tiny(with_handler(10, [...machine_code('bc00100000'), ...RAISE], COUNT)).status, SIGSEGV);
});
