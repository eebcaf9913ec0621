/**
 * A deterministic network of Raft members. Mail is delivered when the test says so, in the order sent unless it
 * reorders; links are cut, disks held, members crashed and restarted with what their disk had. Every applied entry and
 * every leader passes the safety judge.
 */
import { emptyConfiguration } from '../../src/raft/configuration.ts';
import type {
  Configuration,
  ConfigurationChange,
  Entry,
  Message,
  RaftLimits,
  ReadState,
  ReplicaId,
} from '../../src/raft/types.ts';
import { EntryKind } from '../../src/raft/types.ts';
import {
  at,
  bytesOf,
  configurationOf,
  foundedWith,
  inTerm,
  MemoryDisk,
  replica,
  type Snapshot,
  TestMember,
  textOf,
} from './member.ts';
import { SafetyJudge } from './safety.ts';

export interface NetworkOptions {
  readonly voters?: readonly number[];
  readonly configuration?: Configuration;
  /** What each disk holds at the start, by replica. */
  readonly logs?: Readonly<Record<number, readonly Entry[]>>;
  readonly terms?: Readonly<Record<number, number>>;
  readonly limits?: Partial<RaftLimits>;
  /** Defaults to replicas taking turns in the order of their ids, so that the lowest times out first. */
  readonly random?: (id: number) => number;
  /** Called with every member that starts or starts anew. */
  readonly started?: (member: TestMember) => void;
}

export class Network {
  readonly members = new Map<number, TestMember>();
  /** Sent and not yet delivered. */
  mail: Message[] = [];
  /** Asked for by a leader, and neither installed nor given up. */
  snapshots: Snapshot[] = [];
  /** Set to keep `run` from carrying snapshots. */
  snapshotsHeld = false;
  readonly judge: SafetyJudge;
  readonly reads: (ReadState & { readonly from: ReplicaId })[] = [];
  readonly readsRefused: number[] = [];
  readonly #options: NetworkOptions;
  readonly #configuration: Configuration;
  readonly #cut = new Set<string>();
  readonly #disks = new Map<number, MemoryDisk>();
  #filter: (message: Message) => boolean = () => true;

  constructor(options: NetworkOptions = {}) {
    this.#options = options;
    this.#configuration = options.configuration ?? configurationOf(options.voters ?? [1, 2, 3]);
    const { voters, votersOutgoing, learners } = this.#configuration;
    const ids = [...new Set<number>([...voters, ...votersOutgoing, ...learners])];
    this.judge = new SafetyJudge();
    for (const id of ids) {
      const entries = options.logs?.[id] ?? [];
      const currentTerm = inTerm(options.terms?.[id] ?? entries.at(-1)?.term ?? 0);
      const hardState = { currentTerm, votedFor: replica(0) };
      this.#disks.set(id, new MemoryDisk({ hardState, entries, founding: foundedWith(this.#configuration) }));
      this.restart(id);
    }
  }

  get ids(): number[] {
    return [...this.members.keys()];
  }

  member(id: number): TestMember {
    const member = this.members.get(id);
    if (!member) throw new Error(`replica ${id} is down`);
    return member;
  }

  disk(id: number): MemoryDisk {
    return this.#disks.get(id) as MemoryDisk;
  }

