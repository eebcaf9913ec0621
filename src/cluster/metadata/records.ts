/**
 * What the metadata group stores: one JSON text for each node, each partition whose members have changed, and each move that is not
 * finished. The founding map is what holds where there is no record. Only the controller writes them, each in a transaction that
 * compares the revision that it had read.
 */
import type { ReplicaId } from '../../raft/types.ts';
import type { NodeId, PartitionId, ReplicaDescriptor } from '../../replica/ports.ts';
import { isCount, isFields, isNodeId, isPartitionId, type Fields } from '../shapes.ts';
import type { MoveReason, NodeDescriptor } from '../types.ts';

/** The metadata group: a Raft group like any other, with no keys of users. */
export const metadataPartition = 0 as PartitionId;

/**
 * `joining`: known by name, and not let in yet. `draining`: it gives up all that it has. `removed`: it is no member any more.
 * Whether a node is up is no matter of record.
 */
export type NodeStanding = 'joining' | 'up' | 'draining' | 'removed';

export interface NodeRecord extends NodeDescriptor {
  /** Its share of replicas relative to others; above 0, 1 for a usual node. */
  readonly weight: number;
  readonly standing: NodeStanding;
  /**
   * How often a node of this name came with nothing: 0 for the first time. Each stay has incarnations of its own, above all of
   * the stay before (`incarnationOf`), so that nobody takes an emptied node for an old copy, or an old copy for the new one.
   */
  readonly stay: number;
  /** Of the start that is to be let in, while `joining`; empty otherwise. */
  readonly nonce: string;
}

export interface PartitionRecord {
  readonly id: PartitionId;
  /** Grows with every change of its members; 1 by the founding map. */
  readonly epoch: number;
  /** As the group's own configuration has it, for people: 1 unless it was begun anew. */
  readonly incarnation: number;
  readonly replicas: readonly ReplicaDescriptor[];
  /** Who is to lead it, so that leaderships are even. */
  readonly preferredLeader: NodeId;
}

/** Which nodes are to hold a partition. How far it has come is in the group's own configuration, and nowhere else. */
export interface MoveRecord {
  readonly partition: PartitionId;
  readonly target: readonly NodeId[];
  readonly reason: MoveReason;
  /** Wall time, ms since 1970: for people. */
  readonly sinceMs: number;
}

/** Replicas, then leaderships, are to be evened out until they are even. Forgotten then. */
export interface BalanceRecord {
  /** Wall time, ms since 1970: for people. */
  readonly sinceMs: number;
}

export type MetadataRecord =
  | { readonly type: 'node'; readonly record: NodeRecord }
  | { readonly type: 'partition'; readonly record: PartitionRecord }
  | { readonly type: 'move'; readonly record: MoveRecord }
  | { readonly type: 'balance'; readonly record: BalanceRecord };

/** A record and the revision of the write that made it. */
export interface Revised<T> {
  readonly record: T;
  readonly revision: number;
}

/** What of the records is the map: a change of it, or all of it. */
export interface MapChange {
  readonly nodes: readonly Revised<NodeRecord>[];
  readonly partitions: readonly Revised<PartitionRecord>[];
}

const staysApart = 2 ** 20;

/** Above every incarnation of an earlier stay: a million starts are more than a machine lives through. */
export function incarnationOf(stay: number): number {
  return stay * staysApart;
}

/** The stay to which a start belongs. */
export function stayOf(incarnation: number): number {
  return Math.floor(incarnation / staysApart);
}

/** In place of a start's nonce: no start of the node's earlier stays is taken any more, as it was given up for lost. */
export const givenUpNonce = 'f'.repeat(32);

export function nodeKey(nodeId: NodeId): Buffer {
  return Buffer.from(`node/${nodeId}`);
}

export function partitionKey(partition: PartitionId): Buffer {
  return Buffer.from(`partition/${partition}`);
}

export function moveKey(partition: PartitionId): Buffer {
  return Buffer.from(`move/${partition}`);
}

const balanceKey = Buffer.from('balance/wanted');

export function keyOfRecord({ type, record }: MetadataRecord): Buffer {
  switch (type) {
    case 'node':
      return nodeKey(record.nodeId);
    case 'partition':
      return partitionKey(record.id);
    case 'move':
      return moveKey(record.partition);
    case 'balance':
      return balanceKey;
  }
}

export function encodeRecord({ record }: MetadataRecord): Buffer {
  return Buffer.from(JSON.stringify(record));
}

/** What is stored is not what this version writes: the node is older than the one that leads the metadata group. */
export class MetadataFormatError extends Error {
  override readonly name = 'MetadataFormatError';
}

