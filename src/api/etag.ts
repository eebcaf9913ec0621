import type { Version } from '../kv/types.ts';

/**
 * The ETag of a key: a strong validator made of the partition's incarnation and the revision of the write that made
 * the value. Quotes included, as in the header.
 */
export function formatETag(incarnation: number, revision: number): string {
  return `"${incarnation}-${revision}"`;
}

/** Of a value that never was: what an ETag means that is well formed and not one of ours. */
export const noVersion: Version = { incarnation: 0, revision: 0 };

/** Opaque to the client, so whatever comes in quotes is an ETag (RFC 9110, section 8.8.3). */
const entityTag = /^(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"$/;
const ours = /^(\d{1,10})-(\d{1,16})$/;

export interface EntityTag {
  readonly weak: boolean;
  readonly version: Version;
}

/** Undefined for what is no ETag at all. */
export function parseETag(text: string): EntityTag | undefined {
  const [whole, weak, opaque = ''] = entityTag.exec(text) ?? [];
  if (whole === undefined) return undefined;
  return { weak: weak !== undefined, version: versionOf(opaque) };
}

/** An ETag is compared as text: another spelling of the same numbers is another ETag. */
function versionOf(opaque: string): Version {
  const [, incarnation, revision] = ours.exec(opaque) ?? [];
  const version = { incarnation: Number(incarnation), revision: Number(revision) };
  const known = formatETag(version.incarnation, version.revision) === `"${opaque}"`;
  return known && version.incarnation <= 0xffff_ffff && Number.isSafeInteger(version.revision) ? version : noVersion;
}
