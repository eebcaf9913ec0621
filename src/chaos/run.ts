/** A run: a cluster under recorded load to which one thing after the other happens; then all of it is checked. */
import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { checkHistory } from '../history/check.ts';
import { describeViolation } from '../history/describe.ts';
import { Random } from '../sim/random.ts';
import { faultKinds, faults, needsDisks, type FaultKind } from './faults.ts';
import { longestGaps, type Gap, type Gaps } from './gaps.ts';
import { startLoad, type Load } from './load.ts';
import { differences } from './replicas.ts';
import { Rig, type RigOptions } from './rig.ts';
import { noTotals, sum, type KindTotal, type Totals } from './totals.ts';
import { operationsOf } from './versions.ts';
import { waysOf } from './ways.ts';

export interface RunOptions extends RigOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Of the writes, and as many reads. */
  readonly perSecond: number;
  readonly kinds: readonly FaultKind[];
  /** It goes on for longer than `seconds` until so many kinds of fault have happened, and so many writes. */
  readonly atLeast?: { readonly kinds: number; readonly writes: number };
  /** Hears what happens. */
  readonly say: (line: string) => void;
}

export interface RunResult {
  readonly totals: Totals;
  /** What no store that keeps its word can have answered, in words. */
  readonly broken: readonly string[];
}

const requestTimeoutMs = 1500;
/** Between two faults: long enough that most of the next one's gap is its own. */
const pauseMs = 300;
/** Once nothing is wrong any more, every partition takes a write within this time, or never. */
const wellWithinMs = 30_000;
/** For one history: some hundred MB of memory, and a minute. */
const stepsMax = 10_000_000;

/** The kinds that can be tried on this machine. */
export function possibleKinds(rig: Rig): readonly FaultKind[] {
  return typeof rig.disks === 'string' ? faultKinds.filter((kind) => !needsDisks.has(kind)) : faultKinds;
}

/** Rejects when the cluster does not recover, or a node does what no fault explains: the reason ends with what the nodes said last. */
export async function run(options: RunOptions): Promise<RunResult> {
  const { seed, perSecond, say } = options;
  const rig = await Rig.start(options);
  const startedAt = performance.now();
  try {
    const { cluster } = rig;
    const load = await startLoad({
      cluster,
      writersPerPartition: waysOf(rig.nodes.length),
      writesPerSecond: perSecond,
      readsPerSecond: perSecond,
      timeoutMs: requestTimeoutMs,
      random: new Random(seed, 'load').next,
    });
    const kinds = await Promise.race([inflictAll(rig, load, options), rig.unbelieved()]);
    await load.stop();
    const history = await load.readBack();
    say(`checking ${history.writes.length} writes and ${history.reads.length} reads`);
    const differing = await differences(rig.nodes, load.keys());
    const verdict = checkHistory(operationsOf(history), { stepsMax });
    const lines = verdict.type === 'violation' ? describeViolation(verdict) : [];
    const broken = [...lines, ...load.unexpected, ...differing.map((line) => `replicas differ under ${line}`)];
    if (verdict.type === 'undecided') broken.push(`the history of ${verdict.keys.join(', ')} could not be checked`);
    const totals: Totals = {
      ...noTotals,
      runs: 1,
      seconds: (performance.now() - startedAt) / 1000,
      writes: history.writes.length,
      reads: history.reads.length,
      unknown: history.writes.filter(({ outcome }) => outcome === 'unknown').length,
      histories: 1,
      illegal: verdict.type === 'violation' || load.unexpected.length > 0 ? 1 : 0,
      undecided: verdict.type === 'undecided' ? 1 : 0,
      comparisons: 1,
      differing: differing.length > 0 ? 1 : 0,
      kinds,
    };
    return { totals, broken };
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${lastWords(rig)}`, { cause: error });
  } finally {
    await rig.close();
  }
}

/** One fault after the other, in an order of the seed's. Returns what each kind came to. */
async function inflictAll(rig: Rig, load: Load, options: RunOptions): Promise<Totals['kinds']> {
  const { seed, seconds, partitions, say, atLeast = { kinds: 1, writes: 0 } } = options;
  const random = new Random(seed, 'chaos');
  const startedAt = performance.now();
  const kinds: Record<string, KindTotal> = {};
  const isEnough = (): boolean =>
    performance.now() - startedAt >= seconds * 1000 &&
    Object.keys(kinds).length >= atLeast.kinds &&
    load.writes.length >= atLeast.writes;
  await untilWell(load, partitions);
  const possible = possibleKinds(rig).filter((kind) => options.kinds.includes(kind));
  for (let bag: FaultKind[] = []; !isEnough();) {
    if (bag.length === 0) bag = random.shuffle(possible);
    const kind = bag.pop();
    if (kind === undefined) throw new Error(`none of ${options.kinds.join(', ')} can be tried here`);
    const gaps = await inflict(rig, load, kind, { random, partitions, say });
    kinds[kind] = sum(kinds[kind], {
      count: 1,
      gapsMs: [gaps.during.ms],
      longestGapMs: gaps.during.ms,
      afterMs: [gaps.after.ms],
      longestAfterMs: gaps.after.ms,
    });
    await delay(pauseMs);
  }
  return kinds;
}

/** Returns the longest gaps in writes from its beginning until all is well again. */
async function inflict(
  rig: Rig,
  load: Load,
  kind: FaultKind,
  {
    random,
    partitions,
    say,
  }: { readonly random: Random; readonly partitions: number; readonly say: RunOptions['say'] },
): Promise<Gaps> {
  const fault = await faults[kind](rig, random);
  const from = performance.now();
  await fault.begin();
  await delay(fault.lastsMs);
  const ends = performance.now();
  await fault.end();
  await untilWell(load, partitions);
  const to = performance.now();
  const gaps = longestGaps(load.writes, partitions, { from, ends, to });
  const words = ({ ms, partition, from: since }: Gap): string =>
    `${Math.round(ms)} ms (partition ${partition}, from ${Math.round(since - from)} ms on)`;
  const [lasted, whole] = [ends - from, to - from].map((ms) => (ms / 1000).toFixed(1));
  say(`${kind} (${fault.words}) for ${lasted} s: longest gap ${words(gaps.during)}`);
  say(`  and then ${words(gaps.after)}; well again after ${whole} s`);
  for (const node of rig.nodes) {
    if (node.state !== 'running') throw new Error(`${node.nodeId} is ${node.state}, and should run`);
  }
  return gaps;
}

/** Resolves when every partition has acknowledged a write that was begun after now. */
async function untilWell(load: Load, partitions: number): Promise<void> {
  const since = performance.now();
  const waiting = new Set(Array.from({ length: partitions }, (_, index) => index + 1));
  for (let seen = load.writes.length; waiting.size > 0; await delay(20)) {
    for (; seen < load.writes.length; seen += 1) {
      const write = load.writes[seen];
      if (write !== undefined && write.outcome === 'acknowledged' && write.startedAt >= since)
        waiting.delete(write.partition);
    }
    if (waiting.size > 0 && performance.now() - since > wellWithinMs) {
      const which = [...waiting].join(', ');
      throw new Error(`${wellWithinMs} ms after nothing was wrong any more, partitions ${which} have taken no write`);
    }
  }
}

function lastWords(rig: Rig): string {
  return rig.nodes
    .map((node) => `${node.nodeId} (${node.state}): ${node.stderr().trimEnd().split('\n').slice(-3).join('\n  ')}`)
    .join('\n');
}
