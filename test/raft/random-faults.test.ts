/**
 * Thousands of short random histories: messages lost, repeated and reordered, disks slow, members cut off and crashed, logs
 * compacted and snapshots sent instead, leadership handed over, members added, replaced and removed, silence and wrong news
 * of death. In each the safety properties hold at every step, no confirmed read is older than what was committed when it was
 * asked for, and once the faults end the group elects a leader, everyone applies the same, and whoever was removed knows it.
 * One seed makes one history; a failure names it, and `FLOTILLA_SEED=<seed>` runs it alone.
 */
import { expect, test } from 'vitest';
import type { Configuration } from '../../src/raft/types.ts';
import { History, noCounts } from './history.ts';
import { configurationOf, replica } from './member.ts';

const configurations: readonly { name: string; seeds: number; configuration: Configuration }[] = [
  { name: 'three voters', seeds: 1500, configuration: configurationOf([1, 2, 3]) },
  { name: 'five voters', seeds: 600, configuration: configurationOf([1, 2, 3, 4, 5]) },
  { name: 'one voter, who may be joined', seeds: 600, configuration: configurationOf([1]) },
  {
    name: 'a change from three voters to three others, watched by a learner',
    seeds: 500,
    configuration: configurationOf([1, 2, 3], { votersOutgoing: [3, 4, 5].map(replica), learners: [replica(6)] }),
  },
];

const only = process.env['FLOTILLA_SEED'];

const totals = { ...noCounts, leaders: 0, applied: 0 };

test.each(configurations)('$name: every promise is kept', ({ seeds: seedCount, configuration }) => {
  const seeds = only === undefined ? Array.from({ length: seedCount }, (_, seed) => seed) : [Number(only)];
  for (const seed of seeds) {
    const history = new History(seed, configuration);
    try {
      history.run();
      history.recover();
    } catch (cause) {
      throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
    }
    for (const name of Object.keys(noCounts) as (keyof typeof noCounts)[]) totals[name] += history.counts[name];
    totals.leaders += history.network.judge.leaderCount;
    totals.applied += history.network.judge.appliedCount;
  }
});

test.skipIf(only !== undefined)('the histories were eventful, and so worth something', () => {
  const count = configurations.reduce((sum, { seeds }) => sum + seeds, 0);
  const least = { leaders: 1.5, applied: 10, crashes: 2, reads: 0.5, changes: 0.5, transfers: 0.5, silences: 0.1 };
  const rare = { truncations: 0.05, installs: 0.03, removals: 0.05 };
  for (const [name, perHistory] of Object.entries({ ...least, ...rare })) {
    expect([name, totals[name as keyof typeof totals] / count > perHistory]).toEqual([name, true]);
  }
});
