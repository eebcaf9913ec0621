/**
 * Clients of a simulated cluster: each does one operation after the other through any node, goes where it is sent,
 * tries again what certainly did nothing, and records what it asked, what it was told and when.
 */
import { keyHash } from '../cluster/hash.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { Operation } from '../history/types.ts';
import { remember, toldBy, toldNothing, type Answered, type Told } from './answers.ts';
import { Attempt, type Settled } from './attempt.ts';
import type { LogClockJudge } from './log-clock-judge.ts';
import type { Random } from './random.ts';
import { Requests, type Asked } from './requests.ts';
import { Scans } from './scans.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimNode } from './sim-node.ts';
import { drawSpell, spellsAround, type Spell } from './spell.ts';
import type { Swarm } from './swarm.ts';
import type { Trace } from './trace.ts';
import type { TransactionJudge } from './transaction-judge.ts';
import { Violation } from './violation.ts';

export interface WorkloadOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly nodes: readonly SimNode[];
  readonly map: PartitionMap;
  readonly swarm: Swarm;
  readonly transactions: TransactionJudge;
  readonly logClock: LogClockJudge;
  readonly violated: (error: unknown) => void;
}

/** So few that what is read has mostly been written a moment ago. */
const keysTurnedToMax = 6;
/** How many of those that were answered under an idempotency key are asked again all the same, and after how long. */
const repeatShare = 0.4;
const repeatAfterMs = 1500;
/** How many of the keys with a time to live are put anew about when they are due, as sweeps set out, ms before and after. */
const renewShare = 0.5;
const renewBeforeMs = 10;
const renewAfterMs = 60;

