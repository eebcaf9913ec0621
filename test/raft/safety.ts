/** The paper's safety properties (figure 3), judged over all members while a test runs. */
import type { Entry } from '../../src/raft/types.ts';
import type { TestMember } from './member.ts';

export class SafetyJudge {
  readonly #leaderOfTerm = new Map<number, number>();
  /** By index: what any member has applied. */
  readonly #applied: (Entry | undefined)[] = [];

  #highestCommit = 0;

  /** State Machine Safety: nobody ever applies another entry at the same index; each member goes in order. */
  applied(id: number, entry: Entry): void {
    const known = this.#applied[entry.index];
    if (known && !isSameEntry(known, entry)) {
      throw new Error(`replica ${id} applied another entry at ${entry.index}: ${entry.term} after ${known.term}`);
    }
    this.#applied[entry.index] = entry;
  }

  /** State Machine Safety, of what came by a snapshot. */
  installed(id: number, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const known = this.#applied[entry.index];
      if (!known || !isSameEntry(known, entry)) {
        throw new Error(`replica ${id} installed what nobody has applied at ${entry.index}`);
      }
    }
  }

  /** Election Safety, and Leader Completeness: a leader's log holds everything that anybody has applied. */
  observe(member: TestMember): void {
    const { role, term, commitIndex } = member.raft.status();
    this.#highestCommit = Math.max(this.#highestCommit, commitIndex);
    if (role !== 'leader') return;
    const other = this.#leaderOfTerm.get(term);
    if (other === member.id) return;
    if (other !== undefined) throw new Error(`replicas ${other} and ${member.id} both lead in term ${term}`);
    this.#leaderOfTerm.set(term, member.id);
    const { firstIndex } = member.raft.status();
    const log = member.log;
    const first = Math.max(log[0]?.index ?? 1, firstIndex);
    for (const entry of this.#applied) {
      if (!entry || entry.index < first || entry.term > term) continue;
      const own = log[entry.index - (log[0]?.index ?? 1)];
      if (!own || !isSameEntry(own, entry)) throw new Error(`the leader of term ${term} lacks entry ${entry.index}`);
    }
  }

  /** Log Matching: where two logs agree in index and term, all before agrees too. */
  matchLogs(members: readonly TestMember[]): void {
    for (const a of members) {
      for (const b of members) {
        if (a.id >= b.id) continue;
        const [logA, logB] = [a.log, b.log];
        let agree = false;
        const [firstA, firstB] = [logA[0]?.index ?? 1, logB[0]?.index ?? 1];
        const last = Math.min(firstA + logA.length, firstB + logB.length) - 1;
        for (let index = last; index >= Math.max(firstA, firstB); index--) {
          const [entryA, entryB] = [logA[index - firstA] as Entry, logB[index - firstB] as Entry];
          agree ||= entryA.term === entryB.term;
          if (agree && !isSameEntry(entryA, entryB)) {
            throw new Error(
              `replicas ${a.id} and ${b.id} agree above index ${entryA.index}, but not there: ${termsOf(logA)} against ${termsOf(logB)}`,
            );
          }
        }
      }
    }
  }

  /** The highest index that any member has ever known to be committed. */
  get highestCommit(): number {
    return this.#highestCommit;
  }

  /** How many terms have had a leader. */
  get leaderCount(): number {
    return this.#leaderOfTerm.size;
  }

  /** How many entries have been applied by anybody. */
  get appliedCount(): number {
    return Math.max(0, this.#applied.length - 1);
  }
}

function isSameEntry(a: Entry, b: Entry): boolean {
  return a.index === b.index && a.term === b.term && a.kind === b.kind && Buffer.compare(a.body, b.body) === 0;
}

function termsOf(log: readonly Entry[]): string {
  return log.map((entry) => `${entry.index}@${entry.term}`).join(' ');
}
