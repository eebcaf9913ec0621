/** What is stored: values of all kinds, types, lifetimes. */
import fc from 'fast-check';

const kibibyte = 1024;

export const value: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 1, arbitrary: fc.constant(Buffer.alloc(0)) },
  { weight: 5, arbitrary: fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text)) },
  { weight: 3, arbitrary: fc.json().map((text) => Buffer.from(text)) },
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: large(2 * kibibyte, 64 * kibibyte) },
);

/** Rare: a hundred of them are a hundred megabytes on each of three disks. */
export const largestValue: fc.Arbitrary<Buffer> = large(kibibyte * kibibyte, kibibyte * kibibyte);

export const textValue: fc.Arbitrary<string> = fc.string({ unit: 'binary', maxLength: 100 });

/** As sent, and as given back. */
export interface TypeChoice {
  readonly sent: string | undefined;
  readonly stored: string;
}

const octetStream = 'application/octet-stream';
const same = (type: string): TypeChoice => ({ sent: type, stored: type });

export const contentType: fc.Arbitrary<TypeChoice> = fc.oneof(
  fc.constantFrom<TypeChoice>(
    { sent: undefined, stored: octetStream },
    { sent: 'application/x-www-form-urlencoded', stored: octetStream },
    { sent: 'Application/Octet-Stream', stored: octetStream },
    same('text/plain; charset=utf-8'),
    same('application/json'),
    same('text/html'),
    same(`text/${'x'.repeat(250)}`),
  ),
  fc.stringMatching(/^[!-~]{1,10}\/[!-~]{1,20}(; [!-~]{1,10}="[ -!#-~]{0,10}")?$/).map(same),
);

/** Long enough to outlast the run. */
export const longTtl: fc.Arbitrary<string> = fc.constantFrom(
  '3600',
  '1h',
  '1h30m',
  '90m',
  '1d',
  '3650d',
  '86400.5s',
  '36000000ms',
);
export const badTtl: fc.Arbitrary<string> = fc.constantFrom(
  '',
  '0',
  '0s',
  '-1',
  '1y',
  'soon',
  '1.2',
  '1e3',
  '1m1h',
  '3651d',
  '0.1ms',
  '1s ',
  '９s',
);

export interface ShortTtl {
  readonly sent: string;
  readonly ms: number;
}
export const shortTtl: fc.Arbitrary<ShortTtl> = fc.constantFrom(
  { sent: '1ms', ms: 1 },
  { sent: '250ms', ms: 250 },
  { sent: '0.5s', ms: 500 },
  { sent: '2', ms: 2000 },
);

function large(from: number, to: number): fc.Arbitrary<Buffer> {
  return fc
    .record({ length: fc.integer({ min: from, max: to }), seed: fc.uint8Array({ minLength: 16, maxLength: 16 }) })
    .map(({ length, seed }) => {
      const bytes = Buffer.alloc(length);
      // Not the same few bytes over and over, and cheap to draw.
      let state = Buffer.from(seed).readUInt32LE(0) | 1;
      for (let i = 0; i < length; i += 1) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        bytes[i] = state >>> 24;
      }
      return bytes;
    });
}
