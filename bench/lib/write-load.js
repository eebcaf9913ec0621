/** Writes at a fixed rate to all partitions in turn, phase by phase: what became of them, and the longest silence of a partition. */
import { build } from 'hdr-histogram-js';
import { KeyClient } from './key-client.js';
import { sleep } from './report.js';
import { WriteRecord } from './write-record.js';

/** Kept, and printed, of the writes of a phase that were not acknowledged. */
const [samplesMax, samplesPrinted] = [20, 3];

/**
 * Every fifth write goes to a key that is also read and whose whole history is kept; each of the others to a new key. Starts
 * at once; counted is what is sent from the first `begin` on, checked is all of it.
 */
export class WriteLoad {
  #client;
  #ids;
  #record;
  #intervalMs;
  #lastDone;
  #phase;
  #stopped = false;
  #underWay = new Set();

  /** `urls()`: the nodes that may be asked at this moment; `partitions` as `partitionsWithLeaders` reads them. */
  constructor({ urls, partitions, rate, valueBytes }) {
    this.#client = new KeyClient(urls);
    this.#ids = partitions.map(({ id }) => id);
    this.#record = new WriteRecord(partitions, valueBytes);
    this.#intervalMs = 1000 / rate;
    this.#lastDone = new Map(this.#ids.map((id) => [id, performance.now()]));
    void this.#run();
  }

  begin() {
    this.#phase = {
      startedAt: performance.now(),
      histogram: build(),
      counts: { done: 0, not_applied: 0, unknown: 0 },
      again: 0,
      lateMsMax: 0,
      gaps: new Map(this.#ids.map((id) => [id, 0])),
      samples: [],
      underWay: new Set(),
    };
  }

  /** Ends the phase; resolves once all its writes have come to something. A partition's gap may have begun before the phase. */
  async end() {
    const phase = this.#phase;
    this.#phase = undefined;
    const endedAt = performance.now();
    for (const id of this.#ids) this.#widenGap(phase, id, endedAt);
    await Promise.all(phase.underWay);
    const { histogram, counts, again, lateMsMax, samples } = phase;
    const [partition, gapMs] = [...phase.gaps].toSorted((a, b) => b[1] - a[1])[0];
    return {
      seconds: (endedAt - phase.startedAt) / 1000,
      ...{ gapMs, partition, counts, again, lateMsMax, samples },
      p50Ms: histogram.getValueAtPercentile(50) / 1000,
      p99Ms: histogram.getValueAtPercentile(99) / 1000,
      maxMs: histogram.maxValue / 1000,
    };
  }

  async stop() {
    this.#stopped = true;
    await Promise.all(this.#underWay);
    this.#client.close();
  }

  /** After `stop`: reads all that was acknowledged, and checks the history. */
  async verify(urls) {
    const client = new KeyClient(urls);
    try {
      return await this.#record.verify(client);
    } finally {
      client.close();
    }
  }

  async #run() {
    const startedAt = performance.now();
    for (let sent = 0; !this.#stopped;) {
      const now = performance.now();
      for (; startedAt + sent * this.#intervalMs <= now; sent += 1) {
        this.#send(sent, startedAt + sent * this.#intervalMs);
      }
      await sleep(Math.max(0, startedAt + sent * this.#intervalMs - performance.now()));
    }
  }

  #send(number, dueAt) {
    const partition = this.#ids[number % this.#ids.length];
    const phase = this.#phase;
    if (phase !== undefined) phase.lateMsMax = Math.max(phase.lateMsMax, performance.now() - dueAt);
    const works = [];
    if (number % 5 === 0) {
      const key = this.#record.keyToRepeat(partition);
      works.push(this.#record.put(this.#client, key), this.#record.get(this.#client, key));
    } else {
      works.push(this.#record.putOnce(this.#client, partition));
    }
    works[0] = works[0].then((result) => this.#count(phase, partition, dueAt, result));
    for (const work of works) {
      for (const set of [this.#underWay, phase?.underWay]) {
        if (set === undefined) continue;
        set.add(work);
        void work.then(() => set.delete(work));
      }
    }
  }

  #count(phase, partition, dueAt, { outcome, answer, again }) {
    const now = performance.now();
    if (outcome === 'done') {
      this.#widenGap(this.#phase, partition, now);
      this.#lastDone.set(partition, now);
    }
    if (phase === undefined) return;
    phase.counts[outcome] += 1;
    phase.again += again;
    if (outcome === 'done') phase.histogram.recordValue(Math.max(1, Math.round((now - dueAt) * 1000)));
    else if (phase.samples.length < samplesMax) {
      const detail = answer.type === 'answered' ? `${answer.status} ${answer.body}` : answer.error.message;
      phase.samples.push({ partition, outcome, sentMs: dueAt - phase.startedAt, tookMs: now - dueAt, detail });
    }
  }

  #widenGap(phase, partition, now) {
    phase?.gaps.set(partition, Math.max(phase.gaps.get(partition), now - this.#lastDone.get(partition)));
  }
}

/** Of what `verify` resolved to: nothing that was acknowledged may be gone, and the history must be shown to be linearizable. */
export function checkVerdict(bars, { acknowledged, lost, unread, history }) {
  bars.check(`lost, of ${acknowledged} acknowledged`, lost.length, 0);
  bars.check('keys that nobody answered for', unread.length, 0);
  const about = `${history.operations} operations on ${history.keys} keys`;
  bars.check(`not linearizable: ${about}`, history.type === 'linearizable' ? 0 : 1, 0);
  if (history.words !== undefined) console.log(`\nhistory: ${history.type}\n  ${history.words.join('\n  ')}`);
}

/** What the first writes of each phase looked like that were not acknowledged. */
export function printSamples(phases) {
  for (const { name, samples } of phases) {
    for (const sample of samples.slice(0, samplesPrinted)) console.log(`  ${name}: ${JSON.stringify(sample)}`);
  }
}
