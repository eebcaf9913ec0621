/**
 * Moves a partition's leadership to a node of the caller's choice, through whichever node leads now.
 *
 * No safety rests on it: the target still has to win an election. What it promises is a true answer
 * - `not_found`, `refused` and `no_leader` mean that certainly nothing was begun: a move is tried again only after an answer
 *   or failure that rules it out, and `Move.begun` is set before anyone is asked who might begin it.
 * - `not_moved` is the word of the leader that did not begin it for now; or that gave it up, still leads in the same term, and
 *   never told the target to campaign.
 * - `done` is the word of a leader, or of a replica that heard from the target as its leader.
 * - A move is begun once. While a hand-over runs the partition takes no writes, so one whose target is gone is not repeated.
 * - No caller waits past its deadline: one bound lies around everything.
 */
import { unreachable } from '../assert.ts';
import type { Term } from '../raft/types.ts';
import type { LimitsConfig } from '../config.ts';
import type { Clock, LeaderHint, NodeId, PartitionId, Transport } from '../replica/ports.ts';
import { bestHint, type Knowledge } from './best-leader.ts';
import { Deadlines } from './deadlines.ts';
import {
  afterFailure,
  beginSearch,
  neverSent,
  patienceIsOver,
  peerToAsk,
  refute,
  type LeaderSearch,
  type Next,
} from './leader-search.ts';
import { LeaderWatch } from './leader-watch.ts';
import {
  decodeTransfer,
  decodeTransferAnswer,
  encodeTransfer,
  encodeTransferAnswer,
  malformedTransfer,
  type TransferAnswer,
} from './transfer-messages.ts';
import type { LocalLeaderships, LocalReplicas, TransferOutcome } from './types.ts';

export interface TransferPorts extends Knowledge {
  readonly replicas: LocalReplicas & LocalLeaderships;
  readonly clock: Clock;
  readonly limits: Pick<
    LimitsConfig,
    'leaderWaitMsMax' | 'leaderRetryDelayMs' | 'forwardReturnMs' | 'deadlineSweepMs' | 'requestTimeoutMsMax'
  >;
  readonly transport: Pick<Transport, 'request' | 'connected'>;
}

/** One wish on its way. */
interface Move extends LeaderSearch {
  readonly to: NodeId;
  /** On the monotonic clock. */
  readonly deadlineAt: number;
  /** True while someone may have begun it. */
  begun: boolean;
}

interface Wish {
  readonly partition: PartitionId;
  readonly to: NodeId;
  readonly deadlineAt: number;
}

export class LeaderTransfers {
  readonly #ports: TransferPorts;
  readonly #deadlines: Deadlines;
  readonly #watch: LeaderWatch;

  constructor(ports: TransferPorts) {
    this.#ports = ports;
    this.#deadlines = new Deadlines(ports.clock, ports.limits.deadlineSweepMs);
    this.#watch = new LeaderWatch(ports.clock, ports.limits.leaderRetryDelayMs);
  }

  /** Answers by `deadlineAt`, at most `deadlineSweepMs` late. */
  transfer(wish: Wish): Promise<TransferOutcome> {
    const move = this.#prepare(wish);
    if (move.type === 'not_found') return Promise.resolve(move);
    return this.#deadlines.bound(this.#travel(move), wish.deadlineAt, () => giveUp(move));
  }

  /** Serves a peer's 'transfer' request, by this node's own replica alone: who asked looks on by itself. */
  async handleTransfer(payload: unknown): Promise<unknown> {
    const asked = decodeTransfer(payload);
    if (asked === undefined) return malformedTransfer;
    const { clock, limits } = this.#ports;
    const deadlineAt = clock.monotonicMs() + Math.min(asked.remainingMs, limits.requestTimeoutMsMax);
    const move = this.#prepare({ ...asked, deadlineAt });
    if (move.type === 'not_found') return encodeTransferAnswer(move);
    const answer = this.#deadlines.bound<TransferAnswer>(this.#moveOrPoint(move), deadlineAt, () => giveUp(move));
    return encodeTransferAnswer(await answer);
  }

  /** Told by the local replica whenever it learns of another leader or loses the one it knew. */
  leaderChanged(partition: PartitionId): void {
    this.#watch.wake(partition);
  }

