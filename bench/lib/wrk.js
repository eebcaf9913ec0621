/** Load by `wrk`, one process for each server that is to get some, started together. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDirectory, removeDirectory, spawnTied } from './processes.js';

const script = fileURLToPath(new URL('load.lua', import.meta.url));

export function wrkAvailable() {
  return spawnSync('wrk', ['-v']).error === undefined;
}

/**
 * Runs `operation` for `seconds` with `connections` in all, split over `servers` ({ url, keys }) as evenly as it goes.
 * Returns { requests, seconds, errors, histogram: [µs, count][] sorted }. Redirects count as answers here: the caller
 * checks that leaderships stood still.
 */
export async function runWrk({ target, operation, servers, connections, seconds, valueBytes }) {
  const directory = makeDirectory('flotilla-wrk-');
  try {
    const shares = splitEvenly(connections, servers.length);
    const runs = servers.map((server, i) => {
      if (shares[i] === 0 || server.keys.length === 0) return undefined;
      const keyFile = join(directory, `keys-${i}`);
      const output = join(directory, `out-${i}.json`);
      writeFileSync(keyFile, `${server.keys.join('\n')}\n`);
      const args = ['-t1', `-c${shares[i]}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, server.url, '--'];
      return runOne([...args, target, operation, keyFile, String(valueBytes), output], output);
    });
    return merge((await Promise.all(runs)).filter((run) => run !== undefined));
  } finally {
    removeDirectory(directory);
  }
}

function runOne(args, output) {
  return new Promise((resolve, reject) => {
    const child = spawnTied('wrk', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (chunk) => (said += chunk));
    child.stderr.on('data', (chunk) => (said += chunk));
    child.on('error', reject);
    child.on('close', (code) => {
      try {
        resolve(JSON.parse(readFileSync(output, 'utf8')));
      } catch {
        reject(new Error(`wrk left no result (exit ${code}): ${said}`));
      }
    });
  });
}

function splitEvenly(total, parts) {
  return Array.from({ length: parts }, (_, i) => Math.floor(total / parts) + (i < total % parts ? 1 : 0));
}

function merge(results) {
  const counts = new Map();
  const errors = { connect: 0, read: 0, write: 0, status: 0, timeout: 0 };
  for (const result of results) {
    for (const [value, count] of result.latency) counts.set(value, (counts.get(value) ?? 0) + count);
    for (const name of Object.keys(errors)) errors[name] += result.errors[name];
  }
  return {
    requests: results.reduce((sum, result) => sum + result.requests, 0),
    seconds: Math.max(...results.map((result) => result.durationUs)) / 1e6,
    errors,
    histogram: [...counts].sort(([a], [b]) => a - b),
  };
}

/** The value (µs) below or at which `share` (0 to 1) of all recorded ones lie. */
export function percentile(histogram, share) {
  const total = histogram.reduce((sum, [, count]) => sum + count, 0);
  let seen = 0;
  for (const [value, count] of histogram) {
    seen += count;
    if (seen >= total * share) return value;
  }
  return histogram.at(-1)?.[0] ?? 0;
}
