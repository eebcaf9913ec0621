import { defaults } from '../../src/config.ts';
import { openMemoryStorage, type MemoryStorage } from '../../src/storage/memory-storage.ts';
import { storageContract } from './contract.ts';

storageContract('memory', () => {
  let storage: MemoryStorage;
  let incarnation = 1;
  return {
    open: async (config) =>
      (storage = await openMemoryStorage({ automatic: true, config: { ...defaults.storage, ...config }, incarnation })),
    reopen: async () => {
      await storage.close();
      incarnation += 1;
      return (storage = await storage.crash({ incarnation }));
    },
    cleanUp: async () => undefined,
  };
});
