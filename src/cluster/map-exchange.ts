/**
 * How every node comes by the newest partition map. Whoever leads the metadata group tells the others that there is a newer one, and
 * they ask for what they lack; besides, each node asks now and then, as a word may be lost. Only ever a directory: a map
 * that is old costs time.
 */
import type { PlacementConfig } from '../config.ts';
import type { Clock, NodeId, Transport } from '../replica/ports.ts';
import type { LiveMap } from './live-map.ts';
import { decodeMapChange, encodeMapChange } from './metadata/records.ts';
import { memberNodes } from './partition-map.ts';
import { isCount, isFields } from './shapes.ts';

export interface MapExchangePorts {
  readonly nodeId: NodeId;
  readonly map: LiveMap;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
  readonly limits: Pick<PlacementConfig, 'mapPollMs' | 'mapTimeoutMs'>;
  /** Called as often as others are asked. */
  readonly onPoll: () => void;
}

export type MapRequest = 'map.since' | 'map.newer';

export class MapExchange {
  readonly #ports: MapExchangePorts;
  #stopped = false;
  #cancelPoll: () => void = () => undefined;
  /** Have a newer map, and could not be asked for it: after a start one is told before one's own connection is made. */
  readonly #unasked = new Set<NodeId>();
  /** Whom to ask next, among those that host the metadata group. */
  #turn = 0;

  constructor(ports: MapExchangePorts) {
    this.#ports = ports;
  }

  start(): void {
    if (this.#stopped) return;
    this.#cancelPoll = this.#ports.clock.after(this.#ports.limits.mapPollMs, () => {
      this.#ports.onPoll();
      this.#poll();
      this.start();
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelPoll();
  }

  /** Tells all others, or `only` one of them, which map this node has. */
  announce(only?: NodeId): void {
    const { map, nodeId, transport, limits } = this.#ports;
    if (this.#stopped || map.epoch === map.founding.epoch) return;
    for (const { nodeId: peer } of memberNodes(map)) {
      if (peer === nodeId || (only !== undefined && peer !== only) || !transport.connected(peer)) continue;
      transport.request(peer, 'map.newer', { epoch: map.epoch }, limits.mapTimeoutMs).catch(() => undefined);
    }
  }

  /** The connection to it was made. */
  peerUp(peer: NodeId): void {
    if (this.#unasked.delete(peer)) void this.#ask(peer);
  }

  /** Serves a peer's request. */
  handle(kind: MapRequest, payload: unknown, from: NodeId): unknown {
    const epoch = isFields(payload) ? payload['epoch'] : undefined;
    if (!isCount(epoch)) return null;
    const { map } = this.#ports;
    if (kind === 'map.since') return encodeMapChange(map.changesSince(epoch));
    if (epoch <= map.epoch) return null;
    if (this.#ports.transport.connected(from)) void this.#ask(from);
    else this.#unasked.add(from);
    return null;
  }

  #poll(): void {
    const { map, nodeId, transport } = this.#ports;
    const others = map.metadata.replicas.map((replica) => replica.nodeId).filter((peer) => peer !== nodeId);
    const reachable = others.filter((peer) => transport.connected(peer));
    const asked = reachable[this.#turn++ % Math.max(1, reachable.length)];
    if (asked !== undefined) void this.#ask(asked);
  }

  async #ask(peer: NodeId): Promise<void> {
    const { map, transport, limits } = this.#ports;
    try {
      const answer = await transport.request(peer, 'map.since', { epoch: map.epoch }, limits.mapTimeoutMs);
      const change = decodeMapChange(answer);
      if (change !== undefined && !this.#stopped) map.take(change);
    } catch {
      // It is asked again, or another one, when the next poll is due.
    }
  }
}
