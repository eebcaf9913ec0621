/**
 * A data directory that must not be used any more is kept beside the place where a new one goes, and the new one says why it is there. One that
 * can't be renamed, as no mount point can, keeps what it held in a directory within it.
 *
 * Safety: the rename is what makes all replicas in it dead: from then on this node has nothing to vote or answer with, and it comes back
 * as one that was emptied, under replica ids of its own. So it is durable before anything else is done. Within the directory it takes several renames: the
 * marker goes first and is the last to be moved, and the identity, without which nothing is believed, is the first.
 */
import fs from 'node:fs';
import path from 'node:path';
import { readChecked, writeChecked } from './checked-file.ts';
import { lockDirectory, prepareDirectory, syncDirectory } from './data-directory.ts';

/** `old copy`: peers have seen a later start of it. `damaged`: something in it is not as it was written, or not there. */
export type DoubtKind = 'old copy' | 'damaged';

export interface Doubt {
  readonly kind: DoubtKind;
  /** What was found, in words. */
  readonly reason: string;
}

/** Why a directory is new, in most cases where there was one before. Kept until all that the old one held is held again. */
export interface RebuildNote {
  /** `empty`: nobody knows whether there was one. */
  readonly kind: DoubtKind | 'empty';
  readonly reason: string;
  /** Where the old one is; undefined when nothing was found. */
  readonly movedTo?: string;
  /** Wall time, ms since 1970: for people. */
  readonly sinceMs: number;
}

export interface SetAsideOptions {
  readonly doubt: Doubt;
  readonly wallMs: number;
  /** So many stay beside each other. */
  readonly setAsideMax: number;
}

const suffixes: Readonly<Record<DoubtKind, string>> = { 'old copy': 'old', damaged: 'damaged' };
const markerName = 'in-doubt.json';
const identityName = 'identity.json';
const lockName = 'lock';
/** What was set aside within the directory. */
const withinPrefix = 'set-aside.';
const noteName = 'rebuilding.json';

/**
 * While the node runs something was found that can't be right: from when this returns the directory is never used again, whatever a start would make of it.
 * The node itself has to stop.
 */
export function markInDoubt(directory: string, doubt: Doubt): void {
  writeChecked(path.join(directory, markerName), doubt);
}

/** Undefined when nothing was found so far. Its being there is what counts: it may be damaged as well. */
export function markedDoubt(directory: string): Doubt | undefined {
  const file = path.join(directory, markerName);
  if (!fs.existsSync(file)) return undefined;
  return (readChecked(file) as Doubt | undefined) ?? { kind: 'damaged', reason: `${file} is corrupt, and it is there` };
}

/**
 * Durably renames a closed data directory, and makes an empty one in its place. Fails when that can't be done, and when too many were set aside
 * before: then the disk is to be looked at, and no other start would change that.
 */
export async function setAside(
  directory: string,
  options: SetAsideOptions,
): Promise<RebuildNote & { readonly movedTo: string }> {
  const { doubt, wallMs, setAsideMax } = options;
  const { kind, reason } = doubt;
  const from = path.resolve(directory);
  const name = `${suffixes[kind]}-${new Date(wallMs).toISOString().replaceAll(':', '-')}`;
  const to = `${from}.${name}`;
  let movedTo = to;
  const says = kind === 'damaged' ? 'is damaged' : 'is an old copy';
  try {
    const others = earlier(from);
    if (others.length >= setAsideMax) {
      throw new Error(
        `${others.length} were set aside before: look after the disk, then move ${others.join(', ')} away`,
      );
    }
    // A rename replaces an empty directory without a word.
    if (fs.existsSync(to)) throw new Error(`${to} is there already; move it away and start again`);
    // Held over the rename: whoever else starts here meanwhile finds it taken, or gone.
    const unlock = await lockDirectory(from);
    try {
      movedTo = moveAside(from, to, () => moveWithin(from, name, doubt));
    } finally {
      await unlock();
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`data directory ${directory} ${says} (${reason}) and can't be set aside: ${why}`, { cause: error });
  }
  const note = { ...doubt, movedTo, sinceMs: wallMs };
  prepareDirectory(from);
  writeChecked(path.join(from, noteName), note);
  return note;
}

/** Where it is then. `within`: what to do where the directory has to stay. */
function moveAside(from: string, to: string, within: () => string): string {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    const why = (error as Error).message;
    try {
      return within();
    } catch (other) {
      const both = `${why}, and ${(other as Error).message}`;
      throw new Error(`${both}; move what is in it to another place, and start again`, { cause: other });
    }
  }
  syncDirectory(path.dirname(from));
  return to;
}

function moveWithin(from: string, name: string, doubt: Doubt): string {
  markInDoubt(from, doubt);
  const to = path.join(from, withinPrefix + name);
  fs.mkdirSync(to, { mode: 0o700 });
  syncDirectory(from);
  const stays = (one: string): boolean => one === lockName || one === markerName || one.startsWith(withinPrefix);
  const others = fs.readdirSync(from).filter((one) => one !== identityName && !stays(one));
  const identity = fs.existsSync(path.join(from, identityName)) ? [identityName] : [];
  for (const names of [identity, others, [markerName]]) {
    for (const one of names) fs.renameSync(path.join(from, one), path.join(to, one));
    // In this order on the disk, too.
    syncDirectory(to);
    syncDirectory(from);
  }
  return to;
}

/** Undefined when the directory is not one that took another's place, or has been whole since. */
export function rebuildNote(directory: string): RebuildNote | undefined {
  const file = path.join(directory, noteName);
  return fs.existsSync(file) ? (readChecked(file) as RebuildNote | undefined) : undefined;
}

/** For a node that asks to be let in: what its directory held, if it ever held anything, is not there. Stays what is noted already. */
export function noteEmpty(directory: string, wallMs: number): void {
  if (rebuildNote(directory) !== undefined) return;
  const note: RebuildNote = { kind: 'empty', reason: 'it came with an empty data directory', sinceMs: wallMs };
  writeChecked(path.join(directory, noteName), note);
}

export function forgetRebuild(directory: string): void {
  fs.rmSync(path.join(directory, noteName), { force: true });
  syncDirectory(directory);
}

/** Names of what was set aside of this directory. */
function earlier(directory: string): readonly string[] {
  const prefixes = Object.values(suffixes).map((suffix) => `${path.basename(directory)}.${suffix}-`);
  const beside = fs
    .readdirSync(path.dirname(directory))
    .filter((name) => prefixes.some((prefix) => name.startsWith(prefix)));
  const within = fs.readdirSync(directory).filter((name) => name.startsWith(withinPrefix));
  return [...beside, ...within].toSorted();
}
