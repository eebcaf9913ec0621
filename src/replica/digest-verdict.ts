/**
 * What the digests of a group's replicas say. Safety: a replica is only ever doubted against a majority of all voters that hold the very same.
 * With fewer that answer, or more than one that differs, nobody can tell who is right.
 */
import type { ReplicaId } from '../raft/types.ts';

export interface TakenDigest {
  readonly replicaId: ReplicaId;
  readonly sum: Uint8Array;
}

export type Verdict =
  /** All that answered hold the same. */
  | { readonly type: 'agree' }
  | {
      readonly type: 'differ';
      /** Of the majority. */
      readonly sum: Uint8Array;
      /** Voters that hold it. */
      readonly holders: readonly ReplicaId[];
      /** Voters and learners that do not. */
      readonly odd: readonly ReplicaId[];
    }
  /** They differ, and no majority holds the same. */
  | { readonly type: 'split' };

export function verdictOf(voters: readonly ReplicaId[], digests: readonly TakenDigest[]): Verdict {
  const bySum = new Map<string, TakenDigest[]>();
  for (const digest of digests) {
    const key = Buffer.from(digest.sum).toString('hex');
    const same = bySum.get(key);
    if (same === undefined) bySum.set(key, [digest]);
    else same.push(digest);
  }
  if (bySum.size <= 1) return { type: 'agree' };
  for (const [key, same] of bySum) {
    const holders = same.map(({ replicaId }) => replicaId).filter((id) => voters.includes(id));
    if (!isMajority(holders.length, voters.length)) continue;
    const odd = [...bySum].flatMap(([other, digested]) => (other === key ? [] : digested));
    return { type: 'differ', sum: Buffer.from(key, 'hex'), holders, odd: odd.map(({ replicaId }) => replicaId) };
  }
  return { type: 'split' };
}

export function isMajority(count: number, voters: number): boolean {
  return 2 * count > voters;
}
