/** From one configuration to the next (paper 6, thesis 4.3): what may differ, whoever appends it and whenever. */
import { membersOf } from '../../raft/configuration.ts';
import type { Configuration, ReplicaId } from '../../raft/types.ts';
import type { KnownConfiguration } from './known-configuration.ts';

interface WrongStep {
  readonly rule: 'joint steps' | 'replica ids';
  readonly why: string;
}

/** What is wrong with `next` right after `from`; undefined when nothing is. */
export function wrongStep(from: KnownConfiguration, next: Configuration): WrongStep | undefined {
  const ids = wrongIds(from, next);
  if (ids !== undefined) return { rule: 'replica ids', why: ids };
  const voters = wrongVoters(from.content, next);
  return voters === undefined ? undefined : { rule: 'joint steps', why: voters };
}

/** An id is given once, and above all that were given before: what a configuration does not name never comes back. */
function wrongIds(from: KnownConfiguration, next: Configuration): string | undefined {
  const { content } = from;
  if (next.replicaIdMax < content.replicaIdMax) {
    return `the highest replica id goes back from ${content.replicaIdMax} to ${next.replicaIdMax}`;
  }
  const before = new Set(membersOf(content));
  for (const id of membersOf(next)) {
    if (!before.has(id)) {
      if (id <= content.replicaIdMax) return `replica ${id} is new, and ids up to ${content.replicaIdMax} were given`;
      continue;
    }
    const hosts = { was: content.hosts.get(id), is: next.hosts.get(id) };
    // How the founding one spells its hosts is not in any log.
    if (from.index > 0 && hosts.was !== hosts.is) return `replica ${id} moves from ${hosts.was} to ${hosts.is}`;
  }
  return undefined;
}

/** Voters change through a joint configuration only, so that any two that follow each other have a quorum in common. */
function wrongVoters(from: Configuration, next: Configuration): string | undefined {
  const change = `from voters ${spelled(from)} to ${spelled(next)}`;
  if (next.voters.length === 0) return `nobody votes any more, ${change}`;
  const [joint, wasJoint] = [next.votersOutgoing.length > 0, from.votersOutgoing.length > 0];
  if (wasJoint || !joint) {
    // A joint configuration is left for its new voters; else only learners come and go.
    if (!isSame(next.voters, from.voters)) return `the voters change, ${change}`;
    if (joint && !isSame(next.votersOutgoing, from.votersOutgoing)) return `the outgoing voters change, ${change}`;
    return undefined;
  }
  if (!isSame(next.votersOutgoing, from.voters)) return `the outgoing voters are not those before, ${change}`;
  const stranger = next.voters.find((id) => !from.voters.includes(id) && !from.learners.includes(id));
  return stranger === undefined ? undefined : `replica ${stranger} votes and was no learner before, ${change}`;
}

function isSame(a: readonly ReplicaId[], b: readonly ReplicaId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id));
}

function spelled({ voters, votersOutgoing }: Configuration): string {
  const outgoing = votersOutgoing.length === 0 ? '' : ` (outgoing [${votersOutgoing.join(', ')}])`;
  return `[${voters.join(', ')}]${outgoing}`;
}
