/** A group's members as its leader has them, and guarded changes of them, from any node. */
import { describe, expect, test } from 'vitest';
import type { GroupView } from '../../src/cluster/group-members.ts';
import type { ChangeResult, ConfigurationChange, LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import { viewOf } from './metadata/move-world.ts';
import { QuestionsWorld } from './questions-world.ts';
import { failure, limits, partition } from './router-world.ts';

const view: GroupView = viewOf({
  voters: { 1: 'n1', 2: 'n2', 5: 'n3' },
  outgoing: { 1: 'n1', 2: 'n2' },
  learners: { 7: 'n4' },
  leader: 2,
  committed: false,
  progress: { 7: { state: 'snapshot', matchIndex: 3 as LogIndex, recentlyActive: false }, 5: { state: 'probe' } },
});
const addLearner: ConfigurationChange = { type: 'addLearner', host: 'n4' };
const appended: ChangeResult = {
  type: 'appended',
  index: 9 as LogIndex,
  term: 3 as Term,
  configuration: view.configuration,
};

/** n2 leads, and has this view of the group. */
function led(): QuestionsWorld {
  const world = new QuestionsWorld();
  world.elect('n2', 3);
  world.node('n2').groups.view = view;
  return world;
}

describe('a view', () => {
  test.each(['n2', 'n1', 'n4'])('is the same, asked of the leader itself or from %s', async (at) => {
    const world = led();
    expect((await world.view(at)).outcome).toEqual(view);
  });

  test('is of a leader that was confirmed after it was asked, and as the group is then', async () => {
    const world = led();
    const { replica, groups } = world.node('n2');
    const later: GroupView = { ...view, committed: true };
    replica.answer = () => {
      groups.view = later;
      replica.answer = undefined;
      return replica.execute(partition, { type: 'read', key: Buffer.from('?') });
    };
    expect((await world.view('n1')).outcome).toEqual(later);
    expect(replica.executed.length).toBeGreaterThan(0);
  });

  test('one that can’t be confirmed is none', async () => {
    const world = led();
    world.node('n2').replica.answer = () => ({ type: 'overloaded', partition, detail: '', retryAfterMs: 0 });
    for (const at of ['n1', 'n2']) {
      expect((await world.view(at, 600)).outcome).toEqual({ type: 'unanswered', asked: at === 'n1' });
    }
  });

  test('who is deposed while it is confirmed gives none, and the next leader is asked', async () => {
    const world = led();
    const { groups, replica } = world.node('n2');
    world.node('n3').groups.view = { ...view, leader: 5 as ReplicaId };
    replica.answer = (request) => {
      replica.answer = undefined;
      const confirmed = replica.execute(partition, request);
      groups.view = undefined;
      world.elect('n3', 4);
      return confirmed;
    };
    expect((await world.view('n1')).outcome).toMatchObject({ leader: 5 });
  });

  test('who does not lead reads nothing to find out', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    const { members, replica } = world.node('n1');
    expect(await members.handle('group.view', { partition, remainingMs: 100, payload: {} })).toMatchObject({
      type: 'not_leader',
    });
    expect(replica.executed).toEqual([]);
  });

  const wrong: readonly object[] = [
    { index: -1 },
    { configuration: 'none' },
    { configuration: Buffer.from([9, 9, 9]) },
    { committed: 1 },
    { leader: null },
    { lastIndex: 1.5 },
    { bytes: '0' },
    { progress: {} },
    { progress: [{ replicaId: 1, matchIndex: 1, state: 'asleep', recentlyActive: true }] },
    { progress: [{ replicaId: 1, matchIndex: -1, state: 'probe', recentlyActive: true }] },
    { progress: [{ replicaId: 1, matchIndex: 1, state: 'probe' }] },
    { progress: [null] },
  ];
  test.each(wrong)('that is malformed, %j, is none', async (part) => {
    const world = led();
    world.fault = async (deliver) => {
      const response = (await deliver()) as { readonly answer: object };
      return { ...response, answer: { ...response.answer, ...part } };
    };
    expect((await world.view('n1', 600)).outcome).toEqual({ type: 'unanswered', asked: true });
  });
});

describe('a change', () => {
  const changes: readonly ConfigurationChange[] = [
    addLearner,
    { type: 'removeLearner', replicaId: 7 as ReplicaId },
    { type: 'changeVoters', voters: [1, 7] as ReplicaId[] },
  ];
  test.each(changes)('%j reaches the leader as it is, with the index that guards it', async (change) => {
    for (const at of ['n2', 'n1', 'n4']) {
      const world = led();
      world.node('n2').groups.result = appended;
      expect((await world.change(at, 7, change)).outcome).toEqual({ type: 'appended' });
      expect(world.node('n2').groups.changed).toEqual([{ ifIndex: 7, change }]);
    }
  });

  test('that the leader refuses is refused, with its reason', async () => {
    const world = led();
    world.node('n2').groups.result = { type: 'refused', reason: 'the configuration is another one' };
    for (const at of ['n1', 'n2']) {
      expect((await world.change(at, 7, addLearner)).outcome).toEqual({
        type: 'refused',
        detail: 'the configuration is another one',
      });
    }
  });

  test('asked of one that was just deposed goes on to the next leader', async () => {
    const world = led();
    world.node('n2').groups.result = { type: 'not_leader', leader: 5 as ReplicaId };
    world.node('n3').groups.result = appended;
    world.clock.after(100, () => world.elect('n3', 4));
    const { outcome, tookMs } = await world.change('n1', 7, addLearner);
    expect([outcome, tookMs]).toEqual([{ type: 'appended' }, 100]);
  });

  test('whose answer is lost is asked for again under the same guard', async () => {
    const world = led();
    const { groups } = world.node('n2');
    groups.result = appended;
    world.fault = async (deliver) => {
      world.fault = (again) => again();
      await deliver();
      groups.result = { type: 'refused', reason: 'the configuration is another one' };
      throw failure(true);
    };
    const { outcome, tookMs } = await world.change('n1', 7, addLearner);
    expect(outcome).toMatchObject({ type: 'refused' });
    expect(tookMs).toBeLessThanOrEqual(limits.leaderRetryDelayMs);
    expect(groups.changed.map(({ ifIndex }) => ifIndex)).toEqual([7, 7]);
  });

  const malformed: readonly unknown[] = [
    {},
    { ifIndex: 7 },
    { ifIndex: -1, change: addLearner },
    { ifIndex: 7, change: { type: 'addLearner' } },
    { ifIndex: 7, change: { type: 'removeLearner', replicaId: 'x' } },
    { ifIndex: 7, change: { type: 'changeVoters', voters: [1, null] } },
    { ifIndex: 7, change: { type: 'changeVoters', voters: 1 } },
    { ifIndex: 7, change: { type: 'dissolve' } },
  ];
  test.each(malformed)('that is malformed, %j, changes nothing', async (payload) => {
    const { members, groups } = led().node('n2');
    groups.result = appended;
    const answer = await members.handle('group.change', { partition, remainingMs: 100, payload });
    expect(answer).toEqual({ type: 'malformed' });
    expect(groups.changed).toEqual([]);
  });
});

test('other requests are none of its business', () => {
  expect(led().node('n2').members.handle('group.dissolve', {})).toBeUndefined();
});
