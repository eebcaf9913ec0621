/** Three real replicas at random: the judge finds nothing wrong with them, and a great deal once their disks lie. */
import { describe, expect, it } from 'vitest';
import { partition } from './judge-history.ts';
import { type DiskFault, JudgedReplicas } from './judged-replicas.ts';
import { Violation } from '../../src/sim/violation.ts';

const seeds = Array.from({ length: 12 }, (_, i) => i + 1);

describe('real replicas', () => {
  it('are found to break no rule', async () => {
    let [elections, committed, crashes] = [0, 0, 0];
    for (const seed of seeds) {
      const replicas = await JudgedReplicas.walk({ seed, steps: 4000 });
      elections += replicas.judge.counts.elections;
      committed += replicas.judge.committed(partition);
      crashes += replicas.crashes;
    }
    expect(elections).toBeGreaterThan(2 * seeds.length);
    expect(committed).toBeGreaterThan(20 * seeds.length);
    expect(crashes).toBeGreaterThan(5 * seeds.length);
  });

  it('are caught when their disk announces what is not durable', async () => {
    expect(await rulesBroken('announces_early')).toContain('spoke too early');
  });

  it('are caught when their disk comes back as it once was', async () => {
    expect(await rulesBroken('forgets')).toContain('durable log');
  });
});

/** Over all seeds. */
async function rulesBroken(fault: DiskFault): Promise<readonly string[]> {
  const rules: string[] = [];
  for (const seed of seeds) {
    try {
      await JudgedReplicas.walk({ seed, steps: 4000, fault });
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      rules.push(error.judge);
    }
  }
  return rules;
}
