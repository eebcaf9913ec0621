/** From the surveys of all that are left to what is done: the same on whichever of them it is worked out. Pure. */
import { createHash } from 'node:crypto';
import { LiveMap } from '../cluster/live-map.ts';
import type { MapChange } from '../cluster/metadata/records.ts';
import { memberNodes } from '../cluster/partition-map.ts';
import { compareText } from '../cluster/ring.ts';
import type { NodeId } from '../replica/ports.ts';
import { directoryOf, type Directory } from './directory.ts';
import { mapOfFounding, type Survey } from './survey.ts';
import { verdictOf, type Beginning, type Verdict } from './verdicts.ts';

/** A node that is never to be heard again as what it was. */
export interface Lost {
  readonly nodeId: NodeId;
  /** The last stay that it can come back with. */
  readonly stay: number;
}

export interface Decision {
  /** The same for the same surveys: so that whoever does it on several nodes can see that they agree. */
  readonly name: string;
  readonly lost: readonly Lost[];
  /** The metadata group first. */
  readonly verdicts: readonly Verdict[];
  readonly beginnings: readonly Beginning[];
  /** What the metadata group is to say, where it begins anew. */
  readonly directory: Directory | undefined;
  /** The newest map that can be had. */
  readonly map: MapChange;
}

export type Decided =
  | ({ readonly type: 'decided' } & Decision)
  /** One line each. */
  | { readonly type: 'refused'; readonly problems: readonly string[] };

export function decide(unsorted: readonly Survey[], names: readonly NodeId[]): Decided {
  const surveys = unsorted.toSorted((a, b) => compareText(a.nodeId, b.nodeId));
  const [first] = surveys;
  if (first === undefined) return { type: 'refused', problems: ['there is no survey to decide by'] };
  const strangers = surveys.filter(({ clusterId, founding }) => {
    return clusterId !== first.clusterId || founding !== first.founding;
  });
  if (strangers.length > 0) {
    const problems = strangers.map(
      ({ nodeId, clusterId }) => `${nodeId} belongs to cluster ${clusterId}, ${first.nodeId} to ${first.clusterId}`,
    );
    return { type: 'refused', problems };
  }
  const map = newestMap(surveys);
  const problems = nodeProblems(map, surveys, names);
  if (problems.length > 0) return { type: 'refused', problems };
  const lost = [...new Set(names)].toSorted().map((nodeId) => ({ nodeId, stay: lastStay(map, surveys, nodeId) }));
  const verdicts = verdictsOf(map, surveys, new Set(names));
  const beginnings = verdicts.flatMap((verdict) => ('beginning' in verdict ? [verdict.beginning] : []));
  const directory = directoryOf({ map, verdicts, lost });
  if (directory !== undefined) map.take(directory.change);
  const name = createHash('sha256')
    .update(JSON.stringify([lost, beginnings.map(({ configuration: _, ...rest }) => rest), map.changesSince(0)]))
    .digest('hex')
    .slice(0, 8);
  return { type: 'decided', name, lost, verdicts, beginnings, directory, map: map.changesSince(0) };
}

function newestMap(surveys: readonly Survey[]): LiveMap {
  const map = new LiveMap(mapOfFounding(surveys[0]?.founding ?? ''));
  for (const survey of surveys) map.take(survey.map);
  return map;
}

/**
 * Safety: whoever is neither lost nor surveyed may hold what nobody here knows of, and may serve it. So every member has to be one or the
 * other. One that waits to be let in holds nothing.
 */
function nodeProblems(map: LiveMap, surveys: readonly Survey[], names: readonly NodeId[]): readonly string[] {
  const problems: string[] = [];
  const surveyed = surveys.map(({ nodeId }) => nodeId);
  const members = memberNodes(map);
  const isMember = (nodeId: NodeId): boolean => members.some((member) => member.nodeId === nodeId);
  if (names.length === 0) problems.push('no node is named as lost');
  for (const nodeId of new Set(surveyed)) {
    if (surveyed.filter((other) => other === nodeId).length > 1) problems.push(`there are two surveys of ${nodeId}`);
    if (!isMember(nodeId)) problems.push(`${nodeId} is no member of the cluster any more: what it holds is of no use`);
    if (names.includes(nodeId)) problems.push(`${nodeId} is named as lost, and its data are there`);
  }
  for (const nodeId of new Set(names)) {
    if (!isMember(nodeId))
      problems.push(`${nodeId} is named as lost, and is no member of the cluster, or not any more`);
  }
  for (const { nodeId, standing } of members) {
    if (standing === 'joining' || surveyed.includes(nodeId) || names.includes(nodeId)) continue;
    problems.push(
      `${nodeId} is a member, and neither named as lost nor surveyed: name it with --lost, or survey it with --plan <file> and give that to --plans`,
    );
  }
  return problems;
}

function lastStay(map: LiveMap, surveys: readonly Survey[], nodeId: NodeId): number {
  const seen = surveys.flatMap((survey) => survey.seen.filter((one) => one.nodeId === nodeId));
  return Math.max(map.stayOf(nodeId), ...seen.map(({ stay }) => stay));
}

function verdictsOf(map: LiveMap, surveys: readonly Survey[], lost: ReadonlySet<NodeId>): readonly Verdict[] {
  const beginnings = new Map<NodeId, number>();
  return [map.metadata, ...map.partitions].map((partition) => {
    const verdict = verdictOf({ surveys, lost, partition, beginnings });
    if ('beginning' in verdict) {
      const { nodeId } = verdict.beginning;
      beginnings.set(nodeId, (beginnings.get(nodeId) ?? 0) + 1);
    }
    return verdict;
  });
}
