/**
 * A network in one process, for tests and simulation: N nodes, and for each direction between two of them a link whose
 * fate the test decides. Time is the clock's, so a virtual one decides when things arrive. All that passes is encoded
 * and decoded as on TCP: nobody shares memory, and what can't travel fails here too.
 */
import type { Clock, NodeId, Transport, TransportHandlers } from '../replica/ports.ts';
import { Link, openLink, type LinkEnds, type LinkHandlers, type LinkRule } from './memory-link.ts';
import { requestFailure } from './requests.ts';

export interface MemoryTransport extends Transport {
  /** The node is gone: peers see it go down, and are refused when they dial again; what is under way to it or from it is lost. */
  close(): void;
}

export class MemoryNetwork {
  readonly #clock: Clock;
  readonly #handlers = new Map<NodeId, TransportHandlers>();
  readonly #links = new Map<NodeId, Map<NodeId, Link>>();
  readonly #rules = new Map<string, LinkRule>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The node can be reached from now on; a name can join again after its transport was closed. */
  join(nodeId: NodeId, handlers: TransportHandlers): MemoryTransport {
    if (this.#handlers.has(nodeId)) throw new Error(`node ${nodeId} is on the network already`);
    const links = new Map<NodeId, Link>();
    this.#links.set(nodeId, links);
    for (const [other, otherHandlers] of this.#handlers) {
      this.#connect(links, { from: nodeId, to: other }, { sender: handlers, receiver: otherHandlers });
      const back = this.#links.get(other);
      if (back) this.#connect(back, { from: other, to: nodeId }, { sender: otherHandlers, receiver: handlers });
    }
    this.#handlers.set(nodeId, handlers);
    return this.#transport(nodeId, links);
  }

  /** Changes how one direction behaves from now on; what is left out stays as it is. */
  setLink({ from, to }: LinkEnds, change: Partial<LinkRule>): void {
    const rule = { ...this.#rule({ from, to }), ...change };
    this.#rules.set(JSON.stringify([from, to]), rule);
    this.#links.get(from)?.get(to)?.setRule(rule);
  }

  /** Both directions between each two nodes of different sides. */
  partition(sides: readonly (readonly NodeId[])[], state: LinkRule['state'] = 'cut'): void {
    for (const side of sides) {
      for (const other of sides) {
        if (side === other) continue;
        for (const from of side) for (const to of other) this.setLink({ from, to }, { state });
      }
    }
  }

  /** Every link is open, without delay or drops. */
  heal(): void {
    this.#rules.clear();
    for (const links of this.#links.values()) for (const link of links.values()) link.setRule(openLink);
  }

  #connect(links: Map<NodeId, Link>, ends: LinkEnds, handlers: LinkHandlers): void {
    const link = new Link(ends, handlers, this.#clock);
    links.set(ends.to, link);
    link.setRule(this.#rule(ends));
  }

  #transport(nodeId: NodeId, links: Map<NodeId, Link>): MemoryTransport {
    return {
      send: (to, partition, message) => links.get(to)?.send(partition, message),
      flush: () => links.forEach((link) => link.flush()),
      request: (to, kind, payload, timeoutMs, lane = 'main') => {
        const link = links.get(to);
        if (!link) return Promise.reject(requestFailure({ sent: false, reason: `no peer is named ${to}` }));
        return link.request({ kind, payload, timeoutMs, lane });
      },
      connected: (to) => links.get(to)?.connected ?? false,
      close: () => this.#leave(nodeId, links),
    };
  }

  #leave(nodeId: NodeId, links: Map<NodeId, Link>): void {
    if (this.#links.get(nodeId) !== links) return;
    this.#handlers.delete(nodeId);
    this.#links.delete(nodeId);
    for (const link of links.values()) link.close({ tellSender: false });
    for (const [, others] of this.#links) {
      const link = others.get(nodeId);
      others.delete(nodeId);
      if (link?.connected) this.#dialAgain(link, others);
      link?.close({ tellSender: true });
    }
    links.clear();
  }

  /** A link over which nothing passes tells nothing, and neither does a node that is back by then. */
  #dialAgain({ ends: { from, to }, handlers }: Link, links: ReadonlyMap<NodeId, Link>): void {
    const back = { from: to, to: from };
    this.#clock.after(this.#rule({ from, to }).delayMs + this.#rule(back).delayMs, () => {
      const passes = this.#rule({ from, to }).state === 'open' && this.#rule(back).state === 'open';
      if (passes && this.#links.get(from) === links && !this.#handlers.has(to)) handlers.sender.onPeerRefused(to);
    });
  }

  #rule({ from, to }: LinkEnds): LinkRule {
    return this.#rules.get(JSON.stringify([from, to])) ?? openLink;
  }
}
