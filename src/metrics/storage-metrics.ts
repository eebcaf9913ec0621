/** Synced batches: how long they took, and what was in them. */
import { Histogram, type Registry } from 'prom-client';
import type { StorageMeter } from './ports.ts';

type Database = 'log' | 'state';

const KiB = 1024;

export class StorageMetrics implements StorageMeter {
  readonly #databases: Readonly<Record<Database, BatchHistograms>>;

  constructor(registry: Registry) {
    const registers = [registry];
    const labelNames = ['database'] as const;
    const duration = new Histogram({
      name: 'flotilla_storage_batch_duration_seconds',
      help: 'Histogram, seconds: until a batch was written and synced (fsync), by database.',
      labelNames,
      buckets: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    const size = new Histogram({
      name: 'flotilla_storage_batch_bytes',
      help: 'Histogram, bytes: that shared one fsync, as they were reckoned when the batch was made.',
      labelNames,
      buckets: [256, KiB, 4 * KiB, 16 * KiB, 64 * KiB, 256 * KiB, 1024 * KiB, 4096 * KiB, 16_384 * KiB],
      registers,
    });
    const items = new Histogram({
      name: 'flotilla_storage_batch_items',
      help: 'Histogram, writes: of all groups that shared one fsync.',
      labelNames,
      buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
      registers,
    });
    const of = (database: Database): BatchHistograms => ({
      duration: duration.labels(database),
      bytes: size.labels(database),
      items: items.labels(database),
    });
    this.#databases = { log: of('log'), state: of('state') };
  }

  batchBegun(database: Database, { items, bytes }: { readonly items: number; readonly bytes: number }): () => void {
    const histograms = this.#databases[database];
    const begunAt = performance.now();
    return () => {
      histograms.duration.observe((performance.now() - begunAt) / 1000);
      histograms.bytes.observe(bytes);
      histograms.items.observe(items);
    };
  }
}

interface BatchHistograms {
  readonly duration: Histogram.Internal<'database'>;
  readonly bytes: Histogram.Internal<'database'>;
  readonly items: Histogram.Internal<'database'>;
}
