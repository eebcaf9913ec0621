/** Where the members of a group live, as far as one member knows: by the configuration, and by who wrote to it. */
import type { Configuration, ReplicaId } from '../raft/types.ts';
import type { NodeId, ReplicaDescriptor } from './ports.ts';

/** Replicas that no configuration here names yet (or any more) and that wrote to us: so many can be answered. */
const strangersMax = 64;

export class MemberHosts {
  /** Of all configurations seen: one that was left out may still have to be told so. */
  readonly #named = new Map<ReplicaId, NodeId>();
  readonly #strangers = new Map<ReplicaId, NodeId>();

  readonly #givenOut: () => ReplicaId;

  /** `givenOut`: the highest id that a configuration known to be committed has given to anyone. */
  constructor(members: readonly ReplicaDescriptor[], givenOut: () => ReplicaId) {
    this.#givenOut = givenOut;
    for (const { replicaId, nodeId } of members) this.#named.set(replicaId, nodeId);
  }

  learn({ hosts }: Configuration): void {
    for (const [replicaId, host] of hosts) {
      this.#named.set(replicaId, host as NodeId);
      this.#strangers.delete(replicaId);
    }
  }

  /**
   * False when `replicaId` is known to live elsewhere: then `sender` does not speak for it. What an entry says that is not known to be committed
   * is not knowledge: another leader may have given the id to another node, and be the very one who writes. Nobody
   * lives under an id before the configuration that gives it is committed, so whoever writes under it is who has it.
   */
  accepts(replicaId: ReplicaId, sender: NodeId): boolean {
    const named = this.#named.get(replicaId);
    if (named !== undefined) {
      if (named !== sender && replicaId <= this.#givenOut()) return false;
      this.#named.set(replicaId, sender);
      return true;
    }
    const stranger = this.#strangers.get(replicaId);
    if (stranger !== undefined) return stranger === sender;
    if (this.#strangers.size >= strangersMax) return false;
    this.#strangers.set(replicaId, sender);
    return true;
  }

  hostOf(replicaId: ReplicaId): NodeId | undefined {
    return this.#named.get(replicaId) ?? this.#strangers.get(replicaId);
  }
}
