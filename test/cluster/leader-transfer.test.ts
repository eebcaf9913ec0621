/** Moving a leadership from any node: whom it goes to, what it waits for, and that every answer is true. */
import { describe, expect, test } from 'vitest';
import type { TransferOutcome } from '../../src/cluster/types.ts';
import { failure, hint, limits, partition } from './router-world.ts';
import { TransferWorld } from './transfer-world.ts';

const never = new Promise<never>(() => undefined);

function done(leader: string, term: number): unknown {
  return { type: 'done', partition, leader, term };
}

function noLeader(outcome: TransferOutcome): void {
  expect(outcome).toMatchObject({ type: 'no_leader', partition });
}

describe('led here', () => {
  test('it is begun once, and over when the replica hears from the target as its leader', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(217, () => world.elect('n2', 4));
    const { outcome, tookMs } = await world.move('n1', 'n2');
    expect(outcome).toEqual(done('n2', 4));
    expect(tookMs, 'it was woken, not polled').toBe(217);
    expect([world.begun(), world.asked]).toEqual([['n1>n2'], []]);
  });

  test('a leader that nobody tells of is found at the usual pace', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(217, () => (world.node('n1').replica.knows = hint('n2', 4)));
    const { outcome, tookMs } = await world.move('n1', 'n2');
    expect(outcome).toEqual(done('n2', 4));
    expect(tookMs).toBeLessThanOrEqual(217 + limits.leaderRetryDelayMs);
  });

  test('the moment without any leader is waited through', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(100, () => {
      world.node('n1').replica.knows = undefined;
      world.node('n1').transfers.leaderChanged(partition);
    });
    world.clock.after(150, () => world.elect('n2', 4));
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 4), tookMs: 150 });
  });

  test('this node leads and is the target: done at once, nothing is begun', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    expect(await world.move('n1', 'n1')).toEqual({ outcome: done('n1', 3), tookMs: 0 });
    expect([world.begun(), world.asked]).toEqual([[], []]);
  });

  test('a node without a voting replica is refused, with the reason', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    const { outcome, tookMs } = await world.move('n1', 'n4');
    expect(outcome).toEqual({ type: 'refused', partition, detail: 'n4 holds no replica' });
    expect(tookMs).toBe(0);
  });

  test('the target never leads: unknown at the deadline, and it was not begun over and over', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    const { outcome, tookMs } = await world.move('n1', 'n2', { timeoutMs: 3000 });
    expect(outcome).toMatchObject({ type: 'unknown', partition });
    expect(tookMs).toBeGreaterThanOrEqual(3000);
    expect(tookMs).toBeLessThanOrEqual(3000 + limits.deadlineSweepMs);
    expect(world.begun()).toEqual(['n1>n2']);
  });

  test('a third node is elected instead: that is not done, and told at once', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(100, () => {
      world.node('n1').replica.standing = 'in_doubt';
      world.elect('n3', 4);
    });
    const { outcome, tookMs } = await world.move('n1', 'n2');
    expect(outcome).toMatchObject({ type: 'unknown', detail: expect.stringContaining('n3 leads') as string });
    expect(tookMs).toBe(100);
    expect(world.begun()).toEqual(['n1>n2']);
  });

  test.each([
    ['given_up', 'not_moved'],
    ['in_doubt', 'unknown'],
  ] as const)('the leader gives it up (%s): told soon, and not begun again', async (standing, type) => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(600, () => (world.node('n1').replica.standing = standing));
    const { outcome, tookMs } = await world.move('n1', 'n2', { timeoutMs: 60_000 });
    expect(outcome).toMatchObject({ type, partition, detail: expect.stringContaining('n1 leads') as string });
    expect(tookMs).toBeLessThanOrEqual(600 + limits.leaderRetryDelayMs);
    expect(world.begun()).toEqual(['n1>n2']);
  });

  test('it is not over while nobody leads: the target may be the one who is being elected', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    world.clock.after(100, () => {
      world.node('n1').replica.standing = 'in_doubt';
      world.node('n1').replica.knows = undefined;
      world.node('n1').transfers.leaderChanged(partition);
    });
    world.clock.after(150, () => world.elect('n2', 4));
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 4), tookMs: 150 });
  });

  test('the replica was deposed before it began: the wish goes on to the new leader', async () => {
    const world = new TransferWorld();
    world.elect('n2', 4);
    const { replica } = world.node('n1');
    replica.knows = hint('n1', 3);
    replica.answer = () => {
      replica.knows = hint('n2', 4);
      return { type: 'not_leader' };
    };
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 4), tookMs: 0 });
    expect(world.asked).toEqual(['n1>n2']);
  });
});

