/**
 * What one seed's world is like: size, quality of network and disks, which faults happen and how often. Each seed leaves
 * out some kinds of fault and has others often (swarm testing: Groce et al., "Swarm Testing", 2012), so that faults meet in more
 * ways than with one average mix. All of it stays within what the store promises to bear: a violation is always a bug.
 */
import type { DiskFaults } from './disk.ts';
import type { LinkQuality } from './network.ts';
import type { Random } from './random.ts';

export const faultKinds = [
  'kill',
  'power cut',
  'kill all',
  'crash at start',
  'pause',
  'split',
  'one-way block',
  'bridge',
  'isolate leader',
  'isolate silent leader',
  'clog',
  'slow disk',
  'disk stall',
  'disk error',
  'full disk',
  'damage',
  'clock jump',
  'crash at install',
  'shutdown',
  'transfer',
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Swarm {
  readonly nodes: number;
  readonly replicationFactor: number;
  readonly partitions: number;
  readonly clients: number;
  /** Mean pause of a client between two operations, ms. */
  readonly thinkMs: number;
  readonly hotKeys: number;
  readonly coldKeys: number;
  readonly hotShare: number;
  /** The clients keep to some of the hot keys and nodes for so long on average, then to others, ms; 0 for all of them all the time. */
  readonly spellMs: number;
  readonly operations: { readonly put: number; readonly get: number; readonly delete: number };
  readonly requestTimeoutMs: number;
  readonly quality: LinkQuality;
  readonly encoded: boolean;
  readonly disk: DiskFaults;
  /** Clocks run up to this much too fast or too slow. */
  readonly clockDrift: number;
  readonly faults: readonly FaultKind[];
  /** Between two faults on average, ms. */
  readonly faultEveryMs: number;
  /** Of the memtable and of one batch: how many sequence records are kept, and where batches are cut. */
  readonly logBytes: number;
  readonly appendBytesMax: number;
  /** Of each log; the fewer, the more often a follower needs a snapshot. */
  readonly logKeepEntries: number;
  readonly logBytesMax: number;
  readonly compactEntriesMin: number;
  readonly snapshotChunkBytes: number;
  readonly snapshotBytesPerSecondMax: number;
  readonly quiesceTicks: number;
  /** Between two changes of some group's members on average, ms; 0 for none. */
  readonly memberChangeEveryMs: number;
  /** Nodes that are not among the founders and may come later. */
  readonly reserve: number;
  /** Between two changes of the cluster on average, ms; 0 for none. Then groups change their members by moves alone. */
  readonly clusterChangeEveryMs: number;
  /** Between two attempts to empty a node's disk on average, ms; 0 for none. */
  readonly emptyEveryMs: number;
  /** Between two comparisons of a partition's replicas, ms; 0 for none. */
  readonly scrubEveryMs: number;
  readonly scrubBytesPerSecondMax: number;
  readonly scrubPieceBytes: number;
  /** Whether a value of each partition rots on some disk. */
  readonly rot: boolean;
  /** Between two disks that come to have little room on average, ms; 0 for none. */
  readonly lowDiskEveryMs: number;
  /** Whether there are clients that watch changes: they keep groups from falling silent. */
  readonly watched: boolean;
  /** Of the operations: how many of them are or have what. */
  readonly data: DataShares;
  readonly seconds: number;
}

/** Shares, 0 to 1. */
export interface DataShares {
  /** Writes with a condition. */
  readonly conditional: number;
  /** Puts with a time to live. */
  readonly timed: number;
  /** Writes with an idempotency key. */
  readonly named: number;
  /** Operations that come with others in one command. */
  readonly batched: number;
  readonly transacted: number;
  /** Between two scans of some keys on average, ms; 0 for none. */
  readonly scanEveryMs: number;
}

export function drawSwarm(random: Random, overrides: Partial<Swarm> = {}): Swarm {
  const nodes = random.pick([3, 3, 3, 5, 5, 5, 7]);
  const lossy = random.chance(0.6);
  const disorderly = random.chance(0.6);
  const quality: LinkQuality = {
    delayMsMin: 0.1,
    delayMsMax: random.magnitude(0.5, 10),
    stragglerChance: disorderly ? random.magnitude(0.001, 0.1) : 0,
    stragglerMs: random.magnitude(10, 2000),
    lossChance: lossy ? random.magnitude(0.001, 0.1) : 0,
    duplicateChance: disorderly ? random.magnitude(0.001, 0.3) : 0,
  };
  const disk: DiskFaults = {
    fsyncMsMin: 0.2,
    fsyncMsMax: random.magnitude(0.5, 8),
    slowChance: random.chance(0.3) ? random.magnitude(0.001, 0.05) : 0,
    slowMs: random.magnitude(10, 200),
    stallChance: 0,
    stallMs: random.magnitude(500, 3000),
    failChance: 0,
    inFlightSurvives: random.next(),
  };
  const elastic = random.chance(0.3);
  return {
    nodes,
    replicationFactor: nodes >= 5 ? random.pick(nodes >= 7 ? [3, 5, 7] : [3, 5]) : 3,
    partitions: random.pick([1, 2, 3, 4, 4, 4, 8, 16, random.whole(1, 64)]),
    clients: 10,
    thinkMs: random.magnitude(400, 650),
    hotKeys: random.whole(4, 20),
    coldKeys: random.whole(20, 200),
    hotShare: random.between(0.7, 1),
    spellMs: random.chance(0.7) ? random.magnitude(300, 5000) : 0,
    operations: { put: random.between(1, 4), get: random.between(1, 4), delete: random.between(0, 1) },
    requestTimeoutMs: random.magnitude(500, 5000),
    quality,
    encoded: random.chance(0.25),
    disk,
    clockDrift: random.chance(0.5) ? random.magnitude(0.001, 0.1) : 0,
    faults: drawFaults(random),
    faultEveryMs: random.magnitude(700, 5000),
    logBytes: Math.floor(random.magnitude(2 * 1024, 256 * 1024)),
    appendBytesMax: Math.floor(random.magnitude(64, 512 * 1024)),
    logKeepEntries: Math.floor(random.magnitude(1, 300)),
    logBytesMax: Math.floor(random.magnitude(256, 64 * 1024)),
    compactEntriesMin: Math.floor(random.magnitude(1, 30)),
    snapshotChunkBytes: Math.floor(random.magnitude(64, 4096)),
    snapshotBytesPerSecondMax: Math.floor(random.magnitude(1024, 1024 * 1024)),
    quiesceTicks: random.pick([0, 1, 3, 5, 20]),
    memberChangeEveryMs: random.chance(0.8) ? random.magnitude(200, 5000) : 0,
    reserve: 0,
    clusterChangeEveryMs: 0,
    emptyEveryMs: 0,
    data: drawData(random),
    seconds: 60,
    ...noScrub,
    ...(elastic ? drawElastic(random) : {}),
    ...drawScrub(random, elastic),
    lowDiskEveryMs: random.chance(0.2) ? random.magnitude(2000, 20_000) : 0,
    watched: random.chance(0.4),
    ...overrides,
  };
}

/**
 * A cluster that grows and shrinks, and whose nodes may lose all that they have. Few partitions and quick transfers, so that moves come to their ends; and no damaged disks, as a group that
 * moved may have several of its replicas on them.
 */
function drawElastic(
  random: Random,
): Pick<
  Swarm,
  | 'partitions'
  | 'reserve'
  | 'clusterChangeEveryMs'
  | 'memberChangeEveryMs'
  | 'snapshotBytesPerSecondMax'
  | 'faults'
  | 'emptyEveryMs'
> {
  return {
    partitions: random.whole(1, 8),
    reserve: random.whole(0, 3),
    clusterChangeEveryMs: random.magnitude(1000, 20_000),
    memberChangeEveryMs: 0,
    snapshotBytesPerSecondMax: Math.floor(random.magnitude(64 * 1024, 1024 * 1024)),
    faults: drawFaults(random).filter((kind) => kind !== 'damage'),
    emptyEveryMs: random.chance(0.7) ? random.magnitude(3000, 30_000) : 0,
  };
}

const noScrub = { scrubEveryMs: 0, scrubBytesPerSecondMax: 1, scrubPieceBytes: 1, rot: false } as const;

/** Drawn behind all else: what most seeds are like does not depend on it. */
function drawScrub(random: Random, elastic: boolean): Partial<Swarm> {
  if (!random.chance(0.3)) return {};
  const scrub = {
    scrubEveryMs: random.magnitude(2000, 30_000),
    scrubBytesPerSecondMax: Math.floor(random.magnitude(4 * 1024, 1024 * 1024)),
    scrubPieceBytes: Math.floor(random.magnitude(64, 8192)),
  };
  return elastic || random.chance(0.5) ? scrub : { ...scrub, ...drawRot(random) };
}

/**
 * Until it is found, a damaged state must not be given to others: so nobody needs a snapshot, and members stay as they are. And all disks are
 * there, since otherwise there may be no majority of whole ones.
 */
function drawRot(random: Random): Partial<Swarm> {
  return {
    rot: true,
    partitions: random.whole(1, 6),
    memberChangeEveryMs: 0,
    logKeepEntries: 1e6,
    logBytesMax: 1e9,
    compactEntriesMin: 1e6,
    faults: drawFaults(random).filter((kind) => kind !== 'damage'),
  };
}

/** Some worlds do without: what is plain must hold in them as well. */
function drawData(random: Random): DataShares {
  const share = (most: number): number => (random.chance(0.7) ? random.between(0, most) : 0);
  return {
    conditional: share(0.5),
    timed: share(0.4),
    named: share(0.5),
    batched: share(0.15),
    transacted: share(0.25),
    scanEveryMs: random.chance(0.7) ? random.magnitude(500, 10_000) : 0,
  };
}

/** Half of the kinds, give or take, and never fewer than four. */
function drawFaults(random: Random): readonly FaultKind[] {
  const count = random.whole(4, Math.ceil(faultKinds.length * 0.75));
  const drawn = new Set(random.shuffle(faultKinds).slice(0, count));
  return faultKinds.filter((kind) => drawn.has(kind));
}
