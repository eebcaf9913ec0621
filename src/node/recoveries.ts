/** What was begun anew by hand in this data directory is said at each start: whoever wonders about lost writes finds it in every log. */
import type { Logger } from '../logger.ts';
import { auditFile, readAudit, unfinishedRecovery } from '../storage/recovery-audit.ts';

export function tellOfRecoveries(directory: string, logger: Pick<Logger, 'warn'>): void {
  const unfinished = unfinishedRecovery(directory);
  for (const record of readAudit(directory)) {
    if (record.event !== 'begun') continue;
    const { at, decision, user, lost, partitions } = record;
    const told = {
      at,
      decision,
      user,
      lost: lost.map(({ nodeId }) => nodeId),
      partitions: partitions.map(({ partition }) => partition),
      audit: auditFile(directory),
    };
    logger.warn(told, 'partitions were begun anew here by hand, as their majority was lost for good');
    if (record.at !== unfinished?.at) continue;
    logger.warn(
      { at, decision },
      'that recovery was not seen to its end: stop this node and run flotilla recover --unsafe once more',
    );
  }
}
