/**
 * The ETag of a key: a strong validator made of the partition's incarnation and the revision of the write that made
 * the value. Quotes included, as in the header.
 */
export function formatETag(incarnation: number, revision: number): string {
  return `"${incarnation}-${revision}"`;
}
