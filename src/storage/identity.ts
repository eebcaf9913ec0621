/**
 * Who this node is, on disk: `identity.json` in the data directory, replaced whole (written aside, fsynced, renamed, directory
 * fsynced), so that after a crash at any point it is the old one or the new one.
 */
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { FormationState, IdentityStore, NodeId, NodeIdentity, PeerIncarnation } from '../replica/ports.ts';
import { readChecked, writeChecked } from './checked-file.ts';
import { StorageDamage } from './damage.ts';
import { databaseNames } from './database.ts';
import { DataDirectoryError, lockDirectory, prepareDirectory } from './data-directory.ts';

/** Of everything in the data directory: keys, records, files. */
export const formatVersion = 2;
/** What the cluster as a whole may do; raised together once every node knows how. */
export const featureLevel = 1;

/** As stored; peers are a list because a node may be called `__proto__`. */
interface IdentityContent extends NodeIdentity {
  readonly formatVersion: number;
  readonly featureLevel: number;
  readonly peers: readonly (PeerIncarnation & { readonly nodeId: NodeId })[];
}

export interface OpenIdentity extends IdentityStore {
  /** Lets another process have the directory. */
  close(): Promise<void>;
}

export interface IdentityOptions {
  /** The node's data directory; made when missing. */
  readonly directory: string;
  readonly nodeId: NodeId;
  readonly clusterName: string;
}

/**
 * Locks the directory, checks that it is this node's, and counts this start: a higher incarnation and a fresh nonce are
 * durable when it resolves. Fails with a DataDirectoryError, having changed nothing; with a StorageDamage when the
 * identity is corrupt, or gone while data is there.
 */
export async function openIdentity(options: IdentityOptions): Promise<OpenIdentity> {
  const { directory, nodeId, clusterName } = options;
  prepareDirectory(directory);
  // Once before the lock too: a directory of another node or a newer program is left as it is, lock file included.
  checkUnlocked(options);
  const unlock = await lockDirectory(directory);
  try {
    const stored = readIdentity(directory);
    check(stored, options);
    return new StoredIdentity(directory, unlock, {
      formatVersion,
      featureLevel: stored?.featureLevel ?? featureLevel,
      nodeId,
      clusterName,
      incarnation: (stored?.incarnation ?? 0) + 1,
      nonce: randomBytes(16).toString('hex'),
      formation: stored?.formation ?? { phase: 'unformed' },
      peers: stored?.peers ?? [],
    });
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** Whose directory it is; undefined where no node has lived. Locks nothing and changes nothing. Fails with a StorageDamage. */
export function ownerOf(directory: string): Pick<NodeIdentity, 'nodeId' | 'clusterName' | 'formation'> | undefined {
  return readIdentity(directory);
}

class StoredIdentity implements OpenIdentity {
  readonly #directory: string;
  readonly #unlock: () => Promise<void>;
  #content: IdentityContent;

  constructor(directory: string, unlock: () => Promise<void>, content: IdentityContent) {
    this.#directory = directory;
    this.#unlock = unlock;
    this.#content = content;
    writeIdentity(directory, content);
  }

  identity(): NodeIdentity {
    const { nodeId, clusterName, incarnation, nonce, formation } = this.#content;
    return { nodeId, clusterName, incarnation, nonce, formation };
  }

  peer(nodeId: NodeId): PeerIncarnation | undefined {
    const seen = this.#content.peers.find((peer) => peer.nodeId === nodeId);
    return seen && { incarnation: seen.incarnation, nonce: seen.nonce };
  }

  saveFormation(formation: FormationState): void {
    this.#save({ ...this.#content, formation });
  }

  savePeer(nodeId: NodeId, seen: PeerIncarnation): void {
    const others = this.#content.peers.filter((peer) => peer.nodeId !== nodeId);
    this.#save({ ...this.#content, peers: [...others, { nodeId, incarnation: seen.incarnation, nonce: seen.nonce }] });
  }

  map(): unknown {
    const file = path.join(this.#directory, mapFileName);
    if (!fs.existsSync(file)) return undefined;
    const map = readChecked(file);
    // It can be had again, from peers; but of whoever came later than the founders only it knows the addresses.
    if (map === undefined) throw new StorageDamage(`${file} is corrupt`);
    return map;
  }

  saveMap(map: object): void {
    writeChecked(path.join(this.#directory, mapFileName), map);
  }

  admit(formation: FormationState, incarnation: number): void {
    this.#save({ ...this.#content, formation, incarnation: Math.max(incarnation, this.#content.incarnation) });
  }

  close(): Promise<void> {
    return this.#unlock();
  }

  #save(content: IdentityContent): void {
    writeIdentity(this.#directory, content);
    this.#content = content;
  }
}

const fileName = 'identity.json';
const mapFileName = 'map.json';

/** Undefined in a directory that no node has used. */
function readIdentity(directory: string): IdentityContent | undefined {
  const file = path.join(directory, fileName);
  if (!fs.existsSync(file)) {
    if (!databaseNames.some((name) => fs.existsSync(path.join(directory, name)))) return undefined;
    throw new StorageDamage(`${file} is missing, and ${directory} holds a node's data`);
  }
  const stored = readChecked(file) as IdentityContent | undefined;
  if (stored === undefined) throw new StorageDamage(`${file} is corrupt`);
  return stored;
}

/** What is damaged is only said once no other process has the directory. */
function checkUnlocked(options: IdentityOptions): void {
  try {
    check(readIdentity(options.directory), options);
  } catch (error) {
    if (!(error instanceof StorageDamage)) throw error;
  }
}

function check(stored: IdentityContent | undefined, options: IdentityOptions): void {
  if (stored === undefined) return;
  const { directory, nodeId, clusterName } = options;
  const refuse = (code: DataDirectoryError['code'], difference: string): never => {
    throw new DataDirectoryError(code, `data directory ${directory} ${difference}`);
  };
  if (stored.formatVersion !== formatVersion) {
    refuse('unsupported_format', `has format ${stored.formatVersion}, and this program reads format ${formatVersion}`);
  }
  if (stored.featureLevel > featureLevel) {
    refuse('unsupported_format', `is at feature level ${stored.featureLevel}, and this program knows ${featureLevel}`);
  }
  if (stored.nodeId !== nodeId) refuse('wrong_node', `belongs to node ${stored.nodeId}, not to ${nodeId}`);
  if (stored.clusterName !== clusterName) {
    refuse('wrong_cluster', `belongs to cluster ${stored.clusterName}, not to ${clusterName}`);
  }
}

function writeIdentity(directory: string, content: IdentityContent): void {
  writeChecked(path.join(directory, fileName), content);
}
