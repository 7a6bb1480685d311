// SPDX-License-Identifier: GPL-2.0-only

/** Milliseconds between two lines on a terminal, where one replaces the other, and elsewhere. */
const ON_TERMINAL = 100;
const ELSEWHERE = 3000;

/** How far a program is, on standard error: a line that is rewritten on a terminal, else one every few seconds. */
export class Progress {
  private readonly tty = process.stderr.isTTY === true;
  private readonly quiet: boolean;
  private shown = performance.now();
  private visible = false;

  constructor(quiet = false) {
    this.quiet = quiet;
  }

  /** Shows the line that `text` returns, unless the last one is only just there. */
  tick(text: () => string): void {
    if (this.quiet) return;
    const now = performance.now();
    if (now - this.shown < (this.tty ? ON_TERMINAL : ELSEWHERE)) return;
    this.shown = now;
    if (!this.tty) process.stderr.write(`${text()}\n`);
    else process.stderr.write(`\r\x1b[K${text().slice(0, (process.stderr.columns ?? 80) - 1)}`);
    this.visible = this.tty;
  }

  /** Clears the way for other output. */
  clear(): void {
    if (this.visible) process.stderr.write('\r\x1b[K');
    this.visible = false;
  }

  /** A line that stays. */
  say(text: string): void {
    if (this.quiet) return;
    this.clear();
    process.stderr.write(`${text}\n`);
  }
}
