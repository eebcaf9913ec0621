/** What a receiver answers, message by message, to a sender that may be late, wrong or hostile. */
import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../src/replica/ports.ts';
import { AssertionError } from '../../src/assert.ts';
import { VirtualClock } from '../cluster/virtual-clock.ts';
import { machineState, stateOf } from './snapshot-fakes.ts';
import { founding, limits, n1, n3, p1, Receiving } from './snapshot-world.ts';

const id = { partition: 1, from: 1, to: 2, term: 5, index: 100 };
const state = machineState(100, stateOf(4));
const begin = {
  ...id,
  snapshotTerm: 2,
  configurationIndex: 0,
  configuration: new Uint8Array(founding),
  machineState: state,
};
const key = (name: string) => new Uint8Array(Buffer.from(name));
const records = (...keys: string[]) => new Uint8Array(Buffer.from(JSON.stringify(keys.map((name) => [name, 'v']))));
const first = { ...id, sequence: 0, after: null, last: key('b'), records: records('a', 'b') };
const second = { ...id, sequence: 1, after: key('b'), last: key('d'), records: records('c', 'd') };
const end = { ...id, last: key('d'), keys: state.keys, bytes: state.bytes };

class Scene {
  readonly clock = new VirtualClock();
  readonly node = new Receiving(this.clock);

  /** Without letting time pass. */
  start(kind: string, payload: unknown, from: NodeId = n1): Promise<unknown> {
    return this.node.receiver.handle(from, `snapshot.${kind}`, payload);
  }

  async ask(kind: string, payload: unknown, from: NodeId = n1): Promise<unknown> {
    const { outcome } = await this.clock.until(this.start(kind, payload, from), 1000);
    return outcome;
  }
}

const go = (after: Uint8Array | null, sequence: number) => ({ type: 'go', after, sequence });
const staged = { type: 'staged' };
const refusal = { type: 'refused', reason: expect.any(String) as string };

