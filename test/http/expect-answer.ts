/** Checks of whole answers: every JSON body against its schema, every error against the table. */
import assert from 'node:assert/strict';
import { Ajv } from 'ajv';
import { expect } from 'vitest';
import { errorTable, problemContentType, type ErrorCode, type Problem } from '../../src/api/errors.ts';
import { schemas, type SchemaName } from '../../src/api/schemas.ts';
import type { Answer } from './http-client.ts';

const ajv = new Ajv({ allErrors: true, allowUnionTypes: true, strict: true });
const validators = new Map(Object.entries(schemas).map(([name, schema]) => [name, ajv.compile(schema)]));

/** The body, once it is known to be one line of JSON that the schema allows. */
export function expectJson(answer: Answer | undefined, schema: SchemaName, contentType = 'application/json'): unknown {
  assert(answer !== undefined, 'the connection was closed without an answer');
  expect(answer.headers['content-type']).toBe(contentType);
  const text = answer.body.toString('utf8');
  expect(text.endsWith('\n'), 'a JSON body ends in a newline').toBe(true);
  const body: unknown = JSON.parse(text);
  const validate = validators.get(schema);
  expect(validate?.(body), `${schema}: ${ajv.errorsText(validate?.errors)} in ${text}`).toBe(true);
  expect(answer.headers['flotilla-node']).toBeTruthy();
  return body;
}

export function expectProblem(answer: Answer | undefined, code: ErrorCode): Problem {
  const problem = expectJson(answer, 'problem', problemContentType) as Problem;
  assert(answer !== undefined, 'expectJson has seen to it');
  const { status, title } = errorTable[code];
  expect({ status: answer.status, code: problem.code, detail: problem.detail }).toMatchObject({ status, code });
  expect(problem).toMatchObject({ status, title });
  expect(answer.headers['x-request-id']).toBe(problem.requestId);
  expect(answer.headers['cache-control']).toBe('no-store');
  return problem;
}
