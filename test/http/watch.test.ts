/** A watch as its client sees it: what it may ask for, and how what it is told is written. */
import http from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { WatchCall, WatchOutcome } from '../../src/cluster/watch/hub.ts';
import { formatCursor, nameOf } from '../../src/cluster/watch/cursor.ts';
import type { WatchSink } from '../../src/cluster/watch/watcher.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import type { ErrorCode } from '../../src/api/errors.ts';
import { expectProblem } from './expect-answer.ts';
import { send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

const version = { revision: 7, incarnation: 1 };
const p3 = 3 as PartitionId;
const all = { type: 'prefix', bytes: Buffer.alloc(0) } as const;
const cursorOf = (target: WatchCall['target']): string =>
  formatCursor(nameOf(target), new Map([[p3, { incarnation: 1, index: 9, done: 0 }]]));

let front: Front;
let sinks: WatchSink[];
let calls: WatchCall[];
let closed: number;
async function start(options: Parameters<typeof startFront>[0] = {}): Promise<void> {
  front = await startFront(options);
  [sinks, calls, closed] = [[], [], 0];
  front.node.watchOutcome = (call) => {
    calls.push(call);
    sinks.push(call.begin());
    return { type: 'watching', close: () => (closed += 1) };
  };
}
afterEach(() => front.close());

class Reader {
  text = '';
  ended = false;
  readonly response: http.IncomingMessage;

  constructor(response: http.IncomingMessage) {
    this.response = response;
    response.setEncoding('utf8').on('data', (text: string) => (this.text += text));
    response.once('close', () => (this.ended = true));
  }

  static open(path: string, headers: Record<string, string> = {}): Promise<Reader> {
    return new Promise((resolve, reject) => {
      const request = http.get(`${front.baseUrl}${path}`, { headers, agent: false }, (response) =>
        resolve(new Reader(response)),
      );
      request.on('error', reject);
    });
  }

  close(): void {
    this.response.destroy();
  }
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}

const put = {
  type: 'put',
  key: Buffer.from('a'),
  value: Buffer.from('one'),
  contentType: 'text/plain',
  ...version,
} as const;
const bytes = Buffer.from([0xff, 0]);

describe('what is told', () => {
  it('comes as server-sent events', async () => {
    await start();
    const reader = await Reader.open('/v1/watch?prefix=a');
    const [sink] = sinks;
    sink?.bookmark('c1');
    sink?.event(put, p3, 'c2');
    sink?.event({ type: 'delete', key: bytes, ...version }, p3, 'c3');
    sink?.end({ type: 'no_contact', detail: 'nobody is there' });
    await until(() => reader.ended);
    const { 'content-type': type, 'cache-control': cache } = reader.response.headers;
    expect([reader.response.statusCode, type, cache]).toEqual([200, 'text/event-stream', 'no-store']);
    const [retry, bookmark, event, removal, end] = reader.text.split('\n\n');
    expect(retry).toBe('retry: 500');
    expect(bookmark).toBe('id: c1\nevent: bookmark\ndata: {}');
    expect(event).toBe(
      'id: c2\nevent: put\ndata: {"key":"a","value":"one","contentType":"text/plain","revision":7,"etag":"\\"1-7\\"","partition":3}',
    );
    expect(removal).toBe(
      'id: c3\nevent: delete\ndata: {"keyBase64":"/wA=","revision":7,"etag":"\\"1-7\\"","partition":3}',
    );
    expect(end).toMatch(/^event: end\ndata: \{.*"code":"no_leader".*\}$/);
  });

  it('comes as lines to whoever asks for lines', async () => {
    await start();
    const reader = await Reader.open('/v1/watch', { Accept: 'application/x-ndjson' });
    const [sink] = sinks;
    sink?.bookmark('c1');
    sink?.event({ ...put, value: bytes, contentType: '' }, p3, 'c2');
    sink?.event({ type: 'expire', key: Buffer.from('a'), ...version }, p3, 'c3');
    sink?.end({ type: 'too_old', detail: 'the log begins at 5' });
    await until(() => reader.ended);
    expect(reader.response.headers['content-type']).toBe('application/x-ndjson');
    const lines = reader.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    const told = { key: 'a', revision: 7, etag: '"1-7"', partition: 3 };
    expect(lines).toEqual([
      { event: 'bookmark', cursor: 'c1' },
      { event: 'put', cursor: 'c2', data: { ...told, valueBase64: '/wA=' } },
      { event: 'expire', cursor: 'c3', data: told },
      { event: 'end', data: expect.objectContaining({ code: 'cursor_expired', status: 410 }) as unknown },
    ]);
  });

  it('waits in a bounded buffer, of which its writer can know, while nobody takes it', async () => {
    await start({ limits: { streamStallTimeoutMs: 300 } });
    const reader = await Reader.open('/v1/watch');
    reader.response.pause();
    const [sink] = sinks;
    const large = { ...put, value: Buffer.alloc(1024 * 1024, 'x') };
    for (let count = 0; count < 8; count += 1) sink?.event(large, p3, 'c');
    expect(sink?.queuedBytes()).toBeGreaterThan(1024 * 1024);
    let drained = false;
    void sink?.drained().then(() => (drained = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(drained).toBe(false);
    // Nothing is taken: its connection is closed, and nobody waits for it.
    await until(() => drained && closed === 1);
    expect(sink?.queuedBytes()).toBe(0);
    reader.close();
  });
});

describe('what is asked for', () => {
  it('is all keys, some, or one, and from where on', async () => {
    await start();
    const key = { type: 'key', bytes: Buffer.from('k') } as const;
    const paths = [
      '/v1/watch',
      '/v1/watch?prefix=a%2F',
      '/v1/watch?keyBase64=/wA%3D',
      `/v1/watch?key=k&from=${cursorOf(key)}`,
      '/v1/watch?from=',
    ];
    for (const path of paths) (await Reader.open(path)).close();
    expect(calls.map(({ target }) => [target.type, Buffer.from(target.bytes).toString('latin1')])).toEqual([
      ['prefix', ''],
      ['prefix', 'a/'],
      ['key', '\xff\0'],
      ['key', 'k'],
      ['prefix', ''],
    ]);
    expect(calls.map(({ from }) => from?.get(p3)?.index)).toEqual([undefined, undefined, undefined, 9, undefined]);
  });

  it('goes on from what a browser had last, and not from where it had begun', async () => {
    await start();
    const older = formatCursor(nameOf(all), new Map([[p3, { incarnation: 1, index: 2, done: 0 }]]));
    (await Reader.open(`/v1/watch?from=${older}`, { 'Last-Event-ID': cursorOf(all) })).close();
    expect(calls[0]?.from?.get(p3)?.index).toBe(9);
  });

  it.each([
    ['/v1/watch?key=a&prefix=b', /not both/],
    ['/v1/watch?keys=a', /takes no query parameter "keys"/],
    ['/v1/watch?from=nonsense', /none of ours/],
    [`/v1/watch?key=k&from=${cursorOf(all)}`, /belongs to another watch/],
  ])('is refused when it makes no sense: %s', async (path, why) => {
    await start();
    expect(expectProblem(await send(front.baseUrl, { path }), 'invalid_request').detail).toMatch(why);
  });

  it.each(['/v1/watch?key=', `/v1/watch?prefix=${'x'.repeat(1025)}`])('needs a key that can be: %#', async (path) => {
    await start();
    expectProblem(await send(front.baseUrl, { path }), 'invalid_key');
  });

  it.each<[WatchOutcome, ErrorCode]>([
    [{ type: 'too_old', detail: 'it is too old' }, 'cursor_expired'],
    [{ type: 'bad_cursor', detail: 'it is of another cluster' }, 'invalid_request'],
    [{ type: 'too_many', detail: 'there are 5' }, 'overloaded'],
    [{ type: 'failed', outcome: { type: 'no_leader', partition: p3, detail: 'none' } }, 'no_leader'],
  ])('may be refused by the node: %o', async (outcome, code) => {
    await start();
    front.node.watchOutcome = () => outcome;
    expectProblem(await send(front.baseUrl, { path: '/v1/watch' }), code);
  });

  it('takes no other method', async () => {
    await start();
    for (const method of ['HEAD', 'POST']) {
      expect((await send(front.baseUrl, { method, path: '/v1/watch' })).status).toBe(405);
    }
  });
});

describe('an open watch', () => {
  it('is no request under way: others are answered, however many there are', async () => {
    await start({ limits: { requestsMax: 2 } });
    const readers = await Promise.all(Array.from({ length: 5 }, () => Reader.open('/v1/watch')));
    expect((await send(front.baseUrl, { path: '/v1/kv/none' })).status).toBe(404);
    for (const reader of readers) reader.close();
    await until(() => closed === 5);
    expect((await send(front.baseUrl, { path: '/v1/kv/none' })).status).toBe(404);
  });

  it('ends when its node stops, and does not hold it up', async () => {
    await start();
    const reader = await Reader.open('/v1/watch', { Accept: 'application/x-ndjson' });
    front.node.endWatches = () => sinks[0]?.end({ type: 'shutting_down' });
    const startedAt = performance.now();
    await front.server.close(2000);
    await until(() => reader.ended);
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(reader.text).toContain('"code":"shutting_down"');
  });
});
