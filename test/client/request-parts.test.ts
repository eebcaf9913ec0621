/** What is sent arrives as it was given, whatever proxies make of paths. */
import { describe, expect, it } from 'vitest';
import { keyPath, ttlText } from '../../src/client/request-parts.ts';

describe('the path of a key', () => {
  it.each([
    ['plain', '/v1/kv/plain'],
    ['a/b', '/v1/kv/a/b'],
    ['a b+c%/d?e#f', '/v1/kv/a%20b%2Bc%25/d%3Fe%23f'],
    ['...', '/v1/kv/...'],
    ['\0', '/v1/kv/%00'],
    ['👍', '/v1/kv/%F0%9F%91%8D'],
    // Names for the way through directories, which proxies walk.
    ['.', '/v1/kv64/Lg'],
    ['..', '/v1/kv64/Li4'],
    ['a/../b', '/v1/kv64/YS8uLi9i'],
    ['a//b', '/v1/kv64/YS8vYg'],
    ['a/', '/v1/kv64/YS8'],
  ])('%o is %s', (key, path) => {
    expect(keyPath(Buffer.from(key))).toBe(path);
  });

  it('of bytes that are no text is their base64url', () => {
    expect(keyPath(Buffer.of(0xff, 0xfe, 0xfb))).toBe('/v1/kv64/__77');
  });
});

describe('a lifetime', () => {
  it('is seconds as a number, and else a text', () => {
    expect([60, 1.5, '1h30m'].map(ttlText)).toEqual(['60s', '1.5s', '1h30m']);
  });
});
