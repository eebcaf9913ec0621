/**
 * A node put together from its parts: transport, the founding of the cluster, and a replica of every group that the
 * partition map gives it. Everything below the HTTP front is joined here and nowhere else, for real nodes
 * (`node.ts`) and for those of the simulator alike.
 */
import { assert } from '../assert.ts';
import type { BootstrapConfig, Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { Formation, type FormationResult } from '../cluster/formation.ts';
import { canonicalFounding, parseFounding } from '../cluster/founding.ts';
import { LeaderHints } from '../cluster/hints.ts';
import { LeaderTransfers } from '../cluster/leader-transfer.ts';
import { LiveMap } from '../cluster/live-map.ts';
import { decodeMapChange } from '../cluster/metadata/records.ts';
import { MetadataState } from '../cluster/metadata/state.ts';
import { buildPartitionMap, memberNodes } from '../cluster/partition-map.ts';
import { ChangeSource } from '../cluster/watch/change-source.ts';
import { clusterTag } from '../cluster/watch/cursor.ts';
import { WatchHub } from '../cluster/watch/hub.ts';
import { Router } from '../cluster/router.ts';
import { collectStatus, type StatusReports } from '../cluster/status.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type { NodeReadings } from '../metrics/ports.ts';
import type { PeerStatistics } from '../transport/tcp-transport.ts';
import type {
  Clock,
  DiskSpace,
  Hello,
  IdentityStore,
  NodeId,
  NodeIdentity,
  PartitionId,
  ReplicaDoubts,
  Storage,
  Transport,
  TransportHandlers,
} from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';
import { DiskWatch } from './disk-watch.ts';
import { Facade } from './facade.ts';
import { GroupHost } from './group-host.ts';
import { MetadataHost } from './metadata-host.ts';
import { verifyIncarnation } from './incarnations.ts';
import { PeerRequests } from './peer-requests.ts';
import type { RebuildNote } from '../storage/set-aside.ts';
import { Rebuilding } from './rebuilding.ts';
import type { WriteAdmission } from './write-admission.ts';

/** A transport that learns whom to connect to, and as whom. */
export interface NodeTransport extends Transport {
  /** The cluster is formed: from now on connections name it. */
  setClusterId(clusterId: string): void;
  setPeers(peers: readonly { readonly nodeId: NodeId; readonly host: string; readonly port: number }[]): void;
  close(): Promise<void>;
  /** The connections to the other nodes, as far as there are any. */
  statistics?(): readonly PeerStatistics[];
}

export interface TransportBinding {
  readonly self: Pick<NodeIdentity, 'nodeId' | 'incarnation' | 'nonce'> & { readonly clusterId: string | undefined };
  readonly handlers: TransportHandlers;
  readonly verifyHello: (hello: Hello) => string | undefined;
}

/** This founder's directory is empty, and the cluster was formed: it has to be let in anew. */
export class EmptiedDirectory extends Error {
  override readonly name = 'EmptiedDirectory';
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
  readonly disk: DiskSpace;
  /** Hears of each batch of the storage's log. */
  readonly admission: WriteAdmission;
  /** The disk has little room left, or again enough: what deleted records take is worth more than usual, or no longer. */
  readonly onDiskChange?: (isLow: boolean) => void;
  /** So little room is left that the node must stop before anything fails. Default: `onFailure`. */
  readonly onDiskFull?: (error: Error) => void;
  readonly startTransport: (binding: TransportBinding) => Promise<NodeTransport>;
  /** 32 lower-case hex digits that nobody can foresee. */
  readonly drawClusterId: () => string;
  /** The node must stop: a record is damaged, an invariant broke, or the founders disagree. */
  readonly onFailure: (error: unknown) => void;
  /** It came in anew, as its disk could not be believed. */
  readonly rebuild?: RebuildNote | undefined;
  /** Called once all that was lost with that disk is held again. */
  readonly onWhole?: () => void;
  readonly doubts: ReplicaDoubts;
  /** Hears of each replica of this node that is in doubt from now on. */
  readonly onReplicaInDoubt?: (partition: PartitionId, reason: string) => void;
}

export interface ComposedNode {
  readonly facade: NodeFacade;
  /** Every partition hosted here knows its leader. */
  readonly ready: Promise<void>;
  /** The replica of a partition that lives here. */
  replica(partition: PartitionId): Replica | undefined;
  /** For metrics: what is known here, at once. */
  readings(): NodeReadings;
  /** Others lead what this node leads, as far as there are others; it goes on answering. */
  handOver(): Promise<void>;
  /** From now on nothing that this node has stored decides anything: no replica of it votes, acknowledges or answers. */
  halt(): void;
  /** Answers who still waits, and closes the transport. Storage and identity stay with their owner. */
  close(): Promise<void>;
}

/** Resolves before the cluster is formed or has leaders. Rejects when the transport can't listen. */
export async function composeNode(parts: NodeParts): Promise<ComposedNode> {
  const { config, logger, clock, random, schedule, identity, storage, onFailure } = parts;
  const { nodeId, formation: formed, incarnation, nonce } = identity.identity();
  const founding = formed.phase === 'unformed' ? foundingOf(config) : formed.founding;
  const bootstrap = bootstrapOf(founding);
  const map = new LiveMap(buildPartitionMap(bootstrap));
  map.take(decodeMapChange(identity.map()) ?? { nodes: [], partitions: [] });

  // The transport calls into what is made from it; nothing can arrive before all of it stands.
  let host: GroupHost | undefined;
  let requests: PeerRequests | undefined;
  let metadata: MetadataHost | undefined;
  const transport = await parts.startTransport({
    self: { nodeId, incarnation, nonce, clusterId: formed.phase === 'formed' ? formed.clusterId : undefined },
    handlers: {
      onMessage: (from, partition, message) => host?.receive(from, partition, message),
      onRequest: (from, kind, payload, lane) =>
        requests?.answer(from, kind, payload, lane) ?? Promise.reject(new Error('the node is starting')),
      // Hints only: what Raft relies on is answers and silence.
      onPeerUp: (peer) => {
        logger.info({ peer }, 'peer connected');
        host?.peerChanged(peer);
        metadata?.peerUp(peer);
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
  const disks = new DiskWatch({
    nodeId,
    dataDir: config.dataDir,
    disk: parts.disk,
    limits: config.storage,
    clock,
    transport,
    members: () => memberNodes(map).map((node) => node.nodeId),
    onChange: (isLow) => parts.onDiskChange?.(isLow),
    onFull: parts.onDiskFull ?? onFailure,
    logger,
  });
  const hints = new LeaderHints();
  const records = new MetadataState({ storage, onMapChange: (change) => void map.take(change), onFailure });
  host = new GroupHost({
    config,
    map,
    nodeId,
    storage,
    transport,
    clock,
    random,
    schedule,
    logger,
    onFailure,
    doubts: parts.doubts,
    replicationFactor: bootstrap.replicationFactor,
    onReplicaInDoubt: parts.onReplicaInDoubt,
    metadata: records,
    disks,
    admission: parts.admission,
  });
  const hosted = host;
  const reachable: Pick<Transport, 'request' | 'connected'> = {
    request: (to, kind, payload, timeoutMs) => transport.request(to, kind, payload, timeoutMs),
    connected: (peer) => transport.connected(peer) && !hosted.isLeaving(peer),
  };
  const ports = { nodeId, map, hints, replicas: host, transport: reachable, clock, limits: config.limits };
  const router = new Router(ports);
  const changes = new ChangeSource({ ...ports, limits: config.watch, local: host });
  const watches = new WatchHub({
    map,
    source: changes,
    clock,
    limits: config.watch,
    cluster: () => {
      const { formation } = identity.identity();
      // Who is prepared for an id is formed with no other.
      return formation.phase === 'unformed' ? undefined : clusterTag(formation.clusterId);
    },
    point: (partition, deadlineAt) =>
      router.execute({ type: 'point', partition }, { route: 'forward', hops: 0, deadlineAt }),
  });
  const transfers = new LeaderTransfers(ports);
  const { statusTimeoutMs } = config.limits;
  const reports = (): Promise<StatusReports> =>
    collectStatus({ nodeId, map, transport, statusTimeoutMs, local: () => hosted.statuses() });
  const contacts = new Map<NodeId, string>();
  const connect = (): void => {
    const peers = new Map(memberNodes(map).map((node) => [node.nodeId, node.peer]));
    for (const [peer, address] of contacts) peers.set(peer, address);
    transport.setPeers([...peers].map(([peer, address]) => ({ nodeId: peer, ...hostAndPort(address) })));
  };
  const metadataHost = new MetadataHost({
    config,
    map,
    state: records,
    groups: host.groups,
    knowledge: ports,
    transfers,
    reports,
    identity,
    founding,
    replicationFactor: bootstrap.replicationFactor,
    clock,
    logger,
    onFailure,
    lookAround: () => hosted.lookAround(),
    isLow: (peer) => disks.low.has(peer),
    contact: (peer, address) => {
      if (address === undefined) contacts.delete(peer);
      else contacts.set(peer, address);
      connect();
    },
  });
  metadata = metadataHost;
  host.leavesBy((request, deadlineAt) => metadataHost.control.leave(request, deadlineAt));
  map.onChange(connect);
  host.onLeaderChanged((partition) => {
    router.leaderChanged(partition);
    transfers.leaderChanged(partition);
    metadataHost.leaderChanged(partition);
  });
  const formation = new Formation({
    store: identity,
    transport,
    clock,
    founding,
    founders: map.founding.nodes.map((node) => node.nodeId),
    drawClusterId: parts.drawClusterId,
    limits: config.limits,
    onWaiting: (reason) => logger.info(`founding: ${reason}`),
  });
  const nonceOf = (peer: NodeId): string | undefined => identity.peer(peer)?.nonce;
  const peerRequests = new PeerRequests({
    router,
    transfers,
    host,
    formation,
    metadata: metadataHost,
    disks,
    changes,
    nonceOf,
  });
  requests = peerRequests;
  connect();
  const { replicationFactor } = bootstrap;
  const { rebuild, onWhole = () => undefined } = parts;
  const rebuilding = rebuild && new Rebuilding({ map, nodeId, replicationFactor, note: rebuild, logger, onWhole });
  const facade = new Facade({
    map,
    missing: () => [rebuilding?.reason(), hosted.missing()].filter((reason) => reason !== undefined),
    hints,
    host,
    router,
    transfers,
    metadata: metadataHost,
    reports,
    identity,
    clock,
    disks,
    watches,
    admission: parts.admission,
  });
  let halted = false;
  disks
    .start()
    .then(() => formation.start())
    .then((result) => begin(result, { transport, host, metadata: metadataHost, onFailure }))
    .catch(onFailure);

  return {
    facade,
    ready: host.ready,
    handOver() {
      facade.leave();
      return hosted.handOver(nonce);
    },
    replica: (partition) => hosted.replica(partition),
    readings: () => ({
      ready: facade.readiness().ready,
      ...hosted.readings(),
      pendingBytes: storage.pendingBytes(),
      writesUnderWay: parts.admission.underWay,
      writesUnderWayMax: parts.admission.underWayMax,
      watchers: watches.watchers,
      watchQueuedBytes: watches.queuedBytes,
      peers: (transport.statistics?.() ?? []).map((peer) => ({
        ...peer,
        queuedBytes: peer.queuedBytes + peer.bulkQueuedBytes,
      })),
    }),
    halt() {
      halted = true;
      facade.shutDown();
      // Whoever asks from now on hears that nothing is begun here; nobody waits for what is under way.
      void peerRequests.drain();
      hosted.halt();
    },
    async close() {
      facade.shutDown();
      formation.stop();
      metadataHost.stop();
      // Nobody is answered any more: who waits has to ask others.
      if (!halted) await drained(peerRequests, clock, config.limits.drainTimeoutMs);
      await hosted.stop();
      disks.stop();
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
  readonly metadata: MetadataHost;
  readonly onFailure: (error: unknown) => void;
}

/** Only a formed cluster starts Raft (the safety of founding rests on it). */
function begin(result: FormationResult, { transport, host, metadata, onFailure }: Founded): void {
  switch (result.type) {
    case 'formed':
      transport.setClusterId(result.clusterId);
      host.start();
      metadata.start();
      return;
    case 'in_doubt':
      onFailure(result.mayJoin ? new EmptiedDirectory(result.message) : new Error(result.message));
      return;
    case 'refused':
      onFailure(new Error(result.message));
      return;
    case 'stopped':
      return;
  }
}

function foundingOf({ bootstrap }: Config): string {
  assert(bootstrap !== undefined, 'a node that was not let in has bootstrap, as the configuration check sees to');
  return canonicalFounding(bootstrap);
}

function bootstrapOf(founding: string): BootstrapConfig {
  const parsed = parseFounding(founding);
  if (parsed.type === 'unreadable') throw new Error(`the founders' list can't be used: ${parsed.reason}`);
  return parsed.bootstrap;
}

/** `peer` is host:port, checked with the configuration; an IPv6 address stands in brackets. */
export function hostAndPort(peer: string): { readonly host: string; readonly port: number } {
  const at = peer.lastIndexOf(':');
  return { host: peer.slice(0, at).replace(/^\[(.*)\]$/, '$1'), port: Number(peer.slice(at + 1)) };
}
