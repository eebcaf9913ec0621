/** How a leader follows one follower: probing, replicating within a window, and waiting for a snapshot. */
import { describe, expect, test } from 'vitest';
import { Progress } from '../../src/raft/progress.ts';
import { at, replica } from './member.ts';

const window = { messagesMax: 3, bytesMax: 100 };

function replicating(matchIndex: number): Progress {
  const progress = new Progress(at(matchIndex + 1), window);
  progress.succeeded(at(matchIndex));
  return progress;
}

const shape = (progress: Progress) => {
  const { state, matchIndex, nextIndex } = progress.status(replica(2));
  return [state, matchIndex, nextIndex];
};

describe('probing', () => {
  test('sends one at a time, and again once allowed', () => {
    const progress = new Progress(at(5), window);
    expect(progress.canSend()).toBe(true);
    progress.sent(at(6), 10);
    expect(progress.canSend()).toBe(false);
    expect(shape(progress)).toEqual(['probe', 0, 5]);
    progress.allowProbe();
    expect(progress.canSend()).toBe(true);
  });

  test('goes back to the hint on a refusal, but never up', () => {
    const progress = new Progress(at(10), window);
    expect(progress.refused(at(9), at(4))).toBe(true);
    expect(shape(progress)).toEqual(['probe', 0, 5]);
    expect(progress.refused(at(4), at(8))).toBe(true);
    expect(shape(progress)).toEqual(['probe', 0, 4]);
  });

  test('ignores a refusal of another probe than the one under way', () => {
    const progress = new Progress(at(10), window);
    progress.sent(at(9), 0);
    expect(progress.refused(at(7), at(2))).toBe(false);
    expect(shape(progress)).toEqual(['probe', 0, 10]);
    expect(progress.canSend()).toBe(false);
  });

  test('never goes back to what is known to match', () => {
    const progress = replicating(4);
    progress.sent(at(8), 1);
    expect(progress.refused(at(8), at(0))).toBe(true);
    expect(shape(progress)).toEqual(['probe', 4, 5]);
    expect(progress.refused(at(4), at(0))).toBe(true);
    expect(shape(progress)).toEqual(['probe', 4, 5]);
  });

  test('ends with the first success', () => {
    const progress = new Progress(at(10), window);
    expect(progress.succeeded(at(12))).toBe(true);
    expect(shape(progress)).toEqual(['replicate', 12, 13]);
  });

  test('goes on after a success that says less than is known', () => {
    const progress = replicating(4);
    progress.refused(at(8), at(0));
    expect(progress.succeeded(at(3))).toBe(false);
    expect(shape(progress)).toEqual(['probe', 4, 5]);
  });
});

describe('replicating', () => {
  test('runs ahead of the answers until the window is full of messages', () => {
    const progress = replicating(0);
    for (const last of [1, 2, 3]) progress.sent(at(last), 1);
    expect(shape(progress)).toEqual(['replicate', 0, 4]);
    expect(progress.canSend()).toBe(false);
    // The answer to the second speaks for the first, whose own answer may be lost.
    expect(progress.succeeded(at(2))).toBe(true);
    expect(progress.canSend()).toBe(true);
    progress.sent(at(4), 1);
    progress.sent(at(5), 1);
    expect(progress.canSend()).toBe(false);
  });

  test('runs ahead of the answers until the window is full of bytes', () => {
    const progress = replicating(0);
    progress.sent(at(1), 99);
    expect(progress.canSend()).toBe(true);
    progress.sent(at(2), 500);
    expect(progress.canSend()).toBe(false);
    progress.succeeded(at(1));
    expect(progress.canSend()).toBe(false);
    progress.succeeded(at(2));
    expect(progress.canSend()).toBe(true);
  });

  test('matchIndex never goes back', () => {
    const progress = replicating(0);
    progress.sent(at(5), 1);
    expect(progress.succeeded(at(5))).toBe(true);
    expect(progress.succeeded(at(3))).toBe(false);
    expect(shape(progress)).toEqual(['replicate', 5, 6]);
  });

  test('a refusal leads back to probing from what matches; one of long ago does not', () => {
    const progress = replicating(3);
    for (const last of [4, 5, 6]) progress.sent(at(last), 1);
    expect(progress.refused(at(3), at(1))).toBe(false);
    expect(shape(progress)).toEqual(['replicate', 3, 7]);
    expect(progress.refused(at(5), at(3))).toBe(true);
    expect(shape(progress)).toEqual(['probe', 3, 4]);
    // The window starts empty when replication starts again.
    progress.succeeded(at(6));
    for (const last of [7, 8, 9]) {
      expect(progress.canSend()).toBe(true);
      progress.sent(at(last), 1);
    }
    expect(progress.canSend()).toBe(false);
  });

  test('sending into a full window, or nothing at all, is a bug', () => {
    const progress = replicating(0);
    expect(() => progress.sent(at(0), 0)).toThrow('replication sends something');
    for (const last of [1, 2, 3]) progress.sent(at(last), 1);
    expect(() => progress.sent(at(4), 1)).toThrow('had to wait');
  });
});

test('while it needs a snapshot nothing is sent, and refusals change nothing', () => {
  const progress = new Progress(at(3), window);
  progress.becomeSnapshot();
  expect(progress.canSend()).toBe(false);
  expect(progress.refused(at(0), at(0))).toBe(false);
  progress.succeeded(at(7));
  expect(shape(progress)).toEqual(['snapshot', 7, 8]);
  progress.leaveSnapshot();
  expect(shape(progress)).toEqual(['probe', 7, 8]);
  expect(progress.canSend()).toBe(true);
});

describe('a restart of the follower', () => {
  test('makes what it had acknowledged unknown, and looks for it from the end of the log', () => {
    const progress = replicating(4);
    progress.sent(at(6), 1);
    progress.acknowledgedRound = 7;
    progress.recentlyActive = true;
    progress.restarted(at(9));
    expect(shape(progress)).toEqual(['probe', 0, 10]);
    expect([progress.acknowledgedRound, progress.recentlyActive, progress.canSend()]).toEqual([0, false, true]);
  });
});
