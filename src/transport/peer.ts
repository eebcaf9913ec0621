/**
 * One other node, as this node talks to it: the outbound connection, kept up by dialing again whenever it is lost.
 * Raft messages and requests leave here; only answers come back here. What the peer asks comes in by the listener.
 */
import { connect } from 'node:net';
import type { Message } from '../raft/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { Connection } from './connection.ts';
import { carriesRaft, helloTo, refusalOf, type TransportContext } from './context.ts';
import type { Frame } from './frames.ts';
import { encodePayload, kindBytesMax, requestFailure, RequestTable } from './requests.ts';

export interface PeerAddress {
  readonly nodeId: NodeId;
  readonly host: string;
  readonly port: number;
}

type PeerState =
  | { readonly type: 'waiting'; readonly cancel: () => void }
  | { readonly type: 'dialing'; readonly connection: Connection }
  | {
      readonly type: 'up';
      readonly connection: Connection;
      readonly carriesRaft: boolean;
      readonly since: number;
      readonly requests: RequestTable;
    }
  | { readonly type: 'closed' };

export class Peer {
  readonly address: PeerAddress;
  readonly #context: TransportContext;
  #state: PeerState = { type: 'closed' };
  /** Connections that failed or were lost soon, since the last one that lasted; 0 means that the next is dialed at once. */
  #failures = 1;
  #flushPlanned = false;
  #droppedMessages = 0;

  constructor(address: PeerAddress, context: TransportContext) {
    this.address = address;
    this.#context = context;
  }

  get up(): boolean {
    return this.#state.type === 'up';
  }

  get queuedBytes(): number {
    return this.#state.type === 'up' ? this.#state.connection.queuedBytes : 0;
  }

  get droppedMessages(): number {
    return this.#droppedMessages;
  }

  send(partition: PartitionId, message: Message): void {
    const state = this.#state;
    if (state.type !== 'up' || !state.carriesRaft) {
      this.#droppedMessages++;
      return;
    }
    const result = state.connection.sendMessage(partition, message);
    if (result === 'queued') return;
    this.#droppedMessages++;
    const details = { peer: this.address.nodeId, partition, message: message.type };
    if (result === 'queue_full')
      this.#context.warnings.warn('queue_full', 'queue to peer is full: message dropped', details);
    if (result === 'too_large')
      this.#context.warnings.warn('message_too_large', 'message exceeds frameBytesMax', details);
  }

  async request(kind: string, payload: unknown, timeoutMs: number): Promise<unknown> {
    const { config } = this.#context;
    const { nodeId } = this.address;
    const state = this.#state;
    if (state.type !== 'up') throw requestFailure({ sent: false, reason: `not connected to ${nodeId}` });
    if (state.requests.size >= config.requestsMax) {
      throw requestFailure({ sent: false, reason: `${config.requestsMax} requests to ${nodeId} wait already` });
    }
    const kindText = Buffer.from(kind);
    if (kindText.length > kindBytesMax) throw requestFailure({ sent: false, reason: 'the kind is too long' });
    let bytes: Uint8Array;
    try {
      bytes = encodePayload(payload);
    } catch (error) {
      throw requestFailure({ sent: false, reason: `the payload can't be encoded: ${String(error)}` });
    }
    const id = state.requests.nextId();
    const result = state.connection.sendRequest(id, kindText, bytes);
    if (result !== 'queued') throw requestFailure({ sent: false, reason: `not sent to ${nodeId}: ${result}` });
    this.#planFlush();
    return state.requests.add(id, timeoutMs);
  }

  flush(): void {
    const state = this.#state;
    if (state.type === 'up' && state.connection.flush()) state.requests.markSent();
  }

  /** Once every `pingIntervalMs`. */
  beat(): void {
    const state = this.#state;
    if (state.type !== 'up') return;
    state.connection.sendPing();
    this.flush();
    state.connection.beat();
  }

  /** Dials now, unless a connection is up or being made. */
  dialNow(): void {
    const state = this.#state;
    if (state.type === 'up' || state.type === 'dialing') return;
    if (state.type === 'waiting') state.cancel();
    this.#dial();
  }

  /** Gives up the connection, whatever its state, and makes a new one at once. */
  redial(reason: string): void {
    this.close(reason);
    this.#failures = 1;
    this.#dial();
  }

  /** Waiting requests fail; nothing is dialed until `dialNow` or `redial`. */
  close(reason: string): void {
    const state = this.#state;
    this.#state = { type: 'closed' };
    if (state.type === 'waiting') state.cancel();
    if (state.type === 'dialing') state.connection.close(reason);
    if (state.type === 'up') {
      state.connection.close(reason);
      this.#lost(state.requests, reason);
    }
  }

