/** What a replica hands to its disk: judged first, then taken over into what is known of it. */
import { checkChange, checkRemovedVote } from './change-rules.ts';
import { named, type KnownEntry } from './entries.ts';
import { leads, leadsAlone } from './leadership.ts';
import type { PartitionRecord } from './partition-record.ts';
import type { JudgedWrite, ReplicaRecord } from './replica-record.ts';
import { checkHardState, checkTruncation, heldCommitted } from './rules.ts';
import { checkCompaction, checkInstall, checkRetained } from './snapshot-rules.ts';

export function judgeWrite(partition: PartitionRecord, replica: ReplicaRecord, write: JudgedWrite): void {
  const hardState = write.hardState ?? replica.hardState;
  const term = hardState.currentTerm;
  checkHardState(partition, replica, write.hardState);
  checkRemovedVote(partition, replica, write.hardState);
  if (write.entries.length > 0 && leadsAlone(partition, replica, hardState)) leads(partition, replica, term);
  const installed = checkInstall(partition, replica, write);
  checkTruncation(partition, replica, { write, installed, term });
  if (installed !== undefined) checkRetained(partition, replica, installed);
  checkCompaction(partition, replica, { write, installed });
  const committed = heldCommitted(partition, replica);
  replica.handOver(write, { entries: knownEntries(partition, replica, { write, installed }), installed });
  if (replica.lastEntry.term > term) {
    const entry = named(replica.lastEntry);
    partition.fail('durable term and vote', `${replica.name} writes entry ${entry} and is only in term ${term}`);
  }
  if (replica.log[committed.index] !== committed) {
    partition.fail('committed entry lost', `${replica.name} drops the committed entry ${named(committed)}`);
  }
  if (term > replica.leading) replica.leading = 0;
  if (installed !== undefined) replica.removed = partition.roster.inForce(installed).leavesOut(replica);
}

/** The entries of a write, as everybody knows them. They go where the log ends or is cut off. */
function knownEntries(
  partition: PartitionRecord,
  replica: ReplicaRecord,
  { write, installed }: { readonly write: JudgedWrite; readonly installed: KnownEntry | undefined },
): KnownEntry[] {
  const end = write.truncateFrom ?? replica.log.length;
  let previous = installed ?? replica.log[end - 1];
  if (previous === undefined) {
    partition.fail('log matching', `${replica.name} writes at ${end}, its log ends at ${named(replica.lastEntry)}`);
  }
  const known: KnownEntry[] = [];
  for (const entry of write.entries) {
    if (entry.index !== previous.index + 1) {
      partition.fail('log matching', `${replica.name} appends ${named(entry)} right after ${named(previous)}`);
    }
    checkChange(partition, replica, { entry, previous });
    previous = partition.entries.known(entry, previous, replica.name);
    known.push(previous);
  }
  return known;
}
