/** The calls that users make, as requests and back. */
import { randomUUID } from 'node:crypto';
import { dateHeader, jsonOf, numberHeader } from './answers.ts';
import { runBatch } from './batch.ts';
import { Caller, type Call, type CallerOptions } from './caller.ts';
import { ClusterCalls } from './cluster.ts';
import { FlotillaError, invalidArgument } from './flotilla-error.ts';
import type { HttpAnswer } from './http-exchange.ts';
import { clientLimits } from './limits.ts';
import type {
  BatchOperation,
  BatchOptions,
  BatchResult,
  CallOptions,
  DeleteResult,
  Entry,
  GetOptions,
  Key,
  NodeStatus,
  PartitionStatus,
  ScanEntry,
  ScanKey,
  ScanOptions,
  SetOptions,
  SetResult,
  StoreStatus,
  Value,
  WriteOptions,
} from './options.ts';
import { bytesOf, keyBytes, keyPath, readQuery, ttlText } from './request-parts.ts';
import { scanPages } from './scan.ts';
import { Watches } from './watch.ts';
import type { WatchBookmark, WatchChange, WatchOptions } from './watch-options.ts';

export interface StoreOptions extends CallerOptions {
  readonly timeoutMs: number;
}

/**
 * A connection to a cluster, made by `connect`. Every call may fail with a `FlotillaError`, and ends within its `timeoutMs`.
 * Reads see every write that was answered before they began. Calls may be made side by side.
 */
export class Store {
  /** Who is a member, and what moves. */
  readonly cluster: ClusterCalls;
  readonly #caller: Caller;
  readonly #watches: Watches;
  readonly #timeoutMs: number;

