import { beforeEach, describe, expect, test } from 'vitest';
import { WriteAdmission } from '../../src/node/write-admission.ts';

const limits = { writeWaitMs: 150, writesUnderWayMin: 20 };

let at: number;
let admission: WriteAdmission;

beforeEach(() => {
  at = 0;
  admission = new WriteAdmission({ limits, now: () => at });
});

test('what the disk takes is not known at first, and nothing refused', () => {
  take(10_000);
  expect(admission.underWay).toBe(10_000);
  expect(admission.underWayMax).toBe(Infinity);
  expect(admission.waitMs).toBe(0);
});

describe('while writes queue', () => {
  test('as many are taken on as the disk serves in the time that one may wait', () => {
    take(100);
    // 50 writes in 50 ms: 1 ms for each.
    for (let batch = 0; batch < 3; batch += 1) flush({ ms: 50, writes: 50 });
    expect(admission.underWayMax).toBe(150);
    expect(admission.waitMs).toBe(100);
    take(50);
    expect(admission.begin()).toBe('150 writes wait for the disk of this node, which takes 1.0 ms for each');
    admission.end();
    expect(admission.begin()).toBeUndefined();
  });

  test('flushes that answer few writes count together', () => {
    take(100);
    for (let batch = 0; batch < 9; batch += 1) flush({ ms: 20, writes: 5 });
    // 20 ms for 5 writes each time.
    expect(admission.underWayMax).toBe(37);
  });

  test('never fewer than `writesUnderWayMin`', () => {
    take(100);
    for (let batch = 0; batch < 4; batch += 1) flush({ ms: 5000, writes: 50 });
    expect(admission.underWayMax).toBe(20);
    expect(admission.waitMs).toBe(20 * 100);
  });

  test('one flush that stalled counts for nothing, several do', () => {
    take(100);
    for (let batch = 0; batch < 5; batch += 1) flush({ ms: 50, writes: 50 });
    flush({ ms: 3000, writes: 50 });
    expect(admission.underWayMax).toBe(150);
    for (let batch = 0; batch < 4; batch += 1) flush({ ms: 500, writes: 50 });
    expect(admission.underWayMax).toBe(20);
  });

  test('nor does one of the first flushes of all', () => {
    take(100);
    flush({ ms: 50, writes: 50 });
    flush({ ms: 3000, writes: 50 });
    expect(admission.underWayMax).toBe(Infinity);
    flush({ ms: 50, writes: 50 });
    expect(admission.underWayMax).toBe(150);
  });

  test('a disk that is quick again is known as soon', () => {
    take(100);
    for (let batch = 0; batch < 9; batch += 1) flush({ ms: 500, writes: 50 });
    for (let batch = 0; batch < 5; batch += 1) flush({ ms: 5, writes: 50 });
    expect(admission.underWayMax).toBe(1500);
  });

  test('a busy event loop is not taken for a slow disk', () => {
    take(100);
    for (let batch = 0; batch < 9; batch += 1) {
      admission.turn();
      const durable = admission.flushBegun();
      // One long turn: it may have been durable all the while.
      at += 500;
      durable();
      answer(50);
    }
    expect(admission.underWayMax).toBe(Infinity);
  });
});

describe('a flush that lasts', () => {
  test('is a sign by itself, while it lasts', () => {
    take(100);
    const durable = longFlush(100);
    expect(admission.underWayMax).toBe(150);
    lastOn(1000);
    expect(admission.underWayMax).toBe(128);
    take(28);
    expect(admission.begin()).toMatch(/^128 writes wait/);
    durable();
    expect(admission.underWayMax).toBe(Infinity);
    expect(admission.begin()).toBeUndefined();
  });

  test('is none of a slow disk as long as hardly anybody waits', () => {
    take(2);
    longFlush(100);
    expect(admission.underWayMax).toBe(128);
  });

  test('makes the last one before it count, though it was the first that was slow', () => {
    take(100);
    for (let batch = 0; batch < 9; batch += 1) flush({ ms: 5, writes: 50 });
    flush({ ms: 200, writes: 50 });
    expect(admission.underWayMax).toBe(1500);
    longFlush(51);
    expect(admission.underWayMax).toBe(Math.floor(150 / (200 / 50)));
  });

  test('says nothing before it is long', () => {
    take(100);
    longFlush(50);
    expect(admission.underWayMax).toBe(Infinity);
  });

  test('is not held to last while the event loop is busy', () => {
    take(100);
    admission.turn();
    admission.flushBegun();
    at += 1000;
    admission.turn();
    expect(admission.underWayMax).toBe(Infinity);
  });
});

test('a disk is not held slow for what few writes take', () => {
  take(10);
  for (let batch = 0; batch < 20; batch += 1) flush({ ms: 50, writes: 1 });
  expect(admission.underWayMax).toBe(Infinity);
});

test('what was measured of an earlier queue is not joined to the next', () => {
  take(100);
  flush({ ms: 1000, writes: 5 });
  for (let write = 0; write < 95; write += 1) admission.end();
  flush({ ms: 1000, writes: 0 });
  take(100);
  for (let batch = 0; batch < 3; batch += 1) flush({ ms: 50, writes: 50 });
  expect(admission.underWayMax).toBe(150);
});

function take(writes: number): void {
  for (let write = 0; write < writes; write += 1) expect(admission.begin()).toBeUndefined();
}

/** Answered are `writes`, and as many come in. */
function answer(writes: number): void {
  for (let write = 0; write < writes; write += 1) {
    admission.end();
    admission.begin();
  }
}

/** It is still under way after `ms`. */
function longFlush(ms: number): () => void {
  admission.turn();
  const durable = admission.flushBegun();
  lastOn(ms);
  return durable;
}

function lastOn(ms: number): void {
  at += ms;
  admission.turn();
  admission.turn();
}

/** The event loop turns each ms. */
function flush({ ms, writes }: { readonly ms: number; readonly writes: number }): void {
  admission.turn();
  admission.turn();
  const durable = admission.flushBegun();
  at += ms;
  admission.turn();
  admission.turn();
  durable();
  answer(writes);
}
