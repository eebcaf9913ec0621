import type { NodeId, PartitionId, ReplicaDescriptor, Storage } from '../replica/ports.ts';
import type { ReplicaKey } from './raft-judge.ts';
import type { World } from './world.ts';

/** Which replica of each partition lives on a node. */
export type ReplicaKeys = ReadonlyMap<PartitionId, ReplicaKey>;

export function replicaKeys(
  nodeId: NodeId,
  partitions: readonly { readonly id: PartitionId; readonly replicas: readonly ReplicaDescriptor[] }[],
): ReplicaKeys {
  const keys = new Map<PartitionId, ReplicaKey>();
  for (const { id, replicas } of partitions) {
    const self = replicas.find((replica) => replica.nodeId === nodeId);
    if (self !== undefined) keys.set(id, { nodeId, partition: id, replicaId: self.replicaId });
  }
  return keys;
}

/** The storage, with the judge told of all that goes in and of all that became durable before its owner hears of it. */
export function observedStorage(storage: Storage, { judge, violated }: World, keys: ReplicaKeys): Storage {
  const keyOf = (partition: PartitionId): ReplicaKey => {
    const key = keys.get(partition);
    if (key === undefined) throw new Error(`partition ${partition} has no replica here`);
    return key;
  };
  return {
    group: (partition) => storage.group(partition),
    log: (partition) => storage.log(partition),
    state: (partition) => storage.state(partition),
    appendLog: (write, onDurable) => {
      const key = keyOf(write.partition);
      judge.appended(key, write);
      storage.appendLog(write, () => {
        try {
          judge.durable(key, write);
        } catch (violation) {
          violated(violation);
          return;
        }
        onDurable();
      });
    },
    stageState: (partition, writes, machineState) => {
      judge.staged(keyOf(partition), writes, machineState);
      storage.stageState(partition, writes, machineState);
    },
    flush: () => storage.flush(),
    pendingBytes: () => storage.pendingBytes(),
    close: () => storage.close(),
  };
}
