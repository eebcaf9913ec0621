/**
 * The request target as it was sent. Nothing is normalised or decoded here: a key is whatever bytes follow its prefix.
 */
export interface Target {
  /** From the first slash up to the question mark. */
  readonly path: string;
  /** After the question mark; empty when there is none. */
  readonly query: string;
}

/** Also takes the absolute form, `http://host/path`, that proxies send (RFC 9112, section 3.2.2). */
export function splitTarget(url: string): Target {
  const origin = originForm(url);
  const questionMark = origin.indexOf('?');
  if (questionMark === -1) return { path: origin, query: '' };
  return { path: origin.slice(0, questionMark), query: origin.slice(questionMark + 1) };
}

/** Path and query, without scheme and authority. */
export function originForm(url: string): string {
  if (url.startsWith('/')) return url;
  const absolute = /^https?:\/\/[^/?]*/i.exec(url);
  if (absolute === null) return url;
  const rest = url.slice(absolute[0].length);
  return rest.startsWith('/') ? rest : `/${rest}`;
}

/**
 * Percent-decodes once, to bytes. `text` is part of a request target, which is ASCII: Node's parser refuses what is
 * not. Undefined when a percent sign does not begin two hex digits.
 */
export function percentDecode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'latin1');
  let read = bytes.indexOf(0x25);
  if (read === -1) return bytes;
  let written = read;
  while (read < bytes.length) {
    let byte = bytes.readUInt8(read++);
    if (byte === 0x25) {
      const high = hexDigit(bytes[read++]);
      const low = hexDigit(bytes[read++]);
      if (high === -1 || low === -1) return undefined;
      byte = high * 16 + low;
    }
    bytes[written++] = byte;
  }
  return bytes.subarray(0, written);
}

function hexDigit(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : -1;
}