  #dial(): void {
    const { config, clock } = this.#context;
    const { host, port } = this.address;
    const socket = connect({ host, port });
    const connection = new Connection(socket, config, {
      onFrame: (frame) => this.#onFrame(connection, frame),
      onClosed: ({ kind, reason }) => {
        cancelTimeout();
        this.#onClosed(connection, kind, reason);
      },
    });
    this.#state = { type: 'dialing', connection };
    let cancelTimeout = clock.after(config.connectTimeoutMs, () => {
      connection.close(`no connection within ${config.connectTimeoutMs} ms`);
    });
    socket.once('connect', () => {
      cancelTimeout();
      cancelTimeout = clock.after(config.handshakeTimeoutMs, () => {
        if (!this.#isUp(connection)) connection.close(`no handshake within ${config.handshakeTimeoutMs} ms`);
      });
      connection.sendHello(helloTo(this.#context.self(), this.address.nodeId));
    });
  }

  #isUp(connection: Connection): boolean {
    return this.#state.type === 'up' && this.#state.connection === connection;
  }

  #onFrame(connection: Connection, frame: Frame): void {
    const state = this.#state;
    if (state.type === 'dialing') {
      if (frame.type === 'hello') this.#finishHandshake(connection, frame.hello);
      if (frame.type === 'refusal') this.#refused(connection, `refused by the peer: ${frame.reason}`);
      return;
    }
    if (state.type !== 'up') return;
    switch (frame.type) {
      case 'pong':
        return;
      case 'response':
        return state.requests.settle(frame.id, frame.payload);
      case 'failure':
        return state.requests.fail(frame.id, frame.reason);
      case 'hello':
      case 'refusal':
      case 'raft':
      case 'ping':
      case 'request':
        this.#context.warnings.warn('bad_frame', 'unexpected frame: connection closed', {
          peer: this.address.nodeId,
          frame: frame.type,
        });
        return connection.close(`a ${frame.type} frame where only answers belong`);
    }
  }

  #finishHandshake(connection: Connection, hello: Extract<Frame, { type: 'hello' }>['hello']): void {
    const { nodeId } = this.address;
    const wrongNode = hello.nodeId === nodeId ? undefined : `${hello.nodeId} answers at the address of ${nodeId}`;
    const refusal = wrongNode ?? refusalOf(hello, this.#context);
    if (refusal !== undefined) return this.#refused(connection, refusal);
    connection.establish();
    this.#state = {
      type: 'up',
      connection,
      carriesRaft: carriesRaft(this.#context.self(), hello),
      since: this.#context.clock.monotonicMs(),
      requests: new RequestTable(this.#context.clock),
    };
    this.#context.logger.debug({ peer: nodeId }, 'peer up');
    this.#context.handlers.onPeerUp(nodeId);
  }

  #refused(connection: Connection, reason: string): void {
    const { nodeId, host, port } = this.address;
    this.#context.warnings.warn('handshake_failed', 'no connection to peer', { peer: nodeId, host, port, reason });
    connection.close(reason);
  }

  #onClosed(connection: Connection, kind: 'bad_frame' | 'lost', reason: string): void {
    const state = this.#state;
    if ((state.type !== 'dialing' && state.type !== 'up') || state.connection !== connection) return;
    const { nodeId, host, port } = this.address;
    if (kind === 'bad_frame') {
      this.#context.warnings.warn('bad_frame', 'bad frame: connection closed', { peer: nodeId, host, port, reason });
    }
    if (state.type === 'dialing') {
      this.#context.logger.debug({ peer: nodeId, host, port, reason }, 'could not connect to peer');
      this.#dialLater();
      return;
    }
    const { clock, config } = this.#context;
    // One that was up only for a moment may be lost again at once: then the delays go on growing.
    if (clock.monotonicMs() - state.since >= config.reconnectDelayMsMax) this.#failures = 0;
    this.#dialLater();
    this.#lost(state.requests, reason);
  }

  #lost(requests: RequestTable, reason: string): void {
    const { nodeId } = this.address;
    this.#context.logger.debug({ peer: nodeId, reason }, 'peer down');
    requests.failAll(`connection to ${nodeId} lost: ${reason}`);
    this.#context.handlers.onPeerDown(nodeId, reason);
  }

  #dialLater(): void {
    const cancel = this.#context.clock.after(this.#delayMs(), () => this.#dial());
    this.#failures++;
    this.#state = { type: 'waiting', cancel };
  }

  /** None after a connection that lasted; then doubling bounds, and a random point within, so that nodes don't dial in step. */
  #delayMs(): number {
    if (this.#failures === 0) return 0;
    const { reconnectDelayMsMin: min, reconnectDelayMsMax: max } = this.#context.config;
    const bound = Math.min(max, min * 2 ** Math.min(this.#failures, 30));
    return min + this.#context.random() * (bound - min);
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
