/**
 * Requests to a node over kept-alive connections. On `node:http`, because loading `undici` takes longer (220 ms on one of
 * two cores) than a node takes to start.
 */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** For the whole exchange. Default 10,000. */
  readonly timeoutMs?: number;
  /** Follow 307 answers, at most this many. Default 0. */
  readonly redirectsMax?: number;
}

export interface Response {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as text. */
  text(): string;
  /** The body as JSON; throws when it is none. */
  json(): unknown;
}

export class HttpClient {
  readonly #agent: Agent;

  /** `idleConnectionsMax`: kept to each node for the next request; those beyond are closed. */
  constructor({ idleConnectionsMax = 256 }: { readonly idleConnectionsMax?: number | undefined } = {}) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: 256, maxFreeSockets: idleConnectionsMax });
  }

  /** Rejects when there is no answer: refused, reset, or nothing within `timeoutMs`. The request may have been acted upon. */
  async request(method: string, url: string, options: RequestOptions = {}): Promise<Response> {
    let target = url;
    for (let redirects = 0; ; redirects += 1) {
      const response = await this.#exchange(method, target, options);
      const location = response.headers.location;
      if (response.status !== 307 || location === undefined || redirects >= (options.redirectsMax ?? 0))
        return response;
      target = new URL(location, target).href;
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #exchange(method: string, url: string, options: RequestOptions): Promise<Response> {
    const timeoutMs = options.timeoutMs ?? 10_000;
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest(
        url,
        { method, headers: { ...options.headers }, agent: this.#agent, signal: AbortSignal.timeout(timeoutMs) },
        (incoming) => {
          const chunks: Buffer[] = [];
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
          incoming.on('error', reject);
          incoming.on('end', () => {
            const body = Buffer.concat(chunks);
            const text = (): string => body.toString('utf8');
            const json = (): unknown => JSON.parse(text()) as unknown;
            resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body, text, json });
          });
        },
      );
      outgoing.on('error', reject);
      outgoing.end(options.body);
    });
  }
}
