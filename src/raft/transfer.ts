/**
 * Handing leadership to another voter (thesis 3.10): proposals stop, the target is brought up to date, then told to campaign
 * at once, without pre-vote and with stickiness set aside. It ends with a higher term, or is given up after an election
 * timeout and proposals go on.
 *
 * Safety does not rest on any of this: the target has to win an ordinary election. That all of the log is at the target and
 * committed before it is told keeps the hand-over short, and leaves nobody waiting for an answer from the old leader.
 */
import { planted } from '../planted.ts';
import { becomeFollower, type Leader, type Member } from './member.ts';
import { noReplica, type ReplicaId, type TransferResult } from './types.ts';

/** A second request takes the place of the first. */
export function transferLeadership(member: Member, role: Leader, to: ReplicaId): TransferResult {
  const { configuration } = member.membership;
  if (to === member.replicaId) {
    role.transfer = undefined;
    return { type: 'done' };
  }
  if (!configuration.voters.includes(to)) return { type: 'refused', reason: `replica ${to} is no voter` };
  if (role.transfer?.to === to) return { type: 'started' };
  role.transfer = { to, elapsedTicks: 0, told: false };
  maybeTellTransferee(member, role);
  return { type: 'started' };
}

/** Given up once an election would have been over: the target may be gone. */
export function tickTransfer(member: Member, role: Leader): void {
  const { transfer } = role;
  if (transfer === undefined) return;
  transfer.elapsedTicks++;
  if (transfer.elapsedTicks >= member.limits.electionTicksMin) role.transfer = undefined;
}

/** Called whenever the target or the commit index may have got on. */
export function maybeTellTransferee(member: Member, role: Leader): void {
  const { transfer } = role;
  if (member.role !== role || transfer === undefined || transfer.told) return;
  const complete = isCaughtUp(member, role, transfer.to) && member.commitIndex === member.log.lastIndex;
  if (!complete && !planted('transfer-to-lagging')) return;
  transfer.told = true;
  role.told.add(transfer.to);
  tellToCampaign(member, transfer.to);
}

/** With each heartbeat: the word may have been lost. */
export function repeatToTransferee(member: Member, role: Leader): void {
  if (role.transfer === undefined) return;
  role.transfer.told = false;
  maybeTellTransferee(member, role);
}

/** Steps down in favour of the voter that can take over at once, if there is one. */
export function handOverAndStepDown(member: Member, role: Leader): void {
  const { voters } = member.membership.configuration;
  const heir = voters.find((id) => role.progress.get(id)?.isThere === true && isCaughtUp(member, role, id));
  if (heir !== undefined) tellToCampaign(member, heir);
  becomeFollower(member, member.hardState.currentTerm, noReplica);
}

function isCaughtUp(member: Member, role: Leader, id: ReplicaId): boolean {
  return role.progress.get(id)?.matchIndex === member.log.lastIndex;
}

function tellToCampaign({ messages, replicaId: from, hardState }: Member, to: ReplicaId): void {
  messages.push({ type: 'TimeoutNow', from, to, term: hardState.currentTerm });
}
