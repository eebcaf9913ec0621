/** What is to be where: from the map, the moves under way and who is there, to the moves that are still to be decided. */
import { describe, expect, test } from 'vitest';
import { LiveMap } from '../../../src/cluster/live-map.ts';
import {
  allPartitions,
  placementOf,
  planFor,
  refusalToRemove,
  placementWithout,
  summaryOf,
  targetsOf,
  type Cluster,
  type PlanOptions,
  type Target,
} from '../../../src/cluster/metadata/placements.ts';
import type { NodeStanding } from '../../../src/cluster/metadata/records.ts';
import { buildPartitionMap } from '../../../src/cluster/partition-map.ts';
import type { NodeId, PartitionId } from '../../../src/replica/ports.ts';
import { bootstrap } from '../founders.ts';
import { viewOf } from './move-world.ts';
import { id, moveRecord, names, nodeRecord, ofNodes, ofPartitions, partitionRecord } from './samples.ts';

interface Parts {
  /** Of n1, n2, …; all are up when left out. */
  readonly standings?: Readonly<Record<string, NodeStanding>>;
  readonly down?: readonly string[];
  readonly low?: readonly string[];
  readonly lost?: readonly string[];
  readonly moves?: Readonly<Record<number, readonly string[]>>;
}

/** Nodes n1 to n5; the metadata group and partitions 1 to 3 are on the nodes that are named, or on n1, n2 and n3. */
function cluster(
  placements: Readonly<Record<number, readonly string[]>>,
  { standings = {}, down = [], low = [], lost = [], moves = {} }: Parts = {},
): Cluster {
  const map = new LiveMap(buildPartitionMap({ ...bootstrap(5), partitions: 3 }));
  for (const partition of [0, 1, 2, 3]) {
    map.take(ofPartitions([partitionRecord(partition, 2, placements[partition] ?? ['n1', 'n2', 'n3']), 5]));
  }
  for (const [name, standing] of Object.entries(standings)) map.take(ofNodes([nodeRecord(name, { standing }), 6]));
  return {
    map,
    moves: new Map(
      Object.entries(moves).map(([partition, target]) => [
        Number(partition) as PartitionId,
        { record: moveRecord(Number(partition), target) },
      ]),
    ),
    isUp: (nodeId) => !down.includes(nodeId) && !lost.includes(nodeId),
    isLow: (nodeId) => low.includes(nodeId),
    isLost: (nodeId) => lost.includes(nodeId),
    replicationFactor: 3,
    virtualNodes: 16,
    bytesOf: (partition) => partition * 100,
  };
}

function targets(of: Cluster, options: Partial<PlanOptions> = {}): readonly Target[] {
  return targetsOf(of, planFor(of, { balance: false, ...options }));
}

/** Which nodes each partition is on once the plan is carried out. */
function outcome(of: Cluster, options: Partial<PlanOptions> = {}): string[][] {
  const changed = new Map(targets(of, options).map(({ partition, target }) => [partition, target]));
  return allPartitions(of).map((partition) => [...(changed.get(partition) ?? placementOf(of, partition))].toSorted());
}

function name(nodeId: string): NodeId {
  return nodeId as NodeId;
}

const asBefore = [0, 1, 2, 3].map(() => ['n1', 'n2', 'n3']);

describe('where a partition is', () => {
  test('as the map has it, or where its move leads; the metadata group is one of them', () => {
    const moving = cluster({ 2: ['n2', 'n3', 'n4'] }, { moves: { 1: ['n1', 'n4', 'n5'], 0: ['n5'] } });
    expect(allPartitions(moving)).toEqual([0, 1, 2, 3]);
    expect(allPartitions(moving).map((partition) => placementOf(moving, partition))).toEqual([
      ['n5'],
      ['n1', 'n4', 'n5'],
      ['n2', 'n3', 'n4'],
      ['n1', 'n2', 'n3'],
    ]);
    expect(placementOf(moving, id(9))).toEqual([]);
  });
});

