/** The moments of a move at which someone may die: behind which event of the simulated world each of them has come. */
import { metadataPartition, partitionKey } from '../../src/cluster/metadata/records.ts';
import type { MoveStep } from '../../src/cluster/types.ts';
import type { Configuration } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { RecordKind } from '../../src/storage/keys.ts';
import type { MovingWorld } from './moving-world.ts';
import { p1 } from './world.ts';

export interface Moment {
  readonly name: string;
  /** What the move does then; undefined before and behind it. */
  readonly step: MoveStep | undefined;
  readonly isNow: (world: MovingWorld) => boolean;
  /** Whose death alone is another one than a moment later. */
  readonly only?: Role;
}

/** Who loses its replica, and who gains one. */
export interface Parts {
  readonly source: string;
  readonly target: string;
}

export type Role = 'mover' | 'source' | 'target' | 'leader';

type Condition = (world: MovingWorld) => boolean;

/** An entry that its leader alone has, or another member, too. */
type Spread = 'appended' | 'replicated';

export function decision(step: MoveStep = 'learner'): readonly Moment[] {
  const isDue: Condition = (world) => world.move === undefined;
  return [
    ...metadataWrite('the decision', { step: undefined, isDue }),
    { name: 'the decision is committed', step, isNow: (world) => world.move !== undefined },
  ];
}

export function arrival({ target }: Parts): readonly Moment[] {
  const isIn = ({ learners }: Configuration): boolean => learners.length > 0;
  const stateOf = (world: MovingWorld): string | undefined => {
    const { configuration, progress = [] } = world.group ?? {};
    return progress.find(({ replicaId }) => configuration?.hosts.get(replicaId) === target)?.state;
  };
  return [
    ...change('the learner', 'learner', isIn),
    { name: 'the learner is committed', step: 'catch_up', isNow: isCommitted(isIn) },
    { name: 'the learner comes into being', step: 'catch_up', isNow: (world) => world.replica(target) !== undefined },
    {
      name: 'the state is being sent',
      step: 'catch_up',
      isNow: (world) => stateOf(world) === 'snapshot' && world.nodes.node(target).disk.recordsOf(p1).length > chunked,
    },
    {
      name: 'the state is installed',
      step: 'catch_up',
      isNow: (world) => (world.replica(target)?.machineState().appliedIndex ?? 0) > 0,
    },
    { name: 'the learner has caught up', step: 'voters', isNow: ({ step }) => step === 'voters' },
  ];
}

export function handOver({ source }: Parts): readonly Moment[] {
  return [
    {
      name: 'the leadership is being handed over',
      step: 'voters',
      isNow: ({ leader }) => leader?.nodeId === source && (leader.replica(p1)?.status().transferee ?? 0) > 0,
    },
    {
      name: 'the leadership is handed over',
      step: 'voters',
      isNow: ({ leader, step }) => step === 'voters' && leader !== undefined && leader.nodeId !== source,
    },
  ];
}

/** The joint configuration is left as soon as it is committed: by an entry that its leader appends in the same turn. */
export function changeOfVoters(): readonly Moment[] {
  const isLeft: Condition = ({ group, step }) => group !== undefined && !group.committed && step === 'leave';
  const isJoint = ({ votersOutgoing }: Configuration): boolean => votersOutgoing.length > 0;
  const isPlain = ({ votersOutgoing }: Configuration): boolean => votersOutgoing.length === 0;
  return [
    ...change('the joint configuration', 'leave', isJoint),
    ...change('the joint configuration is committed, and the new one', 'leave', isPlain, isLeft),
    { name: 'the new configuration is committed', step: 'record', isNow: ({ step }) => step === 'record' },
  ];
}

export function directory(): readonly Moment[] {
  return [
    ...metadataWrite('the directory', { step: 'record', isDue: ({ step }) => step === 'record' }),
    {
      name: 'the directory is written',
      step: undefined,
      isNow: (world) => world.move === undefined && world.recordOf(partitionKey(p1)) !== undefined,
    },
  ];
}

