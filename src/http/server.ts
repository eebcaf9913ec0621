/** The HTTP listener of a node: its limits, its connections, and how it drains. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer, type AddressInfo, type Socket } from 'node:net';
import type { ErrorCode } from '../api/errors.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { FrontMetrics, FrontReadings } from '../metrics/ports.ts';
import { createApplication, type Application } from './application.ts';
import { answerBeforeRequest, answerBrokenRequest } from './broken-request.ts';
import { Connection } from './connection.ts';
import { Exchange, type ExchangeHost } from './exchange.ts';
import { failure } from './failure.ts';
import { maybeHandleFast } from './fast-path.ts';
import type { FrontContext } from './front-context.ts';
import { allowAll, checkAdmission, checkRequest } from './gate.ts';
import { LoopLag } from './loop-lag.ts';
import { RequestIds } from './request-ids.ts';
import { RequestWatch } from './request-watch.ts';

export interface HttpServer {
  /** Where it listens, without a trailing slash. */
  readonly url: string;
  /** How many client connections are open now. */
  connections(): number;
  /**
   * Lets nobody new in, and from then on asks with each answer that its connection be closed, so that clients go elsewhere; closes idle
   * connections after `drainIdleMs`, lets what is under way finish for up to `graceMs`, then cuts the rest off. Never rejects.
   */
  close(graceMs: number): Promise<void>;
}

/** The listener could not be opened; the message is fit for the start-up line. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  /** The system's word for it, such as EADDRINUSE. */
  readonly code: string;

  constructor(message: string, code: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** Listens on `config.http`; port 0 takes a free one. Rejects with a `ListenError`. */
export async function startHttp(options: {
  readonly node: NodeFacade;
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: FrontMetrics;
}): Promise<HttpServer> {
  const front = new Front(options);
  const { host } = options.config.http;
  const port = await listen(front.server, host, options.config.http.port);
  options.metrics.followFront(() => front.readings());
  // A connection that could not be taken in (no file descriptors left) is no reason to stop serving the others.
  front.server.on('error', (error) => options.logger.error({ err: error }, 'the HTTP listener met an error'));
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    connections: () => front.openConnections,
    close: (graceMs) => front.close(graceMs),
  };
}

/** While it drains, connections are looked at so often. */
const drainLookMs = 5;
/** A turn of the loop this short leaves nobody waiting at the listener; on a busy machine it may take a few. */
const quietLookMs = 0.5;
const quietLooksMax = 200;

/** Owns the listener, its connections and the count of requests under way. */
class Front implements ExchangeHost {
  readonly server: Server;
  readonly nodeId: string;
  readonly lingerTimeoutMs: number;
  readonly unreadBytesMax: number;
  readonly streamStallTimeoutMs: number;
  readonly #context: FrontContext;
  readonly #application: Application;
  readonly #connections = new Map<Socket, Connection>();
  readonly #requestIds = new RequestIds();
  readonly #watch: RequestWatch;
  readonly #lag = new LoopLag();
  /** Connections let in until now. */
  opened = 0;
  #requests = 0;
  #retiring = false;
  #draining = false;

  constructor(context: FrontContext) {
    this.#context = context;
    this.nodeId = context.node.nodeId;
    this.lingerTimeoutMs = context.config.limits.lingerTimeoutMs;
    this.unreadBytesMax = context.config.limits.unreadBytesMax;
    this.streamStallTimeoutMs = context.config.limits.streamStallTimeoutMs;
    this.#application = createApplication(context);
    this.#watch = new RequestWatch(context.metrics.requests, context.config.limits, context.logger);
    this.server = createServer(serverOptions(context.config.limits));
    this.server.maxConnections = context.config.limits.connectionsMax;
    // The bytes of all headers are bounded; a bound on their number would drop the rest in silence.
    this.server.maxHeadersCount = 0;
    this.#listen();
  }

  draining(): boolean {
    return this.#retiring;
  }

  newRequestId(): string {
    return this.#requestIds.next();
  }

  answering(exchange: Exchange, status: number, headers: string[]): void {
    this.#watch.answering(exchange, status, headers);
  }

  refused(code: ErrorCode): void {
    this.#context.metrics.requests.refused(code);
  }

  detached(): void {
    this.#requests -= 1;
  }

  finished(exchange: Exchange): void {
    if (!exchange.detached) this.#requests -= 1;
    if (!exchange.begunAnswer) this.#watch.gone(exchange);
    const { connection } = exchange;
    if (exchange.entered) connection.leave();
  }

