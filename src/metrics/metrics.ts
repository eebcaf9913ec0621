/**
 * `/metrics`: what is counted as it happens, and what is read at the moment of a scrape, in Prometheus's text format. All of this process; nobody
 * else is asked and nothing is waited for, so that it tells of an overload while that lasts.
 */
import { Registry } from 'prom-client';
import type { MetricsConfig } from '../config.ts';
import { NodeGauges } from './node-gauges.ts';
import type { Exposition, FrontMetrics, FrontReadings, NodeReadings, StorageMeter } from './ports.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { FrontGauges, RequestMetrics } from './request-metrics.ts';
import { ReplicaGauges } from './replica-gauges.ts';
import { StorageMetrics } from './storage-metrics.ts';

export class Metrics implements FrontMetrics {
  readonly requests: RequestMetrics;
  readonly storage: StorageMeter;
  readonly #registry = new Registry();
  readonly #front: FrontGauges;
  readonly #node: NodeGauges;
  readonly #replicas: ReplicaGauges;
  readonly #process: ProcessMetrics;
  #frontReadings: () => FrontReadings | undefined = () => undefined;
  #nodeReadings: () => NodeReadings | undefined = () => undefined;

  constructor(config: MetricsConfig) {
    const registry = this.#registry;
    this.requests = new RequestMetrics(registry);
    this.#front = new FrontGauges(registry);
    this.#replicas = new ReplicaGauges(registry, config.partitionsMax);
    this.storage = new StorageMetrics(registry);
    this.#node = new NodeGauges(registry);
    this.#process = new ProcessMetrics(registry, config.loopSampleMs);
  }

  followFront(readings: () => FrontReadings): void {
    this.#frontReadings = readings;
  }

  /** A node that comes in anew within this process takes the place of the one before. */
  followNode(readings: () => NodeReadings): void {
    this.#nodeReadings = readings;
  }

  async scrape(): Promise<Exposition> {
    const front = this.#frontReadings();
    if (front !== undefined) this.#front.take(front);
    const node = this.#nodeReadings();
    if (node !== undefined) {
      this.#node.take(node);
      this.#replicas.take(node);
    }
    this.#process.take();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  close(): void {
    this.#process.close();
  }
}
