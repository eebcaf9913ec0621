/**
 * What a leader and its members say to each other when they compare their states, and its checks. Carried by `Transport.request`, with these
 * kinds. None of it is Raft: nothing is decided by it but that a replica doubts itself.
 */
import type { ReplicaId } from '../raft/types.ts';
import {
  idOf,
  isBetweenReplicas,
  isBytes,
  isCount,
  isFields,
  isReplicaId,
  type BetweenReplicas,
  type Fields,
} from './message-fields.ts';
import type { StateDigest } from './ports.ts';

export type DigestRequest = 'digest.begin' | 'digest.result' | 'digest.end' | 'digest.differs';

/** Stands in every request. `index`: at which all are compared. It is all of 'digest.begin' and 'digest.result'. */
export type DigestId = BetweenReplicas;

/** 'digest.end': the leader wants nothing more of this round. */
export interface DigestEnd extends DigestId {
  /** It came to its end, and need not be done again soon. */
  readonly compared: boolean;
}

/** 'digest.differs', to a replica that is alone against a majority. */
export interface DigestDiffers extends DigestId {
  readonly version: number;
  readonly sum: Uint8Array;
  /** All voters that hold it. */
  readonly holders: readonly ReplicaId[];
}

/** Nothing was done; `reason` is for people. */
export interface DigestRefused {
  readonly type: 'refused';
  readonly reason: string;
}

export type DigestBeginAnswer =
  | { readonly type: 'begun' }
  /** The node reads the state of another partition: ask again later. */
  | { readonly type: 'busy' }
  /** The replica is beyond the index. */
  | { readonly type: 'passed' }
  | DigestRefused;

export type DigestResultAnswer =
  | { readonly type: 'reading' }
  /** `term`: the newest that the replica knows. */
  | ({ readonly type: 'taken'; readonly term: number } & StateDigest)
  | DigestRefused;

export type DigestEndAnswer = { readonly type: 'ended' } | DigestRefused;

export type DigestDiffersAnswer = { readonly type: 'believed' } | DigestRefused;

export type DigestAnswer = DigestBeginAnswer | DigestResultAnswer | DigestEndAnswer | DigestDiffersAnswer;

/** SHA-256 has 32; room for another one. */
const sumBytesMax = 64;
/** More than a group ever has. */
const holdersMax = 1000;
const textCharactersMax = 500;

export function decodeDigestId(payload: unknown): DigestId | undefined {
  return isFields(payload) && isBetweenReplicas(payload) ? idOf(payload) : undefined;
}

export function decodeDigestEnd(payload: unknown): DigestEnd | undefined {
  const id = decodeDigestId(payload);
  if (id === undefined) return undefined;
  const { compared } = payload as Fields;
  return typeof compared === 'boolean' ? { ...id, compared } : undefined;
}

export function decodeDigestDiffers(payload: unknown): DigestDiffers | undefined {
  const id = decodeDigestId(payload);
  if (id === undefined) return undefined;
  const { version, sum, holders } = payload as Fields;
  if (!isCount(version) || !isBytes(sum, sumBytesMax)) return undefined;
  if (!Array.isArray(holders) || holders.length > holdersMax || !holders.every(isReplicaId)) return undefined;
  return { ...id, version, sum, holders };
}

export function encodeDigestResult(answer: DigestResultAnswer): Fields {
  // msgpack has no `undefined`.
  return answer.type === 'taken' ? { ...answer, miscounted: answer.miscounted ?? null } : { ...answer };
}

export function decodeDigestBeginAnswer(answer: unknown): DigestBeginAnswer | undefined {
  if (!isFields(answer)) return undefined;
  const { type } = answer;
  return type === 'begun' || type === 'busy' || type === 'passed' ? { type } : decodeRefused(answer);
}

export function decodeDigestResultAnswer(answer: unknown): DigestResultAnswer | undefined {
  if (!isFields(answer)) return undefined;
  const { type, term, version, sum, records, bytes, miscounted } = answer;
  if (type === 'reading') return { type };
  if (type !== 'taken') return decodeRefused(answer);
  if (!isCount(term) || !isCount(version) || !isBytes(sum, sumBytesMax)) return undefined;
  if (!isCount(records) || !isCount(bytes) || (miscounted !== null && typeof miscounted !== 'string')) return undefined;
  return { type, term, version, sum, records, bytes, miscounted: miscounted?.slice(0, textCharactersMax) };
}

export function decodeDigestDiffersAnswer(answer: unknown): DigestDiffersAnswer | undefined {
  if (!isFields(answer)) return undefined;
  return answer['type'] === 'believed' ? { type: 'believed' } : decodeRefused(answer);
}

export function refusedDigest(reason: string): DigestRefused {
  return { type: 'refused', reason: reason.slice(0, textCharactersMax) };
}

function decodeRefused({ type, reason }: Fields): DigestRefused | undefined {
  return type === 'refused' && typeof reason === 'string' ? refusedDigest(reason) : undefined;
}
