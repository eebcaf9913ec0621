/** Replicas that come to a node and go from it: who may come into being, and that the dead stay dead. */
import { expect, test } from 'vitest';
import { defaults, type Config } from '../../src/config.ts';
import { LiveMap } from '../../src/cluster/live-map.ts';
import { buildPartitionMap } from '../../src/cluster/partition-map.ts';
import { silentLogger } from '../../src/logger.ts';
import { GroupHost } from '../../src/node/group-host.ts';
import { WriteAdmission } from '../../src/node/write-admission.ts';
import { encodeConfiguration } from '../../src/raft/configuration.ts';
import { EntryKind, type LogIndex, type Message, type ReplicaId, type Term } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { SimDoubts } from '../../src/sim/disk-doubts.ts';
import { partitionRecord } from '../cluster/metadata/samples.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { append, entries, hardState, logWrite } from '../storage/building.ts';

const names = ['n1', 'n2', 'n3'];
const [n1, n2] = names as NodeId[] as [NodeId, NodeId];
const bootstrap = {
  partitions: 1,
  replicationFactor: 3,
  nodes: names.map((nodeId, index) => ({
    nodeId,
    http: `http://${nodeId}:${index + 1}`,
    peer: `${nodeId}:${index + 1}`,
  })),
};
const map = buildPartitionMap(bootstrap);
const partition = map.partitions[0]!;
const p = partition.id;
const founder = partition.replicas.find(({ nodeId }) => nodeId === n1)!.replicaId;
const leader = partition.replicas.find(({ nodeId }) => nodeId === n2)!.replicaId;
/** Committed, without this node's founder; 5 was left out as well. */
const without = {
  voters: [leader, 6 as ReplicaId],
  votersOutgoing: [],
  learners: [],
  replicaIdMax: 6 as ReplicaId,
  incarnation: 1,
  hosts: new Map([
    [leader, n2],
    [6 as ReplicaId, 'n3'],
  ]),
};

class World {
  readonly clock = new VirtualClock();
  readonly map = new LiveMap(map);
  readonly sent: { readonly to: NodeId; readonly message: Message }[] = [];
  storage!: MemoryStorage;
  host!: GroupHost;

  static async start(storage?: MemoryStorage): Promise<World> {
    const world = new World();
    world.storage = storage ?? (await openMemoryStorage({ automatic: true }));
    world.host = new GroupHost({
      config: { ...defaults, dataDir: '/none', nodeId: n1, bootstrap } as unknown as Config,
      map: world.map,
      nodeId: n1,
      storage: world.storage,
      transport: {
        // The metadata group, which is hosted here, too, has its own to say.
        send: (to: NodeId, id: PartitionId, message: Message) => {
          if (id === p) world.sent.push({ to, message });
        },
        flush: () => undefined,
        request: () => Promise.reject(new Error('nobody is there')),
        connected: () => true,
      },
      clock: world.clock,
      random: () => 0.5,
      schedule: (turn) => void setImmediate(turn),
      logger: silentLogger,
      onFailure: (error) => {
        throw error;
      },
      disks: { low: new Map(), refusal: () => undefined },
      admission: new WriteAdmission({ limits: defaults.limits, now: () => 0 }),
      doubts: new SimDoubts(),
      replicationFactor: 3,
      metadata: { applied: () => undefined, replaced: () => undefined, dropped: () => undefined },
    });
    world.host.start();
    return world;
  }

  receive(
    type: 'Heartbeat' | 'ReplicaRemoved' | 'PreVoteRequest' | 'VoteRequest',
    to: number,
    from: number = leader,
    quiesce = false,
    sender: string = n2,
  ): void {
    const envelope = { from: from as ReplicaId, to: to as ReplicaId, term: 3 as Term };
    const question = { lastLogIndex: 0 as LogIndex, lastLogTerm: 0 as Term };
    const messages = {
      Heartbeat: {
        ...envelope,
        type: 'Heartbeat',
        leaderCommit: 0 as LogIndex,
        readRound: 0,
        logTime: 0,
        freshIndex: 0 as LogIndex,
        freshTime: 0,
        quiesce,
      },
      ReplicaRemoved: { ...envelope, type: 'ReplicaRemoved' },
      PreVoteRequest: { ...envelope, ...question, type: 'PreVoteRequest' },
      VoteRequest: { ...envelope, ...question, type: 'VoteRequest', transfer: false },
    } satisfies Record<typeof type, Message>;
    this.host.receive(sender as NodeId, p, messages[type]);
  }

