/** The judge lets a right history pass and stops each wrong one by the name of the rule it breaks. */
import { describe, expect, it } from 'vitest';
import type { Term } from '../../src/raft/types.ts';
import { expectViolation } from './judge-verdict.ts';
import { JudgeHistory, partition, stateAfter, type Told } from './judge-history.ts';

const first: readonly Told[] = [
  [1, 1],
  [2, 1, 'a'],
  [3, 1, 'b'],
];

describe('a right history', () => {
  it('passes: commit, crash with a write under way, re-election, a truncated suffix, a second crash', () => {
    const history = JudgeHistory.replicated();
    history.append(1, 2, 1, { after: [3, 1], commit: 3 });
    for (const index of [1, 2, 3]) history.apply(1, index, 1);
    history.heartbeat(1, 2, 1, 3);
    for (const index of [1, 2, 3]) history.apply(2, index, 1);

    // The leader dies while an entry that nobody else has is on its way to its disk, where it survives.
    history.append(1, 2, 1, { after: [3, 1], entries: [[4, 1, 'lost']], commit: 3 });
    history.write(1, { entries: [[4, 1, 'lost']] });
    history.crash(1);
    history.save(3, { term: 1, entries: first });
    history.elect(2, 2, [2, 3], [3, 1]);
    const noop: Told = [4, 2];
    history.append(2, 3, 2, { after: [3, 1], entries: [noop], commit: 3 });
    history.save(2, { entries: [noop] });
    history.save(3, { entries: [noop] });
    history.success(3, 2, 2, 4);
    for (const index of [1, 2, 3]) history.apply(3, index, 1);
    history.apply(2, 4, 2);
    history.heartbeat(2, 3, 2, 4);
    history.apply(3, 4, 2);

    // Back with that entry, replica 1 has it replaced.
    history.restart(1, { term: 1, vote: 1, entries: [...first, [4, 1, 'lost']], state: stateAfter(2, 1) });
    history.heartbeat(2, 1, 2, 0);
    history.append(2, 1, 2, { after: [3, 1], entries: [noop], commit: 4 });
    history.save(1, { term: 2, truncateFrom: 4, entries: [noop] });
    history.success(1, 2, 2, 4);
    history.apply(1, 3, 1);
    history.apply(1, 4, 2);

    // It dies again; this time the write under way, and the vote in it, are not on the disk.
    history.write(1, { term: 3, vote: 1 });
    history.crash(1);
    history.restart(1, { term: 2, entries: [...first, noop], state: stateAfter(4, 2) });
    history.save(1, { term: 3, vote: 3 });

    expect(history.judge.committed(partition)).toBe(4);
    expect(history.judge.counts).toMatchObject({ elections: 2, committed: 4 });
    expect(history.judge.counts.checks).toBeGreaterThan(40);
  });

  it('passes: a new leader commits old entries along with its first own one', () => {
    const history = JudgeHistory.replicated();
    history.elect(2, 2, [2, 3], [3, 1]);
    history.append(2, 3, 2, { after: [0, 0], entries: [...first, [4, 2]] });
    history.save(2, { entries: [[4, 2]] });
    history.save(3, { entries: [...first, [4, 2]] });
    history.success(3, 2, 2, 4);
    history.apply(2, 1, 1);
    expect(history.judge.committed(partition)).toBe(1);
  });

  it('passes: the only voter of its group leads without a word', () => {
    const history = new JudgeHistory(1);
    history.save(1, { term: 1, vote: 1 });
    history.save(1, { entries: [[1, 1]] });
    history.apply(1, 1, 1);
    expect(history.judge.counts).toMatchObject({ elections: 1, committed: 1 });
  });

  it('passes: a leader begins anew with a follower that restarted', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    history.crash(2);
    history.restart(2, { term: 1, vote: 1, entries: first });
    history.heartbeat(1, 2, 1, 0);
    history.heartbeat(1, 2, 1, 3);
  });

  it('passes: what a dead process still seems to do', () => {
    const history = JudgeHistory.replicated();
    history.crash(1);
    history.heartbeat(1, 2, 9, 0);
    history.write(1, { term: 0, entries: [[9, 9]] });
    history.apply(1, 9, 9);
  });
});

