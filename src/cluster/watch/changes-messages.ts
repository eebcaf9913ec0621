/** How changes of a partition are asked for and told between nodes. What arrives is checked. */
import type { Change } from '../../kv/changes.ts';
import { revisionOf } from '../../kv/revision.ts';
import type { ChangePoint, ChangesOutcome, EntryChanges } from '../../replica/change-log.ts';
import type { PartitionId } from '../../replica/ports.ts';
import { isBytes, isCount, isFields, isPartitionId, type Fields } from '../shapes.ts';

export const changesRequest = 'changes';

export interface ChangesQuestion {
  readonly partition: PartitionId;
  readonly after: ChangePoint;
  readonly bytesMax: number;
  /** If there is nothing, the answer may wait so long for something. */
  readonly waitMs: number;
}

/** `not_here`: the node has no replica of it that could tell. */
export type ChangesAnswer = ChangesOutcome | { readonly type: 'not_here' };

export function encodeQuestion({ partition, after, bytesMax, waitMs }: ChangesQuestion): Fields {
  return { partition, ...after, bytesMax, waitMs };
}

export function decodeQuestion(payload: unknown): ChangesQuestion | undefined {
  if (!isFields(payload)) return undefined;
  const { partition, incarnation, index, bytesMax, waitMs } = payload;
  if (!isPartitionId(partition) || !isCount(bytesMax) || !isCount(waitMs)) return undefined;
  if (!isCount(incarnation) || !isCount(index)) return undefined;
  return { partition, after: { incarnation, index }, bytesMax, waitMs };
}

/** A put has four parts, all others two. */
export function encodeChanges(answer: ChangesAnswer): Fields {
  if (answer.type !== 'changes') return answer;
  const { type, through, entries } = answer;
  const told = entries.map(({ index, changes }) => [index, ...changes.map(partsOf)]);
  return { type, ...through, entries: told };
}

function partsOf(change: Change): readonly unknown[] {
  return change.type === 'put'
    ? [change.type, change.key, change.value, change.contentType]
    : [change.type, change.key];
}

export function decodeChanges(payload: unknown): ChangesAnswer | undefined {
  if (!isFields(payload)) return undefined;
  const { type, detail, incarnation, index, entries } = payload;
  if (type === 'not_here') return { type };
  if (type === 'too_old') return typeof detail === 'string' ? { type, detail } : undefined;
  if (type !== 'changes' || !isCount(incarnation) || !isCount(index) || !Array.isArray(entries)) return undefined;
  const decoded = entries.map((entry: unknown) => decodeEntry(entry, incarnation));
  if (decoded.includes(undefined)) return undefined;
  return { type, entries: decoded as EntryChanges[], through: { incarnation, index } };
}

function decodeEntry(entry: unknown, incarnation: number): EntryChanges | undefined {
  if (!Array.isArray(entry)) return undefined;
  const [index, ...parts] = entry as unknown[];
  if (!isCount(index)) return undefined;
  const version = { incarnation, revision: revisionOf(incarnation, index) };
  const changes = parts.map((part) => decodePart(part, version));
  return changes.includes(undefined) ? undefined : { index, changes: changes as Change[] };
}

function decodePart(part: unknown, version: Pick<Change, 'revision' | 'incarnation'>): Change | undefined {
  if (!Array.isArray(part)) return undefined;
  const [type, key, value, contentType] = part as unknown[];
  if (!isBytes(key)) return undefined;
  if (type === 'delete' || type === 'expire') return { type, key, ...version };
  if (type !== 'put' || !isBytes(value) || typeof contentType !== 'string') return undefined;
  return { type, key, value, contentType, ...version };
}
