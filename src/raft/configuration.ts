/**
 * A configuration as the body of a log entry: all that any member needs to know of the group. Final like the entry
 * format; golden bytes in `test/raft/configuration.test.ts`. Integers are big-endian.
 *
 * ```
 *  0  u8   version: 1; 2 in a group that was begun anew
 *  1  u32  highest replicaId ever given out
 *     u32  incarnation, above 1: in version 2 only
 *     u16  number of members
 *     each: u32 replicaId | u8 roles: 1 voter, 2 outgoing voter, 4 learner | u8 length | host, latin1
 * ```
 */
import { assert } from '../assert.ts';
import { noReplica, type Configuration, type ReplicaId } from './types.ts';

const versions = { founded: 1, anew: 2 } as const;
const headerBytes = 7;
const incarnationBytes = 4;
const Role = { voter: 1, outgoing: 2, learner: 4 } as const;

/** The bytes are no configuration of a version known here: a newer writer, and the replica stops. */
export class ConfigurationFormatError extends Error {
  override readonly name = 'ConfigurationFormatError';
}

/** Before a group's first configuration is known: it decides nothing, and its member never campaigns. */
export const emptyConfiguration: Configuration = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  replicaIdMax: noReplica,
  incarnation: 1,
  hosts: new Map(),
};

/** Every member, each once, by ascending id. */
export function membersOf({ voters, votersOutgoing, learners }: Configuration): readonly ReplicaId[] {
  return [...new Set([...voters, ...votersOutgoing, ...learners])].sort((a, b) => a - b);
}

export function encodeConfiguration(configuration: Configuration): Uint8Array {
  const members = membersOf(configuration);
  const hosts = members.map((id) => configuration.hosts.get(id) ?? '');
  const { incarnation } = configuration;
  const isAnew = incarnation > 1;
  const memberBytes = hosts.reduce((sum, host) => sum + 6 + host.length, 0);
  const bytes = new Uint8Array(headerBytes + (isAnew ? incarnationBytes : 0) + memberBytes);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, isAnew ? versions.anew : versions.founded);
  view.setUint32(1, configuration.replicaIdMax);
  let at = 5;
  if (isAnew) {
    view.setUint32(at, incarnation);
    at += incarnationBytes;
  }
  view.setUint16(at, members.length);
  at += 2;
  members.forEach((id, position) => {
    const host = hosts[position] ?? '';
    assert(host.length <= 255, 'a host has at most 255 characters');
    view.setUint32(at, id);
    view.setUint8(at + 4, rolesOf(configuration, id));
    view.setUint8(at + 5, host.length);
    at += 6;
    for (let i = 0; i < host.length; i++) {
      assert(host.charCodeAt(i) <= 255, 'a host is latin1');
      view.setUint8(at++, host.charCodeAt(i));
    }
  });
  return bytes;
}

/** Throws a ConfigurationFormatError for anything that `encodeConfiguration` does not write. */
export function decodeConfiguration(bytes: Uint8Array): Configuration {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    return decode(view);
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigurationFormatError('a configuration is cut short');
    throw error;
  }
}

function decode(view: DataView): Configuration {
  const version = view.getUint8(0);
  if (version !== versions.founded && version !== versions.anew) {
    throw new ConfigurationFormatError(`configuration version ${version}: this node knows 1 and 2`);
  }
  const replicaIdMax = view.getUint32(1) as ReplicaId;
  const voters: ReplicaId[] = [];
  const votersOutgoing: ReplicaId[] = [];
  const learners: ReplicaId[] = [];
  const hosts = new Map<ReplicaId, string>();
  let previous: ReplicaId = noReplica;
  let at = 5;
  let incarnation = 1;
  if (version === versions.anew) {
    incarnation = view.getUint32(at);
    at += incarnationBytes;
    if (incarnation < 2) throw new ConfigurationFormatError(`a configuration names the incarnation ${incarnation}`);
  }
  const count = view.getUint16(at);
  at += 2;
  for (let left = count; left > 0; left--) {
    const id = view.getUint32(at) as ReplicaId;
    const roles = view.getUint8(at + 4);
    const end = at + 6 + view.getUint8(at + 5);
    // A learner has no other role.
    const isRoles = roles === Role.learner || (roles > 0 && roles < Role.learner);
    if (id <= previous || id > replicaIdMax || !isRoles) {
      throw new ConfigurationFormatError(`a configuration names replica ${id} with roles ${roles}`);
    }
    if (roles & Role.voter) voters.push(id);
    if (roles & Role.outgoing) votersOutgoing.push(id);
    if (roles & Role.learner) learners.push(id);
    let host = '';
    for (at += 6; at < end; at++) host += String.fromCharCode(view.getUint8(at));
    hosts.set(id, host);
    previous = id;
  }
  if (at !== view.byteLength) throw new ConfigurationFormatError('bytes after a configuration');
  return { voters, votersOutgoing, learners, replicaIdMax, incarnation, hosts };
}

function rolesOf({ voters, votersOutgoing, learners }: Configuration, id: ReplicaId): number {
  return (
    (voters.includes(id) ? Role.voter : 0) |
    (votersOutgoing.includes(id) ? Role.outgoing : 0) |
    (learners.includes(id) ? Role.learner : 0)
  );
}
