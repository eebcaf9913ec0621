/**
 * Values that vanish from a disk while its node runs, or turn into what they were before: nothing shows it, not at a read nor at a start, until
 * replicas are compared. Of each partition one value, on one node, under a key that nobody else reads or writes: to others a damaged
 * value would be a wrong answer until it is found, and that is no promise that could be kept.
 */
import { defaults } from '../config.ts';
import { keyHash } from '../cluster/hash.ts';
import { encodeCommand } from '../kv/command.ts';
import { unconditional } from '../kv/types.ts';
import type { PartitionDescriptor } from '../cluster/types.ts';
import type { Random } from './random.ts';
import type { SimNode } from './sim-node.ts';
import type { World } from './world.ts';

export interface RottenValuesOptions {
  readonly world: World;
  readonly random: Random;
  readonly nodes: readonly SimNode[];
}

/** What happens to the value of one partition. */
interface Victim {
  readonly partition: PartitionDescriptor;
  readonly node: SimNode;
  readonly key: Buffer;
  readonly vanishes: boolean;
}

const stepMs = 200;
const writeTimeoutMs = 1000;
const rotsAfterMsMax = 20_000;
/** With one more the node rightly gives up its whole directory, in the middle of groups that need it: what that does is tried by damage. */
const victimsOfNodeMax = defaults.storage.replicasInDoubtMax;

export class RottenValues {
  readonly #options: RottenValuesOptions;
  #stopped = false;

  constructor(options: RottenValuesOptions) {
    this.#options = options;
  }

  start(): void {
    const { world, random, nodes } = this.#options;
    const victims = new Map<SimNode, number>();
    for (const partition of world.map.partitions) {
      const hosts = nodes.filter(({ nodeId }) => partition.replicas.some((replica) => replica.nodeId === nodeId));
      const possible = hosts.filter((node) => (victims.get(node) ?? 0) < victimsOfNodeMax);
      if (possible.length === 0) continue;
      const node = random.pick(possible);
      victims.set(node, (victims.get(node) ?? 0) + 1);
      const victim = { partition, node, key: this.#keyOf(partition), vanishes: random.chance(0.5) };
      this.#write(victim, 'first', () => {
        this.#rotLater(victim);
      });
    }
  }

  /** No more rot. */
  stop(): void {
    this.#stopped = true;
  }

  /** Two versions are stored, one after the other, and some time later the second one is gone. */
  #rotLater(victim: Victim): void {
    const { world, random } = this.#options;
    const { node, partition, key, vanishes } = victim;
    const stored = (): Buffer | undefined => node.disk.storedValue(partition.id, key);
    this.#once(
      () => stored() !== undefined,
      () => {
        const older = stored();
        this.#write(victim, 'second', () => {
          this.#once(
            () => stored()?.equals(older ?? noBytes) === false,
            () => {
              world.scheduler.after(random.between(0, rotsAfterMsMax), () => {
                // Only what is in a table can.
                this.#once(
                  () => node.disk.rot(partition.id, key, () => (vanishes ? undefined : older)),
                  () => {
                    world.digests.rotten(node.nodeId, partition.id);
                  },
                );
              });
            },
          );
        });
      },
    );
  }

  /** As soon as it is so, if that is soon enough. */
  #once(isSo: () => boolean, then: () => void): void {
    const look = (): void => {
      if (this.#stopped) return;
      if (isSo()) then();
      else this.#options.world.scheduler.after(stepMs, look);
    };
    look();
  }

  /** Through one node after the other, until it is acknowledged. */
  #write(victim: Victim, value: string, then: () => void): void {
    const { world, random, nodes } = this.#options;
    if (this.#stopped) return;
    const again = (): void => void world.scheduler.after(stepMs, () => this.#write(victim, value, then));
    const up = nodes.filter((node) => node.facade() !== undefined);
    if (up.length === 0) return again();
    this.#put(random.pick(up), victim.key, value).then((done) => (done ? then() : again()), world.violated);
  }

  #put(node: SimNode, key: Buffer, value: string): Promise<boolean> {
    const operation = { type: 'put', key, value: Buffer.from(value), contentType: '', ttlMs: 0 } as const;
    const body = encodeCommand({ ...operation, conditions: unconditional });
    return new Promise((resolve, reject) => {
      const forget = node.onEnd(() => {
        this.#options.world.scheduler.promisesMove();
        resolve(false);
      });
      node.run(() => {
        const deadlineAt = (node.facade()?.nowMs() ?? 0) + writeTimeoutMs;
        const asked = node.execute({ type: 'write', key, body }, { route: 'forward', deadlineAt, hops: 0 });
        asked.then((outcome) => {
          forget();
          resolve(outcome.type === 'done');
        }, reject);
      });
    });
  }

  #keyOf({ id }: PartitionDescriptor): Buffer {
    const { map } = this.#options.world;
    for (let number = 0; ; number += 1) {
      const key = Buffer.from(`rot-${number}`);
      if (map.partitionOf(keyHash(key)).id === id) return key;
    }
  }
}

const noBytes = Buffer.alloc(0);
