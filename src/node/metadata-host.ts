/** What this node has to do with the cluster's map: its copy of it, what it is told and tells of it, and the controller, where it leads. */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { GroupMembers, type LocalGroups } from '../cluster/group-members.ts';
import type { Knowledge } from '../cluster/best-leader.ts';
import { LeaderQuestions } from '../cluster/leader-questions.ts';
import type { LeaderTransfers } from '../cluster/leader-transfer.ts';
import type { LiveMap } from '../cluster/live-map.ts';
import { MapExchange } from '../cluster/map-exchange.ts';
import { Control } from '../cluster/metadata/control.ts';
import { Controller } from '../cluster/metadata/controller.ts';
import { metadataPartition } from '../cluster/metadata/records.ts';
import type { MetadataState } from '../cluster/metadata/state.ts';
import { MetadataWriter } from '../cluster/metadata/writer.ts';
import type { StatusReports } from '../cluster/status.ts';
import type { Clock, IdentityStore, NodeId, PartitionId, Transport } from '../replica/ports.ts';
import { seenAnswer, seenRequest } from './incarnations.ts';

export interface MetadataHostOptions {
  readonly config: Config;
  readonly map: LiveMap;
  readonly state: MetadataState;
  readonly groups: LocalGroups;
  readonly knowledge: Knowledge & { readonly transport: Pick<Transport, 'request' | 'connected'> };
  readonly transfers: LeaderTransfers;
  readonly reports: () => Promise<StatusReports>;
  readonly identity: IdentityStore;
  /** The founders' list, and how many nodes hold each partition. */
  readonly founding: string;
  readonly replicationFactor: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onFailure: (error: unknown) => void;
  /** Replicas here that the map places elsewhere find out what they are. */
  readonly lookAround: () => void;
  /** Its disk has little room left, as far as is known. */
  readonly isLow: (nodeId: NodeId) => boolean;
  /** Connects to a node that the map does not have yet; `undefined` lets go of it. */
  readonly contact: (nodeId: NodeId, peer: string | undefined) => void;
}

export class MetadataHost {
  readonly control: Control;
  readonly #options: MetadataHostOptions;
  readonly #questions: LeaderQuestions;
  readonly #members: GroupMembers;
  readonly #controller: Controller;
  readonly #exchange: MapExchange;
  #savePlanned = false;
  #stopped = false;

  constructor(options: MetadataHostOptions) {
    this.#options = options;
    const { config, map, state, groups, knowledge, identity, clock } = options;
    const { nodeId, replicas, transport } = knowledge;
    this.#questions = new LeaderQuestions({ ...knowledge, clock, limits: config.limits });
    this.#members = new GroupMembers({ questions: this.#questions, replicas, groups });
    this.#exchange = new MapExchange({
      nodeId,
      map,
      clock,
      transport,
      limits: config.placement,
      onPoll: options.lookAround,
    });
    this.#controller = new Controller({
      ...options,
      nodeId,
      transport,
      replicas,
      writer: new MetadataWriter(replicas),
      members: this.#members,
      cluster: {
        clusterId: () => clusterIdOf(identity),
        clusterName: config.clusterName,
        founding: options.founding,
      },
    });
    this.control = new Control(this.#questions, this.#controller);
    map.onChange(() => {
      if (this.#controller.leads()) this.#exchange.announce();
      this.#planSave();
      options.lookAround();
    });
    state.onApplied(() => this.#controller.wake());
  }

  start(): void {
    this.#exchange.start();
  }

  stop(): void {
    this.#stopped = true;
    this.#exchange.stop();
    this.#controller.stop();
  }

  leaderChanged(partition: PartitionId): void {
    this.#questions.leaderChanged(partition);
    if (partition !== metadataPartition || !this.#controller.leads()) return;
    this.#exchange.announce();
    this.#controller.wake();
  }

  peerUp(peer: NodeId): void {
    this.#exchange.peerUp(peer);
    if (this.#controller.leads()) this.#exchange.announce(peer);
  }

  /** Serves a peer's request; undefined for a kind that is not one of these. */
  handle(kind: string, payload: unknown, from: NodeId): Promise<unknown> | undefined {
    const { identity } = this.#options;
    if (kind === 'map.since' || kind === 'map.newer')
      return Promise.resolve(this.#exchange.handle(kind, payload, from));
    if (kind === seenRequest) return Promise.resolve(seenAnswer(identity, from));
    if (kind === 'join.state') {
      const { incarnation } = identity.identity();
      return Promise.resolve({ phase: 'member', clusterId: clusterIdOf(identity), incarnation });
    }
    return this.#members.handle(kind, payload) ?? this.control.handle(kind, payload);
  }

  /** The stored copy is only where the next start begins: it may be a little old. */
  #planSave(): void {
    const { clock, config, identity, map } = this.#options;
    if (this.#savePlanned) return;
    this.#savePlanned = true;
    clock.after(config.placement.mapSaveDelayMs, () => {
      this.#savePlanned = false;
      if (!this.#stopped) identity.saveMap(map.changesSince(0));
    });
  }
}

function clusterIdOf(identity: IdentityStore): string {
  const { formation } = identity.identity();
  return formation.phase === 'unformed' ? '' : formation.clusterId;
}