  #prepare({ partition: id, to, deadlineAt }: Wish): (Move & { readonly type: 'move' }) | NotFound {
    const { map } = this.#ports;
    const partition = map.partition(id);
    if (partition === undefined) return { type: 'not_found', detail: 'There is no partition with this id.' };
    if (map.node(to) === undefined) return { type: 'not_found', detail: 'There is no node with this id.' };
    return { type: 'move', ...beginSearch(partition), to, deadlineAt, begun: false };
  }

  async #travel(move: Move): Promise<TransferOutcome> {
    const { clock } = this.#ports;
    while (clock.monotonicMs() < move.deadlineAt) {
      const next = await this.#attempt(move);
      if (next === 'again') continue;
      if (next !== 'wait') return next;
      if (patienceIsOver(this.#ports, move)) break;
      await this.#watch.wait(move.partition.id);
    }
    return giveUp(move);
  }

  async #attempt(move: Move): Promise<TransferOutcome | Next> {
    const hint = bestHint(this.#ports, move);
    if (hint?.nodeId === this.#ports.nodeId) {
      const answer = await this.#moveHere(move);
      return answer.type === 'not_leader' ? this.#refuted(move, hint, answer.hint) : answer;
    }
    // Also when the hint names the target: whether it leads, it knows best itself.
    const asked = peerToAsk(this.#ports, move, hint);
    return asked === undefined ? 'wait' : this.#ask(move, asked);
  }

  async #moveOrPoint(move: Move): Promise<TransferAnswer> {
    const hint = bestHint(this.#ports, move);
    if (hint?.nodeId === this.#ports.nodeId) return this.#moveHere(move);
    return { type: 'not_leader', partition: move.partition.id, hint };
  }

  async #moveHere(move: Move): Promise<TransferAnswer> {
    const { replicas, nodeId } = this.#ports;
    const { id } = move.partition;
    const local = replicas.transferLeadership(id, move.to);
    switch (local.type) {
      case 'started':
        move.begun = true;
        return this.#awaitTarget(move, local.term);
      case 'done':
        move.begun = true;
        return this.#awaitTarget(move, undefined);
      case 'not_leader': {
        const known = replicas.leader(id);
        return { type: 'not_leader', partition: id, hint: known?.nodeId === nodeId ? undefined : known };
      }
      case 'refused':
      case 'not_moved':
        return { type: local.type, partition: id, detail: local.detail };
      default:
        return unreachable(local);
    }
  }

  /** `begunIn`: the term of the transfer that is under way; undefined when the target leads already. */
  async #awaitTarget(move: Move, begunIn: Term | undefined): Promise<TransferOutcome> {
    const { replicas, clock } = this.#ports;
    const { id } = move.partition;
    while (clock.monotonicMs() < move.deadlineAt) {
      const known = replicas.leader(id);
      if (known?.nodeId === move.to) return { type: 'done', partition: id, leader: move.to, term: known.term };
      // While nobody leads, the target may be the one who is being elected.
      const ended = known === undefined || begunIn === undefined ? undefined : this.#endedWithout(move, begunIn, known);
      if (ended !== undefined) return ended;
      await this.#watch.wait(id);
    }
    return giveUp(move);
  }

  /** What is true when somebody else leads: undefined while the transfer is under way. */
  #endedWithout(move: Move, begunIn: Term, { nodeId: leader }: LeaderHint): TransferOutcome | undefined {
    const { id: partition } = move.partition;
    const standing = this.#ports.replicas.transferStanding(partition, move.to, begunIn);
    switch (standing) {
      case 'under_way':
        return undefined;
      case 'given_up': {
        const detail = `${move.to} did not catch up in time to lead partition ${partition}; ${leader} leads on`;
        return { type: 'not_moved', partition, detail };
      }
      case 'in_doubt':
        return unknown(move, `${move.to} did not take over partition ${partition} in time; ${leader} leads it`);
      default:
        return unreachable(standing);
    }
  }

  async #ask(move: Move, hint: LeaderHint): Promise<TransferOutcome | Next> {
    const { clock, limits, transport, hints } = this.#ports;
    const { id } = move.partition;
    const leftMs = Math.ceil(move.deadlineAt - clock.monotonicMs());
    const remainingMs = Math.max(1, leftMs - limits.forwardReturnMs);
    move.begun = true;
    let payload: unknown;
    try {
      payload = await transport.request(
        hint.nodeId,
        'transfer',
        encodeTransfer({ partition: id, to: move.to, remainingMs }),
        leftMs,
      );
    } catch (failure) {
      hints.drop(id, hint);
      if (!neverSent(failure)) return unknown(move, `the connection to ${hint.nodeId} was lost before it answered`);
      move.begun = false;
      return afterFailure(hint);
    }
    const answer = decodeTransferAnswer(payload, { partition: id, to: move.to });
    if (answer === undefined) return unknown(move, `${hint.nodeId} answered what this node does not understand`);
    return this.#answered(move, hint, answer);
  }

  #answered(move: Move, hint: LeaderHint, answer: TransferAnswer): TransferOutcome | Next {
    switch (answer.type) {
      case 'done':
        this.#ports.hints.learn(answer.partition, { nodeId: answer.leader, term: answer.term as LeaderHint['term'] });
        return answer;
      case 'unknown':
      case 'refused':
      case 'not_moved':
      case 'not_found':
        return answer;
      case 'not_leader':
        return this.#refuted(move, hint, answer.hint);
      case 'no_leader':
        return this.#refuted(move, hint, undefined);
      default:
        return unreachable(answer);
    }
  }

  /** Who was asked began nothing. */
  #refuted(move: Move, wrong: LeaderHint, newer: LeaderHint | undefined): Next {
    move.begun = false;
    return refute(this.#ports.hints, move, { wrong, newer });
  }
}

type NotFound = Extract<TransferOutcome, { type: 'not_found' }>;

/** What is true of the move when nothing more is tried. */
function giveUp(move: Move): TransferOutcome {
  const { id } = move.partition;
  if (move.begun) return unknown(move, `partition ${id} was not seen to be led by ${move.to} within the deadline`);
  return { type: 'no_leader', partition: id, detail: `partition ${id} has no leader that answers in time` };
}

function unknown(move: Move, detail: string): TransferOutcome {
  return { type: 'unknown', partition: move.partition.id, detail };
}
