/** What a watch is told, whatever becomes of the nodes that tell it: each event once, and nothing left out. */
import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { bookmark, ended, ok, put, refusal, startStub, watched, type Script } from './stub-node.ts';
import { breaks, closeAll, cursorsOf, ends, pair, storeOf, take, watchStub } from './watch-stub.ts';

afterEach(async () => {
  vi.useRealTimers();
  await closeAll();
});

describe('what is told', () => {
  it('are puts, deletes and expiries, with keys and values of any bytes', async () => {
    const at = { revision: 8, etag: '"1-8"', partition: 2 };
    const node = await watchStub(() =>
      watched([
        bookmark('c0'),
        put('k', 'wörd', 'c1'),
        {
          event: 'put',
          cursor: 'c2',
          data: { keyBase64: '/w==', valueBase64: 'AP8=', contentType: 'image/png', ...at },
        },
        { event: 'delete', cursor: 'c3', data: { key: 'k', ...at } },
        { event: 'of a later version', cursor: 'c4', data: {} },
        { event: 'expire', cursor: 'c5', data: { keyBase64: '/w==', ...at } },
      ]),
    );
    const events = await take(storeOf(node.url).watch({ prefix: 'p&' }), 4);
    const text = expect.any(Function) as () => string;
    expect(events).toEqual([
      {
        ...{ type: 'put', key: 'k', value: Buffer.from('wörd'), text, contentType: 'application/octet-stream' },
        ...{ revision: 7, etag: '"1-7"', partition: 1, cursor: 'c1' },
      },
      {
        type: 'put',
        key: Buffer.of(0xff),
        value: Buffer.of(0, 0xff),
        text,
        contentType: 'image/png',
        ...at,
        cursor: 'c2',
      },
      { type: 'delete', key: 'k', ...at, cursor: 'c3' },
      { type: 'expire', key: Buffer.of(0xff), ...at, cursor: 'c5' },
    ]);
    expect((events[0] as { text(): string }).text()).toBe('wörd');
    const [{ url, headers } = node.requests[0]!] = node.watches();
    expect(url.search).toBe('?prefix=p%26');
    expect(headers).toMatchObject({ accept: 'application/x-ndjson' });
    expect(headers['last-event-id']).toBeUndefined();
  });

  it('includes bookmarks when they are asked for, from the cursor that is given', async () => {
    const node = await watchStub(() => watched([bookmark('c7'), put('k', 'v', 'c8'), bookmark('c9')]));
    const events = await take(storeOf(node.url).watch({ key: Buffer.of(0xff), from: 'c7', bookmarks: true }), 3);
    expect(events.map(({ type, cursor }) => `${type} ${cursor}`)).toEqual(['bookmark c7', 'put c8', 'bookmark c9']);
    expect(node.cursors()).toEqual(['c7']);
    expect(node.watches()[0]?.url.search).toBe('?keyBase64=%2Fw%3D%3D');
  });

  it('may come cut up in any way', async () => {
    const text = [bookmark('c0'), put('k', 'wörd👍'.repeat(50_000), 'c1'), put('l', '', 'c2')]
      .map((line) => `${JSON.stringify(line)}\n`)
      .join('');
    const bytes = Buffer.from(text);
    const node = await watchStub(() =>
      watched([], (response) => {
        // Pieces of a prime length: they end within characters, and at lines' ends only by chance.
        for (let from = 0; from < bytes.length; from += 997) response.write(bytes.subarray(from, from + 997));
      }),
    );
    const events = await take(storeOf(node.url).watch(), 2);
    expect(events.map((event) => 'text' in event && event.text().length)).toEqual(['wörd👍'.length * 50_000, 0]);
  });
});

