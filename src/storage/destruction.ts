/**
 * How the data of a replica that was removed goes, in steps that a crash may part anywhere:
 *
 * 1. One batch of the log: a tombstone, which makes the id and all lower ones dead, and with it hard state, log start and replica
 *    record go. This is what destroys: from here on there is no log any more, whatever entries are still stored.
 * 2. The log's entries, a bounded number in a batch, by their keys. The tombstone says which are left.
 * 3. Both areas of the state (`StagingArea.destroy`), which leaves the machine state of a group that has applied nothing.
 *
 * What is left when the node stops goes at the next start: the tombstone without a log says that it has to.
 *
 * The tombstone stays for ever, and so does that machine state. Each is the first of its group's keys, so that whoever asks for
 * the group's first record finds it there and walks over nothing that was deleted behind it.
 */
import type { Scratch } from '../bytes.ts';
import { planted } from '../planted.ts';
import type { LogIndex, ReplicaId } from '../raft/types.ts';
import type { DeadReplicas, PartitionId } from '../replica/ports.ts';
import { noReplica } from '../raft/types.ts';
import type { DatabaseBatch } from './database.ts';
import type { GroupLog } from './group-log.ts';
import { groupKey, indexKey, indexKeyBytes, RecordKind } from './keys.ts';
import { encodeDead, recordOverheadBytes, type DeadRecord } from './records.ts';
import { putRecord } from './sealing.ts';
import type { StagingArea } from './staging-area.ts';

/** Entries that one batch takes out: so few that what else waits for the log hardly notices. */
const entriesPerStepMax = 1024;

/** A part of a log batch that is no replica's own. */
export interface DestructionWrite {
  /** At most. */
  readonly bytes: number;
  /** Returns the bytes put. */
  readonly encode: (batch: DatabaseBatch, scratch: Scratch) => number;
}

export interface DestructionOptions {
  readonly partition: PartitionId;
  readonly log: Pick<GroupLog, 'storedEntries'>;
  readonly staging: Pick<StagingArea, 'destroy'>;
  /** Resolves once the write is durable. Rejects when the storage fails, or is closing. */
  readonly push: (write: DestructionWrite) => Promise<void>;
}

export const nobodyDead: DeadReplicas = { through: noReplica, configuration: undefined, remains: false };

/** All three steps. Nothing else may be handed over for the group from the call on. */
export async function destroy(
  options: DestructionOptions,
  dead: { readonly through: ReplicaId; readonly configuration: Uint8Array },
): Promise<void> {
  const { partition, push, log } = options;
  let left: DeadRecord | undefined;
  await push({
    bytes: recordOverheadBytes + dead.configuration.length + 3 * indexKeyBytes,
    encode: (batch, scratch) => {
      left = { ...dead, ...log.storedEntries() };
      for (const kind of [RecordKind.hardState, RecordKind.logStart, RecordKind.replica]) {
        batch.delete(groupKey(partition, kind));
      }
      return planted('destroyed-without-tombstone') ? 0 : putRecord(batch, encodeDead(scratch, partition, left));
    },
  });
  if (left !== undefined) await destroyRemains(options, left);
}

/** The tombstone is durable: steps 2 and 3. */
export async function destroyRemains(options: DestructionOptions, dead: DeadRecord): Promise<void> {
  const { partition, push, staging } = options;
  for (let next: number = dead.firstIndex; next <= dead.lastIndex;) {
    const from = next;
    const end = Math.min(from + entriesPerStepMax, dead.lastIndex + 1);
    await push({
      bytes: recordOverheadBytes + dead.configuration.length + (end - from) * indexKeyBytes,
      encode: (batch, scratch) => {
        for (let index = from; index < end; index += 1) batch.delete(indexKey(partition, RecordKind.logEntry, index));
        return putRecord(batch, encodeDead(scratch, partition, { ...dead, firstIndex: end as LogIndex }));
      },
    });
    next = end;
  }
  await staging.destroy();
}
