/**
 * The log's time of each partition, as answers tell it, against true time: it goes as fast as the clocks that it is made of. No jump of a
 * wall clock moves it, and no change of leader holds it up or hurries it.
 *
 * With clocks that run up to `drift` too fast or too slow, no replica's log time gains or loses more than that share of true time; two
 * replicas may differ by what they have drifted apart since the beginning, and a change of leader shows that difference. Nodes that were
 * started anew may lead together before they have heard what the time is, and have then lost what passed since the last entry: so once
 * a node was started anew, nothing is said about time that was lost. And a replica knows the time as of the heartbeat that came over fastest: at
 * each change of leader what that took may be lost, which is much where a link is clogged. None is ever gained, whoever led in between. Nor is anything said before
 * the first write: until then nothing holds on to what the time was, and nothing grows old by it.
 *
 * What was lost may be found again, until a write of that term holds on to the loss: of those who lead after a restart that cost them some
 * time, and only serve reads, no log tells. Should all who heard them be started anew in their turn, one who kept more may lead next and
 * go by that. So what reads are told binds their own term alone, what writes are told binds all that follow.
 */
import type { PartitionId } from '../replica/ports.ts';
import { Violation } from './violation.ts';

/** Whole ms at both ends, and what the first word of the time took to come over. */
const slackMs = 250;

interface Reading {
  readonly logTime: number;
  readonly term: number;
  /** True time, ms: within these it was read. */
  readonly from: number;
  readonly to: number;
}

/** Of one partition. */
interface Told {
  readonly first: Reading;
  /** Of those that answered a write, the reading that allows the least to all that follow. */
  written: Reading;
  /** The one that allows the least to what follows in its term. */
  ofTerm: Reading;
}

export class LogClockJudge {
  readonly #drift: number;
  readonly #oneWayMsMax: () => number;
  readonly #restarted: () => boolean;
  readonly #told = new Map<PartitionId, Told>();

  /** `oneWayMsMax`: what a message may have taken until now. */
  constructor(drift: number, oneWayMsMax: () => number, restarted: () => boolean) {
    this.#drift = drift;
    this.#oneWayMsMax = oneWayMsMax;
    this.#restarted = restarted;
  }

  /** `written`: the answer was to a command in the log. */
  told(partition: PartitionId, reading: Reading & { readonly written: boolean }): void {
    const told = this.#told.get(partition);
    if (told === undefined) {
      if (reading.written) this.#told.set(partition, { first: reading, written: reading, ofTerm: reading });
      return;
    }
    const apart = 2 * this.#drift * reading.to + slackMs;
    const binding = told.ofTerm.term === reading.term ? this.#slower(told.ofTerm, told.written) : told.written;
    const lost = Math.max(0, reading.term - told.first.term) * this.#oneWayMsMax();
    const least = (1 - this.#drift) * (reading.from - told.first.to) - apart - lost;
    const fail = (what: string, since: Reading): never => {
      const passed = reading.logTime - since.logTime;
      throw new Violation(
        'log clock',
        `the log's time ${what}: ${passed} ms of it, and ${reading.to - since.from} ms of true time`,
        partition,
      );
    };
    if (reading.logTime > this.#most(binding, reading.to) + apart) fail('went ahead', binding);
    if (reading.logTime - told.first.logTime < least && !this.#restarted()) fail('fell behind', told.first);
    if (reading.written) told.written = this.#slower(told.written, reading);
    // (An answer of an earlier term may come late.)
    if (reading.term > told.ofTerm.term) told.ofTerm = reading;
    else if (reading.term === told.ofTerm.term) told.ofTerm = this.#slower(told.ofTerm, reading);
  }

  #slower(one: Reading, other: Reading): Reading {
    const later = Math.max(one.to, other.to);
    return this.#most(other, later) < this.#most(one, later) ? other : one;
  }

  /** What the log's time may be by `to`, going on from `since`. */
  #most(since: Reading, to: number): number {
    return since.logTime + (1 + this.#drift) * (to - since.from);
  }
}
