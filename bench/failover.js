/**
 * How long writes are interrupted when a leader dies, or is asked to stop.
 *
 *   npm run bench -- failover [--rounds 50] [--signal SIGKILL|SIGTERM] [--pace-ms 10] [--patience-ms 100]
 *                             [--partitions 12] [--value-bytes 256] [--settings JSON] [--out FILE]
 *
 * Every partition is written to all the time, through each node, forwarded, by a writer of its own per node. Each round
 * ends the node that leads most partitions. The gap of a partition is the longest time between the signal and the round's
 * end in which no write that was sent after the signal was answered with 2xx through a survivor; a round's figure is the
 * worst partition that the victim led. "not known" counts writes without a known outcome: 504, or a connection lost
 * after the request was sent. After SIGKILL that is said of survivors only; with SIGTERM the victim is written to until
 * it refuses connections, and what it does to those writes counts.
 *
 * Then the victim is started again, and once it has caught up and every partition serves through every node the next
 * round begins.
 */
import { FailoverLoad } from './lib/failover-load.js';
import { keysIn, partitionsWithLeaders, waitCaughtUp } from './lib/partitions.js';
import { median, parseFlags, sleep, Table, writeReport } from './lib/report.js';
import { startFlotilla } from './lib/targets.js';

const bars = {
  SIGKILL: { medianMs: 250, worstMs: 1500 },
  SIGTERM: { worstMs: 200, unknown: 0 },
};
/** Load before each signal, and what is still watched after the last partition serves again. */
const settleMs = 1000;
const roundTimeoutMs = 30_000;
/** Under load a replica that has caught up still lacks what is under way. */
const lagMax = 100;

export async function failover(args) {
  const flags = parseFlags(args, {
    rounds: 50,
    signal: 'SIGKILL',
    'pace-ms': 10,
    'patience-ms': 100,
    partitions: 12,
    'value-bytes': 256,
    settings: '{}',
  });
  if (bars[flags.signal] === undefined) throw new Error(`--signal takes SIGKILL or SIGTERM, not "${flags.signal}"`);
  const { cluster, close } = await startFlotilla({
    partitions: flags.partitions,
    settings: JSON.parse(flags.settings),
  });
  let load;
  try {
    const partitions = await partitionsWithLeaders(cluster);
    load = new FailoverLoad({
      nodes: cluster.nodes,
      keys: new Map(partitions.map(({ id }) => [id, keysIn(partitions, [id], { count: 1, prefix: 'failover' })[0]])),
      paceMs: flags['pace-ms'],
      patienceMs: flags['patience-ms'],
      valueBytes: flags['value-bytes'],
    });
    load.start();
    const rounds = [];
    const table = new Table([
      ['round'],
      ['victim'],
      ['led', 4],
      ['median gap', 11],
      ['worst gap', 11],
      ['others', 11],
      ['writes', 7],
      ['refused'],
      ['not known'],
    ]);
    for (let round = 1; round <= flags.rounds; round += 1) {
      const result = await runRound(cluster, load, flags.signal);
      rounds.push(result);
      const { victim, led, medianMs, worstMs, othersMs, counts, unknown } = result;
      const gaps = [medianMs, worstMs, othersMs].map((ms) => `${ms.toFixed(0)} ms`);
      table.row([round, victim, led, ...gaps, counts.done, counts.not_applied + counts.refused, unknown]);
    }
    const summary = summarize(rounds);
    printSummary(summary, flags);
    writeReport(flags, { summary, bars: bars[flags.signal], rounds });
  } finally {
    load?.stop();
    await close();
  }
}

async function runRound(cluster, load, signal) {
  await sleep(settleMs);
  const partitions = await partitionsWithLeaders(cluster);
  // Not every node leads something after some rounds: a leadership does not go back by itself.
  const leads = ({ nodeId }) => partitions.filter(({ leader }) => leader === nodeId).length;
  const victim = cluster.nodes.toSorted((a, b) => leads(b) - leads(a))[0];
  const [led, others] = [true, false].map((wanted) =>
    partitions.filter(({ leader }) => (leader === victim.nodeId) === wanted).map(({ id }) => id),
  );
  const round = load.begin({ victim, abrupt: signal === 'SIGKILL' });
  await victim.kill(signal);
  const exitedAt = performance.now();
  await untilServed(round, [...led, ...others], exitedAt);
  await sleep(settleMs);
  await load.end();
  const restartedAt = performance.now();
  await victim.restart();
  await waitCaughtUp(cluster, victim, { lagMax });
  await cluster.waitReady();
  load.open(victim);
  const gaps = led.map((id) => round.gapMs(id));
  return {
    victim: victim.nodeId,
    led: led.length,
    medianMs: median(gaps),
    worstMs: Math.max(...gaps),
    othersMs: Math.max(0, ...others.map((id) => round.gapMs(id))),
    exitMs: exitedAt - round.signalledAt,
    backMs: performance.now() - restartedAt,
    counts: round.counts,
    unknown: round.unknown,
    samples: round.samples,
  };
}

/** Until each partition has answered a write that was sent after the victim had ended. */
async function untilServed(round, ids, exitedAt) {
  const until = performance.now() + roundTimeoutMs;
  for (;;) {
    const silent = ids.filter((id) => !round.servedAfter(id, exitedAt));
    if (silent.length === 0) return;
    if (performance.now() > until) {
      throw new Error(
        `partitions ${silent.join(', ')} serve no writes ${roundTimeoutMs} ms after the victim has ended`,
      );
    }
    await sleep(20);
  }
}

function summarize(rounds) {
  const worst = rounds.map(({ worstMs }) => worstMs);
  return {
    medianMs: median(worst),
    worstMs: Math.max(...worst),
    bestMs: Math.min(...worst),
    othersMs: Math.max(...rounds.map(({ othersMs }) => othersMs)),
    unknown: rounds.reduce((sum, round) => sum + round.counts.unknown, 0),
    lost: rounds.reduce((sum, round) => sum + round.counts.lost, 0),
  };
}

function printSummary(summary, { signal, rounds }) {
  const { medianMs, worstMs, bestMs, othersMs, unknown, lost } = summary;
  const against = (value, bar) => (bar === undefined ? '' : ` (${value <= bar ? 'within' : 'BEYOND'} ${bar})`);
  const bar = bars[signal];
  console.log(
    `\n${signal}, worst partition of the victim, ${rounds} rounds:\n` +
      `  median  ${medianMs.toFixed(0)} ms${against(medianMs, bar.medianMs)}\n` +
      `  worst   ${worstMs.toFixed(0)} ms${against(worstMs, bar.worstMs)}, best ${bestMs.toFixed(0)} ms\n` +
      `  worst of the other nodes' partitions  ${othersMs.toFixed(0)} ms\n` +
      `  writes of unknown outcome  ${unknown + lost}${against(unknown + lost, bar.unknown)}: ` +
      `${unknown} answered 504, ${lost} connections lost`,
  );
}
