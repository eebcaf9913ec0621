/** The founding of a cluster: one id, whoever crashes when; and whoever forgot stays out. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalFounding } from '../../src/cluster/founding.ts';
import type { NodeId } from '../../src/replica/ports.ts';
import { bootstrap } from './founders.ts';
import { FoundingWorld, type CrashPoint } from './founding-world.ts';

const names = ['n1', 'n2', 'n3'] as const;

async function formed(): Promise<FoundingWorld> {
  const world = new FoundingWorld(bootstrap(3));
  for (const name of names) world.start(name);
  await world.clock.advance(200);
  expect(world.results()).toEqual(['formed', 'formed', 'formed']);
  return world;
}

function messageOf(world: FoundingWorld, name: string): string {
  const result = world.founder(name).process?.result;
  return result !== undefined && 'message' in result ? result.message : `no message: ${JSON.stringify(result)}`;
}

describe('without faults', () => {
  test('three founders form one cluster, with the founding they agreed on', async () => {
    const world = await formed();
    expect(world.formedIds.size).toBe(1);
    const disks = world.founders.map(({ disk }) => JSON.stringify(disk));
    expect(new Set(disks).size).toBe(1);
  });

  test('a single founder forms alone, at once', async () => {
    const world = new FoundingWorld(bootstrap(1));
    world.start('n1');
    await world.clock.advance(0);
    expect(world.results()).toEqual(['formed']);
  });

  test('nothing is drawn, prepared or formed until every founder has been met', async () => {
    const world = new FoundingWorld(bootstrap(3));
    world.start('n1');
    world.start('n2');
    await world.clock.advance(5000);
    expect(world.founders.map(({ disk }) => disk.phase)).toEqual(['unformed', 'unformed', 'unformed']);
    expect(world.waiting).toEqual([
      'n1: waiting for the founding nodes n2, n3',
      'n2: waiting for the founding nodes n3',
      'n1: waiting for the founding nodes n3',
    ]);
    world.start('n3');
    await world.clock.advance(300);
    expect(world.results()).toEqual(['formed', 'formed', 'formed']);
  });

  test('a formed node starts again alone, whatever its config says by then', async () => {
    const world = await formed();
    for (const founder of world.founders) world.crash(founder);
    world.start('n2', { ...bootstrap(3), partitions: 99 });
    await world.clock.advance(0);
    const result = world.founder('n2').process?.result;
    expect(result?.type === 'formed' && JSON.parse(result.founding)).toMatchObject({ partitions: 12 });
  });

  test('stopping ends the wait', async () => {
    const world = new FoundingWorld(bootstrap(3));
    world.start('n1');
    await world.clock.advance(10);
    const { process } = world.founder('n1');
    process?.formation.stop();
    await world.clock.advance(0);
    expect(process?.result).toEqual({ type: 'stopped' });
    expect(world.clock.pendingTimers()).toBe(0);
  });
});

describe('crashes around every fsync', () => {
  const choices = ['none', 'before', 'after'] as const;
  const plans: CrashPoint[][] = [[]];
  for (const nodeId of names) {
    for (const phase of ['prepared', 'formed'] as const) {
      for (const plan of plans.splice(0)) {
        for (const when of choices) plans.push(when === 'none' ? plan : [...plan, { nodeId, phase, when }]);
      }
    }
  }
  const orders = [
    [0, 0, 0],
    [0, 120, 240],
    [240, 120, 0],
  ] as const;

  /** Runs a plan to its end. `emptied` loses its disk in its first crash; `forgot` says what had been on it. */
  async function run(plan: readonly CrashPoint[], startsAt: readonly number[], emptied?: string) {
    const world = new FoundingWorld(bootstrap(3));
    world.crashPoints.push(...plan);
    let forgot: string | undefined;
    let restarts = 0;
    world.onCrash = (founder) => {
      if (founder.nodeId === emptied && founder.starts === 1) {
        forgot = founder.disk.phase;
        world.empty(founder);
      }
      world.clock.after(restarts++ % 2 === 0 ? 20 : 170, () => world.start(founder.nodeId));
    };
    for (const [i, name] of names.entries()) world.clock.after(startsAt[i] ?? 0, () => world.start(name));
    await world.clock.advance(2500);
    return { world, forgot };
  }

  test(`all ${plans.length} plans, in three orders of starting: always formed, with one id`, async () => {
    for (const [i, plan] of plans.entries()) {
      const { world } = await run(plan, orders[i % orders.length] ?? orders[0]);
      expect(world.crashPoints, 'every planned crash happened').toEqual([]);
      expect(world.results(), JSON.stringify(plan)).toEqual(['formed', 'formed', 'formed']);
      expect(world.formedIds.size).toBe(1);
    }
  });

  test.each(names)(
    '%s also loses its disk in its first crash: one id, or in doubt; nobody who forgot takes part',
    async (emptied) => {
      let doubts = 0;
      for (const [i, plan] of plans.entries()) {
        if (!plan.some(({ nodeId }) => nodeId === emptied)) continue;
        const { world, forgot } = await run(plan, orders[i % orders.length] ?? orders[0], emptied);
        const results = world.results();
        const story = `${JSON.stringify(plan)}, emptied when ${forgot}: ${results.join(', ')}`;
        expect(world.formedIds.size, story).toBeLessThanOrEqual(1);
        if (forgot === 'formed') expect(world.founder(emptied).process?.result?.type, story).toBe('in_doubt');
        if (results.every((result) => result === 'formed')) continue;
        expect(results, story).toContain('in_doubt');
        doubts++;
      }
      expect(doubts, 'the plans include emptied disks that matter').toBeGreaterThan(0);
    },
  );
});

