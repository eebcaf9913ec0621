/** Requests on their way to a leader that may be elsewhere, unknown, wrong, slow or dead. */
import { describe, expect, test } from 'vitest';
import type { KvOutcome, KvRequest } from '../../src/cluster/types.ts';
import { decodeCommand, stampCommand, stampedTime } from '../../src/kv/command.ts';
import type { PartitionId } from '../../src/replica/ports.ts';
import { failure, hint, limits, partition, read, success, World, write } from './router-world.ts';

const never = new Promise<never>(() => undefined);

function noLeader(outcome: KvOutcome): void {
  expect(outcome).toMatchObject({ type: 'no_leader', partition });
}

describe('the way to a known leader', () => {
  test('a leader without room on a disk is the last to be asked: nothing was written', async () => {
    const world = new World();
    world.elect('n2', 3);
    const full = { type: 'disk_full', partition, detail: 'too little room' } as const;
    world.node('n2').replica.answer = () => full;
    expect(await world.run('n1', write())).toEqual({ outcome: full, tookMs: 0 });
    expect(world.node('n2').replica.executed).toHaveLength(1);
  });

  test('led here: executed here, nobody else is asked', async () => {
    const world = new World();
    world.elect('n1', 3);
    expect((await world.run('n1', read)).outcome).toEqual(success('n1', 3, read));
    expect((await world.run('n1', write(), { route: 'redirect' })).outcome).toEqual(success('n1', 3, write()));
    expect(world.asked).toEqual([]);
  });

  test('led elsewhere: a redirect names the leader, its term and its address', async () => {
    const world = new World();
    world.elect('n2', 3);
    expect(await world.run('n1', write(), { route: 'redirect' })).toEqual({
      outcome: { type: 'not_leader', partition, hint: hint('n2', 3), http: 'http://127.0.0.1:7002' },
      tookMs: 0,
    });
    expect(world.node('n2').replica.executed).toEqual([]);
  });

  test('led elsewhere: forwarded as it is, one hop, and the answer is the leader’s', async () => {
    const world = new World();
    world.elect('n2', 3);
    const request = write();
    expect((await world.run('n1', request)).outcome).toEqual(success('n2', 3, request));
    const [executed] = world.node('n2').replica.executed;
    if (executed?.type !== 'write' || request.type !== 'write') throw new Error('a write was expected');
    expect(executed.body.equals(request.body)).toBe(true);

    const { outcome } = await world.run('n1', read);
    if (outcome.type !== 'value') throw new Error('a value was expected');
    expect([...(outcome.record?.value ?? [])]).toEqual([0, 255]);
    expect(outcome).toMatchObject({ origin: { nodeId: 'n2', term: 3 }, record: { contentType: 'text/plain' } });
    expect(world.asked).toEqual(['n1>n2', 'n1>n2']);
  });

  test('a key that is not there comes back as such', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n2').replica.answer = () => ({ ...success('n2', 3, read), record: undefined }) as never;
    expect((await world.run('n1', read)).outcome).toEqual({ ...success('n2', 3, read), record: undefined });
  });

  test('the newest term wins between what the replica knows and what was heard', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n1').hints.learn(partition, hint('n3', 4));
    expect((await world.run('n1', read, { route: 'redirect' })).outcome).toMatchObject({ hint: hint('n3', 4) });
    world.node('n1').replica.knows = hint('n2', 5);
    expect((await world.run('n1', read, { route: 'redirect' })).outcome).toMatchObject({ hint: hint('n2', 5) });
  });

  test('a leader that refuses for load has the last word', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n2').replica.answer = () => ({ type: 'overloaded', partition, detail: 'too much', retryAfterMs: 1200 });
    expect(await world.run('n1', write())).toEqual({
      outcome: { type: 'overloaded', partition, detail: 'too much', retryAfterMs: 1200 },
      tookMs: 0,
    });
  });
});

