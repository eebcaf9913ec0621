/** The histogram of our own says, to the letter, what the library's says of the same values. */
import { Histogram, Registry } from 'prom-client';
import { expect, it } from 'vitest';
import { TalliedHistogram } from '../../src/metrics/tallies.ts';

const name = 'flotilla_test_seconds';
const help = 'Histogram, seconds: of a test.';
const bounds = [0.001, 0.5, 10];
const series = [
  { operation: 'get', outcome: 'ok' },
  { operation: 'put', outcome: 'refused' },
];

it('is scraped as the library would have it, bounds and what lies above them included', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const tallied = new TalliedHistogram<'operation' | 'outcome'>({ name, help, bounds, registry: ours });
  const labelNames = ['operation', 'outcome'] as const;
  const known = new Histogram({ name, help, buckets: bounds, labelNames, registers: [theirs] });
  expect(await ours.metrics()).toBe(await theirs.metrics());
  for (const labels of series) {
    const [tally, child] = [tallied.tally(labels), known.labels(labels)];
    for (const value of [0, 0.0005, 0.001, 0.0011, 0.5, 9.99, 10, 10.001, 1e6]) {
      tally.observe(value);
      child.observe(value);
    }
  }
  const lines = (text: string): readonly string[] => text.trim().split('\n');
  expect(lines(await ours.metrics())).toHaveLength(2 + 2 * 6);
  expect(await ours.metrics()).toBe(await theirs.metrics());
});
