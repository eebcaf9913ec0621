/**
 * One machine of a simulated world: a disk and clocks that stay, and one start of the node after the other on them. The
 * node itself is the real one, put together by `composeNode`.
 */
import { silentLogger } from '../logger.ts';
import { assert } from '../assert.ts';
import type { KvOutcome, KvRequest, NodeFacade, PartitionDescriptor, RequestOptions } from '../cluster/types.ts';
import {
  composeNode,
  EmptiedDirectory,
  type ComposedNode,
  type NodeTransport,
  type TransportBinding,
} from '../node/composition.ts';
import { awaitAdmission } from '../node/join-phase.ts';
import { WriteAdmission } from '../node/write-admission.ts';
import type { NodeId, PartitionId, Storage, TransportHandlers } from '../replica/ports.ts';
import type { WatchCall, WatchOutcome } from '../cluster/watch/hub.ts';
import type { Replica } from '../replica/replica.ts';
import { StorageDamage } from '../storage/damage.ts';
import { openGroupCommit } from '../storage/group-commit.ts';
import type { SimDisk } from './disk.ts';
import { observedStorage, replicaKeys, type ReplicaKeys } from './observed-storage.ts';
import type { Random } from './random.ts';
import { SimClock, type ClockSetting } from './sim-clock.ts';
import type { World } from './world.ts';

export type NodeState = 'down' | 'starting' | 'up' | 'in_doubt';

/** A turn of the event loop takes so long: what arrives meanwhile is taken in by the next one. */
const turnMs = 0.05;

export interface SimNodeOptions {
  readonly world: World;
  readonly nodeId: NodeId;
  readonly number: number;
  readonly disk: SimDisk;
  readonly random: Random;
  readonly clock: ClockSetting;
  /** It is not among the founders: it waits to be let in. */
  readonly joins: boolean;
  /** The disk was damaged on purpose, so finding that is right. */
  readonly damageExpected: () => boolean;
  /** The node stopped by itself because its disk failed. */
  readonly onStopped: () => void;
}

/** One start, from its first instruction to its end. */
interface Start {
  over: boolean;
  facade: NodeFacade | undefined;
  node: ComposedNode | undefined;
  /** It was asked to stop. */
  closing: boolean;
  storage: Storage | undefined;
  /** Whether it has come so far that only requests make promises. */
  settled: boolean;
  /** Requests under way, of clients and of peers. */
  requests: number;
}

