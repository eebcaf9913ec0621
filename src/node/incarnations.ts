/**
 * Who may talk to this node, by what it has seen of them before.
 *
 * Safety: a node whose disk was put back to an older state has forgotten votes and acknowledged entries. Each start
 * writes a higher incarnation and a new nonce before it connects, and every peer remembers the highest durably, so an
 * old copy is told apart by its number, and two copies started from one state by their nonces.
 */
import type { Hello, IdentityStore, NodeId } from '../replica/ports.ts';

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
  // A founder whose disk was emptied counts its starts from 1 again. Its connection never carries Raft, since it names
  // no cluster; let in, it asks how far the founding is, learns that it was part of it, and stops in doubt.
  if (seen !== undefined && hello.clusterId === undefined && hello.incarnation <= seen.incarnation) return undefined;
  if (seen !== undefined && hello.incarnation < seen.incarnation) {
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
