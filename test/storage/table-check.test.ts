/** Reading LevelDB's own files: tables large enough to have compressed index blocks. */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { ClassicLevel } from 'classic-level';
import { expect, test } from 'vitest';
import { StorageDamage } from '../../src/storage/damage.ts';
import { uncompressSnappy } from '../../src/storage/snappy.ts';
import { checkTables } from '../../src/storage/table-check.ts';
import { present } from './building.ts';
import { temporaryDirectory } from './directories.ts';

test('Snappy: literals, copies with one and two byte distances, copies into themselves', () => {
  const block = (hex: string): string => uncompressSnappy(Buffer.from(hex.replaceAll(' ', ''), 'hex')).toString();
  expect(block('05 10 68656c6c6f')).toBe('hello');
  // "ab", then eight bytes from two back; "x", then nine from one back with a two-byte distance.
  expect(block('0a 04 6162 11 02')).toBe('ababababab');
  expect(block('0a 00 78 22 0100')).toBe('xxxxxxxxxx');
  // A literal whose length stands in a byte of its own.
  expect(block(`46 f0 45 ${'7a'.repeat(70)}`)).toBe('z'.repeat(70));
});

test('Snappy: what is no block is refused', () => {
  for (const hex of ['', '05', '0510686c', '02 00 78', '0a 04 6162 11 03', 'ffffffff7f 00 78', '0a 00 78 22 0000']) {
    expect(() => uncompressSnappy(Buffer.from(hex.replaceAll(' ', ''), 'hex')), hex).toThrow(RangeError);
  }
});

test('large tables with compressed index blocks pass, and a flipped bit in each of their parts is found', async () => {
  const directory = temporaryDirectory();
  const level = new ClassicLevel(directory, { writeBufferSize: 4 * 1024 * 1024 });
  for (let round = 0; round < 10; round += 1) {
    const puts = Array.from({ length: 1000 }, (_, position) => ({
      type: 'put' as const,
      key: `a rather long key, the same but for its end: ${round} ${String(position).padStart(4, '0')}`,
      value: crc32(Buffer.from(`${round} ${position}`))
        .toString(16)
        .repeat(20),
    }));
    await level.batch(puts);
  }
  await level.compactRange('a', 'b');
  await level.close();

  const tables = fs.readdirSync(directory).filter((name) => name.endsWith('.ldb'));
  const table = path.join(directory, present(tables[0]));
  const content = fs.readFileSync(table);
  expect(await checkTables(directory)).toBeGreaterThan(100_000);
  expect(content.length).toBeGreaterThan(100_000);
  // The index block ends right before the footer: type 1 is Snappy.
  expect(content[content.length - 48 - 5]).toBe(1);
  for (const position of [
    0,
    5000,
    content.length >> 1,
    content.length - 60,
    content.length - 48,
    content.length - 20,
    content.length - 1,
  ]) {
    const flipped = Buffer.from(content);
    flipped[position] = present(flipped[position]) ^ 16;
    fs.writeFileSync(table, flipped);
    await expect(checkTables(directory), `byte ${position}`).rejects.toMatchObject({ name: 'StorageDamage' });
  }
  fs.rmSync(directory, { recursive: true });
});

test('many tables: they pass, and a flipped bit is found in any of them', async () => {
  const directory = temporaryDirectory();
  const level = new ClassicLevel<string, Buffer>(directory, { valueEncoding: 'buffer' });
  for (let key = 0; key < 30; key += 1) await level.put(String(key), randomBytes(1024 * 1024));
  await level.compactRange('', '~');
  await level.close();

  expect(await checkTables(directory)).toBeGreaterThan(30 * 1024 * 1024);
  const tables = fs.readdirSync(directory).filter((name) => name.endsWith('.ldb'));
  for (const name of [present(tables[0]), present(tables.at(-1))]) {
    const table = path.join(directory, name);
    const flipAt = (position: number): void => {
      const descriptor = fs.openSync(table, 'r+');
      const byte = Buffer.alloc(1);
      fs.readSync(descriptor, byte, 0, 1, position);
      fs.writeSync(descriptor, Buffer.from([present(byte[0]) ^ 1]), 0, 1, position);
      fs.closeSync(descriptor);
    };
    flipAt(1000);
    await expect(checkTables(directory)).rejects.toThrow(
      new StorageDamage(`table file ${name} is corrupt: block at 0 does not match its checksum`),
    );
    flipAt(1000);
  }
  fs.rmSync(path.join(directory, present(tables[0])));
  await expect(checkTables(directory)).rejects.toThrow(/is missing$/);
  fs.rmSync(directory, { recursive: true });
});
