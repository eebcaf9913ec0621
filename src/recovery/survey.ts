/** What a stopped node's data directory holds of each partition, and knows of the cluster: all that a recovery is decided by. */
import { parseFounding } from '../cluster/founding.ts';
import { LiveMap } from '../cluster/live-map.ts';
import {
  decodeMapChange,
  givenUpNonce,
  metadataPartition,
  stayOf,
  type MapChange,
} from '../cluster/metadata/records.ts';
import { MetadataState } from '../cluster/metadata/state.ts';
import { buildPartitionMap, type PartitionMap } from '../cluster/partition-map.ts';
import type { PartitionDescriptor } from '../cluster/types.ts';
import { decodeConfiguration } from '../raft/configuration.ts';
import { Configurations, isConfiguration, leavesOut } from '../raft/membership.ts';
import type { Configuration, LogIndex, ReplicaId, Term } from '../raft/types.ts';
import { configurationOf } from '../replica/founding.ts';
import type {
  IdentityStore,
  NodeId,
  PartitionId,
  PeerIncarnation,
  ReplicaDescriptor,
  ReplicaDoubts,
  Storage,
} from '../replica/ports.ts';

/** One replica as it lies on a disk. */
export interface SurveyedReplica {
  readonly partition: PartitionId;
  readonly replicaId: ReplicaId;
  readonly currentTerm: Term;
  /** 0 and 0 for one that has nothing. */
  readonly lastIndex: LogIndex;
  readonly lastTerm: Term;
  /** Durably applied, and so known to be committed. What lies above may be, or not. */
  readonly appliedIndex: LogIndex;
  /** The rest as of the applied index; ms of log time. */
  readonly logTime: number;
  readonly keys: number;
  readonly bytes: number;
  /** In force: the newest of its log, committed or not. */
  readonly configuration: Configuration;
  /** It votes by that one, or by another that may be in force. */
  readonly votes: boolean;
  /** A committed configuration has left it out, and it was not destroyed yet. */
  readonly removed: boolean;
}

/** Ids that never come back on this node. */
export interface SurveyedDead {
  readonly partition: PartitionId;
  readonly through: ReplicaId;
  /** By the configuration that left the last of them out. */
  readonly replicaIdMax: ReplicaId;
}

export interface Survey {
  readonly nodeId: NodeId;
  readonly clusterName: string;
  readonly clusterId: string;
  /** The founders' list. */
  readonly founding: string;
  /** All records of the map that are known here. */
  readonly map: MapChange;
  /** Of other nodes, the stay of the latest start that was seen. */
  readonly seen: readonly { readonly nodeId: NodeId; readonly stay: number }[];
  readonly replicas: readonly SurveyedReplica[];
  readonly dead: readonly SurveyedDead[];
}

export interface SurveyParts {
  readonly identity: Pick<IdentityStore, 'identity' | 'map' | 'peer'>;
  readonly storage: Pick<Storage, 'partitions' | 'group' | 'dead' | 'log' | 'values'>;
  readonly doubts: Pick<ReplicaDoubts, 'all'>;
}

/** Founders hold replicas that may never have been written to; a node that is not formed holds nothing at all. */
export async function surveyOf(parts: SurveyParts): Promise<Survey | { readonly refused: string }> {
  const { identity, storage, doubts } = parts;
  const { nodeId, clusterName, formation } = identity.identity();
  if (formation.phase !== 'formed')
    return { refused: `${nodeId} is no member of a cluster yet: there is nothing here` };
  const { clusterId, founding } = formation;
  const founded = mapOfFounding(founding);
  const map = new LiveMap(founded);
  map.take(decodeMapChange(identity.map()) ?? { nodes: [], partitions: [] });
  const partitions = [founded.metadata, ...founded.partitions];
  const replicas = partitions.flatMap((partition) => {
    const replicaId = livingReplica(storage, nodeId, partition);
    // What can't be believed is nothing to go on from. Its node has it left out once it runs again.
    const isInDoubt = doubts.all().some((doubt) => doubt.partition === partition.id && doubt.replicaId === replicaId);
    return replicaId === undefined || isInDoubt ? [] : [surveyReplica(storage, partition, replicaId)];
  });
  if (replicas.some(({ partition }) => partition === metadataPartition)) await readRecords(storage, map);
  return {
    nodeId,
    clusterName,
    clusterId,
    founding,
    map: map.changesSince(0),
    seen: map.nodes.flatMap((node) => {
      const start = identity.peer(node.nodeId);
      return start === undefined ? [] : [{ nodeId: node.nodeId, stay: lastStay(start) }];
    }),
    replicas,
    dead: partitions.flatMap(({ id }) => {
      const { through, configuration } = storage.dead(id);
      if (configuration === undefined) return [];
      const { replicaIdMax } = decodeConfiguration(configuration);
      return [{ partition: id, through, replicaIdMax }];
    }),
  };
}

/** Throws for a list that this version does not read. */
export function mapOfFounding(founding: string): PartitionMap {
  const parsed = parseFounding(founding);
  if (parsed.type === 'unreadable') throw new Error(`the founders' list can't be used: ${parsed.reason}`);
  return buildPartitionMap(parsed.bootstrap);
}

/** Given up, it is noted with a start that it never made, of the stay that would be its next. */
function lastStay({ incarnation, nonce }: PeerIncarnation): number {
  return stayOf(incarnation) - (nonce === givenUpNonce ? 1 : 0);
}

/** The one that would live here if the node were started. */
function livingReplica(
  storage: SurveyParts['storage'],
  nodeId: NodeId,
  { id, replicas }: PartitionDescriptor,
): ReplicaId | undefined {
  const founder = replicas.find((replica) => replica.nodeId === nodeId)?.replicaId;
  const replicaId = (storage.partitions().includes(id) ? storage.group(id).replicaId : undefined) ?? founder;
  return replicaId === undefined || replicaId <= storage.dead(id).through ? undefined : replicaId;
}

const entriesBytesMax = 1024 * 1024;

function surveyReplica(
  storage: SurveyParts['storage'],
  { id: partition, replicas }: { readonly id: PartitionId; readonly replicas: readonly ReplicaDescriptor[] },
  replicaId: ReplicaId,
): SurveyedReplica {
  const { hardState, machineState, configuration } = storage.group(partition);
  const { appliedIndex, appliedTerm, logTime, keys, bytes } = machineState;
  const log = storage.log(partition);
  const lastIndex = log.lastIndex();
  const configurations = new Configurations(configurationOf(configuration, replicas));
  for (let next = (appliedIndex + 1) as LogIndex; next <= lastIndex;) {
    const entries = log.entries(next, lastIndex, entriesBytesMax);
    for (const entry of entries) if (isConfiguration(entry)) configurations.append(entry);
    next = (next + entries.length) as LogIndex;
  }
  const removed = leavesOut(configurations.newestCommitted.configuration, replicaId);
  return {
    partition,
    replicaId,
    currentTerm: hardState.currentTerm,
    lastIndex,
    lastTerm: log.term(lastIndex) ?? (appliedTerm as Term),
    appliedIndex: appliedIndex as LogIndex,
    logTime,
    keys,
    bytes,
    configuration: configurations.newest.configuration,
    votes: !removed && configurations.hasVoter(replicaId),
    removed,
  };
}

function readRecords(storage: SurveyParts['storage'], map: LiveMap): Promise<void> {
  return new Promise((resolve, reject) => {
    const state = new MetadataState({ storage, onMapChange: (change) => void map.take(change), onFailure: reject });
    state.onApplied(resolve);
    state.replaced();
  });
}
