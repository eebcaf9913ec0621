/** What a recovery would do, did, and costs, as a person reads it. */
import type { Decision } from '../recovery/decide.ts';
import type { Survey, SurveyedReplica } from '../recovery/survey.ts';
import { votersOf, type Held, type Verdict } from '../recovery/verdicts.ts';
import { shownBytes } from './cluster-lines.ts';
import { table } from './table.ts';

const headings = ['partition', 'voters', 'left', 'log ends at', 'committed to', 'keys', 'bytes'];

/** What one node holds. */
export function surveyLines({ replicas }: Survey): string[] {
  const rows = replicas.map((replica) => [
    String(replica.partition),
    votersOf(replica).join(' '),
    ...replicaCells(replica),
  ]);
  return table([headings.filter((heading) => heading !== 'left'), ...rows]);
}

export function decisionLines({ verdicts, lost }: Decision): string[] {
  const rows = verdicts.map((verdict) => {
    const best = bestOf(verdict);
    const left = verdict.held.map(({ nodeId }) => nodeId).join(' ');
    const cells = best === undefined ? ['', left, '', '', '', ''] : [votersOf(best.replica).join(' '), left];
    const more = best === undefined ? [] : replicaCells(best.replica);
    return [String(verdict.partition), ...cells, ...more, outcome(verdict)];
  });
  return [
    ...table([[...headings, 'what becomes of it'], ...rows]),
    '',
    ...summaryLines(
      verdicts,
      lost.map(({ nodeId }) => nodeId),
    ),
  ];
}

function bestOf(verdict: Verdict): Held | undefined {
  return verdict.type === 'anew' ? verdict.from : verdict.held[0];
}

function replicaCells({ lastIndex, lastTerm, appliedIndex, keys, bytes }: SurveyedReplica): string[] {
  return [`${lastIndex} (term ${lastTerm})`, String(appliedIndex), String(keys), shownBytes(bytes)];
}

function outcome(verdict: Verdict): string {
  switch (verdict.type) {
    case 'alive':
      return 'nothing: those that are left have a majority';
    case 'stuck':
      return 'nothing: it has no majority, and none of its voters is named as lost';
    case 'anew':
      return `begins anew on ${verdict.beginning.nodeId}, as incarnation ${verdict.beginning.incarnation}`;
    case 'empty':
      return `NOTHING IS LEFT: begins empty on ${verdict.beginning.nodeId}, as incarnation ${verdict.beginning.incarnation}`;
  }
}

function summaryLines(verdicts: readonly Verdict[], lost: readonly string[]): string[] {
  const anew = verdicts.filter(({ type }) => type === 'anew').length;
  const empty = verdicts.filter(({ type }) => type === 'empty').length;
  if (anew + empty === 0) return ['No partition has lost its majority to these nodes: there is nothing to do.'];
  const uncertain = verdicts.flatMap((verdict) =>
    verdict.type === 'anew' ? verdict.from.replica.lastIndex - verdict.from.replica.appliedIndex : [],
  );
  const entries = uncertain.reduce((sum, count) => sum + count, 0);
  const doubtful = 'They may be of writes whose clients were told of an error.';
  return [
    `${anew + empty} of ${verdicts.length} partitions have lost their majority.`,
    ...(empty === 0 ? [] : [`Of ${empty} of them nothing is left: all that they held is gone.`]),
    'Lost: what was acknowledged behind the end of these logs. Nobody can tell how much that is, or whether there is any.',
    entries === 0
      ? 'Kept: all that is in these logs, and all of it is known to be committed.'
      : `Kept: all that is in these logs; ${entries} entries at their ends are not known to be committed. ${doubtful}`,
    `No members any more: ${lost.join(', ')}. Their old directories must never be started out of reach of the nodes that are left.`,
  ];
}

export function doneLines(decision: Decision, self: string, audit: string): string[] {
  const own = decision.beginnings.filter(({ nodeId }) => nodeId === self);
  const others = [...new Set(decision.beginnings.map(({ nodeId }) => nodeId))].filter((nodeId) => nodeId !== self);
  const partitions = own.length === 1 ? '1 partition has' : `${own.length} partitions have`;
  return [
    `${partitions} begun anew on ${self}. Decision ${decision.name}, recorded in ${audit}.`,
    others.length === 0
      ? 'Start the nodes that are left; then add new ones.'
      : `Do the same on ${others.join(', ')}, with the same plans: it must be decision ${decision.name} there too. Then start all of them, and add new ones.`,
  ];
}