describe('a hint that proves wrong', () => {
  test('the old leader names the new one: followed at once', async () => {
    const world = new World();
    world.elect('n3', 4);
    world.node('n1').replica.knows = hint('n2', 3);
    expect(await world.run('n1', write())).toEqual({ outcome: success('n3', 4, write()), tookMs: 0 });
    expect(world.asked).toEqual(['n1>n2', 'n1>n3']);
  });

  test('two nodes that point at each other: one hop, then 503 when no leader appears', async () => {
    const world = new World();
    world.node('n1').replica.knows = hint('n2', 3);
    world.node('n2').replica.knows = hint('n1', 3);
    const { outcome, tookMs } = await world.run('n1', write());
    noLeader(outcome);
    expect(tookMs).toBeGreaterThanOrEqual(limits.leaderWaitMsMax);
    expect(tookMs).toBeLessThanOrEqual(limits.leaderWaitMsMax + limits.leaderRetryDelayMs);
    expect(world.asked, 'the same hint is not tried twice, and nobody forwards a forwarded request').toEqual(['n1>n2']);
    expect(world.node('n2').replica.executed).toEqual([]);
  });

  test('the local replica was deposed while it tried: certainly not applied, so the request goes on', async () => {
    const world = new World();
    world.elect('n1', 3);
    world.node('n2').replica.knows = hint('n2', 4);
    world.node('n1').replica.answer = () => ({ type: 'not_leader', partition, hint: hint('n2', 4) });
    expect((await world.run('n1', write())).outcome).toEqual(success('n2', 4, write()));
  });

  test('deposed, its entry cut off, and elected anew: what the first entry holds is not written to again', async () => {
    const world = new World();
    world.elect('n1', 3);
    const entries: Buffer[] = [];
    world.node('n1').replica.answer = (request) => {
      if (request.type !== 'write') throw new Error('a write was expected');
      const logTime = (entries.length + 1) * 1000;
      stampCommand(request.body, { logTime, rangeEpoch: 1, incarnation: 1 });
      entries.push(request.body);
      world.elect('n1', 5);
      return entries.length === 1 ? { type: 'not_leader', partition, hint: hint('n1', 5) } : success('n1', 5, request);
    };
    expect((await world.run('n1', write())).outcome).toEqual(success('n1', 5, write()));
    expect(entries.map(stampedTime)).toEqual([1000, 2000]);
    expect(decodeCommand(entries[1] as Buffer).command).toEqual(decodeCommand(entries[0] as Buffer).command);
  });
});

test('a node that hears it leads itself, and knows better, does not try', async () => {
  const world = new World();
  world.node('n1').replica.knows = hint('n2', 3);
  world.node('n2').replica.knows = hint('n1', 9);
  noLeader((await world.run('n1', write())).outcome);
  expect(world.node('n1').replica.executed).toEqual([]);
  expect(world.asked).toEqual(['n1>n2']);
});

describe('a leader that dies', () => {
  test('between forward and answer: a write is unknown, at once and only tried once', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = async (deliver) => {
      await deliver();
      throw failure(true);
    };
    const { outcome, tookMs } = await world.run('n1', write());
    expect(outcome).toMatchObject({ type: 'unknown', partition });
    expect(tookMs).toBe(0);
    expect(world.asked).toEqual(['n1>n2']);
    expect(world.node('n2').replica.executed).toHaveLength(1);
  });

  test('between forward and answer: a read goes to the next leader', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = async (deliver, to) => {
      if (to !== 'n2') return deliver();
      world.down.add('n2');
      throw failure(true);
    };
    const answer = world.run('n1', read);
    world.clock.after(433, () => world.elect('n3', 4));
    const { outcome, tookMs } = await answer;
    expect(outcome).toEqual(success('n3', 4, read));
    expect(tookMs, 'it was woken, not polled').toBe(433);
  });

  test('before anything was sent: a write waits for the next leader and is applied once', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.down.add('n2');
    world.clock.after(717, () => world.elect('n3', 4));
    expect(await world.run('n1', write())).toEqual({ outcome: success('n3', 4, write()), tookMs: 717 });
    expect(world.asked).toEqual(['n1>n3']);
  });

  test('a redirect does not lead to a dead node while a new leader may yet be found', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.down.add('n2');
    world.clock.after(633, () => world.elect('n3', 4));
    const { outcome, tookMs } = await world.run('n1', write(), { route: 'redirect' });
    expect(outcome).toMatchObject({ type: 'not_leader', hint: hint('n3', 4) });
    expect(tookMs).toBe(633);
  });

  test('a redirect names the leader that only this node can’t reach, in the end', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.down.add('n2');
    const { outcome, tookMs } = await world.run('n1', read, { route: 'redirect' });
    expect(outcome).toMatchObject({ type: 'not_leader', hint: hint('n2', 3) });
    expect(tookMs).toBeLessThanOrEqual(limits.leaderWaitMsMax + limits.leaderRetryDelayMs);
  });

  test('the connection comes back without an election: the request goes through', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.down.add('n2');
    world.clock.after(120, () => world.down.delete('n2'));
    const { outcome, tookMs } = await world.run('n1', write());
    expect(outcome).toEqual(success('n2', 3, write()));
    expect(tookMs).toBeLessThanOrEqual(120 + limits.leaderRetryDelayMs);
  });

  test('a leader that shuts down is not the last word: its successor answers', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n2').replica.answer = () => ({ type: 'shutting_down' });
    world.clock.after(200, () => world.elect('n3', 4));
    expect((await world.run('n1', write())).outcome).toEqual(success('n3', 4, write()));
  });

  test('a stopped partition without a successor is told as such', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n2').replica.answer = () => ({
      type: 'partition_stopped',
      partition,
      detail: 'a majority is in doubt',
    });
    const { outcome } = await world.run('n1', read);
    expect(outcome).toEqual({ type: 'partition_stopped', partition, detail: 'a majority is in doubt' });
  });
});