describe('a receiver', () => {
  it('answers a repeated begin, chunk and end as the first', async () => {
    const scene = new Scene();
    const begins = [scene.start('begin', begin), scene.start('begin', begin)];
    await scene.clock.advance(5);
    expect(await Promise.all(begins)).toEqual([go(null, 0), go(null, 0)]);
    const firsts = [scene.start('chunk', first), scene.start('chunk', first)];
    await scene.clock.advance(5);
    expect(await Promise.all(firsts)).toEqual([staged, staged]);
    expect(await scene.ask('chunk', first)).toEqual(staged);
    expect(await scene.ask('chunk', second)).toEqual(staged);
    expect(await scene.ask('chunk', first)).toEqual(staged);
    expect(await scene.ask('begin', begin)).toEqual(go(key('d'), 2));
    const ends = [scene.start('end', end), scene.start('end', end)];
    await scene.clock.advance(5);
    expect(await Promise.all(ends)).toEqual([{ type: 'installed' }, { type: 'installed' }]);
    expect(scene.node.installed).toHaveLength(1);
    expect(scene.node.staging.chunks).toBe(2);
    expect(scene.node.staging.begun).toBe(1);
    expect(scene.node.staging.overlaps).toEqual([]);
  });

  it('refuses what its disk has no room for, also on the way, and goes on when there is', async () => {
    const scene = new Scene();
    const noRoom = { type: 'refused', reason: expect.stringMatching(/^no room for/) as string };
    scene.node.roomBytes = state.bytes - 1;
    expect(await scene.ask('begin', begin)).toEqual({ type: 'refused', reason: `no room for ${state.bytes} bytes` });
    expect(scene.node.staging.begun).toBe(0);
    scene.node.roomBytes = state.bytes;
    expect(await scene.ask('begin', begin)).toEqual(go(null, 0));
    expect(await scene.ask('chunk', first)).toEqual(staged);
    scene.node.roomBytes = -1;
    expect(await scene.ask('chunk', second)).toEqual(noRoom);
    expect(await scene.ask('begin', begin)).toEqual(noRoom);
    expect(scene.node.staging.chunks).toBe(1);
    // What it has already needs no more room.
    scene.node.roomBytes = state.bytes - 1;
    expect(await scene.ask('begin', begin)).toEqual(go(key('b'), 1));
    expect(await scene.ask('chunk', second)).toEqual(staged);
    expect(await scene.ask('end', end)).toEqual({ type: 'installed' });
  });

  it('counts what other transfers will still bring', async () => {
    const scene = new Scene();
    scene.node.roomBytes = 2 * state.bytes - 1;
    expect(await scene.ask('begin', begin)).toEqual(go(null, 0));
    const other = { ...begin, partition: 2 };
    expect(await scene.ask('begin', other)).toEqual({
      type: 'refused',
      reason: `no room for ${2 * state.bytes} bytes`,
    });
    expect(await scene.ask('chunk', first)).toEqual(staged);
    expect(await scene.ask('begin', other)).toEqual(go(null, 0));
  });

  it('refuses chunks that are out of order, of other content, or early', async () => {
    const scene = new Scene();
    expect(await scene.ask('chunk', first)).toEqual(refusal);
    const beginning = scene.start('begin', begin);
    expect(await scene.start('chunk', first)).toEqual(refusal);
    await scene.clock.advance(5);
    expect(await beginning).toEqual(go(null, 0));
    expect(await scene.ask('chunk', second)).toEqual(refusal);
    expect(await scene.ask('chunk', { ...first, sequence: 1 })).toEqual(refusal);
    expect(await scene.ask('chunk', { ...first, after: key('a') })).toEqual(refusal);
    const staging = scene.start('chunk', first);
    expect(await scene.start('chunk', { ...first, last: key('c') })).toEqual(refusal);
    expect(await scene.start('chunk', second)).toEqual(refusal);
    expect(await scene.start('end', end)).toEqual(refusal);
    await scene.clock.advance(5);
    expect(await staging).toEqual(staged);
    expect(await scene.ask('chunk', { ...first, last: key('c') })).toEqual(refusal);
    expect(await scene.ask('chunk', { ...second, after: null })).toEqual(refusal);
    expect(await scene.ask('chunk', second)).toEqual(staged);
    expect(scene.node.staging.chunks).toBe(2);
    expect(scene.node.staging.overlaps).toEqual([]);
  });

  it('is not ended by the late end of an earlier attempt while chunks are missing', async () => {
    const scene = new Scene();
    await scene.ask('begin', begin);
    await scene.ask('chunk', first);
    expect(await scene.ask('end', end)).toEqual(refusal);
    expect(await scene.ask('end', { ...end, last: key('b'), keys: 3 })).toEqual(refusal);
    await scene.ask('chunk', second);
    expect(await scene.ask('end', end)).toEqual({ type: 'installed' });
  });

  it('takes a later term or index, refuses an earlier one, and then the chunks of what gave way', async () => {
    const scene = new Scene();
    await scene.ask('begin', begin);
    const staging = scene.start('chunk', first);
    const later = { ...begin, term: 6, from: 3 };
    // It waits for the chunk that is being staged.
    expect(await scene.ask('begin', later, n3)).toEqual(go(null, 0));
    expect(await staging).toEqual(staged);
    expect(scene.node.staging.overlaps).toEqual([]);
    expect(await scene.ask('chunk', second)).toEqual(refusal);
    expect(await scene.ask('chunk', first)).toEqual(refusal);
    expect(await scene.ask('end', end)).toEqual(refusal);
    expect(await scene.ask('begin', begin)).toEqual(refusal);
    expect(await scene.ask('begin', later, n1)).toEqual(refusal);
    const newer = { ...later, index: 130, machineState: { ...state, appliedIndex: 130 } };
    expect(await scene.ask('begin', newer, n3)).toEqual(go(null, 0));
    expect(await scene.ask('begin', later, n3)).toEqual(refusal);
  });

  it('begins nothing while a snapshot is being installed, and then asks again whether it is wanted', async () => {
    const scene = new Scene();
    scene.node.installMs = 300;
    await scene.ask('begin', begin);
    await scene.ask('chunk', first);
    await scene.ask('chunk', second);
    const ending = scene.start('end', end);
    await scene.clock.advance(20);
    expect(await scene.ask('begin', begin)).toEqual({ type: 'not_needed' });
    expect(await ending).toEqual({ type: 'installed' });
    expect(scene.node.staging.begun).toBe(1);
  });

  it('drops what was staged once it is not needed any more', async () => {
    const scene = new Scene();
    await scene.ask('begin', begin);
    await scene.ask('chunk', first);
    scene.node.appliedIndex.set(p1, 200);
    expect(await scene.ask('begin', begin)).toEqual({ type: 'not_needed' });
    await scene.clock.advance(5);
    expect(scene.node.staging.staged.get(p1)?.size).toBe(0);
    expect(scene.node.receiver.status()).toEqual([]);
  });

  it('forgets what nobody went on with, on disk too', async () => {
    const scene = new Scene();
    await scene.ask('begin', begin);
    await scene.clock.advance(limits.resumeMs - 100);
    await scene.ask('chunk', first);
    await scene.clock.advance(limits.resumeMs - 100);
    expect(scene.node.receiver.status()).toMatchObject([
      { snapshot: id, node: 'n1', bytesStaged: first.records.length },
    ]);
    await scene.clock.advance(110);
    expect(scene.node.receiver.status()).toEqual([]);
    expect(scene.node.staging.staged.get(p1)?.size).toBe(0);
    expect(scene.clock.pendingTimers()).toBe(0);
  });

  it('keeps no view of a chunk', async () => {
    const scene = new Scene();
    const frame = new Uint8Array(1000);
    frame.set(key('b'));
    await scene.ask('begin', begin);
    await scene.ask('chunk', { ...first, last: frame.subarray(0, 1) });
    const answer = (await scene.ask('begin', begin)) as { after: Uint8Array };
    expect(answer.after.buffer.byteLength).toBe(1);
  });

  it('does not make a refusal of a bug', async () => {
    const scene = new Scene();
    scene.node.staging.beginSnapshot = () => Promise.reject(new AssertionError('impossible'));
    await expect(scene.start('begin', begin)).rejects.toThrow('impossible');
  });

  it('refuses the end when its replica has stopped: nothing was taken, and it may be sent again', async () => {
    const scene = new Scene();
    scene.node.installs = 'stopped';
    await scene.ask('begin', begin);
    await scene.ask('chunk', first);
    await scene.ask('chunk', second);
    expect(await scene.ask('end', end)).toEqual(refusal);
    expect(scene.node.receiver.status()).toEqual([]);
    scene.node.installs = 'installed';
    expect(await scene.ask('begin', begin)).toEqual(go(null, 0));
  });

  it('answers nothing but refusals after stop', async () => {
    const scene = new Scene();
    await scene.ask('begin', begin);
    const waiting = scene.start('begin', { ...begin, term: 6 });
    scene.node.receiver.stop();
    expect(await scene.ask('chunk', first)).toEqual(refusal);
    await scene.clock.advance(10);
    expect(scene.clock.pendingTimers()).toBe(0);
    expect(await waiting).toBeDefined();
  });
});

