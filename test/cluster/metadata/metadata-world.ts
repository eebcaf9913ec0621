/**
 * What the controller works on, as far as it can see: the metadata group's own state machine, groups that do what they are asked, and
 * nodes that wait to be let in. It runs on n1, which leads everything; founders are n1, n2 and n3.
 */
import { GroupMembers } from '../../../src/cluster/group-members.ts';
import { LeaderHints } from '../../../src/cluster/hints.ts';
import { LeaderQuestions } from '../../../src/cluster/leader-questions.ts';
import type { LeaderTransfers } from '../../../src/cluster/leader-transfer.ts';
import { LiveMap } from '../../../src/cluster/live-map.ts';
import { decodeAdmission, type Admission, type JoinState } from '../../../src/cluster/metadata/join-messages.ts';
import { incarnationOf, type MetadataRecord } from '../../../src/cluster/metadata/records.ts';
import { MetadataState } from '../../../src/cluster/metadata/state.ts';
import { MetadataWriter, type RecordChange } from '../../../src/cluster/metadata/writer.ts';
import { buildPartitionMap } from '../../../src/cluster/partition-map.ts';
import type { LeaderRequest, LocalOutcome, LocalReplicas } from '../../../src/cluster/types.ts';
import { defaults } from '../../../src/config.ts';
import { decodeCommand } from '../../../src/kv/command.ts';
import type { TransactionCommand } from '../../../src/kv/types.ts';
import { silentLogger } from '../../../src/logger.ts';
import type { Term } from '../../../src/raft/types.ts';
import type { LeaderHint, NodeId, PartitionId } from '../../../src/replica/ports.ts';
import { Partition } from '../../kv/partition.ts';
import { bootstrap } from '../founders.ts';
import { failure, hint, limits, overTheWire } from '../router-world.ts';
import { VirtualClock } from '../virtual-clock.ts';
import { FakeGroup, promotionLagMax } from './move-world.ts';
import { id } from './samples.ts';

export const clusterId = 'c'.repeat(32);
const n1 = 'n1' as NodeId;

/** A node that waits to be let in, and is a member from then on. */
export class Joiner {
  state: JoinState;
  readonly admissions: Admission[] = [];
  /** It is let in, and nobody hears of it. */
  answersLost = false;

  constructor(nonce: string, clusterName = 'demo') {
    this.state = { phase: 'joining', nonce, clusterName };
  }

  answer(kind: string, payload: unknown): unknown {
    if (kind === 'join.state') return this.state;
    const admission = decodeAdmission(payload);
    if (kind !== 'join.admit' || admission === undefined) throw new Error(`unexpected request ${kind}`);
    this.admissions.push(admission);
    if (this.state.phase !== 'joining' || admission.nonce !== this.state.nonce) {
      return { type: 'refused', reason: 'meant for an earlier start of this node' };
    }
    this.state = { phase: 'member', clusterId: admission.clusterId, incarnation: incarnationOf(admission.stay) + 1 };
    if (this.answersLost) throw failure(true);
    return { type: 'admitted' };
  }
}

export class MetadataWorld {
  readonly clock = new VirtualClock();
  readonly kv = new Partition();
  readonly map: LiveMap;
  readonly state: MetadataState;
  readonly writer: MetadataWriter;
  readonly members: GroupMembers;
  writeMs = 0;
  readonly replicas: LocalReplicas;
  readonly groups = new Map<PartitionId, FakeGroup>();
  /** Partitions whose leader does not answer. */
  readonly silent = new Set<PartitionId>();
  readonly up = new Set<string>(['n1', 'n2', 'n3']);
  readonly joiners = new Map<string, Joiner>();
  /** `n4 127.0.0.1:7104`, and `n4` when it is let go. */
  /** Nodes whose disks have little room left. */
  readonly low = new Set<string>();
  readonly contacts: string[] = [];
  /** Transactions that went through, as `put node/n4 + delete move/3`. */
  readonly written: string[] = [];
  readonly lost: string[] = [];
  /** `3>n2`: partition 3 was to be led by n2. */
  readonly transferred: string[] = [];
  readonly failures: unknown[] = [];
  /** Who leads the metadata group. */
  leader: LeaderHint = hint('n1', 1);
  /** Runs before a read that confirms that this node leads the metadata group is answered. */
  onConfirm: () => void = () => undefined;
  /** Runs before a transaction is applied. */
  onWrite: () => void = () => undefined;
  transfersWork = true;