describe('no leader', () => {
  test('an election under way is waited for, and its end is noticed at once', async () => {
    const world = new World();
    world.clock.after(333, () => world.elect('n1', 1));
    expect(await world.run('n1', write())).toEqual({ outcome: success('n1', 1, write()), tookMs: 333 });
  });

  test('none comes: 503 after the leader wait, never past the deadline, and no timer is left behind', async () => {
    const world = new World();
    for (const route of ['redirect', 'forward'] as const) {
      const patient = await world.run('n1', write(), { route });
      noLeader(patient.outcome);
      expect(patient.tookMs).toBeGreaterThanOrEqual(limits.leaderWaitMsMax);
      const hurried = await world.run('n1', read, { route, timeoutMs: 300 });
      noLeader(hurried.outcome);
      expect(hurried.tookMs).toBeLessThanOrEqual(300 + limits.deadlineSweepMs);
    }
    await world.clock.advance(100);
    expect(world.clock.pendingTimers()).toBe(0);
  });

  test('what was heard is forgotten when the replica loses its leader', async () => {
    const world = new World();
    const { hints, replica, router } = world.node('n1');
    hints.learn(partition, hint('n2', 3));
    replica.knows = undefined;
    router.leaderChanged(partition);
    expect(hints.get(partition)).toBeUndefined();
  });

  test('a forwarded request is answered at once by a node that knows no leader: who forwarded it waits', async () => {
    const world = new World();
    const { outcome, tookMs } = await world.run('n2', read, { hops: 1 });
    noLeader(outcome);
    expect(tookMs).toBe(0);
  });
});

describe('a node that holds no replica', () => {
  function worldWithOutsider(): World {
    const world = new World();
    world.node('n4').replica.hosted = false;
    return world;
  }

  test('redirects by its map: to the preferred leader, or to another replica in reach', async () => {
    const world = worldWithOutsider();
    world.elect('n3', 2);
    const first = await world.run('n4', read, { route: 'redirect' });
    expect(first).toMatchObject({ outcome: { type: 'not_leader', hint: hint('n1', 0) }, tookMs: 0 });
    world.down.add('n1');
    const second = await world.run('n4', read, { route: 'redirect' });
    expect(second).toMatchObject({ outcome: { type: 'not_leader', hint: hint('n2', 0) }, tookMs: 0 });
  });

  test('forwards by asking a replica, follows its hint and remembers the leader', async () => {
    const world = worldWithOutsider();
    world.elect('n3', 2);
    expect(await world.run('n4', write())).toEqual({ outcome: success('n3', 2, write()), tookMs: 0 });
    expect(world.asked).toEqual(['n4>n1', 'n4>n3']);
    expect((await world.run('n4', read)).outcome).toEqual(success('n3', 2, read));
    expect(world.asked.slice(2)).toEqual(['n4>n3']);
  });

  test('remembers who answered, even where its map would guess another', async () => {
    const world = worldWithOutsider();
    world.elect('n2', 2);
    world.down.add('n1');
    expect((await world.run('n4', write())).outcome).toEqual(success('n2', 2, write()));
    world.down.delete('n1');
    expect((await world.run('n4', write())).outcome).toEqual(success('n2', 2, write()));
    expect(world.asked).toEqual(['n4>n2', 'n4>n2']);
  });

  test('goes round the replicas that it can reach, resting after each round, until one leads', async () => {
    const world = worldWithOutsider();
    world.down.add('n1');
    world.clock.after(220, () => world.elect('n3', 2));
    const { outcome, tookMs } = await world.run('n4', write());
    expect(outcome).toEqual(success('n3', 2, write()));
    expect(tookMs).toBeLessThanOrEqual(220 + limits.leaderRetryDelayMs);
    expect(world.asked.length).toBeLessThan(14);
  });

  test('its remembered leader is gone: it asks the others instead of waiting', async () => {
    const world = worldWithOutsider();
    world.node('n4').hints.learn(partition, hint('n2', 3));
    world.down.add('n2');
    world.elect('n3', 4);
    expect(await world.run('n4', write())).toEqual({ outcome: success('n3', 4, write()), tookMs: 0 });
  });

  test('asked by a peer that was wrong about it, it points on and forwards nothing', async () => {
    const world = worldWithOutsider();
    const { outcome } = await world.run('n4', write(), { hops: 1 });
    expect(outcome).toMatchObject({ type: 'not_leader', hint: hint('n1', 0) });
    expect(world.asked).toEqual([]);
  });
});

