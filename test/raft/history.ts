/** One random history of a group, made by a seed: everything that can go wrong with it, and what must hold all the same. */
import { membersOf } from '../../src/raft/configuration.ts';
import { leavesOut } from '../../src/raft/membership.ts';
import type { Configuration, ConfigurationChange, Message, RaftLimits } from '../../src/raft/types.ts';
import { EntryKind } from '../../src/raft/types.ts';
import { bytesOf, replica } from './member.ts';
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
  promotionLagMax: 3,
  quiesceTicks: 3,
} satisfies Partial<RaftLimits>;

export const noCounts = {
  reads: 0,
  crashes: 0,
  truncations: 0,
  installs: 0,
  changes: 0,
  transfers: 0,
  silences: 0,
  removals: 0,
};

/** One seed's history: faults first, then the recovery that must follow. */
export class History {
  readonly #random: () => number;
  readonly network: Network;
  /** By read context: the highest index that was committed anywhere when it was asked for. */
  readonly #readFloors = new Map<number, number>();
  #readsSeen = 0;
  #disksHeld = true;
  #proposals = 0;
  readonly counts = { ...noCounts };

  constructor(seed: number, configuration: Configuration) {
    this.#random = randomFrom(seed);
    this.network = new Network({
      configuration,
      limits: tightLimits,
      random: () => this.#random(),
      started: (member) => (member.diskHeld = this.#disksHeld),
    });
    this.network.snapshotsHeld = true;
  }

  run(): void {
    for (let step = 0; step < stepsEach; step++) {
      this.#act();
      this.#judge();
      const statuses = this.network.ids.map((id) => this.network.member(id).raft.status());
      if (statuses.some(({ role, quiesced }) => quiesced && role === 'leader')) this.counts.silences++;
    }
    this.counts.removals += this.network.ids.filter((id) => this.network.member(id).raft.removed).length;
    this.network.judge.matchLogs(this.network.ids.map((id) => this.network.member(id)));
  }

  #act(): void {
    const { network } = this;
    const id = this.#pick(network.ids);
    const chance = this.#random();
    if (id === undefined) return this.#restartOne();
    if (chance < 0.46) return this.#flow(1 + Math.floor(this.#random() * 24));
    if (chance < 0.6) return this.#manage(this.#pick(network.leaders()), id);
    if (chance < 0.69) return this.#propose(this.#pick(network.leaders()));
    if (chance < 0.74) return this.#read(this.#pick(network.leaders()));
    if (chance < 0.8) return this.#tick(id);
    if (chance < 0.82) return network.cut(id, this.#pick(network.ids) as number);
    if (chance < 0.85) return network.isolate(this.#pick(network.leaders()) ?? id);
    if (chance < 0.89) return network.heal();
    if (chance < 0.9) return this.#beCalm();
    if (chance < 0.92) return this.#crash(id);
    if (chance < 0.96) return this.#forgetLeader();
    this.#restartOne();
  }

  /** Mail and disks get on, in any order. */
  #flow(count: number): void {
    for (let event = 0; event < count; event++) {
      const chance = this.#random();
      if (chance < 0.6) this.#deliver();
      else if (chance < 0.65) this.#carrySnapshot();
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
    if (member.writes[0]?.install !== undefined) this.counts.installs++;
    this.network.mail.push(...member.completeWrite());
    this.network.settle(id);
  }

  /** Whole, or never; now and then its sender thinks that it has failed when it has not. */
  #carrySnapshot(): void {
    const { snapshots } = this.network;
    const position = Math.floor(this.#random() * snapshots.length);
    const chance = this.#random();
    const snapshot = snapshots[position];
    if (snapshot === undefined) return;
    if (chance > 0.1) snapshots.splice(position, 1);
    if (chance < 0.8) this.network.deliverSnapshot(snapshot);
    else this.network.endSnapshot(snapshot);
  }

  /** What an operator, a shell or a node does to a group. */
  #manage(leader: number | undefined, id: number): void {
    const chance = this.#random();
    if (chance < 0.25) return this.network.compact(id, Math.floor(this.#random() * 4));
    if (chance < 0.35) return this.#hearOfDeath(id);
    if (chance < 0.4) this.network.member(id).raft.wake();
    else if (chance < 0.43) this.network.member(id).raft.stalled();
    else if (leader !== undefined && chance < 0.75) this.#change(leader);
    else if (leader !== undefined) this.#transfer(leader);
    this.network.settle(id);
  }

  /** The news may be wrong. */
  #hearOfDeath(id: number): void {
    const { raft } = this.network.member(id);
    if (raft.leaderGone(raft.status().leader) && this.#random() < 0.7) raft.campaign();
    this.network.settle(id);
  }

  #change(leader: number): void {
    const result = this.network.member(leader).raft.changeConfiguration(this.#chooseChange(leader));
    if (result.type === 'appended') this.counts.changes++;
    this.network.settle(leader);
  }

  #chooseChange(leader: number): ConfigurationChange {
    const { voters, learners, replicaIdMax } = this.network.member(leader).raft.status().configuration;
    const chance = this.#random();
    const learner = this.#pick(learners);
    if (learner === undefined) {
      if (chance < 0.7 || voters.length === 1) return { type: 'addLearner', host: `n${replicaIdMax + 1}` };
    } else if (chance < 0.15) {
      return { type: 'removeLearner', replicaId: replica(learner) };
    } else if (chance < 0.5) {
      return { type: 'changeVoters', voters: [...voters, replica(learner)] };
    }
    const gone = this.#pick(voters);
    const others = voters.filter((voter) => voter !== gone);
    return { type: 'changeVoters', voters: learner === undefined ? others : [...others, replica(learner)] };
  }

  #transfer(leader: number): void {
    const { voters } = this.network.member(leader).raft.status().configuration;
    const result = this.network.member(leader).raft.transferLeadership(replica(this.#pick(voters) as number));
    if (result.type === 'started') this.counts.transfers++;
    this.network.settle(leader);
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

  /** Nothing goes wrong for a while, so that the group may fall silent; then its leader is cut off in its sleep. */
  #beCalm(): void {
    const { network } = this;
    network.heal();
    for (const id of network.ids) network.member(id).diskHeld = false;
    network.pass(4 + Math.floor(this.#random() * 12));
    for (const id of network.ids) network.member(id).diskHeld = true;
    const leader = this.#pick(network.leaders());
    if (leader === undefined || this.#random() < 0.5) return;
    network.isolate(leader);
    for (const id of network.ids) if (id !== leader) network.member(id).raft.wake();
    this.#forgetLeader();
    this.#flow(40);
    this.#propose(this.#pick(network.leaders()));
    this.#flow(20);
    this.#read(leader);
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
    const disk = this.network.disk(id);
    const floor = disk.firstIndex() - 1;
    this.network.restart(id, floor + Math.floor(this.#random() * (disk.appliedIndex - floor + 1)));
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
    network.snapshotsHeld = false;
    this.#disksHeld = false;
    for (const id of network.ids) network.member(id).diskHeld = false;
    for (const id of network.idsDown) network.restart(id);
    // Nodes are connected again: their shells wake what was silent.
    for (const id of network.ids) network.member(id).raft.wake();
    this.#comeToRest();
    const leader = network.leaders()[0] as number;
    network.propose(leader, 'the end');
    network.pass(2);
    this.#comeToRest();
    if (network.appliedTexts(leader).at(-1) !== 'the end') throw new Error('what was proposed last is not applied');
    // Nothing left to do: silence.
    for (let tick = 0; tick < 50 && this.#awake().length > 0; tick++) network.pass(1);
    if (this.#awake().length > 0) throw new Error(`not silent: ${this.#awake().join()}`);
    network.judge.matchLogs(network.ids.map((id) => network.member(id)));
  }

  /** At rest one leads, all know it, no change is under way, all have applied all, and whoever was removed has been told. */
  #whyNotAtRest(): string | undefined {
    const { network } = this;
    const [leader, ...others] = network.leaders();
    if (leader === undefined || others.length > 0) return `leaders: ${network.leaders().join()}`;
    const { lastIndex, configuration, transferee } = network.member(leader).raft.status();
    if (transferee !== 0) return 'leadership is being handed over';
    if (configuration.votersOutgoing.length > 0) return 'a change of voters is under way';
    const members: readonly number[] = membersOf(configuration);
    for (const id of members) {
      if (!network.ids.includes(id)) return `replica ${id} has heard nothing`;
      const status = network.member(id).raft.status();
      if (status.leader !== leader) return `replica ${id} follows ${status.leader}`;
      if (status.appliedIndex !== lastIndex) return `replica ${id} is at ${status.appliedIndex} of ${lastIndex}`;
    }
    return (
      network.ids
        .filter((id) => leavesOut(configuration, replica(id)) && !network.member(id).raft.status().removed)
        // Whoever knows none of those who are still there has nobody to ask: its shell has to do away with it.
        .filter((id) =>
          network
            .member(id)
            .raft.status()
            .configuration.voters.some((voter) => members.includes(voter)),
        )
        .map((id) => `replica ${id} does not know that it was removed`)[0]
    );
  }

  #comeToRest(): void {
    let why = this.#whyNotAtRest();
    for (let tick = 0; tick < 200 && why !== undefined; tick++) {
      this.network.pass(1);
      why = this.#whyNotAtRest();
    }
    if (why !== undefined) throw new Error(`not at rest: ${why}`);
  }

  /** Members that don't sleep. (A learner whose addition was rolled back is none, and disturbs nobody.) */
  #awake(): readonly number[] {
    const { network } = this;
    const { configuration } = network.member(network.leaders()[0] as number).raft.status();
    return membersOf(configuration).filter((id) => !network.member(id).raft.quiesced);
  }

  #pick(ids: readonly number[]): number | undefined {
    return ids[Math.floor(this.#random() * ids.length)];
  }
}
