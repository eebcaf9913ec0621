/** A cluster that nobody uses costs next to nothing: under 5 % of one core and 150 MB on each node, with 12 partitions. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { startCluster, type TestNode } from '../../src/testing/cluster.ts';

const coreShareMax = 0.05;
const residentBytesMax = 150 * 1024 * 1024;
/** Starting leaves work behind: compilation, connections that close. */
const settleMs = 1000;
/** /proc counts in ticks of 10 ms: 5 % of this are 20 of them. */
const measuredMs = 4000;

test('an idle node uses under 5 % of a core and 150 MB', async () => {
  const cluster = await startCluster({ nodes: 3, partitions: 12 });
  try {
    await delay(settleMs);
    const startedAt = performance.now();
    const before = cluster.nodes.map(cpuMs);
    await delay(measuredMs);
    // By the time that really passed; processor time itself does not grow because others use the machine.
    const elapsedMs = performance.now() - startedAt;
    const shares = cluster.nodes.map((node, index) => (cpuMs(node) - (before[index] ?? 0)) / elapsedMs);
    const residents = cluster.nodes.map(residentBytes);
    process.stdout.write(
      `idle: ${shares.map((share) => `${(100 * share).toFixed(1)} %`).join(', ')} of a core; ` +
        `${residents.map((bytes) => `${Math.round(bytes / 1024 / 1024)} MB`).join(', ')}\n`,
    );
    for (const share of shares) expect(share).toBeLessThan(coreShareMax);
    for (const bytes of residents) expect(bytes).toBeLessThan(residentBytesMax);
    // Idle, not dead.
    expect((await cluster.request('PUT', '/v1/kv/still-here', { body: 'yes', redirectsMax: 1 })).status).toBe(201);
  } finally {
    await cluster.close();
  }
});

/** User and system time of all its threads (proc(5): fields 14 and 15 of stat, after the name in parentheses). */
function cpuMs({ pid }: TestNode): number {
  const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const tickMs = 10; // USER_HZ is 100 on Linux.
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

function residentBytes({ pid }: TestNode): number {
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
  return Number(kilobytes) * 1024;
}
