/** What any node may ask of the controller, wherever that is, and what it is told when nobody answers. */
import { describe, expect, test } from 'vitest';
import { LeaderHints } from '../../../src/cluster/hints.ts';
import { LeaderQuestions } from '../../../src/cluster/leader-questions.ts';
import { Control } from '../../../src/cluster/metadata/control.ts';
import type { Controller } from '../../../src/cluster/metadata/controller.ts';
import type { ClusterChange, ClusterChangeOutcome, OperationStatus, PlanSummary } from '../../../src/cluster/types.ts';
import type { LeaderHint, NodeId } from '../../../src/replica/ports.ts';
import { failure, hint, limits, onePartition, overTheWire } from '../router-world.ts';
import { VirtualClock } from '../virtual-clock.ts';
import { addition } from './admission-world.ts';
import { id, names } from './samples.ts';

const plan: PlanSummary = {
  moves: [
    { partition: id(1), from: names('n1')[0], to: names('n4')[0], bytes: 7 },
    { partition: id(2), from: undefined, to: names('n4')[0], bytes: 0 },
    { partition: id(3), from: names('n1')[0], to: undefined, bytes: 2 ** 40 },
  ],
  replicas: 2,
  bytes: 7,
  fraction: 0.25,
  ideal: 0.2,
  risks: ['n2 can’t be reached'],
};
const operation: OperationStatus = {
  partition: id(1),
  reason: 'drain',
  from: names('n1', 'n2'),
  to: names('n1', 'n4'),
  step: 'catch_up',
  progress: 0.5,
  lag: 12,
  sinceMs: 1_700_000_000_000,
  blockedBy: undefined,
};
const rebalance: ClusterChange = { type: 'rebalance' };

/** A controller on each node, of which the leader's answers. */
class World {
  readonly clock = new VirtualClock();
  leader: LeaderHint | undefined = hint('n2', 3);
  outcome: ClusterChangeOutcome = { type: 'accepted', plan };
  operations: readonly OperationStatus[] = [operation];
  /** What the controllers were asked, `n2 rebalance tried`. */
  readonly asked: [string, ClusterChange, boolean][] = [];
  fault: (deliver: () => Promise<unknown>) => Promise<unknown> = (deliver) => deliver();
  readonly #controls = new Map<string, Control>();

  constructor() {
    const map = onePartition();
    for (const { nodeId } of map.nodes) {
      const replicas = {
        hosts: () => true,
        leader: () => this.leader,
        execute: () => Promise.reject(new Error('nobody reads or writes here')),
        staleRead: () => undefined,
      };
      const transport = {
        connected: () => true,
        request: (to: NodeId, kind: string, payload: unknown) => this.#carry(to, kind, payload),
      };
      const { clock } = this;
      const hints = new LeaderHints();
      const questions = new LeaderQuestions({ nodeId, map, hints, replicas, transport, clock, limits });
      this.#controls.set(nodeId, new Control(questions, this.#controllerOf(nodeId)));
    }
  }

  control(name: string): Control {
    const control = this.#controls.get(name);
    if (control === undefined) throw new Error(`no node ${name}`);
    return control;
  }

  async change(at: string, change: ClusterChange, dryRun = false): Promise<ClusterChangeOutcome> {
    const deadlineAt = this.clock.monotonicMs() + 1000;
    return (await this.clock.until(this.control(at).change(change, { dryRun, deadlineAt }), 5000)).outcome;
  }

  async operationsAt(at: string) {
    const deadlineAt = this.clock.monotonicMs() + 1000;
    return (await this.clock.until(this.control(at).operations(deadlineAt), 5000)).outcome;
  }

  #controllerOf(nodeId: NodeId): Controller {
    const leads = (): boolean => this.leader?.nodeId === nodeId;
    return {
      leads,
      operations: () => this.operations,
      change: (change: ClusterChange, { dryRun }: { readonly dryRun: boolean }) => {
        if (!leads()) return Promise.resolve(undefined);
        this.asked.push([nodeId, change, dryRun]);
        return Promise.resolve(this.outcome);
      },
    } as unknown as Controller;
  }

  #carry(to: NodeId, kind: string, payload: unknown): Promise<unknown> {
    return this.fault(async () => {
      const answer = this.control(to).handle(kind, overTheWire(payload));
      if (answer === undefined) throw new Error(`unexpected request ${kind}`);
      return overTheWire(await answer);
    });
  }
}

