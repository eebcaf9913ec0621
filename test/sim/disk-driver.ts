/** A node's storage on a simulated disk, written to at random, and a model of what it must hold after whatever happens to it. */
import { assert } from '../../src/assert.ts';
import { defaults } from '../../src/config.ts';
import type { Entry, LogIndex } from '../../src/raft/types.ts';
import type { NodeId, PartitionId, Storage } from '../../src/replica/ports.ts';
import { SimDisk, type DiskEvent, type DiskFaults, type DiskHandles } from '../../src/sim/disk.ts';
import { Random } from '../../src/sim/random.ts';
import { Scheduler } from '../../src/sim/scheduler.ts';
import { StorageDamage } from '../../src/storage/damage.ts';
import { openGroupCommit } from '../../src/storage/group-commit.ts';
import { entry, hardState, logWrite, machineState, p1, p2, put, value } from '../storage/building.ts';

export const goodDisk: DiskFaults = {
  fsyncMsMin: 1,
  fsyncMsMax: 5,
  slowChance: 0,
  slowMs: 50,
  stallChance: 0,
  stallMs: 500,
  failChance: 0,
  inFlightSurvives: 0.5,
};

const partitions = [p1, p2];
const stateKeys = 5;

interface Group {
  readonly term: number;
  readonly vote: number;
  readonly log: readonly Entry[];
}

/** All groups after one more write was handed over. */
type Moment = ReadonlyMap<PartitionId, Group>;

const empty: Moment = new Map(partitions.map((partition) => [partition, { term: 0, vote: 0, log: [] }]));

export type Found = 'right' | 'damage';

export class DiskDriver {
  readonly scheduler = new Scheduler();
  readonly events: DiskEvent[] = [];
  readonly disk: SimDisk;
  faults: DiskFaults = goodDisk;
  /** Stands between storage and disk, for showing what this model catches. */
  wrap: (handles: DiskHandles) => DiskHandles = (handles) => handles;
  failures = 0;
  /** How many writes that nobody was told of the last start found. */
  surplus = 0;
  /** Whether any were under way. */
  unacknowledged = 0;
  readonly #random: Random;
  #storage: Storage | undefined;
  /** `#moments[n]`: after the nth write since the start. */
  #moments: Moment[] = [empty];
  #acknowledged = 0;
  readonly #committed = new Map<PartitionId, readonly Entry[]>(partitions.map((partition) => [partition, []]));
  readonly #staged = new Map<PartitionId, number>();

  constructor(seed: number) {
    this.#random = new Random(seed, 'driver');
    this.disk = new SimDisk({
      nodeId: 'n1' as NodeId,
      clusterName: 'test',
      random: new Random(seed, 'disk').next,
      after: (delayMs, run) =>
        this.scheduler.after(delayMs, () => {
          this.scheduler.promisesMove();
          run();
        }),
      faults: () => this.faults,
      onEvent: (event) => this.events.push(event),
    });
  }

  /** Opens and compares everything with the model. Throws when the disk was wrong and nothing said so. */
  async start(): Promise<Found> {
    const { databases, highWater, identity } = this.wrap(this.disk.open());
    try {
      const storage = await openGroupCommit({
        databases,
        highWater,
        config: { ...defaults.storage, stateFlushDelayMs: 3 },
        incarnation: identity.identity().incarnation,
        after: (delayMs, run) => this.scheduler.after(delayMs, run),
        onFailure: () => {
          this.failures += 1;
        },
      });
      this.#compare(storage);
      this.#storage = storage;
      return 'right';
    } catch (error) {
      if (error instanceof StorageDamage) return 'damage';
      throw error;
    }
  }