describe('deadlines', () => {
  test('a replica that never answers: unknown for a write, no_leader for a read, at the deadline', async () => {
    const world = new World();
    world.elect('n1', 3);
    world.node('n1').replica.answer = () => never;
    const written = await world.run('n1', write(), { timeoutMs: 1000 });
    expect(written.outcome).toMatchObject({ type: 'unknown' });
    expect(written.tookMs).toBeGreaterThanOrEqual(1000);
    expect(written.tookMs).toBeLessThanOrEqual(1000 + limits.deadlineSweepMs);
    const got = await world.run('n1', read, { timeoutMs: 1000 });
    noLeader(got.outcome);
    expect(got.tookMs).toBeLessThanOrEqual(1000 + limits.deadlineSweepMs);
  });

  test('a transport that never answers: the same', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = () => never;
    expect((await world.run('n1', write(), { timeoutMs: 500 })).outcome).toMatchObject({ type: 'unknown' });
    noLeader((await world.run('n1', read, { timeoutMs: 500 })).outcome);
  });

  test('a refusal that comes after the deadline starts nothing new: "not applied" or "unknown" stays true', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = async (_deliver, to) => {
      await new Promise<void>((resolve) => world.clock.after(800, resolve));
      world.elect('n3', 4);
      return { type: 'not_leader', partition, hint: hint('n3', 4), http: `http://${to}` };
    };
    expect((await world.run('n1', write(), { timeoutMs: 500 })).outcome).toMatchObject({ type: 'unknown' });
    await world.clock.advance(2000);
    expect(world.asked).toEqual(['n1>n2']);
    expect(world.node('n3').replica.executed).toEqual([]);
  });

  test('a forwarded request gets less time than its caller has', async () => {
    const world = new World();
    world.elect('n2', 3);
    let carried: unknown;
    world.fault = (deliver, _to, payload) => {
      carried = payload;
      return deliver();
    };
    await world.run('n1', read, { timeoutMs: 1000 });
    expect(carried).toMatchObject({ hops: 1, remainingMs: 950 });
  });

  test('a deadline that has passed already: nothing is attempted', async () => {
    const world = new World();
    world.elect('n1', 3);
    noLeader((await world.run('n1', write(), { timeoutMs: 0 })).outcome);
    expect(world.node('n1').replica.executed).toEqual([]);
  });
});

test('a replica that does not know what became of a read: asked again, and never told as unknown', async () => {
  const world = new World();
  world.elect('n1', 3);
  const { replica } = world.node('n1');
  replica.answer = () => {
    replica.answer = undefined;
    return { type: 'unknown', partition, detail: 'stepped down meanwhile' };
  };
  expect((await world.run('n1', read)).outcome).toEqual(success('n1', 3, read));
});

