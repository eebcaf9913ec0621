/** The connection that one start of a node dials to one peer, on virtual time. */
import { asBuffer } from '../bytes.ts';
import type { Message } from '../raft/types.ts';
import type { Lane, NodeId, PartitionId } from '../replica/ports.ts';
import { decodeFrame } from '../transport/frames.ts';
import { FrameInbox } from '../transport/inbox.ts';
import { messageBytes } from '../transport/messages.ts';
import { FrameOutbox } from '../transport/outbox.ts';
import {
  arrived,
  decodeInPlace,
  decodePayload,
  encodePayload,
  takeBack,
  type EncodedPayload,
} from '../transport/payloads.ts';
import { encodeRequest, requestFailure, RequestTable } from '../transport/requests.ts';
import { WireReader } from '../transport/wire.ts';
import type { Attachment } from './network-attachment.ts';
import type { Network } from './network.ts';
import { describeMessage } from './trace.ts';

interface Envelope {
  readonly partition: PartitionId;
  readonly message: Message;
}

interface LinkRequest {
  readonly kind: string;
  readonly payload: unknown;
  readonly timeoutMs: number;
  readonly lane: Lane;
}

interface ArrivedRequest {
  readonly id: number;
  readonly kind: string;
  readonly payload: EncodedPayload;
  readonly epoch: number;
  readonly lane: Lane;
}

export class Link {
  readonly #network: Network;
  readonly #owner: Attachment;
  readonly #to: NodeId;
  readonly #requests: RequestTable;
  #queue: Envelope[] = [];
  #peer: Attachment | undefined;
  #carriesRaft = false;
  #dialing = false;
  /** Nobody uses it any more. */
  #over = false;
  /** An established connection was lost, and the attempt that follows at once has not ended yet. */
  #lossOpen = false;
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
    if (this.#dialing || this.#peer !== undefined || this.#over || !this.#owner.isOpen()) return;
    this.#dialing = true;
    const delayMs = this.#lossOpen
      ? this.#network.roundTripMs(this.#owner.endpoint.nodeId, this.#to)
      : this.#network.redialDelayMs();
    this.#network.options.scheduler.after(delayMs, () =>
      this.#owner.endpoint.deliver(() => {
        this.#dialing = false;
        const afterLoss = this.#lossOpen;
        this.#lossOpen = false;
        this.#handshake();
        if (this.#peer !== undefined) return;
        if (afterLoss) this.#tellIfRefused();
        this.dial();
      }),
    );
  }

  /** A link over which nothing passes tells nothing; neither does a node that is there and refuses the handshake. */
  #tellIfRefused(): void {
    const { nodeId, binding } = this.#owner.endpoint;
    if (!this.#owner.isOpen() || this.#isBlocked() || this.#network.attachment(this.#to) !== undefined) return;
    this.#network.options.trace.note(() => `${nodeId} finds nobody at the address of ${this.#to}`);
    binding.handlers.onPeerRefused(this.#to);
  }

  #isBlocked(): boolean {
    const { nodeId } = this.#owner.endpoint;
    return this.#network.isBlocked(nodeId, this.#to) || this.#network.isBlocked(this.#to, nodeId);
  }

  #handshake(): void {
    const { nodeId } = this.#owner.endpoint;
    const peer = this.#network.attachment(this.#to);
    if (peer === undefined || this.#over || !this.#owner.isOpen() || !peer.isOpen()) return;
    if (this.#isBlocked()) return;
    if (!peer.accepts(this.#owner.hello(this.#to)) || !this.#owner.accepts(peer.hello(nodeId))) return;
    this.#peer = peer;
    this.#carriesRaft = this.#owner.clusterId !== undefined && peer.clusterId !== undefined;
    this.#owner.endpoint.binding.handlers.onPeerUp(this.#to);
  }

  redial(): void {
    this.#disconnect('the cluster id became known');
    this.dial();
  }

  lose(reason: string): void {
    if (this.connected) this.#lossOpen = true;
    this.#disconnect(reason);
    this.dial();
  }

  /** Its owner's process is over, or wants no such peer any more: it hears nothing of it. */
  end(reason: string): void {
    this.#over = true;
    this.#epoch += 1;
    this.#queue = [];
    this.#peer = undefined;
    this.#failRequests(reason);
  }

  #disconnect(reason: string): void {
    this.#epoch += 1;
    this.#queue = [];
    const wasConnected = this.connected;
    this.#peer = undefined;
    const { deliver, binding } = this.#owner.endpoint;
    deliver(() => {
      this.#failRequests(reason);
      if (wasConnected) binding.handlers.onPeerDown(this.#to, reason);
    });
  }

  #failRequests(reason: string): void {
    this.#network.options.scheduler.promisesMove();
    this.#requests.failAll(`connection to ${this.#to} lost: ${reason}`);
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
    this.#network.carry({ from: endpoint.nodeId, to: this.#to, lane: 'main', reliable: false }, () => {
      // What was sent may arrive though its sender has died; a receiver that has died hears nothing.
      if (!peer.isOpen()) return;
      peer.endpoint.deliver(() => {
        for (const { partition, message } of envelopes) {
          peer.endpoint.binding.handlers.onMessage(endpoint.nodeId, partition, message);
        }
      });
    });
  }

  async request({ kind, payload, timeoutMs, lane }: LinkRequest): Promise<unknown> {
    const peer = this.#peer;
    if (peer === undefined) throw requestFailure({ sent: false, reason: `not connected to ${this.#to}` });
    if (lane === 'bulk' && !this.#carriesRaft) {
      throw requestFailure({ sent: false, reason: `no formed cluster with ${this.#to} yet` });
    }
    const { payload: encoded } = encodeRequest(kind, payload, lane);
    const id = this.#requests.nextId();
    const answer = this.#requests.add(id, timeoutMs);
    this.#requests.markSent();
    const epoch = this.#epoch;
    this.#network.carry({ from: this.#owner.endpoint.nodeId, to: this.#to, lane, reliable: true }, () => {
      if (!peer.isOpen()) return;
      peer.endpoint.deliver(() => {
        this.#network.options.scheduler.promisesMove();
        void this.#answer(peer, { id, kind, payload: encoded, epoch, lane });
      });
    });
    return answer;
  }

  async #answer(peer: Attachment, request: ArrivedRequest): Promise<void> {
    const { id, kind, payload, epoch, lane } = request;
    const { handlers } = peer.endpoint.binding;
    const bytes = arrived(payload);
    let settle: () => void;
    try {
      const lent = decodeInPlace(new WireReader(bytes, 0));
      const result = await handlers.onRequest(this.#owner.endpoint.nodeId, kind, lent, lane);
      const answer = decodePayload(new WireReader(asBuffer(encodePayload(result)), 0));
      settle = () => this.#requests.settle(id, answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      settle = () => this.#requests.fail(id, reason);
    } finally {
      if (lane === 'bulk') takeBack(bytes);
    }
    if (!peer.isOpen()) return;
    this.#network.carry({ from: this.#to, to: this.#owner.endpoint.nodeId, lane, reliable: true }, () =>
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
