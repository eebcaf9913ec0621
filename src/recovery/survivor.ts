/** The data directory of a stopped node that is left, opened for looking at it and for beginning anew from it. */
import fs from 'node:fs';
import os from 'node:os';
import { defaults } from '../config.ts';
import { encodeMapChange, givenUpNonce, incarnationOf, metadataPartition } from '../cluster/metadata/records.ts';
import { encodeConfiguration } from '../raft/configuration.ts';
import { EntryKind, type Entry } from '../raft/types.ts';
import type { NodeId } from '../replica/ports.ts';
import { DataDirectoryError } from '../storage/data-directory.ts';
import { openIdentity, ownerOf, type OpenIdentity } from '../storage/identity.ts';
import { openLevelStorage } from '../storage/level-storage.ts';
import {
  appendAudit,
  auditFile,
  unfinishedRecovery,
  type AuditedPartition,
  type RecoveryBegun,
} from '../storage/recovery-audit.ts';
import type { OfflineStorage, Reincarnation } from '../storage/reincarnation.ts';
import { openReplicaDoubts } from '../storage/replica-doubts.ts';
import { markedDoubt } from '../storage/set-aside.ts';
import type { Decision } from './decide.ts';
import { surveyOf, type Survey, type SurveyedReplica } from './survey.ts';
import { votersOf, type Beginning, type Verdict } from './verdicts.ts';

export interface Survivor {
  readonly survey: Survey;
  /**
   * A recovery whose partitions have begun anew here, and that was not seen to its end: the rest is missing. One that did not come so far
   * has done nothing.
   */
  readonly unfinished: RecoveryBegun | undefined;
  /** Begins anew what is to begin on this node, and gives up the lost ones. Returns the file that tells of it. */
  recover(decision: Decision, confirmed: RecoveryBegun['confirmed']): Promise<string>;
  /** The rest of a recovery whose partitions have begun anew. */
  finish(begun: RecoveryBegun): string;
  /** Lets others have the directory. */
  close(): Promise<void>;
}

export type Opened =
  | { readonly type: 'opened'; readonly survivor: Survivor }
  /** In words; nothing was changed. */
  | { readonly type: 'refused'; readonly problem: string };

/**
 * Locks the directory, which counts as a start of the node, and reads and judges all that is in it as a start does. Rejects with a StorageDamage
 * where it can't be believed.
 */
export async function openSurvivor(directory: string): Promise<Opened> {
  const owner = fs.existsSync(directory) ? ownerOf(directory) : undefined;
  if (owner === undefined) return { type: 'refused', problem: `${directory} holds no node's data` };
  let identity: OpenIdentity;
  try {
    identity = await openIdentity({ directory, nodeId: owner.nodeId, clusterName: owner.clusterName });
  } catch (error) {
    if (!(error instanceof DataDirectoryError)) throw error;
    const hint = error.code === 'locked' ? ': stop the node first' : '';
    return { type: 'refused', problem: `${error.message}${hint}` };
  }
  const open: { close(): Promise<void> }[] = [identity];
  try {
    const doubt = markedDoubt(directory);
    if (doubt !== undefined) return { type: 'refused', problem: `${directory} can't be believed: ${doubt.reason}` };
    const disk = await openDisk(directory, identity);
    open.unshift(disk.storage);
    const survey = await surveyOf({ identity, storage: disk.storage, doubts: openReplicaDoubts(directory) });
    if (!('refused' in survey)) {
      open.splice(0);
      return { type: 'opened', survivor: new StoppedNode({ directory, identity, disk, survey }) };
    }
    return { type: 'refused', problem: survey.refused };
  } finally {
    for (const one of open) await one.close();
  }
}

interface Disk {
  readonly storage: OfflineStorage;
  /** Rejects when a batch can't be made durable. */
  readonly failed: Promise<never>;
}

async function openDisk(directory: string, identity: OpenIdentity): Promise<Disk> {
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = (error) => reject(error instanceof Error ? error : new Error(String(error)));
  });
  // Heard by whoever writes; without anything to write nothing depends on it.
  failed.catch(() => undefined);
  const { incarnation } = identity.identity();
  const storage = await openLevelStorage({ directory, config: defaults.storage, incarnation, onFailure: fail });
  return { storage, failed };
}

class StoppedNode implements Survivor {
  readonly survey: Survey;
  readonly unfinished: Survivor['unfinished'];
  readonly #directory: string;
  readonly #identity: OpenIdentity;
  #disk: Disk;

  constructor(parts: {
    readonly directory: string;
    readonly identity: OpenIdentity;
    readonly disk: Disk;
    readonly survey: Survey;
  }) {
    this.survey = parts.survey;
    this.#directory = parts.directory;
    this.#identity = parts.identity;
    this.#disk = parts.disk;
    const begun = unfinishedRecovery(parts.directory);
    const isUnderWay = begun !== undefined && begun.partitions.length > 0 && isStored(begun, parts.survey.replicas);
    this.unfinished = isUnderWay ? begun : undefined;
  }