  /** The process ends and another one begins, on the same disk. */
  async restart(): Promise<World> {
    await this.host.stop();
    return World.start(await this.storage.crash());
  }

  living(): ReplicaId | undefined {
    return this.host.replica(p)?.replicaId;
  }
}

async function rest(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function untilGone({ storage }: World): Promise<void> {
  while (storage.dead(p).through === 0 || storage.dead(p).remains) await rest();
  await rest();
}

async function removedWorld(): Promise<World> {
  const world = await World.start();
  await append(world.storage, logWrite(p, { hardState: hardState(2), entries: [] }));
  world.receive('ReplicaRemoved', founder);
  await untilGone(world);
  return world;
}

test('a removed founder stops, its data go, and nobody waits for it', async () => {
  const world = await removedWorld();
  expect(world.living()).toBeUndefined();
  const statuses = world.host.statuses().filter(({ partition: id }) => id === p);
  expect([world.host.hosts(p), statuses, world.host.leader(p)]).toEqual([false, [], undefined]);
  expect(world.host.readiness()).toEqual({ ready: true, reasons: [] });
  await world.host.ready;
  const outcome = await world.host.execute(p, { type: 'read', key: Buffer.from('a') }, 1e9);
  expect(outcome).toMatchObject({ type: 'not_leader' });
  expect(world.storage.group(p).hardState).toEqual(hardState(0, 0));
});

test('one that fell silent looks around once the map places it nowhere here any more', async () => {
  const world = await World.start();
  world.receive('Heartbeat', founder, leader, true);
  await world.clock.advance(10_000);
  const asked = (): number => world.sent.filter(({ message }) => message.type === 'PreVoteRequest').length;
  world.host.lookAround();
  await world.clock.advance(10_000);
  expect(asked()).toBe(0);
  world.map.take({ nodes: [], partitions: [{ record: partitionRecord(p, 2, ['n2', 'n3']), revision: 1 }] });
  world.host.lookAround();
  await world.clock.advance(10_000);
  // Whoever is asked answers that it was removed.
  expect(asked()).toBeGreaterThan(0);
});

test('one whose voters were all left out after it asks those whom the map names, and hears that it is over', async () => {
  const world = await World.start();
  world.map.take({
    nodes: [],
    partitions: [
      {
        record: partitionRecord(p, 2, [
          [7, 'n4'],
          [8, 'n5'],
          [9, 'n6'],
        ]),
        revision: 1,
      },
    ],
  });
  // With a leader it has nothing to ask.
  world.receive('Heartbeat', founder, leader);
  await world.clock.advance(0);
  const asked = (): unknown[] =>
    world.sent.flatMap(({ to, message }) =>
      message.type === 'PreVoteRequest' && message.to > 3 ? [[to, message.to]] : [],
    );
  world.host.lookAround();
  await world.clock.advance(100);
  expect(asked()).toEqual([]);

  await world.clock.advance(10_000);
  world.host.lookAround();
  await world.clock.advance(100);
  expect(asked()).toEqual([
    ['n4', 7],
    ['n5', 8],
    ['n6', 9],
  ]);
  world.receive('ReplicaRemoved', founder, 8, false, 'n5');
  await untilGone(world);
  expect(world.living()).toBeUndefined();
});

test('a founder that is dead is founded at no later start, though the map still places it here', async () => {
  let world = await removedWorld();
  for (let start = 0; start < 3; start += 1) {
    world = await world.restart();
    expect(world.living()).toBeUndefined();
    expect([world.host.hosts(p), world.host.readiness().ready]).toEqual([false, true]);
    await world.host.ready;
    for (const type of ['Heartbeat', 'PreVoteRequest', 'VoteRequest'] as const) world.receive(type, founder);
    await world.clock.advance(5000);
    expect([world.living(), world.sent]).toEqual([undefined, []]);
  }
});

test('another comes into being where it was, only above all dead ids, and is there again after a restart', async () => {
  const world = await removedWorld();
  world.receive('PreVoteRequest', 7);
  world.receive('Heartbeat', founder);
  await rest();
  expect(world.living()).toBeUndefined();
  world.receive('Heartbeat', 7);
  await rest();
  expect(world.living()).toBe(7);
  expect(world.host.readiness().ready).toBe(true);
  const restarted = await world.restart();
  expect(restarted.living()).toBe(7);

  restarted.receive('ReplicaRemoved', 7);
  while (restarted.storage.dead(p).through < 7 || restarted.storage.dead(p).remains) await rest();
  for (const id of [5, 6, 7]) restarted.receive('Heartbeat', id);
  await rest();
  expect(restarted.living()).toBeUndefined();
  restarted.receive('Heartbeat', 8);
  expect(restarted.living()).toBe(8);
});

test('a newcomer waits while its predecessor is being destroyed, over a restart too', async () => {
  const world = await World.start(await openMemoryStorage({ automatic: false }));
  world.storage.appendLog(logWrite(p, { hardState: hardState(2), entries: entries(1, 2, 2) }), () => undefined);
  world.storage.flush();
  await world.storage.completeBatch('log');
  world.receive('ReplicaRemoved', founder);
  await rest();
  world.receive('Heartbeat', 7);
  expect(world.living()).toBeUndefined();
  await world.storage.completeBatch('log');
  const restarted = await world.restart();
  restarted.receive('Heartbeat', 7);
  expect(restarted.living()).toBeUndefined();
  // The entries go.
  await restarted.storage.completeBatch('log');
  await rest();
  restarted.receive('Heartbeat', 7);
  expect(restarted.living()).toBe(7);
});

test('a message of a leader to a successor tells the one that lives here that it was left out', async () => {
  const world = await World.start();
  world.receive('PreVoteRequest', 7);
  await rest();
  expect(world.living()).toBe(founder);
  world.receive('Heartbeat', 7);
  await untilGone(world);
  world.receive('Heartbeat', 7);
  expect(world.living()).toBe(7);
});

test('in the name of the dead nothing is said, but to others that were left out by what they knew to be committed', async () => {
  const storage = await openMemoryStorage({ automatic: true });
  await storage.destroyGroup(p, { replicaId: founder, configuration: encodeConfiguration(without) });
  const world = await World.start(storage);
  for (const asker of [leader, 6, 9]) {
    world.receive('PreVoteRequest', founder, asker);
    world.receive('VoteRequest', founder, asker);
    world.receive('Heartbeat', founder, asker);
  }
  world.receive('Heartbeat', founder, 5);
  expect(world.sent).toEqual([]);
  world.receive('PreVoteRequest', founder, 5);
  expect(world.sent).toEqual([{ to: n2, message: { type: 'ReplicaRemoved', from: founder, to: 5, term: 3 } }]);
});

test('and to those that a successor of the dead knows to be left out: a newcomer that heard nothing knows only founders', async () => {
  const world = await removedWorld();
  world.receive('Heartbeat', 7);
  const learners = [7 as ReplicaId];
  const members = { voters: [leader], votersOutgoing: [], learners, replicaIdMax: 9 as ReplicaId, incarnation: 1 };
  const hosts = new Map([
    [leader, 'n2'],
    [7 as ReplicaId, 'n1'],
  ]);
  const body = encodeConfiguration({ ...members, hosts });
  world.host.receive(n2, p, {
    type: 'AppendEntriesRequest',
    from: leader,
    to: 7 as ReplicaId,
    term: 3 as Term,
    prevLogIndex: 0 as LogIndex,
    prevLogTerm: 0 as Term,
    entries: [{ index: 1 as LogIndex, term: 3 as Term, kind: EntryKind.configuration, body }],
    leaderCommit: 1 as LogIndex,
  });
  await rest();
  world.sent.length = 0;
  world.receive('PreVoteRequest', founder, 10);
  expect(world.sent).toEqual([]);
  world.receive('PreVoteRequest', founder, 9);
  expect(world.sent).toEqual([{ to: n2, message: { type: 'ReplicaRemoved', from: founder, to: 9, term: 3 } }]);
});
