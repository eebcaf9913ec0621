/**
 * Replicas are compared, read from their disks: who is alone against a majority is told, and nobody else ever is. On virtual time, with
 * whole nodes; `world.digests` judges each sum that any of them takes.
 */
import { describe, expect, test } from 'vitest';
import { encodeCommand } from '../../src/kv/command.ts';
import { unconditional, type Command } from '../../src/kv/types.ts';
import { Random } from '../../src/sim/random.ts';
import { Clients } from './clients.ts';
import { Nodes, p1, type NodesOptions } from './world.ts';

const scrub = { everyMs: 2000, retryMs: 200, askEveryMs: 50, trapTimeoutMs: 500, askTimeoutMs: 300, silenceMs: 1000 };
/** Some rounds: each group's first one comes within one period, and is in the way of the other group's now and then. */
const roundsMs = 4 * scrub.everyMs;

interface DigestWorld {
  readonly nodes: Nodes;
  readonly leader: string;
  /** Two of three. */
  readonly followers: readonly [string, string];
}

/** Of three, with forty keys, all in tables. */
async function start(settings: NodesOptions['settings'] = {}): Promise<DigestWorld> {
  const nodes = await Nodes.start({ settings: { scrub, ...settings } });
  await new Clients(nodes, new Random(1, 'clients')).write(40);
  await nodes.run(500);
  for (const { nodeId } of nodes.all) await nodes.restart(nodeId);
  await nodes.lead('n1');
  await nodes.run(1000);
  return { nodes, leader: 'n1', followers: ['n2', 'n3'] };
}

/** The stored record of another key's value, as the key had it before: whole, by all that it says of itself. */
function older(nodes: Nodes, name: string, key: string): Buffer {
  const stored = nodes.node(name).disk.storedValue(p1, Buffer.from(key));
  if (stored === undefined) throw new Error(`${key} is not stored`);
  return stored;
}

async function put(nodes: Nodes, key: string, value: string): Promise<void> {
  const operation = {
    type: 'put',
    key: Buffer.from(key),
    value: Buffer.from(value),
    contentType: '',
    ttlMs: 0,
  } as const;
  await nodes.done(write(nodes, nodes.leaders()[0] ?? 'n1', { ...operation, conditions: unconditional }));
}

async function write(nodes: Nodes, at: string, command: Command, name?: string): Promise<boolean> {
  nodes.world.scheduler.promisesMove();
  const digest = Buffer.alloc(16, name);
  const body = encodeCommand(command, name === undefined ? undefined : { name: Buffer.from(name), digest });
  const deadlineAt = nodes.now() + 1000;
  const request = { type: 'write', key: Buffer.from('any'), body } as const;
  return (await nodes.node(at).execute(request, { route: 'forward', deadlineAt, hops: 0 })).type === 'done';
}

const told = ({ nodes }: DigestWorld): string[] => [...new Set(nodes.differing.map(({ nodeId }) => nodeId))];

describe('of replicas that hold the same', () => {
  test('each is compared again and again, and none is told anything', async () => {
    const world = await start();
    const { nodes } = world;
    const before = nodes.world.digests.count;
    await nodes.run(5 * scrub.everyMs);
    // The partition and the metadata group, three replicas each.
    expect(nodes.world.digests.count - before).toBeGreaterThanOrEqual(4 * 2 * 3);
    expect(nodes.world.digests.count - before).toBeLessThanOrEqual(6 * 2 * 3);
    expect(told(world)).toEqual([]);
  });

  test('a group that has fallen silent stays so', async () => {
    const world = await start();
    const { nodes } = world;
    await nodes.until(() => nodes.all.every(({ nodeId }) => nodes.replica(nodeId).status().quiesced));
    const { term } = nodes.replica('n1').status();
    const messages = nodes.network.counts.messages;
    const summed = nodes.world.digests.count;
    await nodes
      .untilEvent(() => !nodes.all.every(({ nodeId }) => nodes.replica(nodeId).status().quiesced), 3 * scrub.everyMs)
      .then((woken) => expect(woken).toBe(false));
    expect(nodes.world.digests.count).toBeGreaterThan(summed);
    expect(nodes.replica('n1').status().term).toBe(term);
    expect(nodes.network.counts.messages).toBe(messages);
  });

  test('nobody is told anything while keys come, expire and go, snapshots are installed and members change', async () => {
    const nodes = await Nodes.start({
      nodes: 5,
      replicationFactor: 3,
      settings: {
        scrub: { ...scrub, everyMs: 300, retryMs: 50, pieceBytes: 256, bytesPerSecondMax: 64 * 1024 },
        raft: { logKeepEntries: 4, logKeepBytes: 1024, compactEntriesMin: 4 },
        state: { idempotencyRetentionMs: 1000, sweepItemsUnhurried: 3 },
        snapshots: { chunkBytes: 1024, retryDelayMs: 50 },
      },
    });
    const random = new Random(7, 'disorder');
    const seen: Seen = { compared: new Map(), members: new Set() };
    let named = 0;
    const disorder = (): void => {
      const key = Buffer.from(`key-${random.whole(1, 30)}`);
      const ttlMs = random.chance(0.5) ? random.whole(50, 1500) : 0;
      const value = Buffer.alloc(random.whole(0, 300), 'v');
      const command: Command = random.chance(0.2)
        ? { type: 'delete', key, conditions: unconditional }
        : { type: 'put', key, value, contentType: random.pick(['', 'text/plain']), ttlMs, conditions: unconditional };
      named += 1;
      const up = nodes.all.filter((node) => node.facade() !== undefined);
      void write(nodes, random.pick(up).nodeId, command, random.chance(0.5) ? `name-${named}` : undefined);
    };
    for (let step = 0; step < 350; step += 1) {
      disorder();
      await watched(nodes, seen, random.whole(5, 60));
      if (step % 40 === 10) changeMembers(nodes, random);
      if (step % 40 === 20) disturb(nodes, random);
    }
    for (const node of nodes.all) node.start();
    await nodes.run(3000);
    expect(seen.members.size).toBeGreaterThan(3);
    expect(seen.compared.get('in one area') ?? 0).toBeGreaterThan(10);
    expect(seen.compared.get('in both areas') ?? 0).toBeGreaterThan(10);
    expect(nodes.differing).toEqual([]);
  });
});

