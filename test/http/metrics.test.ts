/** `/metrics` at the front: every line of it is well formed, what is counted moves, and nothing that clients choose becomes a label. */
import { Agent } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KvOutcome } from '../../src/cluster/types.ts';
import type { NodeReadings } from '../../src/metrics/ports.ts';
import type { NodeId, PartitionId } from '../../src/replica/ports.ts';
import { parseExposition, seriesCount, valueOf, type Family } from '../metrics/exposition.ts';
import { expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

let front: Front;
beforeEach(async () => {
  front = await startFront({ limits: { requestsMax: 3 }, config: { metrics: { partitionsMax: 2, loopSampleMs: 10 } } });
});
afterEach(() => front.close());

async function scrape(): Promise<ReadonlyMap<string, Family>> {
  const answer = await send(front.baseUrl, { path: '/metrics' });
  expect(answer.status).toBe(200);
  return parseExposition(answer.body.toString());
}

const count = 'flotilla_http_request_duration_seconds_count';

describe('the answer', () => {
  it('is the text format 0.0.4, every line of it, also where there is no node below', async () => {
    const answer = await send(front.baseUrl, { path: '/metrics' });
    expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(answer.headers['cache-control']).toBe('no-store');
    const families = parseExposition(answer.body.toString());
    expect(families.size).toBeGreaterThan(20);
    for (const { name, help, type } of families.values()) {
      expect(name).toMatch(/^(flotilla|process)_/);
      expect(help.toLowerCase(), name).toMatch(new RegExp(`^${type}, .+: .+\\.$`));
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
    }
  });

  it('has a HEAD, takes no parameters and no other methods', async () => {
    const head = await send(front.baseUrl, { method: 'HEAD', path: '/metrics' });
    expect([head.status, head.body.length]).toEqual([200, 0]);
    expect(head.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    expectProblem(await send(front.baseUrl, { path: '/metrics?partition=1' }), 'invalid_request');
    expectProblem(await send(front.baseUrl, { method: 'POST', path: '/metrics' }), 'method_not_allowed');
  });

  it('comes while everything else is refused, and counts what is', async () => {
    let open = (): void => undefined;
    const held = new Promise<void>((resolve) => (open = resolve));
    const arrived = Array.from({ length: 3 }, () => {
      return new Promise<void>((resolve) =>
        front.node.answerNext(async (_request, store): Promise<KvOutcome> => {
          resolve();
          await held;
          return store();
        }),
      );
    });
    const waiting = [1, 2, 3].map((n) => send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${n}`, body: 'x' }));
    await Promise.all(arrived);
    expectProblem(await send(front.baseUrl, { path: '/v1/kv/1' }), 'overloaded');
    const families = await scrape();
    expect(valueOf(families, 'flotilla_http_refusals_total', { reason: 'overloaded' })).toBe(1);
    expect(valueOf(families, count, { operation: 'none', outcome: 'overloaded' })).toBe(1);
    expect(valueOf(families, 'flotilla_http_requests_in_flight')).toBe(4);
    expect(valueOf(families, 'flotilla_http_connections')).toBeGreaterThanOrEqual(4);
    open();
    for (const answer of await Promise.all(waiting)) expect(answer.status).toBe(201);
    expect(valueOf(await scrape(), 'flotilla_http_requests_in_flight')).toBe(1);
  });
});

describe('what is counted', () => {
  it('moves with each request, by operation and outcome', async () => {
    const calls = [
      { method: 'PUT', path: '/v1/kv/a', body: 'x', operation: 'put', outcome: 'ok' },
      { method: 'GET', path: '/v1/kv/a', operation: 'get', outcome: 'ok' },
      { method: 'GET', path: '/v1/kv64/Yg', operation: 'get', outcome: 'not_found' },
      { method: 'GET', path: '/get?key=a', operation: 'get', outcome: 'ok' },
      { method: 'GET', path: '/set?key=a&value=b', operation: 'put', outcome: 'ok' },
      { method: 'PUT', path: '/v1/kv/a?ttl=never', body: 'x', operation: 'put', outcome: 'refused' },
      { method: 'DELETE', path: '/v1/kv/a', operation: 'delete', outcome: 'ok' },
      { method: 'GET', path: '/v1/kv?limit=1', operation: 'scan', outcome: 'ok' },
      { method: 'DELETE', path: '/v1/kv?prefix=a&confirm=a', operation: 'delete_prefix', outcome: 'ok' },
      { method: 'GET', path: '/v1/cluster', operation: 'cluster', outcome: 'ok' },
      { method: 'GET', path: '/nowhere', operation: 'none', outcome: 'not_found' },
    ];
    for (const { operation, outcome, ...call } of calls) {
      const before = valueOf(await scrape(), count, { operation, outcome }) ?? 0;
      await send(front.baseUrl, call);
      expect(valueOf(await scrape(), count, { operation, outcome }), call.path).toBe(before + 1);
    }
  });

  it('counts refusals by their code, bytes that are no request among them', async () => {
    const families = await scrape();
    expect(valueOf(families, 'flotilla_http_refusals_total', { reason: 'invalid_ttl' })).toBe(0);
    expect(valueOf(families, 'flotilla_http_refusals_total', { reason: 'invalid_request' })).toBe(0);
    expectProblem(await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/a?ttl=never' }), 'invalid_ttl');
    const broken = await RawConnection.open(front.baseUrl);
    broken.write('no request\r\n\r\n');
    expect((await broken.answer())?.status).toBe(400);
    const then = await scrape();
    expect(valueOf(then, 'flotilla_http_refusals_total', { reason: 'invalid_ttl' })).toBe(1);
    expect(valueOf(then, 'flotilla_http_refusals_total', { reason: 'invalid_request' })).toBe(1);
  });

  it('counts a watch as it begins, not as long as it lasts', async () => {
    const watch = await RawConnection.open(front.baseUrl);
    watch.write('GET /v1/watch HTTP/1.1\r\nHost: h\r\n\r\n');
    await expect.poll(() => front.node.watches.length).toBe(1);
    expect(valueOf(await scrape(), count, { operation: 'watch', outcome: 'ok' })).toBe(1);
    expect(valueOf(await scrape(), 'flotilla_http_requests_in_flight')).toBe(1);
    watch.socket.destroy();
  });

  it('makes no new series of keys, paths, parameters and request ids', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 3 });
    const some = async (name: string): Promise<void> => {
      const headers = { 'X-Request-Id': name };
      await Promise.all([
        send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${name}`, body: 'x', headers, agent }),
        send(front.baseUrl, { path: `/v1/kv/no${name}`, headers, agent }),
        send(front.baseUrl, { path: `/${name}?${name}=1`, headers, agent }),
      ]);
    };
    await some('first');
    // A scrape is a request as well, counted once it is answered.
    await scrape();
    const before = await scrape();
    for (let n = 0; n < 1000; n += 1) await some(`other${n}`);
    const after = await scrape();
    agent.destroy();
    expect(valueOf(after, count, { operation: 'put', outcome: 'ok' })).toBe(1001);
    expect(seriesCount(after)).toBe(seriesCount(before));
  });
});

