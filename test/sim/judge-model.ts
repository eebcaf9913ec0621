/**
 * A Raft of a few lines, with changes of members, compaction and snapshots, that breaks no rule: driven at random, it tells
 * a judge a long right history. Messages arrive at once or never; disks take their time.
 */
import type { Term } from '../../src/raft/types.ts';
import type { JudgedWrite } from '../../src/sim/judge/replica-record.ts';
import { JudgeHistory, stateAfter, type Told, type ToldMembers, type ToldWrite } from './judge-history.ts';
import { generator } from './judged-replicas.ts';

interface Disk {
  readonly term: number;
  readonly vote: number;
  readonly log: readonly Told[];
  readonly first: number;
  /** The snapshot that it was last installed from. */
  readonly snapshot: number;
}

interface Pending {
  readonly write: JudgedWrite;
  readonly disk: Disk;
  readonly then: () => void;
}

class Member {
  readonly id: number;
  readonly node: string;
  up = true;
  destroyed = false;
  removed = false;
  term = 0;
  vote = 0;
  log: Told[] = [];
  first = 1;
  commit = 0;
  applied = 0;
  /** The state that is durable. */
  flushed = 0;
  snapshot = 0;
  leads = false;
  /** Its term's first entry. */
  noop = 0;
  readonly match = new Map<number, number>();
  /** Truncations until now: what was waiting then says nothing any more. */
  cuts = 0;
  disk: Disk = { term: 0, vote: 0, log: [], first: 1, snapshot: 0 };
  pending: Pending[] = [];

  constructor(id: number, node: string) {
    this.id = id;
    this.node = node;
  }

  get last(): number {
    return this.log.length;
  }

  termAt(index: number): number {
    return this.log[index - 1]?.[1] ?? 0;
  }
}

export class JudgeModel {
  readonly history = new JudgeHistory(3);
  readonly done = {
    elections: 0,
    changes: 0,
    installs: 0,
    compactions: 0,
    crashes: 0,
    destroyed: 0,
    transfers: 0,
    quiet: 0,
  };
  readonly #random: () => number;
  readonly #members = [1, 2, 3].map((id) => new Member(id, `n${id}`));
  #commands = 0;

  constructor(seed: number) {
    this.#random = generator(seed);
  }

  step(): void {
    const chance = this.#random();
    const living = this.#members.filter(({ destroyed }) => !destroyed);
    const leading = living.filter(({ leads }) => leads);
    const member = this.#any(leading.length > 0 && this.#random() < 0.4 ? leading : living);
    if (!member.up) {
      if (chance < 0.1) this.#restart(member);
    } else if (chance < 0.003) this.#crash(member);
    else if (chance < (leading.length > 0 ? 0.005 : 0.05)) this.#campaign(member);
    else if (chance < 0.2) this.#announce(member);
    else if (chance < 0.3) this.#apply(member);
    else if (chance < 0.33) this.#flush(member);
    else if (chance < 0.35) this.#compact(member);
    else if (member.leads) this.#lead(member, this.#random());
  }

