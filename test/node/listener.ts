/** One who watches at simulated nodes, and comes back with its last cursor wherever it is told to. */
import { parseCursor, type WatchTarget } from '../../src/cluster/watch/cursor.ts';
import type { WatchOutcome } from '../../src/cluster/watch/hub.ts';
import type { WatchSink } from '../../src/cluster/watch/watcher.ts';
import type { Nodes } from './world.ts';

const all: WatchTarget = { type: 'prefix', bytes: Buffer.alloc(0) };

export class Listener {
  /** `put key`, in the order in which it was told. */
  readonly told: string[] = [];
  /** Revisions, likewise. */
  readonly versions: number[] = [];
  bookmarks = 0;
  cursor: string | undefined;
  at: string | undefined;
  ended: string | undefined;
  /** Takes nothing while this is so. */
  stuck = false;
  untaken = 0;
  #close: () => void = () => undefined;
  #unstick: () => void = () => undefined;
  readonly #nodes: Nodes;
  readonly #target: WatchTarget;

  constructor(nodes: Nodes, target = all) {
    this.#nodes = nodes;
    this.#target = target;
  }

  async watch(at: string): Promise<WatchOutcome['type']> {
    const facade = this.#nodes.node(at).facade();
    if (facade === undefined) throw new Error(`${at} is not up`);
    this.ended = undefined;
    this.at = at;
    const from = this.cursor === undefined ? undefined : parseCursor(this.#target, this.cursor);
    if (typeof from === 'string') throw new Error(`the cursor is ${from}`);
    this.#nodes.world.scheduler.promisesMove();
    const deadlineAt = this.#nodes.now() + 3000;
    const watch = facade.watch({ target: this.#target, from, deadlineAt, begin: () => this.#sink() });
    const { outcome } = await this.#nodes.done(watch);
    if (outcome.type === 'watching') this.#close = outcome.close;
    return outcome.type;
  }

  close(): void {
    this.#close();
  }

  unstick(): void {
    this.stuck = false;
    this.untaken = 0;
    this.#nodes.world.scheduler.promisesMove();
    this.#unstick();
  }

  #sink(): WatchSink {
    return {
      event: (change, _partition, cursor) => {
        this.told.push(`${change.type} ${Buffer.from(change.key).toString()}`);
        this.versions.push(change.revision);
        this.cursor = cursor;
        if (this.stuck) this.untaken += change.type === 'put' ? change.value.length : 0;
      },
      bookmark: (cursor) => {
        this.bookmarks += 1;
        this.cursor = cursor;
      },
      end: (end) => (this.ended = end.type),
      queuedBytes: () => this.untaken,
      drained: () => (this.stuck ? new Promise((resolve) => (this.#unstick = resolve)) : Promise.resolve()),
    };
  }
}