/** Undefined for a kind of record that is not known here; fields that are not known are passed over. Throws a MetadataFormatError. */
export function decodeRecord(key: Uint8Array, value: Uint8Array): MetadataRecord | undefined {
  const name = Buffer.from(key).toString();
  const [kind = ''] = name.split('/', 1);
  const decode = decoders.get(kind);
  if (decode === undefined) return undefined;
  const record = decode(parse(value));
  if (record === undefined || keyOfRecord(record).compare(key) !== 0) {
    throw new MetadataFormatError(`the cluster's record ${JSON.stringify(name)} is not understood by this version`);
  }
  return record;
}

const decoders: ReadonlyMap<string, (fields: Fields) => MetadataRecord | undefined> = new Map([
  ['node', (fields) => tagged('node', toNodeRecord(fields))],
  ['partition', (fields) => tagged('partition', toPartitionRecord(fields))],
  ['move', (fields) => tagged('move', toMoveRecord(fields))],
  ['balance', ({ sinceMs }) => tagged('balance', isCount(sinceMs) ? { sinceMs } : undefined)],
]);

function tagged<Type extends MetadataRecord['type']>(
  type: Type,
  record: Extract<MetadataRecord, { type: Type }>['record'] | undefined,
): MetadataRecord | undefined {
  return record === undefined ? undefined : ({ type, record } as MetadataRecord);
}

function parse(value: Uint8Array): Fields {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(value).toString());
    return isFields(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

const standings: readonly unknown[] = ['joining', 'up', 'draining', 'removed'] satisfies readonly NodeStanding[];
const reasons: readonly unknown[] = [
  'join',
  'drain',
  'replace',
  'repair',
  'balance',
  'purge',
] satisfies readonly MoveReason[];

function toNodeRecord(fields: Fields): NodeRecord | undefined {
  const { nodeId, http, peer, labels, weight, standing, stay, nonce } = fields;
  if (!isNodeId(nodeId) || typeof http !== 'string' || typeof peer !== 'string' || !isLabels(labels)) return undefined;
  if (typeof weight !== 'number' || !(weight > 0) || !standings.includes(standing)) return undefined;
  if (!isCount(stay) || typeof nonce !== 'string') return undefined;
  return { nodeId, http, peer, labels, weight, standing: standing as NodeStanding, stay, nonce };
}

function isLabels(value: unknown): value is Readonly<Record<string, string>> {
  return isFields(value) && Object.values(value).every((label) => typeof label === 'string');
}

function toPartitionRecord(fields: Fields): PartitionRecord | undefined {
  // Records that were written before partitions could begin anew do not name it.
  const { id, epoch, incarnation = 1, replicas, preferredLeader } = fields;
  if (!isPartitionId(id) || !isCount(epoch) || !isCount(incarnation) || !isNodeId(preferredLeader)) return undefined;
  if (!Array.isArray(replicas) || !replicas.every(isReplica)) return undefined;
  return {
    id,
    epoch,
    incarnation,
    replicas: replicas.map(({ replicaId, nodeId }) => ({ replicaId, nodeId })),
    preferredLeader,
  };
}

function isReplica(value: unknown): value is ReplicaDescriptor {
  return isFields(value) && isCount(value['replicaId']) && isNodeId(value['nodeId']);
}

function toMoveRecord(fields: Fields): MoveRecord | undefined {
  const { partition, target, reason, sinceMs } = fields;
  if (!isPartitionId(partition) || !Array.isArray(target) || !target.every(isNodeId)) return undefined;
  if (!reasons.includes(reason) || !isCount(sinceMs)) return undefined;
  return { partition, target, reason: reason as MoveReason, sinceMs };
}

/** As it travels between nodes and lies in a node's cache: plain values, which msgpack and JSON carry. */
export function encodeMapChange({ nodes, partitions }: MapChange): Fields {
  return { nodes, partitions };
}

/** Undefined when malformed. */
export function decodeMapChange(payload: unknown): MapChange | undefined {
  if (!isFields(payload)) return undefined;
  const nodes = decodeList(payload['nodes'], toNodeRecord);
  const partitions = decodeList(payload['partitions'], toPartitionRecord);
  return nodes === undefined || partitions === undefined ? undefined : { nodes, partitions };
}

function decodeList<T>(list: unknown, toRecord: (fields: Fields) => T | undefined): readonly Revised<T>[] | undefined {
  if (!Array.isArray(list)) return undefined;
  const decoded = list.map((item): Revised<T> | undefined => {
    if (!isFields(item) || !isFields(item['record']) || !isCount(item['revision'])) return undefined;
    const record = toRecord(item['record']);
    return record === undefined ? undefined : { record, revision: item['revision'] };
  });
  return decoded.every((item) => item !== undefined) ? decoded : undefined;
}

/** The members of a configuration as the directory has them. */
export function replicasOf(
  ids: readonly ReplicaId[],
  hosts: ReadonlyMap<ReplicaId, string>,
): readonly ReplicaDescriptor[] {
  return ids.map((replicaId) => ({ replicaId, nodeId: (hosts.get(replicaId) ?? '') as NodeId }));
}
