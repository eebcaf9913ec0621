/**
 * The next step of a move, from nothing but the nodes that are to hold the partition and the group as its leader has it. So it does not
 * matter who took the last one, and whether it was seen to come to its end: whoever leads the metadata group reads the group
 * anew and goes on.
 *
 * In order: members that are to come are added as learners; once all of them have what the voters have, the voters change, in one
 * joint change for all that come and go; learners that are not to be there (of a move that was given up for another) go.
 *
 * Nobody comes to a node whose disk is nearly full. A learner there goes again, which gives back what it had taken: the group, which needs no
 * regard for a learner's disk, would go on filling it; as a voter it would keep the group from taking any more.
 */
import { planted } from '../../planted.ts';
import type { Configuration, ConfigurationChange, ReplicaId } from '../../raft/types.ts';
import type { NodeId } from '../../replica/ports.ts';
import type { GroupView } from '../group-members.ts';
import type { MoveStep } from '../types.ts';

export interface StepContext {
  /** A learner may become a voter when it lacks no more entries than this. */
  readonly promotionLagMax: number;
  /** Its disk has little room left, as far as is known. */
  readonly isLow: (nodeId: NodeId) => boolean;
}

export type NextStep =
  | { readonly type: 'change'; readonly step: MoveStep; readonly change: ConfigurationChange }
  | {
      readonly type: 'wait';
      readonly step: MoveStep;
      readonly why: string;
      readonly lag: number;
      readonly progress: number;
    }
  /** The group has the members that it is to have, for good. */
  | { readonly type: 'done' };

export function nextStep(view: GroupView, target: readonly NodeId[], context: StepContext): NextStep {
  const { configuration, committed } = view;
  if (configuration.votersOutgoing.length > 0) {
    if (planted('directory-before-group')) return { type: 'done' };
    return waits('leave', 'the change of voters is being committed');
  }
  const voters = hostsOf(configuration, configuration.voters);
  const learners = hostsOf(configuration, configuration.learners);
  // Without learners it is one that left members out.
  if (!committed)
    return waits(learners.size > 0 ? 'learner' : 'leave', 'the last change of the members is being committed');
  const stray = [...learners].find(([, host]) => !target.includes(host) || context.isLow(host));
  if (stray !== undefined) return changes('leave', { type: 'removeLearner', replicaId: stray[0] });
  const present = new Set([...voters.values(), ...learners.values()]);
  const staying = [...voters].filter(([, host]) => target.includes(host)).map(([id]) => id);
  const missing = target.filter((nodeId) => !present.has(nodeId));
  const next = missing.find((nodeId) => !context.isLow(nodeId)) ?? missing[0];
  const isFirst = staying.length === voters.size || !planted('source-leaves-first');
  if (next !== undefined && isFirst) {
    if (context.isLow(next)) return waits('learner', `${next} has too little room left on its disk`);
    return changes('learner', { type: 'addLearner', host: next });
  }
  const behind = furthestBehind(view, [...learners.keys()], context);
  if (behind !== undefined) return behind;
  if (learners.size > 0 || staying.length < voters.size)
    return changes('voters', { type: 'changeVoters', voters: [...staying, ...learners.keys()] });
  return { type: 'done' };
}

/** Who takes over before a change of voters leaves the leader out; undefined when it stays, or no other voter does. */
export function successorOf(
  { configuration, leader, progress }: GroupView,
  target: readonly NodeId[],
): NodeId | undefined {
  const { hosts, voters } = configuration;
  const hostOf = (id: ReplicaId): NodeId => (hosts.get(id) ?? '') as NodeId;
  if (target.includes(hostOf(leader))) return undefined;
  const staying = progress.filter(({ replicaId }) => voters.includes(replicaId) && target.includes(hostOf(replicaId)));
  const [best] = staying.filter((one) => one.recentlyActive).toSorted((a, b) => b.matchIndex - a.matchIndex);
  return best === undefined ? undefined : hostOf(best.replicaId);
}

function hostsOf({ hosts }: Configuration, ids: readonly ReplicaId[]): ReadonlyMap<ReplicaId, NodeId> {
  return new Map(ids.map((id) => [id, (hosts.get(id) ?? '') as NodeId]));
}

/** What a learner that is not fit to vote yet is waited for; undefined when all are. */
function furthestBehind(
  { progress, lastIndex }: GroupView,
  learners: readonly ReplicaId[],
  { promotionLagMax }: StepContext,
): NextStep | undefined {
  let worst: NextStep | undefined;
  let worstLag = -1;
  for (const id of learners) {
    const known = progress.find(({ replicaId }) => replicaId === id);
    const matchIndex = known?.matchIndex ?? 0;
    const lag = lastIndex - matchIndex;
    const isFit = known?.state === 'replicate' && lag <= promotionLagMax && known.recentlyActive;
    if (isFit || lag <= worstLag) continue;
    worstLag = lag;
    const why =
      known?.recentlyActive === true
        ? `the newcomer ${known.state === 'snapshot' ? 'is being sent the state' : `lacks ${lag} entries`}`
        : 'the newcomer does not answer';
    worst = { type: 'wait', step: 'catch_up', why, lag, progress: lastIndex === 0 ? 1 : matchIndex / lastIndex };
  }
  return worst;
}

function changes(step: MoveStep, change: ConfigurationChange): NextStep {
  return { type: 'change', step, change };
}

function waits(step: MoveStep, why: string): NextStep {
  return { type: 'wait', step, why, lag: 0, progress: 1 };
}
