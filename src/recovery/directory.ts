/**
 * What the metadata group says once it has begun anew: that the lost nodes are no members any more, who holds the partitions that began anew
 * with it, and what the survivors know of the rest that it may not have heard before its majority went. Only a directory, as ever; but by it nodes
 * find each other and the controller decides what is to be mended.
 */
import type { LiveMap } from '../cluster/live-map.ts';
import {
  encodeRecord,
  keyOfRecord,
  metadataPartition,
  type MapChange,
  type MetadataRecord,
  type NodeRecord,
  type PartitionRecord,
} from '../cluster/metadata/records.ts';
import { encodeCommand, stampCommand } from '../kv/command.ts';
import { revisionOf } from '../kv/revision.ts';
import { unconditional } from '../kv/types.ts';
import { EntryKind, type Entry, type LogIndex } from '../raft/types.ts';
import type { NodeId } from '../replica/ports.ts';
import type { Lost } from './decide.ts';
import { compareLogs, type Held, type Verdict } from './verdicts.ts';

export interface Directory {
  /** They follow the entry that brings the configuration. */
  readonly entries: readonly Entry[];
  /** The same as it will be known, by the revisions that they will have. */
  readonly change: MapChange;
}

export interface DirectoryInput {
  readonly map: LiveMap;
  readonly verdicts: readonly Verdict[];
  readonly lost: readonly Lost[];
}

/** So many records in an entry. */
const recordsMax = 256;

/** Undefined where the metadata group goes on as it is: only its own majority may write to it. */
export function directoryOf(input: DirectoryInput): Directory | undefined {
  const { map, verdicts } = input;
  const own = verdicts.find(({ partition }) => partition === metadataPartition);
  if (own === undefined || !('beginning' in own)) return undefined;
  const { beginning } = own;
  const { incarnation, term } = beginning;
  // What lies at or below it, its log holds already.
  const holds = own.type === 'empty' ? 0 : lastRevision(own.from);
  const records = [...nodeRecords(input, holds), ...partitionRecords(input, holds)];
  const stamp = {
    logTime: own.type === 'empty' ? 0 : own.from.replica.logTime,
    rangeEpoch: map.founding.metadata.epoch,
    incarnation,
  };
  const entries: Entry[] = [];
  const change = { nodes: [] as MapChange['nodes'][number][], partitions: [] as MapChange['partitions'][number][] };
  for (let at = 0; at < records.length; at += recordsMax) {
    const some = records.slice(at, at + recordsMax);
    const index = (beginning.index + 1 + entries.length) as LogIndex;
    const revision = revisionOf(incarnation, index);
    for (const { type, record } of some) {
      if (type === 'node') change.nodes.push({ record, revision });
      if (type === 'partition') change.partitions.push({ record, revision });
    }
    const body = encodeCommand({ type: 'batch', items: some.map(itemOf) });
    stampCommand(body, stamp);
    entries.push({ index, term, kind: EntryKind.command, body });
  }
  return { entries, change };
}

function lastRevision({ replica: { configuration, lastIndex } }: Held): number {
  return revisionOf(configuration.incarnation, lastIndex);
}

function itemOf(record: MetadataRecord) {
  const [key, value] = [keyOfRecord(record), encodeRecord(record)];
  const operation = { type: 'put', key, value, contentType: '', ttlMs: 0, conditions: unconditional } as const;
  return { operation, dedup: undefined };
}

function nodeRecords({ map, lost }: DirectoryInput, holds: number): readonly MetadataRecord[] {
  const { nodes } = map.changesSince(holds);
  const gone = lost.flatMap(({ nodeId, stay }): NodeRecord[] => {
    const node = map.node(nodeId);
    if (node === undefined) return [];
    const { http, peer, labels, weight } = node;
    return [{ nodeId, http, peer, labels, weight, standing: 'removed', stay, nonce: '' }];
  });
  const isLost = (nodeId: NodeId): boolean => lost.some((one) => one.nodeId === nodeId);
  const unheard = nodes.map(({ record }) => record).filter(({ nodeId }) => !isLost(nodeId));
  return [...gone, ...unheard].map((record) => ({ type: 'node', record }));
}

function partitionRecords({ map, verdicts }: DirectoryInput, holds: number): readonly MetadataRecord[] {
  const unheard = new Set(map.changesSince(holds).partitions.map(({ record }) => record.id));
  return verdicts.flatMap((verdict): MetadataRecord[] => {
    const known = map.partition(verdict.partition);
    if (known === undefined) return [];
    const { id, epoch, incarnation, preferredLeader } = known;
    if ('beginning' in verdict) {
      const { nodeId, replicaId, incarnation: own } = verdict.beginning;
      const replicas = [{ replicaId, nodeId }];
      const record = { id, epoch: epoch + 1, incarnation: own, replicas, preferredLeader: nodeId };
      return [{ type: 'partition', record }];
    }
    const members = membersBy(verdict.held);
    const isSame = members === undefined || sameNodes(members, known.replicas);
    if (isSame && !unheard.has(id)) return [];
    const record: PartitionRecord = isSame
      ? { id, epoch, incarnation, replicas: known.replicas, preferredLeader }
      : { id, epoch: epoch + 1, incarnation, replicas: members, preferredLeader };
    return [{ type: 'partition', record }];
  });
}

/** By the most up to date of those that are left: its group's own log, and not what was written down of it. */
function membersBy(held: readonly Held[]): PartitionRecord['replicas'] | undefined {
  const [best] = held.toSorted((a, b) => compareLogs(b.replica, a.replica));
  if (best === undefined) return undefined;
  const { voters, hosts } = best.replica.configuration;
  return voters.map((replicaId) => ({ replicaId, nodeId: (hosts.get(replicaId) ?? '') as NodeId }));
}

function sameNodes(one: PartitionRecord['replicas'], other: PartitionRecord['replicas']): boolean {
  const names = (replicas: PartitionRecord['replicas']): string =>
    replicas
      .map(({ nodeId }) => nodeId)
      .toSorted()
      .join();
  return names(one) === names(other);
}
