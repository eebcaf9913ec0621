/** One request on its way to a leader: what it has met so far, and what to say when its time runs out. */
import { nothingRefuted, type LeaderSearch } from './leader-search.ts';
import type { KvOutcome, LeaderRequest, PartitionDescriptor, RequestOptions } from './types.ts';

export interface Journey extends LeaderSearch {
  readonly request: LeaderRequest;
  readonly options: RequestOptions;
  /** True while a write is with someone who may apply it. */
  mayApply: boolean;
  /** True once a replica of this node was given the write: its body is the log's from then on. */
  bodyIsGiven: boolean;
  /** The last reason why someone who was asked did nothing: better than `no_leader` when time runs out. */
  refusal: KvOutcome | undefined;
}

/** Field by field: one `...beginSearch()` here, for every request, took V8 a tenth of a put's processor time. */
export function beginJourney(request: LeaderRequest, options: RequestOptions, partition: PartitionDescriptor): Journey {
  return {
    partition,
    refutedTerm: nothingRefuted,
    waitUntil: undefined,
    asked: 0,
    strangers: undefined,
    request,
    options,
    mayApply: false,
    bodyIsGiven: false,
    refusal: undefined,
  };
}

/** What is true of the request when nothing more is tried. **Safety**: a write that someone may still apply is `unknown`. */
export function giveUp({ request, partition, mayApply, refusal }: Journey): KvOutcome {
  const { id } = partition;
  if (mayApply && request.type === 'write') {
    return { type: 'unknown', partition: id, detail: 'no answer within the deadline' };
  }
  return refusal ?? { type: 'no_leader', partition: id, detail: `partition ${id} has no leader that answers in time` };
}
