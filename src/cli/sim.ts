/** `flotilla sim` and `flotilla mutants`: the simulated world from a terminal. */
import { spawnSync } from 'node:child_process';
import { pairsInAll, runCampaign, type Campaign } from '../sim/campaign.ts';
import { minimize } from '../sim/minimize.ts';
import { plant, seededBugs, type SeededBug } from '../sim/planting.ts';
import { simulate, type Happened, type SimulationReport } from '../sim/simulation.ts';
import { faultKinds, type FaultKind, type Swarm } from '../sim/swarm.ts';

export interface SimWords {
  readonly seed?: number;
  readonly seeds?: number;
  readonly from?: number;
  readonly minutes?: number;
  readonly trace?: boolean;
  readonly minimize?: boolean;
  readonly bug?: SeededBug;
  readonly seconds?: number;
  readonly clients?: number;
  readonly nodes?: number;
  readonly partitions?: number;
  readonly faults?: readonly FaultKind[];
  readonly workers?: number;
}

/** As typed: names of bugs and faults are not checked yet. */
export type SimText = Omit<SimWords, 'bug' | 'faults'> & { readonly bug?: string; readonly faults?: string };

/** Checks the names. */
export function simWords({
  bug,
  faults,
  ...others
}: SimText): { type: 'ok'; words: SimWords } | { type: 'bad'; problem: string } {
  const knownBug = seededBugs.find((name) => name === bug);
  if (bug !== undefined && knownBug === undefined) {
    return { type: 'bad', problem: `there is no bug ${JSON.stringify(bug)}; there are ${seededBugs.join(', ')}` };
  }
  const names = faults?.split(',').map((name) => name.trim());
  const knownFaults = names?.flatMap((name) => faultKinds.find((kind) => kind === name) ?? []);
  if (names !== undefined && knownFaults?.length !== names.length) {
    return { type: 'bad', problem: `--faults takes ${faultKinds.join(', ')}` };
  }
  return {
    type: 'ok',
    words: {
      ...others,
      ...(knownBug === undefined ? {} : { bug: knownBug }),
      ...(knownFaults === undefined ? {} : { faults: knownFaults }),
    },
  };
}

const seedsByDefault = 200;
const progressEveryMs = 5000;
const seedsPerCommit = 100_000;
const mutantSeedsMax = 2000;
const mutantMsMax = 120_000;

/** Exit code 1 when a promise was broken. */
export async function runSim(words: SimWords): Promise<void> {
  if (words.seed === undefined) return runSeeds(words);
  const { seed } = words;
  plant(words.bug);
  const swarm = swarmOf(words);
  const startedAt = performance.now();
  const report = await simulate({ seed, swarm, ...(words.trace === true ? { print: say } : {}) });
  printReport(report, performance.now() - startedAt);
  if (report.violation === undefined) return;
  process.exitCode = 1;
  printViolation(report.violation, commandFor(seed, words));
  if (words.minimize !== true) return;
  say('looking for a shorter run that fails in the same way...');
  const shorter = await minimize({ seed, swarm }, report, (description) => say(`  ${description}`));
  say(`replay: ${commandFor(seed, { ...words, ...shorter, minimize: false })}`);
}

async function runSeeds(words: SimWords): Promise<void> {
  const firstSeed = words.from ?? firstSeedOfCommit();
  say(`seeds from ${firstSeed} on, at commit ${commit()}`);
  let saidAt = performance.now();
  const campaign = await runCampaign({
    firstSeed,
    seedsMax: words.seeds ?? (words.minutes === undefined ? seedsByDefault : Infinity),
    realMsMax: words.minutes === undefined ? Infinity : words.minutes * 60_000,
    swarm: swarmOf(words),
    ...(words.bug === undefined ? {} : { bug: words.bug }),
    ...(words.workers === undefined ? {} : { workers: words.workers }),
    onFinished: (soFar) => {
      if (performance.now() - saidAt < progressEveryMs) return;
      saidAt = performance.now();
      say(progress(soFar));
    },
  });
  printSummary(campaign);
  const { failure } = campaign;
  if (failure === undefined) return;
  process.exitCode = 1;
  printViolation(failure.violation, commandFor(failure.seed, words));
}

/** Each seeded bug, on the seeds of this commit, until it is caught. Exit code 1 when one is not. */
export async function runMutants(words: {
  readonly only?: SeededBug | undefined;
  readonly from?: number;
  readonly workers?: number;
}): Promise<void> {
  const bugs = words.only === undefined ? seededBugs : [words.only];
  const firstSeed = words.from ?? firstSeedOfCommit();
  say(`seeds from ${firstSeed} on, at commit ${commit()}, at most ${mutantSeedsMax} and ${mutantMsMax / 1000} s each`);
  const missed: string[] = [];
  for (const bug of bugs) {
    const { failure, runs, idle, realMs } = await runCampaign({
      firstSeed,
      bug,
      seedsMax: mutantSeedsMax,
      realMsMax: mutantMsMax,
      ...(words.workers === undefined ? {} : { workers: words.workers }),
    });
    const time = `${(realMs / 1000).toFixed(1)} s`;
    if (failure === undefined) {
      missed.push(bug);
      say(`MISSED  ${bug.padEnd(34)} ${runs + idle} seeds, ${time}`);
    } else {
      const { judge, message } = failure.violation;
      const nth = failure.seed - firstSeed + 1;
      say(
        `caught  ${bug.padEnd(34)} ${judge.padEnd(20)} seed ${failure.seed} (the ${nth}.), ${time}: ${message.split('\n', 1)[0]}`,
      );
    }
  }
  say(`${bugs.length - missed.length} of ${bugs.length} caught`);
  if (missed.length > 0) process.exitCode = 1;
}

