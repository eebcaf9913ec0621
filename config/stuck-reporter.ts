import type { Reporter, TestCase, TestModule } from 'vitest/node';

/** No file takes a tenth of it where all goes well. */
const stuckAfterMs = 300_000;

/**
 * Says every few minutes which files have not ended, and the last thing heard of them. A process that turns in a circle, or
 * stands still for another one, never comes to say that its time is over.
 */
export default class StuckReporter implements Reporter {
  readonly #running = new Map<string, { readonly sinceMs: number; last: string }>();
  #watch: NodeJS.Timeout | undefined;

  onTestRunStart(): void {
    this.#watch = setInterval(() => this.#tell(), stuckAfterMs);
  }

  onTestModuleQueued({ moduleId }: TestModule): void {
    this.#running.set(moduleId, { sinceMs: performance.now(), last: 'nothing' });
  }

  onTestCaseResult({ module, fullName }: TestCase): void {
    const running = this.#running.get(module.moduleId);
    if (running !== undefined) running.last = `the end of "${fullName}"`;
  }

  onTestModuleEnd({ moduleId }: TestModule): void {
    this.#running.delete(moduleId);
  }

  onTestRunEnd(): void {
    clearInterval(this.#watch);
  }

  #tell(): void {
    for (const [file, { sinceMs, last }] of this.#running) {
      const ms = performance.now() - sinceMs;
      if (ms >= stuckAfterMs)
        process.stdout.write(`STUCK for ${Math.round(ms / 1000)} s: ${file}, last heard of: ${last}\n`);
    }
  }
}
