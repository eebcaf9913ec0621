/**
 * Clients that watch all keys while everything goes wrong. They go on from their last cursor when their node dies, when the watch ends, and now and
 * then for no reason; some take nothing for a while. `WatchJudge` knows what they must have been told.
 */
import { parseCursor, type WatchTarget } from '../cluster/watch/cursor.ts';
import type { WatchOutcome } from '../cluster/watch/hub.ts';
import type { WatchSink } from '../cluster/watch/watcher.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import { Told } from './watch-judge.ts';
import type { World } from './world.ts';

const watchers = 3;
const lookEveryMs = 250;
const movesEveryMs = 6000;
const stuckChance = 0.02;
const stuckMsMax = 3000;
const beginsWithinMs = 3000;
const all: WatchTarget = { type: 'prefix', bytes: Buffer.alloc(0) };

export interface WatchersOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
}

export class Watchers {
  readonly #options: WatchersOptions;
  readonly #watchers: SimWatcher[] = [];

  constructor(options: WatchersOptions) {
    this.#options = options;
  }

  /** Changes that were told. */
  get count(): number {
    return this.#watchers.reduce((sum, { told }) => sum + (told?.count ?? 0), 0);
  }

  start(): void {
    for (let number = 0; number < watchers; number += 1) {
      const watcher = new SimWatcher(this.#options);
      this.#watchers.push(watcher);
      watcher.look();
    }
  }

  /** They stay where they are as long as they can, and take all that comes. */
  settle(): void {
    for (const watcher of this.#watchers) watcher.settled = true;
  }

  /** In words; undefined when all have heard everything. */
  missing(): string | undefined {
    const partitions = this.#options.world.map.partitions.map(({ id }) => id);
    for (const [number, { told, at }] of this.#watchers.entries()) {
      const partition = told === undefined ? partitions[0] : told.missing(partitions);
      if (partition !== undefined)
        return `watcher ${number}, at ${at ?? 'no node'}, lacks changes of partition ${partition}`;
    }
    return undefined;
  }
}

class SimWatcher {
  told: Told | undefined;
  /** Where it watches, or is about to. */
  at: string | undefined;
  settled = false;
  readonly #options: WatchersOptions;
  #cursor: string | undefined;
  /** Of its stays at nodes: what comes of an earlier one is nobody's any more. */
  #stay = 0;
  #close: () => void = () => undefined;
  #stuck = false;
  #untaken = 0;
  #unstick: () => void = () => undefined;

  constructor(options: WatchersOptions) {
    this.#options = options;
  }

  look(): void {
    const { world, random } = this.#options;
    if (this.at === undefined) this.#begin();
    else if (!this.settled) {
      if (random.chance(lookEveryMs / movesEveryMs)) this.#leave();
      else if (!this.#stuck && random.chance(stuckChance)) this.#stick();
    }
    world.scheduler.after(lookEveryMs, () => this.look());
  }

  #begin(): void {
    const { world, random, nodes } = this.#options;
    const up = nodes.filter((node) => node.facade() !== undefined);
    if (up.length === 0) return;
    const node = random.pick(up);
    const from = this.#cursor === undefined ? undefined : parseCursor(all, this.#cursor);
    if (typeof from === 'string') throw new Error(`the cursor is ${from}`);
    this.#stay += 1;
    const stay = this.#stay;
    this.at = node.nodeId;
    world.trace.note(() => `a watcher goes to ${node.nodeId}`);
    node.onEnd(() => {
      if (this.#stay === stay) this.#leave();
    });
    const begin = (): WatchSink => this.#sink(stay);
    node.watch({ target: all, from, withinMs: beginsWithinMs, begin }).then((outcome) => {
      if (this.#stay !== stay) return;
      if (outcome?.type === 'watching') this.#close = outcome.close;
      else this.#refused(outcome);
    }, world.violated);
  }

  #refused(outcome: WatchOutcome | undefined): void {
    if (outcome?.type === 'bad_cursor')
      this.#options.world.violated(new Error(`a cursor is refused: ${outcome.detail}`));
    // What lies between can't be told any more: it begins anew.
    if (outcome?.type === 'too_old') this.#forget();
    this.#leave();
  }

  #forget(): void {
    this.#cursor = undefined;
    this.told = undefined;
  }

  #leave(): void {
    this.#stay += 1;
    this.at = undefined;
    this.#options.world.scheduler.promisesMove();
    this.#close();
    this.#close = () => undefined;
    this.#take();
  }

  #stick(): void {
    const { world, random } = this.#options;
    this.#stuck = true;
    const stay = this.#stay;
    world.scheduler.after(random.between(0, stuckMsMax), () => {
      if (this.#stay === stay) this.#take();
    });
  }

  #take(): void {
    this.#stuck = false;
    this.#untaken = 0;
    this.#options.world.scheduler.promisesMove();
    this.#unstick();
    this.#unstick = () => undefined;
  }

  #sink(stay: number): WatchSink {
    const { world } = this.#options;
    const heard = (hear: () => void): void => {
      if (this.#stay !== stay) return;
      try {
        hear();
      } catch (violation) {
        world.violated(violation);
      }
    };
    return {
      event: (change, partition, cursor) =>
        heard(() => {
          world.trace.text(change.type);
          world.trace.mix(partition, change.revision);
          this.told?.event(partition, change);
          this.#cursor = cursor;
          if (this.#stuck) this.#untaken += change.key.length + (change.type === 'put' ? change.value.length : 0);
        }),
      bookmark: (cursor) =>
        heard(() => {
          const parsed = parseCursor(all, cursor);
          if (typeof parsed === 'string') throw new Error(`a cursor is ${parsed}`);
          const { positions } = parsed;
          this.told ??= new Told(world.watches, positions);
          this.told.bookmark(positions);
          this.#cursor = cursor;
        }),
      end: ({ type }) =>
        heard(() => {
          if (type === 'too_old') this.#forget();
          this.#leave();
        }),
      queuedBytes: () => (this.#stay === stay ? this.#untaken : 0),
      drained: () =>
        this.#stay === stay && this.#stuck ? new Promise((resolve) => (this.#unstick = resolve)) : Promise.resolve(),
    };
  }
}
