/**
 * The entry of every process: `dist/main.js <command>`. It hands the command line what runs one node, so that only a
 * node loads what a node needs. Exit codes: 0 asked to stop, 1 could not start, 2 wrong usage or configuration, 70 a
 * bug, 74 the disk failed, 128 + n stopped at once by signal n.
 */
import { askToJoin } from './cli/join.ts';
import { runCommandLine, type NodeStart } from './cli/program.ts';
import { onStopRequest } from './cli/stop-signals.ts';
import { AssertionError } from './assert.ts';
import type { Logger } from './logger.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { StorageMeter } from './metrics/ports.ts';
import type { RunningNode } from './node/node.ts';

const exitCodes = { startFailed: 1, bug: 70, diskFailed: 74 } as const;

/** Beyond handing over and draining, for what the disk still has to take. */
const closeTimeoutMs = 5000;

ignoreBrokenPipes();
await runCommandLine(process.argv.slice(2), runNode);

/** The process lives until it is asked to stop, or the node can't go on. */
async function runNode({ config, notices }: NodeStart): Promise<void> {
  const nodePart = import('./node/node.ts');
  const ask = (addresses: readonly string[]): Promise<void> =>
    askToJoin({ config, addresses, onWaiting: (reason) => logger.info(reason) });
  const startNode = async (joinAt: readonly string[] | undefined): Promise<RunningNode> =>
    (await nodePart).startNode({ config, logger, joinAt, askToJoin: ask, meter });
  const { createLogger } = await import('./logger.ts');
  const logger = createLogger({ nodeId: config.nodeId, level: config.logLevel, pretty: process.stderr.isTTY });
  stopOnBugs(logger);
  // What it is made of is loaded while the node reads its disk; nothing that is written before is worth a later start.
  let metrics: Metrics | undefined;
  const meter: StorageMeter = {
    batchBegun: (database, batch) => metrics?.storage.batchBegun(database, batch) ?? ((): void => undefined),
  };
  for (const notice of notices) logger.warn(notice);
  // Until it serves there is nothing to finish: all that matters is on disk already, or was never promised.
  let stopServing = (): Promise<void> => Promise.resolve();
  const stopInOrder = (exitCode: number): void => {
    const { drainIdleMs, drainTimeoutMs } = config.limits;
    // Clients are drained first, then peers.
    const timeoutMs = config.raft.handOverTimeoutMs + drainIdleMs + 2 * drainTimeoutMs + closeTimeoutMs;
    closeWithin(timeoutMs, stopServing(), { logger, exitCode });
  };
  onStopRequest({
    stop: (reason) => {
      logger.info({ reason }, 'stopping');
      stopInOrder(0);
    },
    stopAtOnce: (exitCode) => process.exit(exitCode),
  });
  let joinAt = config.bootstrap === undefined ? (config.join ?? []) : undefined;
  for (let isSaid = false; ;) {
    const starting = startNode(joinAt);
    // Loaded while the node reads its disk. A failed start is heard below.
    starting.catch(() => undefined);
    const [{ startHttp }, { Metrics }] = await Promise.all([
      import('./http/server.ts'),
      import('./metrics/metrics.ts'),
    ]);
    const counted = (metrics ??= new Metrics(config.metrics));
    const node = await starting.catch(exitForFailedStart);
    counted.followNode(() => node.readings());
    const http = await startHttp({ node: node.facade, config, logger, metrics: counted }).catch(exitForFailedStart);
    const leave = async (): Promise<void> => {
      await node.handOver();
      await http.close(config.limits.drainTimeoutMs);
      await node.close();
    };
    // Ended once, whoever comes first: a stop that was asked for, or a directory in doubt.
    const ending: { ended?: Promise<void> } = {};
    stopServing = () => (ending.ended ??= leave());
    // Nothing has failed yet: it takes its leave, and whatever fails meanwhile still ends it at once.
    void node.full.then((reason) => {
      logger.fatal({ err: reason }, `the node stops: ${reason.message}`);
      stopInOrder(exitCodes.diskFailed);
    });
    let failure = await Promise.race([node.ready, node.failed]);
    if (failure === undefined) {
      if (!isSaid) process.stdout.write(`ready nodeId=${config.nodeId} http=${config.http.advertise}\n`);
      isSaid = true;
      failure = await node.failed;
    } else if (node.comesBack(failure) === undefined) {
      // Until it is ready a failure is a reason not to start: a founder of another cluster, say.
      exitForFailedStart(failure);
    }
    joinAt = node.comesBack(failure);
    if (joinAt === undefined || joinAt.length === 0) stopForGood(failure, logger);
    logger.error(
      { reason: failure.message },
      'nothing is served from this data directory any more: this node asks to be let in anew',
    );
    // What is under way is of no use: nobody is answered any more.
    ending.ended ??= http.close(0).then(() => node.close());
    await within(config.limits.drainTimeoutMs + closeTimeoutMs, ending.ended).catch(() => stopForGood(failure, logger));
  }
}

/** One line; only a bug shows its stack, because its message alone would lead nobody to it. */
function exitForFailedStart(error: unknown): never {
  const isBug = error instanceof AssertionError || error instanceof TypeError || error instanceof ReferenceError;
  const message = error instanceof Error ? error.message.replaceAll(/\s+/g, ' ') : String(error);
  process.stderr.write(`flotilla: ${isBug ? (error.stack ?? message) : message}\n`);
  process.exit(isBug ? exitCodes.bug : exitCodes.startFailed);
}

function closeWithin(
  timeoutMs: number,
  closed: Promise<void>,
  { logger, exitCode }: { readonly logger: Logger; readonly exitCode: number },
): void {
  const timer = setTimeout(() => {
    logger.error({ timeoutMs }, 'closing took too long: exiting; nothing acknowledged depends on it');
    process.exit(exitCodes.startFailed);
  }, timeoutMs);
  closed.then(
    () => process.exit(exitCode),
    (error: unknown) => {
      logger.error({ err: error }, 'closing failed');
      process.exit(exitCodes.diskFailed);
    },
  );
  timer.unref();
}

/** A node that must not go on answers nothing more: no draining. */
function stopForGood(error: Error, logger: Logger): never {
  logger.fatal({ err: error }, `the node stops: ${error.message}`);
  process.exit(exitCodes.diskFailed);
}

async function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${timeoutMs} ms`)), timeoutMs);
  });
  await Promise.race([work, tooLate]).finally(() => clearTimeout(timer));
}

/** What nobody caught is a bug; a process in an unknown state must not vote or answer. */
function stopOnBugs(logger: Logger): void {
  const stop = (error: unknown): void => {
    logger.fatal({ err: error }, 'stopping on an unexpected error');
    process.exit(exitCodes.bug);
  };
  process.on('uncaughtException', stop);
  process.on('unhandledRejection', stop);
}

/** Whoever read our output may go away; that is no reason to stop serving. */
function ignoreBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }
}
