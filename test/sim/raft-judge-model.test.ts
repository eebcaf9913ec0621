/** Long right histories with everything in them: the judge finds nothing wrong. */
import { expect, it } from 'vitest';
import { JudgeModel } from './judge-model.ts';
import { partition } from './judge-history.ts';

it('right histories are found to break no rule', () => {
  const sum: Record<string, number> = { committed: 0 };
  for (let seed = 1; seed <= 12; seed += 1) {
    const model = new JudgeModel(seed);
    try {
      for (let step = 0; step < 3000; step += 1) model.step();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    sum['committed'] = (sum['committed'] ?? 0) + model.history.judge.committed(partition);
    for (const [name, count] of Object.entries(model.done)) sum[name] = (sum[name] ?? 0) + count;
  }
  for (const [name, count] of Object.entries(sum)) expect({ name, often: count > 20 }).toEqual({ name, often: true });
});
