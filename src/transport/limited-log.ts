/** Warnings that another machine can cause: at most one line a second of each kind, so that none can fill the disk. */
import type { Logger } from '../logger.ts';
import type { Clock } from '../replica/ports.ts';

const intervalMs = 1000;

/** The kinds are few and known, so that what is remembered of them is bounded. */
export type WarningKind =
  | 'bad_frame'
  | 'connection_refused'
  | 'handshake_failed'
  | 'queue_full'
  | 'message_too_large'
  | 'raft_before_formation';

export class LimitedLog {
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #kinds = new Map<WarningKind, { loggedAt: number; suppressed: number }>();

  constructor(logger: Logger, clock: Clock) {
    this.#logger = logger;
    this.#clock = clock;
  }

  warn(kind: WarningKind, message: string, details: Readonly<Record<string, unknown>>): void {
    const now = this.#clock.monotonicMs();
    const before = this.#kinds.get(kind);
    if (before !== undefined && now - before.loggedAt < intervalMs) {
      before.suppressed++;
      return;
    }
    this.#kinds.set(kind, { loggedAt: now, suppressed: 0 });
    const suppressed = before?.suppressed ?? 0;
    this.#logger.warn({ kind, ...details, ...(suppressed > 0 && { suppressed }) }, message);
  }
}
