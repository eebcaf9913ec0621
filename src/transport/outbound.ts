/** One connection that this node dials to a peer, on either lane, from the first packet to its end. */
import { connect } from 'node:net';
import type { Message } from '../raft/types.ts';
import type { Hello, Lane, NodeId, PartitionId } from '../replica/ports.ts';
import { Connection, type ConnectionEnd, type SendResult } from './connection.ts';
import { carriesRaft, helloTo, refusalOf, type TransportContext } from './context.ts';
import type { Frame } from './frames.ts';
import { requestFailure, RequestTable, type EncodedRequest } from './requests.ts';

export interface PeerAddress {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
}

export type OutboundEnd =
  /** It was up for so many milliseconds. */
  | { readonly type: 'lost'; readonly reason: string; readonly upMs: number }
  /** Refused by the machine: there is no listener at the address. */
  | { readonly type: 'nobody_listens'; readonly reason: string }
  /** The peer's machine took the connection, and it ended before a word was said. */
  | { readonly type: 'cut_short'; readonly reason: string }
  | { readonly type: 'failed'; readonly reason: string };

export interface OutboundHandlers {
  onUp(): void;
  /** Once, unless `close` was called. All requests have failed. */
  onEnded(end: OutboundEnd): void;
}

interface OutboundOptions {
  readonly address: PeerAddress;
  readonly lane: Lane;
  readonly context: TransportContext;
  readonly handlers: OutboundHandlers;
}

export class Outbound {
  readonly #options: OutboundOptions;
  readonly #connection: Connection;
  readonly #requests: RequestTable;
  #phase: 'connecting' | 'shaking_hands' | 'up' | 'ended' = 'connecting';
  #carriesRaft = false;
  #upSince = 0;
  #flushPlanned = false;