describe('election safety', () => {
  it('two lead one term', () => {
    const history = JudgeHistory.replicated();
    history.save(3, { term: 1, vote: 3 });
    expectViolation('election safety', 'n1 and n3 both lead in term 1', () => history.heartbeat(3, 2, 1, 0));
  });

  it('one leads without a majority, or before its own vote is durable', () => {
    const history = new JudgeHistory();
    history.save(2, { term: 1, vote: 1 });
    history.save(3, { term: 1, vote: 3 });
    const own = history.write(1, { term: 1, vote: 1 });
    const lead = (): void => history.heartbeat(1, 2, 1, 0);
    expectViolation('election safety', 'without a majority; durable votes: n2 for n1, n3 for n3', lead);
    history.durable(1, own);
    lead();
  });

  it('a leader goes on after its crash', () => {
    const history = JudgeHistory.replicated();
    history.crash(1);
    history.restart(1, { term: 1, vote: 1, entries: first });
    expectViolation('election safety', 'n1 led term 1 before its crash', () => history.heartbeat(1, 2, 1, 0));
  });

  it('a leader speaks for a term that it has left', () => {
    const history = JudgeHistory.replicated();
    history.save(1, { term: 2 });
    expectViolation('election safety', 'n1 is in term 2', () => history.heartbeat(1, 2, 1, 0));
  });
});

describe('leader append-only', () => {
  it('a leader truncates', () => {
    const history = JudgeHistory.replicated();
    expectViolation('leader append-only', 'removes entries 3 to 3', () =>
      history.write(1, { truncateFrom: 3, entries: [[3, 1, 'b']] }),
    );
  });

  it('a leader sends what is not in its log, or says that it follows such', () => {
    const history = JudgeHistory.replicated();
    history.write(3, { term: 2, entries: [[1, 2]] });
    expectViolation('leader append-only', '1 of term 2', () => history.append(1, 2, 1, { after: [1, 2] }));
    expectViolation('leader append-only', '7 of term 1', () =>
      history.append(1, 2, 1, { after: [7, 1], entries: [[8, 1, 'x']] }),
    );
    expectViolation('leader append-only', 'sends entry 1 of term 2', () =>
      history.append(1, 2, 1, { after: [0, 0], entries: [[1, 2]] }),
    );
  });
});

describe('a leader names an entry that it has not handed to its disk', () => {
  it('the write that follows brings it', () => {
    const history = JudgeHistory.replicated();
    history.append(1, 2, 1, { after: [4, 1] });
    history.write(1, { entries: [[4, 1, 'd']] });
    history.append(1, 2, 1, { after: [4, 1] });
  });

  it('the write that follows brings another one, or none', () => {
    const history = JudgeHistory.replicated();
    history.append(1, 2, 1, { after: [5, 1] });
    expectViolation('leader append-only', 'has named 5 of term 1', () => history.write(1, { entries: [[4, 1, 'd']] }));
  });
});

describe('log matching', () => {
  it('one index and term, two contents', () => {
    const history = JudgeHistory.replicated();
    expectViolation(
      'log matching',
      'entry 2 of term 1 is not the same on n3 as on n1',
      () =>
      history.write(3, { term: 1, entries: [[1, 1], [2, 1, 'other']] }), // prettier-ignore
    );
  });

  it('one index and term, two predecessors', () => {
    const history = JudgeHistory.replicated([[1, 1], [2, 1, 'a']]); // prettier-ignore
    history.elect(2, 2, [2, 3], [2, 1]);
    history.append(2, 3, 2, { after: [2, 1], entries: [[3, 2]] });
    history.save(3, { entries: [[1, 2]] });
    expectViolation('log matching', 'follows', () => history.write(3, { entries: [[2, 2], [3, 2]] })); // prettier-ignore
  });

  it('a gap, and terms that fall', () => {
    const gap = JudgeHistory.replicated();
    expectViolation('log matching', 'appends 5 of term 1 right after 3 of term 1', () =>
      gap.write(2, { entries: [[5, 1, 'x']] }),
    );
    const falling = new JudgeHistory();
    expectViolation(
      'log matching',
      'terms fall on n1',
      () =>
      falling.write(1, { term: 2, entries: [[1, 2], [2, 1]] }), // prettier-ignore
    );
  });
});

