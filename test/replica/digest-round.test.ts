/** A leader compares the replicas of its group: whom it asks what, when it gives up, and what it takes for an answer. */
import { beforeEach, expect, test } from 'vitest';
import type { Configuration, LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import { encodeDigestResult, refusedDigest, type DigestId } from '../../src/replica/digest-messages.ts';
import { DigestRound, type LedGroup, type OwnTaking, type RoundOutcome } from '../../src/replica/digest-round.ts';
import type { TakingStanding } from '../../src/replica/digest-taking.ts';
import type { NodeId, PartitionId, StateDigest } from '../../src/replica/ports.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';

const limits = { timeoutMs: 10_000, askEveryMs: 100, askTimeoutMs: 50, silenceMs: 1000 };
const ids = (...numbers: readonly number[]): ReplicaId[] => numbers as ReplicaId[];

function digestOf(text: string, version = 1): StateDigest {
  return { version, sum: Buffer.from(text), records: 3, bytes: 300, miscounted: undefined };
}

/** Of n1, which leads, n2 and n3; and n4, where a learner lives. */
class World {
  readonly clock = new VirtualClock();
  readonly asked: string[] = [];
  readonly ended: unknown[] = [];
  /** What a node answers; rejects where it has none. */
  readonly begins = new Map<string, unknown>();
  readonly results = new Map<string, unknown>();
  own: TakingStanding | 'busy' | 'passed' = { type: 'taken', digest: digestOf('same') };
  ownCancelled = false;
  group: LedGroup | undefined = {
    self: 1 as ReplicaId,
    term: 5 as Term,
    lastIndex: 77 as LogIndex,
    configuration: {
      voters: ids(1, 2, 3),
      votersOutgoing: [],
      learners: ids(4),
      replicaIdMax: 4 as ReplicaId,
      incarnation: 1,
      hosts: new Map([1, 2, 3, 4].map((id) => [id as ReplicaId, `n${id}`])),
    } satisfies Configuration,
    configurationIndex: 3 as LogIndex,
    settled: true,
  };

  constructor() {
    for (const node of ['n2', 'n3', 'n4']) {
      this.begins.set(node, { type: 'begun' });
      this.takes(node, 'same');
    }
  }

  takes(node: string, text: string, { term = 5, version = 1 } = {}): void {
    this.results.set(node, encodeDigestResult({ type: 'taken', term, ...digestOf(text, version) }));
  }

  round(): DigestRound {
    return new DigestRound(
      {
        clock: this.clock,
        limits,
        group: () => this.group,
        request: (node, kind, payload, timeoutMs) => this.#answer(node, kind, payload as DigestId, timeoutMs),
        takeOwn: () => this.#takeOwn(),
      },
      1 as PartitionId,
    );
  }

  /** What it comes to, and how long that takes. */
  async run(round = this.round()): Promise<{ readonly outcome: RoundOutcome; readonly tookMs: number }> {
    return this.clock.until(round.run(), 60_000);
  }

  #takeOwn(): OwnTaking | 'busy' | 'passed' {
    if (this.own === 'busy' || this.own === 'passed') return this.own;
    const standing = (): TakingStanding => this.own as TakingStanding;
    return {
      get standing() {
        return standing();
      },
      cancel: () => (this.ownCancelled = true),
    };
  }

  #answer(node: NodeId, kind: string, payload: DigestId, timeoutMs: number): Promise<unknown> {
    this.asked.push(`${node} ${kind}`);
    if (kind === 'digest.end') return Promise.resolve(this.ended.push({ node, ...payload }));
    const answer = (kind === 'digest.begin' ? this.begins : this.results).get(node);
    if (answer !== undefined) return Promise.resolve(answer);
    return new Promise((_, reject) => void this.clock.after(timeoutMs, () => reject(new Error('no answer'))));
  }
}

let world: World;
beforeEach(() => {
  world = new World();
});

const voided = (outcome: RoundOutcome): string => (outcome.type === 'void' ? outcome.reason : outcome.verdict.type);
const leftOut = (outcome: RoundOutcome): unknown =>
  outcome.type === 'void' ? undefined : Object.fromEntries(outcome.leftOut);

test('all members are asked, and told of the end', async () => {
  const { outcome, tookMs } = await world.run();
  expect(outcome).toMatchObject({
    type: 'compared',
    verdict: { type: 'agree' },
    digest: digestOf('same'),
    tookMs: 100,
  });
  expect([leftOut(outcome), tookMs]).toEqual([{}, 100]);
  expect(world.asked).toEqual(
    ['begin', 'result', 'end'].flatMap((kind) => ['n2', 'n3', 'n4'].map((node) => `${node} digest.${kind}`)),
  );
  expect(world.ended[0]).toEqual({ node: 'n2', partition: 1, from: 1, to: 2, term: 5, index: 77, compared: true });
});

