/** Small makers for storage tests. */
import { assert } from '../../src/assert.ts';
import { Scratch } from '../../src/bytes.ts';
import type { MachineState, StateWrite, ValueRecord } from '../../src/kv/types.ts';
import type { Entry, HardState, LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import type { LogWrite, PartitionId, StateSnapshot, Storage, StoredConfiguration } from '../../src/replica/ports.ts';

export const p1 = 1 as PartitionId;
export const p2 = 2 as PartitionId;

/** Ends the test where something that must be there is not. */
export function present<T>(found: T | undefined): T {
  assert(found !== undefined, 'something that must be there is not');
  return found;
}

export function bytes(text: string): Buffer {
  return Buffer.from(text);
}

export function entry(index: number, term: number, body = `entry ${index} of term ${term}`): Entry {
  return { index: index as LogIndex, term: term as Term, kind: 1, body: bytes(body) };
}

export function entries(from: number, to: number, term: number): Entry[] {
  return Array.from({ length: to - from + 1 }, (_, offset) => entry(from + offset, term));
}

export function hardState(term: number, vote = 1): HardState {
  return { currentTerm: term as Term, votedFor: vote as ReplicaId };
}

export function logWrite(
  partition: PartitionId,
  parts: Partial<Omit<LogWrite, 'partition' | 'install' | 'compactThrough'>> & {
    truncate?: number;
    compact?: number;
    install?: readonly [index: number, term: number];
  },
): LogWrite {
  const [index, term] = parts.install ?? [];
  return {
    install: index === undefined ? undefined : { index: index as LogIndex, term: term as Term },
    compactThrough: parts.compact as LogIndex | undefined,
    partition,
    hardState: parts.hardState,
    truncateFrom: (parts.truncate as LogIndex | undefined) ?? parts.truncateFrom,
    entries: parts.entries ?? [],
  };
}

export function record(value: string, revision = 1): ValueRecord {
  return { value: bytes(value), contentType: 'text/plain', revision, incarnation: 1, expiresAt: 0 };
}

export function put(key: string, value: string, revision = 1): StateWrite {
  return { type: 'put', key: bytes(key), record: record(value, revision), expiresBefore: 0 };
}

export function del(key: string): StateWrite {
  return { type: 'delete', key: bytes(key), expiresBefore: 0 };
}

export function machineState(appliedIndex: number, appliedTerm = 1): MachineState {
  return {
    appliedIndex,
    appliedTerm,
    logTime: 1000 + appliedIndex,
    keys: appliedIndex,
    bytes: 10 * appliedIndex,
    expiring: 0,
    remembered: 0,
  };
}

/** Hands a write over and waits until it is durable. */
export function append(storage: Storage, write: LogWrite): Promise<void> {
  return new Promise((resolve) => {
    storage.appendLog(write, resolve);
    storage.flush();
  });
}

/** Resolves once all that was handed over is durable, staged state too. */
export async function settled(storage: Storage): Promise<void> {
  while (storage.pendingBytes() > 0) {
    storage.flush();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

/** Entries as text, for comparing. */
export function bodies(read: readonly Entry[]): string[] {
  return read.map((one) => `${one.index}/${one.term} ${Buffer.from(one.body).toString()}`);
}

export function read(storage: Storage, partition: PartitionId, from: number, to: number): string[] {
  return bodies(storage.log(partition).entries(from as LogIndex, to as LogIndex, 1e9));
}

export function value(storage: Storage, partition: PartitionId, key: string): string | undefined {
  const found = storage.state(partition).get(bytes(key));
  return found && Buffer.from(found.value).toString();
}

/** A machine state that counts these keys and values. */
export function stateOf(values: Readonly<Record<string, string>>, appliedIndex: number, appliedTerm = 1): MachineState {
  const pairs = Object.entries(values);
  const size = pairs.reduce((sum, [key, text]) => sum + key.length + text.length, 0);
  return {
    appliedIndex,
    appliedTerm,
    logTime: 5000 + appliedIndex,
    keys: pairs.length,
    bytes: size,
    expiring: 0,
    remembered: 0,
  };
}

export function configurationOf(index: number, body = `members of ${index}`): StoredConfiguration {
  return { index: index as LogIndex, body: bytes(body) };
}

/** One chunk after the other, each of about `bytesMax`, and all put together in the same memory. */
export async function chunksOf(snapshot: StateSnapshot, bytesMax = 1 << 20): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  const memory = new Scratch();
  let after: Uint8Array | undefined;
  for (;;) {
    const { records, last, done } = await snapshot.read(after, bytesMax, memory);
    chunks.push(Buffer.from(records));
    if (done) return chunks;
    after = last;
  }
}

export interface Transfer {
  readonly chunks: readonly Buffer[];
  readonly machineState: MachineState;
  readonly configuration: StoredConfiguration | undefined;
}

/** All that goes from one node to another. */
export async function transferFrom(storage: Storage, partition: PartitionId, bytesMax = 1 << 20): Promise<Transfer> {
  const snapshot = storage.openSnapshot(partition);
  try {
    const { machineState: state, configuration } = snapshot;
    return { chunks: await chunksOf(snapshot, bytesMax), machineState: state, configuration };
  } finally {
    snapshot.close();
  }
}

export async function stage(storage: Storage, partition: PartitionId, transfer: Transfer): Promise<void> {
  await storage.beginSnapshot(partition);
  for (const chunk of transfer.chunks) {
    const lent = Buffer.from(chunk);
    await storage.stageSnapshotChunk(partition, lent);
    // Whose it is puts the next one there.
    lent.fill(0xdb);
  }
  await storage.completeSnapshot(partition, transfer.machineState, transfer.configuration);
}

/** The write that installs what `stage` staged. */
export function installOf(partition: PartitionId, { machineState: state }: Transfer, last: Entry[] = []): LogWrite {
  return logWrite(partition, {
    install: [state.appliedIndex, state.appliedTerm],
    hardState: hardState(Math.max(state.appliedTerm, ...last.map((one) => one.term))),
    entries: last,
  });
}

/** What a group holds under these keys. */
export function valuesOf(storage: Storage, partition: PartitionId, keys: readonly string[]): (string | undefined)[] {
  return keys.map((key) => value(storage, partition, key));
}