export function destruction({ source }: Parts): readonly Moment[] {
  const stored = (world: MovingWorld): readonly number[] =>
    world.nodes
      .node(source)
      .disk.recordsOf(p1)
      .map((key) => Buffer.from(key, 'hex').readUInt8(4));
  const isTold: Condition = (world) => world.nodes.node(source).state() === 'up' && world.replica(source) === undefined;
  return [
    {
      name: 'the source has heard',
      step: 'record',
      isNow: (world) => isTold(world) && stored(world).includes(RecordKind.hardState),
    },
    {
      name: 'the source is dead, and its data are there',
      step: 'record',
      isNow: (world) => isTold(world) && stored(world).length > 0 && !stored(world).includes(RecordKind.hardState),
    },
    {
      name: 'the data of the source are gone',
      step: undefined,
      isNow: (world) => isTold(world) && stored(world).length === 0,
    },
  ];
}

export function retirement({ source }: Parts): readonly Moment[] {
  const isDue: Condition = (world) =>
    world.move === undefined &&
    world.replica(source) === undefined &&
    world.recordOfBalance() === undefined &&
    world.standingOf(source) === 'draining';
  return [
    ...metadataWrite('the end of the source as a member', { step: undefined, isDue }),
    { name: 'the source is no member', step: undefined, isNow: (world) => world.standingOf(source) === 'removed' },
  ];
}

/** The learner that came first is not to be there any more. */
export function givingUp({ target }: Parts): readonly Moment[] {
  const isGone = ({ learners, hosts }: Configuration): boolean =>
    learners.length === 0 && ![...hosts.values()].includes(target);
  return [
    { name: 'the learner is not wanted any more', step: 'leave', isNow: ({ step }) => step === 'leave' },
    ...change('the end of the learner', 'leave', isGone),
    { name: 'the end of the learner is committed', step: 'learner', isNow: isCommitted(isGone) },
  ];
}

/** Of a node that has come back with nothing, once it was left out. */
export function admission({ source }: Parts): readonly Moment[] {
  const isLeftOut: Condition = (world) => world.move === undefined && !world.members().includes(source);
  const isDue: Condition = (world) =>
    isLeftOut(world) &&
    world.standingOf(source) === 'joining' &&
    world.nodes.node(source).disk.recordsOf(p1).length === 0;
  return [
    ...metadataWrite('the admission', { step: undefined, isDue }),
    {
      name: 'the node is let in',
      step: undefined,
      isNow: (world) => isLeftOut(world) && world.standingOf(source) === 'up',
    },
    {
      name: 'the node is given a replica again',
      step: 'learner',
      isNow: (world) => world.move?.target.includes(source as NodeId) === true && !world.members().includes(source),
    },
  ];
}

/** Of some forty records in all. */
const chunked = 15;

function change(
  name: string,
  step: MoveStep,
  is: (configuration: Configuration) => boolean,
  isDue: Condition = () => true,
): readonly Moment[] {
  const isNow = (spread: Spread): Condition => {
    return (world) => {
      const { group } = world;
      if (group === undefined || group.committed || !is(group.configuration) || !isDue(world)) return false;
      return spreadOf(world, p1, group.index) === spread;
    };
  };
  return [
    { name: `${name} is appended`, step, isNow: isNow('appended'), only: 'leader' },
    { name: `${name} is replicated`, step, isNow: isNow('replicated') },
  ];
}

function isCommitted(is: (configuration: Configuration) => boolean): Condition {
  return ({ group }) => group !== undefined && group.committed && is(group.configuration);
}

function metadataWrite(
  name: string,
  { step, isDue }: { readonly step: MoveStep | undefined; readonly isDue: Condition },
): readonly Moment[] {
  const isNow = (spread: Spread): Condition => {
    return (world) => {
      const status = world.mover?.replica(metadataPartition)?.status();
      if (status === undefined || status.lastIndex === status.commitIndex || !isDue(world)) return false;
      return spreadOf(world, metadataPartition, status.lastIndex) === spread;
    };
  };
  return [
    { name: `${name} is appended`, step, isNow: isNow('appended'), only: 'mover' },
    { name: `${name} is replicated`, step, isNow: isNow('replicated') },
  ];
}

function spreadOf(world: MovingWorld, partition: PartitionId, index: number): Spread {
  const leader = world.leaderOf(partition);
  const others = world.nodes.all.filter((node) => node !== leader);
  const has = others.some((node) => (node.replica(partition)?.status().lastIndex ?? 0) >= index);
  return has ? 'replicated' : 'appended';
}
