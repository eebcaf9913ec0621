import type { LogWrite } from '../replica/ports.ts';
import type { Database, DatabaseBatch } from './database.ts';
import { GroupLog } from './group-log.ts';
import { GroupState, type StagedChange } from './group-state.ts';
import type { HeaderCacheBudget } from './header-cache.ts';
import { encodeHardState, encodeLogStart, encodeMachineState } from './records.ts';
import type { StoredGroup } from './recovery.ts';
import type { EncodedRecord, Scratch } from './sealing.ts';

export interface GroupOptions {
  readonly database: Database;
  readonly recovered: StoredGroup;
  /** Shared by all groups of the node. */
  readonly budget: HeaderCacheBudget;
  /** Whether the database holds the group already. */
  readonly founded: boolean;
}

/** One group's records: what was found at open, its log and its state, and their way into a batch. */
export class Group {
  readonly recovered: StoredGroup;
  readonly log: GroupLog;
  readonly state: GroupState;
  #founded: boolean;

  constructor(options: GroupOptions) {
    const { database, recovered, budget, founded } = options;
    this.recovered = recovered;
    this.log = new GroupLog({ database, ...recovered });
    this.state = new GroupState(database, recovered.partition, budget);
    this.#founded = founded;
  }

  /** Truncate, append, hard state. Returns the bytes put. */
  encodeLogWrite(write: LogWrite, batch: DatabaseBatch, scratch: Scratch): number {
    const bytes = this.#found(batch, scratch) + this.log.encode(write, batch, scratch);
    if (write.hardState === undefined) return bytes;
    return bytes + put(batch, encodeHardState(scratch, write.partition, write.hardState));
  }

  /** `batchEnd` is the ordinal of the batch's last item. Returns the bytes put. */
  encodeChange(change: StagedChange, batchEnd: number, batch: DatabaseBatch, scratch: Scratch): number {
    return this.#found(batch, scratch) + this.state.encode(change, batchEnd, batch, scratch);
  }

  /** Every record of which a group has one is there from its first batch on: one missing at open was lost. */
  #found(batch: DatabaseBatch, scratch: Scratch): number {
    if (this.#founded) return 0;
    this.#founded = true;
    const { partition, hardState, start, machineState } = this.recovered;
    return (
      put(batch, encodeHardState(scratch, partition, hardState)) +
      put(batch, encodeLogStart(scratch, partition, start)) +
      put(batch, encodeMachineState(scratch, partition, machineState))
    );
  }
}

function put(batch: DatabaseBatch, record: EncodedRecord): number {
  batch.put(record.key, record.value);
  return record.key.length + record.value.length;
}
