/**
 * Thousands of short random histories: messages lost, repeated and reordered, disks slow, members cut off and crashed.
 * In each the safety properties hold at every step, no confirmed read is older than what was committed when it was
 * asked for, and once the faults end the group elects a leader and everyone applies the same. One seed makes one
 * history; a failure names it, and `FLOTILLA_SEED=<seed>` runs it alone.
 */
import { expect, test } from 'vitest';
import type { Configuration, Message, RaftLimits } from '../../src/raft/types.ts';
import { EntryKind } from '../../src/raft/types.ts';
import { bytesOf, configurationOf, replica } from './member.ts';
import { Network } from './network.ts';

const stepsEach = 120;

/** mulberry32: a small generator with a 32-bit state, uniform in [0, 1). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Small enough that every bound is met often. */
const tightLimits = {
  electionTicksMin: 4,
  electionTicksMax: 8,
  appendBytesMax: 12,
  inflightMessagesMax: 3,
  inflightBytesMax: 24,
  uncommittedBytesMax: 60,
  applyBytesMax: 10,
  logCacheBytesMax: 300,
} satisfies Partial<RaftLimits>;

class History {
  readonly #random: () => number;
  readonly network: Network;
  /** By read context: the highest index that was committed anywhere when it was asked for. */
  readonly #readFloors = new Map<number, number>();
  #readsSeen = 0;
  #proposals = 0;
  readonly counts = { reads: 0, crashes: 0, truncations: 0 };