/** Another follower is killed, and is away for so long that it needs a snapshot; or the leadership moves. */
function disturb(nodes: Nodes, random: Random): void {
  const [leader] = nodes.leaders();
  const followers = nodes.all.filter(({ nodeId }) => nodeId !== leader && nodes.node(nodeId).replica(p1) !== undefined);
  const follower = random.pick(followers);
  if (random.chance(0.3) && leader !== undefined) return void nodes.move(leader, follower.nodeId, 500);
  follower.kill();
  nodes.world.scheduler.after(random.whole(500, 1500), () => follower.start());
}

function changeMembers(nodes: Nodes, random: Random): void {
  const [leader] = nodes.leaders();
  const replica = leader === undefined ? undefined : nodes.node(leader).replica(p1);
  if (replica === undefined) return;
  const { voters, learners, hosts } = replica.configuration().configuration;
  const free = nodes.all.filter(({ nodeId }) => ![...hosts.values()].includes(nodeId));
  const [learner] = learners;
  if (learner !== undefined)
    replica.changeConfiguration({ type: 'changeVoters', voters: [...random.shuffle(voters).slice(1), learner] });
  else if (free.length > 0) replica.changeConfiguration({ type: 'addLearner', host: random.pick(free).nodeId });
}

interface Seen {
  /** States that were summed up, by how the members' states lay then. */
  readonly compared: Map<'in one area' | 'in both areas', number>;
  readonly members: Set<number>;
}

async function watched(nodes: Nodes, seen: Seen, ms: number): Promise<void> {
  const before = nodes.world.digests.count;
  await nodes.run(ms);
  const areas = new Set<number>();
  for (const node of nodes.all) {
    const status = node.replica(p1)?.status();
    if (status === undefined) continue;
    areas.add(node.disk.liveArea(p1));
    if (status.role === 'leader') for (const voter of status.configuration.voters) seen.members.add(voter);
  }
  const how = areas.size > 1 ? 'in both areas' : 'in one area';
  seen.compared.set(how, (seen.compared.get(how) ?? 0) + nodes.world.digests.count - before);
}

describe('a follower alone against a majority is told', () => {
  test('when a value vanished', async () => {
    const world = await start();
    const { nodes, leader } = world;
    nodes.rot('n3', 'key-7', () => undefined);
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    expect(told(world)).toEqual(['n3']);
    const [{ partition, reason, leaders } = { partition: 0, reason: '', leaders: '' }] = nodes.differing;
    expect([partition, leaders]).toEqual([1, leader]);
    expect(reason).toMatch(
      /^partition 1: its state of index \d+ is not that which replicas \d, \d hold, all the same; stored are 39 keys of \d+ bytes, .* says 40 keys/,
    );
  });

  test('when an older value is back, whose record is whole', async () => {
    const world = await start();
    const { nodes } = world;
    const before = older(nodes, 'n2', 'key-7');
    await put(nodes, 'key-7', 'another, of some other length');
    await nodes.run(500);
    await nodes.restart('n2');
    nodes.rot('n2', 'key-7', () => before);
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    expect(told(world)).toEqual(['n2']);
  });

  test('while writes go on', async () => {
    const world = await start();
    const { nodes } = world;
    const clients = new Clients(nodes, new Random(2, 'clients'));
    clients.start();
    nodes.rot('n3', 'key-30', () => undefined);
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    await clients.stop();
    expect(told(world)).toEqual(['n3']);
  });

  test('whoever leads by then, and once: whoever lives there next is whole', async () => {
    const world = await start();
    const { nodes } = world;
    nodes.rot('n3', 'key-7', () => undefined);
    await nodes.lead('n2');
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    await nodes.until(() => nodes.node('n3').facade()?.readiness().ready === true);
    await nodes.run(roundsMs);
    expect(nodes.differing.map(({ nodeId }) => nodeId)).toEqual(['n3']);
  });
});

