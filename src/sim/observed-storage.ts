import { decodeRecord, metadataPartition } from '../cluster/metadata/records.ts';
import type { StateWrite } from '../kv/types.ts';
import { noReplica } from '../raft/types.ts';
import type { NodeId, PartitionId, ReplicaDescriptor, StateDigest, StateReading, Storage } from '../replica/ports.ts';
import type { RaftJudge, ReplicaKey } from './raft-judge.ts';
import { Violation } from './violation.ts';
import type { World } from './world.ts';

/** What the directory says of a group, or of a node. */
function judgeRecord(judge: RaftJudge, write: StateWrite, index: number): void {
  if (write.type !== 'put') return;
  const decoded = decodeRecord(write.key, write.record.value);
  if (decoded?.type === 'partition') judge.listed(decoded.record.id, decoded.record.replicas);
  if (decoded?.type === 'node' && decoded.record.standing === 'removed') judge.retired(decoded.record.nodeId, index);
}

/** Which replica of each partition lives on a node, by the map and, once that is open, by its storage. */
export type ReplicaKeys = Map<PartitionId, ReplicaKey>;

export function replicaKeys(
  nodeId: NodeId,
  partitions: readonly { readonly id: PartitionId; readonly replicas: readonly ReplicaDescriptor[] }[],
  storage?: Storage,
): ReplicaKeys {
  const keys = new Map<PartitionId, ReplicaKey>();
  for (const { id, replicas } of partitions) {
    const self = replicas.find((replica) => replica.nodeId === nodeId);
    if (self === undefined || (storage?.dead(id).through ?? noReplica) >= self.replicaId) continue;
    keys.set(id, { nodeId, partition: id, replicaId: self.replicaId });
  }
  for (const partition of storage?.partitions() ?? []) {
    const replicaId = storage?.group(partition).replicaId;
    if (replicaId !== undefined) keys.set(partition, { nodeId, partition, replicaId });
  }
  return keys;
}

/** The storage, with the judge told of all that goes in and of all that became durable before its owner hears of it. */
export function observedStorage(
  storage: Storage,
  { judge, digests, watches, violated, installing, scheduler }: World,
  nodeId: NodeId,
  keys: ReplicaKeys,
): Storage {
  const keyOf = (partition: PartitionId): ReplicaKey => {
    const key = keys.get(partition);
    if (key !== undefined) return key;
    throw new Violation('dead replicas', `${nodeId} stores for a replica that does not live there`, partition);
  };
  return {
    partitions: () => storage.partitions(),
    foundGroup: (partition, replicaId) => {
      const key = { nodeId, partition, replicaId };
      keys.set(partition, key);
      storage.foundGroup(partition, replicaId);
      judge.started(key, { ...storage.group(partition), log: storage.log(partition) });
    },
    dead: (partition) => storage.dead(partition),
    destroyGroup: async (partition, removed) => {
      const key = { nodeId, partition, replicaId: removed.replicaId };
      try {
        judge.destroyed(key);
      } catch (violation) {
        violated(violation);
        throw violation;
      }
      keys.delete(partition);
      // In several steps too, which a crash may part.
      installing(nodeId);
      scheduler.promisesMove();
      await storage.destroyGroup(partition, removed);
      judge.gone(key);
    },
    group: (partition) => storage.group(partition),
    log: (partition) => storage.log(partition),
    state: (partition) => storage.state(partition),
    dueKeys: (partition, range) => {
      scheduler.promisesMove();
      return storage.dueKeys(partition, range);
    },
    values: (partition, range) => {
      scheduler.promisesMove();
      return storage.values(partition, range);
    },
    rememberedResults: (partition, range) => {
      scheduler.promisesMove();
      return storage.rememberedResults(partition, range);
    },
    appendLog: (write, onDurable) => {
      const key = keyOf(write.partition);
      if (write.compactThrough !== undefined) judge.stateDurable(key, storage.durableAppliedIndex(write.partition));
      judge.appended(key, write);
      if (write.install !== undefined) installing(key.nodeId);
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
    stageState: (partition, writes, machineState, configuration, kept) => {
      judge.staged(keyOf(partition), writes, machineState, configuration);
      if (partition === metadataPartition)
        for (const write of writes) judgeRecord(judge, write, machineState.appliedIndex);
      else watches.applied(partition, machineState.appliedIndex, writes);
      storage.stageState(partition, writes, machineState, configuration, kept);
    },
    keptChanges: (partition, index) => storage.keptChanges(partition, index),
    durableAppliedIndex: (partition) => storage.durableAppliedIndex(partition),
    openSnapshot: (partition) => storage.openSnapshot(partition),
    trapState: (partition, index) => {
      const trap = storage.trapState(partition, index);
      if (trap === undefined) return undefined;
      const told = (digest: StateDigest): void => digests.summed(nodeId, partition, { index, digest });
      return { ...trap, sprung: trap.sprung.then((reading) => reading && observedReading(reading, told)) };
    },
    beginSnapshot: (partition) => {
      judge.snapshotDropped(keyOf(partition));
      return storage.beginSnapshot(partition);
    },
    stageSnapshotChunk: (partition, records) => storage.stageSnapshotChunk(partition, records),
    completeSnapshot: async (partition, machineState, configuration) => {
      await storage.completeSnapshot(partition, machineState, configuration);
      try {
        judge.snapshotStaged(keyOf(partition), machineState, configuration);
      } catch (violation) {
        violated(violation);
        throw violation;
      }
    },
    flush: () => storage.flush(),
    pendingBytes: () => storage.pendingBytes(),
    close: () => storage.close(),
  };
}

function observedReading(reading: StateReading, told: (digest: StateDigest) => void): StateReading {
  return {
    machineState: reading.machineState,
    read: (bytesMax) => reading.read(bytesMax),
    digest: () => {
      const digest = reading.digest();
      told(digest);
      return digest;
    },
    close: () => reading.close(),
  };
}
