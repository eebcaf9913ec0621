/** JSON schemas (draft 7) of every JSON body that is answered, and of those that are taken. Nothing else may appear: `additionalProperties` is false throughout. */
import { addNode, cluster, operations, partition, plan, type AddNodeBody } from './cluster-schemas.ts';
import { errorTable } from './errors.ts';
import {
  anyObject,
  base64,
  count,
  hash,
  list,
  name,
  needs,
  nodeIdOrNull,
  object,
  oneOfPairs,
  text,
  time,
  withKey,
  type JsonSchema,
} from './schema-parts.ts';

const problem: JsonSchema = object(
  {
    type: name,
    title: name,
    status: { enum: [...new Set(Object.values(errorTable).map((entry) => entry.status))] },
    detail: name,
    code: { enum: Object.keys(errorTable) },
    outcome: { enum: ['not_applied', 'unknown'] },
    retryable: { type: 'boolean' },
    requestId: name,
  },
  { partition: count, leader: name, revision: count },
);

/** Of one operation of a batch or a transaction. */
const result: JsonSchema = {
  oneOf: [
    withKey(
      { status: { enum: [200, 201] }, revision: count, etag: name, created: { type: 'boolean' } },
      { expiresAt: time },
    ),
    withKey({ status: { const: 200 }, revision: count, deleted: { const: true } }),
    withKey(
      { status: { const: 200 }, revision: count, etag: name, value: text },
      { contentType: name, expiresAt: time },
    ),
    withKey(
      { status: { const: 200 }, revision: count, etag: name, valueBase64: base64 },
      { contentType: name, expiresAt: time },
    ),
    withKey({ status: { type: 'integer', minimum: 400 }, error: problem }, { revision: count, etag: name }),
  ],
};

/** One key of a scan; its value is left out where only keys were asked for. */
const scanned: JsonSchema = {
  oneOf: ['key', 'keyBase64'].flatMap((keyName) =>
    [{}, { value: text }, { valueBase64: base64 }].map((valuePart) =>
      object(
        { [keyName]: keyName === 'key' ? name : base64, ...valuePart, revision: count, etag: name },
        { expiresAt: time },
      ),
    ),
  ),
};

const changed = { revision: count, etag: name, partition: count };

export const schemas = {
  scan: object({ items: list(scanned) }, { cursor: name }),
  /** A line of a scan that streams. */
  scanLine: {
    oneOf: [
      scanned,
      object({ end: { const: true }, count }, { cursor: name }),
      object({ end: { const: false }, count, error: problem }, { cursor: name }),
    ],
  },
  /** A line of a watch: what happened to a key, that nothing is missing so far, or why it ends. */
  watchLine: {
    oneOf: [
      ...[{ value: text }, { valueBase64: base64 }].map((valuePart) =>
        object({
          event: { const: 'put' },
          cursor: name,
          data: withKey({ ...valuePart, ...changed }, { contentType: name }),
        }),
      ),
      object({ event: { enum: ['delete', 'expire'] }, cursor: name, data: withKey(changed) }),
      object({ event: { const: 'bookmark' }, cursor: name }),
      object({ event: { const: 'end' }, data: problem }),
    ],
  },
  prefixDelete: object({ deleted: count }),
  putResult: withKey({ revision: count, partition: count, created: { type: 'boolean' } }, { expiresAt: time }),
  deleteResult: withKey({ revision: count, deleted: { const: true } }),
  batch: object({ results: list(result) }),
  transaction: object({ succeeded: { type: 'boolean' }, results: list(result) }),
  simpleSet: withKey({ value: text, revision: count }),
  simpleGet: {
    oneOf: [withKey({ value: text }), withKey({ valueBase64: base64 })],
  },
  simpleDelete: withKey({ deleted: { const: true } }),
  problem,
  cluster,
  dashboard: object({ cluster, partitions: list(partition) }),
  partition,
  partitions: list(partition),
  leader: object({ id: count, leader: name, term: count }),
  plan,
  operations,
  locate: withKey({ hash, partition: count, leader: nodeIdOrNull, replicas: list(name) }),
  livez: object({ status: { const: 'ok' }, nodeId: name }),
  readyz: object(
    { status: { enum: ['ready', 'not_ready'] }, nodeId: name, reasons: list(text) },
    { warnings: list(text) },
  ),
  /** As far as we vouch for it: what stands in it is OpenAPI's own. */
  openApi: object({
    openapi: { const: '3.1.0' },
    info: anyObject,
    servers: list(anyObject),
    security: list(anyObject),
    tags: list(anyObject),
    paths: anyObject,
    components: anyObject,
  }),
} as const satisfies Record<string, JsonSchema>;