test('who differs from a majority is named, follower, learner and leader', async () => {
  world.takes('n3', 'other');
  world.takes('n4', 'another');
  expect((await world.run()).outcome).toMatchObject({ verdict: { type: 'differ', holders: [1, 2], odd: [3, 4] } });
  world = new World();
  world.own = { type: 'taken', digest: digestOf('other') };
  expect((await world.run()).outcome).toMatchObject({ verdict: { type: 'differ', holders: [2, 3], odd: [1] } });
});

test('those that are reading still are waited for, this one too', async () => {
  world.results.set('n3', { type: 'reading' });
  world.own = { type: 'reading' };
  world.clock.after(2050, () => world.takes('n3', 'same'));
  world.clock.after(4050, () => (world.own = { type: 'taken', digest: digestOf('same') }));
  const { outcome, tookMs } = await world.run();
  expect([voided(outcome), tookMs]).toEqual(['agree', 4100]);
  expect(world.asked.filter((asked) => asked === 'n2 digest.result')).toHaveLength(1);
});

test.each([{ type: 'busy' }, { type: 'passed' }])(
  'one that says %j is asked another time, and the others are let go',
  async (answer) => {
    world.begins.set('n3', answer);
    const { outcome, tookMs } = await world.run();
    expect([voided(outcome), tookMs]).toEqual(['a member is busy, or was beyond the index', 0]);
    expect(world.ended).toHaveLength(3);
    expect(world.ended[0]).toMatchObject({ compared: false });
    expect(world.ownCancelled).toBe(true);
  },
);

test.each(['busy', 'passed'] as const)('when this node is %s nobody is asked', async (own) => {
  world.own = own;
  expect(voided((await world.run()).outcome)).toBe(`this node: ${own}`);
  expect(world.asked).toEqual([]);
});

test('members that can not take part are left out, as long as a majority of the voters does', async () => {
  world.begins.delete('n3');
  world.results.set('n4', refusedDigest('it did not stop there'));
  const { outcome } = await world.run();
  expect([voided(outcome), leftOut(outcome)]).toEqual([
    'agree',
    { 3: 'it could not be asked', 4: 'it did not stop there' },
  ]);
  world.begins.delete('n2');
  expect(voided((await world.run()).outcome)).toBe('too few members take part');
});

test('a member that answers no more is left out after a while, one that misses an answer is not', async () => {
  const { results } = world;
  const answer = results.get('n3');
  results.delete('n3');
  world.clock.after(limits.silenceMs / 2, () => results.set('n3', answer));
  expect(leftOut((await world.run()).outcome)).toEqual({});
  results.delete('n3');
  const { outcome, tookMs } = await world.run();
  expect(leftOut(outcome)).toEqual({ 3: 'it does not answer any more' });
  expect(tookMs).toBeLessThanOrEqual(limits.silenceMs + 2 * (limits.askEveryMs + limits.askTimeoutMs));
});

test('one that sums up in another way is not compared', async () => {
  world.takes('n3', 'other', { version: 2 });
  const { outcome } = await world.run();
  expect([voided(outcome), leftOut(outcome)]).toEqual(['agree', { 3: 'it sums up by version 2' }]);
});

test.each<[string, Partial<LedGroup> | undefined]>([
  ['it leads no more', undefined],
  ['it leads in another term', { term: 6 as Term }],
  ['its members are other ones', { configurationIndex: 78 as LogIndex }],
  ['its members are being changed', { settled: false }],
])('it comes to nothing when %s', async (_what, change) => {
  world.takes('n3', 'other');
  world.clock.after(50, () => (world.group = change && world.group && { ...world.group, ...change }));
  expect(voided((await world.run()).outcome)).toBe('its leader or its members have changed');
  expect(world.ended[0]).toMatchObject({ compared: false });
});

test('it comes to nothing when a member knows of a newer term', async () => {
  world.takes('n3', 'other', { term: 6 });
  expect(voided((await world.run()).outcome)).toBe('a member is in term 6 already');
});

test('nobody is asked while the members are being changed, or where this node does not lead', async () => {
  world.group = world.group && { ...world.group, settled: false };
  expect(voided((await world.run()).outcome)).toBe('its members are being changed');
  world.group = undefined;
  expect((await world.run()).outcome.type).toBe('void');
  expect(world.asked).toEqual([]);
});

test('it ends when this node can not read its own, when it takes too long, and when it is broken off', async () => {
  world.own = { type: 'failed', reason: 'it was broken off' };
  expect(voided((await world.run()).outcome)).toBe('this node: it was broken off');
  world.own = { type: 'reading' };
  const late = await world.run();
  expect(voided(late.outcome)).toBe('not all were done in 10000 ms');
  const round = world.round();
  world.clock.after(500, () => round.cancel());
  const { outcome, tookMs } = await world.run(round);
  expect([voided(outcome), tookMs]).toEqual(['it was broken off', 500]);
});
