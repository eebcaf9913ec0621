/** The connections that other nodes made to this one: Raft messages and requests come in here, answers go back. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { AssertionError } from '../assert.ts';
import type { Hello, Lane, NodeId } from '../replica/ports.ts';
import { Connection } from './connection.ts';
import { carriesRaft, helloTo, refusalOf, type TransportContext } from './context.ts';
import type { Frame } from './frames.ts';
import { encodePayload } from './payloads.ts';

/** The peer listener could not start. `code` is stable; the message names the address for a person. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code: 'port_in_use' | 'listen_failed';
  readonly listener = 'peer';
  readonly host: string;
  readonly port: number;

  constructor(at: { readonly host: string; readonly port: number }, cause: NodeJS.ErrnoException) {
    const inUse = cause.code === 'EADDRINUSE';
    const why = inUse ? 'the port is in use' : cause.message;
    super(`peer listener: can't listen on ${at.host}:${at.port}: ${why}`, { cause });
    this.code = inUse ? 'port_in_use' : 'listen_failed';
    this.host = at.host;
    this.port = at.port;
  }
}

type ReceivedRequest = Extract<Frame, { type: 'request' }>;

/** A connection from `peer`, past its handshake. */
interface Inbound {
  readonly peer: NodeId;
  readonly lane: Lane;
  readonly incarnation: number;
  readonly connection: Connection;
  readonly carriesRaft: boolean;
  /** Requests whose handlers still run. */
  requestsRunning: number;
  /** Made before the cluster id was known: ends once nothing runs any more. */
  draining: boolean;
}

export class Listener {
  readonly #context: TransportContext;
  /** A peer has shaken hands with this node. */
  readonly #onPeerMet: (peer: NodeId) => void;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pending = new Set<Connection>();
  readonly #established = new Set<Inbound>();

