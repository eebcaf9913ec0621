/** Results are kept on disk for repeats: their bytes are final. */
import { expect, test } from 'vitest';
import { CommandFormatError } from '../../src/kv/byte-reader.ts';
import { decodeResult, encodeResult } from '../../src/kv/result-codec.ts';
import type { CommandResult, OperationResult } from '../../src/kv/types.ts';

const version = '00000004' + '0000000000000009';
const record = { value: Buffer.from('v'), contentType: 'a/b', revision: 9, incarnation: 4, expiresAt: 258 };
const put: OperationResult = { type: 'put', revision: 9, incarnation: 4, created: true, expiresAt: 258 };

const golden: [CommandResult, string][] = [
  [put, `01${version}010000000000000102`],
  [{ type: 'deleted', revision: 9 }, '020000000000000009'],
  [{ type: 'not_found' }, '03'],
  [{ type: 'value', record }, `04${version}00000000000001020003612f620000000176`],
  [{ type: 'condition_failed', current: { incarnation: 4, revision: 9 } }, `0501${version}`],
  [{ type: 'condition_failed', current: undefined }, '0500'],
  [{ type: 'key_reused' }, '06'],
  [{ type: 'batch', results: [{ type: 'not_found' }, { type: 'deleted', revision: 9 }] }, '10000203020000000000000009'],
  [{ type: 'transaction', succeeded: true, results: [put] }, `1101000101${version}010000000000000102`],
  [{ type: 'swept', expired: 2, forgotten: 3 }, '120000000200000003'],
  [{ type: 'wrong_epoch', epoch: 7 }, '1300000007'],
  [{ type: 'result_too_large' }, '14'],
];

test.each(golden)('%j', (result, bytes) => {
  expect(encodeResult(result).toString('hex')).toBe(bytes);
  expect(decodeResult(Buffer.from(bytes, 'hex'))).toEqual(result);
});

test.each(golden)('%j cut short or padded is refused', (_result, hex) => {
  const bytes = Buffer.from(hex, 'hex');
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => decodeResult(bytes.subarray(0, length))).toThrow(CommandFormatError);
  }
  expect(() => decodeResult(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(CommandFormatError);
});

test('a result from the future is refused by name', () => {
  expect(() => decodeResult(Buffer.from([7]))).toThrow('result 7 is not known here');
  expect(() => decodeResult(Buffer.from([0x10, 0, 1, 0x10, 0, 0]))).toThrow('result 16 is not known here');
});
