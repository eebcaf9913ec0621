/**
 * A whole cluster of real node processes for tests, ours and our users':
 *
 *     import { startCluster } from 'flotilla/testing';
 *
 *     const cluster = await startCluster({ nodes: 3 });
 *     await cluster.request('PUT', '/v1/kv/hello', { body: 'world', redirectsMax: 1 });
 *     const victim = await cluster.mostLeading();
 *     await victim.kill();
 *     await cluster.waitReady();
 *     await victim.restart();
 *     await cluster.close();
 *
 * Processes, ports and directories are cleaned up by `close`, and when this process ends without it.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../config.ts';
import { HttpClient, type RequestOptions, type Response } from './http.ts';
import { NodeProcess, type Exit, type NodeProcessState } from './node-process.ts';
import { freePorts } from './ports.ts';
import { everyPartitionReads } from './readiness.ts';

export type { RequestOptions, Response } from './http.ts';
export type { Exit, NodeProcessState } from './node-process.ts';

/** Any part of a node's configuration but its identity, which the cluster chooses. */
export type ClusterSettings = {
  readonly [Name in Exclude<keyof Config, 'nodeId' | 'dataDir' | 'http' | 'peer' | 'bootstrap' | 'join'>]?: Partial<
    Config[Name]
  >;
};

export interface ClusterOptions {
  /** 1 to 7. Default 3. */
  readonly nodes?: number;
  /** 1 to 4,096. Default 12. */
  readonly partitions?: number;
  /** Default: `nodes`, or one less when that is even. */
  readonly replicationFactor?: number;
  readonly settings?: ClusterSettings;
  /** Directory for data, configuration and logs. Default: a new temporary one. */
  readonly dataRoot?: string;
  /** Leaves the directory when the cluster is closed. Default: false for a temporary one, true for a given one. */
  readonly keepData?: boolean;
  /** For the whole start. Default 20,000. */
  readonly timeoutMs?: number;
  /** Variables for a node's process beside those of this one. */
  readonly environment?: (nodeId: string) => Readonly<Record<string, string>>;
  /** Something that stands before the port at which a node listens for other nodes: returns the port of 127.0.0.1 at which it does. */
  readonly peerFront?: (nodeId: string, port: number) => Promise<number>;
}

export interface TestNode {
  readonly nodeId: string;
  /** Without a trailing slash. */
  readonly url: string;
  readonly peer: string;
  readonly dataDir: string;
  /** Of the running process, or of the last one. */
  readonly pid: number | undefined;
  readonly state: NodeProcessState;
  /** Ends the process and resolves when it has ended. Default SIGKILL: a crash. SIGTERM: a clean stop. */
  kill(signal?: 'SIGKILL' | 'SIGTERM' | 'SIGINT'): Promise<void>;
  /** How the process ended, once it has; undefined when none was ever started. */
  exited(): Promise<Exit | undefined>;
  /** Starts it again, ending a running process by SIGKILL first. Resolves when the node is ready: that takes a majority. */
  restart(): Promise<void>;
  /** Freezes the process (SIGSTOP): its connections stay open and nothing is answered. */
  pause(): void;
  resume(): void;
  /** All it has logged so far, over all its starts. */
  stderr(): string;
}

export interface ClusterRequestOptions extends RequestOptions {
  /** Which node to ask. Default: the first that runs. */
  readonly node?: TestNode;
}

export interface TestCluster {
  readonly nodes: readonly TestNode[];
  /** Data, configuration and logs of all nodes. */
  readonly dataRoot: string;
  /** `path` begins with a slash. Rejects when there is no answer. */
  request(method: string, path: string, options?: ClusterRequestOptions): Promise<Response>;
  /** Undefined while none is known to the node asked. */
  leaderOf(partition: number): Promise<TestNode | undefined>;
  /** The node that leads most partitions, by what the first running node knows. */
  mostLeading(): Promise<TestNode>;
  /** One more node, named after those there are, that asks the running ones to let it in. Resolves when it is a member; its share comes later. */
  addNode(): Promise<TestNode>;
  /** Resolves when every partition answered a linearizable read through every running node. Default 20,000 ms. */
  waitReady(timeoutMs?: number): Promise<void>;
  /** Ends all processes (SIGKILL) and removes what was made. */
  close(): Promise<void>;
}

const startTimeoutMs = 20_000;
const portAttempts = 5;

