/** What the controller and a node that is to join say to each other: plain values that msgpack carries. */
import { decodeConfiguration, encodeConfiguration } from '../../raft/configuration.ts';
import type { Configuration } from '../../raft/types.ts';
import type { PartitionId } from '../../replica/ports.ts';
import { isBytes, isCount, isFields, isPartitionId, type Fields } from '../shapes.ts';
import { decodeMapChange, encodeMapChange, type MapChange } from './records.ts';

export type JoinRequest = 'join.state' | 'join.admit';

/** What a node that may be about to join says of itself. */
export type JoinState =
  /** It has nothing, and waits to be let in. */
  | { readonly phase: 'joining'; readonly nonce: string; readonly clusterName: string }
  | { readonly phase: 'member'; readonly clusterId: string; readonly incarnation: number };

/** All that a node needs to be a member. */
export interface Admission {
  /** Of the start that is meant: nothing is let in that came after. */
  readonly nonce: string;
  readonly clusterId: string;
  /** The founders' list. */
  readonly founding: string;
  readonly stay: number;
  readonly map: MapChange;
  /** Committed configurations without this node: what a replica here was before is dead, up to the highest id of each. */
  readonly tombstones: readonly Tombstone[];
}

export interface Tombstone {
  readonly partition: PartitionId;
  readonly configuration: Configuration;
}

export type AdmissionAnswer = { readonly type: 'admitted' } | { readonly type: 'refused'; readonly reason: string };

/** Undefined when malformed. */
export function decodeJoinState(answer: unknown): JoinState | undefined {
  if (!isFields(answer)) return undefined;
  const { phase, nonce, clusterName, clusterId, incarnation } = answer;
  if (phase === 'joining') {
    return typeof nonce === 'string' && typeof clusterName === 'string' ? { phase, nonce, clusterName } : undefined;
  }
  if (phase !== 'member' || typeof clusterId !== 'string' || !isCount(incarnation)) return undefined;
  return { phase, clusterId, incarnation };
}

export function encodeAdmission(admission: Admission): Fields {
  return {
    ...admission,
    map: encodeMapChange(admission.map),
    tombstones: admission.tombstones.map(({ partition, configuration }) => {
      return { partition, configuration: encodeConfiguration(configuration) };
    }),
  };
}

/** Undefined when malformed. */
export function decodeAdmission(payload: unknown): Admission | undefined {
  if (!isFields(payload)) return undefined;
  const { nonce, clusterId, founding, stay, tombstones } = payload;
  const map = decodeMapChange(payload['map']);
  if (typeof nonce !== 'string' || typeof clusterId !== 'string' || typeof founding !== 'string') return undefined;
  if (!isCount(stay) || map === undefined || !Array.isArray(tombstones)) return undefined;
  const decoded = tombstones.map(decodeTombstone);
  if (!decoded.every((one) => one !== undefined)) return undefined;
  return { nonce, clusterId, founding, stay, map, tombstones: decoded };
}

function decodeTombstone(value: unknown): Tombstone | undefined {
  if (!isFields(value) || !isPartitionId(value['partition']) || !isBytes(value['configuration'])) return undefined;
  try {
    return { partition: value['partition'], configuration: decodeConfiguration(value['configuration']) };
  } catch {
    return undefined;
  }
}

/** Undefined when malformed. */
export function decodeAdmissionAnswer(answer: unknown): AdmissionAnswer | undefined {
  if (!isFields(answer)) return undefined;
  const { type, reason } = answer;
  if (type === 'admitted') return { type };
  return type === 'refused' && typeof reason === 'string' ? { type, reason } : undefined;
}
