/** A node that comes back asks, before all else, whether anybody has seen a later start of it than its disk knows. */
import { describe, expect, test } from 'vitest';
import { canonicalFounding } from '../../src/cluster/founding.ts';
import { encodeMapChange } from '../../src/cluster/metadata/records.ts';
import { silentLogger } from '../../src/logger.ts';
import type { TransportBinding } from '../../src/node/composition.ts';
import { findOldCopy, otherMembers } from '../../src/node/old-copy.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { newIdentity, SimIdentity } from '../../src/sim/disk-identity.ts';
import { bootstrap } from '../cluster/founders.ts';
import { nodeRecord, ofNodes } from '../cluster/metadata/samples.ts';
import { overTheWire } from '../cluster/router-world.ts';
import { settle, VirtualClock } from '../cluster/virtual-clock.ts';

const [n1, n2, n3] = ['n1', 'n2', 'n3'] as NodeId[] as [NodeId, NodeId, NodeId];
const oldCopyWaitMs = 1000;
const own = { incarnation: 5, nonce: 'mine' };
const formation = { phase: 'formed', clusterId: 'c'.repeat(32), founding: canonicalFounding(bootstrap(3)) } as const;

function identityOf(stored: Partial<typeof newIdentity> = {}): SimIdentity {
  return new SimIdentity({
    self: { nodeId: n1, clusterName: 'demo', nonce: own.nonce },
    // This start counts one higher.
    stored: { ...newIdentity, incarnation: own.incarnation - 1, formation, ...stored },
    save: () => undefined,
  });
}

type Answer = () => unknown;

/** What others have seen of n1; who is not in here can't be reached. */
class World {
  readonly clock = new VirtualClock();
  readonly identity = identityOf();
  readonly events: string[] = [];
  readonly answers = new Map<NodeId, Answer>();
  binding!: TransportBinding;
  /** `waiting` as long as nothing is known. */
  found: string | undefined = 'waiting';

  async start(answers: readonly (readonly [NodeId, Answer])[]): Promise<this> {
    for (const [peer, answer] of answers) this.answers.set(peer, answer);
    void findOldCopy({
      identity: this.identity,
      members: otherMembers(this.identity),
      startTransport: (binding) => {
        this.binding = binding;
        return Promise.resolve({
          setPeers: (peers) => {
            this.events.push(`dials ${peers.map(({ nodeId, port }) => `${nodeId}:${port}`).join(' ')}`);
            for (const peer of this.answers.keys()) binding.handlers.onPeerUp(peer);
          },
          connected: (peer) => this.answers.has(peer),
          request: async (peer, kind) => {
            this.events.push(`${kind} of ${peer}`);
            return overTheWire(await this.answers.get(peer)?.());
          },
          close: () => Promise.resolve(void this.events.push('closed')),
        });
      },
      clock: this.clock,
      limits: { oldCopyWaitMs },
      logger: silentLogger,
    }).then((found) => {
      this.found = found;
    });
    await settle();
    await settle();
    return this;
  }
}

const seen = (incarnation: number, nonce: string): Answer => {
  return () => ({ seen: { incarnation, nonce } });
};
const thisStart = seen(own.incarnation, own.nonce);
const nothing: Answer = () => ({ seen: null });

describe('the newest', () => {
  test('is known as soon as all have answered, over connections that name no cluster', async () => {
    const world = await new World().start([
      [n2, thisStart],
      [n3, nothing],
    ]);
    expect(world.found).toBeUndefined();
    expect(world.events).toEqual(['dials n2:7102 n3:7103', 'member.seen of n2', 'member.seen of n3', 'closed']);
    expect(world.binding.self).toEqual({ nodeId: 'n1', ...own, clusterId: undefined });
    expect(world.clock.pendingTimers()).toBe(0);
  });

  test('is taken for that when those in reach know nothing later, and the others were waited for', async () => {
    const world = await new World().start([[n2, thisStart]]);
    await world.clock.advance(oldCopyWaitMs - 1);
    expect([world.found, world.events.includes('closed')]).toEqual(['waiting', false]);
    await world.clock.advance(1);
    expect([world.found, world.events.at(-1)]).toEqual([undefined, 'closed']);
  });

  test('has nobody to ask in a cluster of one', async () => {
    const alone = identityOf({ formation: { ...formation, founding: canonicalFounding(bootstrap(1)) } });
    expect(otherMembers(alone)).toEqual([]);
    const startTransport = (): Promise<never> => Promise.reject(new Error('it listens'));
    const options = { clock: new VirtualClock(), limits: { oldCopyWaitMs }, logger: silentLogger };
    expect(await findOldCopy({ ...options, identity: alone, members: [], startTransport })).toBeUndefined();
  });
});

describe('an old copy', () => {
  test.each([
    ['a later start', seen(6, 'other'), 'n3 has seen start 6 of this node, and by this data directory it is start 5'],
    ['another start of the same count', seen(5, 'other'), 'n3 has seen another start 5 of this node'],
  ])('is found by %s, whoever else can’t be asked', async (_, answer, reason) => {
    const world = await new World().start([[n3, answer]]);
    expect([world.found, world.events.at(-1)]).toEqual([expect.stringContaining(reason), 'closed']);
  });

  test('is found by one, though all others know nothing of it', async () => {
    const world = await new World().start([
      [n2, thisStart],
      [n3, seen(6, 'other')],
    ]);
    expect(world.found).toContain('n3 has seen start 6');
  });

  test('is found by a member that could not answer at first', async () => {
    let starting = true;
    const world = await new World().start([
      [n2, thisStart],
      [n3, () => (starting ? Promise.reject(new Error('the node is starting')) : seen(6, 'other')())],
    ]);
    expect(world.found).toBe('waiting');
    starting = false;
    await world.clock.advance(50);
    expect(world.found).toContain('n3 has seen start 6');
  });

  test('is found by a member that comes up while the others are waited for', async () => {
    const world = await new World().start([[n2, thisStart]]);
    world.answers.set(n3, seen(6, 'other'));
    world.binding.handlers.onPeerUp(n3);
    await world.clock.advance(1);
    expect(world.found).toContain('n3 has seen start 6');
  });
});

test('while it asks it tells others what it has seen of them, and answers nothing else', async () => {
  const world = await new World().start([]);
  const ask = (kind: string): Promise<unknown> => world.binding.handlers.onRequest(n2, kind, null, 'main');
  expect(await ask('member.seen')).toEqual({ seen: null });
  world.identity.savePeer(n2, { incarnation: 3, nonce: 'theirs' });
  expect(await ask('member.seen')).toEqual({ seen: { incarnation: 3, nonce: 'theirs' } });
  await expect(ask('forward')).rejects.toThrow('about to start');
});

test('others are the founders and those who came later, where they are now; not who was removed', () => {
  const change = ofNodes(
    [nodeRecord('n2', { peer: 'elsewhere:1' }), 9],
    [nodeRecord('n3', { standing: 'removed' }), 10],
    [nodeRecord('n4'), 11],
  );
  const identity = identityOf({ map: JSON.stringify(encodeMapChange(change)) });
  expect(otherMembers(identity).map(({ nodeId, peer }) => [nodeId, peer])).toEqual([
    ['n2', 'elsewhere:1'],
    ['n4', expect.any(String)],
  ]);
  expect(otherMembers(identityOf({ formation: { phase: 'unformed' } }))).toEqual([]);
});
