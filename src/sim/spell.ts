/**
 * What the clients turn to for a while: some of the hot keys, some of the nodes. Groups whose keys rest, or that are asked through
 * others, fall silent; then the clients come back.
 */
import type { Random } from './random.ts';

export interface Spell<Node> {
  readonly keys: readonly string[];
  /** Those that are asked, unless one of them sends the client elsewhere, or nobody listens there. */
  readonly nodes: readonly Node[];
  /** They only read: a write would rouse who is silent. */
  readonly reads: boolean;
  readonly endsAt: number;
}

/** Fewer keys would be asked for by so many clients at once that who saw what is slow to decide. */
const keysMin = 2;

/** From among all that there are. */
interface All<Node> {
  readonly keys: readonly string[];
  readonly nodes: readonly Node[];
  readonly now: number;
}

/** For `spellMs` on average; 0 for all of them for ever. */
export function drawSpell<Node>(random: Random, spellMs: number, { keys, nodes, now }: All<Node>): Spell<Node> {
  if (spellMs === 0) return { keys, nodes, reads: false, endsAt: Infinity };
  return {
    keys: random.shuffle(keys).slice(0, random.whole(Math.min(keysMin, keys.length), keys.length)),
    nodes: random.shuffle(nodes).slice(0, random.whole(1, nodes.length)),
    reads: false,
    endsAt: now + random.exponential(spellMs),
  };
}

/**
 * Around a leader that was just cut off: clients first keep away from it, long enough for the others to elect and to write, and
 * then ask it for the same keys.
 */
export function spellsAround<Node>(
  random: Random,
  node: Node,
  { keys, nodes, now }: All<Node>,
): readonly [Spell<Node>, Spell<Node>] {
  const others = nodes.filter((other) => other !== node);
  // From the first election on, until a silent leader notices by itself (`silenceTimeoutMs`).
  const backAt = now + random.between(800, 3000);
  return [
    { keys, nodes: others, reads: false, endsAt: backAt },
    { keys, nodes: [node], reads: true, endsAt: backAt + random.between(300, 1000) },
  ];
}