  /** Use `connect`. */
  constructor(options: StoreOptions) {
    this.#timeoutMs = checkTimeout(options.timeoutMs);
    const caller = new Caller(options);
    this.#caller = caller;
    const learnNodes = (node: string): void => caller.learnNodes(node);
    this.#watches = new Watches({ nodes: caller.nodes, failFast: options.failFast, learnNodes });
    this.cluster = new ClusterCalls(this.#caller, (own) => this.#timeoutOf(own));
  }

  /** Undefined when nothing is stored under the key. */
  async get(key: Key, options: GetOptions = {}): Promise<Entry | undefined> {
    const bytes = keyBytes(key);
    const call: Call = {
      method: 'GET',
      path: keyPath(bytes) + readQuery(options),
      timeoutMs: this.#timeoutOf(options),
    };
    // Any node has its own, or asks another one that has it.
    const answer = await this.#unlessAbsent(options.consistency === 'stale' ? call : { ...call, key: bytes });
    return answer === undefined ? undefined : entryOf(answer);
  }

  /**
   * Stores a value, and forgets the lifetime that an earlier one had. Retries write once. Fails with `precondition_failed`
   * (the error has the current `etag` and `revision`) when a condition does not hold.
   */
  async set(key: Key, value: Value, options: SetOptions = {}): Promise<SetResult> {
    const bytes = keyBytes(key);
    const { ifMatch, ifNoneMatch, contentType } = options;
    const headers = headersOf({ 'If-Match': ifMatch, 'If-None-Match': ifNoneMatch, 'Content-Type': contentType });
    const query = options.ttl === undefined ? '' : `?ttl=${encodeURIComponent(ttlText(options.ttl))}`;
    const answer = await this.#caller.call({
      ...{ method: 'PUT', path: `${keyPath(bytes)}${query}`, key: bytes, headers, body: bytesOf(value, 'value') },
      ...this.#writing(options),
    });
    const { revision, created, expiresAt } = jsonOf(answer, 'unknown') as PutAnswer;
    const due = expiresAt === undefined ? undefined : new Date(expiresAt);
    return { revision, etag: answer.headers.etag ?? '', created, expiresAt: due };
  }

  /** Deleting what is not there is no error, unless a condition asks for it. */
  async delete(key: Key, options: WriteOptions = {}): Promise<DeleteResult> {
    const bytes = keyBytes(key);
    const path = keyPath(bytes);
    const headers = headersOf({ 'If-Match': options.ifMatch, 'If-None-Match': options.ifNoneMatch });
    const call = { method: 'DELETE', path, key: bytes, headers, ...this.#writing(options) } as const;
    const answer = await this.#unlessAbsent(call);
    if (answer === undefined) return { deleted: false, revision: undefined };
    return { deleted: true, revision: (jsonOf(answer, 'unknown') as { readonly revision: number }).revision };
  }

  /**
   * Up to 1,000 operations in one request, each with a result of its own, in order. Each is atomic, the whole is not: some
   * may fail while others succeed. Operations on one key run in order.
   *
   * After a lost answer the whole is sent again, and writes are not repeated; but a `get` that stands before a write of the
   * same key may then see that write.
   */
  async batch(operations: readonly BatchOperation[], options: BatchOptions = {}): Promise<BatchResult[]> {
    return runBatch(this.#caller, operations, this.#writing(options));
  }

  /**
   * Entries in byte order of their keys over the whole store, fetched page by page as they are read; every page has its own
   * deadline. Each partition's part of a page is as of one moment, the whole is not.
   */
  scan(options: ScanOptions & { readonly keysOnly: true }): AsyncIterable<ScanKey>;
  scan(options?: ScanOptions & { readonly keysOnly?: false }): AsyncIterable<ScanEntry>;
  scan(options: ScanOptions & { readonly keysOnly?: boolean }): AsyncIterable<ScanKey | ScanEntry>;
  scan(options: ScanOptions & { readonly keysOnly?: boolean } = {}): AsyncIterable<ScanKey | ScanEntry> {
    return scanPages(this.#caller, options, this.#timeoutOf(options));
  }

  /**
   * Changes of a key, of those with a prefix, or of all, as they happen: each once, those of one key in their order. It begins with the
   * first turn of the loop, behind every write that was answered before, and goes on by itself at another node when one is lost. Leaving the
   * loop ends it. Events that are not taken wait at the node: too long, and it fails with `cursor_expired`.
   */
  watch(options?: WatchOptions & { readonly bookmarks?: false }): AsyncIterable<WatchChange>;
  watch(options: WatchOptions): AsyncIterable<WatchChange | WatchBookmark>;
  watch(options: WatchOptions = {}): AsyncIterable<WatchChange | WatchBookmark> {
    return this.#watches.begin(options, this.#timeoutOf(options));
  }

  /** Who is in the cluster and who leads what, as one node sees it. */
  async status(options: CallOptions = {}): Promise<StoreStatus> {
    const timeoutMs = this.#timeoutOf(options);
    const [cluster, partitions] = await Promise.all(
      ['/v1/cluster', '/v1/cluster/partitions'].map(async (path) => {
        return jsonOf(await this.#caller.call({ method: 'GET', path, timeoutMs }), 'not_applied');
      }),
    );
    const { clusterId, name, nodes } = cluster as Pick<StoreStatus, 'clusterId' | 'name'> & {
      readonly nodes: readonly NodeStatus[];
    };
    return { clusterId, name, nodes, partitions: partitions as readonly PartitionStatus[] };
  }

  /** Closes all connections. Calls under way fail with `closed`; a write among them has outcome `unknown` if it was sent. */
  close(): Promise<void> {
    this.#watches.close();
    this.#caller.close();
    return Promise.resolve();
  }

  /** Undefined where the answer is that the key is absent. */
  async #unlessAbsent(call: Call): Promise<HttpAnswer | undefined> {
    try {
      return await this.#caller.call(call);
    } catch (error) {
      if (error instanceof FlotillaError && error.code === 'key_not_found') return undefined;
      throw error;
    }
  }

  #timeoutOf({ timeoutMs }: CallOptions): number {
    return timeoutMs === undefined ? this.#timeoutMs : checkTimeout(timeoutMs);
  }

  #writing(options: BatchOptions): { readonly timeoutMs: number; readonly idempotencyKey: string } {
    const { idempotencyKey = randomUUID() } = options;
    if (!/^[\x21-\x7e]{1,128}$/.test(idempotencyKey)) {
      throw invalidArgument('An idempotencyKey has 1 to 128 visible ASCII characters, without spaces.');
    }
    return { timeoutMs: this.#timeoutOf(options), idempotencyKey };
  }
}

interface PutAnswer {
  readonly revision: number;
  readonly created: boolean;
  readonly expiresAt?: string;
}

/** Those that are given; throws a FlotillaError for what no header can carry. */
function headersOf(given: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw invalidArgument(
        `${JSON.stringify(value)} can't be sent as ${name}: it has characters that no header carries.`,
      );
    }
    headers[name] = value;
  }
  return headers;
}

function entryOf({ headers, body }: HttpAnswer): Entry {
  return {
    value: body,
    text: () => body.toString('utf8'),
    revision: numberHeader(headers, 'flotilla-revision') ?? 0,
    etag: headers.etag ?? '',
    contentType: headers['content-type'] ?? 'application/octet-stream',
    expiresAt: dateHeader(headers, 'flotilla-expires-at'),
    stalenessMs: numberHeader(headers, 'flotilla-staleness-ms'),
  };
}

function checkTimeout(timeoutMs: number): number {
  if (timeoutMs >= 1 && timeoutMs <= clientLimits.timeoutMsMax) return timeoutMs;
  throw invalidArgument(`timeoutMs is 1 to ${clientLimits.timeoutMsMax}, in milliseconds.`);
}
