/** A few nodes that move leaderships, over a network and replicas that do as the test says. */
import { LeaderHints } from '../../src/cluster/hints.ts';
import { LeaderTransfers } from '../../src/cluster/leader-transfer.ts';
import type { LocalLeaderships, LocalReplicas, LocalTransfer, StaleValue } from '../../src/cluster/types.ts';
import type { TransferStanding } from '../../src/replica/options.ts';
import type { LeaderHint, NodeId, PartitionId } from '../../src/replica/ports.ts';
import { failure, hint, limits, onePartition, overTheWire, partition, type Fault } from './router-world.ts';
import { VirtualClock } from './virtual-clock.ts';

/** A replica that answers as its own state says, or as a test makes it. */
class FakeReplica implements LocalReplicas, LocalLeaderships {
  hosted = true;
  knows: LeaderHint | undefined;
  stale: StaleValue | undefined;
  /** Who was to lead, each time that this replica began to hand over. */
  readonly begun: string[] = [];
  answer: (() => LocalTransfer) | undefined;
  /** Of every transfer begun here. */
  standing: TransferStanding = 'under_way';
  readonly #nodeId: NodeId;

  constructor(nodeId: NodeId) {
    this.#nodeId = nodeId;
  }

  hosts(): boolean {
    return this.hosted;
  }

  staleRead(): StaleValue | undefined {
    return this.stale;
  }

  leader(): LeaderHint | undefined {
    return this.knows;
  }

  execute(): never {
    throw new Error('nobody reads or writes here');
  }

  transferLeadership(_id: PartitionId, to: NodeId): LocalTransfer {
    if (this.answer !== undefined) return this.answer();
    if (this.knows?.nodeId !== this.#nodeId) return { type: 'not_leader' };
    if (to === this.#nodeId) return { type: 'done' };
    if (to === 'n4') return { type: 'refused', detail: 'n4 holds no replica' };
    this.begun.push(to);
    return { type: 'started', term: this.knows.term };
  }

  transferStanding(): TransferStanding {
    return this.standing;
  }
}

interface WorldNode {
  readonly transfers: LeaderTransfers;
  readonly hints: LeaderHints;
  readonly replica: FakeReplica;
}

/** Nodes n1 to n4; the only partition is on n1, n2 and n3. */
export class TransferWorld {
  readonly clock = new VirtualClock();
  readonly map = onePartition();
  readonly down = new Set<string>();
  readonly asked: string[] = [];
  fault: Fault = (deliver) => deliver();
  readonly #nodes = new Map<string, WorldNode>();

  constructor() {
    for (const { nodeId } of this.map.nodes) {
      const hints = new LeaderHints();
      const replica = new FakeReplica(nodeId);
      replica.hosted = nodeId !== 'n4';
      const transport = {
        connected: (to: NodeId) => !this.down.has(to),
        request: (to: NodeId, kind: string, payload: unknown) => this.#carry(nodeId, to, kind, payload),
      };
      const { map, clock } = this;
      const transfers = new LeaderTransfers({ nodeId, map, hints, replicas: replica, transport, clock, limits });
      this.#nodes.set(nodeId, { transfers, hints, replica });
    }
  }

  node(name: string): WorldNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** All replicas agree that `name` leads in `term`. */
  elect(name: string, term: number): void {
    for (const { replica, transfers } of this.#nodes.values()) {
      if (!replica.hosted) continue;
      replica.knows = hint(name, term);
      transfers.leaderChanged(partition);
    }
  }

  /** Asks the node `at` to see to it that `to` leads. */
  move(
    at: string,
    to: string,
    { timeoutMs = 5000, id = partition }: { readonly timeoutMs?: number; readonly id?: number } = {},
  ) {
    const deadlineAt = this.clock.monotonicMs() + timeoutMs;
    const wish = { partition: id as PartitionId, to: to as NodeId, deadlineAt };
    return this.clock.until(this.node(at).transfers.transfer(wish), timeoutMs + 10_000);
  }

  /** How often some replica began to hand over. */
  begun(): string[] {
    return [...this.#nodes].flatMap(([name, { replica }]) => replica.begun.map((to) => `${name}>${to}`));
  }

  async #carry(from: string, to: NodeId, kind: string, payload: unknown): Promise<unknown> {
    if (kind !== 'transfer') throw new Error(`unexpected request ${kind}`);
    if (this.down.has(to)) throw failure(false);
    this.asked.push(`${from}>${to}`);
    const deliver = async (): Promise<unknown> =>
      overTheWire(await this.node(to).transfers.handleTransfer(overTheWire(payload)));
    return this.fault(deliver, to, payload);
  }
}
