/** The listener's limits: who is slow, many, or late is told so, and costs the others nothing. */
import { Agent } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import type { LimitsConfig } from '../../src/config.ts';
import { ListenError, startHttp } from '../../src/http/server.ts';
import { silentLogger } from '../../src/logger.ts';
import { expectJson, expectProblem } from './expect-answer.ts';
import { RawConnection, send } from './http-client.ts';
import { LocalFacade } from './local-facade.ts';
import { frontConfig, startFront, type Front } from './start-front.ts';

let front: Front;
afterEach(() => front.close());

async function start(limits: Partial<LimitsConfig> = {}): Promise<void> {
  front = await startFront({ limits: { connectionCheckIntervalMs: 20, ...limits } });
}

/** Holds the next requests inside the store until it is opened; `arrived` waits until so many are held. */
function holdNext(count: number): { open(): void; arrived(wanted: number): Promise<void> } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  let held = 0;
  let wake = (): void => {};
  for (let index = 0; index < count; index++) {
    front.node.answerNext(async (_request, store) => {
      held += 1;
      wake();
      await opened;
      return store();
    });
  }
  const arrived = async (wanted: number): Promise<void> => {
    while (held < wanted) await new Promise<void>((resolve) => (wake = resolve));
  };
  return { open, arrived };
}

const putHead = 'PUT /v1/kv/slow HTTP/1.1\r\nHost: x\r\n';

describe('slow clients', () => {
  it('times out headers that do not arrive', async () => {
    await start({ headersTimeoutMs: 100, receiveTimeoutMs: 10_000 });
    const slow = await RawConnection.open(front.baseUrl);
    slow.write('GET /v1/kv/a HTTP/1.1\r\nHo');
    const answer = await slow.answer();
    expectProblem(answer, 'request_timeout');
    expect(answer?.headers.connection).toBe('close');
    slow.socket.end();
    await slow.closed();
  });

  it('times out a connection that never says anything', async () => {
    await start({ headersTimeoutMs: 100, receiveTimeoutMs: 10_000 });
    const silent = await RawConnection.open(front.baseUrl);
    expectProblem(await silent.answer(), 'request_timeout');
    await silent.closed();
  });

  it.each(['Content-Length: 10\r\n\r\nhalf', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'])(
    'times out a body that does not arrive, and applies nothing of it: %s',
    async (rest) => {
      await start({ headersTimeoutMs: 100, receiveTimeoutMs: 150 });
      const slow = await RawConnection.open(front.baseUrl);
      slow.write(`${putHead}${rest}`);
      expectProblem(await slow.answer(), 'request_timeout');
      await slow.closed();
      expect(front.node.seen).toEqual([]);
    },
  );

  it('lets a write take longer than its upload may', async () => {
    await start({ headersTimeoutMs: 50, receiveTimeoutMs: 60 });
    front.node.answerNext(async (_request, store) => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      return store();
    });
    expect((await send(front.baseUrl, { method: 'PUT', path: '/v1/kv/a', body: 'x' })).status).toBe(201);
  });

  it('closes a kept connection that stays idle', async () => {
    await start({ keepAliveTimeoutMs: 50 });
    const idle = await RawConnection.open(front.baseUrl);
    idle.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await idle.answer())?.status).toBe(200);
    await idle.closed();
  });

  it('stops listening to a refused upload after the linger time', async () => {
    await start({ lingerTimeoutMs: 100 });
    const endless = await RawConnection.open(front.baseUrl);
    endless.write(`${putHead}Content-Length: 100000000\r\n\r\n`);
    const drip = setInterval(() => endless.write(Buffer.alloc(1000)), 5);
    expectProblem(await endless.answer(), 'value_too_large');
    await endless.closed();
    clearInterval(drip);
  });
});

