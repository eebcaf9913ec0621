/** What the HTTP front may know of a node and ask of it. */
import type { Config } from '../config.ts';
import type { Clock, IdentityStore, NodeId, PartitionId, Transport } from '../replica/ports.ts';
import type { LeaderHints } from '../cluster/hints.ts';
import type { LeaderTransfers } from '../cluster/leader-transfer.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { Router } from '../cluster/router.ts';
import { clusterStatus, collectStatus, locateKey, partitionStatuses, type StatusReports } from '../cluster/status.ts';
import type {
  ClusterStatus,
  KeyLocation,
  KvOutcome,
  KvRequest,
  NodeFacade,
  PartitionStatus,
  Readiness,
  RequestOptions,
  TransferOutcome,
} from '../cluster/types.ts';
import type { GroupHost } from './group-host.ts';

export interface FacadeOptions {
  readonly config: Config;
  readonly map: PartitionMap;
  readonly hints: LeaderHints;
  readonly host: GroupHost;
  readonly router: Router;
  readonly transfers: LeaderTransfers;
  readonly identity: IdentityStore;
  readonly transport: Transport;
  readonly clock: Clock;
}

export class Facade implements NodeFacade {
  readonly nodeId: NodeId;
  readonly #options: FacadeOptions;
  #leaving = false;
  #shuttingDown = false;

  constructor(options: FacadeOptions) {
    this.#options = options;
    this.nodeId = options.identity.identity().nodeId;
  }

  nowMs(): number {
    return this.#options.clock.monotonicMs();
  }

  wallMs(): number {
    return this.#options.clock.wallMs();
  }

  execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome> {
    if (this.#shuttingDown) return Promise.resolve({ type: 'shutting_down' });
    return this.#options.router.execute(request, options);
  }

  locate(key: Uint8Array): KeyLocation {
    return locateKey(this.#options.map, key, (partition) => this.#leader(partition));
  }

  partitions(): readonly PartitionId[] {
    return this.#options.map.partitions.map(({ id }) => id);
  }

  nodeAddress(nodeId: NodeId): string | undefined {
    return this.#options.map.node(nodeId)?.http;
  }

  async clusterStatus(): Promise<ClusterStatus> {
    const { map, identity } = this.#options;
    const { formation, clusterName } = identity.identity();
    const clusterId = formation.phase === 'formed' ? formation.clusterId : '';
    return clusterStatus({ clusterId, name: clusterName }, map, await this.#reports());
  }

  async partitionStatus(): Promise<readonly PartitionStatus[]> {
    return partitionStatuses(this.#options.map, await this.#reports());
  }

  readiness(): Readiness {
    if (this.#leaving) return { ready: false, reasons: ['the node is shutting down'] };
    return this.#options.host.readiness();
  }

  transferLeadership(partition: PartitionId, to: NodeId, deadlineAt: number): Promise<TransferOutcome> {
    if (this.#shuttingDown) {
      return Promise.resolve({ type: 'no_leader', partition, detail: 'this node is shutting down; ask another one' });
    }
    return this.#options.transfers.transfer({ partition, to, deadlineAt });
  }

  /** It is about to stop, and answers on: but whoever spreads requests over the nodes has to leave this one out. */
  leave(): void {
    this.#leaving = true;
  }

  /** From now on nothing new is begun. */
  shutDown(): void {
    this.leave();
    this.#shuttingDown = true;
  }

  #leader(partition: PartitionId): NodeId | undefined {
    const { host, hints } = this.#options;
    return (host.leader(partition) ?? hints.get(partition))?.nodeId;
  }

  #reports(): Promise<StatusReports> {
    const { map, transport, host, config } = this.#options;
    const { statusTimeoutMs } = config.limits;
    return collectStatus({ nodeId: this.nodeId, map, transport, statusTimeoutMs, local: () => host.statuses() });
  }
}
