/**
 * Before a node stops it hands over what it leads, so that nobody waits for an election timeout. First it tells the others
 * that it is leaving: from their answer on they send it no more requests, and ask it to lead nothing. A request that finds
 * no leader meanwhile waits for the next one where it came in. Its own replicas stand back from elections (`Replica.standBack`), so
 * that nothing comes back.
 */
import type { Clock, NodeId, PartitionId, Transport } from '../replica/ports.ts';
import type { Replica } from '../replica/replica.ts';

export type LeadingReplica = Pick<Replica, 'partition' | 'heir' | 'transferLeadership'>;

export interface HandOverOptions {
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'request'>;
  readonly peers: readonly NodeId[];
  /** Of this start of the node: the next one does not leave. */
  readonly nonce: string;
  /** Those replicas that lead now. */
  readonly leading: () => readonly LeadingReplica[];
  /** Nodes that are leaving as well. */
  readonly leaving: ReadonlySet<NodeId>;
  readonly timeoutMs: number;
  /** A transfer that is not through within this time is tried with another node. */
  readonly attemptMs: number;
}

/** Looks so often whether a leadership has moved: a transfer takes a few messages and fsyncs. */
const lookEveryMs = 5;

/** Resolves once nothing is led here any more, nobody is left to lead it, or the time is over. */
export async function handOver(options: HandOverOptions): Promise<void> {
  const { clock, timeoutMs, leading } = options;
  const endsAt = clock.monotonicMs() + timeoutMs;
  const told = tellPeers(options);
  const attempts = new Map<PartitionId, Attempt>();
  while (clock.monotonicMs() < endsAt) {
    const waiting = leading().filter((replica) => maybeMove(replica, attempts, options));
    if (waiting.length === 0) break;
    await new Promise<void>((resolve) => void clock.after(lookEveryMs, resolve));
  }
  await told;
}

interface Attempt {
  readonly to: NodeId;
  readonly startedAt: number;
  /** Nodes that did not take it. */
  readonly failed: ReadonlySet<NodeId>;
}

/** False when there is nobody to take it. */
function maybeMove(replica: LeadingReplica, attempts: Map<PartitionId, Attempt>, options: HandOverOptions): boolean {
  const { clock, leaving, attemptMs } = options;
  const now = clock.monotonicMs();
  const last = attempts.get(replica.partition);
  if (last !== undefined && now - last.startedAt < attemptMs && !leaving.has(last.to)) return true;
  const failed = new Set(last === undefined ? [] : [...last.failed, last.to]);
  const untried = replica.heir(new Set([...leaving, ...failed]));
  const heir = untried.type === 'heir' ? untried : replica.heir(leaving);
  if (heir.type !== 'heir') return heir.type === 'nobody_now';
  attempts.set(replica.partition, { to: heir.nodeId, startedAt: now, failed });
  replica.transferLeadership(heir.nodeId);
  return true;
}

/** A peer that does not answer soon is not there, or will notice by itself. */
async function tellPeers({ transport, peers, nonce, attemptMs }: HandOverOptions): Promise<void> {
  await Promise.allSettled(peers.map((peer) => transport.request(peer, 'leaving', { nonce }, attemptMs)));
}
