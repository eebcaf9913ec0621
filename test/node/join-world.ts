/** A node that waits to be let in, on a disk and a clock that tests look into. */
import { canonicalFounding } from '../../src/cluster/founding.ts';
import { encodeAdmission, type Admission } from '../../src/cluster/metadata/join-messages.ts';
import { silentLogger } from '../../src/logger.ts';
import type { NodeTransport, TransportBinding } from '../../src/node/composition.ts';
import { awaitAdmission } from '../../src/node/join-phase.ts';
import type { Configuration, ReplicaId } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { newIdentity, SimIdentity, type IdentityContent } from '../../src/sim/disk-identity.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { bootstrap } from '../cluster/founders.ts';
import { nodeRecord, ofNodes } from '../cluster/metadata/samples.ts';
import { overTheWire } from '../cluster/router-world.ts';
import { settle, VirtualClock } from '../cluster/virtual-clock.ts';

const n4 = 'n4' as NodeId;
export const [p1, p2] = [1, 2] as PartitionId[] as [PartitionId, PartitionId];
export const clusterId = 'c'.repeat(32);
export const founding = canonicalFounding(bootstrap(3));

/** Committed without n4; all ids up to `replicaIdMax` were given out. */
export function without(replicaIdMax: number): Configuration {
  const hosts = new Map([[1 as ReplicaId, 'n1']]);
  const voters = [...hosts.keys()];
  return { voters, votersOutgoing: [], learners: [], replicaIdMax: replicaIdMax as ReplicaId, incarnation: 1, hosts };
}

export const admission: Admission = {
  nonce: 'first',
  clusterId,
  founding,
  stay: 2,
  map: ofNodes([nodeRecord('n4', { standing: 'joining', stay: 2 }), 9]),
  tombstones: [
    { partition: p1, configuration: without(5) },
    { partition: p2, configuration: without(3) },
  ],
};

export class JoinWorld {
  readonly clock = new VirtualClock();
  /** What of the identity is on disk. */
  stored: IdentityContent = newIdentity;
  /** In order: what became durable. */
  readonly durable: string[] = [];
  /** In order: how far the wait has come. */
  readonly ended: string[] = [];
  /** From now on writes of the identity fail. */
  broken = false;
  identity!: SimIdentity;
  /** The cluster never lets it in. */
  refuse: (reason: Error) => void = () => undefined;
  readonly #asking = new Promise<void>((_, reject) => {
    this.refuse = reject;
  });
  #binding: TransportBinding | undefined;

  readonly storage: MemoryStorage;

  private constructor(storage: MemoryStorage) {
    this.storage = storage;
  }

  static async start({ automatic = true, nonce = 'first' } = {}): Promise<JoinWorld> {
    const world = new JoinWorld(await openMemoryStorage({ automatic }));
    world.identity = new SimIdentity({
      self: { nodeId: n4, clusterName: 'demo', nonce },
      stored: world.stored,
      save: (content) => world.#save(content),
    });
    world.durable.length = 0;
    awaitAdmission({
      config: { clusterName: 'demo' },
      identity: world.identity,
      storage: world.storage,
      startTransport: (binding) => {
        world.#binding = binding;
        return Promise.resolve({
          close: () => Promise.resolve(void world.ended.push('closed')),
        } satisfies Pick<NodeTransport, 'close'>);
      },
      clock: world.clock,
      logger: silentLogger,
      onListening: () => {
        world.ended.push('listening');
        return world.#asking;
      },
    }).then(
      () => world.ended.push('member'),
      (error: unknown) => world.ended.push(String(error)),
    );
    await settle();
    return world;
  }

  async ask(kind: string, payload: unknown, from = 'n1'): Promise<unknown> {
    if (this.#binding === undefined) throw new Error('it does not listen');
    return overTheWire(await this.#binding.handlers.onRequest(from as NodeId, kind, overTheWire(payload), 'main'));
  }

  admit(changes: Partial<Admission> = {}): Promise<unknown> {
    return this.ask('join.admit', encodeAdmission({ ...admission, ...changes }));
  }

  dead(): number[] {
    return [p1, p2].map((partition) => this.storage.dead(partition).through);
  }

  binding(): TransportBinding | undefined {
    return this.#binding;
  }

  #save(content: IdentityContent): void {
    if (this.broken) throw new Error('the disk failed');
    if (content.map !== this.stored.map) this.durable.push('map');
    if (content.formation !== this.stored.formation) this.durable.push(content.formation.phase);
    this.stored = content;
  }
}
