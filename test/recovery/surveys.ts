/** Makers of what stopped nodes hold: five founders, four partitions on three nodes each unless a test says otherwise. */
import { canonicalFounding } from '../../src/cluster/founding.ts';
import type { MapChange, NodeRecord, PartitionRecord } from '../../src/cluster/metadata/records.ts';
import type { Configuration, LogIndex, ReplicaId, Term } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { mapOfFounding, type Survey, type SurveyedReplica } from '../../src/recovery/survey.ts';

export const names = ['n1', 'n2', 'n3', 'n4', 'n5'] as NodeId[];
export const founding = canonicalFounding({
  partitions: 4,
  replicationFactor: 3,
  nodes: names.map((nodeId, i) => ({ nodeId, http: `http://h${i + 1}:1`, peer: `h${i + 1}:2` })),
});
export const founded = mapOfFounding(founding);

/** Ids and their hosts, as in `{ 1: 'n1', 4: 'n4' }`. */
type Hosts = Readonly<Record<number, string>>;

interface Members {
  readonly voters: Hosts;
  readonly outgoing?: Hosts;
  readonly learners?: Hosts;
  readonly max?: number;
  readonly incarnation?: number;
}

export function members({ voters, outgoing = {}, learners = {}, max, incarnation = 1 }: Members): Configuration {
  const ids = (hosts: Hosts): ReplicaId[] => Object.keys(hosts).map((id) => Number(id) as ReplicaId);
  const all = { ...voters, ...outgoing, ...learners };
  return {
    voters: ids(voters),
    votersOutgoing: ids(outgoing),
    learners: ids(learners),
    replicaIdMax: (max ?? Math.max(...ids(all))) as ReplicaId,
    incarnation,
    hosts: new Map(Object.entries(all).map(([id, host]) => [Number(id) as ReplicaId, host])),
  };
}

/** `end`: of its log, index and term. */
export function replica(
  partition: number,
  replicaId: number,
  {
    end = [10, 2],
    ...rest
  }: { readonly end?: readonly [number, number] } & Partial<SurveyedReplica> & {
      readonly configuration: Configuration;
    },
): SurveyedReplica {
  const { voters, votersOutgoing } = rest.configuration;
  return {
    partition: partition as PartitionId,
    replicaId: replicaId as ReplicaId,
    currentTerm: end[1] as Term,
    lastIndex: end[0] as LogIndex,
    lastTerm: end[1] as Term,
    appliedIndex: Math.max(0, end[0] - 2) as LogIndex,
    logTime: 5000,
    keys: 3,
    bytes: 30,
    votes: [...voters, ...votersOutgoing].includes(replicaId as ReplicaId),
    removed: false,
    ...rest,
  };
}

export function survey(nodeId: string, parts: Partial<Survey> = {}): Survey {
  return {
    nodeId: nodeId as NodeId,
    clusterName: 'dev',
    clusterId: 'c'.repeat(32),
    founding,
    map: noRecords,
    seen: [],
    replicas: [],
    dead: [],
    ...parts,
  };
}

export const noRecords: MapChange = { nodes: [], partitions: [] };

/** What a founder holds that nothing has happened to: all that the founding places on it. */
export function asFounded(nodeId: string, end: readonly [number, number] = [10, 2]): readonly SurveyedReplica[] {
  return [founded.metadata, ...founded.partitions].flatMap(({ id, replicas }) => {
    const own = replicas.find((one) => one.nodeId === nodeId);
    if (own === undefined) return [];
    const voters = Object.fromEntries(replicas.map((one) => [one.replicaId, one.nodeId]));
    return [replica(id, own.replicaId, { configuration: members({ voters }), end })];
  });
}

export function nodeRecord(nodeId: string, rest: Partial<NodeRecord> = {}): NodeRecord {
  return {
    nodeId: nodeId as NodeId,
    http: `http://${nodeId}:1`,
    peer: `${nodeId}:2`,
    labels: {},
    weight: 1,
    standing: 'up',
    stay: 0,
    nonce: '',
    ...rest,
  };
}

export function partitionRecord(id: number, hosts: Hosts, epoch = 2): PartitionRecord {
  const replicas = Object.entries(hosts).map(([replicaId, nodeId]) => {
    return { replicaId: Number(replicaId) as ReplicaId, nodeId: nodeId as NodeId };
  });
  return {
    id: id as PartitionId,
    epoch,
    incarnation: 1,
    replicas,
    preferredLeader: replicas[0]?.nodeId ?? ('n1' as NodeId),
  };
}
