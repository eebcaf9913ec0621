/**
 * One other node, as this node talks to it: the main lane, kept up by dialing again whenever it is lost, and the bulk
 * lane beside it. Raft messages and requests leave here; only answers come back here. What the peer asks comes in by the listener.
 */
import type { Message } from '../raft/types.ts';
import type { Lane, PartitionId } from '../replica/ports.ts';
import { BulkLane } from './bulk-lane.ts';
import type { TransportContext } from './context.ts';
import { Outbound, type OutboundEnd, type PeerAddress } from './outbound.ts';
import { encodeRequest, requestFailure } from './requests.ts';

interface PeerRequest {
  readonly kind: string;
  readonly payload: unknown;
  readonly timeoutMs: number;
  readonly lane: Lane;
}

type PeerState =
  | { readonly type: 'waiting'; readonly cancel: () => void }
  | { readonly type: 'dialed'; readonly outbound: Outbound }
  | { readonly type: 'closed' };

export class Peer {
  readonly address: PeerAddress;
  readonly bulk: BulkLane;
  readonly #context: TransportContext;
  #state: PeerState = { type: 'closed' };
  /** Connections that failed or were lost soon, since the last one that lasted; 0 means that the next is dialed at once. */
  #failures = 1;
  /** An established connection was lost, and nothing since has shown what became of the peer. */
  #lossOpen = false;
  #droppedMessages = 0;

  constructor(address: PeerAddress, context: TransportContext) {
    this.address = address;
    this.bulk = new BulkLane(address, context);
    this.#context = context;
  }

  get up(): boolean {
    return this.#established !== undefined;
  }

  get queuedBytes(): number {
    return this.#established?.queuedBytes ?? 0;
  }

  get droppedMessages(): number {
    return this.#droppedMessages;
  }

  send(partition: PartitionId, message: Message): void {
    const outbound = this.#established;
    if (!outbound?.carriesRaft) {
      this.#droppedMessages++;
      return;
    }
    const result = outbound.sendMessage(partition, message);
    if (result === 'queued') return;
    this.#droppedMessages++;
    const details = { peer: this.address.nodeId, partition, message: message.type };
    if (result === 'queue_full')
      this.#context.warnings.warn('queue_full', 'queue to peer is full: message dropped', details);
    if (result === 'too_large')
      this.#context.warnings.warn('message_too_large', 'message exceeds frameBytesMax', details);
  }

  async request({ kind, payload, timeoutMs, lane }: PeerRequest): Promise<unknown> {
    const { nodeId } = this.address;
    const main = this.#established;
    if (main === undefined) throw requestFailure({ sent: false, reason: `not connected to ${nodeId}` });
    if (lane === 'main') return main.request(encodeRequest(kind, payload, lane), timeoutMs);
    if (!main.carriesRaft) throw requestFailure({ sent: false, reason: `no formed cluster with ${nodeId} yet` });
    return this.bulk.request(encodeRequest(kind, payload, lane), timeoutMs);
  }

  /** The main lane's. Requests leave with the loop turn that made them, on both lanes. */
  flush(): void {
    this.#established?.flush();
  }

  /** Once every `pingIntervalMs`. */
  beat(): void {
    this.#established?.beat();
    this.bulk.beat();
  }

  /** Dials now, unless a connection is up or being made. */
  dialNow(): void {
    const state = this.#state;
    if (state.type === 'dialed') return;
    if (state.type === 'waiting') state.cancel();
    this.#dial();
  }

  /** Gives up the connections, whatever their state, and makes a new one at once. */
  redial(reason: string): void {
    this.close(reason);
    this.#failures = 1;
    this.#dial();
  }

  /** Waiting requests fail; nothing is dialed until `dialNow` or `redial`. */
  close(reason: string): void {
    const state = this.#state;
    const wasUp = this.up;
    this.#state = { type: 'closed' };
    if (state.type === 'waiting') state.cancel();
    if (state.type === 'dialed') state.outbound.close(reason);
    this.bulk.close(reason);
    if (wasUp) this.#context.handlers.onPeerDown(this.address.nodeId, reason);
  }

  get #established(): Outbound | undefined {
    return this.#state.type === 'dialed' && this.#state.outbound.up ? this.#state.outbound : undefined;
  }

  #dial(): void {
    const outbound = new Outbound({
      address: this.address,
      lane: 'main',
      context: this.#context,
      handlers: {
        onUp: () => {
          this.#lossOpen = false;
          this.#context.handlers.onPeerUp(this.address.nodeId);
        },
        onEnded: (end) => this.#onEnded(end),
      },
    });
    this.#state = { type: 'dialed', outbound };
  }

  #onEnded(end: OutboundEnd): void {
    const { handlers, config } = this.#context;
    const { nodeId } = this.address;
    const lossWasOpen = this.#lossOpen;
    switch (end.type) {
      case 'lost':
        this.#lossOpen = true;
        // One that was up only for a moment may be lost again at once: then the delays go on growing.
        if (end.upMs >= config.reconnectDelayMsMax) this.#failures = 0;
        this.#dialLater();
        this.bulk.close(end.reason);
        return handlers.onPeerDown(nodeId, end.reason);
      case 'nobody_listens':
        this.#lossOpen = false;
        this.#dialLater();
        if (lossWasOpen) handlers.onPeerRefused(nodeId);
        return;
      case 'cut_short':
        // A process that dies may lose its connections a moment before its listener: the machine still accepts, and
        // resets. The next attempt tells.
        return this.#dialLater();
      case 'failed':
        this.#lossOpen = false;
        return this.#dialLater();
    }
  }

  #dialLater(): void {
    const cancel = this.#context.clock.after(this.#delayMs(), () => this.#dial());
    this.#failures++;
    this.#state = { type: 'waiting', cancel };
  }

  /** None after a connection that lasted; then doubling bounds, and a random point within, so that nodes don't dial in step. */
  #delayMs(): number {
    if (this.#failures === 0) return 0;
    const { reconnectDelayMsMin: min, reconnectDelayMsMax: max } = this.#context.config;
    const bound = Math.min(max, min * 2 ** Math.min(this.#failures, 30));
    return min + this.#context.random() * (bound - min);
  }
}
