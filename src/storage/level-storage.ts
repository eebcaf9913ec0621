/**
 * A node's storage on LevelDB. In the data directory:
 *
 *   log/           the database of Raft's records
 *   state/         the database of the state machines'
 *   HIGHWATER      the last batch of the log that anybody was told of
 *   *.syncpoints   only when asked for, see `sync-points.ts`
 */
import fs from 'node:fs';
import path from 'node:path';
import type { StorageConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { StorageMeter } from '../metrics/ports.ts';
import { allOrNone } from './all-or-none.ts';
import { prepareDirectory, syncDirectory } from './data-directory.ts';
import type { Database, DatabaseName, Databases } from './database.ts';
import { openGroupCommit } from './group-commit.ts';
import { openHighWaterFile } from './high-water.ts';
import { openLevelDatabase, type LevelDatabase } from './level-database.ts';
import { LogSpace } from './log-space.ts';
import type { OfflineStorage } from './reincarnation.ts';
import { StateSpace } from './state-space.ts';
import { recordSyncPoints } from './sync-points.ts';
import { checkTables } from './table-check.ts';

export interface LevelStorageOptions {
  /** The node's data directory; made when missing. */
  readonly directory: string;
  readonly config: StorageConfig;
  /** This start of the node, as `openIdentity` counted it. */
  readonly incarnation: number;
  /** Runs once, when a batch could not be made durable: the node must stop. */
  readonly onFailure: (error: unknown) => void;
  readonly logger?: Logger;
  /** Hears of each batch. */
  readonly meter?: StorageMeter | undefined;
}

export interface LevelStorage extends OfflineStorage {
  /** Whether the disk has little room left: then what deleted records take is given back without delay. */
  saveSpace(isLow: boolean): void;
}

/**
 * Opens, reads and judges what is stored. Fails with a DataDirectoryError when the directory can't be used, and with a
 * StorageDamage that says what is missing or corrupt; the node then must not take part in anything.
 */
export async function openLevelStorage(options: LevelStorageOptions): Promise<LevelStorage> {
  const { directory, config } = options;
  const startedAt = performance.now();
  prepareDirectory(directory);
  const highWater = openHighWaterFile(path.join(directory, 'HIGHWATER'));
  const opened: Database[] = [];
  try {
    const acknowledged = highWater.read() !== undefined;
    const directoryOf = (name: DatabaseName): string => path.join(directory, name);
    const open = async (name: DatabaseName, blockCacheBytes: number): Promise<LevelDatabase> => {
      const databaseDirectory = directoryOf(name);
      // With any batch acknowledged there was a database: LevelDB must not make an empty one in its place.
      const mayCreate = !acknowledged && !hasDatabaseFiles(databaseDirectory);
      const database = await openLevelDatabase({
        directory: databaseDirectory,
        config,
        blockCacheBytes,
        mayCreate,
        after,
        onFailure: options.onFailure,
      });
      opened.push(database);
      syncDirectory(databaseDirectory);
      if (config.recordSyncPoints) recordSyncPoints(databaseDirectory);
      return database;
    };
    // LevelDB must not run a compaction over damaged tables: it would write the damage into new ones, or abort. While it replays
    // what it had logged of the one database, the tables of the other are checked.
    const logChecked = checkTables(directoryOf('log'));
    const stateChecked = logChecked.then(() => checkTables(directoryOf('state')));
    const logOpened = logChecked.then(() => open('log', config.logBlockCacheBytes));
    const stateOpened = stateChecked.then(() => open('state', config.blockCacheBytes));
    const [log, state] = await allOrNone([logOpened, stateOpened]);
    const checkedBytes = (await stateChecked) + (await logChecked);
    const space = new LogSpace({ database: log, config, after, onFailure: options.onFailure });
    const stateSpace = new StateSpace({
      database: state,
      config,
      after,
      nowMs: () => performance.now(),
      onFailure: options.onFailure,
    });
    const databases: Databases = {
      log: { ...log, close: () => space.stop().then(() => log.close()) },
      state: { ...stateSpace.noticing(state), close: () => stateSpace.stop().then(() => state.close()) },
    };
    syncDirectory(directory);
    const onSynced = (name: DatabaseName): void => recordSyncPoints(path.join(directory, name));
    const storage = await openGroupCommit({
      databases,
      highWater,
      config,
      incarnation: options.incarnation,
      after,
      onFailure: options.onFailure,
      meter: options.meter,
      ...(config.recordSyncPoints && config.sync ? { onSynced } : {}),
    });
    space.watch(storage);
    options.logger?.info(
      { directory, checkedBytes, openMs: Math.round(performance.now() - startedAt) },
      'storage is open',
    );
    const saveSpace = (isLow: boolean): void => {
      space.hurry(isLow);
      stateSpace.hurry(isLow);
    };
    return Object.assign(storage, { saveSpace });
  } catch (error) {
    for (const database of opened) await database.close();
    highWater.close();
    throw error;
  }
}

function hasDatabaseFiles(databaseDirectory: string): boolean {
  if (!fs.existsSync(databaseDirectory)) return false;
  return fs.readdirSync(databaseDirectory).some((name) => name.endsWith('.log') || name.endsWith('.ldb'));
}

function after(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}
