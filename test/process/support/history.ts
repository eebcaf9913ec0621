/**
 * What clients did and saw during a test, and whether a store that keeps its word can have answered so.
 *
 * Each key has one writer that writes the versions 1, 2, 3 … one after the other, and never again after a write whose
 * outcome it did not learn: such a write may take effect at any later time, so a version above it would prove nothing.
 * With that, linearizability of one key is a matter of order: whoever starts after a version was acknowledged or read
 * sees that version or a later one.
 */

/** `unknown`: it may have been applied, or may be later, or never. */
export type WriteOutcome = 'acknowledged' | 'not_applied' | 'unknown';

export interface Write {
  readonly key: string;
  /** 1 and up; a write that was not applied uses its version up. */
  readonly version: number;
  /** All times are ms of one monotonic clock: before the request was sent, after its answer was read. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly outcome: WriteOutcome;
  /** Where the outcome is from, for whoever has to find out why. */
  readonly answer?: string;
}

export interface Read {
  readonly key: string;
  /** 0: there was no such key. */
  readonly version: number;
  readonly startedAt: number;
  readonly endedAt: number;
}

/** Only answered operations; a write that got no answer is `unknown`, a read that got none shows nothing. */
export interface History {
  readonly writes: readonly Write[];
  readonly reads: readonly Read[];
}

/** One sentence for each operation that a linearizable, durable store can't have answered so. Empty: all is well. */
export function violations({ writes, reads }: History): string[] {
  const writesOf = byKey(writes);
  const readsOf = byKey(reads);
  const keys = new Set([...writesOf.keys(), ...readsOf.keys()]);
  return [...keys].flatMap((key) => keyViolations(key, writesOf.get(key) ?? [], readsOf.get(key) ?? []));
}

function byKey<Operation extends { readonly key: string }>(operations: readonly Operation[]): Map<string, Operation[]> {
  const groups = new Map<string, Operation[]>();
  for (const operation of operations) {
    const group = groups.get(operation.key);
    if (group === undefined) groups.set(operation.key, [operation]);
    else group.push(operation);
  }
  return groups;
}

function keyViolations(key: string, writes: readonly Write[], reads: readonly Read[]): string[] {
  const byVersion = new Map(writes.map((write) => [write.version, write]));
  const found = writerMistakes(key, writes);
  const seen: Seen[] = writes.filter(({ outcome }) => outcome === 'acknowledged').map(seenByWriting);
  seen.push(...reads.map(({ version, endedAt }) => ({ version, endedAt, how: 'read' as const })));
  seen.sort((one, other) => one.endedAt - other.endedAt);

  let newest: Seen | undefined;
  let next = 0;
  for (const read of reads.toSorted((one, other) => one.startedAt - other.startedAt)) {
    for (let at = seen[next]; at !== undefined && at.endedAt < read.startedAt; at = seen[++next]) {
      if (at.version > (newest?.version ?? 0)) newest = at;
    }
    const what = `${key}: a read begun at ${ms(read.startedAt)} saw version ${read.version}`;
    if (newest !== undefined && read.version < newest.version) {
      found.push(`${what}, and version ${newest.version} was ${newest.how} by ${ms(newest.endedAt)}`);
    }
    if (read.version === 0) continue;
    const write = byVersion.get(read.version);
    if (write === undefined) found.push(`${what}, which nobody wrote`);
    else if (write.outcome === 'not_applied')
      found.push(`${what}, which was answered "not applied": ${write.answer ?? ''}`);
    else if (write.startedAt > read.endedAt) found.push(`${what}, which was not yet written`);
  }
  return found;
}

interface Seen {
  readonly version: number;
  readonly endedAt: number;
  readonly how: 'acknowledged' | 'read';
}

function seenByWriting({ version, endedAt }: Write): Seen {
  return { version, endedAt, how: 'acknowledged' };
}

/** What the argument at the top rests on. */
function writerMistakes(key: string, writes: readonly Write[]): string[] {
  return writes.slice(1).flatMap((write, index) => {
    const before = writes[index];
    if (before === undefined) return [];
    if (write.version <= before.version) return [`${key}: version ${write.version} follows ${before.version}`];
    if (write.startedAt < before.endedAt) return [`${key}: version ${write.version} overlaps ${before.version}`];
    return before.outcome === 'unknown' ? [`${key}: version ${write.version} follows an unknown outcome`] : [];
  });
}

function ms(time: number): string {
  return `${time.toFixed(1)} ms`;
}
