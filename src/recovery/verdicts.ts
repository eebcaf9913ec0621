/**
 * What becomes of one partition, from what the survivors hold of it and nothing else. Pure; the argument is in the README beside this file.
 */
import { compareText } from '../cluster/ring.ts';
import type { PartitionDescriptor } from '../cluster/types.ts';
import { isQuorum } from '../raft/quorum.ts';
import type { Configuration, LogIndex, ReplicaId, Term } from '../raft/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { Survey, SurveyedReplica } from './survey.ts';

/** A replica and where it lies. */
export interface Held {
  readonly nodeId: NodeId;
  readonly replica: SurveyedReplica;
}

/** How the partition begins anew. */
export interface Beginning {
  readonly partition: PartitionId;
  readonly nodeId: NodeId;
  readonly replicaId: ReplicaId;
  readonly incarnation: number;
  /** Of the entry that brings the configuration. */
  readonly index: LogIndex;
  readonly term: Term;
  /** The new replica alone votes. */
  readonly configuration: Configuration;
}

export type Verdict =
  /** Those that are left can elect a leader: nothing is to be done, and nothing is. */
  | { readonly type: 'alive'; readonly partition: PartitionId; readonly held: readonly Held[] }
  /** They can't, although none of those who would be needed was named as lost. Not touched. */
  | { readonly type: 'stuck'; readonly partition: PartitionId; readonly held: readonly Held[] }
  | {
      readonly type: 'anew';
      readonly partition: PartitionId;
      readonly held: readonly Held[];
      readonly from: Held;
      readonly beginning: Beginning;
    }
  /** Nobody that is left holds anything of it. */
  | {
      readonly type: 'empty';
      readonly partition: PartitionId;
      readonly held: readonly [];
      readonly beginning: Beginning;
    };

export interface VerdictInput {
  readonly surveys: readonly Survey[];
  readonly lost: ReadonlySet<NodeId>;
  /** As the newest of the survivors' maps has it. */
  readonly partition: PartitionDescriptor;
  /** Partitions that begin anew on each node so far: of equal replicas the one on the node with fewer is taken. */
  readonly beginnings: ReadonlyMap<NodeId, number>;
}

/** The lost ones may have given out ids that nobody here knows of: so many are left to them. */
const replicaIdLeap = 2 ** 16;
/** They may have gone through terms, likewise: no term of theirs comes again, so that index and term name one entry, and hints grow old. */
const termLeap = 2 ** 20;

export function verdictOf(input: VerdictInput): Verdict {
  const { surveys, lost, partition } = input;
  const { id } = partition;
  const held = surveys.flatMap(({ nodeId, replicas }) =>
    replicas.filter((replica) => replica.partition === id).map((replica) => ({ nodeId, replica })),
  );
  if (canElect(held)) return { type: 'alive', partition: id, held };
  const [best] = held.toSorted((a, b) => byRank(a, b, input));
  const needed = best === undefined ? partition.replicas.map(({ nodeId }) => nodeId) : votersOf(best.replica);
  if (!needed.some((nodeId) => lost.has(nodeId))) return { type: 'stuck', partition: id, held };
  if (best !== undefined) return { type: 'anew', partition: id, held, from: best, beginning: beginningOf(input, best) };
  return { type: 'empty', partition: id, held: [], beginning: beginningOf(input, undefined) };
}

/** Hosts of all that vote by the configuration that the replica has in force, sorted. */
export function votersOf({ configuration }: Pick<SurveyedReplica, 'configuration'>): readonly NodeId[] {
  const { voters, votersOutgoing, hosts } = configuration;
  return [...new Set([...voters, ...votersOutgoing].map((id) => (hosts.get(id) ?? '') as NodeId))].toSorted();
}

/**
 * Whether one of these could win an election by the votes of these alone (paper 5.2, 5.4.1): it asks the voters of its own newest
 * configuration, and those vote for it whose logs are not ahead of its own.
 */
export function canElect(held: readonly Held[]): boolean {
  return held.some(({ replica: candidate }) => {
    if (!candidate.votes) return false;
    const yes = held.filter(({ replica }) => !replica.removed && compareLogs(replica, candidate) <= 0);
    return isQuorum(candidate.configuration, (id) => yes.some(({ replica }) => replica.replicaId === id));
  });
}

/** Above 0 when `a` is more up to date (paper 5.4.1). */
export function compareLogs(
  a: Pick<SurveyedReplica, 'lastIndex' | 'lastTerm'>,
  b: Pick<SurveyedReplica, 'lastIndex' | 'lastTerm'>,
): number {
  return a.lastTerm - b.lastTerm || a.lastIndex - b.lastIndex;
}

/** The most up to date comes first: it has all that any other here has and that was committed. Then who votes; then it does not matter. */
function byRank(a: Held, b: Held, { beginnings }: VerdictInput): number {
  const load = ({ nodeId }: Held): number => beginnings.get(nodeId) ?? 0;
  return (
    compareLogs(b.replica, a.replica) ||
    Number(b.replica.votes) - Number(a.replica.votes) ||
    load(a) - load(b) ||
    compareText(a.nodeId, b.nodeId)
  );
}

function beginningOf(input: VerdictInput, from: Held | undefined): Beginning {
  const { surveys, partition } = input;
  const { id } = partition;
  const replicas = surveys.flatMap((survey) => survey.replicas.filter((replica) => replica.partition === id));
  const dead = surveys.flatMap((survey) => survey.dead.filter((one) => one.partition === id));
  const replicaId = (replicaIdLeap +
    Math.max(
      ...partition.replicas.map((replica) => replica.replicaId),
      ...replicas.flatMap((replica) => [replica.replicaId, replica.configuration.replicaIdMax]),
      ...dead.flatMap(({ through, replicaIdMax }) => [through, replicaIdMax]),
    )) as ReplicaId;
  const known = Math.max(partition.incarnation, ...replicas.map(({ configuration }) => configuration.incarnation));
  // Each earlier beginning has leapt as well, even where nobody is left that knows its terms.
  const term = (Math.max((known - 1) * termLeap, ...replicas.map(({ currentTerm }) => currentTerm)) + termLeap) as Term;
  const nodeId = from?.nodeId ?? emptyPlace(input);
  const hosts = new Map([[replicaId, nodeId]]);
  return {
    partition: id,
    nodeId,
    replicaId,
    incarnation: known + 1,
    index: ((from?.replica.lastIndex ?? 0) + 1) as LogIndex,
    term,
    configuration: {
      voters: [replicaId],
      votersOutgoing: [],
      learners: [],
      replicaIdMax: replicaId,
      incarnation: known + 1,
      hosts,
    },
  };
}

/** Where nothing is left, it begins on the node on which fewest do. */
function emptyPlace({ surveys, beginnings }: VerdictInput): NodeId {
  const load = ({ nodeId }: Survey): number => beginnings.get(nodeId) ?? 0;
  const [place] = surveys.toSorted((a, b) => load(a) - load(b) || compareText(a.nodeId, b.nodeId));
  return place?.nodeId as NodeId;
}
