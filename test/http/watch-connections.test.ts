/** Watches stay open for days: what they cost others, and what becomes of them when their client or the node goes, or nobody reads on. */
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitsConfig } from '../../src/config.ts';
import type { WatchSink } from '../../src/cluster/watch/watcher.ts';
import type { Change } from '../../src/kv/changes.ts';
import { expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { onePartition } from './local-facade.ts';
import { startFront, type Front } from './start-front.ts';
import { WatchClient } from './watch-client.ts';

let front: Front;
let closed = false;
afterEach(async () => {
  if (!closed) await front.close();
  closed = false;
});

async function start(limits: Partial<LimitsConfig> = {}): Promise<void> {
  front = await startFront({ limits });
}

const open = (): Promise<WatchClient> => WatchClient.open(front.baseUrl, '/v1/watch');
const sinkAt = (at: number): WatchSink => front.node.watches[at]?.sink as WatchSink;
const opened = (count: number): Promise<void> => expect.poll(() => front.node.watches.length).toBe(count);
const closedWatches = (count: number): Promise<void> => expect.poll(() => front.node.watchesClosed).toBe(count);
const watchHead = 'GET /v1/watch HTTP/1.1\r\nHost: x\r\n\r\n';
const get = 'GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\n';
const put = 'PUT /v1/kv/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx';

describe('a client that goes away', () => {
  it('closes its watch, and no other', async () => {
    await start();
    const [one] = [await open(), await open()];
    one.leave();
    await closedWatches(1);
    sinkAt(1).bookmark('c1');
    expect(front.node.watchesClosed).toBe(1);
    // What is still told to the one that has gone does no harm, and is not kept.
    sinkAt(0).bookmark('c1');
    sinkAt(0).end({ type: 'shutting_down' });
    expect(sinkAt(0).queuedBytes()).toBe(0);
  });

  it('while the node still looks whether it can begin', async () => {
    await start();
    const { watchOutcome } = front.node;
    let begin = (): void => {};
    front.node.watchOutcome = () => {
      throw new Error('not asked');
    };
    front.node.watch = (call) =>
      new Promise((resolve) => {
        begin = () => resolve(watchOutcome.call(front.node, call));
      });
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(watchHead);
    await expect.poll(() => front.server.connections()).toBe(1);
    await send(front.baseUrl, { path: '/livez' });
    connection.destroy();
    await expect.poll(() => front.server.connections()).toBe(0);
    begin();
    await closedWatches(1);
    expect(sinkAt(0).queuedBytes()).toBe(0);
    await sinkAt(0).drained();
  });

  it('before its watch had its turn to be answered', async () => {
    await start();
    front.node.answerNext(() => new Promise(() => {}));
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(get + watchHead);
    await opened(1);
    for (let at = 0; at < 8; at += 1) sinkAt(0).event(large, onePartition, `c${at}`);
    connection.destroy();
    await closedWatches(1);
    await sinkAt(0).drained();
    expect(sinkAt(0).queuedBytes()).toBe(0);
  });
});

describe('others', () => {
  it.each([true, false])(
    'are answered while as many watches are open as requests may be under way (fast path: %s)',
    async (fastPath) => {
      await start({ requestsMax: 2, fastPath });
      for (let at = 0; at < 5; at += 1) await open();
      const connection = await RawConnection.open(front.baseUrl);
      connection.write(put + get);
      expect((await connection.answer())?.status).toBe(201);
      expect((await connection.answer())?.body.toString()).toBe('x');
      connection.destroy();
      // Nor do they count less than nothing once they are over.
      for (const { sink } of front.node.watches) sink.end({ type: 'shutting_down' });
      await closedWatches(5);
      let release = (): void => {};
      const held = new Promise<void>((resolve) => (release = resolve));
      for (let at = 0; at < 2; at += 1) front.node.answerNext(async (_request, store) => held.then(store));
      const slow = [0, 1].map(() => send(front.baseUrl, { path: '/v1/kv/a' }));
      await expect.poll(() => front.node.seen.length).toBe(4);
      expectProblem(await send(front.baseUrl, { path: '/v1/kv/a' }), 'overloaded');
      release();
      expect((await Promise.all(slow)).map(({ status }) => status)).toEqual([200, 200]);
    },
  );

  it('are not kept out by what is sent behind a watch, which would wait for its end', async () => {
    await start({ requestsMax: 2 });
    const connections = await Promise.all([0, 1, 2].map(() => RawConnection.open(front.baseUrl)));
    for (const connection of connections) connection.write(watchHead + put);
    await opened(3);
    expect((await send(front.baseUrl, { path: '/v1/kv/a' })).status).toBe(404);
    for (const { sink } of front.node.watches) sink.end({ type: 'shutting_down' });
    // Nothing comes behind it.
    for (const connection of connections) await connection.closed();
    expect((await send(front.baseUrl, { path: '/v1/kv/a' })).status).toBe(404);
  });

  it('are served on the same connection after a watch was refused', async () => {
    await start();
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(watchHead.replace('watch', 'watch?colour=red') + get);
    expectProblem(await connection.answer(), 'invalid_request');
    expectProblem(await connection.answer(), 'key_not_found');
    connection.destroy();
  });
});

it('a node that stops ends its watches, and waits for none of them', async () => {
  await start({ drainIdleMs: 50 });
  const clients = [await open(), await open()];
  const closing = front.server.close(60_000);
  closed = true;
  for (const client of clients) {
    expect(await client.all()).toContain('event: end\ndata: {"type":"urn:flotilla:problem:shutting_down"');
    expect(client.answer.complete).toBe(true);
  }
  await closing;
  expect(front.node.watchesClosed).toBe(2);
  expect(front.server.connections()).toBe(0);
});

const large: Change = {
  type: 'put',
  key: Buffer.from('a'),
  value: Buffer.alloc(256 * 1024, 'x'),
  contentType: '',
  revision: 1,
  incarnation: 1,
};

describe('a reader that takes nothing', () => {
  /** More than sockets hold. */
  const fill = (sink: WatchSink): void => {
    for (let at = 0; at < 48; at += 1) sink.event(large, onePartition, `c${at}`);
  };

  it('is told no more than is asked about, and goes on where it stopped', async () => {
    await start();
    const warnings: string[] = [];
    const warn = ({ name }: Error): number => warnings.push(name);
    process.on('warning', warn);
    const client = await open();
    client.answer.pause();
    const sink = sinkAt(0);
    expect(sink.queuedBytes()).toBe(0);
    await sink.drained();
    fill(sink);
    const queued = sink.queuedBytes();
    expect(queued).toBeGreaterThan(1024 * 1024);
    let isDrained = false;
    const drained = sink.drained().then(() => (isDrained = true));
    sink.bookmark('c48');
    expect(sink.queuedBytes()).toBeGreaterThan(queued);
    // Others are served meanwhile.
    expect((await send(front.baseUrl, { path: '/v1/kv/a' })).status).toBe(404);
    expect(isDrained).toBe(false);
    client.answer.resume();
    await drained;
    expect(sink.queuedBytes()).toBe(0);
    const told = await client.until('id: c48\nevent: bookmark\ndata: {}\n\n');
    expect(told.match(/^event: put$/gm)).toHaveLength(48);
    expect(front.node.watchesClosed).toBe(0);
    // And may stop again.
    client.answer.pause();
    fill(sink);
    isDrained = false;
    const drainedAgain = sink.drained().then(() => (isDrained = true));
    await send(front.baseUrl, { path: '/livez' });
    expect(isDrained).toBe(false);
    client.leave();
    await drainedAgain;
    process.off('warning', warn);
    // However much is told, one alone waits for the reader.
    expect(warnings).toEqual([]);
  });

  it.each([true, false])('for too long is cut off, its watch closed (first on its connection: %s)', async (first) => {
    await start({ streamStallTimeoutMs: 50 });
    if (!first) front.node.answerNext(() => new Promise(() => {}));
    const connection = await RawConnection.open(front.baseUrl);
    connection.socket.pause();
    connection.write(first ? watchHead : get + watchHead);
    await opened(1);
    fill(sinkAt(0));
    expect(sinkAt(0).queuedBytes()).toBeGreaterThan(1024 * 1024);
    await closedWatches(1);
    await sinkAt(0).drained();
    expect(sinkAt(0).queuedBytes()).toBe(0);
    expect(front.server.connections()).toBe(0);
    connection.destroy();
  });

  it('holds up no node that stops', async () => {
    await start({ streamStallTimeoutMs: 50, drainIdleMs: 50 });
    const client = await open();
    client.answer.pause();
    fill(sinkAt(0));
    const closing = front.server.close(60_000);
    closed = true;
    await closing;
    expect(front.node.watchesClosed).toBe(1);
    client.leave();
  });
});
