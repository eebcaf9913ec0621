/** `If-Match` and `If-None-Match` (RFC 9110, sections 13.1.1 and 13.1.2) as conditions on a key's version. */
import type { IncomingHttpHeaders } from 'node:http';
import { noVersion, parseETag } from '../api/etag.ts';
import { versionsMax } from '../kv/operation.ts';
import { unconditional, type Conditions } from '../kv/types.ts';
import { failure, type Failure } from './failure.ts';

export interface ParsedConditions {
  readonly type: 'conditions';
  readonly conditions: Conditions;
}

const none: ParsedConditions = { type: 'conditions', conditions: unconditional };

export function parseConditions(headers: IncomingHttpHeaders): ParsedConditions | Failure {
  const sentMatch = headers['if-match'];
  const sentNoneMatch = headers['if-none-match'];
  if (sentMatch === undefined && sentNoneMatch === undefined) return none;
  const match = parseWanted('If-Match', sentMatch);
  if (isFailure(match)) return match;
  const noneMatch = parseWanted('If-None-Match', sentNoneMatch);
  if (isFailure(noneMatch)) return noneMatch;
  return { type: 'conditions', conditions: { match, noneMatch } };
}

/** As a header or a JSON field says it: `*`, or ETags with commas between them. */
export function parseWanted(
  name: 'If-Match' | 'If-None-Match',
  text: string | undefined,
): Conditions['match'] | Failure {
  if (text === undefined) return undefined;
  if (text.trim() === '*') return 'any';
  const tags = splitTags(text)?.map(parseETag);
  if (tags === undefined || tags.length === 0 || !tags.every((tag) => tag !== undefined)) {
    const detail = `${name} takes * or an ETag in its quotes, such as "1-42"; several are separated by commas.`;
    return failure('invalid_request', detail);
  }
  if (tags.length > versionsMax) return failure('invalid_request', `${name} takes at most ${versionsMax} ETags.`);
  // Ours are strong. A weak one never matches strongly, which is what If-Match asks for; If-None-Match takes it for the strong one.
  return tags.map(({ weak, version }) => (weak && name === 'If-Match' ? noVersion : version));
}

/** ETags may have commas within their quotes. */
function splitTags(text: string): string[] | undefined {
  const list = /\s*((?:W\/)?"[^"]*")\s*(,|$)/y;
  const tags: string[] = [];
  for (let more = true; more;) {
    const [, tag, separator] = list.exec(text) ?? [];
    if (tag === undefined) return undefined;
    tags.push(tag);
    more = separator === ',';
  }
  return tags;
}

function isFailure(parsed: Conditions['match'] | Failure): parsed is Failure {
  return typeof parsed === 'object' && 'type' in parsed;
}
