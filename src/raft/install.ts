/**
 * A follower's side of InstallSnapshot (paper, section 7, figure 13). The shell has received the state and staged it durably;
 * here is decided whether it is wanted.
 *
 * Safety: it replaces the whole log, so it is taken only when the log does not hold the snapshot's last entry. What lies at
 * or below the commit index is in the snapshot as well, as both are committed; what lies above it conflicts with it or
 * does not reach it, and the leader, whose log is longer, has all of it that was ever acknowledged.
 */
import { assert } from '../assert.ts';
import { answerSuccess, follow } from './follower.ts';
import { adoptConfiguration, becomeFollower, commitTo, type Member } from './member.ts';
import { leavesOut } from './membership.ts';
import { type InstallResult, type InstallSnapshot, type LogIndex, noReplica } from './types.ts';

export function installSnapshot(member: Member, request: InstallSnapshot): InstallResult {
  const { index, snapshotTerm, term, from, configuration } = request;
  assert(request.to === member.replicaId, 'a snapshot is installed by whom it was sent to');
  if (term < member.hardState.currentTerm || member.removed) return 'not_needed';
  if (term > member.hardState.currentTerm) becomeFollower(member, term, noReplica);
  const role = follow(member, from);
  if (index <= member.commitIndex) {
    answerSuccess(member, from, member.commitIndex);
    return 'not_needed';
  }
  role.verifiedIndex = Math.max(role.verifiedIndex, index) as LogIndex;
  if (member.log.term(index) === snapshotTerm) {
    commitTo(member, index);
    answerSuccess(member, from, index);
    return 'not_needed';
  }
  member.log.reset({ index, term: snapshotTerm });
  member.durability.installed({ index, term: snapshotTerm });
  member.commitIndex = index;
  member.applyingIndex = index;
  member.appliedIndex = index;
  member.configurations.reset(configuration);
  adoptConfiguration(member);
  member.removed = leavesOut(configuration.configuration, member.replicaId);
  answerSuccess(member, from, index);
  return 'installing';
}
