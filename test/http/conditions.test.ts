import { expect, test } from 'vitest';
import { parseConditions } from '../../src/http/conditions.ts';

const version = (revision: number) => ({ incarnation: 1, revision });
const parse = (match?: string, noneMatch?: string) =>
  parseConditions({
    ...(match === undefined ? {} : { 'if-match': match }),
    ...(noneMatch === undefined ? {} : { 'if-none-match': noneMatch }),
  });
const never = { incarnation: 0, revision: 0 };

test.each([
  [undefined, undefined, undefined, undefined],
  ['*', undefined, 'any', undefined],
  [undefined, '*', undefined, 'any'],
  ['"1-42"', undefined, [version(42)], undefined],
  [' "1-42" , "1-43"', undefined, [version(42), version(43)], undefined],
  ['"1-42"', '*', [version(42)], 'any'],
  // Not ours, and yet ETags: they match nothing.
  ['"xyz"', undefined, [never], undefined],
  ['"a,b", "1-2"', undefined, [never, version(2)], undefined],
  ['"01-42"', undefined, [never], undefined],
  ['"1-99999999999999999"', undefined, [never], undefined],
  ['"99999999999-1"', undefined, [never], undefined],
  ['""', undefined, [never], undefined],
  // Weak: never equal for If-Match, the same for If-None-Match.
  ['W/"1-42"', undefined, [never], undefined],
  [undefined, 'W/"1-42"', undefined, [version(42)]],
])('If-Match: %s, If-None-Match: %s', (match, noneMatch, expectedMatch, expectedNoneMatch) => {
  expect(parse(match, noneMatch)).toEqual({
    type: 'conditions',
    conditions: { match: expectedMatch, noneMatch: expectedNoneMatch },
  });
});

test.each(['', '1-42', '"1-42', '"1-42" "1-43"', '"1-42",', ',"1-42"', '*, "1-42"', 'w/"1-42"'])(
  '%j is refused',
  (text) => {
    expect(parse(text)).toMatchObject({ type: 'failure', code: 'invalid_request' });
    expect(parse(undefined, text)).toMatchObject({ type: 'failure', code: 'invalid_request' });
  },
);

test('more ETags than a command can carry are refused', () => {
  expect(parse(Array.from({ length: 255 }, () => '"1-1"').join())).toMatchObject({ type: 'conditions' });
  expect(parse(Array.from({ length: 256 }, () => '"1-1"').join())).toMatchObject({ type: 'failure' });
});
