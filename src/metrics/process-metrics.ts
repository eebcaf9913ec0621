/** The process: how late its event loop is, and what it takes. Names without a prefix are those that Prometheus's own clients give. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

export class ProcessMetrics {
  readonly #timer: NodeJS.Timeout;
  readonly #cpu: Counter;
  readonly #memory: Gauge;

  /** A timer is late by as much as the loop was held up: so a histogram comes of it that can be added up over nodes and time. */
  constructor(registry: Registry, loopSampleMs: number) {
    const registers = [registry];
    const lag = new Histogram({
      name: 'flotilla_event_loop_lag_seconds',
      help: 'Histogram, seconds: by which a timer was late that is due every metrics.loopSampleMs.',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    let dueAt = performance.now() + loopSampleMs;
    this.#timer = setInterval(() => {
      const now = performance.now();
      lag.observe(Math.max(0, now - dueAt) / 1000);
      dueAt = now + loopSampleMs;
    }, loopSampleMs);
    this.#timer.unref();
    this.#cpu = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'Counter, seconds: of processor time, user and system.',
      registers,
    });
    this.#memory = new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Gauge, bytes: of memory that the process has now.',
      registers,
    });
    new Gauge({
      name: 'process_start_time_seconds',
      help: 'Gauge, seconds since 1970: when the process started.',
      registers,
    }).set(performance.timeOrigin / 1000);
  }

  take(): void {
    const { user, system } = process.cpuUsage();
    this.#cpu.reset();
    this.#cpu.inc((user + system) / 1e6);
    this.#memory.set(process.memoryUsage.rss());
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
