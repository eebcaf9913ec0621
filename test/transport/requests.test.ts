import { expect, test } from 'vitest';
import { RequestTable } from '../../src/transport/requests.ts';

/** Whatever was planned runs when the test says so. */
function handClock() {
  const planned: (() => void)[] = [];
  const clock = {
    monotonicMs: () => 0,
    wallMs: () => 0,
    after: (_delayMs: number, callback: () => void) => {
      planned.push(callback);
      return () => undefined;
    },
  };
  return { clock, runAll: () => planned.forEach((callback) => callback()) };
}

test('a request that times out while it is queued counts as sent: it still leaves with the next flush', async () => {
  const { clock, runAll } = handClock();
  const answer = new RequestTable(clock).add(1, 5);
  runAll();
  await expect(answer).rejects.toMatchObject({ type: 'request_failure', sent: true });
});

test('a request that is queued when its connection is lost was not sent: the queue is lost with it', async () => {
  const table = new RequestTable(handClock().clock);
  const answer = table.add(1, 5);
  table.failAll('connection lost');
  await expect(answer).rejects.toMatchObject({ type: 'request_failure', sent: false });
});
