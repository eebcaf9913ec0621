/** One run of the simulated world: a cluster, its clients, what goes wrong, and the judges. Everything follows from the seed. */
import { defaults, type Config } from '../config.ts';
import { keyHash } from '../cluster/hash.ts';
import { buildPartitionMap, type PartitionMap } from '../cluster/partition-map.ts';
import { checkHistory } from '../history/check.ts';
import { describeViolation } from '../history/describe.ts';
import type { Operation } from '../history/types.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import { ClusterChanges } from './cluster-changes.ts';
import { DigestJudge } from './digest-judge.ts';
import { SimDisk } from './disk.ts';
import { EmptiedNodes } from './emptied-nodes.ts';
import { FaultInjector } from './fault-injector.ts';
import { livenessBoundMs, livenessMs } from './liveness-bound.ts';
import { LogClockJudge } from './log-clock-judge.ts';
import { LowDisks } from './low-disks.ts';
import { MemberChanges } from './member-changes.ts';
import { Network } from './network.ts';
import { Random } from './random.ts';
import { RaftJudge, type JudgeCounts } from './raft-judge.ts';
import { RottenValues } from './rotten-values.ts';
import { Scheduler } from './scheduler.ts';
import { SimNode } from './sim-node.ts';
import { drawSwarm, type FaultKind, type Swarm } from './swarm.ts';
import { Trace } from './trace.ts';
import { TransactionJudge } from './transaction-judge.ts';
import { Violation } from './violation.ts';
import { WatchJudge } from './watch-judge.ts';
import { Watchers } from './watchers.ts';
import { Workload } from './workload.ts';
import type { World } from './world.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** Takes the place of what the seed would draw. */
  readonly swarm?: Partial<Swarm>;
  /** Hears what happens, as lines. */
  readonly print?: (line: string) => void;
}

export interface SimulationReport {
  readonly seed: number;
  readonly swarm: Swarm;
  readonly violation: Violation | undefined;
  /** Over messages, disk writes, faults and the clients' history: equal for equal runs. */
  readonly traceHash: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly messages: number;
  readonly operations: number;
  /** Of the operations that no fault was near, how many, and how many of them ended unknown. */
  readonly calm: { readonly operations: number; readonly unknown: number };
  readonly unknown: number;
  readonly failed: number;
  readonly elections: number;
  /** What else happened within the groups. */
  readonly happened: Happened;
  readonly entries: number;
  readonly starts: number;
  readonly inDoubt: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly pairs: ReadonlySet<string>;
  readonly history: readonly Operation[];
}

/** What happened within the groups, besides elections: how often. */
export interface Happened {
  readonly installs: number;
  readonly compactions: number;
  readonly transfers: number;
  readonly silences: number;
  readonly destructions: number;
  readonly returns: number;
  readonly memberChanges: number;
  /** Nodes that lost all that they had stored. */
  readonly emptied: number;
  /** States that were summed up, and replicas of which a value rotted on the disk. */
  readonly digests: number;
  readonly rotten: number;
  /** Disks that came to have little room. */
  readonly lowDisks: number;
  /** Changes that watchers heard of. */
  readonly changesTold: number;
}

/** Of a removed replica, on the disk of a node. */
interface Remains {
  readonly violation: Violation;
  readonly node?: SimNode;
}

/** What a key takes in a snapshot, alone in its chunk: generous. */
const recordBytes = 250;
/** Of a snapshot's chunk beside the fsync: there, taken in, and back. */
const chunkMs = 20;
/** A removed replica that nobody could tell asks for itself, and then its data go bit by bit. */
const forgottenWithinMs = 30_000;
const wokenEveryMs = 3000;
/** A round of the founding needs all founders' answers within a second, and stragglers take up to two, each way. */
const formedWithinMs = 30_000;
/** Comparing replicas: nodes wait for each other, messages are late, and each state is read at the drawn rate. */
const foundWithinMs = 120_000;
/** Without any transfer: a move takes some ten steps, each may meet a straggler or two, or an election. */
const settledWithinMs = 180_000;
/** Two questions of `changeTimeoutMs` and some. */
const unsettledMsMax = 15_000;
/** A fault may show in operations that begin so long after it. */
const calmAfterMs = 3000;

