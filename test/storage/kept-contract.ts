/** What every storage keeps of entries for watchers: as long as the log has the entry, through restarts, and no longer. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { LogIndex, ReplicaId } from '../../src/raft/types.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { append, bytes, entries, hardState, logWrite, machineState, p1, p2, put, settled } from './building.ts';
import type { StorageHarness } from './contract.ts';

export function keptContract(name: string, makeHarness: () => StorageHarness): void {
  describe(`what is kept for watchers: ${name}`, () => {
    let harness: StorageHarness;
    let storage: Storage;

    beforeEach(async () => {
      harness = makeHarness();
      storage = await harness.open({ stateFlushDelayMs: 5 });
    });
    afterEach(() => harness.cleanUp());

    const kept = (index: number): string | undefined => {
      const found = storage.keptChanges(p1, index as LogIndex);
      return found === undefined ? undefined : Buffer.from(found).toString();
    };
    /** Entries 1 to 10, of which 3, 4 and 9 have something. */
    async function ten(): Promise<void> {
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 10, 1) }));
      for (let index = 1; index <= 10; index += 1) {
        const has = [3, 4, 9].includes(index);
        storage.stageState(
          p1,
          [put('k', `${index}`)],
          machineState(index),
          undefined,
          has ? bytes(`of ${index}`) : undefined,
        );
      }
    }

    test('it is read at once, and from the database once it is durable', async () => {
      await ten();
      const expectThem = (): void => {
        expect([1, 3, 4, 5, 9, 10].map(kept)).toEqual([undefined, 'of 3', 'of 4', undefined, 'of 9', undefined]);
      };
      expectThem();
      await settled(storage);
      expectThem();
      storage = await harness.reopen();
      expectThem();
      expect(storage.keptChanges(p2, 3 as LogIndex)).toBeUndefined();
    });

    test('a value that is overwritten within a batch takes nothing of it along', async () => {
      // All ten change the same key, and go out in one batch.
      await ten();
      storage = await harness.reopen();
      expect([3, 4, 9].map(kept)).toEqual(['of 3', 'of 4', 'of 9']);
    });

    test('it goes with the entry, and what is kept of later ones stays', async () => {
      await ten();
      await settled(storage);
      await append(storage, logWrite(p1, { compact: 3 }));
      storage.stageState(p1, [], machineState(10));
      await settled(storage);
      const expectThem = (): void => expect([3, 4, 9].map(kept)).toEqual([undefined, 'of 4', 'of 9']);
      expectThem();
      storage = await harness.reopen();
      expectThem();
    });

    test('a snapshot that takes the place of the log takes all of it along', async () => {
      await ten();
      await settled(storage);
      await storage.beginSnapshot(p1);
      await storage.completeSnapshot(p1, { ...machineState(20), keys: 0, bytes: 0 }, undefined);
      await append(storage, logWrite(p1, { hardState: hardState(1), install: [20, 1], entries: entries(21, 22, 1) }));
      storage.stageState(p1, [], { ...machineState(21), keys: 0, bytes: 0 }, undefined, bytes('of 21'));
      await settled(storage);
      storage = await harness.reopen();
      expect([3, 4, 9, 21].map(kept)).toEqual([undefined, undefined, undefined, 'of 21']);
    });

    test('nothing of it is left of a replica that is destroyed', async () => {
      await ten();
      await settled(storage);
      await storage.destroyGroup(p1, { replicaId: 4 as ReplicaId, configuration: bytes('without it') });
      storage.foundGroup(p1, 5 as ReplicaId);
      await append(storage, logWrite(p1, { hardState: hardState(1), entries: entries(1, 10, 1) }));
      expect([3, 4, 9].map(kept)).toEqual([undefined, undefined, undefined]);
      storage = await harness.reopen();
      expect([3, 4, 9].map(kept)).toEqual([undefined, undefined, undefined]);
    });
  });
}
