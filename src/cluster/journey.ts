/** One request on its way to a leader: what it has met so far, and what to say when its time runs out. */
import type { KvOutcome, KvRequest, PartitionDescriptor, RequestOptions } from './types.ts';

export interface Journey {
  readonly request: KvRequest;
  readonly options: RequestOptions;
  readonly partition: PartitionDescriptor;
  /** True while a write is with someone who may apply it. */
  mayApply: boolean;
  /** Hints of this term and below proved wrong on this journey: a leader that was deposed never leads in that term again. */
  refutedTerm: number;
  /** When waiting for a leader ends; set by the first wait. */
  waitUntil: number | undefined;
  /** Replicas asked without a hint so far. */
  asked: number;
  /** The last reason why someone who was asked did nothing: better than `no_leader` when time runs out. */
  refusal: KvOutcome | undefined;
}

export function beginJourney(request: KvRequest, options: RequestOptions, partition: PartitionDescriptor): Journey {
  const unmet = { mayApply: false, refutedTerm: -1, waitUntil: undefined, asked: 0, refusal: undefined };
  return { request, options, partition, ...unmet };
}

/** What is true of the request when nothing more is tried. **Safety**: a write that someone may still apply is `unknown`. */
export function giveUp({ request, partition, mayApply, refusal }: Journey): KvOutcome {
  const { id } = partition;
  if (mayApply && request.type === 'write') {
    return { type: 'unknown', partition: id, detail: 'no answer within the deadline' };
  }
  return refusal ?? { type: 'no_leader', partition: id, detail: `partition ${id} has no leader that answers in time` };
}
