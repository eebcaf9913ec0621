import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { defaults } from '../../src/config.ts';
import type { Storage } from '../../src/replica/ports.ts';
import { openLevelStorage } from '../../src/storage/level-storage.ts';
import { storageContract } from './contract.ts';

storageContract('LevelDB', () => {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'flotilla-contract-'));
  const opened: Storage[] = [];
  let directory = '';
  let config = defaults.storage;
  let incarnation = 0;
  const openAgain = async (): Promise<Storage> => {
    incarnation += 1;
    const storage = await openLevelStorage({
      directory,
      config,
      incarnation,
      onFailure: (error) => {
        throw error;
      },
    });
    opened.push(storage);
    return storage;
  };
  return {
    open: (overrides) => {
      directory = path.join(root, String(opened.length));
      config = { ...defaults.storage, ...overrides };
      return openAgain();
    },
    reopen: async () => {
      await opened.pop()?.close();
      return openAgain();
    },
    cleanUp: async () => {
      for (const storage of opened) await storage.close();
      fs.rmSync(root, { recursive: true });
    },
  };
});