export class Workload {
  readonly operations: Operation[] = [];
  /** Hears of each operation of the clients as it ends. */
  onSettled: (operation: Operation) => void = () => undefined;
  readonly #options: WorkloadOptions;
  readonly #hotKeys: readonly string[];
  readonly #coldKeys: readonly string[];
  readonly #requests: Requests;
  readonly #scans: Scans;
  #stopped = false;
  #stamp = 0;
  #waiting = 0;
  /** The one in force, and those that follow it. */
  #spells: readonly Spell<SimNode>[] = [];

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#hotKeys = numbered('hot', options.swarm.hotKeys);
    this.#coldKeys = numbered('cold', options.swarm.coldKeys);
    const { random, swarm, map } = options;
    const keys = [...this.#hotKeys, ...this.#coldKeys];
    this.#requests = new Requests(random, swarm, map, keys);
    this.#scans = new Scans({
      ...options,
      keys: this.#hotKeys,
      everyMs: swarm.data.scanEveryMs,
      timeoutMs: swarm.requestTimeoutMs,
      now: () => this.#now(),
      done: (operations) => this.operations.push(...operations),
    });
  }

  start(): void {
    const { swarm } = this.#options;
    for (let client = 1; client <= swarm.clients; client += 1) this.#think(client);
    this.#scans.start();
  }

  /** No client begins another operation. */
  stop(): void {
    this.#scans.stop();
    this.#stopped = true;
  }

  /** The clients turn to keys of what `leader` leads, through the other nodes, and after a while to it. */
  turnTo(leader: SimNode): void {
    const { scheduler, random, nodes, map } = this.#options;
    const led = new Set(map.partitions.filter((partition) => leader.leads(partition)));
    const isLed = (key: string): boolean => led.has(map.partitionOf(keyHash(Buffer.from(key))));
    const keys = [...this.#hotKeys, ...this.#coldKeys].filter(isLed).slice(0, keysTurnedToMax);
    if (keys.length > 0) this.#spells = spellsAround(random, leader, { keys, nodes, now: scheduler.now() });
  }

  /** Operations that are under way. */
  waiting(): number {
    return this.#waiting;
  }

  /** One operation beside the clients' own; `done` hears what came of it. */
  once(process: string, request: Pick<Operation, 'op' | 'key'>, done: (operation: Operation) => void): void {
    this.#begin(process, this.#requests.plain(request.op, request.key), this.#options.nodes, ([operation]) => {
      if (operation !== undefined) done(operation);
    });
  }

  #think(client: number): void {
    const { scheduler, random, swarm } = this.#options;
    scheduler.after(random.exponential(swarm.thinkMs), () => {
      if (this.#stopped) return;
      const { keys, nodes, reads } = this.#currentSpell();
      const key = this.#drawKey(keys);
      const asked = reads ? this.#requests.plain('get', key) : this.#requests.draw(this.#drawOperation(), key);
      this.#begin(`c${client}`, asked, nodes, (operations) => {
        operations.forEach(this.onSettled);
        this.#think(client);
      });
    });
  }

  #currentSpell(): Spell<SimNode> {
    const { scheduler, random, swarm, nodes } = this.#options;
    const now = scheduler.now();
    this.#spells = this.#spells.filter(({ endsAt }) => now < endsAt);
    const current = this.#spells[0] ?? drawSpell(random, swarm.spellMs, { keys: this.#hotKeys, nodes, now });
    if (this.#spells.length === 0) this.#spells = [current];
    return current;
  }

  #drawOperation(): Operation['op'] {
    const { random, swarm } = this.#options;
    const { put, get } = swarm.operations;
    const drawn = random.between(0, put + get + swarm.operations.delete);
    if (drawn < put) return 'put';
    return drawn < put + get ? 'get' : 'delete';
  }

  #drawKey(hotKeys: readonly string[]): string {
    const { random, swarm } = this.#options;
    if (random.chance(swarm.hotShare)) return random.pick(hotKeys);
    return random.pick(this.#coldKeys);
  }

  #begin(
    process: string,
    asked: Asked,
    nodes: WorkloadOptions['nodes'],
    done: (operations: readonly Operation[]) => void,
  ): void {
    const { trace } = this.#options;
    const call = this.#now();
    trace.note(() => `${process} ${wordsOf(asked)}`);
    this.#attempt(asked, nodes, (settled) => {
      const returned = this.#now();
      const told = this.#told(asked, settled, call, returned);
      const operations = told.map(({ part, ...rest }): Operation => ({
        process,
        ...part,
        call,
        return: returned,
        ...rest,
      }));
      for (const { op, key, outcome, output } of operations) {
        trace.text(`${process}${op}${key}${outcome}${JSON.stringify(output)}`);
        trace.note(() => `${process} ${op} ${key} ${outcome} ${JSON.stringify(output)}`);
      }
      this.operations.push(...operations);
      if (settled.type === 'answered' && asked.named) this.#maybeRepeat(process, asked, settled.answer, told);
      for (const { key, ttl } of operations) if (ttl !== undefined) this.#maybeRenew(key, ttl);
      done(operations);
    });
  }

  /** What is put as the old value is being taken out must stay. */
  #maybeRenew(key: string, ttl: number): void {
    const { scheduler, random, nodes } = this.#options;
    if (!random.chance(renewShare)) return;
    scheduler.after(Math.max(0, ttl + random.between(-renewBeforeMs, renewAfterMs)), () => {
      if (this.#stopped) return;
      this.#begin('renewing', this.#requests.plain('put', key), nodes, () => undefined);
    });
  }

  #attempt(asked: Asked, nodes: WorkloadOptions['nodes'], settle: (settled: Settled) => void): void {
    const { scheduler, random, nodes: all, swarm } = this.#options;
    this.#waiting += 1;
    const options = { scheduler, random, nodes: all, timeoutMs: swarm.requestTimeoutMs };
    new Attempt(options, asked, nodes, (settled) => {
      this.#waiting -= 1;
      settle(settled);
    }).go(undefined, 0);
  }

  #told(asked: Asked, settled: Settled, from: number, to: number): readonly Told[] {
    const { transactions, logClock, violated } = this.#options;
    const told = settled.type === 'answered' ? toldBy(asked, settled.answer) : toldNothing(asked, settled.type);
    try {
      if (settled.type === 'answered') {
        const { answer } = settled;
        remember(this.#requests, asked, answer);
        logClock.told(answer.origin.partition, {
          logTime: answer.logTime,
          term: answer.origin.term,
          from,
          to,
          written: answer.type === 'done',
        });
      }
      transactions.settled(asked, told);
    } catch (violation) {
      violated(violation);
    }
    return told;
  }

  /** As after an answer that was lost on its way: whoever asks again is told the same, and nothing is done. */
  #maybeRepeat(process: string, asked: Asked, first: Answered, told: readonly Told[]): void {
    const { scheduler, random, nodes, trace, violated } = this.#options;
    if (!random.chance(repeatShare)) return;
    scheduler.after(random.exponential(repeatAfterMs), () => {
      if (this.#stopped) return;
      trace.note(() => `${process} again: ${wordsOf(asked)}`);
      this.#attempt(asked, nodes, (settled) => {
        if (settled.type !== 'answered') return;
        const { answer } = settled;
        const [before, after] = [outputs(told), outputs(toldBy(asked, answer))];
        trace.text(after);
        // In a batch each operation has a name of its own, and the command has none.
        const isReplayed = asked.what === 'batch' || (answer.type === 'done' && answer.replayed);
        if (before === after && isReplayed) return;
        const how = isReplayed ? `the answer ${after}` : `a new answer, ${after}`;
        violated(
          new Violation(
            'exactly once',
            `${wordsOf(asked)} came to ${before} and asked again to ${how}`,
            first.origin.partition,
          ),
        );
      });
    });
  }

  /** Ms of virtual time, and always a little later than the one before, so that no two of them are equal. */
  #now(): number {
    this.#stamp = Math.max(this.#stamp + 1e-6, this.#options.scheduler.now());
    return this.#stamp;
  }
}

function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}

function wordsOf({ what, parts }: Asked): string {
  const words = parts.map(
    ({ op, key, input, condition, ttl }) =>
      `${op} ${key}${input === null ? '' : ` = ${input}`}${condition === undefined ? '' : ` if ${condition.revision}`}` +
      (ttl === undefined ? '' : ` for ${ttl} ms`),
  );
  return what === 'single' ? words.join('') : `${what}: ${words.join(', ')}`;
}

function outputs(told: readonly Told[]): string {
  return JSON.stringify(told.map(({ output }) => output));
}