describe('led elsewhere', () => {
  test('the leader is asked and waits for the target; who asked remembers the new leader', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.clock.after(180, () => world.elect('n3', 4));
    expect(await world.move('n1', 'n3')).toEqual({ outcome: done('n3', 4), tookMs: 180 });
    expect([world.asked, world.begun()]).toEqual([['n1>n2'], ['n2>n3']]);
    expect(world.node('n1').hints.get(partition)).toEqual(hint('n3', 4));
  });

  test('the target leads already: it says so itself, at once', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 3), tookMs: 0 });
    expect([world.asked, world.begun()]).toEqual([['n1>n2'], []]);
  });

  test('a target that only seems to lead is not taken at an old word', async () => {
    const world = new TransferWorld();
    world.elect('n3', 4);
    world.node('n1').replica.knows = hint('n2', 3);
    world.clock.after(90, () => world.elect('n2', 5));
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 5), tookMs: 90 });
    expect([world.asked, world.begun()]).toEqual([['n1>n2', 'n1>n3'], ['n3>n2']]);
  });

  test('the target itself may be asked to take over', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.clock.after(60, () => world.elect('n1', 4));
    expect((await world.move('n1', 'n1')).outcome).toEqual(done('n1', 4));
    expect(world.begun()).toEqual(['n2>n1']);
  });

  test('the leader’s refusal comes back', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    const { outcome } = await world.move('n1', 'n4');
    expect(outcome).toEqual({ type: 'refused', partition, detail: 'n4 holds no replica' });
  });

  test('that the leader gave it up comes back', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.node('n2').replica.standing = 'given_up';
    const { outcome, tookMs } = await world.move('n1', 'n3');
    expect(outcome).toMatchObject({ type: 'not_moved', partition });
    expect(tookMs).toBe(0);
    expect(world.begun()).toEqual(['n2>n3']);
  });

  test('one hop only: who is wrongly taken for the leader points on and asks nobody', async () => {
    const world = new TransferWorld();
    world.node('n1').replica.knows = hint('n2', 3);
    world.node('n2').replica.knows = hint('n3', 4);
    world.node('n3').replica.knows = hint('n3', 4);
    world.clock.after(50, () => world.elect('n1', 5));
    expect((await world.move('n1', 'n1')).outcome).toEqual(done('n1', 5));
    expect(world.asked).toEqual(['n1>n2', 'n1>n3']);
  });

  test('the same wrong hint is not followed twice', async () => {
    const world = new TransferWorld();
    world.node('n1').replica.knows = hint('n2', 3);
    const { outcome, tookMs } = await world.move('n1', 'n3');
    noLeader(outcome);
    expect(tookMs).toBeGreaterThanOrEqual(limits.leaderWaitMsMax);
    expect(world.asked).toEqual(['n1>n2']);
  });

  test('the leader gets less time than the caller has, so that its answer still gets back', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    let carried: unknown;
    world.fault = (deliver, _to, payload) => {
      carried = payload;
      return deliver();
    };
    const { outcome, tookMs } = await world.move('n1', 'n3', { timeoutMs: 1000 });
    expect(carried).toEqual({ partition, to: 'n3', remainingMs: 1000 - limits.forwardReturnMs });
    expect(outcome).toMatchObject({ type: 'unknown', detail: expect.stringContaining('n3') as string });
    expect(tookMs).toBeLessThanOrEqual(1000);
  });
});

