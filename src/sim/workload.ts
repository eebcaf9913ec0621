/**
 * Clients of a simulated cluster: each does one operation after the other through any node, goes where it is sent,
 * tries again what certainly did nothing, and records what it asked, what it was told and when.
 */
import { keyHash } from '../cluster/hash.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { KvOutcome, KvRequest } from '../cluster/types.ts';
import type { Operation } from '../history/types.ts';
import { encodeCommand } from '../kv/command.ts';
import type { NodeId } from '../replica/ports.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimNode } from './sim-node.ts';
import { drawSpell, spellsAround, type Spell } from './spell.ts';
import type { Swarm } from './swarm.ts';
import type { Trace } from './trace.ts';

export interface WorkloadOptions {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly trace: Trace;
  readonly nodes: readonly SimNode[];
  readonly map: PartitionMap;
  readonly swarm: Swarm;
}

/** A client waits this much longer than it asked the node to, then takes the answer for lost. */
const patienceMs = 300;
const retryPauseMs = 40;
const redirectsMax = 3;
/** So few that what is read has mostly been written a moment ago. */
const keysTurnedToMax = 6;
/** Between a client and a node, one way. */
const wayMsMin = 0.05;
const wayMsMax = 0.5;

type Settled = Pick<Operation, 'output' | 'outcome'>;

export class Workload {
  readonly operations: Operation[] = [];
  /** Hears of each operation of the clients as it ends. */
  onSettled: (operation: Operation) => void = () => undefined;
  readonly #options: WorkloadOptions;
  readonly #hotKeys: readonly string[];
  readonly #coldKeys: readonly string[];
  #stopped = false;
  #stamp = 0;
  #values = 0;
  #waiting = 0;
  /** The one in force, and those that follow it. */
  #spells: readonly Spell<SimNode>[] = [];

  constructor(options: WorkloadOptions) {
    this.#options = options;
    this.#hotKeys = numbered('hot', options.swarm.hotKeys);
    this.#coldKeys = numbered('cold', options.swarm.coldKeys);
  }

  start(): void {
    const { swarm } = this.#options;
    for (let client = 1; client <= swarm.clients; client += 1) this.#think(client);
  }

  /** No client begins another operation. */
  stop(): void {
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
    this.#begin(process, { ...request, nodes: this.#options.nodes }, done);
  }

