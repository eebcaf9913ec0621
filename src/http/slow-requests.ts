/**
 * One line for each request that took long, up to so many a second: whatever makes requests slow is not made worse by telling of it. How
 * many were left out is said as soon as their second is over.
 */
import type { Logger } from '../logger.ts';
import type { Operation, RequestOutcome } from '../metrics/ports.ts';

export interface SlowRequest {
  readonly requestId: string;
  readonly method: string | undefined;
  readonly operation: Operation;
  readonly outcome: RequestOutcome;
  /** Undefined when nobody was left to be answered. */
  readonly status: number | undefined;
  readonly ms: number;
  /** Where they are known. */
  readonly partition?: number | undefined;
  readonly term?: number | undefined;
}

const intervalMs = 1000;

export class SlowRequests {
  readonly #logger: Logger;
  readonly #linesMax: number;
  #lines = 0;
  #leftOut = 0;
  /** Runs while lines of the last second count. */
  #timer: NodeJS.Timeout | undefined;

  constructor(logger: Logger, linesMax: number) {
    this.#logger = logger;
    this.#linesMax = linesMax;
  }

  tell(request: SlowRequest): void {
    this.#timer ??= setTimeout(() => this.#begin(), intervalMs).unref();
    if (this.#lines === this.#linesMax) {
      this.#leftOut += 1;
      return;
    }
    this.#lines += 1;
    this.#logger.warn({ ...request, ms: Math.round(request.ms) }, 'slow request');
  }

  /** Whatever the last second left out is said now. */
  close(): void {
    clearTimeout(this.#timer);
    this.#begin();
  }

  #begin(): void {
    this.#timer = undefined;
    this.#lines = 0;
    if (this.#leftOut === 0) return;
    this.#logger.warn({ leftOut: this.#leftOut }, 'more requests were slow than have a line');
    this.#leftOut = 0;
  }
}
