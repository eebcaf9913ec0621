/**
 * Watching changes at whole nodes, on virtual time: whatever happens to leaders, connections and logs, each watcher hears every change
 * once and in order, or hears that it can't.
 */
import { describe, expect, test } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { encodeCommand } from '../../src/kv/command.ts';
import { unconditional, type Command, type Conditions } from '../../src/kv/types.ts';
import { Random } from '../../src/sim/random.ts';
import { Clients } from './clients.ts';
import { Listener } from './listener.ts';
import { Nodes } from './world.ts';

async function execute(nodes: Nodes, command: Command, key = 'k'): Promise<void> {
  nodes.world.scheduler.promisesMove();
  const request = { type: 'write', key: Buffer.from(key), body: encodeCommand(command) } as const;
  const options = { route: 'forward', deadlineAt: nodes.now() + 3000, hops: 0 } as const;
  await nodes.done(nodes.node(nodes.leaders()[0] ?? 'n1').execute(request, options));
}

const put = (key: string, { value = 'v', ttlMs = 0, conditions = unconditional satisfies Conditions } = {}) =>
  ({ type: 'put', key: Buffer.from(key), value: Buffer.from(value), contentType: '', ttlMs, conditions }) as const;
const remove = (key: string) => ({ type: 'delete', key: Buffer.from(key), conditions: unconditional }) as const;

const acknowledged = (clients: Clients): string[] => [...clients.written.keys()].map((key) => `put ${key}`);

describe('what a watcher hears', () => {
  test('each kind of change, of keys that it asked for, and nothing of what changed nothing', async () => {
    const nodes = await Nodes.start();
    const everything = new Listener(nodes);
    const some = new Listener(nodes, { type: 'prefix', bytes: Buffer.from('a') });
    const one = new Listener(nodes, { type: 'key', bytes: Buffer.from('a') });
    for (const listener of [everything, some, one]) expect(await listener.watch('n2')).toBe('watching');
    await execute(nodes, put('a'));
    await execute(nodes, put('a', { conditions: { match: undefined, noneMatch: 'any' } }));
    await execute(nodes, put('ab', { ttlMs: 500 }));
    await execute(nodes, remove('b'));
    await execute(nodes, put('b'));
    await execute(nodes, remove('a'));
    await nodes.run(3000);
    expect(everything.told).toEqual(['put a', 'put ab', 'put b', 'delete a', 'expire ab']);
    expect(some.told).toEqual(['put a', 'put ab', 'delete a', 'expire ab']);
    expect(one.told).toEqual(['put a', 'delete a']);
  });

  test('it begins behind all that was acknowledged before, at a node that lags as well', async () => {
    const nodes = await Nodes.start();
    await nodes.lead('n1');
    await nodes.run(500);
    nodes.slow.add('n3');
    await new Clients(nodes, new Random(2, 'clients')).write(20);
    expect(nodes.replica('n3').machineState().appliedIndex).toBeLessThan(
      nodes.replica('n1').machineState().appliedIndex,
    );
    const listener = new Listener(nodes);
    expect(await listener.watch('n3')).toBe('watching');
    await nodes.run(2000);
    expect(listener.told).toEqual([]);
  });

  test('a bookmark comes at least every five seconds, and says only what is so', async () => {
    const nodes = await Nodes.start();
    const listener = new Listener(nodes);
    await listener.watch('n1');
    for (let count = 1; count < 5; count += 1) {
      await nodes.until(() => listener.bookmarks > count, 5000);
    }
    expect(listener.ended).toBeUndefined();
  });
});

