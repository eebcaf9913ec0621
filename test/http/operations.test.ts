/** What is told of moves under way, and of the group that decides on them. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { OperationStatus } from '../../src/cluster/types.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send, type Answer } from './http-client.ts';
import { LocalFacade } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';

const operations = '/v1/cluster/operations';
const [n1, n5] = ['n1', 'n5'] as NodeId[] as [NodeId, NodeId];

describe.each([
  ['with the fast path on', true],
  ['with Express alone', false],
])('%s', (_name, fastPath) => {
  let front: Front;
  beforeAll(async () => {
    front = await startFront({ limits: { fastPath } });
  });
  beforeEach(() => {
    front.node.seenOperations.length = 0;
  });
  afterAll(() => front.close());

  describe('moves under way', () => {
    const move: OperationStatus = {
      partition: 3 as PartitionId,
      reason: 'join',
      from: [n1],
      to: [n5],
      step: 'catch_up',
      progress: 0.5,
      lag: 12,
      sinceMs: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
      blockedBy: undefined,
    };
    const ask = (headers: Record<string, string> = {}, query = ''): Promise<Answer> =>
      send(front.baseUrl, { path: `${operations}${query}`, headers });

    it('are told, with what holds them up', async () => {
      const held: OperationStatus = { ...move, from: [], step: 'waiting', progress: 0, blockedBy: 'n5 is down' };
      front.node.operationsOutcome = () => ({ type: 'operations', operations: [move, held] });
      const answer = await ask({ 'Flotilla-Timeout-Ms': '30000' });
      expect(answer.status).toBe(200);
      const told = { partition: 3, reason: 'join', to: ['n5'], lag: 12, since: '2026-01-02T03:04:05.006Z' };
      expect(expectJson(answer, 'operations')).toEqual({
        operations: [
          { ...told, from: ['n1'], step: 'catch_up', progress: 0.5 },
          { ...told, from: [], step: 'waiting', progress: 0, blockedBy: 'n5 is down' },
        ],
      });
      expect(front.node.seenOperations[0]).toBeGreaterThan(29_000);
      const head = await send(front.baseUrl, { method: 'HEAD', path: operations });
      expect(head).toMatchObject({ status: 200, headers: { 'content-length': String(answer.body.length) } });
      expect(front.node.seenOperations[1]).toBeLessThanOrEqual(5000);
    });

    it('are not known while nobody leads the group that decides', async () => {
      front.node.operationsOutcome = () => ({ type: 'no_leader', detail: 'nobody leads group 0' });
      const answer = await ask();
      expect(expectProblem(answer, 'no_leader')).toMatchObject({ partition: 0, detail: 'nobody leads group 0' });
      expect(answer.headers['retry-after']).toBe('1');
    });

    it('are asked for without parameters', async () => {
      expectProblem(await ask({}, '?dry_run=true'), 'invalid_request');
      expectProblem(await ask({ 'Flotilla-Timeout-Ms': '0' }), 'invalid_request');
      expect(front.node.seenOperations).toEqual([]);
    });
  });

  it('shows the group that looks after the cluster under its id alone', async () => {
    const answer = await send(front.baseUrl, { path: '/v1/cluster/partitions/0' });
    expect(answer.status).toBe(200);
    const status = await new LocalFacade().metadataStatus();
    expect(expectJson(answer, 'partition')).toMatchObject({ id: 0, term: status.term });
    const all = expectJson(await send(front.baseUrl, { path: '/v1/cluster/partitions' }), 'partitions');
    expect((all as readonly { readonly id: number }[]).map(({ id }) => id)).toEqual([1]);
    for (const id of ['00', '0.0', '-0']) {
      expectProblem(await send(front.baseUrl, { path: `/v1/cluster/partitions/${id}` }), 'not_found');
    }
  });
});
