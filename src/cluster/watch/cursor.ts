/**
 * Where a watcher is in the history of each partition that it watches, as text that clients keep and send back: it holds whichever node they go
 * on at, and whoever leads by then. Opaque to them.
 *
 * ```
 * u8 version (1) | 8 bytes that name what is watched | varint cluster | for each partition: varints id, incarnation, index, done
 * ```
 */
import { createHash } from 'node:crypto';
import type { PartitionId } from '../../replica/ports.ts';

/** All entries up to `index` were told, and the first `done` changes of the one behind it. */
export interface WatchPosition {
  readonly incarnation: number;
  readonly index: number;
  readonly done: number;
}

/** What is watched: all keys, those that begin with `bytes`, or the one that is `bytes`. */
export interface WatchTarget {
  readonly type: 'prefix' | 'key';
  readonly bytes: Uint8Array;
}

export type Positions = ReadonlyMap<PartitionId, WatchPosition>;

export interface WatchCursor {
  /** `clusterTag` of the cluster that gave it: another one under the same address has other histories, of the same length or longer. */
  readonly cluster: number;
  readonly positions: Positions;
}

const version = 1;
const nameBytes = 8;

/** `name`: of what is watched. */
export function formatCursor(name: Uint8Array, { cluster, positions }: WatchCursor): string {
  const bytes = [version, ...name];
  pushVarint(bytes, cluster);
  for (const [partition, { incarnation, index, done }] of positions) {
    for (const number of [partition, incarnation, index, done]) pushVarint(bytes, number);
  }
  return Buffer.from(bytes).toString('base64url');
}

/** `of_another`: it is a cursor, and belongs to another watch. */
export function parseCursor(target: WatchTarget, text: string): WatchCursor | 'malformed' | 'of_another' {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text || bytes[0] !== version) return 'malformed';
  if (bytes.length < 1 + nameBytes) return 'malformed';
  if (!bytes.subarray(1, 1 + nameBytes).equals(nameOf(target))) return 'of_another';
  const numbers = readVarints(bytes.subarray(1 + nameBytes));
  if (numbers === undefined || numbers.length % 4 !== 1) return 'malformed';
  const [cluster = 0, ...places] = numbers;
  const positions = new Map<PartitionId, WatchPosition>();
  for (let at = 0; at < places.length; at += 4) {
    const [partition = 0, incarnation = 0, index = 0, done = 0] = places.slice(at, at + 4);
    positions.set(partition as PartitionId, { incarnation, index, done });
  }
  return { cluster, positions };
}

/** Of a cluster's id, 32 hexadecimal digits. */
export function clusterTag(clusterId: string): number {
  return Number.parseInt(clusterId.slice(0, 8), 16);
}

/** Tells a watch's cursors from those of another. */
export function nameOf({ type, bytes }: WatchTarget): Buffer {
  return createHash('sha256').update(`${type} `).update(bytes).digest().subarray(0, nameBytes);
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow (LEB128). */
function pushVarint(bytes: number[], number: number): void {
  let rest = number;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
}

/** Undefined when the last one is cut short, or one is no exact number. */
function readVarints(bytes: Buffer): readonly number[] | undefined {
  const numbers: number[] = [];
  let [number, scale] = [0, 1];
  for (const byte of bytes) {
    number += (byte & 0x7f) * scale;
    scale *= 0x80;
    if (number > Number.MAX_SAFE_INTEGER || scale > 2 ** 56) return undefined;
    if (byte >= 0x80) continue;
    numbers.push(number);
    [number, scale] = [0, 1];
  }
  return scale === 1 ? numbers : undefined;
}
