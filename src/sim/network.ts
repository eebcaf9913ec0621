/**
 * The network of a simulated world. Each ordered pair of nodes has a link, and a connection of its own over it, as with
 * the real transport: the one who dials sends messages and requests, answers come back on the same connection, and both ends check
 * each other's `Hello` first. What a link carries may be lost, late, overtaken or doubled; a blocked one carries nothing,
 * which its ends notice after a silence, or at once when it was cut.
 */
import type { TransportConfig } from '../config.ts';
import type { NodeTransport, TransportBinding } from '../node/composition.ts';
import type { Message } from '../raft/types.ts';
import type { Clock, Hello, NodeId, PartitionId } from '../replica/ports.ts';
import { decodeFrame } from '../transport/frames.ts';
import { FrameInbox } from '../transport/inbox.ts';
import { messageBytes } from '../transport/messages.ts';
import { FrameOutbox } from '../transport/outbox.ts';
import { decodePayload, encodePayload, requestFailure, RequestTable } from '../transport/requests.ts';
import { WireReader } from '../transport/wire.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { describeMessage, type Trace } from './trace.ts';

/** How a link treats what is sent over it, drawn for each frame. Chances are 0 to 1. */
export interface LinkQuality {
  readonly delayMsMin: number;
  readonly delayMsMax: number;
  /** A straggler is so much later than the others that they overtake it. */
  readonly stragglerChance: number;
  readonly stragglerMs: number;
  readonly lossChance: number;
  readonly duplicateChance: number;
}

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly config: TransportConfig;
  readonly quality: LinkQuality;
  /** Every message is encoded and decoded as on TCP; costs time, finds what the codec loses. */
  readonly encoded: boolean;
}

/** One start of a node on the network. */
export interface Endpoint {
  readonly nodeId: NodeId;
  /** Small and distinct, for the trace. */
  readonly number: number;
  readonly binding: TransportBinding;
  readonly clock: Clock;
  /** Runs what arrives: at once, after a pause, or never when this start is over. */
  readonly deliver: (event: () => void) => void;
}

interface Envelope {
  readonly partition: PartitionId;
  readonly message: Message;
}

export class Network {
  readonly options: NetworkOptions;
  readonly #endpoints = new Map<NodeId, Attachment>();
  readonly #blocked = new Set<string>();
  readonly #clogs = new Map<string, number>();
  counts = { frames: 0, messages: 0, lost: 0, duplicated: 0 };

  constructor(options: NetworkOptions) {
    this.options = options;
  }

  attach(endpoint: Endpoint): NodeTransport {
    const attachment = new Attachment(this, endpoint);
    this.#endpoints.set(endpoint.nodeId, attachment);
    return attachment.transport();
  }

