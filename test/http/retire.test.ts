/** A node that was asked to stop sends its clients elsewhere without cutting off a request that one of them has just sent. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

const drainIdleMs = 250;

let front: Front;
let now = 1000;
/** Passes with each look at the clock. */
let passing = 0;
beforeEach(async () => {
  passing = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => (now += passing));
  front = await startFront({ limits: { drainIdleMs } });
});
afterEach(async () => {
  now += drainIdleMs;
  await front.close();
  vi.restoreAllMocks();
});

const get = 'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n';
const put = 'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx';

/** A connection that was used before, as a client keeps it. */
async function idleConnection(): Promise<RawConnection> {
  const connection = await RawConnection.open(front.baseUrl);
  connection.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
  expect((await connection.answer())?.headers.connection).not.toBe('close');
  return connection;
}

async function untilNobodyIsLetIn(): Promise<void> {
  await expect.poll(() => send(front.baseUrl, { path: '/livez' }).catch(String)).toMatch(/ECONNREFUSED/);
}

it('asked to close it lets nobody new in, serves on, and each answer closes its connection', async () => {
  const kept = await idleConnection();
  const other = await idleConnection();
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  kept.write(put);
  const written = await kept.answer();
  expect(written?.status).toBe(201);
  expect(written?.headers.connection).toBe('close');
  await kept.closed();
  other.write('GET /v1/kv/nothing HTTP/1.1\r\nHost: x\r\n\r\n');
  const missing = await other.answer();
  expect([missing?.status, missing?.headers.connection]).toEqual([404, 'close']);
  await closed;
});

it('no answer closes its connection before the listener is closed: whoever came back on a new one could be lost with it', async () => {
  const kept = await idleConnection();
  // No look finds a quiet moment, so the listener stays open for as long as it may.
  passing = 1;
  const closed = front.server.close(60_000);
  for (let closing = false; !closing;) {
    kept.write(get);
    closing = (await kept.answer())?.headers.connection === 'close';
  }
  expect(await send(front.baseUrl, { path: '/livez' }).catch(String)).toMatch(/ECONNREFUSED/);
  now += drainIdleMs;
  await closed;
});

it('of pipelined requests all are answered, and the last answer closes', async () => {
  const kept = await idleConnection();
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  kept.write(put + get + get);
  const answers = [await kept.answer(), await kept.answer(), await kept.answer()];
  expect(answers.map((answer) => answer?.status)).toEqual([201, 200, 200]);
  expect(answers.map((answer) => answer?.headers.connection === 'close')).toEqual([false, false, true]);
  await kept.closed();
  await closed;
});

it('a request that was on its way on a connection that looked idle is answered, while nobody new is let in', async () => {
  const kept = await idleConnection();
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  now += drainIdleMs - 1;
  kept.write(put);
  const answer = await kept.answer();
  expect(answer?.status).toBe(201);
  expect(answer?.headers.connection).toBe('close');
  // Nobody is left to wait for.
  await closed;
});

it('closing waits for idle connections no longer than it was told to', async () => {
  const kept = await idleConnection();
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  expect(kept.ended).toBe(false);
  now += drainIdleMs;
  await kept.closed();
  await closed;
});

it('a request that crosses the closing of its connection is answered, and certainly not begun', async () => {
  const kept = await idleConnection();
  const witness = await idleConnection();
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  // The client is busy with other things while its connection is closed, and then sends.
  kept.socket.pause();
  now += drainIdleMs;
  expectProblem(await witness.answer(), 'shutting_down');
  kept.write(put);
  kept.socket.resume();
  const answer = await kept.answer();
  expectProblem(answer, 'shutting_down');
  expect(answer?.headers.connection).toBe('close');
  await closed;
  expect(front.node.seen).toEqual([]);
});
