import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import SummaryReporter from './summary-reporter.ts';

/** Needs the processors for itself: it wants a cluster at work under hundreds of writes a second. Beside another file it starves. */
const lastFile = /\/test\/process\/crash\.test\.ts$/;

/** As ever, but for one file that comes last, when nothing else is left to run beside it for long. */
class Sequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const isLast = ({ moduleId }: TestSpecification): boolean => lastFile.test(moduleId);
    return [...sorted.filter((file) => !isLast(file)), ...sorted.filter(isLast)];
  }
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: Sequencer },
    reporters: ['default', new SummaryReporter()],
  },
});
