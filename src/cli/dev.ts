/** `flotilla dev`: a whole cluster on this machine, one real process for each node. What `npm start` runs. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Config } from '../config.ts';
import { HttpClient } from '../testing/http.ts';
import { NodeProcess } from '../testing/node-process.ts';
import { isPortFree } from '../testing/ports.ts';
import { everyPartitionReads } from '../testing/readiness.ts';
import { configKeys } from './config-schema.ts';
import type { Setting } from './config-draft.ts';
import { loadConfiguration, type Flag } from './configuration.ts';
import { readyBlock } from './dev-block.ts';
import { watchNodes } from './dev-watch.ts';
import { reportProblems, shortPath } from './report.ts';
import { onStopRequest } from './stop-signals.ts';

export interface DevOptions {
  readonly nodes: number;
  /** HTTP port of the first node. */
  readonly port: number;
  /** Undefined: a temporary directory, removed at the end. */
  readonly dataDir: string | undefined;
  readonly flags: readonly Flag[];
}

/** One node of the cluster as dev knows it. */
export interface DevNode {
  readonly config: Config;
  readonly configFile: string;
  readonly logFile: string;
  readonly process: NodeProcess;
}

const partitions = 12;
const replicationFactorMax = 3;
/** Above the HTTP port, as in the one-node store. */
const peerPortOffset = 100;
const readyTimeoutMs = 30_000;
const startFailedExitCode = 1;

/** Keys that differ from node to node: dev chooses them. */
const chosenByDev = /^(nodeId|dataDir|http|peer|bootstrap\.nodes|labels)(\.|$)/;

/** Resolves when the cluster serves; the process then lives until it is asked to stop. */
export async function runDev(options: DevOptions): Promise<void> {
  const root = options.dataDir ?? mkdtempSync(join(tmpdir(), 'flotilla-dev-'));
  const nodes = prepareNodes(options, root);
  if (nodes === undefined) return;
  // Before any node starts: one that got its ports would meet whoever holds another's and complain of that instead.
  const taken = await takenPort(nodes);
  if (taken !== undefined) {
    if (options.dataDir === undefined) rmSync(root, { recursive: true, force: true });
    process.stderr.write(`flotilla: ${taken}\n`);
    process.exitCode = startFailedExitCode;
    return;
  }
  const startedAtMs = performance.now();
  const client = new HttpClient();
  const end = (exitCode: number): never => {
    // By now every process has ended, or is to end at once.
    for (const node of nodes) void node.process.kill();
    if (options.dataDir === undefined) rmSync(root, { recursive: true, force: true });
    process.exit(exitCode);
  };
  const stopping = new AbortController();
  onStopRequest({
    stop: () => {
      stopping.abort();
      process.stdout.write('\nstopping: each node finishes what is under way\n');
      for (const node of nodes) node.process.requestStop();
      void Promise.all(nodes.map((node) => node.process.exited())).then(() => end(0));
    },
    stopAtOnce: end,
  });
  try {
    await Promise.all(nodes.map((node) => node.process.start()));
    const [first] = nodes;
    if (first === undefined) return;
    const keys = await everyPartitionReads({ client, url: first.config.http.advertise, timeoutMs: readyTimeoutMs });
    process.stdout.write(await readyBlock({ nodes, client, tookMs: performance.now() - startedAtMs }));
    watchNodes({
      nodes,
      client,
      keys,
      isStopping: () => stopping.signal.aborted,
      onAllLost: () => end(startFailedExitCode),
    });
  } catch (error) {
    if (stopping.signal.aborted) return; // The nodes end because they were asked to.
    process.stderr.write(`${reason(error)}\n`);
    end(startFailedExitCode);
  }
}

async function takenPort(nodes: readonly DevNode[]): Promise<string | undefined> {
  for (const { config } of nodes) {
    for (const listener of ['http', 'peer'] as const) {
      const { host, port } = config[listener];
      if (await isPortFree(port)) continue;
      const name = listener === 'http' ? 'HTTP' : 'peer';
      return `${config.nodeId}: the ${name} listener cannot open ${host}:${port}: the port is in use`;
    }
  }
  return undefined;
}

