/** Keys between path and bytes: no two spellings of different keys meet, and every key has a spelling. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keyInJson, parseBase64UrlKey, parsePathKey } from '../../src/http/key.ts';
import { originForm, percentDecode, splitTarget } from '../../src/http/target.ts';

const keyBytesMax = 1024;
const keyBytes = fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes));

describe('a key in a path', () => {
  it('is the text that was encoded, whatever it is', () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 64 });
    fc.assert(
      fc.property(text, (key) => {
        const parsed = parsePathKey(encodeURIComponent(key), keyBytesMax);
        expect(parsed).toEqual({ type: 'key', bytes: Buffer.from(key) });
        expect(keyInJson(Buffer.from(key))).toEqual({ key });
      }),
    );
  });

  it('never throws, and refuses with a sentence', () => {
    const path = fc.string({ unit: 'grapheme-ascii', maxLength: 40 }).map((text) => text.replaceAll('x', '%'));
    fc.assert(
      fc.property(path, (text) => {
        const parsed = parsePathKey(text, keyBytesMax);
        if (parsed.type === 'failure') expect([parsed.code, parsed.detail.at(-1)]).toEqual(['invalid_key', '.']);
        else expect(parsed.bytes.length).toBeGreaterThan(0);
      }),
    );
  });

  it('is bounded in bytes, not in characters', () => {
    expect(parsePathKey('%F0%9F%9A%A2'.repeat(256), keyBytesMax).type).toBe('key');
    expect(parsePathKey(`a${'%F0%9F%9A%A2'.repeat(256)}`, keyBytesMax).type).toBe('failure');
  });
});

describe('a key as base64url', () => {
  it('is any bytes there are', () => {
    fc.assert(
      fc.property(keyBytes, (bytes) => {
        expect(parseBase64UrlKey(bytes.toString('base64url'), keyBytesMax)).toEqual({ type: 'key', bytes });
      }),
    );
  });

  it('has one spelling', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 24 }), (text) => {
        const parsed = parseBase64UrlKey(text, keyBytesMax);
        if (parsed.type === 'key') expect(parsed.bytes.toString('base64url')).toBe(text);
      }),
    );
  });
});

describe('percent-decoding', () => {
  it('gives the bytes that were encoded, and happens once', () => {
    fc.assert(
      fc.property(keyBytes, (bytes) => {
        const encoded = bytes.toString('hex').replaceAll(/../g, '%$&');
        expect(percentDecode(encoded)).toEqual(bytes);
      }),
    );
    expect(percentDecode('%2541')?.toString()).toBe('%41');
    expect(percentDecode('+')?.toString()).toBe('+');
  });

  it.each(['%', '%4', 'a%', '%g0', '%0g', '%%41', '% 41'])('refuses %s', (text) => {
    expect(percentDecode(text)).toBeUndefined();
  });
});

describe('a request target', () => {
  it.each([
    ['/a?b?c', '/a', 'b?c'],
    ['/a', '/a', ''],
    ['/a?', '/a', ''],
    ['http://host:1/a?b', '/a', 'b'],
    ['HTTPS://host?b', '/', 'b'],
    ['http://host', '/', ''],
    ['*', '*', ''],
  ])('splits %s', (url, path, query) => {
    expect(splitTarget(url)).toEqual({ path, query });
    expect(originForm(url)).toBe(query === '' && !url.endsWith('?') ? path : `${path}?${query}`);
  });
});
