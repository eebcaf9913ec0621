/** How a watch ends, by an error or because nobody wants it any more, and what it holds until then. */
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { freePorts } from '../../src/testing/ports.ts';
import { bookmark, ended, ok, put, refusal, startStub, watched, type Script } from './stub-node.ts';
import { closeAll, errorOf, storeOf, take, toClose, watchStub } from './watch-stub.ts';

afterEach(closeAll);

describe('what can not be repeated is an error', () => {
  it.each(['cursor_expired', 'invalid_request', 'route_not_found'] as const)('when it is refused: %s', async (code) => {
    const node = await watchStub(() => refusal(code));
    const error = await errorOf(storeOf(node.url).watch({ from: 'c' }));
    expect(error).toMatchObject({ code, detail: `The stub says ${code}.`, outcome: 'not_applied', requestId: 'r1' });
    expect(node.watches()).toHaveLength(1);
  });

  it('when it is ended since what comes next is gone', async () => {
    const node = await watchStub(() => watched([bookmark('c0'), ended('cursor_expired')]));
    expect(await errorOf(storeOf(node.url).watch())).toMatchObject({ code: 'cursor_expired', status: 410 });
    expect(node.watches()).toHaveLength(1);
  });

  it.each<[string, ReturnType<Script>]>([
    ['is not JSON', watched([], (response) => response.write('hello\n'))],
    ['comes from something else', { status: 200, body: '<html>' }],
    ['has no body to go with it', { status: 204, headers: { 'Flotilla-Node': 'stub' } }],
  ])('when the answer %s', async (_, answer) => {
    const node = await watchStub(() => answer);
    expect(await errorOf(storeOf(node.url).watch())).toMatchObject({ code: 'unexpected_answer' });
  });

  it.each([{ key: 'k', prefix: 'p' }, { key: '' }, { from: '' }, { from: 'a\r\nb' }])(
    'when it is asked for so: %o',
    async (options) => {
      const node = await watchStub(() => undefined);
      expect(await errorOf(storeOf(node.url).watch(options))).toMatchObject({ code: 'invalid_argument' });
      expect(node.requests).toEqual([]);
    },
  );

  it('when nobody is there to begin with', async () => {
    const [port] = await freePorts(1);
    const store = storeOf(`127.0.0.1:${port}`, { timeoutMs: 200 });
    const error = await errorOf(store.watch());
    expect(error).toMatchObject({ code: 'unreachable', outcome: 'not_applied', retryable: true });
    expect(error.message).toContain(`No node can be reached (127.0.0.1:${port}: connection refused).`);
    const silent = await watchStub(() => 'never');
    const late = await errorOf(storeOf(silent.url).watch({ timeoutMs: 50 }));
    expect(late).toMatchObject({ code: 'deadline_exceeded' });
  });
});

describe('a watch ends', () => {
  /** One that stays open, and tells when its connection is closed. */
  async function open(options: { readonly signal?: AbortSignal } = {}) {
    const told: ServerResponse[] = [];
    const node = await watchStub(() =>
      watched([bookmark('c0'), put('k', '1', 'c1')], (response) => told.push(response)),
    );
    const store = storeOf(node.url);
    const closed = (): Promise<void> => vi.waitFor(() => expect(told.map((one) => one.closed)).toEqual([true]));
    return { store, events: store.watch(options)[Symbol.asyncIterator](), closed };
  }

  it('with its connection, when the loop is left', async () => {
    const { events, closed } = await open();
    await events.next();
    await events.return?.();
    await closed();
    expect((await events.next()).done).toBe(true);
  });

  it('though an event is being waited for', async () => {
    const { events, closed } = await open();
    await events.next();
    const waiting = events.next();
    await events.return?.();
    expect((await waiting).done).toBe(true);
    await closed();
  });

  it('without an error when its signal is aborted, at once even if nobody waits for an event', async () => {
    const abort = new AbortController();
    const { events, closed } = await open({ signal: abort.signal });
    await events.next();
    abort.abort();
    await closed();
    expect((await events.next()).done).toBe(true);
  });

  it('when its signal is aborted while it waits, in a pause, or before it began', async () => {
    const abort = new AbortController();
    const { events, closed } = await open({ signal: abort.signal });
    await events.next();
    const waiting = events.next();
    abort.abort();
    expect((await waiting).done).toBe(true);
    await closed();
    const pause = new AbortController();
    const busy = await watchStub(() => refusal('overloaded', { 'Retry-After': '30' }));
    const later = storeOf(busy.url, { timeoutMs: 60_000 }).watch({ signal: pause.signal, timeoutMs: 60_000 });
    const taken = take(later, 1);
    await vi.waitFor(() => expect(busy.watches()).toHaveLength(1));
    pause.abort();
    expect(await taken).toEqual([]);
    expect(await take(storeOf(busy.url).watch({ signal: pause.signal }), 1)).toEqual([]);
    expect(busy.watches()).toHaveLength(1);
  });

  it('with an error when the store is closed', async () => {
    const { store, events, closed } = await open();
    await events.next();
    const waiting = events.next();
    await store.close();
    await expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await closed();
    expect(await errorOf(store.watch())).toMatchObject({ code: 'closed' });
  });
});

describe('what is not taken', () => {
  it('is not read from the connection', async () => {
    const total = 500;
    const sent: number[] = [];
    const large = `${JSON.stringify(put('k', 'v'.repeat(60_000), 'c1'))}\n`;
    const node = await watchStub((_, count) =>
      watched([], (response) => {
        sent[count] = 0;
        const more = (): void => {
          while ((sent[count] ?? 0) < total) {
            sent[count] = (sent[count] ?? 0) + 1;
            if (!response.write(large)) return void response.once('drain', more);
          }
        };
        more();
      }),
    );
    const store = storeOf(node.url);
    const held = store.watch()[Symbol.asyncIterator]();
    await held.next();
    // A second one is read to its end meanwhile: by then the first had time for all of it too, if it were read.
    await take(store.watch(), total);
    expect(sent[2]).toBe(total);
    expect(sent[1]).toBeLessThan(total);
    await held.return?.();
  });

  it('keeps no connection from the calls', async () => {
    const node = await startStub(({ url }) =>
      url.pathname === '/v1/watch' ? watched([put('k', '1', 'c1')]) : ok({ nodes: [] }),
    );
    toClose.push(node);
    const store = storeOf(node.url, { connectionsPerNode: 1 });
    const held = store.watch()[Symbol.asyncIterator]();
    await held.next();
    await expect(store.get('k')).resolves.toBeDefined();
    await held.return?.();
  });
});
