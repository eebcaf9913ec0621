/**
 * Each seeded bug of the data interface in the shortest story that shows it, told without the bug and with it: an increment that is
 * done twice, a key that outlives its time or goes before it, a condition that holds no more when it is acted upon, a key that is passed over,
 * a replica that is doubted without reason.
 */
import { afterEach, expect, test } from 'vitest';
import { unconditional } from '../src/kv/types.ts';
import type { ReplicaOutcome } from '../src/replica/options.ts';
import type { LogIndex } from '../src/raft/types.ts';
import type { NodeId } from '../src/replica/ports.ts';
import { plant } from '../src/seeded-bugs.ts';
import { openMemoryStorage, type MemoryStorage } from '../src/storage/memory-storage.ts';
import { named, put } from './kv/partition.ts';
import { World, type Asked } from './replica/world.ts';
import {
  append,
  entries,
  hardState,
  installOf,
  logWrite,
  p1,
  put as putValue,
  settled,
  stage,
  stateOf,
  transferFrom,
} from './storage/building.ts';
import { told } from './told.ts';

afterEach(() => plant(undefined));

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const dedup = named('increment');

async function ledByN1(limits: Parameters<typeof World.start>[1] = {}): Promise<World> {
  const world = await World.start(undefined, limits);
  await world.elect('n1');
  return world;
}

function outcomeOf({ outcomes }: Asked): ReplicaOutcome {
  const [outcome] = outcomes;
  if (outcome === undefined) throw new Error('nothing was answered yet');
  return outcome;
}

function wordOf(asked: Asked): string {
  const outcome = outcomeOf(asked);
  if (outcome.type !== 'result') return outcome.type;
  return outcome.replayed ? `${outcome.result.type} again` : outcome.result.type;
}

async function valueOf(world: World, leader: string, key: string): Promise<string | undefined> {
  const asked = world.get(leader, key);
  await world.settle();
  const outcome = outcomeOf(asked);
  if (outcome.type !== 'value') return outcome.type;
  return outcome.record && Buffer.from(outcome.record.value).toString();
}

test('dedup-by-node: a repeat through the next leader is done a second time', async () => {
  const story = async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one'), { dedup });
    await world.settle();
    world.cut.add(n1);
    const repeat = world.propose(await eitherLeads(world, [n2, n3]), put('a', 'one'), { dedup });
    await world.settle();
    return wordOf(repeat);
  };
  expect(await told('dedup-by-node', story)).toEqual({ without: 'put again', planted: 'put' });
});

async function eitherLeads(world: World, names: readonly NodeId[]): Promise<NodeId> {
  for (let ticks = 0; ticks < 100; ticks += 1) {
    const leader = names.find((name) => world.leaders.get(name)?.nodeId === name);
    if (leader !== undefined) return leader;
    await world.ticks(1);
  }
  throw new Error('nobody was elected');
}

test('dedup-not-in-snapshot: who was brought back by a snapshot and leads does a repeat anew', async () => {
  const story = async () => {
    const world = await ledByN1({ logKeepEntries: 10, compactEntriesMin: 3 });
    world.cut.add(n3);
    world.propose('n1', put('a', 'one'), { dedup, timeoutMs: 60_000 });
    for (let i = 0; i < 50; i += 1) world.put('n1', `k${i}`, 'v', 60_000);
    await world.settle();
    await world.ticks(26);
    world.cut.delete(n3);
    await world.ticks(10);
    world.cut.add(n1);
    world.isLost = ({ from, message }) => from === n2 && message.type.endsWith('VoteRequest');
    await world.elect('n3');
    world.isLost = () => false;
    const repeat = world.propose('n3', put('a', 'one'), { dedup });
    await world.settle();
    return wordOf(repeat);
  };
  const { without, planted } = await told('dedup-not-in-snapshot', story);
  expect(without).toBe('put again');
  expect(planted).toBe('put');
});

