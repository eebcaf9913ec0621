/**
 * A network in one process, for tests and simulation: N nodes, and for each direction between two of them a link whose
 * fate the test decides. Time is the clock's, so a virtual one decides when things arrive. All that passes is encoded
 * and decoded as on TCP: nobody shares memory, and what can't travel fails here too.
 */
import type { Message } from '../raft/types.ts';
import type { Clock, NodeId, PartitionId, Transport, TransportHandlers } from '../replica/ports.ts';
import { decodeFrame } from './frames.ts';
import { FrameInbox } from './inbox.ts';
import { messageBytes } from './messages.ts';
import { FrameOutbox } from './outbox.ts';
import { decodePayload, encodePayload, requestFailure, RequestTable } from './requests.ts';
import { WireReader } from './wire.ts';

const pageBytes = 4096;

/** How a link treats what is sent over it. Answers to a request travel back on the request's own link. */
export interface LinkRule {
  /** `cut`: both ends know that they are not connected. `black_hole`: connected, and nothing ever arrives. */
  readonly state: 'open' | 'cut' | 'black_hole';
  /** Between flush and arrival. A smaller one set later lets messages overtake each other. */
  readonly delayMs: number;
  /** Asked for each Raft message. */
  readonly drops: (partition: PartitionId, message: Message) => boolean;
}

const openLink: LinkRule = { state: 'open', delayMs: 0, drops: () => false };

export interface MemoryTransport extends Transport {
  /** The node is gone: peers see it go down, what is under way to it or from it is lost. */
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
  setLink({ from, to }: { readonly from: NodeId; readonly to: NodeId }, change: Partial<LinkRule>): void {
    const key = JSON.stringify([from, to]);
    const rule = { ...(this.#rules.get(key) ?? openLink), ...change };
    this.#rules.set(key, rule);
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

  #connect(links: Map<NodeId, Link>, ends: { from: NodeId; to: NodeId }, handlers: LinkHandlers): void {
    const link = new Link(ends, handlers, this.#clock);
    links.set(ends.to, link);
    link.setRule(this.#rules.get(JSON.stringify([ends.from, ends.to])) ?? openLink);
  }

  #transport(nodeId: NodeId, links: Map<NodeId, Link>): MemoryTransport {
    return {
      send: (to, partition, message) => links.get(to)?.send(partition, message),
      flush: () => links.forEach((link) => link.flush()),
      request: (to, kind, payload, timeoutMs) => {
        const link = links.get(to);
        if (!link) return Promise.reject(requestFailure({ sent: false, reason: `no peer is named ${to}` }));
        return link.request(kind, payload, timeoutMs);
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
      others.get(nodeId)?.close({ tellSender: true });
      others.delete(nodeId);
    }
    links.clear();
  }
}

interface LinkHandlers {
  readonly sender: TransportHandlers;
  readonly receiver: TransportHandlers;
}

class Link {
  readonly #ends: { readonly from: NodeId; readonly to: NodeId };
  readonly #handlers: LinkHandlers;
  readonly #clock: Clock;
  readonly #outbox = new FrameOutbox(pageBytes);
  readonly #requests: RequestTable;
  #rule: LinkRule = { ...openLink, state: 'cut' };
  #connected = false;
  /** Grows with every loss of the connection: what was under way before arrives no more. */
  #epoch = 0;

  constructor(ends: { readonly from: NodeId; readonly to: NodeId }, handlers: LinkHandlers, clock: Clock) {
    this.#ends = ends;
    this.#handlers = handlers;
    this.#clock = clock;
    this.#requests = new RequestTable(clock);
  }

  get connected(): boolean {
    return this.#connected;
  }

  setRule(rule: LinkRule): void {
    this.#rule = rule;
    if (rule.state === 'cut' && this.#connected) this.#disconnect({ tellSender: true }, 'the link was cut');
    if (rule.state !== 'cut' && !this.#connected) this.#arrange(() => this.#connect());
  }

  close({ tellSender }: { tellSender: boolean }): void {
    this.#rule = { ...openLink, state: 'cut' };
    this.#disconnect({ tellSender }, 'the node is gone');
  }

  send(partition: PartitionId, message: Message): void {
    if (!this.#connected || this.#rule.drops(partition, message)) return;
    this.#outbox.addMessage(partition, message, messageBytes(message));
  }

  flush(): void {
    for (const piece of this.#outbox.take()) this.#arrange(() => this.#deliver(piece));
  }

  async request(kind: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    if (!this.#connected) throw requestFailure({ sent: false, reason: `not connected to ${this.#ends.to}` });
    let bytes: Uint8Array;
    try {
      bytes = encodePayload(payload);
    } catch (error) {
      throw requestFailure({ sent: false, reason: `the payload can't be encoded: ${String(error)}` });
    }
    const id = this.#requests.nextId();
    this.#arrange(() => void this.#answer(id, kind, bytes));
    const answer = this.#requests.add(id, timeoutMs);
    this.#requests.markSent();
    return answer;
  }

  async #answer(id: number, kind: string, bytes: Uint8Array): Promise<void> {
    const epoch = this.#epoch;
    let settle: () => void;
    try {
      const result = await this.#handlers.receiver.onRequest(this.#ends.from, kind, copyOf(bytes));
      const answer = copyOf(encodePayload(result));
      settle = () => this.#requests.settle(id, answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      settle = () => this.#requests.fail(id, reason);
    }
    if (epoch === this.#epoch) this.#arrange(settle);
  }

  #deliver(piece: Buffer): void {
    const inbox = new FrameInbox(piece.length);
    inbox.push(piece);
    for (let body = inbox.next(); body !== undefined; body = inbox.next()) {
      const frame = decodeFrame(body);
      if (frame.type !== 'raft') continue;
      for (const { partition, message } of frame.envelopes) {
        this.#handlers.receiver.onMessage(this.#ends.from, partition, message);
      }
    }
  }

  #connect(): void {
    if (this.#connected || this.#rule.state === 'cut') return;
    this.#connected = true;
    this.#handlers.sender.onPeerUp(this.#ends.to);
  }

  #disconnect({ tellSender }: { tellSender: boolean }, reason: string): void {
    this.#epoch++;
    this.#outbox.take();
    const wasConnected = this.#connected;
    this.#connected = false;
    this.#requests.failAll(`connection to ${this.#ends.to} lost: ${reason}`);
    if (wasConnected && tellSender) this.#handlers.sender.onPeerDown(this.#ends.to, reason);
  }

  /** Runs `event` after the link's delay, if the link still stands as it does now. */
  #arrange(event: () => void): void {
    const epoch = this.#epoch;
    if (this.#connected && this.#rule.state === 'black_hole') return;
    this.#clock.after(this.#rule.delayMs, () => {
      if (epoch === this.#epoch) event();
    });
  }
}

function copyOf(bytes: Uint8Array): unknown {
  return decodePayload(new WireReader(Buffer.from(bytes), 0));
}
