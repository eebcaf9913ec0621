/** A node that was asked to stop sends its clients elsewhere without cutting off a request that one of them has just sent. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { startFront, type Front } from './start-front.ts';

const drainIdleMs = 250;

let front: Front;
let now = 1000;
beforeEach(async () => {
  vi.spyOn(performance, 'now').mockImplementation(() => now);
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

it('asked to retire it serves on, and each answer closes its connection', async () => {
  const kept = await idleConnection();
  front.server.retire();
  kept.write(put);
  const written = await kept.answer();
  expect(written?.status).toBe(201);
  expect(written?.headers.connection).toBe('close');
  await kept.closed();
  const read = await send(front.baseUrl, { path: '/v1/kv/a' });
  expect([read.status, read.body.toString(), read.headers.connection]).toEqual([200, 'x', 'close']);
  const missing = await send(front.baseUrl, { path: '/v1/kv/nothing' });
  expectProblem(missing, 'key_not_found');
  expect(missing.headers.connection).toBe('close');
});

it('of pipelined requests all are answered, and the last answer closes', async () => {
  const kept = await idleConnection();
  front.server.retire();
  kept.write(put + get + get);
  const answers = [await kept.answer(), await kept.answer(), await kept.answer()];
  expect(answers.map((answer) => answer?.status)).toEqual([201, 200, 200]);
  expect(answers.map((answer) => answer?.headers.connection === 'close')).toEqual([false, false, true]);
  await kept.closed();
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

it('the time since it was asked to retire counts: who was idle all the while is not waited for', async () => {
  const kept = await idleConnection();
  front.server.retire();
  now += drainIdleMs;
  await front.server.close(60_000);
  await kept.closed();
});

it('a connection that was opened only after it was asked to retire has its time as well', async () => {
  front.server.retire();
  now += drainIdleMs;
  const late = await RawConnection.open(front.baseUrl);
  await expect.poll(() => front.server.connections()).toBe(1);
  const closed = front.server.close(60_000);
  await untilNobodyIsLetIn();
  late.write(put);
  expect((await late.answer())?.status).toBe(201);
  await closed;
});
