/** One start of a node on the simulated network, and the connections that it dialed. */
import type { NodeTransport } from '../node/composition.ts';
import type { Hello, NodeId } from '../replica/ports.ts';
import { requestFailure } from '../transport/requests.ts';
import { Link } from './network-link.ts';
import type { Endpoint, Network } from './network.ts';

export class Attachment {
  readonly endpoint: Endpoint;
  readonly #network: Network;
  readonly #links = new Map<NodeId, Link>();
  clusterId: string | undefined;
  #closed = false;

  constructor(network: Network, endpoint: Endpoint) {
    this.#network = network;
    this.endpoint = endpoint;
    this.clusterId = endpoint.binding.self.clusterId;
  }

  transport(): NodeTransport {
    return {
      send: (to, partition, message) => this.#links.get(to)?.send(partition, message),
      flush: () => {
        for (const link of this.#links.values()) link.flush();
      },
      request: (to, kind, payload, timeoutMs, lane = 'main') => {
        const link = this.#links.get(to);
        if (link === undefined) {
          return Promise.reject(requestFailure({ sent: false, reason: `no peer is named ${to}` }));
        }
        return link.request({ kind, payload, timeoutMs, lane });
      },
      connected: (to) => this.#links.get(to)?.connected ?? false,
      setClusterId: (clusterId) => {
        if (this.clusterId === clusterId) return;
        this.clusterId = clusterId;
        for (const link of this.#links.values()) link.redial();
        // What others had dialed before named no cluster on this end, and so carries no Raft.
        this.#network.redialed(this.endpoint.nodeId);
      },
      setPeers: (peers) => {
        const wanted = new Set(peers.map(({ nodeId }) => nodeId));
        for (const [nodeId, link] of this.#links) {
          if (wanted.has(nodeId)) continue;
          link.end('no longer a peer');
          this.#links.delete(nodeId);
        }
        for (const nodeId of wanted) {
          if (nodeId === this.endpoint.nodeId || this.#links.has(nodeId)) continue;
          const link = new Link(this.#network, this, nodeId);
          this.#links.set(nodeId, link);
          link.dial();
        }
      },
      close: () => {
        this.#network.leave(this);
        return Promise.resolve();
      },
    };
  }

  hello(to: NodeId): Hello {
    const { nodeId, incarnation, nonce } = this.endpoint.binding.self;
    return { lane: 'main', clusterId: this.clusterId, nodeId, to, incarnation, nonce };
  }

  /** The checks of the real handshake: one cluster, and nobody's old copy. */
  accepts(hello: Hello): boolean {
    if (this.#closed) return false;
    if (hello.clusterId !== undefined && this.clusterId !== undefined && hello.clusterId !== this.clusterId)
      return false;
    return this.endpoint.binding.verifyHello(hello) === undefined;
  }

  isOpen(): boolean {
    return !this.#closed;
  }

  lose(peer: NodeId, reason: string): void {
    this.#links.get(peer)?.lose(reason);
  }

  redial(peer: NodeId): void {
    this.#links.get(peer)?.redial();
  }

  /** Nothing of this start runs any more; its requests fail. */
  end(reason: string): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.end(reason);
  }
}