export async function simulate({ seed, swarm: overrides = {}, print }: SimulationOptions): Promise<SimulationReport> {
  const swarm = drawSwarm(new Random(seed, 'swarm'), overrides);
  const scheduler = new Scheduler();
  const trace = new Trace(() => scheduler.now(), print);
  const config = configOf(swarm);
  const map = buildPartitionMap(config.bootstrap);
  const members = new Map([map.metadata, ...map.partitions].map((partition) => [partition.id, partition.replicas]));
  const network = new Network({
    scheduler,
    trace,
    random: (stream) => new Random(seed, stream),
    config: config.transport,
    quality: swarm.quality,
    encoded: swarm.encoded,
  });
  let violation: Violation | undefined;
  const violated = (error: unknown): void => {
    violation ??= Violation.of(error);
  };
  const isElastic = swarm.clusterChangeEveryMs > 0;
  const judge = new RaftJudge((partition) => members.get(partition) ?? [], isElastic ? swarm.replicationFactor : 0);
  const keyIn = keysByPartition(map);
  const installing = (nodeId: NodeId): void => injector.installing(nodeId);
  const digests = new DigestJudge(violated);
  const watches = new WatchJudge();
  const judges = { judge, digests, watches };
  const world: World = { seed, config, map, scheduler, network, ...judges, trace, keyIn, installing, violated };

  const nodes: SimNode[] = [];
  const injector = new FaultInjector({
    world,
    random: new Random(seed, 'faults'),
    swarm,
    nodes,
    onCutOff: (leader) => workload.turnTo(leader),
  });
  const clocks = new Random(seed, 'clocks');
  const names = Array.from({ length: swarm.nodes + swarm.reserve }, (_, index) => `n${index + 1}` as NodeId);
  names.forEach((nodeId, index) => {
    const disk = new SimDisk({
      nodeId,
      clusterName: config.clusterName,
      random: new Random(seed, `disk ${nodeId}`).next,
      after: (delayMs, run) =>
        scheduler.after(delayMs, () => {
          scheduler.promisesMove();
          run();
        }),
      faults: () => injector.diskFaults(nodeId),
      onEvent: (event) => {
        trace.mix(index);
        if (event.type === 'write') trace.mix(event.checksum);
        else trace.text(event.type);
        trace.note(() => `${nodeId} disk: ${JSON.stringify(event)}`);
      },
    });
    const node: SimNode = new SimNode({
      world,
      nodeId,
      number: index,
      disk,
      random: new Random(seed, `node ${nodeId}`),
      joins: index >= swarm.nodes,
      clock: { rate: 1 + clocks.between(-1, 1) * swarm.clockDrift, wallOffsetMs: 0 },
      damageExpected: () => injector.isDamaged(nodeId),
      onStopped: () => injector.restartLater(node),
    });
    nodes.push(node);
  });

  const changes = new MemberChanges({
    world,
    random: new Random(seed, 'members'),
    nodes,
    everyMs: swarm.memberChangeEveryMs,
  });
  const clusterChanges = new ClusterChanges({
    world,
    random: new Random(seed, 'cluster'),
    nodes,
    reserve: nodes.slice(swarm.nodes),
    everyMs: swarm.clusterChangeEveryMs,
    replicationFactor: swarm.replicationFactor,
  });
  const emptied = new EmptiedNodes({
    world,
    random: new Random(seed, 'emptied'),
    nodes,
    everyMs: swarm.emptyEveryMs,
  });
  const rotten = new RottenValues({ world, random: new Random(seed, 'rot'), nodes });
  const lowDisks = new LowDisks({
    world,
    random: new Random(seed, 'low disks'),
    nodes,
    everyMs: swarm.lowDiskEveryMs,
  });
  const watchers = new Watchers({ world, random: new Random(seed, 'watchers'), nodes });
  judge.onElected = (partition) => changes.elected(partition);
  const transactions = new TransactionJudge();
  const restarted = (): boolean => nodes.some(({ starts }) => starts > 1);
  const oneWayMsMax = (): number => {
    const { delayMsMax, stragglerChance, stragglerMs } = swarm.quality;
    return delayMsMax + (stragglerChance > 0 ? stragglerMs : 0) + network.longestClogMs;
  };
  const logClock = new LogClockJudge(swarm.clockDrift, oneWayMsMax, restarted);
  const random = new Random(seed, 'clients');
  const workload = new Workload({ scheduler, trace, random, nodes, map, swarm, transactions, logClock, violated });
  /**
   * Whoever needs a snapshot in the end has to wait for as long as the drawn rate makes it take, or the disk, which has each chunk to
   * itself: keys, and results kept for repeats.
   */
  const slowestTransferMs = (): number => {
    const records = swarm.hotKeys + swarm.coldKeys + workload.operations.length;
    const chunks = records / Math.max(1, swarm.snapshotChunkBytes / recordBytes);
    return (
      (1000 * recordBytes * records) / swarm.snapshotBytesPerSecondMax + chunks * (swarm.disk.fsyncMsMax + chunkMs)
    );
  };
  const calm = { operations: 0, unknown: 0 };
  const stopped = (): boolean => violation !== undefined;
  const run = (ms: number): Promise<void> => scheduler.runUntil(scheduler.now() + ms, stopped);
  try {
    const founders = nodes.slice(0, swarm.nodes);
    scheduler.after(0, () => founders.forEach((node) => node.start()));
    await untilReady(founders, run);
    workload.onSettled = (operation) => {
      if (injector.disturbedWithin(calmAfterMs + (operation.return ?? 0) - operation.call)) return;
      calm.operations += 1;
      if (operation.outcome === 'unknown') calm.unknown += 1;
    };
    workload.start();
    changes.start();
    clusterChanges.start();
    emptied.start();
    if (swarm.rot) rotten.start();
    lowDisks.start();
    if (swarm.watched) watchers.start();
    injector.start(swarm.seconds * 1000);
    await run(swarm.seconds * 1000);
    workload.stop();
    changes.stop();
    clusterChanges.stop();
    emptied.stop();
    rotten.stop();
    lowDisks.stop();
    watchers.settle();
    injector.heal();
    if (!stopped()) await checkLiveness();
    if (!stopped()) await settleCluster();
    if (!stopped()) await readEverything();
    if (!stopped()) await compareReplicas();
    if (!stopped()) await tellWatchers();
    if (!stopped()) await findRemains();
    if (!stopped()) await findRotten();
    if (!stopped()) checkLinearizability();
  } catch (error) {
    violated(error);
  }
  trace.mix(workload.operations.length, scheduler.events());
  return report();

  function liveMs(): number {
    const { tickMs, electionTicksMax } = config.raft;
    const away = nodes.filter((node) => node.state() === 'in_doubt').length + emptied.outside().length;
    const { diskToldMs, diskCheckMs } = config.storage;
    // The word that there is room again may have been lost.
    const toldMs = lowDisks.count > 0 ? diskToldMs + diskCheckMs : 0;
    return (
      toldMs +
      livenessBoundMs({
        quality: swarm.quality,
        // A group that is rid of an emptied node, and has nobody in its place yet, has one less.
        votersMin: swarm.replicationFactor - (emptied.count > 0 ? 1 : 0),
        votersMax: nodes.length,
        away,
        electionTimeoutMs: tickMs * electionTicksMax,
      })
    );
  }

  /**
   * Where so many of the voters that are there lack what the leader's log no longer has that there is no majority without them, a write has
   * to wait for the state to reach them: one after the other, at the rate that was drawn for all transfers of a node together. Each may
   * have to be sent twice: when a log may not grow any further it is cut although a snapshot is on its way, and that one then comes too
   * early. Not a third time: without a majority nothing more is committed, and nothing more is cut.
   */
  function awaitedTransfersMs(id: PartitionId): number {
    for (const node of nodes) {
      const status = node.replica(id)?.status();
      if (status?.role !== 'leader') continue;
      const { voters, hosts } = status.configuration;
      const away = new Set(nodes.filter((one) => one.state() !== 'up').map((one): string => one.nodeId));
      const present = voters.filter((voter) => !away.has(hosts.get(voter) ?? ''));
      const lacking = status.progress.filter(
        ({ replicaId, matchIndex }) => present.includes(replicaId) && matchIndex < status.firstIndex - 1,
      );
      const reached = present.length - lacking.length;
      return 2 * reached > voters.length ? 0 : 2 * lacking.length * slowestTransferMs();
    }
    return 0;
  }

  /** Every partition takes a write in time: no run ends earlier than after `livenessMs`, which gives late messages time as well. */
  async function checkLiveness(): Promise<void> {
    const waiting = new Set<PartitionId>();
    for (const { id } of map.partitions) {
      waiting.add(id);
      const ask = (): void => {
        workload.once(`probe ${id}`, { op: 'put', key: keyIn(id) }, ({ outcome }) => {
          if (outcome === 'ok') waiting.delete(id);
          else if (!stopped()) ask();
        });
      };
      ask();
    }
    const boundMs = liveMs();
    let transfersUntilMs = 0;
    for (let waitedMs = 0; ; waitedMs += 100) {
      if (stopped() || (waitedMs >= livenessMs && waiting.size === 0)) return;
      const transfersMs = Math.max(0, ...[...waiting].map(awaitedTransfersMs));
      if (waitedMs < transfersMs) transfersUntilMs = waitedMs;
      if (waitedMs >= boundMs + transfersUntilMs) break;
      await run(100);
    }
    const [id] = waiting;
    violated(
      new Violation(
        'liveness',
        `${waiting.size} of ${map.partitions.length} partitions took no write within ${boundMs} ms after all faults had ended, partition ${id} among them`,
        id,
      ),
    );
  }

  /** Nodes that were let in have their share, those that were asked to go have gone, and the directory is right. */
  async function settleCluster(): Promise<void> {
    if (!isElastic) return;
    // What holds it up may be one that waits for a transfer, which shares its rate with another, and may have to be sent twice.
    const stuckMs = settledWithinMs + 4 * slowestTransferMs();
    const endsAt = scheduler.now() + settledWithinMs + nodes.length * (map.partitions.length + 1) * stuckMs;
    let last = { left: '', sinceMs: scheduler.now() };
    for (;;) {
      const answers: (string | undefined)[] = [];
      const [outside] = emptied.outside();
      if (outside !== undefined) answers.push(`${outside} was emptied, and is not let in again`);
      else clusterChanges.unsettled().then((found) => void answers.push(found), violated);
      // A node that stops answers nobody: it may be the one that was asked, which has just been let go.
      for (let waitedMs = 0; answers.length === 0 && waitedMs < unsettledMsMax && !stopped(); waitedMs += 50)
        await run(50);
      const left = answers.length === 0 ? 'no answer' : answers[0];
      if (stopped() || left === undefined) return;
      if (left !== last.left) last = { left, sinceMs: scheduler.now() };
      if (scheduler.now() > Math.min(endsAt, last.sinceMs + stuckMs)) {
        throw new Violation('liveness', `the cluster does not come to rest: ${left}`);
      }
      await run(200);
    }
  }

  /** What was acknowledged must be readable in the end: a last read of each key joins the history. */
  async function readEverything(): Promise<void> {
    const keys = new Set(workload.operations.map(({ key }) => key));
    for (const key of keys) {
      const ask = (): void =>
        workload.once('last', { op: 'get', key }, ({ outcome, output }) => {
          if (outcome === 'ok')
            transactions.ended(key, output !== null && 'value' in output ? output.value : undefined);
          else if (!stopped()) ask();
        });
      ask();
    }
    for (let waitedMs = 0; workload.waiting() > 0 && !stopped(); waitedMs += 100) {
      if (waitedMs > 2 * liveMs()) throw new Violation('liveness', 'reads do not end after all faults have ended');
      await run(100);
    }
  }

  /** In the end all replicas of a partition hold the same under each key: what they stored, not only what they were told. */
  async function compareReplicas(): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += 100) {
      const difference = firstDifference();
      if (difference === undefined || stopped()) return;
      // One follower after the other may have to be sent the state, and anew if its log was cut meanwhile.
      if (waitedMs > liveMs() + 2 * (nodes.length - 1) * slowestTransferMs()) throw difference;
      await run(100);
    }
  }

  /**
   * Whoever was removed hears of it in the end, and nothing of it is left on the disk. One that had fallen silent and to whom the
   * word of it was lost asks again only when something wakes it: a connection that breaks, or a new start, as here.
   */
  async function findRemains(): Promise<void> {
    for (let waitedMs = 0; ; waitedMs += 100) {
      const found = firstRemains();
      if (found === undefined || stopped()) return;
      if (waitedMs > forgottenWithinMs) throw found.violation;
      if (waitedMs % wokenEveryMs === 0 && waitedMs > 0) {
        found.node?.kill();
        found.node?.start();
      }
      await run(100);
    }
  }

  /** Who watches has heard of everything in the end. */
  async function tellWatchers(): Promise<void> {
    const boundMs = liveMs() + 2 * config.watch.contactMs;
    for (let waitedMs = 0; ; waitedMs += 100) {
      const missing = watchers.missing();
      if (missing === undefined || stopped()) return;
      if (waitedMs > boundMs) throw new Violation('watches', `not all is told within ${boundMs} ms: ${missing}`);
      await run(100);
    }
  }

  /** Whose disk lost a value is told so, once all can be compared. */
  async function findRotten(): Promise<void> {
    const boundMs = foundWithinMs + 4 * swarm.scrubEveryMs;
    for (let waitedMs = 0; ; waitedMs += 100) {
      const unfound = digests.unfound();
      if (unfound === undefined || stopped()) return;
      if (waitedMs > boundMs) throw new Violation('digests', `damage is not found within ${boundMs} ms: ${unfound}`);
      await run(100);
    }
  }

  function firstRemains(): Remains | undefined {
    for (const { id } of map.partitions) {
      const members = membersOf(id);
      if (members.size === 0) return { violation: new Violation('liveness', 'nobody leads in the end', id) };
      for (const node of nodes) {
        if (node.state() !== 'up' || members.has(node.nodeId)) continue;
        const stored = node.disk.recordsOf(id);
        if (stored.length === 0) continue;
        const what = `${node.nodeId}, which has no replica any more, still stores ${stored.length} records`;
        return { violation: new Violation('destruction', `${what}, ${stored[0] ?? ''} the first`, id), node };
      }
    }
    return undefined;
  }

  function firstDifference(): Violation | undefined {
    for (const name of new Set(workload.operations.map(({ key }) => key))) {
      const key = Buffer.from(name);
      const partition = map.partitionOf(keyHash(key));
      const members = membersOf(partition.id);
      const held = nodes.flatMap((node) => {
        if (!members.has(node.nodeId)) return [];
        const value = node.holds(partition, key);
        return value === undefined ? [] : [{ value, words: `${node.nodeId} holds ${value}` }];
      });
      if (new Set(held.map(({ value }) => value)).size <= 1) continue;
      const words = held.map((one) => one.words).join(', ');
      return new Violation('replicas agree', `under key ${JSON.stringify(name)} ${words}`, partition.id);
    }
    return undefined;
  }

  /** By the leader's configuration: who was left out, or never got in, may hold anything. */
  function membersOf(partition: PartitionId): ReadonlySet<string> {
    for (const node of nodes) {
      const status = node.replica(partition)?.status();
      if (status?.role === 'leader') return new Set(status.configuration.hosts.values());
    }
    return new Set();
  }

  function checkLinearizability(): void {
    const verdict = checkHistory(workload.operations);
    if (verdict.type === 'linearizable') return;
    const lines =
      verdict.type === 'violation'
        ? describeViolation(verdict)
        : [`not decided after ${verdict.steps} steps for the keys ${verdict.keys.join(', ')}`];
    violated(new Violation('linearizability', lines.join('\n')));
  }

  function report(): SimulationReport {
    const count = (outcome: Operation['outcome']): number =>
      workload.operations.filter((operation) => operation.outcome === outcome).length;
    return {
      seed,
      swarm,
      violation,
      traceHash: trace.hash(),
      simulatedMs: scheduler.now(),
      events: scheduler.events(),
      messages: network.counts.messages,
      operations: workload.operations.length,
      calm,
      unknown: count('unknown'),
      failed: count('failed'),
      elections: judge.counts.elections,
      happened: {
        ...pickHappened(judge.counts),
        memberChanges: changes.count + clusterChanges.count,
        emptied: emptied.count,
        digests: digests.count,
        rotten: digests.damaged,
        lowDisks: lowDisks.count,
        changesTold: watchers.count,
      },
      entries: judge.counts.committed,
      starts: nodes.reduce((sum, node) => sum + node.starts, 0),
      inDoubt: nodes.filter((node) => node.state() === 'in_doubt').length,
      faults: injector.counts,
      pairs: injector.pairs,
      history: workload.operations,
    };
  }
}

