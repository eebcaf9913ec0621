/**
 * The OpenAPI 3.1 document, made of what the routes are described by (in this directory), of the schemas that check bodies,
 * and of the error table. Nothing of these is written a second time.
 */
import { errorTable, problemContentType, type ErrorCode } from '../errors.ts';
import type { JsonSchema } from '../schema-parts.ts';
import { requestSchemas, schemas } from '../schemas.ts';
import { changeRouteDescriptions } from './changes.ts';
import { clusterRouteDescriptions, nodeRouteDescriptions } from './cluster.ts';
import { requestExamples } from './examples.ts';
import { keyRoutes } from './keys.ts';
import { manyKeysRoutes } from './many-keys.ts';
import { headers, parameters, type HeaderName } from './parameters.ts';
import { simpleRouteDescriptions } from './simple.ts';
import {
  tags,
  type AnswerDescription,
  type BodyDescription,
  type ContentDescription,
  type OperationDescription,
  type RouteDescription,
} from './types.ts';
import { watchRoutes } from './watch.ts';

type Json = Readonly<Record<string, unknown>>;

export const routeDescriptions: readonly RouteDescription[] = [
  ...keyRoutes,
  ...manyKeysRoutes,
  ...watchRoutes,
  ...simpleRouteDescriptions,
  ...clusterRouteDescriptions,
  ...changeRouteDescriptions,
  ...nodeRouteDescriptions,
];

/** What any request may meet, whatever its route. */
const everywhere: readonly ErrorCode[] = [
  'invalid_request',
  'request_timeout',
  'uri_too_long',
  'expectation_failed',
  'overloaded',
  'headers_too_large',
  'internal_error',
  'shutting_down',
];

export function openApiDocument(): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Flotilla',
      summary: 'A strongly consistent, partitioned key-value store.',
      description:
        'Any node takes any request. Errors are problem details (RFC 9457): `code` is stable, `outcome` says whether a write ' +
        'was certainly not applied or may be, `retryable` whether the very same request may be sent again.',
      version: '1',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The node that gave this document; any other one serves as well.' }],
    // There are no credentials yet: who reaches the listener may do everything.
    security: [],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths: Object.fromEntries(routeDescriptions.map((route) => [route.path, pathItem(route)])),
    components: {
      schemas: {
        ...schemas,
        ...Object.fromEntries(Object.entries(requestSchemas).map(([name, schema]) => [requestName(name), schema])),
      },
      parameters,
      headers,
    },
  };
}

/** Request bodies beside answers of the same name. */
function requestName(name: string): string {
  return `${name}Request`;
}

function pathItem({ operations, withoutHead }: RouteDescription): Json {
  const item = Object.fromEntries(Object.entries(operations).map(([method, one]) => [method, operation(one)]));
  if (operations.get === undefined || withoutHead === true) return item;
  return { ...item, head: operation(operations.get, { ofHead: true }) };
}

function operation(one: OperationDescription, { ofHead } = { ofHead: false }): Json {
  const { operationId, tag, summary, description, body } = one;
  return {
    operationId: ofHead ? `${operationId}Head` : operationId,
    tags: [tag],
    summary: ofHead ? `${summary} (headers alone)` : summary,
    ...(description === undefined ? {} : { description }),
    parameters: (one.parameters ?? []).map((name) => reference('parameters', name)),
    ...(body === undefined ? {} : { requestBody: requestBody(body) }),
    responses: {
      ...problemResponses(one, ofHead),
      ...Object.fromEntries(one.answers.map((answer) => [answer.status, response(answer, ofHead)])),
    },
  };
}

function requestBody(body: BodyDescription): Json {
  if (body.type === 'bytes') return { required: false, content: { '*/*': { schema: {} } } };
  return {
    required: true,
    content: {
      'application/json': {
        schema: reference('schemas', requestName(body.schema)),
        example: requestExamples[body.schema],
      },
    },
  };
}

function response({ description, headers: named = [], content }: AnswerDescription, ofHead: boolean): Json {
  return {
    description,
    headers: headerReferences(['Flotilla-Node', 'X-Request-Id', ...named]),
    ...(content === undefined || ofHead ? {} : { content: contentOf(content) }),
  };
}

function contentOf(content: ContentDescription): Json {
  switch (content.type) {
    case 'bytes':
      return { '*/*': { schema: {} } };
    case 'html':
      return { 'text/html; charset=utf-8': { schema: { type: 'string' } } };
    case 'metrics':
      return { 'text/plain; version=0.0.4; charset=utf-8': { schema: { type: 'string' } } };
    case 'events':
      return {
        'text/event-stream': { schema: { type: 'string' } },
        'application/x-ndjson': { schema: reference('schemas', content.lines) },
      };
    case 'json':
      return {
        'application/json': { schema: reference('schemas', content.schema) },
        ...(content.lines === undefined
          ? {}
          : { 'application/x-ndjson': { schema: reference('schemas', content.lines) } }),
      };
  }
}

/** One response for each status, naming the codes it may carry. */
function problemResponses({ problems = [] }: OperationDescription, ofHead: boolean): Json {
  const codes = new Map<number, ErrorCode[]>();
  for (const code of new Set([...everywhere, ...problems])) {
    const { status } = errorTable[code];
    codes.set(status, [...(codes.get(status) ?? []), code]);
  }
  return Object.fromEntries([...codes].map(([status, named]) => [status, problemResponse(named, ofHead)]));
}

function problemResponse(codes: readonly ErrorCode[], ofHead: boolean): Json {
  const words = codes.map((code) => `\`${code}\`: ${errorTable[code].title}.`);
  const content = { [problemContentType]: { schema: reference('schemas', 'problem') } };
  return {
    description: words.join(' '),
    headers: headerReferences([...new Set(['Flotilla-Node', 'X-Request-Id', ...codes.flatMap(headersOf)] as const)]),
    ...(ofHead ? {} : { content }),
  };
}

function headersOf(code: ErrorCode): HeaderName[] {
  switch (code) {
    case 'not_leader':
      return ['Location', 'Flotilla-Leader', 'Flotilla-Partition', 'Flotilla-Term'];
    case 'precondition_failed':
      return ['ETag', 'Flotilla-Partition', 'Flotilla-Term', 'Flotilla-Leader', 'Idempotency-Replayed'];
    case 'key_not_found':
      return ['Flotilla-Partition', 'Flotilla-Term', 'Flotilla-Leader', 'Idempotency-Replayed'];
    case 'overloaded':
    case 'disk_full':
    case 'no_leader':
    case 'too_stale':
    case 'leader_not_moved':
    case 'partition_stopped':
    case 'shutting_down':
    case 'request_in_progress':
      return ['Retry-After'];
    default:
      return [];
  }
}

function headerReferences(names: readonly HeaderName[]): Json {
  return Object.fromEntries(names.map((name) => [name, reference('headers', name)]));
}

function reference(kind: 'schemas' | 'parameters' | 'headers', name: string): JsonSchema {
  return { $ref: `#/components/${kind}/${name}` };
}
