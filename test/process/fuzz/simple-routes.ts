/** Moves by the simple routes, and looks at what nodes tell of themselves. */
import { isUtf8 } from 'node:buffer';
import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { SchemaName } from '../../../src/api/schemas.ts';
import type { Call } from '../../http/http-client.ts';
import { inUrl, spelling } from './keys.ts';
import { index, keyAt } from './single-key.ts';
import { expectBody, expectBytes, expectKey, expectRefusal, type Move, type Stream } from './stream.ts';
import { longTtl, textValue } from './values.ts';

/** These routes know keys as text only. */
function textKeyAt(stream: Stream, at: number): Buffer {
  for (let i = at; ; i += 1) {
    const key = keyAt(stream, i);
    if (isUtf8(key)) return key;
  }
}

const textType = 'text/plain; charset=utf-8';
type SetForm = 'POST body' | 'PUT body' | 'path' | 'query';

interface Setting {
  readonly form: SetForm;
  readonly key: Buffer;
  /** In a body any JSON. */
  readonly json: unknown;
  /** In a path or query. */
  readonly text: string;
  readonly ttl: string | undefined;
}

function settingCall({ form, key, json, text, ttl }: Setting): Call {
  switch (form) {
    case 'POST body':
    case 'PUT body': {
      const [method, path] = form === 'PUT body' ? ['PUT', '/put'] : ['POST', '/set'];
      const body = Buffer.from(
        JSON.stringify({ key: key.toString(), value: json, ...(ttl === undefined ? {} : { ttl }) }),
      );
      return { method, path, headers: { 'Content-Type': 'application/json; charset=utf-8' }, body };
    }
    case 'path':
      return { method: 'POST', path: `/set/${inUrl(key, 'usual')}/${encodeURIComponent(text).replaceAll('%2F', '/')}` };
    case 'query': {
      const query = new URLSearchParams({ key: key.toString(), value: text, ...(ttl === undefined ? {} : { ttl }) });
      return { path: `/set?${query.toString()}` };
    }
  }
}

const set: fc.Arbitrary<Move> = fc
  .record({
    form: fc.constantFrom<SetForm>('POST body', 'PUT body', 'path', 'query'),
    at: index,
    json: fc.oneof(fc.jsonValue(), textValue),
    text: textValue,
    ttl: fc.option(longTtl, { freq: 3, nil: undefined }),
  })
  .map((drawn): Move => (stream) => {
    const key = textKeyAt(stream, drawn.at);
    const inBody = drawn.form.endsWith('body');
    const value = inBody ? drawn.json : drawn.text;
    const ttl = drawn.form === 'path' ? undefined : drawn.ttl;
    const isText = typeof value === 'string';
    // A zero loses its sign as it is written down.
    const text = isText ? value : JSON.stringify(JSON.parse(JSON.stringify(value)));
    return {
      request: settingCall({ form: drawn.form, key, json: drawn.json, text: drawn.text, ttl }),
      neverRedirected: true,
      judge: (answer) => {
        const body = expectBody(answer, 200, 'simpleSet');
        expectKey(body, key);
        assert.equal(body['value'], text);
        stream.model.put(key, {
          value: Buffer.from(text),
          contentType: isText ? textType : 'application/json',
          etag: undefined,
          revision: body['revision'] as number,
          expires: ttl !== undefined,
        });
      },
    };
  });

const get: fc.Arbitrary<Move> = fc
  .record({ at: index, byPath: fc.boolean(), spelling })
  .map((drawn): Move => (stream) => {
    const key = textKeyAt(stream, drawn.at);
    const byQuery = `/get?${new URLSearchParams({ key: key.toString() }).toString()}`;
    const current = stream.model.get(key);
    return {
      request: { path: drawn.byPath ? `/get/key=${inUrl(key, drawn.spelling)}` : byQuery },
      neverRedirected: true,
      judge: (answer) => {
        if (current === undefined) return expectRefusal(answer, ['key_not_found']);
        const body = expectBody(answer, 200, 'simpleGet');
        expectKey(body, key);
        const text = body['value'];
        const bytes =
          typeof text === 'string' ? Buffer.from(text) : Buffer.from(body['valueBase64'] as string, 'base64');
        expectBytes(bytes, current.value);
      },
    };
  });

const remove: fc.Arbitrary<Move> = fc.record({ at: index }).map(({ at }): Move => (stream) => {
  const key = textKeyAt(stream, at);
  const current = stream.model.get(key);
  return {
    request: { method: 'DELETE', path: `/delete?${new URLSearchParams({ key: key.toString() }).toString()}` },
    neverRedirected: true,
    judge: (answer) => {
      if (current === undefined) return expectRefusal(answer, ['key_not_found']);
      expectKey(expectBody(answer, 200, 'simpleDelete'), key);
      stream.model.delete(key);
    },
  };
});

const looks: readonly (readonly [string, SchemaName])[] = [
  ['/v1/cluster', 'cluster'],
  ['/v1/cluster/partitions', 'partitions'],
  ['/v1/cluster/partitions/1', 'partition'],
  ['/v1/cluster/partitions/0', 'partition'],
  ['/v1/cluster/operations', 'operations'],
  ['/livez', 'livez'],
  ['/readyz', 'readyz'],
  ['/dashboard', 'dashboard'],
  ['/openapi.json', 'openApi'],
];

const look: fc.Arbitrary<Move> = fc.constantFrom(...looks).map(([path, schema]): Move => () => ({
  request: { path },
  neverRedirected: true,
  judge: (answer) => void expectBody(answer, 200, schema),
}));

const locate: fc.Arbitrary<Move> = fc.record({ at: index, spelling }).map((drawn): Move => (stream) => {
  const key = textKeyAt(stream, drawn.at);
  return {
    request: { path: `/v1/locate/${inUrl(key, drawn.spelling)}` },
    neverRedirected: true,
    judge: (answer) => expectKey(expectBody(answer, 200, 'locate'), key),
  };
});

export const simpleMoves: readonly fc.WeightedArbitrary<Move>[] = [
  { weight: 7, arbitrary: set },
  { weight: 5, arbitrary: get },
  { weight: 1, arbitrary: remove },
  { weight: 1, arbitrary: look },
  { weight: 2, arbitrary: locate },
];
