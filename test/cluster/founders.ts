import type { BootstrapConfig } from '../../src/config.ts';

/** A founding list of nodes n1, n2, … with 12 partitions and replication factor 3 (1 when there are fewer nodes). */
export function bootstrap(
  count: number,
  labels: (i: number) => Readonly<Record<string, string>> = () => ({}),
): BootstrapConfig {
  return {
    partitions: 12,
    replicationFactor: count < 3 ? 1 : 3,
    nodes: Array.from({ length: count }, (_, i) => ({
      nodeId: `n${i + 1}`,
      peer: `127.0.0.1:${7101 + i}`,
      http: `http://127.0.0.1:${7001 + i}`,
      labels: labels(i),
    })),
  };
}