describe('a change', () => {
  const changes: readonly ClusterChange[] = [
    rebalance,
    { type: 'remove_node', nodeId: 'n3' as NodeId },
    { type: 'add_node', node: addition('n4') },
  ];
  test.each(changes)('$type reaches the controller as it is, from wherever it is asked', async (change) => {
    for (const at of ['n1', 'n2', 'n4']) {
      const world = new World();
      expect(await world.change(at, change, at === 'n1')).toEqual({ type: 'accepted', plan });
      expect(world.asked).toEqual([['n2', change, at === 'n1']]);
    }
  });

  test.each(['refused', 'not_found', 'no_leader', 'unknown'] as const)(
    '%s comes back with its reason',
    async (type) => {
      const world = new World();
      world.outcome = { type, detail: 'for a reason' };
      expect(await world.change('n1', rebalance)).toEqual({ type, detail: 'for a reason' });
    },
  );

  test('nobody leads: nothing was begun', async () => {
    const world = new World();
    world.leader = undefined;
    expect(await world.change('n1', rebalance)).toMatchObject({ type: 'no_leader' });
    expect(world.asked).toEqual([]);
  });

  test('whoever leads does not answer: it may have been begun, unless it was only tried', async () => {
    const world = new World();
    world.fault = async (deliver) => {
      await deliver();
      throw failure(true);
    };
    expect(await world.change('n1', rebalance)).toMatchObject({ type: 'unknown' });
    expect(await world.change('n1', rebalance, true)).toMatchObject({ type: 'no_leader' });
    expect(world.asked.length).toBeGreaterThan(1);
  });

  const malformed: readonly unknown[] = [
    {},
    { change: rebalance },
    { change: rebalance, dryRun: 0 },
    { change: null, dryRun: false },
    { change: { type: 'dissolve' }, dryRun: false },
    { change: { type: 'remove_node' }, dryRun: false },
    { change: { type: 'remove_node', nodeId: '../n1' }, dryRun: false },
    { change: { type: 'add_node', node: null }, dryRun: false },
    { change: { type: 'add_node', node: { ...addition('n4'), weight: 0 } }, dryRun: false },
    { change: { type: 'add_node', node: { ...addition('n4'), labels: { zone: 1 } } }, dryRun: false },
    { change: { type: 'add_node', node: { ...addition('n4'), peer: undefined } }, dryRun: false },
  ];
  test.each(malformed)('that is malformed, %j, reaches nobody', async (payload) => {
    const world = new World();
    const request = { partition: 0, remainingMs: 100, payload };
    expect(await world.control('n2').handle('cluster.change', request)).toEqual({ type: 'malformed' });
    expect(world.asked).toEqual([]);
  });

  const nonsense: readonly object[] = [
    { type: 'begun' },
    { type: 'refused' },
    { type: 'accepted' },
    { type: 'accepted', plan: { ...plan, moves: [{ partition: -1, bytes: 0 }] } },
    { type: 'accepted', plan: { ...plan, bytes: -1 } },
    { type: 'accepted', plan: { ...plan, fraction: '0' } },
    { type: 'accepted', plan: { ...plan, risks: [7] } },
  ];
  test.each(nonsense)('that is answered by nonsense, %j: nobody knows', async (answer) => {
    const world = new World();
    world.fault = () => Promise.resolve({ type: 'answer', answer });
    expect(await world.change('n1', rebalance)).toMatchObject({ type: 'unknown' });
  });
});

describe('moves under way', () => {
  test('are told as the controller has them, from wherever it is asked', async () => {
    const world = new World();
    world.operations = [operation, { ...operation, partition: id(2), blockedBy: 'it lacks entries' }];
    for (const at of ['n1', 'n2']) {
      expect(await world.operationsAt(at)).toEqual({ type: 'operations', operations: world.operations });
    }
  });

  test('are told by nobody where nobody leads', async () => {
    const world = new World();
    world.leader = undefined;
    expect(await world.operationsAt('n1')).toMatchObject({ type: 'no_leader' });
  });

  test.each([
    { operations: {} },
    { operations: [null] },
    { operations: [{ ...operation, lag: -1 }] },
    { operations: [{ ...operation, to: ['../n1'] }] },
    { operations: [{ ...operation, progress: null }] },
  ])('that make no sense, %j, are none', async (answer) => {
    const world = new World();
    world.fault = () => Promise.resolve({ type: 'answer', answer });
    expect(await world.operationsAt('n1')).toMatchObject({ type: 'no_leader' });
  });
});

test('other requests are none of its business', () => {
  expect(new World().control('n2').handle('cluster.dissolve', {})).toBeUndefined();
});
