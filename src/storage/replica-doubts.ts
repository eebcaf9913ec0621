/** Which replicas of a node are in doubt, beside its databases: those may be damaged, and this has to be known before they are opened. */
import fs from 'node:fs';
import path from 'node:path';
import type { ReplicaId } from '../raft/types.ts';
import type { PartitionId, ReplicaDoubt, ReplicaDoubts } from '../replica/ports.ts';
import { readChecked, writeChecked } from './checked-file.ts';
import { StorageDamage } from './damage.ts';

const fileName = 'replicas-in-doubt.json';

/** Throws a StorageDamage when what is there can't be read: then nobody knows which of the replicas may speak. */
export function openReplicaDoubts(directory: string): ReplicaDoubts {
  const file = path.join(directory, fileName);
  let doubts = fs.existsSync(file) ? toDoubts(readChecked(file)) : [];
  if (doubts === undefined) throw new StorageDamage(`${file} is corrupt`);
  const save = (changed: readonly ReplicaDoubt[]): void => {
    writeChecked(file, { doubts: changed });
    doubts = changed;
  };
  const others = (partition: PartitionId): readonly ReplicaDoubt[] =>
    (doubts ?? []).filter((doubt) => doubt.partition !== partition);
  return {
    all: () => doubts ?? [],
    put: (doubt) => save([...others(doubt.partition), doubt]),
    forget: (partition) => save(others(partition)),
  };
}

function toDoubts(content: unknown): readonly ReplicaDoubt[] | undefined {
  const { doubts } = (content ?? {}) as { readonly doubts?: unknown };
  if (!Array.isArray(doubts)) return undefined;
  const decoded = doubts.map(toDoubt);
  return decoded.every((doubt) => doubt !== undefined) ? decoded : undefined;
}

function toDoubt(value: unknown): ReplicaDoubt | undefined {
  const { partition, replicaId, reason, isGone } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof partition !== 'number' || typeof replicaId !== 'number') return undefined;
  if (typeof reason !== 'string' || typeof isGone !== 'boolean') return undefined;
  return { partition: partition as PartitionId, replicaId: replicaId as ReplicaId, reason, isGone };
}