describe('what is to be moved', () => {
  test('nothing, where all are where they should be', () => {
    expect(targets(cluster({}))).toEqual([]);
  });

  test('what is on a draining node goes elsewhere, replica by replica', () => {
    const draining = cluster({ 3: ['n2', 'n4', 'n5'] }, { standings: { n1: 'draining' } });
    const found = targets(draining);
    expect(found.map(({ partition, reason }) => [partition, reason])).toEqual([
      [0, 'drain'],
      [1, 'drain'],
      [2, 'drain'],
    ]);
    for (const { target } of found) {
      expect(target.slice(0, 2)).toEqual(['n2', 'n3']);
      expect(['n4', 'n5']).toContain(target[2]);
    }
  });

  test('a node whose disk has little room left is given nothing, and keeps what it has', () => {
    expect(targets(cluster({}, { low: ['n1'] }))).toEqual([]);
    const replaced = targets(cluster({}, { lost: ['n1'], low: ['n4'] }));
    expect(replaced.map(({ target }) => target.join())).toEqual(Array(4).fill('n2,n3,n5'));
  });

  test('a lost node is replaced; one that is only down is waited for, and given nothing', () => {
    expect(targets(cluster({}, { down: ['n1'] }))).toEqual([]);
    const replaced = targets(cluster({}, { lost: ['n1'], down: ['n4'] }));
    expect(replaced.map(({ target, reason }) => [...target, reason].join())).toEqual(Array(4).fill('n2,n3,n5,replace'));
  });

  test('a node that is about to join is given nothing, one that was removed has nothing', () => {
    const few = cluster({ 1: ['n1', 'n2'] }, { standings: { n4: 'joining', n5: 'removed' }, down: ['n3'] });
    expect(targets(few)).toEqual([]);
    const removed = cluster({ 1: ['n1', 'n2', 'n5'] }, { standings: { n4: 'joining', n5: 'removed' } });
    expect(outcome(removed)).toEqual(asBefore);
  });

  test('a partition that lacks a replica gets it back', () => {
    expect(targets(cluster({ 2: ['n1', 'n4'] }, { down: ['n2', 'n3'] }))).toEqual([
      { partition: 2, target: ['n1', 'n4', 'n5'], reason: 'repair' },
    ]);
  });

  test('what is under way counts as where it goes', () => {
    const draining = { standings: { n1: 'draining' } } as const;
    const all = Object.fromEntries([0, 1, 2, 3].map((partition) => [partition, ['n2', 'n3', 'n4']]));
    expect(targets(cluster({}, { ...draining, moves: all }))).toEqual([]);
    const { 3: _, ...some } = all;
    expect(targets(cluster({}, { ...draining, moves: some })).map(({ partition }) => partition)).toEqual([3]);
  });

  test('a move that leads to a node that is lost since is led elsewhere', () => {
    const stuck = cluster({}, { moves: { 1: ['n1', 'n2', 'n4'] }, lost: ['n4'] });
    expect(targets(stuck)).toMatchObject([{ partition: 1, reason: 'replace' }]);
    expect(targets(stuck)[0]?.target).not.toContain('n4');
  });

  test('evened out only when that is asked for', () => {
    const uneven = cluster({});
    expect(outcome(uneven)).toEqual(asBefore);
    const loads = new Map<string, number>();
    for (const nodeId of outcome(uneven, { balance: true }).flat()) loads.set(nodeId, (loads.get(nodeId) ?? 0) + 1);
    expect([...loads.values()].toSorted()).toEqual([2, 2, 2, 3, 3]);
    expect(targets(uneven, { balance: true }).every(({ reason }) => reason === 'balance')).toBe(true);
  });

  test('as if a node had been asked to go', () => {
    for (const placement of outcome(cluster({}), { leaving: name('n1') })) expect(placement).not.toContain('n1');
  });

  test('as if a node had come, or come back', () => {
    const { nodeId, http, peer, labels, weight } = nodeRecord('n6');
    const coming = { nodeId, http, peer, labels, weight, standing: 'up' as const };
    expect(outcome(cluster({}), { balance: true, coming }).flat()).toContain('n6');
    const back = { ...coming, nodeId: name('n5') };
    const gone = cluster({}, { standings: { n5: 'removed' }, down: ['n5'] });
    expect(outcome(gone, { balance: true }).flat()).not.toContain('n5');
    expect(outcome(gone, { balance: true, coming: back }).flat(), 'though nobody reaches it yet').toContain('n5');
  });
});

