/** Our own schemas are taken at their word at each start: here they are held to the standard. */
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { hostPortPattern, nodeIdPattern, plainHttpUrlPattern } from '../../src/api/member-fields.ts';
import { requestSchemas, schemas, type SchemaName } from '../../src/api/schemas.ts';
import { toJsonSchema } from '../../src/cli/config-checks.ts';
import { configSchema } from '../../src/cli/config-schema.ts';
import { schemaOptions } from '../../src/http/json-body.ts';
import { defaults } from '../../src/config.ts';

test.each([
  ['configuration', toJsonSchema(configSchema)],
  ...Object.entries(requestSchemas).map(([name, schema]) => [name, schema] as const),
] as const)('%s is a sound JSON schema', (_name, schema) => {
  const ajv = new Ajv(schemaOptions);
  expect(ajv.validateSchema(schema)).toBe(true);
  expect(() => ajv.compile(schema)).not.toThrow();
});

test('all defaults are sound', () => {
  const schema = withoutRequired(toJsonSchema(configSchema));
  const validate = new Ajv({ strict: true, allErrors: true }).compile(schema);
  expect(Object.keys(defaults).length).toBeGreaterThan(5);
  validate(defaults);
  expect(validate.errors ?? []).toEqual([]);
  expect(validate({ ...defaults, raft: { ...defaults.raft, tickMs: -1 } })).toBe(false);
});

test.each([
  [nodeIdPattern, ['n1', 'A.b_c-9', 'n'.repeat(64)], ['', 'n 1', 'n/1', 'ñ', 'n'.repeat(65), 'n1\n']],
  [
    hostPortPattern,
    ['h:1', '10.0.0.1:65535', '[::1]:7101'],
    ['h', 'h:0', 'h:65536', 'h:99999', '::1:1', 'a b:1', ':1', 'u@h:1'],
  ],
  [
    plainHttpUrlPattern,
    ['http://h', 'http://h:65535', 'http://[::1]:1'],
    [
      'https://h',
      'h:1',
      'http://',
      'http://h/',
      'http://h?a',
      'http://h#a',
      'http://u@h',
      'http://h:',
      'http://h:65536',
    ],
  ],
] as const)('%s is what a member may be called, or where it may be reached', (pattern, right, wrong) => {
  const validate = new Ajv().compile({ type: 'string', pattern });
  expect(right.filter((text) => !validate(text))).toEqual([]);
  expect(wrong.filter((text) => validate(text))).toEqual([]);
});

const move = { partition: 1, from: null, to: 'n2', bytes: 0 };
const plan = { moves: [move], replicas: 1, bytes: 0, fraction: 1, ideal: 0, risks: ['one'] };
const step = { partition: 1, reason: 'join', from: [], to: ['n2'], step: 'catch_up', progress: 0.5, lag: 0 };
const operation = { ...step, since: '2026-01-02T03:04:05.006Z' };

test.each([
  ['plan', { plan }, true],
  ['plan', { plan: { ...plan, more: 1 } }, false],
  ['plan', { plan: { ...plan, moves: [{ ...move, more: 1 }] } }, false],
  ['plan', { plan: { ...plan, moves: [{ ...move, from: undefined }] } }, false],
  ['plan', { plan: { ...plan, fraction: 1.1 } }, false],
  ['plan', { plan, more: 1 }, false],
  ['operations', { operations: [operation, { ...operation, blockedBy: 'n2 is down' }] }, true],
  ['operations', { operations: [{ ...operation, more: 1 }] }, false],
  ['operations', { operations: [{ ...operation, since: 5 }] }, false],
  ['operations', { operations: [{ ...operation, step: 'dance' }] }, false],
  ['operations', { operations: [{ ...operation, progress: -0.1 }] }, false],
] as const satisfies readonly (readonly [SchemaName, object, boolean])[])(
  '%s takes its own shape and no other: %j',
  (name, body, right) => {
    const value: unknown = JSON.parse(JSON.stringify(body));
    expect(new Ajv({ allowUnionTypes: true }).validate(schemas[name], value)).toBe(right);
  },
);

function withoutRequired(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema, (name, value: unknown) => (name === 'required' ? undefined : value)),
  ) as object;
}