describe('what is read at a scrape', () => {
  it('is told of each partition, and is gone with its replica', async () => {
    let readings = nodeWith([1, 2]);
    front.metrics.followNode(() => readings);
    const families = await scrape();
    const of = (name: string, labels: Record<string, string>): number | undefined =>
      valueOf(families, `flotilla_partition_${name}`, labels);
    expect(of('term', { partition: '1' })).toBe(7);
    expect(of('role', { partition: '1', role: 'leader' })).toBe(1);
    expect(of('role', { partition: '1', role: 'follower' })).toBe(0);
    expect(of('role', { partition: '2', role: 'follower' })).toBe(1);
    expect(of('commit_index', { partition: '1' })).toBe(90);
    expect(of('applied_index', { partition: '1' })).toBe(85);
    expect(of('apply_lag_entries', { partition: '1' })).toBe(5);
    expect(of('follower_lag_entries', { partition: '1', peer: 'n2' })).toBe(40);
    expect(valueOf(families, 'flotilla_partitions_led')).toBe(1);
    expect(valueOf(families, 'flotilla_partitions_left_out')).toBe(0);
    expect(valueOf(families, 'flotilla_elections_won_total')).toBe(3);
    expect(valueOf(families, 'flotilla_peer_queued_bytes', { peer: 'n2' })).toBe(17);
    readings = nodeWith([2]);
    const fewer = await scrape();
    expect(valueOf(fewer, 'flotilla_partition_term', { partition: '1' })).toBeUndefined();
    expect(valueOf(fewer, 'flotilla_partition_term', { partition: '2' })).toBe(7);
  });

  it('leaves out a replica that says nothing any more, but counts it', async () => {
    const { replicas, ...others } = nodeWith([1, 2]);
    const silent = replicas.map((replica) =>
      replica.partition === 2 ? { ...replica, state: 'in_doubt' as const } : replica,
    );
    front.metrics.followNode(() => ({ ...others, replicas: silent }));
    const families = await scrape();
    expect(valueOf(families, 'flotilla_replicas', { state: 'in_doubt' })).toBe(1);
    expect(valueOf(families, 'flotilla_replicas', { state: 'ok' })).toBe(1);
    expect(families.get('flotilla_partition_term')?.samples.map(({ labels }) => labels)).toEqual([{ partition: '1' }]);
  });

  it('has no series of partitions where there are more than it may tell of, and says so', async () => {
    front.metrics.followNode(() => nodeWith([1, 2, 3]));
    const families = await scrape();
    expect(valueOf(families, 'flotilla_partitions_hosted')).toBe(3);
    expect(valueOf(families, 'flotilla_partitions_left_out')).toBe(3);
    expect(families.get('flotilla_partition_term')?.samples).toEqual([]);
    expect(families.get('flotilla_partition_role')?.samples).toEqual([]);
    expect(families.get('flotilla_partition_follower_lag_entries')?.samples).toEqual([]);
  });

  it('tells how late the event loop is', async () => {
    const name = 'flotilla_event_loop_lag_seconds';
    const late = async (): Promise<number> => {
      const families = await scrape();
      const all = valueOf(families, `${name}_count`) ?? NaN;
      return all - (valueOf(families, `${name}_bucket`, { le: '0.1' }) ?? NaN);
    };
    const before = await late();
    const until = performance.now() + 200;
    while (performance.now() < until);
    await expect.poll(late).toBeGreaterThan(before);
  });
});

function nodeWith(partitions: readonly number[]): NodeReadings {
  return {
    ready: true,
    replicas: partitions.map((id) => ({
      partition: id as PartitionId,
      nodeId: 'n1' as NodeId,
      role: id === 1 ? 'leader' : 'follower',
      state: 'ok',
      term: 7,
      leader: 'n1' as NodeId,
      lastIndex: 100,
      commitIndex: 90,
      appliedIndex: 85,
      keys: 0,
      bytes: 0,
      followers: id === 1 ? [{ nodeId: 'n2' as NodeId, matchIndex: 60 }] : [],
    })),
    queues: { messages: 1, writes: 2, reads: 3 },
    electionsStarted: 4,
    electionsWon: 3,
    pendingBytes: 5,
    writesUnderWay: 8,
    writesUnderWayMax: Infinity,
    snapshots: { sending: 0, receiving: 0, sentBytes: 6, ended: { installed: 1 }, installed: 1 },
    watchers: 0,
    watchQueuedBytes: 0,
    peers: [{ nodeId: 'n2', connected: true, queuedBytes: 17, droppedMessages: 0 }],
  };
}
