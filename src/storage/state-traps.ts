/**
 * Who wants a state of exactly one index waits here for it. The state's queue ends a batch right behind the change that brings that index, and
 * once it is durable, before the next batch begins, the database's snapshot is opened: nothing of later can be in it.
 */
import { assert } from '../assert.ts';
import type { LogIndex } from '../raft/types.ts';
import type { PartitionId, StateReading, StateTrap } from '../replica/ports.ts';
import { StorageDamage } from './damage.ts';

/** The state of a group as the queue has it. */
export interface TrappedState {
  readonly appliedIndex: number;
  durableAppliedIndex(): LogIndex;
  /** Of the newest change, while that is not durable. */
  readonly pendingOrdinal: number | undefined;
}

interface Trap {
  readonly index: LogIndex;
  /** Of the change that brings the index; undefined until it is staged. */
  ordinal: number | undefined;
  readonly resolve: (reading: StateReading | undefined) => void;
  readonly reject: (error: unknown) => void;
}

export class StateTraps {
  readonly #open: (partition: PartitionId) => StateReading;
  readonly #traps = new Map<PartitionId, Trap>();

  constructor(open: (partition: PartitionId) => StateReading) {
    this.#open = open;
  }

  /** Undefined when the state is beyond the index. */
  set(partition: PartitionId, index: LogIndex, state: TrappedState): StateTrap | undefined {
    assert(!this.#traps.has(partition), () => `partition ${partition}: one trap at a time`);
    const { appliedIndex, pendingOrdinal } = state;
    if (appliedIndex > index) return undefined;
    const isHere = appliedIndex === index;
    const isDurable = state.durableAppliedIndex() === index;
    // A snapshot that is being installed: its end is not waited for.
    if (isHere && !isDurable && pendingOrdinal === undefined) return undefined;
    const { promise, ...settle } = deferred();
    const trap: Trap = { index, ordinal: isHere ? pendingOrdinal : undefined, ...settle };
    if (isHere && isDurable) this.#spring(partition, trap);
    else this.#traps.set(partition, trap);
    return {
      sprung: promise,
      takeBack: () => {
        if (this.#traps.get(partition) === trap) this.release(partition);
      },
    };
  }

  /** A change was staged. */
  staged(partition: PartitionId, appliedIndex: number, ordinal: number): void {
    if (this.#traps.size === 0) return;
    const trap = this.#traps.get(partition);
    if (trap?.index === appliedIndex) trap.ordinal = ordinal;
  }

  /** The state was replaced, or the group is over. */
  release(partition: PartitionId): void {
    const trap = this.#traps.get(partition);
    if (trap === undefined) return;
    this.#traps.delete(partition);
    trap.resolve(undefined);
  }

  /** The next batch may take what was pushed before this. */
  ordinalEnd(): number {
    let end = Infinity;
    for (const { ordinal } of this.#traps.values()) if (ordinal !== undefined) end = Math.min(end, ordinal + 1);
    return end;
  }

  /** All up to and with `ordinal` is durable, and nothing beyond it is written. */
  durable(ordinal: number): void {
    for (const [partition, trap] of this.#traps) {
      if (trap.ordinal === undefined || trap.ordinal > ordinal) continue;
      this.#traps.delete(partition);
      this.#spring(partition, trap);
    }
  }

  failed(error: unknown): void {
    const traps = [...this.#traps.values()];
    this.#traps.clear();
    for (const trap of traps) trap.reject(error);
  }

  #spring(partition: PartitionId, trap: Trap): void {
    let reading: StateReading;
    try {
      reading = this.#open(partition);
    } catch (error) {
      trap.reject(error);
      return;
    }
    const { appliedIndex } = reading.machineState;
    if (appliedIndex === trap.index) return trap.resolve(reading);
    reading.close();
    const found = `the state of ${appliedIndex} is stored where that of ${trap.index} was written last`;
    trap.reject(new StorageDamage(`partition ${partition}: ${found}`, partition));
  }
}

function deferred(): Pick<Trap, 'resolve' | 'reject'> & { readonly promise: StateTrap['sprung'] } {
  let resolve: Trap['resolve'] = () => undefined;
  let reject: Trap['reject'] = () => undefined;
  const promise: StateTrap['sprung'] = new Promise((...settle) => ([resolve, reject] = settle));
  return { promise, resolve, reject };
}