  constructor(seed: number, configuration: Configuration) {
    this.#random = randomFrom(seed);
    this.network = new Network({ configuration, limits: tightLimits, random: () => this.#random() });
    for (const id of this.network.ids) this.network.member(id).diskHeld = true;
  }

  run(): void {
    for (let step = 0; step < stepsEach; step++) {
      this.#act();
      this.#judge();
    }
    this.network.judge.matchLogs(this.network.ids.map((id) => this.network.member(id)));
  }

  #act(): void {
    const { network } = this;
    const id = this.#pick(network.ids);
    const chance = this.#random();
    if (id === undefined) return this.#restartOne();
    if (chance < 0.5) return this.#flow(1 + Math.floor(this.#random() * 24));
    if (chance < 0.65) return this.#propose(this.#pick(network.leaders()));
    if (chance < 0.72) return this.#read(this.#pick(network.leaders()));
    if (chance < 0.8) return this.#tick(id);
    if (chance < 0.82) return network.cut(id, this.#pick(network.ids) as number);
    if (chance < 0.85) return network.isolate(this.#pick(network.leaders()) ?? id);
    if (chance < 0.9) return network.heal();
    if (chance < 0.92) return this.#crash(id);
    if (chance < 0.96) return this.#forgetLeader();
    this.#restartOne();
  }

  /** Mail and disks get on, in any order. */
  #flow(count: number): void {
    for (let event = 0; event < count; event++) {
      if (this.#random() < 0.6) this.#deliver();
      else this.#completeWrite(this.#pick(this.network.ids) as number);
    }
  }

  #tick(id: number): void {
    this.network.member(id).tick(1 + Math.floor(this.#random() * 3));
    this.network.settle(id);
  }

  /** Any message that is under way, not just the oldest; now and then it is lost or stays under way as well. */
  #deliver(): void {
    const { mail } = this.network;
    if (mail.length === 0) return;
    const near = this.#random() < 0.8 ? Math.min(3, mail.length) : mail.length;
    const position = Math.floor(this.#random() * near);
    const chance = this.#random();
    const message = mail[position] as Message;
    if (chance > 0.05) mail.splice(position, 1);
    if (chance < 0.95) this.network.deliver(message);
  }

  #completeWrite(id: number): void {
    const member = this.network.member(id);
    if (member.writes.length === 0) return;
    if (member.writes[0]?.truncateFrom !== undefined) this.counts.truncations++;
    this.network.mail.push(...member.completeWrite());
    this.network.settle(id);
  }

  #propose(id: number | undefined): void {
    if (id === undefined) return;
    for (let left = Math.ceil(this.#random() * 4); left > 0; left--) {
      this.network.member(id).raft.propose(EntryKind.command, bytesOf(`p${this.#proposals++}`));
    }
    if (this.#random() < 0.7) this.network.settle(id);
  }

  #read(id: number | undefined): void {
    if (id === undefined) return;
    const context = this.#readFloors.size + 1;
    this.#readFloors.set(context, this.network.judge.highestCommit);
    this.network.member(id).raft.readIndex(context);
    if (this.#random() < 0.5) this.network.settle(id);
  }

  /** A long silence: everyone but the leaders is ready to vote again, and one of them asks. */
  #forgetLeader(): void {
    const { network } = this;
    const leaders = network.leaders();
    const others = network.ids.filter((id) => !leaders.includes(id));
    for (const id of others) {
      network.member(id).tick(tightLimits.electionTicksMin);
      network.settle(id);
    }
    const id = this.#pick(others);
    if (id === undefined) return;
    network.member(id).raft.campaign();
    network.settle(id);
  }

  #crash(id: number): void {
    this.counts.crashes++;
    this.network.crash(id);
  }

  /** The state machine kept any part of what was applied, but never more than the log beside it. */
  #restartOne(): void {
    const down = this.network.idsDown;
    const id = this.#pick(down);
    if (id === undefined) return;
    this.network.restart(id, Math.floor(this.#random() * (this.network.disk(id).appliedIndex + 1)));
    this.network.member(id).diskHeld = true;
  }

  #judge(): void {
    if (this.network.reads.length === this.#readsSeen) return;
    for (const read of this.network.reads.slice(this.#readsSeen)) {
      const floor = this.#readFloors.get(read.context) as number;
      if (read.index < floor) throw new Error(`read ${read.context} sees ${read.index}, but ${floor} was committed`);
      this.counts.reads++;
    }
    this.#readsSeen = this.network.reads.length;
  }

  /** The faults end: the group must go on by itself. */
  recover(): void {
    const { network } = this;
    network.heal();
    for (const id of network.idsDown) network.restart(id);
    for (const id of network.ids) network.member(id).diskHeld = false;
    for (let tick = 0; tick < 200 && !this.#isAtRest(); tick++) network.pass(1);
    expect(this.#isAtRest()).toBe(true);
    const leader = network.leaders()[0] as number;
    network.propose(leader, 'the end');
    network.pass(2);
    expect(this.#isAtRest()).toBe(true);
    expect(network.appliedTexts(leader).at(-1)).toBe('the end');
    network.judge.matchLogs(network.ids.map((id) => network.member(id)));
  }

  /** One leads, all know it, and all have applied all. */
  #isAtRest(): boolean {
    const { network } = this;
    const [leader, ...others] = network.leaders();
    if (leader === undefined || others.length > 0) return false;
    const { lastIndex } = network.member(leader).raft.status();
    return network.ids.every((id) => {
      const status = network.member(id).raft.status();
      return status.leader === leader && status.appliedIndex === lastIndex;
    });
  }

  #pick(ids: readonly number[]): number | undefined {
    return ids[Math.floor(this.#random() * ids.length)];
  }
}

const configurations: readonly { name: string; seeds: number; configuration: Configuration }[] = [
  { name: 'three voters', seeds: 2500, configuration: configurationOf([1, 2, 3]) },
  { name: 'five voters', seeds: 1000, configuration: configurationOf([1, 2, 3, 4, 5]) },
  {
    name: 'a change from three voters to three others, watched by a learner',
    seeds: 800,
    configuration: configurationOf([1, 2, 3], { votersOutgoing: [3, 4, 5].map(replica), learners: [replica(6)] }),
  },
];

const only = process.env['FLOTILLA_SEED'];

test.each(configurations)('$name: every promise is kept', ({ seeds: seedCount, configuration }) => {
  const totals = { reads: 0, crashes: 0, truncations: 0, leaders: 0, applied: 0 };
  const seeds = only === undefined ? Array.from({ length: seedCount }, (_, seed) => seed) : [Number(only)];
  for (const seed of seeds) {
    const history = new History(seed, configuration);
    try {
      history.run();
      history.recover();
    } catch (cause) {
      throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
    }
    for (const name of ['reads', 'crashes', 'truncations'] as const) totals[name] += history.counts[name];
    totals.leaders += history.network.judge.leaderCount;
    totals.applied += history.network.judge.appliedCount;
  }
  if (only !== undefined) return;
  // The histories are worth something only when they are eventful.
  expect(totals.leaders).toBeGreaterThan(seedCount * 1.5);
  expect(totals.crashes).toBeGreaterThan(seedCount * 2);
  expect(totals.reads).toBeGreaterThan(seedCount / 2);
  expect(totals.truncations).toBeGreaterThan(seedCount / 20);
  expect(totals.applied).toBeGreaterThan(seedCount * 10);
});
