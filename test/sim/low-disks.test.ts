/** Disks that have little room for a while, in a simulated world: what is refused was not written, and nothing is held up for long. */
import { expect, test } from 'vitest';
import { simulate } from '../../src/sim/simulation.ts';

test('writes are refused now and then, none of them is ever seen, and in the end all is well', async () => {
  const swarm = { lowDiskEveryMs: 1500, seconds: 30, partitions: 4, clusterChangeEveryMs: 0 };
  const { happened, violation, history } = await simulate({ seed: 3, swarm });
  expect(violation?.message).toBeUndefined();
  expect(happened.lowDisks).toBeGreaterThan(10);
  expect(history.length).toBeGreaterThan(300);
});
