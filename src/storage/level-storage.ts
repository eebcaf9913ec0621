/**
 * A node's storage on LevelDB. In the data directory:
 *
 *   db/          the database
 *   HIGHWATER    the last batch that anybody was told of
 *   SYNCPOINTS   only when asked for, see `sync-points.ts`
 */
import fs from 'node:fs';
import path from 'node:path';
import type { StorageConfig } from '../config.ts';
import type { Logger } from '../logger.ts';
import type { Storage } from '../replica/ports.ts';
import { prepareDirectory, syncDirectory } from './data-directory.ts';
import { openGroupCommit } from './group-commit.ts';
import { openHighWaterFile } from './high-water.ts';
import { openLevelDatabase } from './level-database.ts';
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
}

/**
 * Opens, reads and judges what is stored. Fails with a DataDirectoryError when the directory can't be used, and with a
 * StorageDamage that says what is missing or corrupt; the node then must not take part in anything.
 */
export async function openLevelStorage(options: LevelStorageOptions): Promise<Storage> {
  const { directory, config } = options;
  const startedAt = performance.now();
  prepareDirectory(directory);
  const databaseDirectory = path.join(directory, 'db');
  const highWater = openHighWaterFile(path.join(directory, 'HIGHWATER'));
  // With any batch acknowledged there was a database: LevelDB must not make an empty one in its place.
  const mayCreate = highWater.read() === undefined && !hasDatabaseFiles(databaseDirectory);
  try {
    // LevelDB must not run a compaction over damaged tables: it would write the damage into new ones, or abort.
    const checkedBytes = await checkTables(databaseDirectory);
    const database = await openLevelDatabase({ directory: databaseDirectory, config, mayCreate });
    try {
      syncDirectory(databaseDirectory);
      syncDirectory(directory);
      const record = (): void => recordSyncPoints(directory, databaseDirectory);
      if (config.recordSyncPoints) record();
      const storage = await openGroupCommit({
        database,
        highWater,
        config,
        incarnation: options.incarnation,
        after,
        onFailure: options.onFailure,
        ...(config.recordSyncPoints && config.sync ? { onSynced: record } : {}),
      });
      options.logger?.info(
        { directory, checkedBytes, openMs: Math.round(performance.now() - startedAt) },
        'storage is open',
      );
      return storage;
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
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