/** Starts the nodes and resolves when every partition serves reads through every node. Rejects with the reason, and leaves nothing behind. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  for (let attempt = 1; ; attempt += 1) {
    const cluster = await prepare(options);
    try {
      await cluster.start(options.timeoutMs ?? startTimeoutMs);
      return cluster;
    } catch (error) {
      await cluster.close();
      // Another process took a port between our choosing it and the node's listening: choose others.
      if (attempt >= portAttempts || !/the port is in use|already in use/.test(String(error))) throw error;
    }
  }
}

async function prepare(options: ClusterOptions): Promise<RunningCluster> {
  const count = options.nodes ?? 3;
  const ports = await freePorts(2 * count);
  const dataRoot = options.dataRoot ?? mkdtempSync(join(tmpdir(), 'flotilla-'));
  mkdirSync(dataRoot, { recursive: true });
  const founders: { readonly nodeId: string; readonly http: string; readonly peer: string }[] = [];
  for (let index = 0; index < count; index += 1) {
    const nodeId = `n${index + 1}`;
    const [http = 0, peer = 0] = ports.slice(2 * index);
    const front = (await options.peerFront?.(nodeId, peer)) ?? peer;
    founders.push({ nodeId, http: `http://127.0.0.1:${http}`, peer: `127.0.0.1:${front}` });
  }
  const bootstrap = {
    partitions: options.partitions ?? 12,
    replicationFactor: options.replicationFactor ?? count - (1 - (count % 2)),
    nodes: founders,
  };
  const client = new HttpClient();
  const settings = options.settings ?? {};
  const environment = options.environment ?? ((): Readonly<Record<string, string>> => ({}));
  const nodes = founders.map(({ nodeId, peer: advertise }, index) => {
    const at: [number, number] = [ports[2 * index] ?? 0, ports[2 * index + 1] ?? 0];
    const config = { ...settings, bootstrap };
    return prepareNode({ nodeId, dataRoot, ports: at, advertise, config, environment: environment(nodeId) });
  });
  const removeData = !(options.keepData ?? options.dataRoot !== undefined);
  return new RunningCluster({ nodes, client, dataRoot, removeData, settings, environment });
}

interface NodePlan {
  readonly nodeId: string;
  readonly dataRoot: string;
  /** Of HTTP and peers. */
  readonly ports: readonly [number, number];
  /** Where other nodes find it, when that is not its own port. */
  readonly advertise?: string;
  readonly config: object;
  readonly environment: Readonly<Record<string, string>>;
}

function prepareNode({ nodeId, dataRoot, ports: [http, peer], advertise, config, environment }: NodePlan): ClusterNode {
  const dataDir = join(dataRoot, nodeId);
  const configFile = join(dataRoot, `${nodeId}.json`);
  const whole = {
    ...config,
    nodeId,
    dataDir,
    http: { host: '127.0.0.1', port: http },
    peer: { host: '127.0.0.1', port: peer, ...(advertise === undefined ? {} : { advertise }) },
  };
  writeFileSync(configFile, `${JSON.stringify(whole, undefined, 2)}\n`);
  const logFile = join(dataRoot, `${nodeId}.log`);
  const [url, peerAddress] = [`http://127.0.0.1:${http}`, advertise ?? `127.0.0.1:${peer}`];
  return new ClusterNode({
    url,
    peer: peerAddress,
    dataDir,
    process: new NodeProcess({ nodeId, configFile, logFile, environment }),
  });
}

interface ClusterNodeOptions {
  readonly url: string;
  readonly peer: string;
  readonly dataDir: string;
  readonly process: NodeProcess;
}

class ClusterNode implements TestNode {
  readonly url: string;
  readonly peer: string;
  readonly dataDir: string;
  readonly process: NodeProcess;

  constructor(options: ClusterNodeOptions) {
    this.url = options.url;
    this.peer = options.peer;
    this.dataDir = options.dataDir;
    this.process = options.process;
  }

  get nodeId(): string {
    return this.process.nodeId;
  }

  get pid(): number | undefined {
    return this.process.pid;
  }

  get state(): NodeProcessState {
    return this.process.state;
  }

  kill(signal: 'SIGKILL' | 'SIGTERM' | 'SIGINT' = 'SIGKILL'): Promise<void> {
    return this.process.kill(signal);
  }

  exited(): Promise<Exit | undefined> {
    return this.process.exited();
  }

  async restart(): Promise<void> {
    await this.process.kill();
    await this.process.start();
  }

