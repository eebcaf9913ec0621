/** The transport over TCP: a listener, and outbound connections to each other node. */
import type { TransportConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Message } from '../raft/types.ts';
import type { Clock, Hello, Lane, NodeId, PartitionId, Transport, TransportHandlers } from '../replica/ports.ts';
import type { TransportContext, TransportSelf } from './context.ts';
import { LimitedLog } from './limited-log.ts';
import { Listener } from './listener.ts';
import type { PeerAddress } from './outbound.ts';
import { Peer } from './peer.ts';
import { requestFailure } from './requests.ts';

export interface TransportOptions {
  /** Port 0 takes a free one; see `TcpTransport.port`. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly self: TransportSelf;
  readonly config: TransportConfig;
  readonly handlers: TransportHandlers;
  /**
   * Why to refuse the sender of `hello`, undefined to accept it: an incarnation that has been overtaken, say. Called in
   * each handshake, whoever dialed, after the transport's own checks (addressee, cluster id) and before anything else
   * of that connection is looked at. What must be remembered of the peer is to be durable when this returns.
   */
  readonly verifyHello: (hello: Hello) => string | undefined;
  readonly clock: Clock;
  /** Uniform in [0, 1): spreads reconnects. */
  readonly random: () => number;
  readonly logger: Logger;
}

/** One peer as seen from here, for status pages and metrics. */
export interface PeerStatistics {
  readonly nodeId: NodeId;
  readonly connected: boolean;
  readonly queuedBytes: number;
  readonly bulkConnected: boolean;
  readonly bulkQueuedBytes: number;
  /** Raft messages dropped since the peer was named: queue full, too large, or not connected. */
  readonly droppedMessages: number;
}

export interface TcpTransport extends Transport {
  readonly port: number;
  /** The other nodes, all of them (this node may be among them and is passed over). What changed is dialed anew. */
  setPeers(peers: readonly PeerAddress[]): void;
  /**
   * The cluster is formed. Closes what was connected before and connects again, because only a connection on which both
   * ends named the cluster carries Raft. Requests that peers made and that are being answered are still answered;
   * requests of this node that wait fail with `sent: true`.
   */
  setClusterId(clusterId: string): void;
  statistics(): readonly PeerStatistics[];
  /** Waiting requests fail; no handler is called any more. Resolves once all sockets are closed. */
  close(): Promise<void>;
}

/** Listens, and resolves once it does; rejects with a ListenError. Dials nobody before `setPeers`. */
export async function startTransport(options: TransportOptions): Promise<TcpTransport> {
  const transport = new TcpNodeTransport(options);
  await transport.listen(options.listen);
  return transport;
}

class TcpNodeTransport implements TcpTransport {
  readonly #context: TransportContext;
  readonly #listener: Listener;
  readonly #peers = new Map<NodeId, Peer>();
  #self: TransportSelf;
  #port = 0;
  #closed = false;
  #cancelBeat: () => void = () => undefined;

  constructor(options: TransportOptions) {
    this.#self = options.self;
    const { config, verifyHello, clock, random, logger } = options;
    const warnings = new LimitedLog(logger, clock);
    const handlers = this.#handlersUntilClosed(options.handlers);
    this.#context = { self: () => this.#self, config, handlers, verifyHello, clock, random, logger, warnings };
    // A peer that reaches us is up, and so is its listener, most likely: no need to wait out the delay.
    this.#listener = new Listener(this.#context, (peer) => this.#peers.get(peer)?.dialNow());
  }

  async listen(at: TransportOptions['listen']): Promise<void> {
    this.#port = await this.#listener.listen(at);
    this.#planBeat();
  }

  get port(): number {
    return this.#port;
  }

  setPeers(addresses: readonly PeerAddress[]): void {
    const wanted = new Map(addresses.map((address) => [address.nodeId, address]));
    wanted.delete(this.#self.nodeId);
    for (const [nodeId, peer] of this.#peers) {
      const address = wanted.get(nodeId);
      if (address?.host === peer.address.host && address.port === peer.address.port) {
        wanted.delete(nodeId);
        continue;
      }
      this.#peers.delete(nodeId);
      peer.close('no longer at this address');
    }
    for (const [nodeId, address] of wanted) {
      const peer = new Peer(address, this.#context);
      this.#peers.set(nodeId, peer);
      peer.dialNow();
    }
  }

  setClusterId(clusterId: string): void {
    if (this.#self.clusterId === clusterId) return;
    this.#self = { ...this.#self, clusterId };
    const reason = 'the cluster id became known';
    this.#listener.drain(reason);
    for (const peer of this.#peers.values()) peer.redial(reason);
  }

  send(to: NodeId, partition: PartitionId, message: Message): void {
    this.#peers.get(to)?.send(partition, message);
  }

  flush(): void {
    for (const peer of this.#peers.values()) peer.flush();
  }

  request(to: NodeId, kind: string, payload: unknown, timeoutMs: number, lane: Lane = 'main'): Promise<unknown> {
    const peer = this.#peers.get(to);
    if (peer === undefined) return Promise.reject(requestFailure({ sent: false, reason: `no peer is named ${to}` }));
    return peer.request({ kind, payload, timeoutMs, lane });
  }

  connected(to: NodeId): boolean {
    return this.#peers.get(to)?.up ?? false;
  }

  statistics(): readonly PeerStatistics[] {
    return [...this.#peers].map(([nodeId, { up, queuedBytes, bulk, droppedMessages }]) => ({
      nodeId,
      connected: up,
      queuedBytes,
      bulkConnected: bulk.up,
      bulkQueuedBytes: bulk.queuedBytes,
      droppedMessages,
    }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelBeat();
    for (const peer of this.#peers.values()) peer.close('this node is shutting down');
    this.#peers.clear();
    await this.#listener.close();
  }

  #planBeat(): void {
    this.#cancelBeat = this.#context.clock.after(this.#context.config.pingIntervalMs, () => {
      for (const peer of this.#peers.values()) peer.beat();
      this.#listener.beat();
      this.#planBeat();
    });
  }

  /** Whoever closed the transport may have let go of what the handlers act on. */
  #handlersUntilClosed(handlers: TransportHandlers): TransportHandlers {
    return {
      onMessage: (from, partition, message) => {
        if (!this.#closed) handlers.onMessage(from, partition, message);
      },
      onRequest: (from, kind, payload, lane) => {
        if (this.#closed) return Promise.reject(new Error('the node is shutting down'));
        return handlers.onRequest(from, kind, payload, lane);
      },
      onPeerUp: (peer) => {
        if (!this.#closed) handlers.onPeerUp(peer);
      },
      onPeerDown: (peer, reason) => {
        if (!this.#closed) handlers.onPeerDown(peer, reason);
      },
      onPeerRefused: (peer) => {
        if (!this.#closed) handlers.onPeerRefused(peer);
      },
    };
  }
}