export type SchemaName = keyof typeof schemas;

/** One of the two, as the schemas see to. */
export interface KeyFields {
  readonly key?: string;
  readonly keyBase64?: string;
}

/** One of the two. */
export interface ValueFields {
  readonly value?: string;
  readonly valueBase64?: string;
}

interface ConditionFields {
  readonly ifMatch?: string;
  readonly ifNoneMatch?: string;
}

export type JsonOperation =
  | (KeyFields & { readonly op: 'get' })
  | (KeyFields & ConditionFields & { readonly op: 'delete' })
  | (KeyFields &
      ValueFields &
      ConditionFields & { readonly op: 'put'; readonly ttl?: string | number; readonly contentType?: string });

export interface JsonComparison extends KeyFields, ValueFields {
  readonly exists?: boolean;
  readonly revision?: number;
  readonly etag?: string;
}

/** What a request body holds once its schema has passed it. */
export interface RequestBodies {
  readonly batch: { readonly ops: readonly JsonOperation[] };
  readonly transaction: {
    readonly compare?: readonly JsonComparison[];
    readonly then?: readonly JsonOperation[];
    readonly else?: readonly JsonOperation[];
  };
  readonly moveLeader: { readonly nodeId: string };
  readonly addNode: AddNodeBody;
  readonly simpleSet: { readonly key: string; readonly value: unknown; readonly ttl?: string | number };
}

/** Operations of one batch, or of one branch of a transaction. */
export const operationsMax = 1000;
const lifetime: JsonSchema = { type: ['string', 'number'] };
const conditional = { ifMatch: text, ifNoneMatch: text };

/** Told apart by `op` first, so that a mistake is named by what was meant. */
const operation: JsonSchema = {
  type: 'object',
  required: ['op'],
  discriminator: { propertyName: 'op' },
  oneOf: [
    oneOfPairs({ op: { const: 'get' } }, {}, ['key']),
    oneOfPairs({ op: { const: 'delete' } }, conditional, ['key']),
    oneOfPairs({ op: { const: 'put' } }, { ...conditional, ttl: lifetime, contentType: text }, ['key', 'value']),
  ],
};
const operationList: JsonSchema = { ...list(operation), maxItems: operationsMax };
/** A command carries no larger number. */
const revision: JsonSchema = { ...count, maximum: Number.MAX_SAFE_INTEGER };
const comparison: JsonSchema = {
  ...oneOfPairs({}, { exists: { type: 'boolean' }, revision, etag: text, value: text, valueBase64: text }, ['key']),
  not: needs('value', 'valueBase64'),
};

export const requestSchemas = {
  batch: object({ ops: operationList }),
  transaction: object(
    {},
    { compare: { ...list(comparison), maxItems: operationsMax }, then: operationList, else: operationList },
  ),
  moveLeader: object({ nodeId: name }),
  addNode,
  // A value of any type, and a lifetime in seconds also as a number.
  simpleSet: object({ key: text, value: {} }, { ttl: { type: ['string', 'number'] } }),
} as const satisfies Record<keyof RequestBodies, JsonSchema>;
