/**
 * Stands at a node's advertised peer address, before the node itself: all that other nodes say to it, and it to them on the same
 * connection, goes through here. Who dials is read from the first frame, the hello.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { decodeFrame } from '../transport/frames.ts';
import { frameHeaderBytes } from '../transport/wire.ts';
import type { Links } from './links.ts';
import { Pipe } from './pipe.ts';

export interface PeerProxyOptions {
  readonly nodeId: string;
  /** Where the node itself listens, on 127.0.0.1. */
  readonly target: number;
  readonly links: Links;
}

interface Relay {
  readonly dialer: string;
  close(): void;
  reset(): void;
}

/** Longer than any hello. */
const helloBytesMax = 1024;

export class PeerProxy {
  readonly #options: PeerProxyOptions;
  readonly #relays = new Set<Relay>();
  #server: Server | undefined;
  #port = 0;

  constructor(options: PeerProxyOptions) {
    this.#options = options;
  }

  /** Listens on 127.0.0.1; later calls listen on the same port again. */
  async listen(port = this.#port): Promise<void> {
    if (this.#server !== undefined) return;
    this.#port = port;
    const server = createServer((socket) => this.#accept(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: '127.0.0.1' }, resolve);
    });
  }

  /** Connections are refused from now on, as they are where no process listens any more. Those there are end with the node's own. */
  async stopListening(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const relay of this.#relays) relay.close();
    await closed;
  }

  /** Ends the connections of one node with RST. */
  resetAll(peer: string): void {
    for (const relay of this.#relays) if (relay.dialer === peer) relay.reset();
  }

  #accept(socket: Socket): void {
    socket.on('error', () => undefined);
    const chunks: Buffer[] = [];
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const dialer = dialerOf(bytes);
      if (dialer.type === 'unfinished') return;
      socket.off('data', onData);
      if (dialer.type === 'known') this.#relay(socket, dialer.nodeId, bytes);
      else socket.destroy();
    };
    socket.on('data', onData);
  }

  #relay(socket: Socket, dialer: string, hello: Buffer): void {
    const { nodeId, target, links } = this.#options;
    const upstream = connect({ host: '127.0.0.1', port: target });
    const there = new Pipe(socket, upstream, links, [dialer, nodeId]);
    const back = new Pipe(upstream, socket, links, [nodeId, dialer]);
    const ended = (): void => {
      this.#relays.delete(relay);
      there.close();
      back.close();
    };
    const relay: Relay = {
      dialer,
      close: () => {
        ended();
        socket.destroy();
        upstream.destroy();
      },
      reset: () => {
        ended();
        reset(socket);
        reset(upstream);
      },
    };
    this.#relays.add(relay);
    socket.setNoDelay(true);
    upstream.setNoDelay(true);
    // A connection that breaks takes the other one along: a machine whose packets get lost would say nothing, but then its process lives.
    for (const [one, other] of [
      [socket, upstream],
      [upstream, socket],
    ] as const) {
      one.on('error', () => undefined);
      one.on('close', (failed) => {
        if (!failed) return;
        ended();
        other.destroy();
      });
    }
    socket.on('close', () => {
      if (upstream.destroyed) ended();
    });
    upstream.on('close', () => {
      if (socket.destroyed) ended();
    });
    there.push(hello);
  }
}

/**
 * With RST, where that can be. On one that is being ended libuv refuses it (EINVAL), and Node then neither closes the handle nor forgets
 * it: the process turns in a circle at its exit.
 */
function reset(socket: Socket): void {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

type Dialer =
  | { readonly type: 'known'; readonly nodeId: string }
  /** The hello is not whole yet. */
  | { readonly type: 'unfinished' }
  /** No node of ours. */
  | { readonly type: 'stranger' };

function dialerOf(bytes: Buffer): Dialer {
  if (bytes.length < frameHeaderBytes) return { type: 'unfinished' };
  const end = frameHeaderBytes + bytes.readUInt32BE(0);
  if (end > helloBytesMax) return { type: 'stranger' };
  if (bytes.length < end) return { type: 'unfinished' };
  try {
    const frame = decodeFrame(bytes.subarray(frameHeaderBytes, end));
    return frame.type === 'hello' ? { type: 'known', nodeId: frame.hello.nodeId } : { type: 'stranger' };
  } catch {
    return { type: 'stranger' };
  }
}
