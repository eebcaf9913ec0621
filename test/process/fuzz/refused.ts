/** Moves that must be refused, each with its code, and change nothing: later reads of the same keys would tell. */
import fc from 'fast-check';
import type { ErrorCode } from '../../../src/api/errors.ts';
import type { Call } from '../../http/http-client.ts';
import { pathOf, spelling } from './keys.ts';
import { index, keyAt } from './single-key.ts';
import { expectRefusal, type Move } from './stream.ts';
import { badTtl } from './values.ts';

function refused(request: Call, ...codes: ErrorCode[]): Move {
  return () => ({
    request,
    judge: (answer) => expectRefusal(answer, codes, request.method === 'HEAD'),
    neverRedirected: true,
  });
}

const keyMethod = fc.constantFrom('GET', 'HEAD', 'PUT', 'DELETE');

const badKeys = [
  ...['', '%', '%f', '%zz', 'a%', '%FF', '%C0%AF', '%ED%A0%80', '%F4%90%80%80', 'x'.repeat(1025), '%00'.repeat(1025)],
  '%F0%9F%9A%A2'.repeat(257),
].map((key) => `/v1/kv/${key}`);
const badBase64 = ['', '!', 'YQ==', 'YR', 'Y', 'a+b', 'a/b', '%59%51', 'A'.repeat(1368)].map(
  (key) => `/v1/kv64/${key}`,
);

const badKey: fc.Arbitrary<Move> = fc
  .record({ method: keyMethod, path: fc.constantFrom(...badKeys, ...badBase64) })
  .map((request) => refused(request, 'invalid_key'));

const badQueries: readonly (readonly [string, ErrorCode])[] = [
  ['?consistency=strong', 'invalid_request'],
  ['?consistency=', 'invalid_request'],
  ['?__proto__=1', 'invalid_request'],
  ['?route=forward&route=forward', 'invalid_request'],
  ['?route=away', 'invalid_request'],
  ['?route=%FF', 'invalid_request'],
  ['?%', 'invalid_request'],
  ['?Route=forward', 'invalid_request'],
];
const badHeaders: readonly (readonly [string, string, ErrorCode])[] = [
  ['Flotilla-Timeout-Ms', '0', 'invalid_request'],
  ['Flotilla-Timeout-Ms', '60001', 'invalid_request'],
  ['Flotilla-Timeout-Ms', '1e3', 'invalid_request'],
  ['Flotilla-Timeout-Ms', '999999999999', 'invalid_request'],
  ['Flotilla-Hops', '-1', 'invalid_request'],
  ['Flotilla-Route', 'sideways', 'invalid_request'],
  ['If-Match', 'unquoted', 'invalid_request'],
  ['If-Match', '', 'invalid_request'],
  ['If-None-Match', '"a', 'invalid_request'],
  ['If-Match', Array.from({ length: 256 }, () => '"a"').join(), 'invalid_request'],
  ['Idempotency-Key', '', 'invalid_request'],
  ['Idempotency-Key', 'two words', 'invalid_request'],
  ['Idempotency-Key', 'caf\u00e9', 'invalid_request'],
  ['Idempotency-Key', 'x'.repeat(129), 'invalid_request'],
  ['Content-Encoding', 'gzip', 'unsupported_media_type'],
  ['Content-Type', `text/plain; x=${'x'.repeat(255)}`, 'invalid_request'],
  ['Expect', 'the-unexpected', 'expectation_failed'],
  ['Sec-Fetch-Site', 'cross-site', 'cross_site_refused'],
  ['X-Large', 'x'.repeat(17 * 1024), 'headers_too_large'],
];

/** The one thing that is wrong with a write. */
interface Wrong {
  readonly query: string;
  readonly headers: Record<string, string>;
  readonly code: ErrorCode;
}

/** Writes to keys of the stream. */
const badPut: fc.Arbitrary<Move> = fc
  .record({
    at: index,
    spelling,
    wrong: fc.oneof(
      badTtl.map((ttl): Wrong => ({
        query: `?ttl=${encodeURIComponent(ttl)}`,
        headers: {},
        code: 'invalid_ttl',
      })),
      fc.constantFrom(...badQueries).map(([query, code]): Wrong => ({ query, headers: {}, code })),
      fc
        .constantFrom(...badHeaders)
        .map(([name, sent, code]): Wrong => ({ query: '', headers: { [name]: sent }, code })),
    ),
  })
  .map((drawn): Move => (stream) => {
    const path = pathOf(keyAt(stream, drawn.at), drawn.spelling) + drawn.wrong.query;
    const { headers, code } = drawn.wrong;
    return refused({ method: 'PUT', path, headers, body: Buffer.from('wrong') }, code)(stream);
  });

