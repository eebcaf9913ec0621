import type { SimulationReport } from './simulation.ts';
import type { Swarm } from './swarm.ts';

const simulatedMsMin = 60_000;
const operationsMin = 500;
const operationsPerSecondMin = 10;
const electionsMin = 1;
const faultKindsMin = 3;
const clientsMin = 10;
const hotKeysMax = 20;
const calmUnknownShareMax = 0.05;

/** What of a run tells how busy it was. */
export type Business = Pick<SimulationReport, 'simulatedMs' | 'operations' | 'elections' | 'calm'> & {
  readonly faults: { readonly size: number };
  readonly swarm: Pick<Swarm, 'clients' | 'hotKeys'>;
};

/** Whether so much happened in a run that its silence says something. */
export function isBusy(run: Business): boolean {
  return (
    run.simulatedMs >= simulatedMsMin &&
    run.operations >= operationsMin &&
    run.operations / (run.simulatedMs / 1000) >= operationsPerSecondMin &&
    run.elections >= electionsMin &&
    run.faults.size >= faultKindsMin &&
    run.swarm.clients >= clientsMin &&
    run.swarm.hotKeys <= hotKeysMax &&
    run.calm.unknown <= calmUnknownShareMax * run.calm.operations
  );
}
