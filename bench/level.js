/**
 * The baseline: `level` on one machine, one process, no network and no replication, what a Node program would use if it
 * did not care to lose its data with the machine.
 *
 *   npm run bench -- level [--seconds 20] [--keys 100000] [--writers 64] [--value-bytes 256]
 *
 * Writes are synced (each writer waits for its own `put`), reads are `get`s of preloaded keys.
 */
import { parseArgs } from 'node:util';
import { build } from 'hdr-histogram-js';
import { Level } from 'level';
import { makeDirectory, removeDirectory } from './lib/processes.js';

export async function level(args) {
  const { values: flags } = parseArgs({
    args,
    options: {
      seconds: { type: 'string', default: '20' },
      keys: { type: 'string', default: '100000' },
      writers: { type: 'string', default: '64' },
      'value-bytes': { type: 'string', default: '256' },
    },
  });
  const directory = makeDirectory('flotilla-level-');
  const db = new Level(directory, { valueEncoding: 'buffer' });
  const count = Number(flags.keys);
  const value = Buffer.alloc(Number(flags['value-bytes']), 'x');
  const key = (i) => `bench-${String(i).padStart(8, '0')}`;
  const anyKey = () => key(Math.floor(Math.random() * count));
  try {
    for (let from = 0; from < count; from += 1000) {
      await db.batch(Array.from({ length: 1000 }, (_, i) => ({ type: 'put', key: key(from + i), value })));
    }
    const options = { seconds: Number(flags.seconds), writers: Number(flags.writers) };
    await measure('put, synced', options, () => db.put(anyKey(), value, { sync: true }));
    await measure('get', options, () => db.get(anyKey()));
  } finally {
    await db.close();
    removeDirectory(directory);
  }
}

async function measure(name, { seconds, writers }, operation) {
  const histogram = build();
  const startedAt = performance.now();
  const endAt = startedAt + seconds * 1000;
  const cpu = process.cpuUsage();
  const lane = async () => {
    for (let begun = performance.now(); begun < endAt; begun = performance.now()) {
      await operation();
      histogram.recordValue(Math.round((performance.now() - begun) * 1000));
    }
  };
  await Promise.all(Array.from({ length: writers }, lane));
  const { user, system } = process.cpuUsage(cpu);
  const took = (performance.now() - startedAt) / 1000;
  const at = (share) => (histogram.getValueAtPercentile(share) / 1000).toFixed(2);
  console.log(
    `level  ${name.padEnd(12)} ${writers}  ${Math.round(histogram.totalCount / took)}/s  p50 ${at(50)} ms  p99 ${at(99)} ms  ` +
      `p99.9 ${at(99.9)} ms  ${((user + system) / histogram.totalCount).toFixed(0)} µs cpu/op`,
  );
}
