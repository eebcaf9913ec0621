/** What both directions of a transport share: who this node is, its limits, and where what arrives goes. */
import type { TransportConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Clock, Hello, Lane, NodeId, TransportHandlers } from '../replica/ports.ts';
import type { LimitedLog } from './limited-log.ts';

export interface TransportSelf {
  readonly nodeId: NodeId;
  readonly incarnation: number;
  /** 32 hex digits. */
  readonly nonce: string;
  /** 32 hex digits; undefined until the cluster is formed. */
  readonly clusterId: string | undefined;
}

export interface TransportContext {
  readonly self: () => TransportSelf;
  readonly config: TransportConfig;
  readonly handlers: TransportHandlers;
  readonly verifyHello: (hello: Hello) => string | undefined;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly logger: Logger;
  readonly warnings: LimitedLog;
}

export function helloTo(self: TransportSelf, { to, lane }: { readonly to: NodeId; readonly lane: Lane }): Hello {
  return { lane, clusterId: self.clusterId, nodeId: self.nodeId, to, incarnation: self.incarnation, nonce: self.nonce };
}

/**
 * Why not to talk to the sender of `hello`; undefined when all is well. A node that is not formed yet may talk to one
 * that is, because that is how it gets formed; `carriesRaft` decides what they may talk about.
 */
export function refusalOf(hello: Hello, context: Pick<TransportContext, 'self' | 'verifyHello'>): string | undefined {
  const self = context.self();
  if (hello.to !== self.nodeId) return `this is node ${self.nodeId}, not ${hello.to}`;
  if (hello.nodeId === self.nodeId) return `this is node ${self.nodeId} itself, or two nodes have that name`;
  if (self.clusterId !== undefined && hello.clusterId !== undefined && self.clusterId !== hello.clusterId) {
    return `this node belongs to cluster ${self.clusterId}, ${hello.nodeId} to cluster ${hello.clusterId}`;
  }
  // A snapshot is Raft's state: what is said below of Raft's messages holds for all that is bulk.
  if (hello.lane === 'bulk' && !carriesRaft(self, hello)) return 'the bulk lane is for nodes of one formed cluster';
  return context.verifyHello(hello);
}

/**
 * Safety: terms and votes mean something within one cluster only. A connection carries Raft when both ends said the same
 * cluster id in its handshake; when either had none then, it never does, whatever becomes known later.
 */
export function carriesRaft(self: TransportSelf, hello: Hello): boolean {
  return self.clusterId !== undefined && self.clusterId === hello.clusterId;
}