  readings(): FrontReadings {
    return { requests: this.#requests, connections: this.#connections.size };
  }

  get openConnections(): number {
    return this.#connections.size;
  }

  /**
   * A request may be on its way on a connection that looks idle here; closed under it, its client could not tell whether
   * it was acted upon. So nobody new is let in, which tells them that nothing was done; and each connection is given a
   * while to be used once more and to be told.
   *
   * Not before the listener is closed: whoever is told to close its connection comes back on a new one at once, and those are what is
   * lost when a listener closes.
   */
  async close(graceMs: number): Promise<void> {
    await this.#untilNobodyKnocks();
    // The listener alone: closing the HTTP server closes its idle connections, too.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.server, () => resolve()));
    this.#retiring = true;
    // They would last for as long as their clients like.
    this.#context.node.endWatches();
    await this.#untilUnused();
    this.#draining = true;
    // Connections with a request under way are closed by its answer, which says so.
    for (const connection of this.#connections.values()) {
      if (connection.unanswered === 0) answerBeforeRequest(connection, this);
    }
    const cutOff = setTimeout(() => this.server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(cutOff);
    this.#watch.close();
    this.#lag.close();
    // What is left is its timer.
    this.server.close(() => undefined);
  }

  /**
   * A connection that has knocked and was not let in is reset as the listener closes, and whoever has sent a request on it
   * knows nothing of it. So that moment is right behind a look at the sockets that was short and found no one new.
   */
  async #untilNobodyKnocks(): Promise<void> {
    for (let looks = 0; looks < quietLooksMax; looks += 1) {
      const { opened } = this;
      const startedAt = performance.now();
      await new Promise((resolve) => setImmediate(resolve));
      if (this.opened === opened && performance.now() - startedAt < quietLookMs) return;
    }
  }

  /** Until every connection that is open has work, which ends it, or had its time. */
  #untilUnused(): Promise<void> {
    const { drainIdleMs } = this.#context.config.limits;
    const startedAt = performance.now();
    return new Promise((resolve) => {
      const look = (): void => {
        const idle = [...this.#connections.values()].some(({ unanswered }) => unanswered === 0);
        if (idle && performance.now() - startedAt < drainIdleMs) setTimeout(look, drainLookMs);
        else resolve();
      };
      look();
    });
  }

  #listen(): void {
    const { server } = this;
    server.on('connection', (socket) => {
      this.opened += 1;
      this.#connections.set(socket, new Connection(socket, (exchange) => this.#serve(exchange)));
      socket.once('close', () => this.#connections.delete(socket));
    });
    server.on('request', (request, response) => this.#accept(request, response, false));
    server.on('checkContinue', (request, response) => this.#accept(request, response, true));
    server.on('checkExpectation', (request, response) => {
      const exchange = this.#begin(request, response, true);
      if (exchange === undefined) return;
      exchange.problem(failure('expectation_failed', 'The only expectation that is understood is 100-continue.'));
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#connections.get(socket as Socket);
      if (connection === undefined) socket.destroy();
      else answerBrokenRequest({ error, connection, host: this });
    });
    server.on('drop', () => {
      this.#context.metrics.requests.connectionRefused();
      this.#context.logger.warn(
        { connectionsMax: server.maxConnections },
        'HTTP connection refused: too many are open',
      );
    });
  }

  #begin(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): Exchange | undefined {
    const connection = this.#connections.get(request.socket);
    // After a last answer nothing more is served on a connection (RFC 9112, section 9.6).
    if (connection === undefined || connection.closing) return undefined;
    this.#requests += 1;
    return new Exchange({ request, response, connection, awaitsContinue, host: this });
  }

  #accept(request: IncomingMessage, response: ServerResponse, awaitsContinue: boolean): void {
    const exchange = this.#begin(request, response, awaitsContinue);
    if (exchange === undefined) return;
    const load = { draining: this.#draining, requests: this.#requests, loopLagMs: this.#lag.lastingMs };
    const refusal = checkAdmission(this.#context.config.limits, exchange, load);
    if (refusal === undefined) exchange.connection.enter(exchange);
    else exchange.problem(refusal);
  }

  #serve(exchange: Exchange): void {
    // It waited for its turn, and the client is gone: nothing of it was begun, nobody is there to be told.
    if (exchange.connection.socket.destroyed) return exchange.abandon();
    const refusal = checkRequest(this.#context.config.limits, allowAll, exchange);
    if (refusal !== undefined) return exchange.problem(refusal);
    if (!maybeHandleFast(this.#context, exchange)) this.#application(exchange);
  }
}

function serverOptions(limits: Config['limits']): Parameters<typeof createServer>[0] & object {
  return {
    maxHeaderSize: limits.headerBytesMax,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.receiveTimeoutMs,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    connectionsCheckingInterval: limits.connectionCheckIntervalMs,
    // Checked with our own words in `gate.ts`.
    requireHostHeader: false,
    noDelay: true,
  };
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException): void => {
      const code = error.code ?? 'unknown';
      const reason = code === 'EADDRINUSE' ? 'the port is in use' : error.message;
      reject(new ListenError(`the HTTP listener cannot open ${host}:${port}: ${reason}`, code, error));
    };
    server.once('error', refuse);
    server.listen(port, host, () => {
      server.off('error', refuse);
      resolve((server.address() as AddressInfo).port);
    });
  });
}
