/**
 * Reads that any replica answers from what it has: this node's own, or that of a peer. They need no leader and no quorum, so they
 * are answered while a partition has neither.
 */
import type { LimitsConfig } from '../config.ts';
import type { Clock, NodeId, PartitionId, Transport } from '../replica/ports.ts';
import { askingOrder, type Knowledge } from './best-leader.ts';
import { decodeOutcome, encodeForward } from './forwarding.ts';
import type { KvOutcome, KvRequest, PartitionDescriptor, RequestOptions, StaleValue } from './types.ts';

export interface StaleReadsPorts extends Knowledge {
  readonly clock: Clock;
  readonly limits: Pick<LimitsConfig, 'hopsMax' | 'forwardReturnMs' | 'staleReadTimeoutMs'>;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
}

type StaleRequest = Extract<KvRequest, { type: 'stale' }>;

export class StaleReads {
  readonly #ports: StaleReadsPorts;

  constructor(ports: StaleReadsPorts) {
    this.#ports = ports;
  }

  /** The first replica that is fresh enough: this node's, then those in reach one after the other. */
  async read(request: StaleRequest, partition: PartitionDescriptor, options: RequestOptions): Promise<KvOutcome> {
    const { replicas, clock, limits } = this.#ports;
    const local = replicas.staleRead(partition.id, request.key);
    if (local !== undefined && isFreshEnough(local, request)) return local;
    let freshest = local;
    if (options.hops < limits.hopsMax) {
      for (const nodeId of this.#others(partition)) {
        const leftMs = Math.ceil(options.deadlineAt - clock.monotonicMs());
        if (leftMs <= 0) break;
        const found = await this.#ask(nodeId, request, { ...options, leftMs });
        if (found === undefined) continue;
        if (isFreshEnough(found, request)) return found;
        if (freshest === undefined || stalenessOf(found) < stalenessOf(freshest)) freshest = found;
      }
    }
    return freshest === undefined ? nobody(partition.id) : tooStale(freshest, request);
  }

  /** Whoever is out of reach would only take time. */
  #others(partition: PartitionDescriptor): readonly NodeId[] {
    return askingOrder(this.#ports, partition).filter((nodeId) => this.#ports.transport.connected(nodeId));
  }

  async #ask(
    nodeId: NodeId,
    request: StaleRequest,
    { hops, leftMs }: { readonly hops: number; readonly leftMs: number },
  ): Promise<StaleValue | undefined> {
    const { transport, limits } = this.#ports;
    const timeoutMs = Math.min(leftMs, limits.staleReadTimeoutMs);
    // Whatever it has: too stale for the caller may still be the freshest there is.
    const payload = encodeForward({
      request: { ...request, stalenessMsMax: Infinity },
      hops: hops + 1,
      remainingMs: Math.max(1, timeoutMs - limits.forwardReturnMs),
    });
    try {
      const outcome = decodeOutcome(await transport.request(nodeId, 'forward', payload, timeoutMs), 'stale');
      return outcome?.type === 'stale_value' ? outcome : undefined;
    } catch {
      // It is gone, or does not answer: the next one may.
      return undefined;
    }
  }
}

function isFreshEnough(found: StaleValue, { stalenessMsMax }: StaleRequest): boolean {
  return stalenessMsMax === Infinity || stalenessOf(found) <= stalenessMsMax;
}

function stalenessOf(found: StaleValue): number {
  return found.estimated ? Infinity : found.stalenessMs;
}

function nobody(partition: PartitionId): KvOutcome {
  return { type: 'no_leader', partition, detail: `no replica of partition ${partition} is in reach` };
}

function tooStale({ origin, stalenessMs, estimated }: StaleValue, { stalenessMsMax }: StaleRequest): KvOutcome {
  const { partition, nodeId } = origin;
  const age = estimated
    ? `${nodeId} has not heard of a leader since it started`
    : `the freshest replica in reach, on ${nodeId}, is ${stalenessMs} ms old`;
  return { type: 'too_stale', partition, detail: `${age}; at most ${stalenessMsMax} ms were asked for` };
}
