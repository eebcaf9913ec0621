/** A great many puts in little processor time: pipelined over raw connections, each directly to its key's leader. */
import { connect } from 'node:net';
import { sleep } from './report.js';

const noiseBytes = 1 << 20;
const noise = Buffer.from(Array.from({ length: noiseBytes }, () => Math.random() * 256));
const redialDelayMs = 100;
const headEnd = Buffer.from('\r\n\r\n');

/**
 * Puts `keyOf(i)` for each i below `count`, with `valueBytes` of noise. What is redirected, refused or lost is sent again
 * after the leaders were asked for, so every put is acknowledged in the end. Resolves to { seconds, again }, where
 * `again` is how many were sent more than once. Rejects when nothing has been acknowledged for `silenceMaxMs`.
 */
export async function loadKeys(options) {
  const run = new LoadRun(options);
  try {
    return await run.done();
  } finally {
    run.close();
  }
}

class LoadRun {
  #options;
  #pipes = new Map();
  #waiting = new Map();
  #next = 0;
  #acknowledged = 0;
  #again = 0;
  #repeat = [];
  #refreshing = false;
  #closed = false;

  constructor({ leaders, count, keyOf, valueBytes, connections = 32, depth = 32, silenceMaxMs = 30_000 }) {
    this.#options = { leaders, count, keyOf, valueBytes, connections, depth, silenceMaxMs };
  }

  async done() {
    const { count, silenceMaxMs } = this.#options;
    const startedAt = performance.now();
    this.#pump();
    let [before, since] = [0, startedAt];
    while (this.#acknowledged < count) {
      await sleep(10);
      this.#pump(); // After all connections to a server were lost, no answer says that there is room again.
      const now = performance.now();
      if (this.#acknowledged > before) [before, since] = [this.#acknowledged, now];
      else if (now - since > silenceMaxMs) {
        throw new Error(`${this.#acknowledged} of ${count} puts are acknowledged, and none for ${silenceMaxMs} ms`);
      }
    }
    return { seconds: (performance.now() - startedAt) / 1000, again: this.#again };
  }

  close() {
    this.#closed = true;
    for (const pipe of [...this.#pipes.values()].flat()) pipe.close();
  }

  /** Sends as much as there is room for. What waits for one server's room is bounded: then no more is drawn for others. */
  #pump() {
    const { count, connections, depth } = this.#options;
    for (const [url, waiting] of this.#waiting) {
      while (waiting.length > 0 && this.#maybeSend(url, waiting.at(-1))) waiting.pop();
    }
    for (;;) {
      if (this.#refreshing || (this.#repeat.length === 0 && this.#next >= count)) return;
      const index = this.#repeat.pop() ?? this.#next++;
      const url = this.#options.leaders.urlOf(this.#options.keyOf(index));
      if (this.#maybeSend(url, index)) continue;
      const waiting = this.#waiting.get(url) ?? [];
      this.#waiting.set(url, waiting);
      waiting.push(index);
      if (waiting.length >= connections * depth) return;
    }
  }

  #maybeSend(url, index) {
    if (!this.#pipes.has(url)) {
      const dial = () => new Pipe(url, (put, status) => this.#answered(put, status), this.#options.depth);
      this.#pipes.set(url, Array.from({ length: this.#options.connections }, dial));
    }
    const pipes = this.#pipes.get(url);
    const pipe = pipes.reduce((least, other) => (other.room > least.room ? other : least));
    if (pipe.room <= 0) return false;
    const from = Math.floor(Math.random() * (noiseBytes - this.#options.valueBytes));
    pipe.put(index, this.#options.keyOf(index), noise.subarray(from, from + this.#options.valueBytes));
    return true;
  }

  /** `status` is undefined when the connection was lost. */
  #answered(index, status) {
    if (this.#closed) return;
    if (status >= 200 && status < 300) {
      this.#acknowledged += 1;
      this.#pump();
      return;
    }
    this.#again += 1;
    this.#repeat.push(index);
    if (this.#refreshing) return;
    this.#refreshing = true;
    void this.#options.leaders.refresh().then(() => {
      this.#refreshing = false;
      for (const waiting of this.#waiting.values()) this.#repeat.push(...waiting.splice(0));
      if (!this.#closed) this.#pump();
    });
  }
}

/** One connection with up to `depth` puts under way; dials again when it is lost. */
class Pipe {
  #url;
  #answered;
  #depth;
  #socket;
  #underWay = [];
  #received = Buffer.alloc(0);
  #open = false;
  #closed = false;

  constructor(url, answered, depth) {
    this.#url = new URL(url);
    this.#answered = answered;
    this.#depth = depth;
    this.#dial();
  }

  get room() {
    return this.#open ? this.#depth - this.#underWay.length : 0;
  }

  put(index, key, value) {
    this.#underWay.push(index);
    this.#socket.cork();
    this.#socket.write(
      `PUT /v1/kv/${key} HTTP/1.1\r\nHost: ${this.#url.host}\r\nContent-Length: ${value.length}\r\n\r\n`,
      'latin1',
    );
    this.#socket.write(value);
    process.nextTick(() => this.#socket.uncork());
  }

  close() {
    this.#closed = true;
    this.#socket.destroy();
  }

  #dial() {
    // What is written before it is connected is kept by the socket.
    this.#open = true;
    this.#received = Buffer.alloc(0);
    const socket = connect({ host: this.#url.hostname, port: Number(this.#url.port), noDelay: true });
    this.#socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => undefined); // 'close' follows.
    socket.on('close', () => this.#lost());
  }

  #lost() {
    this.#open = false;
    for (const index of this.#underWay.splice(0)) this.#answered(index, undefined);
    if (!this.#closed) setTimeout(() => this.#closed || this.#dial(), redialDelayMs);
  }

  #read(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    let at = 0;
    for (;;) {
      const end = this.#received.indexOf(headEnd, at);
      if (end === -1) break;
      const head = this.#received.latin1Slice(at, end);
      const status = Number(head.slice(9, 12));
      const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
      if (this.#received.length < end + headEnd.length + length) break;
      at = end + headEnd.length + length;
      this.#answered(this.#underWay.shift(), status);
    }
    this.#received = this.#received.subarray(at);
  }
}