const large = 'x'.repeat(1024 * 1024 + 1);
const deep = '['.repeat(100_000) + ']'.repeat(100_000);

const badJson: readonly (readonly [string, string, ...ErrorCode[]])[] = [
  ['/v1/batch', '', 'invalid_request'],
  ['/v1/batch', '{', 'invalid_request'],
  ['/v1/batch', 'null', 'invalid_request'],
  ['/v1/batch', '[]', 'invalid_request'],
  ['/v1/batch', '{}', 'invalid_request'],
  ['/v1/batch', '\ufeff{"ops":[]}}', 'invalid_request'],
  ['/v1/batch', deep, 'invalid_request'],
  ['/v1/batch', `{"ops":${deep}}`, 'invalid_request'],
  ['/v1/batch', '{"ops":[],"__proto__":{}}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a"}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","keyBase64":"YQ==","value":""}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","keyBase64":"YR==","value":""}]}', 'invalid_key'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"","value":""}]}', 'invalid_key'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","valueBase64":"Y"}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"","ttl":-1}]}', 'invalid_ttl'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"","ttl":1e999}]}', 'invalid_ttl', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"","ifMatch":"a"}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"get","key":"a","value":""}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"constructor","key":"a"}]}', 'invalid_request'],
  [
    '/v1/batch',
    JSON.stringify({ ops: Array.from({ length: 1001 }, () => ({ op: 'get', key: 'a' })) }),
    'invalid_request',
  ],
  ['/v1/batch', JSON.stringify({ ops: [{ op: 'put', key: 'a', value: large }] }), 'value_too_large'],
  // No bytes are what half of a character pair stands for: nothing could be stored and given back.
  ['/v1/batch', '{"ops":[{"op":"put","key":"a\\ud800","value":""}]}', 'invalid_key'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"\\udc00\\ud800"}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"\\ud800","exists":false}]}', 'invalid_key'],
  ['/v1/txn', '{"compare":[{"key":"a","value":"\\ud800"}]}', 'invalid_request'],
  ['/set', '{"key":"\\udfff","value":"x"}', 'invalid_key'],
  ['/set', '{"key":"a","value":"\\ud83d"}', 'invalid_request'],
  // What no header can carry cannot be given back.
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"","contentType":"text/plain\\r\\nX: y"}]}', 'invalid_request'],
  ['/v1/batch', '{"ops":[{"op":"put","key":"a","value":"","contentType":"text/\\u0000"}]}', 'invalid_request'],
  ['/v1/txn', '{"then":[{"op":"put","key":"a","value":"","contentType":"🚢"}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"a","revision":9007199254740992}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"a","revision":1e300}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"a","revision":-1}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"a","etag":"1-2"}]}', 'invalid_request'],
  ['/v1/txn', '{"compare":[{"key":"a","value":"","valueBase64":""}]}', 'invalid_request'],
  ['/v1/txn', '{"unknown":[]}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n9","http":"http://h:1"}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n 9","http":"http://h:1","peer":"h:2"}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n9","http":"http://h/\\r\\nX: y","peer":"h:2"}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n9","http":"http://h:1","peer":"h:65536"}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n9","http":"http://h","peer":"h:2","labels":{"__proto__":"a"}}', 'invalid_request'],
  ['/v1/cluster/nodes', '{"nodeId":"n9","http":"http://h","peer":"h:2","weight":1e999}', 'invalid_request'],
  ['/v1/cluster/nodes', deep, 'invalid_request'],
  ['/v1/cluster/partitions/1/leader', '{}', 'invalid_request'],
  ['/set', '{"key":"a"}', 'invalid_request'],
  ['/set', `{"key":"a","value":${deep}}`, 'invalid_request'],
  ['/set', `{"key":"${'🚢'.repeat(257)}","value":1}`, 'invalid_key'],
  ['/set', '{"key":"","value":1}', 'invalid_key'],
  ['/set', '{"key":"a","value":1,"ttl":1.5}', 'invalid_ttl'],
  ['/set', JSON.stringify({ key: 'a', value: large }), 'value_too_large'],
];

const jsonHeaders = { 'Content-Type': 'application/json' };

