/** Whether a condition holds of a key. */
import type { Conditions, Version } from './types.ts';

/** RFC 9110, section 13.2.2: `If-Match` before `If-None-Match`. */
export function conditionsHold({ match, noneMatch }: Conditions, current: Version | undefined): boolean {
  if (match !== undefined && !matches(match, current)) return false;
  return noneMatch === undefined || !matches(noneMatch, current);
}

function matches(wanted: 'any' | readonly Version[], current: Version | undefined): boolean {
  if (wanted === 'any') return current !== undefined;
  return wanted.some((version) => isVersion(current, version));
}

export function isVersion(current: Version | undefined, { revision, incarnation }: Version): boolean {
  return current?.revision === revision && current.incarnation === incarnation;
}
