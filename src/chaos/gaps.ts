/** How long a partition took no write. */
import type { RecordedWrite } from './load.ts';

export interface Gap {
  readonly ms: number;
  readonly partition: number;
  /** When it began, ms of the load's clock. */
  readonly from: number;
}

/**
 * The longest time within [from, to], ms of the load's clock, in which no write to one partition was acknowledged, of all partitions
 * the worst. A partition to which nothing was written then does not count as served.
 */
export function longestGap(
  writes: readonly RecordedWrite[],
  partitions: number,
  { from, to }: { readonly from: number; readonly to: number },
): Gap {
  const last = new Map<number, number>(Array.from({ length: partitions }, (_, index) => [index + 1, from]));
  let longest: Gap = { ms: 0, partition: 1, from };
  const seen = (partition: number, at: number): void => {
    const since = last.get(partition) ?? from;
    if (at - since > longest.ms) longest = { ms: at - since, partition, from: since };
    last.set(partition, at);
  };
  // Within the load they stand in the order in which they ended.
  for (let at = firstEndedAfter(writes, from); at < writes.length; at += 1) {
    const write = writes[at];
    if (write === undefined || write.endedAt > to) break;
    if (write.outcome === 'acknowledged') seen(write.partition, write.endedAt);
  }
  for (const partition of [...last.keys()]) seen(partition, to);
  return longest;
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
