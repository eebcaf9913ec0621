/** The routes of single keys. */
import type { AnswerDescription, OperationDescription, RouteDescription } from './types.ts';
import type { ErrorCode } from '../errors.ts';
import type { HeaderName, ParameterName } from './parameters.ts';

/** Who answered for the key. */
export const origin = ['Flotilla-Partition', 'Flotilla-Term', 'Flotilla-Leader'] as const satisfies HeaderName[];
/** What may stand in a write's way that any key may meet. */
export const writeProblems = [
  'key_not_found',
  'request_in_progress',
  'precondition_failed',
  'idempotency_key_reused',
  'cross_site_refused',
  'no_leader',
  'partition_stopped',
  'outcome_unknown',
] as const satisfies ErrorCode[];
export const readProblems = ['no_leader', 'partition_stopped'] as const satisfies ErrorCode[];

const ofEveryKey = ['route', 'consistency', 'routeHeader', 'timeoutMs', 'requestId'] as const satisfies ParameterName[];
const ofReads = [
  'route',
  'readConsistency',
  'maxStaleness',
  'fallback',
  'routeHeader',
  'timeoutMs',
  'requestId',
] as const;
const writeParameters = [...ofEveryKey, 'ifMatch', 'ifNoneMatch', 'idempotencyKey'] as const;

interface Spelling {
  readonly parameter: ParameterName;
  /** Behind every operation's id. */
  readonly suffix: string;
  readonly how: string;
}

const asText: Spelling = { parameter: 'key', suffix: '', how: 'a key' };
const asBase64: Spelling = { parameter: 'keyBase64', suffix: 'Base64', how: 'a key given as base64url' };

export const keyRoutes: readonly RouteDescription[] = [
  { path: '/v1/kv/{key}', operations: operationsOn(asText) },
  { path: '/v1/kv64/{keyBase64}', operations: operationsOn(asBase64) },
];

function operationsOn(spelling: Spelling): RouteDescription['operations'] {
  return { get: read(spelling), put: write(spelling), delete: remove(spelling) };
}

function read({ parameter, suffix, how }: Spelling): OperationDescription {
  const freshness = ['Flotilla-Consistency', 'Flotilla-Staleness-Ms'] as const;
  const version: HeaderName[] = ['ETag', 'Flotilla-Revision', 'Flotilla-Expires-At', ...freshness, ...origin];
  return {
    operationId: `getKey${suffix}`,
    tag: 'keys',
    summary: `Read ${how}`,
    parameters: [parameter, ...ofReads, 'ifMatch', 'ifNoneMatch'],
    answers: [
      {
        status: 200,
        description: 'The value, byte for byte, with the Content-Type it was stored with.',
        headers: version,
        content: { type: 'bytes' },
      },
      { status: 304, description: 'The client has this version already.', headers: version },
    ],
    problems: ['not_leader', 'invalid_key', 'key_not_found', 'precondition_failed', 'too_stale', ...readProblems],
  };
}

function write({ parameter, suffix, how }: Spelling): OperationDescription {
  const answer = (status: number, description: string): AnswerDescription => ({
    status,
    description,
    headers: ['ETag', 'Idempotency-Replayed', ...origin],
    content: { type: 'json', schema: 'putResult' },
  });
  return {
    operationId: `putKey${suffix}`,
    tag: 'keys',
    summary: `Write ${how}`,
    description: 'Answered once a majority has it on its disks. The Content-Type is stored and given back.',
    parameters: [parameter, 'ttl', ...writeParameters],
    body: { type: 'bytes' },
    answers: [answer(200, 'The key had a value, and this replaced it.'), answer(201, 'The key is new.')],
    problems: [
      'not_leader',
      'invalid_key',
      'invalid_ttl',
      'value_too_large',
      'unsupported_media_type',
      'disk_full',
      ...writeProblems.filter((code) => code !== 'key_not_found'),
    ],
  };
}

function remove({ parameter, suffix, how }: Spelling): OperationDescription {
  return {
    operationId: `deleteKey${suffix}`,
    tag: 'keys',
    summary: `Delete ${how}`,
    parameters: [parameter, ...writeParameters],
    answers: [
      {
        status: 200,
        description: 'The key is gone.',
        headers: ['Idempotency-Replayed', ...origin],
        content: { type: 'json', schema: 'deleteResult' },
      },
    ],
    problems: ['not_leader', 'invalid_key', ...writeProblems],
  };
}
