/** The OpenAPI document says what the application does: the same routes, the same methods, the very schemas that check bodies. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorTable } from '../../src/api/errors.ts';
import { openApiDocument } from '../../src/api/openapi/document.ts';
import { requestSchemas, schemas } from '../../src/api/schemas.ts';
import { routes } from '../../src/http/application.ts';
import { base64KeyPrefix, keyMethods, keyPrefix } from '../../src/http/handlers.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront();
  // A watch would go on for ever.
  front.node.watchOutcome = ({ begin }) => {
    begin().end({ type: 'shutting_down' });
    return { type: 'watching', close: () => undefined };
  };
});
afterAll(() => front.close());

interface Operation {
  readonly operationId: string;
  readonly responses: Record<string, { readonly content?: Record<string, unknown> }>;
}
interface Document {
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: Record<'schemas' | 'parameters' | 'headers', Record<string, object>>;
}

const document = openApiDocument() as unknown as Document;
const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

/** The methods of each route, as the application has it. */
const registered = new Map<string, readonly string[]>([
  [keyPrefix, keyMethods.split(', ')],
  [base64KeyPrefix, keyMethods.split(', ')],
  ...routes.map(({ path, methods }) => [path, methods] as const),
]);

/** As the application names it: whole, or up to where what varies begins. */
function registeredPath(path: string): string {
  return registered.has(path) ? path : path.slice(0, path.lastIndexOf('/', path.indexOf('{')) + 1);
}

describe('the document', () => {
  it('has every route that is registered, with its methods, and no other', () => {
    const described = new Map<string, string[]>();
    for (const { path, method } of operations) {
      const methods = described.get(registeredPath(path)) ?? [];
      described.set(registeredPath(path), [...methods, method]);
    }
    const sorted = (table: ReadonlyMap<string, readonly string[]>): [string, string[]][] =>
      [...table].map(([path, methods]): [string, string[]] => [path, methods.toSorted()]).toSorted();
    expect(sorted(described)).toEqual(sorted(registered));
  });

  it.each(operations.map(({ path, method }) => [method, path] as const))(
    'describes what is there: %s %s',
    async (method, path) => {
      const answer = await send(front.baseUrl, { method, path: path.replaceAll(/\{[a-zA-Z0-9]+\}/g, 'YQ') });
      const { code } = JSON.parse(answer.body.toString().startsWith('{') ? answer.body.toString() : '{}') as {
        readonly code?: string;
      };
      expect(['route_not_found', 'method_not_allowed']).not.toContain(code);
      const { responses } = document.paths[path]?.[method.toLowerCase()] as Operation;
      expect(Object.keys(responses)).toContain(String(answer.status));
    },
  );

  it('uses the schemas by which bodies are checked, all of them and no others', () => {
    const named = Object.entries(requestSchemas).map(([name, schema]) => [`${name}Request`, schema] as const);
    const known: Record<string, object> = { ...schemas, ...Object.fromEntries(named) };
    expect(Object.keys(document.components.schemas).toSorted()).toEqual(Object.keys(known).toSorted());
    for (const [name, schema] of Object.entries(known)) expect(document.components.schemas[name]).toBe(schema);
    const used = new Set(bodySchemas().map((schema) => schema.$ref));
    expect([...used].toSorted()).toEqual(
      Object.keys(known)
        .map((name) => `#/components/schemas/${name}`)
        .toSorted(),
    );
  });

  it('refers to nothing that is not there, and has nothing that nobody refers to', () => {
    const references = new Set(
      [...JSON.stringify(document.paths).matchAll(/"#\/components\/(\w+\/[\w-]+)"/g)].map(([, name]) => name),
    );
    const { components } = document;
    const there = Object.entries(components).flatMap(([kind, table]) =>
      Object.keys(table).map((name) => `${kind}/${name}`),
    );
    expect([...references].toSorted()).toEqual(there.toSorted());
  });

  it('names each operation once, and every code of the error table', () => {
    const names = operations.map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
    const text = JSON.stringify(document.paths);
    const elsewhere = ['route_not_found', 'method_not_allowed'];
    const missing = Object.keys(errorTable).filter((code) => !text.includes(`\`${code}\``));
    expect(missing.toSorted()).toEqual(elsewhere.toSorted());
  });
});

it('is served as it is', async () => {
  const answer = await send(front.baseUrl, { path: '/openapi.json' });
  expect(answer.status).toBe(200);
  expect(expectJson(answer, 'openApi')).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
  expect((await send(front.baseUrl, { method: 'HEAD', path: '/openapi.json' })).headers['content-length']).toBe(
    String(answer.body.length),
  );
  expectProblem(await send(front.baseUrl, { path: '/openapi.json?version=2' }), 'invalid_request');
});

/** Of every JSON body that is taken or answered. What is no JSON is bytes or a page. */
function bodySchemas(): { readonly $ref: string }[] {
  const found: { readonly $ref: string }[] = [];
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, one] of Object.entries(value)) {
      if (/^application\/(problem\+json|json|x-ndjson)$/.test(name))
        found.push((one as { schema: { $ref: string } }).schema);
      else walk(one);
    }
  };
  walk(document.paths);
  return found;
}
