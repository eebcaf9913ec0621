/**
 * Changes of the metadata group's records: several at once or none of them, each only if its record is still the one that was read.
 * So a controller that was deposed and does not know it yet changes nothing that its successor has touched.
 */
import { encodeCommand } from '../../kv/command.ts';
import { unconditional, type Comparison, type Operation } from '../../kv/types.ts';
import type { LocalReplicas } from '../types.ts';
import { encodeRecord, keyOfRecord, metadataPartition, type MetadataRecord } from './records.ts';

/** `revision`: of the record that was read; 0 when there was none. */
export type RecordChange =
  | { readonly type: 'put'; readonly record: MetadataRecord; readonly revision: number }
  | { readonly type: 'delete'; readonly record: MetadataRecord; readonly revision: number };

/** `lost`: another write came first, or nobody knows whether this one came through: what is there has to be read anew. */
export type Written = 'written' | 'lost';

export class MetadataWriter {
  readonly #replicas: Pick<LocalReplicas, 'execute'>;

  constructor(replicas: Pick<LocalReplicas, 'execute'>) {
    this.#replicas = replicas;
  }

  async write(changes: readonly RecordChange[], deadlineAt: number): Promise<Written> {
    const compare = changes.map(({ record, revision }): Comparison => {
      const key = keyOfRecord(record);
      return {
        key,
        exists: revision > 0,
        revision: revision > 0 ? revision : undefined,
        version: undefined,
        value: undefined,
      };
    });
    const then = changes.map(operationOf);
    const body = encodeCommand({ type: 'transaction', compare, then, otherwise: [] });
    const key = then[0]?.key;
    if (key === undefined) return 'written';
    const outcome = await this.#replicas.execute(metadataPartition, { type: 'write', key, body }, deadlineAt);
    const { result } = outcome.type === 'done' ? outcome : {};
    return result?.type === 'transaction' && result.succeeded ? 'written' : 'lost';
  }
}

function operationOf({ type, record }: RecordChange): Operation {
  const key = keyOfRecord(record);
  if (type === 'delete') return { type, key, conditions: unconditional };
  return { type, key, value: encodeRecord(record), contentType: '', ttlMs: 0, conditions: unconditional };
}
