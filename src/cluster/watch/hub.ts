/**
 * All who watch at this node. A watch begins at a point that lies behind everything that was acknowledged before it was asked for, and goes on
 * by itself through elections, moves and restarts of other nodes.
 *
 * Safety: a bookmark says that nothing is missing. So it is told only after each partition's leader, confirmed by a majority after
 * the round began, has said how far it is, and all up to there was told. Who can't be told that for long is cut off: this node may be the one that hears
 * nothing, and another one knows more.
 */
import type { WatchConfig } from '../../config.ts';
import type { ChangePoint } from '../../replica/change-log.ts';
import type { Clock, PartitionId } from '../../replica/ports.ts';
import { planted } from '../../planted.ts';
import { keyHash } from '../hash.ts';
import type { PartitionMap } from '../partition-map.ts';
import type { KvOutcome } from '../types.ts';
import type { ChangeSource } from './change-source.ts';
import type { Positions, WatchCursor, WatchPosition, WatchTarget } from './cursor.ts';
import { Feed } from './feed.ts';
import { Watcher, type WatchSink } from './watcher.ts';

export interface WatchHubOptions {
  readonly map: PartitionMap;
  readonly source: ChangeSource;
  readonly clock: Clock;
  readonly limits: WatchConfig;
  /** As cursors name it; undefined while this node is of none. */
  readonly cluster: () => number | undefined;
  /** How far a partition is, by its leader. Answers by `deadlineAt`. */
  readonly point: (partition: PartitionId, deadlineAt: number) => Promise<KvOutcome>;
}

export interface WatchCall {
  readonly target: WatchTarget;
  /** Undefined: from now on. */
  readonly from: WatchCursor | undefined;
  /** For its beginning; monotonic ms. */
  readonly deadlineAt: number;
  /** Called once it is certain that the watch begins, before anything is told. */
  readonly begin: () => WatchSink;
}

export type WatchOutcome =
  /** `close`: nobody is there any more. */
  | { readonly type: 'watching'; readonly close: () => void }
  | { readonly type: 'too_old'; readonly detail: string }
  | { readonly type: 'bad_cursor'; readonly detail: string }
  | { readonly type: 'too_many'; readonly detail: string }
  | { readonly type: 'failed'; readonly outcome: KvOutcome };

const recountMs = 10;

export class WatchHub {
  readonly #options: WatchHubOptions;
  readonly #feeds = new Map<PartitionId, Feed>();
  readonly #watchers = new Set<Watcher>();
  /** Of those that are about to begin, too. */
  #admitted = 0;
  #cancelRound: () => void = () => undefined;
  #rounds = false;
  #queued = { bytes: 0, countedAt: -Infinity };
  #stopped = false;