describe('leader completeness', () => {
  it('a new leader lacks a committed entry', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    expectViolation('leader completeness', 'n3 leads term 2 without the committed entry 3 of term 1', () => {
      history.elect(3, 2, [2, 3]);
    });
  });

  it('an entry proves committed when a later leader already leads without it', () => {
    const history = JudgeHistory.replicated();
    history.elect(3, 2, [2, 3]);
    expectViolation('leader completeness', 'n3 leads term 2 without the committed entry 3 of term 1', () =>
      history.append(1, 2, 1, { after: [3, 1], commit: 3 }),
    );
  });

  it('a leader that is seen late need not hold what was committed in later terms', () => {
    const history = new JudgeHistory();
    for (const voter of [1, 2]) history.save(voter, { term: 1, vote: 1 });
    history.elect(3, 2, [2, 3]);
    history.save(3, { entries: [[1, 2]] });
    history.save(2, { entries: [[1, 2]] });
    history.apply(3, 1, 2);
    history.append(1, 2, 1, { after: [0, 0], entries: [[1, 1]] });
  });
});

describe('state machine safety', () => {
  const put = (text: string) =>
    ({
      type: 'put',
      key: Buffer.from('k'),
      record: { value: Buffer.from(text), contentType: '', revision: 2, incarnation: 1, expiresAt: 0 },
      expiresBefore: 0,
    }) as const;

  /** Applied on replica 1, known to be committed. */
  function applied(): JudgeHistory {
    const history = JudgeHistory.replicated();
    history.apply(1, 1, 1);
    history.apply(1, 2, 1, [put('a')]);
    history.apply(2, 1, 1);
    return history;
  }

  it('the same changes pass, others do not', () => {
    applied().apply(2, 2, 1, [put('a')]);
    const says = 'entry 2 of term 1 changed other keys or values on n2 than on n1';
    expectViolation('state machine safety', says, () => applied().apply(2, 2, 1, [put('b')]));
    expectViolation('state machine safety', says, () => applied().apply(2, 2, 1));
    expectViolation('state machine safety', says, () =>
      applied().apply(2, 2, 1, [{ type: 'delete', key: Buffer.from('k'), expiresBefore: 0 }]),
    );
  });

  it('the state differs after the same entry', () => {
    const history = JudgeHistory.replicated();
    history.apply(1, 1, 1);
    expectViolation('state machine safety', 'after applying 1, keys is 1 on n2 and 0 on n1', () =>
      history.applyState(2, { ...stateAfter(1, 1), keys: 1 }),
    );
  });

  it('another entry is applied than was committed', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    history.save(3, { term: 1, entries: [[1, 0]] });
    expectViolation('state machine safety', '1 of term 0', () => history.apply(3, 1, 0));
  });

  it('an entry is applied that is not in the log', () => {
    const history = JudgeHistory.replicated();
    expectViolation('state machine safety', 'applies 1 of term 2, its log has 1 of term 1', () =>
      history.apply(2, 1, 2),
    );
    expectViolation('state machine safety', 'its log has nothing', () => history.apply(3, 1, 1));
  });

  it('a replica comes back with a state that was never there', () => {
    const history = applied();
    history.crash(1);
    const state = { ...stateAfter(2, 1), bytes: 7 };
    expectViolation('state machine safety', 'bytes is 7 on n1 and 0 on n1', () =>
      history.restart(1, { term: 1, vote: 1, entries: first, state }),
    );
  });
});

