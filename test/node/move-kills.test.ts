/**
 * Whoever takes part in a move may die at any step of it, right before and right behind each entry that it consists of. Once it is back, the
 * move comes to its end: the directory says what the groups do, each acknowledged write is on all members, and whoever lost its replica has
 * nothing left of it.
 */
import { describe, expect, test } from 'vitest';
import type { MoveStep } from '../../src/cluster/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import type { SimNode } from '../../src/sim/sim-node.ts';
import {
  admission,
  arrival,
  changeOfVoters,
  decision,
  destruction,
  directory,
  givingUp,
  handOver,
  retirement,
  type Moment,
  type Role,
} from './move-moments.ts';
import { MovingWorld, type MovingWorldOptions } from './moving-world.ts';

const roles: readonly Role[] = ['mover', 'source', 'target', 'leader'];
/** Before anyone has noticed, before and after the others have settled. */
const awayMs = [100, 800, 2000];

interface Scenario extends Omit<MovingWorldOptions, 'seed'> {
  readonly source: string;
  readonly target: string;
  /** Stands still when the move that is meant is about to begin. Without: the source is drained. */
  readonly begin?: (world: MovingWorld) => Promise<void>;
  readonly moments: readonly Moment[];
  readonly roles?: readonly Role[];
  /** So many nodes play the four parts. */
  readonly different?: number;
}

const apart = { leader: 'n7', source: 'n9', target: 'n2' };
const whole = [
  ...decision(),
  ...arrival(apart),
  ...changeOfVoters(),
  ...directory(),
  ...destruction(apart),
  ...retirement(apart),
];

describe('a node is drained', () => {
  kills({ ...apart, different: 4, moments: whole });

  test('and each step that a move has was among them', () => {
    const steps: Readonly<Record<Exclude<MoveStep, 'waiting'>, true>> = {
      learner: true,
      catch_up: true,
      voters: true,
      leave: true,
      record: true,
    };
    const killedAt = new Set(whole.map(({ step }) => step));
    expect(Object.keys(steps).filter((step) => !killedAt.has(step as MoveStep))).toEqual([]);
  });
});

describe('a node is drained that leads the partition', () => {
  const parts = { ...apart, leader: 'n9' };
  kills({ ...parts, moments: handOver(parts) });
});

describe('a node is drained, and one that stays leads the partition and the metadata group', () => {
  const parts = { names: ['n1', 'n2', 'n3', 'n4'], leader: 'n4', source: 'n2', target: 'n3' };
  const all = [...decision(), ...arrival(parts), ...changeOfVoters(), ...directory()];
  // What it alone has by then is lost twice over.
  kills({ ...parts, different: 3, moments: all.filter(({ only }) => only !== undefined), roles: ['mover', 'leader'] });
});

describe('a node is drained, and the leader of the partition is dead already', () => {
  const moments: readonly Moment[] = [
    { name: 'nobody leads', step: 'waiting', isNow: ({ step }) => step === 'waiting' },
  ];
  const begin = async (world: MovingWorld): Promise<void> => {
    drain(world, apart.source);
    await comes(world, 'the state is being sent', arrival(apart));
    const { leader } = world;
    leader?.kill();
    world.nodes.world.scheduler.after(1500, () => leader?.start());
  };
  kills({ ...apart, begin, moments, roles: ['mover', 'source', 'target'] });
  const next: Moment = {
    name: 'the next one leads',
    step: 'catch_up',
    isNow: ({ leader, step }) => leader !== undefined && step === 'catch_up',
  };
  kills({ ...apart, begin, moments: [next], roles: ['leader'] });
});

describe('the node that was to gain it is drained as well', () => {
  const begin = async (world: MovingWorld): Promise<void> => {
    drain(world, apart.source);
    await comes(world, 'the state is being sent', arrival(apart));
    drain(world, apart.target);
  };
  kills({ ...apart, begin, moments: givingUp(apart) });
});

