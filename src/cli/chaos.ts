/** `flotilla chaos`: real nodes, real faults, from a terminal. */
import { faultKinds, type FaultKind } from '../chaos/faults.ts';
import { run } from '../chaos/run.ts';
import { tableOf } from '../chaos/table.ts';
import { added, noTotals, readTotals, writeTotals } from '../chaos/totals.ts';

export interface ChaosWords {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  readonly partitions: number;
  readonly rate: number;
  readonly kinds: readonly FaultKind[];
  /** Where counts add up over runs. */
  readonly totals: string | undefined;
}

/** One cluster and one history each: longer ones take more memory to check. */
const runSecondsMax = 300;

/** Checks the names. */
export function faultsNamed(
  text: string | undefined,
): { readonly kinds: readonly FaultKind[] } | { readonly problem: string } {
  if (text === undefined) return { kinds: faultKinds };
  const names = text.split(',').map((name) => name.trim());
  const kinds = names.flatMap((name) => faultKinds.find((kind) => kind === name) ?? []);
  return kinds.length === names.length ? { kinds } : { problem: `--faults takes ${faultKinds.join(', ')}` };
}

/** Exit code 1 when a promise was broken, or the cluster did not recover. */
export async function runChaos(words: ChaosWords): Promise<void> {
  let totals = words.totals === undefined ? noTotals : readTotals(words.totals);
  const endsAt = performance.now() + words.minutes * 60_000;
  for (let seed = words.seed; performance.now() < endsAt && process.exitCode === undefined; seed += 1) {
    const seconds = Math.min(runSecondsMax, (endsAt - performance.now()) / 1000);
    say(`seed ${seed}: ${words.nodes} nodes, ${words.partitions} partitions, ${words.rate} writes and reads a second`);
    try {
      const result = await run({ ...words, seed, seconds, perSecond: words.rate, say: (line) => say(`  ${line}`) });
      totals = added(totals, result.totals);
      for (const line of result.broken) say(line);
      if (result.broken.length > 0) process.exitCode = 1;
    } catch (error) {
      say(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
      process.exitCode = 1;
    }
    if (words.totals !== undefined) writeTotals(words.totals, totals);
  }
  say('');
  for (const line of tableOf(totals)) say(line);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
