/**
 * How old a replica's state is: until when it certainly has everything that was committed.
 *
 * A leader notes with each heartbeat, at that log time, the index at or below which all lies that was committed by then, if it still
 * led: its commit index, and before that has come to its term's no-op, the no-op's. Once a quorum has answered that heartbeat in its term, nobody
 * else had committed anything by then (as with ReadIndex, thesis 6.4). The next heartbeats carry this pair, and whoever has applied up
 * to the index is as fresh as the time.
 *
 * Both are times of the log: how long ago that was is told by the log's time here, which lags by what the quickest heartbeat took to come.
 */
import { quorumValue } from '../raft/quorum.ts';
import type { Configuration, LogIndex, ReplicaId } from '../raft/types.ts';

/** Everything that was committed by `freshTime` (log time, ms) lies at or below `freshIndex`. Both 0: nothing is known. */
export interface FreshPoint {
  readonly freshIndex: LogIndex;
  readonly freshTime: number;
}

/** Heartbeats come ten times a second and more, and an answer takes milliseconds: more are never of use. */
const pointsMax = 64;
const nothing: FreshPoint = { freshIndex: 0 as LogIndex, freshTime: 0 };

export class Freshness {
  readonly #self: ReplicaId;
  /** Of this leadership: sent with heartbeats, not yet known to be answered by a quorum. */
  #sent: FreshPoint[] = [];
  readonly #answered = new Map<ReplicaId, number>();
  /** True, but perhaps beyond what is applied here; oldest first. */
  #known: FreshPoint[] = [];
  #reached = nothing;

  constructor(self: ReplicaId) {
    this.#self = self;
  }

  /** What was learned of an earlier leadership's heartbeats says nothing of the next one's. */
  leadershipChanged(): void {
    this.#sent = [];
    this.#answered.clear();
  }

  /** A heartbeat leaves; returns what it carries. `committedBound`: the leader's own; undefined once it leads no more. */
  heartbeat(logTime: number, committedBound: LogIndex | undefined, configuration: Configuration): FreshPoint {
    const last = this.#sent.at(-1);
    if (committedBound !== undefined && (last === undefined || last.freshTime < logTime)) {
      push(this.#sent, { freshIndex: committedBound, freshTime: logTime });
    }
    // Alone, it is its own quorum.
    this.#confirm(configuration);
    return this.#known.at(-1) ?? this.#reached;
  }

  /** A voter has answered, in this leader's term, the heartbeat that left at `logTime`. */
  heartbeatAnswered(by: ReplicaId, logTime: number, configuration: Configuration): void {
    if (logTime <= (this.#answered.get(by) ?? 0)) return;
    this.#answered.set(by, logTime);
    this.#confirm(configuration);
  }

  /** From a leader's heartbeat. True whatever became of that leader since. */
  heard({ freshIndex, freshTime }: FreshPoint): void {
    const newest = this.#known.at(-1) ?? this.#reached;
    if (freshTime > newest.freshTime) push(this.#known, { freshIndex, freshTime });
  }

  /** Log time, ms, by which this replica has all that was committed; undefined when it does not know of any. */
  freshAt(appliedIndex: LogIndex | number): number | undefined {
    while (this.#known[0] !== undefined && this.#known[0].freshIndex <= appliedIndex) {
      this.#reached = this.#known.shift() as FreshPoint;
    }
    return this.#reached.freshTime === 0 ? undefined : this.#reached.freshTime;
  }

  #confirm(configuration: Configuration): void {
    const answeredAt = quorumValue(configuration, (id) =>
      id === this.#self ? Infinity : (this.#answered.get(id) ?? 0),
    );
    const confirmed = this.#sent.findLast(({ freshTime }) => freshTime <= answeredAt);
    if (confirmed === undefined) return;
    this.#sent = this.#sent.filter(({ freshTime }) => freshTime > confirmed.freshTime);
    this.heard(confirmed);
  }
}

/** Beyond so many the oldest but one goes: the next one says as much of what came before. */
function push(points: FreshPoint[], point: FreshPoint): void {
  points.push(point);
  if (points.length > pointsMax) points.splice(1, 1);
}
