/** The client against three real nodes. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { connect, FlotillaError, type Key, type ScanOptions, type Store } from '../../src/client/connect.ts';
import { startCluster, type TestCluster } from '../../src/testing/cluster.ts';
import { RequestsSeen } from './requests-seen.ts';

let cluster: TestCluster;
let store: Store;
let seen: RequestsSeen;
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, partitions: 6 });
});
afterAll(() => cluster.close());
beforeEach(() => {
  store = connect(cluster.nodes[0]!.url);
  seen = new RequestsSeen();
});
afterEach(async () => {
  seen.stop();
  await store.close();
});

async function errorOf(promise: Promise<unknown>): Promise<FlotillaError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(FlotillaError);
  return error as FlotillaError;
}

/** A key whose partition another node leads than the one that is asked first. */
async function keyLedElsewhere(): Promise<string> {
  for (let n = 0; ; n += 1) {
    const response = await cluster.request('GET', `/v1/locate/elsewhere-${n}`);
    if ((response.json() as { leader: string }).leader !== 'n1') return `elsewhere-${n}`;
  }
}

async function mapFetched(): Promise<void> {
  await expect.poll(() => seen.all.filter(({ path }) => path.startsWith('/v1/cluster')).length).toBe(2);
}

describe('single keys', () => {
  it('are set, read, replaced and deleted', async () => {
    const set = await store.set('plain', 'one', { contentType: 'text/plain', ttl: 3600 });
    expect(set).toMatchObject({ created: true, revision: expect.any(Number) as number });
    expect(set.expiresAt!.getTime() - Date.now()).toBeGreaterThan(3_500_000);
    const entry = await store.get('plain');
    expect(entry).toMatchObject({ revision: set.revision, etag: set.etag, contentType: 'text/plain' });
    expect(entry!.text()).toBe('one');
    expect(Math.abs(entry!.expiresAt!.getTime() - set.expiresAt!.getTime())).toBeLessThan(1000);
    expect(await store.set('plain', '')).toMatchObject({ created: false, expiresAt: undefined });
    expect((await store.get('plain'))!.value).toHaveLength(0);
    expect(await store.delete('plain')).toMatchObject({ deleted: true, revision: expect.any(Number) as number });
    expect(await store.delete('plain')).toEqual({ deleted: false, revision: undefined });
    expect(await store.get('plain')).toBeUndefined();
  });

  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  it.each<Key>([
    'a/b',
    '..',
    '.',
    'x/../y',
    '/',
    'a//b',
    ' ',
    '+%25?#&',
    '👍',
    '__proto__',
    '\0',
    bytes,
    Uint8Array.of(0xff),
  ])('take the key %o, and any bytes as a value', async (key) => {
    const value = Uint8Array.from(bytes).reverse();
    expect((await store.set(key, value)).created).toBe(true);
    expect((await store.get(key))!.value).toEqual(Buffer.from(value));
    expect((await store.delete(key)).deleted).toBe(true);
  });

  it('change under conditions only, and the error says what is there', async () => {
    const { etag, revision } = await store.set('guarded', 'one', { ifNoneMatch: '*' });
    const again = await errorOf(store.set('guarded', 'two', { ifNoneMatch: '*' }));
    expect(again).toMatchObject({ code: 'precondition_failed', status: 412, outcome: 'not_applied', etag, revision });
    expect(again).toMatchObject({ retryable: false, requestId: expect.any(String) as string });
    const next = await store.set('guarded', 'two', { ifMatch: etag });
    expect(await errorOf(store.delete('guarded', { ifMatch: etag }))).toMatchObject({ etag: next.etag });
    expect(await errorOf(store.delete('absent', { ifMatch: '*' }))).toMatchObject({ code: 'precondition_failed' });
    expect((await store.delete('guarded', { ifMatch: next.etag })).deleted).toBe(true);
  });

  it('are written once under one idempotency key', async () => {
    const first = await store.set('once', 'one', { idempotencyKey: 'the-first' });
    await store.set('once', 'two');
    expect(await store.set('once', 'one', { idempotencyKey: 'the-first' })).toEqual(first);
    expect((await store.get('once'))!.text()).toBe('two');
    const other = await errorOf(store.set('once', 'three', { idempotencyKey: 'the-first' }));
    expect(other).toMatchObject({ code: 'idempotency_key_reused', status: 422, idempotencyKey: 'the-first' });
  });

  it('are refused before anything is sent when the call is wrong', async () => {
    const wrong = [
      store.get(''),
      store.set('\ud800', 'x'),
      store.set('x', 'y', { idempotencyKey: 'a b' }),
      store.get('x', { timeoutMs: 0 }),
      store.set('x', 7 as unknown as string),
      store.set('x', 'y', { contentType: 'text/plain\r\nX: y' }),
      store.delete('x', { ifMatch: '"\u2603"' }),
    ];
    for (const call of wrong)
      expect(await errorOf(call)).toMatchObject({ code: 'invalid_argument', status: undefined });
    expect(seen.all).toEqual([]);
    expect(await errorOf(store.set('x', 'y', { ttl: 'soon' }))).toMatchObject({ code: 'invalid_ttl', status: 400 });
  });
});