  #think(client: number): void {
    const { scheduler, random, swarm } = this.#options;
    scheduler.after(random.exponential(swarm.thinkMs), () => {
      if (this.#stopped) return;
      const { keys, nodes, reads } = this.#currentSpell();
      const op = reads ? 'get' : this.#drawOperation();
      this.#begin(`c${client}`, { op, key: this.#drawKey(keys), nodes }, (operation) => {
        this.onSettled(operation);
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
    { op, key, nodes }: Pick<Operation, 'op' | 'key'> & Pick<WorkloadOptions, 'nodes'>,
    done: (operation: Operation) => void,
  ): void {
    const { scheduler, trace, swarm } = this.#options;
    let input: string | null = null;
    if (op === 'put') {
      this.#values += 1;
      input = `v${this.#values}`;
    }
    const call = this.#now();
    this.#waiting += 1;
    trace.note(() => `${process} ${op} ${key}${input === null ? '' : ` = ${input}`}`);
    const attempt = new Attempt(
      this.#options,
      { op, key, input, nodes },
      scheduler.now() + swarm.requestTimeoutMs,
      (settled) => {
        this.#waiting -= 1;
        const operation: Operation = { process, op, key, input, call, return: this.#now(), ...settled };
        this.operations.push(operation);
        trace.text(`${process}${op}${key}${operation.outcome}${JSON.stringify(operation.output)}`);
        trace.note(() => `${process} ${op} ${key} ${operation.outcome} ${JSON.stringify(operation.output)}`);
        done(operation);
      },
    );
    attempt.go(undefined, 0);
  }

  /** Ms of virtual time, and always a little later than the one before, so that no two of them are equal. */
  #now(): number {
    this.#stamp = Math.max(this.#stamp + 1e-6, this.#options.scheduler.now());
    return this.#stamp;
  }
}

/** One operation on its way: through one node after the other, until it is settled. */
class Attempt {
  readonly #options: WorkloadOptions;
  readonly #request: Pick<Operation, 'op' | 'key' | 'input'>;
  readonly #deadlineAt: number;
  readonly #settle: (settled: Settled) => void;
  /** Those that its client knows of. */
  #nodes: readonly SimNode[];
  #settled = false;
  /** Counts the nodes asked, so that the answer of an earlier one is told from that of the last. */
  #asked = 0;

  constructor(
    options: WorkloadOptions,
    { nodes, ...request }: Pick<Operation, 'op' | 'key' | 'input'> & Pick<WorkloadOptions, 'nodes'>,
    deadlineAt: number,
    settle: (settled: Settled) => void,
  ) {
    this.#options = options;
    this.#request = request;
    this.#nodes = nodes;
    this.#deadlineAt = deadlineAt;
    this.#settle = settle;
  }

  /** Asks `to`, or any of its nodes. */
  go(to: NodeId | undefined, redirects: number): void {
    const { scheduler, random, nodes } = this.#options;
    const node = nodes.find((candidate) => candidate.nodeId === to) ?? random.pick(this.#nodes);
    this.#asked += 1;
    const asked = this.#asked;
    scheduler.after(random.between(wayMsMin, wayMsMax), () => {
      const facade = node.facade();
      const leftMs = this.#deadlineAt - scheduler.now();
      if (leftMs <= 0) return this.#finish({ output: null, outcome: 'failed' });
      // Nobody listens there: certainly nothing was done. It asks around.
      if (facade === undefined) {
        this.#nodes = nodes;
        return this.#again();
      }
      const lost = (): void => {
        if (this.#asked === asked) this.#lost();
      };
      const forget = node.onEnd(lost);
      const giveUp = scheduler.after(leftMs + patienceMs, () => {
        forget();
        lost();
      });
      node.run(() => {
        const options = {
          route: random.chance(0.5) ? ('forward' as const) : ('redirect' as const),
          deadlineAt: facade.nowMs() + leftMs,
          hops: 0,
        };
        void node.execute(this.#encode(), options).then((outcome) => {
          scheduler.after(random.between(wayMsMin, wayMsMax), () => {
            forget();
            giveUp();
            if (!this.#settled && this.#asked === asked) this.#answered(outcome, redirects);
          });
        });
      });
    });
  }

  #encode(): KvRequest {
    const { op, input } = this.#request;
    const key = Buffer.from(this.#request.key);
    if (op === 'get') return { type: 'read', key };
    if (op === 'delete') return { type: 'write', key, body: encodeCommand({ type: 'delete', key }) };
    const value = Buffer.from(input ?? '');
    return { type: 'write', key, body: encodeCommand({ type: 'put', key, value, contentType: 'text/plain' }) };
  }

  #answered(outcome: KvOutcome, redirects: number): void {
    switch (outcome.type) {
      case 'value': {
        const { record } = outcome;
        const output =
          record === undefined ? null : { value: Buffer.from(record.value).toString(), revision: record.revision };
        return this.#finish({ output, outcome: 'ok' });
      }
      case 'done':
        return this.#finish({ output: writeOutput(outcome.result), outcome: 'ok' });
      case 'unknown':
        return this.#lost();
      case 'not_leader':
        if (redirects < redirectsMax) return this.go(outcome.hint.nodeId, redirects + 1);
        return this.#again();
      default:
        return this.#again();
    }
  }

  #again(): void {
    const { scheduler, random } = this.#options;
    this.#asked += 1;
    scheduler.after(random.between(retryPauseMs / 2, retryPauseMs * 2), () => {
      if (!this.#settled) this.go(undefined, 0);
    });
  }

  /** No answer will come: a read did nothing, a write may have, or may yet. */
  #lost(): void {
    this.#finish({ output: null, outcome: this.#request.op === 'get' ? 'failed' : 'unknown' });
  }

  #finish(settled: Settled): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#settle(settled);
  }
}

function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index + 1}`);
}

function writeOutput(result: Extract<KvOutcome, { type: 'done' }>['result']): Operation['output'] {
  switch (result.type) {
    case 'put':
      return { created: result.created, revision: result.revision };
    case 'deleted':
      return { deleted: true };
    case 'not_found':
      return { deleted: false };
  }
}
