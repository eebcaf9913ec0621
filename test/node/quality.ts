/** Network and disks of small simulated worlds: they do nothing wrong by themselves. */
import type { DiskFaults } from '../../src/sim/disk.ts';
import type { LinkQuality } from '../../src/sim/network.ts';

export const quality: LinkQuality = {
  delayMsMin: 0.1,
  delayMsMax: 0.5,
  stragglerChance: 0,
  stragglerMs: 0,
  lossChance: 0,
  duplicateChance: 0,
};

export const goodDisk: DiskFaults = {
  fsyncMsMin: 0.2,
  fsyncMsMax: 0.5,
  slowChance: 0,
  slowMs: 0,
  stallChance: 0,
  stallMs: 0,
  failChance: 0,
  inFlightSurvives: 1,
};

/** Half a second for each write, and what is not written then is lost with the power. */
export const slowDisk: DiskFaults = { ...goodDisk, fsyncMsMin: 500, fsyncMsMax: 500, inFlightSurvives: 0 };
