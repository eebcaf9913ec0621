/** Nodes n1 to n4 that ask each other what only a partition's leader answers, over a network that does as the test says. */
import { GroupMembers, type GroupView } from '../../src/cluster/group-members.ts';
import { LeaderHints } from '../../src/cluster/hints.ts';
import { LeaderQuestions, type Question, type Unanswered } from '../../src/cluster/leader-questions.ts';
import { isCount, type Fields } from '../../src/cluster/shapes.ts';
import type { ChangeResult, ConfigurationChange, LogIndex } from '../../src/raft/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import {
  failure,
  FakeReplica,
  hint,
  limits,
  onePartition,
  overTheWire,
  partition,
  type Fault,
} from './router-world.ts';
import { VirtualClock } from './virtual-clock.ts';

interface Doubled extends Fields {
  readonly by: string;
  readonly twice: number;
}

interface AskOptions {
  readonly timeoutMs?: number;
  readonly id?: number;
}

/** What a leader on this node would say of its group, and was asked to change. */
class FakeGroups {
  view: GroupView | undefined;
  changed: { readonly ifIndex: number; readonly change: ConfigurationChange }[] = [];
  result: ChangeResult | undefined;

  groupView(): GroupView | undefined {
    return this.view;
  }

  changeMembers(_: PartitionId, ifIndex: LogIndex, change: ConfigurationChange): ChangeResult | undefined {
    this.changed.push({ ifIndex, change });
    return this.result;
  }
}

interface WorldNode {
  readonly questions: LeaderQuestions;
  readonly members: GroupMembers;
  readonly groups: FakeGroups;
  readonly hints: LeaderHints;
  readonly replica: FakeReplica;
  /** "What is twice that?" */
  readonly double: Question<Fields & { readonly of: number }, Doubled>;
  /** Questions that came to this node while it led, and the time that they were given. */
  readonly answered: { readonly of: number; readonly leftMs: number }[];
}

export class QuestionsWorld {
  readonly clock = new VirtualClock();
  readonly map = onePartition();
  readonly down = new Set<string>();
  readonly asked: string[] = [];
  fault: Fault = (deliver) => deliver();
  readonly #nodes = new Map<string, WorldNode>();

  constructor() {
    for (const { nodeId } of this.map.nodes) this.#nodes.set(nodeId, this.#make(nodeId));
  }

  node(name: string): WorldNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  /** All replicas agree that `name` leads in `term`. */
  elect(name: string, term: number): void {
    for (const { replica, questions } of this.#nodes.values()) {
      if (!replica.hosted) continue;
      replica.knows = hint(name, term);
      questions.leaderChanged(partition);
    }
  }

  /** Asks the node `at` for twice 21. */
  ask(at: string, { timeoutMs = 5000, id = partition }: AskOptions = {}) {
    const { questions, double } = this.node(at);
    const deadlineAt = this.clock.monotonicMs() + timeoutMs;
    const answer: Promise<Doubled | Unanswered> = questions.ask(double, {
      partition: id as PartitionId,
      payload: { of: 21 },
      deadlineAt,
    });
    return this.clock.until(answer, timeoutMs + 10_000);
  }

  view(at: string, timeoutMs = 5000) {
    const deadlineAt = this.clock.monotonicMs() + timeoutMs;
    return this.clock.until(this.node(at).members.view(partition, deadlineAt), timeoutMs + 10_000);
  }

  change(at: string, ifIndex: number, change: ConfigurationChange, timeoutMs = 5000) {
    const deadlineAt = this.clock.monotonicMs() + timeoutMs;
    const asked = this.node(at).members.change(partition, { ifIndex: ifIndex as LogIndex, change, deadlineAt });
    return this.clock.until(asked, timeoutMs + 10_000);
  }

  #make(nodeId: NodeId): WorldNode {
    const { map, clock } = this;
    const hints = new LeaderHints();
    const replica = new FakeReplica(nodeId);
    replica.hosted = nodeId !== 'n4';
    const groups = new FakeGroups();
    const transport = {
      connected: (to: NodeId) => !this.down.has(to),
      request: (to: NodeId, kind: string, payload: unknown) => this.#carry(nodeId, to, kind, payload),
    };
    const questions = new LeaderQuestions({ nodeId, map, hints, replicas: replica, transport, clock, limits });
    const members = new GroupMembers({ questions, replicas: replica, groups });
    const answered: WorldNode['answered'] = [];
    const double: WorldNode['double'] = {
      kind: 'double',
      decodePayload: ({ of }) => (isCount(of) ? { of } : undefined),
      decodeAnswer: ({ by, twice }) => (typeof by === 'string' && isCount(twice) ? { by, twice } : undefined),
      answer: (_, { of }, deadlineAt) => {
        if (replica.knows?.nodeId !== nodeId) return Promise.resolve(undefined);
        answered.push({ of, leftMs: deadlineAt - clock.monotonicMs() });
        return Promise.resolve({ by: nodeId, twice: 2 * of });
      },
    };
    return { questions, members, groups, hints, replica, double, answered };
  }

  async #carry(from: string, to: NodeId, kind: string, payload: unknown): Promise<unknown> {
    if (this.down.has(to)) throw failure(false);
    this.asked.push(`${from}>${to}`);
    const { questions, members, double } = this.node(to);
    const deliver = async (): Promise<unknown> => {
      const request = overTheWire(payload);
      const answer = kind === double.kind ? questions.handle(double, request) : members.handle(kind, request);
      if (answer === undefined) throw new Error(`unexpected request ${kind}`);
      return overTheWire(await answer);
    };
    return this.fault(deliver, to, payload);
  }
}