describe('a node that holds no replica', () => {
  test('asks a replica, follows its hint and remembers the leader', async () => {
    const world = new TransferWorld();
    world.elect('n3', 2);
    world.clock.after(40, () => world.elect('n2', 3));
    expect(await world.move('n4', 'n2')).toEqual({ outcome: done('n2', 3), tookMs: 40 });
    expect(world.asked).toEqual(['n4>n1', 'n4>n3']);
    expect((await world.move('n4', 'n2')).outcome).toEqual(done('n2', 3));
    expect(world.asked.slice(2)).toEqual(['n4>n2']);
  });

  test('asked by a peer, points on to whom it has heard of', async () => {
    const world = new TransferWorld();
    const { transfers, hints } = world.node('n4');
    hints.learn(partition, hint('n2', 3));
    const answer = await transfers.handleTransfer({ partition, to: 'n3', remainingMs: 100 });
    expect(answer).toEqual({ type: 'not_leader', partition, hint: hint('n2', 3) });
    expect(world.asked).toEqual([]);
  });

  test('asks round while nobody leads, and begins nothing', async () => {
    const world = new TransferWorld();
    const { outcome, tookMs } = await world.move('n4', 'n2');
    noLeader(outcome);
    expect(tookMs).toBeGreaterThanOrEqual(limits.leaderWaitMsMax);
    expect(world.begun()).toEqual([]);
  });
});

describe('no leader', () => {
  test('an election under way is waited for, and its end is noticed at once', async () => {
    const world = new TransferWorld();
    world.clock.after(333, () => world.elect('n2', 1));
    expect(await world.move('n1', 'n2')).toEqual({ outcome: done('n2', 1), tookMs: 333 });
  });

  test('none comes: no_leader after the leader wait, never past the deadline, and no timer is left behind', async () => {
    const world = new TransferWorld();
    const patient = await world.move('n1', 'n2');
    noLeader(patient.outcome);
    expect(patient.tookMs).toBeGreaterThanOrEqual(limits.leaderWaitMsMax);
    expect(patient.tookMs).toBeLessThanOrEqual(limits.leaderWaitMsMax + limits.leaderRetryDelayMs);
    const hurried = await world.move('n1', 'n2', { timeoutMs: 300 });
    noLeader(hurried.outcome);
    expect(hurried.tookMs).toBeLessThanOrEqual(300 + limits.deadlineSweepMs);
    await world.clock.advance(100);
    expect(world.clock.pendingTimers()).toBe(0);
  });

  test('a deadline that has passed already: nothing is begun', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    noLeader((await world.move('n1', 'n2', { timeoutMs: 0 })).outcome);
    expect(world.begun()).toEqual([]);
  });

  test('the leader can’t be reached: nothing was sent, so the next one is waited for', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    let refused = 0;
    world.fault = (deliver, to) => {
      if (to !== 'n2') return deliver();
      refused++;
      return Promise.reject(failure(false));
    };
    world.clock.after(411, () => world.elect('n3', 4));
    expect(await world.move('n1', 'n3')).toEqual({ outcome: done('n3', 4), tookMs: 411 });
    expect(refused).toBeGreaterThan(0);
    world.elect('n2', 5);
    noLeader((await world.move('n1', 'n3')).outcome);
  });
});