  constructor(options: WatchHubOptions) {
    this.#options = options;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Told to all watchers and not taken by them, as it was a moment ago. */
  get queuedBytes(): number {
    return this.#queuedBytes();
  }

  async watch(call: WatchCall): Promise<WatchOutcome> {
    const { watchersMax } = this.#options.limits;
    if (this.#stopped) return { type: 'failed', outcome: { type: 'shutting_down' } };
    if (this.#admitted >= watchersMax)
      return { type: 'too_many', detail: `${watchersMax} watches are open at this node` };
    this.#admitted += 1;
    let watching = false;
    try {
      const outcome = await this.#begin(call);
      watching = outcome.type === 'watching';
      return outcome;
    } finally {
      if (!watching) this.#admitted -= 1;
    }
  }

  /** All watches end, each with its cursor. */
  stop(): void {
    this.#stopped = true;
    this.#cancelRound();
    for (const watcher of [...this.#watchers]) {
      watcher.end({ type: 'shutting_down' });
      this.#close(watcher);
    }
  }

  async #begin({ target, from, deadlineAt, begin }: WatchCall): Promise<WatchOutcome> {
    const { clock } = this.#options;
    const partitions = this.#partitionsOf(target);
    const points = await Promise.all(partitions.map((id) => this.#options.point(id, deadlineAt)));
    const failed = points.find(({ type }) => type !== 'point');
    if (failed !== undefined) return { type: 'failed', outcome: failed };
    // Behind the points: a node that was emptied learns only while it waits for them of which cluster it is.
    const cluster = this.#options.cluster();
    if (cluster === undefined) return { type: 'failed', outcome: notOfAClusterYet(partitions) };
    if (from !== undefined && (from.cluster !== cluster || !isOf(from.positions, partitions))) {
      return { type: 'bad_cursor', detail: 'the cursor is of another cluster, which was here before or is elsewhere' };
    }
    const positions = new Map<PartitionId, WatchPosition>();
    for (const [at, outcome] of points.entries()) {
      const partition = partitions[at] as PartitionId;
      if (outcome.type !== 'point') continue;
      const wanted = cursorAt(from?.positions.get(partition)) ?? { ...outcome.point, done: 0 };
      const refusal = wrongPlace(partition, wanted, outcome.point);
      if (refusal !== undefined) return refusal;
      positions.set(partition, wanted);
    }
    // All at once: each may take a while.
    const refusals = await Promise.all(
      [...(from === undefined ? [] : positions)].map(([id, place]) => this.#tooOld(id, place)),
    );
    const refusal = refusals.find((one) => one !== undefined);
    if (refusal !== undefined) return refusal;
    if (this.#stopped) return { type: 'failed', outcome: { type: 'shutting_down' } };
    const watcher = new Watcher({ target, positions, cluster, sink: begin(), nowMs: clock.monotonicMs() });
    this.#watchers.add(watcher);
    // Where it begins: it may go on from there even if nothing comes.
    watcher.sink.bookmark(watcher.cursor());
    for (const partition of partitions) this.#feed(partition, watcher.at(partition)).add(watcher);
    this.#startRounds();
    return { type: 'watching', close: () => this.#close(watcher) };
  }

  #partitionsOf({ type, bytes }: WatchTarget): readonly PartitionId[] {
    const { map } = this.#options;
    return type === 'key' ? [map.partitionOf(keyHash(bytes)).id] : map.partitions.map(({ id }) => id);
  }

  /** Looked at before anything is answered: later it could only be broken off. */
  async #tooOld(partition: PartitionId, from: WatchPosition): Promise<WatchOutcome | undefined> {
    const found = await this.#options.source.poll(partition, from, { waitMs: 0, distrustLocal: false });
    return found.type === 'too_old' ? found : undefined;
  }

  #feed(partition: PartitionId, position: ChangePoint): Feed {
    const known = this.#feeds.get(partition);
    if (known !== undefined) return known;
    const { source, clock, limits } = this.#options;
    const feed = new Feed(
      {
        partition,
        source,
        clock,
        pollMs: limits.pollMs,
        retryMs: limits.retryMs,
        isFull: (watcher) => this.#isFull(watcher),
      },
      position,
    );
    this.#feeds.set(partition, feed);
    return feed;
  }

  /** One holds no more than its share, and all together no more than the node can give. */
  #isFull({ sink }: Watcher): boolean {
    const { bufferBytesMax, buffersBytesMax } = this.#options.limits;
    const queued = sink.queuedBytes();
    if (queued === 0) return false;
    return queued > bufferBytesMax || this.#queuedBytes() > buffersBytesMax;
  }

  /** Told to all watchers and not taken by them; added up now and then, as it is asked for with every change. */
  #queuedBytes(): number {
    const now = this.#options.clock.monotonicMs();
    if (now - this.#queued.countedAt < recountMs) return this.#queued.bytes;
    let bytes = 0;
    for (const { sink } of this.#watchers) bytes += sink.queuedBytes();
    this.#queued = { bytes, countedAt: now };
    return bytes;
  }

  #close(watcher: Watcher): void {
    if (!this.#watchers.delete(watcher)) return;
    this.#admitted -= 1;
    watcher.ended = true;
    for (const partition of watcher.partitions()) {
      const feed = this.#feeds.get(partition);
      feed?.remove(watcher);
      if (feed?.isIdle === true) this.#feeds.delete(partition);
    }
  }

  #startRounds(): void {
    if (this.#rounds) return;
    this.#rounds = true;
    const { clock, limits } = this.#options;
    this.#cancelRound = clock.after(limits.bookmarkMs, () => void this.#round());
  }

  /** All partitions that are watched are confirmed, and everybody of whose partitions none is missing is told so. */
  async #round(): Promise<void> {
    const { clock, limits } = this.#options;
    const startedAt = clock.monotonicMs();
    const confirmed = new Set<PartitionId>();
    await Promise.all(
      [...this.#feeds.values()].map(async (feed) => {
        const outcome = await this.#options.point(feed.partition, startedAt + limits.confirmMs);
        if (outcome.type !== 'point') feed.distrustLocal();
        else if (await feed.reaches(outcome.point, limits.confirmMs)) confirmed.add(feed.partition);
      }),
    );
    if (this.#stopped) return;
    for (const watcher of [...this.#watchers]) {
      const partitions = [...watcher.partitions()];
      const missing = partitions.filter((partition) => !confirmed.has(partition) || watcher.behind.has(partition));
      if (missing.length === 0) {
        watcher.assuredAt = startedAt;
        watcher.sink.bookmark(watcher.cursor());
      } else if (partitions.every((partition) => confirmed.has(partition)) && watcher.sink.queuedBytes() > 0) {
        // Nothing is kept from it: its reader is slow, and is cut off elsewhere if it takes nothing.
        watcher.assuredAt = startedAt;
      } else if (startedAt - watcher.assuredAt > limits.contactMs) {
        const detail = `for ${limits.contactMs} ms nobody could say that nothing is missing of partition ${missing[0]}`;
        watcher.end({ type: 'no_contact', detail });
      }
      if (watcher.ended) this.#close(watcher);
    }
    this.#rounds = false;
    if (this.#watchers.size > 0) this.#startRounds();
  }
}

/** (A seeded bug begins one entry too early.) */
function cursorAt(position: WatchPosition | undefined): WatchPosition | undefined {
  if (position === undefined || !planted('watch-repeats-after-resume')) return position;
  return { ...position, index: Math.max(0, position.index - 1), done: 0 };
}

function notOfAClusterYet([partition]: readonly PartitionId[]): KvOutcome {
  const detail = 'this node has not been let into its cluster yet';
  return { type: 'no_leader', partition: partition as PartitionId, detail };
}

function isOf(positions: Positions, partitions: readonly PartitionId[]): boolean {
  return positions.size === partitions.length && partitions.every((partition) => positions.has(partition));
}

/** A cursor that says more than the partition has was never given for it. */
function wrongPlace(partition: PartitionId, from: WatchPosition, now: ChangePoint): WatchOutcome | undefined {
  if (from.incarnation < now.incarnation) {
    return { type: 'too_old', detail: `partition ${partition} was begun anew since` };
  }
  const within = from.done > 0 ? from.index + 1 : from.index;
  if (from.incarnation === now.incarnation && within <= now.index) return undefined;
  return { type: 'bad_cursor', detail: `the cursor is ahead of partition ${partition}` };
}
