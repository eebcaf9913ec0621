/** What a founder does next, from its own durable state and what the others say of theirs. The argument is in `formation.ts`. */
import type { FormationState, NodeId } from '../replica/ports.ts';
import type { FounderState } from './formation-messages.ts';
import { foundingDifference } from './founding.ts';

export type Verdict =
  /** `mayJoin`: this disk is empty and the cluster is formed, so that it may come in anew. */
  | { readonly type: 'in_doubt'; readonly message: string; readonly mayJoin: boolean }
  | { readonly type: 'refused'; readonly message: string }
  | { readonly type: 'wait'; readonly reason: string }
  /** Draw an id and prepare for it. */
  | { readonly type: 'draw' }
  /** Ask these founders, each in its present start, to prepare. */
  | (Agreement & { readonly type: 'prepare'; readonly unprepared: readonly Unprepared[] })
  | (Agreement & { readonly type: 'form' });

interface Agreement {
  readonly clusterId: string;
  readonly founding: string;
}

interface Unprepared {
  readonly nodeId: NodeId;
  readonly nonce: string;
}

export interface Situation {
  readonly own: FormationState;
  /** This node's founders' list: the one on its disk once it is prepared. */
  readonly founding: string;
  readonly coordinates: boolean;
  readonly others: readonly NodeId[];
  /** Of those that answered. */
  readonly states: ReadonlyMap<NodeId, FounderState>;
}

export function judge(situation: Situation): Verdict {
  const { own, founding, coordinates, others, states } = situation;
  for (const [nodeId, state] of states) {
    const doubt = findDoubt({ own, coordinates, nodeId, state });
    const difference = foundingDifference(founding, state.founding);
    if (doubt !== undefined) {
      // Another list may well mean another cluster: that is for people to look at.
      const mayJoin = own.phase === 'unformed' && state.phase === 'formed' && difference === undefined;
      return { type: 'in_doubt', message: difference ? `${doubt} (and ${difference})` : doubt, mayJoin };
    }
    if (difference === undefined) continue;
    return refusal(nodeId, difference);
  }
  const answered = [...states.values()];
  if (own.phase === 'prepared' && answered.some(({ phase }) => phase === 'formed')) return form(own);
  const absent = others.filter((nodeId) => !states.has(nodeId));
  if (absent.length > 0) return { type: 'wait', reason: `waiting for the founding nodes ${absent.join(', ')}` };
  if (!coordinates) return { type: 'wait', reason: 'waiting for the coordinator to form the cluster' };
  if (own.phase !== 'prepared') return { type: 'draw' };
  const unprepared = [...states]
    .filter(([, { phase }]) => phase === 'unformed')
    .map(([nodeId, { nonce }]) => ({ nodeId, nonce }));
  if (unprepared.length === 0) return form(own);
  return { type: 'prepare', clusterId: own.clusterId, founding: own.founding, unprepared };
}

export function refusal(nodeId: NodeId, difference: string): Extract<Verdict, { type: 'refused' }> {
  return { type: 'refused', message: `${nodeId} has another bootstrap section: ${difference}` };
}

function form({ clusterId, founding }: Agreement): Verdict {
  return { type: 'form', clusterId, founding };
}

interface Meeting {
  readonly own: FormationState;
  readonly coordinates: boolean;
  readonly nodeId: NodeId;
  readonly state: FounderState;
}

/** Says, in words, when one of the two disks has forgotten something. */
function findDoubt({ own, coordinates, nodeId, state }: Meeting): string | undefined {
  if (state.phase === 'unformed') return undefined;
  const theirs = `${nodeId} is ${state.phase} for cluster ${state.clusterId}`;
  if (own.phase === 'unformed') {
    // Another founder may be asked to prepare before this one; for a coordinator nothing begins but by itself.
    if (state.phase === 'prepared' && !coordinates) return undefined;
    return `${theirs}, but this node's data directory is empty: it was emptied or replaced since`;
  }
  if (own.clusterId !== state.clusterId) {
    return `${theirs}, but this node is ${own.phase} for ${own.clusterId}: one of the two data directories was emptied or belongs to another cluster`;
  }
  // The coordinator is the first to be formed: one that is not, while another is, has an old copy of its disk.
  if (coordinates && own.phase === 'prepared' && state.phase === 'formed') {
    return `${theirs}, but this node, which formed it, is only prepared: its data directory is an older copy`;
  }
  return undefined;
}
