/** What processes cost, read from /proc and from their directories (Linux only). */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { clearInterval } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';

const clockTicksPerSecond = 100;

/** Processor time of these processes so far, in seconds, user and system together. */
export function cpuSeconds(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / clockTicksPerSecond;
}

/**
 * Processor time that the host gave to others while this machine wanted it, so far, in seconds, all cores together. A run in which that is much
 * more than in the others measured the host.
 */
export function stolenSeconds() {
  const [, ...ticks] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0].trim().split(/\s+/);
  return Number(ticks[7]) / clockTicksPerSecond;
}

const restSpanMs = 1000;
const restPercent = 10;

/** Resolves once these processes together took less than a tenth of a core for a second: nothing is left to be merged or caught up with. */
export async function waitAtRest(pids, timeoutMs = 120_000) {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const [before, startedAt] = [cpuSeconds(pids), performance.now()];
    await sleep(restSpanMs);
    const percent = ((cpuSeconds(pids) - before) * 100_000) / (performance.now() - startedAt);
    if (percent < restPercent) return;
    if (performance.now() > until)
      throw new Error(`the nodes still take ${percent.toFixed(0)} % of a core after ${timeoutMs} ms`);
  }
}

/** Highest resident memory so far, the largest of these processes, in MiB. */
export function peakMemoryMiB(pids) {
  const peaks = pids.map((pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0));
  return Math.max(...peaks) / 1024;
}

/**
 * What a process resides in, 0 for one that has ended. `own` is its heap, buffers and caches; `mapped` are pages of files:
 * the program, and tables that LevelDB maps to read them, which the kernel takes back whenever it wants the memory.
 */
export function residentMemoryMiB(pid) {
  let status;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return { own: 0, mapped: 0 };
  }
  const of = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) / 1024;
  return { own: of('RssAnon'), mapped: of('RssFile') };
}

/** Looks at the nodes' resident memory every 20 ms and keeps the highest of each. A node may be started again meanwhile. */
export class MemoryWatch {
  #nodes;
  #peaks = new Map();
  #timer;

  constructor(nodes) {
    this.#nodes = nodes;
    this.#look();
    this.#timer = setInterval(() => this.#look(), 20);
  }

  /** Highest `own` and highest `mapped` by node id, in MiB, since the start of the watch. */
  stop() {
    clearInterval(this.#timer);
    this.#look();
    return this.#peaks;
  }

  #look() {
    for (const { nodeId, pid } of this.#nodes) {
      const now = residentMemoryMiB(pid);
      const peak = this.#peaks.get(nodeId) ?? now;
      this.#peaks.set(nodeId, { own: Math.max(peak.own, now.own), mapped: Math.max(peak.mapped, now.mapped) });
    }
  }
}

/** Bytes of all files in `directory`, none while it does not exist. Files may come and go meanwhile. */
export function directoryBytes(directory) {
  let names;
  try {
    names = readdirSync(directory);
  } catch {
    return 0;
  }
  return names.reduce((sum, name) => sum + fileBytes(join(directory, name)), 0);
}

function fileBytes(path) {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

const canTie = spawnSync('setpriv', ['--version']).error === undefined;
const tied = new Set();
const directories = new Set();
process.on('exit', () => {
  for (const child of tied) child.kill('SIGKILL');
  for (const directory of directories) removeDirectory(directory);
});

/** A new directory, removed by `removeDirectory` or when this process ends. */
export function makeDirectory(prefix) {
  const directory = mkdtempSync(join(tmpdir(), prefix));
  directories.add(directory);
  return directory;
}

/** Tries again for a moment: a process that has just been killed may still be about to make a file. */
export function removeDirectory(directory) {
  directories.delete(directory);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

/** As `spawn`, but the child ends with this process, however that ends (by the kernel, where there is `setpriv`). */
export function spawnTied(command, args, options) {
  const child = canTie
    ? spawn('setpriv', ['--pdeathsig', 'KILL', '--', command, ...args], options)
    : spawn(command, args, options);
  tied.add(child);
  child.once('exit', () => tied.delete(child));
  return child;
}
