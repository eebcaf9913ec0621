/** What the transport's tests share: quick settings, the real clock, nodes that remember what reached them. */
import { defaults, type TransportConfig } from '../../src/config.ts';
import type { LogIndex, Message, ReplicaId, Term } from '../../src/raft/types.ts';
import type { Clock, Hello, Lane, NodeId, PartitionId, TransportHandlers } from '../../src/replica/ports.ts';
import { silentLogger } from '../../src/logger.ts';
import { startTransport, type TcpTransport, type TransportOptions } from '../../src/transport/tcp-transport.ts';

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs);
    return () => clearTimeout(timer);
  },
};

export const quickConfig: TransportConfig = {
  ...defaults.transport,
  pingIntervalMs: 20,
  silenceTimeoutMs: 200,
  reconnectDelayMsMin: 2,
  reconnectDelayMsMax: 20,
};

export const nodeA = 'a' as NodeId;
export const nodeB = 'b' as NodeId;
export const nodeC = 'c' as NodeId;
export const clusterId = '0123456789abcdef0123456789abcdef';
export const otherClusterId = 'ffffffffffffffffffffffffffffffff';
export const nonce = '11112222333344445555666677778888';
export const group = 7 as PartitionId;

/** A heartbeat told from others by its round. */
export function heartbeat(readRound: number): Message {
  return {
    type: 'Heartbeat',
    from: 1 as ReplicaId,
    to: 2 as ReplicaId,
    term: 3 as Term,
    leaderCommit: 4 as LogIndex,
    readRound,
    logTime: 5,
    freshIndex: 3 as LogIndex,
    freshTime: 4,
    quiesce: false,
  };
}

export function append(index: number, bodies: readonly Uint8Array[]): Message {
  const term = 3 as Term;
  const entries = bodies.map((body, i) => ({ index: (index + i) as LogIndex, term, kind: 1 as const, body }));
  return {
    type: 'AppendEntriesRequest',
    from: 1 as ReplicaId,
    to: 2 as ReplicaId,
    term,
    prevLogIndex: (index - 1) as LogIndex,
    prevLogTerm: term,
    entries,
    leaderCommit: 0 as LogIndex,
  };
}

/** Handlers that write down what they are told, in order. */
export class Witness implements TransportHandlers {
  readonly messages: { from: NodeId; partition: PartitionId; message: Message }[] = [];
  readonly peerEvents: string[] = [];
  /** Of whom it was said that nobody listens at their address any more. */
  readonly refused: NodeId[] = [];
  readonly requests: { from: NodeId; kind: string; payload: unknown; lane: Lane }[] = [];
  answer: (kind: string, payload: unknown) => Promise<unknown> = (_, payload) => Promise.resolve(payload);

  onMessage(from: NodeId, partition: PartitionId, message: Message): void {
    this.messages.push({ from, partition, message });
  }

  onRequest(from: NodeId, kind: string, payload: unknown, lane: Lane): Promise<unknown> {
    this.requests.push({ from, kind, payload, lane });
    return this.answer(kind, payload);
  }

  onPeerUp(peer: NodeId): void {
    this.peerEvents.push(`${peer} up`);
  }

  onPeerDown(peer: NodeId): void {
    this.peerEvents.push(`${peer} down`);
  }

  onPeerRefused(peer: NodeId): void {
    this.refused.push(peer);
  }

  rounds(): number[] {
    return this.messages.map(({ message }) => (message.type === 'Heartbeat' ? message.readRound : -1));
  }
}

/** Resolves as soon as `condition` holds; fails with `what` after 5 s. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 5000;
  while (!condition()) {
    if (performance.now() > giveUpAt) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

export type NodeChanges = Partial<Omit<TransportOptions, 'self'>> & {
  readonly self?: Partial<TransportOptions['self']>;
};

export function startNode(
  nodeId: NodeId,
  handlers: TransportHandlers,
  { self, ...others }: NodeChanges = {},
): Promise<TcpTransport> {
  return startTransport({
    listen: { host: '127.0.0.1', port: 0 },
    config: quickConfig,
    handlers,
    verifyHello: () => undefined,
    clock: systemClock,
    random: Math.random,
    logger: silentLogger,
    ...others,
    self: { nodeId, incarnation: 1, nonce, clusterId, ...self },
  });
}

export function addressOf(nodeId: NodeId, { port }: { readonly port: number }) {
  return { nodeId, host: '127.0.0.1', port };
}

export function helloFrom(nodeId: NodeId, to: NodeId, changes: Partial<Hello> = {}): Hello {
  return { lane: 'main', clusterId, nodeId, to, incarnation: 1, nonce, ...changes };
}
