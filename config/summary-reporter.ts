import type { Reporter, TestModule } from 'vitest/node';

/**
 * Ends the run with one plain line for scripts: `12 passed, 0 failed, 1 skipped`, counting tests. A file that could not be
 * loaded, and an error outside any test, count as one failed each: the line never says 0 failed of a run that fails.
 */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      if (module.errors().length > 0) counts.failed += 1;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        counts[state === 'pending' ? 'skipped' : state] += 1;
      }
    }
    process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  }
}
