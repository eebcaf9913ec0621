/** What all parts of one simulated world share. */
import type { Config } from '../config.ts';
import type { PartitionMap } from '../cluster/partition-map.ts';
import type { NodeId, PartitionId } from '../replica/ports.ts';
import type { DigestJudge } from './digest-judge.ts';
import type { Network } from './network.ts';
import type { RaftJudge } from './raft-judge.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';
import type { WatchJudge } from './watch-judge.ts';

export interface World {
  readonly seed: number;
  readonly config: Omit<Config, 'nodeId'>;
  readonly map: PartitionMap;
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly judge: RaftJudge;
  readonly trace: Trace;
  /** A key of this partition. */
  readonly keyIn: (partition: PartitionId) => string;
  /** A node has handed the installation of a snapshot to its disk. */
  readonly installing: (nodeId: NodeId) => void;
  readonly digests: DigestJudge;
  readonly watches: WatchJudge;
  /** Something that must never happen did. The first one ends the run. */
  readonly violated: (violation: unknown) => void;
}