describe('for people', () => {
  test('how many replicas and bytes go where, and what is less safe meanwhile', () => {
    const draining = cluster({ 3: ['n2', 'n4', 'n5'] }, { standings: { n1: 'draining' }, down: ['n5'] });
    expect(summaryOf(draining, planFor(draining, { balance: false }))).toEqual({
      moves: [0, 1, 2].map((partition) => ({ partition, from: 'n1', to: 'n4', bytes: 100 * partition })),
      replicas: 3,
      bytes: 300,
      fraction: 0.25,
      ideal: 0.25,
      risks: ["n5 can't be reached: partitions with a replica there bear the loss of one node less until it is back"],
    });
  });

  test('a replica that only goes is none that moves', () => {
    const many = cluster({ 1: ['n1', 'n2', 'n3', 'n4'] });
    const plan = planFor(many, { balance: false });
    expect(plan.moves).toHaveLength(1);
    expect(summaryOf(many, plan)).toMatchObject({ replicas: 0, bytes: 0, risks: [] });
  });

  test('what can’t be placed is among the risks, and who was removed is not', () => {
    const standings = { n1: 'draining', n4: 'removed', n5: 'removed' } as const;
    const few = cluster({}, { standings, down: ['n4'] });
    const { moves, risks } = summaryOf(few, planFor(few, { balance: false }));
    expect(moves).toEqual([]);
    expect(risks.length).toBeGreaterThan(0);
    expect(risks.join()).not.toContain("n4 can't be reached");
  });
});

describe('a node may be let go', () => {
  function refusal(of: Cluster, nodeId = 'n1'): string | undefined {
    return refusalToRemove(of, name(nodeId));
  }

  test('where enough are left, and every partition has a majority', () => {
    expect(refusal(cluster({}))).toBeUndefined();
    expect(refusal(cluster({}, { down: ['n1'] }))).toBeUndefined();
    expect(refusal(cluster({}, { lost: ['n1'] })), 'a lost one, too').toBeUndefined();
  });

  test.each([
    [{ n4: 'removed', n5: 'removed' }, []],
    [{ n4: 'draining', n5: 'joining' }, []],
    [{ n5: 'draining' }, ['n4']],
  ] as const)('not where too few are left: %j, lost %j', (standings, lost) => {
    expect(refusal(cluster({}, { standings, lost }))).toBe(
      '2 nodes would be left, and each partition is held by 3: add a node first',
    );
  });

  test('not while a partition has no majority, be it the metadata group', () => {
    const detail = 'has no majority now (1 of 3 nodes are up): bring its nodes back first';
    expect(refusal(cluster({ 2: ['n1', 'n2', 'n4'] }, { down: ['n2', 'n4'] }))).toBe(`partition 2 ${detail}`);
    expect(refusal(cluster({ 0: ['n1', 'n2', 'n4'] }, { down: ['n2', 'n4'] }))).toBe(`partition 0 ${detail}`);
    const four = cluster({ 2: ['n1', 'n2', 'n4', 'n5'] }, { down: ['n4', 'n5'] });
    expect(refusal(four)).toBe('partition 2 has no majority now (2 of 4 nodes are up): bring its nodes back first');
  });

  test('a partition under way is where it goes', () => {
    const moving = { down: ['n4', 'n5'], moves: { 2: ['n1', 'n4', 'n5'] } };
    expect(refusal(cluster({}, moving))).toMatch('partition 2 has no majority now');
  });
});

describe('a target without a node that has lost what it held', () => {
  const { configuration } = viewOf({ voters: { 1: 'n1', 2: 'n2', 3: 'n3' }, learners: { 4: 'n4' } });

  test('is one smaller where nothing moves', () => {
    expect(placementWithout('n3' as NodeId, names('n1', 'n2', 'n3'))).toEqual(['n1', 'n2']);
  });

  test('keeps whoever was to give up its place to it', () => {
    expect(placementWithout('n4' as NodeId, names('n1', 'n2', 'n4'), configuration)).toEqual(['n1', 'n2', 'n3']);
  });

  test('keeps nobody who was to go for another, nor the node itself', () => {
    expect(placementWithout('n4' as NodeId, names('n1', 'n4', 'n5'), configuration)).toEqual(['n1', 'n5', 'n2']);
    expect(placementWithout('n3' as NodeId, names('n1', 'n2', 'n3'), configuration)).toEqual(['n1', 'n2']);
  });
});
