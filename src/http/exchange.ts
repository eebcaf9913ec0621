/**
 * One request and its one answer. Every answer of the node leaves through here; all but streams whole: status, headers and body
 * in one write, so that nothing is ever half answered.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errorTable, problem, problemContentType, type ErrorCode } from '../api/errors.ts';
import { assert } from '../assert.ts';
import type { Operation } from '../metrics/ports.ts';
import { AnswerStream } from './answer-stream.ts';
import type { Connection } from './connection.ts';
import type { Failure } from './failure.ts';
import { splitTarget } from './target.ts';

/** What an exchange asks of the front it belongs to. */
export interface ExchangeHost {
  readonly nodeId: string;
  readonly lingerTimeoutMs: number;
  /** Bodies that are left unread up to so many bytes are drained and the connection kept; beyond it is closed. */
  readonly unreadBytesMax: number;
  /** A reader of a stream who takes nothing for so long is gone. */
  readonly streamStallTimeoutMs: number;
  draining(): boolean;
  newRequestId(): string;
  /** Sees each answer before it leaves, and may add to its headers. */
  answering(exchange: Exchange, status: number, headers: string[]): void;
  /** Hears of each request that is answered with a problem. */
  refused(code: ErrorCode): void;
  finished(exchange: Exchange): void;
  /** It stays open, and is no work for the node: counted elsewhere from now on. */
  detached(): void;
}