function pickHappened({
  installs,
  compactions,
  transfers,
  silences,
  destructions,
  returns,
}: JudgeCounts): Omit<Happened, 'memberChanges' | 'emptied' | 'digests' | 'rotten' | 'lowDisks' | 'changesTold'> {
  return { installs, compactions, transfers, silences, destructions, returns };
}

/** For each partition a key that no client uses. */
function keysByPartition(map: PartitionMap): (partition: PartitionId) => string {
  const keys = new Map<PartitionId, string>();
  for (let number = 0; keys.size < map.partitions.length; number += 1) {
    const key = `probe-${number}`;
    const { id } = map.partitionOf(keyHash(Buffer.from(key)));
    if (!keys.has(id)) keys.set(id, key);
  }
  return (partition) => keys.get(partition) ?? '';
}

async function untilReady(nodes: readonly SimNode[], run: (ms: number) => Promise<void>): Promise<void> {
  const isReady = (node: SimNode): boolean => node.facade()?.readiness().ready ?? false;
  for (let waitedMs = 0; !nodes.every(isReady); waitedMs += 50) {
    if (waitedMs > formedWithinMs) {
      throw new Violation('liveness', `the cluster was not formed and led within ${formedWithinMs} ms`);
    }
    await run(50);
  }
}

function configOf(swarm: Swarm): World['config'] & { readonly bootstrap: NonNullable<Config['bootstrap']> } {
  const names = Array.from({ length: swarm.nodes }, (_, index) => `n${index + 1}` as NodeId);
  return {
    ...defaults,
    dataDir: '/none',
    http: { host: '127.0.0.1', port: 1, advertise: '127.0.0.1:1' },
    peer: { host: '127.0.0.1', port: 1, advertise: '127.0.0.1:1' },
    storage: { ...defaults.storage, writeBufferBytes: swarm.logBytes, batchBytesMax: swarm.logBytes },
    raft: {
      ...defaults.raft,
      appendBytesMax: swarm.appendBytesMax,
      logKeepEntries: swarm.logKeepEntries,
      logKeepBytes: swarm.logBytesMax / 2,
      logBytesMax: swarm.logBytesMax,
      compactEntriesMin: swarm.compactEntriesMin,
      quiesceTicks: swarm.quiesceTicks,
    },
    snapshots: {
      ...defaults.snapshots,
      chunkBytes: swarm.snapshotChunkBytes,
      // How long a transfer may take is what the bounds of the judges are made of.
      pauseFactor: 0,
    },
    placement: { ...defaults.placement, moveBytesPerSecondMax: swarm.snapshotBytesPerSecondMax },
    scrub: {
      everyMs: swarm.scrubEveryMs,
      bytesPerSecondMax: swarm.scrubBytesPerSecondMax,
      pieceBytes: swarm.scrubPieceBytes,
      trapTimeoutMs: 2000,
      timeoutMs: 20_000,
      askEveryMs: 100,
      askTimeoutMs: 1000,
      silenceMs: 3000,
      retryMs: 500,
    },
    // Little of everything, so that what happens at its borders does.
    watch: {
      watchersMax: 100,
      bookmarkMs: 1000,
      confirmMs: 500,
      contactMs: 5000,
      pollMs: 1000,
      pollReturnMs: 500,
      retryMs: 50,
      pageBytesMax: 500,
      bufferBytesMax: 500,
      buffersBytesMax: 1000,
    },
    bootstrap: {
      partitions: swarm.partitions,
      replicationFactor: swarm.replicationFactor,
      nodes: names.map((nodeId, index) => ({
        nodeId,
        http: `http://${nodeId}:${index + 1}`,
        peer: `${nodeId}:${index + 1}`,
      })),
    },
  };
}