  constructor(partitions = 2) {
    const founding = buildPartitionMap({ ...bootstrap(3), partitions });
    this.map = new LiveMap(founding);
    for (const partition of [founding.metadata, ...founding.partitions]) {
      this.groups.set(partition.id, new FakeGroup(partition.replicas.map(({ nodeId }) => nodeId)));
    }
    this.replicas = {
      hosts: () => true,
      leader: (partition) => (partition === id(0) ? this.leader : hint('n1', 1)),
      execute: async (partition, request) => {
        // A commit takes its time, in which others ask.
        if (request.type === 'write' && this.writeMs > 0) {
          await new Promise<void>((resolve) => void this.clock.after(this.writeMs, resolve));
        }
        return this.#execute(partition, request);
      },
      staleRead: () => undefined,
    };
    this.state = new MetadataState({
      storage: { values: () => Promise.resolve({ values: [], moreAfter: undefined, due: [] }) },
      onMapChange: (change) => void this.map.take(change),
      onFailure: (error) => void this.failures.push(error),
    });
    this.writer = new MetadataWriter(this.replicas);
    const { clock, map, replicas } = this;
    const transport = this.transport;
    // The groups' own leaders stay where they are when the controller is deposed.
    const everywhere = { ...replicas, leader: () => hint('n1', 1) };
    const hints = new LeaderHints();
    const questions = new LeaderQuestions({ nodeId: n1, map, hints, replicas: everywhere, transport, clock, limits });
    this.members = new GroupMembers({ questions, replicas: everywhere, groups: this.#localGroups() });
  }

  /** All that the controller and its parts are made of. */
  ports() {
    const { map, state, writer, members, clock, replicas } = this;
    const { placement } = defaults;
    const raft = { ...defaults.raft, promotionLagMax };
    return {
      nodeId: n1,
      map,
      state,
      writer,
      members,
      clock,
      replicas,
      transfers: this.#transfers(),
      transport: this.transport,
      contact: (nodeId: NodeId, peer: string | undefined) => {
        this.contacts.push(peer === undefined ? nodeId : `${nodeId} ${peer}`);
      },
      config: { placement, raft },
      limits: { ...placement, promotionLagMax },
      cluster: { clusterId: () => clusterId, clusterName: 'demo', founding: 'the founders' },
      isLow: (nodeId: NodeId) => this.low.has(nodeId),
      logger: silentLogger,
    };
  }

  group(partition: number): FakeGroup {
    const group = this.groups.get(id(partition));
    if (group === undefined) throw new Error(`no group ${partition}`);
    return group;
  }

  /** A node of this name waits to be let in. */
  join(name: string, joiner = new Joiner(`nonce of ${name}`)): Joiner {
    this.joiners.set(name, joiner);
    this.up.add(name);
    return joiner;
  }

  /** As if it had been written before. */
  async record(...records: readonly MetadataRecord[]): Promise<void> {
    const changes = records.map((record): RecordChange => ({ type: 'put', record, revision: this.revisionOf(record) }));
    if ((await this.writer.write(changes, Infinity)) !== 'written') throw new Error('not written');
    this.written.length = 0;
  }

  revisionOf({ type, record }: MetadataRecord): number {
    if (type === 'node') return this.state.nodes.get(record.nodeId)?.revision ?? 0;
    if (type === 'partition') return this.state.partitions.get(record.id)?.revision ?? 0;
    if (type === 'move') return this.state.moves.get(record.partition)?.revision ?? 0;
    return this.state.balance?.revision ?? 0;
  }

  readonly transport = {
    connected: (to: NodeId) => this.up.has(to),
    request: async (to: NodeId, kind: string, payload: unknown): Promise<unknown> => {
      const joiner = this.joiners.get(to);
      if (!this.up.has(to) || joiner === undefined) throw failure(false);
      return Promise.resolve(overTheWire(joiner.answer(kind, overTheWire(payload))));
    },
  };

  #execute(partition: PartitionId, request: LeaderRequest): LocalOutcome {
    if (partition === id(0) && request.type === 'read') this.onConfirm();
    if (request.type === 'write') this.onWrite();
    if (partition === id(0) && this.leader.nodeId !== 'n1') {
      return { type: 'not_leader', partition, hint: this.leader };
    }
    const origin = { partition, nodeId: n1, term: 1 as Term };
    if (request.type !== 'write') return { type: 'value', origin, record: undefined, logTime: 0 };
    const command = decodeCommand(request.body).command as TransactionCommand;
    const { result, writes } = this.kv.apply(command);
    const told = command.then.map(({ type, key }) => `${type} ${Buffer.from(key).toString()}`).join(' + ');
    const succeeded = result.type === 'transaction' && result.succeeded;
    (succeeded ? this.written : this.lost).push(told);
    this.state.applied(writes);
    if (result.type === 'wrong_epoch') throw new Error('there is one epoch');
    return { type: 'done', origin, result, logTime: 0, replayed: false };
  }

  #localGroups(): ConstructorParameters<typeof GroupMembers>[0]['groups'] {
    return {
      groupView: (partition) => (this.silent.has(partition) ? undefined : this.groups.get(partition)?.view()),
      changeMembers: (partition, ifIndex, change) => {
        const group = this.group(partition);
        if (ifIndex !== group.index) return { type: 'refused', reason: 'the members have changed since' };
        group.apply(change);
        const { index, configuration } = group.view();
        return { type: 'appended', index, term: 1 as Term, configuration };
      },
    };
  }

  #transfers(): LeaderTransfers {
    const transfer: LeaderTransfers['transfer'] = ({ partition, to }) => {
      this.transferred.push(`${partition}>${to}`);
      if (!this.transfersWork) return Promise.resolve({ type: 'not_moved', partition, detail: '' });
      const group = this.group(partition);
      group.leader = [...group.voters].find(([, host]) => host === to)?.[0] ?? 0;
      return Promise.resolve({ type: 'done', partition, leader: to, term: 2 });
    };
    return { transfer } as LeaderTransfers;
  }
}
