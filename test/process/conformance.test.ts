/** The whole HTTP contract against real nodes: every answer passes the router, Raft and LevelDB. Both ways in. */
import { startCluster } from '../../src/testing/cluster.ts';
import { conformanceSuite } from '../conformance/suite.ts';

for (const fastPath of [true, false]) {
  conformanceSuite(`three nodes, ${fastPath ? 'fast path' : 'Express'}`, async () => {
    const cluster = await startCluster({ settings: { limits: { fastPath } } });
    return { baseUrl: cluster.nodes[0]?.url ?? '', close: () => cluster.close() };
  });
}
