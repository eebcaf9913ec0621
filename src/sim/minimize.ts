import { simulate, type SimulationOptions, type SimulationReport } from './simulation.ts';
import type { Swarm } from './swarm.ts';

/**
 * Looks for a smaller world in which the same seed fails before the same judge: shorter, with fewer kinds of fault, fewer
 * clients, fewer partitions; each step is kept when it still fails, and no later. Every change makes another run of the
 * seed, so that nothing is found for some failures.
 */
export async function minimize(
  { seed, swarm = {} }: SimulationOptions,
  failing: SimulationReport,
  onProgress: (description: string) => void,
): Promise<Partial<Swarm>> {
  let smallest = swarm;
  let last = failing;
  const attempt = async (change: Partial<Swarm>, description: string): Promise<void> => {
    const report = await simulate({ seed, swarm: { ...smallest, ...change } });
    if (report.violation?.judge !== failing.violation?.judge || report.simulatedMs > last.simulatedMs) return;
    smallest = { ...smallest, ...change };
    last = report;
    onProgress(`${description}: still fails, after ${(report.simulatedMs / 1000).toFixed(1)} s`);
  };
  for (const kind of failing.swarm.faults) {
    const faults = last.swarm.faults.filter((other) => other !== kind);
    if (faults.length > 0) await attempt({ faults }, `without ${kind}`);
  }
  for (let clients = Math.floor(last.swarm.clients / 2); clients >= 1; clients = Math.floor(clients / 2)) {
    await attempt({ clients }, `${clients} clients`);
  }
  for (
    let partitions = Math.floor(last.swarm.partitions / 2);
    partitions >= 1;
    partitions = Math.floor(partitions / 2)
  ) {
    await attempt({ partitions }, `${partitions} partitions`);
  }
  for (let seconds = Math.ceil(last.simulatedMs / 1000); seconds >= 1; seconds = Math.floor(seconds / 2)) {
    if (seconds < last.swarm.seconds) await attempt({ seconds }, `${seconds} s of faults`);
  }
  return smallest;
}
