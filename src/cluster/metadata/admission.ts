/**
 * Lets nodes in, one after the other's own pace: found at its address, known by name, rid of what it was before, let in, given its share.
 *
 * Safety: a node that was a member before and comes with nothing has forgotten votes and acknowledged entries of all replicas that lived on it. So
 * first each group changes its members without it, by a majority of the others; only then is it let in, with those committed
 * configurations as tombstones: of no id that was ever given out until then does a replica come into being there, be it that a leader
 * of long ago still writes to it. And it is let in with incarnations above all of its earlier stay, so that peers take neither
 * the emptied node for an old copy, nor an old copy of its disk for the new node.
 */
import type { Logger } from '../../logger.ts';
import type { PlacementConfig } from '../../config.ts';
import { planted } from '../../planted.ts';
import type { Clock, NodeId, Transport } from '../../replica/ports.ts';
import type { GroupMembers } from '../group-members.ts';
import { isUnanswered } from '../leader-questions.ts';
import type { LiveMap } from '../live-map.ts';
import type { NodeAddition } from '../types.ts';
import {
  decodeAdmissionAnswer,
  decodeJoinState,
  encodeAdmission,
  type JoinState,
  type Tombstone,
} from './join-messages.ts';
import { allPartitions, placementOf, placementWithout } from './placements.ts';
import { memberNodes } from '../partition-map.ts';
import { incarnationOf, type MoveRecord, type NodeRecord, type Revised } from './records.ts';
import type { MetadataState } from './state.ts';
import type { MetadataWriter, RecordChange } from './writer.ts';

export interface AdmissionPorts {
  readonly nodeId: NodeId;
  readonly map: LiveMap;
  readonly state: MetadataState;
  readonly writer: MetadataWriter;
  readonly members: GroupMembers;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
  /** Connects to nodes that the map does not have yet; `undefined` lets go of one. */
  readonly contact: (nodeId: NodeId, peer: string | undefined) => void;
  readonly limits: Pick<PlacementConfig, 'stepTimeoutMs' | 'contactTimeoutMs' | 'stepMs' | 'movesMax'>;
  readonly cluster: { readonly clusterId: () => string; readonly clusterName: string; readonly founding: string };
  readonly logger: Logger;
}

export type Applied = { readonly type: 'accepted' } | { readonly type: 'refused'; readonly detail: string };

/** `revision`: of the node's record before the node was asked. Where that has changed since, what it said may be over: it was let in. */
export interface Found {
  readonly state: JoinState;
  readonly revision: number;
}

function taken(nodeId: NodeId): string {
  return `the name ${nodeId} is taken by a node that is a member already`;
}

/** Group views are asked for so many at a time. */
const viewsAtOnce = 16;

export class Admission {
  readonly #ports: AdmissionPorts;

  constructor(ports: AdmissionPorts) {
    this.#ports = ports;
  }

  /** Looks who is there; changes nothing. */
  async check(node: NodeAddition, deadlineAt: number): Promise<Found | { readonly refused: string }> {
    const { map, state: records, transport, contact, nodeId: self } = this.#ports;
    const { nodeId, peer, http } = node;
    const revision = records.nodes.get(nodeId)?.revision ?? 0;
    const others = memberNodes(map).filter((other) => other.nodeId !== nodeId);
    const clash = others.find((other) => other.peer === peer || other.http === http);
    if (clash !== undefined) {
      return { refused: `${clash.nodeId} has the address ${clash.peer === peer ? peer : http} already` };
    }
    if (nodeId === self) return { refused: taken(nodeId) };
    // Never away from a member that is there: whoever asks may have mistaken the name.
    const isContacted = map.node(nodeId) === undefined || !transport.connected(nodeId);
    if (isContacted) contact(nodeId, peer);
    try {
      const state = await this.#stateOf(nodeId, deadlineAt);
      const refused = this.#refusal(node, state);
      return state === undefined || refused !== undefined ? { refused: refused ?? '' } : { state, revision };
    } finally {
      // From here on it is known by the map, or not at all.
      if (isContacted) contact(nodeId, undefined);
    }
  }

