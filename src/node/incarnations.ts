/**
 * Who may talk to this node, by what it has seen of them before.
 *
 * Safety: a node whose disk was put back to an older state has forgotten votes and acknowledged entries. Each start
 * writes a higher incarnation and a new nonce before it connects, and every peer remembers the highest durably, so an
 * old copy is told apart by its number, and two copies started from one state by their nonces.
 */
import { givenUpNonce } from '../cluster/metadata/records.ts';
import { isCount, isFields } from '../cluster/shapes.ts';
import type { Hello, IdentityStore, NodeId, PeerIncarnation } from '../replica/ports.ts';

/**
 * Why the sender of `hello` is refused; undefined when it is who it was, or newer. A newer start is durable on return,
 * and `onRestart` was told.
 */
export function verifyIncarnation(
  identity: Pick<IdentityStore, 'peer' | 'savePeer'>,
  hello: Hello,
  onRestart: (nodeId: NodeId) => void,
): string | undefined {
  const seen = identity.peer(hello.nodeId);
  // It names no cluster: a node that was never let in, one that was emptied and counts its starts from 1 again, or one that asks first
  // whether its disk is the newest. Such a connection never carries Raft. Nothing of it is kept: it is not known yet which start of the node
  // comes to be a member, and the one that does must not be refused for one that never was.
  if (hello.clusterId === undefined) {
    // What its earlier start had said is over all the same: that it is about to stop, for one.
    if (seen !== undefined && hello.nonce !== seen.nonce) onRestart(hello.nodeId);
    return undefined;
  }
  if (seen !== undefined && hello.incarnation < seen.incarnation) {
    if (seen.nonce === givenUpNonce) {
      return `node ${hello.nodeId} was given up for lost, and partitions were begun anew without it: its data directory is over`;
    }
    return `node ${hello.nodeId} comes with incarnation ${hello.incarnation}, but ${seen.incarnation} was seen: its data directory is an old copy`;
  }
  if (seen?.incarnation === hello.incarnation) {
    if (seen.nonce === hello.nonce) return undefined;
    return `two nodes named ${hello.nodeId} run from copies of one data directory (incarnation ${hello.incarnation})`;
  }
  identity.savePeer(hello.nodeId, { incarnation: hello.incarnation, nonce: hello.nonce });
  if (seen !== undefined) onRestart(hello.nodeId);
  return undefined;
}

/** A request between nodes: which start of me have you seen? Asked by whoever may have an old copy of its own disk (`old-copy.ts`). */
export const seenRequest = 'member.seen';

export function seenAnswer(identity: Pick<IdentityStore, 'peer'>, from: NodeId): object {
  const seen = identity.peer(from);
  return { seen: seen === undefined ? null : { incarnation: seen.incarnation, nonce: seen.nonce } };
}

/** In words, which start of this node `peer` has seen that this start does not come after; undefined when there is none. */
export function laterStart(own: PeerIncarnation, peer: NodeId, answer: unknown): string | undefined {
  const seen = isFields(answer) && isFields(answer['seen']) ? answer['seen'] : {};
  const { incarnation, nonce } = seen;
  if (!isCount(incarnation) || incarnation < own.incarnation) return undefined;
  if (incarnation === own.incarnation && nonce === own.nonce) return undefined;
  if (nonce === givenUpNonce)
    return `${peer} has given this node up for lost, and partitions were begun anew without it`;
  return incarnation > own.incarnation
    ? `${peer} has seen start ${incarnation} of this node, and by this data directory it is start ${own.incarnation}`
    : `${peer} has seen another start ${incarnation} of this node, from another copy of this data directory`;
}
