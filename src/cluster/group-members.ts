/**
 * The members of a group, as its leader has them, and changes of them, asked from anywhere. Both may be asked twice: a view is
 * linearizable (its leader had its leadership confirmed after it was asked), and a change is made only to the configuration that it names.
 */
import { decodeConfiguration, encodeConfiguration } from '../raft/configuration.ts';
import type {
  ChangeResult,
  Configuration,
  ConfigurationAt,
  ConfigurationChange,
  LogIndex,
  ProgressStatus,
  ReplicaId,
} from '../raft/types.ts';
import type { PartitionId } from '../replica/ports.ts';
import { isUnanswered, type LeaderQuestions, type Question, type Unanswered } from './leader-questions.ts';
import { isBytes, isCount, isFields, isNodeId, type Fields } from './shapes.ts';
import type { LocalReplicas } from './types.ts';

/** One member as its leader sees it. */
export interface MemberProgress {
  readonly replicaId: ReplicaId;
  readonly matchIndex: LogIndex;
  readonly state: ProgressStatus['state'];
  readonly recentlyActive: boolean;
}

/** A group as its leader has it. */
export interface GroupView {
  /** The configuration in force, and the index of its entry. */
  readonly index: LogIndex;
  readonly configuration: Configuration;
  /** It can't be rolled back any more. */
  readonly committed: boolean;
  readonly leader: ReplicaId;
  readonly lastIndex: LogIndex;
  /** All others. */
  readonly progress: readonly MemberProgress[];
  /** Of keys and values. */
  readonly bytes: number;
}

/** What a leader on this node knows and does. Both undefined where this node does not lead the partition. */
export interface LocalGroups {
  groupView(partition: PartitionId): GroupView | undefined;
  /** Only if the configuration in force is that of the entry `ifIndex`. */
  changeMembers(partition: PartitionId, ifIndex: LogIndex, change: ConfigurationChange): ChangeResult | undefined;
}

export type MembersChanged = { readonly type: 'appended' } | { readonly type: 'refused'; readonly detail: string };

export interface GroupMembersPorts {
  readonly questions: LeaderQuestions;
  readonly replicas: Pick<LocalReplicas, 'execute'>;
  readonly groups: LocalGroups;
}

/** Any key does: a read of it is answered only by a leader that a quorum has just confirmed. */
const confirmingKey = Buffer.from('?');

export class GroupMembers {
  readonly #ports: GroupMembersPorts;
  readonly #view: Question<Fields, EncodedView>;
  readonly #change: Question<EncodedChange, EncodedChanged>;

  constructor(ports: GroupMembersPorts) {
    this.#ports = ports;
    this.#view = {
      kind: 'group.view',
      decodePayload: (fields) => fields,
      decodeAnswer: (fields) => (decodeView(fields) === undefined ? undefined : (fields as unknown as EncodedView)),
      answer: (partition, _payload, deadlineAt) => this.#confirmedView(partition, deadlineAt),
    };
    this.#change = {
      kind: 'group.change',
      decodePayload: decodeChange,
      decodeAnswer: decodeChanged,
      answer: (partition, { ifIndex, change }) => Promise.resolve(this.#changeHere(partition, ifIndex, change)),
    };
  }

  async view(partition: PartitionId, deadlineAt: number): Promise<GroupView | Unanswered> {
    const answer = await this.#ports.questions.ask(this.#view, { partition, payload: {}, deadlineAt });
    if (isUnanswered(answer)) return answer;
    return decodeView(answer) ?? { type: 'unanswered', asked: true };
  }

  async change(
    partition: PartitionId,
    { ifIndex, change, deadlineAt }: GuardedChange,
  ): Promise<MembersChanged | Unanswered> {
    const payload: EncodedChange = { ifIndex, change };
    const answer = await this.#ports.questions.ask(this.#change, { partition, payload, deadlineAt });
    if (isUnanswered(answer)) return answer;
    return answer.done ? { type: 'appended' } : { type: 'refused', detail: answer.detail };
  }

  /** Serves a peer's request; undefined for a kind that is not one of these. */
  handle(kind: string, request: unknown): Promise<unknown> | undefined {
    if (kind === this.#view.kind) return this.#ports.questions.handle(this.#view, request);
    if (kind === this.#change.kind) return this.#ports.questions.handle(this.#change, request);
    return undefined;
  }

  async #confirmedView(partition: PartitionId, deadlineAt: number): Promise<EncodedView | undefined> {
    const { replicas, groups } = this.#ports;
    if (groups.groupView(partition) === undefined) return undefined;
    const read = await replicas.execute(partition, { type: 'read', key: confirmingKey }, deadlineAt);
    if (read.type !== 'value') return undefined;
    const view = groups.groupView(partition);
    return view === undefined ? undefined : encodeView(view);
  }

  #changeHere(partition: PartitionId, ifIndex: number, change: ConfigurationChange): EncodedChanged | undefined {
    const result = this.#ports.groups.changeMembers(partition, ifIndex as LogIndex, change);
    if (result === undefined || result.type === 'not_leader') return undefined;
    return result.type === 'appended' ? { done: true, detail: '' } : { done: false, detail: result.reason };
  }
}

