/** When the leader's process is known to be gone, nobody waits out an election timeout; and nobody is deposed on a rumour. */
import { describe, expect, test } from 'vitest';
import { emptyConfiguration } from '../../src/raft/configuration.ts';
import type { ReplicaId, Term } from '../../src/raft/types.ts';
import { EarlyCampaign, type EarlyCampaignOptions } from '../../src/replica/early-campaign.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { World } from './world.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const delayMs = 25;

function tellGone(world: World, gone: NodeId): void {
  for (const [nodeId, replica] of world.replicas) if (nodeId !== gone) replica.peerGone(gone);
}

/** Who asks for votes from here on. */
function campaigners(world: World): Set<NodeId> {
  const asked = new Set<NodeId>();
  world.onSent = ({ from, message }) => {
    if (message.type === 'PreVoteRequest') asked.add(from);
  };
  return asked;
}

describe('the process of the leader is gone', () => {
  test('and another leads before any time has passed, and takes writes', async () => {
    const world = await World.start();
    await world.elect('n1');
    await world.kill('n1');
    const asked = campaigners(world);
    tellGone(world, n1);
    await world.settle();
    expect(world.leaders.get(n3)?.nodeId).toBe(n3);
    expect(world.leaders.get(n2)?.nodeId).toBe(n3);
    // The other one had its turn only later, and then there was a leader.
    await world.advance(delayMs);
    expect([...asked]).toEqual([n3]);
    const put = world.put('n3', 'a', '1');
    await world.settle();
    expect(put.outcomes).toEqual([expect.objectContaining({ type: 'result', term: 2 })]);
  });

  test('and when the first in turn can not win, the next one asks a moment later', async () => {
    const world = await World.start(['n1', 'n2', 'n3', 'n4', 'n5']);
    await world.elect('n1');
    await world.kill('n1');
    const asked = campaigners(world);
    // Partition 1 begins with n5, then come n2, n3, n4.
    world.cut.add('n5' as NodeId);
    tellGone(world, n1);
    await world.settle();
    expect([...asked]).toEqual(['n5']);
    await world.advance(delayMs);
    expect(world.leaders.get(n2)?.nodeId).toBe(n2);
    await world.advance(3 * delayMs);
    expect([...asked]).toEqual(['n5', 'n2']);
  });

  test('and a group that had fallen silent wakes up for it', async () => {
    const world = await World.start(undefined, { quiesceTicks: 5 });
    await world.elect('n1');
    await world.ticks(20);
    expect(world.node('n2').status().quiesced).toBe(true);
    await world.kill('n1');
    tellGone(world, n1);
    await world.settle();
    expect(world.leaders.get(n3)?.nodeId).toBe(n3);
  });

  test('and the same follows when it is started anew: what it led it leads no more', async () => {
    const world = await World.start();
    await world.elect('n1');
    await world.kill('n1');
    world.host(n1);
    for (const nodeId of [n2, n3]) world.node(nodeId).peerRestarted(n1);
    await world.settle();
    expect(world.leaders.get(n3)?.nodeId).toBe(n3);
    expect(world.leaders.get(n1)?.nodeId).toBe(n3);
  });
});

describe('nobody campaigns', () => {
  test('when the process of a follower is gone', async () => {
    const world = await World.start();
    await world.elect('n1');
    const asked = campaigners(world);
    tellGone(world, n3);
    await world.advance(10 * delayMs);
    expect([...asked]).toEqual([]);
  });

  test('when the leader was heard again before its turn came: the word was wrong', async () => {
    const world = await World.start();
    await world.elect('n1');
    const asked = campaigners(world);
    world.node('n2').peerGone(n1);
    await world.settle();
    // A read makes the leader speak.
    const get = world.get('n1', 'a');
    await world.settle();
    expect(get.outcomes).toHaveLength(1);
    await world.advance(10 * delayMs);
    expect([...asked]).toEqual([]);
    expect(world.node('n1').status()).toMatchObject({ role: 'leader', term: 1 });
  });

  test('when another was elected meanwhile', async () => {
    const world = await World.start();
    await world.elect('n1');
    world.node('n2').peerGone(n1);
    await world.settle();
    world.node('n1').transferLeadership(n3);
    await world.settle();
    expect(world.leaders.get(n2)?.nodeId).toBe(n3);
    const asked = campaigners(world);
    await world.advance(10 * delayMs);
    expect([...asked]).toEqual([]);
  });

  test('when the node has stopped', async () => {
    const world = await World.start();
    await world.elect('n1');
    const asked = campaigners(world);
    world.node('n2').peerGone(n1);
    await world.settle();
    world.node('n2').stop();
    await world.advance(10 * delayMs);
    expect([...asked]).toEqual([]);
  });
});

test('who comes first differs from partition to partition, and no two come at the same time', () => {
  const voters = [1, 2, 3, 4, 5] as ReplicaId[];
  const replicaIdMax = 5 as ReplicaId;
  const configuration = { ...emptyConfiguration, voters, replicaIdMax };
  const delayOf = (self: ReplicaId, partition: number): number => {
    const delays: number[] = [];
    const raft = {
      leaderGone: (id: ReplicaId) => id === 3,
      status: () => ({ term: 1 as Term }),
      configuration: { index: 0, configuration },
    } as unknown as EarlyCampaignOptions['raft'];
    const clock = {
      monotonicMs: () => 0,
      wallMs: () => 0,
      after: (delay: number) => {
        delays.push(delay);
        return () => undefined;
      },
    };
    const campaign = new EarlyCampaign({
      raft,
      partition: partition as PartitionId,
      self,
      clock,
      delayMs,
      wake: () => undefined,
    });
    campaign.leaderGone([3 as ReplicaId]);
    return delays[0] ?? NaN;
  };
  const left = [1, 2, 4, 5] as ReplicaId[];
  const firsts = new Set<ReplicaId | undefined>();
  for (let partition = 1; partition <= 4; partition += 1) {
    const delays = left.map((self) => delayOf(self, partition));
    expect(delays.toSorted((one, other) => one - other)).toEqual([0, 25, 50, 75]);
    firsts.add(left[delays.indexOf(0)]);
  }
  expect(firsts.size).toBe(4);
});
