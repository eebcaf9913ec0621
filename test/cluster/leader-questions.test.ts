/** Questions that only a partition's leader answers, asked from any node, and asked again until one does. */
import { describe, expect, test } from 'vitest';
import { QuestionsWorld } from './questions-world.ts';
import { failure, hint, limits, partition } from './router-world.ts';

const never = new Promise<never>(() => undefined);

function by(node: string): unknown {
  return { by: node, twice: 42 };
}

function unanswered(asked: boolean): unknown {
  return { type: 'unanswered', asked };
}

describe('the leader answers', () => {
  test('where it is asked, without a word to anybody, with all the time there is', async () => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    expect(await world.ask('n1')).toEqual({ outcome: by('n1'), tookMs: 0 });
    expect([world.asked, world.node('n1').answered]).toEqual([[], [{ of: 21, leftMs: 5000 }]]);
  });

  test('asked from another replica; it has less time than who asks, so that its answer still gets back', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    expect(await world.ask('n1')).toEqual({ outcome: by('n2'), tookMs: 0 });
    expect([world.asked, world.node('n2').answered]).toEqual([
      ['n1>n2'],
      [{ of: 21, leftMs: 5000 - limits.forwardReturnMs }],
    ]);
  });

  test('asked with next to no time left, it still has some', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    await world.ask('n1', { timeoutMs: 10 });
    expect(world.node('n2').answered).toEqual([{ of: 21, leftMs: 1 }]);
  });

  test('asked from a node without a replica, which follows a hint and remembers it', async () => {
    const world = new QuestionsWorld();
    world.elect('n3', 2);
    expect((await world.ask('n4')).outcome).toEqual(by('n3'));
    expect(world.asked).toEqual(['n4>n1', 'n4>n3']);
    expect(world.node('n4').hints.get(partition)).toEqual(hint('n3', 2));
    await world.ask('n4');
    expect(world.asked.slice(2)).toEqual(['n4>n3']);
  });

  test('where none of those that the map names has a replica any more, others are asked, one a round', async () => {
    const world = new QuestionsWorld();
    for (const name of ['n1', 'n2', 'n3']) world.node(name).replica.hosted = false;
    world.node('n4').replica.hosted = true;
    world.elect('n4', 7);
    expect((await world.ask('n1')).outcome).toEqual(by('n4'));
    expect(world.asked).toEqual(['n1>n2', 'n1>n3', 'n1>n2', 'n1>n3', 'n1>n4']);
  });

  test('a leader that was deposed points on', async () => {
    const world = new QuestionsWorld();
    world.elect('n3', 4);
    world.node('n1').replica.knows = hint('n2', 3);
    expect(await world.ask('n1')).toEqual({ outcome: by('n3'), tookMs: 0 });
    expect(world.asked).toEqual(['n1>n2', 'n1>n3']);
  });

  test('one that is deposed while it is asked here: the new one is asked', async () => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    const { double, replica } = world.node('n1');
    const answer = double.answer.bind(double);
    double.answer = (...asked) => {
      if (replica.knows?.nodeId === 'n1') world.elect('n2', 4);
      return answer(...asked);
    };
    expect(await world.ask('n1')).toEqual({ outcome: by('n2'), tookMs: 0 });
    expect(world.asked).toEqual(['n1>n2']);
  });

  test('an election is waited for, and its end noticed at once', async () => {
    const world = new QuestionsWorld();
    world.clock.after(333, () => world.elect('n2', 1));
    expect(await world.ask('n1')).toEqual({ outcome: by('n2'), tookMs: 333 });
  });

  test('a leader that can’t be reached is not asked; the next one is waited for', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    world.down.add('n2');
    world.clock.after(400, () => world.elect('n3', 4));
    expect(await world.ask('n1')).toEqual({ outcome: by('n3'), tookMs: 400 });
    expect(world.asked).toEqual(['n1>n3']);
  });

  test('an answer that is lost is asked for again', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    world.fault = async (deliver) => {
      world.fault = (again) => again();
      await deliver();
      throw failure(true);
    };
    const { outcome, tookMs } = await world.ask('n1');
    expect(outcome).toEqual(by('n2'));
    expect(tookMs).toBeLessThanOrEqual(limits.leaderRetryDelayMs);
    expect(world.node('n2').answered).toHaveLength(2);
  });
});

