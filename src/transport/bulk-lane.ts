/**
 * The bulk lane to one peer: a connection of its own for requests so large that nothing else may queue behind them. It is
 * dialed when a request needs it and closed when none did for a while. It stands on the main lane, whose owner opens
 * and closes it: a peer that can't be reached is dialed again on the main lane only.
 */
import type { TransportContext } from './context.ts';
import { Outbound, type PeerAddress } from './outbound.ts';
import { payloadBytes } from './payloads.ts';
import { requestFailure, type EncodedRequest } from './requests.ts';

/** Made while the connection is being dialed. */
interface WaitingRequest {
  readonly request: EncodedRequest;
  /** By the monotonic clock. */
  readonly endsAtMs: number;
  readonly resolve: (answer: Promise<unknown>) => void;
  readonly fail: (reason: string) => void;
  readonly cancelTimeout: () => void;
}

export class BulkLane {
  readonly #address: PeerAddress;
  readonly #context: TransportContext;
  readonly #waiting = new Set<WaitingRequest>();
  #waitingBytes = 0;
  #outbound: Outbound | undefined;
  #usedAtMs = 0;

  constructor(address: PeerAddress, context: TransportContext) {
    this.#address = address;
    this.#context = context;
  }

  get up(): boolean {
    return this.#outbound?.up ?? false;
  }

  get queuedBytes(): number {
    return this.#waitingBytes + (this.#outbound?.queuedBytes ?? 0);
  }

  /** Waits for the connection, if there is none yet, within its time; fails as never sent if none comes. */
  request(request: EncodedRequest, timeoutMs: number): Promise<unknown> {
    this.#usedAtMs = this.#context.clock.monotonicMs();
    if (this.#outbound?.up) return this.#outbound.request(request, timeoutMs);
    const refusal = this.#noRoom(request);
    if (refusal !== undefined) return Promise.reject(requestFailure({ sent: false, reason: refusal }));
    this.#outbound ??= this.#dial();
    return this.#wait(request, timeoutMs);
  }

  /** Once every `pingIntervalMs`. */
  beat(): void {
    if (!this.#outbound?.up) return;
    const { clock, config } = this.#context;
    if (this.#outbound.requestsWaiting > 0) this.#usedAtMs = clock.monotonicMs();
    if (clock.monotonicMs() - this.#usedAtMs >= config.bulkIdleMs) this.close('idle');
    else this.#outbound.beat();
  }

  /** The next request dials anew. */
  close(reason: string): void {
    const outbound = this.#outbound;
    this.#outbound = undefined;
    outbound?.close(reason);
    this.#failWaiting(reason);
  }

  #noRoom({ payload }: EncodedRequest): string | undefined {
    const { requestsMax, peerQueueBytesMax } = this.#context.config;
    const { nodeId } = this.#address;
    if (this.#waiting.size >= requestsMax) return `${requestsMax} requests to ${nodeId} wait already`;
    if (this.#waitingBytes + payloadBytes(payload) > peerQueueBytesMax) return `not sent to ${nodeId}: queue_full`;
    return undefined;
  }

  #dial(): Outbound {
    return new Outbound({
      address: this.#address,
      lane: 'bulk',
      context: this.#context,
      handlers: {
        onUp: () => this.#sendWaiting(),
        onEnded: ({ reason }) => {
          this.#outbound = undefined;
          this.#failWaiting(reason);
        },
      },
    });
  }

  #wait(request: EncodedRequest, timeoutMs: number): Promise<unknown> {
    const { clock } = this.#context;
    return new Promise((resolve, reject) => {
      const waiting: WaitingRequest = {
        request,
        endsAtMs: clock.monotonicMs() + timeoutMs,
        resolve,
        fail: (reason) => reject(requestFailure({ sent: false, reason })),
        cancelTimeout: clock.after(timeoutMs, () => {
          this.#remove(waiting);
          waiting.fail(`no bulk connection to ${this.#address.nodeId} within ${timeoutMs} ms`);
        }),
      };
      this.#waiting.add(waiting);
      this.#waitingBytes += payloadBytes(request.payload);
    });
  }

  #sendWaiting(): void {
    const now = this.#context.clock.monotonicMs();
    for (const waiting of [...this.#waiting]) {
      this.#remove(waiting);
      waiting.resolve(this.request(waiting.request, Math.max(0, waiting.endsAtMs - now)));
    }
  }

  #failWaiting(reason: string): void {
    for (const waiting of [...this.#waiting]) {
      this.#remove(waiting);
      waiting.fail(`no bulk connection to ${this.#address.nodeId}: ${reason}`);
    }
  }

  #remove(waiting: WaitingRequest): void {
    waiting.cancelTimeout();
    this.#waiting.delete(waiting);
    this.#waitingBytes -= payloadBytes(waiting.request.payload);
  }
}
