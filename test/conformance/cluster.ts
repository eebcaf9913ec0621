/** What a node says of itself and its cluster. */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { expectJson, expectProblem } from '../http/expect-answer.ts';
import type { Call } from '../http/http-client.ts';
import { ask, freshPath } from './keys.ts';
import type { Way } from './suite.ts';

interface Partition {
  readonly leader: string;
  readonly term: number;
  readonly replicas: readonly { readonly nodeId: string }[];
}

function moveTo(partitionPath: string, body: object): Call {
  const headers = { 'Content-Type': 'application/json' };
  return { method: 'POST', path: `${partitionPath}/leader`, headers, body: JSON.stringify(body) };
}

export function clusterCases(way: Way): void {
  it.each([
    ['/v1/cluster', 'cluster'],
    ['/v1/cluster/partitions', 'partitions'],
    ['/v1/cluster/partitions/1', 'partition'],
    ['/v1/cluster/partitions/0', 'partition'],
    ['/v1/cluster/operations', 'operations'],
    ['/v1/locate/some%2Fkey', 'locate'],
    ['/livez', 'livez'],
    ['/readyz', 'readyz'],
  ] as const)('answers GET and HEAD of %s', async (path, schema) => {
    const answer = await ask(way, { path });
    expect(answer.status).toBe(200);
    expectJson(answer, schema);
    const head = await ask(way, { method: 'HEAD', path });
    expect(head.status).toBe(200);
    expect(head.body.length).toBe(0);
  });

  it('covers the whole hash space with the partitions it lists, group 0 not among them', async () => {
    const answer = await ask(way, { path: '/v1/cluster/partitions' });
    const partitions = expectJson(answer, 'partitions') as { readonly id: number; readonly range: [number, number] }[];
    const ranges = partitions.map((partition) => partition.range).sort(([one], [other]) => one - other);
    expect(ranges[0]?.[0]).toBe(0);
    expect(ranges.at(-1)?.[1]).toBe(0xffff_ffff);
    for (const [index, range] of ranges.entries()) {
      const before = ranges[index - 1];
      if (before !== undefined) expect(range[0]).toBe(before[1] + 1);
    }
    expect(partitions.map((partition) => partition.id)).not.toContain(0);
  });

  it.each(['00', '4294967295', 'abc', '', '01', '1.0', '-1', '%31'])('knows no partition %s', async (id) => {
    expectProblem(await ask(way, { path: `/v1/cluster/partitions/${id}` }), 'not_found');
  });

  it('locates a key where its writes go', async () => {
    const path = freshPath();
    const put = expectJson(await ask(way, { method: 'PUT', path, body: 'x' }), 'putResult') as { partition: number };
    const key = path.slice('/v1/kv/'.length);
    const located = expectJson(await ask(way, { path: `/v1/locate/${encodeURIComponent(key)}` }), 'locate');
    expect(located).toMatchObject({ key, partition: put.partition });
  });

  it('refuses bad keys and unknown parameters here too', async () => {
    expectProblem(await ask(way, { path: '/v1/locate/%FF' }), 'invalid_key');
    expectProblem(await ask(way, { path: '/v1/locate/' }), 'invalid_key');
    for (const path of ['/v1/locate/a', '/v1/cluster', '/v1/cluster/partitions', '/v1/cluster/partitions/1']) {
      expectProblem(await ask(way, { path: `${path}?verbose=true` }), 'invalid_request');
    }
  });

  it('moves a leadership to the node that is named, and says so wherever leaders are told', async () => {
    const path = '/v1/cluster/partitions/1';
    const partition = async (): Promise<Partition> => expectJson(await ask(way, { path }), 'partition') as Partition;
    const before = await partition();
    const target = before.replicas.find(({ nodeId }) => nodeId !== before.leader)?.nodeId ?? '';
    for (const wanted of [target, target, before.leader]) {
      const answer = await ask(way, moveTo(path, { nodeId: wanted }));
      const moved = expectJson(answer, 'leader') as { readonly id: number; readonly leader: string; term: number };
      expect(moved).toMatchObject({ id: 1, leader: wanted });
      expect(moved.term).toBeGreaterThan(before.term);
      expect(answer.headers).toMatchObject({
        'flotilla-partition': '1',
        'flotilla-term': String(moved.term),
        'flotilla-leader': wanted,
      });
      await expect.poll(partition).toMatchObject({ leader: wanted, term: moved.term });
    }
  });

  it('moves nothing to where it cannot be', async () => {
    const path = '/v1/cluster/partitions/1';
    expectProblem(await ask(way, moveTo(path, { nodeId: 'nobody' })), 'not_found');
    for (const id of ['4294967295', 'abc', '', '01', '%31']) {
      expectProblem(await ask(way, moveTo(`/v1/cluster/partitions/${id}`, { nodeId: 'n1' })), 'not_found');
    }
  });

  it('serves a page that needs nothing from elsewhere and allows exactly its own parts', async () => {
    const answer = await ask(way, { path: '/' });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/html; charset=utf-8');
    const html = answer.body.toString('utf8');
    const policy = answer.headers['content-security-policy'] as string;
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toContain('unsafe');
    for (const [tag, directive] of [
      ['script', 'script-src'],
      ['style', 'style-src'],
    ] as const) {
      const parts = [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))];
      expect(parts.length).toBe(1);
      const hash = createHash('sha256')
        .update(parts[0]?.[1] ?? '')
        .digest('base64');
      expect(policy).toContain(`${directive} 'sha256-${hash}'`);
    }
    expect(html).not.toMatch(/https?:\/\//);
    expect(html).not.toMatch(/\son[a-z]+=|\sstyle=|innerHTML|insertAdjacentHTML|document\.write/);
  });
}
