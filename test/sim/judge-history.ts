/** Tells a judge, step by step, what three replicas of one partition are said to have done. */
import type { MachineState, StateWrite } from '../../src/kv/types.ts';
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
import type { LogWrite, NodeId, PartitionId } from '../../src/replica/ports.ts';
import { RaftJudge, type ReplicaKey } from '../../src/sim/raft-judge.ts';

export const partition = 1 as PartitionId;

/** An entry as `[index, term, text]`. */
export type Told = readonly [index: number, term: number, text?: string];

export interface ToldWrite {
  readonly term?: number;
  /** A replica's number; only with `term`. */
  readonly vote?: number;
  readonly truncateFrom?: number;
  readonly entries?: readonly Told[];
}

export class JudgeHistory {
  readonly judge: RaftJudge;

  constructor(replicas = 3) {
    const members = Array.from({ length: replicas }, (_, i) => keyOf(i + 1));
    this.judge = new RaftJudge(() => members);
    for (const { replicaId } of members) this.restart(replicaId, {});
  }

  /** Handed over; what it returns can be announced. */
  write(replica: number, told: ToldWrite): LogWrite {
    const { term, truncateFrom, entries = [] } = told;
    const write: LogWrite = {
      partition,
      hardState: term === undefined ? undefined : hardState(told),
      truncateFrom: truncateFrom as LogIndex | undefined,
      entries: entries.map(entry),
    };
    this.judge.appended(keyOf(replica), write);
    return write;
  }

  durable(replica: number, write: LogWrite): void {
    this.judge.durable(keyOf(replica), write);
  }

  /** Handed over and announced. */
  save(replica: number, told: ToldWrite): void {
    this.durable(replica, this.write(replica, told));
  }

  crash(replica: number): void {
    this.judge.crashed(keyOf(replica));
  }

  restart(replica: number, disk: ToldWrite & { readonly state?: MachineState }): void {
    this.judge.started(keyOf(replica), {
      hardState: hardState(disk),
      log: reader((disk.entries ?? []).map(entry)),
      machineState: disk.state ?? stateAfter(0, 0),
    });
  }

  apply(replica: number, index: number, term: number, writes: readonly StateWrite[] = []): void {
    this.judge.staged(keyOf(replica), writes, stateAfter(index, term));
  }

  applyState(replica: number, state: MachineState): void {
    this.judge.staged(keyOf(replica), [], state);
  }

  send(from: number, to: number, message: Unaddressed): void {
    const addressed = { ...message, from: from as ReplicaId, to: to as ReplicaId } as Message;
    this.judge.sent(keyOf(from), addressed);
  }

  /** `leader` takes the durable votes of `voters`, itself among them, and sends its first, empty AppendEntries. */
  elect(leader: number, term: number, voters: readonly number[], last: Told = [0, 0]): void {
    for (const voter of voters) {
      this.save(voter, { term, vote: leader });
      if (voter !== leader) this.send(voter, leader, { type: 'VoteResponse', term: term as Term, granted: true });
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

  heartbeat(leader: number, to: number, term: number, commit: number): void {
    const leaderCommit = commit as LogIndex;
    this.send(leader, to, { type: 'Heartbeat', term: term as Term, leaderCommit, readRound: 0, logTime: 0 });
  }

  success(from: number, to: number, term: number, index: number): void {
    const none = { hintIndex: 0 as LogIndex, hintTerm: 0 as Term };
    const outcome = { success: true, index: index as LogIndex, ...none };
    this.send(from, to, { type: 'AppendEntriesResponse', term: term as Term, ...outcome });
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
  return { appliedIndex: index, appliedTerm: term, logTime: 0, keys: 0, bytes: 0 };
}

function hardState({ term = 0, vote = noReplica }: ToldWrite): HardState {
  return { currentTerm: term as Term, votedFor: vote as ReplicaId };
}

function entry([index, term, text = '']: Told): Entry {
  const kind = text === '' ? EntryKind.noop : EntryKind.command;
  return { index: index as LogIndex, term: term as Term, kind, body: Buffer.from(text) };
}

function reader(entries: readonly Entry[]): LogReader {
  return {
    firstIndex: () => 1 as LogIndex,
    lastIndex: () => entries.length as LogIndex,
    term: (index) => (index === 0 ? (0 as Term) : entries[index - 1]?.term),
    entries: (from, to) => entries.slice(from - 1, to),
  };
}
