/**
 * When the front of a log goes, and how much of it. What is kept serves followers that were away for a moment: whoever
 * needs what has gone is sent a snapshot, which costs far more.
 */
import type { RaftConfig } from '../config.ts';
import type { LogIndex, ProgressStatus } from '../raft/types.ts';
import type { LogSizes } from './log-sizes.ts';

export type CompactionLimits = Pick<
  RaftConfig,
  'logKeepEntries' | 'logKeepBytes' | 'logBytesMax' | 'compactEntriesMin'
>;

export interface CompactionView {
  readonly log: LogSizes;
  /** Safety: what is above it would be lost by a crash if the log did not have it. */
  readonly durableAppliedIndex: LogIndex;
  /** All members but this one; none unless this one leads. */
  readonly followers: readonly Pick<ProgressStatus, 'matchIndex' | 'recentlyActive' | 'state'>[];
  /** Where the oldest snapshot that is under way ends: its receiver goes on from there. */
  readonly pinnedIndex: LogIndex | undefined;
}

/** Bytes go in steps of this part of what may be kept. */
const stepPart = 1 / 8;

/** Up to and with which entry the log is to be compacted now; undefined: leave it. */
export function compactionPoint(view: CompactionView, limits: CompactionLimits): LogIndex | undefined {
  const { log } = view;
  const needed = firstNeeded(view);
  const regular = Math.max(log.lastIndex() - limits.logKeepEntries + 1, log.firstOfNewest(limits.logKeepBytes));
  const keptFrom = Math.min(regular, Math.max(needed, log.firstOfNewest(limits.logBytesMax)));
  // The last entry stays, as a log that is not empty says by itself where it ends.
  const through = Math.min(keptFrom - 1, view.durableAppliedIndex, log.lastIndex() - 1) as LogIndex;
  if (through < log.firstIndex()) return undefined;
  const entries = through - log.firstIndex() + 1;
  const bytesMax = needed < regular ? limits.logBytesMax : limits.logKeepBytes;
  return entries >= limits.compactEntriesMin || log.bytesThrough(through) >= bytesMax * stepPart ? through : undefined;
}

/** The first entry that a follower who is there still needs from the log; infinite when none does. */
function firstNeeded({ followers, pinnedIndex }: CompactionView): number {
  // One that is being sent a snapshot goes on from there, wherever its log ends.
  const lagging = followers.filter(({ recentlyActive, state }) => recentlyActive && state !== 'snapshot');
  return 1 + Math.min(pinnedIndex ?? Infinity, ...lagging.map(({ matchIndex }) => matchIndex));
}
