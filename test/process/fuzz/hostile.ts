/**
 * Moves of which nobody knows what must come of them: headers, paths, queries and bodies made up at random. Whatever it is, it
 * is no fault of the server's, in the shape that the route's answers have. They touch keys that no model knows.
 */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { problemContentType } from '../../../src/api/errors.ts';
import type { SchemaName } from '../../../src/api/schemas.ts';
import { expectJson } from '../../http/expect-answer.ts';
import type { Answer, Call } from '../../http/http-client.ts';
import type { Move } from './stream.ts';

/** The store's share: an answer in its own shape. `schema`: of a success; none where it is a value's bytes. */
function expectOwnShape(answer: Answer, schema: SchemaName | undefined, method: string | undefined): void {
  if (method === 'HEAD' || answer.status === 304) return assert.equal(answer.body.length, 0);
  if (answer.status === 303) return;
  if (answer.status >= 300) return void expectJson(answer, 'problem', problemContentType);
  if (schema !== undefined) expectJson(answer, schema);
}

function hostile(request: Call, schema: SchemaName | undefined): Move {
  return () => ({ request, judge: (answer) => expectOwnShape(answer, schema, request.method) });
}

const scrap = fc.nat({ max: 50 }).map((n) => `/v1/kv/fuzz%2Fscrap%2F${n}`);

/** What Node's client agrees to send: printable, tab, and the upper half of Latin-1. */
const headerText = fc
  .array(fc.oneof(fc.integer({ min: 0x20, max: 0x7e }), fc.integer({ min: 0x80, max: 0xff }), fc.constant(9)), {
    maxLength: 40,
  })
  .map((codes) => String.fromCharCode(...codes));
const telling = fc.constantFrom(
  '*',
  '"1-2"',
  'W/"a"',
  '"a","b"',
  '", "',
  '"',
  ',',
  '1e9',
  '0x10',
  '+1',
  ' 60 ',
  'forward',
  'gzip',
  'null',
  'true',
);
const headerName = fc.constantFrom(
  ...[
    'If-Match',
    'If-None-Match',
    'Idempotency-Key',
    'Flotilla-Route',
    'X-Request-Id',
    'Content-Type',
    'Accept',
    'Range',
  ],
  ...[
    'Content-Encoding',
    'Authorization',
    'Cookie',
    'Sec-Fetch-Site',
    'Flotilla-Timeout-Ms',
    'Flotilla-Node',
    'Upgrade',
  ],
  ...[
    'If-Modified-Since',
    'If-Range',
    'X-Forwarded-For',
    'X-HTTP-Method-Override',
    'Origin',
    'TE',
    '__proto__',
    'constructor',
  ],
);
/** A deadline that is short and well formed is honoured, by a 503 or 504: that is no fault. */
const headers = fc
  .array(fc.tuple(headerName, fc.oneof(headerText, telling)), { maxLength: 4 })
  .map((pairs) => Object.fromEntries(pairs.map(([name, text]) => [name, /^ *\d+ *$/.test(text) ? `${text}x` : text])));

