/** Scans and the removal of a prefix, as a client sees them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send, type Answer } from './http-client.ts';
import { onePartition } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeAll(async () => {
  front = await startFront({ limits: { scanKeysMax: 500, scanPageBytesMax: 2000, scanPieceKeysMax: 3 } });
  for (const key of ['a', 'b/1', 'b/2', 'b/3', 'c', 'd', 'e%2B', '%F0%9F%9A%A2']) {
    await send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${key}`, body: `of ${key}` });
  }
  await send(front.baseUrl, { method: 'PUT', path: '/v1/kv64/_w?ttl=1h', body: Buffer.from([0xfe]) });
});
afterAll(() => front.close());

const get = (query: string, headers = {}): Promise<Answer> => send(front.baseUrl, { path: `/v1/kv${query}`, headers });

interface Page {
  readonly items: readonly { readonly key?: string; readonly keyBase64?: string; readonly value?: string }[];
  readonly cursor?: string;
}
const pageOf = (answer: Answer): Page => {
  expect(answer.status).toBe(200);
  return expectJson(answer, 'scan') as Page;
};
const keysOf = ({ items }: Page): string => items.map(({ key, keyBase64 }) => key ?? `(${keyBase64})`).join(' ');
const keys = async (query: string): Promise<string> => keysOf(pageOf(await get(query)));

describe('a scan', () => {
  it('shows all keys in the order of their bytes, with what is known of each', async () => {
    const answer = await get('');
    const page = pageOf(answer);
    expect(keysOf(page)).toBe('a b/1 b/2 b/3 c d e+ 🚢 (/w==)');
    expect(page.cursor).toBeUndefined();
    const revision = expect.any(Number) as number;
    const etag = expect.stringMatching(/^"1-\d+"$/) as string;
    expect(page.items[0]).toEqual({ key: 'a', value: 'of a', revision, etag });
    const expiresAt = new Date(front.node.wallMs() + 3_600_000).toISOString();
    expect(page.items.at(-1)).toEqual({ keyBase64: '/w==', valueBase64: '/g==', revision, etag, expiresAt });
    expect(answer.headers).toMatchObject({ 'flotilla-scan': 'per-partition', 'flotilla-consistency': 'linearizable' });
  });

  it('takes a prefix, two ends, both, and the order turned', async () => {
    expect(await keys('?prefix=b/')).toBe('b/1 b/2 b/3');
    expect(await keys('?prefix=b%2F&reverse=true')).toBe('b/3 b/2 b/1');
    expect(await keys('?start=b/2&end=d')).toBe('b/2 b/3 c');
    expect(await keys('?start=b/2&end=d&reverse=true')).toBe('c b/3 b/2');
    expect(await keys('?prefix=b/&start=b/2')).toBe('b/2 b/3');
    expect(await keys('?prefix=b/&end=b/2')).toBe('b/1');
    expect(await keys('?prefix=b/&start=c')).toBe('');
    expect(await keys('?startBase64=8A==')).toBe('🚢 (/w==)');
    expect(await keys('?prefixBase64=/w==')).toBe('(/w==)');
    expect(await keys('?prefix=e%2B')).toBe('e+');
    expect(await keys('?prefix=')).toBe('a b/1 b/2 b/3 c d e+ 🚢 (/w==)');
  });

  it('leaves out values where keys are enough', async () => {
    const { items } = pageOf(await get('?prefix=b/&keys_only=true'));
    expect(items.map((item) => Object.keys(item).join())).toEqual(Array(3).fill('key,revision,etag'));
  });

  it.each(['', '&reverse=true', '&prefix=b/', '&start=b/2&end=e', '&keys_only=true'])(
    'goes on from its cursor until there is none (%s)',
    async (more) => {
      const whole = await keys(`?limit=100${more}`);
      for (const limit of [1, 2, 3, 4, 9]) {
        const found: string[] = [];
        let page = pageOf(await get(`?limit=${limit}${more}`));
        for (;;) {
          expect(page.items.length).toBeLessThanOrEqual(limit);
          expect(page.items.length).toBeGreaterThan(0);
          found.push(keysOf(page));
          if (page.cursor === undefined) break;
          page = pageOf(await get(`?limit=${limit}${more}&cursor=${page.cursor}`));
        }
        expect(found.join(' ')).toBe(whole);
      }
    },
  );

  it('goes on though the key of its cursor is gone', async () => {
    const { cursor } = pageOf(await get('?limit=2&keys_only=true'));
    await send(front.baseUrl, { method: 'DELETE', path: '/v1/kv/b%2F1' });
    expect(await keys(`?limit=2&cursor=${cursor}`)).toBe('b/2 b/3');
    await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/b%2F1', body: 'of b/1' });
  });

  it('ends a page before it grows too large, and has one key at least', async () => {
    for (const key of ['z1', 'z2', 'z3']) {
      await send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${key}`, body: 'x'.repeat(900) });
    }
    await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/z4', body: 'x'.repeat(3000) });
    const sizes: number[] = [];
    let cursor = '';
    do {
      const page = pageOf(await get(`?prefix=z${cursor}`));
      sizes.push(page.items.length);
      cursor = page.cursor === undefined ? '' : `&cursor=${page.cursor}`;
    } while (cursor !== '');
    expect(sizes).toEqual([2, 1, 1]);
    const deleted = await send(front.baseUrl, { method: 'DELETE', path: '/v1/kv?prefix=z&confirm=z' });
    expect(expectJson(deleted, 'prefixDelete')).toEqual({ deleted: 4 });
    expect(await keys('?prefix=z')).toBe('');
  });

  it.each([
    ['?limit=0', 'limit must be a whole number from 1 to 500'],
    ['?limit=501', 'limit must be'],
    ['?limit=ten', 'limit must be'],
    ['?reverse=yes', 'reverse must be true or false'],
    ['?keys_only=1', 'keys_only must be true or false'],
    ['?colour=red', 'takes no query parameter "colour"'],
    ['?prefix=a&prefixBase64=YQ==', 'Either prefix or prefixBase64'],
    ['?prefixBase64=YQ', 'standard base64'],
    ['?cursor=nonsense!', 'none of ours'],
    ['?cursor=AAAA', 'none of ours'],
    ['?consistency=stale', 'must be linearizable'],
    ['?limit=1&limit=2', 'twice'],
  ])('refuses %s and says why', async (query, detail) => {
    expect(expectProblem(await get(query), 'invalid_request').detail).toContain(detail);
  });

  it('refuses the cursor of another scan, and a prefix that no key can have', async () => {
    const { cursor } = pageOf(await get('?limit=1'));
    const other = expectProblem(await get(`?limit=1&reverse=true&cursor=${cursor}`), 'invalid_request');
    expect(other.detail).toContain('belongs to another scan');
    expectProblem(await get(`?prefix=${'x'.repeat(1025)}`), 'invalid_key');
  });

  it('answers a failing partition as a single read would', async () => {
    front.node.answerNext(() => ({ type: 'no_leader', partition: onePartition, detail: 'nobody' }));
    expect(expectProblem(await get(''), 'no_leader')).toMatchObject({ outcome: 'not_applied', retryable: true });
  });

  it('has no body for HEAD, and takes no POST', async () => {
    const head = await send(front.baseUrl, { method: 'HEAD', path: '/v1/kv' });
    expect([head.status, head.body.length]).toEqual([200, 0]);
    const posted = await send(front.baseUrl, { method: 'POST', path: '/v1/kv' });
    expectProblem(posted, 'method_not_allowed');
    expect(posted.headers['allow']).toBe('GET, HEAD, DELETE');
  });
});

describe('a scan as lines', () => {
  const lines = async (query: string): Promise<Record<string, unknown>[]> => {
    const answer = await get(query, { Accept: 'application/x-ndjson' });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    const text = answer.body.toString();
    expect(text.endsWith('\n')).toBe(true);
    return text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const body = Buffer.from(`${line}\n`);
        return expectJson({ ...answer, body }, 'scanLine', 'application/x-ndjson') as Record<string, unknown>;
      });
  };

  it('goes to the end, and says so', async () => {
    const all = await lines('');
    expect(all).toHaveLength(10);
    expect(all[0]).toMatchObject({ key: 'a', value: 'of a' });
    expect(all.at(-1)).toEqual({ end: true, count: 9 });
    expect(await lines('?prefix=none')).toEqual([{ end: true, count: 0 }]);
  });

  it('stops at its limit with a cursor to go on from', async () => {
    const some = await lines('?limit=4');
    expect(some).toHaveLength(5);
    const end = some.at(-1) as { cursor: string };
    expect(end).toEqual({ end: true, count: 4, cursor: end.cursor });
    expect((await lines(`?cursor=${end.cursor}`)).map((line) => line['key'])).toEqual([
      'c',
      'd',
      'e+',
      '🚢',
      undefined,
      undefined,
    ]);
  });

  it('says where it broke off, and how to go on', async () => {
    front.node.answerNext((_request, store) => store());
    front.node.answerNext(() => ({ type: 'no_leader', partition: onePartition, detail: 'nobody' }));
    const broken = await lines('');
    expect(broken).toHaveLength(4);
    expect(broken.at(-1)).toMatchObject({ end: false, count: 3, error: { code: 'no_leader', retryable: true } });
    const { cursor } = broken.at(-1) as { cursor: string };
    expect(await lines(`?cursor=${cursor}`)).toHaveLength(7);
  });
});

describe('the removal of a prefix', () => {
  const remove = (query: string, headers = {}): Promise<Answer> =>
    send(front.baseUrl, { method: 'DELETE', path: `/v1/kv${query}`, headers });

  it('has to be confirmed', async () => {
    const problem = expectProblem(await remove('?prefix=b/'), 'invalid_request');
    expect(problem.detail).toContain('confirm=b%2F');
    expectProblem(await remove('?prefix=b/&confirm=b'), 'invalid_request');
    expectProblem(await remove(''), 'invalid_request');
    expectProblem(await remove('?prefix=&confirm='), 'invalid_request');
    expectProblem(await remove('?prefix=b/&confirm=b/&limit=1'), 'invalid_request');
    expectProblem(await remove('?prefix=b/&confirm=b/', { 'Idempotency-Key': 'x' }), 'invalid_request');
    expect(await keys('?prefix=b/')).toBe('b/1 b/2 b/3');
  });

  it('removes what begins with it and nothing else', async () => {
    expect(expectJson(await remove('?prefix=b/&confirm=b/'), 'prefixDelete')).toEqual({ deleted: 3 });
    expect(await keys('')).toBe('a c d e+ 🚢 (/w==)');
    expect(expectJson(await remove('?prefix=b/&confirm=b%2F'), 'prefixDelete')).toEqual({ deleted: 0 });
    expect(expectJson(await remove('?prefixBase64=/w==&confirmBase64=/w=='), 'prefixDelete')).toEqual({ deleted: 1 });
    expect(await keys('')).toBe('a c d e+ 🚢');
  });

  it('says that nothing was done, or that something may have been', async () => {
    front.node.answerNext(() => ({ type: 'no_leader', partition: onePartition, detail: 'nobody' }));
    expect(expectProblem(await remove('?prefix=c&confirm=c'), 'no_leader').outcome).toBe('not_applied');
    front.node.answerNext((_request, store) => store());
    front.node.answerNext(() => ({ type: 'unknown', partition: onePartition, detail: 'who knows' }));
    expect(expectProblem(await remove('?prefix=c&confirm=c'), 'outcome_unknown').outcome).toBe('unknown');
  });
});
