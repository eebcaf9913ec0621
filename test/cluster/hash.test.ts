/** The key hash is a stored format: these vectors were computed by another program and never change. */
import { expect, test } from 'vitest';
import { keyHash, textHash } from '../../src/cluster/hash.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

// FNV-1a finished with fmix32, by a python3 one-off that was itself checked against the published vectors
// of FNV-1a ("" 811c9dc5, "a" e40c292c, "foobar" bf9cf968) and murmur3's fmix32 (1 -> 514e28b7).
const golden: readonly (readonly [Uint8Array, number])[] = [
  [bytes(''), 0xab3e7c0b],
  [bytes('a'), 0x1a80b1b3],
  [bytes('hello'), 0x888d766e],
  [bytes('foobar'), 0x0c0da6dc],
  [bytes('user:1'), 0x692440ef],
  [bytes('user:2'), 0x21812afe],
  [bytes('user:1000'), 0xa6c29012],
  [bytes('__proto__'), 0xbda9ccab],
  [Uint8Array.of(0), 0x0578ab1b],
  [Uint8Array.of(0xff, 0xfe, 0x00, 0x80), 0xd8d5c6fa],
  [bytes('😀'), 0x3303a80a],
  [bytes('grüße'), 0xee9f16e1],
  [bytes('a/b'), 0xa11ccf42],
  [bytes('x'.repeat(1024)), 0x7e62ef62],
];

test.each(golden)('the hash of %s is what it always was', (key, hash) => {
  expect(keyHash(key)).toBe(hash);
});

test('a tag is hashed instead of the key, whatever stands around it', () => {
  const tag42 = 0x28ec2cbd;
  for (const key of ['{42}', 'cart{42}', '{42}cart', 'a{42}b{43}', '{}{42}', 'x{}y{42}z', '}{42}']) {
    expect(keyHash(bytes(key)), key).toBe(tag42);
  }
  expect(keyHash(bytes('{tag}'))).toBe(0x1662e5af);
  expect(keyHash(bytes('{{tag}}')), 'the first { opens, the first } after it closes').toBe(0x903b605f);
});

test('without anything inside braces the whole key is hashed', () => {
  expect(keyHash(bytes('{}'))).toBe(0x3ff9b36c);
  expect(keyHash(bytes('{}a'))).toBe(0x434d88a5);
  expect(keyHash(bytes('a{}{}b'))).toBe(0x87ac2fc1);
  expect(keyHash(bytes('{a'))).toBe(0x703da627);
  expect(keyHash(bytes('}{'))).toBe(0xcae6b4aa);
});

test('a view into a larger buffer hashes like its own bytes', () => {
  const frame = Buffer.from('....hello....');
  expect(keyHash(frame.subarray(4, 9))).toBe(0x888d766e);
  expect(textHash('hello')).toBe(0x888d766e);
});

test('short sequential keys spread over 12 partitions: none is a tenth off its share', () => {
  const counts = new Array<number>(12).fill(0);
  for (let i = 0; i < 120_000; i++) {
    const partition = Math.floor((keyHash(bytes(`user:${i}`)) * 12) / 2 ** 32);
    counts[partition] = (counts[partition] ?? 0) + 1;
  }
  expect(Math.min(...counts)).toBeGreaterThan(9_000);
  expect(Math.max(...counts)).toBeLessThan(11_000);
});
