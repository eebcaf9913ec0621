/** The short form of `flotilla chaos`: real nodes, one fault after the other; and that it finds what it is there to find. */
import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { faultKinds, type FaultKind } from '../../src/chaos/faults.ts';
import { run } from '../../src/chaos/run.ts';
import { answersBeforeFsync, programWith } from './support/patched-program.ts';

/** Other faults at each run; its number is printed, for the same ones again: `flotilla chaos --seed`. */
const seed = Number(process.env['CHAOS_SEED'] ?? randomInt(1_000_000));
const options = { seed, nodes: 3, partitions: 6, perSecond: 200 } as const;
const timeout = 180_000;

test(
  `seed ${seed}: whatever happens, what was acknowledged is there and all that was read is linearizable`,
  { timeout },
  async () => {
    const said: string[] = [];
    // A pause may last half a minute: that is for longer runs.
    const kinds = faultKinds.filter((kind) => kind !== 'pause');
    // On a busy machine that takes longer.
    const atLeast = { kinds: 5, writes: 1000 };
    const { totals, broken } = await run({ ...options, seconds: 25, atLeast, kinds, say: (line) => said.push(line) });
    process.stdout.write(`${said.join('\n')}\n`);
    expect(broken).toEqual([]);
    expect(totals.writes).toBeGreaterThanOrEqual(1000);
  },
);

test('nodes that answer before their fsync is done are found out at a power cut', { timeout }, async (context) => {
  const program = await programWith(answersBeforeFsync);
  const found: string[] = [];
  try {
    const kinds: FaultKind[] = ['power cut'];
    const { startCluster } = program;
    // Mostly the first cut or the second, and it ends with that.
    const { broken } = await run({ ...options, startCluster, seconds: 60, kinds, say: () => undefined });
    found.push(...broken);
  } catch (error) {
    // They find it themselves.
    const { message } = error as Error;
    if (/none of power cut/.test(message)) context.skip(`there is no C compiler: ${message}`);
    expect(message).toMatch(/\.damaged-.*: set aside, and nothing had damaged it/);
    found.push(message);
  } finally {
    program.remove();
  }
  expect(found.length).toBeGreaterThan(0);
});
