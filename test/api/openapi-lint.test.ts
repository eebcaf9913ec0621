/** The OpenAPI document by somebody else's measure: Redocly's linter, which knows OpenAPI 3.1, its own schemas and what people expect beyond them. */
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/api/openapi/document.ts';

const { security, ...document } = openApiDocument();

async function complaintsOf(source: object): Promise<string[]> {
  // It does not see that alternatives are told apart by what stands deeper in them, nor that ajv, for which the discriminator is meant, takes them inline.
  const rules = { 'no-illogical-composition-keywords': 'off' } as const;
  const config = await createConfig({ extends: ['recommended-strict'], rules });
  const problems = await lintFromString({ source: JSON.stringify(source), absoluteRef: 'openapi.json', config });
  return problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer ?? ''}`);
}

describe('the document', () => {
  it('has nothing to complain of', async () => {
    expect(await complaintsOf({ ...document, security })).toEqual([]);
  });

  it('would not pass with a slip of the pen', async () => {
    const spoilt = structuredClone(document) as Record<string, Record<string, object>>;
    spoilt['paths'] = { ...spoilt['paths'], '/nowhere': { get: { responses: { 200: { descripton: 'x' } } } } };
    const complaints = await complaintsOf({ ...spoilt, security });
    expect(complaints.join('\n')).toContain('descripton');
  });
});