export interface GuardedChange {
  readonly ifIndex: LogIndex;
  readonly change: ConfigurationChange;
  readonly deadlineAt: number;
}

interface EncodedView extends Fields {
  readonly index: number;
  readonly configuration: Uint8Array;
}

interface EncodedChange extends Fields {
  readonly ifIndex: number;
  readonly change: ConfigurationChange;
}

interface EncodedChanged extends Fields {
  readonly done: boolean;
  readonly detail: string;
}

function encodeView(view: GroupView): EncodedView {
  return { ...view, configuration: encodeConfiguration(view.configuration) };
}

function decodeView(fields: Fields): GroupView | undefined {
  const { index, configuration, committed, leader, lastIndex, progress, bytes } = fields;
  if (!isCount(index) || !isBytes(configuration) || typeof committed !== 'boolean') return undefined;
  if (!isCount(leader) || !isCount(lastIndex) || !isCount(bytes)) return undefined;
  if (!Array.isArray(progress) || !progress.every(isProgress)) return undefined;
  const decoded = maybeDecodeConfiguration(configuration);
  if (decoded === undefined) return undefined;
  return {
    index: index as LogIndex,
    configuration: decoded,
    committed,
    leader: leader as ReplicaId,
    lastIndex: lastIndex as LogIndex,
    progress: progress.map(({ replicaId, matchIndex, state, recentlyActive }) => {
      return { replicaId, matchIndex, state, recentlyActive };
    }),
    bytes,
  };
}

function maybeDecodeConfiguration(bytes: Uint8Array): ConfigurationAt['configuration'] | undefined {
  try {
    return decodeConfiguration(bytes);
  } catch {
    return undefined;
  }
}

const progressStates: readonly unknown[] = ['probe', 'replicate', 'snapshot'];

function isProgress(value: unknown): value is MemberProgress {
  if (!isFields(value)) return false;
  const { replicaId, matchIndex, state, recentlyActive } = value;
  return (
    isCount(replicaId) && isCount(matchIndex) && progressStates.includes(state) && typeof recentlyActive === 'boolean'
  );
}

function decodeChange({ ifIndex, change }: Fields): EncodedChange | undefined {
  if (!isCount(ifIndex) || !isFields(change)) return undefined;
  const decoded = toChange(change);
  return decoded === undefined ? undefined : { ifIndex, change: decoded };
}

function toChange({ type, host, replicaId, voters }: Fields): ConfigurationChange | undefined {
  switch (type) {
    case 'addLearner':
      return isNodeId(host) ? { type, host } : undefined;
    case 'removeLearner':
      return isCount(replicaId) ? { type, replicaId: replicaId as ReplicaId } : undefined;
    case 'changeVoters':
      return Array.isArray(voters) && voters.every(isCount) ? { type, voters: voters as ReplicaId[] } : undefined;
    default:
      return undefined;
  }
}

function decodeChanged({ done, detail }: Fields): EncodedChanged | undefined {
  return typeof done === 'boolean' && typeof detail === 'string' ? { done, detail } : undefined;
}
