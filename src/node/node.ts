/** One node on a real machine: its data directory, LevelDB, TCP and the machine's clocks. */
import { randomBytes } from 'node:crypto';
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { NodeFacade } from '../cluster/types.ts';
import type { NodeReadings, StorageMeter } from '../metrics/ports.ts';
import type { NodeId, Storage } from '../replica/ports.ts';
import { StorageDamage } from '../storage/damage.ts';
import { diskSpaceOf, roomToStart } from '../storage/disk-space.ts';
import { openIdentity, type OpenIdentity } from '../storage/identity.ts';
import { openLevelStorage } from '../storage/level-storage.ts';
import { openReplicaDoubts } from '../storage/replica-doubts.ts';
import {
  forgetRebuild,
  markedDoubt,
  markInDoubt,
  noteEmpty,
  rebuildNote,
  setAside,
  type Doubt,
} from '../storage/set-aside.ts';
import { systemClock } from './clock.ts';
import type { NodeTransport, TransportBinding } from './composition.ts';
import { addressesOfOthers, DirectoryInDoubt, irreplaceable } from './doubt.ts';
import { tellOfRecoveries } from './recoveries.ts';
import { WriteAdmission } from './write-admission.ts';

export interface NodeOptions {
  readonly config: Config;
  readonly logger: Logger;
  /**
   * HTTP addresses of members: with an empty directory it waits to be let into the cluster that is there. Undefined: it is one of the
   * founders.
   */
  readonly joinAt: readonly string[] | undefined;
  /** It listens, and waits to be let in by the cluster at these addresses. Rejects when they never will. */
  readonly askToJoin: (addresses: readonly string[]) => Promise<void>;
  /** Hears of each batch that is written. */
  readonly meter?: StorageMeter;
}

export interface RunningNode {
  readonly facade: NodeFacade;
  /** For metrics: what is known here, at once. */
  readings(): NodeReadings;
  /** Every partition hosted here knows its leader. */
  readonly ready: Promise<void>;
  /** Resolves when the node must stop: its disk failed, a record is damaged, or an invariant broke. From then on nothing leaves it. */
  readonly failed: Promise<Error>;
  /** The failure is one that another `startNode` mends, with these addresses to join at: it has lost its data, not its place. */
  comesBack(error: Error): readonly string[] | undefined;
  /** Resolves when its disk is nearly full: it must stop, but nothing has failed yet, so that it can hand over and close. */
  readonly full: Promise<Error>;
  /** Others lead what this node leads, as far as there are others; it goes on answering. */
  handOver(): Promise<void>;
  /** Answers who still waits, writes what waits for the disk, closes. */
  close(): Promise<void>;
}

