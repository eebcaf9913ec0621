/** What a request came to, where it is no success, as a problem. */
import { assert, unreachable } from '../assert.ts';
import type { KvOutcome } from '../cluster/types.ts';
import { failure, type Failure } from './failure.ts';

const retryAfter = ['Retry-After', '1'] as const;

/** `target` is the raw path and query, which a redirect repeats. */
export function outcomeFailure(outcome: KvOutcome, kind: 'read' | 'write', target: string): Failure {
  switch (outcome.type) {
    case 'not_leader':
      return notLeader(outcome, target);
    case 'no_leader':
    case 'partition_stopped':
    case 'disk_full':
      return unavailable(outcome.type, outcome.detail, outcome.partition);
    case 'overloaded':
      return overloaded(outcome);
    case 'shutting_down':
      return failure('shutting_down', 'This node is shutting down; ask another one.', { headers: retryAfter });
    case 'unknown':
      // A read changes nothing, so nothing about it can be in doubt: it found no leader in time.
      if (kind === 'read') return unavailable('no_leader', outcome.detail, outcome.partition);
      return unknownOutcome(outcome);
    case 'in_progress':
      return failure(
        'request_in_progress',
        `The first request under this key has not come to an end: ${outcome.detail}`,
        {
          partition: outcome.partition,
          headers: ['Flotilla-Partition', String(outcome.partition), ...retryAfter],
        },
      );
    case 'too_stale':
      return unavailable(outcome.type, outcome.detail, outcome.partition);
    case 'value':
    case 'stale_value':
    case 'values':
    case 'point':
    case 'done':
      assert(false, () => `a ${kind} came to ${outcome.type}, which answers something else`);
      break;
    default:
      return unreachable(outcome);
  }
}

function notLeader(outcome: Extract<KvOutcome, { type: 'not_leader' }>, target: string): Failure {
  const { hint, http, partition } = outcome;
  return failure('not_leader', `This key is led by ${hint.nodeId}. Add -L to curl, or ?route=forward.`, {
    partition,
    leader: hint.nodeId,
    headers: [
      'Location',
      `${http}${target}`,
      'Flotilla-Leader',
      hint.nodeId,
      'Flotilla-Partition',
      String(partition),
      'Flotilla-Term',
      String(hint.term),
    ],
  });
}

export function unknownOutcome({
  partition,
  detail,
}: {
  readonly partition: number;
  readonly detail: string;
}): Failure {
  return failure('outcome_unknown', detail, { partition, headers: ['Flotilla-Partition', String(partition)] });
}

/** By then what is in line now is done; in whole seconds, as HTTP has it. */
export function overloaded({ partition, detail, retryAfterMs }: Extract<KvOutcome, { type: 'overloaded' }>): Failure {
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const headers = ['Flotilla-Partition', String(partition), 'Retry-After', String(seconds)];
  return failure('overloaded', detail, { partition, headers });
}

export function unavailable(
  code: 'no_leader' | 'too_stale' | 'leader_not_moved' | 'partition_stopped' | 'disk_full',
  detail: string,
  partition: number,
): Failure {
  return failure(code, detail, { partition, headers: ['Flotilla-Partition', String(partition), ...retryAfter] });
}
