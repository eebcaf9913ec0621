/** What strace says of a process's fsyncs, and whether a majority had fsynced before each answer. */

/** One fsync or fdatasync. Times are ms of the wall clock. */
export interface SyncCall {
  readonly startedAt: number;
  readonly endedAt: number;
  /** 0: what was written before is on the disk. */
  readonly result: number;
}

export interface Interval {
  readonly sentAt: number;
  readonly answeredAt: number;
}

/**
 * One sentence for each request that was answered before at least `majority` nodes had begun an fsync after it was sent,
 * and had seen it return 0. An fsync begun before the request can't cover it. `nodes` has the calls of each.
 */
export function answeredTooEarly(
  requests: readonly Interval[],
  nodes: readonly (readonly SyncCall[])[],
  majority: number,
): string[] {
  return requests.flatMap(({ sentAt, answeredAt }, index) => {
    const synced = nodes.filter((calls) =>
      calls.some((call) => call.result === 0 && call.startedAt > sentAt && call.endedAt < answeredAt),
    ).length;
    if (synced >= majority) return [];
    return [`request ${index} was answered after ${(answeredAt - sentAt).toFixed(2)} ms, fsynced by ${synced}`];
  });
}

const complete = /^\d+ +(?<at>[\d.]+) f(?:data)?sync\(.*\) += (?<result>-?\d+).* <(?<took>[\d.]+)>$/;
const resumed = /^(?<thread>\d+) +[\d.]+ <\.\.\. f(?:data)?sync resumed>.* = (?<result>-?\d+).* <(?<took>[\d.]+)>$/;
const unfinished = /^(?<thread>\d+) +(?<at>[\d.]+) f(?:data)?sync\(.*<unfinished \.\.\.>$/;

/** Reads the output of `strace -f -ttt -T -e trace=fdatasync,fsync -o file`. Calls that had not returned are left out. */
export function parseSyncCalls(output: string): SyncCall[] {
  const calls: SyncCall[] = [];
  const begun = new Map<string, string>();
  for (const line of output.split('\n')) {
    const begin = unfinished.exec(line)?.groups;
    if (begin !== undefined) begun.set(begin['thread'] ?? '', begin['at'] ?? '');
    const end = (complete.exec(line) ?? resumed.exec(line))?.groups;
    if (end === undefined) continue;
    const startedAt = 1000 * Number(end['at'] ?? begun.get(end['thread'] ?? ''));
    const endedAt = startedAt + 1000 * Number(end['took']);
    calls.push({ startedAt, endedAt, result: Number(end['result']) });
  }
  return calls;
}
