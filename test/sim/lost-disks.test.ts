/** The judge and nodes that lose all that they had stored: who may, what a group must not lose besides, and what the directory may say. */
import { describe, expect, it, test } from 'vitest';
import type { NodeId, ReplicaDescriptor } from '../../src/replica/ports.ts';
import { simulate } from '../../src/sim/simulation.ts';
import { JudgeHistory, keyOf, partition, type Told } from './judge-history.ts';
import { expectViolation } from './judge-verdict.ts';

const first: readonly Told[] = [
  [1, 1],
  [2, 1, 'a'],
];
const learning: Told = [3, 1, { voters: [1, 2, 3], learners: [4] }];
const joint: Told = [4, 1, { voters: [1, 2, 4], outgoing: [1, 2, 3] }];
const swapped: Told = [5, 1, { voters: [1, 2, 4] }];

/** Replica 1 leads term 1; replica 4 has come as a learner. */
function grown(): JudgeHistory {
  const history = new JudgeHistory(3, 3);
  history.elect(1, 1, [1, 2]);
  history.replicate(1, [2], 1, { after: [0, 0], entries: first });
  history.replicate(1, [2], 1, { after: [2, 1], entries: [learning], commit: 2 });
  history.come(4);
  history.append(1, 4, 1, { after: [0, 0], entries: [...first, learning], commit: 3 });
  history.save(4, { term: 1, entries: [...first, learning] });
  history.success(4, 1, 1, 3);
  return history;
}

function empties(history: JudgeHistory, replica: number): void {
  history.crash(replica);
  history.judge.emptied(`n${replica}` as NodeId);
}

function bears(history: JudgeHistory, replica: number): boolean {
  return history.judge.bearsLossOf(`n${replica}` as NodeId);
}

function listed(...replicas: readonly number[]): readonly ReplicaDescriptor[] {
  return replicas.map((replica) => keyOf(replica));
}

describe('a node that was emptied', () => {
  it('never starts under an old id', () => {
    const history = grown();
    empties(history, 3);
    expectViolation('dead replicas', 'n3 starts again', () => history.restart(3, {}));
  });

  it('has held what it held: what it was needed for stays committed', () => {
    const history = grown();
    history.replicate(1, [2], 1, { after: learning, entries: [[4, 1, 'b']], commit: 3 });
    empties(history, 2);
    history.append(1, 4, 1, { after: [4, 1], commit: 4 });
    expect(history.judge.committed(partition)).toBe(4);
  });

  it('is one at a time, until no group names it any more, and leaves each a majority', () => {
    const history = grown();
    expect([1, 2, 3, 4].map((replica) => bears(history, replica))).toEqual([true, true, true, true]);
    empties(history, 3);
    expect([1, 2, 3, 4].map((replica) => bears(history, replica))).toEqual([false, false, true, false]);
    history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 3 });
    history.replicate(1, [2, 4], 1, { after: joint, entries: [swapped], commit: 4 });
    expect(bears(history, 1), 'the change may yet be undone').toBe(false);
    history.append(1, 2, 1, { after: swapped, commit: 5 });
    expect([1, 2, 4].map((replica) => bears(history, replica))).toEqual([true, true, true]);
  });
});

describe('what a change leaves', () => {
  const two: Told = [4, 1, { voters: [1, 2], outgoing: [1, 2, 3], learners: [4] }];

  it('is no fewer voters than there were', () => {
    const history = grown();
    expectViolation('redundancy', 'leaves 2 voters', () => history.write(1, { entries: [two] }));
  });

  it('may be one fewer where that one has lost its disk', () => {
    const history = grown();
    empties(history, 3);
    history.write(1, { entries: [two] });
  });

  it('may count a newcomer that lost its disk a moment ago', () => {
    const history = grown();
    empties(history, 4);
    history.write(1, { entries: [joint] });
  });
});

describe('the directory', () => {
  it('may lag behind the group, and go no further', () => {
    const history = grown();
    history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 3 });
    history.replicate(1, [2, 4], 1, { after: joint, entries: [swapped], commit: 4 });
    history.judge.listed(partition, listed(1, 2, 3));
    const early = (): void => history.judge.listed(partition, listed(1, 2, 4));
    expectViolation('directory', 'which the group never had for good', early);
    history.append(1, 2, 1, { after: swapped, commit: 5 });
    early();
    history.judge.listed(partition, listed(1, 2, 3));
  });
});

describe('a node that is no member any more', () => {
  it('has nothing that lives there', () => {
    const history = grown();
    const retires = (index: number): void => history.judge.retired('n3' as NodeId, index);
    expectViolation('directory', 'n3 still lives there', () => retires(7));
    // Of what happens later an old record says nothing.
    retires(7);
    history.replicate(1, [2, 4], 1, { after: learning, entries: [joint], commit: 3 });
    history.replicate(1, [2, 4], 1, { after: joint, entries: [swapped], commit: 4 });
    history.append(1, 2, 1, { after: swapped, commit: 5 });
    history.destroy(3);
    retires(8);
  });
});

test('in a simulated world nodes are emptied, and have their share again in the end', async () => {
  const swarm = {
    nodes: 3,
    replicationFactor: 3,
    partitions: 2,
    reserve: 1,
    clusterChangeEveryMs: 5000,
    memberChangeEveryMs: 0,
    emptyEveryMs: 2000,
    faults: ['kill' as const],
    seconds: 20,
  };
  const { violation, happened } = await simulate({ seed: 3, swarm });
  expect(violation).toBeUndefined();
  expect(happened.emptied).toBeGreaterThan(1);
});