describe('a disk that was emptied after the cluster was formed', () => {
  test.each(names)('%s stops in doubt and says why; the others go on', async (name) => {
    const world = await formed();
    world.crash(world.founder(name));
    world.empty(world.founder(name));
    world.start(name);
    await world.clock.advance(500);
    expect(world.founder(name).process?.result?.type).toBe('in_doubt');
    expect(messageOf(world, name)).toMatch(/is formed for cluster 0+6331, but this node's data directory is empty/);
    expect(world.formedIds.size).toBe(1);
  });

  test('two of three emptied can’t found another cluster while the third is away, nor when it is back', async () => {
    const world = await formed();
    for (const founder of world.founders) world.crash(founder);
    for (const name of ['n1', 'n2']) {
      world.empty(world.founder(name));
      world.start(name);
    }
    await world.clock.advance(1000);
    expect(world.results()).toEqual([undefined, undefined, 'formed']);
    world.start('n3');
    await world.clock.advance(500);
    expect(world.results()).toEqual(['in_doubt', 'in_doubt', 'formed']);
  });

  test('an older copy of the coordinator’s disk is noticed', async () => {
    const world = await formed();
    const coordinator = world.founder('n1');
    world.crash(coordinator);
    if (coordinator.disk.phase !== 'formed') throw new Error('n1 was formed');
    coordinator.disk = { ...coordinator.disk, phase: 'prepared' };
    world.start('n1');
    await world.clock.advance(500);
    expect(messageOf(world, 'n1')).toContain('its data directory is an older copy');
  });

  test('a coordinator that was emptied while the others are prepared does not draw again', async () => {
    const world = new FoundingWorld(bootstrap(3));
    world.crashPoints.push({ nodeId: 'n1', phase: 'formed', when: 'before' });
    for (const name of names) world.start(name);
    await world.clock.advance(500);
    expect(world.founders.map(({ disk }) => disk.phase)).toEqual(['prepared', 'prepared', 'prepared']);
    world.empty(world.founder('n1'));
    world.start('n1');
    await world.clock.advance(500);
    expect(messageOf(world, 'n1')).toMatch(/n2 is prepared for cluster .* data directory is empty/);
    expect(world.founders.map(({ disk }) => disk.phase)).toEqual(['unformed', 'prepared', 'prepared']);
  });

  test('two founders prepared for different clusters are told apart, and nothing is formed', async () => {
    const world = new FoundingWorld(bootstrap(3));
    const founding = canonicalFounding(bootstrap(3));
    world.founder('n1').disk = { phase: 'prepared', clusterId: 'a'.repeat(32), founding };
    world.founder('n3').disk = { phase: 'prepared', clusterId: 'b'.repeat(32), founding };
    for (const name of names) world.start(name);
    await world.clock.advance(500);
    const ids = [`n3 is prepared for cluster ${'b'.repeat(32)}`, `n1 is prepared for cluster ${'a'.repeat(32)}`];
    const messages = `${messageOf(world, 'n1')}\n${messageOf(world, 'n3')}`;
    expect(ids.some((id) => messages.includes(id))).toBe(true);
    expect(world.results()).toContain('in_doubt');
    expect(world.formedIds.size).toBe(0);
  });

  test('a directory of another cluster is noticed on both sides', async () => {
    const world = new FoundingWorld(bootstrap(3));
    const other = await formed();
    const strayed = other.founder('n2').disk;
    if (strayed.phase !== 'formed') throw new Error('n2 was formed');
    world.founder('n2').disk = { ...strayed, phase: 'prepared', clusterId: 'f'.repeat(32) };
    for (const name of names) world.start(name);
    await world.clock.advance(500);
    expect(messageOf(world, 'n1')).toContain(`n2 is prepared for cluster ${'f'.repeat(32)}`);
    expect(world.formedIds.size).toBe(0);
  });
});

describe('requests that arrive late', () => {
  test('a prepare meant for an earlier start is refused: else an emptied founder would take part again', async () => {
    const world = new FoundingWorld(bootstrap(3));
    const late: (() => Promise<unknown>)[] = [];
    let deliveries = 0;
    world.wire = (deliver) => {
      late.push(deliver);
      deliveries++;
      return deliver();
    };
    for (const name of names) world.start(name);
    await world.clock.advance(300);
    const founder = world.founder('n3');
    world.crash(founder);
    world.empty(founder);
    for (const name of ['n1', 'n2']) world.crash(world.founder(name));
    world.start('n3');
    expect(deliveries).toBeGreaterThan(0);
    for (const deliver of late) await deliver().catch(() => undefined);
    expect(founder.disk).toEqual({ phase: 'unformed' });
  });

  test('over a slow, lossy, reordering network with crashes and emptied disks: one id, and nobody who forgot takes part', async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), async (stream) => {
        const random = (): number => Number(stream.next().value);
        const world = new FoundingWorld(bootstrap(3));
        const pause = (ms: number): Promise<void> => new Promise((resolve) => world.clock.after(ms, resolve));
        world.wire = async (deliver) => {
          await pause(random() * 150);
          if (random() < 0.1) throw new Error('lost');
          if (random() < 0.2)
            void pause(random() * 1500)
              .then(deliver)
              .catch(() => undefined);
          const answer = await deliver();
          await pause(random() * 150);
          if (random() < 0.1) throw new Error('answer lost');
          return answer;
        };
        for (const name of names) world.start(name);
        for (let faults = 0; faults < 8; faults++) {
          await world.clock.advance(random() * 400);
          // One founder's disk survives everything: without any there is nothing left to protect.
          const victim = world.founders[Math.floor(random() * 3)];
          if (victim === undefined) throw new Error('three founders');
          world.crash(victim);
          if (random() < 0.4 && victim.nodeId !== ('n2' as NodeId)) world.empty(victim);
          if (!victim.process?.alive) world.start(victim.nodeId);
        }
        await world.clock.advance(4000);
        expect(world.formedIds.size).toBeLessThanOrEqual(1);
      }),
      { numRuns: 80, seed: 7 },
    );
  });
});