describe('a node comes back with nothing', () => {
  const parts = { ...apart, target: 'n9' };
  const begin = (world: MovingWorld): Promise<void> => {
    world.nodes.replaceMachine(parts.source).start();
    const { source: nodeId } = parts;
    const node = { nodeId: nodeId as NodeId, http: `http://${nodeId}:1`, peer: `${nodeId}:1`, labels: {}, weight: 1 };
    world.ask({ type: 'add_node', node });
    return Promise.resolve();
  };
  const moments = [...decision('voters'), ...changeOfVoters(), ...directory(), ...admission(parts)];
  kills({ ...parts, begin, moments, roles: ['mover', 'source', 'leader'] });
});

test('a drained node whose disk is slow is a member until what it was told is durable', async () => {
  const world = await MovingWorld.start({ ...apart, seed: 1 });
  const { nodes } = world;
  const source = nodes.node(apart.source);
  drain(world, apart.source);
  await comes(world, 'the new configuration is committed', whole);
  nodes.slow.add(apart.source);
  await nodes.until(() => world.replica(apart.source) === undefined);
  // Long enough for the mover to let it go if it could, and not for the disk.
  await nodes.run(400);
  source.cutPower();
  nodes.slow.delete(apart.source);
  source.start();
  await world.comesToRest();
  expect(world.standingOf(apart.source)).toBe('removed');
});

describe('whoever dies for good is replaced', () => {
  const names = [
    'the learner is committed',
    'the state is being sent',
    'the joint configuration is replicated',
    'the directory is appended',
  ];
  const cases = names.flatMap((name) => (['source', 'target'] as const).map((role) => ({ name, role })));
  test.each(cases)('$name: the $role', async ({ name, role }) => {
    const world = await MovingWorld.start({ ...apart, seed: 1, placement: { replaceDownAfterMs: 2000 } });
    drain(world, apart.source);
    await comes(world, name, whole);
    world.lose(one(world, role, apart));
    await world.comesToRest();
    expect(world.members()).toHaveLength(3);
    expect(world.members()).not.toContain(apart.source);
    expect(world.members()).not.toContain(apart[role]);
  });
});

function kills(scenario: Scenario): void {
  const cases = scenario.moments
    .flatMap((moment) => (scenario.roles ?? roles).map((role) => ({ moment, role })))
    .filter(({ moment, role }) => moment.only === undefined || moment.only === role)
    .map(({ moment, role }, seed) => ({ moment, role, name: moment.name, seed }));
  test.each(cases)('$name: the $role dies', async ({ moment, role, seed }) => {
    const world = await MovingWorld.start({ ...scenario, seed });
    if (scenario.begin === undefined) drain(world, scenario.source);
    else await scenario.begin(world);
    await comes(world, moment.name, [moment]);
    expect(world.step).toBe(moment.step);
    const { different = 0 } = scenario;
    if (different > 0) expect(new Set(roles.map((each) => one(world, each, scenario))).size).toBe(different);
    const victim = one(world, role, scenario);
    victim.kill();
    expect(victim.state()).toBe('down');
    await world.nodes.run(awayMs[seed % awayMs.length] ?? 0);
    victim.start();
    await world.comesToRest();
    expect(world.members()).toHaveLength(3);
    if (scenario.source !== scenario.target) expect(world.members()).not.toContain(scenario.source);
  });
}

function drain(world: MovingWorld, nodeId: string): void {
  world.ask({ type: 'remove_node', nodeId: nodeId as NodeId });
}

async function comes(world: MovingWorld, name: string, moments: readonly Moment[]): Promise<void> {
  const moment = moments.find((one) => one.name === name);
  const hasCome = await world.nodes.untilEvent(() => moment?.isNow(world) === true, 5000);
  expect(hasCome, `it comes that ${name}`).toBe(true);
}

function one(world: MovingWorld, role: Role, { source, target }: Pick<Scenario, 'source' | 'target'>): SimNode {
  const { mover, leader, nodes } = world;
  const node = { mover, leader, source: nodes.node(source), target: nodes.node(target) }[role];
  if (node === undefined || node.state() === 'down') throw new Error(`there is no ${role}`);
  return node;
}
