/** A thread of a campaign: runs the seeds that it is handed, one after the other. */
import { parentPort } from 'node:worker_threads';
import { plant, type SeededBug } from '../seeded-bugs.ts';
import { simulate, type SimulationReport } from './simulation.ts';
import type { Swarm } from './swarm.ts';

export interface Task {
  readonly seed: number;
  readonly bug: SeededBug | undefined;
  readonly swarm: Partial<Swarm>;
}

/** A report as it crosses threads: without the history, which is long. */
export type Finished = Omit<SimulationReport, 'history' | 'violation'> & {
  readonly violation: { readonly judge: string; readonly message: string } | undefined;
  readonly realMs: number;
};

parentPort?.on('message', (task: Task) => {
  // From within a promise: where nothing was awaited yet, Node would run its ticks before what follows from promises (scheduler.ts).
  void Promise.resolve(task)
    .then(run)
    .then((finished) => parentPort?.postMessage(finished));
});

async function run({ seed, bug, swarm }: Task): Promise<Finished> {
  plant(bug);
  const startedAt = performance.now();
  const { history: _, violation, ...report } = await simulate({ seed, swarm });
  plant(undefined);
  return {
    ...report,
    violation: violation && { judge: violation.judge, message: violation.message },
    realMs: performance.now() - startedAt,
  };
}
