/** Many seeds, on all processors: until they are through, the time is over, or the first one failed. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import type { SeededBug } from '../seeded-bugs.ts';
import { isBusy } from './busy.ts';
import type { Happened } from './simulation.ts';
import { faultKinds, type FaultKind, type Swarm } from './swarm.ts';
import type { Finished, Task } from './worker.ts';

export interface CampaignOptions {
  readonly firstSeed: number;
  readonly seedsMax: number;
  readonly realMsMax: number;
  readonly bug?: SeededBug;
  readonly swarm?: Partial<Swarm>;
  readonly workers?: number;
  readonly onFinished?: (campaign: Campaign, finished: Finished) => void;
}

/** What a campaign has seen so far. */
export interface Campaign {
  readonly runs: number;
  /** Runs in which too little happened to prove anything: they do not count. */
  readonly idle: number;
  readonly simulatedMs: number;
  /** Of processor time, all workers together. */
  readonly workedMs: number;
  readonly operations: number;
  readonly unknown: number;
  readonly elections: number;
  readonly happened: Happened;
  readonly starts: number;
  readonly inDoubt: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  readonly pairs: ReadonlySet<string>;
  /** The one with the lowest seed among those found. */
  readonly failure: Failure | undefined;
  readonly realMs: number;
}

export interface Failure {
  readonly seed: number;
  readonly violation: { readonly judge: string; readonly message: string };
}

/** A run takes seconds, on a busy machine a minute. One that turns in a circle would hold up whoever waits for it for ever. */
const runMsMax = 300_000;

/** Most of what a run makes is soon garbage: a large young generation copies less of it (7 % of the time). */
const maxYoungGenerationSizeMb = 128;

export const pairsInAll = (faultKinds.length * (faultKinds.length - 1)) / 2;

export function runCampaign(options: CampaignOptions): Promise<Campaign> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now();
    const tally = new Tally(startedAt);
    const workers = Array.from(
      { length: options.workers ?? availableParallelism() },
      () => new Worker(new URL('worker.js', import.meta.url), { resourceLimits: { maxYoungGenerationSizeMb } }),
    );
    let nextSeed = options.firstSeed;
    let underWay = 0;
    const watches = new Map<Worker, NodeJS.Timeout>();
    const end = (settle: () => void): void => {
      for (const watch of watches.values()) clearTimeout(watch);
      void Promise.all(workers.map((worker) => worker.terminate())).then(settle);
    };
    const handOut = (worker: Worker): boolean => {
      const enough = nextSeed >= options.firstSeed + options.seedsMax || tally.failure !== undefined;
      if (enough || performance.now() - startedAt > options.realMsMax) return false;
      const task: Task = { seed: nextSeed, bug: options.bug, swarm: options.swarm ?? {} };
      nextSeed += 1;
      underWay += 1;
      worker.postMessage(task);
      const isStuck = (): void => {
        tally.fail({
          seed: task.seed,
          violation: { judge: 'end', message: `has not ended after ${runMsMax / 1000} s` },
        });
        end(() => resolve(tally));
      };
      watches.set(worker, setTimeout(isStuck, runMsMax));
      return true;
    };
    for (const worker of workers) {
      worker.on('message', (finished: Finished) => {
        clearTimeout(watches.get(worker));
        underWay -= 1;
        tally.add(finished);
        options.onFinished?.(tally, finished);
        if (!handOut(worker) && underWay === 0) end(() => resolve(tally));
      });
      worker.on('error', (error) => end(() => reject(error)));
      handOut(worker);
    }
  });
}

class Tally implements Campaign {
  readonly faults = new Map<FaultKind, number>();
  readonly pairs = new Set<string>();
  readonly #startedAt: number;
  runs = 0;
  idle = 0;
  simulatedMs = 0;
  workedMs = 0;
  operations = 0;
  unknown = 0;
  elections = 0;
  happened: Happened = {
    installs: 0,
    compactions: 0,
    transfers: 0,
    silences: 0,
    destructions: 0,
    returns: 0,
    memberChanges: 0,
    emptied: 0,
    digests: 0,
    rotten: 0,
    lowDisks: 0,
    changesTold: 0,
  };
  starts = 0;
  inDoubt = 0;
  failure: Failure | undefined;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  get realMs(): number {
    return performance.now() - this.#startedAt;
  }

  add(finished: Finished): void {
    this.workedMs += finished.realMs;
    const { seed, violation } = finished;
    if (violation !== undefined) {
      this.fail({ seed, violation });
    } else if (!isBusy(finished)) {
      this.idle += 1;
      return;
    }
    this.runs += 1;
    this.simulatedMs += finished.simulatedMs;
    this.operations += finished.operations;
    this.unknown += finished.unknown;
    this.elections += finished.elections;
    this.happened = added(this.happened, finished.happened);
    this.starts += finished.starts;
    this.inDoubt += finished.inDoubt;
    for (const [kind, count] of finished.faults) this.faults.set(kind, (this.faults.get(kind) ?? 0) + count);
    for (const pair of finished.pairs) this.pairs.add(pair);
  }

  fail(failure: Failure): void {
    if (this.failure === undefined || failure.seed < this.failure.seed) this.failure = failure;
  }
}

function added(one: Happened, other: Happened): Happened {
  return {
    installs: one.installs + other.installs,
    compactions: one.compactions + other.compactions,
    transfers: one.transfers + other.transfers,
    silences: one.silences + other.silences,
    destructions: one.destructions + other.destructions,
    returns: one.returns + other.returns,
    memberChanges: one.memberChanges + other.memberChanges,
    emptied: one.emptied + other.emptied,
    digests: one.digests + other.digests,
    rotten: one.rotten + other.rotten,
    lowDisks: one.lowDisks + other.lowDisks,
    changesTold: one.changesTold + other.changesTold,
  };
}
