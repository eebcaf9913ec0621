/** Foreground latency and memory, phase by phase. */
import { MemoryWatch } from './processes.js';
import { Table } from './report.js';

/** `foreground` is a PacedLoad; the nodes are those of `cluster` at this moment. A row is printed as each phase ends. */
export class Phases {
  results = {};
  #cluster;
  #foreground;
  #table;

  constructor(cluster, foreground) {
    this.#cluster = cluster;
    this.#foreground = foreground;
    this.#table = new Table([
      ['phase', 11],
      ['seconds'],
      ['puts', 6],
      ['p50', 9],
      ['p99', 9],
      ['worst', 9],
      ['again', 5],
      ['failed'],
      ...cluster.nodes.map(({ nodeId }) => [`${nodeId} peak`, 13]),
    ]);
  }

  async run(name, work) {
    const startedAt = performance.now();
    const memory = new MemoryWatch(this.#cluster.nodes);
    this.#foreground.begin();
    let peaks;
    try {
      await work();
    } finally {
      peaks = memory.stop();
    }
    const seconds = (performance.now() - startedAt) / 1000;
    const latency = await this.#foreground.end();
    this.results[name] = { seconds, ...latency, peaksMiB: Object.fromEntries(peaks) };
    const { puts, p50Ms, p99Ms, maxMs, again, failed } = latency;
    this.#table.row([
      name,
      seconds.toFixed(1),
      puts,
      ...[p50Ms, p99Ms, maxMs].map((ms) => `${ms.toFixed(1)} ms`),
      again,
      failed,
      ...[...peaks.values()].map(({ own, mapped }) => `${own.toFixed(0)}+${mapped.toFixed(0)} MiB`),
    ]);
  }
}
