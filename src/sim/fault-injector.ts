/**
 * Lets things go wrong, one fault after the other and several at once, as the seed has drawn them; and in the end puts
 * everything right, so that it shows whether the cluster comes back.
 *
 * What the promises cover, and hence all that is done here: any number of crashes, power cuts, pauses and network
 * faults; failing and full disks, as long as what a disk acknowledged is there; damage to the disks of so few nodes that every
 * partition keeps a majority of whole ones.
 */
import type { PartitionDescriptor } from '../cluster/types.ts';
import type { NodeId } from '../replica/ports.ts';
import { damageKinds, type DiskFaults } from './disk.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import type { FaultKind, Swarm } from './swarm.ts';
import type { World } from './world.ts';

export interface FaultInjectorOptions {
  readonly world: World;
  readonly random: Random;
  readonly swarm: Swarm;
  readonly nodes: readonly SimNode[];
  /** Hears of a leader that was cut off, so that clients can do what shows whether it answers still. */
  readonly onCutOff: (leader: SimNode) => void;
}

/** One fault that lasts: from when, and what takes it back. */
interface Lasting {
  readonly kind: FaultKind;
  readonly end: () => void;
}

/** From whom, and to whom. */
type Links = readonly (readonly [SimNode, SimNode])[];
type Sides = readonly [readonly SimNode[], readonly SimNode[]];

interface Blocked {
  readonly links: Links;
  /** Who hears of it at once. */
  readonly heardBy: readonly SimNode[];
}

const longestFaultMs = 8000;
/** Of a shorter cut the others would notice nothing: a longest election timeout, about. */
const isolatedMsMin = 1000;
const silenceAwaitedMs = 3000;
const silenceLookMs = 20;

export class FaultInjector {
  /** How often each kind happened. */
  readonly counts = new Map<FaultKind, number>();
  /** Kinds that were there at the same time, as `one + other` in the order of their names. */
  readonly pairs = new Set<string>();
  readonly #options: FaultInjectorOptions;
  readonly #lasting = new Set<Lasting>();
  /** By node; asked for each batch. */
  readonly #diskFaults = new Map<NodeId, () => DiskFaults>();
  readonly #damaged = new Set<NodeId>();
  /** The next snapshots that are installed may meet a crash. */
  #crashesAtInstall = false;
  /** The next group that falls silent loses its leader. */
  #awaitsSilence = false;
  #stopped = false;
  #endsAt = 0;
  #lastEndedAt = 0;

  constructor(options: FaultInjectorOptions) {
    this.#options = options;
  }

  /** Things go wrong for so long: then it is time to `heal`. */
  start(forMs: number): void {
    this.#endsAt = this.#options.world.scheduler.now() + forMs;
    this.#planNext();
  }

  /** Of the node's disk, now. */
  diskFaults(nodeId: NodeId): DiskFaults {
    return this.#diskFaults.get(nodeId)?.() ?? this.#options.swarm.disk;
  }

  isDamaged(nodeId: NodeId): boolean {
    return this.#damaged.has(nodeId);
  }

  /** A fault is there, or the last one ended less than `graceMs` ago. */
  disturbedWithin(graceMs: number): boolean {
    return this.#lasting.size > 0 || this.#options.world.scheduler.now() - this.#lastEndedAt < graceMs;
  }