describe('many keys', () => {
  it('are written and read in one batch, each with its own result', async () => {
    const odd = Uint8Array.of(0xff, 0);
    const results = await store.batch([
      { op: 'put', key: 'batch/a', value: 'one', ttl: 60 },
      { op: 'put', key: odd, value: odd, contentType: 'image/png' },
      { op: 'get', key: 'batch/a' },
      { op: 'get', key: odd },
      { op: 'put', key: 'batch/a', value: 'two', ifNoneMatch: '*' },
      { op: 'delete', key: 'batch/a' },
      { op: 'delete', key: 'batch/a' },
      { op: 'get', key: 'batch/a' },
    ]);
    expect(results).toMatchObject([
      { type: 'put', created: true, expiresAt: expect.any(Date) as Date },
      { type: 'put', created: true, expiresAt: undefined },
      { type: 'get', entry: { value: Buffer.from('one'), expiresAt: expect.any(Date) as Date } },
      { type: 'get', entry: { value: Buffer.from(odd), contentType: 'image/png' } },
      { type: 'failed', error: { code: 'precondition_failed', status: 412, outcome: 'not_applied' } },
      { type: 'delete', deleted: true },
      { type: 'delete', deleted: false },
      { type: 'get', entry: undefined },
    ]);
    const put = results[0]!;
    const failed = results[4]!;
    expect(put.type === 'put' && failed.type === 'failed' && failed.error.etag === put.etag).toBe(true);
  });
});

describe('a scan', () => {
  const keysOf = async (options: ScanOptions): Promise<Key[]> => {
    const keys: Key[] = [];
    for await (const { key } of store.scan({ ...options, keysOnly: true })) keys.push(key);
    return keys;
  };

  it('gives what lies in the range, over all partitions and pages, in order', async () => {
    const names = Array.from({ length: 40 }, (_, n) => `scan/${String(n).padStart(2, '0')}`);
    const puts = names.map((key) => ({ op: 'put', key, value: `of ${key}`, ttl: 600 }) as const);
    await store.batch([...puts, { op: 'put', key: Buffer.from('scan/\xff', 'latin1'), value: 'odd' }]);
    const all = [...names, Buffer.from('scan/\xff', 'latin1')];
    expect(await keysOf({ prefix: 'scan/', pageSize: 7 })).toEqual(all);
    expect(await keysOf({ prefix: 'scan/', pageSize: 7, reverse: true })).toEqual(all.toReversed());
    expect(await keysOf({ prefix: 'scan/', pageSize: 7, limit: 10 })).toEqual(names.slice(0, 10));
    expect(await keysOf({ start: 'scan/05', end: 'scan/09' })).toEqual(names.slice(5, 9));
    expect(await keysOf({ prefix: 'nothing/here' })).toEqual([]);
    const entries: string[] = [];
    for await (const { key, text, etag, expiresAt } of store.scan({ prefix: 'scan/1', pageSize: 3 })) {
      entries.push(text());
      expect((await store.get(key))!.etag).toBe(etag);
      expect(expiresAt!.getTime()).toBeGreaterThan(Date.now());
    }
    expect(entries).toEqual(names.slice(10, 20).map((key) => `of ${key}`));
  });

  it('is refused with what is wrong', async () => {
    const scan = async (options: ScanOptions): Promise<unknown> => keysOf(options);
    expect(await errorOf(scan({ start: 'x'.repeat(1025) }))).toMatchObject({ status: 400, outcome: 'not_applied' });
  });
});

