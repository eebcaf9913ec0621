/** `GET /v1/watch` as a client sees it: how changes are told, what it may ask for, and how it is refused. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { formatCursor, nameOf, type WatchCursor, type WatchTarget } from '../../src/cluster/watch/cursor.ts';
import type { WatchOutcome } from '../../src/cluster/watch/hub.ts';
import type { WatchSink } from '../../src/cluster/watch/watcher.ts';
import type { Change } from '../../src/kv/changes.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { send } from './http-client.ts';
import { onePartition } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';
import { WatchClient } from './watch-client.ts';

let front: Front;
const clients: WatchClient[] = [];
beforeAll(async () => {
  front = await startFront();
});
afterEach(() => {
  for (const client of clients.splice(0)) client.leave();
});
afterAll(() => front.close());

const ndjson = { Accept: 'application/x-ndjson' };

async function open(query = '', headers: Record<string, string> = {}): Promise<WatchClient> {
  const before = front.node.watches.length;
  const opened = WatchClient.open(front.baseUrl, `/v1/watch${query}`, headers);
  // Lines come without anything before them, as headers do.
  if (headers['Accept'] === ndjson.Accept) {
    await expect.poll(() => front.node.watches.length).toBeGreaterThan(before);
    lastSink().bookmark('c0');
  }
  const client = await opened;
  clients.push(client);
  return client;
}

const lastSink = (): WatchSink => front.node.watches.at(-1)?.sink as WatchSink;
const version = { revision: 12, incarnation: 3 };
const text = Buffer.from('a\nü "🚢"');
const put: Change = { type: 'put', key: Buffer.from('ü/1'), value: text, contentType: 'text/plain', ...version };
const binary: Change = {
  type: 'put',
  key: Buffer.from([0xff]),
  value: Buffer.from([0xfe, 0]),
  contentType: '',
  ...version,
};
const removed: Change = { type: 'delete', key: Buffer.from('a'), ...version };
const expired: Change = { type: 'expire', key: Buffer.from([0xff]), ...version };

function tellAll(sink: WatchSink): void {
  for (const [at, change] of [put, binary, removed, expired].entries()) {
    sink.event(change, (onePartition + at) as PartitionId, `c${at + 1}`);
  }
  sink.bookmark('c5');
}

const putData = String.raw`{"key":"ü/1","value":"a\nü \"🚢\"","contentType":"text/plain","revision":12,"etag":"\"3-12\"","partition":1}`;
const binaryData = String.raw`{"keyBase64":"/w==","valueBase64":"/gA=","revision":12,"etag":"\"3-12\"","partition":2}`;
const removedData = String.raw`{"key":"a","revision":12,"etag":"\"3-12\"","partition":3}`;
const expiredData = String.raw`{"keyBase64":"/w==","revision":12,"etag":"\"3-12\"","partition":4}`;
const endData = String.raw`{"type":"urn:flotilla:problem:shutting_down","title":"This node is shutting down","status":503,"detail":"This node is shutting down; go on at another one.","code":"shutting_down","outcome":"not_applied","retryable":true,"requestId":"mine"}`;

describe('what is told', () => {
  it('is server-sent events, byte for byte', async () => {
    const client = await open('', { 'X-Request-Id': 'mine' });
    expect(client.answer.statusCode).toBe(200);
    expect(client.answer.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'flotilla-node': 'n1',
      'x-request-id': 'mine',
      vary: 'Accept',
    });
    tellAll(lastSink());
    lastSink().end({ type: 'shutting_down' });
    expect(await client.all()).toBe(
      [
        'retry: 500\n\n',
        `id: c1\nevent: put\ndata: ${putData}\n\n`,
        `id: c2\nevent: put\ndata: ${binaryData}\n\n`,
        `id: c3\nevent: delete\ndata: ${removedData}\n\n`,
        `id: c4\nevent: expire\ndata: ${expiredData}\n\n`,
        'id: c5\nevent: bookmark\ndata: {}\n\n',
        // Without an id: it is no place to go on from.
        `event: end\ndata: ${endData}\n\n`,
      ].join(''),
    );
  });

  it('is lines of JSON for who asks for them, byte for byte, each as it is described', async () => {
    const client = await open('', { ...ndjson, 'X-Request-Id': 'mine' });
    expect(client.answer.headers).toMatchObject({ 'content-type': 'application/x-ndjson', vary: 'Accept' });
    tellAll(lastSink());
    lastSink().end({ type: 'shutting_down' });
    const told = await client.all();
    expect(told).toBe(
      [
        '{"event":"bookmark","cursor":"c0"}\n',
        `{"event":"put","cursor":"c1","data":${putData}}\n`,
        `{"event":"put","cursor":"c2","data":${binaryData}}\n`,
        `{"event":"delete","cursor":"c3","data":${removedData}}\n`,
        `{"event":"expire","cursor":"c4","data":${expiredData}}\n`,
        '{"event":"bookmark","cursor":"c5"}\n',
        `{"event":"end","data":${endData}}\n`,
      ].join(''),
    );
    for (const line of told.trimEnd().split('\n')) {
      const answer = { status: 200, headers: client.answer.headers, body: Buffer.from(`${line}\n`) };
      expectJson(answer, 'watchLine', 'application/x-ndjson');
    }
  });

  it.each([
    [{ type: 'too_old', detail: 'the log begins at 9' }, 'cursor_expired', 'the log begins at 9'],
    [{ type: 'no_contact', detail: 'for 10 s nobody answered' }, 'no_leader', 'for 10 s nobody answered'],
  ] as const)('ends with a problem that says why: %j', async (end, code, detail) => {
    const client = await open();
    lastSink().end(end);
    // Nothing is told behind it, and the answer is whole.
    lastSink().bookmark('c9');
    lastSink().end({ type: 'shutting_down' });
    const [, told = ''] = (await client.all()).split('event: end\ndata: ');
    const problem = JSON.parse(told) as { readonly detail: string };
    expect(problem).toMatchObject({ code });
    expect(problem.detail).toContain(detail);
    expect(told.trimEnd()).not.toContain('\n');
    expect(client.answer.complete).toBe(true);
  });
});

const cursorAt = (index: number): WatchCursor => ({
  cluster: 7,
  positions: new Map([[onePartition, { incarnation: 1, index, done: 2 }]]),
});
const named = (target: WatchTarget): string => formatCursor(nameOf(target), cursorAt(5));
const prefixA: WatchTarget = { type: 'prefix', bytes: Buffer.from('a+') };
const everything: WatchTarget = { type: 'prefix', bytes: Buffer.alloc(0) };
const [ofPrefix, ofAll] = [named(prefixA), named(everything)];

describe('what it may be asked for', () => {
  const callOf = async (query: string, headers: Record<string, string> = {}): Promise<object> => {
    await open(query, headers);
    const { target, from } = front.node.watches.at(-1)?.call ?? {};
    return { type: target?.type, bytes: Buffer.from(target?.bytes ?? []).toString('latin1'), from };
  };
  const now = undefined;
  const place = cursorAt;

  it.each([
    ['', 'prefix', ''],
    ['?prefix=', 'prefix', ''],
    ['?prefix=a%2B', 'prefix', 'a+'],
    ['?prefix=a+b', 'prefix', 'a b'],
    ['?prefixBase64=/w==', 'prefix', '\xff'],
    ['?key=a%2Fb', 'key', 'a/b'],
    ['?keyBase64=/w==', 'key', '\xff'],
    ['?key=a&route=forward', 'key', 'a'],
    [`?key=${'k'.repeat(1024)}`, 'key', 'k'.repeat(1024)],
  ])('%s', async (query, type, bytes) => {
    expect(await callOf(query)).toEqual({ type, bytes, from: now });
  });

  it('goes on from a cursor; the one that a browser had last goes before the one in its address', async () => {
    const query = `?prefix=a%2B&from=${ofPrefix}`;
    expect(await callOf(query)).toMatchObject({ from: place(5) });
    const later = formatCursor(nameOf(prefixA), cursorAt(9));
    expect(await callOf(query, { 'Last-Event-ID': later })).toMatchObject({ from: place(9) });
    expect(await callOf('?prefix=a%2B', { 'Last-Event-ID': later })).toMatchObject({ from: place(9) });
  });

  it('begins with now where a cursor is empty, and an empty one hides no other', async () => {
    expect(await callOf('?from=')).toMatchObject({ from: now });
    expect(await callOf('', { 'Last-Event-ID': '' })).toMatchObject({ from: now });
    expect(await callOf(`?from=${ofAll}`, { 'Last-Event-ID': '' })).toMatchObject({ from: place(5) });
  });

  it('has to begin in time', async () => {
    await open('', { 'Flotilla-Timeout-Ms': '1234' });
    const left = (front.node.watches.at(-1)?.call.deadlineAt ?? 0) - front.node.nowMs();
    expect(left).toBeGreaterThan(0);
    expect(left).toBeLessThanOrEqual(1234);
  });
});

describe('what is refused', () => {
  it.each([
    ['?key=a&prefix=a', 'invalid_request', 'Either key or prefix'],
    ['?keyBase64=YQ==&prefixBase64=YQ==', 'invalid_request', 'Either key or prefix'],
    ['?key=a&keyBase64=YQ==', 'invalid_request', 'Either key or keyBase64'],
    ['?colour=red', 'invalid_request', 'takes no query parameter "colour"'],
    ['?key=a&key=b', 'invalid_request', 'twice'],
    ['?keyBase64=YQ', 'invalid_request', 'standard base64'],
    ['?prefix=%ff', 'invalid_request', 'UTF-8'],
    ['?key=', 'invalid_key', 'at least one byte'],
    ['?keyBase64=', 'invalid_key', 'at least one byte'],
    [`?key=${'k'.repeat(1025)}`, 'invalid_key', 'at most 1024'],
    [`?prefix=${'k'.repeat(1025)}`, 'invalid_key', 'at most 1024'],
    ['?from=nonsense!', 'invalid_request', 'none of ours'],
    ['?from=AAAA', 'invalid_request', 'none of ours'],
    [`?from=${ofAll}AA`, 'invalid_request', 'none of ours'],
    [`?from=${ofPrefix}`, 'invalid_request', 'belongs to another watch'],
    [`?key=a%2B&from=${ofPrefix}`, 'invalid_request', 'belongs to another watch'],
  ] as const)('%s', async (query, code, detail) => {
    const before = front.node.watches.length;
    expect(expectProblem(await send(front.baseUrl, { path: `/v1/watch${query}` }), code).detail).toContain(detail);
    expect(front.node.watches).toHaveLength(before);
  });

  it('is also what stands in headers', async () => {
    const refused = async (headers: Record<string, string>): Promise<string> =>
      expectProblem(await send(front.baseUrl, { path: '/v1/watch', headers }), 'invalid_request').detail;
    expect(await refused({ 'Last-Event-ID': 'nonsense' })).toContain('none of ours');
    expect(await refused({ 'Flotilla-Timeout-Ms': '0' })).toContain('Flotilla-Timeout-Ms');
  });

  it.each(['HEAD', 'POST', 'PUT', 'DELETE'])('is the method %s', async (method) => {
    const answer = await send(front.baseUrl, { method, path: '/v1/watch' });
    expect([answer.status, answer.headers['allow']]).toEqual([405, 'GET']);
    if (method !== 'HEAD') expectProblem(answer, 'method_not_allowed');
  });

  it.each<[Exclude<WatchOutcome, { type: 'watching' }>, Parameters<typeof expectProblem>[1], string | undefined]>([
    [{ type: 'too_old', detail: 'the log begins at 9' }, 'cursor_expired', undefined],
    [{ type: 'bad_cursor', detail: 'it is of another cluster' }, 'invalid_request', undefined],
    [{ type: 'too_many', detail: '7 watches are open at this node' }, 'overloaded', '1'],
    [
      { type: 'failed', outcome: { type: 'no_leader', partition: onePartition, detail: 'nobody leads' } },
      'no_leader',
      '1',
    ],
    [{ type: 'failed', outcome: { type: 'shutting_down' } }, 'shutting_down', '1'],
  ])('what the node refuses: %j', async (outcome, code, retryAfter) => {
    const { watchOutcome } = front.node;
    front.node.watchOutcome = () => outcome;
    for (const headers of [{}, ndjson]) {
      const answer = await send(front.baseUrl, { path: '/v1/watch', headers });
      const problem = expectProblem(answer, code);
      if ('detail' in outcome) expect(problem.detail).toContain(outcome.detail);
      expect(answer.headers['retry-after']).toBe(retryAfter);
    }
    front.node.watchOutcome = watchOutcome;
  });
});