  constructor(context: TransportContext, onPeerMet: (peer: NodeId) => void) {
    this.#context = context;
    this.#onPeerMet = onPeerMet;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** Resolves with the port, which is a free one where 0 was asked for; rejects with a ListenError. */
  listen(at: { readonly host: string; readonly port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', (error) => reject(new ListenError(at, error)));
      this.#server.listen({ host: at.host, port: at.port }, () => {
        this.#server.removeAllListeners('error');
        // Out of file descriptors, say: the connection is lost, the listener is not.
        this.#server.on('error', (error) => this.#context.logger.error({ error: error.message }, 'peer listener'));
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** Once every `pingIntervalMs`. */
  beat(): void {
    for (const inbound of this.#established) inbound.connection.beat();
  }

  /** Ends all connections; those on which requests are being answered, once they are. */
  drain(reason: string): void {
    for (const connection of [...this.#pending]) connection.close(reason);
    for (const inbound of [...this.#established]) {
      inbound.draining = true;
      inbound.connection.drain();
      this.#endIfDrained(inbound);
    }
  }

  /** Resolves once no socket is left. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      for (const socket of this.#sockets) socket.destroy();
    });
  }

  #accept(socket: Socket): void {
    const { config, clock, warnings } = this.#context;
    const remote = `${socket.remoteAddress}:${socket.remotePort}`;
    if (this.#pending.size >= config.pendingConnectionsMax) {
      socket.destroy();
      warnings.warn('connection_refused', 'too many connections in handshake: refused', { remote });
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    let inbound: Inbound | undefined;
    const cancelTimeout = clock.after(config.handshakeTimeoutMs, () => connection.close('handshake timeout'));
    const connection = new Connection(socket, config, {
      onFrame: (frame, body) => {
        if (inbound !== undefined) return this.#onFrame(inbound, frame, body);
        cancelTimeout();
        this.#pending.delete(connection);
        inbound = this.#finishHandshake(connection, frame, remote);
      },
      onClosed: ({ kind, reason }) => {
        cancelTimeout();
        this.#pending.delete(connection);
        if (inbound !== undefined) this.#established.delete(inbound);
        if (kind === 'bad_frame') {
          warnings.warn('bad_frame', 'bad frame: connection closed', { peer: inbound?.peer, remote, reason });
        }
      },
    });
    this.#pending.add(connection);
  }

  #finishHandshake(connection: Connection, frame: Frame, remote: string): Inbound | undefined {
    const hello = frame.type === 'hello' ? frame.hello : undefined;
    const refusal = hello === undefined ? 'a hello comes first' : refusalOf(hello, this.#context);
    if (hello === undefined || refusal !== undefined) {
      const reason = refusal ?? '';
      this.#context.warnings.warn('handshake_failed', 'peer refused', { peer: hello?.nodeId, remote, reason });
      connection.refuse(reason);
      return undefined;
    }
    return this.#welcome(connection, hello);
  }

  #welcome(connection: Connection, hello: Hello): Inbound {
    const peer = hello.nodeId;
    const { lane, incarnation } = hello;
    // A node has one outbound connection to us on each lane. The newest is it; an older one is a leftover that has not
    // noticed yet, and so is all that an earlier start of that node had dialed.
    for (const older of [...this.#established]) {
      if (older.peer !== peer || (older.lane !== lane && older.incarnation === incarnation)) continue;
      older.connection.close('replaced by a newer connection');
    }
    const self = this.#context.self();
    connection.establish();
    if (lane === 'bulk') connection.lendPayloads();
    connection.sendHello(helloTo(self, { to: peer, lane }));
    const inbound: Inbound = {
      peer,
      lane,
      incarnation,
      connection,
      carriesRaft: carriesRaft(self, hello),
      requestsRunning: 0,
      draining: false,
    };
    this.#established.add(inbound);
    this.#onPeerMet(peer);
    return inbound;
  }

  #onFrame(inbound: Inbound, frame: Frame, body: Buffer): void {
    const { peer, connection } = inbound;
    const { handlers, warnings } = this.#context;
    switch (frame.type) {
      case 'raft':
        if (inbound.lane === 'bulk') return this.#hangUp(inbound, 'a raft frame on the bulk lane');
        if (!inbound.carriesRaft) {
          warnings.warn('raft_before_formation', 'Raft messages outside a formed cluster: dropped', { peer });
          return;
        }
        for (const { partition, message } of frame.envelopes) handlers.onMessage(peer, partition, message);
        return;
      case 'request':
        return this.#onRequest(inbound, frame, body);
      case 'ping':
        connection.sendPong();
        connection.flush();
        return;
      case 'hello':
      case 'refusal':
      case 'pong':
      case 'response':
      case 'failure':
        return this.#hangUp(inbound, `a ${frame.type} frame where none belongs`);
    }
  }

  #hangUp({ peer, lane, connection }: Inbound, reason: string): void {
    this.#context.warnings.warn('bad_frame', 'unexpected frame: connection closed', { peer, lane, reason });
    connection.close(reason);
  }

  #onRequest(inbound: Inbound, request: ReceivedRequest, body: Buffer): void {
    const { connection } = inbound;
    if (inbound.requestsRunning >= this.#context.config.requestsMax) {
      connection.sendFailure(request.id, 'too many requests of this node are running');
      connection.flush();
      return;
    }
    inbound.requestsRunning++;
    void this.#answer(inbound, request).finally(() => {
      // Safety: not before the handler is done with what the request carries, and its answer, which may be a part of it, is encoded.
      connection.giveBack(body);
      inbound.requestsRunning--;
      setImmediate(() => {
        connection.flush();
        this.#endIfDrained(inbound);
      });
    });
  }

  async #answer({ peer, lane, connection }: Inbound, { id, kind, payload }: ReceivedRequest): Promise<void> {
    try {
      const result = encodePayload(await this.#context.handlers.onRequest(peer, kind, payload, lane));
      if (connection.sendResponse(id, result) === 'too_large')
        connection.sendFailure(id, 'the answer exceeds frameBytesMax');
    } catch (error) {
      // A broken assertion is a bug: it goes on to stop the process.
      if (error instanceof AssertionError) throw error;
      connection.sendFailure(id, error instanceof Error ? error.message : String(error));
    }
  }

  #endIfDrained({ draining, requestsRunning, connection }: Inbound): void {
    if (draining && requestsRunning === 0) connection.endAfterWrites('the cluster id became known');
  }
}