describe('a watch goes on by itself, at another node', () => {
  it.each<[string, ReturnType<Script>]>([
    ['breaks off', watched([bookmark('c0'), put('k', '1', 'c1')], breaks)],
    [
      'breaks off in the middle of a line',
      watched([bookmark('c0'), put('k', '1', 'c1')], (response) => {
        response.write('{"event":"put","cursor":"c2","data":{"key":"k"', () => breaks(response));
      }),
    ],
    [
      'is ended in the middle of a line',
      watched([put('k', '1', 'c1')], (response) => response.end('{"event":"put","cu')),
    ],
    ['ends without a word', watched([bookmark('c0'), put('k', '1', 'c1')], ends)],
    ['is ended by a node that stops', watched([put('k', '1', 'c1'), ended('shutting_down')], ends)],
    ['is ended by a node that hears nothing', watched([put('k', '1', 'c1'), ended('no_leader')])],
  ])('when it %s', async (_, first) => {
    const { store, asked } = await pair(first, watched([bookmark('c1'), put('k', '2', 'c2'), put('k', '3', 'c3')]));
    expect(cursorsOf(await take(store.watch(), 3))).toEqual(['c1', 'c2', 'c3']);
    expect(asked()).toEqual([undefined, 'c1', '2 nodes']);
  });

  it('from a bookmark, though nobody asked for those', async () => {
    const { store, asked } = await pair(
      watched([bookmark('c0'), put('k', '1', 'c1'), bookmark('c5')], breaks),
      watched([bookmark('c5'), put('k', '2', 'c6')]),
    );
    expect(cursorsOf(await take(store.watch(), 2))).toEqual(['c1', 'c6']);
    expect(asked()).toEqual([undefined, 'c5', '2 nodes']);
  });

  it.each(['overloaded', 'no_leader', 'shutting_down'] as const)('when one refuses: %s', async (code) => {
    const refuses = refusal(code, { 'Retry-After': '1' });
    const { store, asked } = await pair(refuses, watched([bookmark('c0'), put('k', '1', 'c1')]));
    const beganAtMs = performance.now();
    expect(cursorsOf(await take(store.watch({ from: 'c' }), 1))).toEqual(['c1']);
    expect(performance.now() - beganAtMs).toBeLessThan(900);
    expect(asked()).toEqual(['c', 'c', '2 nodes']);
  });

  it('learned from the one that was named', async () => {
    const other = await watchStub(() => watched([bookmark('c1'), put('k', '2', 'c2')]));
    const told: ServerResponse[] = [];
    const named = await startStub(({ url }) => {
      if (url.pathname === '/v1/watch') return watched([put('k', '1', 'c1')], (response) => told.push(response));
      if (url.pathname !== '/v1/cluster') return ok([]);
      return ok({ nodes: [{ nodeId: 'n2', http: other.url, state: 'up' }] });
    });
    const store = storeOf(named.url);
    const events = store.watch()[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ cursor: 'c1' });
    await vi.waitFor(() => expect(named.requests).toHaveLength(3));
    await named.close();
    expect((await events.next()).value).toMatchObject({ cursor: 'c2' });
    await events.return?.();
  });

  it('when nothing comes for fifteen seconds, of which none counts while nobody waits', async () => {
    const { store, asked } = await pair(
      watched([bookmark('c0'), put('k', '1', 'c1'), put('k', '2', 'c2')]),
      watched([bookmark('c2'), put('k', '3', 'c3')]),
    );
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const events = store.watch()[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ cursor: 'c1' });
    vi.advanceTimersByTime(60_000);
    expect((await events.next()).value).toMatchObject({ cursor: 'c2' });
    const third = events.next();
    // The one that is left is for the silence: the requests for the map have been answered.
    while (vi.getTimerCount() !== 1) await setImmediate();
    vi.advanceTimersByTime(14_999);
    for (let turn = 0; turn < 20; turn += 1) await setImmediate();
    expect(asked()).toEqual([undefined, '1 nodes']);
    vi.advanceTimersByTime(1);
    vi.useRealTimers();
    // The pause was begun with the real clock, or with the one that stands still: then it is let go.
    expect((await third).value).toMatchObject({ cursor: 'c3' });
    expect(asked()).toEqual([undefined, 'c2', '2 nodes']);
    await events.return?.();
  });

  it('with longer and longer pauses where it is ended at once each time', async () => {
    const node = await watchStub((_, count) =>
      count < 6 ? watched([bookmark('c0'), ended('no_leader')]) : watched([bookmark('c0'), put('k', '1', 'c1')]),
    );
    await take(storeOf(node.url).watch(), 1);
    const times = node.watches().map(({ atMs }) => atMs);
    // Half of 40, 80, … 640 ms at least.
    expect(times.slice(1).map((at, i) => at - times[i]! > 20 * 2 ** i - 2)).toEqual(Array(5).fill(true));
  });
});
