/** A leader that doubts itself: whom it hands over to, and that it does not wait for ever. */
import { expect, test } from 'vitest';
import { stepDown, type StepDownOptions } from '../../src/node/step-down.ts';
import type { TransferResult } from '../../src/raft/types.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';

const heirs = ['n2', 'n3'] as NodeId[];
const attemptMs = 600;

/** It leads until one of those that are able has been asked for 10 ms. */
class Led {
  readonly clock = new VirtualClock();
  readonly asked: NodeId[] = [];
  leads = true;
  readonly #able: readonly string[];
  readonly #answer: TransferResult;

  constructor(able: readonly string[], answer: TransferResult = { type: 'started' }) {
    this.#able = able;
    this.#answer = answer;
  }

  stepDown(): ReturnType<typeof stepDown> {
    const replica = {
      status: () => ({ role: this.leads ? 'leader' : 'follower' }),
      transferLeadership: (to: NodeId) => {
        this.asked.push(to);
        this.clock.after(10, () => {
          if (this.#able.includes(to)) this.leads = false;
        });
        return this.#answer;
      },
    } as unknown as StepDownOptions['replica'];
    return stepDown({ clock: this.clock, replica, heirs, attemptMs });
  }
}

test('the first that can takes over', async () => {
  const led = new Led(['n2', 'n3']);
  expect(await led.clock.until(led.stepDown(), 1000)).toEqual({ outcome: true, tookMs: 10 });
  expect(led.asked).toEqual(['n2']);
});

test('when one does not take it in time, another is asked', async () => {
  const led = new Led(['n3']);
  const { outcome, tookMs } = await led.clock.until(led.stepDown(), 2000);
  expect([outcome, led.asked]).toEqual([true, heirs]);
  expect(tookMs).toBeLessThanOrEqual(attemptMs + 20);
});

test('one that is refused is not waited for', async () => {
  const led = new Led([], { type: 'refused', reason: 'it is no voter' });
  expect(await led.clock.until(led.stepDown(), 1000)).toEqual({ outcome: false, tookMs: 0 });
  expect(led.asked).toEqual(heirs);
});

test('when nobody takes it, that is said after each was given its time', async () => {
  const led = new Led([]);
  const { outcome, tookMs } = await led.clock.until(led.stepDown(), 3000);
  expect([outcome, led.asked]).toEqual([false, heirs]);
  expect(tookMs).toBeLessThanOrEqual(2 * (attemptMs + 10));
});

test('who leads no more asks nobody', async () => {
  const led = new Led(['n2']);
  led.leads = false;
  expect(await led.clock.until(led.stepDown(), 100)).toEqual({ outcome: true, tookMs: 0 });
  expect(led.asked).toEqual([]);
});