describe('what is malformed is refused', () => {
  const broken = (whole: Readonly<Record<string, unknown>>, field: string): [string, unknown][] =>
    [undefined, null, -1, 1.5, 2 ** 53, '1', {}, [], new Uint8Array(5000)].map((value) => [
      `${field} ${value instanceof Uint8Array ? 'of 5000 bytes' : JSON.stringify(value)}`,
      { ...whole, [field]: value },
    ]);
  const without = (cases: [string, unknown][], ...good: string[]) => cases.filter(([name]) => !good.includes(name));
  const requests: Record<string, [string, unknown][]> = {
    begin: [
      ...Object.keys(begin).flatMap((field) => broken(begin, field)),
      ...Object.keys(state).map((field): [string, unknown] => [
        `machineState.${field}`,
        { ...begin, machineState: { ...state, [field]: -1 } },
      ]),
      ['a term before the entry', { ...begin, term: 1 }],
      ['a later configuration', { ...begin, configurationIndex: 101 }],
      ['another index', { ...begin, index: 101 }],
      ['a huge configuration', { ...begin, configuration: new Uint8Array(65 * 1024) }],
      ['the partition of the node', { ...begin, partition: 0xffff_ffff }],
      ['replica 0', { ...begin, to: 0 }],
    ],
    chunk: [
      ...without(
        Object.keys(first).flatMap((field) => broken(first, field)),
        'after null',
      ),
      ['no records', { ...first, records: new Uint8Array() }],
    ],
    end: without(
      Object.keys(end).flatMap((field) => broken(end, field)),
      'last null',
    ),
  };
  it.each(Object.entries(requests))('%s', async (kind, cases) => {
    const scene = new Scene();
    if (kind !== 'begin') await scene.ask('begin', begin);
    for (const [name, payload] of [...cases, ...[null, 7, 'x', [], key('x')].map((odd) => [String(odd), odd])]) {
      expect(await scene.start(kind, payload), String(name)).toEqual(refusal);
    }
    expect(scene.node.staging.chunks).toBe(0);
  });

  it('an unknown kind', async () => {
    expect(await new Scene().start('other', begin)).toEqual(refusal);
  });
});
