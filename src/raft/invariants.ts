/**
 * What must hold of one member after every input, and between one and the next. O(1) each, always on: a member that
 * breaks one of these must stop before it speaks again. What spans members is checked by the tests and the simulator.
 */
import { assert } from '../assert.ts';
import { leaderOf, type Member } from './member.ts';
import { type LogIndex, noReplica, type ReplicaId, type RoleName, type Term } from './types.ts';

export class Invariants {
  #term: Term;
  #votedFor: ReplicaId;
  #role: RoleName;
  #leader: ReplicaId;
  #commitIndex: LogIndex;
  #appliedIndex: LogIndex;
  #applyingIndex: LogIndex;
  #lastIndex: LogIndex;

  constructor(member: Member) {
    checkState(member);
    this.#term = member.hardState.currentTerm;
    this.#votedFor = member.hardState.votedFor;
    this.#role = member.role.name;
    this.#leader = leaderOf(member);
    this.#commitIndex = member.commitIndex;
    this.#appliedIndex = member.appliedIndex;
    this.#applyingIndex = member.applyingIndex;
    this.#lastIndex = member.log.lastIndex;
  }

  /** Checks the state, then the way here from the state of the last call. */
  check(member: Member): void {
    checkState(member);
    const { hardState, role, log } = member;
    const leader = leaderOf(member);
    assert(hardState.currentTerm >= this.#term, 'currentTerm never falls');
    assert(member.commitIndex >= this.#commitIndex, 'commitIndex never falls');
    assert(member.applyingIndex >= this.#applyingIndex, 'nothing is handed out to apply twice');
    assert(member.appliedIndex >= this.#appliedIndex, 'appliedIndex never falls');
    if (hardState.currentTerm === this.#term) {
      assert(this.#votedFor === noReplica || hardState.votedFor === this.#votedFor, 'one vote per term (5.2)');
      assert(
        leader === noReplica || this.#leader === noReplica || leader === this.#leader,
        'one leader per term (5.2)',
      );
      if (this.#role === 'leader') {
        assert(role.name === 'leader' || role.name === 'follower', 'a leader goes on or steps down');
        assert(log.lastIndex >= this.#lastIndex, 'a leader only appends (5.3)');
      }
      if (role.name === 'leader' && this.#role !== 'leader') {
        assert(this.#role === 'candidate', 'only a candidate of this term becomes its leader');
      }
    } else {
      assert(role.name !== 'leader', 'a new term begins without a leader of its own');
    }
    this.#term = hardState.currentTerm;
    this.#votedFor = hardState.votedFor;
    this.#role = role.name;
    this.#leader = leader;
    this.#commitIndex = member.commitIndex;
    this.#applyingIndex = member.applyingIndex;
    this.#appliedIndex = member.appliedIndex;
    this.#lastIndex = log.lastIndex;
  }
}

function checkState(member: Member): void {
  const { hardState, role, log, durability } = member;
  assert(member.appliedIndex <= member.applyingIndex, 'applied only what was handed out');
  assert(member.applyingIndex <= member.commitIndex, 'handed out only what is committed');
  assert(member.commitIndex <= log.lastIndex, 'committed only what the log holds');
  assert(durability.durableIndex <= durability.handedOutIndex, 'durable only what was handed out');
  assert(durability.handedOutIndex <= log.lastIndex, 'handed out only what the log holds');
  assert(log.lastTerm <= hardState.currentTerm, 'no entry from a later term');
  switch (role.name) {
    case 'leader':
      assert(durability.holds(hardState), 'a leader owns a durable term and vote');
      assert(hardState.votedFor === member.replicaId, 'a leader voted for itself');
      assert(log.lastTerm === hardState.currentTerm, 'a leader begins its term with an entry (5.4.2)');
      assert(role.uncommittedBytes >= 0, 'uncommitted bytes are counted once');
      return;
    case 'candidate':
      assert(hardState.votedFor === member.replicaId, 'a candidate voted for itself');
      return;
    case 'follower':
      assert(role.leader !== member.replicaId, 'a follower follows another');
      return;
    case 'preCandidate':
      return;
  }
}
