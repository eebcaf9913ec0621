/**
 * One request to one node and what came of it, over connections that are kept. On `node:http`: loading `undici` takes 220 ms
 * of one core, which every command would pay.
 */
import { Agent, request as httpRequest, type ClientRequest, type IncomingHttpHeaders } from 'node:http';

export interface HttpRequest {
  readonly method: string;
  /** Without a trailing slash. */
  readonly node: string;
  /** Path and query; sent as it is. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | undefined;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
}

export interface HttpAnswer {
  readonly type: 'answer';
  readonly status: number;
  /** Names in lower case. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface HttpFailure {
  readonly type: 'failure';
  /** For a person: `connection refused`. */
  readonly reason: string;
  /** Nothing of the request has left: it certainly has no effect. */
  readonly neverSent: boolean;
  readonly timedOut: boolean;
  /** On a connection from an earlier request, which the node may have closed just then: it says little about the node. */
  readonly onOldConnection: boolean;
  readonly cause: Error;
}

/** Owns the connections: a pool for each node. */
export class HttpExchanger {
  readonly #agent: Agent;
  readonly #open = new Set<ClientRequest>();

  constructor(connectionsPerNode: number) {
    // The last one used first: the others grow idle and are closed by the nodes.
    this.#agent = new Agent({ keepAlive: true, maxSockets: connectionsPerNode, scheduling: 'lifo' });
  }

  /** Never rejects. */
  send(request: HttpRequest): Promise<HttpAnswer | HttpFailure> {
    return new Promise((resolve) => {
      const { body } = request;
      const outgoing = beginRequest(request, this.#agent);
      const attempt = new Attempt(outgoing, request);
      this.#open.add(outgoing);
      outgoing.on('close', () => this.#open.delete(outgoing));
      outgoing.on('response', (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
        incoming.on('error', (error) => resolve(attempt.failure(error)));
        incoming.on('end', () => {
          attempt.end();
          const { statusCode = 0, headers: answered } = incoming;
          resolve({ type: 'answer', status: statusCode, headers: answered, body: Buffer.concat(chunks) });
        });
      });
      outgoing.on('error', (error) => resolve(attempt.failure(error)));
      outgoing.end(body);
    });
  }

  /** Breaks what is under way, and what waits for a connection. */
  close(): void {
    for (const outgoing of this.#open) outgoing.destroy(new Error('the store was closed'));
    this.#agent.destroy();
  }
}

/** Not sent before it is ended. `agent` false: on a connection of its own, which ends with it. */
export function beginRequest(request: HttpRequest, agent: Agent | false): ClientRequest {
  const { method, node, path, headers, body } = request;
  const { hostname, port } = new URL(node);
  const host = hostname.replace(/^\[|\]$/g, '');
  const length = body === undefined || body.length === 0 ? {} : { 'Content-Length': String(body.length) };
  return httpRequest({
    ...{ method, host, port: port === '' ? 80 : Number(port), path, agent },
    headers: { ...headers, ...length },
  });
}

/** How far a request has come, and its two time limits. */
export class Attempt {
  readonly #outgoing: ClientRequest;
  readonly #timers: NodeJS.Timeout[] = [];
  #sent = false;
  #timedOut: string | undefined;

  constructor(outgoing: ClientRequest, { timeoutMs, connectTimeoutMs }: HttpRequest) {
    this.#outgoing = outgoing;
    const limit = (ms: number, reason: string): NodeJS.Timeout => {
      const timer = setTimeout(() => {
        this.#timedOut = reason;
        outgoing.destroy(new Error(reason));
      }, ms);
      this.#timers.push(timer);
      return timer;
    };
    limit(timeoutMs, `no answer within ${Math.round(timeoutMs)} ms`);
    outgoing.on('socket', (socket) => {
      if (!socket.connecting) {
        this.#sent = true;
        return;
      }
      const connecting = limit(connectTimeoutMs, `no connection within ${connectTimeoutMs} ms`);
      socket.once('connect', () => {
        this.#sent = true;
        clearTimeout(connecting);
      });
    });
  }

  end(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  failure(error: Error): HttpFailure {
    this.end();
    const timedOut = this.#timedOut !== undefined;
    return {
      type: 'failure',
      reason: this.#timedOut ?? reasonOf(error),
      neverSent: !this.#sent,
      timedOut,
      onOldConnection: this.#outgoing.reusedSocket && !timedOut,
      cause: error,
    };
  }
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name could not be looked up',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'no connection in time',
};

/** For a person. */
export function reasonOf(error: Error): string {
  // A name with several addresses fails with one error for each.
  const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  const { code, message } = (errors[0] ?? error) as NodeJS.ErrnoException;
  if (code?.startsWith('HPE_') === true) return 'what answers there is no HTTP';
  return words[code ?? ''] ?? (message === '' ? (code ?? 'the connection failed') : message);
}
