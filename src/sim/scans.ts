/**
 * A client that reads ranges of keys over all partitions, in pieces of a few keys. In the history a scan is one read of each key of its
 * range, all with the scan's interval: each was read at some moment within it. What it gives has to be in order, each key once.
 */
import { scan, ScanFailure, type ScanItem } from '../cluster/scan.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { KvOutcome, KvRequest } from '../cluster/types.ts';
import type { Operation } from '../history/types.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimNode } from './sim-node.ts';
import type { Trace } from './trace.ts';
import { Violation } from './violation.ts';

export interface ScansOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly nodes: readonly SimNode[];
  readonly map: PartitionMap;
  /** All keys of which something is said in the history. */
  readonly keys: readonly string[];
  /** Between two scans on average, ms; 0 for none. */
  readonly everyMs: number;
  readonly timeoutMs: number;
  /** A time of the history. */
  readonly now: () => number;
  readonly done: (operations: readonly Operation[]) => void;
  readonly violated: (error: unknown) => void;
}

/** So few that most scans take several pieces of each partition. */
const pieceKeysMax = 4;
const rangeKeysMax = 12;

export class Scans {
  readonly #options: ScansOptions;
  readonly #keys: readonly string[];
  #stopped = false;

  constructor(options: ScansOptions) {
    this.#options = options;
    this.#keys = options.keys.toSorted(byBytes);
  }

  start(): void {
    const { scheduler, random, everyMs } = this.#options;
    if (everyMs === 0) return;
    scheduler.after(random.exponential(everyMs), () => {
      if (this.#stopped) return;
      void this.#scan().finally(() => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
  }

  async #scan(): Promise<void> {
    const { random, nodes, trace, now, done, violated } = this.#options;
    const first = random.whole(0, this.#keys.length - 1);
    const keys = this.#keys.slice(first, first + random.whole(1, rangeKeysMax));
    const reverse = random.chance(0.3);
    const node = random.pick(nodes);
    const call = now();
    trace.note(() => `scan by ${node.nodeId} of ${keys.join(', ')}`);
    try {
      const items = await this.#read(node, keys, reverse);
      const found = items.map(({ key }) => Buffer.from(key).toString());
      trace.text(`scan ${found.join()}`);
      const sorted = [...new Set(found)].sort(byBytes);
      if ((reverse ? sorted.reverse() : sorted).join() !== found.join()) {
        throw new Violation('scan', `${node.nodeId} gave the keys ${found.join(', ')}`);
      }
      const returned = now();
      done(keys.map((key) => readOf(key, items[found.indexOf(key)], { call, return: returned })));
    } catch (error) {
      // A partition that did not answer says nothing.
      if (!(error instanceof ScanFailure)) violated(error);
    }
  }

  async #read(node: SimNode, keys: readonly string[], reverse: boolean): Promise<readonly ScanItem[]> {
    const { map, random, timeoutMs } = this.#options;
    const [from = '', last = ''] = [keys[0], keys.at(-1)];
    const query = { from: Buffer.from(from), to: Buffer.from(`${last}\0`), reverse, keysOnly: false };
    const limits = { scanBytesMax: 1, scanPieceKeysMax: random.whole(1, pieceKeysMax), scanPiecesAtOnce: 3 };
    const partitions = map.partitions.map(({ id }) => id);
    const items: ScanItem[] = [];
    const ports = {
      partitions,
      limits,
      read: (partition: (typeof partitions)[number], range: Extract<KvRequest, { type: 'range' }>['range']) =>
        this.#ask(node, { type: 'range', partition, range }, timeoutMs),
    };
    for await (const found of scan(query, ports)) items.push(...found);
    return items;
  }

  /** A node whose process is over answers nobody. */
  #ask(node: SimNode, request: Extract<KvRequest, { type: 'range' }>, timeoutMs: number): Promise<KvOutcome> {
    return new Promise((resolve, reject) => {
      const facade = node.facade();
      const gone = (): void => reject(new ScanFailure({ type: 'shutting_down' }));
      if (facade === undefined) return gone();
      const forget = node.onEnd(gone);
      node.run(() => {
        const options = { route: 'forward', deadlineAt: facade.nowMs() + timeoutMs, hops: 0 } as const;
        void node.execute(request, options).then((outcome) => {
          forget();
          resolve(outcome);
        });
      });
    });
  }
}

function readOf(key: string, item: ScanItem | undefined, interval: Pick<Operation, 'call' | 'return'>): Operation {
  const read = { process: 'scan', op: 'get', key, input: null, outcome: 'ok', ...interval } as const;
  if (item === undefined) return { ...read, output: null };
  const { value, revision, expiresAt } = item.record;
  return { ...read, output: { value: Buffer.from(value).toString(), revision, expiresAt }, at: item.logTime };
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
