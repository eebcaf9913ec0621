/** Requests and answers: their layout behind the frame's header, and the table of those that wait. */
import type { Clock, Lane, RequestFailure } from '../replica/ports.ts';
import { encodeInPlace, encodePayload, type EncodedPayload } from './payloads.ts';

/** A request's kind travels behind one length byte. */
export const kindBytesMax = 255;

/** A request as it travels, behind its id. */
export interface EncodedRequest {
  readonly kind: Buffer;
  readonly payload: EncodedPayload;
}

const noTail = Buffer.alloc(0);

/** Throws a RequestFailure for what can't travel. */
export function encodeRequest(kind: string, payload: unknown, lane: Lane): EncodedRequest {
  const kindText = Buffer.from(kind);
  if (kindText.length > kindBytesMax) throw requestFailure({ sent: false, reason: 'the kind is too long' });
  try {
    const encoded = lane === 'bulk' ? encodeInPlace(payload) : { head: encodePayload(payload), tail: noTail };
    return { kind: kindText, payload: encoded };
  } catch (error) {
    throw requestFailure({ sent: false, reason: `the payload can't be encoded: ${String(error)}` });
  }
}

/** An Error too, so that it carries a stack where it surfaces unhandled. */
export function requestFailure({ sent, reason }: { sent: boolean; reason: string }): Error & RequestFailure {
  return Object.assign(new Error(reason), { type: 'request_failure' as const, sent, reason });
}

interface WaitingRequest {
  /** Undefined once it is settled: what the table has held may outlive it for long, and no answer is to hang on that. */
  settlement: Settlement | undefined;
  /** Some of its bytes may have left. Never goes back to false. */
  sent: boolean;
}

interface Settlement {
  readonly resolve: (value: unknown) => void;
  readonly reject: (failure: RequestFailure) => void;
  readonly cancelTimeout: () => void;
}

/** The requests of one connection that wait for their answers. Each is settled exactly once. */
export class RequestTable {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, WaitingRequest>();
  #unsent: WaitingRequest[] = [];
  #lastId = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** A number that no waiting request has. There are far fewer of them than 2^32. */
  nextId(): number {
    do {
      this.#lastId = (this.#lastId + 1) >>> 0;
    } while (this.#waiting.has(this.#lastId));
    return this.#lastId;
  }

  /** The request is queued, and not yet sent. The promise settles by `timeoutMs` at the latest. */
  add(id: number, timeoutMs: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const cancelTimeout = this.#clock.after(timeoutMs, () => {
        // Safety: if it is still queued, it leaves with the next flush and may be acted upon, so it is not "not sent".
        request.sent = true;
        this.fail(id, `no answer within ${timeoutMs} ms`);
      });
      const request: WaitingRequest = { settlement: { resolve, reject, cancelTimeout }, sent: false };
      this.#waiting.set(id, request);
      this.#unsent.push(request);
    });
  }

  /** Everything queued so far was handed to the socket. */
  markSent(): void {
    if (this.#unsent.length === 0) return;
    for (const request of this.#unsent) request.sent = true;
    this.#unsent = [];
  }

  /** An answer to a request that has timed out finds nobody, which is fine. */
  settle(id: number, value: unknown): void {
    this.#remove(id)?.settlement.resolve(value);
  }

  fail(id: number, reason: string): void {
    const removed = this.#remove(id);
    removed?.settlement.reject(requestFailure({ sent: removed.sent, reason }));
  }

  failAll(reason: string): void {
    for (const id of [...this.#waiting.keys()]) this.fail(id, reason);
  }

  #remove(id: number): { readonly settlement: Settlement; readonly sent: boolean } | undefined {
    const request = this.#waiting.get(id);
    if (request?.settlement === undefined) return undefined;
    const { settlement, sent } = request;
    this.#waiting.delete(id);
    request.settlement = undefined;
    settlement.cancelTimeout();
    return { settlement, sent };
  }
}
