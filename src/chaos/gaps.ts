/** How long a partition took no write. */
import type { RecordedWrite } from './load.ts';

export interface Gap {
  readonly ms: number;
  readonly partition: number;
  /** When it began, ms of the load's clock. */
  readonly from: number;
}

export interface Gaps {
  /** The longest of those that began while what was wrong was so. */
  readonly during: Gap;
  /** Of those that began when it had ended. */
  readonly after: Gap;
}

/**
 * The longest times within [from, to], ms of the load's clock, in which no write to one partition was acknowledged, of all partitions
 * the worst: begun before and after `ends`. A partition to which nothing was written then does not count as served.
 */
export function longestGaps(
  writes: readonly RecordedWrite[],
  partitions: number,
  { from, ends, to }: { readonly from: number; readonly ends: number; readonly to: number },
): Gaps {
  const last = new Map<number, number>(Array.from({ length: partitions }, (_, index) => [index + 1, from]));
  let during: Gap = { ms: 0, partition: 1, from };
  let after: Gap = { ms: 0, partition: 1, from: ends };
  const seen = (partition: number, at: number): void => {
    const since = last.get(partition) ?? from;
    const gap = { ms: at - since, partition, from: since };
    if (since < ends) during = longer(during, gap);
    else after = longer(after, gap);
    last.set(partition, at);
  };
  // Within the load they stand in the order in which they ended.
  for (let at = firstEndedAfter(writes, from); at < writes.length; at += 1) {
    const write = writes[at];
    if (write === undefined || write.endedAt > to) break;
    if (write.outcome === 'acknowledged') seen(write.partition, write.endedAt);
  }
  for (const partition of [...last.keys()]) seen(partition, to);
  return { during, after };
}

function longer(one: Gap, other: Gap): Gap {
  return other.ms > one.ms ? other : one;
}

function firstEndedAfter(writes: readonly RecordedWrite[], time: number): number {
  let [low, high] = [0, writes.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((writes[middle]?.endedAt ?? Infinity) > time) high = middle;
    else low = middle + 1;
  }
  return low;
}