  #lead(leader: Member, chance: number): void {
    const other = this.#any(this.#members);
    if (chance < 0.1) this.#append(leader, `command ${(this.#commands += 1)}`);
    else if (chance < 0.25) this.#change(leader);
    else if (chance < 0.3) this.#tellRemoved(leader, other);
    else if (chance < 0.34) this.#rest(leader, other);
    else if (chance < 0.5) this.#heartbeat(leader, other);
    else this.#replicate(leader, other);
  }

  #configuration(member: Member, end = member.last): { readonly index: number; readonly members: ToldMembers } {
    for (let index = end; index > 0; index -= 1) {
      const content = member.log[index - 1]?.[2];
      if (typeof content === 'object') return { index, members: content };
    }
    return { index: 0, members: { voters: [1, 2, 3], max: 3 } };
  }

  #storedConfiguration(member: Member, end: number): { readonly configuration?: Told } {
    const { index } = this.#configuration(member, end);
    return index === 0 ? {} : { configuration: member.log[index - 1] as Told };
  }

  #write(member: Member, told: ToldWrite, then: () => void = () => undefined): void {
    const hardState = told.term === undefined ? {} : { term: member.term, vote: member.vote };
    const write = this.history.write(member.id, { ...told, ...hardState });
    const { term, vote, first, snapshot } = member;
    member.pending.push({ write, disk: { term, vote, log: [...member.log], first, snapshot }, then });
  }

  #announce(member: Member): void {
    const next = member.pending.shift();
    if (next === undefined) return;
    this.history.durable(member.id, next.write);
    member.disk = next.disk;
    next.then();
  }

  #settle(member: Member): void {
    while (member.pending.length > 0) this.#announce(member);
  }

  #crash(member: Member): void {
    if (!member.up) return;
    this.done.crashes += 1;
    this.history.crash(member.id);
    member.up = false;
    member.leads = false;
    const survivors = Math.floor(this.#random() * (member.pending.length + 1));
    member.disk = member.pending[survivors - 1]?.disk ?? member.disk;
    member.pending = [];
  }

  #restart(member: Member): void {
    if (member.up) return;
    const { disk } = member;
    const applied = Math.max(member.flushed, disk.snapshot);
    Object.assign(member, { ...disk, log: [...disk.log], up: true, applied, commit: applied, flushed: applied });
    member.removed = this.#isLeftOut(member, member.id, applied);
    this.history.restart(member.id, {
      ...disk,
      entries: disk.log,
      state: stateAfter(applied, member.termAt(applied)),
      ...this.#storedConfiguration(member, applied),
    });
  }

  #isLeftOut(member: Member, id: number, end: number): boolean {
    const { voters, outgoing = [], learners = [], max = 0 } = this.#configuration(member, end).members;
    return id <= max && ![...voters, ...outgoing, ...learners].includes(id);
  }

  #raiseTerm(member: Member, term: number): void {
    if (term <= member.term) return;
    Object.assign(member, { term, vote: 0, leads: false });
    this.#write(member, { term });
  }

  #campaign(candidate: Member): void {
    const { members } = this.#configuration(candidate);
    const { voters, outgoing = [] } = members;
    if (candidate.removed || candidate.leads || ![...voters, ...outgoing].includes(candidate.id)) return;
    candidate.term += 1;
    candidate.vote = candidate.id;
    this.#write(candidate, { term: candidate.term });
    this.#settle(candidate);
    const { id, term, last } = candidate;
    const granted = new Set([id]);
    for (const voter of this.#members) {
      const at = { term: term as Term, lastLogIndex: last as never, lastLogTerm: candidate.termAt(last) as never };
      if (voter === candidate) continue;
      this.history.send(id, voter.id, { type: 'VoteRequest', ...at, transfer: false });
      if (!voter.up || voter.removed || this.#random() < 0.2) continue;
      this.#raiseTerm(voter, term);
      const isNewer = voter.termAt(voter.last) > candidate.termAt(last);
      const isLonger = voter.termAt(voter.last) === candidate.termAt(last) && voter.last > last;
      if (voter.term > term || (voter.vote !== 0 && voter.vote !== id) || isNewer || isLonger) continue;
      voter.vote = id;
      this.#write(voter, { term });
      this.#settle(voter);
      this.history.send(voter.id, id, {
        type: 'VoteResponse',
        term: term as Term,
        granted: true,
        timeTerm: 0 as Term,
        logTime: 0,
      });
      granted.add(voter.id);
    }
    const wins = (of: readonly number[]): boolean => of.filter((voter) => granted.has(voter)).length > of.length / 2;
    if (!wins(voters) || (outgoing.length > 0 && !wins(outgoing))) return;
    this.done.elections += 1;
    candidate.leads = true;
    candidate.match.clear();
    candidate.noop = last + 1;
    for (const other of this.#members) if (other !== candidate) this.#probe(candidate, other);
    this.#append(candidate, '');
  }

  #probe(leader: Member, other: Member): void {
    const after: Told = [leader.last, leader.termAt(leader.last)];
    this.history.append(leader.id, other.id, leader.term, { after, commit: leader.commit });
  }

  #append(leader: Member, content: string | ToldMembers): void {
    const entry: Told = [leader.last + 1, leader.term, content];
    const { term } = leader;
    leader.log.push(entry);
    this.#write(leader, { entries: [entry] }, () => {
      if (leader.leads && leader.term === term) this.#matched(leader, leader.id, entry[0]);
    });
  }

  #matched(leader: Member, id: number, index: number): void {
    leader.match.set(id, Math.max(leader.match.get(id) ?? 0, index));
    const { voters, outgoing = [] } = this.#configuration(leader).members;
    const reached = (of: readonly number[]): number =>
      of.map((voter) => leader.match.get(voter) ?? 0).sort((a, b) => b - a)[Math.floor(of.length / 2)] ?? 0;
    const counted = Math.min(reached(voters), outgoing.length > 0 ? reached(outgoing) : Infinity);
    if (leader.termAt(counted) !== leader.term || counted <= leader.commit) return;
    leader.commit = counted;
    // What it knows to be committed it says, by applying it, before it can lead another term.
    while (leader.applied < leader.commit && leader.leads) this.#apply(leader);
  }

  #replicate(leader: Member, to: Member): void {
    if (to === leader || this.#isLeftOut(leader, to.id, leader.last)) return;
    let shared = 0;
    while (shared < leader.last && leader.termAt(shared + 1) === to.termAt(shared + 1)) shared += 1;
    if (shared < leader.first - 1) return this.#install(leader, to);
    const lowest = Math.max(leader.first - 1, shared - 2);
    const previous = lowest + Math.floor(this.#random() * (shared - lowest + 1));
    const entries = leader.log.slice(previous, previous + Math.floor(this.#random() * 8));
    const after: Told = [previous, leader.termAt(previous)];
    this.history.append(leader.id, to.id, leader.term, { after, entries, commit: leader.commit });
    if (!to.up || this.#random() < 0.1) return;
    if (to.term > leader.term) return this.#raiseTerm(leader, to.term);
    this.#raiseTerm(to, leader.term);
    const fresh = entries.filter(([index, term]) => to.termAt(index) !== term || index > to.last);
    const from = fresh[0]?.[0] ?? Infinity;
    const cut = from <= to.last ? { truncateFrom: from } : {};
    if (from <= to.last) {
      to.cuts += 1;
      to.log.length = from - 1;
    }
    to.log.push(...fresh);
    const verified = previous + entries.length;
    to.commit = Math.max(to.commit, Math.min(leader.commit, verified));
    this.#write(to, { ...cut, entries: fresh }, this.#answer(to, leader, verified));
  }

  /** What `from` says once it is durable. */
  #answer(from: Member, leader: Member, index: number): () => void {
    const { term, cuts } = from;
    return () => {
      if (from.term !== term || from.cuts !== cuts) return;
      this.history.success(from.id, leader.id, term, index);
      if (leader.leads && leader.term === term) this.#matched(leader, from.id, index);
    };
  }

  #install(leader: Member, to: Member): void {
    const index = leader.flushed;
    const term = leader.termAt(index);
    if (!to.up || to.term > leader.term || index <= to.commit || to.termAt(index) === term) return;
    this.done.installs += 1;
    this.#raiseTerm(to, leader.term);
    const { configuration } = this.#storedConfiguration(leader, index);
    this.history.stage(to.id, [index, term], configuration);
    Object.assign(to, {
      log: leader.log.slice(0, index),
      first: index + 1,
      snapshot: index,
      applied: index,
      commit: index,
    });
    to.cuts += 1;
    to.removed = this.#isLeftOut(to, to.id, index);
    this.#write(to, { install: [index, term] }, this.#answer(to, leader, index));
  }

  #heartbeat(leader: Member, to: Member): void {
    if (to === leader) return;
    const known = Math.min(leader.commit, leader.match.get(to.id) ?? 0);
    const { voters, outgoing = [], learners = [] } = this.#configuration(leader).members;
    const members = [to.id, ...voters, ...outgoing, ...learners];
    const isQuiet = known === leader.last && members.every((id) => leader.match.get(id) === leader.last);
    if (isQuiet) this.done.quiet += 1;
    this.history.heartbeat(leader.id, to.id, leader.term, known, isQuiet);
    if (to.up && to.term === leader.term) to.commit = Math.max(to.commit, known);
  }

  #apply(member: Member): void {
    if (member.applied >= member.commit || member.applied >= member.last) return;
    const index = (member.applied += 1);
    const entry = member.log[index - 1] as Told;
    if (typeof entry[2] !== 'object') return this.history.apply(member.id, index, entry[1]);
    this.history.applyConfiguration(member.id, entry);
    member.removed = this.#isLeftOut(member, member.id, index);
    if (member.removed) member.leads = false;
  }

  #flush(member: Member): void {
    if (member.pending.length > 0) return;
    member.flushed = Math.min(member.applied, member.last);
    this.history.flush(member.id, member.flushed);
  }

  #compact(member: Member): void {
    if (member.flushed < member.first) return;
    this.done.compactions += 1;
    member.first = member.flushed + 1;
    this.#write(member, { compactThrough: member.flushed });
  }

  #change(leader: Member): void {
    const { index, members } = this.#configuration(leader);
    if (leader.commit < Math.max(index, leader.noop)) return;
    const { voters, outgoing = [], learners = [], max = 0 } = members;
    const learner = learners[0];
    const isCaughtUp = learner !== undefined && (leader.match.get(learner) ?? 0) >= leader.commit - 3;
    this.done.changes += 1;
    if (outgoing.length > 0) this.#append(leader, { voters, learners, max });
    else if (learner === undefined) this.#append(leader, { voters, learners: [max + 1], max: max + 1 });
    else if (this.#random() < 0.2) this.#append(leader, { voters, max });
    else if (isCaughtUp) {
      const leaving = this.#random() < 0.7 ? this.#any(voters) : 0;
      const next = [...voters.filter((id) => id !== leaving || voters.length === 1), learner];
      this.#append(leader, { voters: next, outgoing: voters, max });
    }
    this.#comeIntoBeing(leader);
  }

  /** Only behind a committed configuration: till then the same id may yet be given to somebody else. */
  #comeIntoBeing(leader: Member): void {
    for (const id of this.#configuration(leader, leader.commit).members.learners ?? []) {
      if (this.#members.some((member) => member.id === id)) continue;
      const free = this.#members.filter(({ destroyed }) => destroyed).map(({ node }) => node);
      const isTaken = (node: string): boolean =>
        this.#members.some((member) => member.node === node && !member.destroyed);
      const node = free.find((candidate) => !isTaken(candidate)) ?? `n${id}`;
      this.#members.push(new Member(id, node));
      this.history.come(id, node);
    }
  }

  #tellRemoved(leader: Member, to: Member): void {
    if (to.destroyed || to === leader || !this.#isLeftOut(leader, to.id, leader.commit)) return;
    this.history.send(leader.id, to.id, { type: 'ReplicaRemoved', term: leader.term as Term });
    if (this.#random() < 0.3) return;
    this.done.destroyed += 1;
    this.history.destroy(to.id);
    Object.assign(to, { up: false, destroyed: true, leads: false, pending: [] });
  }

  /** Nothing new for a while, so that most hold everything; then silence, or another leader. */
  #rest(leader: Member, other: Member): void {
    for (let round = 0; round < 20; round += 1) {
      for (const member of this.#members) {
        if (leader.leads) this.#replicate(leader, member);
        if (member.up) this.#settle(member);
      }
    }
    if (leader.leads) this.#heartbeat(leader, other);
    if (leader.leads && this.#random() < 0.3) this.#transfer(leader, other);
  }

  #transfer(leader: Member, to: Member): void {
    const { voters } = this.#configuration(leader).members;
    if (to === leader || !voters.includes(to.id) || leader.match.get(to.id) !== leader.last) return;
    this.done.transfers += 1;
    this.history.send(leader.id, to.id, { type: 'TimeoutNow', term: leader.term as Term });
    if (to.up && to.term === leader.term) this.#campaign(to);
  }

  #any<T>(items: readonly T[]): T {
    return items[Math.floor(this.#random() * items.length)] as T;
  }
}
