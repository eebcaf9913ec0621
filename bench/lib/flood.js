/**
 * Requests at a fixed rate, whatever the answers take: an open loop, over a fixed number of connections, each with one request under way at
 * most, so that no answer waits behind another. A request for which no connection is free waits for one, and its time counts.
 */
import { connect } from 'node:net';
import { build } from 'hdr-histogram-js';
import { sleep } from './report.js';

const headEnd = Buffer.from('\r\n\r\n');

/** One HTTP/1.1 connection. */
class FloodConnection {
  broken = false;
  #socket;
  #received = Buffer.alloc(0);
  #answered;

  constructor(url) {
    const { hostname, port } = new URL(url);
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#take(chunk));
    this.#socket.on('error', () => this.#end());
    this.#socket.on('close', () => this.#end());
  }

  /** `answered` is called once, with the status, or 0 when the connection was lost. */
  send(bytes, answered) {
    this.#answered = answered;
    if (this.broken) this.#end();
    else this.#socket.write(bytes);
  }

  destroy() {
    this.#socket.destroy();
  }

  #take(chunk) {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    const end = this.#received.indexOf(headEnd);
    if (end < 0) return;
    const head = this.#received.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#received.length < end + headEnd.length + length) return;
    this.#received = Buffer.alloc(0);
    if (/\r\nconnection: *close/i.test(head)) this.broken = true;
    this.#answer(Number(head.slice(9, 12)));
  }

  #end() {
    this.broken = true;
    this.#answer(0);
  }

  #answer(status) {
    const answered = this.#answered;
    this.#answered = undefined;
    answered?.(status);
  }
}

/** `targets`: { url, requests: Buffer[] }, the requests sent to it in turn, whole. */
export class Flood {
  #targets;
  #connections = [];

  constructor(targets) {
    this.#targets = targets.map(({ url, requests }) => ({ url, requests, free: [], waiting: [] }));
  }

  /** `count` connections to each target. */
  async open(count) {
    for (const target of this.#targets) {
      for (let opened = 0; opened < count; opened += 1) target.free.push(this.#connect(target));
    }
    await sleep(1000);
  }

  /**
   * `rate` requests a second, to the targets in turn. Resolves once all are answered, to { answers, lateMsMax }: `answers` by status,
   * 0 for none, each a histogram of latencies in µs from when the request was to be sent. Those to be sent before `fromMs` do not count.
   */
  async run({ rate, seconds, fromMs = 0 }) {
    const answers = new Map();
    const startedAt = performance.now();
    const all = Math.round(rate * seconds);
    let [sent, ended, lateMsMax] = [0, 0, 0];
    const dueAt = (number) => startedAt + (number * 1000) / rate;
    const count = (status, due) => {
      ended += 1;
      if (due < startedAt + fromMs) return;
      if (!answers.has(status)) answers.set(status, build());
      answers.get(status).recordValue(Math.max(1, Math.round((performance.now() - due) * 1000)));
    };
    while (sent < all) {
      const now = performance.now();
      for (; sent < all && dueAt(sent) <= now; sent += 1) {
        const due = dueAt(sent);
        if (due >= startedAt + fromMs) lateMsMax = Math.max(lateMsMax, now - due);
        this.#send(sent, (status) => count(status, due));
      }
      await sleep(Math.max(0, dueAt(sent) - performance.now()));
    }
    while (ended < all) await sleep(10);
    return { answers, lateMsMax };
  }

  /** `connections` to each target, each sending as soon as it is answered. Resolves to what was answered with 2xx, per second. */
  async closedLoop({ connections, seconds, fromMs }) {
    const startedAt = performance.now();
    let done = 0;
    const one = async (at) => {
      while (performance.now() < startedAt + seconds * 1000) {
        const status = await new Promise((resolve) => this.#send(at, resolve));
        if (status >= 200 && status < 300 && performance.now() >= startedAt + fromMs) done += 1;
        at += this.#targets.length;
      }
    };
    await Promise.all(Array.from({ length: connections * this.#targets.length }, (_, at) => one(at)));
    return done / (seconds - fromMs / 1000);
  }

  close() {
    for (const connection of this.#connections) connection.destroy();
  }

  #send(number, answered) {
    const target = this.#targets[number % this.#targets.length];
    const request = target.requests[Math.floor(number / this.#targets.length) % target.requests.length];
    const connection = target.free.pop();
    if (connection === undefined) target.waiting.push([request, answered]);
    // One that was never used is closed after a while.
    else this.#sendOn(connection.broken ? this.#connect(target) : connection, target, [request, answered]);
  }

  #sendOn(connection, target, [request, answered]) {
    connection.send(request, (status) => {
      const free = connection.broken ? this.#connect(target) : connection;
      const next = target.waiting.shift();
      if (next === undefined) target.free.push(free);
      else this.#sendOn(free, target, next);
      answered(status);
    });
  }

  #connect({ url }) {
    const connection = new FloodConnection(url);
    this.#connections.push(connection);
    return connection;
  }
}

/** A put of `value` as it goes over the wire. */
export function putRequest(url, key, value) {
  return Buffer.from(
    `PUT /v1/kv/${key} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nContent-Length: ${Buffer.byteLength(value)}\r\n\r\n${value}`,
  );
}

export function getRequest(url, key) {
  return Buffer.from(`GET /v1/kv/${key} HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
}

/** ms; 0 when there were none. */
export function percentileMs(histogram, percentile) {
  return (histogram?.getValueAtPercentile(percentile) ?? 0) / 1000;
}
