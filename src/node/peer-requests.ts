/** What other nodes ask of this one over the peer connection, besides Raft. */
import { encodeOutcome } from '../cluster/forwarding.ts';
import type { Formation } from '../cluster/formation.ts';
import type { LeaderTransfers } from '../cluster/leader-transfer.ts';
import type { Router } from '../cluster/router.ts';
import { isFields } from '../cluster/shapes.ts';
import { encodeStatus } from '../cluster/status.ts';
import { changesRequest, encodeChanges } from '../cluster/watch/changes-messages.ts';
import type { ChangeSource } from '../cluster/watch/change-source.ts';
import { refuseTransfer } from '../cluster/transfer-messages.ts';
import type { Lane, NodeId } from '../replica/ports.ts';
import { refusedDigest } from '../replica/digest-messages.ts';
import { refused, type SnapshotRequest } from '../replica/snapshot-messages.ts';
import { diskRequest, type DiskWatch } from './disk-watch.ts';
import type { GroupHost } from './group-host.ts';
import type { MetadataHost } from './metadata-host.ts';

export interface PeerRequestsOptions {
  readonly router: Router;
  readonly transfers: LeaderTransfers;
  readonly host: GroupHost;
  readonly metadata: MetadataHost;
  readonly formation: Formation;
  readonly disks: Pick<DiskWatch, 'heard'>;
  readonly changes: Pick<ChangeSource, 'handle'>;
  /** Of the newest start of that node which this one has heard of. */
  readonly nonceOf: (peer: NodeId) => string | undefined;
}

export class PeerRequests {
  readonly #options: PeerRequestsOptions;
  #running = 0;
  #closing = false;
  #drained: () => void = () => undefined;

  constructor(options: PeerRequestsOptions) {
    this.#options = options;
  }

  /** Rejects for a kind not known here: the asker is newer than this node. */
  async answer(from: NodeId, kind: string, payload: unknown, lane: Lane): Promise<unknown> {
    this.#running += 1;
    try {
      return await this.#answer(from, kind, payload, lane);
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#drained();
    }
  }

  /** Begins nothing new; resolves once all that is under way is answered. */
  drain(): Promise<void> {
    this.#closing = true;
    return new Promise((resolve) => {
      this.#drained = resolve;
      if (this.#running === 0) resolve();
    });
  }

  #isOfNewestStart(from: NodeId, payload: unknown): boolean {
    const nonce = isFields(payload) ? payload['nonce'] : undefined;
    return nonce !== undefined && nonce === this.#options.nonceOf(from);
  }

  #answer(from: NodeId, kind: string, payload: unknown, lane: Lane): Promise<unknown> {
    const { router, transfers, host, formation, metadata, disks, changes } = this.#options;
    const refusal = this.#closing ? refusalOf(kind, payload) : undefined;
    if (refusal !== undefined) return Promise.resolve(refusal);
    if (isOfSnapshots(kind)) return host.handleSnapshot(from, kind, payload);
    // Safety: what comes on the bulk lane is only lent, and nobody else knows how to deal with that.
    if (lane === 'bulk')
      return Promise.reject(new Error(`only snapshots come on the bulk lane, not ${JSON.stringify(kind)}`));
    switch (kind) {
      case 'forward':
        return router.handleForward(payload);
      case 'leaving':
        // What a start had said before it ended may arrive when the next one is there, of which it is not true.
        if (this.#isOfNewestStart(from, payload)) host.peerLeaving(from);
        return Promise.resolve(null);
      case 'transfer':
        return transfers.handleTransfer(payload);
      case 'digest.begin':
      case 'digest.result':
      case 'digest.end':
      case 'digest.differs':
        return host.handleDigest(from, kind, payload);
      case 'status':
        return Promise.resolve(encodeStatus(host.statuses()));
      case changesRequest:
        return changes.handle(payload);
      case diskRequest:
        return disks.heard(from, payload);
      case 'formation.state':
      case 'formation.prepare':
        return Promise.resolve(formation.handle(kind, payload, from));
      default:
        return (
          metadata.handle(kind, payload, from) ??
          Promise.reject(new Error(`this node knows no request of kind ${JSON.stringify(kind)}`))
        );
    }
  }
}

/** The answer of a node that begins nothing any more; undefined for what it still does, since it only tells or notes something. */
function refusalOf(kind: string, payload: unknown): unknown {
  if (isOfSnapshots(kind)) return refused('the node stops');
  switch (kind) {
    case 'forward':
      return encodeOutcome({ type: 'shutting_down' });
    case 'transfer':
      return refuseTransfer(payload);
    case changesRequest:
      return encodeChanges({ type: 'not_here' });
    case 'digest.begin':
      return refusedDigest('the node stops');
    default:
      return undefined;
  }
}

const kindsOfSnapshots: ReadonlySet<string> = new Set<SnapshotRequest>([
  'snapshot.begin',
  'snapshot.chunk',
  'snapshot.end',
]);

function isOfSnapshots(kind: string): boolean {
  return kindsOfSnapshots.has(kind);
}
