/** Keys from every corner, and the ways in which one key is written: in a path, as base64url, and in JSON. */
import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';

const texts = [
  ...['__proto__', 'constructor', 'toString', '.', '..', 'a/../b', '/', '//', 'a/b/', '?', '#', '%', '%41', '%2F'],
  ...['+', ' ', '\0', '\r\n', '\t', '"', '\\', '{}', '{', '}', '{a}b{c}', 'key=', '&', '=', ';', ',', '*', '<script>'],
  ...[
    '🚢',
    '👩‍👩‍👧‍👦',
    'é',
    'e\u0301',
    '\u00ff',
    '\ufffd',
    '\ufeff',
    '\u2028',
    '\u202e',
    '\u{10ffff}',
    'kv64',
    'constructor/',
  ],
  ...['x'.repeat(1024), '🚢'.repeat(256), '%'.repeat(1024), ' '.repeat(1024), '/'.repeat(1024)],
];
/** Half of a character pair in what would be UTF-8, an overlong slash, bytes that no text has. */
const bytes = [
  [0xed, 0xa0, 0x80],
  [0xed, 0xbf, 0xbf, 0x61],
  [0xc0, 0xaf],
  [0xff],
  [0xfe, 0x00],
  [0xf4, 0x90, 0x80, 0x80],
];

export const cornerKeys: readonly Buffer[] = [...texts, ...bytes].map((one) => Buffer.from(one as string));

const anyKey: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).map((text) => Buffer.from(text)) },
  { weight: 3, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 60 }).map((drawn) => Buffer.from(drawn)) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 1000, maxLength: 1024 }).map((drawn) => Buffer.from(drawn)) },
);

/** The keys of one stream, which no other stream touches. */
export interface KeyPool {
  readonly lasting: readonly Buffer[];
  /** In one partition: they share a tag. */
  readonly tagged: readonly Buffer[];
  /** Only these are given short lives. */
  readonly mortal: readonly Buffer[];
}

const lastingPerStream = 9;
const mortalPerStream = 2;

export function keyPools(seed: number, streams: number): KeyPool[] {
  const drawn = fc.sample(anyKey, { seed, numRuns: 2 * streams * (lastingPerStream + mortalPerStream) });
  const different = new Map([...cornerKeys, ...drawn].map((key) => [key.toString('hex'), key]));
  const keys = [...different.values()];
  return Array.from({ length: streams }, (_, stream) => {
    const dealt = keys.filter((_key, i) => i % streams === stream).slice(0, lastingPerStream + mortalPerStream);
    const tagged = ['', 'a', '/b', '🚢'].map((rest) => Buffer.from(`fuzz/{stream ${stream}}${rest}`));
    const binary = Buffer.concat([Buffer.from(`{stream ${stream}}`), Buffer.from([0xff, 0x00])]);
    return {
      lasting: dealt.slice(mortalPerStream),
      tagged: [...tagged, binary],
      mortal: dealt.slice(0, mortalPerStream),
    };
  });
}

/** How a key is to be written, where there is a choice. */
export type Spelling = 'usual' | 'escaped' | 'plain slashes' | 'base64';
export const spelling: fc.Arbitrary<Spelling> = fc.constantFrom('usual', 'escaped', 'plain slashes', 'base64');

export function pathOf(key: Buffer, how: Spelling): string {
  if (how === 'base64' || !isUtf8(key)) return `/v1/kv64/${key.toString('base64url')}`;
  return `/v1/kv/${inUrl(key, how)}`;
}

/** Percent-encoded; `key` is UTF-8. */
export function inUrl(key: Buffer, how: Spelling): string {
  if (how === 'escaped') return key.toString('hex').replaceAll(/../g, '%$&');
  const usual = encodeURIComponent(key.toString());
  return how === 'plain slashes' ? usual.replaceAll('%2F', '/') : usual;
}

export function inJson(name: 'key' | 'value', bytesOf: Buffer, how: Spelling): Record<string, string> {
  if (how === 'base64' || !isUtf8(bytesOf)) return { [`${name}Base64`]: bytesOf.toString('base64') };
  return { [name]: bytesOf.toString() };
}
