import type { LogWrite } from '../replica/ports.ts';
import type { DatabaseBatch, Databases } from './database.ts';
import { GroupLog } from './group-log.ts';
import { GroupState } from './group-state.ts';
import type { HeaderCacheBudget } from './header-cache.ts';
import { encodeHardState, encodeLogStart } from './records.ts';
import type { StoredGroup } from './recovery.ts';
import type { EncodedRecord, Scratch } from './sealing.ts';

export interface GroupOptions {
  readonly databases: Databases;
  readonly recovered: StoredGroup;
  /** Shared by all groups of the node. */
  readonly budget: HeaderCacheBudget;
  /** Whether the log database holds the group already. */
  readonly founded: boolean;
}

/** One group's records: what was found at open, its log and its state, and their way into a batch. */
export class Group {
  readonly recovered: StoredGroup;
  readonly log: GroupLog;
  readonly state: GroupState;
  #founded: boolean;

  constructor(options: GroupOptions) {
    const { databases, recovered, budget, founded } = options;
    this.recovered = recovered;
    this.log = new GroupLog({ database: databases.log, ...recovered });
    this.state = new GroupState(databases.state, recovered.partition, budget);
    this.#founded = founded;
  }

  /** Truncate, append, hard state. Returns the bytes put. */
  encodeLogWrite(write: LogWrite, batch: DatabaseBatch, scratch: Scratch): number {
    const bytes = this.#found(batch, scratch) + this.log.encode(write, batch, scratch);
    if (write.hardState === undefined) return bytes;
    return bytes + put(batch, encodeHardState(scratch, write.partition, write.hardState));
  }

  /** What the log holds of a group but entries is there from its first batch on: one of them missing at open was lost. */
  #found(batch: DatabaseBatch, scratch: Scratch): number {
    if (this.#founded) return 0;
    this.#founded = true;
    const { partition, hardState, start } = this.recovered;
    return (
      put(batch, encodeHardState(scratch, partition, hardState)) + put(batch, encodeLogStart(scratch, partition, start))
    );
  }
}

function put(batch: DatabaseBatch, record: EncodedRecord): number {
  batch.put(record.key, record.value);
  return record.key.length + record.value.length;
}
