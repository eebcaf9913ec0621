/** Memory that frames are gathered in: whose it is, and when it serves again. */
import { expect, it } from 'vitest';
import { FrameMemory } from '../../src/transport/frame-memory.ts';

const kibibyte = 1024;

it('is never lent to two at a time', () => {
  const memory = new FrameMemory(1024 * kibibyte);
  const lent = Array.from({ length: 4 }, () => memory.lend(100 * kibibyte));
  expect(new Set(lent.map(({ buffer }) => buffer)).size).toBe(4);
  expect(lent.map(({ length }) => length)).toEqual(lent.map(() => 100 * kibibyte));
});

it('serves again once it was given back, for a frame of another length too, and then for one alone', () => {
  const memory = new FrameMemory(1024 * kibibyte);
  const first = memory.lend(130 * kibibyte);
  memory.giveBack(first);
  memory.giveBack(first);
  const second = memory.lend(200 * kibibyte);
  expect(second.buffer).toBe(first.buffer);
  expect(second.length).toBe(200 * kibibyte);
  expect(memory.lend(130 * kibibyte).buffer).not.toBe(first.buffer);
});

it('that is too small is passed over', () => {
  const memory = new FrameMemory(1024 * kibibyte);
  const small = memory.lend(1);
  memory.giveBack(small);
  expect(memory.lend(100 * kibibyte).buffer).not.toBe(small.buffer);
  expect(memory.lend(64 * kibibyte).buffer).toBe(small.buffer);
});

it('is kept up to a bound, and dropped above it', () => {
  const memory = new FrameMemory(300 * kibibyte);
  const lent = [128, 128, 128].map((size) => memory.lend(size * kibibyte));
  for (const one of lent) memory.giveBack(one);
  const again = lent.map(() => memory.lend(128 * kibibyte).buffer);
  expect(again.map((buffer) => lent.some((one) => one.buffer === buffer))).toEqual([true, true, false]);
});

it('that came from elsewhere is not taken', () => {
  const memory = new FrameMemory(1024 * kibibyte);
  const foreign = Buffer.alloc(100 * kibibyte);
  memory.giveBack(foreign);
  expect(memory.lend(1).buffer).not.toBe(foreign.buffer);
});
