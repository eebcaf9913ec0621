import type { FormationState, IdentityStore, NodeId, NodeIdentity, PeerIncarnation } from '../replica/ports.ts';

/** What identity.json holds but for the nonce, which is new at each start. */
export interface IdentityContent {
  readonly incarnation: number;
  readonly formation: FormationState;
  readonly peers: ReadonlyMap<NodeId, PeerIncarnation>;
  /** As JSON. */
  readonly map: string | undefined;
}

export const newIdentity: IdentityContent = {
  incarnation: 0,
  formation: { phase: 'unformed' },
  peers: new Map(),
  map: undefined,
};

/** A node's identity as one start sees it. Replaced whole and fsynced at each change, as the real one: no crash takes any of it. */
export class SimIdentity implements IdentityStore {
  readonly #self: Pick<NodeIdentity, 'nodeId' | 'clusterName' | 'nonce'>;
  readonly #save: (content: IdentityContent) => void;
  #content: IdentityContent;

  /** Counts this start: a higher incarnation is durable when it returns. */
  constructor(options: {
    readonly self: Pick<NodeIdentity, 'nodeId' | 'clusterName' | 'nonce'>;
    readonly stored: IdentityContent;
    readonly save: (content: IdentityContent) => void;
  }) {
    const { self, stored, save } = options;
    this.#self = self;
    this.#save = save;
    this.#content = { ...stored, incarnation: stored.incarnation + 1 };
    save(this.#content);
  }

  identity(): NodeIdentity {
    const { incarnation, formation } = this.#content;
    return { ...this.#self, incarnation, formation };
  }

  peer(nodeId: NodeId): PeerIncarnation | undefined {
    return this.#content.peers.get(nodeId);
  }

  saveFormation(formation: FormationState): void {
    this.#change({ formation });
  }

  savePeer(nodeId: NodeId, { incarnation, nonce }: PeerIncarnation): void {
    this.#change({ peers: new Map(this.#content.peers).set(nodeId, { incarnation, nonce }) });
  }

  map(): unknown {
    const { map } = this.#content;
    return map === undefined ? undefined : JSON.parse(map);
  }

  saveMap(map: object): void {
    this.#change({ map: JSON.stringify(map) });
  }

  admit(formation: FormationState, incarnation: number): void {
    this.#change({ formation, incarnation: Math.max(incarnation, this.#content.incarnation) });
  }

  #change(change: Partial<IdentityContent>): void {
    this.#content = { ...this.#content, ...change };
    this.#save(this.#content);
  }
}