describe('many requests', () => {
  it('refuses what is beyond requestsMax at once, and still tells its health', async () => {
    await start({ requestsMax: 2 });
    const gate = holdNext(2);
    const held = [1, 2].map((n) => send(front.baseUrl, { method: 'PUT', path: `/v1/kv/${n}`, body: 'x' }));
    await gate.arrived(2);
    for (const path of ['/v1/kv/3', '/v1/cluster']) {
      const refused = await send(front.baseUrl, { path });
      expectProblem(refused, 'overloaded');
      expect(refused.headers['retry-after']).toBe('1');
    }
    expectJson(await send(front.baseUrl, { path: '/livez' }), 'livez');
    expectJson(await send(front.baseUrl, { path: '/readyz' }), 'readyz');
    gate.open();
    expect((await Promise.all(held)).map((answer) => answer.status)).toEqual([201, 201]);
    expect((await send(front.baseUrl, { path: '/v1/kv/1' })).status).toBe(200);
  });

  it('frees the place of a client that goes away, once its request is over', async () => {
    await start({ requestsMax: 1 });
    const gate = holdNext(1);
    const gone = await RawConnection.open(front.baseUrl);
    gone.write(`${putHead}Content-Length: 1\r\n\r\nx`);
    await gate.arrived(1);
    gone.destroy();
    expectProblem(await send(front.baseUrl, { path: '/v1/kv/a' }), 'overloaded');
    gate.open();
    await expect.poll(async () => (await send(front.baseUrl, { path: '/v1/kv/slow' })).status).toBe(200);
  });

  it('frees the place of an upload that is broken off', async () => {
    await start({ requestsMax: 1 });
    const gone = await RawConnection.open(front.baseUrl);
    gone.write(`${putHead}Expect: 100-continue\r\nContent-Length: 10\r\n\r\nhalf`);
    expect((await gone.answer())?.status).toBe(100);
    gone.destroy();
    await expect.poll(async () => (await send(front.baseUrl, { path: '/v1/kv/slow' })).status).toBe(404);
    expect(front.node.seen.every(({ request }) => request.type === 'read')).toBe(true);
  });

  it('bounds the requests that one connection has waiting', async () => {
    await start({ pipelinedRequestsMax: 3 });
    const gate = holdNext(1);
    const greedy = await RawConnection.open(front.baseUrl);
    greedy.write(`${putHead}Content-Length: 1\r\n\r\nx${'GET /v1/kv/slow HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(3)}`);
    await gate.arrived(1);
    gate.open();
    const statuses: (number | undefined)[] = [];
    for (let index = 0; index < 4; index++) statuses.push((await greedy.answer())?.status);
    expect(statuses).toEqual([201, 200, 200, 429]);
    greedy.destroy();
  });

  it('takes no more connections than connectionsMax', async () => {
    await start({ connectionsMax: 1 });
    const first = await RawConnection.open(front.baseUrl);
    first.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await first.answer())?.status).toBe(200);
    const second = await RawConnection.open(front.baseUrl);
    second.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(await second.answer()).toBeUndefined();
    first.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    expect((await first.answer())?.status).toBe(200);
    first.destroy();
  });
});

describe('pipelined requests', () => {
  it('run side by side while they only read', async () => {
    await start();
    const gate = holdNext(2);
    const connection = await RawConnection.open(front.baseUrl);
    connection.write('GET /v1/kv/a HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/kv/b HTTP/1.1\r\nHost: x\r\n\r\n');
    await gate.arrived(2);
    gate.open();
    expect([(await connection.answer())?.status, (await connection.answer())?.status]).toEqual([404, 404]);
    connection.destroy();
  });

  it('wait for a write before them', async () => {
    await start();
    const gate = holdNext(1);
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(`${putHead}Content-Length: 1\r\n\r\nxGET /v1/kv/slow HTTP/1.1\r\nHost: x\r\n\r\n`);
    await gate.arrived(1);
    // Another connection's request goes all the way through meanwhile: the second one had its time, and waits.
    await send(front.baseUrl, { path: '/v1/kv/other' });
    const seen = front.node.seen.map(({ request }) => 'key' in request && Buffer.from(request.key).toString());
    expect(seen).toEqual(['slow', 'other']);
    gate.open();
    expect((await connection.answer())?.status).toBe(201);
    expect((await connection.answer())?.body.toString()).toBe('x');
    connection.destroy();
  });

  it('are never answered with the error of a later one', async () => {
    await start();
    const gate = holdNext(1);
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(`${putHead}Content-Length: 1\r\n\r\nx`);
    await gate.arrived(1);
    connection.write('garbage\r\n\r\n');
    await send(front.baseUrl, { path: '/v1/kv/other' });
    gate.open();
    const answer = await connection.answer();
    expect(answer?.status).toBe(201);
    expect(answer?.headers.connection).toBe('close');
    await connection.closed();
  });

  it('are not begun once their client is gone', async () => {
    await start();
    const gate = holdNext(1);
    const connection = await RawConnection.open(front.baseUrl);
    connection.write(`${putHead}Content-Length: 1\r\n\r\nxDELETE /v1/kv/slow HTTP/1.1\r\nHost: x\r\n\r\n`);
    await gate.arrived(1);
    connection.socket.resetAndDestroy();
    await expect.poll(() => front.server.connections()).toBe(0);
    gate.open();
    await expect.poll(async () => (await send(front.baseUrl, { path: '/v1/kv/slow' })).body.toString()).toBe('x');
  });
});

