/** Changes of the cluster: what is asked of the node, and what the front makes of its outcome. */
import assert from 'node:assert/strict';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/api/errors.ts';
import type { ClusterChangeOutcome, PlanSummary } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { RawConnection, send, type Answer } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

const nodes = '/v1/cluster/nodes';
const rebalance = '/v1/cluster/rebalance';
const operations = '/v1/cluster/operations';
const json = { 'Content-Type': 'application/json' };
const jsonBytesMax = 1000;
const n4 = { nodeId: 'n4', http: 'http://10.0.0.4:7001', peer: '10.0.0.4:7101' };

const [n1, n2, n5] = ['n1', 'n2', 'n5'] as NodeId[] as [NodeId, NodeId, NodeId];
const plan: PlanSummary = {
  moves: [
    { partition: 3 as PartitionId, from: n1, to: n5, bytes: 2048 },
    { partition: 4 as PartitionId, from: undefined, to: n5, bytes: 0 },
    { partition: 5 as PartitionId, from: n2, to: undefined, bytes: 7 },
  ],
  replicas: 3,
  bytes: 2055,
  fraction: 0.25,
  ideal: 0.2,
  risks: ['zone a has one node'],
};
const planInJson = {
  moves: [
    { partition: 3, from: 'n1', to: 'n5', bytes: 2048 },
    { partition: 4, from: null, to: 'n5', bytes: 0 },
    { partition: 5, from: 'n2', to: null, bytes: 7 },
  ],
  replicas: 3,
  bytes: 2055,
  fraction: 0.25,
  ideal: 0.2,
  risks: ['zone a has one node'],
};

