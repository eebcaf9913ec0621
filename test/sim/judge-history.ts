/** Tells a judge, step by step, what the replicas of one partition, three to begin with, are said to have done. */
import type { MachineState, StateWrite } from '../../src/kv/types.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type LogReader,
  type Message,
  noReplica,
  type ReplicaId,
  type Term,
} from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import type { JudgedWrite } from '../../src/sim/judge/replica-record.ts';
import type { StoredConfiguration } from '../../src/sim/judge/snapshot-rules.ts';
import { RaftJudge, type ReplicaKey } from '../../src/sim/raft-judge.ts';

export const partition = 1 as PartitionId;

/** An entry as `[index, term, content]`: a command, or a configuration. */
export type Told = readonly [index: number, term: number, content?: string | ToldMembers];

export interface ToldMembers {
  readonly voters: readonly number[];
  readonly outgoing?: readonly number[];
  readonly learners?: readonly number[];
  /** The highest id ever given; the highest one named unless told. */
  readonly max?: number;
  /** By id, for those that do not live where their id says. */
  readonly hosts?: ReadonlyMap<number, string>;
}

export interface ToldWrite {
  readonly term?: number;
  /** A replica's number; only with `term`. */
  readonly vote?: number;
  readonly truncateFrom?: number;
  readonly entries?: readonly Told[];
  /** The last entry of the snapshot that takes the log's place. */
  readonly install?: Told;
  readonly compactThrough?: number;
}

/** `entries` are all that it ever held, from 1; those before `first` it has forgotten. */
interface ToldDisk extends ToldWrite {
  readonly first?: number;
  readonly state?: MachineState;
  readonly configuration?: Told;
}

export class JudgeHistory {
  readonly judge: RaftJudge;
  /** Of those that do not live where their id says. */
  readonly #nodes = new Map<number, NodeId>();

  constructor(replicas = 3, wholeVotersMin = 0) {
    const members = Array.from({ length: replicas }, (_, i) => keyOf(i + 1));
    this.judge = new RaftJudge(() => members, wholeVotersMin);
    for (const { replicaId } of members) this.restart(replicaId, {});
  }

  /** A new replica, empty. */
  come(replica: number, node = `n${replica}`): void {
    this.#nodes.set(replica, node as NodeId);
    this.restart(replica, {});
  }

