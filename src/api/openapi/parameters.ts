/** Parameters that requests take and headers that answers carry, each described once and referred to by name. */
import type { JsonSchema } from '../schema-parts.ts';

export interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query' | 'header';
  readonly description: string;
  readonly required?: true;
  readonly schema: JsonSchema;
  readonly example?: string | number;
}

const text: JsonSchema = { type: 'string' };
const someText: JsonSchema = { type: 'string', minLength: 1 };
const count: JsonSchema = { type: 'integer', minimum: 0 };

function inPath(name: string, description: string, schema: JsonSchema = someText): Parameter {
  return { name, in: 'path', required: true, description, schema };
}

function inQuery(name: string, description: string, schema: JsonSchema = text): Parameter {
  return { name, in: 'query', description, schema };
}

function inHeader(name: string, description: string, schema: JsonSchema = text): Parameter {
  return { name, in: 'header', description, schema };
}

const lifetime =
  '1 ms to 10 years: `1500ms`, `60s`, `1.5s`, `5m`, `1h30m`, `2h`, `1d`, or whole seconds. A write without it clears an earlier one.';

export const parameters = {
  key: {
    ...inPath(
      'key',
      'The key, 1 to 1,024 bytes of UTF-8, percent-decoded once and never normalised. A slash may stand as it is or as `%2F`.',
    ),
    example: 'user/1',
  },
  keyBase64: {
    ...inPath('keyBase64', 'The bytes of the key as base64url without padding, for keys that no path can carry.', {
      type: 'string',
      pattern: '^[A-Za-z0-9_-]+$',
    }),
    example: 'dXNlci8x',
  },
  keyOfLocate: { ...inPath('key', 'The key, percent-decoded once.'), example: 'user/1' },
  partitionId: {
    ...inPath('id', 'The id of a partition; 0 is the group that looks after the cluster and holds no keys.', count),
    example: 1,
  },
  nodeId: { ...inPath('id', 'The id of a node.'), example: 'n3' },
  dryRun: inQuery('dry_run', 'Changes nothing: shows what would move, and what is less safe meanwhile.', {
    type: 'boolean',
    default: false,
  }),
  simpleKeyInPath: { ...inPath('key', 'The key, percent-encoded; it ends at the first slash.'), example: 'user1' },
  simpleKey: { ...inPath('key', 'The key, percent-encoded.'), example: 'user1' },
  simpleValueInPath: {
    ...inPath('value', 'The value, percent-encoded UTF-8; more slashes belong to it.', text),
    example: 'Ada',
  },
  simpleKeyInQuery: { ...inQuery('key', 'The key.', someText), required: true, example: 'user/1' },
  simpleValueInQuery: { ...inQuery('value', 'The value, a text.'), required: true, example: 'Ada' },
  ttl: { ...inQuery('ttl', `How long the key is to live: ${lifetime}`), example: '60s' },
  route: inQuery(
    'route',
    '`forward`: the node fetches the answer from the leader itself, instead of a 307 that names it.',
    {
      enum: ['redirect', 'forward'],
    },
  ),
  consistency: inQuery('consistency', 'How fresh the answer is.', { enum: ['linearizable'], default: 'linearizable' }),
  readConsistency: inQuery('consistency', '`stale`: what any replica has, at once, labelled with its age.', {
    enum: ['linearizable', 'stale'],
    default: 'linearizable',
  }),
  maxStaleness: {
    ...inQuery('max_staleness', 'How old a stale answer may be; an older one is refused with `too_stale`.'),
    example: '500ms',
  },
  fallback: inQuery('fallback', 'Answers stale, labelled, where no leader answers in time.', { enum: ['stale'] }),
  prefix: { ...inQuery('prefix', 'Keys that begin with it.'), example: 'user/' },
  prefixBase64: inQuery('prefixBase64', 'The same in standard base64, for bytes that are not UTF-8.'),
  watchedKey: { ...inQuery('key', 'The one key; it and a prefix do not go together.', someText), example: 'user/1' },
  watchedKeyBase64: inQuery('keyBase64', 'The same in standard base64.', someText),
  from: inQuery('from', 'The cursor to go on from; without one it begins with what happens from now on.'),
  start: inQuery('start', 'Keys from this one on.'),
  startBase64: inQuery('startBase64', 'The same in standard base64.'),
  end: inQuery('end', 'Keys before this one.'),
  endBase64: inQuery('endBase64', 'The same in standard base64.'),
  limit: inQuery('limit', 'So many keys at most; as lines, all of them when it is left out.', {
    type: 'integer',
    minimum: 1,
    maximum: 10_000,
    default: 100,
  }),
  cursor: inQuery('cursor', 'Where an earlier page of the same scan ended.'),
  keysOnly: inQuery('keys_only', 'Values are left out.', { type: 'boolean', default: false }),
  reverse: inQuery('reverse', 'From the last key backwards; start and end keep their meaning.', {
    type: 'boolean',
    default: false,
  }),
  removedPrefix: {
    ...inQuery('prefix', 'Of the keys to remove; one byte at least. It or `prefixBase64` has to stand.'),
    example: 'user/',
  },
  confirm: {
    ...inQuery('confirm', 'The prefix again, so that nobody removes everything by accident.'),
    example: 'user/',
  },
  confirmBase64: inQuery('confirmBase64', 'Goes with `prefixBase64`.'),
  routeHeader: inHeader('Flotilla-Route', 'The same as the parameter `route`, which goes before it.', {
    enum: ['redirect', 'forward'],
  }),
  timeoutMs: inHeader('Flotilla-Timeout-Ms', 'How long the request may take, in milliseconds.', {
    type: 'integer',
    minimum: 1,
    maximum: 60_000,
    default: 5000,
  }),
  lastEventId: inHeader(
    'Last-Event-ID',
    'The same as `from`, and goes before it: browsers send it when they come back.',
  ),
  ifMatch: inHeader('If-Match', 'Does it only if the key has one of these ETags; `*`: if the key is there.'),
  ifNoneMatch: inHeader(
    'If-None-Match',
    'A write happens only if the key has none of these ETags; `*`: if it is not there. A read answers 304 instead of what the client has.',
  ),
  idempotencyKey: inHeader(
    'Idempotency-Key',
    'Names the request: a repeat gets the first answer again, and nothing is done twice. Kept for ten minutes unless configured otherwise.',
    { type: 'string', pattern: '^[\\x21-\\x7e]{1,128}$' },
  ),
  requestId: inHeader('X-Request-Id', 'A name of the client for this request: given back, and used in problems.', {
    type: 'string',
    pattern: '^[\\x21-\\x7e]{1,128}$',
  }),
} as const satisfies Record<string, Parameter>;

