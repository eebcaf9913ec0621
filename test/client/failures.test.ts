/** What goes wrong on the way, and what the caller is told of it. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { connect, FlotillaError, type ConnectOptions, type Store } from '../../src/client/connect.ts';
import { freePorts } from '../../src/testing/ports.ts';
import { ok, refusal, startStub, written, type Script, type StubNode } from './stub-node.ts';

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

async function stub(script: Script): Promise<StubNode> {
  const node = await startStub(script);
  toClose.push(node);
  return node;
}

function storeOf(servers: string | readonly string[], options?: ConnectOptions): Store {
  const store = connect(servers, options);
  toClose.push(store);
  return store;
}

async function errorOf(promise: Promise<unknown>): Promise<FlotillaError> {
  const error = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  expect(error).toBeInstanceOf(FlotillaError);
  return error as FlotillaError;
}

const idempotencyKeys = ({ requests }: StubNode) => new Set(requests.map(({ headers }) => headers['idempotency-key']));

describe('a wrong address', () => {
  it('is named with the reason, once the deadline has passed', async () => {
    const [port] = await freePorts(1);
    const store = storeOf(`127.0.0.1:${port}`, { timeoutMs: 200 });
    const error = await errorOf(store.set('k', 'v'));
    expect(error).toMatchObject({ code: 'unreachable', status: undefined, outcome: 'not_applied', retryable: true });
    expect(error.message).toBe(
      `No node can be reached (127.0.0.1:${port}: connection refused). Check the addresses and that a node runs there.`,
    );
  });

  it('is named with its reason, whatever little time the last attempt had', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      // Late enough that the second attempt has less than others get, and early enough that there is one on a busy machine.
      if (sockets.push(socket) === 1) setTimeout(() => socket.destroy(), 650);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const close = (): Promise<void> => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    };
    toClose.push({ close });
    const { port } = server.address() as AddressInfo;
    const error = await errorOf(storeOf(`127.0.0.1:${port}`, { timeoutMs: 1000 }).get('k'));
    expect(sockets).toHaveLength(2);
    expect(error.message).toContain(`127.0.0.1:${port}: the connection broke`);
  });

  it('is told at once when asked for', async () => {
    const [one, two] = await freePorts(2);
    const beganAtMs = performance.now();
    const error = await errorOf(storeOf(`127.0.0.1:${one},127.0.0.1:${two}`, { failFast: true }).get('k'));
    expect(performance.now() - beganAtMs).toBeLessThan(1000);
    expect(error.message).toContain(`127.0.0.1:${one}: connection refused, 127.0.0.1:${two}: connection refused`);
  });

  it('is told when something else answers there', async () => {
    const other = await stub(() => ({ status: 200, body: '<html>' }));
    const error = await errorOf(storeOf(other.url).get('k'));
    expect(error).toMatchObject({ code: 'unexpected_answer', status: 200, outcome: 'not_applied' });
    expect(error.message).toBe(`${other.url} answered 200, and not as a Flotilla node does. Check the address.`);
    expect(await errorOf(storeOf(other.url).set('k', 'v'))).toMatchObject({ outcome: 'unknown', retryable: false });
  });

  it.each([
    ['', 'No server is named'],
    ['https://a:1', 'nodes speak plain HTTP'],
    ['http://a:1/v1', 'more than a host and a port'],
    ['u:p@a:1', 'has credentials'],
    ['a b', 'is no address'],
    ['localhost:99999', 'is no address'],
  ])('is refused before anything is sent: %o', (address, problem) => {
    expect(() => connect(address)).toThrow(problem);
  });
});

describe('a lost answer', () => {
  it('is asked for again under the same idempotency key', async () => {
    const node = await stub((_, count) => (count === 1 ? undefined : written));
    expect(await storeOf(node.url).set('k', 'v')).toMatchObject({ revision: 7, etag: '"1-7"' });
    expect(node.requests).toHaveLength(2);
    expect(idempotencyKeys(node).size).toBe(1);
    expect([...idempotencyKeys(node)][0]).toMatch(/^[\x21-\x7e]{1,128}$/);
  });

  it('is asked for again when it breaks off in the middle', async () => {
    const node = await stub((_, count) => (count === 1 ? 'torn' : written));
    expect(await storeOf(node.url).set('k', 'v')).toMatchObject({ revision: 7 });
    expect(idempotencyKeys(node).size).toBe(1);
  });

  it('on a connection that the node has just closed is no reason to avoid the node', async () => {
    const one = await stub((_, count) => (count === 2 ? undefined : written));
    const two = await stub(() => written);
    const store = storeOf([one.url, two.url]);
    for (let n = 0; n < 3; n += 1) await store.set('k', 'v');
    expect([one.requests.length, two.requests.length]).toEqual([4, 0]);
  });

  it('leaves a write unknown when nothing better comes, with what it takes to repeat it', async () => {
    const node = await stub(() => undefined);
    const error = await errorOf(storeOf(node.url, { timeoutMs: 300 }).set('k', 'v'));
    expect(error).toMatchObject({ code: 'unreachable', outcome: 'unknown', retryable: false });
    expect([...idempotencyKeys(node)]).toEqual([error.idempotencyKey]);
    expect(error.message).toContain('may be applied');
  });

  it('stays unknown when all that comes later is that a node could not take it', async () => {
    const node = await stub((_, count) => (count === 1 ? undefined : refusal('no_leader')));
    const error = await errorOf(storeOf(node.url, { timeoutMs: 300 }).set('k', 'v'));
    expect(error).toMatchObject({ code: 'no_leader', status: 503, outcome: 'unknown', retryable: false });
  });

  it('is settled by what the log says of the repeat', async () => {
    const node = await stub((_, count) => (count === 1 ? undefined : refusal('precondition_failed')));
    const error = await errorOf(storeOf(node.url).set('k', 'v', { ifNoneMatch: '*' }));
    expect(error).toMatchObject({ code: 'precondition_failed', outcome: 'not_applied' });
  });

  it('leaves nothing unknown of a read', async () => {
    const node = await stub(() => undefined);
    const error = await errorOf(storeOf(node.url, { timeoutMs: 200 }).get('k'));
    expect(error).toMatchObject({ outcome: 'not_applied', retryable: true, idempotencyKey: undefined });
  });
});

describe('a node that refuses', () => {
  it('for lack of a leader is not asked again before another one', async () => {
    const one = await stub(() => refusal('no_leader', { 'Retry-After': '1' }));
    const two = await stub(() => written);
    const beganAtMs = performance.now();
    await storeOf([one.url, two.url]).set('k', 'v');
    expect(performance.now() - beganAtMs).toBeLessThan(900);
    expect([one.requests.length, two.requests.length]).toEqual([1, 1]);
  });

  it('for too much work is left alone for as long as it asks', async () => {
    const overloaded = refusal('overloaded', { 'Retry-After': '1' });
    const one = await stub((_, count) => (count === 1 ? overloaded : written));
    const two = await stub(() => written);
    await storeOf([one.url, two.url]).set('k', 'v');
    expect(two.requests).toEqual([]);
    expect(one.requests[1]!.atMs - one.requests[0]!.atMs).toBeGreaterThanOrEqual(990);
  });

  it('for lack of room on a disk is asked again after a while, and nobody else: they would say the same', async () => {
    const full = refusal('disk_full', { 'Retry-After': '1' });
    const one = await stub((_, count) => (count === 1 ? full : written));
    const two = await stub(() => written);
    await storeOf([one.url, two.url]).set('k', 'v');
    expect(two.requests).toEqual([]);
    expect(one.requests[1]!.atMs - one.requests[0]!.atMs).toBeGreaterThanOrEqual(990);
    const still = await stub(() => full);
    const error = await errorOf(storeOf(still.url, { timeoutMs: 1500 }).set('k', 'v'));
    expect(error).toMatchObject({ code: 'disk_full', status: 507, outcome: 'not_applied', retryable: true });
    expect(still.requests).toHaveLength(2);
  });

  it('is not waited for beyond the deadline', async () => {
    const node = await stub(() => refusal('overloaded', { 'Retry-After': '30' }));
    const beganAtMs = performance.now();
    const error = await errorOf(storeOf(node.url).set('k', 'v'));
    expect(performance.now() - beganAtMs).toBeLessThan(1000);
    expect(error).toMatchObject({ code: 'overloaded', status: 429, retryAfterMs: 30_000, outcome: 'not_applied' });
    expect(error).toMatchObject({ retryable: true, requestId: 'r1', detail: 'The stub says overloaded.' });
  });

  it('for good is asked once', async () => {
    const node = await stub(() => refusal('value_too_large'));
    expect(await errorOf(storeOf(node.url).set('k', 'v'))).toMatchObject({ code: 'value_too_large', status: 413 });
    expect(node.requests).toHaveLength(1);
  });
});

describe('a node that says nothing', () => {
  it('uses up a part of the time only: another is asked', async () => {
    const frozen = await stub(() => 'never');
    const two = await stub(() => written);
    await storeOf([frozen.url, two.url], { timeoutMs: 1000 }).set('k', 'v');
    expect(two.requests[0]!.atMs - frozen.requests[0]!.atMs).toBeGreaterThan(350);
    expect(two.requests[0]!.headers['idempotency-key']).toBe(frozen.requests[0]!.headers['idempotency-key']);
    expect(Number(frozen.requests[0]!.headers['flotilla-timeout-ms'])).toBeLessThanOrEqual(400);
  });

  it('ends a call at its deadline', async () => {
    const frozen = await stub(() => 'never');
    const beganAtMs = performance.now();
    const error = await errorOf(storeOf(frozen.url).set('k', 'v', { timeoutMs: 200 }));
    expect(performance.now() - beganAtMs).toBeLessThan(600);
    expect(error).toMatchObject({ code: 'deadline_exceeded', outcome: 'unknown', retryable: false });
  });
});

describe('an address that works within the cluster only', () => {
  it('is gone around: the node that named it fetches the answer', async () => {
    const [nowhere] = await freePorts(1);
    const elsewhere = refusal('not_leader', {
      Location: `http://127.0.0.1:${nowhere}/v1/kv/k`,
      'Flotilla-Leader': 'n2',
    });
    const node = await stub(({ headers }) => (headers['flotilla-route'] === 'forward' ? written : elsewhere));
    expect(await storeOf(node.url).set('k', 'v')).toMatchObject({ revision: 7 });
    expect(await storeOf(node.url).set('k', 'v', { timeoutMs: 1000 })).toMatchObject({ revision: 7 });
  });

  it('does not keep two nodes that point at each other busy for ever', async () => {
    const urls: string[] = [];
    const pointAt =
      (index: number): Script =>
      () =>
        refusal('not_leader', { Location: `${urls[index]}/v1/kv/k` });
    const [one, two] = [await stub(pointAt(1)), await stub(pointAt(0))];
    urls.push(one.url, two.url);
    const error = await errorOf(storeOf(urls, { timeoutMs: 400 }).get('k'));
    expect(error).toMatchObject({ code: 'not_leader', status: 307, outcome: 'not_applied', retryable: true });
    expect(error.message).toBe('The nodes do not agree on who leads this key. Try again in a moment.');
    expect(one.requests.length + two.requests.length).toBeLessThan(60);
  });
});

describe('a scan', () => {
  const item = (key: string) => ({ key, value: `v-${key}`, revision: 1, etag: '"1-1"' });
  const pages: Record<string, unknown> = {
    first: { items: [item('a'), item('b')], cursor: 'c1' },
    c1: { items: [], cursor: 'c2' },
    c2: {
      items: [
        { keyBase64: '/w==', valueBase64: 'AP8=', revision: 2, etag: '"1-2"', expiresAt: '2030-01-01T00:00:00.000Z' },
      ],
    },
  };
  const pageOf: Script = ({ url }) => ok(pages[url.searchParams.get('cursor') ?? 'first']);

  it('follows cursors from page to page, and not before they are wanted', async () => {
    const node = await stub(pageOf);
    const found = [];
    for await (const { key, text, value, expiresAt } of storeOf(node.url).scan({
      prefix: 'ü ',
      start: Uint8Array.of(0xff),
    })) {
      found.push([key, text(), value.length, expiresAt?.getTime()]);
      if (found.length === 2) expect(node.requests).toHaveLength(1);
    }
    expect(found).toEqual([
      ['a', 'v-a', 3, undefined],
      ['b', 'v-b', 3, undefined],
      [Buffer.of(0xff), '\0\ufffd', 2, Date.UTC(2030, 0)],
    ]);
    expect(node.requests.map(({ url }) => url.pathname)).toEqual(['/v1/kv', '/v1/kv', '/v1/kv']);
    const [first, ...later] = node.requests.map(({ url }) => Object.fromEntries(url.searchParams));
    expect(first).toEqual({ prefix: 'ü ', startBase64: '/w==', limit: '100' });
    expect(later.map(({ cursor }) => cursor)).toEqual(['c1', 'c2']);
  });

  it('asks for no more than is wanted, and for keys alone when those are', async () => {
    const node = await stub(() => ok({ items: [item('a'), item('b')], cursor: 'more' }));
    const found = [];
    for await (const entry of storeOf(node.url).scan({ limit: 3, pageSize: 2, reverse: true, keysOnly: true }))
      found.push(entry);
    // The stub gives two where one was asked for: the limit holds all the same.
    expect(found).toEqual(['a', 'b', 'a'].map((key) => ({ key, revision: 1, etag: '"1-1"', expiresAt: undefined })));
    const queries = node.requests.map(({ url }) => Object.fromEntries(url.searchParams));
    expect(queries).toEqual([
      { limit: '2', reverse: 'true', keys_only: 'true' },
      { limit: '1', cursor: 'more', reverse: 'true', keys_only: 'true' },
    ]);
  });

  it('goes on at another node when one breaks between pages', async () => {
    const one = await stub(() => undefined);
    const two = await stub(pageOf);
    const found = [];
    for await (const { key } of storeOf([one.url, two.url]).scan()) found.push(key);
    expect(found).toHaveLength(3);
  });
});