const withHeaders: fc.Arbitrary<Move> = fc
  .record({ method: fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE'), path: scrap, headers })
  .map(({ method, path, headers: drawn }) => {
    const schema = method === 'PUT' ? 'putResult' : method === 'DELETE' ? 'deleteResult' : undefined;
    return hostile(
      { method, path, headers: drawn, ...(method === 'PUT' ? { body: Buffer.from('scrap') } : {}) },
      schema,
    );
  });

const printable = fc
  .array(fc.oneof(fc.integer({ min: 0x21, max: 0x7e }), fc.constantFrom(0x25, 0x2f, 0x3f, 0x2e)), { maxLength: 30 })
  .map((codes) => String.fromCharCode(...codes));

/** Reads only: who knows whose keys they meet. */
const withPath: fc.Arbitrary<Move> = fc
  .record({
    method: fc.constantFrom('GET', 'HEAD'),
    start: fc.constantFrom(
      '/v1/kv/',
      '/v1/kv64/',
      '/',
      '/v1/',
      '/get/key=',
      '/get?key=',
      '/v1/locate/',
      '/v1/cluster/partitions/',
      '/livez?',
    ),
    rest: printable,
  })
  .map(({ method, start, rest }) => hostile({ method, path: start + rest }, undefined));

const withQuery: fc.Arbitrary<Move> = fc
  .record({ method: fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE'), path: scrap, query: printable })
  .map(({ method, path, query }) => hostile({ method, path: `${path}?${query}` }, undefined));

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** A sound body with one thing in it changed for any other. */
const templates: readonly (readonly [string, SchemaName, Json])[] = [
  [
    '/v1/batch',
    'batch',
    { ops: [{ op: 'put', key: 'fuzz/scrap/1', value: 'a', ttl: '1h', ifNoneMatch: '*', contentType: 'text/plain' }] },
  ],
  [
    '/v1/batch',
    'batch',
    {
      ops: [
        { op: 'get', keyBase64: 'ZnV6eg==' },
        { op: 'delete', key: 'fuzz/scrap/2', ifMatch: '"1-2"' },
      ],
    },
  ],
  [
    '/v1/txn',
    'transaction',
    {
      compare: [{ key: 'fuzz/{scrap}/1', exists: true, revision: 2, etag: '"1-2"', value: 'a' }],
      then: [{ op: 'put', key: 'fuzz/{scrap}/1', valueBase64: 'AA==', ttl: 60 }],
      else: [{ op: 'get', key: 'fuzz/{scrap}/2' }],
    },
  ],
  ['/set', 'simpleSet', { key: 'fuzz/scrap/3', value: 'a', ttl: '1h' }],
];

/** Strings with every code unit there is, halves of pairs among them. */
const anyString = fc.array(fc.nat({ max: 0xffff }), { maxLength: 20 }).map((units) => String.fromCharCode(...units));
const numbers = fc.constantFrom(
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  1e300,
  Number.MAX_SAFE_INTEGER,
);
const anyJson = fc.oneof(anyString, numbers, fc.jsonValue({ maxDepth: 3 })) as fc.Arbitrary<Json>;

const withBody: fc.Arbitrary<Move> = fc
  .record({
    template: fc.constantFrom(...templates),
    at: fc.nat({ max: 30 }),
    how: fc.constantFrom('replace', 'add', 'drop'),
    other: anyJson,
    name: anyString,
  })
  .map(({ template: [path, schema, sound], at, how, other, name }) => {
    const places = placesIn(sound);
    const place = places[at % places.length] ?? [];
    const body = JSON.stringify(changed(sound, place, { how, other, name }));
    const call = { method: 'POST', path, headers: { 'Content-Type': 'application/json', 'Flotilla-Route': 'forward' } };
    return hostile({ ...call, body: Buffer.from(body) }, schema);
  });

/** Every path into a value, its own included. */
function placesIn(json: Json): string[][] {
  if (typeof json !== 'object' || json === null) return [[]];
  return [[], ...Object.entries(json).flatMap(([name, one]) => placesIn(one).map((rest) => [name, ...rest]))];
}

interface Change {
  readonly how: string;
  readonly other: Json;
  readonly name: string;
}

function changed(json: Json, [first, ...rest]: readonly string[], change: Change): Json {
  if (first === undefined) {
    if (change.how === 'add' && typeof json === 'object' && json !== null && !Array.isArray(json)) {
      return { ...json, [change.name]: change.other };
    }
    return change.other;
  }
  if (Array.isArray(json)) {
    if (change.how === 'drop' && rest.length === 0) return json.filter((_one, i) => String(i) !== first);
    return json.map((one, i) => (String(i) === first ? changed(one, rest, change) : one));
  }
  const fields = Object.entries(json as Record<string, Json>);
  if (change.how === 'drop' && rest.length === 0) return Object.fromEntries(fields.filter(([name]) => name !== first));
  return Object.fromEntries(fields.map(([name, one]) => [name, name === first ? changed(one, rest, change) : one]));
}

/** Every key that the bodies above may have written is read again, whatever type was stored with it. */
const readBack: fc.Arbitrary<Move> = fc
  .constantFrom('fuzz%2Fscrap%2F1', 'fuzz%2Fscrap%2F2', 'fuzz%2Fscrap%2F3', 'fuzz%2F%7Bscrap%7D%2F1')
  .map((key) => hostile({ path: `/v1/kv/${key}?route=forward` }, undefined));

export const hostileMoves: readonly fc.WeightedArbitrary<Move>[] = [
  { weight: 4, arbitrary: withHeaders },
  { weight: 3, arbitrary: withPath },
  { weight: 2, arbitrary: withQuery },
  { weight: 8, arbitrary: withBody },
  { weight: 2, arbitrary: readBack },
];
