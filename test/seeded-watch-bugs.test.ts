/** Each seeded bug of watches in the shortest story that shows it, told without the bug and with it. */
import { afterEach, expect, test } from 'vitest';
import { encodeCommand, stampCommand } from '../src/kv/command.ts';
import { unconditional } from '../src/kv/types.ts';
import type { Entry, LogIndex, Term } from '../src/raft/types.ts';
import { ChangeLog } from '../src/replica/change-log.ts';
import type { PartitionId } from '../src/replica/ports.ts';
import { plant } from '../src/seeded-bugs.ts';
import { Nodes } from './node/world.ts';
import { Clients } from './node/clients.ts';
import { Listener } from './node/listener.ts';
import { Random } from '../src/sim/random.ts';
import { told } from './told.ts';

afterEach(() => plant(undefined));

/** A log from `firstIndex` to entry 6; two entries of each term, each a put of a key named after it. */
function changeLog(firstIndex: number, kept: Readonly<Record<number, Uint8Array>> = {}): ChangeLog {
  const entry = (index: number): Entry => {
    const put = {
      type: 'put',
      key: Buffer.from(`${index}`),
      value: Buffer.from('v'),
      contentType: '',
      ttlMs: 0,
    } as const;
    const body = encodeCommand({ ...put, conditions: unconditional });
    stampCommand(body, { logTime: 1000, rangeEpoch: 1, incarnation: 1 });
    return { index: index as LogIndex, term: Math.ceil(index / 2) as Term, kind: 1, body };
  };
  return new ChangeLog({
    partition: 1 as PartitionId,
    entries: (from, to) => Array.from({ length: to - from + 1 }, (_, at) => entry(from + at)),
    firstIndex: () => firstIndex,
    now: () => ({ incarnation: 1, index: 6 }),
    storage: { keptChanges: (_, index) => kept[index] },
  });
}

function toldOf(log: ChangeLog, after: number): string {
  const found = log.read({ incarnation: 1, index: after }, 1e6);
  if (found.type !== 'changes') return found.type;
  return found.entries.flatMap(({ changes }) => changes.map(({ key }) => Buffer.from(key).toString())).join(' ');
}

test('watch-over-snapshot: entries that are not there any more are not missed', async () => {
  const story = () => toldOf(changeLog(4), 1);
  expect(await told('watch-over-snapshot', story)).toEqual({ without: 'too_old', planted: '4 5 6' });
});

test('watch-gap-at-leader-change: what came before the election is not told', async () => {
  const story = () => toldOf(changeLog(1), 2);
  expect(await told('watch-gap-at-leader-change', story)).toEqual({ without: '3 4 5 6', planted: '5 6' });
});

test('watch-presumes-outcome: a put is told of that was not done', async () => {
  // Of version 1, and no changes.
  const story = () => toldOf(changeLog(1, { 5: Buffer.from([1]) }), 3);
  expect(await told('watch-presumes-outcome', story)).toEqual({ without: '4 6', planted: '4 5 6' });
});

test('watch-repeats-after-resume: what was told is told again', async () => {
  const story = async () => {
    const nodes = await Nodes.start();
    const listener = new Listener(nodes);
    await listener.watch('n1');
    await new Clients(nodes, new Random(1, 'clients')).write(3);
    await nodes.run(100);
    listener.close();
    await listener.watch('n2');
    await nodes.run(100);
    return listener.told.length;
  };
  expect(await told('watch-repeats-after-resume', story)).toEqual({ without: 3, planted: 4 });
});
