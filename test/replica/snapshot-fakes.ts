/** Storage, as far as snapshots go, over maps in memory: one that notices when it is misused. */
import type { MachineState } from '../../src/kv/types.ts';
import type { PartitionId, StateSnapshot, StoredConfiguration } from '../../src/replica/ports.ts';
import type { SnapshotStaging } from '../../src/replica/snapshot-reception.ts';
import type { VirtualClock } from '../cluster/virtual-clock.ts';

/** Keys of equal length, in order, each with 100 bytes of value. */
export function stateOf(keys: number): Map<string, string> {
  return new Map(Array.from({ length: keys }, (_, i) => [`key-${String(i).padStart(6, '0')}`, 'v'.repeat(100)]));
}

/** The state of one partition on the sender. */
export class Source {
  opened = 0;
  closed = 0;
  reads = 0;
  index = 100;
  configuration: StoredConfiguration | undefined;
  readMs = 0;
  fails = false;
  state: Map<string, string>;
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock, keys: number) {
    this.#clock = clock;
    this.state = stateOf(keys);
  }

  open(): StateSnapshot {
    if (this.fails) throw new Error('the disk is gone');
    this.opened += 1;
    const records = [...this.state];
    let open = true;
    let reading = false;
    return {
      machineState: machineState(this.index, this.state),
      configuration: this.configuration,
      read: async (after, bytesMax, memory) => {
        if (!open || reading) throw new Error('read after close, or two reads at once');
        this.reads += 1;
        reading = true;
        if (this.readMs > 0) await new Promise<void>((resolve) => this.#clock.after(this.readMs, resolve));
        reading = false;
        const afterKey = after === undefined ? '' : Buffer.from(after).toString();
        const left = records.filter(([key]) => key > afterKey);
        const part = left.slice(0, Math.max(1, Math.floor(bytesMax / 125)));
        const last = part.at(-1)?.[0];
        const text = Buffer.from(JSON.stringify(part));
        const place = memory.take(text.length).subarray(0, text.length);
        place.set(text);
        return {
          records: place,
          last: last === undefined ? undefined : Buffer.from(last),
          done: part.length === left.length,
        };
      },
      close: () => {
        if (!open || reading) throw new Error('closed twice, or under a read');
        open = false;
        this.closed += 1;
      },
    };
  }
}

export function machineState(index: number, state: ReadonlyMap<string, string>): MachineState {
  const bytes = [...state].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  return { appliedIndex: index, appliedTerm: 2, logTime: 77, keys: state.size, bytes, expiring: 0, remembered: 0 };
}

/** Staging areas of one node that notice being asked for two things at once. */
export class Staging implements SnapshotStaging {
  readonly staged = new Map<PartitionId, Map<string, string>>();
  readonly completed = new Map<
    PartitionId,
    { machineState: MachineState; configuration: StoredConfiguration | undefined }
  >();
  /** What broke the rule that one thing is asked for at a time. */
  readonly overlaps: string[] = [];
  begun = 0;
  chunks = 0;
  delayMs = 1;
  failsAtChunk = Infinity;
  readonly #underWay = new Set<PartitionId>();
  readonly #clock: VirtualClock;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  beginSnapshot(partition: PartitionId): Promise<void> {
    this.begun += 1;
    return this.#do(partition, 'begin', () => {
      this.staged.set(partition, new Map());
      this.completed.delete(partition);
    });
  }

  stageSnapshotChunk(partition: PartitionId, records: Buffer): Promise<void> {
    this.chunks += 1;
    const fails = this.chunks === this.failsAtChunk;
    return this.#do(partition, 'chunk', () => {
      if (fails) throw new Error('a record does not verify');
      const area = this.staged.get(partition)!;
      for (const [key, value] of JSON.parse(records.toString()) as [string, string][]) area.set(key, value);
    });
  }

  completeSnapshot(
    partition: PartitionId,
    state: MachineState,
    configuration: StoredConfiguration | undefined,
  ): Promise<void> {
    return this.#do(partition, 'complete', () => {
      this.completed.set(partition, { machineState: state, configuration });
    });
  }

  async #do(partition: PartitionId, what: string, effect: () => void): Promise<void> {
    if (this.#underWay.has(partition)) this.overlaps.push(what);
    this.#underWay.add(partition);
    await new Promise<void>((resolve) => this.#clock.after(this.delayMs, resolve));
    this.#underWay.delete(partition);
    effect();
  }
}
