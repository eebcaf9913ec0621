/** The state of a cluster as a person reads it. */
import type { StoreStatus } from '../client/connect.ts';
import { table } from './table.ts';

export function statusLines({ name, nodes, partitions }: StoreStatus): string[] {
  const up = nodes.filter(({ state }) => state === 'up').length;
  // One that has gone is told of, and is no member.
  const members = nodes.filter(({ state }) => state !== 'removed').length;
  const leaderless = partitions.filter(({ leader }) => leader === null).map(({ id }) => id);
  const rows = nodes.map(({ nodeId, state, http, leads, replicas }) => [
    nodeId,
    state,
    http,
    String(leads),
    String(replicas),
  ]);
  return [
    `cluster ${name}: ${up} of ${members} nodes up, ${partitions.length} partitions`,
    ...table([['node', 'state', 'API', 'leads', 'replicas'], ...rows]).map((line) => `  ${line}`),
    ...(leaderless.length === 0 ? [] : [`without a leader: partitions ${leaderless.join(', ')}`]),
  ];
}