describe('applied', () => {
  it('not in order: a gap, or twice', () => {
    const history = JudgeHistory.replicated();
    expectViolation('applied in order', 'n1 applies 2 after 0', () => history.apply(1, 2, 1));
    history.apply(1, 1, 1);
    expectViolation('applied in order', 'n1 applies 1 after 1', () => history.apply(1, 1, 1));
  });

  it('again after a restart, from where the state came back', () => {
    const history = JudgeHistory.replicated();
    for (const index of [1, 2, 3]) history.apply(1, index, 1);
    history.crash(1);
    history.restart(1, { term: 1, vote: 1, entries: first, state: stateAfter(1, 1) });
    expectViolation('applied in order', 'n1 applies 1 after 1', () => history.apply(1, 1, 1));
    history.apply(1, 2, 1);
  });

  it('uncommitted: by a leader whose entry is on its own disk alone, by a follower that was not told', () => {
    const history = new JudgeHistory();
    history.elect(1, 1, [1, 2]);
    history.save(1, { entries: [[1, 1]] });
    const says = 'n1, last leader of term 1, applies 1 of term 1 as committed: durable only on [n1]';
    expectViolation('applied uncommitted', says, () => history.apply(1, 1, 1));
    const follower = JudgeHistory.replicated();
    expectViolation('applied uncommitted', 'n2, no leader in this start, applies 1 of term 1', () =>
      follower.apply(2, 1, 1),
    );
  });
});

describe('commit', () => {
  it('a leader counts itself before its own append is durable', () => {
    const history = new JudgeHistory();
    history.elect(1, 1, [1, 2]);
    history.append(1, 2, 1, { after: [0, 0], entries: [[1, 1]] });
    const own = history.write(1, { entries: [[1, 1]] });
    history.save(2, { entries: [[1, 1]] });
    const announce = (): void => history.append(1, 3, 1, { after: [0, 0], commit: 1 });
    expectViolation('commit quorum', 'durable only on [n2]', announce);
    history.durable(1, own);
    announce();
  });

  it('an entry of an earlier term is committed by counting (figure 8)', () => {
    const history = JudgeHistory.replicated();
    history.elect(2, 2, [2, 3], [3, 1]);
    expectViolation(
      'commit quorum',
      'announces 3 of term 1 as committed: durable on [n1, n2], but no majority holds an entry of term 2',
      () => history.append(2, 3, 2, { after: [3, 1], commit: 3 }),
    );
  });

  it('a durable entry does not count while its truncation is under way', () => {
    const history = JudgeHistory.replicated();
    history.write(2, { term: 2, truncateFrom: 3, entries: [[3, 2]] });
    expectViolation('commit quorum', 'durable only on [n1]', () =>
      history.append(1, 3, 1, { after: [3, 1], commit: 3 }),
    );
  });

  it('more is announced than the leader holds', () => {
    const history = JudgeHistory.replicated();
    expectViolation('commit quorum', 'announces 9 as committed: beyond the end of its log', () =>
      history.heartbeat(1, 2, 1, 9),
    );
  });

  it('the index goes back, in AppendEntries or in heartbeats to one follower', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    expectViolation('commit index', 'goes back from 3 to 2', () =>
      history.append(1, 2, 1, { after: [3, 1], commit: 2 }),
    );
    history.heartbeat(1, 2, 1, 2);
    expectViolation('commit index', 'to n2 in term 1 goes back from 2 to 1', () => history.heartbeat(1, 2, 1, 1));
  });

  it('a heartbeat names what its receiver does not hold', () => {
    const history = JudgeHistory.replicated();
    expectViolation('commit index', 'n1 tells n3', () => history.heartbeat(1, 3, 1, 3));
  });
});

describe('freshness', () => {
  it('a state is called as fresh as a time at which more was committed', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 0, false, [500, 0, 0]);
    history.heartbeat(1, 2, 1, 3, false, [600, 0, 500]);
    history.heartbeat(1, 2, 1, 3, false, [700, 3, 600]);
    expectViolation('freshness', 'log time 600 lies at or below 2, when 3 was committed', () =>
      history.heartbeat(1, 2, 1, 3, false, [800, 2, 600]),
    );
    // Of a time that no leader has told, nothing is known.
    history.heartbeat(1, 2, 1, 3, false, [900, 0, 550]);
  });
});

