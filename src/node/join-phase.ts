/**
 * A node with an empty directory that is to be a member of a cluster which is there already: it listens, says that it waits, and is let in by
 * the cluster's controller. It takes part in nothing before; behind it the node starts as any member does.
 *
 * Safety: what it is told is durable before it says so, the tombstones first: whoever finds this node formed finds them, too.
 */
import type { Config } from '../config.ts';
import type { Logger } from '../logger.ts';
import { parseFounding } from '../cluster/founding.ts';
import {
  decodeAdmission,
  type Admission,
  type AdmissionAnswer,
  type JoinState,
} from '../cluster/metadata/join-messages.ts';
import { encodeMapChange, incarnationOf } from '../cluster/metadata/records.ts';
import { planted } from '../planted.ts';
import { encodeConfiguration } from '../raft/configuration.ts';
import type { Clock, IdentityStore, Storage } from '../replica/ports.ts';
import type { NodeTransport, TransportBinding } from './composition.ts';

export interface JoinPhaseOptions {
  readonly config: Pick<Config, 'clusterName'>;
  readonly identity: IdentityStore;
  readonly storage: Pick<Storage, 'dead' | 'destroyGroup'>;
  readonly startTransport: (binding: TransportBinding) => Promise<Pick<NodeTransport, 'close'>>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** It listens: whoever knows a member may ask it to let this node in. Rejects when the cluster refuses. */
  readonly onListening: () => Promise<void>;
}

/** The answer is on its way before the connection goes. */
const farewellMs = 20;

/** Resolves once this node is a member, durably. Rejects when it can't listen, is refused, or its disk fails. */
export async function awaitAdmission(options: JoinPhaseOptions): Promise<void> {
  const { identity, startTransport, clock, onListening } = options;
  const { nodeId, incarnation, nonce } = identity.identity();
  let admitted: (() => void) | undefined;
  let failed: ((error: Error) => void) | undefined;
  const done = new Promise<void>((resolve, reject) => {
    admitted = resolve;
    failed = reject;
  });
  const fail = (error: unknown): void => failed?.(error instanceof Error ? error : new Error(String(error)));
  let underWay: { readonly asked: string; readonly answer: Promise<AdmissionAnswer> } | undefined;
  const answer = (kind: string, payload: unknown): Promise<unknown> => {
    if (kind === 'join.state') return Promise.resolve(ownState(options));
    if (kind !== 'join.admit') return Promise.reject(new Error('this node waits to be let into the cluster'));
    // A repeat is answered as the first was, anything else as what it is not.
    const asked = admissionName(payload);
    if (underWay !== undefined && underWay.asked !== asked)
      return Promise.resolve(refused('another admission came first'));
    underWay ??= {
      asked,
      answer: admit(options, payload).then(
        (answered) => {
          if (answered.type === 'admitted') admitted?.();
          else underWay = undefined;
          return answered;
        },
        (error: unknown) => {
          fail(error);
          throw error;
        },
      ),
    };
    return underWay.answer;
  };
  const transport = await startTransport({
    self: { nodeId, incarnation, nonce, clusterId: undefined },
    handlers: {
      onMessage: () => undefined,
      onRequest: (_from, kind, payload) => answer(kind, payload),
      onPeerUp: () => undefined,
      onPeerDown: () => undefined,
      onPeerRefused: () => undefined,
    },
    // It knows nobody yet, and tells everybody the same.
    verifyHello: () => undefined,
  });
  try {
    // Asked once more just as it is let in, a member refuses its name as taken: by then this node has said that it is in, and nothing fails.
    onListening().catch(fail);
    await done;
    await new Promise<void>((resolve) => void clock.after(farewellMs, resolve));
  } finally {
    await transport.close();
  }
}

/** Who lets it in, into which stay. */
function admissionName(payload: unknown): string {
  const admission = decodeAdmission(payload);
  return admission === undefined ? '' : [admission.nonce, admission.clusterId, admission.stay].join(' ');
}

/** Let in, it still listens for a moment: whoever took it for one that waits would have it let in once more, as an emptied one. */
function ownState({ identity }: JoinPhaseOptions): JoinState {
  const { nonce, clusterName, formation, incarnation } = identity.identity();
  if (formation.phase === 'formed') return { phase: 'member', clusterId: formation.clusterId, incarnation };
  return { phase: 'joining', nonce, clusterName };
}

async function admit({ identity, storage, logger }: JoinPhaseOptions, payload: unknown): Promise<AdmissionAnswer> {
  const admission = decodeAdmission(payload);
  if (admission === undefined) return refused('the admission is malformed');
  const { nonce, clusterId, founding, stay, map } = admission;
  if (nonce !== identity.identity().nonce) return refused('meant for an earlier start of this node');
  const list = parseFounding(founding);
  if (list.type === 'unreadable') return refused(`the founders' list can't be used: ${list.reason}`);
  await bury(storage, admission);
  identity.saveMap(encodeMapChange(map));
  identity.admit({ phase: 'formed', clusterId, founding }, incarnationOf(stay) + 1);
  logger.info({ clusterId, stay }, 'let into the cluster');
  return { type: 'admitted' };
}

/** No replica comes into being here under an id that was given out before. */
async function bury(storage: JoinPhaseOptions['storage'], { tombstones }: Admission): Promise<void> {
  for (const { partition, configuration } of tombstones) {
    const { replicaIdMax: replicaId } = configuration;
    if (storage.dead(partition).through >= replicaId || planted('emptied-not-buried')) continue;
    await storage.destroyGroup(partition, { replicaId, configuration: encodeConfiguration(configuration) });
  }
}

function refused(reason: string): AdmissionAnswer {
  return { type: 'refused', reason };
}
