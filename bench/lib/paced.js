/** Puts at a fixed rate, whatever the answers take: what a client sees that does not wait for the last answer. */
import http from 'node:http';
import { build } from 'hdr-histogram-js';
import { randomText, sleep } from './report.js';
import { attempt, outcomeOf } from './requests.js';

/** A put that is not acknowledged by then is given up and counted as failed. */
const giveUpMs = 10_000;

/**
 * Latency counts from the time at which a put was to be sent to its first 2xx: waiting for a connection, redirects and
 * sending again are in it, and so is what this process itself is late (`lateMsMax` says how much that was at most).
 */
export class PacedLoad {
  #leaders;
  #keys;
  #intervalMs;
  #value;
  #agent = new http.Agent({ keepAlive: true });
  #phase;
  #stopped = false;
  #underWay = new Set();

  /** `rate` puts a second, to `keys` in turn. Starts at once; figures are kept from the first `begin` on. */
  constructor({ leaders, keys, rate, valueBytes }) {
    this.#leaders = leaders;
    this.#keys = keys;
    this.#intervalMs = 1000 / rate;
    this.#value = randomText(valueBytes);
    void this.#run();
  }

  /** Puts that are to be sent from now on are counted in a new phase. */
  begin() {
    this.#phase = { histogram: build(), failed: 0, again: 0, lateMsMax: 0, underWay: new Set() };
  }

  /** Ends the phase; resolves once all its puts have come to something, to { puts, p50Ms, p99Ms, maxMs, ... }. */
  async end() {
    const phase = this.#phase;
    this.#phase = undefined;
    await Promise.all(phase.underWay);
    const at = (percentile) => phase.histogram.getValueAtPercentile(percentile) / 1000;
    return {
      puts: phase.histogram.totalCount,
      p50Ms: at(50),
      p99Ms: at(99),
      p999Ms: at(99.9),
      maxMs: phase.histogram.maxValue / 1000,
      failed: phase.failed,
      again: phase.again,
      lateMsMax: phase.lateMsMax,
    };
  }

  /** Measures for `seconds`. */
  async measure(seconds) {
    this.begin();
    await sleep(seconds * 1000);
    return this.end();
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#underWay);
    this.#agent.destroy();
  }

  async #run() {
    const startedAt = performance.now();
    for (let sent = 0; !this.#stopped;) {
      const now = performance.now();
      for (; startedAt + sent * this.#intervalMs <= now; sent += 1) {
        this.#send(this.#keys[sent % this.#keys.length], startedAt + sent * this.#intervalMs);
      }
      await sleep(Math.max(0, startedAt + sent * this.#intervalMs - performance.now()));
    }
  }

  #send(key, dueAt) {
    const phase = this.#phase;
    if (phase !== undefined) phase.lateMsMax = Math.max(phase.lateMsMax, performance.now() - dueAt);
    const put = this.#put(key, dueAt, phase);
    for (const set of [this.#underWay, phase?.underWay]) {
      if (set === undefined) continue;
      set.add(put);
      void put.then(() => set.delete(put));
    }
  }

  async #put(key, dueAt, phase) {
    let url = this.#leaders.urlOf(key);
    for (;;) {
      const leftMs = dueAt + giveUpMs - performance.now();
      if (leftMs <= 0) break;
      const result = await attempt(this.#agent, 'PUT', `${url}/v1/kv/${key}`, { body: this.#value, timeoutMs: leftMs });
      if (outcomeOf(result) === 'done') {
        phase?.histogram.recordValue(Math.max(1, Math.round((performance.now() - dueAt) * 1000)));
        return;
      }
      if (this.#stopped) return;
      if (phase !== undefined) phase.again += 1;
      await this.#leaders.refresh();
      url = this.#leaders.urlOf(key);
    }
    if (phase !== undefined) phase.failed += 1;
  }
}