  constructor(options: OutboundOptions) {
    this.#options = options;
    const { address, lane, context } = options;
    const { config, clock } = context;
    this.#requests = new RequestTable(clock);
    const socket = connect({ host: address.host, port: address.port });
    this.#connection = new Connection(socket, config, {
      onFrame: (frame) => this.#onFrame(frame),
      onClosed: (end) => {
        cancelTimeout();
        this.#onClosed(end);
      },
    });
    let cancelTimeout = clock.after(config.connectTimeoutMs, () => {
      this.#connection.close(`no connection within ${config.connectTimeoutMs} ms`);
    });
    socket.once('connect', () => {
      cancelTimeout();
      if (this.#phase !== 'connecting') return;
      this.#phase = 'shaking_hands';
      cancelTimeout = clock.after(config.handshakeTimeoutMs, () => {
        if (!this.up) this.#connection.close(`no handshake within ${config.handshakeTimeoutMs} ms`);
      });
      this.#connection.sendHello(helloTo(context.self(), { to: address.nodeId, lane }));
    });
  }

  get up(): boolean {
    return this.#phase === 'up';
  }

  /** Both ends named the same cluster. */
  get carriesRaft(): boolean {
    return this.#carriesRaft;
  }

  get queuedBytes(): number {
    return this.#connection.queuedBytes;
  }

  get requestsWaiting(): number {
    return this.#requests.size;
  }

  sendMessage(partition: PartitionId, message: Message): SendResult {
    return this.#connection.sendMessage(partition, message);
  }

  /** Only when up. */
  request(request: EncodedRequest, timeoutMs: number): Promise<unknown> {
    const { config } = this.#options.context;
    const { nodeId } = this.#options.address;
    if (this.#requests.size >= config.requestsMax) {
      const reason = `${config.requestsMax} requests to ${nodeId} wait already`;
      return Promise.reject(requestFailure({ sent: false, reason }));
    }
    const id = this.#requests.nextId();
    const result = this.#connection.sendRequest(id, request);
    if (result !== 'queued') {
      return Promise.reject(requestFailure({ sent: false, reason: `not sent to ${nodeId}: ${result}` }));
    }
    this.#planFlush();
    return this.#requests.add(id, timeoutMs);
  }

  flush(): void {
    if (this.up && this.#connection.flush()) this.#requests.markSent();
  }

  /** Once every `pingIntervalMs`. */
  beat(): void {
    if (!this.up) return;
    this.#connection.sendPing();
    this.flush();
    this.#connection.beat();
  }

  /** At once, and without a call to `onEnded`. Requests that wait fail. */
  close(reason: string): void {
    this.#phase = 'ended';
    this.#connection.close(reason);
    this.#failRequests(reason);
  }

  #onFrame(frame: Frame): void {
    if (this.#phase === 'shaking_hands') {
      if (frame.type === 'hello') this.#finishHandshake(frame.hello);
      if (frame.type === 'refusal') this.#refused(`refused by the peer: ${frame.reason}`);
      return;
    }
    if (!this.up) return;
    switch (frame.type) {
      case 'pong':
        return;
      case 'response':
        return this.#requests.settle(frame.id, frame.payload);
      case 'failure':
        return this.#requests.fail(frame.id, frame.reason);
      case 'hello':
      case 'refusal':
      case 'raft':
      case 'ping':
      case 'request':
        this.#options.context.warnings.warn('bad_frame', 'unexpected frame: connection closed', {
          peer: this.#options.address.nodeId,
          frame: frame.type,
        });
        return this.#connection.close(`a ${frame.type} frame where only answers belong`);
    }
  }

  #finishHandshake(hello: Hello): void {
    const { address, lane, context, handlers } = this.#options;
    const refusal = this.#wrongAnswer(hello) ?? refusalOf(hello, context);
    if (refusal !== undefined) return this.#refused(refusal);
    this.#connection.establish();
    this.#phase = 'up';
    this.#carriesRaft = carriesRaft(context.self(), hello);
    this.#upSince = context.clock.monotonicMs();
    context.logger.debug({ peer: address.nodeId, lane }, 'connection to peer up');
    handlers.onUp();
  }

  #wrongAnswer(hello: Hello): string | undefined {
    const { address, lane } = this.#options;
    if (hello.nodeId !== address.nodeId) return `${hello.nodeId} answers at the address of ${address.nodeId}`;
    if (hello.lane !== lane) return `${hello.nodeId} took the ${lane} connection for ${hello.lane}`;
    return undefined;
  }

  #refused(reason: string): void {
    const { address, lane, context } = this.#options;
    const { nodeId, host, port } = address;
    context.warnings.warn('handshake_failed', 'no connection to peer', { peer: nodeId, lane, host, port, reason });
    this.#connection.close(reason);
  }

  #onClosed({ kind, reason }: ConnectionEnd): void {
    const phase = this.#phase;
    if (phase === 'ended') return;
    this.#phase = 'ended';
    const { address, lane, context, handlers } = this.#options;
    const { nodeId, host, port } = address;
    if (kind === 'bad_frame') {
      context.warnings.warn('bad_frame', 'bad frame: connection closed', { peer: nodeId, lane, host, port, reason });
    }
    context.logger.debug({ peer: nodeId, lane, host, port, reason }, 'connection to peer ended');
    this.#failRequests(reason);
    if (phase === 'up') {
      return handlers.onEnded({ type: 'lost', reason, upMs: context.clock.monotonicMs() - this.#upSince });
    }
    if (kind === 'nobody_listens') return handlers.onEnded({ type: 'nobody_listens', reason });
    const cutShort = phase === 'shaking_hands' && kind === 'lost';
    return handlers.onEnded({ type: cutShort ? 'cut_short' : 'failed', reason });
  }

  #failRequests(reason: string): void {
    const { address, lane } = this.#options;
    const what = lane === 'bulk' ? 'bulk connection' : 'connection';
    this.#requests.failAll(`${what} to ${address.nodeId} lost: ${reason}`);
  }

  #planFlush(): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    setImmediate(() => {
      this.#flushPlanned = false;
      this.flush();
    });
  }
}
