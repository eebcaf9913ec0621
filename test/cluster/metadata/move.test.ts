/** A move step by step: from the group as it is and the nodes that are to hold it, to the one thing to do next. */
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { nextStep, successorOf, type NextStep } from '../../../src/cluster/metadata/move.ts';
import type { LogIndex } from '../../../src/raft/types.ts';
import { FakeGroup, promotionLagMax, viewOf, type ViewParts } from './move-world.ts';
import { names } from './samples.ts';

const three = { 1: 'n1', 2: 'n2', 3: 'n3' };

const low = new Set<string>();
afterEach(() => low.clear());

function step(parts: ViewParts, ...target: readonly string[]): NextStep {
  return nextStep(viewOf(parts), names(...target), { promotionLagMax, isLow: (nodeId) => low.has(nodeId) });
}

function adds(host: string): NextStep {
  return { type: 'change', step: 'learner', change: { type: 'addLearner', host } };
}

function drops(replicaId: number): unknown {
  return { type: 'change', step: 'leave', change: { type: 'removeLearner', replicaId } };
}

function votes(...voters: readonly number[]): unknown {
  return { type: 'change', step: 'voters', change: { type: 'changeVoters', voters } };
}

function waits(why: string, lag: number, progress: number): NextStep {
  return { type: 'wait', step: 'catch_up', why, lag, progress };
}

function match(matchIndex: number): { readonly matchIndex: LogIndex } {
  return { matchIndex: matchIndex as LogIndex };
}

describe('the way of a move', () => {
  test('it is done where the group has the members that it is to have, in whatever order', () => {
    expect(step({ voters: three }, 'n3', 'n1', 'n2')).toEqual({ type: 'done' });
  });

  test('one more: a learner first, then all vote', () => {
    expect(step({ voters: three }, 'n1', 'n2', 'n3', 'n4')).toEqual(adds('n4'));
    expect(step({ voters: three, learners: { 4: 'n4' } }, 'n1', 'n2', 'n3', 'n4')).toEqual(votes(1, 2, 3, 4));
  });

  test('one for another: in one change of voters, once the newcomer is fit', () => {
    expect(step({ voters: three }, 'n1', 'n2', 'n4')).toEqual(adds('n4'));
    expect(step({ voters: three, learners: { 4: 'n4' } }, 'n1', 'n2', 'n4')).toEqual(votes(1, 2, 4));
    expect(step({ voters: { 1: 'n1', 2: 'n2', 4: 'n4' } }, 'n1', 'n2', 'n4')).toEqual({ type: 'done' });
  });

  test('several for several: all newcomers are learners before anybody goes', () => {
    const target = ['n4', 'n5', 'n1'];
    expect(step({ voters: three }, ...target)).toEqual(adds('n4'));
    expect(step({ voters: three, learners: { 4: 'n4' } }, ...target)).toEqual(adds('n5'));
    expect(step({ voters: three, learners: { 4: 'n4', 5: 'n5' } }, ...target)).toEqual(votes(1, 4, 5));
  });

  test('one fewer: only the voters change', () => {
    expect(step({ voters: three }, 'n1', 'n3')).toEqual(votes(1, 3));
  });

  test('who returns to a node that it had left comes as a newcomer', () => {
    expect(step({ voters: { 2: 'n2', 3: 'n3', 4: 'n4' } }, 'n1', 'n2', 'n3')).toEqual(adds('n1'));
    expect(step({ voters: { 2: 'n2', 3: 'n3', 4: 'n4' }, learners: { 5: 'n1' } }, 'n1', 'n2', 'n3')).toEqual(
      votes(2, 3, 5),
    );
  });
});

