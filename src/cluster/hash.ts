/**
 * Where a key lives. Frozen for good: a change would lose every stored key (`test/cluster/hash.test.ts` holds golden
 * vectors).
 *
 * FNV-1a, 32 bits (Fowler, Noll, Vo; draft-eastlake-fnv), finished with murmur3's `fmix32` (Appleby): FNV-1a alone
 * leaves the upper bits of short, sequential keys alike, and the upper bits decide the partition.
 */
const fnvOffsetBasis = 0x811c9dc5;
const fnvPrime = 0x01000193;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/**
 * The place of `key` in the hash space, 0 to 2^32 - 1. The first `{…}` with something inside is the key's tag, and only
 * the tag is hashed: keys that share it share a partition.
 */
export function keyHash(key: Uint8Array): number {
  let hash = fnvOffsetBasis;
  let seeksTag = true;
  for (let at = 0; at < key.length; at++) {
    const byte = key[at] as number;
    if (byte === openBrace && seeksTag) {
      const close = key.indexOf(closeBrace, at + 1);
      if (close > at + 1) return hashRange(key, at + 1, close);
      seeksTag = close !== -1;
    }
    hash = Math.imul(hash ^ byte, fnvPrime);
  }
  return fmix32(hash);
}

/** The hash of a name of ours (node ids, partition names): places points on the ring. */
export function textHash(text: string): number {
  const bytes = Buffer.from(text);
  return hashRange(bytes, 0, bytes.length);
}

function hashRange(bytes: Uint8Array, from: number, to: number): number {
  let hash = fnvOffsetBasis;
  for (let at = from; at < to; at++) hash = Math.imul(hash ^ (bytes[at] as number), fnvPrime);
  return fmix32(hash);
}

/** murmur3's finalizer: each input bit changes each output bit with a probability near one half. */
function fmix32(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