  keyOf(replica: number): ReplicaKey {
    return { ...keyOf(replica), nodeId: this.#nodes.get(replica) ?? keyOf(replica).nodeId };
  }

  /** Handed over; what it returns can be announced. */
  write(replica: number, told: ToldWrite): JudgedWrite {
    const { term, truncateFrom, entries = [], install, compactThrough } = told;
    const write: JudgedWrite = {
      partition,
      hardState: term === undefined ? undefined : hardState(told),
      truncateFrom: truncateFrom as LogIndex | undefined,
      entries: entries.map(entry),
      install: install && { index: install[0] as LogIndex, term: install[1] as Term },
      compactThrough: compactThrough as LogIndex | undefined,
    };
    this.judge.appended(this.keyOf(replica), write);
    return write;
  }

  durable(replica: number, write: JudgedWrite): void {
    this.judge.durable(this.keyOf(replica), write);
  }

  /** Handed over and announced. */
  save(replica: number, told: ToldWrite): void {
    this.durable(replica, this.write(replica, told));
  }

  crash(replica: number): void {
    this.judge.crashed(this.keyOf(replica));
  }

  destroy(replica: number): void {
    this.judge.destroyed(this.keyOf(replica));
  }

  restart(replica: number, disk: ToldDisk, damaged = false): void {
    const { entries = [], first, state = stateAfter(0, 0), configuration } = disk;
    const found = { hardState: hardState(disk), log: reader(entries.map(entry), first), machineState: state };
    this.judge.started(
      this.keyOf(replica),
      { ...found, configuration: configuration && stored(configuration) },
      damaged,
    );
  }

  apply(replica: number, index: number, term: number, writes: readonly StateWrite[] = []): void {
    this.judge.staged(this.keyOf(replica), writes, stateAfter(index, term));
  }

  applyConfiguration(replica: number, configuration: Told): void {
    const [index, term] = configuration;
    this.judge.staged(this.keyOf(replica), [], stateAfter(index, term), stored(configuration));
  }

  /** Its state up to `index` is durable. */
  flush(replica: number, index: number): void {
    this.judge.stateDurable(this.keyOf(replica), index as LogIndex);
  }

  /** A snapshot is whole beside its state. */
  stage(replica: number, [index, term]: Told, configuration?: Told): void {
    this.judge.snapshotStaged(this.keyOf(replica), stateAfter(index, term), configuration && stored(configuration));
  }

  applyState(replica: number, state: MachineState): void {
    this.judge.staged(this.keyOf(replica), [], state);
  }

  send(from: number, to: number, message: Unaddressed): void {
    const addressed = { ...message, from: from as ReplicaId, to: to as ReplicaId } as Message;
    this.judge.sent(this.keyOf(from), addressed);
  }

  /** `leader` takes the durable votes of `voters`, itself among them, and sends its first, empty AppendEntries. */
  elect(leader: number, term: number, voters: readonly number[], last: Told = [0, 0]): void {
    for (const voter of voters) {
      this.save(voter, { term, vote: leader });
      if (voter !== leader)
        this.send(voter, leader, {
          type: 'VoteResponse',
          term: term as Term,
          granted: true,
          timeTerm: 0 as Term,
          logTime: 0,
        });
    }
    this.append(leader, voters.find((voter) => voter !== leader) ?? leader, term, { after: last });
  }

  /** AppendEntries from `leader`. */
  append(
    leader: number,
    to: number,
    term: number,
    told: { readonly after: Told; readonly entries?: readonly Told[]; readonly commit?: number },
  ): void {
    const [prevLogIndex, prevLogTerm] = told.after;
    this.send(leader, to, {
      type: 'AppendEntriesRequest',
      term: term as Term,
      prevLogIndex: prevLogIndex as LogIndex,
      prevLogTerm: prevLogTerm as Term,
      entries: (told.entries ?? []).map(entry),
      leaderCommit: (told.commit ?? 0) as LogIndex,
    });
  }

  /** `stamps`: its log time, and the index below which all lies that was committed by which time. */
  heartbeat(
    leader: number,
    to: number,
    term: number,
    commit: number,
    quiesce = false,
    [logTime, index, freshTime]: readonly [number, number, number] = [0, 0, 0],
  ): void {
    const leaderCommit = commit as LogIndex;
    const stamps = { logTime, freshIndex: index as LogIndex, freshTime };
    this.send(leader, to, { type: 'Heartbeat', term: term as Term, leaderCommit, readRound: 0, ...stamps, quiesce });
  }

  success(from: number, to: number, term: number, index: number): void {
    const none = { hintIndex: 0 as LogIndex, hintTerm: 0 as Term };
    const outcome = { success: true, index: index as LogIndex, ...none };
    this.send(from, to, { type: 'AppendEntriesResponse', term: term as Term, ...outcome });
  }

  /** `leader` sends, and all have it durable and say so. */
  replicate(
    leader: number,
    to: readonly number[],
    term: number,
    told: { after: Told; entries: readonly Told[]; commit?: number },
  ): void {
    for (const follower of to) this.append(leader, follower, term, told);
    this.save(leader, { entries: told.entries });
    for (const follower of to) {
      this.save(follower, { entries: told.entries });
      this.success(follower, leader, term, told.after[0] + told.entries.length);
    }
  }

  /** Replica 1 leads term 1, and its first entries are durable and acknowledged on 1 and 2. Nothing is committed. */
  static replicated(
    entries: readonly Told[] = [
      [1, 1],
      [2, 1, 'a'],
      [3, 1, 'b'],
    ],
  ): JudgeHistory {
    // prettier-ignore
    const history = new JudgeHistory();
    history.elect(1, 1, [1, 2]);
    history.append(1, 2, 1, { after: [0, 0], entries });
    history.save(1, { entries });
    history.save(2, { entries });
    history.success(2, 1, 1, entries.length);
    return history;
  }
}

type Unaddressed = Message extends infer M ? (M extends Message ? Omit<M, 'from' | 'to'> : never) : never;

export function keyOf(replica: number): ReplicaKey {
  return { nodeId: `n${replica}` as NodeId, partition, replicaId: replica as ReplicaId };
}

export function stateAfter(index: number, term: number): MachineState {
  return { appliedIndex: index, appliedTerm: term, logTime: 0, keys: 0, bytes: 0, expiring: 0, remembered: 0 };
}

function hardState({ term = 0, vote = noReplica }: ToldWrite): HardState {
  return { currentTerm: term as Term, votedFor: vote as ReplicaId };
}

function entry([index, term, content = '']: Told): Entry {
  const at = { index: index as LogIndex, term: term as Term };
  if (typeof content !== 'string') return { ...at, kind: EntryKind.configuration, body: members(content) };
  const kind = content === '' ? EntryKind.noop : EntryKind.command;
  return { ...at, kind, body: Buffer.from(content) };
}

function members({ voters, outgoing = [], learners = [], max, hosts }: ToldMembers): Uint8Array {
  const ids = [...voters, ...outgoing, ...learners];
  return encodeConfiguration({
    voters: voters as ReplicaId[],
    votersOutgoing: outgoing as ReplicaId[],
    learners: learners as ReplicaId[],
    replicaIdMax: (max ?? Math.max(...ids)) as ReplicaId,
    incarnation: 1,
    hosts: new Map(ids.map((id) => [id as ReplicaId, hosts?.get(id) ?? `n${id}`])),
  });
}

function stored(configuration: Told): StoredConfiguration {
  return entry(configuration);
}

function reader(entries: readonly Entry[], first = 1): LogReader {
  const termAt = (index: number): Term | undefined => (index === 0 ? (0 as Term) : entries[index - 1]?.term);
  return {
    firstIndex: () => first as LogIndex,
    lastIndex: () => entries.length as LogIndex,
    term: (index) => (index < first - 1 ? undefined : termAt(index)),
    entries: (from, to) => entries.slice(from - 1, to),
  };
}
