/** JSON schemas (draft 7) of every JSON body that is answered, and of those that are taken. Nothing else may appear: `additionalProperties` is false throughout. */
import { errorTable } from './errors.ts';

/** As much of JSON Schema as is used here. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const text: JsonSchema = { type: 'string' };
const name: JsonSchema = { type: 'string', minLength: 1 };
const count: JsonSchema = { type: 'integer', minimum: 0 };
const hash: JsonSchema = { type: 'integer', minimum: 0, maximum: 0xffff_ffff };
const nodeIdOrNull: JsonSchema = { type: ['string', 'null'], minLength: 1 };
/** Standard base64 with padding (RFC 4648, section 4). */
const base64: JsonSchema = {
  type: 'string',
  pattern: '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$',
};

function object(required: Record<string, JsonSchema>, optional: Record<string, JsonSchema> = {}): JsonSchema {
  return {
    type: 'object',
    properties: { ...required, ...optional },
    required: Object.keys(required),
    additionalProperties: false,
  };
}

function list(items: JsonSchema): JsonSchema {
  return { type: 'array', items };
}

/** A key's bytes stand as `key` where they are UTF-8 and as `keyBase64` where they are not. */
function withKey(required: Record<string, JsonSchema>): JsonSchema {
  return { oneOf: [object({ key: name, ...required }), object({ keyBase64: base64, ...required })] };
}

const partition: JsonSchema = object(
  {
    id: count,
    range: { type: 'array', items: hash, minItems: 2, maxItems: 2 },
    epoch: count,
    leader: nodeIdOrNull,
    term: count,
    commitIndex: count,
    appliedIndex: count,
    replicas: list(
      object({
        nodeId: name,
        role: { enum: ['leader', 'follower', 'learner'] },
        matchIndex: count,
        lag: count,
        state: { enum: ['ok', 'snapshot', 'in_doubt', 'stopped', 'unreachable'] },
      }),
    ),
  },
  { keys: count, bytes: count },
);

const member: JsonSchema = object({
  nodeId: name,
  http: text,
  peer: text,
  labels: { type: 'object', additionalProperties: text },
  state: { enum: ['up', 'down', 'joining', 'draining', 'removed'] },
  leads: count,
  replicas: count,
});

export const schemas = {
  putResult: withKey({ revision: count, partition: count, created: { type: 'boolean' } }),
  deleteResult: withKey({ revision: count, deleted: { const: true } }),
  problem: object(
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
    { partition: count, leader: name },
  ),
  cluster: object({ clusterId: text, name, nodes: list(member), partitions: count, epoch: count }),
  partition,
  partitions: list(partition),
  leader: object({ id: count, leader: name, term: count }),
  locate: withKey({ hash, partition: count, leader: nodeIdOrNull, replicas: list(name) }),
  livez: object({ status: { const: 'ok' }, nodeId: name }),
  readyz: object({ status: { enum: ['ready', 'not_ready'] }, nodeId: name, reasons: list(text) }),
} as const satisfies Record<string, JsonSchema>;

export type SchemaName = keyof typeof schemas;

/** What a request body holds once its schema has passed it. */
export interface RequestBodies {
  readonly moveLeader: { readonly nodeId: string };
}

export const requestSchemas = {
  moveLeader: object({ nodeId: name }),
} as const satisfies Record<keyof RequestBodies, JsonSchema>;
