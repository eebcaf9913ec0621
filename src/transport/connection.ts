/**
 * One socket that speaks frames, whoever dialed. It cuts what arrives into frames, gathers what is sent into one write
 * per flush, bounds both, and closes exactly once with a reason.
 */
import type { Socket } from 'node:net';
import type { TransportConfig } from '../config.ts';
import type { Hello, PartitionId } from '../replica/ports.ts';
import type { Message } from '../raft/types.ts';
import { decodeFrame, type Frame } from './frames.ts';
import { FrameMemory } from './frame-memory.ts';
import { encodeHello, helloBytes, reasonToBytes } from './hello.ts';
import { FrameInbox } from './inbox.ts';
import { messageBytes } from './messages.ts';
import { FrameOutbox } from './outbox.ts';
import { decodeInPlace, decodePayload } from './payloads.ts';
import type { EncodedRequest } from './requests.ts';
import { frameOverheadBytes, FrameType, WireError } from './wire.ts';

export interface ConnectionHandlers {
  /** Before `establish` only a hello or a refusal comes here. `body` is what the frame was decoded from: see `lendPayloads`. */
  onFrame(frame: Frame, body: Buffer): void;
  /** Once. */
  onClosed(end: ConnectionEnd): void;
}

export interface ConnectionEnd {
  /** `lost` by the peer or the network; `closed` by this node; `nobody_listens`: there is no process at that address. */
  readonly kind: 'bad_frame' | 'nobody_listens' | 'lost' | 'closed';
  readonly reason: string;
}

export type SendResult = 'queued' | 'queue_full' | 'too_large' | 'closed';

export class Connection {
  readonly #socket: Socket;
  readonly #config: TransportConfig;
  readonly #handlers: ConnectionHandlers;
  readonly #inbox: FrameInbox;
  readonly #outbox: FrameOutbox;
  #decodeRequest = decodePayload;
  #phase: 'handshake' | 'established' | 'draining' | 'closed' = 'handshake';
  #heard = false;
  #silentBeats = 0;

