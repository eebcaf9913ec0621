import { expect, test } from 'vitest';
import { parseTtl, ttlMsMax } from '../../src/api/ttl.ts';

test.each([
  ['1500ms', 1500],
  ['60s', 60_000],
  ['1.5s', 1500],
  ['1.1s', 1100],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['2h', 7_200_000],
  ['1d', 86_400_000],
  ['1d2h3m4s5ms', 93_784_005],
  ['60', 60_000],
  ['1ms', 1],
  ['3650d', ttlMsMax],
  ['0.001s', 1],
])('%s', (text, ms) => {
  expect(parseTtl(text)).toBe(ms);
});

test.each([
  ...['', '0', '0s', '-1s', '+5s', '5 s', ' 5s', '5s ', '5x', '5S', 's', '1.s', '.5s', '1e3', '0x10'],
  ...['0.0001s', '0.5ms', '30m1h', '5s5s', '1h30', '3651d', '315360001', '9'.repeat(40), 'Infinity', 'NaN', '1.5'],
])('%j is none', (text) => {
  expect(parseTtl(text)).toBeUndefined();
});