/** A node's own last line says it best: `flotilla: the http port 7001 …`. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const lastWords = message.indexOf('flotilla: ');
  return lastWords < 0 ? `flotilla: ${message}` : message.slice(lastWords);
}

/** Undefined when the configuration is wrong; that has been said then. */
function prepareNodes({ nodes: count, port, flags }: DevOptions, root: string): readonly DevNode[] | undefined {
  const founders = Array.from({ length: count }, (_, index) => ({
    nodeId: `n${index + 1}`,
    peer: `127.0.0.1:${port + peerPortOffset + index}`,
    http: `http://127.0.0.1:${port + index}`,
  }));
  const refused = flags
    .filter(({ path }) => chosenByDev.test(path))
    .map(({ path }) => `${path} (--set): dev chooses it for each node`);
  const loaded = founders.map(({ nodeId }, index) => {
    const chosen: readonly (readonly [path: string, text: string])[] = [
      ['nodeId', nodeId],
      ['dataDir', join(root, nodeId)],
      ['http.host', '127.0.0.1'],
      ['http.port', String(port + index)],
      ['http.advertise', founders[index]?.http ?? ''],
      ['peer.host', '127.0.0.1'],
      ['peer.port', String(port + peerPortOffset + index)],
      ['peer.advertise', founders[index]?.peer ?? ''],
      ['bootstrap.nodes', JSON.stringify(founders)],
    ];
    const shape: readonly (readonly [path: string, text: string])[] = [
      ['bootstrap.partitions', String(partitions)],
      ['bootstrap.replicationFactor', String(Math.min(count, replicationFactorMax))],
    ];
    const asFlags = (pairs: typeof chosen): Flag[] => pairs.map(([path, text]) => ({ name: 'dev', path, text }));
    return loadConfiguration({
      file: undefined,
      flags: [...asFlags(shape), ...flags, ...asFlags(chosen)],
      environment: process.env,
    });
  });
  const first = loaded[0];
  const problems = [...refused, ...(first?.type === 'bad' ? first.problems : [])];
  if (problems.length > 0) {
    reportProblems(problems);
    return undefined;
  }
  const good = loaded.flatMap((result) => (result.type === 'ok' ? [result] : []));
  const conflict = good[0] && conflictWithEarlier(good[0].config, join(root, 'n1.json'));
  if (conflict !== undefined) {
    process.stderr.write(`flotilla: ${conflict}\n`);
    process.exitCode = startFailedExitCode;
    return undefined;
  }
  mkdirSync(root, { recursive: true });
  return good.map(({ config, settings }) => toDevNode(root, config, settings));
}

function toDevNode(root: string, config: Config, settings: readonly Setting[]): DevNode {
  const { nodeId } = config;
  const configFile = join(root, `${nodeId}.json`);
  const logFile = join(root, `${nodeId}.log`);
  writeFileSync(configFile, `${JSON.stringify(withoutDefaults(settings), undefined, 2)}\n`);
  return { config, configFile, logFile, process: new NodeProcess({ nodeId, configFile, logFile }) };
}

/** What a user would have written: `flotilla start --config` with it gives this node back. */
function withoutDefaults(settings: readonly Setting[]): Record<string, unknown> {
  const file: Record<string, unknown> = {};
  for (const { path, value, source } of settings) {
    if (source === 'default' || !configKeys.has(path)) continue;
    const [first = '', second] = path.split('.');
    file[first] = second === undefined ? value : { ...(file[first] as object | undefined), [second]: value };
  }
  return file;
}

/** The founders and the number of partitions are for good. Another number of nodes over the same data would never form. */
function conflictWithEarlier(config: Config, earlierFile: string): string | undefined {
  if (!existsSync(earlierFile)) return undefined;
  const earlier = (JSON.parse(readFileSync(earlierFile, 'utf8')) as Partial<Config>).bootstrap;
  if (JSON.stringify(earlier) === JSON.stringify(config.bootstrap)) return undefined;
  const shape = (bootstrap: Config['bootstrap']): string =>
    `${bootstrap?.nodes.length ?? 0} nodes from ${bootstrap?.nodes[0]?.http ?? 'nowhere'}, ${bootstrap?.partitions ?? 0} partitions, ${bootstrap?.replicationFactor ?? 0} replicas each`;
  const root = shortPath(dirname(earlierFile));
  return `${root} holds a cluster of another shape (${shape(earlier)}; asked for ${shape(config.bootstrap)}): name another directory with --data, or remove this one`;
}