describe('what nobody knows', () => {
  test('the connection is lost after sending: unknown at once, and asked only once', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.fault = () => Promise.reject(failure(true));
    const { outcome, tookMs } = await world.move('n1', 'n3');
    expect(outcome).toMatchObject({ type: 'unknown', partition });
    expect(tookMs).toBe(0);
    expect(world.asked).toEqual(['n1>n2']);
  });

  test('an answer that never comes: unknown at the deadline', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.fault = () => never;
    const { outcome, tookMs } = await world.move('n1', 'n3', { timeoutMs: 500 });
    expect(outcome).toMatchObject({ type: 'unknown' });
    expect(tookMs).toBeLessThanOrEqual(500 + limits.deadlineSweepMs);
  });

  test('a refusal that comes after the deadline starts nothing new', async () => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.fault = async () => {
      await new Promise<void>((resolve) => world.clock.after(800, resolve));
      world.elect('n1', 4);
      return { type: 'not_leader', partition, hint: null };
    };
    expect((await world.move('n1', 'n3', { timeoutMs: 500 })).outcome).toMatchObject({ type: 'unknown' });
    await world.clock.advance(2000);
    expect(world.begun()).toEqual([]);
  });
});

test('no such partition, no such node: not found, and nobody is asked', async () => {
  const world = new TransferWorld();
  world.elect('n2', 3);
  for (const [to, id] of [
    ['n3', 2],
    ['n3', 999],
    ['n9', 1],
    ['__proto__', 1],
  ] as const) {
    const { outcome, tookMs } = await world.move('n1', to, { id });
    expect(outcome).toMatchObject({ type: 'not_found' });
    expect(tookMs).toBe(0);
  }
  expect(world.asked).toEqual([]);
});

describe('what peers say is checked', () => {
  const nonsense: readonly unknown[] = [
    null,
    'done',
    {},
    { type: 'malformed' },
    { type: 'started', partition },
    { type: 'done', partition, leader: 'n3' },
    { type: 'done', partition, leader: 'n3', term: -1 },
    { type: 'done', partition, leader: 'n2', term: 4 },
    { type: 'done', partition: 2, leader: 'n3', term: 4 },
    { type: 'refused', partition },
    { type: 'not_moved', partition },
    { type: 'no_leader', partition: 2, detail: '' },
    { type: 'unknown', partition, detail: 7 },
    { type: 'not_found' },
    { type: 'not_leader', partition },
    { type: 'not_leader', partition, hint: { nodeId: '../x', term: 1 } },
    { type: 'not_leader', partition, hint: { nodeId: 'n3', term: 1.5 } },
  ];
  test.each(nonsense)('%j for an answer: unknown', async (answer) => {
    const world = new TransferWorld();
    world.elect('n2', 3);
    world.fault = () => Promise.resolve(answer);
    const { outcome, tookMs } = await world.move('n1', 'n3');
    expect(outcome).toMatchObject({ type: 'unknown', partition });
    expect(tookMs).toBe(0);
  });

  const good = { partition: 1, to: 'n2', remainingMs: 100 };
  const wrong: readonly unknown[] = [
    undefined,
    null,
    [],
    { ...good, partition: '1' },
    { ...good, partition: -1 },
    { ...good, to: '' },
    { ...good, to: 2 },
    { ...good, remainingMs: -1 },
    { ...good, remainingMs: undefined },
  ];
  test('a request that makes no sense is refused and begins nothing', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    const { transfers } = world.node('n1');
    for (const payload of wrong) expect(await transfers.handleTransfer(payload)).toEqual({ type: 'malformed' });
    expect(world.begun()).toEqual([]);
    const strange = await transfers.handleTransfer({ ...good, to: 'n9' });
    expect(strange).toMatchObject({ type: 'not_found' });
    world.clock.after(10, () => world.elect('n2', 4));
    const answer = await world.clock.until(transfers.handleTransfer(good), 1000);
    expect(answer.outcome).toEqual(done('n2', 4));
  });

  test('a peer that grants more time than any request may have is not believed', async () => {
    const world = new TransferWorld();
    world.elect('n1', 3);
    const answer = world.node('n1').transfers.handleTransfer({ ...good, remainingMs: 1e9 });
    const { outcome, tookMs } = await world.clock.until(answer, limits.requestTimeoutMsMax + 1000);
    expect(outcome).toMatchObject({ type: 'unknown' });
    expect(tookMs).toBeLessThanOrEqual(limits.requestTimeoutMsMax + limits.deadlineSweepMs);
  });
});
