/** What happens in more than one test. */
import type { NodeId } from '../../src/replica/ports.ts';
import type { World } from './world.ts';

/**
 * n1 commits `a` = two with n2, and is gone before anybody hears that it is committed. n2 leads next, and its entries don't reach n3:
 * heartbeats do. Returns what n3 has after a second of that.
 */
export async function staleUnderUnknowingLeader(
  world: World,
): Promise<{ readonly value: string | undefined; readonly stalenessMs: number }> {
  world.put('n1', 'a', 'one');
  await world.ticks(10);
  const { commitIndex } = world.node('n1').status();
  world.isLost = ({ from, to, message }) =>
    (to === 'n3' && message.type === 'AppendEntriesRequest') ||
    (from === 'n1' && 'leaderCommit' in message && message.leaderCommit > commitIndex);
  const { outcomes } = world.put('n1', 'a', 'two');
  await world.settle();
  if (outcomes[0]?.type !== 'result') throw new Error(`not committed: ${JSON.stringify(outcomes)}`);
  world.cut.add('n1' as NodeId);
  await world.elect('n2');
  if (world.node('n2').status().commitIndex !== commitIndex) throw new Error('n2 knows what n1 has committed');
  await world.ticks(20);
  const found = world.node('n3').staleRead(Buffer.from('a'));
  if (found === undefined) throw new Error('n3 has nothing');
  const { record, stalenessMs } = found;
  return { value: record && Buffer.from(record.value).toString(), stalenessMs };
}
