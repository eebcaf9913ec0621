/** Waits until a cluster really serves: not that processes run, but that every partition answers. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { HttpClient } from './http.ts';

const retryDelayMs = 10;
const keysInParallel = 32;

export interface WaitOptions {
  readonly client: HttpClient;
  /** A node's URL. */
  readonly url: string;
  readonly timeoutMs: number;
}

/**
 * Reads keys, linearizably, until every partition has answered one. Returns a key of each partition. Rejects after
 * `timeoutMs` with what was still missing. Reading keys that don't exist shows as much as reading some that do: the
 * partition's leader had to confirm with a majority that it leads.
 */
export async function everyPartitionReads({
  client,
  url,
  timeoutMs,
}: WaitOptions): Promise<ReadonlyMap<number, string>> {
  const deadlineAt = performance.now() + timeoutMs;
  const partitions = await partitionCount({ client, url, timeoutMs });
  const answered = new Map<number, string>();
  let lastRefusal = 'no answer yet';
  for (let first = 0; answered.size < partitions; first += keysInParallel) {
    if (performance.now() > deadlineAt) {
      throw new Error(
        `after ${timeoutMs} ms ${answered.size} of ${partitions} partitions answer reads at ${url}; last: ${lastRefusal}`,
      );
    }
    const keys = Array.from({ length: keysInParallel }, (_, offset) => `readiness-${first + offset}`);
    const answers = await Promise.all(
      keys.map(async (key) => ({ key, answer: await readLinearizably(client, url, key) })),
    );
    const before = answered.size;
    for (const { key, answer } of answers) {
      if (answer.type === 'answered') answered.set(answer.partition, key);
      else lastRefusal = answer.detail;
    }
    if (answered.size === before) await delay(retryDelayMs);
  }
  return answered;
}

/** Resolves with true once a linearizable read of `key` is answered, with false after `timeoutMs`. */
export async function keyReads(options: WaitOptions & { readonly key: string }): Promise<boolean> {
  const deadlineAt = performance.now() + options.timeoutMs;
  while (performance.now() < deadlineAt) {
    const answer = await readLinearizably(options.client, options.url, options.key);
    if (answer.type === 'answered') return true;
    await delay(retryDelayMs);
  }
  return false;
}

type ReadAnswer =
  { readonly type: 'answered'; readonly partition: number } | { readonly type: 'refused'; readonly detail: string };

async function readLinearizably(client: HttpClient, url: string, key: string): Promise<ReadAnswer> {
  try {
    const response = await client.request('GET', `${url}/v1/kv/${key}?route=forward`, {
      timeoutMs: 5000,
    });
    const partition = Number(response.headers['flotilla-partition']);
    if ((response.status === 200 || response.status === 404) && partition > 0) return { type: 'answered', partition };
    return { type: 'refused', detail: `${response.status} ${response.text().trim()}` };
  } catch (error) {
    return { type: 'refused', detail: String(error) };
  }
}

async function partitionCount({ client, url, timeoutMs }: WaitOptions): Promise<number> {
  const response = await client.request('GET', `${url}/v1/cluster`, { timeoutMs });
  const partitions = (response.json() as { readonly partitions?: unknown }).partitions;
  if (typeof partitions !== 'number')
    throw new Error(`${url}/v1/cluster answered ${response.status}: ${response.text()}`);
  return partitions;
}