function swarmOf(words: SimWords): Partial<Swarm> {
  return {
    ...(words.seconds === undefined ? {} : { seconds: words.seconds }),
    ...(words.clients === undefined ? {} : { clients: words.clients }),
    ...(words.nodes === undefined ? {} : { nodes: words.nodes, replicationFactor: Math.min(3, words.nodes) }),
    ...(words.partitions === undefined ? {} : { partitions: words.partitions }),
    ...(words.faults === undefined ? {} : { faults: words.faults }),
  };
}

function commandFor(seed: number, words: SimWords): string {
  const options = Object.entries({
    bug: words.bug,
    seconds: words.seconds,
    clients: words.clients,
    nodes: words.nodes,
    partitions: words.partitions,
    faults: words.faults?.map((kind) => `"${kind}"`).join(','),
  }).flatMap(([name, value]) => (value === undefined ? [] : [`--${name} ${value}`]));
  return ['npx flotilla sim', `--seed ${seed}`, ...options].join(' ');
}

function printReport(report: SimulationReport, realMs: number): void {
  const { swarm, simulatedMs, calm } = report;
  say(
    `${swarm.nodes} nodes, replication factor ${swarm.replicationFactor}, ${swarm.partitions} partitions, ${swarm.clients} clients, ` +
      `${swarm.hotKeys} hot keys`,
  );
  say(
    `${(simulatedMs / 1000).toFixed(1)} simulated s in ${(realMs / 1000).toFixed(2)} s (${Math.round(simulatedMs / realMs)} times), ` +
      `${report.events} events, ${report.messages} messages`,
  );
  say(
    `${report.operations} operations, ${report.failed} failed, ${report.unknown} unknown (away from faults ${calm.unknown} of ${calm.operations}); ` +
      `${report.entries} entries committed, ${report.elections} elections, ${report.starts} starts, ${report.inDoubt} nodes in doubt`,
  );
  say(happenedList(report.happened));
  say(`faults: ${faultList(report.faults)}`);
  say(`trace ${report.traceHash}`);
}

function progress(campaign: Campaign): string {
  const { runs, simulatedMs, operations, realMs } = campaign;
  return `${runs} runs, ${hours(simulatedMs)} simulated, ${operations} operations, ${(realMs / 1000).toFixed(0)} s`;
}

function printSummary(campaign: Campaign): void {
  const { runs, idle, simulatedMs, workedMs, operations, unknown, elections, starts, inDoubt } = campaign;
  say(
    `${runs} runs (and ${idle} too quiet to count), ${hours(simulatedMs)} simulated in ${(campaign.realMs / 1000).toFixed(0)} s`,
  );
  say(`${Math.round(simulatedMs / workedMs)} simulated seconds per second and core`);
  say(
    `${operations} operations (${((100 * unknown) / Math.max(1, operations)).toFixed(1)} % unknown), ${elections} elections, ${starts} starts, ${inDoubt} nodes in doubt`,
  );
  say(happenedList(campaign.happened));
  say(`faults: ${faultList(campaign.faults)}`);
  say(`pairs of faults that met: ${campaign.pairs.size} of ${pairsInAll}`);
  if (campaign.failure === undefined) say('no promise was broken');
}

function printViolation(
  violation: { readonly judge: string; readonly message: string; readonly stack?: string },
  replay: string,
): void {
  say(`\nVIOLATION (${violation.judge}): ${violation.message}`);
  if (violation.stack !== undefined && violation.judge !== 'linearizability') say(violation.stack);
  say(`commit ${commit()}`);
  say(`replay: ${replay}`);
}

function happenedList(happened: Happened): string {
  const { installs, compactions, transfers, silences, memberChanges, destructions, returns, emptied } = happened;
  const { digests, rotten, lowDisks, changesTold } = happened;
  const groups = `${compactions} logs cut at the front, ${installs} replaced by a snapshot`;
  const members = `${memberChanges} changes of members, ${destructions} destroyed, ${returns} back on their node, ${emptied} nodes emptied, ${lowDisks} disks low`;
  return `groups: ${groups}, ${members}, ${transfers} hand-overs, ${silences} silences, ${digests} states summed up, ${rotten} rotten values, ${changesTold} changes told to watchers`;
}

function faultList(faults: ReadonlyMap<FaultKind, number>): string {
  const happened = faultKinds.filter((kind) => faults.has(kind));
  return happened.map((kind) => `${kind} ${faults.get(kind)}`).join(', ') || 'none';
}

function hours(ms: number): string {
  return ms < 3_600_000 ? `${(ms / 60_000).toFixed(1)} min` : `${(ms / 3_600_000).toFixed(1)} h`;
}

/** Other seeds at each commit, and the same ones for everybody who runs it. */
function firstSeedOfCommit(): number {
  return (Number.parseInt(commit().slice(0, 8), 16) || 1) * seedsPerCommit;
}

function commit(): string {
  const { stdout, status } = spawnSync('git', ['rev-parse', 'HEAD'], { encoding: 'utf8' });
  return status === 0 ? stdout.trim() : 'unknown';
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