describe('a node whose disk has little room left', () => {
  test('is given nothing: others come first, and then it is waited for', () => {
    low.add('n4');
    const waiting = { type: 'wait', step: 'learner', why: 'n4 has too little room left on its disk' };
    expect(step({ voters: three }, 'n1', 'n4', 'n5')).toEqual(adds('n5'));
    expect(step({ voters: three, learners: { 4: 'n5' } }, 'n1', 'n4', 'n5')).toMatchObject(waiting);
    low.clear();
    expect(step({ voters: three, learners: { 4: 'n5' } }, 'n1', 'n4', 'n5')).toEqual(adds('n4'));
  });

  test('gives back what it had taken of a move, however far that had come', () => {
    low.add('n4');
    expect(step({ voters: three, learners: { 4: 'n4' } }, 'n1', 'n2', 'n4')).toEqual(drops(4));
  });

  test('keeps what it votes in, and may leave', () => {
    low.add('n3');
    expect(step({ voters: three }, 'n1', 'n2', 'n3')).toEqual({ type: 'done' });
    expect(step({ voters: three }, 'n1', 'n2')).toEqual(votes(1, 2));
    expect(step({ voters: three, learners: { 4: 'n4' } }, 'n1', 'n2', 'n4')).toEqual(votes(1, 2, 4));
  });
});

describe('what is not as the move left it', () => {
  test('the target has changed: learners that are not to be there go first, then those that are missing come', () => {
    const midway = { voters: three, learners: { 4: 'n4', 5: 'n5' } };
    expect(step(midway, 'n1', 'n2', 'n5')).toEqual(drops(4));
    expect(step({ voters: three, learners: { 5: 'n5' } }, 'n1', 'n2', 'n6')).toEqual(drops(5));
    expect(step({ voters: three }, 'n1', 'n2', 'n6')).toEqual(adds('n6'));
  });

  test('the move is taken back: its learner goes, and nothing else is to be done', () => {
    expect(step({ voters: three, learners: { 4: 'n4' } }, 'n1', 'n2', 'n3')).toEqual(drops(4));
    expect(step({ voters: three }, 'n1', 'n2', 'n3')).toEqual({ type: 'done' });
  });

  test('a joint change that is under way is waited for, whatever else there is to do', () => {
    const joint = { voters: { 1: 'n1', 2: 'n2', 4: 'n4' }, outgoing: three, learners: { 5: 'n5' } };
    for (const committed of [true, false]) {
      expect(step({ ...joint, committed }, 'n1', 'n2', 'n6')).toEqual({
        type: 'wait',
        step: 'leave',
        why: 'the change of voters is being committed',
        lag: 0,
        progress: 1,
      });
    }
  });

  test('members that could still be rolled back are no ground to go on from, and not done either', () => {
    for (const target of [
      ['n1', 'n2', 'n3'],
      ['n1', 'n2'],
      ['n1', 'n2', 'n3', 'n4'],
    ]) {
      expect(step({ voters: three, committed: false }, ...target)).toMatchObject({ type: 'wait', step: 'leave' });
    }
    const withLearner = { voters: three, learners: { 4: 'n4' }, committed: false };
    expect(step(withLearner, 'n1')).toMatchObject({ type: 'wait', step: 'learner' });
  });
});