describe('a leader alone against a majority', () => {
  test('hands over to one of them, and is told then', async () => {
    const world = await start();
    const { nodes } = world;
    nodes.rot('n1', 'key-7', () => undefined);
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    expect(told(world)).toEqual(['n1']);
    expect(nodes.differing[0]?.leaders).toMatch(/^n[23]$/);
  });
});

describe('nothing is concluded', () => {
  test('when two of three differ, from the third and from each other', async () => {
    const world = await start();
    const { nodes } = world;
    nodes.rot('n2', 'key-7', () => undefined);
    nodes.rot('n3', 'key-8', () => undefined);
    const before = nodes.world.digests.count;
    await nodes.run(roundsMs);
    expect(nodes.world.digests.count).toBeGreaterThan(before + 6);
    expect(told(world)).toEqual([]);
  });

  test('of two, when the third is down, until it is back', async () => {
    const world = await start();
    const { nodes } = world;
    nodes.node('n2').kill();
    nodes.rot('n3', 'key-7', () => undefined);
    const before = nodes.world.digests.count;
    await nodes.run(roundsMs);
    expect(nodes.world.digests.count).toBeGreaterThan(before);
    expect(told(world)).toEqual([]);
    nodes.node('n2').start();
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    expect(told(world)).toEqual(['n3']);
  });
});

describe('a round that takes seconds', () => {
  const slowly = { scrub: { ...scrub, bytesPerSecondMax: 4096, pieceBytes: 256 } };

  async function underWay({ nodes }: DigestWorld): Promise<void> {
    await nodes.until(() => {
      nodes.asked.splice(0, nodes.asked.length - 20);
      return nodes.asked.filter((asked) => asked === 'n1>n3 digest.result').length > 5;
    }, roundsMs);
  }

  test('comes to nothing when its leader is another one, and one is begun anew', async () => {
    const world = await start(slowly);
    const { nodes } = world;
    nodes.rot('n3', 'key-7', () => undefined);
    await underWay(world);
    await nodes.lead('n2');
    await nodes.run(200);
    nodes.asked.length = 0;
    await nodes.until(() => nodes.differing.length > 0, roundsMs);
    expect(told(world)).toEqual(['n3']);
    expect(nodes.asked).toContain('n2>n3 digest.differs');
  });

  test('ends when its leader dies: the others are not busy with it for as long as it would take', async () => {
    const world = await start({ scrub: { ...slowly.scrub, bytesPerSecondMax: 100 } });
    const { nodes } = world;
    await underWay(world);
    nodes.node('n1').kill();
    nodes.asked.length = 0;
    const isNext = (asked: string): boolean => /^n[23]>n[23] digest.result$/.test(asked);
    await nodes.until(() => nodes.asked.some(isNext), scrub.silenceMs + 3 * scrub.everyMs);
  });

  test('goes on without a member that dies, and is done again soon', async () => {
    const world = await start(slowly);
    const { nodes } = world;
    await underWay(world);
    nodes.node('n3').kill();
    nodes.asked.length = 0;
    const summed = nodes.world.digests.count;
    await nodes.until(() => nodes.asked.includes('n1>n2 digest.end'), scrub.silenceMs + 2 * scrub.everyMs);
    expect(nodes.world.digests.count).toBeGreaterThanOrEqual(summed + 2);
    nodes.node('n3').start();
    nodes.rot('n3', 'key-7', () => undefined);
    await nodes.until(() => nodes.differing.length > 0, scrub.silenceMs + roundsMs);
    expect(told(world)).toEqual(['n3']);
  });

  test('does not hold up a node that stops', async () => {
    const world = await start(slowly);
    const { nodes } = world;
    await underWay(world);
    nodes.node('n3').shutDown();
    expect(await nodes.until(() => nodes.node('n3').state() === 'down')).toBeLessThan(300);
  });
});

test('with everyMs 0 nobody is compared', async () => {
  const nodes = await Nodes.start({ settings: { scrub: { ...scrub, everyMs: 0 } } });
  await nodes.run(roundsMs);
  expect(nodes.asked.filter((asked) => asked.includes('digest'))).toEqual([]);
});