describe('durable term and vote', () => {
  it('the term falls, or the vote changes within it', () => {
    const history = new JudgeHistory();
    history.save(1, { term: 2, vote: 1 });
    const says = 'n1 goes from term 2 with a vote for n1 to';
    expectViolation('durable term and vote', says, () => history.write(1, { term: 1 }));
    expectViolation('durable term and vote', says, () => history.write(1, { term: 2, vote: 2 }));
    expectViolation('durable term and vote', says, () => history.write(1, { term: 2 }));
  });

  it('a crash loses a term, or a vote', () => {
    const history = new JudgeHistory();
    history.save(1, { term: 2, vote: 2 });
    history.crash(1);
    const says = 'term 2 with a vote for n2 and the log up to 0 of term 0 were durable, 0 writes under way';
    expectViolation('durable term and vote', says, () => history.restart(1, { term: 1 }));
    expectViolation('durable term and vote', says, () => history.restart(1, { term: 2 }));
  });

  it('an entry is written before its term', () => {
    const history = new JudgeHistory();
    expectViolation('durable term and vote', 'n1 writes entry 1 of term 1 and is only in term 0', () =>
      history.write(1, { entries: [[1, 1]] }),
    );
  });
});

describe('what a disk comes back with', () => {
  it('an announced entry is missing', () => {
    const history = JudgeHistory.replicated();
    history.crash(2);
    expectViolation(
      'durable log',
      'the log up to 2 of term 1; term 1 with a vote for n1 and the log up to 3 of term 1',
      () => history.restart(2, { term: 1, vote: 1, entries: first.slice(0, 2) }),
    );
  });

  it('an entry has another content', () => {
    const history = JudgeHistory.replicated();
    history.crash(2);
    expectViolation(
      'durable log',
      'the disk of n2 holds entry 2 of term 1',
      () =>
      history.restart(2, { term: 1, vote: 1, entries: [[1, 1], [2, 1, 'x'], [3, 1, 'b']] }), // prettier-ignore
    );
  });

  it('half of a write under way, or a later write without an earlier one', () => {
    const written = (): JudgeHistory => {
      const history = JudgeHistory.replicated();
      history.write(2, { term: 2, truncateFrom: 3, entries: [[3, 2], [4, 2]] }); // prettier-ignore
      history.write(2, { term: 3, vote: 2 });
      history.crash(2);
      return history;
    };
    const none = { term: 1, vote: 1, entries: first };
    const one = { term: 2, entries: [...first.slice(0, 2), [3, 2], [4, 2]] as Told[] };
    for (const whole of [none, one, { ...one, term: 3, vote: 2 }]) written().restart(2, whole);
    const says = '2 writes under way';
    const half = { ...one, entries: one.entries.slice(0, 3) };
    expectViolation('durable log', says, () => written().restart(2, half));
    expectViolation('recovered state', says, () => written().restart(2, { ...none, term: 2, vote: 0 }));
    expectViolation('recovered state', says, () => written().restart(2, { ...none, term: 3, vote: 2 }));
  });

  it('a write is announced out of order', () => {
    const history = JudgeHistory.replicated();
    history.write(1, { entries: [[4, 1, 'c']] });
    const second = history.write(1, { entries: [[5, 1, 'd']] });
    expectViolation('durable log', 'out of the order', () => history.durable(1, second));
  });

  it('machine state that the log does not cover, that was never reached, or that went back', () => {
    const history = JudgeHistory.replicated();
    for (const index of [1, 2]) history.apply(1, index, 1);
    history.crash(1);
    const disk = { term: 1, vote: 1, entries: first };
    expectViolation('recovered state', 'had applied no more than 2', () =>
      history.restart(1, { ...disk, state: stateAfter(3, 1) }),
    );
    history.restart(1, { ...disk, state: stateAfter(2, 1) });
    history.crash(1);
    expectViolation('recovered state', 'and before that with the state after 2', () =>
      history.restart(1, { ...disk, state: stateAfter(1, 1) }),
    );
  });

  it('a leader applied what its own disk never got, and comes back with that state', () => {
    const history = new JudgeHistory();
    history.elect(1, 1, [1, 2]);
    history.append(1, 2, 1, { after: [0, 0], entries: [[1, 1]] });
    history.write(1, { entries: [[1, 1]] });
    history.save(2, { entries: [[1, 1]] });
    history.save(3, { term: 1, entries: [[1, 1]] });
    history.apply(1, 1, 1);
    history.crash(1);
    expectViolation('recovered state', 'its log ends at 0 of term 0', () =>
      history.restart(1, { term: 1, vote: 1, state: stateAfter(1, 1) }),
    );
  });
});

