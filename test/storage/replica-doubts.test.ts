/** Which replicas are in doubt outlives the process; where it can't be read, none of them may speak. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ReplicaId } from '../../src/raft/types.ts';
import type { PartitionId, ReplicaDoubt } from '../../src/replica/ports.ts';
import { StorageDamage } from '../../src/storage/damage.ts';
import { openReplicaDoubts } from '../../src/storage/replica-doubts.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-doubts-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const doubtOf = (partition: number, replicaId: number, isGone = false): ReplicaDoubt => ({
  partition: partition as PartitionId,
  replicaId: replicaId as ReplicaId,
  reason: 'a value is corrupt',
  isGone,
});

test('one for each partition, the newest, over any start, until it is forgotten', () => {
  const doubts = openReplicaDoubts(directory);
  expect(doubts.all()).toEqual([]);
  doubts.put(doubtOf(3, 2));
  doubts.put(doubtOf(4, 1));
  doubts.put(doubtOf(3, 2, true));
  expect(openReplicaDoubts(directory).all()).toEqual([doubtOf(4, 1), doubtOf(3, 2, true)]);
  openReplicaDoubts(directory).forget(4 as PartitionId);
  expect(openReplicaDoubts(directory).all()).toEqual([doubtOf(3, 2, true)]);
});

test('whatever has become of the file, it is read as it was written or the directory is damaged', () => {
  openReplicaDoubts(directory).put(doubtOf(3, 2));
  const [name = ''] = fs.readdirSync(directory);
  const file = path.join(directory, name);
  const written = fs.readFileSync(file);
  const before = openReplicaDoubts(directory).all();
  let found = 0;
  for (let at = 0; at < written.length; at += 1) {
    const turned = Buffer.from(written);
    turned[at]! ^= 1 << (at & 7);
    fs.writeFileSync(file, turned);
    try {
      expect(openReplicaDoubts(directory).all()).toEqual(before);
    } catch (error) {
      expect(error).toBeInstanceOf(StorageDamage);
      found += 1;
    }
  }
  expect(found).toBeGreaterThan(written.length / 2);
  fs.writeFileSync(file, '');
  expect(() => openReplicaDoubts(directory)).toThrow(StorageDamage);
});
