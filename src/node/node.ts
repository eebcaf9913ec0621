/**
 * One node, composed: identity, storage, transport, the founding of the cluster, and then a replica of every group that
 * the partition map gives it. Everything below the HTTP front is put together here and nowhere else.
 */
import { randomBytes } from 'node:crypto';
import { assert } from '../assert.ts';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { Formation, type FormationResult } from '../cluster/formation.ts';
import { canonicalFounding, parseFounding } from '../cluster/founding.ts';
import { LeaderHints } from '../cluster/hints.ts';
import { buildPartitionMap, type PartitionMap } from '../cluster/partition-map.ts';
import { Router } from '../cluster/router.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type { NodeId } from '../replica/ports.ts';
import { openIdentity } from '../storage/identity.ts';
import { openLevelStorage } from '../storage/level-storage.ts';
import { startTransport, type TcpTransport } from '../transport/tcp-transport.ts';
import { systemClock } from './clock.ts';
import { Facade } from './facade.ts';
import { GroupHost } from './group-host.ts';
import { verifyIncarnation } from './incarnations.ts';
import { PeerRequests } from './peer-requests.ts';

export interface NodeOptions {
  readonly config: Config;
  readonly logger: Logger;
}

export interface RunningNode {
  readonly facade: NodeFacade;
  /** Every partition hosted here knows its leader. */
  readonly ready: Promise<void>;
  /** Resolves when the node must stop: its disk failed, a record is damaged, or an invariant broke. */
  readonly failed: Promise<Error>;
  /** Answers who still waits, writes what waits for the disk, closes. */
  close(): Promise<void>;
}

/**
 * Opens the data directory, listens for peers and starts to take part. Resolves before the cluster is formed or has
 * leaders: see `ready`. Rejects with one clear line when the directory or a port can't be used.
 */
export async function startNode({ config, logger }: NodeOptions): Promise<RunningNode> {
  assert(config.bootstrap !== undefined, 'a node without bootstrap is refused by the configuration check');
  const nodeId = config.nodeId as NodeId;
  const clock = systemClock;
  const failure = createFailure();
  const identity = await openIdentity({ directory: config.dataDir, nodeId, clusterName: config.clusterName });
  const { formation: formed, incarnation, nonce } = identity.identity();
  const founding = formed.phase === 'unformed' ? canonicalFounding(config.bootstrap) : formed.founding;
  const map = mapOf(founding);
  const storage = await openLevelStorage({
    directory: config.dataDir,
    config: config.storage,
    incarnation,
    onFailure: failure.report,
    logger,
  });

  // The transport calls into what is made from it; nothing can arrive before all of it stands.
  let host: GroupHost | undefined;
  let requests: PeerRequests | undefined;
  const transport = await startTransport({
    listen: config.peer,
    self: { nodeId, incarnation, nonce, clusterId: formed.phase === 'formed' ? formed.clusterId : undefined },
    config: config.transport,
    handlers: {
      onMessage: (from, partition, message) => host?.receive(from, partition, message),
      onRequest: (from, kind, payload) =>
        requests?.answer(from, kind, payload) ?? Promise.reject(new Error('the node is starting')),
      // For people only: what Raft relies on is answers and silence.
      onPeerUp: (peer) => logger.info({ peer }, 'peer connected'),
      onPeerDown: (peer, reason) => logger.info({ peer, reason }, 'peer lost'),
    },
    verifyHello: (hello) => verifyIncarnation(identity, hello, (peer) => host?.peerRestarted(peer)),
    clock,
    random: Math.random,
    logger,
  });
  const hints = new LeaderHints();
  host = new GroupHost({ config, map, nodeId, storage, transport, clock, logger, onFailure: failure.report });
  const router = new Router({ nodeId, map, hints, replicas: host, transport, clock, limits: config.limits });
  host.onLeaderChanged((partition) => router.leaderChanged(partition));
  const formation = new Formation({
    store: identity,
    transport,
    clock,
    founding,
    founders: map.nodes.map((node) => node.nodeId),
    drawClusterId: () => randomBytes(16).toString('hex'),
    limits: config.limits,
    onWaiting: (reason) => logger.info(`founding: ${reason}`),
  });
  requests = new PeerRequests({ router, host, formation });
  transport.setPeers(map.nodes.map((node) => ({ nodeId: node.nodeId, ...hostAndPort(node.peer) })));
  const facade = new Facade({ config, map, hints, host, router, identity, transport, clock });
  void formation.start().then((result) => begin(result, { transport, host, failure }), failure.report);

  return {
    facade,
    ready: host.ready,
    failed: failure.failed,
    async close() {
      facade.shutDown();
      formation.stop();
      host.stop();
      await transport.close();
      await storage.close();
      await identity.close();
    },
  };
}

interface Founded {
  readonly transport: TcpTransport;
  readonly host: GroupHost;
  readonly failure: Failure;
}

/** Only a formed cluster starts Raft (the safety of founding rests on it). */
function begin(result: FormationResult, { transport, host, failure }: Founded): void {
  switch (result.type) {
    case 'formed':
      transport.setClusterId(result.clusterId);
      host.start();
      return;
    case 'in_doubt':
    case 'refused':
      failure.report(new Error(result.message));
      return;
    case 'stopped':
      return;
  }
}

interface Failure {
  readonly failed: Promise<Error>;
  readonly report: (error: unknown) => void;
}

function createFailure(): Failure {
  let report: (error: unknown) => void = () => undefined;
  const failed = new Promise<Error>((resolve) => {
    report = (error) => resolve(error instanceof Error ? error : new Error(String(error)));
  });
  return { failed, report };
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
