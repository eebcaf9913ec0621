/**
 * Carries out the moves that are decided, each step from how the group is now (`move.ts`), until the group has the members that it is to
 * have; then the directory says so, and the move is forgotten, in one transaction.
 *
 * A step is guarded twice: it changes only the configuration that was read, and between reading and changing this node's leadership of
 * the metadata group was confirmed. So what a controller does that is about to be deposed, its successor would have done too,
 * or sees before it calls the move done.
 */
import type { Logger } from '../../logger.ts';
import type { PlacementConfig, RaftConfig } from '../../config.ts';
import type { Clock, NodeId, PartitionId } from '../../replica/ports.ts';
import type { GroupMembers, GroupView } from '../group-members.ts';
import { isUnanswered } from '../leader-questions.ts';
import type { LeaderTransfers } from '../leader-transfer.ts';
import type { PartitionMap } from '../partition-map.ts';
import type { MoveStep, OperationStatus } from '../types.ts';
import { nextStep, successorOf, type NextStep } from './move.ts';
import { replicasOf, type MoveRecord, type PartitionRecord, type Revised } from './records.ts';
import type { MetadataState } from './state.ts';
import type { MetadataWriter, RecordChange } from './writer.ts';

export interface MovesPorts {
  readonly map: PartitionMap;
  readonly state: MetadataState;
  readonly writer: MetadataWriter;
  readonly members: GroupMembers;
  readonly transfers: LeaderTransfers;
  readonly clock: Clock;
  readonly limits: Pick<PlacementConfig, 'stepTimeoutMs'> & Pick<RaftConfig, 'promotionLagMax'>;
  /** Resolves with whether this node leads the metadata group, confirmed after the call. */
  readonly confirm: () => Promise<boolean>;
  /** Its disk has little room left, as far as is known. */
  readonly isLow: (nodeId: NodeId) => boolean;
  readonly logger: Logger;
}

interface Seen {
  readonly step: MoveStep;
  readonly progress: number;
  readonly lag: number;
  readonly blockedBy: string | undefined;
}

export class Moves {
  readonly #ports: MovesPorts;
  /** How far each is, as of its last step. */
  readonly #seen = new Map<PartitionId, Seen>();

  constructor(ports: MovesPorts) {
    this.#ports = ports;
  }

  /** One step of each move. */
  async step(): Promise<void> {
    const { moves } = this.#ports.state;
    for (const id of this.#seen.keys()) if (!moves.has(id)) this.#seen.delete(id);
    await Promise.all([...moves].map(([id, move]) => this.#stepOf(id, move)));
  }

  /** For people. */
  status(): readonly OperationStatus[] {
    const { map, state } = this.#ports;
    return [...state.moves.values()].map(({ record }) => {
      const seen = this.#seen.get(record.partition);
      return {
        partition: record.partition,
        reason: record.reason,
        from: map.partition(record.partition)?.replicas.map(({ nodeId }) => nodeId) ?? [],
        to: record.target,
        step: seen?.step ?? 'waiting',
        progress: seen?.progress ?? 0,
        lag: seen?.lag ?? 0,
        sinceMs: record.sinceMs,
        blockedBy: seen?.blockedBy,
      };
    });
  }

  async #stepOf(id: PartitionId, move: Revised<MoveRecord>): Promise<void> {
    const { members, limits, clock, isLow } = this.#ports;
    const { target } = move.record;
    const deadlineAt = clock.monotonicMs() + limits.stepTimeoutMs;
    const view = await members.view(id, deadlineAt);
    if (isUnanswered(view)) return this.#note(id, waiting('waiting', 'the partition has no leader that answers'));
    const next = nextStep(view, target, { ...limits, isLow });
    if (next.type === 'wait') return this.#note(id, next);
    if (next.type === 'done') {
      this.#note(id, { step: 'record', progress: 1, lag: 0, blockedBy: undefined });
      return this.#record(move, view, deadlineAt);
    }
    if (!(await this.#ports.confirm()) || this.#ports.state.moves.get(id)?.revision !== move.revision) return;
    return this.#change(id, next, { view, target, deadlineAt });
  }

  async #change(
    id: PartitionId,
    { step, change }: Extract<NextStep, { type: 'change' }>,
    {
      view,
      target,
      deadlineAt,
    }: { readonly view: GroupView; readonly target: readonly NodeId[]; readonly deadlineAt: number },
  ): Promise<void> {
    const { members, transfers, logger } = this.#ports;
    // A leader that is left out steps down only behind the change, and nobody leads for a moment: it hands over before, where it can.
    const heir = change.type === 'changeVoters' ? successorOf(view, target) : undefined;
    if (heir !== undefined) {
      const moved = await transfers.transfer({ partition: id, to: heir, deadlineAt });
      return this.#note(
        id,
        waiting(step, moved.type === 'done' ? undefined : `${heir} does not take over the leadership`),
      );
    }
    const changed = await members.change(id, { ifIndex: view.index, change, deadlineAt });
    if (isUnanswered(changed)) return this.#note(id, waiting(step, 'the partition has no leader that answers'));
    const blockedBy = changed.type === 'refused' ? changed.detail : undefined;
    logger.info({ partition: id, change: change.type, blockedBy }, 'a move takes a step');
    this.#note(id, waiting(step, blockedBy));
  }

  /** The group's own log has it for good: the directory follows. */
  async #record(move: Revised<MoveRecord>, view: GroupView, deadlineAt: number): Promise<void> {
    const { map, state, writer, logger } = this.#ports;
    const { partition: id } = move.record;
    const { voters, hosts, incarnation } = view.configuration;
    const replicas = replicasOf(voters, hosts);
    const known = state.partitions.get(id);
    const record: PartitionRecord = {
      id,
      epoch: (known?.record.epoch ?? map.partition(id)?.epoch ?? 0) + 1,
      incarnation,
      replicas,
      preferredLeader: (hosts.get(view.leader) ?? replicas[0]?.nodeId ?? '') as NodeId,
    };
    const changes: RecordChange[] = [
      { type: 'put', record: { type: 'partition', record }, revision: known?.revision ?? 0 },
      { type: 'delete', record: { type: 'move', record: move.record }, revision: move.revision },
    ];
    // Whatever was moved because it had to be leaves loads, or leaderships, less even than they could be.
    if (move.record.reason !== 'balance' && state.balance === undefined) changes.push(this.#wantBalance());
    const written = await writer.write(changes, deadlineAt);
    if (written === 'written') logger.info({ partition: id, nodes: move.record.target }, 'a move is done');
  }

  #wantBalance(): RecordChange {
    const record = { sinceMs: Math.floor(this.#ports.clock.wallMs()) };
    return { type: 'put', record: { type: 'balance', record }, revision: 0 };
  }

  #note(
    id: PartitionId,
    seen: Omit<Seen, 'blockedBy'> & { readonly blockedBy?: string | undefined; readonly why?: string },
  ): void {
    const { step, progress, lag } = seen;
    this.#seen.set(id, { step, progress, lag, blockedBy: seen.blockedBy ?? seen.why });
  }
}

function waiting(step: MoveStep, blockedBy: string | undefined): Seen {
  return { step, progress: step === 'voters' || step === 'leave' ? 1 : 0, lag: 0, blockedBy };
}