const badBody: fc.Arbitrary<Move> = fc
  .constantFrom(...badJson)
  .map(([path, body, ...codes]) =>
    refused({ method: 'POST', path, headers: jsonHeaders, body: Buffer.from(body) }, ...codes),
  );

const sound = Buffer.from('{"ops":[]}');
const elsewhere: readonly Move[] = [
  refused({ method: 'POST', path: '/v1/batch', body: sound }, 'unsupported_media_type'),
  refused(
    { method: 'POST', path: '/v1/batch', headers: { 'Content-Type': 'text/plain' }, body: sound },
    'unsupported_media_type',
  ),
  refused(
    { method: 'POST', path: '/v1/txn', headers: { ...jsonHeaders, 'Content-Encoding': 'br' }, body: sound },
    'unsupported_media_type',
  ),
  refused(
    { method: 'POST', path: '/v1/batch', headers: { ...jsonHeaders, 'If-Match': '*' }, body: sound },
    'invalid_request',
  ),
  refused({ method: 'POST', path: '/v1/batch?ttl=1s', headers: jsonHeaders, body: sound }, 'invalid_request'),
  refused(
    { method: 'POST', path: '/v1/batch', headers: jsonHeaders, body: Buffer.from([0xff, 0xfe]) },
    'invalid_request',
  ),
  refused(
    { method: 'POST', path: '/v1/batch', headers: jsonHeaders, body: Buffer.alloc(8 * 1024 * 1024 + 1, 0x20) },
    'value_too_large',
  ),
  refused({ method: 'PUT', path: '/v1/kv/fuzz', body: Buffer.alloc(1024 * 1024 + 1) }, 'value_too_large'),
  ...['GET', 'HEAD', 'PUT', 'DELETE', 'PATCH'].map((method) =>
    refused({ method, path: '/v1/batch' }, 'method_not_allowed'),
  ),
  ...['POST', 'PATCH', 'OPTIONS', 'TRACE'].map((method) => refused({ method, path: '/v1/kv/a' }, 'method_not_allowed')),
  ...[
    '/nowhere',
    '/v1',
    '/v1/',
    '/V1/kv/a',
    '/v1/kv64',
    '//',
    '/v1/batch/',
    '/index.html',
    '/__proto__',
    '/%00',
    '/%',
  ].map((path) => refused({ path }, 'route_not_found', 'invalid_request')),
  refused({ path: `/v1/kv/${'a/'.repeat(4200)}` }, 'uri_too_long'),
  refused({ path: '/set?key=a' }, 'invalid_request'),
  refused({ path: '/get' }, 'invalid_request'),
  refused({ path: '/get?key=' }, 'invalid_key'),
  refused({ path: '/get/other=a' }, 'invalid_request'),
  refused({ method: 'POST', path: '/set/a' }, 'invalid_request'),
  refused({ method: 'POST', path: '/set/a/%FF' }, 'invalid_request'),
  refused({ method: 'POST', path: '/set//a' }, 'invalid_key'),
  refused({ method: 'DELETE', path: '/delete' }, 'invalid_request'),
  refused({ path: '/v1/cluster?x' }, 'invalid_request'),
  refused({ path: '/v1/cluster/operations?x' }, 'invalid_request'),
  refused({ path: '/v1/cluster/partitions/00' }, 'not_found'),
  refused({ path: '/v1/cluster/partitions/01' }, 'not_found'),
  refused({ path: '/v1/locate/%FF' }, 'invalid_key'),
  ...['/v1/cluster/nodes', '/v1/cluster/rebalance'].map((path) => refused({ path }, 'method_not_allowed')),
  refused({ method: 'POST', path: '/v1/cluster/rebalance?dry_run=maybe' }, 'invalid_request'),
  refused({ method: 'POST', path: '/v1/cluster/rebalance', body: Buffer.from('{}') }, 'invalid_request'),
  refused({ method: 'DELETE', path: '/v1/cluster/nodes/n%201' }, 'not_found'),
  refused({ method: 'DELETE', path: '/v1/cluster/nodes/n1?force=true' }, 'invalid_request'),
];

export const refusedMoves: readonly fc.WeightedArbitrary<Move>[] = [
  { weight: 3, arbitrary: badKey },
  { weight: 4, arbitrary: badPut },
  { weight: 4, arbitrary: badBody },
  { weight: 3, arbitrary: fc.constantFrom(...elsewhere) },
];
