/**
 * Which nodes have little room left on their disks: this one by its own measure, others by their word.
 *
 * A full disk is foreseen, not hit: after one failed write nobody knows what LevelDB goes on to acknowledge. So there are two bounds. Below
 * the first, a node says that it is low, and no partition with a voter on it takes anything that needs more room: its log is one
 * sequence, so a follower that left out what it has no room for would not get at the deletes behind it either. What is kept free until
 * the second is for these, for votes, and for what was under way. Below the second it stops, in order; the others go on without it.
 *
 * A word that is not repeated is forgotten: whoever is dead, or cannot be heard and so acknowledges nothing either, holds up nobody.
 */
import { isCount, isFields } from '../cluster/shapes.ts';
import type { StorageConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Clock, DiskSpace, NodeId, Transport } from '../replica/ports.ts';
import { DiskFullError, inMiB } from '../storage/disk-space.ts';

export interface DiskWatchOptions {
  readonly nodeId: NodeId;
  readonly dataDir: string;
  readonly disk: DiskSpace;
  readonly limits: Pick<
    StorageConfig,
    'diskFreeBytesMin' | 'diskFreeBytesMargin' | 'diskFreeBytesStop' | 'diskCheckMs' | 'diskToldMs'
  >;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
  /** Who is told. */
  readonly members: () => readonly NodeId[];
  /** This node's own disk has come to be low, or has room again. */
  readonly onChange: (isLow: boolean) => void;
  /** The node must stop. Called once. */
  readonly onFull: (error: Error) => void;
  readonly logger: Logger;
}

/** What a node tells the others. */
export const diskRequest = 'disk';

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #low = new Map<NodeId, string>();
  /** When each of the others said so last, on the monotonic clock. */
  readonly #toldAt = new Map<NodeId, number>();
  #freeBytes: number | undefined;
  #isUnknown = false;
  #isFull = false;
  #cancel: () => void = () => undefined;
  #stopped = false;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Nodes with too little room, and for people what is the matter. Changes as it becomes known. */
  get low(): ReadonlyMap<NodeId, string> {
    return this.#low;
  }

  /** Resolves once this node's own disk was looked at. */
  start(): Promise<void> {
    return new Promise((resolve) => this.#look(resolve));
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** Serves a peer's word. */
  heard(from: NodeId, payload: unknown): Promise<null> {
    const freeBytes = isFields(payload) ? payload['freeBytes'] : undefined;
    if (isCount(freeBytes)) {
      this.#toldAt.set(from, this.#options.clock.monotonicMs());
      this.#setLow(from, freeBytes);
    } else if (freeBytes === null) this.#setWell(from);
    return Promise.resolve(null);
  }

  /** Why so many bytes of another node's are not taken in; undefined when this one will not be low behind them. */
  refusal(bytes: number): string | undefined {
    const { nodeId, limits } = this.#options;
    const low = this.#low.get(nodeId);
    if (low !== undefined || this.#freeBytes === undefined) return low;
    if (this.#freeBytes - bytes >= limits.diskFreeBytesMin) return undefined;
    return `${nodeId} has ${inMiB(this.#freeBytes)} left on its disk, too little to take in ${inMiB(bytes)}`;
  }

  #look(then: () => void = () => undefined): void {
    const { disk, clock, limits } = this.#options;
    disk.measure((freeBytes) => {
      if (this.#stopped) return then();
      this.#cancel = clock.after(limits.diskCheckMs, () => this.#look());
      this.#forgetOld();
      this.#measured(freeBytes);
      then();
    });
  }

  #measured(freeBytes: number | undefined): void {
    const { nodeId, dataDir, limits, logger, onFull } = this.#options;
    if (freeBytes === undefined) {
      if (!this.#isUnknown) logger.warn({ dataDir }, 'the system does not say how much room the disk has');
      this.#isUnknown = true;
      if (this.#low.has(nodeId)) this.#tell(this.#freeBytes ?? 0);
      return;
    }
    this.#isUnknown = false;
    this.#freeBytes = freeBytes;
    const { diskFreeBytesMin, diskFreeBytesMargin, diskFreeBytesStop } = limits;
    if (freeBytes < diskFreeBytesStop && !this.#isFull) {
      // Until it has closed it goes on telling the others: what they send it still has to fit.
      this.#isFull = true;
      onFull(new DiskFullError({ directory: dataDir, freeBytes, freeBytesStop: diskFreeBytesStop }));
    }
    const wasLow = this.#low.has(nodeId);
    const isLow = freeBytes < diskFreeBytesMin + (wasLow ? diskFreeBytesMargin : 0);
    if (isLow) this.#setLow(nodeId, freeBytes);
    else this.#setWell(nodeId);
    if (isLow || wasLow) this.#tell(isLow ? freeBytes : null);
    if (isLow !== wasLow) this.#options.onChange(isLow);
  }

  #tell(freeBytes: number | null): void {
    const { nodeId, members, transport, limits } = this.#options;
    for (const peer of members()) {
      if (peer === nodeId || !transport.connected(peer)) continue;
      // Whoever did not hear it hears the next one, or forgets the last.
      transport.request(peer, diskRequest, { freeBytes }, limits.diskToldMs).catch(() => undefined);
    }
  }

  #setLow(nodeId: NodeId, freeBytes: number): void {
    const what =
      `${nodeId} has ${inMiB(freeBytes)} left on its disk, so nothing is written that would need more room there. ` +
      'Reads and deletes still work; writes do again by themselves once keys are deleted or its disk has room.';
    if (!this.#low.has(nodeId)) {
      this.#options.logger.warn({ disk: nodeId, freeBytes }, 'a disk has little room left: what needs more is refused');
    }
    this.#low.set(nodeId, what);
  }

  #setWell(nodeId: NodeId): void {
    this.#toldAt.delete(nodeId);
    if (this.#low.delete(nodeId))
      this.#options.logger.info({ disk: nodeId }, 'nothing is refused for that disk any more');
  }

  #forgetOld(): void {
    const now = this.#options.clock.monotonicMs();
    for (const [nodeId, at] of this.#toldAt) {
      if (now - at >= this.#options.limits.diskToldMs) this.#setWell(nodeId);
    }
  }
}
