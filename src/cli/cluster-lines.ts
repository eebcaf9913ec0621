/** Nodes, partitions, plans and moves as a person reads them. */
import type { NodeStatus, Operation, PartitionStatus, Plan, PlannedMove } from '../client/connect.ts';
import { table } from './table.ts';

/** More than fit on a screen tell nobody more than their number does. */
const shownMovesMax = 40;

export function nodeLines(nodes: readonly NodeStatus[]): string[] {
  const rows = nodes.map(({ nodeId, state, http, peer, leads, replicas, labels }) => {
    const told = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
    return [nodeId, state, http, peer, String(leads), String(replicas), told.join(' ')];
  });
  return table([['node', 'state', 'API', 'peer', 'leads', 'replicas', 'labels'], ...rows]);
}

export function partitionLines(partitions: readonly PartitionStatus[]): string[] {
  const rows = partitions.map(({ id, leader, term, keys, bytes, replicas }) => [
    String(id),
    leader ?? 'none',
    String(term),
    keys === undefined ? '?' : String(keys),
    bytes === undefined ? '?' : shownBytes(bytes),
    replicas.map(replicaWords).join(', '),
  ]);
  return table([['partition', 'leader', 'term', 'keys', 'bytes', 'replicas'], ...rows]);
}

function replicaWords({ nodeId, role, state, lag }: PartitionStatus['replicas'][number]): string {
  const standing = [
    ...(role === 'learner' ? ['learner'] : []),
    ...(state === 'ok' ? [] : [state.replace('_', ' ')]),
    ...(state === 'ok' && lag > 0 ? [`${lag} behind`] : []),
  ];
  return standing.length === 0 ? nodeId : `${nodeId} (${standing.join(', ')})`;
}

export function planLines({ moves, replicas, bytes, fraction, ideal, risks }: Plan): string[] {
  const shown = moves.slice(0, shownMovesMax).map(moveLine);
  const more = moves.length - shown.length;
  const sum = `${replicas === 1 ? '1 replica moves' : `${replicas} replicas move`}, ${shownBytes(bytes)}`;
  return [
    ...shown,
    ...(more === 0 ? [] : [`and ${more} more`]),
    moves.length === 0
      ? 'No replica moves.'
      : `${sum}: ${percent(fraction)} of all replicas; any plan has to move ${percent(ideal)}.`,
    ...risks.map((risk) => `risk: ${risk}`),
  ];
}

function moveLine({ partition, from, to, bytes }: PlannedMove): string {
  const size = shownBytes(bytes);
  if (from === null) return `partition ${partition}: one more, on ${to ?? 'no node'}, ${size}`;
  if (to === null) return `partition ${partition}: one fewer, off ${from}`;
  return `partition ${partition}: ${from} -> ${to}, ${size}`;
}

export function operationLines(operations: readonly Operation[]): string[] {
  if (operations.length === 0) return ['nothing moves'];
  const rows = operations.map(({ partition, reason, from, to, step, progress, lag, since, blockedBy = '' }) => [
    String(partition),
    reason,
    from.join(', '),
    to.join(', '),
    step.replace('_', ' '),
    `${Math.floor(progress * 100)}%`,
    String(lag),
    since.toISOString(),
    blockedBy,
  ]);
  return table([['partition', 'reason', 'from', 'to', 'step', 'done', 'lag', 'since', 'blocked by'], ...rows]);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)}%`;
}

/** 0 to 999 as they are, then with one digit behind the point. */
export function shownBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  // 999,950 is 1.0 MB, not 1000.0 kB.
  const unit = units.findIndex((_, power) => bytes / 1000 ** power < (power === 0 ? 1000 : 999.95));
  const power = unit === -1 ? units.length - 1 : unit;
  return `${power === 0 ? bytes : (bytes / 1000 ** power).toFixed(1)} ${units[power] ?? ''}`;
}