describe('spoke too early', () => {
  it('of a vote or a term', () => {
    const history = new JudgeHistory();
    const term = 1 as Term;
    const write = history.write(2, { term, vote: 1 });
    const yes = (): void =>
      history.send(2, 1, { type: 'VoteResponse', term, granted: true, timeTerm: 0 as Term, logTime: 0 });
    expectViolation('spoke too early', 'sends a VoteResponse of term 1, and only 0 is durable', yes);
    for (const type of ['HeartbeatResponse', 'PreVoteResponse'] as const) {
      const rest = type === 'HeartbeatResponse' ? { type, readRound: 0, logTime: 0 } : { type, granted: false };
      expectViolation('spoke too early', `sends a ${type}`, () => history.send(2, 1, { term, ...rest }));
    }
    const asks = { type: 'VoteRequest', lastLogIndex: 0, lastLogTerm: 0, transfer: false } as never;
    expectViolation('spoke too early', 'sends a VoteRequest', () =>
      history.send(2, 1, { ...(asks as object), term } as never),
    );
    // A pre-vote changes nothing and promises nothing.
    history.send(2, 1, { type: 'PreVoteResponse', term: 9 as Term, granted: true });
    history.durable(2, write);
    yes();
    expectViolation('spoke too early', 'n2 tells its vote for n3 in term 1', () =>
      history.send(2, 3, { type: 'VoteResponse', term, granted: true, timeTerm: 0 as Term, logTime: 0 }),
    );
  });

  it('of an entry that is not durable, or whose truncation is under way', () => {
    const history = JudgeHistory.replicated();
    const write = history.write(2, { entries: [[4, 1, 'c']] });
    const success = (): void => history.success(2, 1, 1, 4);
    history.append(1, 2, 1, { after: [3, 1], entries: [[4, 1, 'c']] });
    history.write(1, { entries: [[4, 1, 'c']] });
    expectViolation('spoke too early', 'n2 says in term 1 that it holds 4; only what comes up to 3', success);
    history.durable(2, write);
    success();
    // Replaced and put back, all still in memory: the same index and term, and a crash could leave the other one.
    history.write(2, { term: 2, truncateFrom: 4, entries: [[4, 2]] });
    history.write(2, { term: 3, truncateFrom: 4, entries: [[4, 1, 'c']] });
    expectViolation('spoke too early', 'n2 says', success);
  });
});

describe('what was told to a leader', () => {
  it('is not in its log', () => {
    const history = JudgeHistory.replicated();
    history.save(3, { term: 1, entries: [[1, 0]] });
    expectViolation('false match', "the leader's has 1 of term 1 there", () => history.success(3, 1, 1, 1));
  });

  it('is truncated in the same term', () => {
    const history = JudgeHistory.replicated();
    expectViolation('acknowledged entry lost', 'n2 truncates from 2 in term 1', () =>
      history.write(2, { truncateFrom: 2, entries: [[2, 1, 'a']] }),
    );
  });

  it('is committed and truncated', () => {
    const history = JudgeHistory.replicated();
    history.heartbeat(1, 2, 1, 3);
    expectViolation('committed entry lost', 'n2 drops the committed entry 3 of term 1', () =>
      history.write(2, { term: 2, truncateFrom: 3, entries: [[3, 2]] }),
    );
  });
});