describe('closing', () => {
  it('finishes what is under way, closes what is idle, and takes nothing new', async () => {
    await start();
    const idle = await RawConnection.open(front.baseUrl);
    idle.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n');
    await idle.answer();
    const untouched = await RawConnection.open(front.baseUrl);
    await expect.poll(() => front.server.connections()).toBe(2);
    const gate = holdNext(1);
    const busy = await RawConnection.open(front.baseUrl);
    busy.write(`${putHead}Content-Length: 1\r\n\r\nx`);
    await gate.arrived(1);

    const closed = front.server.close(60_000);
    await Promise.all([idle.closed(), untouched.closed()]);
    await expect(send(front.baseUrl, { path: '/livez' })).rejects.toThrow('ECONNREFUSED');
    gate.open();
    const answer = await busy.answer();
    expect(answer?.status).toBe(201);
    expect(answer?.headers.connection).toBe('close');
    await closed;
    await busy.closed();
  });

  it('refuses a request that comes behind one under way', async () => {
    await start();
    const gate = holdNext(1);
    const busy = await RawConnection.open(front.baseUrl);
    busy.write(`${putHead}Content-Length: 1\r\n\r\nx`);
    await gate.arrived(1);
    const closed = front.server.close(60_000);
    await expect.poll(() => send(front.baseUrl, { path: '/livez' }).catch(String)).toMatch(/ECONNREFUSED/);
    busy.write('GET /v1/kv/slow HTTP/1.1\r\nHost: x\r\n\r\n');
    gate.open();
    expect((await busy.answer())?.status).toBe(201);
    await closed;
    await busy.closed();
    expect(front.node.seen.length).toBe(1);
  });

  it('cuts off what outlasts the grace', async () => {
    await start();
    const gate = holdNext(1);
    const stuck = await RawConnection.open(front.baseUrl);
    stuck.write(`${putHead}Content-Length: 1\r\n\r\nx`);
    await gate.arrived(1);
    await front.server.close(20);
    expect(await stuck.answer()).toBeUndefined();
    gate.open();
  });
});

describe('listening', () => {
  it('names listener and port when the port is in use', async () => {
    await start();
    const port = Number(new URL(front.baseUrl).port);
    const config = frontConfig({ config: { http: { host: '127.0.0.1', port, advertise: front.baseUrl } } });
    const { metrics } = front;
    const second = startHttp({ node: new LocalFacade(), config, logger: silentLogger, metrics });
    await expect(second).rejects.toBeInstanceOf(ListenError);
    await expect(second).rejects.toMatchObject({
      code: 'EADDRINUSE',
      message: `the HTTP listener cannot open 127.0.0.1:${port}: the port is in use`,
    });
  });

  it('reuses one connection for many requests', async () => {
    await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let round = 0; round < 5; round++) await send(front.baseUrl, { path: '/v1/kv/a', agent });
    expect(front.server.connections()).toBe(1);
    agent.destroy();
  });
});
