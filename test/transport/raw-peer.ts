/** A peer that the test plays by hand, byte for byte: what no well-behaved node would do is done here. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import type { Hello, Lane, NodeId } from '../../src/replica/ports.ts';
import { decodeFrame, type Frame } from '../../src/transport/frames.ts';
import { encodeHello, helloBytes } from '../../src/transport/hello.ts';
import { FrameInbox } from '../../src/transport/inbox.ts';
import { messageBytes } from '../../src/transport/messages.ts';
import { FrameOutbox } from '../../src/transport/outbox.ts';
import { FrameType } from '../../src/transport/wire.ts';
import { group, heartbeat, helloFrom, until } from './world.ts';

/** One socket's other end: everything that arrives, as bytes and as frames. */
export class RawPeer {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  received = Buffer.alloc(0);
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    const inbox = new FrameInbox(16 << 20);
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk]);
      inbox.push(chunk);
      for (let body = inbox.next(); body !== undefined; body = inbox.next()) this.frames.push(decodeFrame(body));
    });
    socket.on('error', () => undefined);
    socket.on('close', () => (this.closed = true));
  }

  /** What the other end said that this connection is for. */
  get lane(): Lane {
    const [first] = this.frames;
    return first?.type === 'hello' ? first.hello.lane : 'main';
  }

  static async dial(port: number): Promise<RawPeer> {
    const socket = connect({ host: '127.0.0.1', port });
    const peer = new RawPeer(socket);
    await once(socket, 'connect');
    return peer;
  }

  /** Dials and shakes hands as a node would. */
  static async shakeHands(port: number, hello: Hello): Promise<RawPeer> {
    const peer = await RawPeer.dial(port);
    peer.sendHello(hello);
    await until('the hello is answered', () => peer.frames.length > 0);
    return peer;
  }

  send(type: FrameType, ...payload: Uint8Array[]): void {
    this.socket.write(frameOf(type, ...payload));
  }

  sendHello(hello: Hello): void {
    const bytes = Buffer.alloc(helloBytes(hello));
    encodeHello(bytes, 0, hello);
    this.send(FrameType.hello, bytes);
  }

  sendPong(): void {
    this.send(FrameType.pong);
  }

  sendHeartbeat(round: number): void {
    this.socket.write(heartbeatFrame(round));
  }
}

/** A listener whose connections the test plays by hand, in the order they came. */
export interface RawListener {
  readonly port: number;
  readonly peers: RawPeer[];
  close(): Promise<void>;
}

export async function rawListener(play: (peer: RawPeer) => void = () => undefined): Promise<RawListener> {
  const peers: RawPeer[] = [];
  const server = createServer((socket) => {
    const peer = new RawPeer(socket);
    peers.push(peer);
    play(peer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    peers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const peer of peers) peer.socket.destroy();
      }),
  };
}

/** Answers the first frame with a hello of the node `from` to `to`, for the lane that was asked for. */
export function welcomes(from: NodeId, to: NodeId, changes: Partial<Hello> = {}): (peer: RawPeer) => void {
  return (peer) => peer.socket.once('data', () => peer.sendHello(helloFrom(from, to, { lane: peer.lane, ...changes })));
}

export function heartbeatFrame(round: number): Buffer {
  const outbox = new FrameOutbox(1024);
  outbox.addMessage(group, heartbeat(round), messageBytes(heartbeat(round)));
  return Buffer.concat(outbox.take());
}

export function frameOf(type: FrameType, ...payload: Uint8Array[]): Buffer {
  const bytes = Buffer.concat(payload);
  const outbox = new FrameOutbox(64);
  outbox.addFrame(type, bytes.length, (page, at) => page.set(bytes, at));
  return Buffer.concat(outbox.take());
}
