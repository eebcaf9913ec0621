/** The nodes that are known, named by the user or learned, and which of them failed lately. */
import { clientLimits } from './limits.ts';

interface Health {
  failuresInARow: number;
  /** Not asked before, unless no other is left; on the clock of `nowMs`. */
  coolUntilMs: number;
  reason: string;
}

export class Nodes {
  readonly #named: readonly string[];
  readonly #nowMs: () => number;
  /** By URL, those named first. */
  readonly #health = new Map<string, Health>();
  #turn = 0;

  constructor(named: readonly string[], nowMs: () => number) {
    this.#named = named;
    this.#nowMs = nowMs;
    for (const url of named) this.add(url);
  }

  add(url: string): void {
    if (!this.#health.has(url)) this.#health.set(url, { failuresInARow: 0, coolUntilMs: 0, reason: '' });
  }

  /** The members as the cluster has them now. Those that the user named stay: they may be other names of the same. */
  replaceLearned(urls: readonly string[]): void {
    const wanted = new Set([...this.#named, ...urls]);
    for (const url of this.#health.keys()) if (!wanted.has(url)) this.#health.delete(url);
    for (const url of wanted) this.add(url);
  }

  get count(): number {
    return this.#health.size;
  }

  /** Where to ask when nobody is known to lead: the same one until it fails, so that its connections are used. */
  any(except: ReadonlySet<string>): string {
    return this.#rested(except)[0] ?? this.#soonest();
  }

  /** Another one each time, for what any node can coordinate. */
  next(except: ReadonlySet<string>): string {
    const rested = this.#rested(except);
    this.#turn += 1;
    return rested[this.#turn % Math.max(1, rested.length)] ?? this.#soonest();
  }

  /** Whether one is left that has not failed lately and is none of `except`. */
  hasRested(except: ReadonlySet<string>): boolean {
    return this.#rested(except).length > 0;
  }

  isCooling(url: string): boolean {
    return (this.#health.get(url)?.coolUntilMs ?? 0) > this.#nowMs();
  }

  /** Every one has failed at its last attempt. */
  allFailed(): boolean {
    return [...this.#health.values()].every(({ failuresInARow }) => failuresInARow > 0);
  }

  answered(url: string): void {
    const health = this.#health.get(url);
    if (health === undefined || health.failuresInARow === 0) return;
    health.failuresInARow = 0;
    health.coolUntilMs = 0;
  }

  failed(url: string, reason: string): void {
    this.add(url);
    const health = this.#health.get(url) as Health;
    const coolMs = Math.min(clientLimits.coolDownMsMax, clientLimits.coolDownMsMin * 2 ** health.failuresInARow);
    // Several requests on one broken connection are one failure.
    if (!this.isCooling(url) || health.failuresInARow === 0) health.failuresInARow += 1;
    health.coolUntilMs = Math.max(health.coolUntilMs, this.#nowMs() + coolMs);
    health.reason = reason;
  }

  /** It asked to be left alone for so long; it has not failed. */
  restFor(url: string, ms: number): void {
    const health = this.#health.get(url);
    if (health !== undefined) health.coolUntilMs = Math.max(health.coolUntilMs, this.#nowMs() + ms);
  }

  /** `127.0.0.1:7001: connection refused, …`, for an error. */
  describe(): string {
    const failed = [...this.#health].filter(([, { failuresInARow }]) => failuresInARow > 0);
    return failed.map(([url, { reason }]) => `${url.slice('http://'.length)}: ${reason}`).join(', ');
  }

  #rested(except: ReadonlySet<string>): string[] {
    return [...this.#health.keys()].filter((url) => !this.isCooling(url) && !except.has(url));
  }

  #soonest(): string {
    const [first, ...others] = [...this.#health];
    if (first === undefined) throw new Error('a store knows at least the nodes that were named');
    return others.reduce((best, one) => (one[1].coolUntilMs < best[1].coolUntilMs ? one : best), first)[0];
  }
}
