/** What is said of the cluster: who is in it, what it consists of, how it is changed and what moves. */
import { httpAddress, labels, nodeId, peerAddress } from './member-fields.ts';
import { count, hash, list, name, nodeIdOrNull, object, text, time, type JsonSchema } from './schema-parts.ts';

export const partition: JsonSchema = object(
  {
    id: count,
    range: { type: 'array', items: hash, minItems: 2, maxItems: 2 },
    epoch: count,
    incarnation: count,
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

export const cluster: JsonSchema = object({
  clusterId: text,
  name,
  nodes: list(member),
  partitions: count,
  epoch: count,
});

const share: JsonSchema = { type: 'number', minimum: 0, maximum: 1 };

/** A move without `from` is one replica more, without `to` one fewer. */
export const plan: JsonSchema = object({
  plan: object({
    moves: list(object({ partition: count, from: nodeIdOrNull, to: nodeIdOrNull, bytes: count })),
    replicas: count,
    bytes: count,
    fraction: share,
    ideal: share,
    risks: list(text),
  }),
});

const operation: JsonSchema = object(
  {
    partition: count,
    reason: { enum: ['join', 'drain', 'replace', 'repair', 'balance', 'purge'] },
    from: list(name),
    to: list(name),
    step: { enum: ['waiting', 'learner', 'catch_up', 'voters', 'leave', 'record'] },
    progress: share,
    lag: count,
    since: time,
  },
  { blockedBy: text },
);

export const operations: JsonSchema = object({ operations: list(operation) });

/** The share of a usual node is 1. */
const weight: JsonSchema = { type: 'number', exclusiveMinimum: 0, maximum: 1000, default: 1 };

export const addNode: JsonSchema = object({ nodeId, http: httpAddress, peer: peerAddress }, { labels, weight });

export interface AddNodeBody {
  readonly nodeId: string;
  readonly http: string;
  readonly peer: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly weight?: number;
}