describe('a range of one partition', () => {
  const range = {
    from: Buffer.from('a'),
    to: Buffer.from('b'),
    reverse: true,
    limit: 7,
    bytesMax: 99,
    keysOnly: false,
  };
  const request: KvRequest = { type: 'range', partition, range };
  const record = { value: Buffer.from([0xff]), contentType: '', revision: 5, incarnation: 1, expiresAt: 9 };
  const page = { values: [{ key: Buffer.from([0x61, 0xfe]), record }], moreAfter: Buffer.from([0x61, 0xfe]) };
  const answerOf = (nodeId: string) => ({ ...success(nodeId, 3, read), type: 'values', page, logTime: 8 }) as const;
  const hex = (bytes: Uint8Array | undefined): string | undefined => bytes && Buffer.from(bytes).toString('hex');

  test('goes to its leader whole, and what it comes to comes back whole', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.node('n2').replica.answer = () => answerOf('n2');
    const { outcome } = await world.run('n1', request);
    const [asked] = world.node('n2').replica.executed as Extract<KvRequest, { type: 'range' }>[];
    expect(asked).toMatchObject({
      type: 'range',
      partition,
      range: { reverse: true, limit: 7, bytesMax: 99, keysOnly: false },
    });
    expect([hex(asked?.range.from), hex(asked?.range.to)]).toEqual(['61', '62']);
    expect(outcome).toMatchObject({ type: 'values', origin: { partition, term: 3, nodeId: 'n2' }, logTime: 8 });
    const { values, moreAfter } = (outcome as ReturnType<typeof answerOf>).page;
    expect([hex(values[0]?.key), hex(values[0]?.record.value), hex(moreAfter)]).toEqual(['61fe', 'ff', '61fe']);
    expect(values[0]?.record).toMatchObject({ contentType: '', revision: 5, incarnation: 1, expiresAt: 9 });
  });

  test('is a read: lost on its way it is asked for again, and is never unknown', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = () => Promise.reject(failure(true));
    noLeader((await world.run('n1', request)).outcome);
    world.fault = () => Promise.resolve(success('n2', 3, read));
    noLeader((await world.run('n1', request)).outcome);
  });

  test('of a partition that there is none of is answered at once', async () => {
    const world = new World();
    const { outcome, tookMs } = await world.run('n1', { ...request, partition: 99 as PartitionId });
    expect([outcome.type, tookMs]).toEqual(['no_leader', 0]);
  });

  test.each([
    { partition: -1 },
    { range: undefined },
    { range: { ...range, from: 'a' } },
    { range: { ...range, to: undefined } },
    { range: { ...range, reverse: 1 } },
    { range: { ...range, limit: 0 } },
    { range: { ...range, bytesMax: -1 } },
    { range: { ...range, keysOnly: null } },
  ])('with %j makes no sense and reaches no replica', async (wrong) => {
    const world = new World();
    world.elect('n1', 3);
    const { router, replica } = world.node('n1');
    const base = { type: 'range', partition, range: { ...range }, hops: 1, remainingMs: 100 };
    expect(await router.handleForward({ ...base, ...wrong })).toEqual({ type: 'malformed' });
    expect(replica.executed).toEqual([]);
  });
});

describe('what peers say is checked', () => {
  test('a peer that grants more time than any request may have is not believed', async () => {
    const world = new World({ requestTimeoutMsMax: 3000 });
    world.elect('n1', 3);
    world.node('n1').replica.answer = () => never;
    const answer = world.node('n1').router.handleForward({ type: 'read', key: read.key, hops: 1, remainingMs: 1e9 });
    const { outcome, tookMs } = await world.clock.until(answer, 10_000);
    expect(outcome).toMatchObject({ type: 'no_leader' });
    expect(tookMs).toBeLessThanOrEqual(3000 + limits.deadlineSweepMs);
  });

  const nonsense = [
    null,
    'done',
    { type: 'value' },
    { type: 'malformed' },
    { type: 'done', origin: { partition: 1, term: 1, nodeId: 'n2' }, result: { type: 'put', revision: -1 } },
    { type: 'not_leader', partition: 1, hint: { nodeId: '../x', term: 1 }, http: 'x' },
  ];

  test.each(nonsense)('%j for an answer: unknown for a write; a read never comes out unknown', async (answer) => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = () => Promise.resolve(answer);
    expect((await world.run('n1', write())).outcome).toMatchObject({ type: 'unknown' });
    noLeader((await world.run('n1', read)).outcome);
  });

  test('a value is no answer to a write, an unknown none to a read', async () => {
    const world = new World();
    world.elect('n2', 3);
    world.fault = () => Promise.resolve(success('n2', 3, read));
    expect((await world.run('n1', write())).outcome).toMatchObject({ type: 'unknown' });
    world.fault = () => Promise.resolve({ type: 'unknown', partition, detail: '' });
    noLeader((await world.run('n1', read)).outcome);
  });

  test('a forward that makes no sense is refused and reaches no replica', async () => {
    const world = new World();
    world.elect('n1', 3);
    const { router, replica } = world.node('n1');
    const good = write();
    if (good.type !== 'write') throw new Error('a write was expected');
    const base = { type: 'write', key: good.key, body: good.body, hops: 1, remainingMs: 100 };
    const wrong: readonly unknown[] = [
      undefined,
      [],
      { ...base, type: 'erase' },
      { ...base, key: 'hello' },
      { ...base, key: Buffer.alloc(0) },
      { ...base, hops: 0 },
      { ...base, remainingMs: -1 },
      { ...base, body: null },
      { ...base, body: Buffer.from('garbage') },
      { ...base, key: Buffer.from('other') },
    ];
    for (const payload of wrong) expect(await router.handleForward(payload)).toEqual({ type: 'malformed' });
    expect(replica.executed).toEqual([]);
    expect(await router.handleForward(base)).toMatchObject({ type: 'done' });
  });
});
