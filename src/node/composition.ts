/**
 * A node put together from its parts: transport, the founding of the cluster, and a replica of every group that the
 * partition map gives it. Everything below the HTTP front is joined here and nowhere else, for real nodes
 * (`node.ts`) and for those of the simulator alike.
 */
import { assert } from '../assert.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { Formation, type FormationResult } from '../cluster/formation.ts';
import { canonicalFounding, parseFounding } from '../cluster/founding.ts';
import { LeaderHints } from '../cluster/hints.ts';
import { LeaderTransfers } from '../cluster/leader-transfer.ts';
import { buildPartitionMap, type PartitionMap } from '../cluster/partition-map.ts';
import { Router } from '../cluster/router.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type {
  Clock,
  Hello,
  IdentityStore,
  NodeId,
  NodeIdentity,
  PartitionId,
  Storage,
  Transport,
  TransportHandlers,
} from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { Facade } from './facade.ts';
import { GroupHost } from './group-host.ts';
import { verifyIncarnation } from './incarnations.ts';
import { PeerRequests } from './peer-requests.ts';

/** A transport that learns whom to connect to, and as whom. */
export interface NodeTransport extends Transport {
  /** The cluster is formed: from now on connections name it. */
  setClusterId(clusterId: string): void;
  setPeers(peers: readonly { readonly nodeId: NodeId; readonly host: string; readonly port: number }[]): void;
  close(): Promise<void>;
}

export interface TransportBinding {
  readonly self: Pick<NodeIdentity, 'nodeId' | 'incarnation' | 'nonce'> & { readonly clusterId: string | undefined };
  readonly handlers: TransportHandlers;
  readonly verifyHello: (hello: Hello) => string | undefined;
}

/** What a node stands on: a machine's, or a simulated one's. */
export interface NodeParts {
  readonly config: Config;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Runs its callback once, after the I/O that is due now was taken in. */
  readonly schedule: (turn: () => void) => void;
  readonly identity: IdentityStore;
  readonly storage: Storage;
  readonly startTransport: (binding: TransportBinding) => Promise<NodeTransport>;
  /** 32 lower-case hex digits that nobody can foresee. */
  readonly drawClusterId: () => string;
  /** The node must stop: a record is damaged, an invariant broke, or the founders disagree. */
  readonly onFailure: (error: unknown) => void;
}

export interface ComposedNode {
  readonly facade: NodeFacade;
  /** Every partition hosted here knows its leader. */
  readonly ready: Promise<void>;
  /** The replica of a partition that lives here. */
  replica(partition: PartitionId): Replica | undefined;
  /** Others lead what this node leads, as far as there are others; it goes on answering. */
  handOver(): Promise<void>;
  /** Answers who still waits, and closes the transport. Storage and identity stay with their owner. */
  close(): Promise<void>;
}

/** Resolves before the cluster is formed or has leaders. Rejects when the transport can't listen. */
export async function composeNode(parts: NodeParts): Promise<ComposedNode> {
  const { config, logger, clock, random, schedule, identity, storage, onFailure } = parts;
  assert(config.bootstrap !== undefined, 'a node without bootstrap is refused by the configuration check');
  const { nodeId, formation: formed, incarnation, nonce } = identity.identity();
  const founding = formed.phase === 'unformed' ? canonicalFounding(config.bootstrap) : formed.founding;
  const map = mapOf(founding);

  // The transport calls into what is made from it; nothing can arrive before all of it stands.
  let host: GroupHost | undefined;
  let requests: PeerRequests | undefined;
  const transport = await parts.startTransport({
    self: { nodeId, incarnation, nonce, clusterId: formed.phase === 'formed' ? formed.clusterId : undefined },
    handlers: {
      onMessage: (from, partition, message) => host?.receive(from, partition, message),
      onRequest: (from, kind, payload) =>
        requests?.answer(from, kind, payload) ?? Promise.reject(new Error('the node is starting')),
      // Hints only: what Raft relies on is answers and silence.
      onPeerUp: (peer) => {
        logger.info({ peer }, 'peer connected');
        host?.peerChanged(peer);
      },
      onPeerDown: (peer, reason) => {
        logger.info({ peer, reason }, 'peer lost');
        host?.peerChanged(peer);
      },
      onPeerRefused: (peer) => {
        logger.info({ peer }, 'nobody listens at the address of the peer');
        host?.peerGone(peer);
      },
    },
    verifyHello: (hello) => verifyIncarnation(identity, hello, (peer) => host?.peerRestarted(peer)),
  });
  const hints = new LeaderHints();
  host = new GroupHost({ config, map, nodeId, storage, transport, clock, random, schedule, logger, onFailure });
  const hosted = host;
  const reachable: Pick<Transport, 'request' | 'connected'> = {
    request: (to, kind, payload, timeoutMs) => transport.request(to, kind, payload, timeoutMs),
    connected: (peer) => transport.connected(peer) && !hosted.isLeaving(peer),
  };
  const ports = { nodeId, map, hints, replicas: host, transport: reachable, clock, limits: config.limits };
  const router = new Router(ports);
  const transfers = new LeaderTransfers(ports);
  host.onLeaderChanged((partition) => {
    router.leaderChanged(partition);
    transfers.leaderChanged(partition);
  });
  const formation = new Formation({
    store: identity,
    transport,
    clock,
    founding,
    founders: map.nodes.map((node) => node.nodeId),
    drawClusterId: parts.drawClusterId,
    limits: config.limits,
    onWaiting: (reason) => logger.info(`founding: ${reason}`),
  });
  const peerRequests = new PeerRequests({ router, transfers, host, formation });
  requests = peerRequests;
  transport.setPeers(map.nodes.map((node) => ({ nodeId: node.nodeId, ...hostAndPort(node.peer) })));
  const facade = new Facade({ config, map, hints, host, router, transfers, identity, transport, clock });
  formation
    .start()
    .then((result) => begin(result, { transport, host, onFailure }))
    .catch(onFailure);

  return {
    facade,
    ready: host.ready,
    handOver() {
      facade.leave();
      return hosted.handOver();
    },
    replica: (partition) => hosted.replica(partition),
    async close() {
      facade.shutDown();
      formation.stop();
      await drained(peerRequests, clock, config.limits.drainTimeoutMs);
      await hosted.stop();
      await transport.close();
    },
  };
}

/** What peers asked is answered, and the answers are on their way. */
async function drained(requests: PeerRequests, clock: Clock, timeoutMs: number): Promise<void> {
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve));
  await Promise.race([requests.drain(), pause(timeoutMs)]);
  await pause(1);
}

interface Founded {
  readonly transport: NodeTransport;
  readonly host: GroupHost;
  readonly onFailure: (error: unknown) => void;
}

/** Only a formed cluster starts Raft (the safety of founding rests on it). */
function begin(result: FormationResult, { transport, host, onFailure }: Founded): void {
  switch (result.type) {
    case 'formed':
      transport.setClusterId(result.clusterId);
      host.start();
      return;
    case 'in_doubt':
    case 'refused':
      onFailure(new Error(result.message));
      return;
    case 'stopped':
      return;
  }
}

function mapOf(founding: string): PartitionMap {
  const parsed = parseFounding(founding);
  if (parsed.type === 'unreadable') throw new Error(`the founders' list can't be used: ${parsed.reason}`);
  return buildPartitionMap(parsed.bootstrap);
}

/** `peer` is host:port, checked with the configuration; an IPv6 address stands in brackets. */
function hostAndPort(peer: string): { readonly host: string; readonly port: number } {
  const at = peer.lastIndexOf(':');
  return { host: peer.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(peer.slice(at + 1)) };
}