describe('a stale read', () => {
  it('is labelled with its age, wherever it is asked for', async () => {
    await store.set('stale', 'one');
    expect((await store.get('stale'))!.stalenessMs).toBeUndefined();
    const fallback = await store.get('stale', { fallback: 'stale' });
    expect([fallback!.text(), fallback!.stalenessMs]).toEqual(['one', undefined]);
    for (const { url } of cluster.nodes) {
      const one = connect(url);
      const stale = () => one.get('stale', { consistency: 'stale', maxStalenessMs: 2000 });
      await expect.poll(async () => (await stale())?.text()).toBe('one');
      const { stalenessMs } = (await stale())!;
      expect(stalenessMs).toBeGreaterThanOrEqual(0);
      expect(stalenessMs).toBeLessThanOrEqual(2000);
      await one.close();
    }
    expect(await errorOf(store.get('stale', { maxStalenessMs: 5 }))).toMatchObject({ code: 'invalid_request' });
  });
});

describe('the way to the leader', () => {
  it('is learned: the second request for a partition is not redirected, nor any later one', async () => {
    const key = await keyLedElsewhere();
    await store.set(key, 'one');
    await mapFetched();
    const first = seen.takeKeyRequests();
    expect(first.map(({ status }) => status)).toEqual([307, 201]);
    await store.set(key, 'two');
    for (let n = 0; n < 30; n += 1) await store.set(`learned-${n}`, 'x');
    const later = seen.takeKeyRequests();
    expect(later.filter(({ status }) => status === 307)).toEqual([]);
    expect(later[0]!.node).toBe(first[1]!.node);
    expect(new Set(later.map(({ node }) => node)).size).toBe(3);
  });

  it('is found again after a leadership has moved', async () => {
    const key = await keyLedElsewhere();
    await store.set(key, 'one');
    await mapFetched();
    const located = (await cluster.request('GET', `/v1/locate/${key}`)).json() as { partition: number };
    const leader = `/v1/cluster/partitions/${located.partition}/leader`;
    const moved = await cluster.request('POST', leader, {
      body: JSON.stringify({ nodeId: 'n1' }),
      headers: { 'content-type': 'application/json' },
    });
    expect(moved.status).toBe(200);
    seen.takeKeyRequests();
    await store.set(key, 'two');
    await store.set(key, 'three');
    expect(seen.takeKeyRequests().map(({ status }) => status)).toEqual([307, 200, 200]);
  });
});

describe('the state of the cluster', () => {
  it('is told', async () => {
    const { nodes, partitions } = await store.status();
    expect(nodes.map(({ nodeId, state }) => `${nodeId} ${state}`)).toEqual(['n1 up', 'n2 up', 'n3 up']);
    expect(partitions).toHaveLength(6);
    expect(partitions.every(({ leader }) => leader !== null)).toBe(true);
  });
});

describe('a closed store', () => {
  it('ends calls that wait for a connection, too', async () => {
    const narrow = connect(cluster.nodes[0]!.url, { connectionsPerNode: 1 });
    const waiting = Array.from({ length: 5 }, (_, n) => errorOf(narrow.set(`narrow/${n}`, 'x')));
    await narrow.close();
    for (const error of await Promise.all(waiting)) expect(error.code).toBe('closed');
  });

  it('refuses calls, and ends those under way', async () => {
    const waiting = errorOf(store.set('late', 'x'));
    await store.close();
    expect(await waiting).toMatchObject({ code: 'closed' });
    expect(await errorOf(store.get('late'))).toMatchObject({ code: 'closed', outcome: 'not_applied' });
  });
});
