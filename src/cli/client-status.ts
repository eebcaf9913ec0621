/** The state of a cluster as a person reads it. */
import type { StoreStatus } from '../client/connect.ts';

export function statusLines({ name, nodes, partitions }: StoreStatus): string[] {
  const up = nodes.filter(({ state }) => state === 'up').length;
  const leaderless = partitions.filter(({ leader }) => leader === null).map(({ id }) => id);
  const rows = nodes.map(({ nodeId, state, http, leads, replicas }) => [
    nodeId,
    state,
    http,
    String(leads),
    String(replicas),
  ]);
  return [
    `cluster ${name}: ${up} of ${nodes.length} nodes up, ${partitions.length} partitions`,
    ...table([['node', 'state', 'API', 'leads', 'replicas'], ...rows]),
    ...(leaderless.length === 0 ? [] : [`without a leader: partitions ${leaderless.join(', ')}`]),
  ];
}

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}
