import { expect, test } from 'vitest';
import { Scheduler } from '../../src/sim/scheduler.ts';
import { Random } from '../../src/sim/random.ts';

test('events run in the order of their times, and of their planning where times are equal', async () => {
  const scheduler = new Scheduler();
  const random = new Random(7);
  const planned = Array.from({ length: 500 }, (_, order) => ({ at: random.whole(0, 50), order }));
  const ran: { at: number; order: number }[] = [];
  for (const event of planned) {
    scheduler.after(event.at, () => {
      expect(scheduler.now()).toBe(event.at);
      ran.push(event);
    });
  }
  await scheduler.runUntil(100);
  expect(ran).toEqual(planned.toSorted((one, other) => one.at - other.at || one.order - other.order));
  expect([scheduler.now(), scheduler.events()]).toEqual([100, 500]);
});

test('a cancelled event does not run, and one beyond the end waits', async () => {
  const scheduler = new Scheduler();
  const ran: string[] = [];
  const cancel = scheduler.after(1, () => ran.push('cancelled'));
  scheduler.after(0.5, cancel);
  scheduler.after(2, () => ran.push('at the end'));
  scheduler.after(2.001, () => ran.push('later'));
  await scheduler.runUntil(2);
  expect(ran).toEqual(['at the end']);
  await scheduler.runUntil(3);
  expect(ran).toEqual(['at the end', 'later']);
});

test('what follows from promises has run before the next event, however long the chain', async () => {
  const scheduler = new Scheduler();
  const ran: string[] = [];
  scheduler.after(1, () => {
    scheduler.promisesMove();
    void (async () => {
      for (let step = 0; step < 1000; step += 1) await Promise.resolve();
      ran.push('chain');
    })();
  });
  scheduler.after(1, () => ran.push('next event'));
  await scheduler.runUntil(2);
  expect(ran).toEqual(['chain', 'next event']);
});

test('a run ends where it is told to', async () => {
  const scheduler = new Scheduler();
  let count = 0;
  for (let at = 1; at <= 10; at += 1) scheduler.after(at, () => (count += 1));
  await scheduler.runUntil(100, () => count === 4);
  expect([count, scheduler.now()]).toEqual([4, 4]);
});

test('chance repeats itself for a seed and a stream, and for no other', () => {
  const draws = (seed: number, stream?: string): number[] => {
    const random = new Random(seed, stream);
    return Array.from({ length: 8 }, random.next);
  };
  expect(draws(42, 'a')).toEqual(draws(42, 'a'));
  const others = [draws(42, 'a'), draws(43, 'a'), draws(42, 'b'), draws(42 + 2 ** 40, 'a')];
  expect(new Set(others.flat()).size).toBe(32);
});

test('draws stay within what was asked for', () => {
  const random = new Random(1);
  for (let round = 0; round < 2000; round += 1) {
    const whole = random.whole(3, 5);
    expect([3, 4, 5]).toContain(whole);
    const size = random.magnitude(0.5, 8);
    expect(size >= 0.5 && size <= 8).toBe(true);
    expect(random.exponential(10)).toBeGreaterThanOrEqual(0);
  }
  const mean = Array.from({ length: 4000 }, () => random.exponential(10)).reduce((sum, one) => sum + one) / 4000;
  expect(mean).toBeGreaterThan(9);
  expect(mean).toBeLessThan(11);
  expect(random.shuffle([1, 2, 3, 4]).toSorted()).toEqual([1, 2, 3, 4]);
});
