// SPDX-License-Identifier: GPL-2.0-only
// Models tools/testing/selftests/kselftest.h: the output lines of a test program and its exit codes.

export const KSFT_PASS = 0;
export const KSFT_FAIL = 1;
export const KSFT_XFAIL = 2;
export const KSFT_XPASS = 3;
export const KSFT_SKIP = 4;

/** Counters and line-buffered output of one process of a test program. */
export class Ksft {
  private pass = 0;
  private fail = 0;
  private xfail = 0;
  private xpass = 0;
  private xskip = 0;
  private error = 0;
  private plan = 0;
  /** An unfinished line. It is lost if the process ends by _exit(), like stdio's buffer. */
  private pending = '';
  private readonly sink: (text: string) => void;
  debug_enabled = false;

  constructor(sink: (text: string) => void) {
    this.sink = sink;
  }

  /** Returns the state of a forked child: counters at zero (ksft_reset_state()) and an empty line buffer. */
  child(): Ksft {
    const child = new Ksft(this.sink);
    child.debug_enabled = this.debug_enabled;
    return child;
  }

  /** Prints whole lines at once and keeps the rest until its newline. */
  printf(text: string): void {
    const all = this.pending + text;
    const end = all.lastIndexOf('\n') + 1;
    this.pending = all.slice(end);
    if (end > 0) this.sink(all.slice(0, end));
  }

  ksft_test_num(): number {
    return this.pass + this.fail + this.xfail + this.xpass + this.xskip + this.error;
  }

  ksft_get_fail_cnt(): number {
    return this.fail;
  }

  ksft_get_error_cnt(): number {
    return this.error;
  }

  ksft_print_header(): void {
    this.printf('TAP version 13\n');
  }

  ksft_set_plan(plan: number): void {
    this.plan = plan;
    this.printf(`1..${plan}\n`);
  }

  ksft_print_msg(text: string): void {
    this.printf(`# ${text}`);
  }

  ksft_print_dbg_msg(text: string): void {
    if (this.debug_enabled) this.ksft_print_msg(text);
  }

  ksft_print_cnts(): void {
    const { pass, fail, xfail, xpass, xskip, error, plan } = this;
    if (xskip > 0) {
      this.printf(
        `# ${xskip} skipped test(s) detected. Consider enabling relevant config options to improve coverage.\n`,
      );
    }
    if (plan !== this.ksft_test_num())
      this.printf(`# Planned tests != run tests (${plan} != ${this.ksft_test_num()})\n`);
    this.printf(`# Totals: pass:${pass} fail:${fail} xfail:${xfail} xpass:${xpass} skip:${xskip} error:${error}\n`);
  }

  ksft_test_result_pass(text: string): void {
    this.pass++;
    this.printf(`ok ${this.ksft_test_num()} ${text}`);
  }

  ksft_test_result_fail(text: string): void {
    this.fail++;
    this.printf(`not ok ${this.ksft_test_num()} ${text}`);
  }

  ksft_test_result_xfail(text: string): void {
    this.xfail++;
    this.printf(`ok ${this.ksft_test_num()} # XFAIL ${text}`);
  }

  ksft_test_result_xpass(text: string): void {
    this.xpass++;
    this.printf(`ok ${this.ksft_test_num()} # XPASS ${text}`);
  }

  ksft_test_result_skip(text: string): void {
    this.xskip++;
    this.printf(`ok ${this.ksft_test_num()} # SKIP ${text}`);
  }

  ksft_test_result_error(text: string): void {
    this.error++;
    this.printf(`not ok ${this.ksft_test_num()} # error ${text}`);
  }

  /** Prints one result line for an exit code of a test; a null `diagnostic` prints none. */
  ksft_test_result_code(exit_code: number, test_name: string, diagnostic: string | null): void {
    let tap_code = 'ok';
    let directive = '';
    switch (exit_code) {
      case KSFT_PASS:
        this.pass++;
        break;
      case KSFT_XFAIL:
        directive = ' # XFAIL ';
        this.xfail++;
        break;
      case KSFT_XPASS:
        directive = ' # XPASS ';
        this.xpass++;
        break;
      case KSFT_SKIP:
        directive = ' # SKIP ';
        this.xskip++;
        break;
      default:
        tap_code = 'not ok';
        this.fail++;
    }
    if (directive === '' && diagnostic !== null) directive = ' #  ';
    this.printf(`${tap_code} ${this.ksft_test_num()} ${test_name}${directive}${diagnostic ?? ''}\n`);
  }
}
