/**
 * What grows old in a partition is taken out by its leader: keys that are due, and results that were kept long enough for repeats.
 * It looks for them by their times and proposes to take them out, some at a time and one proposal after the other, so that
 * other writes find their place between. Applying decides (`kv/machine.ts`): a proposal that comes late does no harm.
 *
 * However much is due at once, it takes out little at a time and rests in proportion to how long that took, so that it takes a small share of the
 * group's time, less the busier the group is. Only what has been due for long it takes out as fast as it goes: else
 * more could fall due all the time than it takes out.
 *
 * Between two looks it remembers how far everything is gone, and when the next one is due, so that nothing is looked for again
 * where much was deleted, and a group without anything due costs nothing.
 */
import { encodeCommand } from '../kv/command.ts';
import type { DueKey, MachineState, RememberedAt, StateWrite, SweepCommand } from '../kv/types.ts';
import type { ReplicaOutcome } from './options.ts';
import type { StateConfig } from '../config.ts';
import type { Clock, PartitionId, Storage, TimePlace, TimeRange } from './ports.ts';

export type SweepLimits = Pick<
  StateConfig,
  'sweepItemsMax' | 'sweepItemsUnhurried' | 'sweepPercent' | 'sweepLateMs' | 'idempotencyRetentionMs'
>;

export interface SweeperOptions {
  readonly partition: PartitionId;
  readonly storage: Pick<Storage, 'dueKeys' | 'rememberedResults'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly limits: SweepLimits;
  /** Hands a command to the leader that this replica is; answers like `Replica.propose`. */
  readonly propose: (body: Buffer, answer: (outcome: ReplicaOutcome) => void) => void;
  readonly onFailure: (error: unknown) => void;
}

export class Sweeper {
  readonly #options: SweeperOptions;
  readonly #due = new Order();
  readonly #remembered = new Order();
  #busy = false;
  #stopped = false;
  /** Monotonic, ms: unless there is hurry. */
  #restsUntil = -Infinity;

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** What an entry has changed: something may be due earlier than anything before. */
  applied(writes: readonly StateWrite[]): void {
    for (const write of writes) {
      if (write.type === 'put' && write.record.expiresAt !== 0) this.#due.added(write.record.expiresAt);
      else if (write.type === 'remember') this.#remembered.added(write.remembered.at);
    }
  }

  /** Another state took the place of the one that it knew. */
  installed(): void {
    this.#due.forget();
    this.#remembered.forget();
  }

  stop(): void {
    this.#stopped = true;
  }

  isDue(state: MachineState, logTime: number): boolean {
    if (this.#busy) return false;
    const lateMs = this.#lateMs(state, logTime);
    return lateMs >= 0 && (this.#hurries(lateMs) || this.#options.clock.monotonicMs() >= this.#restsUntil);
  }

  /** For how long the first has been due, ms; below 0 when nothing is. */
  #lateMs({ expiring, remembered }: MachineState, logTime: number): number {
    const ofKeys = expiring > 0 ? this.#due.lateMs(logTime) : -1;
    const { idempotencyRetentionMs } = this.#options.limits;
    return remembered > 0 ? Math.max(ofKeys, this.#remembered.lateMs(logTime - idempotencyRetentionMs)) : ofKeys;
  }

  #hurries(lateMs: number): boolean {
    return lateMs >= this.#options.limits.sweepLateMs;
  }

  /** On a leader, when something `isDue`. */
  sweep(state: MachineState, logTime: number): void {
    const { sweepItemsMax, sweepItemsUnhurried } = this.#options.limits;
    const limit = this.#hurries(this.#lateMs(state, logTime)) ? sweepItemsMax : sweepItemsUnhurried;
    this.#busy = true;
    this.#sweep(logTime, Math.min(limit, sweepItemsMax)).catch((error: unknown) => {
      this.#busy = false;
      if (!this.#stopped) this.#options.onFailure(error);
    });
  }