/**
 * Opens the data directory, listens for peers and starts to take part. Resolves before the cluster is formed or has
 * leaders: see `ready`. A directory that can't be believed is set aside, and the node comes in anew, as one that was emptied (`doubt.ts`).
 * Rejects with one clear line when the directory or a port can't be used.
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, logger } = options;
  try {
    return await startOn(options);
  } catch (error) {
    if (!(error instanceof DirectoryInDoubt)) throw error;
    const { doubt, joinAt } = error;
    if (joinAt.length === 0) throw new Error(irreplaceable(config.dataDir, doubt), { cause: error });
    const { setAsideMax } = config.storage;
    const { movedTo } = await setAside(config.dataDir, { doubt, wallMs: systemClock.wallMs(), setAsideMax });
    logger.error(
      { reason: doubt.reason, movedTo },
      `the data directory is ${doubt.kind === 'damaged' ? 'damaged' : 'an old copy'} and was set aside: this node asks to be let in anew`,
    );
    return startNode({ ...options, joinAt });
  }
}

async function startOn(options: NodeOptions): Promise<RunningNode> {
  const { config, logger, joinAt, askToJoin } = options;
  const clock = systemClock;
  const random = Math.random;
  const failure = createFailure();
  const full = createFailure();
  const nodeId = config.nodeId as NodeId;
  const disk = diskSpaceOf(config.dataDir);
  await roomToStart(disk, { directory: config.dataDir, freeBytesStop: config.storage.diskFreeBytesStop });
  const opened: { identity?: OpenIdentity; storage?: Storage } = {};
  const inDoubt = (doubt: Doubt): DirectoryInDoubt =>
    new DirectoryInDoubt(doubt, addressesOfOthers({ config, identity: opened.identity, joinAt }));
  const admission = new WriteAdmission({ limits: config.limits, now: () => clock.monotonicMs() });
  try {
    const identity = await openIdentity({ directory: config.dataDir, nodeId, clusterName: config.clusterName });
    opened.identity = identity;
    tellOfRecoveries(config.dataDir, logger);
    const marked = markedDoubt(config.dataDir);
    if (marked !== undefined) throw inDoubt(marked);
    const doubts = openReplicaDoubts(config.dataDir);
    const opening = openLevelStorage({
      directory: config.dataDir,
      config: config.storage,
      incarnation: identity.identity().incarnation,
      onFailure: failure.report,
      logger,
      meter: meterOf(admission, options.meter),
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
    // Behind the opening: a start that ends there, as a disk is damaged, is one that nobody has seen.
    const storage = await opening;
    opened.storage = storage;
    const members = otherMembers(identity);
    const { limits } = config;
    const reason = await findOldCopy({ identity, members, startTransport: listen, clock, limits, logger });
    if (reason !== undefined) throw inDoubt({ kind: 'old copy', reason });
    if (joinAt !== undefined && identity.identity().formation.phase === 'unformed') {
      noteEmpty(config.dataDir, clock.wallMs());
      const { awaitAdmission } = await import('./join-phase.ts');
      const onListening = (): Promise<void> => askToJoin(joinAt);
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
      disk,
      admission,
      onDiskChange: (isLow) => storage.saveSpace(isLow),
      onDiskFull: full.report,
      startTransport: listen,
      drawClusterId: () => randomBytes(16).toString('hex'),
      onFailure: failure.report,
      doubts,
      rebuild: rebuildNote(config.dataDir),
      onWhole: () => forgetRebuild(config.dataDir),
    });
    let isMarked = false;
    failure.onReport((error) => {
      node.halt();
      // Where nobody else holds what is in it, it must be started with again.
      if (!(error instanceof StorageDamage) || addressesOfOthers({ config, identity, joinAt }).length === 0) return;
      isMarked = mark(config.dataDir, error, logger);
    });
    return {
      facade: node.facade,
      readings: () => node.readings(),
      ready: node.ready,
      failed: failure.failed,
      full: full.failed,
      comesBack: (error) => {
        if (!isMarked && !(error instanceof EmptiedDirectory)) return undefined;
        return addressesOfOthers({ config, identity, joinAt });
      },
      handOver: () => node.handOver(),
      async close() {
        await node.close();
        await storage.close();
        await identity.close();
      },
    };
  } catch (error) {
    const doubt = error instanceof StorageDamage ? inDoubt({ kind: 'damaged', reason: error.message }) : error;
    await opened.storage?.close();
    await opened.identity?.close();
    throw doubt;
  }
}

/** Hears of batches for both. */
function meterOf(admission: WriteAdmission, meter: StorageMeter | undefined): StorageMeter {
  return {
    batchBegun(database, batch) {
      const counted = meter?.batchBegun(database, batch);
      const flushed = database === 'log' ? admission.flushBegun() : undefined;
      return () => {
        counted?.();
        flushed?.();
      };
    },
  };
}

/** Whether the next start will know. A disk that does not take it is one to stop for. */
function mark(directory: string, { message }: StorageDamage, logger: Logger): boolean {
  try {
    markInDoubt(directory, { kind: 'damaged', reason: message });
    return true;
  } catch (error) {
    logger.error({ err: error }, 'that the data directory is damaged could not be written down');
    return false;
  }
}

interface Failure {
  readonly failed: Promise<Error>;
  readonly report: (error: unknown) => void;
  /** `listener` is called with the first failure, before anything else happens; at once if there was one. */
  readonly onReport: (listener: (error: Error) => void) => void;
}

function createFailure(): Failure {
  let first: Error | undefined;
  let listener: (error: Error) => void = () => undefined;
  let resolve: (error: Error) => void = () => undefined;
  const failed = new Promise<Error>((resolveFailed) => {
    resolve = resolveFailed;
  });
  const report = (reported: unknown): void => {
    if (first !== undefined) return;
    first = reported instanceof Error ? reported : new Error(String(reported));
    listener(first);
    resolve(first);
  };
  const onReport = (added: (error: Error) => void): void => {
    listener = added;
    if (first !== undefined) added(first);
  };
  return { failed, report, onReport };
}
