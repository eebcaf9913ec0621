/** One direction between two nodes of the network in memory: its rule, its connection, and what is under way over it. */
import { asBuffer } from '../bytes.ts';
import type { Message } from '../raft/types.ts';
import type { Clock, Lane, NodeId, PartitionId, TransportHandlers } from '../replica/ports.ts';
import { decodeFrame } from './frames.ts';
import { FrameInbox } from './inbox.ts';
import { messageBytes } from './messages.ts';
import { FrameOutbox } from './outbox.ts';
import { arrived, decodeInPlace, decodePayload, encodePayload, takeBack, type EncodedPayload } from './payloads.ts';
import { encodeRequest, requestFailure, RequestTable } from './requests.ts';
import { WireReader } from './wire.ts';

const pageBytes = 4096;

/** How a link treats what is sent over it. Answers to a request travel back on the request's own link. */
export interface LinkRule {
  /** `cut`: both ends know that they are not connected. `black_hole`: connected, and nothing ever arrives. */
  readonly state: 'open' | 'cut' | 'black_hole';
  /** Between flush and arrival. A smaller one set later lets messages overtake each other. */
  readonly delayMs: number;
  /** The same for requests on the bulk lane; they never hold up the main one. */
  readonly bulkDelayMs: number;
  /** Asked for each Raft message. */
  readonly drops: (partition: PartitionId, message: Message) => boolean;
}

export const openLink: LinkRule = { state: 'open', delayMs: 0, bulkDelayMs: 0, drops: () => false };

export interface LinkEnds {
  readonly from: NodeId;
  readonly to: NodeId;
}

export interface LinkHandlers {
  readonly sender: TransportHandlers;
  readonly receiver: TransportHandlers;
}

interface Carried {
  readonly payload: EncodedPayload;
  readonly lane: Lane;
}

interface LinkRequest {
  readonly kind: string;
  readonly payload: unknown;
  readonly timeoutMs: number;
  readonly lane: Lane;
}

export class Link {
  readonly ends: LinkEnds;
  readonly handlers: LinkHandlers;
  readonly #clock: Clock;
  readonly #outbox = new FrameOutbox(pageBytes);
  readonly #requests: RequestTable;
  #rule: LinkRule = { ...openLink, state: 'cut' };
  #connected = false;
  /** Grows with every loss of the connection: what was under way before arrives no more. */
  #epoch = 0;

  constructor(ends: LinkEnds, handlers: LinkHandlers, clock: Clock) {
    this.ends = ends;
    this.handlers = handlers;
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

  async request({ kind, payload, timeoutMs, lane }: LinkRequest): Promise<unknown> {
    if (!this.#connected) throw requestFailure({ sent: false, reason: `not connected to ${this.ends.to}` });
    const { payload: encoded } = encodeRequest(kind, payload, lane);
    const id = this.#requests.nextId();
    this.#arrange(() => void this.#answer(id, kind, { payload: encoded, lane }), lane);
    const answer = this.#requests.add(id, timeoutMs);
    this.#requests.markSent();
    return answer;
  }

  async #answer(id: number, kind: string, { payload, lane }: Carried): Promise<void> {
    const epoch = this.#epoch;
    const bytes = arrived(payload);
    let settle: () => void;
    try {
      const lent = decodeInPlace(new WireReader(bytes, 0));
      const result = await this.handlers.receiver.onRequest(this.ends.from, kind, lent, lane);
      const answer = decodePayload(new WireReader(asBuffer(encodePayload(result)), 0));
      settle = () => this.#requests.settle(id, answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      settle = () => this.#requests.fail(id, reason);
    } finally {
      if (lane === 'bulk') takeBack(bytes);
    }
    if (epoch === this.#epoch) this.#arrange(settle, lane);
  }

  #deliver(piece: Buffer): void {
    const inbox = new FrameInbox(piece.length);
    inbox.push(piece);
    for (let body = inbox.next(); body !== undefined; body = inbox.next()) {
      const frame = decodeFrame(body);
      if (frame.type !== 'raft') continue;
      for (const { partition, message } of frame.envelopes) {
        this.handlers.receiver.onMessage(this.ends.from, partition, message);
      }
    }
  }

  #connect(): void {
    if (this.#connected || this.#rule.state === 'cut') return;
    this.#connected = true;
    this.handlers.sender.onPeerUp(this.ends.to);
  }

  #disconnect({ tellSender }: { tellSender: boolean }, reason: string): void {
    this.#epoch++;
    this.#outbox.take();
    const wasConnected = this.#connected;
    this.#connected = false;
    this.#requests.failAll(`connection to ${this.ends.to} lost: ${reason}`);
    if (wasConnected && tellSender) this.handlers.sender.onPeerDown(this.ends.to, reason);
  }

  /** Runs `event` after the lane's delay, if the link still stands as it does now. */
  #arrange(event: () => void, lane: Lane = 'main'): void {
    const epoch = this.#epoch;
    if (this.#connected && this.#rule.state === 'black_hole') return;
    this.#clock.after(lane === 'main' ? this.#rule.delayMs : this.#rule.bulkDelayMs, () => {
      if (epoch === this.#epoch) event();
    });
  }
}
