/**
 * The revision of a write: the Raft index of its entry, and in a partition that was begun anew a long way above it.
 *
 * What was lost had indexes above the last one that was left, and they are given out again. As a revision none may come twice: conditions name
 * revisions alone, and whoever compares two takes the higher one for the later. So each incarnation has revisions of its own, above all of the
 * one before. A log of 2^44 entries takes five years at 100,000 a second, and 2^53 has room for 512 incarnations.
 */
const revisionsApart = 2 ** 44;

/** `incarnation`: of the partition, 1 as it was founded. */
export function revisionOf(incarnation: number, index: number): number {
  return (incarnation - 1) * revisionsApart + index;
}
