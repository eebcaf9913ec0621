/**
 * Recorded load on a cluster: writers and readers that go through any running node, by redirect or by forwarding (`ways.ts`), and note
 * what they were answered as `versions.ts` wants it.
 */
import { performance } from 'node:perf_hooks';
import type { TestCluster, TestNode } from '../testing/cluster.ts';
import { HttpClient, type Response } from '../testing/http.ts';
import type { History, Read, Write, WriteOutcome } from './versions.ts';
import { Ways, type Route } from './ways.ts';

export interface LoadOptions {
  readonly cluster: TestCluster;
  /** Each has a key of its own, of a partition that it stays in. */
  readonly writersPerPartition: number;
  /** Requests begun in a second, as far as there are idle writers: a paced closed loop, or with a very high number one without pauses. */
  readonly writesPerSecond: number;
  readonly readsPerSecond: number;
  /**
   * The longest deadline of a request; each asks for something between half of it and it, so that some end at every point of
   * an election. A node that does not answer is given up one second later.
   */
  readonly timeoutMs: number;
  /** Connections to each node that are kept for the next request. */
  readonly idleConnectionsMax?: number;
  /** In [0, 1). Default: `Math.random`. */
  readonly random?: () => number;
}

export interface RecordedWrite extends Write {
  readonly partition: number;
}

interface Writer {
  /** In braces within the key: all keys of a writer are in one partition. */
  readonly tag: string;
  readonly partition: number;
  /** A new key after each unknown outcome (see `versions.ts`). */
  generation: number;
  version: number;
}

const pumpIntervalMs = 5;
const readsInFlightMax = 400;

export class Load {
  readonly writes: RecordedWrite[] = [];
  readonly reads: Read[] = [];
  /** Answers that no node may give, in words. */
  readonly unexpected: string[] = [];
  readonly #options: LoadOptions;
  readonly #client: HttpClient;
  readonly #idle: Writer[];
  readonly #keys: string[];
  readonly #random: () => number;
  readonly #ways: Ways;
  readonly #startedAt = performance.now();
  readonly #underWay = new Set<Promise<void>>();
  /** Seconds from the start: what was due by then has begun. */
  #begunUntil = 0;
  #writesInFlight = 0;
  #readsInFlight = 0;
  #pump: NodeJS.Timeout | undefined;
  /** Called once so many writes are in flight. */
  #awaited: { readonly writes: number; readonly reached: () => void } | undefined;