export type ParameterName = keyof typeof parameters;

export interface Header {
  readonly description: string;
  readonly schema: JsonSchema;
}

export const headers = {
  'Flotilla-Node': { description: 'The node that answered.', schema: someText },
  'Flotilla-Partition': { description: 'The partition of the key.', schema: count },
  'Flotilla-Term': { description: 'The term of the partition’s leader.', schema: count },
  'Flotilla-Leader': { description: 'The leader, where it is not the node that answered.', schema: someText },
  'Flotilla-Revision': { description: 'The revision of the write that made the value.', schema: count },
  'Flotilla-Expires-At': {
    description: 'When the key expires, if it does.',
    schema: { type: 'string', format: 'date-time' },
  },
  'Flotilla-Consistency': { description: 'How fresh the answer is.', schema: { enum: ['linearizable', 'stale'] } },
  'Flotilla-Staleness-Ms': {
    description: 'Everything that was committed so many milliseconds ago is in a stale answer.',
    schema: count,
  },
  'Flotilla-Scan': {
    description: 'Each partition’s part is linearizable, the whole is not one snapshot.',
    schema: { const: 'per-partition' },
  },
  'Idempotency-Replayed': {
    description: 'This is the answer to an earlier request, whose repeat this one is.',
    schema: { const: 'true' },
  },
  ETag: { description: 'The version of the value, in its quotes.', schema: someText },
  Location: { description: 'Where to go: the same path and query at the leader.', schema: text },
  'Retry-After': { description: 'Seconds until a repeat makes sense.', schema: count },
  'X-Request-Id': { description: 'The name of this request.', schema: someText },
} as const satisfies Record<string, Header>;

export type HeaderName = keyof typeof headers;
