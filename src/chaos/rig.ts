/** A cluster of real processes, everything about which can be made to go wrong. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startCluster, type ClusterSettings, type TestCluster, type TestNode } from '../testing/cluster.ts';
import { freePorts } from '../testing/ports.ts';
import { FaultyDisks } from './disk.ts';
import { Links } from './links.ts';
import { PeerProxy } from './proxy.ts';

export interface RigOptions {
  readonly nodes: number;
  readonly partitions: number;
  readonly settings?: ClusterSettings;
  /** Default: that of this program. */
  readonly startCluster?: typeof startCluster;
  /** How long a node may take to be ready again. */
  readonly restartMsMax?: number;
}

const restartMsDefault = 60_000;
const readyPollMs = 50;
const believedPollMs = 250;

export class Rig {
  readonly cluster: TestCluster;
  readonly links: Links;
  /** Why disks can't be made to misbehave here. */
  readonly disks: FaultyDisks | string;
  readonly #directory: string;
  readonly #proxies: ReadonlyMap<string, PeerProxy>;
  readonly #restartMsMax: number;
  #filesDamaged = false;
  #believedTimer: NodeJS.Timeout | undefined;

  private constructor(parts: {
    readonly cluster: TestCluster;
    readonly links: Links;
    readonly disks: FaultyDisks | string;
    readonly directory: string;
    readonly proxies: ReadonlyMap<string, PeerProxy>;
    readonly restartMsMax: number;
  }) {
    this.cluster = parts.cluster;
    this.links = parts.links;
    this.disks = parts.disks;
    this.#directory = parts.directory;
    this.#proxies = parts.proxies;
    this.#restartMsMax = parts.restartMsMax;
  }

  /** Rejects with the reason when the cluster does not start, and leaves nothing behind. */
  static async start({ nodes, partitions, settings, ...options }: RigOptions): Promise<Rig> {
    const directory = mkdtempSync(join(tmpdir(), 'flotilla-chaos-'));
    const dataRoot = join(directory, 'nodes');
    mkdirSync(dataRoot);
    const links = new Links();
    const disks = FaultyDisks.prepare(directory);
    const proxies = new Map<string, PeerProxy>();
    const peerFront = async (nodeId: string, target: number): Promise<number> => {
      // Of an attempt to start that has failed.
      await proxies.get(nodeId)?.stopListening();
      const proxy = new PeerProxy({ nodeId, target, links });
      const [port = 0] = await freePorts(1);
      await proxy.listen(port);
      proxies.set(nodeId, proxy);
      return port;
    };
    try {
      const cluster = await (options.startCluster ?? startCluster)({
        nodes,
        partitions,
        replicationFactor: nodes - (1 - (nodes % 2)),
        dataRoot,
        keepData: false,
        peerFront,
        ...(settings === undefined ? {} : { settings }),
        ...(typeof disks === 'string' ? {} : { environment: (nodeId) => disks.environment(nodeId) }),
      });
      const { restartMsMax = restartMsDefault } = options;
      return new Rig({ cluster, links, disks, directory, proxies, restartMsMax });
    } catch (error) {
      await Promise.all([...proxies.values()].map((proxy) => proxy.stopListening()));
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get nodes(): readonly TestNode[] {
    return this.cluster.nodes;
  }

  others(node: TestNode): readonly TestNode[] {
    return this.nodes.filter((other) => other !== node);
  }

  /** Whoever leads most comes first, by what the first running node knows. */
  async byLeading(): Promise<readonly TestNode[]> {
    const answer = await this.cluster.request('GET', '/v1/cluster/partitions');
    const partitions = answer.json() as readonly { readonly leader: string | null }[];
    const leads = ({ nodeId }: TestNode): number => partitions.filter(({ leader }) => leader === nodeId).length;
    return this.nodes.toSorted((one, other) => leads(other) - leads(one));
  }

  /** All at once. From then on their peer addresses refuse connections, as where no process is. */
  async kill(nodes: readonly TestNode[], signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    await Promise.all(nodes.map((node) => node.kill(signal)));
    await this.gone(nodes);
  }

  /** These have ended by themselves. */
  async gone(nodes: readonly TestNode[]): Promise<void> {
    await Promise.all(this.#proxiesOf(nodes).map((proxy) => proxy.stopListening()));
  }

  /** From now on a node may find at any time what it can't believe. */
  damagesFiles(): void {
    this.#filesDamaged = true;
  }

  /** Rejects once a node has set its data directory aside, though nothing had damaged it: it has promised what it did not keep. */
  unbelieved(): Promise<never> {
    return new Promise((_, reject) => {
      this.#believedTimer = setInterval(() => {
        if (this.#filesDamaged) return;
        const aside = this.nodes.flatMap((node) => this.setAside(node)).map((directory) => basename(directory));
        if (aside.length > 0) reject(new Error(`${aside.join(', ')}: set aside, and nothing had damaged it`));
      }, believedPollMs);
    });
  }

  /** Resolves when they are ready. */
  async restart(nodes: readonly TestNode[]): Promise<void> {
    await Promise.all(this.#proxiesOf(nodes).map((proxy) => proxy.listen()));
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const names = nodes.map(({ nodeId }) => nodeId).join(', ');
      timer = setTimeout(() => {
        const aside = nodes.flatMap((node) => this.setAside(node)).map((directory) => basename(directory));
        reject(
          new Error(
            `${names} are not ready ${this.#restartMsMax} ms after their start; set aside: ${aside.join(', ') || 'nothing'}`,
          ),
        );
      }, this.#restartMsMax);
    });
    try {
      await Promise.race([late, Promise.all(nodes.map((node) => node.restart()))]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Resolves when this node, which runs, holds all that it should. */
  async ready(node: TestNode): Promise<void> {
    const endsAt = performance.now() + this.#restartMsMax;
    let last = 'no answer';
    for (; performance.now() < endsAt; await delay(readyPollMs)) {
      const answer = await this.cluster.request('GET', '/readyz', { node }).catch(() => undefined);
      if (answer?.status === 200) return;
      last = answer?.text() ?? last;
    }
    throw new Error(`${node.nodeId} is not whole ${this.#restartMsMax} ms after its start: ${last}`);
  }

  /** The data directories that this node could not believe. */
  setAside({ dataDir }: TestNode): readonly string[] {
    const root = dirname(dataDir);
    const prefixes = ['damaged', 'old'].map((kind) => `${basename(dataDir)}.${kind}-`);
    return readdirSync(root)
      .filter((name) => prefixes.some((prefix) => name.startsWith(prefix)))
      .map((name) => join(root, name));
  }

  /** The same for all links that begin or end at this node, or only those. */
  cutOff(node: TestNode, direction: 'in' | 'out' | 'both'): void {
    for (const { nodeId } of this.others(node)) {
      if (direction !== 'out') this.links.set(nodeId, node.nodeId, { lost: true });
      if (direction !== 'in') this.links.set(node.nodeId, nodeId, { lost: true });
    }
  }

  /** Connections between two nodes end with RST. */
  reset(one: TestNode, other: TestNode): void {
    this.#proxies.get(one.nodeId)?.resetAll(other.nodeId);
    this.#proxies.get(other.nodeId)?.resetAll(one.nodeId);
  }

  #proxiesOf(nodes: readonly TestNode[]): readonly PeerProxy[] {
    return nodes.flatMap(({ nodeId }) => this.#proxies.get(nodeId) ?? []);
  }

  async close(): Promise<void> {
    clearInterval(this.#believedTimer);
    await this.cluster.close();
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.stopListening()));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