describe.each([
  ['with the fast path on', true],
  ['with Express alone', false],
])('%s', (_name, fastPath) => {
  let front: Front;
  beforeAll(async () => {
    front = await startFront({ limits: { fastPath, jsonBytesMax } });
  });
  beforeEach(() => {
    front.node.seenChanges.length = 0;
    front.node.changeOutcome = () => ({ type: 'accepted', plan });
  });
  afterAll(() => front.close());

  const add = (body: unknown, headers: Record<string, string> = {}, query = ''): Promise<Answer> =>
    send(front.baseUrl, {
      method: 'POST',
      path: `${nodes}${query}`,
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
      headers: { ...json, ...headers },
    });
  /** Each of the three, as it is most plainly asked. */
  const changes: readonly [string, (query?: string, headers?: Record<string, string>) => Promise<Answer>][] = [
    ['adding a node', (query = '', headers = {}) => add(n4, headers, query)],
    [
      'removing a node',
      (query = '', headers = {}) => send(front.baseUrl, { method: 'DELETE', path: `${nodes}/n2${query}`, headers }),
    ],
    [
      'rebalancing',
      (query = '', headers = {}) => send(front.baseUrl, { method: 'POST', path: `${rebalance}${query}`, headers }),
    ],
  ];

  describe.each(changes)('%s', (_what, change) => {
    it('is decided and answered with its plan', async () => {
      const answer = await change();
      expect(answer.status).toBe(202);
      expect(expectJson(answer, 'plan')).toEqual({ plan: planInJson });
      expect(answer.headers['cache-control']).toBe('no-store');
      expect(front.node.seenChanges).toMatchObject([{ dryRun: false }]);
    });

    it('is only shown when that is asked for', async () => {
      const answer = await change('?dry_run=true');
      expect(answer.status).toBe(200);
      expect(expectJson(answer, 'plan')).toEqual({ plan: planInJson });
      expect((await change('?dry_run=false')).status).toBe(202);
      expect(front.node.seenChanges).toMatchObject([{ dryRun: true }, { dryRun: false }]);
    });

    it('takes the deadline that was asked for', async () => {
      await change('', { 'Flotilla-Timeout-Ms': '60000' });
      await change();
      const [asked, plain] = front.node.seenChanges;
      assert(asked !== undefined && plain !== undefined, 'both reached the node');
      expect(asked.timeoutMs).toBeGreaterThan(59_000);
      expect(asked.timeoutMs).toBeLessThanOrEqual(60_000);
      expect(plain.timeoutMs).toBeGreaterThan(4500);
      expect(plain.timeoutMs).toBeLessThanOrEqual(5000);
    });

    it.each([
      ['?dry_run=yes', 'dry_run must be true or false'],
      ['?dry_run', 'dry_run must be true or false'],
      ['?dry_run=1', 'dry_run must be true or false'],
      ['?dry_run=true&dry_run=true', 'twice'],
      ['?dryRun=true', 'dryRun'],
      ['?route=forward', 'route'],
      ['?dry_run=%zz', 'percent'],
    ])('refuses the query %s, and changes nothing', async (query, named) => {
      expect(expectProblem(await change(query), 'invalid_request').detail).toContain(named);
      expect(front.node.seenChanges).toEqual([]);
    });

    it('refuses a deadline that is none, and pages of other sites', async () => {
      expectProblem(await change('', { 'Flotilla-Timeout-Ms': 'soon' }), 'invalid_request');
      expectProblem(await change('', { 'Flotilla-Timeout-Ms': '60001' }), 'invalid_request');
      expectProblem(await change('', { 'Sec-Fetch-Site': 'cross-site' }), 'cross_site_refused');
      expect(front.node.seenChanges).toEqual([]);
    });

    const refusals: readonly [Exclude<ClusterChangeOutcome, { type: 'accepted' }>, ErrorCode, object][] = [
      [
        { type: 'refused', detail: 'partition 3 would have no quorum' },
        'change_refused',
        { status: 409, outcome: 'not_applied', retryable: false },
      ],
      [{ type: 'not_found', detail: 'no node n2' }, 'not_found', { outcome: 'not_applied', retryable: false }],
      [
        { type: 'no_leader', detail: 'nobody leads group 0' },
        'no_leader',
        { status: 503, partition: 0, outcome: 'not_applied', retryable: true },
      ],
      [
        { type: 'unknown', detail: 'not seen in time' },
        'outcome_unknown',
        { status: 504, partition: 0, outcome: 'unknown', retryable: false },
      ],
    ];
    it.each(refusals)('tells what came of it: %j', async (outcome, code, expected) => {
      front.node.changeOutcome = () => outcome;
      const answer = await change();
      const problem = expectProblem(answer, code);
      expect(problem).toMatchObject({ ...expected, detail: outcome.detail });
      expect(answer.headers['retry-after']).toBe(problem.status === 503 ? '1' : undefined);
      expect(answer.headers['flotilla-partition']).toBe('partition' in expected ? '0' : undefined);
    });

    it('has no doubt about a dry run', async () => {
      front.node.changeOutcome = () => ({ type: 'unknown', detail: 'not seen in time' });
      const problem = expectProblem(await change('?dry_run=true'), 'no_leader');
      expect(problem).toMatchObject({ outcome: 'not_applied', retryable: true });
      front.node.changeOutcome = () => ({ type: 'refused', detail: 'no' });
      expectProblem(await change('?dry_run=true'), 'change_refused');
    });

    it('survives a fault below it, and calls what came of it unknown', async () => {
      front.node.changeOutcome = () => Promise.reject(new Error('broken below'));
      const problem = expectProblem(await change(), 'internal_error');
      expect(problem.outcome).toBe('unknown');
      expect(problem.detail).not.toContain('broken below');
    });
  });

  describe('a node that joins', () => {
    it('is what the body says, with an ordinary share unless another is asked for', async () => {
      await add(n4);
      const whole = { ...n4, nodeId: 'n.5_-', http: 'https://[::1]', labels: { zone: 'b', host: '' }, weight: 0.5 };
      await add(whole, { 'Content-Type': 'Application/JSON; charset=utf-8' });
      expect(front.node.seenChanges.map(({ change }) => change)).toEqual([
        { type: 'add_node', node: { ...n4, labels: {}, weight: 1 } },
        { type: 'add_node', node: whole },
      ]);
    });

    const wrong: readonly [string, unknown, string][] = [
      ['nothing', '', 'empty'],
      ['no JSON', '{', 'not JSON'],
      ['a list', [n4], 'The body must be object'],
      ['without an id', { ...n4, nodeId: undefined }, 'lacks nodeId'],
      ['without an address for clients', { ...n4, http: undefined }, 'lacks http'],
      ['without an address for nodes', { ...n4, peer: undefined }, 'lacks peer'],
      ['with another field', { ...n4, dryRun: true }, 'known here: dryRun'],
      ['with an id of other characters', { ...n4, nodeId: 'n 4' }, 'nodeId must be 1 to 64 of the characters'],
      ['with an id that is too long', { ...n4, nodeId: 'n'.repeat(65) }, 'nodeId must'],
      ['with an id that is none', { ...n4, nodeId: 4 }, 'nodeId must be string'],
      ['with a path', { ...n4, http: 'http://h:7001/' }, 'http must be a URL such as'],
      ['with a query', { ...n4, http: 'http://h?x' }, 'http must be a URL such as'],
      ['with a user', { ...n4, http: 'http://me@h' }, 'http must be a URL such as'],
      ['of another scheme', { ...n4, http: 'ftp://h' }, 'http must be a URL such as'],
      ['without a scheme', { ...n4, http: 'h:7001' }, 'http must be a URL such as'],
      ['with a port that there is not', { ...n4, http: 'http://h:65536' }, 'http must be a URL such as'],
      ['without a port for nodes', { ...n4, peer: 'h' }, 'peer must be host:port'],
      ['with port 0', { ...n4, peer: 'h:0' }, 'peer must be host:port'],
      ['with a port for nodes that there is not', { ...n4, peer: 'h:70000' }, 'peer must be host:port'],
      ['with a URL for nodes', { ...n4, peer: 'http://h:1' }, 'peer must be host:port'],
      ['without a share', { ...n4, weight: 0 }, 'weight must be > 0'],
      ['with too large a share', { ...n4, weight: 1000.5 }, 'weight must be <= 1000'],
      ['with a share as text', { ...n4, weight: '2' }, 'weight must be number'],
      ['with a label that is no text', { ...n4, labels: { zone: 1 } }, 'labels.zone must be string'],
      ['with a label of no good name', { ...n4, labels: { 'a b': 'x' } }, 'labels must be an object with names'],
      [
        'with a prototype for a label',
        JSON.stringify(n4).replace('}', ',"labels":{"__proto__":"x"}}'),
        'labels must be',
      ],
      ['with half of a character pair', { ...n4, labels: { a: '\ud800' } }, 'labels.a must be a well-formed text'],
      ['with a host that no header carries', { ...n4, http: 'http://h\u00001' }, 'http must be a URL such as'],
      ['with a host in another script', { ...n4, http: 'http://ñ.example' }, 'http must be a URL such as'],
      ['with labels in a list', { ...n4, labels: ['zone'] }, 'labels must be object'],
    ];
    it.each(wrong)('is refused %s', async (_what, body, named) => {
      expect(expectProblem(await add(body), 'invalid_request').detail).toContain(named);
      expect(front.node.seenChanges).toEqual([]);
    });

    it('is refused as another type, and at too great a length', async () => {
      expectProblem(await add(n4, { 'Content-Type': 'text/plain' }), 'unsupported_media_type');
      expectProblem(await add({ ...n4, labels: { a: 'x'.repeat(jsonBytesMax) } }), 'value_too_large');
      expect(front.node.seenChanges).toEqual([]);
    });
  });

  it('does nothing for a client that goes away within its body', async () => {
    for (const head of [`POST ${nodes}`, `DELETE ${nodes}/n2`, `POST ${rebalance}`]) {
      const gone = await RawConnection.open(front.baseUrl);
      gone.write(`${head} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n`);
      gone.write('Expect: 100-continue\r\n\r\n{');
      expect((await gone.answer())?.status).toBe(100);
      gone.destroy();
      await expect.poll(() => front.server.connections()).toBe(0);
    }
    expect(front.node.seenChanges).toEqual([]);
  });

  describe('a node that leaves', () => {
    const remove = (rest: string, options: { readonly body?: string } = {}): Promise<Answer> =>
      send(front.baseUrl, { method: 'DELETE', path: `${nodes}/${rest}`, ...options });

    it('is named by the path, percent-decoded once', async () => {
      for (const rest of ['n2', '%6E2', 'a.b_c-D', '..']) expect((await remove(rest)).status).toBe(202);
      expect(front.node.seenChanges.map(({ change }) => change)).toEqual(
        ['n2', 'n2', 'a.b_c-D', '..'].map((nodeId) => ({ type: 'remove_node', nodeId })),
      );
    });

    it('is not found where no node can be called so', async () => {
      for (const rest of ['', 'n2/', 'n2/x', 'n%202', '%ff', '%zz', '%256E2', 'n'.repeat(65)]) {
        expectProblem(await remove(rest), 'not_found');
      }
      expect(front.node.seenChanges).toEqual([]);
    });
  });

  it('refuses a body where none is taken, rather than ignore what it may say', async () => {
    for (const [method, path] of [
      ['DELETE', `${nodes}/n2`],
      ['POST', rebalance],
    ] as const) {
      const body = '{"dry_run":true}';
      for (const headers of [{ 'Content-Length': String(body.length) }, { 'Transfer-Encoding': 'chunked' }]) {
        const answer = await send(front.baseUrl, { method, path, body, headers });
        expect(expectProblem(answer, 'invalid_request').detail).toContain('dry_run=true stands in the query');
      }
      const headers = { 'Transfer-Encoding': 'chunked' };
      const long = await send(front.baseUrl, { method, path, body: 'x'.repeat(jsonBytesMax + 1), headers });
      expectProblem(long, 'value_too_large');
    }
    expect(front.node.seenChanges).toEqual([]);
  });

  it('takes no other methods', async () => {
    for (const [path, method, allow] of [
      [nodes, 'GET', 'POST'],
      [nodes, 'DELETE', 'POST'],
      [`${nodes}/n2`, 'GET', 'DELETE'],
      [`${nodes}/n2`, 'PUT', 'DELETE'],
      [rebalance, 'GET', 'POST'],
      [operations, 'POST', 'GET, HEAD'],
    ] as const) {
      const answer = await send(front.baseUrl, { method, path });
      expectProblem(answer, 'method_not_allowed');
      expect(answer.headers.allow).toBe(allow);
    }
    expectProblem(await send(front.baseUrl, { method: 'POST', path: `${rebalance}/` }), 'route_not_found');
    expect(front.node.seenChanges).toEqual([]);
  });
});