  /** The process is gone: its peers' connections break; what it had sent is still on its way. */
  detach(nodeId: NodeId): void {
    const gone = this.#endpoints.get(nodeId);
    if (gone === undefined) return;
    this.#endpoints.delete(nodeId);
    gone.close('the process is gone');
    for (const other of this.#endpoints.values()) other.lose(nodeId, 'the process is gone');
  }

  /** All others' connections to `nodeId` are made anew. */
  redialed(nodeId: NodeId): void {
    for (const other of this.#endpoints.values()) other.redial(nodeId);
  }

  attachment(nodeId: NodeId): Attachment | undefined {
    return this.#endpoints.get(nodeId);
  }

  /** Nothing passes from one to the other any more. `abrupt`: both ends are told at once, else they notice the silence. */
  block(from: NodeId, to: NodeId, abrupt: boolean): void {
    this.#blocked.add(`${from}>${to}`);
    const breakConnections = (): void => {
      if (!this.isBlocked(from, to)) return;
      this.#endpoints.get(from)?.lose(to, 'the link is dead');
      this.#endpoints.get(to)?.lose(from, 'the link is dead');
    };
    if (abrupt) breakConnections();
    else this.options.scheduler.after(this.options.config.silenceTimeoutMs, breakConnections);
  }

  unblock(from: NodeId, to: NodeId): void {
    this.#blocked.delete(`${from}>${to}`);
  }

  isBlocked(from: NodeId, to: NodeId): boolean {
    return this.#blocked.has(`${from}>${to}`);
  }

  /** What is sent over this link takes so much longer, until it is 0 again. */
  clog(from: NodeId, to: NodeId, extraMs: number): void {
    if (extraMs === 0) this.#clogs.delete(`${from}>${to}`);
    else this.#clogs.set(`${from}>${to}`, extraMs);
  }

  heal(): void {
    this.#blocked.clear();
    this.#clogs.clear();
  }

  /** One frame over a link: runs `arrive` once, twice, later or not at all. */
  carry(from: NodeId, to: NodeId, reliable: boolean, arrive: () => void): void {
    const { random, quality, scheduler } = this.options;
    this.counts.frames += 1;
    if (!reliable && random.chance(quality.lossChance)) {
      this.counts.lost += 1;
      return;
    }
    const copies = !reliable && random.chance(quality.duplicateChance) ? 2 : 1;
    this.counts.duplicated += copies - 1;
    for (let copy = 0; copy < copies; copy += 1) {
      const straggles = random.chance(quality.stragglerChance);
      const delayMs =
        random.between(quality.delayMsMin, quality.delayMsMax) +
        (straggles ? random.between(0, quality.stragglerMs) : 0) +
        (this.#clogs.get(`${from}>${to}`) ?? 0);
      scheduler.after(delayMs, () => {
        if (!this.isBlocked(from, to)) arrive();
      });
    }
  }
}

/** One start of a node, and the connections that it dialed. */
class Attachment {
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
      request: (to, kind, payload, timeoutMs) => {
        const link = this.#links.get(to);
        if (link === undefined) {
          return Promise.reject(requestFailure({ sent: false, reason: `no peer is named ${to}` }));
        }
        return link.request(kind, payload, timeoutMs);
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
        for (const { nodeId } of peers) {
          if (nodeId === this.endpoint.nodeId) continue;
          const link = new Link(this.#network, this, nodeId);
          this.#links.set(nodeId, link);
          link.dial();
        }
      },
      close: () => {
        this.close('closed');
        return Promise.resolve();
      },
    };
  }

  hello(to: NodeId): Hello {
    const { nodeId, incarnation, nonce } = this.endpoint.binding.self;
    return { clusterId: this.clusterId, nodeId, to, incarnation, nonce };
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

  close(reason: string): void {
    this.#closed = true;
    for (const link of this.#links.values()) link.lose(reason);
  }
}

/** The connection that one start of a node dials to one peer. */
class Link {
  readonly #network: Network;
  readonly #owner: Attachment;
  readonly #to: NodeId;
  readonly #requests: RequestTable;
  #queue: Envelope[] = [];
  #peer: Attachment | undefined;
  #carriesRaft = false;
  #dialing = false;
  /** Grows with every loss: what belongs to an earlier connection is told apart. */
  #epoch = 0;

  constructor(network: Network, owner: Attachment, to: NodeId) {
    this.#network = network;
    this.#owner = owner;
    this.#to = to;
    this.#requests = new RequestTable(owner.endpoint.clock);
  }

  get connected(): boolean {
    return this.#peer !== undefined;
  }

  dial(): void {
    if (this.#dialing || this.#peer !== undefined || !this.#owner.isOpen()) return;
    this.#dialing = true;
    const { scheduler, random, config } = this.#network.options;
    const delayMs = random.magnitude(config.reconnectDelayMsMin, config.reconnectDelayMsMax / 4);
    scheduler.after(delayMs, () =>
      this.#owner.endpoint.deliver(() => {
        this.#dialing = false;
        this.#handshake();
        if (this.#peer === undefined) this.dial();
      }),
    );
  }

  #handshake(): void {
    const { nodeId } = this.#owner.endpoint;
    const peer = this.#network.attachment(this.#to);
    if (peer === undefined || !this.#owner.isOpen() || !peer.isOpen()) return;
    if (this.#network.isBlocked(nodeId, this.#to) || this.#network.isBlocked(this.#to, nodeId)) return;
    if (!peer.accepts(this.#owner.hello(this.#to)) || !this.#owner.accepts(peer.hello(nodeId))) return;
    this.#peer = peer;
    this.#carriesRaft = this.#owner.clusterId !== undefined && peer.clusterId !== undefined;
    this.#owner.endpoint.binding.handlers.onPeerUp(this.#to);
  }

  redial(): void {
    this.lose('the cluster id became known');
    this.dial();
  }

  lose(reason: string): void {
    this.#epoch += 1;
    this.#queue = [];
    const wasConnected = this.#peer !== undefined;
    this.#peer = undefined;
    this.#network.options.scheduler.promisesMove();
    this.#requests.failAll(`connection to ${this.#to} lost: ${reason}`);
    if (wasConnected) this.#owner.endpoint.binding.handlers.onPeerDown(this.#to, reason);
    this.dial();
  }

  send(partition: PartitionId, message: Message): void {
    if (this.#peer === undefined || !this.#carriesRaft) return;
    this.#queue.push({ partition, message });
  }

  flush(): void {
    if (this.#queue.length === 0) return;
    const queue = this.#queue;
    this.#queue = [];
    const peer = this.#peer;
    if (peer === undefined) return;
    const { endpoint } = this.#owner;
    const { trace, encoded } = this.#network.options;
    const envelopes = encoded ? throughTheCodec(queue) : queue;
    for (const { partition, message } of queue) {
      trace.message(endpoint.number * 16 + peer.endpoint.number, message);
      trace.note(() => `${endpoint.nodeId} → ${this.#to} p${partition} ${describeMessage(message)}`);
    }
    this.#network.counts.messages += queue.length;
    this.#network.carry(endpoint.nodeId, this.#to, false, () => {
      // What was sent may arrive though its sender has died; a receiver that has died hears nothing.
      if (!peer.isOpen()) return;
      peer.endpoint.deliver(() => {
        for (const { partition, message } of envelopes) {
          peer.endpoint.binding.handlers.onMessage(endpoint.nodeId, partition, message);
        }
      });
    });
  }

  async request(kind: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    const peer = this.#peer;
    if (peer === undefined) throw requestFailure({ sent: false, reason: `not connected to ${this.#to}` });
    const bytes = encodePayload(payload);
    const id = this.#requests.nextId();
    const answer = this.#requests.add(id, timeoutMs);
    this.#requests.markSent();
    const epoch = this.#epoch;
    this.#network.carry(this.#owner.endpoint.nodeId, this.#to, true, () => {
      if (!peer.isOpen()) return;
      peer.endpoint.deliver(() => {
        this.#network.options.scheduler.promisesMove();
        void this.#answer(peer, { id, kind, bytes, epoch });
      });
    });
    return answer;
  }

  async #answer(
    peer: Attachment,
    request: { readonly id: number; readonly kind: string; readonly bytes: Uint8Array; readonly epoch: number },
  ): Promise<void> {
    const { id, kind, bytes, epoch } = request;
    let settle: () => void;
    try {
      const result = await peer.endpoint.binding.handlers.onRequest(this.#owner.endpoint.nodeId, kind, decoded(bytes));
      const answer = decoded(encodePayload(result));
      settle = () => this.#requests.settle(id, answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      settle = () => this.#requests.fail(id, reason);
    }
    if (!peer.isOpen()) return;
    this.#network.carry(this.#to, this.#owner.endpoint.nodeId, true, () =>
      this.#owner.endpoint.deliver(() => {
        if (epoch !== this.#epoch) return;
        this.#network.options.scheduler.promisesMove();
        settle();
      }),
    );
  }
}

function throughTheCodec(envelopes: readonly Envelope[]): readonly Envelope[] {
  const outbox = new FrameOutbox(4096);
  for (const { partition, message } of envelopes) outbox.addMessage(partition, message, messageBytes(message));
  const received: Envelope[] = [];
  for (const piece of outbox.take()) {
    const inbox = new FrameInbox(piece.length);
    inbox.push(piece);
    for (let body = inbox.next(); body !== undefined; body = inbox.next()) {
      const frame = decodeFrame(body);
      if (frame.type === 'raft') received.push(...frame.envelopes);
    }
  }
  return received;
}

function decoded(bytes: Uint8Array): unknown {
  return decodePayload(new WireReader(Buffer.from(bytes), 0));
}
