/**
 * One number for a whole state. Two replicas that have applied the same entries get the same one, whichever area their state lies in, and
 * however it came there.
 *
 * It is the SHA-256 over this, integers being big-endian:
 *
 * ```
 * u8 version (1)
 * the machine state's seven numbers, each u64, as its record has them
 * u64 index of the configuration that was applied last; 0: the one that the group was founded with
 *     u32 length | its body; not for index 0: only who was sent a snapshot has stored that one
 * each record of the live area in the order of the keys:
 *     u16 key's length | u32 content's length | key, from its space on | content, without checksum
 * ```
 *
 * The checksum is left out as it covers where the record lies. A change of this layout, or of what a record's content looks like, is a new
 * version: nodes that do not agree on it must not compare.
 */
import { createHash } from 'node:crypto';
import { writeU64 } from '../bytes.ts';
import type { MachineState } from '../kv/types.ts';
import type { StoredConfiguration } from '../replica/ports.ts';
import { planted } from '../planted.ts';
import { withinArea } from './keys.ts';
import { checksumBytes } from './sealing.ts';

export const sumVersion = 1;
const headBytes = 1 + 7 * 8 + 8;
const recordHeaderBytes = 6;

export class StateSum {
  readonly #hash = createHash('sha256');
  readonly #header = Buffer.allocUnsafe(recordHeaderBytes);

  constructor(machineState: MachineState, configuration: StoredConfiguration | undefined) {
    const { appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered } = machineState;
    const { index, body } = configuration ?? { index: 0, body: noBytes };
    const head = Buffer.alloc(headBytes + 4);
    head[0] = sumVersion;
    [appliedIndex, appliedTerm, logTime, keys, bytes, expiring, remembered, index].forEach((field, at) =>
      writeU64(head, field, 1 + 8 * at),
    );
    if (index === 0) {
      this.#hash.update(head.subarray(0, headBytes));
      return;
    }
    head.writeUInt32BE(body.length, headBytes);
    this.#hash.update(head).update(body);
  }

  /** `value`: as it is stored, and just verified. */
  add(key: Buffer, value: Buffer): void {
    const name = planted('digest-of-places') ? key : withinArea(key);
    const content = value.subarray(0, value.length - checksumBytes);
    this.#header.writeUInt16BE(name.length, 0);
    this.#header.writeUInt32BE(content.length, 2);
    this.#hash.update(this.#header).update(name).update(content);
  }

  /** Called once. */
  finish(): Buffer {
    return this.#hash.digest();
  }
}

const noBytes = Buffer.alloc(0);
