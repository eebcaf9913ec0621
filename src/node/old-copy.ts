/**
 * Before a node that was a member takes part again: is its data directory the newest, or an old copy that was put back?
 *
 * An old copy has forgotten votes and acknowledged entries. Its own content can't tell; its peers can. Each start counts one higher and
 * draws a nonce before it speaks to anyone, and every peer that meets it keeps both durably (`incarnations.ts`). So the node first listens
 * and dials as a member of no cluster, over connections that never carry Raft, and asks all other members which start of it they have seen. One
 * that is later than its own, or as late and another, proves the directory old. This start is registered with a peer as it connects as a member,
 * before anything depends on it.
 *
 * Safety: nothing is voted, acknowledged or served before all members have answered, or `oldCopyWaitMs` has passed for those that can't be
 * asked. The wait ends because a majority has to be enough: if a start needed the word of all, or one more majority than its
 * own disk is part of, then a node that restarts while another is down would stay out, and with three replicas their partitions too.
 * So an old copy is found whenever anyone who met a later start is in reach, and passes only where all of those are down at the moment of
 * its start: then two disks of a group are gone at once, its own and theirs, of which a group of three is made to lose one. When they come back they
 * refuse its connections. Not found either is a copy that was taken of a running node and put back before the node was ever started anew: by starts alone
 * nobody can tell these two apart.
 */
import type { LimitsConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import { parseFounding } from '../cluster/founding.ts';
import { decodeMapChange } from '../cluster/metadata/records.ts';
import type { Clock, IdentityStore, NodeId } from '../replica/ports.ts';
import { hostAndPort, type NodeTransport, type TransportBinding } from './composition.ts';
import { laterStart, seenAnswer, seenRequest, verifyIncarnation } from './incarnations.ts';

export interface Member {
  readonly nodeId: NodeId;
  readonly http: string;
  readonly peer: string;
}

export interface OldCopyOptions {
  readonly identity: Pick<IdentityStore, 'identity' | 'peer' | 'savePeer'>;
  readonly members: readonly Member[];
  readonly startTransport: (
    binding: TransportBinding,
  ) => Promise<Pick<NodeTransport, 'setPeers' | 'request' | 'connected' | 'close'>>;
  readonly clock: Clock;
  readonly limits: Pick<LimitsConfig, 'oldCopyWaitMs'>;
  readonly logger: Logger;
}

/** A peer that is there and can't answer is itself about to start. */
const retryMs = 50;

/** All other members, as far as this node's disk knows; none before it has taken part in the founding. */
export function otherMembers(identity: Pick<IdentityStore, 'identity' | 'map'>): readonly Member[] {
  const { nodeId, formation } = identity.identity();
  const parsed = formation.phase === 'unformed' ? undefined : parseFounding(formation.founding);
  if (parsed?.type !== 'founding') return [];
  const recorded = decodeMapChange(identity.map())?.nodes.map(({ record }) => record) ?? [];
  const founders = parsed.bootstrap.nodes.filter((node) => !recorded.some((record) => record.nodeId === node.nodeId));
  const all = [
    ...founders.map((node) => ({ ...node, nodeId: node.nodeId as NodeId })),
    ...recorded.filter(({ standing }) => standing !== 'removed'),
  ];
  return all
    .filter((member) => member.nodeId !== nodeId)
    .map(({ nodeId: id, http, peer }) => ({ nodeId: id, http, peer }));
}

/** Resolves with who has seen which later start, in words; undefined when nobody in reach has. Rejects when it can't listen. */
export async function findOldCopy(options: OldCopyOptions): Promise<string | undefined> {
  const { identity, members, startTransport, clock, limits, logger } = options;
  if (members.length === 0) return undefined;
  const { nodeId, incarnation, nonce } = identity.identity();
  const unheard = new Set(members.map((member) => member.nodeId));
  let finish: (found: string | undefined) => void = () => undefined;
  const found = new Promise<string | undefined>((resolve) => {
    finish = resolve;
  });
  let ask: (peer: NodeId) => Promise<void> = () => Promise.resolve();
  let over = false;
  const transport = await startTransport({
    self: { nodeId, incarnation, nonce, clusterId: undefined },
    handlers: {
      onMessage: () => undefined,
      onRequest: (from, kind) =>
        kind === seenRequest
          ? Promise.resolve(seenAnswer(identity, from))
          : Promise.reject(new Error('this node is about to start')),
      onPeerUp: (peer) => void ask(peer),
      onPeerDown: () => undefined,
      onPeerRefused: () => undefined,
    },
    verifyHello: (hello) => verifyIncarnation(identity, hello, () => undefined),
  });
  ask = async (peer) => {
    while (!over && unheard.has(peer) && transport.connected(peer)) {
      try {
        const answer = await transport.request(peer, seenRequest, null, limits.oldCopyWaitMs);
        unheard.delete(peer);
        const later = laterStart({ incarnation, nonce }, peer, answer);
        if (later !== undefined || unheard.size === 0) finish(later);
      } catch {
        await new Promise<void>((resolve) => void clock.after(retryMs, resolve));
      }
    }
  };
  const cancelWait = clock.after(limits.oldCopyWaitMs, () => {
    logger.info({ unheard: [...unheard] }, 'not all members could be asked whether this data directory is the newest');
    finish(undefined);
  });
  try {
    transport.setPeers(members.map(({ nodeId: peer, peer: address }) => ({ nodeId: peer, ...hostAndPort(address) })));
    return await found;
  } finally {
    over = true;
    cancelWait();
    await transport.close();
  }
}
