/** Every record that an area holds, whatever it is: verified, and counted as the machine state counts it. */
import type { MachineState } from '../kv/types.ts';
import { areaPrefixBytes, keyPrefixBytes, partitionOfKey, Space } from './keys.ts';
import { damagedRecord } from './sealing.ts';
import { decodeDue, decodeRemembered, decodeRememberedAt } from './state-entries.ts';
import { decodeValue } from './value-record.ts';

export type AreaCounts = Pick<MachineState, 'keys' | 'bytes' | 'expiring' | 'remembered'>;

export const nothingCounted: AreaCounts = { keys: 0, bytes: 0, expiring: 0, remembered: 0 };

/** Throws a StorageDamage for what is no good record. */
export function areaCounts(key: Buffer, value: Buffer): AreaCounts {
  const space = key[keyPrefixBytes] as Space | undefined;
  switch (space) {
    case Space.value: {
      const bytes = key.length - areaPrefixBytes + decodeValue(key, value).value.length;
      return { ...nothingCounted, keys: 1, bytes };
    }
    case Space.due:
      decodeDue(key, value);
      return { ...nothingCounted, expiring: 1 };
    case Space.remembered:
      decodeRemembered(key, value);
      return { ...nothingCounted, remembered: 1 };
    case Space.rememberedAt:
      decodeRememberedAt(key, value);
      return nothingCounted;
    default:
      throw damagedRecord(
        partitionOfKey(key),
        'a record of the state',
        `lies in space ${String(space satisfies undefined)}`,
      );
  }
}

export function addCounts(one: AreaCounts, other: AreaCounts): AreaCounts {
  return {
    keys: one.keys + other.keys,
    bytes: one.bytes + other.bytes,
    expiring: one.expiring + other.expiring,
    remembered: one.remembered + other.remembered,
  };
}

/** In words, for telling two apart. */
export function describeCounts({ keys, bytes, expiring, remembered }: AreaCounts): string {
  return `${keys} keys of ${bytes} bytes, ${expiring} that expire, ${remembered} results`;
}
