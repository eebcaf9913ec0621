/** Idle nodes say no more to each other the more partitions there are. `npm run bench -- idle-nodes` does it with a hundred and 4,096. */
import { expect, test } from 'vitest';
import { measureIdle, type IdleFigures } from '../../src/sim/idle-world.ts';

const nodes = 12;
const few = 16;
const many = 512;
/** A few rounds of whatever is asked now and then. */
const seconds = 20;
/** Revisions take a byte or two more as they grow. */
const growthMax = 1.1;

function loadsOf({ mean, most }: IdleFigures): readonly number[] {
  return [mean.messages, mean.bytes, most.messages, most.bytes];
}

test('what a node sends when nothing is to be done does not grow with the number of partitions', async () => {
  const before = await measureIdle({ nodes, partitions: few, seconds });
  const after = await measureIdle({ nodes, partitions: many, seconds });
  process.stdout.write(`idle traffic of a node: ${JSON.stringify([before, after])}\n`);
  for (const [i, load] of loadsOf(after).entries()) {
    expect(load).toBeLessThanOrEqual(growthMax * (loadsOf(before)[i] ?? 0));
  }
  // Silent are the groups, not the nodes: each still asks for a newer map, by what it has.
  expect(Object.keys(after.kinds)).toEqual(['map.since']);
  expect(after.most.bytes).toBeLessThan(1000);
});
