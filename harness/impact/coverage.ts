// SPDX-License-Identifier: GPL-2.0-only
// Which functions of lib ran, as the engine counts them.

import { Session } from 'node:inspector/promises';

const LIB = /\/(?:dist\/)?(lib\/.*)\.[jt]s$/;

export class Coverage {
  private readonly session = new Session();

  async start(): Promise<void> {
    this.session.connect();
    await this.session.post('Profiler.enable');
    await this.session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: false });
    await this.take();
  }

  /** The functions that ran since the last call, as [file of lib, name]; those without a name are not told. */
  async take(): Promise<[string, string][]> {
    const { result } = await this.session.post('Profiler.takePreciseCoverage');
    const found: [string, string][] = [];
    for (const { url, functions } of result) {
      const file = LIB.exec(url)?.[1];
      if (file === undefined) continue;
      for (const { functionName, ranges } of functions)
        if (functionName !== '' && ranges[0].count > 0) found.push([`${file}.ts`, functionName]);
    }
    return found;
  }

  async stop(): Promise<void> {
    await this.session.post('Profiler.stopPreciseCoverage');
    this.session.disconnect();
  }
}
