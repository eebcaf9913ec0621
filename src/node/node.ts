/** One node on a real machine: its data directory, LevelDB, TCP and the machine's clocks. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type { NodeId } from '../replica/ports.ts';
import { openIdentity } from '../storage/identity.ts';
import { openLevelStorage } from '../storage/level-storage.ts';
import { setAside } from '../storage/set-aside.ts';
import { systemClock } from './clock.ts';
import type { NodeTransport, TransportBinding } from './composition.ts';

export interface NodeOptions {
  readonly config: Config;
  readonly logger: Logger;
  /**
   * HTTP addresses of members: with an empty directory it waits to be let into the cluster that is there. Undefined: it is one of the
   * founders.
   */
  readonly joinAt: readonly string[] | undefined;
  /** It listens, and waits to be let in by the cluster at these addresses. */
  readonly askToJoin: (addresses: readonly string[]) => void;
}

export interface RunningNode {
  readonly facade: NodeFacade;
  /** Every partition hosted here knows its leader. */
  readonly ready: Promise<void>;
  /** Resolves when the node must stop: its disk failed, a record is damaged, or an invariant broke. */
  readonly failed: Promise<Error>;
  /** Why it failed: a founder's directory was emptied, and it may start again to be let in anew. */
  isEmptied(error: Error): boolean;
  /** Others lead what this node leads, as far as there are others; it goes on answering. */
  handOver(): Promise<void>;
  /** Answers who still waits, writes what waits for the disk, closes. */
  close(): Promise<void>;
}

/**
 * Opens the data directory, listens for peers and starts to take part. Resolves before the cluster is formed or has
 * leaders: see `ready`. Rejects with one clear line when the directory or a port can't be used.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, logger, joinAt, askToJoin } = options;
  const clock = systemClock;
  const random = Math.random;
  const failure = createFailure();
  const nodeId = config.nodeId as NodeId;
  const identity = await openIdentity({ directory: config.dataDir, nodeId, clusterName: config.clusterName });
  const opening = openLevelStorage({
    directory: config.dataDir,
    config: config.storage,
    incarnation: identity.identity().incarnation,
    onFailure: failure.report,
    logger,
  });
  // Loaded while the disk is read. A storage that does not open is heard below.
  opening.catch(() => undefined);
  const [{ composeNode, EmptiedDirectory }, { startTransport }, { findOldCopy, otherMembers }] = await Promise.all([
    import('./composition.ts'),
    import('../transport/tcp-transport.ts'),
    import('./old-copy.ts'),
  ]);
  const listen = (binding: TransportBinding): Promise<NodeTransport> =>
    startTransport({ ...binding, listen: config.peer, config: config.transport, clock, random, logger });
  const members = otherMembers(identity);
  const { limits } = config;
  // Behind the opening: a start that ends there, as a disk is damaged, is one that nobody has seen.
  const storage = await opening;
  const reason = await findOldCopy({ identity, members, startTransport: listen, clock, limits, logger });
  if (reason !== undefined) {
    await storage.close();
    await identity.close();
    const movedTo = setAside(config.dataDir, { reason, wallMs: clock.wallMs() });
    logger.warn(
      { reason, movedTo },
      'the data directory is an old copy and was set aside: this node asks to be let in anew',
    );
    return startNode({ ...options, joinAt: members.map(({ http }) => http) });
  }
  if (joinAt !== undefined && identity.identity().formation.phase === 'unformed') {
    const { awaitAdmission } = await import('./join-phase.ts');
    const onListening = (): void => askToJoin(joinAt);
    await awaitAdmission({ config, identity, storage, startTransport: listen, clock, logger, onListening });
  }
  const node = await composeNode({
    config,
    logger,
    clock,
    random,
    // `setImmediate` runs after the sockets of this loop turn were read: one turn takes in all that has arrived.
    schedule: (turn) => void setImmediate(turn),
    identity,
    storage,
    startTransport: listen,
    drawClusterId: () => randomBytes(16).toString('hex'),
    onFailure: failure.report,
  });
  return {
    facade: node.facade,
    ready: node.ready,
    failed: failure.failed,
    isEmptied: (error) => error instanceof EmptiedDirectory,
    handOver: () => node.handOver(),
    async close() {
      await node.close();
      await storage.close();
      await identity.close();
    },
  };
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