describe('nothing is missing and nothing comes twice', () => {
  test('while leaders are killed, watchers go on at other nodes', async () => {
    const nodes = await Nodes.start();
    const random = new Random(3, 'kills');
    const clients = new Clients(nodes, new Random(3, 'clients'));
    const listeners = nodes.all.map(() => new Listener(nodes));
    for (const [at, listener] of listeners.entries()) await listener.watch(`n${at + 1}`);
    clients.start();
    for (let kill = 0; kill < 6; kill += 1) {
      const [leader = 'n1'] = nodes.leaders();
      nodes.node(leader).kill();
      await nodes.until(() => nodes.leaders().length > 0);
      await nodes.run(random.between(10, 500));
      for (const listener of listeners.filter(({ at }) => at === leader)) {
        const next = random.pick(nodes.all.filter((node) => node.facade() !== undefined)).nodeId;
        expect(await listener.watch(next)).toBe('watching');
      }
      nodes.node(leader).start();
      await nodes.until(() => nodes.node(leader).facade()?.readiness().ready === true);
    }
    await clients.stop();
    await nodes.run(3000);
    for (const listener of listeners) {
      // A write whose end its client did not hear of was made twice, under two revisions.
      expect(new Set(listener.versions).size).toBe(listener.versions.length);
      expect(new Set(listener.told)).toEqual(new Set(acknowledged(clients)));
      expect(listener.versions).toEqual(listeners[0]?.versions);
      expect(listener.versions).toEqual(listener.versions.toSorted((one, other) => one - other));
    }
  });

  test('a cursor holds through the restart of all nodes, also in the middle of an entry that changed several keys', async () => {
    const nodes = await Nodes.start();
    const listener = new Listener(nodes);
    await listener.watch('n1');
    const items = ['x', 'y', 'z'].map((key) => ({ operation: put(key), dedup: undefined }));
    await execute(nodes, { type: 'batch', items }, 'x');
    await nodes.until(() => listener.told.length === 3);
    listener.close();
    await execute(nodes, remove('nothing'));
    await execute(nodes, put('x', { conditions: { match: undefined, noneMatch: 'any' } }));
    await execute(nodes, put('after'));
    for (const { nodeId } of nodes.all) nodes.node(nodeId).kill();
    for (const { nodeId } of nodes.all) nodes.node(nodeId).start();
    await nodes.until(() => nodes.all.every((node) => node.facade()?.readiness().ready === true));
    expect(await listener.watch('n2')).toBe('watching');
    await nodes.run(500);
    expect(listener.told).toEqual(['put x', 'put y', 'put z', 'put after']);
  });

  test('who takes nothing holds nobody up, and is told the rest once it does', async () => {
    const nodes = await Nodes.start();
    const [slow, quick] = [new Listener(nodes), new Listener(nodes)];
    await slow.watch('n1');
    await quick.watch('n1');
    slow.stuck = true;
    const clients = new Clients(nodes, new Random(4, 'clients'));
    // More than it may have untaken.
    for (let index = 0; index < 8; index += 1)
      await execute(nodes, put(`large-${index}`, { value: 'x'.repeat(400_000) }));
    await clients.write(50);
    await nodes.run(500);
    expect(quick.told).toHaveLength(58);
    expect(slow.told.length).toBeLessThan(8);
    slow.unstick();
    await nodes.run(1000);
    expect(slow.told).toEqual(quick.told);
    expect(slow.ended).toBeUndefined();
  });
});

describe('who can be told no more hears so', () => {
  const short = { logKeepEntries: 10, logKeepBytes: 2000, logBytesMax: 4000, compactEntriesMin: 5 };

  test('a cursor from before all logs is too old; one from after them is not', async () => {
    const nodes = await Nodes.start({ settings: { raft: short } });
    const early = new Listener(nodes);
    await early.watch('n1');
    early.close();
    await new Clients(nodes, new Random(5, 'clients')).write(100);
    await nodes.run(2000);
    expect(await early.watch('n1')).toBe('too_old');
    const late = new Listener(nodes);
    expect(await late.watch('n1')).toBe('watching');
  });

  test('at a node whose state a snapshot replaced, what lies between is told by another one whose log still has it, or nothing is', async () => {
    const nodes = await Nodes.start({ settings: { raft: short } });
    await nodes.lead('n1');
    const listener = new Listener(nodes);
    await listener.watch('n3');
    await new Clients(nodes, new Random(6, 'clients')).write(5);
    await nodes.run(500);
    expect(listener.told).toHaveLength(5);
    nodes.node('n3').kill();
    for (let round = 0; round < 10; round += 1) await new Clients(nodes, new Random(round, 'clients')).write(20);
    nodes.node('n3').start();
    await nodes.until(() => nodes.node('n3').facade()?.readiness().ready === true);
    await nodes.until(() => nodes.replica('n3').status().appliedIndex === nodes.replica('n1').status().appliedIndex);
    expect(await listener.watch('n3')).toBe('too_old');
    expect(listener.told).toHaveLength(5);
  });

  test('a node that is cut off sends no bookmark, and ends the watch', async () => {
    const nodes = await Nodes.start();
    await nodes.lead('n1');
    const listener = new Listener(nodes);
    await listener.watch('n3');
    nodes.network.block('n3' as NodeId, 'n1' as NodeId, new Set());
    nodes.network.block('n3' as NodeId, 'n2' as NodeId, new Set());
    const before = listener.bookmarks;
    await nodes.until(() => listener.ended !== undefined, 20_000);
    expect([listener.ended, listener.bookmarks - before]).toEqual(['no_contact', 0]);
  });

  test('a node that stops says so', async () => {
    const nodes = await Nodes.start();
    const listener = new Listener(nodes);
    await listener.watch('n3');
    nodes.node('n3').facade()?.endWatches();
    expect(listener.ended).toBe('shutting_down');
    expect(await new Listener(nodes).watch('n3')).toBe('failed');
  });
});