  #refusal({ nodeId, peer }: NodeAddition, state: JoinState | undefined): string | undefined {
    const { map, cluster } = this.#ports;
    if (state === undefined) {
      return `no node named ${nodeId} answers at ${peer}: start it with --join first, and check its peer address`;
    }
    if (state.phase === 'joining') {
      if (state.clusterName === cluster.clusterName) return undefined;
      return `${nodeId} was started for the cluster ${state.clusterName}, and this one is ${cluster.clusterName}`;
    }
    if (state.clusterId !== cluster.clusterId()) {
      return `${nodeId} at ${peer} belongs to another cluster, ${state.clusterId}`;
    }
    const standing = map.node(nodeId)?.standing;
    if (standing === 'joining') return undefined;
    if (standing === 'removed') return `${nodeId} was removed: it comes in again only with an empty data directory`;
    return taken(nodeId);
  }

  /** The node is known by name from then on, and let in step by step. */
  async begin(node: NodeAddition, { state, revision }: Found, deadlineAt: number): Promise<boolean> {
    const { map, state: records, writer } = this.#ports;
    const { nodeId, http, peer, labels, weight } = node;
    const known = records.nodes.get(nodeId);
    const nonce = state.phase === 'joining' ? state.nonce : (known?.record.nonce ?? '');
    const isOnItsWay = known?.record.standing === 'joining';
    // Let in already, and only not written down as that yet: its stay is what it was told.
    if (isOnItsWay && (state.phase === 'member' || (known.record.nonce === nonce && known.record.peer === peer)))
      return true;
    if ((known?.revision ?? 0) !== revision) return false;
    // A founder is written down only once something changes about it.
    const stayed = known?.record.stay ?? (map.node(nodeId) === undefined ? -1 : map.stayOf(nodeId));
    const stay = stayed + 1;
    const record: NodeRecord = { nodeId, http, peer, labels, weight, standing: 'joining', stay, nonce };
    const put: RecordChange = { type: 'put', record: { type: 'node', record }, revision };
    return (await writer.write([put], deadlineAt)) === 'written';
  }

  /** One step for each that is on its way in. */
  async step(): Promise<void> {
    const joining = [...this.#ports.state.nodes.values()].filter(({ record }) => record.standing === 'joining');
    for (const node of joining) await this.#stepOf(node);
  }

  async #stepOf(node: Revised<NodeRecord>): Promise<void> {
    const { clock, limits, cluster, logger, transport } = this.#ports;
    const { record } = node;
    const { nodeId, stay } = record;
    const deadlineAt = clock.monotonicMs() + limits.stepTimeoutMs;
    const wasHere = stay > 0 && !planted('emptied-let-in-unpurged');
    if (wasHere && !(await this.#purged(nodeId, deadlineAt))) return;
    // Nobody waits here: moves of others are stepped behind this.
    if (!transport.connected(nodeId)) return;
    const state = await this.#stateOf(nodeId, deadlineAt);
    if (state === undefined) return;
    if (state.phase === 'member') {
      // It was let in, and whoever did it was deposed before it was written down.
      if (state.clusterId === cluster.clusterId() && state.incarnation > incarnationOf(stay))
        await this.#letIn(node, deadlineAt);
      return;
    }
    if (state.nonce !== record.nonce) return this.#renew(node, state.nonce, deadlineAt);
    const tombstones = wasHere ? await this.#tombstones(nodeId, deadlineAt) : [];
    if (tombstones === undefined || !(await this.#admit(record, tombstones, deadlineAt))) return;
    logger.info({ nodeId, stay }, 'a node was let in');
    await this.#letIn(node, deadlineAt);
  }

  /** False while some partition is held by it; moves that leave it out are begun. */
  async #purged(nodeId: NodeId, deadlineAt: number): Promise<boolean> {
    const { map, state, writer, clock, limits, members } = this.#ports;
    const holding = allPartitions({ map }).filter((id) => {
      const isThere = map.partition(id)?.replicas.some((replica) => replica.nodeId === nodeId) ?? false;
      return isThere || state.moves.has(id);
    });
    for (const id of holding) {
      const move = state.moves.get(id);
      const placement = placementOf({ map, moves: state.moves }, id);
      if (!placement.includes(nodeId)) continue;
      // As many at a time as any moves: the others wait for a later step.
      if (move === undefined && state.moves.size >= limits.movesMax) continue;
      const view = move === undefined ? undefined : await members.view(id, deadlineAt);
      if (view !== undefined && isUnanswered(view)) continue;
      const target = placementWithout(nodeId, placement, view?.configuration);
      // Whoever held it alone has lost it: there is nothing to go on from.
      if (target.length === 0) return false;
      const record: MoveRecord = { partition: id, target, reason: 'purge', sinceMs: Math.floor(clock.wallMs()) };
      await writer.write(
        [{ type: 'put', record: { type: 'move', record }, revision: move?.revision ?? 0 }],
        deadlineAt,
      );
    }
    // A move under way may have it among its members, whatever its target.
    return holding.length === 0;
  }

  /** Of all groups, as each had it committed after it was asked; undefined when one did not answer, or has the node in it. */
  async #tombstones(nodeId: NodeId, deadlineAt: number): Promise<readonly Tombstone[] | undefined> {
    const { map, members } = this.#ports;
    const waiting = allPartitions({ map }).values();
    const found: Tombstone[] = [];
    const work = async (): Promise<boolean> => {
      for (const partition of waiting) {
        const view = await members.view(partition, deadlineAt);
        if (isUnanswered(view) || !view.committed) return false;
        if ([...view.configuration.hosts.values()].includes(nodeId)) return false;
        found.push({ partition, configuration: view.configuration });
      }
      return true;
    };
    const whole = await Promise.all(Array.from({ length: viewsAtOnce }, work));
    return whole.every(Boolean) ? found : undefined;
  }

  /** Another start of it is there: it counts as another stay, as nobody knows what the one before was told. */
  async #renew({ record, revision }: Revised<NodeRecord>, nonce: string, deadlineAt: number): Promise<void> {
    const renewed: NodeRecord = { ...record, nonce, stay: record.stay + 1 };
    await this.#ports.writer.write([{ type: 'put', record: { type: 'node', record: renewed }, revision }], deadlineAt);
  }

  async #admit(record: NodeRecord, tombstones: readonly Tombstone[], deadlineAt: number): Promise<boolean> {
    const { map, transport, cluster, logger } = this.#ports;
    const { nodeId, stay, nonce } = record;
    const admission = {
      nonce,
      clusterId: cluster.clusterId(),
      founding: cluster.founding,
      stay,
      map: map.changesSince(0),
      tombstones,
    };
    try {
      const answer = await transport.request(nodeId, 'join.admit', encodeAdmission(admission), this.#left(deadlineAt));
      const decoded = decodeAdmissionAnswer(answer);
      if (decoded?.type === 'refused') logger.warn({ nodeId, reason: decoded.reason }, 'a node would not be let in');
      return decoded?.type === 'admitted';
    } catch {
      return false;
    }
  }

  async #letIn({ record, revision }: Revised<NodeRecord>, deadlineAt: number): Promise<void> {
    const { writer, state, clock } = this.#ports;
    const up: NodeRecord = { ...record, standing: 'up', nonce: '' };
    const balance = { type: 'balance', record: { sinceMs: Math.floor(clock.wallMs()) } } as const;
    await writer.write(
      [
        { type: 'put', record: { type: 'node', record: up }, revision },
        { type: 'put', record: balance, revision: state.balance?.revision ?? 0 },
      ],
      deadlineAt,
    );
  }

  /** Undefined when it can't be reached in time. */
  async #stateOf(nodeId: NodeId, deadlineAt: number): Promise<JoinState | undefined> {
    const { transport, clock, limits } = this.#ports;
    const endsAt = Math.min(deadlineAt, clock.monotonicMs() + limits.contactTimeoutMs);
    while (!transport.connected(nodeId)) {
      if (clock.monotonicMs() >= endsAt) return undefined;
      await new Promise<void>((resolve) => void clock.after(limits.stepMs, resolve));
    }
    try {
      return decodeJoinState(await transport.request(nodeId, 'join.state', null, this.#left(deadlineAt)));
    } catch {
      return undefined;
    }
  }

  #left(deadlineAt: number): number {
    return Math.max(1, Math.ceil(deadlineAt - this.#ports.clock.monotonicMs()));
  }
}
