/**
 * Answers reads whose turn has come: leadership was confirmed after they came, and everything committed before is applied.
 *
 * Safety: what is due by this leader's clock is gone, but were it only answered as absent, a next leader whose clock is behind
 * could show it again, or a write that was stamped before could still meet it. So first it is taken out, as by a write.
 */
import { encodeCommand } from '../kv/command.ts';
import {
  isDue,
  type KeyRange,
  type RangePage,
  type StateReader,
  type SweepCommand,
  type Version,
} from '../kv/types.ts';
import type { ChangePoint } from './change-log.ts';
import type { ReplicaLimits, ReplicaOutcome } from './options.ts';
import type { WaitingRead } from './pending.ts';
import type { Clock, PartitionId, Storage } from './ports.ts';

type Answer = (outcome: ReplicaOutcome) => void;

export interface ReadAnswersOptions {
  readonly partition: PartitionId;
  readonly state: StateReader;
  readonly storage: Pick<Storage, 'values'>;
  readonly clock: Clock;
  /** Log time now, ms. */
  readonly now: () => number;
  readonly limits: Pick<ReplicaLimits, 'rangeReadsMax' | 'sweepItemsMax'>;
  /** The current one. */
  readonly term: () => number;
  /** Up to where everything is applied here. */
  readonly point: () => ChangePoint;
  readonly propose: (body: Buffer, deadlineAt: number, answer: Answer) => void;
}

const notLeader: ReplicaOutcome = { type: 'not_leader' };

export class ReadAnswers {
  readonly #options: ReadAnswersOptions;
  #rangeReads = 0;

  constructor(options: ReadAnswersOptions) {
    this.#options = options;
  }

  answer(read: WaitingRead<ReplicaOutcome>): void {
    const { query } = read;
    if (query.type === 'key') return this.#answerKey(query.key, read);
    if (query.type === 'point') {
      const { term, point } = this.#options;
      return read.answer({ type: 'point', term: term(), ...point() });
    }
    const { rangeReadsMax } = this.#options.limits;
    if (this.#rangeReads >= rangeReadsMax) {
      const detail = `${rangeReadsMax} ranges of this partition are being read already`;
      return read.answer({ type: 'overloaded', detail });
    }
    this.#rangeReads += 1;
    void this.#readRange(query.range, read.deadlineAt)
      // The storage fails or closes: the node stops and says so itself, and nothing has happened for the read.
      .catch(() => notLeader)
      .then((outcome) => {
        this.#rangeReads -= 1;
        read.answer(outcome);
      });
  }

  /**
   * Safety: that a value is gone because it is due is said only once an entry has taken it out: a later leader's log time may be behind,
   * and to its entries the value would be there again. What is there after that may be another value, which came before the entry and is due by now
   * itself: so it is looked at anew. The entry was committed after the read began, so what is applied is recent enough.
   */
  #answerKey(key: Uint8Array, read: Pick<WaitingRead<ReplicaOutcome>, 'deadlineAt' | 'answer'>): void {
    const { state, now, term } = this.#options;
    const logTime = now();
    const record = state.get(key);
    if (record === undefined || !isDue(record, logTime)) {
      return read.answer({ type: 'value', term: term(), record, logTime });
    }
    this.#takeOut([{ key, version: versionOf(record) }], read.deadlineAt, (taken) => {
      if (taken.type === 'taken') this.#answerKey(key, read);
      else read.answer(taken);
    });
  }

  /**
   * The range as it was in one moment, without what was due then. Had anything touched one of those before it was taken out, the moment
   * would not be one any more, with or without it: then the range is read anew.
   */
  async #readRange(range: KeyRange, deadlineAt: number): Promise<ReplicaOutcome> {
    const { partition, storage, clock, now, limits, term } = this.#options;
    while (clock.monotonicMs() < deadlineAt) {
      const logTime = now();
      const found = await storage.values(partition, { ...range, dueBy: logTime, dueMax: limits.sweepItemsMax });
      if (found.due.length === 0) return { type: 'values', term: term(), page: pageOf(found), logTime };
      const due = found.due.map((one) => ({ key: one.key, version: versionOf(one) }));
      const taken = await new Promise<Taken | ReplicaOutcome>((resolve) => this.#takeOut(due, deadlineAt, resolve));
      if (taken.type !== 'taken') return taken;
      if (taken.count === due.length) return { type: 'values', term: taken.term, page: pageOf(found), logTime };
    }
    return notLeader;
  }

  #takeOut(expire: SweepCommand['expire'], deadlineAt: number, done: (taken: Taken | ReplicaOutcome) => void): void {
    this.#options.propose(encodeCommand({ type: 'sweep', expire, forget: [] }), deadlineAt, (outcome) => {
      // Nothing has happened for the read itself: it may be asked again anywhere.
      if (outcome.type !== 'result') return done(outcome.type === 'overloaded' ? outcome : notLeader);
      const { term, logTime, result } = outcome;
      done({ type: 'taken', count: result.type === 'swept' ? result.expired : 0, term, logTime });
    });
  }
}

interface Taken {
  readonly type: 'taken';
  readonly count: number;
  readonly term: number;
  readonly logTime: number;
}

function versionOf({ revision, incarnation }: Version): Version {
  return { revision, incarnation };
}

function pageOf({ values, moreAfter }: RangePage): RangePage {
  return { values, moreAfter };
}