test('ttl-reset-at-leader-change: a key outlives its time by what had passed before the change', async () => {
  const story = async () => {
    const world = await ledByN1({ quiesceTicks: 0 });
    world.propose('n1', put('a', 'one', { ttlMs: 20_000 }));
    await world.ticks(300);
    world.cut.add(n1);
    const leader = await eitherLeads(world, [n2, n3]);
    await world.ticks(100 + 20);
    return valueOf(world, leader, 'a');
  };
  expect(await told('ttl-reset-at-leader-change', story)).toEqual({ without: undefined, planted: 'one' });
});

test('expiry-by-local-clock: a leader whose wall clock jumps takes out what has hours to live', async () => {
  const story = async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 3_600_000 }));
    await world.ticks(2);
    const wallMs = world.clock.wallMs();
    Object.assign(world.clock, { wallMs: () => wallMs + 4_000_000 });
    await world.ticks(10);
    return valueOf(world, 'n1', 'a');
  };
  expect(await told('expiry-by-local-clock', story)).toEqual({ without: 'one', planted: undefined });
});

test('late-expiry-deletes-renewed: a sweep that was proposed before a renewal takes it out', async () => {
  const story = async () => {
    const world = await ledByN1();
    world.propose('n1', put('a', 'one', { ttlMs: 1000 }));
    await world.settle();
    world.stalled.add(n1).add(n2).add(n3);
    await world.advance(1000);
    // It comes into the log before what the sweeper then proposes, which has found the old one.
    world.propose('n1', put('a', 'renewed', { ttlMs: 10_000 }), { timeoutMs: 5000 });
    await world.ticks(3);
    world.stalled.clear();
    await world.ticks(10);
    return valueOf(world, 'n1', 'a');
  };
  expect(await told('late-expiry-deletes-renewed', story)).toEqual({ without: 'renewed', planted: undefined });
});

test('condition-before-log: of two who create the same key at once, both are told that they did', async () => {
  const story = async () => {
    const world = await ledByN1();
    const conditions = { ...unconditional, noneMatch: 'any' } as const;
    const both = ['mine', 'yours'].map((value) => world.propose('n1', put('a', value, { conditions })));
    await world.settle();
    return both.map(wordOf);
  };
  expect(await told('condition-before-log', story)).toEqual({
    without: ['put', 'condition_failed'],
    planted: ['put', 'put'],
  });
});

test('scan-skips-at-border: the key for which a piece had no more room is in no piece', async () => {
  const story = async () => {
    const world = await ledByN1();
    for (const key of ['a', 'b', 'c', 'd']) world.put('n1', key, 'v');
    await world.settle();
    const found: string[] = [];
    let after: Uint8Array | undefined;
    do {
      const from = after === undefined ? Buffer.alloc(0) : Buffer.from([...after, 0]);
      const asked = world.range('n1', { from, limit: 2 });
      for (let turns = 0; turns < 20 && asked.outcomes.length === 0; turns += 1) await world.settle();
      const outcome = outcomeOf(asked);
      if (outcome.type !== 'values') throw new Error(outcome.type);
      found.push(...outcome.page.values.map(({ key }) => Buffer.from(key).toString()));
      after = outcome.page.moreAfter;
    } while (after !== undefined);
    return found.join('');
  };
  expect(await told('scan-skips-at-border', story)).toEqual({ without: 'abcd', planted: 'abd' });
});

test('digest-of-places: a replica that was brought by a snapshot differs from the one that sent it', async () => {
  const story = async () => {
    const source = await openMemoryStorage({ automatic: true });
    await append(source, logWrite(p1, { hardState: hardState(1), entries: entries(1, 1, 1) }));
    source.stageState(p1, [putValue('a', 'one')], stateOf({ a: 'one' }, 1));
    await settled(source);
    const target = await openMemoryStorage({ automatic: true });
    const transfer = await transferFrom(source, p1);
    await stage(target, p1, transfer);
    await append(target, installOf(p1, transfer));
    await settled(target);
    const [one, other] = [await sumOf(source), await sumOf(target)];
    return one === other;
  };
  expect(await told('digest-of-places', story)).toEqual({ without: true, planted: false });
});

async function sumOf(storage: MemoryStorage): Promise<string> {
  const reading = await storage.trapState(p1, 1 as LogIndex)?.sprung;
  while ((await reading?.read(1000))?.done === false) continue;
  return Buffer.from(reading?.digest().sum ?? []).toString('hex');
}