describe('founders’ lists that differ', () => {
  test('refuse each other, and each names the difference', async () => {
    const world = new FoundingWorld(bootstrap(3));
    world.start('n1');
    world.start('n2', { ...bootstrap(3), partitions: 24 });
    await world.clock.advance(500);
    expect(world.results()).toEqual(['refused', 'refused', undefined]);
    expect(messageOf(world, 'n1')).toBe('n2 has another bootstrap section: partitions is 12 here and 24 there');
    expect(messageOf(world, 'n2')).toBe('n1 has another bootstrap section: partitions is 24 here and 12 there');
    expect(world.founders.map(({ disk }) => disk.phase)).toEqual(['unformed', 'unformed', 'unformed']);
  });
});

describe('what peers say is checked', () => {
  test('a prepare that is malformed, from no coordinator, or with another list changes nothing', async () => {
    const world = new FoundingWorld(bootstrap(3));
    world.start('n2');
    await world.clock.advance(10);
    const formation = world.founder('n2').process?.formation;
    const state = formation?.handle('formation.state', null, 'n1' as NodeId) as { nonce: string; founding: string };
    const good = { clusterId: 'a'.repeat(32), founding: state.founding, nonce: state.nonce };
    const prepare = (payload: unknown, from = 'n1'): unknown =>
      formation?.handle('formation.prepare', payload, from as NodeId);
    expect(prepare(null)).toEqual({ type: 'refused', reason: 'malformed request' });
    expect(prepare({ ...good, clusterId: 'short' })).toEqual({ type: 'refused', reason: 'malformed request' });
    expect(prepare(good, 'n3')).toEqual({ type: 'refused', reason: 'n3 is not the coordinator, n1 is' });
    expect(prepare({ ...good, founding: state.founding.replace(':12', ':13') })).toEqual({
      type: 'refused',
      reason: 'partitions is 12 here and 13 there',
    });
    expect(world.founder('n2').disk).toEqual({ phase: 'unformed' });
    expect(prepare(good)).toEqual({ type: 'prepared' });
    expect(prepare(good), 'asked again').toEqual({ type: 'prepared' });
    expect(prepare({ ...good, clusterId: 'b'.repeat(32) })).toMatchObject({ type: 'refused' });
    expect(world.founder('n2').disk).toMatchObject({ phase: 'prepared', clusterId: 'a'.repeat(32) });
  });
});
