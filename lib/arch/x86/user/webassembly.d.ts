// SPDX-License-Identifier: GPL-2.0-only

// The part of the WebAssembly JavaScript interface that the CPU uses; neither ES2023's library nor @types/node
// declares it.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array);
  }
  class Instance {
    readonly exports: Record<string, unknown>;
    constructor(module: Module, imports: Record<string, Record<string, unknown>>);
  }
  class Memory {
    readonly buffer: ArrayBuffer;
    constructor(descriptor: { initial: number; maximum: number });
  }
  class Table {
    readonly length: number;
    constructor(descriptor: { element: 'anyfunc'; initial: number });
    get(index: number): unknown;
    set(index: number, value: unknown): void;
    grow(delta: number): number;
  }
}
