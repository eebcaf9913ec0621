/**
 * Reading what an area orders by time: what is durable, by a scan, and what is staged beside it. What the scan finds may be stale, as
 * it is deleted with the next batch only: each is held against the state as it is now.
 */
import type { PartitionId, TimePlace, TimeRange } from '../replica/ports.ts';
import type { Database } from './database.ts';
import { keyBehind, spaceKey, timedKey, type Area, type Space } from './keys.ts';

export interface TimeOrder<Item> {
  readonly database: Database;
  readonly partition: PartitionId;
  readonly area: Area;
  readonly space: Space;
  readonly decode: (key: Buffer, value: Buffer) => Item;
  readonly placeOf: (item: Item) => TimePlace;
  /** Whether the state still has it. */
  readonly isLive: (item: Item) => boolean;
  /** All that is staged and not durable yet, in any order. */
  readonly staged: () => Iterable<Item>;
}

export async function readTimeOrder<Item>(order: TimeOrder<Item>, range: TimeRange): Promise<readonly Item[]> {
  const { database, partition, area, space, decode, isLive, placeOf } = order;
  const { after, through, limit } = range;
  // Before the scan: what becomes durable meanwhile is not staged any more behind it, and the scan does not see it.
  const staged = [...order.staged()].filter((item) => {
    const place = placeOf(item);
    return place.at <= through && (after === undefined || comparePlaces(place, after) > 0);
  });
  const durable: Item[] = [];
  const from =
    after === undefined
      ? spaceKey(partition, area, space, noName)
      : keyBehind(timedKey(partition, area, space, after.at, after.name));
  const to = timedKey(partition, area, space, Math.min(through, Number.MAX_SAFE_INTEGER - 1) + 1, noName);
  for await (const [key, value] of database.scan({ from, to, atOnce: limit })) {
    const item = decode(key, value);
    if (!isLive(item)) continue;
    durable.push(item);
    if (durable.length === limit) break;
  }
  // What was staged may have been found twice.
  const all = new Map([...durable, ...staged].filter(isLive).map((item) => [textOf(placeOf(item)), item]));
  return [...all.values()].sort((one, other) => comparePlaces(placeOf(one), placeOf(other))).slice(0, limit);
}

export function comparePlaces(one: TimePlace, other: TimePlace): number {
  return one.at - other.at || Buffer.compare(one.name, other.name);
}

function textOf({ at, name }: TimePlace): string {
  return `${at} ${Buffer.from(name).toString('latin1')}`;
}

const noName = Buffer.alloc(0);