  /** Crashed and not restarted. */
  get idsDown(): number[] {
    return [...this.#disks.keys()].filter((id) => !this.members.has(id));
  }

  leaders(): number[] {
    return this.ids.filter((id) => this.member(id).raft.status().role === 'leader');
  }

  /** Takes what one member has to say and do; its messages wait in `mail`. */
  settle(id: number): void {
    const member = this.member(id);
    const output = member.settle();
    this.mail.push(...output.messages);
    for (const entry of output.committed) this.judge.applied(id, entry);
    for (const read of output.reads) this.reads.push({ ...read, from: member.id });
    this.readsRefused.push(...output.readsRefused);
    for (const to of output.snapshotsDue) this.snapshots.push(member.snapshotFor(to));
    this.judge.observe(member);
  }

  /** Delivers one message; drops it where the link is cut, the filter says no, or nobody is there. */
  deliver(message: Message): void {
    if (this.#cut.has(`${message.from}>${message.to}`) || !this.#filter(message)) return;
    const member = this.members.get(message.to) ?? this.#newcomerFor(message);
    if (!member) return;
    member.raft.step(message);
    this.settle(message.to);
  }

  /** The first word of a leader to a replica that was added founds it, with nothing. */
  #newcomerFor({ type, to }: Message): TestMember | undefined {
    const isOfLeader = type === 'AppendEntriesRequest' || type === 'Heartbeat';
    if (!isOfLeader || this.#disks.has(to)) return undefined;
    this.#disks.set(to, new MemoryDisk({ founding: foundedWith(emptyConfiguration) }));
    this.restart(to);
    return this.member(to);
  }

  /** A snapshot arrives as a whole, and its sender hears of it. Where the link is cut it is given up. */
  deliverSnapshot(snapshot: Snapshot): void {
    const { from, to, index } = snapshot.request;
    const member = this.members.get(to);
    if (member && !this.#cut.has(`${from}>${to}`) && member.install(snapshot) === 'installing') {
      this.judge.installed(to, snapshot.state.entries.slice(0, index));
    }
    if (member) this.settle(to);
    this.endSnapshot(snapshot);
  }

  /** The sender's shell reports that a transfer has ended, well or not. */
  endSnapshot({ request }: Snapshot): void {
    this.members.get(request.from)?.raft.snapshotEnded(request.to);
    if (this.members.has(request.from)) this.settle(request.from);
  }

  /** Delivers until all is quiet. Time stands still meanwhile. */
  run(): void {
    for (const id of this.ids) this.settle(id);
    for (let count = 0; this.mail.length > 0 || (this.snapshots.length > 0 && !this.snapshotsHeld); count++) {
      if (count > 100_000) throw new Error('the network does not come to rest');
      const message = this.mail.shift();
      if (message) this.deliver(message);
      else this.deliverSnapshot(this.snapshots.shift() as Snapshot);
    }
  }

  /** `count` ticks for everyone, with all mail delivered after each. */
  pass(count = 1): void {
    for (let tick = 0; tick < count; tick++) {
      for (const id of this.ids) this.member(id).raft.tick();
      this.run();
    }
  }

  campaign(id: number): void {
    this.member(id).raft.campaign();
    this.run();
  }

  /** Proposes without delivering anything. */
  propose(id: number, ...texts: string[]): void {
    for (const text of texts) {
      const result = this.member(id).raft.propose(EntryKind.command, bytesOf(text));
      if (result.type !== 'appended') throw new Error(`replica ${id} answered ${result.type}`);
    }
    this.settle(id);
  }

  /** Asks the one leader for a change, which has to begin. Nothing is delivered. */
  change(id: number, change: ConfigurationChange): Configuration {
    const result = this.member(id).raft.changeConfiguration(change);
    if (result.type !== 'appended') throw new Error(`replica ${id} answered ${JSON.stringify(result)}`);
    this.settle(id);
    return result.configuration;
  }

  /** Forgets the log of a member as far as its durable state allows, but for the last `kept` entries. */
  compact(id: number, kept = 0): void {
    const { raft } = this.member(id);
    const { lastIndex, firstIndex, appliedIndex } = raft.status();
    const through = Math.min(this.disk(id).appliedIndex, appliedIndex, lastIndex - 1) - kept;
    if (through < firstIndex) return;
    raft.compact(at(through));
    this.settle(id);
  }

  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  isolate(id: number): void {
    for (const other of this.#disks.keys()) {
      this.cut(id, other);
      this.cut(other, id);
    }
  }

  /** All links work again and nothing is filtered. */
  heal(): void {
    this.#cut.clear();
    this.#filter = () => true;
  }

  /** From now on only what `passes` is delivered. */
  filter(passes: (message: Message) => boolean): void {
    this.#filter = passes;
  }

  /** Loses everything that the disk has not completed. */
  crash(id: number): void {
    this.members.delete(id);
    this.mail = this.mail.filter((message) => message.from !== id);
    this.snapshots = this.snapshots.filter(({ request }) => request.from !== id);
  }

  /** Starts from the disk. The state machine starts at `appliedIndex` and is handed the rest again. */
  restart(id: number, appliedIndex = this.disk(id).firstIndex() - 1): void {
    const { random } = this.#options;
    const member = new TestMember({
      id,
      configuration: this.#configuration,
      disk: this.disk(id),
      appliedIndex,
      ...(this.#options.limits && { limits: this.#options.limits }),
      random: () => (random ? random(id) : Math.min(0.99, (id - 1) / 10)),
    });
    this.members.set(id, member);
    this.#options.started?.(member);
  }

  /** The texts of all commands that a member has been given to apply. */
  appliedTexts(id: number): string[] {
    return this.member(id)
      .state.entries.filter((entry) => entry.kind === EntryKind.command)
      .map(textOf);
  }
}