export class SimNode {
  readonly nodeId: NodeId;
  readonly clock: ClockSetting;
  readonly disk: SimDisk;
  readonly #options: SimNodeOptions;
  #keys: ReplicaKeys;
  #state: NodeState = 'down';
  #start: Start = {
    over: true,
    facade: undefined,
    node: undefined,
    closing: false,
    storage: undefined,
    settled: true,
    requests: 0,
  };
  /** Its directory was emptied, perhaps more than once. */
  #emptied = false;
  #paused = false;
  #pauses = 0;
  #backlog: (() => void)[] = [];
  #endListeners = new Set<() => void>();
  starts = 0;

  constructor(options: SimNodeOptions) {
    const { world, nodeId, disk, clock } = options;
    this.#options = options;
    this.nodeId = nodeId;
    this.disk = disk;
    this.clock = clock;
    this.#keys = replicaKeys(nodeId, allGroups(world.map));
  }

  state(): NodeState {
    return this.#state;
  }

  isPaused(): boolean {
    return this.#paused;
  }

  /** Whether requests can be handed to it. A paused node takes them and is silent. */
  facade(): NodeFacade | undefined {
    return this.#state === 'up' ? this.#start.facade : undefined;
  }

  /** Runs on this node: now, or when its pause ends; never when its process has died until then. */
  run(event: () => void): void {
    this.#guarded(this.#start, event);
  }

  /** `ended` runs when this start of the node comes to its end. Returns how to take that back. */
  onEnd(ended: () => void): () => void {
    const listeners = this.#endListeners;
    listeners.add(ended);
    return () => void listeners.delete(ended);
  }

  /** What this node's own replica holds under `key`, in words; undefined where there is none, or the node is not up. */
  holds(partition: PartitionDescriptor, key: Buffer): string | undefined {
    if (this.#state !== 'up' || !this.#keys.has(partition.id)) return undefined;
    const start = this.#start;
    try {
      const record = start.storage?.state(partition.id).get(key);
      return record === undefined
        ? 'nothing'
        : `${Buffer.from(record.value).toString()} of revision ${record.revision}`;
    } catch (error) {
      this.#failed(start, error);
      return undefined;
    }
  }

  leads(partition: PartitionDescriptor): boolean {
    const key = Buffer.from(this.#options.world.keyIn(partition.id));
    return this.facade()?.locate(key).leader === this.nodeId;
  }

  /** `joins`: it waits to be let in, if it knows of no cluster. */
  start(joins = this.#options.joins): void {
    if (this.#state !== 'down') return;
    this.#state = 'starting';
    this.starts += 1;
    const start: Start = {
      over: false,
      facade: undefined,
      node: undefined,
      closing: false,
      storage: undefined,
      settled: false,
      requests: 0,
    };
    this.#start = start;
    this.#note('starts');
    this.#options.world.scheduler.promisesMove();
    this.#open(start, joins).catch((error: unknown) => {
      if (!start.over) this.#failed(start, error);
    });
  }

  kill(): void {
    if (!this.#end('is killed')) return;
    this.disk.kill();
  }

  /** As on SIGTERM: hands over what it leads, answers who waits, closes, and is down. */
  shutDown(): void {
    const start = this.#start;
    const { node, storage } = start;
    if (node === undefined || storage === undefined || this.#state !== 'up' || start.closing) return;
    start.closing = true;
    this.#note('shuts down');
    start.requests += 1;
    const closed = async (): Promise<void> => {
      await node.handOver();
      await node.close();
      await storage.close();
    };
    this.#options.world.scheduler.promisesMove();
    closed().then(
      () => {
        if (start.over) return;
        this.#end('has shut down');
        this.disk.kill();
      },
      (error: unknown) => {
        if (!start.over) this.#failed(start, error);
      },
    );
  }

  /** As when its disk can't be believed: nothing more leaves it. It stays up. */
  halt(): void {
    this.#start.node?.halt();
  }

  cutPower(): void {
    if (!this.#end('loses its power')) return;
    this.disk.cutPower();
  }

  /** It dies, and all that it had stored is gone. */
  empty(): void {
    this.kill();
    this.disk.empty();
    this.#emptied = true;
    this.#options.world.judge.emptied(this.nodeId);
    this.#note('has lost all that it had stored');
  }

  pause(): void {
    if (this.#state === 'up' || this.#state === 'starting') {
      this.#paused = true;
      this.#pauses += 1;
      const pause = this.#pauses;
      const { scheduler, network, config } = this.#options.world;
      scheduler.after(config.transport.silenceTimeoutMs, () => {
        if (this.#paused && this.#pauses === pause) network.freeze(this.nodeId);
      });
      this.#note('is paused');
    }
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#options.world.network.thaw(this.nodeId);
    this.#note('goes on');
    const backlog = this.#backlog;
    this.#backlog = [];
    this.#options.world.scheduler.promisesMove();
    for (const event of backlog) event();
  }

  async #open(start: Start, joins: boolean): Promise<void> {
    const { world, nodeId, number, random } = this.#options;
    const { scheduler, network, config } = world;
    const guarded = (event: () => void): void => this.#guarded(start, event);
    const ended = (): boolean => start.over;
    const clock = new SimClock(scheduler, this.clock, guarded);
    const onFailure = (error: unknown): void => {
      if (!start.over) this.#failed(start, error);
    };
    const { databases, highWater, identity } = this.disk.open(guarded);
    const admission = new WriteAdmission({ limits: config.limits, now: () => clock.monotonicMs() });
    const storage = await openGroupCommit({
      databases,
      highWater,
      config: config.storage,
      incarnation: identity.identity().incarnation,
      after: (delayMs, callback) => clock.after(delayMs, callback),
      onFailure,
      meter: {
        batchBegun: (database) => (database === 'log' ? admission.flushBegun() : (): void => undefined),
      },
    });
    if (ended()) return;
    const isUnformed = identity.identity().formation.phase === 'unformed';
    this.#keys = new Map();
    const startTransport = (binding: TransportBinding): Promise<NodeTransport> =>
      Promise.resolve(
        this.#observed(
          network.attach({
            nodeId,
            number,
            clock,
            deliver: guarded,
            binding: { ...binding, handlers: this.#countedHandlers(start, binding.handlers) },
          }),
        ),
      );
    if (joins && isUnformed) {
      const onListening = (): Promise<void> => Promise.resolve(this.#note('waits to be let in'));
      await awaitAdmission({ config, identity, storage, startTransport, clock, logger: silentLogger, onListening });
      if (ended()) return;
    }
    // Whoever came into being and was not stored yet never was. A founder that was emptied hosts nothing either, until it has been let in, and
    // with that was told that its replicas are dead.
    if (!this.#emptied || identity.identity().formation.phase !== 'unformed') this.#startReplicas(storage);
    const node = await composeNode({
      config: { ...config, nodeId },
      logger: silentLogger,
      clock,
      random: random.next,
      schedule: (turn) => void scheduler.after(turnMs, () => guarded(turn)),
      identity,
      storage: observedStorage(storage, world, nodeId, this.#keys),
      disk: this.disk.space,
      admission,
      startTransport,
      drawClusterId: () => random.hex(32),
      onFailure,
      doubts: this.disk.doubts,
      onReplicaInDoubt: (partition, reason) => {
        // A promise that was kept before it was killed goes on, and reads what is there no more.
        if (ended()) return;
        this.#note(`in doubt: ${reason}`);
        const key = this.#keys.get(partition);
        if (key !== undefined) world.judge.inDoubt(key);
        // Where records were damaged on purpose, reading one is how that is found.
        if (!this.#options.damageExpected()) world.digests.told(nodeId, partition, reason);
      },
    });
    if (ended()) return;
    start.facade = node.facade;
    start.node = node;
    start.storage = storage;
    void node.ready.then(() => {
      start.settled = true;
    });
    this.#state = 'up';
    this.#note('is up');
  }

  /** Whoever came into being and was not stored yet never was. */
  #startReplicas(storage: Storage): void {
    const { world, nodeId, damageExpected } = this.#options;
    this.#keys = replicaKeys(nodeId, allGroups(world.map), storage);
    world.judge.opened(nodeId, this.#keys);
    for (const [partition, key] of this.#keys) {
      world.judge.started(key, { ...storage.group(partition), log: storage.log(partition) }, damageExpected());
    }
  }

  #observed(transport: NodeTransport): NodeTransport {
    const { judge } = this.#options.world;
    return {
      ...transport,
      send: (to, partition, message) => {
        const key = this.#keys.get(partition);
        if (key?.replicaId === message.from) judge.sent(key, message);
        else judge.sentForDead({ nodeId: this.nodeId, partition, replicaId: message.from }, message);
        transport.send(to, partition, message);
      },
    };
  }

  /** A request to this node: while any is under way, every event may settle promises. */
  execute(request: KvRequest, options: RequestOptions): Promise<KvOutcome> {
    const start = this.#start;
    const { facade } = start;
    assert(facade !== undefined, 'only a node that is up is asked');
    return this.#counted(start, facade.execute(request, options));
  }

  /** The replica of a partition that lives here, while the node is up. */
  replica(partition: PartitionId): Replica | undefined {
    return this.#state === 'up' ? this.#start.node?.replica(partition) : undefined;
  }

  /** Asks this node to move a leadership. Nobody waits for the answer. False when it is not up. */
  transferLeadership(partition: PartitionId, to: NodeId, timeoutMs: number): boolean {
    const start = this.#start;
    const { facade } = start;
    if (this.#state !== 'up' || facade === undefined) return false;
    this.run(() => {
      const moved = facade.transferLeadership(partition, to, facade.nowMs() + timeoutMs);
      this.#counted(start, moved).catch((error: unknown) => {
        if (!start.over) this.#failed(start, error);
      });
    });
    return true;
  }

  /** Undefined when it is not up. From now on every event may settle promises, for as long as this start lasts. */
  async watch(call: Omit<WatchCall, 'deadlineAt'> & { readonly withinMs: number }): Promise<WatchOutcome | undefined> {
    const start = this.#start;
    const { facade } = start;
    if (this.#state !== 'up' || facade === undefined) return undefined;
    start.requests += 1;
    this.#options.world.scheduler.promisesMove();
    return facade.watch({ ...call, deadlineAt: facade.nowMs() + call.withinMs });
  }

  /** Waited for by somebody: while it is under way, every event may settle promises. */
  counted<T>(work: Promise<T>): Promise<T> {
    return this.#counted(this.#start, work);
  }

  #countedHandlers(start: Start, handlers: TransportHandlers): TransportHandlers {
    return {
      ...handlers,
      onRequest: (from, kind, payload, lane) => this.#counted(start, handlers.onRequest(from, kind, payload, lane)),
    };
  }

  async #counted<T>(start: Start, work: Promise<T>): Promise<T> {
    start.requests += 1;
    try {
      return await work;
    } finally {
      start.requests -= 1;
    }
  }

  #guarded(start: Start, event: () => void): void {
    if (start.over) return;
    if (this.#paused) {
      this.#backlog.push(() => this.#guarded(start, event));
      return;
    }
    try {
      event();
    } catch (error) {
      this.#failed(start, error);
    }
    if (start.requests > 0 || !start.settled) this.#options.world.scheduler.promisesMove();
  }

  /** The node says that it must stop: right when its disk failed or was damaged, a bug otherwise. */
  #failed(start: Start, error: unknown): void {
    const { world, damageExpected, onStopped } = this.#options;
    if (error instanceof StorageDamage && damageExpected()) {
      this.#end(`is in doubt: ${error.message}`);
      this.disk.kill();
      this.#state = 'in_doubt';
      return;
    }
    if (error instanceof EmptiedDirectory && this.#emptied) {
      this.#end(`stops: ${error.message}`);
      this.disk.kill();
      world.scheduler.after(turnMs, () => this.start(true));
      return;
    }
    if (isDiskError(error)) {
      this.#end(`stops: ${error.message}`);
      this.disk.kill();
      onStopped();
      return;
    }
    start.over = true;
    world.violated(error);
  }

  #end(what: string): boolean {
    if (this.#start.over) return false;
    const { world } = this.#options;
    this.#note(what);
    this.#start.over = true;
    this.#state = 'down';
    this.#paused = false;
    this.#backlog = [];
    world.network.thaw(this.nodeId);
    world.network.detach(this.nodeId);
    for (const key of this.#keys.values()) world.judge.crashed(key);
    const listeners = this.#endListeners;
    this.#endListeners = new Set();
    for (const ended of listeners) ended();
    return true;
  }

  #note(what: string): void {
    const { trace } = this.#options.world;
    trace.text(what);
    trace.mix(this.#options.number);
    trace.note(() => `${this.nodeId} ${what}`);
  }
}

/** Those that hold keys, and the metadata group. */
function allGroups({ metadata, partitions }: World['map']): readonly PartitionDescriptor[] {
  return [metadata, ...partitions];
}

function isDiskError(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'ENOSPC');
}
