/**
 * Bugs that real stores have shipped, each a switch that the simulator turns on to prove that it would find it. All are off
 * unless `plant` was called, which only the simulator may import; everybody else sees `planted.ts` (config/rooms.js).
 * A switch is read at the mutated line and nowhere else.
 */

/** Each bug, in one sentence. */
export const bugDescriptions = {
  'vote-before-durable': 'A vote is answered before it is durable, so that a crash can take it back and give it again.',
  'term-and-vote-apart':
    'Term and vote are written one batch after the other and the answer waits for the first: a crash in between forgets the vote of the term.',
  'vote-erased-on-step-down':
    'Whoever steps down forgets its vote even when the term stays the same, and may vote again in it.',
  'old-term-counted': 'A leader commits an entry of an earlier term by counting replicas (paper 5.4.2, figure 8).',
  'matching-suffix-truncated':
    'A follower cuts its log off after the last entry of an AppendEntries, so that a late one removes what a later one brought.',
  'commit-beyond-verified':
    "A follower bounds the leader's commit index by its own log's end and not by the last entry that the message verified.",
  'duplicate-vote-counted': "A voter's repeated answer counts as the vote of another voter.",
  'read-before-noop': "A new leader notes a read's index before the no-op of its term is committed.",
  'fresh-before-noop':
    "A new leader takes its commit index for all that is committed before the no-op of its term is: copies are called fresh that lack an earlier leader's last writes.",
  'read-by-clock':
    'A leader answers reads by its own clock: until its ticks tell it to step down, without asking a quorum.',
  'old-heartbeat-confirms':
    "An old leader's heartbeat is answered in the new term with its read round: whoever sent it and leads by now counts that for a round of the new term.",
  'applied-index-apart':
    'The applied index is written ahead of the values that belong to it, which follow in a later batch.',
  'own-append-counted-early': "A leader counts its own log's end as stored before its fsync has returned.",
  'fsync-error-swallowed': 'A batch whose write or fsync failed is taken for durable.',
  'install-state-before-index':
    'An installed snapshot becomes the live state without waiting for the log that begins behind it: a crash in between leaves a state ahead of its log.',
  'pre-vote-refreshes-contact': 'A pre-vote request counts as word from the leader, whom it thereby keeps alive.',
  'change-before-noop': 'A leader changes the members before an entry of its own term is committed.',
  'removed-replica-votes':
    'A candidate asks and counts the voters of the last committed configuration and not of the newest in its log: who was left out elects.',
  'transfer-to-lagging': 'A leader hands over to a replica that does not hold all of its log.',
  'compacted-prev-truncates':
    'A follower takes a prevLogIndex that it has compacted away for a conflict, and drops what it holds above its commit index.',
  'quiesced-reads-without-quorum': 'A leader whose group has fallen silent answers reads without asking a quorum.',
  'scan-skips-at-border':
    'A piece of a range names the key that it has no more room for as the one behind which the next piece begins: that key is passed over.',
  'dead-id-founded-again':
    'At a start a node founds the replica that the partition map places there, though it was removed and destroyed: without its votes, it votes again.',
  'emptied-let-in-unpurged':
    'A node that comes back with an emptied directory is let in like a new one, while its old replicas are still members: without their votes, they vote again.',
  'emptied-not-buried':
    'A node that comes back with an emptied directory is not told which replica ids are dead there: it founds its old replicas again.',
  'destroyed-without-tombstone': "A removed replica's data are destroyed, and nothing is written down that says so.",
  'directory-before-group':
    'The directory names the new members of a partition while the group is still changing them: a change that is lost leaves it wrong for good.',
  'source-leaves-first':
    'A move takes the replica that is to go out of its group before the one that is to come is there.',
  'retired-before-empty':
    'A drained node is no member any more as soon as no group has it, though it does not know that yet: what it stores stays.',
  'in-doubt-until-restart':
    'That a replica is in doubt is kept in memory: after a restart it votes and acknowledges again, without what it has forgotten.',
  'digest-of-places':
    'The digest of a state takes in where its records lie: a state that came by a snapshot differs from one that was made here.',
  'dedup-by-node':
    'The results kept for repeats belong to the node that leads: a repeat through the next leader is done a second time.',
  'dedup-not-in-snapshot': 'A snapshot leaves out the results that are kept for repeats.',
  'ttl-reset-at-leader-change':
    "A new leader goes on from the log time of the last applied entry: what passed since then is added to every key's life.",
  'expiry-by-local-clock': "Log time is the leader's wall clock.",
  'late-expiry-deletes-renewed': 'A sweep takes out the keys that it names, whatever is there by then.',
  'watch-gap-at-leader-change':
    'Of entries that are read for watchers, those of an earlier term than the last are passed over.',
  'watch-repeats-after-resume':
    'A watch that goes on from a cursor begins with the entry that the cursor names, which was told.',
  'watch-over-snapshot':
    'Where a snapshot has taken the place of the log, a watch goes on behind it as if there were nothing between.',
  'watch-presumes-outcome':
    'What an entry changed is told from what it says, whatever was kept of it: writes whose condition did not hold are told of, and repeats.',
  'condition-before-log': 'A condition is checked when the command comes to the leader, and not when it is applied.',
} as const satisfies Record<string, string>;

export type SeededBug = keyof typeof bugDescriptions;

export const seededBugs = Object.keys(bugDescriptions) as readonly SeededBug[];

/** Always a string: V8 then compares two pointers, in 2 ns, and takes twice that to compare with undefined. */
let current: SeededBug | 'none' = 'none';

/** Whether this bug was planted. It may stand on a hot path. */
export function planted(bug: SeededBug): boolean {
  return current === bug;
}

/** Turns one bug on and all others off; undefined turns all off. Holds for the whole process (in a worker: that worker). */
export function plant(bug: SeededBug | undefined): void {
  current = bug ?? 'none';
}