  pause(): void {
    this.process.pause();
  }

  resume(): void {
    this.process.resume();
  }

  stderr(): string {
    return this.process.stderr();
  }
}

interface RunningClusterOptions {
  readonly nodes: readonly ClusterNode[];
  readonly client: HttpClient;
  readonly dataRoot: string;
  readonly removeData: boolean;
  readonly settings: ClusterSettings;
  readonly environment: (nodeId: string) => Readonly<Record<string, string>>;
}

class RunningCluster implements TestCluster {
  readonly nodes: ClusterNode[];
  readonly dataRoot: string;
  readonly #settings: ClusterSettings;
  readonly #environment: (nodeId: string) => Readonly<Record<string, string>>;
  readonly #client: HttpClient;
  readonly #removeData: boolean;
  /** Nodes that were given a name until now. */
  #named: number;
  /** For a test process that ends without `close`: what is asynchronous would not run any more. */
  readonly #atExit = (): void => this.#cleanUp();

  constructor(options: RunningClusterOptions) {
    this.nodes = [...options.nodes];
    this.#named = this.nodes.length;
    this.#settings = options.settings;
    this.#environment = options.environment;
    this.dataRoot = options.dataRoot;
    this.#client = options.client;
    this.#removeData = options.removeData;
    process.on('exit', this.#atExit);
  }

  async start(timeoutMs: number): Promise<void> {
    await within(timeoutMs, Promise.all(this.nodes.map((node) => node.process.start())), () => this.#lastWords());
    await this.waitReady(timeoutMs);
  }

  async request(method: string, path: string, options: ClusterRequestOptions = {}): Promise<Response> {
    const node = options.node ?? this.#anyRunning();
    return this.#client.request(method, node.url + path, options);
  }

  async leaderOf(partition: number): Promise<TestNode | undefined> {
    const { leader } = (await this.#json(`/v1/cluster/partitions/${partition}`)) as { readonly leader: string | null };
    return this.nodes.find((node) => node.nodeId === leader);
  }

  async mostLeading(): Promise<TestNode> {
    const partitions = (await this.#json('/v1/cluster/partitions')) as readonly { readonly leader: string | null }[];
    const leads = (node: TestNode): number => partitions.filter(({ leader }) => leader === node.nodeId).length;
    return this.nodes.reduce<TestNode>((most, node) => (leads(node) > leads(most) ? node : most), this.#anyRunning());
  }

  async addNode(): Promise<TestNode> {
    const members = this.nodes.filter(({ state }) => state === 'running').map(({ url }) => url);
    // Several may be added at a time.
    this.#named += 1;
    const nodeId = `n${this.#named}`;
    const [http = 0, peer = 0] = await freePorts(2);
    const config = { ...this.#settings, join: members };
    const node = prepareNode({
      nodeId,
      dataRoot: this.dataRoot,
      ports: [http, peer],
      config,
      environment: this.#environment(nodeId),
    });
    this.nodes.push(node);
    await within(startTimeoutMs, node.process.start(), () => this.#lastWords());
    return node;
  }

  async waitReady(timeoutMs = startTimeoutMs): Promise<void> {
    const running = this.nodes.filter((node) => node.state === 'running');
    await Promise.all(running.map(({ url }) => everyPartitionReads({ client: this.#client, url, timeoutMs })));
  }

  async close(): Promise<void> {
    process.off('exit', this.#atExit);
    await Promise.all(this.nodes.map((node) => node.kill()));
    this.#cleanUp();
  }

  #cleanUp(): void {
    for (const node of this.nodes) void node.kill();
    this.#client.close();
    if (this.#removeData) rmSync(this.dataRoot, { recursive: true, force: true });
  }

  #anyRunning(): ClusterNode {
    const node = this.nodes.find(({ state }) => state === 'running');
    if (node === undefined) throw new Error('no node of the cluster runs');
    return node;
  }

  async #json(path: string): Promise<unknown> {
    const response = await this.request('GET', path);
    if (response.status !== 200) throw new Error(`GET ${path} answered ${response.status}: ${response.text()}`);
    return response.json();
  }

  #lastWords(): string {
    return this.nodes.map((node) => `${node.nodeId}: ${node.process.lastWords()}`).join('\n');
  }
}

async function within<T>(timeoutMs: number, promise: Promise<T>, detail: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not ready within ${timeoutMs} ms\n${detail()}`)), timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