export class Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  /** Changes nothing, whatever it meets. */
  readonly safe: boolean;
  /** Takes its turn on its connection; one refused on arrival never does. */
  entered = false;
  detached = false;
  /** For metrics and logs. */
  operation: Operation = 'none';
  /** Its headers had come, monotonic ms. */
  readonly begunAt = performance.now();
  /** It is being answered, or was. */
  begunAnswer = false;
  readonly #host: ExchangeHost;
  #awaitsContinue: boolean;
  #finished = false;
  #requestId: string | undefined;

  constructor(options: {
    readonly request: IncomingMessage;
    readonly response: ServerResponse;
    readonly connection: Connection;
    readonly awaitsContinue: boolean;
    readonly host: ExchangeHost;
  }) {
    this.request = options.request;
    this.response = options.response;
    this.connection = options.connection;
    const { method, url = '' } = options.request;
    this.safe = (method === 'GET' && !changesByGet(url)) || method === 'HEAD';
    this.#awaitsContinue = options.awaitsContinue;
    this.#host = options.host;
  }

  /** Answers. `headers` is name, value, name, value, and is taken over. Length, node and connection are added here. */
  answer(status: number, headers: string[], body: Buffer | string): void {
    const requestId = this.#requestId ?? this.#sentRequestId();
    if (requestId !== undefined) headers.push('X-Request-Id', requestId);
    this.#write(status, headers, body);
  }

  /** 304: the client has it already. */
  notModified(headers: string[]): void {
    this.answer(304, headers, '');
  }

  json(status: number, body: object, headers: string[] = []): void {
    headers.push('Content-Type', 'application/json', 'Cache-Control', 'no-store');
    this.answer(status, headers, `${JSON.stringify(body)}\n`);
  }

  /** Begins an answer whose length nobody knows yet. It has to be ended. */
  stream(headers: string[]): AnswerStream {
    const requestId = this.#requestId ?? this.#sentRequestId();
    if (requestId !== undefined) headers.push('X-Request-Id', requestId);
    // A body that nobody asked for is not read beside it: the connection ends with the answer.
    if (this.#leavesBodyUnread()) this.connection.closing = true;
    this.#writeHead(200, headers);
    const { response, connection } = this;
    const { streamStallTimeoutMs: stallTimeoutMs } = this.#host;
    return new AnswerStream({ response, connection, stallTimeoutMs, ended: () => this.#finish() });
  }

  /** The client's name for the request, or one of ours: the same one at every call. */
  requestId(): string {
    return (this.#requestId ??= this.#sentRequestId() ?? this.#host.newRequestId());
  }

  problem(failure: Failure): void {
    this.#host.refused(failure.code);
    const requestId = this.requestId();
    const headers = ['Content-Type', problemContentType, 'Cache-Control', 'no-store', 'X-Request-Id', requestId];
    if (failure.headers !== undefined) headers.push(...failure.headers);
    const { code, detail, outcome, partition, leader, revision } = failure;
    const body = problem({ code, detail, requestId, outcome, partition, leader, revision });
    this.#write(errorTable[code].status, headers, `${JSON.stringify(body)}\n`);
  }

  /** The body is wanted now: lets a client that waits for it send it. */
  welcomeBody(): void {
    if (!this.#awaitsContinue) return;
    this.#awaitsContinue = false;
    this.response.writeContinue();
  }

  /** The client went away before its request was whole: nothing was done, and nobody is there to be told. */
  abandon(): void {
    this.#finish();
  }

  /** Something broke after or within the answer: the connection cannot be saved. */
  breakOff(): void {
    this.connection.socket.destroy();
    this.#finish();
  }

  /** It no longer counts among the requests under way: it may stay open for days. */
  detach(): void {
    assert(!this.detached && !this.#finished, 'an exchange is detached once, while it is open');
    this.detached = true;
    this.#host.detached();
  }

  get answered(): boolean {
    return this.#finished;
  }

  #write(status: number, headers: string[], body: Buffer | string): void {
    assert(!this.#finished, 'a request is answered once');
    const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    // A 304 would have to name the length of what it does not send (RFC 9110, section 8.6).
    if (status !== 304) headers.push('Content-Length', String(length));
    const lingers = this.#leavesBodyUnread();
    this.#writeHead(status, headers, lingers);
    if (lingers) this.#linger(body);
    else this.response.end(body);
    this.#finish();
  }

  #writeHead(status: number, headers: string[], lingers = false): void {
    this.begunAnswer = true;
    this.#host.answering(this, status, headers);
    headers.push('Flotilla-Node', this.#host.nodeId);
    const { connection, response } = this;
    // Of pipelined answers only the last may close: Node drops those behind it.
    const last = !this.entered || connection.unanswered === 1;
    if (lingers || (last && (connection.closing || this.#host.draining()))) {
      headers.push('Connection', 'close');
      connection.closing = true;
    } else if (!response.shouldKeepAlive) {
      connection.closing = true;
    }
    response.writeHead(status, headers);
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#host.finished(this);
  }

  /** A client that waits for "100 Continue" may or may not send its body after a refusal, so it cannot be skipped. */
  #leavesBodyUnread(): boolean {
    if (this.request.complete) return false;
    if (this.#awaitsContinue) return true;
    const { headers } = this.request;
    if (headers['transfer-encoding'] !== undefined) return true;
    return Number(headers['content-length'] ?? 0) > this.#host.unreadBytesMax;
  }

  /**
   * Gives the whole answer, then drops what the client still sends until it stops or `lingerTimeoutMs` is over, and
   * only then closes: closing a socket with unread bytes resets it, and the reset may overtake the answer.
   */
  #linger(body: Buffer | string): void {
    const { request, response } = this;
    if (request.method === 'HEAD') response.flushHeaders();
    else response.write(body);
    const close = (): void => {
      clearTimeout(timer);
      response.end();
    };
    const timer = setTimeout(close, this.#host.lingerTimeoutMs);
    request.removeAllListeners('data');
    request.once('end', close).once('close', close).resume();
  }

  /** The client's own name for the request, where it is 1 to 128 visible ASCII characters. */
  #sentRequestId(): string | undefined {
    const sent = this.request.headers['x-request-id'];
    return typeof sent === 'string' && /^[\x21-\x7e]{1,128}$/.test(sent) ? sent : undefined;
  }
}

/** The one route that changes something on a GET, for people who type into a browser; pages of others may not use it. */
function changesByGet(url: string): boolean {
  return url.includes('/set') && splitTarget(url).path === '/set';
}
