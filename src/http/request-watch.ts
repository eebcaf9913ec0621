/** Each request as it is answered: counted, and told of when it was slow. On the way of every one of them, so nearly free. */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { RequestMeter, RequestOutcome } from '../metrics/ports.ts';
import type { Exchange } from './exchange.ts';
import { SlowRequests } from './slow-requests.ts';

export class RequestWatch {
  readonly #meter: RequestMeter;
  readonly #slowMs: number;
  readonly #slow: SlowRequests;

  constructor(meter: RequestMeter, limits: Config['limits'], logger: Logger) {
    this.#meter = meter;
    this.#slowMs = limits.slowRequestMs === 0 ? Infinity : limits.slowRequestMs;
    this.#slow = new SlowRequests(logger, limits.slowRequestLinesMax);
  }

  /** `headers`, name, value, name, value, are about to be sent; an answer that has a line in the log is given that line's request id. */
  answering(exchange: Exchange, status: number, headers: string[]): void {
    const outcome = outcomeOf(status);
    const ms = this.#count(exchange, outcome);
    if (ms < this.#slowMs) return;
    this.#tell(exchange, {
      outcome,
      status,
      ms,
      partition: numberIn(headers, partitionName),
      term: numberIn(headers, termName),
    });
    if (!headers.includes(requestIdName)) headers.push(requestIdName, exchange.requestId());
  }

  /** The client went away before it was answered. */
  gone(exchange: Exchange): void {
    const ms = this.#count(exchange, 'gone');
    if (ms >= this.#slowMs) this.#tell(exchange, { outcome: 'gone', status: undefined, ms });
  }

  close(): void {
    this.#slow.close();
  }

  #count({ operation, begunAt }: Exchange, outcome: RequestOutcome): number {
    const ms = performance.now() - begunAt;
    this.#meter.answered(operation, outcome, ms);
    return ms;
  }

  #tell(
    exchange: Exchange,
    what: Omit<Parameters<SlowRequests['tell']>[0], 'requestId' | 'method' | 'operation'>,
  ): void {
    this.#meter.slow();
    const { operation, request } = exchange;
    this.#slow.tell({ requestId: exchange.requestId(), method: request.method, operation, ...what });
  }
}

const requestIdName = 'X-Request-Id';
const partitionName = 'Flotilla-Partition';
const termName = 'Flotilla-Term';

function numberIn(headers: readonly string[], name: string): number | undefined {
  const at = headers.indexOf(name);
  return at === -1 ? undefined : Number(headers[at + 1]);
}

function outcomeOf(status: number): RequestOutcome {
  switch (status) {
    case 303:
    case 304:
      return 'ok';
    case 307:
      return 'redirected';
    case 404:
      return 'not_found';
    case 412:
      return 'condition_failed';
    case 429:
      return 'overloaded';
    case 503:
    case 507:
      return 'unavailable';
    case 504:
      return 'unknown';
    default:
      if (status < 300) return 'ok';
      return status < 500 ? 'refused' : 'error';
  }
}