  constructor(options: LoadOptions, writers: readonly Writer[]) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
    this.#ways = new Ways(this.#random);
    this.#client = new HttpClient({ idleConnectionsMax: options.idleConnectionsMax });
    this.#idle = [...writers];
    this.#keys = writers.map(keyOf);
    this.#pump = setInterval(() => this.#begin(), pumpIntervalMs);
  }

  /** Resolves in the turn of the loop after one in which at least so many writes were in flight: the moment to kill somebody. */
  async writesInFlight(writes: number): Promise<void> {
    await new Promise<void>((resolve) => (this.#awaited = { writes, reached: resolve }));
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Answered in the last `windowMs`, per second. */
  perSecond(what: 'writes' | 'reads', windowMs: number): number {
    const since = performance.now() - windowMs;
    const answered = this[what];
    let first = answered.length;
    while ((answered[first - 1]?.endedAt ?? 0) > since) first -= 1;
    return ((answered.length - first) * 1000) / windowMs;
  }

  /** Begins nothing more and resolves once everything is answered or given up. */
  async stop(): Promise<void> {
    clearInterval(this.#pump);
    this.#pump = undefined;
    await Promise.all(this.#underWay);
  }

  /**
   * Reads every key ever written, through all nodes in turn, again until it is answered; the reads join the history. Throws when a
   * node stops meanwhile: it has found something out, and would never answer.
   */
  async readBack(): Promise<History> {
    const { nodes } = this.#options.cluster;
    const keys = [...this.#keys];
    const readNext = async (): Promise<void> => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop()) {
        const node = nodes[keys.length % nodes.length];
        while (node !== undefined && !(await this.#read(key, node, 'forward'))) {
          if (node.state !== 'running') throw new Error(`${node.nodeId} stopped by itself:\n${node.stderr()}`);
        }
      }
    };
    await Promise.all(Array.from({ length: 16 }, readNext));
    this.#client.close();
    return { writes: this.writes, reads: this.reads };
  }

  #begin(): void {
    if (this.#pump === undefined) return;
    const before = this.#begunUntil;
    this.#begunUntil = (performance.now() - this.#startedAt) / 1000;
    const due = (perSecond: number): number =>
      Math.floor(this.#begunUntil * perSecond) - Math.floor(before * perSecond);
    // What is due and has nobody idle for it is not made up for later: it would come as a storm.
    const writers = this.#idle.splice(0, due(this.#options.writesPerSecond));
    for (const writer of writers) this.#track(this.#writeOnce(writer));
    const reads = Math.min(due(this.#options.readsPerSecond), readsInFlightMax - this.#readsInFlight);
    for (let begun = 0; begun < reads; begun += 1) this.#track(this.#readOnce());
    if (this.#awaited === undefined || this.#writesInFlight < this.#awaited.writes) return;
    this.#awaited.reached();
    this.#awaited = undefined;
  }

  #track(operation: Promise<void>): void {
    const tracked = operation.finally(() => {
      this.#underWay.delete(tracked);
      this.#begin();
    });
    this.#underWay.add(tracked);
  }

  async #writeOnce(writer: Writer): Promise<void> {
    const key = keyOf(writer);
    const version = ++writer.version;
    const startedAt = performance.now();
    this.#writesInFlight += 1;
    const way = this.#ways.take(writer.partition, this.#entrances());
    const answered = await this.#ask('PUT', key, way.node, way.route, valueOf(key, version));
    this.#ways.giveBack(writer.partition, way);
    this.#writesInFlight -= 1;
    const outcome = this.#writeOutcome(answered);
    const answer = `${describe(answered)} through ${way.node.nodeId} by ${way.route}`;
    const times = { startedAt, endedAt: performance.now() };
    this.writes.push({ key, version, ...times, outcome, answer, partition: writer.partition });
    if (outcome === 'unknown') {
      writer.generation += 1;
      writer.version = 0;
      this.#keys.push(keyOf(writer));
    }
    this.#idle.push(writer);
  }

  async #readOnce(): Promise<void> {
    this.#readsInFlight += 1;
    // The newest keys, mostly: the others' writers have left them.
    const recent = Math.min(this.#keys.length, 64);
    const key = this.#keys[this.#keys.length - 1 - Math.floor(this.#random() * recent)];
    if (key !== undefined) await this.#read(key, this.#anyNode(), this.#anyRoute());
    this.#readsInFlight -= 1;
  }

  /** Returns whether it was answered. */
  async #read(key: string, node: TestNode, route: Route): Promise<boolean> {
    const startedAt = performance.now();
    const answer = await this.#ask('GET', key, node, route);
    const version = this.#readVersion(key, answer);
    if (version !== undefined) this.reads.push({ key, version, startedAt, endedAt: performance.now() });
    return version !== undefined;
  }

  async #ask(method: string, key: string, node: TestNode, route: Route, body?: string): Promise<Answer> {
    const timeoutMs = Math.round(this.#options.timeoutMs * (0.5 + this.#random() / 2));
    try {
      return await this.#client.request(method, `${node.url}/v1/kv/${encodeURIComponent(key)}`, {
        headers: { 'Flotilla-Timeout-Ms': String(timeoutMs), 'Flotilla-Route': route },
        timeoutMs: timeoutMs + 1000,
        redirectsMax: 2,
        ...(body === undefined ? {} : { body }),
      });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      return code === 'ECONNREFUSED' ? 'refused' : 'lost';
    }
  }

  #writeOutcome(answer: Answer): WriteOutcome {
    if (answer === 'refused') return 'not_applied';
    if (answer === 'lost') return 'unknown';
    if (answer.status === 200 || answer.status === 201) return 'acknowledged';
    const { outcome } = answer.json() as { readonly outcome?: unknown };
    const promised = answer.status === 504 ? 'unknown' : 'not_applied';
    if (outcome !== promised) this.unexpected.push(`a write was answered ${answer.status}: ${answer.text()}`);
    return outcome === 'not_applied' ? 'not_applied' : 'unknown';
  }

  #readVersion(key: string, answer: Answer): number | undefined {
    if (typeof answer === 'string') return undefined;
    if (answer.status === 404) return 0;
    if (answer.status === 307 || answer.status === 429 || answer.status === 503) return undefined;
    const version = Number(answer.text().slice(key.length + 1));
    if (answer.status === 200 && answer.text() === valueOf(key, version)) return version;
    this.unexpected.push(`a read of ${key} was answered ${answer.status}: ${answer.text()}`);
    return undefined;
  }

  /** Every key that was written to, or will be next. */
  keys(): readonly string[] {
    return this.#keys;
  }

  #anyRoute(): Route {
    return this.#random() < 0.5 ? 'redirect' : 'forward';
  }

  #anyNode(): TestNode {
    const entrances = this.#entrances();
    const node = entrances[Math.floor(this.#random() * entrances.length)];
    if (node === undefined) throw new Error('a cluster has nodes');
    return node;
  }

  /** Those that nobody stopped on purpose; they may be dying. Where there is none, all. */
  #entrances(): readonly TestNode[] {
    const { nodes } = this.#options.cluster;
    const running = nodes.filter(({ state }) => state === 'running');
    return running.length > 0 ? running : nodes;
  }
}

/** Starts at once. */
export async function startLoad(options: LoadOptions): Promise<Load> {
  return new Load(options, await chooseWriters(options));
}

type Answer = Response | 'refused' | 'lost';

function describe(answer: Answer): string {
  return typeof answer === 'string' ? answer : `${answer.status} ${answer.status < 300 ? '' : answer.text().trim()}`;
}

function keyOf({ tag, generation }: Writer): string {
  return `{${tag}}/${generation}`;
}

function valueOf(key: string, version: number): string {
  return `${key} ${version}`;
}

async function chooseWriters({ cluster, writersPerPartition }: LoadOptions): Promise<Writer[]> {
  const { partitions } = (await cluster.request('GET', '/v1/cluster')).json() as { readonly partitions: number };
  const counts = new Map<number, number>();
  const writers: Writer[] = [];
  for (let candidate = 0; writers.length < partitions * writersPerPartition; candidate += 1) {
    const writer = { tag: `w${candidate}`, partition: 0, generation: 1, version: 0 };
    const located = await cluster.request('GET', `/v1/locate/${encodeURIComponent(keyOf(writer))}`);
    const { partition } = located.json() as { readonly partition: number };
    const count = counts.get(partition) ?? 0;
    if (count === writersPerPartition) continue;
    counts.set(partition, count + 1);
    writers.push({ ...writer, partition });
  }
  return writers;
}
