/** One partition's state in plain maps, changed by nothing but what its entries come to. */
import { encodeCommand, stampCommand } from '../../src/kv/command.ts';
import { applyCommand, emptyMachineState, type Applied } from '../../src/kv/machine.ts';
import { decodeResult, encodeResult } from '../../src/kv/result-codec.ts';
import {
  unconditional,
  type Command,
  type Conditions,
  type Dedup,
  type DeleteOperation,
  type GetOperation,
  type MachineState,
  type PutOperation,
  type RememberedResult,
  type StateReader,
  type StateWrite,
  type ValueRecord,
} from '../../src/kv/types.ts';

export const incarnation = 1;

interface When {
  readonly logTime?: number;
  readonly rangeEpoch?: number;
  readonly dedup?: Dedup;
  readonly incarnation?: number;
}

export class Partition {
  readonly records = new Map<string, ValueRecord>();
  readonly remembered = new Map<string, RememberedResult>();
  state: MachineState = emptyMachineState;
  readonly #reader: StateReader = {
    get: (key) => this.records.get(text(key)),
    header: (key) => {
      const record = this.records.get(text(key));
      return record && { ...record, valueBytes: record.value.length };
    },
    remembered: (name) => this.remembered.get(text(name)),
  };

  /** Applies the next entry. */
  apply(command: Command, when: When = {}): Applied {
    const { logTime = 1000, rangeEpoch = 1, dedup } = when;
    const body = encodeCommand(command, dedup);
    stampCommand(body, { logTime, rangeEpoch, incarnation: when.incarnation ?? incarnation });
    const index = this.state.appliedIndex + 1;
    const applied = applyCommand({ epoch: 1 }, this.#reader, this.state, { index, term: 2, body });
    for (const write of applied.writes) this.#write(write);
    this.state = applied.state;
    return applied;
  }

  value(key: string): string | undefined {
    const record = this.records.get(key);
    return record && Buffer.from(record.value).toString();
  }

  #write(write: StateWrite): void {
    switch (write.type) {
      case 'put':
        this.records.set(text(write.key), write.record);
        break;
      case 'delete':
        this.records.delete(text(write.key));
        break;
      case 'remember': {
        const { remembered, name } = write;
        // As storage has it: in bytes.
        const result = decodeResult(encodeResult(remembered.result));
        this.remembered.set(text(name), { ...remembered, result });
        break;
      }
      case 'forget':
        this.remembered.delete(text(write.name));
    }
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export function put(key: string, value: string, more: Partial<PutOperation> = {}): PutOperation {
  const content = { key: Buffer.from(key), value: Buffer.from(value), contentType: 'text/plain' };
  return { type: 'put', ...content, ttlMs: 0, conditions: unconditional, ...more };
}

export function del(key: string, conditions: Conditions = unconditional): DeleteOperation {
  return { type: 'delete', key: Buffer.from(key), conditions };
}

export function get(key: string): GetOperation {
  return { type: 'get', key: Buffer.from(key) };
}

export function match(...revisions: readonly number[]): Conditions {
  return { match: revisions.map((revision) => ({ incarnation, revision })), noneMatch: undefined };
}

/** A request's name, and a digest made of one byte. */
export function named(name: string, digest = 1): Dedup {
  return { name: Buffer.from(name), digest: Buffer.alloc(16, digest) };
}
