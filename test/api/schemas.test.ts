/** Our own schemas are taken at their word at each start: here they are held to the standard. */
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { requestSchemas } from '../../src/api/schemas.ts';
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

function withoutRequired(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema, (name, value: unknown) => (name === 'required' ? undefined : value)),
  ) as object;
}
