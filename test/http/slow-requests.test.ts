/** A request that takes long leaves one line that says which it was; a flood of them leaves few, and how many more there were. */
import { afterEach, expect, it, vi } from 'vitest';
import { pino } from 'pino';
import type { LimitsConfig } from '../../src/config.ts';
import { SlowRequests } from '../../src/http/slow-requests.ts';
import type { Logger } from '../../src/logger.ts';
import { parseExposition, valueOf } from '../metrics/exposition.ts';
import { RawConnection, send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

type Line = Readonly<Record<string, unknown>>;

function noted(): { readonly logger: Logger; readonly lines: Line[] } {
  const lines: Line[] = [];
  const logger = pino({ base: null, timestamp: false }, { write: (line) => lines.push(JSON.parse(line) as Line) });
  return { logger, lines };
}

const fronts: Front[] = [];
afterEach(async () => {
  vi.useRealTimers();
  for (const front of fronts.splice(0)) await front.close();
});

async function start(limits: Partial<LimitsConfig>): Promise<{ readonly front: Front; readonly lines: Line[] }> {
  const { logger, lines } = noted();
  const front = await startFront({ limits, logger });
  fronts.push(front);
  return { front, lines };
}

function slowNext({ node }: Front, ms: number): void {
  node.answerNext(async (_request, store) => {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return store();
  });
}

it('has one line for a slow request, which its answer names, and none for others', async () => {
  const { front, lines } = await start({ slowRequestMs: 60 });
  await send(front.baseUrl, { path: '/v1/kv/a' });
  slowNext(front, 80);
  const answer = await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/secret', body: 'x' });
  slowNext(front, 80);
  await send(front.baseUrl, { path: '/v1/kv/none', headers: { 'X-Request-Id': 'mine' } });
  const common = { level: 40, msg: 'slow request', partition: 1, term: 7, ms: expect.any(Number) as number };
  expect(lines).toEqual([
    {
      ...common,
      requestId: answer.headers['x-request-id'],
      method: 'PUT',
      operation: 'put',
      outcome: 'ok',
      status: 201,
    },
    { ...common, requestId: 'mine', method: 'GET', operation: 'get', outcome: 'not_found', status: 404 },
  ]);
  expect(answer.headers['x-request-id']).toBeTruthy();
  for (const { ms } of lines) expect(ms).toBeGreaterThanOrEqual(60);
  const families = parseExposition((await send(front.baseUrl, { path: '/metrics' })).body.toString());
  expect(valueOf(families, 'flotilla_http_slow_requests_total')).toBe(2);
});

it('has a line for a client that went away', async () => {
  const { front, lines } = await start({ slowRequestMs: 60 });
  const leaving = await RawConnection.open(front.baseUrl);
  leaving.write('PUT /v1/kv/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf');
  await new Promise((resolve) => setTimeout(resolve, 100));
  leaving.socket.destroy();
  await expect.poll(() => lines).toHaveLength(1);
  expect(lines[0]).toMatchObject({ msg: 'slow request', operation: 'put', outcome: 'gone', method: 'PUT' });
  expect(lines[0]).not.toHaveProperty('status');
});

it('has none when it is switched off', async () => {
  const { front, lines } = await start({ slowRequestMs: 0 });
  slowNext(front, 30);
  await send(front.baseUrl, { path: '/v1/kv/a' });
  expect(lines).toEqual([]);
});

it('has so many lines in a second, then says how many it left out, and goes on', () => {
  vi.useFakeTimers();
  const { logger, lines } = noted();
  const slow = new SlowRequests(logger, 3);
  const flood = (requests: number): void => {
    for (let n = 0; n < requests; n += 1) {
      slow.tell({ requestId: `r${n}`, method: 'GET', operation: 'get', outcome: 'ok', status: 200, ms: 1500.4 });
    }
  };
  const said = (): unknown[] => lines.splice(0).map(({ requestId, leftOut }) => requestId ?? leftOut);
  flood(1000);
  expect(said()).toEqual(['r0', 'r1', 'r2']);
  vi.advanceTimersByTime(1000);
  expect(said()).toEqual([997]);
  vi.advanceTimersByTime(5000);
  expect(said()).toEqual([]);
  flood(4);
  slow.close();
  expect(said()).toEqual(['r0', 'r1', 'r2', 1]);
});