  constructor(socket: Socket, config: TransportConfig, handlers: ConnectionHandlers) {
    this.#socket = socket;
    this.#config = config;
    this.#handlers = handlers;
    this.#inbox = new FrameInbox(config.helloBytesMax);
    this.#outbox = new FrameOutbox(Math.min(config.coalesceBytesMax, config.frameBytesMax));
    socket.setNoDelay(true);
    socket.on('data', (chunk) => this.#receive(chunk));
    // The peer ends a connection only by going away: nothing more will be answered.
    socket.on('end', () => this.#fail('lost', 'closed by the peer'));
    socket.on('close', () => this.#fail('lost', 'closed by the peer'));
    socket.on('error', (error: NodeJS.ErrnoException) =>
      this.#fail(isRefused(error) ? 'nobody_listens' : 'lost', error.code ?? error.message),
    );
  }

  /** The handshake is done on this side: any frame may come, up to the full size. */
  establish(): void {
    this.#phase = 'established';
    this.#inbox.bodyBytesMax = this.#config.frameBytesMax + 1;
  }

  /** Requests that come in are not copied from now on: their byte strings are views on the frame's body, until that is given back. */
  lendPayloads(): void {
    this.#decodeRequest = decodeInPlace;
    this.#inbox.memory = new FrameMemory(this.#config.bulkSpareBytesMax);
  }

  /** Nobody looks any more at what was decoded from `body`: its memory serves for a later frame. */
  giveBack(body: Buffer): void {
    this.#inbox.memory?.giveBack(body);
  }

  get closed(): boolean {
    return this.#phase === 'closed';
  }

  /** Bytes that wait here and in the socket. */
  get queuedBytes(): number {
    return this.#outbox.bytes + this.#socket.writableLength;
  }

  /** A message that carries entries is dropped when the queue is full; all others may use the reserve above it. */
  sendMessage(partition: PartitionId, message: Message): SendResult {
    const length = messageBytes(message);
    const isControl = message.type !== 'AppendEntriesRequest' || message.entries.length === 0;
    const result = this.#room(length, isControl);
    if (result === 'queued') this.#outbox.addMessage(partition, message, length);
    return result;
  }

  sendHello(hello: Hello): void {
    this.#outbox.addFrame(FrameType.hello, helloBytes(hello), (page, at) => encodeHello(page, at, hello));
    this.flush();
  }

  sendPing(): SendResult {
    return this.#sendFrame(FrameType.ping, 0, () => undefined, { isControl: true });
  }

  sendPong(): SendResult {
    return this.#sendFrame(FrameType.pong, 0, () => undefined, { isControl: true });
  }

  sendRequest(id: number, { kind, payload: { head, tail } }: EncodedRequest): SendResult {
    const write = (page: Buffer, at: number): void => {
      page.writeUInt32BE(id, at);
      page.writeUInt8(kind.length, at + 4);
      page.set(kind, at + 5);
      page.set(head, at + 5 + kind.length);
    };
    return this.#sendFrame(FrameType.request, 4 + 1 + kind.length + head.length, write, { tail });
  }

  sendResponse(id: number, payload: Uint8Array): SendResult {
    return this.#sendFrame(FrameType.response, 4 + payload.length, (page, at) => {
      page.writeUInt32BE(id, at);
      page.set(payload, at + 4);
    });
  }

  sendFailure(id: number, reason: string): SendResult {
    const text = reasonToBytes(reason);
    return this.#sendFrame(FrameType.failure, 4 + text.length, (page, at) => {
      page.writeUInt32BE(id, at);
      page.set(text, at + 4);
    });
  }

  /** Hands all that waits to the socket in one write. Returns whether there was anything. */
  flush(): boolean {
    if (this.#outbox.bytes === 0 || this.#phase === 'closed') return false;
    const pieces = this.#outbox.take();
    if (pieces.length === 1) {
      this.#socket.write(pieces[0] as Buffer);
      return true;
    }
    this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    this.#socket.uncork();
    return true;
  }

  /**
   * Called every `pingIntervalMs`. Silence is counted in beats, not read from a clock: a node that was itself paused
   * finds one beat gone by, not the whole pause, and does not drop peers that were there all the time.
   */
  beat(): void {
    this.#silentBeats = this.#heard ? 0 : this.#silentBeats + 1;
    this.#heard = false;
    if (this.#silentBeats * this.#config.pingIntervalMs < this.#config.silenceTimeoutMs) return;
    this.close(`silent for ${this.#config.silenceTimeoutMs} ms`);
  }

  /** Reads no more; what still gets sent goes out before the connection ends with `endAfterWrites`. */
  drain(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'draining';
    this.#socket.pause();
  }

  refuse(reason: string): void {
    const text = reasonToBytes(reason);
    this.#outbox.addFrame(FrameType.refusal, text.length, (page, at) => page.set(text, at));
    this.endAfterWrites(reason);
  }

  /** Like `close`, but what was sent reaches the peer if it still reads. */
  endAfterWrites(reason: string): void {
    this.flush();
    this.#finish({ kind: 'closed', reason }, () => {
      this.#socket.setTimeout(this.#config.silenceTimeoutMs, () => this.#socket.destroy());
      this.#socket.destroySoon();
    });
  }

  /** At once: what waits is lost. */
  close(reason: string): void {
    this.#fail('closed', reason);
  }

  #fail(kind: ConnectionEnd['kind'], reason: string): void {
    this.#finish({ kind, reason }, () => this.#socket.destroy());
  }

  #finish(end: ConnectionEnd, endSocket: () => void): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    endSocket();
    this.#handlers.onClosed(end);
  }

  #sendFrame(
    type: FrameType,
    length: number,
    write: (page: Buffer, at: number) => void,
    { isControl = false, tail }: { readonly isControl?: boolean; readonly tail?: Uint8Array } = {},
  ): SendResult {
    const result = this.#room(length + (tail?.length ?? 0), isControl);
    if (result === 'queued') this.#outbox.addFrame(type, length, write, tail);
    return result;
  }

  #room(length: number, isControl: boolean): SendResult {
    if (this.#phase === 'closed') return 'closed';
    if (length > this.#config.frameBytesMax) return 'too_large';
    const queueBytesMax = this.#config.peerQueueBytesMax + (isControl ? this.#config.controlReserveBytes : 0);
    return this.queuedBytes + frameOverheadBytes + length > queueBytesMax ? 'queue_full' : 'queued';
  }

  #receive(chunk: Buffer): void {
    if (this.#phase === 'closed' || this.#phase === 'draining') return;
    this.#heard = true;
    this.#inbox.push(chunk);
    for (;;) {
      // A handler's exception is a bug of this node and must surface: only the decoding is guarded.
      const next = this.#nextFrame();
      if (next === undefined) return;
      this.#handlers.onFrame(next.frame, next.body);
      // Of any other frame nothing is kept.
      if (next.frame.type !== 'request') this.giveBack(next.body);
      if (this.#phase !== 'established') return;
    }
  }

  #nextFrame(): { readonly frame: Frame; readonly body: Buffer } | undefined {
    try {
      const body = this.#inbox.next();
      if (body === undefined) return undefined;
      if (this.#phase === 'handshake' && body[0] !== FrameType.hello && body[0] !== FrameType.refusal) {
        throw new WireError('something other than a hello came first');
      }
      return { frame: decodeFrame(body, this.#decodeRequest), body };
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#fail('bad_frame', error.message);
      return undefined;
    }
  }
}

/** Refused at each of its addresses, when its name has more than one: else the others have said nothing. */
function isRefused(error: NodeJS.ErrnoException): boolean {
  const attempts: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return attempts.every((attempt) => attempt instanceof Error && 'code' in attempt && attempt.code === 'ECONNREFUSED');
}
