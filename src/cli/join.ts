/** A node that is to join asks the cluster to let it in, as anybody could with `flotilla node add`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '../client/connect.ts';
import { FlotillaError } from '../client/flotilla-error.ts';
import type { Config } from '../config.ts';

export interface JoinOptions {
  readonly config: Pick<Config, 'nodeId' | 'http' | 'peer' | 'labels' | 'placement'>;
  /** HTTP addresses of any members. */
  readonly addresses: readonly string[];
  /** For people: what it waits for. */
  readonly onWaiting: (reason: string) => void;
}

/** So long between two attempts at a cluster that does not answer, or has no leader. */
const retryMs = 1000;

/** Resolves once the cluster has taken it on. Rejects with the reason when it never will. */
export async function askToJoin({ config, addresses, onWaiting }: JoinOptions): Promise<void> {
  const { nodeId, http, peer, labels, placement } = config;
  const node = { nodeId, http: http.advertise, peer: peer.advertise, labels, weight: placement.weight };
  if (addresses.length === 0) {
    onWaiting(`waiting to be let in: curl -X POST <any member>/v1/cluster/nodes -d '${JSON.stringify(node)}'`);
    return;
  }
  const store = connect(addresses);
  try {
    for (;;) {
      try {
        await store.cluster.addNode(node);
        return;
      } catch (error) {
        // A member refuses for a reason that time does not mend; all else may.
        if (!(error instanceof FlotillaError) || error.code === 'change_refused' || error.code === 'invalid_argument')
          throw error;
        onWaiting(`waiting to be let in: ${error.message}`);
      }
      await sleep(retryMs, undefined, { ref: false });
    }
  } finally {
    await store.close();
  }
}
