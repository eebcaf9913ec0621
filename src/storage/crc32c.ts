/**
 * CRC-32C (Castagnoli), the checksum of LevelDB's files; Node's zlib has only the IEEE one. Eight bytes at a time
 * ("slicing by 8", Kounavis and Berry 2005).
 */
const polynomial = 0x82f6_3b78;
const tables = makeTables();

/** Of bytes[from] up to, without, bytes[to]. */
export function crc32c(bytes: Uint8Array, from = 0, to = bytes.length): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let crc = -1;
  let offset = from;
  for (; offset + 8 <= to; offset += 8) {
    const low = view.getInt32(offset, true) ^ crc;
    const high = view.getInt32(offset + 4, true);
    crc =
      at(7, low & 0xff) ^
      at(6, (low >>> 8) & 0xff) ^
      at(5, (low >>> 16) & 0xff) ^
      at(4, low >>> 24) ^
      at(3, high & 0xff) ^
      at(2, (high >>> 8) & 0xff) ^
      at(1, (high >>> 16) & 0xff) ^
      at(0, high >>> 24);
  }
  for (; offset < to; offset += 1) crc = at(0, (crc ^ view.getUint8(offset)) & 0xff) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** LevelDB stores checksums rotated and offset, so that one over data with checksums in it stays a good one (util/crc32c.h). */
export function unmask(masked: number): number {
  const rotated = (masked - 0xa282_ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

function at(slice: number, byte: number): number {
  return tables[slice * 256 + byte] as number;
}

function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    made[byte] = crc;
  }
  for (let entry = 256; entry < made.length; entry += 1) {
    const shorter = made[entry - 256] as number;
    made[entry] = (made[shorter & 0xff] as number) ^ (shorter >>> 8);
  }
  return made;
}
