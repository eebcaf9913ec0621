/** The totals as a person reads them. */
import type { KindTotal, Totals } from './totals.ts';

export function tableOf(totals: Totals): string[] {
  const rows = Object.entries(totals.kinds).toSorted(([one], [other]) => one.localeCompare(other));
  const cells = [
    ['fault', 'count', 'gap: median', 'p90', 'longest', 'after it: median', 'p90', 'longest'],
    ...rows.map(([kind, total]) => [kind, String(total.count), ...gapCells(total)]),
  ];
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
  return [...lines, '', ...summaryOf(totals)];
}

function gapCells({ gapsMs, longestGapMs, afterMs = [], longestAfterMs }: KindTotal): string[] {
  return [...percentiles(gapsMs, longestGapMs), ...percentiles(afterMs, longestAfterMs)];
}

function percentiles(gapsMs: readonly number[], longestMs: number | undefined): string[] {
  const sorted = gapsMs.toSorted((one, other) => one - other);
  const at = (part: number): string =>
    milliseconds(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]);
  return [at(0.5), at(0.9), milliseconds(longestMs)];
}

function milliseconds(ms: number | undefined): string {
  return ms === undefined ? '-' : `${Math.round(ms)} ms`;
}

function summaryOf(totals: Totals): string[] {
  const { runs, seconds, writes, reads, unknown, histories, illegal, undecided, comparisons, differing } = totals;
  const faults = Object.values(totals.kinds).reduce((sum, { count }) => sum + count, 0);
  const sound = illegal === 0 && undecided === 0 && differing === 0;
  return [
    `${runs} runs, ${(seconds / 60).toFixed(1)} min, ${faults} faults`,
    `${writes} writes, ${unknown} of them with unknown outcome, ${reads} reads`,
    `${histories} histories: ${illegal} illegal, ${undecided} undecided; ${comparisons} comparisons of replicas: ${differing} differed`,
    `verdict: ${sound ? 'every acknowledged write is there, and all that was read is linearizable' : 'A PROMISE WAS BROKEN'}`,
  ];
}
