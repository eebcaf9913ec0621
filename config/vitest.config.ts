import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { defineConfig } from 'vitest/config';
import StuckReporter from './stuck-reporter.ts';
import SummaryReporter from './summary-reporter.ts';

/** Needs the processors for itself: it wants a cluster at work under hundreds of writes a second. Beside another file it starves. */
const lastFile = /\/test\/process\/crash\.test\.ts$/;

/**
 * What a file may leave behind in its process, or take from it: nodes and children, environment variables, planted bugs,
 * a compiler's memory. All others share the workers, which spares each half a second of loading what the one before had loaded.
 */
const alone = [
  'test/*.test.ts',
  'test/{cli,process}/*.test.ts',
  'test/history/cli.test.ts',
  'test/sim/simulation.test.ts',
  'test/storage/install.test.ts',
];

/** Those that wait for other processes come first, the short ones fill up behind them, and one comes last, with nothing beside it. */
class Sequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId, project }: TestSpecification): number =>
      lastFile.test(moduleId) ? 2 : project.name === 'alone' ? 0 : 1;
    return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    testTimeout: 30_000,
    hookTimeout: 30_000,
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: Sequencer },
    reporters: ['default', new StuckReporter(), new SummaryReporter()],
    projects: [
      { extends: true, test: { name: 'alone', include: alone } },
      { extends: true, test: { name: 'together', include: ['test/**/*.test.ts'], exclude: alone, isolate: false } },
    ],
  },
});