  /** So many turns of writing, a millisecond each; ends early when the disk fails. */
  async write(turns: number): Promise<void> {
    for (let turn = 0; turn < turns && this.failures === 0; turn += 1) {
      const partition = this.#random.pick(partitions);
      if (this.#random.chance(0.7)) this.#append(partition);
      if (this.#random.chance(0.4)) this.#commit(partition);
      this.#present().flush();
      await this.run(1);
    }
  }

  async run(ms: number): Promise<void> {
    await this.scheduler.runUntil(this.scheduler.now() + ms);
  }

  /** A number from the driver's own chance. */
  whole(min: number, max: number): number {
    return this.#random.whole(min, max);
  }

  kill(): void {
    this.unacknowledged = this.#moments.length - 1 - this.#acknowledged;
    this.disk.kill();
  }

  cutPower(): void {
    this.unacknowledged = this.#moments.length - 1 - this.#acknowledged;
    this.disk.cutPower();
  }

  async close(): Promise<void> {
    const closed = this.#present().close();
    await this.run(100);
    await closed;
  }

  #append(partition: PartitionId): void {
    const before = this.#moments.at(-1) ?? empty;
    const { term, vote, log } = before.get(partition) ?? { term: 0, vote: 0, log: [] };
    const newTerm = Math.max(1, term + (this.#random.chance(0.2) ? 1 : 0));
    const newVote = newTerm > term ? this.#random.whole(0, 3) : vote;
    const committed = this.#committed.get(partition)?.length ?? 0;
    const cut = newTerm > term && this.#random.chance(0.5) ? this.#random.whole(committed, log.length) : log.length;
    const count = this.#random.whole(0, 3);
    const entries = Array.from({ length: count }, (_, offset) =>
      entry(cut + 1 + offset, newTerm, this.#random.hex(this.#random.whole(0, 64))),
    );
    const after = { term: newTerm, vote: newVote, log: [...log.slice(0, cut), ...entries] };
    this.#moments.push(new Map(before).set(partition, after));
    const position = this.#moments.length - 1;
    const moments = this.#moments;
    const write = logWrite(partition, {
      ...(newTerm > term ? { hardState: hardState(newTerm, newVote) } : {}),
      ...(cut < log.length ? { truncate: cut + 1 } : {}),
      entries,
    });
    this.#present().appendLog(write, () => {
      assert(moments === this.#moments && position === this.#acknowledged + 1, 'told in order, by this start');
      this.#acknowledged = position;
    });
  }

  /** A majority has what is durable here, and the state machine applies it. */
  #commit(partition: PartitionId): void {
    const durable = this.#moments[this.#acknowledged]?.get(partition)?.log ?? [];
    const now = this.#moments.at(-1)?.get(partition)?.log ?? [];
    const safe = durable.filter((one, position) => now[position] === one);
    const committed = this.#committed.get(partition) ?? [];
    const upTo = this.#random.whole(committed.length, Math.max(committed.length, safe.length));
    if (upTo > committed.length) this.#committed.set(partition, safe.slice(0, upTo));
    this.#apply(partition);
  }

  #apply(partition: PartitionId): void {
    const staged = this.#staged.get(partition) ?? 0;
    const fresh = (this.#committed.get(partition) ?? []).slice(staged);
    const last = fresh.at(-1);
    if (last === undefined) return;
    const writes = fresh.map((one) => put(keyOf(one.index), textOf(one), one.index));
    this.#present().stageState(partition, writes, machineState(last.index, last.term));
    this.#staged.set(partition, last.index);
  }

  #compare(storage: Storage): void {
    const found = new Map(partitions.map((partition) => [partition, readGroup(storage, partition)]));
    const candidates = this.#moments.slice(this.#acknowledged);
    const text = describe(found);
    const surplus = candidates.findIndex((moment) => describe(moment) === text);
    assert(surplus >= 0, () => `acknowledged was\n${describe(candidates[0])}\nfound is\n${text}`);
    for (const partition of partitions) this.#compareState(storage, partition, found.get(partition)?.log ?? []);
    this.surplus = surplus;
    this.failures = 0;
    this.#moments = [candidates[surplus] ?? empty];
    this.#acknowledged = 0;
  }

  /** As of some applied index within the log, and the log has the rest. */
  #compareState(storage: Storage, partition: PartitionId, log: readonly Entry[]): void {
    const { appliedIndex } = storage.group(partition).machineState;
    const committed = this.#committed.get(partition) ?? [];
    assert(appliedIndex <= committed.length && committed.length <= log.length, 'applied, committed, logged');
    for (let remainder = 0; remainder < stateKeys; remainder += 1) {
      const newest = committed.slice(0, appliedIndex).findLast((one) => one.index % stateKeys === remainder);
      const expected = newest === undefined ? undefined : textOf(newest);
      const stored = value(storage, partition, keyOf(remainder));
      assert(stored === expected, () => `key ${remainder} at ${appliedIndex}: ${stored}, not ${expected}`);
    }
    this.#staged.set(partition, appliedIndex);
  }

  #present(): Storage {
    assert(this.#storage !== undefined, 'the node was started');
    return this.#storage;
  }
}

function readGroup(storage: Storage, partition: PartitionId): Group {
  const { currentTerm, votedFor } = storage.group(partition).hardState;
  const log = storage.log(partition);
  return { term: currentTerm, vote: votedFor, log: log.entries(1 as LogIndex, log.lastIndex(), Infinity) };
}

function describe(moment: Moment | undefined): string {
  return [...(moment ?? empty)]
    .map(([partition, { term, vote, log }]) => `${partition}: ${term} ${vote} ${log.map(textOf).join(' ')}`)
    .join('\n');
}

function textOf({ index, term, body }: Entry): string {
  return `${index}/${term} ${Buffer.from(body).toString()}`;
}

function keyOf(index: number): string {
  return `key ${index % stateKeys}`;
}
