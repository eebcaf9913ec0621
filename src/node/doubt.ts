/**
 * A node whose data directory can't be believed, because something in it is not as it was written, or because it is an old copy.
 *
 * Safety: it has forgotten votes and acknowledged entries, nobody knows which. So none of the replicas in it ever votes, acknowledges or
 * answers again: the directory is set aside durably, before the node speaks to anyone, and the node comes in as one that was emptied. Each group then
 * changes its members without it, by a majority of the others, and only behind that is it let in and given replicas with ids of their own,
 * as learners first (`cluster/metadata/admission.ts`). To mend the files, or to copy a leader's log and vote on, would not do: a vote that was
 * forgotten may have elected another leader.
 *
 * The whole directory goes, not only what is damaged: a lost run of a log, or a block of a table, held records of many groups.
 */
import type { Config } from '../config.ts';
import { parseFounding } from '../cluster/founding.ts';
import type { IdentityStore } from '../replica/ports.ts';
import { StorageDamage } from '../storage/damage.ts';
import type { Doubt } from '../storage/set-aside.ts';
import { otherMembers } from './old-copy.ts';

/** Nothing of it is open any more. */
export class DirectoryInDoubt extends Error {
  override readonly name = 'DirectoryInDoubt';
  readonly doubt: Doubt;
  /** HTTP addresses of those who may have what it has lost; empty: there are none. */
  readonly joinAt: readonly string[];

  constructor(doubt: Doubt, joinAt: readonly string[]) {
    super(doubt.reason);
    this.doubt = doubt;
    this.joinAt = joinAt;
  }
}

/** For whom there is nobody to ask: what is there is all that is left, and not touched. */
export function irreplaceable(directory: string, { reason }: Doubt): string {
  return `${reason}; data directory ${directory} was left as it is, as no other node holds what is in it: put back a copy that was made while the node was stopped`;
}

export interface Known {
  readonly config: Pick<Config, 'bootstrap' | 'join' | 'nodeId'>;
  /** Undefined when it could not be read. */
  readonly identity: Pick<IdentityStore, 'identity' | 'map'> | undefined;
  readonly joinAt: readonly string[] | undefined;
}

/** Of members as far as the disk knows, and of those whom the configuration names. None where each partition has a single replica. */
export function addressesOfOthers({ config, identity, joinAt }: Known): readonly string[] {
  const formation = identity?.identity().formation;
  const parsed =
    formation === undefined || formation.phase === 'unformed' ? undefined : parseFounding(formation.founding);
  const bootstrap = parsed?.type === 'founding' ? parsed.bootstrap : config.bootstrap;
  if (bootstrap?.replicationFactor === 1) return [];
  const founders = (bootstrap?.nodes ?? []).filter((founder) => founder.nodeId !== config.nodeId);
  const named = [...(joinAt ?? []), ...(config.join ?? []), ...founders.map(({ http }) => http)];
  return [...new Set([...membersOn(identity), ...named])];
}

/** The map may be what is damaged. */
function membersOn(identity: Known['identity']): readonly string[] {
  if (identity === undefined) return [];
  try {
    return otherMembers(identity).map(({ http }) => http);
  } catch (error) {
    if (error instanceof StorageDamage) return [];
    throw error;
  }
}