  /**
   * In this order: word that it begins; the one batch by which it has begun; the lost ones are given up; the map; word that it is done. A crash before the
   * batch has changed nothing; behind it `finish` does the rest.
   */
  async recover(decision: Decision, confirmed: RecoveryBegun['confirmed']): Promise<string> {
    const own = decision.beginnings.filter(({ nodeId }) => nodeId === this.survey.nodeId);
    const begun = this.#begun(decision, confirmed);
    appendAudit(this.#directory, begun);
    if (own.length > 0) {
      const { storage, failed } = this.#disk;
      // What a dead replica of before had stored goes by itself, now that the directory is open.
      while (own.some(({ partition }) => storage.dead(partition).remains)) await Promise.race([pause(), failed]);
      await Promise.race([storage.reincarnate(own.map((beginning) => reincarnationOf(beginning, decision))), failed]);
      await this.#reopen(begun);
    }
    this.#identity.saveMap(encodeMapChange(decision.map));
    return this.finish(begun);
  }

  finish({ lost, decision }: RecoveryBegun): string {
    // From here on none of their earlier stays is let back: they find that out before they take part in anything (`node/old-copy.ts`).
    for (const { nodeId, stay } of lost) {
      const incarnation = incarnationOf(stay + 1);
      const seen = this.#identity.peer(nodeId as NodeId);
      if (seen !== undefined && seen.incarnation > incarnation) continue;
      this.#identity.savePeer(nodeId as NodeId, { incarnation, nonce: givenUpNonce });
    }
    appendAudit(this.#directory, { event: 'done', at: new Date().toISOString(), decision });
    return auditFile(this.#directory);
  }

  async close(): Promise<void> {
    await this.#disk.storage.close();
    await this.#identity.close();
  }

  /** What the node will find at its next start is found now. */
  async #reopen(begun: RecoveryBegun): Promise<void> {
    await this.#disk.storage.close();
    this.#disk = await openDisk(this.#directory, this.#identity);
    const survey = await surveyOf({
      identity: this.#identity,
      storage: this.#disk.storage,
      doubts: openReplicaDoubts(this.#directory),
    });
    if ('refused' in survey || !isStored(begun, survey.replicas)) {
      throw new Error('what was written is not what is read: the disk can not be trusted');
    }
  }

  #begun(decision: Decision, confirmed: RecoveryBegun['confirmed']): RecoveryBegun {
    const { nodeId, clusterName, clusterId } = this.survey;
    return {
      event: 'begun',
      at: new Date().toISOString(),
      decision: decision.name,
      cluster: clusterName,
      clusterId,
      node: nodeId,
      user: os.userInfo().username,
      host: os.hostname(),
      confirmed,
      lost: decision.lost,
      partitions: decision.verdicts.flatMap((verdict) => auditOf(verdict, nodeId)),
    };
  }
}

/** Between two looks at what still has to go. */
const pauseMs = 20;

function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, pauseMs));
}

export function isStored({ partitions }: RecoveryBegun, replicas: readonly SurveyedReplica[]): boolean {
  return partitions.every(({ partition, to }) =>
    replicas.some((replica) => replica.partition === partition && replica.replicaId === to.replicaId),
  );
}

function auditOf(verdict: Verdict, self: NodeId): readonly AuditedPartition[] {
  if (!('beginning' in verdict) || verdict.beginning.nodeId !== self) return [];
  const { partition, beginning, held } = verdict;
  const { replicaId, incarnation, term, index } = beginning;
  const from = verdict.type === 'anew' ? verdict.from.replica : undefined;
  return [
    {
      partition,
      from: from && {
        replicaId: from.replicaId,
        term: from.currentTerm,
        lastIndex: from.lastIndex,
        lastTerm: from.lastTerm,
        appliedIndex: from.appliedIndex,
        keys: from.keys,
        bytes: from.bytes,
        voters: votersOf(from),
      },
      to: { replicaId, incarnation, term, index },
      givenUp: held
        .filter(({ nodeId }) => nodeId !== self)
        .map(({ nodeId, replica: { replicaId: id, lastIndex, lastTerm } }) => {
          return { nodeId, replicaId: id, lastIndex, lastTerm };
        }),
    },
  ];
}

function reincarnationOf(beginning: Beginning, { directory }: Decision): Reincarnation {
  const { partition, replicaId, index, term } = beginning;
  const configuration = encodeConfiguration(beginning.configuration);
  const first: Entry = { index, term, kind: EntryKind.configuration, body: configuration };
  const more = partition === metadataPartition ? (directory?.entries ?? []) : [];
  return {
    partition,
    replicaId,
    // As if it had led that term: it appended its entries.
    hardState: { currentTerm: term, votedFor: replicaId },
    entries: [first, ...more],
    configuration,
  };
}
