/** How a route is described: the data from which the OpenAPI document is made, and nothing but data. */
import type { ErrorCode } from '../errors.ts';
import type { RequestBodies, SchemaName } from '../schemas.ts';
import type { HeaderName, ParameterName } from './parameters.ts';

export type Method = 'get' | 'put' | 'post' | 'delete';

export interface RouteDescription {
  /** As in OpenAPI; a variable at the end takes in all that follows, slashes too. */
  readonly path: string;
  /** Each GET stands for its HEAD, too, unless the route takes none. */
  readonly withoutHead?: true;
  readonly operations: { readonly [M in Method]?: OperationDescription };
}

export interface OperationDescription {
  readonly operationId: string;
  readonly tag: TagName;
  readonly summary: string;
  readonly description?: string;
  readonly parameters?: readonly ParameterName[];
  readonly body?: BodyDescription;
  readonly answers: readonly AnswerDescription[];
  /** What it refuses with, beside that which any request may meet. */
  readonly problems?: readonly ErrorCode[];
}

/** Bytes of any type, or JSON by the schema that checks it. */
export type BodyDescription =
  { readonly type: 'bytes' } | { readonly type: 'json'; readonly schema: keyof RequestBodies };

export interface AnswerDescription {
  readonly status: number;
  readonly description: string;
  readonly headers?: readonly HeaderName[];
  readonly content?: ContentDescription;
}

export type ContentDescription =
  | { readonly type: 'bytes' }
  | { readonly type: 'html' }
  /** Prometheus's text format. */
  | { readonly type: 'metrics' }
  /** Server-sent events; `lines` as below. */
  | { readonly type: 'events'; readonly lines: SchemaName }
  /** `lines`: the same as lines of JSON, each by this schema, for whoever accepts `application/x-ndjson`. */
  | { readonly type: 'json'; readonly schema: SchemaName; readonly lines?: SchemaName };

export const tags = {
  keys: 'Single keys: linearizable reads and durable writes.',
  'many keys': 'Several keys in one request.',
  'simple routes': 'The forms that small key-value servers made popular. Always forwarded, never redirected.',
  cluster: 'Who is there, who leads what, and where a key lives.',
  node: 'What one node says of itself.',
} as const;

export type TagName = keyof typeof tags;
