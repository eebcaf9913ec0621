/** What the HTTP front may know of a node and ask of it. */
import type { Clock, IdentityStore, NodeId, PartitionId } from '../replica/ports.ts';
import { keyHash } from '../cluster/hash.ts';
import type { LeaderHints } from '../cluster/hints.ts';
import type { LeaderTransfers } from '../cluster/leader-transfer.ts';
import type { LiveMap } from '../cluster/live-map.ts';
import type { Router } from '../cluster/router.ts';
import { clusterStatus, locateKey, metadataStatus, partitionStatuses, type StatusReports } from '../cluster/status.ts';
import type {
  ChangeOptions,
  ClusterChange,
  ClusterChangeOutcome,
  ClusterStatus,
  KeyLocation,
  KvOutcome,
  KvRequest,
  NodeFacade,
  OperationsOutcome,
  PartitionStatus,
  Readiness,
  RequestOptions,
  TransferOutcome,
} from '../cluster/types.ts';
import type { WatchCall, WatchHub, WatchOutcome } from '../cluster/watch/hub.ts';
import type { DiskWatch } from './disk-watch.ts';
import type { GroupHost } from './group-host.ts';
import type { MetadataHost } from './metadata-host.ts';
import type { WriteAdmission } from './write-admission.ts';

export interface FacadeOptions {
  readonly map: LiveMap;
  /** What this node had and has not yet again, in words. */
  readonly missing: () => readonly string[];
  readonly hints: LeaderHints;
  readonly host: GroupHost;
  readonly router: Router;
  readonly transfers: LeaderTransfers;
  readonly metadata: MetadataHost;
  readonly reports: () => Promise<StatusReports>;
  readonly identity: IdentityStore;
  readonly clock: Clock;
  readonly disks: Pick<DiskWatch, 'low'>;
  readonly watches: WatchHub;
  readonly admission: Pick<WriteAdmission, 'isFull'>;
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

  refusal(key: Uint8Array): KvOutcome | undefined {
    if (this.#shuttingDown) return { type: 'shutting_down' };
    const { admission, host, map } = this.#options;
    // Asked for every write, and nearly always in vain: only then is it looked where the key lies.
    return admission.isFull ? host.refusal(map.partitionOf(keyHash(key)).id) : undefined;
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
    return clusterStatus({ clusterId, name: clusterName }, map, await this.#options.reports());
  }

  async partitionStatus(): Promise<readonly PartitionStatus[]> {
    return partitionStatuses(this.#options.map, await this.#options.reports());
  }

  readiness(): Readiness {
    if (this.#leaving) return { ready: false, reasons: ['the node is shutting down'] };
    const { host, missing, disks } = this.#options;
    const readiness = host.readiness();
    const lost = missing();
    const warnings = [...disks.low.values()];
    return {
      ...(lost.length === 0 ? readiness : { ready: false, reasons: [...readiness.reasons, ...lost] }),
      ...(warnings.length === 0 ? {} : { warnings }),
    };
  }

  transferLeadership(partition: PartitionId, to: NodeId, deadlineAt: number): Promise<TransferOutcome> {
    if (this.#shuttingDown) {
      return Promise.resolve({ type: 'no_leader', partition, detail: 'this node is shutting down; ask another one' });
    }
    return this.#options.transfers.transfer({ partition, to, deadlineAt });
  }

  changeCluster(change: ClusterChange, options: ChangeOptions): Promise<ClusterChangeOutcome> {
    if (this.#shuttingDown)
      return Promise.resolve({ type: 'no_leader', detail: 'this node is shutting down; ask another one' });
    return this.#options.metadata.control.change(change, options);
  }

  operations(deadlineAt: number): Promise<OperationsOutcome> {
    return this.#options.metadata.control.operations(deadlineAt);
  }

  watch(call: WatchCall): Promise<WatchOutcome> {
    return this.#options.watches.watch(call);
  }

  endWatches(): void {
    this.#options.watches.stop();
  }

  async metadataStatus(): Promise<PartitionStatus> {
    return metadataStatus(this.#options.map, await this.#options.reports());
  }

  /** It is about to stop, and answers on: but whoever spreads requests over the nodes has to leave this one out. */
  leave(): void {
    this.#leaving = true;
  }

  /** From now on nothing new is begun. */
  shutDown(): void {
    this.leave();
    this.endWatches();
    this.#shuttingDown = true;
  }

  #leader(partition: PartitionId): NodeId | undefined {
    const { host, hints } = this.#options;
    return (host.leader(partition) ?? hints.get(partition))?.nodeId;
  }
}
