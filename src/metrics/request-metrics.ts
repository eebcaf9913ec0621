/** Requests: how long they took, what they came to, and why they were refused. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { errorTable, type ErrorCode } from '../api/errors.ts';
import type { FrontReadings, Operation, RequestMeter, RequestOutcome } from './ports.ts';
import { TalliedHistogram, type Tally } from './tallies.ts';

/** Seconds. A put of a quiet node takes a few ms, most of it for the disk; a deadline is 5 s unless a client says otherwise. */
const durationBounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

type Labels = 'operation' | 'outcome';

export class RequestMetrics implements RequestMeter {
  readonly #duration: TalliedHistogram<Labels>;
  /** As many as there are pairs at most; each is made when first needed. */
  readonly #tallies = new Map<Operation, Map<RequestOutcome, Tally<Labels>>>();
  readonly #refusals = new Map<ErrorCode, Counter.Internal>();
  readonly #slow: Counter;
  readonly #connectionsRefused: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#duration = new TalliedHistogram({
      name: 'flotilla_http_request_duration_seconds',
      help: 'Histogram, seconds: from the headers of a request until its answer was handed to the connection (of a stream, until it began), by operation and outcome. operation="none": answered before it was known, as a refusal on arrival.',
      bounds: durationBounds,
      registry,
    });
    const refusals = new Counter({
      name: 'flotilla_http_refusals_total',
      help: 'Counter, requests: answered with a problem, by its code; a key that is not there and a condition that does not hold among them.',
      labelNames: ['reason'],
      registers,
    });
    // All from the start: the first of its kind is then seen as a step from 0.
    for (const code of Object.keys(errorTable) as ErrorCode[]) {
      const child = refusals.labels(code);
      child.inc(0);
      this.#refusals.set(code, child);
    }
    this.#slow = new Counter({
      name: 'flotilla_http_slow_requests_total',
      help: 'Counter, requests: that took longer than limits.slowRequestMs, logged or not.',
      registers,
    });
    this.#connectionsRefused = new Counter({
      name: 'flotilla_http_connections_refused_total',
      help: 'Counter, connections: not let in as limits.connectionsMax were open.',
      registers,
    });
  }

  answered(operation: Operation, outcome: RequestOutcome, ms: number): void {
    let outcomes = this.#tallies.get(operation);
    if (outcomes === undefined) this.#tallies.set(operation, (outcomes = new Map<RequestOutcome, Tally<Labels>>()));
    let tally = outcomes.get(outcome);
    if (tally === undefined) outcomes.set(outcome, (tally = this.#duration.tally({ operation, outcome })));
    tally.observe(ms / 1000);
  }

  refused(code: ErrorCode): void {
    this.#refusals.get(code)?.inc();
  }

  slow(): void {
    this.#slow.inc();
  }

  connectionRefused(): void {
    this.#connectionsRefused.inc();
  }
}

export class FrontGauges {
  readonly #requests: Gauge;
  readonly #connections: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#requests = new Gauge({
      name: 'flotilla_http_requests_in_flight',
      help: 'Gauge, requests: under way in this node, watches left out; above limits.requestsMax more are refused.',
      registers,
    });
    this.#connections = new Gauge({
      name: 'flotilla_http_connections',
      help: 'Gauge, connections: of clients, open now.',
      registers,
    });
  }

  take({ requests, connections }: FrontReadings): void {
    this.#requests.set(requests);
    this.#connections.set(connections);
  }
}
