/**
 * What was done to this data directory by hand, when a majority was lost for good: `recovery-audit.jsonl`, one JSON text a line, only ever appended
 * to. Each line is fsynced before what it announces is done, and another says that it was.
 */
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectory } from './data-directory.ts';

const fileName = 'recovery-audit.jsonl';

/** One partition that began anew from the replica here. */
export interface AuditedPartition {
  readonly partition: number;
  /** Undefined where nothing was left, and it began with nothing. */
  readonly from:
    | {
        readonly replicaId: number;
        readonly term: number;
        readonly lastIndex: number;
        readonly lastTerm: number;
        /** Known to be committed. */
        readonly appliedIndex: number;
        readonly keys: number;
        readonly bytes: number;
        readonly voters: readonly string[];
      }
    | undefined;
  readonly to: {
    readonly replicaId: number;
    readonly incarnation: number;
    readonly term: number;
    readonly index: number;
  };
  /** Replicas on other survivors, which were behind, and go. */
  readonly givenUp: readonly {
    readonly nodeId: string;
    readonly replicaId: number;
    readonly lastIndex: number;
    readonly lastTerm: number;
  }[];
}

export interface RecoveryBegun {
  readonly event: 'begun';
  /** ISO time. */
  readonly at: string;
  /** The decision, which all survivors share. */
  readonly decision: string;
  readonly cluster: string;
  readonly clusterId: string;
  readonly node: string;
  /** Who ran it, where, and how it was confirmed. */
  readonly user: string;
  readonly host: string;
  readonly confirmed: 'typed' | 'option';
  /** The stay up to which each is given up. */
  readonly lost: readonly { readonly nodeId: string; readonly stay: number }[];
  readonly partitions: readonly AuditedPartition[];
}

export type AuditRecord = RecoveryBegun | { readonly event: 'done'; readonly at: string; readonly decision: string };

export function auditFile(directory: string): string {
  return path.join(directory, fileName);
}

/** Durable when it returns. */
export function appendAudit(directory: string, record: AuditRecord): void {
  const file = auditFile(directory);
  const handle = fs.openSync(file, 'a+', 0o600);
  try {
    // A line that a crash has cut short stays what it is.
    const { size } = fs.fstatSync(handle);
    const last = Buffer.alloc(1);
    const isCut = size > 0 && fs.readSync(handle, last, 0, 1, size - 1) === 1 && last.toString() !== '\n';
    fs.writeSync(handle, `${isCut ? '\n' : ''}${JSON.stringify(record)}\n`);
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  syncDirectory(directory);
}

/** Oldest first; a line that was cut short, or is damaged, says nothing. */
export function readAudit(directory: string): readonly AuditRecord[] {
  const file = auditFile(directory);
  if (!fs.existsSync(file)) return [];
  return fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const record = parse(line);
      return record === undefined ? [] : [record];
    });
}

/** The one that was begun last, if it was not seen to its end. */
export function unfinishedRecovery(directory: string): RecoveryBegun | undefined {
  const last = readAudit(directory).at(-1);
  return last?.event === 'begun' ? last : undefined;
}

/** A line in which a bit has turned says nothing either: what it was to tell is told for people, and to begin again does no harm. */
function parse(line: string): AuditRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return undefined;
  }
  return isRecord(record) ? record : undefined;
}

function isRecord(record: unknown): record is AuditRecord {
  if (!isObject(record)) return false;
  const { event, at, decision, lost, partitions } = record;
  if (typeof at !== 'string' || typeof decision !== 'string') return false;
  if (event === 'done') return true;
  return event === 'begun' && areObjects(lost) && areObjects(partitions) && partitions.every(({ to }) => isObject(to));
}

function areObjects(values: unknown): values is readonly Readonly<Record<string, unknown>>[] {
  return Array.isArray(values) && values.every(isObject);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}
