/** Tells, line by line, what happens to a running dev cluster: who was lost, how long the others took, who is back. */
import { shortPath } from './report.ts';
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { HttpClient } from '../testing/http.ts';
import { keyReads } from '../testing/readiness.ts';
import type { DevNode } from './dev.ts';
import { otherNodes } from './dev-block.ts';

export interface WatchOptions {
  readonly nodes: readonly DevNode[];
  readonly client: HttpClient;
  /** One key of each partition, by partition. */
  readonly keys: ReadonlyMap<number, string>;
  readonly isStopping: () => boolean;
  readonly onAllLost: () => void;
}

const electionTimeoutMs = 10_000;
const returnPollMs = 500;
const othersPollMs = 2000;

export function watchNodes(options: WatchOptions): void {
  /** A node is up while our process of it runs, or after another one, started by hand, has answered. */
  const up = new Set(options.nodes.map((node) => node.config.nodeId));
  void tellOthers(options, up);
  for (const node of options.nodes) {
    void node.process.exited().then(async () => {
      if (options.isStopping()) return;
      up.delete(node.config.nodeId);
      if (up.size === 0) {
        say('every node is lost');
        options.onAllLost();
        return;
      }
      await tellLoss(options, node, up);
      await tellReturn(options, node, up);
    });
  }
}

async function tellLoss(options: WatchOptions, lost: DevNode, up: ReadonlySet<string>): Promise<void> {
  const { nodeId } = lost.config;
  const lostAtMs = performance.now();
  const survivor = options.nodes.find((node) => up.has(node.config.nodeId));
  if (survivor === undefined) return;
  const url = survivor.config.http.advertise;
  const orphaned = await partitionsLedBy(nodeId, url, options);
  const answers = await Promise.all(
    orphaned.map((key) => keyReads({ client: options.client, url, key, timeoutMs: electionTimeoutMs })),
  );
  if (options.isStopping()) return;
  const waiting = answers.filter((answered) => !answered).length;
  const tookMs = Math.round(performance.now() - lostAtMs);
  const partitions = (count: number): string => `${count} partition${count === 1 ? '' : 's'}`;
  if (waiting > 0) say(`${nodeId} lost, ${partitions(waiting)} without a leader after ${tookMs} ms: is a majority up?`);
  else if (orphaned.length === 0) say(`${nodeId} lost, it led no partition`);
  else say(`${nodeId} lost, ${partitions(orphaned.length)} re-elected in ${tookMs} ms`);
  say(`  bring it back with: npx flotilla start --config ${shortPath(lost.configFile)}`);
}

/** The keys of the partitions that the survivor still believes to be led by the lost node, or by nobody. */
async function partitionsLedBy(nodeId: string, url: string, { client, keys }: WatchOptions): Promise<string[]> {
  const located = await Promise.all(
    [...keys.values()].map(async (key) => {
      const response = await client.request('GET', `${url}/v1/locate/${key}`).catch(() => undefined);
      const leader = response?.status === 200 ? (response.json() as { readonly leader: string | null }).leader : null;
      return { key, orphaned: leader === null || leader === nodeId };
    }),
  );
  return located.filter(({ orphaned }) => orphaned).map(({ key }) => key);
}

async function tellReturn({ client, isStopping }: WatchOptions, node: DevNode, up: Set<string>): Promise<void> {
  const url = `${node.config.http.advertise}/readyz`;
  while (!isStopping()) {
    const response = await client.request('GET', url).catch(() => undefined);
    if (response?.status === 200) {
      up.add(node.config.nodeId);
      say(`${node.config.nodeId} is back`);
      return;
    }
    await delay(returnPollMs);
  }
}

const words: ReadonlyMap<string, string> = new Map([
  ['joining', 'is joining'],
  ['up', 'is a member and up'],
  ['down', 'is down'],
  ['draining', 'is being drained'],
  ['removed', 'has left the cluster'],
]);

/** Members that this command has not started come and go as well. What was so at the beginning stands in the block. */
async function tellOthers({ nodes, client, isStopping }: WatchOptions, up: ReadonlySet<string>): Promise<void> {
  const known = new Map<string, string>();
  let isFirst = true;
  while (!isStopping()) {
    const asked = nodes.find(({ config }) => up.has(config.nodeId));
    const others = asked && (await otherNodes({ client, nodes, asked }));
    for (const { nodeId, http, state } of others ?? []) {
      if (known.get(nodeId) === state) continue;
      known.set(nodeId, state);
      if (!isFirst && !isStopping()) say(`${nodeId} ${words.get(state) ?? `is ${state}`}: ${http}`);
    }
    if (others !== undefined) isFirst = false;
    await delay(othersPollMs);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
