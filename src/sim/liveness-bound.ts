/**
 * How long a partition may go without a write once faults have stopped. The drawn network goes on losing and delaying messages, and
 * damaged disks keep their nodes away for good: where few are left to spare, an election succeeds only if nearly every message of it
 * arrives. So the bound follows from what was drawn, and one that would let less than nearly all healthy runs pass would find no bugs.
 */
import type { LinkQuality } from './network.ts';

export interface LivenessBoundOptions {
  readonly quality: LinkQuality;
  /** Sizes that groups may have, in voters. */
  readonly votersMin: number;
  readonly votersMax: number;
  /** Nodes that stay away for good. */
  readonly away: number;
  /** From one candidacy to the next at most, ms. */
  readonly electionTimeoutMs: number;
}

/** What suffices wherever the network is good enough: several elections, one after another, and a client that asks again. */
export const livenessMs = 5000;
/** So seldom may a run without any bug take longer than the bound. */
const falseAlarmChance = 1e-6;
/**
 * Where a candidacy fails more often than it succeeds, a few of them may not do. Above that five seconds do, though by this reckoning
 * they need not always: a late message is mostly in time all the same. (Of 5,000 seeds one took longer, and there it was 1 in 20.)
 */
const scarce = 0.5;
/** Of a candidacy: the pre-vote, the vote, and the entry with which the new leader commits. Each asks all and needs a majority. */
const phases = 3;

/** Milliseconds, `livenessMs` or more. */
export function livenessBoundMs(options: LivenessBoundOptions): number {
  const { quality, votersMin, votersMax, electionTimeoutMs } = options;
  const inTime = (1 - quality.lossChance) * (1 - quality.stragglerChance);
  let succeeds = 1;
  for (let voters = votersMin; voters <= votersMax; voters += 1) {
    const away = Math.min(options.away, Math.floor((voters - 1) / 2));
    const answers = atLeast(Math.floor(voters / 2), voters - 1 - away, inTime ** 2);
    succeeds = Math.min(succeeds, answers ** phases);
  }
  if (succeeds >= scarce) return livenessMs;
  const candidacies = Math.ceil(Math.log(falseAlarmChance) / Math.log(1 - succeeds));
  return Math.max(livenessMs, candidacies * electionTimeoutMs);
}

/** The chance that of `count` independent events of one chance `needed` or more happen. */
function atLeast(needed: number, count: number, chance: number): number {
  let sum = 0;
  let ways = 1;
  for (let happened = 0; happened <= count; happened += 1) {
    if (happened >= needed) sum += ways * chance ** happened * (1 - chance) ** (count - happened);
    ways = (ways * (count - happened)) / (happened + 1);
  }
  return Math.min(1, sum);
}