describe('a newcomer is waited for', () => {
  const newcomer = { voters: three, learners: { 4: 'n4' }, lastIndex: 1000 };
  const target = ['n1', 'n2', 'n4'];

  test('up to the lag at which it may vote, and no further', () => {
    expect(step({ ...newcomer, progress: { 4: match(989) } }, ...target)).toEqual(
      waits('the newcomer lacks 11 entries', 11, 0.989),
    );
    expect(step({ ...newcomer, progress: { 4: match(990) } }, ...target)).toEqual(votes(1, 2, 4));
  });

  test.each([
    ['is silent', { recentlyActive: false }, waits('the newcomer does not answer', 0, 1)],
    [
      'is sent the state',
      { ...match(0), state: 'snapshot' as const },
      waits('the newcomer is being sent the state', 1000, 0),
    ],
    ['is being probed', { state: 'probe' as const }, waits('the newcomer lacks 0 entries', 0, 1)],
    [
      'is sent the state and silent',
      { ...match(400), state: 'snapshot' as const, recentlyActive: false },
      waits('the newcomer does not answer', 600, 0.4),
    ],
  ])('as long as it %s', (_, progress, expected) => {
    expect(step({ ...newcomer, progress: { 4: progress } }, ...target)).toEqual(expected);
  });

  test('as long as the leader knows nothing of it', () => {
    expect(step({ ...newcomer, unknown: [4] }, ...target)).toEqual(waits('the newcomer does not answer', 1000, 0));
  });

  test('in an empty log there is nothing to wait for but its answer', () => {
    expect(step({ ...newcomer, lastIndex: 0, unknown: [4] }, ...target)).toEqual(
      waits('the newcomer does not answer', 0, 1),
    );
  });

  test('of several the one that lacks most is told of, and one that is not fit keeps all from voting', () => {
    const two = { voters: three, learners: { 4: 'n4', 5: 'n5' } };
    const both = { ...two, progress: { 4: match(500), 5: match(200) } };
    expect(step(both, 'n1', 'n4', 'n5')).toEqual(waits('the newcomer lacks 800 entries', 800, 0.2));
    expect(step({ ...two, progress: { 4: match(500) } }, 'n1', 'n4', 'n5')).toEqual(
      waits('the newcomer lacks 500 entries', 500, 0.5),
    );
  });

  test('not one that is not to be there: it goes at once', () => {
    expect(step({ ...newcomer, progress: { 4: match(0) } }, 'n1', 'n2', 'n3')).toEqual(drops(4));
  });

  test('a voter that lags holds up nothing', () => {
    expect(step({ voters: three, progress: { 3: { ...match(0), recentlyActive: false } } }, 'n1', 'n2')).toEqual(
      votes(1, 2),
    );
  });
});

describe('who takes over from a leader that is left out', () => {
  function heir(parts: Partial<ViewParts>, ...target: readonly string[]): string | undefined {
    return successorOf(viewOf({ voters: three, leader: 1, ...parts }), names(...target));
  }

  test('nobody, where the leader stays', () => {
    expect(heir({}, 'n1', 'n2')).toBeUndefined();
  });

  test('the voter that stays and has most', () => {
    expect(heir({ progress: { 2: match(900), 3: match(950) } }, 'n2', 'n3', 'n4')).toBe('n3');
    expect(heir({ progress: { 2: match(950), 3: match(900) } }, 'n2', 'n3', 'n4')).toBe('n2');
  });

  test('not one that goes as well, does not answer, or is no voter yet', () => {
    expect(heir({ progress: { 2: match(10) } }, 'n2', 'n4')).toBe('n2');
    expect(heir({ progress: { 3: { recentlyActive: false }, 2: match(10) } }, 'n2', 'n3')).toBe('n2');
    expect(heir({ learners: { 4: 'n4' } }, 'n4', 'n5')).toBeUndefined();
    expect(heir({ unknown: [2, 3] }, 'n2', 'n3')).toBeUndefined();
  });
});

test('from any start to any target, retargeted midway or not: done, with exactly the target, and nobody votes too soon', () => {
  const nodes = fc.uniqueArray(fc.constantFrom('n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7'), {
    minLength: 1,
    maxLength: 5,
  });
  const targets = fc.array(fc.tuple(nodes, fc.nat({ max: 6 })), { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(nodes, targets, (start, wishes) => {
      const group = new FakeGroup(start);
      const sizes = [start, ...wishes.map(([target]) => target)].map(({ length }) => length);
      for (const [i, [target, stepsBeforeRetarget]] of wishes.entries()) {
        const isLast = i === wishes.length - 1;
        // Each node comes and goes at most once, and each newcomer is waited for.
        let left = isLast ? 40 : stepsBeforeRetarget;
        for (; left > 0; left--) {
          const next = nextStep(group.view(), names(...target), { promotionLagMax, isLow: () => false });
          if (next.type === 'done') break;
          if (next.type === 'change') group.apply(next.change);
          else for (const id of group.learners.keys()) group.caughtUp.add(id);
        }
        if (!isLast) continue;
        expect(left, 'it comes to its end').toBeGreaterThan(0);
        expect([group.hosts(), group.learners.size]).toEqual([target.toSorted(), 0]);
      }
      expect(group.fewestVoters).toBeGreaterThanOrEqual(Math.min(...sizes));
    }),
    { seed: 7, numRuns: 1000 },
  );
});