  async #sweep(logTime: number, limit: number): Promise<void> {
    const { partition, storage, clock, limits, propose } = this.#options;
    const { idempotencyRetentionMs, sweepPercent } = limits;
    const startedAt = clock.monotonicMs();
    const due = await this.#due.look((range) => storage.dueKeys(partition, range), {
      through: logTime,
      limit,
      placeOf: placeOfDue,
    });
    const old = await this.#remembered.look((range) => storage.rememberedResults(partition, range), {
      through: logTime - idempotencyRetentionMs,
      limit: limit - due.length,
      placeOf: placeOfRemembered,
    });
    if (this.#stopped || due.length + old.length === 0) {
      this.#busy = false;
      return;
    }
    propose(encodeCommand(sweepOf(due, old)), (outcome) => {
      this.#busy = false;
      const now = clock.monotonicMs();
      this.#restsUntil = now + (now - startedAt) * (100 / sweepPercent - 1);
      // Whatever else became of it: what is left is found again by the next look.
      if (outcome.type !== 'result') return;
      this.#due.gone(due.map(placeOfDue));
      this.#remembered.gone(old.map(placeOfRemembered));
    });
  }
}

interface Look<Item> {
  readonly through: number;
  readonly limit: number;
  readonly placeOf: (item: Item) => TimePlace;
}

/** One order by time: how far all is gone, and when there is something again. */
class Order {
  /** Nothing is left at or before it. */
  #goneThrough: TimePlace | undefined;
  /** Log time, ms: nothing is earlier. 0: it is not known what there is. */
  #nextAt = 0;
  /** The earliest that was added since the last look began. */
  #addedAt = Infinity;

  /** For how long the first has been due by `logTime`, ms; 0 while it is not known when that was, below 0 when nothing is due. */
  lateMs(logTime: number): number {
    return this.#nextAt === 0 ? 0 : logTime - this.#nextAt;
  }

  added(at: number): void {
    this.#nextAt = Math.min(this.#nextAt, at);
    this.#addedAt = Math.min(this.#addedAt, at);
    // Later than what is gone, mostly: time goes on. A place right before it, as names begin with nothing.
    if (this.#goneThrough !== undefined && at <= this.#goneThrough.at) this.#goneThrough = { at, name: noName };
  }

  gone(places: readonly TimePlace[]): void {
    const last = places.at(-1);
    if (last === undefined) return;
    // What was added meanwhile may have its place before it.
    this.#goneThrough = this.#addedAt <= last.at ? { at: this.#addedAt, name: noName } : last;
  }

  forget(): void {
    this.#goneThrough = undefined;
    this.#nextAt = 0;
  }

  /** What there is up to a time; and if that is all, notes when the next one comes. */
  async look<Item>(
    read: (range: TimeRange) => Promise<readonly Item[]>,
    { through, limit, placeOf }: Look<Item>,
  ): Promise<readonly Item[]> {
    if (this.#nextAt > through || limit === 0) return [];
    const after = this.#goneThrough;
    // From here on what is added counts, also what the read does not see.
    this.#nextAt = Infinity;
    this.#addedAt = Infinity;
    const found = await read({ after, through: Infinity, limit: limit + 1 });
    const due = found.filter((item) => placeOf(item).at <= through).slice(0, limit);
    const next = found[due.length];
    // What is due stays so until it is gone.
    const first = due[0] ?? next;
    if (first !== undefined) this.#nextAt = Math.min(this.#nextAt, placeOf(first).at);
    return due;
  }
}

const noName = Buffer.alloc(0);

function placeOfDue({ key, expiresAt }: DueKey): TimePlace {
  return { at: expiresAt, name: key };
}

function placeOfRemembered(remembered: RememberedAt): TimePlace {
  return remembered;
}

function sweepOf(due: readonly DueKey[], old: readonly RememberedAt[]): SweepCommand {
  const expire = due.map(({ key, revision, incarnation }) => ({ key, version: { revision, incarnation } }));
  return { type: 'sweep', expire, forget: old };
}
