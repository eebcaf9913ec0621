/** What is asked of the cluster itself: how it is sent, and that a change is asked for once. */
import { afterEach, describe, expect, it } from 'vitest';
import { connect, FlotillaError, type Plan, type Store } from '../../src/client/connect.ts';
import { freePorts } from '../../src/testing/ports.ts';
import { ok, refusal, startStub, type Script, type StubNode } from './stub-node.ts';

const toClose: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of toClose.splice(0)) await one.close();
});

async function stub(script: Script): Promise<StubNode> {
  const node = await startStub(script);
  toClose.push(node);
  return node;
}

function storeOf(...servers: readonly string[]): Store {
  const store = connect(servers, { timeoutMs: 2000 });
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

const n4 = { nodeId: 'n4', http: 'http://h:1', peer: 'h:2', labels: { zone: 'a' }, weight: 2 };
const plan: Plan = {
  moves: [{ partition: 1, from: 'n1', to: 'n4', bytes: 7 }],
  replicas: 1,
  bytes: 7,
  fraction: 0.1,
  ideal: 0.1,
  risks: ['all in one zone'],
};
const changes: readonly [string, (store: Store, dryRun?: boolean) => Promise<Plan>, string, string][] = [
  ['addNode', (store, dryRun = false) => store.cluster.addNode(n4, { dryRun }), 'POST', '/v1/cluster/nodes'],
  [
    'removeNode',
    (store, dryRun = false) => store.cluster.removeNode('n/4', { dryRun }),
    'DELETE',
    '/v1/cluster/nodes/n%2F4',
  ],
  ['rebalance', (store, dryRun = false) => store.cluster.rebalance({ dryRun }), 'POST', '/v1/cluster/rebalance'],
];

describe.each(changes)('%s', (name, change, method, path) => {
  it('gives the plan', async () => {
    const node = await stub(() => ({ ...ok({ plan }), status: 202 }));
    const store = storeOf(node.url);
    expect(await change(store)).toEqual(plan);
    expect(await change(store, true)).toEqual(plan);
    const sent = node.requests.map(({ method: as, url, headers, body }) => {
      return { as, target: url.pathname + url.search, type: headers['content-type'], body };
    });
    const type = name === 'addNode' ? 'application/json' : undefined;
    const body = name === 'addNode' ? JSON.stringify(n4) : '';
    expect(sent).toEqual([
      { as: method, target: path, type, body },
      { as: method, target: `${path}?dry_run=true`, type, body },
    ]);
  });

  it('fails with the reason where it is refused, and is not asked again', async () => {
    const node = await stub(() => refusal('change_refused'));
    const error = await errorOf(change(storeOf(node.url)));
    expect(error).toMatchObject({ code: 'change_refused', status: 409, outcome: 'not_applied', retryable: false });
    expect(node.requests).toHaveLength(1);
  });

  it('is asked again of who was not reached, and while nobody leads', async () => {
    const [port] = await freePorts(1);
    const node = await stub((_request, count) =>
      count < 3 ? refusal('no_leader', { 'Retry-After': '0' }) : { ...ok({ plan }), status: 202 },
    );
    expect(await change(storeOf(`127.0.0.1:${port}`, node.url))).toEqual(plan);
    expect(node.requests).toHaveLength(3);
  });

  it.each([
    ['breaks the connection', () => undefined, 'unreachable'],
    ['breaks off its answer', () => 'torn' as const, 'unreachable'],
    ['does not know', () => refusal('outcome_unknown'), 'outcome_unknown'],
    ['breaks inside', () => refusal('internal_error'), 'internal_error'],
  ])('is not asked again of a node that %s: it may be decided', async (_what, script, code) => {
    const nodes = await Promise.all([stub(script), stub(script)]);
    const error = await errorOf(change(storeOf(...nodes.map(({ url }) => url))));
    expect(error).toMatchObject({ code, outcome: 'unknown', retryable: false, idempotencyKey: undefined });
    expect(error.message).toContain('The change may have been decided');
    expect(nodes.flatMap(({ requests }) => requests)).toHaveLength(1);
    expect(nodes.flatMap(({ requests }) => requests)[0]?.headers['idempotency-key']).toBeUndefined();
  });

  it('is asked again where nothing would have changed', async () => {
    const node = await stub((_request, count) => (count === 1 ? undefined : ok({ plan })));
    expect(await change(storeOf(node.url), true)).toEqual(plan);
    expect(node.requests).toHaveLength(2);
  });
});

it('operations tells what moves', async () => {
  const move = { partition: 3, reason: 'join', from: ['n1'], to: ['n4'], step: 'catch_up', progress: 0.5, lag: 9 };
  const since = '2026-01-02T03:04:05.006Z';
  const node = await stub(() =>
    ok({
      operations: [
        { ...move, since },
        { ...move, since, blockedBy: 'n4 is down' },
      ],
    }),
  );
  expect(await storeOf(node.url).cluster.operations()).toEqual([
    { ...move, since: new Date(since), blockedBy: undefined },
    { ...move, since: new Date(since), blockedBy: 'n4 is down' },
  ]);
});

it('moveLeader says who leads, and may be asked twice', async () => {
  const node = await stub((_request, count) =>
    count === 1 ? undefined : ok({ id: 3, leader: 'n2', term: 8 }, { 'Flotilla-Leader': 'n2' }),
  );
  expect(await storeOf(node.url).cluster.moveLeader(3, 'n2')).toEqual({ leader: 'n2', term: 8 });
  expect(node.requests.map(({ url, body }) => [url.pathname, body])).toEqual(
    Array(2).fill(['/v1/cluster/partitions/3/leader', '{"nodeId":"n2"}']),
  );
});