  /** Its disk has been given a snapshot to install: dies at some step of it. */
  installing(nodeId: NodeId): void {
    const { world, random, nodes } = this.#options;
    const node = nodes.find((candidate) => candidate.nodeId === nodeId);
    if (node === undefined || !this.#crashesAtInstall || this.#stopped || !random.chance(0.5)) return;
    const power = random.chance(0.5);
    const { starts } = node;
    world.scheduler.after(random.magnitude(0.05, 20), () => {
      if (node.starts !== starts || node.state() !== 'up' || this.#stopped) return;
      if (power) node.cutPower();
      else node.kill();
      this.#last('crash at install', random.magnitude(50, 2000), () => node.start());
    });
  }

  /** Ends all faults: links are whole, disks good, nodes up; but for those in doubt. */
  heal(): void {
    this.#stopped = true;
    for (const lasting of [...this.#lasting]) lasting.end();
    this.#options.world.network.heal();
    this.#diskFaults.clear();
    for (const node of this.#options.nodes) {
      node.disk.setFull(false);
      node.resume();
      node.start();
    }
  }

  /** A node's disk failed and it stopped; somebody starts it again after a while. */
  restartLater(node: SimNode): void {
    const { world, random } = this.#options;
    world.scheduler.after(random.between(100, 3000), () => {
      node.disk.setFull(false);
      this.#diskFaults.delete(node.nodeId);
      node.start();
    });
  }

  #planNext(): void {
    const { world, random, swarm } = this.#options;
    world.scheduler.after(random.exponential(swarm.faultEveryMs), () => {
      if (this.#stopped) return;
      this.#inject(random.pick(swarm.faults));
      this.#planNext();
    });
  }

  #inject(kind: FaultKind): void {
    const { world, random, nodes } = this.#options;
    const node = random.pick(nodes);
    const lastsMs = Math.min(random.magnitude(50, longestFaultMs), this.#endsAt - world.scheduler.now());
    switch (kind) {
      case 'kill':
        if (node.state() !== 'up') return;
        node.kill();
        return this.#last(kind, lastsMs, () => node.start());
      case 'power cut':
        if (node.state() !== 'up') return;
        node.cutPower();
        return this.#last(kind, lastsMs, () => node.start());
      case 'kill all':
        return this.#stopAll(kind, lastsMs);
      case 'crash at start':
        return this.#crashAtStart(kind, node);
      case 'pause':
        if (node.state() !== 'up' || node.isPaused()) return;
        node.pause();
        return this.#last(kind, lastsMs, () => node.resume());
      case 'split': {
        const shuffled = random.shuffle(nodes);
        const cut = random.whole(1, shuffled.length - 1);
        return this.#cut(kind, lastsMs, [shuffled.slice(0, cut), shuffled.slice(cut)]);
      }
      case 'one-way block': {
        const [from, to] = random.shuffle(nodes);
        if (from === undefined || to === undefined) return;
        return this.#blockAll(kind, lastsMs, { links: [[from, to]], heardBy: this.#drawHeardBy([[from], [to]]) });
      }
      case 'bridge': {
        // Two halves that hear one node and not each other.
        const [, ...others] = random.shuffle(nodes);
        const half = Math.floor(others.length / 2);
        return this.#cut(kind, lastsMs, [others.slice(0, half), others.slice(half)]);
      }
      case 'isolate leader':
        return this.#isolate(kind, world.map.partitions);
      case 'isolate silent leader':
        return this.#isolateSilent(kind);
      case 'clog':
        return this.#clog(kind, lastsMs);
      case 'slow disk':
        return this.#slowDisk(kind, node, lastsMs);
      case 'disk stall':
        return this.#stallDisk(kind, node, lastsMs);
      case 'disk error':
        return this.#disk(kind, node, lastsMs, () => ({ failChance: 0.3 }));
      case 'full disk':
        node.disk.setFull(true);
        return this.#last(kind, lastsMs, () => node.disk.setFull(false));
      case 'damage':
        return this.#damage(kind, node, lastsMs);
      case 'crash at install':
        this.#crashesAtInstall = true;
        return;
      case 'shutdown':
        if (node.state() !== 'up' || node.isPaused()) return;
        node.shutDown();
        return this.#last(kind, lastsMs, () => {
          node.kill();
          node.start();
        });
      case 'transfer':
        return this.#transfer(kind);
      case 'clock jump':
        node.clock.wallOffsetMs = random.between(-1, 1) * random.magnitude(1000, 1e9);
        return this.#count(kind);
    }
  }

  #stopAll(kind: FaultKind, lastsMs: number): void {
    const { random, nodes } = this.#options;
    const power = random.chance(0.5);
    for (const node of nodes) {
      if (power) node.cutPower();
      else node.kill();
    }
    this.#last(kind, lastsMs, () => nodes.forEach((node) => node.start()));
  }

  /** Dies again while it is starting, a few times over. */
  #crashAtStart(kind: FaultKind, node: SimNode): void {
    const { world, random } = this.#options;
    if (node.state() !== 'up') return;
    node.kill();
    this.#count(kind);
    for (let crash = random.whole(1, 4), atMs = 20; crash > 0; crash -= 1) {
      world.scheduler.after(atMs, () => node.start());
      atMs += random.magnitude(0.01, 30);
      const power = random.chance(0.5);
      world.scheduler.after(atMs, () => {
        if (power) node.cutPower();
        else node.kill();
      });
      atMs += random.magnitude(1, 100);
      if (crash === 1) world.scheduler.after(atMs, () => node.start());
    }
  }

  /** Cuts the leader of one of these partitions off from all others. */
  #isolate(kind: FaultKind, partitions: readonly PartitionDescriptor[]): void {
    const { world, random, nodes, onCutOff } = this.#options;
    if (partitions.length === 0) return;
    const partition = random.pick(partitions);
    const leader = nodes.find((node) => node.leads(partition));
    if (leader === undefined) return;
    const others = nodes.filter((node) => node !== leader);
    const lastsMs = Math.min(random.magnitude(isolatedMsMin, longestFaultMs), this.#endsAt - world.scheduler.now());
    // The others of a silent group go on only when they are told; its leader stays silent only when it is not.
    const sides: Sides = [[leader], others];
    const heardBy = this.#isSilent(partition) && random.chance(0.6) ? others : this.#drawHeardBy(sides);
    this.#blockAll(kind, lastsMs, { links: crossing(...sides), heardBy });
    onCutOff(leader);
  }