describe('nobody answers in time', () => {
  test('no such partition: at once', async () => {
    const world = new QuestionsWorld();
    expect(await world.ask('n1', { id: 99 })).toEqual({ outcome: unanswered(false), tookMs: 0 });
  });

  test('no leader: nobody was asked', async () => {
    const world = new QuestionsWorld();
    const { outcome, tookMs } = await world.ask('n1', { timeoutMs: 700 });
    expect(outcome).toEqual(unanswered(false));
    expect(tookMs).toBeGreaterThanOrEqual(700);
    expect(tookMs).toBeLessThanOrEqual(700 + limits.deadlineSweepMs);
    await world.clock.advance(200);
    expect(world.clock.pendingTimers(), 'no timer is left').toBe(0);
  });

  test('a leader that is silent: it was asked', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    world.fault = () => never;
    const { outcome, tookMs } = await world.ask('n1', { timeoutMs: 700 });
    expect(outcome).toEqual(unanswered(true));
    expect(tookMs).toBeLessThanOrEqual(700 + limits.deadlineSweepMs);
    expect(world.asked).toEqual(['n1>n2']);
  });

  test('this node itself is at it, and does not end in time: it may have been acted upon', async () => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    world.node('n1').double.answer = () => never;
    expect((await world.ask('n1', { timeoutMs: 700 })).outcome).toEqual(unanswered(true));
  });

  test('this node has led, and does so no more when it is asked: nothing was done', async () => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    world.node('n1').double.answer = () => Promise.resolve(undefined);
    expect((await world.ask('n1', { timeoutMs: 700 })).outcome).toEqual(unanswered(false));
  });

  test('all that can’t be reached are asked by nobody, and the search rests in between', async () => {
    const world = new QuestionsWorld();
    for (const name of ['n1', 'n2', 'n3']) world.down.add(name);
    const { outcome } = await world.ask('n4', { timeoutMs: 700 });
    expect(outcome).toMatchObject({ type: 'unanswered' });
    expect(world.asked).toEqual([]);
  });

  test('the same wrong hint is not followed twice', async () => {
    const world = new QuestionsWorld();
    world.node('n1').replica.knows = hint('n2', 3);
    expect((await world.ask('n1', { timeoutMs: 700 })).outcome).toEqual(unanswered(true));
    expect(world.asked).toEqual(['n1>n2']);
  });

  test('a deadline that has passed already: nobody is asked', async () => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    expect((await world.ask('n1', { timeoutMs: 0 })).outcome).toEqual(unanswered(false));
    expect(world.asked).toEqual([]);
  });
});

describe('what peers say is checked', () => {
  const nonsense: readonly unknown[] = [
    null,
    'answer',
    [],
    {},
    { type: 'malformed' },
    { type: 'answer' },
    { type: 'answer', answer: null },
    { type: 'answer', answer: { by: 'n2' } },
    { type: 'answer', answer: { by: 'n2', twice: -1 } },
    { type: 'not_leader' },
    { type: 'not_leader', hint: { nodeId: '../x', term: 9 } },
    { type: 'not_leader', hint: { nodeId: 'n3', term: 1.5 } },
    { type: 'not_leader', hint: { nodeId: 'n3', term: 2 } },
  ];
  test.each(nonsense)('%j for an answer is none: it is waited for another leader', async (answer) => {
    const world = new QuestionsWorld();
    world.elect('n2', 3);
    world.fault = (deliver, to) => (to === 'n2' ? Promise.resolve(answer) : deliver());
    world.clock.after(300, () => world.elect('n3', 4));
    expect(await world.ask('n1')).toEqual({ outcome: by('n3'), tookMs: 300 });
    expect(world.asked).toEqual(['n1>n2', 'n1>n3']);
  });

  const payload = { of: 1 };
  const requests: readonly unknown[] = [
    null,
    7,
    {},
    { partition, remainingMs: 100 },
    { partition, remainingMs: 100, payload: null },
    { partition, remainingMs: 100, payload: { of: -1 } },
    { partition, remainingMs: -1, payload },
    { partition, remainingMs: '100', payload },
    { partition: -1, remainingMs: 100, payload },
    { remainingMs: 100, payload },
  ];
  test.each(requests)('%j for a question is malformed, and answered by nobody', async (request) => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    const { questions, double, answered } = world.node('n1');
    expect(await questions.handle(double, request)).toEqual({ type: 'malformed' });
    expect(answered).toEqual([]);
  });

  test('a peer gets no more time than any request may have', async () => {
    const world = new QuestionsWorld();
    world.elect('n1', 3);
    const { questions, double, answered } = world.node('n1');
    await questions.handle(double, { partition, remainingMs: 2 ** 50, payload });
    expect(answered).toEqual([{ of: 1, leftMs: limits.requestTimeoutMsMax }]);
  });

  test('who does not lead names whom it knows, never itself, and asks nobody', async () => {
    const world = new QuestionsWorld();
    const { questions, double, replica } = world.node('n1');
    const request = { partition, remainingMs: 100, payload };
    expect(await questions.handle(double, request)).toEqual({ type: 'not_leader', hint: null });
    replica.knows = hint('n2', 3);
    expect(await questions.handle(double, request)).toEqual({ type: 'not_leader', hint: hint('n2', 3) });
    double.answer = () => Promise.resolve(undefined);
    replica.knows = hint('n1', 4);
    expect(await questions.handle(double, request)).toEqual({ type: 'not_leader', hint: null });
    expect(world.asked).toEqual([]);
  });
});
