/** Writes to every partition through every node, all the time, and when they were answered. */
import http from 'node:http';
import { randomText, sleep } from './report.js';
import { attempt, outcomeOf } from './requests.js';

/**
 * One closed-loop writer for each partition and node, with a pause after each answer. A writer that has waited
 * `patienceMs` leaves its request behind and sends the next: when a partition serves again must not depend on when a
 * request that was sent before gives up. What becomes of the request left behind is counted all the same.
 */
export class FailoverLoad {
  #nodes;
  #keys;
  #paceMs;
  #patienceMs;
  #value;
  #agent = new http.Agent({ keepAlive: true });
  #stopped = false;
  #closed = new Set();
  #underWay = new Set();
  #round;
  #release = () => undefined;
  #released;

  constructor({ nodes, keys, paceMs, patienceMs, valueBytes }) {
    this.#nodes = nodes;
    this.#keys = keys;
    this.#paceMs = paceMs;
    this.#patienceMs = patienceMs;
    this.#value = randomText(valueBytes);
    this.#renewRelease();
  }

  start() {
    for (const [partition, key] of this.#keys) {
      for (const node of this.#nodes) void this.#write(node, partition, key);
    }
  }

  stop() {
    this.#stopped = true;
    this.#agent.destroy();
  }

  /** Writes go through this node again. */
  open(node) {
    this.#closed.delete(node);
  }

  /**
   * A round begins: to be called right before the signal. With `abrupt` nothing more is sent to the victim, and what is
   * under way there is lost for sure and not counted; otherwise it is written to until it refuses a connection.
   */
  begin({ victim, abrupt }) {
    if (abrupt) this.#closed.add(victim);
    this.#round = new Round({ victim, abrupt, signalledAt: performance.now(), partitions: [...this.#keys.keys()] });
    // What is under way at the signal belongs to the round, however late it comes to its end.
    for (const write of this.#underWay) write.round = this.#round;
    this.#release();
    this.#renewRelease();
    return this.#round;
  }

  /** Ends the round and resolves once everything that was sent in it has come to something. */
  async end() {
    const round = this.#round;
    round.endedAt = performance.now();
    this.#round = undefined;
    const inRound = [...this.#underWay].filter((write) => write.round === round);
    await Promise.all(inRound.map((write) => write.ended));
  }

  #renewRelease() {
    this.#released = new Promise((resolve) => (this.#release = resolve));
  }

  async #write(node, partition, key) {
    await sleep(Math.random() * this.#paceMs);
    while (!this.#stopped) {
      if (!this.#closed.has(node)) {
        await Promise.race([this.#send(node, partition, key), this.#released, sleep(this.#patienceMs)]);
      }
      await sleep(this.#paceMs);
    }
  }

  #send(node, partition, key) {
    const write = { node, partition, sentAt: performance.now(), round: this.#round, ended: undefined };
    write.ended = this.#attempt(write, key);
    this.#underWay.add(write);
    return write.ended;
  }

  async #attempt(write, key) {
    const url = `${write.node.url}/v1/kv/${key}?route=forward`;
    const result = await attempt(this.#agent, 'PUT', url, { body: this.#value });
    const outcome = outcomeOf(result);
    this.#underWay.delete(write);
    if (outcome === 'refused') this.#closed.add(write.node);
    write.round?.count(write, outcome, result);
  }
}

/** What happened between one signal and the return to rest. */
class Round {
  endedAt;
  signalledAt;
  counts = { done: 0, not_applied: 0, refused: 0, unknown: 0, lost: 0 };
  /** What the first unknown ones looked like. */
  samples = [];
  #victim;
  #abrupt;
  #answers;

  constructor({ victim, abrupt, signalledAt, partitions }) {
    this.#victim = victim;
    this.#abrupt = abrupt;
    this.signalledAt = signalledAt;
    this.#answers = new Map(partitions.map((partition) => [partition, []]));
  }

  count({ node, partition, sentAt }, outcome, result) {
    const now = performance.now();
    if (node === this.#victim && this.#abrupt) return;
    this.counts[outcome] += 1;
    if (outcome === 'unknown' || outcome === 'lost') this.#sample({ node, sentAt, now, outcome, result });
    // Through survivors, and sent after the signal: an answer on its way at the signal shows nothing.
    if (outcome !== 'done' || node === this.#victim || sentAt < this.signalledAt) return;
    this.#answers.get(partition).push({ sentAt, at: now });
  }

  get unknown() {
    return this.counts.unknown + this.counts.lost;
  }

  /** Whether a write to `partition` that was sent after `time` has been answered. */
  servedAfter(partition, time) {
    return this.#answers.get(partition).some(({ sentAt }) => sentAt > time);
  }

  /** The longest time, in ms, in which no write to `partition` was answered, from the signal to the round's end. */
  gapMs(partition) {
    let last = this.signalledAt;
    let longest = 0;
    for (const { at } of this.#answers.get(partition)) {
      if (at > this.endedAt) break;
      longest = Math.max(longest, at - last);
      last = at;
    }
    return Math.max(longest, this.endedAt - last);
  }

  #sample({ node, sentAt, now, outcome, result }) {
    if (this.samples.length >= 20) return;
    this.samples.push({
      through: node.nodeId,
      victim: node === this.#victim,
      sentMs: sentAt - this.signalledAt,
      tookMs: now - sentAt,
      outcome,
      detail: result.type === 'answered' ? `${result.status} ${result.body}` : result.error.message,
      reused: result.reused,
    });
  }
}