  /** As soon as some group is silent: with few partitions that is a matter of moments. */
  #isolateSilent(kind: FaultKind): void {
    if (this.#awaitsSilence) return;
    this.#awaitsSilence = true;
    const { scheduler, map } = this.#options.world;
    const until = scheduler.now() + silenceAwaitedMs;
    const look = (): void => {
      const silent = map.partitions.filter(this.#isSilent);
      if (silent.length === 0 && scheduler.now() < until) return void scheduler.after(silenceLookMs, look);
      this.#awaitsSilence = false;
      if (!this.#stopped) this.#isolate(kind, silent);
    };
    look();
  }

  /** Whether its leader has fallen silent. */
  readonly #isSilent = ({ id }: PartitionDescriptor): boolean =>
    this.#options.nodes.some((node) => {
      const status = node.replica(id)?.status();
      return status?.role === 'leader' && status.quiesced;
    });

  /** Asks some node to move some partition's leadership to some node. */
  #transfer(kind: FaultKind): void {
    const { world, random, nodes } = this.#options;
    const { id } = random.pick(world.map.partitions);
    const to = random.pick(nodes).nodeId;
    if (random.pick(nodes).transferLeadership(id, to, random.magnitude(50, 3000))) this.#count(kind);
  }

  /** Between all of the one side and all of the other, both ways. */
  #cut(kind: FaultKind, lastsMs: number, sides: Sides): void {
    this.#blockAll(kind, lastsMs, { links: crossing(...sides), heardBy: this.#drawHeardBy(sides) });
  }

  /** Both sides hear of it at once, or one, or neither. */
  #drawHeardBy([ones, others]: Sides): readonly SimNode[] {
    return this.#options.random.pick([[], ones, others, [...ones, ...others]]);
  }

  #blockAll(kind: FaultKind, lastsMs: number, { links, heardBy }: Blocked): void {
    const { world } = this.#options;
    const told = new Set(heardBy.map(({ nodeId }) => nodeId));
    for (const [from, to] of links) world.network.block(from.nodeId, to.nodeId, told);
    this.#last(kind, lastsMs, () => {
      for (const [from, to] of links) world.network.unblock(from.nodeId, to.nodeId);
    });
  }

  #clog(kind: FaultKind, lastsMs: number): void {
    const { world, random, nodes } = this.#options;
    const [from, to] = random.shuffle(nodes);
    if (from === undefined || to === undefined) return;
    world.network.clog(from.nodeId, to.nodeId, random.magnitude(20, 3000));
    this.#last(kind, lastsMs, () => world.network.clog(from.nodeId, to.nodeId, 0));
  }

  #slowDisk(kind: FaultKind, node: SimNode, lastsMs: number): void {
    const slowMs = this.#options.random.magnitude(20, 500);
    this.#disk(kind, node, lastsMs, () => ({ slowChance: 0.5, slowMs }));
  }

  /** All batches end when the stall does. */
  #stallDisk(kind: FaultKind, node: SimNode, lastsMs: number): void {
    const { scheduler } = this.#options.world;
    const endsAt = scheduler.now() + lastsMs;
    this.#disk(kind, node, lastsMs, () => ({ stallChance: 1, stallMs: endsAt - scheduler.now() }));
  }

  #disk(kind: FaultKind, node: SimNode, lastsMs: number, change: () => Partial<DiskFaults>): void {
    const { disk } = this.#options.swarm;
    this.#diskFaults.set(node.nodeId, () => ({ ...disk, ...change() }));
    this.#last(kind, lastsMs, () => this.#diskFaults.delete(node.nodeId));
  }

  /** Only so many disks that each partition keeps a majority of whole ones: a node in doubt does not come back. */
  #damage(kind: FaultKind, node: SimNode, lastsMs: number): void {
    const { random, swarm } = this.#options;
    const damagedMax = (swarm.replicationFactor - 1) / 2;
    if (node.state() !== 'up' || (!this.#damaged.has(node.nodeId) && this.#damaged.size >= damagedMax)) return;
    node.kill();
    const what = node.disk.damage(random.pick(damageKinds));
    if (what !== undefined) {
      this.#damaged.add(node.nodeId);
      this.#count(kind);
      this.#options.world.trace.note(() => `${node.nodeId} damaged: ${what}`);
    }
    this.#options.world.scheduler.after(lastsMs, () => node.start());
  }

  #count(kind: FaultKind): void {
    const { world } = this.#options;
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    for (const other of this.#lasting)
      if (other.kind !== kind) this.pairs.add([kind, other.kind].toSorted().join(' + '));
    this.#lastEndedAt = world.scheduler.now();
    world.trace.text(kind);
    world.trace.note(() => `fault: ${kind}`);
  }

  #last(kind: FaultKind, lastsMs: number, end: () => void): void {
    const { world } = this.#options;
    this.#count(kind);
    const lasting: Lasting = {
      kind,
      end: () => {
        if (!this.#lasting.delete(lasting)) return;
        this.#lastEndedAt = world.scheduler.now();
        world.trace.note(() => `fault over: ${kind}`);
        end();
      },
    };
    this.#lasting.add(lasting);
    world.scheduler.after(lastsMs, lasting.end);
  }
}

/** Both directions between each of the one and each of the other. */
function crossing(ones: readonly SimNode[], others: readonly SimNode[]): Links {
  return ones.flatMap((one) =>
    others.flatMap((other): Links => [
      [one, other],
      [other, one],
    ]),
  );
}
