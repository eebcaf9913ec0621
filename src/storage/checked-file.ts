/** Small JSON files with a checksum, replaced whole: after a crash at any point it is the old content or the new one. */
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { syncDirectory } from './data-directory.ts';

/** Undefined when the file is corrupt. Throws when it can't be read. */
export function readChecked(file: string): unknown {
  return parse(fs.readFileSync(file, 'utf8'));
}

/** Written aside, fsynced, renamed, directory fsynced: durable when it returns. */
export function writeChecked(file: string, content: object): void {
  const handle = fs.openSync(`${file}.new`, 'w', 0o600);
  try {
    fs.writeFileSync(
      handle,
      `${JSON.stringify({ checksum: crc32(JSON.stringify(content)), content }, undefined, 2)}\n`,
    );
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  fs.renameSync(`${file}.new`, file);
  syncDirectory(path.dirname(file));
}

/** The checksum is over the content's JSON, which parsing and printing again leaves as it is. */
function parse(text: string): unknown {
  try {
    const { checksum, content } = JSON.parse(text) as { checksum: number; content: object };
    return crc32(JSON.stringify(content)) === checksum ? content : undefined;
  } catch {
    return undefined;
  }
}
