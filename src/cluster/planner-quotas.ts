/** How many replicas are due to each node. */

interface Sharing {
  /** Above 0. */
  readonly weights: readonly number[];
  readonly total: number;
  /** No node can hold more: one replica of each partition. */
  readonly each: number;
}

/** Shares `total` out by weight, as fractions; what is too much for one goes to the others by their weights. */
export function quotasOf({ weights, total, each }: Sharing): readonly number[] {
  const full = new Set<number>();
  for (;;) {
    const open = weights.filter((_, i) => !full.has(i)).reduce((sum, weight) => sum + weight, 0);
    const rest = total - full.size * each;
    const quotas = weights.map((weight, i) => (full.has(i) ? each : (rest * weight) / open));
    const tooMuch = [...quotas.keys()].filter((i) => !full.has(i) && (quotas[i] as number) > each);
    if (tooMuch.length === 0) return quotas;
    for (const i of tooMuch) full.add(i);
  }
}
